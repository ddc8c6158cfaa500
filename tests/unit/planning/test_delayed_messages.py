"""Delayed messages: where a launch can wait, a fleet wakes when they are visible, and no sooner."""

from __future__ import annotations

import pytest

from sluice.model.planning import Memory
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen


@pytest.mark.parametrize(("lead_time_s", "wakes"), [(60, False), (70, False), (90, True), (180, True)])
def test_wake_when_one_message_is_delayed(lead_time_s: float, wakes: bool) -> None:
    """To see the message takes 20 of the 60 s, which leaves a launch 36; a lead time that is a guess may be half."""
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": 10, "lead_time_s": lead_time_s})
    decision = decide(seen(NINE, a_queue(NINE, 0, 0, 1), a_group(NINE)), fleet)
    assert (decision.want > 0) is wakes
    if not wakes:
        assert "a launch can wait until delayed messages are visible" in decision.reasons[0].sentence


def test_new_fleet_when_five_hundred_messages_are_delayed() -> None:
    """Of no message is it known when it is visible: nothing is launched until then."""
    fleet = a_fleet(hints={})
    assert decide(seen(NINE, a_queue(NINE, 0, 0, 500), a_group(NINE, bounds=(0, 1000))), fleet, Memory()).want == 0
    visible = decide(seen(NINE, a_queue(NINE, 500, 0, 0, oldest_s=0), a_group(NINE, bounds=(0, 1000))), fleet)
    assert visible.want > 10


def test_new_fleet_when_delayed_messages_cannot_be_waited_for() -> None:
    """A target below any launch: what may be visible within a launch is launched for, and not a unit for each."""
    fleet = a_fleet(target_wait_s=20, hints={})
    assert 1 <= decide(seen(NINE, a_queue(NINE, 0, 0, 500), a_group(NINE, bounds=(0, 1000))), fleet).want <= 20


def test_last_unit_when_messages_are_delayed() -> None:
    """It stays until they are done, as before."""
    assert decide(seen(NINE, a_queue(NINE, 0, 0, 1), a_group(NINE, 1)), a_fleet()).want == 1
