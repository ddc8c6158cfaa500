"""The spread of service times: learned from how far what is completed is from its mean, and counted on by supply."""

from math import log, sqrt
from random import Random

import pytest

from sluice.model.observed import Series
from sluice.model.planning import Estimate, QueueSample, RateMemory, RedeliveryMemory
from sluice.planning.learning.service_rate import learn_service_rate
from sluice.planning.learning.service_spread import learn_spread
from sluice.planning.supply import SPREAD, Supply
from tests.support.planner_steps import a_memory, estimates_of
from tests.support.planner_world import NINE, a_fleet


def completed(cv: float, minutes: int, units: int = 5, mean_s: float = 6.0) -> list[int]:
    """Messages completed each minute by units that are always busy; messages take lognormal times."""
    dice, variance = Random(7), log(1.0 + cv * cv)
    counts = [0] * minutes
    for _ in range(units):
        at = 0.0
        while (at := at + dice.lognormvariate(log(mean_s) - variance / 2.0, sqrt(variance))) < 60.0 * minutes:
            counts[int(at // 60.0)] += 1
    return counts


def learned(counts: list[int]) -> float:
    """The spread after minutes in which so many were completed, and as many as on average were expected."""
    expected, spread = sum(counts) / len(counts), None
    for minute, count in enumerate(counts):
        spread = learn_spread(spread, count, (expected, expected), NINE + 60.0 * minute, 60.0)
    assert spread is not None
    return spread.mean


def test_spread_when_service_times_differ():
    """The wider they are the more; of very wide ones less than in all time, since an hour seldom has the longest."""
    even, usual, wide = (learned(completed(cv, 240)) for cv in (0.0, 0.7, 3.0))
    assert even < 0.1
    assert usual == pytest.approx(0.5, abs=0.2)
    assert 2.0 < wide <= 9.0


def test_spread_when_little_is_known():
    """One odd minute shows little: what was believed before counts as three minutes."""
    spread = learn_spread(None, 50.0, (100.0, 100.0), NINE, 60.0)
    assert spread == Estimate((3.0 * SPREAD + 25.0) / 4.0, 4.0, NINE)


@pytest.mark.parametrize(("count", "counted"), [(400.0, 203.0), (0.0, 47.0)])
def test_spread_when_a_minute_is_out_of_all_proportion(count, counted):
    """It counts as twice or half of what was expected: an accident is no spread."""
    assert learn_spread(None, count, (100.0, 100.0), NINE, 60.0) == learn_spread(
        None, counted, (100.0, 100.0), NINE, 60.0
    )


def test_spread_when_units_came_meanwhile():
    """What units that came or left completed is no chance: within what may be expected nothing is off."""
    known = Estimate(2.0, 60.0, NINE)
    assert learn_spread(known, 150.0, (100.0, 160.0), NINE, 60.0) is known
    near = learn_spread(known, 98.0, (95.0, 100.0), NINE, 60.0)
    assert near is not None
    assert near.mean == pytest.approx(2.0 * 60.0 / 61.0)


def after(visible: float, *, steady: bool = True, in_flight: float = 5.0) -> RateMemory:
    """What is known after a minute in which five units should have completed 50 messages, and completed 80."""
    samples = tuple(
        QueueSample(NINE + 10.0 * tick, visible, in_flight, 5.0, steady=steady or tick != 9, arrived=0.0)
        for tick in range(13)
    )
    return learn_service_rate(
        RateMemory(Estimate(1 / 6.0, 100.0, NINE), (100.0, 600.0), learned_until=NINE + 60.0),
        samples,
        Series(60.0, ((NINE + 60.0, 80.0),)),
        a_fleet(),
        NINE + 120.0,
        returned=RedeliveryMemory(),
        poison=0.0,
        is_late=False,
        looked_s=60.0,
    )


def test_spread_when_messages_waited_throughout():
    """A minute shows it only while messages wait for every unit, each takes some, and none drains."""
    learned_there = after(40.0).spread
    assert learned_there is not None
    assert learned_there.mean == pytest.approx((3.0 * SPREAD + 30.0**2 / 50.0) / 4.0)
    assert after(0.0).spread is None
    assert after(40.0, steady=False).spread is None
    assert after(40.0, in_flight=3.0).spread is None


@pytest.mark.parametrize(("learned_mean", "planned"), [(None, SPREAD), (0.1, SPREAD), (6.0, 6.0)])
def test_estimates_when_a_spread_was_learned(learned_mean, planned):
    """Plans count on no less chance than before anything was learned: launches and receiving vary, too."""
    spread = None if learned_mean is None else Estimate(learned_mean, 60.0, NINE)
    assert estimates_of(a_memory(spread=spread), a_fleet(), NINE).spread == planned


def test_supply_when_the_spread_is_wide():
    """Of 60 messages that three units complete on average in a minute, fewer are counted on the wider the spread."""
    counted = [
        Supply(3.0, 1.0, 1.0, 1 / 3.0, 10.0, blind_s=70.0, spread=spread).by_working(60.0) for spread in (0.5, 2, 8)
    ]
    assert counted == sorted(counted, reverse=True)
    assert counted[0] - counted[2] > 20.0
