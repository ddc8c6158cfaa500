"""forecast() and learn_arrivals(): each forecaster on a series made for it, its judging, and what is kept of counts."""

import random
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import pytest

from sluice.model.observed import Series
from sluice.model.planning import Estimate, Forecast, History, Memory, QueueSample
from sluice.planning.learning.forecasting import (
    FORECASTERS,
    HISTORY_PERIODS,
    forecast,
    learn_arrivals,
)
from sluice.planning.learning.significance import FOUNDED, LIKELY
from tests.support.planner_steps import TIMING, a_memory, changed, forecast_of, learn_from
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, seen

MONDAY = 1_795_392_000.0  # 2026-11-23 00:00 UTC
HORIZON_S = 300.0


def feed(memory, fleet, counts):
    """Ticks once a minute over a sent series, a minute late, of which each tick sees the last 15 periods.

    Every message is worked on at once, for a second.
    """
    for minute in range(2, len(counts) + 2):
        now = NINE + 60.0 * minute + 1.0
        known = tuple((NINE + 60.0 * i, float(n)) for i, n in enumerate(counts[: minute - 1]))[-15:]
        queue = replace(a_queue(now, 0, counts[min(minute, len(counts)) - 1] / 60), sent=Series(60.0, known))
        memory = learn_from(memory, seen(now, queue, a_group(now, 20)), fleet, now)
    return memory


def told(counts: Sequence[float], *, start_at: float = MONDAY, memory: Memory | None = None) -> Memory:
    """The memory after counts of minutes that were told one by one, from `start_at` on."""
    memory = memory or Memory()
    for minute in range(len(counts)):
        points = tuple((start_at + 60.0 * i, float(counts[i])) for i in range(max(0, minute - 3), minute + 1))
        end_at = start_at + 60.0 * (minute + 1)
        learned, _ = learn_arrivals(memory.arrivals, Series(60.0, points), HORIZON_S, end_at)
        memory = replace(memory, arrivals=learned)
    return memory


def error(memory: Memory, name: str) -> float:
    """How far a forecaster was off, messages a second."""
    return dict(memory.arrivals.errors)[name].mean ** 2


# ------------------------------------------------------------------------------------------------ counts kept


def test_history_when_a_day_is_over():
    """A day of periods is kept, without gaps, the newest counts as last told."""
    memory = feed(Memory(), a_fleet(), [i % 7 for i in range(HISTORY_PERIODS + 100)])
    assert len(memory.arrivals.history.counts) == HISTORY_PERIODS
    assert memory.arrivals.history.end_at == NINE + 60.0 * (HISTORY_PERIODS + 100)
    assert memory.arrivals.history.counts[-3:] == tuple(
        float(i % 7) for i in range(HISTORY_PERIODS + 97, HISTORY_PERIODS + 100)
    )


def test_history_when_periods_are_missing_or_revised():
    """SQS leaves out the minutes of a queue that is not used; a count may be told too low at first."""
    fleet, now = a_fleet(), NINE + 600
    first = Series(60.0, ((NINE, 5.0), (NINE + 240, 2.0)))
    later = Series(60.0, ((NINE + 240, 4.0), (NINE + 300, 1.0)))
    memory = learn_from(Memory(), seen(now, replace(a_queue(now), sent=first), None), fleet, now)
    memory = learn_from(memory, seen(now + 60, replace(a_queue(now), sent=later), None), fleet, now + 60)
    assert memory.arrivals.history == History(60.0, NINE, (5.0, 0.0, 0.0, 0.0, 4.0, 1.0))


def test_history_when_the_present_period_is_not_over():
    """A count that still grows is not taken for a whole one."""
    now = NINE + 90
    series = Series(60.0, ((NINE, 5.0), (NINE + 60, 2.0)))
    memory = learn_from(Memory(), seen(now, replace(a_queue(now), sent=series), None), a_fleet(), now)
    assert memory.arrivals.history.counts == (5.0,)


