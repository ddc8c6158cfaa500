"""How much work a decision is: by the functions that it calls, which no other load on the machine changes."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from sluice.model.planning import Estimate, History, QueueSample
from sluice.planning.learning.learn import estimate
from sluice.planning.planner import plan
from tests.support.planner_steps import TIMING, a_memory
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, seen

CALLS_MOST = 400  # Python functions of one decision


def calls_of(function: Callable[[], Any]) -> int:
    """How many Python functions are called by it."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def decision_of(minutes: int, units: int, waiting: float) -> Callable[[], Any]:
    """A decision on a fleet with so many minutes of arrivals remembered, and so many units."""
    samples = [QueueSample(NINE - 10.0 * i, waiting, float(units), float(units), True, 1.0) for i in range(42, 0, -1)]
    memory = a_memory(
        rate=Estimate(1.0, 100.0, NINE - 60),
        to_service=Estimate(60.0, 8.0, NINE - 60),
        arrivals=History(60.0, NINE - 120.0 - 60.0 * minutes, (60.0,) * minutes),
        samples=tuple(samples),
    )
    fleet = a_fleet()
    snapshot = seen(NINE, a_queue(NINE, waiting, units, oldest_s=60), a_group(NINE, units, bounds=(0, 500)))
    estimates = estimate(memory, fleet, TIMING, NINE)
    return lambda: plan(snapshot, fleet, estimates, memory, timing=TIMING, now=NINE)


@pytest.mark.parametrize("waiting", [0.0, 40.0, 4000.0])
def test_plan_when_its_calls_are_counted(waiting):
    """A decision is a few hundred calls, whatever it decides."""
    assert 50 < calls_of(decision_of(1440, 6, waiting)) <= CALLS_MOST


@pytest.mark.parametrize("waiting", [0.0, 4000.0])
def test_plan_when_more_is_remembered_or_there(waiting):
    """A day of minutes is no more work than an hour of them, and a hundred units none more than ten."""
    calls = calls_of(decision_of(60, 10, waiting))
    assert calls_of(decision_of(1440, 10, waiting)) == calls
    assert calls_of(decision_of(60, 100, waiting)) <= calls + 10
