"""Batches that recur: recognised or not, judged by what came, bounded, and what they are worth launching for."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY
from sluice.model.planning import BatchMemory, ExpectedBatch, Forecast, History, Memory, QueueSample
from sluice.planning.learning.periodic_batches import (
    EXPECTED_MAX,
    PULSES_MAX,
    Times,
    beside_batches,
    learn_batches,
    need_of_batches,
    worth,
)
from sluice.planning.learning.schedules import REPEATS_MAX
from sluice.planning.supply import Supply
from tests.support.planner_steps import TIMING, a_memory, changed

MONDAY = 1_795_392_000.0  # 2026-11-23 00:00 UTC
HORIZON_S = 180.0  # a target of 120 s and a lead time of 60 s
HOUR, DAY = 60, 1440  # minutes


def after(
    counts: Sequence[float],
    memory: Memory | None = None,
    *,
    start_at: float = MONDAY,
    horizon_s: float = HORIZON_S,
    kept: Sequence[float] = (),
) -> Memory:
    """The memory after counts of minutes that became known one by one, of which a day is kept; `kept` are before."""
    memory = memory or Memory()
    start_at, known = start_at - 60.0 * len(kept), [*kept, *counts]
    for minute in range(len(kept), len(known)):
        first = max(0, minute - DAY)
        history = History(60.0, start_at + 60.0 * first, tuple(known[first : minute + 1]))
        learned = learn_batches(memory.batches, history, horizon_s, TIMING)
        memory = replace(changed(memory, arrivals=history), batches=learned)
    return memory


def batches(minutes: int, at: Callable[[int], float]) -> list[float]:
    """So many minutes of two messages each, and what comes beside."""
    return [2.0 + at(minute) for minute in range(minutes)]


# ------------------------------------------------------------------------------------------------ recognised

# minutes between batches, and after how many of them the next is awaited in a queue that is quiet else
RECURRING = [(15, 3), (30, 2), (60, 2), (DAY, 2), (47, 3)]  # nobody's interval takes one more


@pytest.mark.parametrize(("every", "repeats"), RECURRING)
def test_batch_when_it_recurs(every, repeats):
    """After two repeats of an interval that people choose, or three, the next is awaited at its minute, at its size."""
    at = MONDAY + 60.0 * (repeats * every + 5)
    counts = batches(repeats * every + 2, lambda minute: 300.0 if minute % every == 5 else 0.0)
    awaited = [each for each in after(counts).batches.expected if each.at == at]
    assert [(each.until, set(each.sizes)) for each in awaited] == [(at + 60.0, {300.0})]
    assert awaited[0].chance > 0.5
    before = after(counts[: (repeats - 1) * every + 2]).batches.expected
    assert at - 60.0 * every not in {each.at for each in before}


def test_batch_when_there_are_many_others():
    """Among bursts of one minute in twenty two repeats show nothing: it takes more the more there are."""
    rng = random.Random(1)
    others = [rng.random() < 0.05 for _ in range(DAY)]

    def awaited(repeats: int) -> bool:
        minutes = 480 + 60 * repeats - 2
        at = {480 + 60 * each for each in range(repeats)}
        counts = batches(
            minutes, lambda minute: 300.0 if minute in at or (others[minute] and minute % 60 not in {0, 1, 2}) else 0.0
        )
        return any(each.at == MONDAY + 60.0 * (minutes + 2) for each in after(counts).batches.expected)

    assert [awaited(repeats) for repeats in (2, 6)] == [False, True]


@pytest.mark.parametrize(("horizon_s", "sizes"), [(180.0, {300.0, 3000.0}), (480.0, {3000.0})])
def test_batch_when_others_like_it_come_meanwhile(horizon_s, sizes):
    """What comes oftener than a launch and its wait take is no batch, since its fleet is there; a larger one is."""
    counts = batches(5 * HOUR - 3, lambda minute: 3000.0 if minute % HOUR == 3 else 300.0 if minute % 6 == 0 else 0.0)
    awaited = after(counts, horizon_s=horizon_s).batches.expected
    assert {max(each.sizes) for each in awaited} == sizes


def test_batch_when_sizes_vary():
    """What is known of the next batch are the sizes of the repeats, ascending, above what is usual."""
    sizes = [500.0, 200.0, 400.0, 300.0]
    counts = batches(4 * HOUR - 3, lambda minute: sizes[minute // HOUR] if minute % HOUR == 10 else 0.0)
    memory = after(counts + [2.0] * 10)
    assert [each.sizes for each in memory.batches.expected if each.interval_s == 3600.0] == [
        (200.0, 300.0, 400.0, 500.0)
    ]


def test_batch_when_it_takes_some_minutes():
    """Each minute of a batch is awaited by itself."""
    counts = batches(6 * HOUR - 3, lambda minute: 100.0 if minute % HOUR < 3 else 0.0)
    hour_at = MONDAY + 6 * 3600.0
    assert [(each.at - hour_at, each.until - each.at) for each in after(counts).batches.expected] == [
        (0.0, 60.0),
        (60.0, 60.0),
        (120.0, 60.0),
    ]


def test_batch_when_it_comes_a_little_later_each_time():
    """What does not recur to the minute is awaited over three, from its earliest on."""
    late = [0, 2, 1, 0, 1, 2, 0]
    counts = batches(7 * HOUR - 3, lambda minute: 300.0 if minute % HOUR == 20 + late[minute // HOUR] else 0.0)
    awaited = after(counts + [2.0] * 20).batches.expected
    at = MONDAY + 7 * 3600.0 + 20 * 60.0
    assert [(each.at, each.until, each.sizes) for each in awaited] == [(at, at + 180.0, (300.0,) * 7)]


def test_batch_when_it_stayed_away_once():
    """An absent repeat is known as such, and the rest is awaited all the same."""
    counts = batches(8 * HOUR - 3, lambda minute: 300.0 if minute % HOUR == 0 and minute != 4 * HOUR else 0.0)
    assert [each.sizes for each in after(counts).batches.expected] == [
        (0.0,) + (300.0,) * 6
    ]  # the first minute of all is not known to stand out


# ------------------------------------------------------------------------------------------------ not recognised


def _steady(rng: random.Random, minute: int) -> float:
    return float(rng.randrange(40, 80)) + 0.0 * minute


def _step(rng: random.Random, minute: int) -> float:
    return 20.0 + rng.randrange(5) if minute < 700 else 200.0 + rng.randrange(20)


def _once(rng: random.Random, minute: int) -> float:
    return 500.0 if minute == 300 else float(rng.randrange(5))


def _twice(rng: random.Random, minute: int) -> float:
    return 500.0 if minute in {1300, 1360} else float(rng.randrange(5))


@pytest.mark.parametrize("traffic", [_steady, _step, _once, _twice])
def test_batch_when_nothing_recurs(traffic):
    """Noise, a step and single batches make nobody wait for anything."""
    rng = random.Random(3)
    memory = after([traffic(rng, minute) for minute in range(1400)])
    assert memory.batches.expected == ()


@pytest.mark.parametrize("seed", range(5))
def test_batches_when_they_come_at_any_time(seed):
    """Of bursts by the dice, one in twenty minutes, fewer are awaited by chance than there are, and launched for."""
    rng = random.Random(seed)
    counts = batches(DAY, lambda _: 300.0 if rng.random() < 0.05 else 0.0)
    awaited: dict[float, ExpectedBatch] = {}
    memory = Memory()
    for minute in range(DAY):
        memory = after(counts[minute : minute + 1], memory, start_at=MONDAY + 60.0 * minute, kept=counts[:minute])
        awaited |= {each.at: each for each in memory.batches.expected}
    pulses = len(memory.batches.pulses)
    assert pulses > 40
    likely = [each for each in awaited.values() if launched_for(60, 180, 30.0, each)]
    assert len(likely) < 0.1 * pulses


# ------------------------------------------------------------------------------------------------ ended


def test_batches_when_they_stay_away():
    """Those that stay away make the next less likely, until none is awaited; once they are back, they are again."""
    hourly = batches(10 * HOUR, lambda minute: 300.0 if minute % HOUR == 0 else 0.0)

    def awaited(counts: Sequence[float]) -> list[int]:
        """How many repeats of the next hour's batch came, if it is awaited."""
        next_at = MONDAY + 60.0 * (len(counts) + 3)
        return [sum(size > 0.0 for size in each.sizes) for each in after(counts).batches.expected if each.at == next_at]

    gone = [2.0] * 6 * HOUR
    assert awaited(hourly[:-3]) == [9]
    assert [awaited([*hourly, *gone][: 60 * (10 + hours) - 3]) for hours in (1, 2)] == [[9], [9]]
    assert awaited([*hourly, *gone][:-3]) == []
    assert awaited([*hourly, *gone, *hourly][:-3]) == [10]