def test_history_when_the_length_of_periods_changes():
    """Counts of another length start a new history."""
    now = NINE + 600
    old = a_memory(arrivals=History(60.0, NINE - 600, (1.0,) * 10))
    memory = learn_from(old, seen(now, replace(a_queue(now), sent=Series(2.0, ((NINE, 3.0),))), None), a_fleet(), now)
    assert memory.arrivals.history == History(2.0, NINE, (3.0,))


def test_periods_when_they_are_told_again():
    """What is already known changes nothing: no second judgment, no second expectation."""
    memory = told([60.0] * 30)
    points = tuple((MONDAY + 60.0 * i, 60.0) for i in range(20, 30))
    learned = learn_arrivals(memory.arrivals, Series(60.0, points), HORIZON_S, MONDAY + 1800)
    assert learned == (memory.arrivals, False)


def test_periods_when_only_the_newest_is_revised():
    """A count told anew is corrected in the history, and nothing is judged twice for it."""
    memory = told([60.0] * 30)
    points = ((MONDAY + 60.0 * 29, 66.0),)
    learned, is_new = learn_arrivals(memory.arrivals, Series(60.0, points), HORIZON_S, MONDAY + 1800)
    assert not is_new
    assert learned == replace(memory.arrivals, history=learned.history)
    assert learned.history.counts == (60.0,) * 29 + (66.0,)


def test_periods_when_they_are_settled():
    """A count from before the newest three periods is settled: a late word about it is not taken."""
    memory = told([60.0] * 30)
    points = ((MONDAY + 60.0 * 20, 600.0),)
    learned = learn_arrivals(memory.arrivals, Series(60.0, points), HORIZON_S, MONDAY + 1800)
    assert learned == (memory.arrivals, False)


# ------------------------------------------------------------------------------------------------ level, and quiet


def test_forecast_when_arrivals_are_steady():
    """The rate is what comes, and the error is near zero."""
    memory = feed(Memory(), a_fleet(), [120] * 40)
    expected = forecast_of(memory, NINE + 60 * 41)
    assert expected.rate_per_s == pytest.approx(2.0, rel=0.05)
    assert expected.ahead_per_s == pytest.approx(2.0, rel=0.05)
    assert expected.error_per_s == pytest.approx(0.0, abs=1e-6)
    assert expected.by == "level"


def test_forecast_when_metrics_are_late_and_ticks_saw_a_burst():
    """What ticks saw since the last metric counts: a burst is in the forecast before CloudWatch knows."""
    fleet = a_fleet()
    memory = feed(Memory(), fleet, [60] * 20)
    before = forecast_of(memory, NINE + 60 * 21 + 1).rate_per_s
    for t in range(10, 60, 10):
        now = NINE + 60 * 21 + 1 + t
        queue = replace(a_queue(now, 100.0 * t), sent=None)
        memory = learn_from(memory, seen(now, queue, a_group(now, 1)), fleet, now)
    assert forecast_of(memory, now).rate_per_s > 5 * before


def seen_by_ticks(*minutes: float, usual: float = 20.0) -> Forecast:
    """The forecast after ticks each ten seconds, each minute of which saw so many arrive; an hour's metrics before."""
    counts = tuple(messages / 6.0 for messages in minutes for _ in range(6))
    history = History(60.0, MONDAY, (usual,) * 60)
    ats = [history.end_at + 10.0 * tick for tick in range(len(counts) + 1)]
    samples = tuple(
        QueueSample(at, 0.0, 0.0, 4.0, True, arrived) for at, arrived in zip(ats, (0.0, *counts), strict=True)
    )
    return forecast(history, samples, None, TIMING, ats[-1])


def test_forecast_when_two_minutes_have_more():
    """A step from 20 to 80 a minute is expected to go on once two minutes prove it; one minute may be a burst."""
    burst, step = seen_by_ticks(20.0, 20.0, 80.0), seen_by_ticks(20.0, 80.0, 80.0)
    assert burst.ahead_per_s == burst.rate_per_s < 45.0 / 60.0
    assert step.rate_per_s < 60.0 / 60.0, "the level follows later"
    chance = LIKELY * sqrt(160.0)
    assert step.ahead_per_s == pytest.approx((160.0 - chance) / 120.0, rel=0.01)


