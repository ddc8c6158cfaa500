"""Messages that a unit works on at once, and prefetched ones that wait in it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.model.observed import Series
from sluice.model.planning import Estimate, History, Memory, QueueSample, RateMemory, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.launch_cost import received_within_s
from sluice.planning.learning.prefetch import at_once, learn_prefetch, unbegun_s
from tests.support.planner_steps import assess_for, estimates_of, learn_from
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen, watched

FLEET = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})


def minute(index: int, visible: float, in_flight: float, working: float = 4.0) -> tuple[QueueSample, ...]:
    """The samples of one minute, a tick apart, that all saw the same."""
    start_at = NINE + 60.0 * index
    return tuple(
        QueueSample(start_at + 10.0 * tick, visible, in_flight, working, steady=True, arrived=0.0) for tick in range(7)
    )


def learned(
    *minutes: tuple[float, float, float],
    returned: RedeliveryMemory = RedeliveryMemory(),  # noqa: B008 - it is frozen
    estimate: Estimate | None = None,
) -> RateMemory:
    """What is known after minutes of (waiting, in flight, completed) of four units."""
    memory = RateMemory(estimate=estimate)
    for index, (visible, in_flight, done) in enumerate(minutes):
        after = replace(memory, learned_until=NINE + 60.0 * (index + 1))
        series = Series(60.0, ((NINE + 60.0 * index, done),))
        memory = learn_prefetch(
            after, memory.learned_until, minute(index, visible, in_flight), series, returned=returned, places=1
        )
    return memory


# Four units that complete a message each ten seconds: 24 a minute. While none waits, a message is in flight for
# as long as it takes where units work on ten at once, and the less the fewer there are where they work on one.
PREFETCHING = [(0.0, 4.0, 24.0), (50.0, 40.0, 24.0), (0.0, 6.0, 24.0)]
TEN_AT_ONCE = [(0.0, 12.0, 72.0), (500.0, 40.0, 240.0), (0.0, 20.0, 120.0)]


@pytest.mark.parametrize(
    ("minutes", "per_s", "begun", "seconds"),
    [
        (PREFETCHING, 0.1, 1.01, 89.9),
        (TEN_AT_ONCE, 1.0, 10.0, 0.0),
        ([(0.0, 4.0, 24.0), (50.0, 4.0, 24.0)], 0.1, 1.0, 0.0),
        ([(0.0, 0.0, 0.0), (50.0, 40.0, 24.0)], 0.1, 1.0, 90.0),
        ([], 0.1, 1.0, 0.0),
    ],
)
def test_unbegun_when_units_have_several_messages_in_flight(minutes, per_s, begun, seconds):
    """Nine of ten that one unit holds wait for 90 s in it, unless it works on all of them at once."""
    memory = learned(*minutes)
    assert at_once(memory, per_s, 1.0) == pytest.approx(begun, abs=0.01)
    assert unbegun_s(memory, (), per_s, at_once(memory, per_s, 1.0)) == pytest.approx(seconds, abs=0.1)


def test_unbegun_when_units_that_leave_hold_messages_too():
    """Eight messages in flight of four units and four that drain are one each, and none of them waits in a unit."""
    series, after = Series(60.0, ((NINE, 24.0),)), RateMemory(learned_until=NINE + 60.0)
    draining = tuple(replace(sample, steady=False) for sample in minute(0, 50.0, 8.0))
    memory = learn_prefetch(after, NINE, draining, series, returned=RedeliveryMemory(), places=1)
    assert unbegun_s(memory, draining, 0.1, 1.0) == 0.0


@pytest.mark.parametrize(
    ("in_flight", "completed", "each"),
    [
        (200.0, 24.0, 50.0),  # all that is received is completed: units hold so many
        (200.0, 16.0, 0.0),  # a third is never completed, and more is in flight than units receive at once
        (48.0, 16.0, 12.0),  # a unit receives ten at once: some of these it gives back
    ],
)
def test_each_when_consumers_leave_messages_undone(in_flight, completed, each):
    """Fifty messages in flight for each unit are not held by units that back off from every third message."""
    hour = History(60.0, NINE - 3600.0, (24.0,) * 60)
    returned = RedeliveryMemory(received=hour, completed=replace(hour, counts=(completed,) * 60))
    known = Estimate(0.1, 60.0, NINE)
    assert learned((50.0, in_flight, completed), returned=returned, estimate=known).in_flight_each == each


def test_unbegun_when_some_messages_are_held():
    """A message in flight that no unit holds waits in none of them, whatever was learned before."""
    waited = minute(0, 50.0, 40.0)
    assert unbegun_s(RateMemory(in_flight_each=10.0), waited, 0.1, 1.0) == pytest.approx(90.0)
    held = (*waited, replace(waited[-1], at=NINE + 70.0, held=1.0))
    assert unbegun_s(RateMemory(in_flight_each=10.0), held, 0.1, 1.0) == 0.0


def test_at_once_when_a_unit_was_never_seen_full_of_work():
    """A rate that was learned of half-idle units is too low: what full ones complete tells how many they work on."""
    assert at_once(learned(*TEN_AT_ONCE), 0.3, 1.0) == pytest.approx(10.0)


def test_unbegun_when_only_ticks_have_seen_it():
    """Before any metric came, two ticks at which messages waited show what units take; one does not."""
    waited = minute(0, 50.0, 40.0)[:2]
    assert unbegun_s(RateMemory(), waited, 0.1, 1.0) == pytest.approx(90.0)
    assert unbegun_s(RateMemory(), waited[:1], 0.1, 1.0) == 0.0
    gone = (*waited, replace(waited[1], at=NINE + 20.0, visible=0.0))
    assert unbegun_s(RateMemory(), gone, 0.1, 1.0) == pytest.approx(90.0)
    done = (*waited, replace(waited[1], at=NINE + 20.0, visible=0.0, in_flight=4.0))
    assert unbegun_s(RateMemory(), done, 0.1, 1.0) == 0.0


@given(st.floats(0.0, 0.249) | st.floats(0.251, 5.0), st.floats(0.01, 10.0), st.floats(1.0, 20.0))
def test_unbegun_when_counts_are_a_little_off(share, per_s, given_places):
    """Up to a quarter more than units work on is the error of counts, and nobody's wait."""
    memory = RateMemory(in_flight_each=given_places * (1.0 + share))
    assert unbegun_s(memory, (), per_s, given_places) == pytest.approx(
        given_places * share / per_s if share > 0.25 else 0.0
    )