@pytest.mark.slow
def test_batches_when_one_of_two_schedules_ends():
    """Hourly batches that stay away are not expected for long; a daily one beside them is relied on as before."""
    daily_at = 9 * HOUR + 10
    minutes = 5 * DAY

    def at(minute: int) -> float:
        hourly = 300.0 if minute % HOUR == 30 and minute < 3 * DAY + 20 * HOUR else 0.0
        return 500.0 if minute % DAY == daily_at else hourly

    memory = after(batches(minutes + daily_at - 2, at)).batches
    assert [(each.interval_s, each.sizes) for each in memory.expected] == [(86_400.0, (500.0,) * 5)]
    assert memory.expected[0].chance > 0.99


def test_counts_when_they_are_told_again():
    """A history without a new settled period teaches nothing."""
    memory = after(batches(5 * HOUR, lambda minute: 300.0 if minute % HOUR == 0 else 0.0))
    assert learn_batches(memory.batches, memory.arrivals.history, HORIZON_S, TIMING) is memory.batches


def test_counts_when_their_length_changes():
    """Counts of another length begin anew: of the old pulses nothing is kept, and nothing is awaited for them."""
    memory = after(batches(5 * HOUR - 3, lambda minute: 300.0 if minute % HOUR == 0 else 0.0))
    assert memory.batches.expected
    history = History(2.0, memory.batches.pulses_until + 3600.0, (1.0,) * 40)
    anew = replace(memory, batches=learn_batches(memory.batches, history, HORIZON_S, TIMING))
    assert (anew.batches.pulses, anew.batches.expected, anew.batches.pulses_since) == ((), (), history.start_at + 2.0)