def test_forecast_when_two_minutes_have_fewer():
    """A fall is followed as soon, and what the two minutes may have by chance is expected still."""
    fall = seen_by_ticks(80.0, 10.0, 10.0, usual=80.0)
    assert fall.rate_per_s > 45.0 / 60.0
    assert fall.ahead_per_s == pytest.approx((20.0 + LIKELY * sqrt(21.0)) / 120.0, rel=0.01)


@pytest.mark.parametrize("minutes", [(80.0, 20.0), (20.0, 80.0), (25.0, 25.0), (15.0, 15.0), (8.0, 32.0), (80.0,)])
def test_forecast_when_two_minutes_prove_nothing(minutes):
    """A burst that is over or has just come, chance, a minute of each, and what was seen for a minute only."""
    found = seen_by_ticks(*minutes)
    assert found.ahead_per_s == found.rate_per_s


def test_forecast_when_it_is_often_wrong():
    """What the forecast's own error explains proves nothing."""
    samples = tuple(QueueSample(MONDAY + 10.0 * tick, 0.0, 0.0, 4.0, True, 13.0) for tick in range(14))
    history, now = History(60.0, MONDAY - 3600.0, (20.0,) * 60), MONDAY + 130.0
    sure = forecast(history, samples, ("level", 0.0, 0.0), TIMING, now)
    unsure = forecast(history, samples, ("level", 0.0, 0.5), TIMING, now)
    assert sure.ahead_per_s > sure.rate_per_s == unsure.ahead_per_s


def test_forecast_when_nothing_came_for_long():
    """Quiet is told in seconds since the last arrival."""
    memory = feed(Memory(), a_fleet(), [60] * 10 + [0] * 10)
    now = NINE + 60 * 22
    assert forecast_of(memory, now).quiet_s == pytest.approx(600)


def test_forecast_when_nothing_is_known():
    """No history, no forecast."""
    assert forecast_of(Memory(), NINE).rate_per_s == 0.0
    assert forecast_of(Memory(), NINE).age_s is None


def test_forecast_when_it_was_wrong():
    """Its error is what it was off by over the horizon of plans."""
    rng = random.Random(7)
    calm = told([60 + rng.randrange(-3, 4) for _ in range(60)])
    wild = told([rng.choice((0, 0, 0, 240)) for _ in range(60)])
    at = MONDAY + 3600
    assert forecast_of(wild, at).error_per_s > 10 * forecast_of(calm, at).error_per_s


def test_error_when_one_burst_came_hours_ago():
    """Forty times the usual for five minutes: an hour later nobody keeps units for another of it."""
    burst = [20.0] * 60 + [800.0] * 5
    after = [forecast_of(told(burst + [20.0] * more), MONDAY + (65 + more) * 60).error_per_s for more in (10, 60, 120)]
    assert after == [pytest.approx(0.238, rel=0.01), pytest.approx(0.083, rel=0.01), pytest.approx(0.011, rel=0.05)]


# ------------------------------------------------------------------------------------------------ forecasters


def test_trend_when_arrivals_climb():
    """A ramp of 10 a minute each minute: over the five minutes to come, three minutes' climb above the last count."""
    memory = told([10.0 * i for i in range(60)])
    expected = forecast_of(memory, MONDAY + 3600)
    assert expected.by == "trend"
    assert expected.ahead_per_s == pytest.approx((590 + 30) / 60, rel=0.05)
    assert expected.ahead_per_s > expected.rate_per_s
    assert error(memory, "trend") < 0.5 * error(memory, "level")