@given(st.floats(0.0, 1000.0), st.floats(0.0, 1000.0))
def test_received_within_when_messages_wait_in_their_unit(wait_s, in_unit_s):
    """A message is received so much sooner than it must begin; the planner sees no sooner than a tick."""
    within_s = received_within_s(wait_s, in_unit_s, Timing())
    assert min(wait_s, Timing().tick_s) <= within_s <= wait_s
    assert within_s == pytest.approx(max(wait_s - in_unit_s, min(wait_s, Timing().tick_s)))


def seen_once() -> Memory:
    """The memory of a fleet that was seen once, with nothing to do."""
    snapshot = seen(NINE - 10.0, a_queue(NINE - 10.0, 0, 0), a_group(NINE - 10.0, 4))
    return learn_from(Memory(), snapshot, FLEET, NINE - 10.0)


TEN_EACH = RateMemory(in_flight_each=10.0)  # a unit takes ten messages, and works on one for ten seconds


def test_at_once_when_messages_waited_in_their_units():
    """A message is in flight for longer where it waits in its unit first: the shortest times tell what work takes."""
    light = [(0.0, 4.0, 24.0), *[(0.0, 16.0, 24.0)] * 5]
    assert at_once(learned((50.0, 40.0, 24.0), *light), 0.1, 1.0) == pytest.approx(1.24, abs=0.01)
    longer = [(0.0, 16.0, 24.0)] * 180  # three hours later
    assert at_once(learned((50.0, 40.0, 24.0), *light, *longer), 0.1, 1.0) == pytest.approx(3.86, abs=0.01)


def test_plan_when_consumers_prefetch():
    """With 90 s in its unit, a message must be received within 23 s of 113: sooner than a launch, so it cannot wait."""
    memory = replace(seen_once(), service_rate=TEN_EACH)
    snapshot = seen(NINE, a_queue(NINE, 0, 10), a_group(NINE, 4))
    tick = assess_for(snapshot, snapshot.group, FLEET, memory, NINE)
    assert estimates_of(memory, FLEET, NINE).unbegun_s == pytest.approx(90.0)
    assert tick.waits.wait_s == pytest.approx(112.8, abs=0.1)
    assert not tick.waits.patient


@pytest.mark.parametrize(
    ("waiting", "in_flight", "unbegun", "need"),
    [
        (20, 8, 0.0, 3),
        (20, 48, 40.0, 7),
        (20, 80, 72.0, 11),
        (20, 400, 72.0, 11),  # units hold no more than ten each: the others are hidden
        (20, 9, 0.0, 3),  # the error of counts
    ],
)
def test_need_when_messages_wait_in_their_units(waiting, in_flight, unbegun, need):
    """What eight units have received and not begun with goes first, and waits like what is in the queue."""
    memory = replace(watched(NINE, (NINE - 10.0, 0)), service_rate=TEN_EACH)
    snapshot = seen(NINE, a_queue(NINE, waiting, in_flight), a_group(NINE, 8))
    tick = assess_for(snapshot, snapshot.group, FLEET, memory, NINE)
    assert tick.unbegun == pytest.approx(unbegun)
    assert tick.need == need


def test_oldest_wait_when_older_messages_wait_in_their_units():
    """The oldest that is told of waits in the queue: what units hold is older, and did come earlier."""
    ticks = [(NINE - 60.0, 0), (NINE - 50.0, 0), *[(NINE - 40.0 + 10.0 * place, 20) for place in range(4)]]
    memory = replace(watched(NINE, *ticks), service_rate=TEN_EACH)
    snapshot = seen(NINE, a_queue(NINE, 20, 80), a_group(NINE, 8))
    alone = seen(NINE, a_queue(NINE, 20, 8), a_group(NINE, 8))
    tick, without = (assess_for(each, each.group, FLEET, memory, NINE) for each in (snapshot, alone))
    assert tick.unbegun > 0.0
    assert tick.required.oldest_s == pytest.approx(without.required.oldest_s)


def test_scale_in_when_units_would_put_messages_back():
    """Ten in each unit's hands wait again where it leaves: all stay that the next ticks can use. It was 4 of 8."""
    queue = a_queue(NINE, 0, 80)
    memory = replace(watched(NINE, (NINE - 10.0, 0)), service_rate=TEN_EACH)
    decision = decide(seen(NINE, queue, a_group(NINE, 8)), FLEET, memory)
    assert decision.want == 8
