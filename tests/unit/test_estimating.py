"""learn() and forecast(): what the planner measures, from which evidence, and what it leaves out."""

import random
from dataclasses import replace

import pytest

from sluice.estimating import HISTORY_PERIODS, forecast, lead_time, learn, service_rate
from sluice.model import History, Instance, Lifecycle, Memory, QueueReading, Reading, Series
from tests.planner_world import NINE, a_fleet, a_group, a_queue, clock, seen


def saturated(fleet, per_minute, *, working=2, minutes=6, waiting=50.0, in_flight=None, period_s=60.0, tick_s=10.0):
    """The memory after minutes with a backlog, of which `per_minute` tells what was completed in each."""
    memory, counts, t = Memory(), [], 0.0
    while t <= minutes * period_s + 1.5 * period_s:
        now = NINE + t
        over = int((t - 0.5 * period_s) // period_s)
        counts = [(NINE + i * period_s, float(per_minute(i))) for i in range(max(0, over))]
        queue = QueueReading(
            Reading(waiting, now),
            Reading(float(working if in_flight is None else in_flight), now),
            Reading(0.0, now),
            sent=Series(period_s, tuple(counts)),
            deleted=Series(period_s, tuple(counts)),
        )
        memory = learn(memory, seen(now, queue, a_group(now, working)), fleet, now)
        t += tick_s
    return memory


# ------------------------------------------------------------------------------------------------ service rate


def test_service_rate_when_nothing_was_measured():
    """The hint is believed, and called a hint."""
    believed = service_rate(Memory(), a_fleet(hints={"seconds_per_message": 4, "concurrency": 2}), NINE)
    assert (believed.value, believed.source, believed.age_s) == (0.5, "hint", None)


@pytest.mark.parametrize("hint_s", [0.05, 1, 2, 40])
def test_service_rate_when_the_hint_is_wrong(hint_s):
    """Two instances complete 60 a minute: half a message a second each, whether the hint was too high or too low."""
    fleet = a_fleet(hints={"seconds_per_message": hint_s})
    memory = saturated(fleet, lambda _: 60, minutes=12)
    believed = service_rate(memory, fleet, NINE + 800)
    assert believed.source == "measured"
    assert believed.value == pytest.approx(0.5, rel=0.25)


def test_service_rate_when_periods_are_short():
    """The length of a period is the series' own: two-second periods teach the same."""
    fleet = a_fleet(hints={"seconds_per_message": 1})
    memory = saturated(fleet, lambda _: 40, working=4, minutes=20, period_s=2.0, tick_s=0.5)
    assert service_rate(memory, fleet, NINE + 60).value == pytest.approx(5.0, rel=0.1)


def test_service_rate_when_consumers_complete_nothing():
    """An outage after good minutes says nothing of how fast consumers are."""
    fleet = a_fleet()
    before = service_rate(saturated(fleet, lambda _: 60, minutes=10), fleet, NINE).value
    memory = saturated(fleet, lambda i: 60 if i < 10 else 0, minutes=40)
    assert service_rate(memory, fleet, NINE).value == pytest.approx(before, rel=0.05)


def test_service_rate_when_an_outage_comes_first():
    """Nor does one before anything was measured: the first good minute counts by itself."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda i: 0 if i < 20 else 120, minutes=24)
    assert service_rate(memory, fleet, NINE).value == pytest.approx(1.0, rel=0.1)


def test_service_rate_when_one_minute_is_far_off():
    """A well-founded rate moves by a bounded step for one strange minute."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda i: 3000 if i == 15 else 60, minutes=16)
    assert 0.5 < service_rate(memory, fleet, NINE).value < 0.6


def test_service_rate_when_work_is_slow():
    """Messages that take many periods teach through those in flight: four of 300 s complete 0.8 a minute."""
    fleet = a_fleet(hints={"seconds_per_message": 200})
    memory = saturated(fleet, lambda i: 1 if i % 5 else 0, working=4, minutes=120, in_flight=4)
    assert service_rate(memory, fleet, NINE).value == pytest.approx(1 / 300, rel=0.15)


@pytest.mark.parametrize("fault", ["nothing waits", "draining", "unwatched"])
def test_service_rate_when_a_period_is_not_saturated(fault):
    """Periods without backlog, with units on their way out, or not watched whole, teach nothing of how fast one is."""
    fleet = a_fleet()
    memory = Memory()
    for t in (0, 10, 30, 50, 60, 70, 130, 140):
        now = NINE + t
        if fault == "unwatched" and t < 20:
            continue
        waiting = 0 if fault == "nothing waits" and t == 30 else 50
        queue = replace(a_queue(now, waiting, 2), deleted=Series(60.0, ((NINE, 10.0),) if t > 120 else ()))
        group = a_group(now, 2, draining=1 if fault == "draining" and t == 50 else 0)
        memory = learn(memory, seen(now, queue, group), fleet, now)
    assert memory.service_rate is None


def test_service_rate_when_instances_mostly_idle_and_the_hint_is_far_too_slow():
    """Little's law: 300 a minute with hardly ever one in flight cannot take the hinted 10 s each."""
    fleet = a_fleet(hints={"seconds_per_message": 10})
    memory = saturated(fleet, lambda _: 300, working=50, minutes=10, waiting=0.0, in_flight=0)
    assert service_rate(memory, fleet, NINE).value > 2.0
    slower = saturated(fleet, lambda _: 300, working=50, minutes=10, waiting=0.0, in_flight=50)
    assert service_rate(slower, fleet, NINE).source == "hint"


# ------------------------------------------------------------------------------------------------ lead time


def test_lead_time_when_a_launch_is_seen_from_beginning_to_end():
    """First seen launching to in service, between ticks taken at their middle; the hint gives way."""
    fleet, memory = a_fleet(hints={"lead_time_s": 300}), Memory()
    for launch in range(8):
        for t in range(0, 80, 10):
            now = NINE + 1000 * launch + t
            state = Lifecycle.LAUNCHING if t < 50 else Lifecycle.WORKING
            group = replace(
                a_group(now, 1),
                desired=2,
                instances=(
                    Instance("i-old", Lifecycle.WORKING),
                    *((Instance(f"i-{launch}", state),) if t >= 10 else ()),
                ),
            )
            memory = learn(memory, seen(now, a_queue(now, 5, 1), group), fleet, now)
    measured = lead_time(memory, fleet, now)
    assert measured.source == "measured"
    assert measured.value == pytest.approx(45, abs=10)
    assert memory.launches == ()


def test_lead_time_when_a_launch_fits_between_two_ticks():
    """An instance that was launched and in service between two ticks teaches, too, where its launch time is known."""
    fleet, memory = a_fleet(hints={"lead_time_s": 120}), Memory()
    memory = learn(memory, seen(NINE, a_queue(NINE, 5), a_group(NINE, 0)), fleet, NINE)
    now = NINE + 4
    group = replace(a_group(now), desired=1, instances=(Instance("i-1", Lifecycle.WORKING, launched_at=NINE + 1),))
    memory = learn(memory, seen(now, a_queue(now, 5), group), fleet, now)
    assert memory.lead_time is not None
    assert memory.lead_time.mean < 50


def test_lead_time_when_a_launch_never_comes_up():
    """A launch that disappears teaches nothing and is forgotten."""
    fleet, memory = a_fleet(), Memory()
    for t, launching in ((0, (0.0,)), (10, (10.0,)), (20, ())):
        now = NINE + t
        memory = learn(memory, seen(now, a_queue(now, 5), a_group(now, 0, launching=launching)), fleet, now)
    assert memory.lead_time is None
    assert memory.launches == ()


def test_lead_time_when_a_group_comes_from_zero():
    """From zero, the first message in flight tells how long a unit in service takes to begin: that is added."""
    fleet, memory = a_fleet(), Memory()
    for t in range(0, 130, 10):
        now = NINE + t
        state = Lifecycle.LAUNCHING if t < 60 else Lifecycle.WORKING
        group = replace(a_group(now), desired=1, instances=(Instance("i-1", state, launched_at=NINE),))
        memory = learn(memory, seen(now, a_queue(now, 5, 1 if t >= 90 else 0), group), fleet, now)
    assert memory.first_work is not None
    assert memory.first_work.mean == pytest.approx(30, abs=6)
    assert lead_time(memory, fleet, now).value == pytest.approx(memory.lead_time.mean + memory.first_work.mean)
    assert memory.starting is None


def test_lead_time_when_nothing_waits_for_a_group_from_zero():
    """Without work there is no first message to wait for."""
    fleet, memory = a_fleet(), Memory()
    for t, state in ((0, Lifecycle.LAUNCHING), (10, Lifecycle.WORKING), (20, Lifecycle.WORKING)):
        now = NINE + t
        group = replace(a_group(now), desired=1, instances=(Instance("i-1", state, launched_at=NINE),))
        memory = learn(memory, seen(now, a_queue(now, 0), group), fleet, now)
    assert memory.first_work is None
    assert memory.starting is None


# ------------------------------------------------------------------------------------------------ arrivals


def feed(memory, fleet, counts):
    """Ticks once a minute over a sent series, a minute late, of which each tick sees the last 15 periods.

    Every message is worked on at once, for a second.
    """
    for minute in range(2, len(counts) + 2):
        now = NINE + 60.0 * minute + 1.0
        known = tuple((NINE + 60.0 * i, float(n)) for i, n in enumerate(counts[: minute - 1]))[-15:]
        queue = replace(a_queue(now, 0, counts[min(minute, len(counts)) - 1] / 60), sent=Series(60.0, known))
        memory = learn(memory, seen(now, queue, a_group(now, 20)), fleet, now)
    return memory


def test_history_when_a_day_is_over():
    """A day of periods is kept, without gaps, the newest counts as last told."""
    memory = feed(Memory(), a_fleet(), [i % 7 for i in range(HISTORY_PERIODS + 100)])
    assert len(memory.arrivals.counts) == HISTORY_PERIODS
    assert memory.arrivals.end_at == NINE + 60.0 * (HISTORY_PERIODS + 100)
    assert memory.arrivals.counts[-3:] == tuple(
        float(i % 7) for i in range(HISTORY_PERIODS + 97, HISTORY_PERIODS + 100)
    )


def test_history_when_periods_are_missing_or_revised():
    """SQS leaves out the minutes of a queue that is not used; a count may be told too low at first."""
    fleet, now = a_fleet(), NINE + 600
    first = Series(60.0, ((NINE, 5.0), (NINE + 240, 2.0)))
    later = Series(60.0, ((NINE + 240, 4.0), (NINE + 300, 1.0)))
    memory = learn(Memory(), seen(now, replace(a_queue(now), sent=first), None), fleet, now)
    memory = learn(memory, seen(now + 60, replace(a_queue(now), sent=later), None), fleet, now + 60)
    assert memory.arrivals == History(60.0, NINE, (5.0, 0.0, 0.0, 0.0, 4.0, 1.0))


def test_history_when_the_present_period_is_not_over():
    """A count that still grows is not taken for a whole one."""
    now = NINE + 90
    series = Series(60.0, ((NINE, 5.0), (NINE + 60, 2.0)))
    memory = learn(Memory(), seen(now, replace(a_queue(now), sent=series), None), a_fleet(), now)
    assert memory.arrivals.counts == (5.0,)


def test_history_when_the_length_of_periods_changes():
    """Counts of another length start a new history."""
    now = NINE + 600
    old = Memory(arrivals=History(60.0, NINE - 600, (1.0,) * 10))
    memory = learn(old, seen(now, replace(a_queue(now), sent=Series(2.0, ((NINE, 3.0),))), None), a_fleet(), now)
    assert memory.arrivals == History(2.0, NINE, (3.0,))


def test_forecast_when_arrivals_are_steady():
    """The rate is what comes, and the error is near zero."""
    memory = feed(Memory(), a_fleet(), [120] * 40)
    expected = forecast(memory, NINE + 60 * 41)
    assert expected.rate_per_s == pytest.approx(2.0, rel=0.05)
    assert expected.error_per_s == pytest.approx(0.0, abs=1e-6)
    assert expected.expected(60) == pytest.approx(120, rel=0.05)


def test_forecast_when_arrivals_climb():
    """A ramp is followed: more is expected of the minutes to come than of the last one."""
    memory = feed(Memory(), a_fleet(), [10 * i for i in range(40)])
    expected = forecast(memory, NINE + 60 * 41)
    assert expected.slope_per_s2 == pytest.approx(10 / 60 / 60, rel=0.3)
    assert expected.expected(120) > 2 * 350


def test_forecast_when_it_was_wrong():
    """Its error is what it was off by over the horizon of plans; where that swallows the slope, there is none."""
    rng = random.Random(7)
    calm = feed(Memory(), a_fleet(), [60 + rng.randrange(-3, 4) for _ in range(60)])
    wild = feed(Memory(), a_fleet(), [rng.choice((0, 0, 0, 240)) for _ in range(60)])
    at = NINE + 60 * 61
    assert forecast(wild, at).error_per_s > 10 * forecast(calm, at).error_per_s
    assert forecast(wild, at).slope_per_s2 == 0.0


def test_forecast_when_metrics_are_late_and_ticks_saw_a_burst():
    """What ticks saw since the last metric counts: a burst is in the forecast before CloudWatch knows."""
    fleet = a_fleet()
    memory = feed(Memory(), fleet, [60] * 20)
    before = forecast(memory, NINE + 60 * 21 + 1).rate_per_s
    for t in range(10, 60, 10):
        now = NINE + 60 * 21 + 1 + t
        queue = replace(a_queue(now, 100.0 * t), sent=None)
        memory = learn(memory, seen(now, queue, a_group(now, 1)), fleet, now)
    assert forecast(memory, now).rate_per_s > 5 * before


def test_forecast_when_nothing_came_for_long():
    """Quiet is told in seconds since the last arrival."""
    memory = feed(Memory(), a_fleet(), [60] * 10 + [0] * 10)
    now = NINE + 60 * 22
    assert forecast(memory, now).quiet_s == pytest.approx(600)


def test_forecast_when_nothing_is_known():
    """No history, no forecast."""
    assert forecast(Memory(), NINE).rate_per_s == 0.0
    assert forecast(Memory(), NINE).age_s is None


# ------------------------------------------------------------------------------------------------ ticks


def test_learning_when_a_tick_is_repeated():
    """The same snapshot teaches nothing twice."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda _: 60, minutes=5)
    now = NINE + 400
    queue = a_queue(now, 7, 2, per_minute=(50.0,) * 8, done_per_minute=(55.0,) * 8)
    snapshot = seen(now, queue, a_group(now, 2, launching=(12.0,)))
    once = learn(memory, snapshot, fleet, now)
    assert learn(once, snapshot, fleet, now) == once
    assert once != memory


def test_spending_when_instances_run_over_midnight():
    """Instance-seconds add up by UTC day, launches and drains included."""
    fleet, memory = a_fleet(), Memory()
    midnight = clock("24:00")
    for t in range(-60, 61, 10):
        now = midnight + t
        memory = learn(memory, seen(now, a_queue(now), a_group(now, 2, launching=(1.0,), draining=1)), fleet, now)
        if t == -10:
            assert memory.spent_s == pytest.approx(50 * 4)
    assert (memory.spent_day, memory.spent_s) == (midnight, pytest.approx(60 * 4))


def test_sightings_when_ticks_go_on_for_long():
    """The record stays small: a bounded number of sightings of the last minutes."""
    memory = saturated(a_fleet(), lambda _: 60, minutes=30, tick_s=5.0)
    assert 40 <= len(memory.sightings) <= 64
    assert memory.sightings[-1].at - memory.sightings[0].at <= 420