def by_chance(minutes: int, seed: int) -> list[float]:
    """Minutes that have nothing to do with one another: 100 messages on average, a third of them more or less."""
    rng = random.Random(seed)
    return [float(round(max(0.0, rng.gauss(100, 35)))) for _ in range(minutes)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steady_when_minutes_differ_by_chance(seed):
    """What the last minutes were says nothing of the next: half an hour does, however the level goes."""
    told_of = by_chance(300, seed)
    expected = [forecast_of(told(told_of[:minutes]), MONDAY + 60 * minutes) for minutes in range(240, 300, 5)]
    slower = [each for each in expected if each.by in ("slow", "steady")]
    assert len(slower) > len(expected) / 2, f"seed {seed}"
    rates, ahead = zip(*((each.rate_per_s, each.ahead_per_s) for each in slower), strict=True)
    assert max(ahead) - min(ahead) < 0.7 * (max(rates) - min(rates)), f"seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steady_when_a_crowd_comes(seed):
    """More than chance explains is believed at once: three times as many for three minutes."""
    memory = told([*by_chance(300, seed), 300.0, 300.0, 300.0])
    expected = forecast_of(memory, MONDAY + 60 * 303)
    assert expected.ahead_per_s == expected.rate_per_s > 3.5, f"seed {seed}"


def test_hour_when_a_batch_comes_every_hour():
    """Six hours of a batch in the first five minutes: before the seventh it is foreseen, and after it no more."""
    shape = [300.0] * 5 + [6.0] * 55
    before = told(shape * 6)
    foreseen = forecast_of(before, MONDAY + 6 * 3600)
    assert (foreseen.by, foreseen.rate_per_s) == ("hour", pytest.approx(0.1, rel=0.01))
    assert foreseen.ahead_per_s == pytest.approx(5.0, rel=0.01)
    after = told(shape * 6 + [300.0] * 5)
    assert forecast_of(after, MONDAY + 6 * 3600 + 300).ahead_per_s == pytest.approx(0.1, abs=0.01)


def test_forecaster_when_it_goes_wrong():
    """A ramp makes the trend the best; where arrivals turn to and fro it errs, and the level takes over."""
    ramp = [10.0 * i for i in range(60)]
    memory = told(ramp)
    assert forecast_of(memory, MONDAY + 3600).by == "trend"
    sawtooth = [600.0 if i // 5 % 2 else 100.0 for i in range(180)]
    turned = told(sawtooth, start_at=MONDAY + 3600, memory=memory)
    assert error(turned, "trend") > error(turned, "level")
    assert forecast_of(turned, MONDAY + 4 * 3600).by != "trend"


def test_forecaster_when_it_was_judged_seldom_or_is_hardly_better():
    """Another than the level is used after ten judgments, and only where its error is at most 95% of the level's."""

    def chosen(weight: float, share: float) -> str:
        memory = told([60.0] * 3)
        errors = (("level", Estimate(1.0, 50.0, 0.0)), ("slow", Estimate(sqrt(share), weight, 0.0)))
        memory = changed(memory, errors=errors, forecasts=())
        points = ((MONDAY + 180.0, 60.0),)
        learned, _ = learn_arrivals(memory.arrivals, Series(60.0, points), HORIZON_S, MONDAY + 240)
        assert learned.chosen is not None
        return learned.chosen[0]

    assert chosen(FOUNDED, 0.5) == "slow"
    assert chosen(FOUNDED - 1, 0.5) == "level"
    assert chosen(FOUNDED, 0.94) == "slow"
    assert chosen(FOUNDED, 0.96) == "level"


def test_forecasts_when_their_horizon_has_not_passed():
    """What was said of five minutes is judged when all five are there, by their mean, and not a minute sooner."""
    memory = told([60.0] * 5)
    assert memory.arrivals.errors == ()
    assert len(memory.arrivals.forecasts) == 5
    memory = told([60.0] + [180.0] * 5)  # said after the first minute: 1 a second; then came 3
    assert dict(memory.arrivals.errors)["level"] == Estimate(sqrt(2.0), 1.0, MONDAY + 360, 0.0)
    assert [made_at for made_at, _ in memory.arrivals.forecasts] == [MONDAY + 60.0 * i for i in range(2, 7)]


def test_forecasters_when_little_is_known():
    """The one that needs an hour of history says nothing before it is there."""
    assert [name for name, _ in told([60.0] * 10).arrivals.forecasts[-1][1]] == ["level", "slow", "steady", "trend"]
    assert [name for name, _ in told([60.0] * 61).arrivals.forecasts[-1][1]] == [
        "level",
        "slow",
        "steady",
        "trend",
        "hour",
    ]
    assert set(FORECASTERS) == {"level", "slow", "steady", "trend", "hour"}
