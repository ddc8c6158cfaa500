"""learn_from(): what the planner measures of its fleet, from which evidence, and what it leaves out."""

import random
from bisect import bisect_right
from dataclasses import replace

import pytest

from sluice.model.observed import Instance, Lifecycle, QueueReading, Reading, Series
from sluice.model.planning import Estimate, Memory, QueueSample, TimedLaunch
from sluice.planning.learning import learn as learn_module
from sluice.planning.learning.at_work import is_emptied
from tests.support.planner_steps import TIMING, a_memory, changed, lead_of, learn_from, rate_of
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, clock, seen


def measured(memory):
    """The service rate that metrics say, without the counts since."""
    return memory.service_rate.estimate.mean


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
        memory = learn_from(memory, seen(now, queue, a_group(now, working)), fleet, now)
        t += tick_s
    return memory


# ------------------------------------------------------------------------------------------------ service rate


def test_service_rate_when_nothing_was_measured():
    """The hint is believed, and called a hint."""
    believed = rate_of(Memory(), a_fleet(hints={"seconds_per_message": 4, "concurrency": 2}), NINE)
    assert (believed.value, believed.source, believed.age_s) == (0.5, "hint", None)


@pytest.mark.parametrize("hint_s", [0.05, 1, 2, 40])
def test_service_rate_when_the_hint_is_wrong(hint_s):
    """Two instances complete 60 a minute: half a message a second each, whether the hint was too high or too low."""
    fleet = a_fleet(hints={"seconds_per_message": hint_s})
    memory = saturated(fleet, lambda _: 60, minutes=12)
    believed = rate_of(memory, fleet, NINE + 800)
    assert believed.source == "measured"
    assert believed.value == pytest.approx(0.5, rel=0.25)


def test_service_rate_when_periods_are_short():
    """The length of a period is the series' own: two-second periods teach the same."""
    fleet = a_fleet(hints={"seconds_per_message": 1})
    memory = saturated(fleet, lambda _: 40, working=4, minutes=20, period_s=2.0, tick_s=0.5)
    assert rate_of(memory, fleet, NINE + 60).value == pytest.approx(5.0, rel=0.1)


def test_service_rate_when_consumers_complete_nothing():
    """An outage after good minutes says nothing of how fast consumers are."""
    fleet = a_fleet()
    before = rate_of(saturated(fleet, lambda _: 60, minutes=10), fleet, NINE).value
    memory = saturated(fleet, lambda i: 60 if i < 10 else 0, minutes=40)
    assert rate_of(memory, fleet, NINE).value == pytest.approx(before, rel=0.05)


@pytest.mark.parametrize("minutes", [1, 3, 6])
def test_service_rate_when_an_outage_comes_first(minutes):
    """Before anything was measured, silence is taken for slowness: two units idle for m minutes say 120 m s a message.

    With the hint's one message that is 120 m + 1 seconds for one; a minute is learned from when it is whole.
    """
    fleet = a_fleet()
    memory = saturated(fleet, lambda _: 0, minutes=minutes - 1)  # from the minute of number 0 on
    assert 1 / measured(memory) == pytest.approx(120 * minutes + 1)


def test_service_rate_when_an_outage_that_came_first_ends():
    """What an outage of three minutes made believed fades with every good minute: nearly all of it in half an hour."""
    fleet = a_fleet()
    rates = [
        rate_of(saturated(fleet, lambda i: 0 if i < 3 else 120, minutes=m), fleet, NINE).value for m in (2, 10, 20, 33)
    ]
    assert rates == sorted(rates)
    assert rates[0] < 0.01
    assert rates[-1] == pytest.approx(1.0, rel=0.05)


