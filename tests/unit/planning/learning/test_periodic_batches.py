"""Batches that recur: recognised or not, judged by what came, bounded, and what they are worth launching for."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY
from sluice.model.planning import BatchMemory, ExpectedBatch, History, Memory, QueueSample
from sluice.planning.learning.periodic_batches import (
    EXPECTED_MAX,
    PULSES_MAX,
    TRUSTED_AT_FIRST,
    Times,
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
) -> Memory:
    """The memory after counts of minutes that became known one by one, of which a day is kept."""
    memory = memory or Memory()
    for minute in range(len(counts)):
        first = max(0, minute - DAY)
        history = History(60.0, start_at + 60.0 * first, tuple(counts[first : minute + 1]))
        learned = learn_batches(memory.batches, history, horizon_s, TIMING)
        memory = replace(changed(memory, arrivals=history), batches=learned)
    return memory


def batches(minutes: int, at: Callable[[int], float]) -> list[float]:
    """So many minutes of two messages each, and what comes beside."""
    return [2.0 + at(minute) for minute in range(minutes)]


# ------------------------------------------------------------------------------------------------ recognised

# minutes between batches, minutes watched up to three before the next
RECURRING = [
    (15, 57),
    (30, 117),
    (60, 237),
    (47, 5 * 47 + 44),  # nobody's interval: two repeats more
    (DAY, 3 * DAY + DAY - 3),
]


@pytest.mark.parametrize(("every", "minutes"), RECURRING)
def test_batch_when_it_recurs(every, minutes):
    """After three repeats of a usual interval, or five of any, the next is awaited, at its minute, at its size."""
    counts = batches(minutes, lambda minute: 300.0 if minute % every == 0 else 0.0)
    next_at = MONDAY + 60.0 * -(-minutes // every) * every
    awaited = [each for each in after(counts).batches.expected if each.at == next_at]
    assert [(each.until, set(each.sizes)) for each in awaited] == [(next_at + 60.0, {300.0})]
    before = [each.at for each in after(counts[: len(counts) - every]).batches.expected]
    assert next_at - 60.0 * every not in before or every < 60  # twice are not enough


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
    assert [each.sizes for each in memory.batches.expected] == [(200.0, 300.0, 400.0, 500.0)]


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
    assert memory.batches.arrived_share is None


@pytest.mark.parametrize("seed", range(5))
def test_batches_when_they_come_at_any_time(seed):
    """Of bursts by the dice, one in twenty minutes, few recur by chance; and those are soon doubted."""
    rng = random.Random(seed)
    memory = after(batches(DAY, lambda _: 300.0 if rng.random() < 0.05 else 0.0))
    assert len(memory.batches.pulses) > 40
    if memory.batches.arrived_share is not None:
        awaited = memory.batches.arrived_share.weight - TRUSTED_AT_FIRST
        assert awaited < 0.1 * len(memory.batches.pulses)
        assert awaited < 2 or memory.batches.arrived_share.mean < 0.75


# ------------------------------------------------------------------------------------------------ judged


def test_batches_when_they_stay_away():
    """Each that does not come lowers the share that came; before long they are not awaited, and come back as before."""
    hourly = batches(10 * HOUR, lambda minute: 300.0 if minute % HOUR == 0 else 0.0)
    memory = after(hourly)
    assert memory.batches.arrived_share is not None
    assert memory.batches.arrived_share.mean == 1.0
    gone = after(hourly + [2.0] * 6 * HOUR)
    assert gone.batches.arrived_share is not None
    assert gone.batches.arrived_share.mean < 0.9
    assert gone.batches.expected == ()
    back = after(hourly + [2.0] * 6 * HOUR + hourly)
    assert back.batches.expected == () or {each.sizes[-1] for each in back.batches.expected} == {300.0}
    assert back.batches.arrived_share is not None
    assert back.batches.arrived_share.mean > gone.batches.arrived_share.mean


def test_share_when_less_came_than_ever():
    """Half of the smallest repeat is half a batch; a larger one is no more than one."""
    hourly = batches(5 * HOUR, lambda minute: 300.0 if minute % HOUR == 0 else 0.0)
    half = after([*hourly, 152.0, *[2.0] * 20])
    whole = after([*hourly, 902.0, *[2.0] * 20])
    assert half.batches.arrived_share is not None
    assert whole.batches.arrived_share is not None
    assert whole.batches.arrived_share.mean == 1.0
    assert half.batches.arrived_share.mean == pytest.approx(1.0 - 0.5 / half.batches.arrived_share.weight)


def test_share_when_one_of_two_schedules_ends():
    """Hourly batches that stay away are not expected for long; a daily one beside them is relied on as before."""
    daily_at = 9 * HOUR + 10
    minutes = 5 * DAY

    def at(minute: int) -> float:
        hourly = 300.0 if minute % HOUR == 30 and minute < 3 * DAY + 20 * HOUR else 0.0
        return 500.0 if minute % DAY == daily_at else hourly

    memory = after(batches(minutes + daily_at + 5, at)).batches
    shares = {each.interval_s: round(each.arrived_share.mean, 2) for each in memory.schedules}
    assert shares[86_400.0] == 1.0
    assert shares[3600.0] < 0.5
    assert memory.arrived_share is not None
    assert memory.arrived_share.mean < 0.6


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
    assert (loaded.batches, loaded.unread) == (BatchMemory(), ())


# ------------------------------------------------------------------------------------------------ worth

SIZES = tuple(100.0 * n for n in range(2, 10))  # eight repeats, 200 to 900


def times(wait_s: float, lead_s: float, now: float = MONDAY) -> Times:
    """As a fleet with defaults has them."""
    return Times(now, wait_s, lead_s, wait_s, 10.0, max(60.0 - lead_s, lead_s / 4))


def launched_for(wait_s: float, lead_s: float, message_s: float, sizes=SIZES, regular: float = 1.0) -> float:
    """Of a batch that begins a lead time from now, what is worth launching for."""
    awaited = ExpectedBatch(MONDAY + lead_s, MONDAY + lead_s + 60.0, sizes)
    return worth(awaited, Supply(0.0, 1.0, 0.0, 1.0 / message_s), times(wait_s, lead_s), regular)[0]


# planned wait, lead time, seconds per message -> messages launched for
WORTH = [
    (282, 180, 30.0, 400.0),  # a launch at sight has half the time: twice the units, each for three minutes of boot
    (112.8, 66, 30.0, 200.0),  # a minute of boot each: only what nearly surely comes
    (112.8, 60, 300.0, 0.0),  # a unit each, ready or not: nothing is saved
    (600, 60, 30.0, 0.0),  # time enough: hardly fewer if ready
    (60, 180, 30.0, 500.0),  # a launch at sight is too late: as likely as not
]


@pytest.mark.parametrize(("wait_s", "lead_s", "message_s", "size"), WORTH)
def test_worth_when_launching_ahead_saves_units(wait_s, lead_s, message_s, size):
    """The more a launch ahead saves, the less sure a batch must be; where it saves nothing, none is launched for."""
    assert launched_for(wait_s, lead_s, message_s) == size


def test_worth_when_batches_have_stayed_away():
    """A share that came below what would pay, and nothing is launched for; nor for a size that is zero too often."""
    assert launched_for(282, 180, 30.0, regular=0.9) == 400.0
    assert launched_for(282, 180, 30.0, regular=0.4) == 0.0
    assert launched_for(282, 180, 30.0, sizes=(0.0, 0.0, 0.0, 0.0, 0.0, 300.0, 300.0, 300.0)) == 0.0


def test_worth_when_there_are_few_repeats():
    """Three repeats make the next likely with three quarters at best: enough for three minutes of boot, not for one."""
    assert launched_for(282, 180, 30.0, sizes=(300.0,) * 3) == 300.0
    assert launched_for(112.8, 66, 30.0, sizes=(300.0,) * 3) == 0.0
    assert launched_for(112.8, 66, 30.0, sizes=(300.0,) * 8) == 300.0


def test_units_when_they_are_idle_before_a_batch():
    """What is there has paid for its boot: it is kept for what is less likely, and not too long before."""
    awaited = ExpectedBatch(MONDAY + 60.0, MONDAY + 120.0, SIZES)
    supply = Supply(50.0, 1.0, 0.0, 1.0 / 30.0)
    soon = worth(awaited, supply, times(112.8, 60.0, MONDAY + 30.0), 1.0)
    early = worth(awaited, supply, times(112.8, 60.0, MONDAY - 60.0), 1.0)
    assert soon[1] > soon[0]
    assert early[1] == 0.0


# ------------------------------------------------------------------------------------------------ need


def needed(now: float, working: float = 0.0, *, came: float = 0.0, size: float = 300.0, launched: float = 0.0) -> int:
    """Asked for at `now` by a batch of MONDAY; planned are 282 s, 180 s to launch and 30 s a message."""
    seen = (QueueSample(MONDAY + 5.0, 0.0, 0.0, 0.0, True, came),) if now > MONDAY else ()
    memory = a_memory(batches=(ExpectedBatch(MONDAY, MONDAY + 60.0, (size,) * 8),), samples=seen)
    launches = ((1.0, launched),) if launched else ()
    supply = Supply(working, 1.0, 0.0, 1.0 / 30.0, launches, 190.0)
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
    supply = Supply(0.0, 1.0, 0.0, 1.0 / 30.0, (), 190.0)

    def asked(awaited: tuple[ExpectedBatch, ...]) -> int:
        now = times(282.0, 180.0, MONDAY - 60.0)
        return need_of_batches(BatchMemory(expected=awaited), (), [(282.0, 0.0)], 0.0, supply=supply, times=now)

    one, three = asked(batch[:1]), asked(batch)
    assert one < three < 3 * one
    overlapping = (batch[0], ExpectedBatch(MONDAY, MONDAY + 180.0, (300.0,) * 8), batch[1])
    assert asked(overlapping) >= asked((batch[0], batch[1]))