# ------------------------------------------------------------------------------------------------ bounded, kept


@pytest.mark.slow
def test_memory_when_batches_are_many():
    """Three days of batches every six minutes: what is kept of them is bounded, and so is what is awaited."""
    memory = after(batches(3 * DAY, lambda minute: 300.0 if minute % 6 == 0 else 0.0))
    assert len(memory.batches.pulses) == PULSES_MAX
    assert memory.batches.pulses_since > MONDAY + 86_400
    assert 0 < len(memory.batches.expected) <= EXPECTED_MAX
    assert max(len(each.sizes) for each in memory.batches.expected) <= REPEATS_MAX


def test_memory_when_it_was_kept_before_batches_were_known():
    """A record of before has none of these fields: it loads, and so does one with them."""
    memory = after(batches(6 * HOUR - 3, lambda minute: 300.0 if minute % HOUR == 0 else 0.0))
    assert read_memory(MEMORY.to_text(memory)) == memory
    record = json.loads(MEMORY.to_text(memory))
    del record["batches"]
    loaded = read_memory(json.dumps(record))
    assert loaded.arrivals.history == memory.arrivals.history
    assert (loaded.batches, loaded.from_ledger.unread) == (BatchMemory(), ())


# ------------------------------------------------------------------------------------------------ worth

SIZES = tuple(100.0 * n for n in range(2, 10))  # eight repeats, 200 to 900


def times(wait_s: float, lead_s: float, now: float = MONDAY) -> Times:
    """As a fleet with defaults has them."""
    return Times(now, wait_s, lead_s, wait_s, 10.0, max(60.0 - lead_s, lead_s / 4))