def test_service_rate_when_messages_of_five_minutes_come_unhinted():
    """Nobody said so, and the default is a second: it is told from short ones before ten were completed.

    Ten units complete two a minute from the sixth minute on. Eight minutes are 4800 busy seconds and six messages, with
    the default's half message of half a second; twenty are 12,000 and thirty. The five silent ones fade after sixty.
    """
    fleet = a_fleet(hints={"lead_time_s": 60})

    def believed_s(minutes: int) -> float:
        memory = saturated(fleet, lambda i: 0 if i < 5 else 2, working=10, minutes=minutes, in_flight=10)
        return 1 / measured(memory)

    assert believed_s(7) == pytest.approx(4800.5 / 6.5, rel=0.01)
    assert believed_s(19) == pytest.approx(12000.5 / 30.5, rel=0.01)
    assert believed_s(59) == pytest.approx(300, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_service_rate_when_long_messages_begin_at_once(seed):
    """Minutes of a batch are alike: nothing is completed at first, and then much in each of several.

    500 messages begin within a minute, and take 300 s and 150 s more or less. Their units leave as they are done.
    """
    random_ = random.Random(seed)
    ends = sorted(random_.uniform(0.0, 60.0) + random_.gammavariate(4.0, 75.0) for _ in range(500))
    known = Estimate(1 / 300, 100.0, NINE)
    fleet, memory = a_fleet(hints={}), a_memory(completed=(100.0, 30000.0), rate=known)
    for tick in range(10, 2400, 10):
        now, done = NINE + tick, bisect_right(ends, tick)
        whole = range(max(0, (tick - 90) // 60))
        counts = [bisect_right(ends, 60 * i + 60) - bisect_right(ends, 60 * i) for i in whole]
        series = Series(60.0, tuple((NINE + 60.0 * i, float(counts[i])) for i in whole))
        queue = replace(a_queue(now, 0, 500 - done), deleted=series)
        memory = learn_from(memory, seen(now, queue, a_group(now, 500 - done)), fleet, now)
    assert 1 / measured(memory) == pytest.approx(300.0, rel=0.3), f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "minutes"),
    [
        (120, 12, 3),  # ten times as long
        (12, 120, 3),  # a tenth
        (120, 40, 3),  # three times as long
        (40, 120, 3),
        (120, 54, 30),  # just beyond the step, it is soon within it: what was known fades, as ever
        (120, 80, 30),
    ],
)
def test_service_rate_when_the_mix_of_messages_changes(before, after, minutes):
    """What lasts is believed: three minutes beyond a step of what was expected, on one side, let go of what was known.

    Before that many minutes have gone by it is not, and the rate goes steadily to what is.
    """
    fleet = a_fleet()
    rates = [
        rate_of(saturated(fleet, lambda i: before if i < 30 else after, minutes=29 + m), fleet, NINE).value
        for m in range(minutes + 1)
    ]
    assert rates == sorted(rates, reverse=before > after)
    assert rates[0] == pytest.approx(before / 120, rel=0.15)
    assert rates[minutes] == pytest.approx(after / 120, rel=0.15)
    if minutes == 3:
        assert abs(rates[2] - before / 120) < 0.2 * abs(before - after) / 120


@pytest.mark.parametrize("odd", [0, 6, 30, 240, 3000])
@pytest.mark.parametrize("how_many", [1, 2])
def test_service_rate_when_a_minute_or_two_are_odd(odd, how_many):
    """A minute far off, or two, move a well-founded rate by about a tenth each: a third would have to follow.

    Sixty a minute by two units are expected. A step is thirty less three, or twice as many and three.
    """
    fleet = a_fleet()
    minutes = {15, 16} if how_many == 2 else {15}
    memory = saturated(fleet, lambda i: odd if i in minutes else 60, minutes=17)
    assert rate_of(memory, fleet, NINE).value == pytest.approx(0.5, rel=0.11 * how_many)
    assert memory.service_rate.outlier_run == (0, 0.0, 0.0)


def test_service_rate_when_every_other_minute_is_odd():
    """Traffic that comes and goes by the minute is no change that lasts."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda i: 6 if i >= 20 and i % 3 else 60, minutes=60)
    assert rate_of(memory, fleet, NINE).value > 0.25


@pytest.mark.parametrize("dead", [1, 4, 12])
def test_service_rate_when_consumers_crash_and_come_back(dead):
    """The minutes in which a crash begins and ends are two odd ones, with silence between: they do not make three."""
    fleet = a_fleet()
    counts = [60.0] * 15 + [10.0] + [0.0] * dead + [10.0] + [60.0] * 10
    memory = saturated(fleet, lambda i: counts[i], minutes=len(counts) - 2)
    assert rate_of(memory, fleet, NINE).value == pytest.approx(0.5, rel=0.12)


def test_service_rate_when_a_small_fleet_is_silent():
    """Eight expected a minute and none for five are no change of mix: without a completion nothing is let go."""
    fleet = a_fleet(hints={"seconds_per_message": 7.5})
    memory = saturated(fleet, lambda i: 8 if i < 20 else 0, working=1, minutes=24)
    assert memory.service_rate.outlier_run[0] == 0
    assert 1 / rate_of(memory, fleet, NINE).value < 20


def test_service_rate_when_messages_become_short_and_nothing_waits_any_more():
    """Ten units with ten messages in flight took 10 s each; with one in flight and as many completed, they take one.

    Nothing waits, so no minute is saturated. Those in flight at seven or eight ticks are a sample, and one more is
    allowed for: four times as fast after three minutes. Of messages of 2.5 s ticks ten seconds apart tell no more: they
    may come and go in between. Fewer units will soon have a backlog, which does.
    """
    fleet = a_fleet(hints={"seconds_per_message": 10})
    memory = saturated(fleet, lambda _: 60, working=10, minutes=20, in_flight=10)
    assert 1 / rate_of(memory, fleet, NINE).value == pytest.approx(10, rel=0.05)

    def later(minutes: int, in_flight: float) -> Memory:
        learned, counts, start = memory, [], NINE + 1320.0
        for t in range(0, 60 * minutes + 31, 10):
            now = start + t
            counts = [(start + 60.0 * i, 60.0) for i in range(max(0, int((t - 30) // 60)))]
            queue = QueueReading(
                Reading(0.0, now), Reading(in_flight, now), Reading(0.0, now), deleted=Series(60.0, tuple(counts))
            )
            learned = learn_from(learned, seen(now, queue, a_group(now, 10)), fleet, now)
        return learned

    assert 1 / rate_of(later(2, 1.0), fleet, NINE).value == pytest.approx(10, rel=0.05)
    assert 1 / rate_of(later(3, 1.0), fleet, NINE).value < 3.5
    assert later(6, 1.0).service_rate.estimate == later(3, 1.0).service_rate.estimate
    assert later(6, 10.0).service_rate.estimate == memory.service_rate.estimate, (
        "as many in flight as ever: nothing is faster"
    )


def test_service_rate_when_some_messages_are_poison():
    """Retries take consumers' time without a completion: the rate is what they get done, poison and all."""
    fleet = a_fleet()
    clean = rate_of(saturated(fleet, lambda _: 60, minutes=30), fleet, NINE).value
    poisoned = rate_of(saturated(fleet, lambda _: 45, minutes=30), fleet, NINE).value
    assert clean == pytest.approx(0.5, rel=0.05)
    assert poisoned == pytest.approx(0.375, rel=0.05)


def test_service_rate_when_consumers_crash_in_turn():
    """Minutes in which all crash, now and then, are outages and teach nothing; the good ones between them go on to."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda i: 0 if i % 4 == 3 else 60, minutes=40)
    assert rate_of(memory, fleet, NINE).value == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("hinted", [True, False])
def test_service_rate_when_counts_do_not_move(hinted):
    """Ten units at work for 100 s and no count moves: neither a hint nor the default of a second is believed on.

    Without a hint a message is not believed to take more than twice the time watched and its default second: 201 s.
    """
    fleet = a_fleet(hints={"lead_time_s": 60} | ({"seconds_per_message": 1} if hinted else {}))
    memory = Memory()
    for t in range(0, 101, 10):
        now = NINE + t
        memory = learn_from(memory, seen(now, a_queue(now, 50, 10), a_group(now, 10)), fleet, now)
    believed = rate_of(memory, fleet, now)
    assert believed.source == "counted"
    assert believed.value == pytest.approx(1 / 201) if not hinted else believed.value < 0.01


def test_service_rate_when_counts_move_fast():
    """Counts that fall by fifty a tick of ten units show half a message a second each, and at most the default."""
    fleet = a_fleet(hints={"lead_time_s": 60})
    memory = Memory()
    for t in range(0, 101, 10):
        now = NINE + t
        memory = learn_from(memory, seen(now, a_queue(now, 5000 - 5 * t, 10), a_group(now, 10)), fleet, now)
    assert 0.45 < rate_of(memory, fleet, now).value <= 1.0


def test_service_rate_when_the_hint_is_given_or_not():
    """A hint weighs as one message, the default as half a one: after six by one unit in a minute 7 / 70, 6.5 / 60.5."""
    given = a_fleet(hints={"seconds_per_message": 10})
    default = a_fleet(hints={"lead_time_s": 60})
    points = Series(60.0, ((NINE, 6.0),))
    for fleet, rate in ((given, 7 / 70), (default, 6.5 / 60.5)):
        memory = Memory()
        for t in range(0, 71, 10):
            now = NINE + t
            queue = replace(a_queue(now, 50, 1), deleted=points if t == 70 else None)
            memory = learn_from(memory, seen(now, queue, a_group(now, 1)), fleet, now)
        assert measured(memory) == pytest.approx(rate)


def test_service_rate_when_a_period_is_not_saturated():
    """While next to nothing is known, those in flight tell of a period without backlog; later not of short messages.

    Five samples with two in flight are two units at work for 60 s, ten messages, and the hint's one.
    """
    fleet = a_fleet()

    def after(memory: Memory) -> Memory:
        for t in (0, 10, 30, 50, 60, 70):
            now = NINE + t
            queue = replace(
                a_queue(now, 0 if t == 30 else 4, 2), deleted=Series(60.0, ((NINE, 10.0),) if t == 70 else ())
            )
            memory = learn_from(memory, seen(now, queue, a_group(now, 2)), fleet, now)
        return memory

    assert after(Memory()).service_rate.estimate.mean == pytest.approx((10 + 1) / (120 + 1))
    founded = Estimate(0.7, 50.0, NINE - 60)
    assert after(a_memory(rate=founded, completed=(50.0, 71.0))).service_rate.estimate == founded


def test_service_rate_when_the_first_burst_is_gone_between_two_looks():
    """600 messages of a second, and 80 instances that come within 20 s: most of the work falls between two looks.

    What is in flight at the looks alone is work of 230 s, 2.6 messages a second for each instance: the next burst would
    be met with a third of what it needs.
    """
    fleet = a_fleet(hints={"lead_time_s": 60})
    looks = ((567, 3, 3), (457, 23, 24), (0, 4, 82), (0, 0, 5), (0, 0, 2), (0, 0, 2), (0, 0, 1), (0, 0, 1))
    memory = Memory()
    for place, (visible, in_flight, working) in enumerate(looks):
        now = NINE + 10.0 * place
        done = Series(60.0, ((NINE, 595.0),) if place == len(looks) - 1 else ())
        queue = replace(a_queue(now, visible, in_flight), deleted=done)
        memory = learn_from(memory, seen(now, queue, a_group(now, working)), fleet, now)
    assert measured(memory) == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize(("at_work", "emptied"), [(8, True), (6, True), (5, False)])
def test_units_are_at_work_when_a_backlog_is_gone_at_the_next_look(at_work, emptied):
    """All units but a quarter at most held a message at the first look; idle ones are at work in neither."""
    before = QueueSample(NINE, 40.0, float(at_work), 8.0, True, 0.0)
    after = QueueSample(NINE + 10.0, 0.0, 0.0, 20.0, True, 0.0)
    assert is_emptied(before, after, 1) is emptied
    assert not is_emptied(before, replace(after, visible=1.0), 1)
    assert not is_emptied(replace(before, visible=0.0), after, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("message_s", "per_minute", "hours"), [(20, 0.8, 5), (40, 0.2, 10), (12, 2.0, 3), (25, 4.0, 3)]
)
def test_service_rate_when_messages_are_few(message_s, per_minute, hours, seed):
    """Where each launch serves a message or three, what is done once nothing waits tells of the speed as well.

    Minutes in which messages wait throughout are those in which a unit has just begun: they alone told of three times
    the seconds a message.
    """
    rng = random.Random(seed)
    world = World(lambda _: float(rng.random() < per_minute / 60), 1 / message_s, bounds=(0, 20))
    fleet = a_fleet(hints={"lead_time_s": 60})
    world.live(fleet, hours * 3600)
    assert 1 / rate_of(world.memory, fleet, world.now).value == pytest.approx(message_s, rel=0.2), f"seed {seed}"


def few(working, in_flight, per_minute, message_s=20.0, minutes=8):
    """The rate before and after minutes without a backlog, with so many in flight at each tick."""
    fleet = a_fleet()
    before = a_memory(rate=Estimate(1 / message_s, 50.0, NINE - 60), completed=(50.0, 50.0 * message_s))
    memory = before
    for t in range(0, minutes * 60 + 100, 10):
        now = NINE + t
        done = tuple((NINE + 60.0 * i, per_minute) for i in range(max(0, (t - 30) // 60)))
        queue = replace(a_queue(now, 0, in_flight, per_minute=None), deleted=Series(60.0, done))
        memory = learn_from(memory, seen(now, queue, a_group(now, working)), fleet, now)
    return before.service_rate.estimate, memory.service_rate.estimate


def test_service_rate_when_a_few_units_have_no_backlog():
    """Of two units one is always at work and completes four a minute: fifteen seconds each, not twenty."""
    before, after = few(2, 1.0, 4.0)
    assert 1 / before.mean > 1 / after.mean > 15.0
    assert 1 / few(2, 1.0, 4.0, minutes=60)[1].mean == pytest.approx(15.0, rel=0.05)


@pytest.mark.parametrize(
    ("working", "in_flight", "per_minute", "message_s"),
    [
        (2, 1.0, 0.0, 20.0),  # nobody works on it: who did is gone
        (8, 4.0, 4.0, 20.0),  # of many units one may hold what others could do
        (2, 0.0, 30.0, 2.0),  # ticks do not see them
    ],
)
def test_service_rate_when_those_in_flight_tell_nothing(working, in_flight, per_minute, message_s):
    """It stays as it was."""
    before, after = few(working, in_flight, per_minute, message_s)
    assert after == before


def test_service_rate_when_one_minute_is_far_off():
    """A well-founded rate moves by a bounded step for one strange minute."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda i: 3000 if i == 15 else 60, minutes=16)
    assert 0.5 < rate_of(memory, fleet, NINE).value < 0.6


def test_service_rate_when_ticks_are_in_step_with_short_messages():
    """One a second, done before the next tick looks: that none was ever seen in flight says nothing of its speed."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda _: 60, working=1, minutes=12)
    before, t = memory.service_rate.estimate, 0
    for t in range(0, 700, 10):
        now = NINE + 900 + t
        done = Series(60.0, tuple((NINE + 900 + 60.0 * i, 60.0) for i in range(max(0, (t - 30) // 60))))
        queue = QueueReading(Reading(0.0, now), Reading(0.0, now), Reading(0.0, now), deleted=done)
        memory = learn_from(memory, seen(now, queue, a_group(now, 1)), fleet, now)
    assert memory.service_rate.estimate == before


def test_service_rate_when_work_is_slow():
    """Messages that take many periods teach through those in flight: four of 300 s complete 0.8 a minute."""
    fleet = a_fleet(hints={"seconds_per_message": 200})
    memory = saturated(fleet, lambda i: 1 if i % 5 else 0, working=4, minutes=120, in_flight=4)
    assert rate_of(memory, fleet, NINE).value == pytest.approx(1 / 300, rel=0.15)


@pytest.mark.parametrize("fault", ["draining", "unwatched"])
def test_service_rate_when_a_period_cannot_be_told(fault):
    """Periods with units on their way out, or not watched whole, teach nothing of how fast one is."""
    fleet = a_fleet()
    memory = Memory()
    for t in (0, 10, 30, 50, 60, 70, 130, 140):
        now = NINE + t
        if fault == "unwatched" and t < 20:
            continue
        queue = replace(a_queue(now, 50, 2), deleted=Series(60.0, ((NINE, 10.0),) if t > 120 else ()))
        group = a_group(now, 2, draining=1 if fault == "draining" and t == 50 else 0)
        memory = learn_from(memory, seen(now, queue, group), fleet, now)
    assert memory.service_rate.estimate is None


def test_service_rate_when_instances_mostly_idle_and_the_hint_is_far_too_slow():
    """Little's law: 300 a minute with hardly ever one in flight cannot take the hinted 10 s each."""
    fleet = a_fleet(hints={"seconds_per_message": 10})
    memory = saturated(fleet, lambda _: 300, working=50, minutes=10, waiting=0.0, in_flight=0)
    assert rate_of(memory, fleet, NINE).value > 2.0
    slower = saturated(fleet, lambda _: 300, working=50, minutes=10, waiting=0.0, in_flight=50)
    assert 1 / rate_of(slower, fleet, NINE).value == pytest.approx(10, rel=0.15)  # fifty in flight: the hint is right


# ------------------------------------------------------------------------------------------------ lead time


def test_lead_time_when_a_launch_is_seen_from_beginning_to_end():
    """First seen launching to in service, between ticks taken at their middle; the hint gives way."""
    fleet, memory = a_fleet(hints={"lead_time_s": 300}), Memory()
    for launch in range(8):
        for t in range(0, 80, 10):
            now = NINE + 1000 * launch + t
            state = Lifecycle.LAUNCHING if t < 50 else Lifecycle.IN_SERVICE
            group = replace(
                a_group(now, 1),
                desired=2,
                instances=(
                    Instance("i-old", Lifecycle.IN_SERVICE),
                    *((Instance(f"i-{launch}", state),) if t >= 10 else ()),
                ),
            )
            memory = learn_from(memory, seen(now, a_queue(now, 5, 1), group), fleet, now)
    measured = lead_of(memory, fleet, now)
    assert measured.source == "measured"
    assert measured.value == pytest.approx(45, abs=10)
    assert memory.launches.under_way == ()


def test_lead_time_when_consumers_time_their_own_launches():
    """They know of the first message: believed in place of what the group shows, each launch once."""
    fleet = a_fleet(hints={"lead_time_s": 300})
    seen_by_group = a_memory(to_service=Estimate(50.0, 8.0, NINE), to_first_message=Estimate(5.0, 8.0, NINE))
    timed = tuple(
        TimedLaunch(f"i-{number}", NINE, NINE + 70, NINE + 80 + number, NINE + 100 + number, number)
        for number in (1, 2, 3)
    )
    look = seen(NINE + 110, a_queue(NINE + 110, 5, 1), a_group(NINE + 110, 1))
    memory = learn_from(changed(seen_by_group, timed=timed[:2]), look, fleet, NINE + 110)
    assert lead_of(memory, fleet, NINE + 110).value == pytest.approx(81.5)
    later = changed(memory, timed=timed)
    memory = learn_from(later, look, fleet, NINE + 110)
    measured = lead_of(memory, fleet, NINE + 203)
    assert (measured.value, measured.source, measured.age_s) == (pytest.approx(82.0), "measured", 100.0)
    assert learn_from(memory, look, fleet, NINE + 110) == memory, "the same launches teach nothing twice"
    silent = changed(memory, to_service=Estimate(50.0, 8.0, NINE + 100_000))
    assert lead_of(silent, fleet, NINE + 100_000).value == pytest.approx(55.0), "they no longer report"


def test_lead_time_when_a_launch_fits_between_two_ticks():
    """An instance that was launched and in service between two ticks teaches, too, where its launch time is known."""
    fleet, memory = a_fleet(hints={"lead_time_s": 120}), Memory()
    memory = learn_from(memory, seen(NINE, a_queue(NINE, 5), a_group(NINE, 0)), fleet, NINE)
    now = NINE + 4
    group = replace(a_group(now), desired=1, instances=(Instance("i-1", Lifecycle.IN_SERVICE, launched_at=NINE + 1),))
    memory = learn_from(memory, seen(now, a_queue(now, 5), group), fleet, now)
    assert memory.launches.to_service is not None
    assert memory.launches.to_service.mean < 50


def test_lead_time_when_a_launch_never_comes_up():
    """A launch that disappears teaches nothing and is forgotten."""
    fleet, memory = a_fleet(), Memory()
    for t, launching in ((0, (0.0,)), (10, (10.0,)), (20, ())):
        now = NINE + t
        memory = learn_from(memory, seen(now, a_queue(now, 5), a_group(now, 0, launching=launching)), fleet, now)
    assert memory.launches.to_service is None
    assert memory.launches.under_way == ()


def test_lead_time_when_a_group_comes_from_zero():
    """From zero, the first message in flight tells how long a unit in service takes to begin: that is added."""
    fleet, memory = a_fleet(), Memory()
    for t in range(0, 130, 10):
        now = NINE + t
        state = Lifecycle.LAUNCHING if t < 60 else Lifecycle.IN_SERVICE
        group = replace(a_group(now), desired=1, instances=(Instance("i-1", state, launched_at=NINE),))
        memory = learn_from(memory, seen(now, a_queue(now, 5, 1 if t >= 90 else 0), group), fleet, now)
    assert memory.launches.to_first_message is not None
    assert memory.launches.to_first_message.mean == pytest.approx(30, abs=6)
    assert lead_of(memory, fleet, now).value == pytest.approx(
        memory.launches.to_service.mean + memory.launches.to_first_message.mean
    )
    assert memory.launches.first_unit is None


@pytest.mark.parametrize(("left", "is_learned"), [(5, False), (4, True)])
def test_lead_time_when_the_first_message_comes_long_after_a_unit_that_waits_for_it(left, is_learned):
    """Three messages that nobody could receive made launches take 18 minutes: the next message was none of those.

    A unit that does take so long to begin takes one of those that waited.
    """
    fleet, memory = a_fleet(), Memory()
    for t in range(0, 1010, 10):
        now = NINE + t
        state = Lifecycle.LAUNCHING if t < 60 else Lifecycle.IN_SERVICE
        group = replace(a_group(now), desired=1, instances=(Instance("i-1", state, launched_at=NINE),))
        queue = a_queue(now, 5) if t < 1000 else a_queue(now, left, 1)
        memory = learn_from(memory, seen(now, queue, group), fleet, now)
    assert memory.launches.first_unit is None
    assert (memory.launches.to_first_message is not None) is is_learned


def test_lead_time_when_nothing_waits_for_a_group_from_zero():
    """Without work there is no first message to wait for."""
    fleet, memory = a_fleet(), Memory()
    for t, state in ((0, Lifecycle.LAUNCHING), (10, Lifecycle.IN_SERVICE), (20, Lifecycle.IN_SERVICE)):
        now = NINE + t
        group = replace(a_group(now), desired=1, instances=(Instance("i-1", state, launched_at=NINE),))
        memory = learn_from(memory, seen(now, a_queue(now, 0), group), fleet, now)
    assert memory.launches.to_first_message is None
    assert memory.launches.first_unit is None


@pytest.mark.parametrize(
    ("measured", "minutes"),
    [
        ({}, 2),  # the hint: a minute
        ({"to_service": Estimate(120.0, 8.0, NINE)}, 3),
        ({"to_service": Estimate(120.0, 8.0, NINE, 50.0)}, 4),
        ({"to_service": Estimate(120.0, 8.0, NINE), "to_first_message": Estimate(60.0, 8.0, NINE)}, 4),
        ({"reported": Estimate(240.0, 8.0, NINE)}, 5),
    ],
    ids=("hinted", "seen", "seen-with-deviation", "seen-to-the-first-message", "reported"),
)
def test_forecasts_when_a_launch_takes_longer_than_its_hint(measured, minutes):
    """They are judged over as long as plans look ahead: the target wait and the lead time, however it was measured."""
    fleet = a_fleet(target_wait_s=60, hints={"lead_time_s": 60})
    memory, judged = a_memory(**measured), []
    for told in range(1, 8):
        now = NINE + 60.0 * told
        memory = learn_from(memory, seen(now, a_queue(now, per_minute=(60.0,) * told), None), fleet, now)
        judged.append(bool(memory.arrivals.errors))
    assert judged.index(True) == minutes, "the first forecast is made after the first minute"


@pytest.mark.parametrize("name", ["service_rate", "lead_time", "is_proven"])
def test_learning_when_its_derivations_are_counted(monkeypatch, name):
    """Service rate and lead time are derived once by what was known before a tick, and once by what is known after."""
    fleet, now = a_fleet(), NINE + 400
    memory = saturated(fleet, lambda _: 60, minutes=5)
    derive, derived = getattr(learn_module, name), []
    monkeypatch.setattr(learn_module, name, lambda *given: derived.append(given[0]) or derive(*given))
    learned, believed = learn_module.learn(
        memory, seen(now, a_queue(now, 7, 2), a_group(now, 2)), fleet, timing=TIMING, now=now
    )
    part = "launches" if name == "lead_time" else "service_rate"
    assert derived == [getattr(memory, part), getattr(learned, part)]
    assert believed == learn_module.estimate(learned, fleet, TIMING, now)


# ------------------------------------------------------------------------------------------------ ticks


def test_learning_when_a_tick_is_repeated():
    """The same snapshot teaches nothing twice."""
    fleet = a_fleet()
    memory = saturated(fleet, lambda _: 60, minutes=5)
    now = NINE + 400
    queue = a_queue(now, 7, 2, per_minute=(50.0,) * 8, done_per_minute=(55.0,) * 8)
    snapshot = seen(now, queue, a_group(now, 2, launching=(12.0,)))
    once = learn_from(memory, snapshot, fleet, now)
    assert learn_from(once, snapshot, fleet, now) == once
    assert once != memory


def test_spending_when_instances_run_over_midnight():
    """Instance-seconds add up by UTC day, launches and drains included."""
    fleet, memory = a_fleet(), Memory()
    midnight = clock("24:00")
    for t in range(-60, 61, 10):
        now = midnight + t
        memory = learn_from(memory, seen(now, a_queue(now), a_group(now, 2, launching=(1.0,), draining=1)), fleet, now)
        if t == -10:
            assert memory.spending.spent_s == pytest.approx(50 * 4)
    assert (memory.spending.day_at, memory.spending.spent_s) == (midnight, pytest.approx(60 * 4))


def test_sightings_when_ticks_go_on_for_long():
    """The record stays small: a bounded number of samples of the last minutes."""
    memory = saturated(a_fleet(), lambda _: 60, minutes=30, tick_s=5.0)
    assert 50 <= len(memory.samples) <= 76
    assert memory.samples[-1].at - memory.samples[0].at <= 540