def a_batch(sizes: Sequence[float] = SIZES, chance: float = 1.0, at: float = MONDAY) -> ExpectedBatch:
    """One that is to the minute."""
    return ExpectedBatch(at, at + 60.0, tuple(sizes), chance=chance)


def launched_for(wait_s: float, lead_s: float, message_s: float, batch: ExpectedBatch) -> float:
    """Of a batch that begins a lead time from now, what is worth launching for."""
    begins = replace(batch, at=MONDAY + lead_s, until=MONDAY + lead_s + batch.until - batch.at)
    return worth(begins, Supply(0.0, 1.0, 0.0, 1.0 / message_s, 10.0), times(wait_s, lead_s))[0]


# planned wait, lead time, seconds per message -> messages launched for
WORTH = [
    (282, 180, 30.0, 400.0),  # a launch then has half the time: twice the units, for three minutes of boot each
    (112.8, 66, 30.0, 200.0),  # a minute of boot each: only what nearly surely comes
    (112.8, 60, 300.0, 0.0),  # a unit each, ready or not: nothing is saved
    (600, 60, 30.0, 0.0),  # time enough: hardly fewer if ready
    (60, 180, 30.0, 500.0),  # a launch then is too late: as likely as not
]


@pytest.mark.parametrize(("wait_s", "lead_s", "message_s", "size"), WORTH)
def test_worth_when_launching_ahead_saves_units(wait_s, lead_s, message_s, size):
    """The more a launch ahead saves, the less sure a batch must be; where it saves nothing, none is launched for."""
    assert launched_for(wait_s, lead_s, message_s, a_batch()) == size


def test_worth_when_batches_have_stayed_away():
    """Where chance may have made the repeats less is launched for, or nothing; and so if too many stayed away."""
    assert launched_for(282, 180, 30.0, a_batch(chance=0.9)) == 300.0
    assert launched_for(282, 180, 30.0, a_batch(chance=0.4)) == 0.0
    assert launched_for(282, 180, 30.0, a_batch((0.0, 0.0, 0.0, 0.0, 0.0, 300.0, 300.0, 300.0))) == 0.0


def test_worth_when_there_are_few_repeats():
    """Three repeats make the next likely with three quarters at best: enough for three minutes of boot, not for one."""
    assert launched_for(282, 180, 30.0, a_batch((300.0,) * 3)) == 300.0
    assert launched_for(112.8, 66, 30.0, a_batch((300.0,) * 3)) == 0.0
    assert launched_for(112.8, 66, 30.0, a_batch((300.0,) * 8)) == 300.0


def test_units_when_they_are_idle_before_a_batch():
    """What is there has paid for its boot: it is kept for what is less likely, and not too long before."""
    awaited = a_batch(at=MONDAY + 60.0)
    supply = Supply(50.0, 1.0, 0.0, 1.0 / 30.0, 10.0)
    soon = worth(awaited, supply, times(112.8, 60.0, MONDAY + 30.0))
    early = worth(awaited, supply, times(112.8, 60.0, MONDAY - 60.0))
    assert soon[1] > soon[0]
    assert early[1] == 0.0


# ------------------------------------------------------------------------------------------------ need


def needed(now: float, working: float = 0.0, *, came: float = 0.0, size: float = 300.0, launched: float = 0.0) -> int:
    """Asked for at `now` by a batch of MONDAY; planned are 282 s, 180 s to launch and 30 s a message."""
    seen = (QueueSample(MONDAY + 5.0, 0.0, 0.0, 0.0, True, came),) if now > MONDAY else ()
    memory = a_memory(batches=(ExpectedBatch(MONDAY, MONDAY + 60.0, (size,) * 8),), samples=seen)
    launches = ((1.0, launched),) if launched else ()
    supply = Supply(working, 1.0, 0.0, 1.0 / 30.0, 10.0, launches, 190.0)
    return need_of_batches(
        memory.batches, memory.samples, [(282.0, 0.0)], 0.0, supply=supply, times=times(282.0, 180.0, now)
    )


def test_need_when_a_batch_is_awaited():
    """It asks a lead time and a tick before, no sooner; for units that start 300 in 342 s: 342 / 30 = 11.4 each.

    Those that can only come 80 s after it began have 262 s of these.
    """
    assert needed(MONDAY - 191.0) == 0
    # By chance 11.9 are hardly more than 11.4: 300 / 11.4 = 26.3; and 300 / 8.73 = 34.4.
    assert [needed(MONDAY - 190.0), needed(MONDAY - 180.0), needed(MONDAY - 100.0)] == [27, 27, 35]
    assert needed(MONDAY - 10.0, launched=27.0) == 27
    assert needed(MONDAY + 61.0, 27.0) == 0


def test_need_when_part_of_a_batch_has_come():
    """What came waits, and asks by itself; for the rest units are kept, and none is launched any more."""
    whole = needed(MONDAY + 10.0, 50.0)
    assert 25 < whole < 50
    assert 0 < needed(MONDAY + 10.0, 50.0, came=200.0) < whole
    assert needed(MONDAY + 10.0, 50.0, came=300.0) == 0
    assert needed(MONDAY + 10.0, 20.0) == 20
    assert needed(MONDAY + 10.0) == 0


def test_need_when_batches_follow_one_another():
    """Three minutes of a batch ask for their sum, over the time that all have."""
    batch = tuple(ExpectedBatch(MONDAY + 60.0 * n, MONDAY + 60.0 * (n + 1), (300.0,) * 8) for n in range(3))
    supply = Supply(0.0, 1.0, 0.0, 1.0 / 30.0, 10.0, (), 190.0)

    def asked(awaited: tuple[ExpectedBatch, ...]) -> int:
        now = times(282.0, 180.0, MONDAY - 60.0)
        return need_of_batches(BatchMemory(expected=awaited), (), [(282.0, 0.0)], 0.0, supply=supply, times=now)

    one, three = asked(batch[:1]), asked(batch)
    assert one < three < 3 * one
    overlapping = (batch[0], ExpectedBatch(MONDAY, MONDAY + 180.0, (300.0,) * 8), batch[1])
    assert asked(overlapping) >= asked((batch[0], batch[1]))


# ------------------------------------------------------------------------------------------------ afterwards


def beside(came: float, now: float, level: float = 1.5, lately_per_s: float = 0.0) -> Forecast:
    """A forecast beside a batch of MONDAY of which so many messages came."""
    seen = (QueueSample(MONDAY + 30.0, 0.0, 0.0, 0.0, True, came),)
    memory = BatchMemory(expected=(a_batch((300.0,) * 8),))
    return beside_batches(Forecast(level, 2.0 * level, 0.5), memory, seen, lately_per_s, now)


def test_forecast_when_an_expected_batch_is_over():
    """What it adds to the level does not go on: 300 messages, 90 s ago, of a mean over 150 s: 1.1 a second."""
    forecast = beside(300.0, MONDAY + 120.0)
    assert forecast.rate_per_s == pytest.approx(1.5 - 1.098, abs=0.001)
    assert forecast.ahead_per_s == pytest.approx(2.0 * forecast.rate_per_s)
    assert forecast.error_per_s == pytest.approx(forecast.rate_per_s / 3.0)
    assert forecast.of_batches == pytest.approx(1.0 - forecast.rate_per_s / 1.5)


def test_forecast_when_more_comes_beside_an_expected_batch():
    """What came lately goes on, and what is more than the largest batch that there was."""
    assert beside(300.0, MONDAY + 120.0, lately_per_s=0.7).rate_per_s == 0.7
    assert beside(900.0, MONDAY + 120.0, level=4.0).rate_per_s == pytest.approx(4.0 - 1.098, abs=0.001)


def test_forecast_when_an_expected_batch_is_not_over():
    """It may still come, so that nothing is left out; and of one that stayed away there is nothing to leave out."""
    assert beside(300.0, MONDAY + 59.0) == Forecast(1.5, 3.0, 0.5)
    assert beside(0.0, MONDAY + 120.0) == Forecast(1.5, 3.0, 0.5)
