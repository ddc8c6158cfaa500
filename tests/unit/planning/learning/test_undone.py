"""What consumers leave undone: how much of what they receive, who is at work beside it, and what teaches the rate."""

from dataclasses import replace

import pytest

from sluice.model.observed import QueueReading, Series
from sluice.model.planning import Estimate, History, Measure, QueueSample, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.learning.at_work import learn_held
from sluice.planning.learning.undone import (
    beyond_work,
    hides_work,
    left_undone,
    may_be_faster,
    received_within,
    tried_faster,
)
from tests.support.planner_world import NINE, a_queue

HOURS = 2
START = NINE - HOURS * 3600.0
TIMING = Timing(10.0, 60.0, 60.0)
KNOWN = Estimate(0.1, 20.0, NINE)


def minutes(*counts: float) -> History:
    """Counts of the last minutes up to nine."""
    return History(60.0, NINE - 60.0 * len(counts), counts)


def level(per_minute: float, hours: float = HOURS) -> History:
    """As many in each minute."""
    return minutes(*[per_minute] * round(60 * hours))


def a_sample(in_flight: float, **changes: float) -> QueueSample:
    """A look at nine: four units work, and nothing waits."""
    return replace(QueueSample(NINE, 0.0, in_flight, 4.0, steady=True, arrived=0.0), **changes)


@pytest.mark.parametrize(
    ("received", "completed", "in_flight", "message_s", "undone"),
    [
        (level(10), level(10), 5, 30, (0.0, 0.0)),
        (level(10), level(8), 50, 30, (0.2, 2 / 60)),
        (level(10), level(9), 50, 30, (0.1, 1 / 60)),
        (level(10), level(9.7), 50, 30, (0.03, 0.3 / 60)),
        (level(10, 1), level(9.7, 1), 15, 30, (0.0, 0.0)),  # within an hour so few may be chance
        (level(10, 0.1), level(8, 0.1), 10, 30, (0.0, 0.0)),  # six minutes: the difference may be at work
        (level(10), level(0), 50, 30, (0.0, 0.0)),  # nothing tells how long a message takes
        (level(1), level(0.8), 30, 1200, (0.0, 0.0)),  # of long messages two hours are not enough to tell
    ],
)
def test_share_that_is_left_undone(received, completed, in_flight, message_s, undone):
    """It is what was received and not completed over hours, where that is more than chance and more than is at work."""
    found = left_undone(received, completed, in_flight, message_s, is_known=False)
    assert found == pytest.approx(undone, abs=1e-9)


@pytest.mark.parametrize("place", [0, 55, 119])
def test_share_when_a_burst_is_at_work(place):
    """Sixty messages of two minutes are received at once, and completed within five minutes: none is left undone."""
    received, completed = [4.0] * 120, [4.0] * 125
    received[place] += 60.0
    for later in range(1, 6):
        completed[place + later] += 12.0
    found = left_undone(minutes(*received), minutes(*completed[:120]), 60.0, 120.0, is_known=False)
    assert found == (0.0, 0.0)


def test_share_when_units_hold_many_long_messages_at_once():
    """A hundred messages of five minutes are at work, of which the fleet believes that one takes 30 s."""
    received, completed = [20.0] * 60, [0.0] * 5 + [20.0] * 55
    assert left_undone(minutes(*received), minutes(*completed), 100.0, 30.0, is_known=False) == (0.0, 0.0)


def test_share_when_some_are_known_to_be_held():
    """Then the best guess counts, whether or not it is beyond chance."""
    found = left_undone(level(10), level(9.7), 50.0, 30.0, is_known=True)
    assert found == pytest.approx((0.03, 0.3 / 60))


def test_share_when_metrics_do_not_reach_back_equally_far():
    """The periods that both have are compared."""
    assert left_undone(level(10), level(8, 1), 50.0, 30.0, is_known=False)[0] == pytest.approx(0.2)
    assert left_undone(level(10, 1), level(8), 50.0, 30.0, is_known=False)[0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("sample", "held"),
    [
        (a_sample(50), 46.0),  # eight a minute are completed, each in 30 s: four are at work
        (a_sample(3), 0.0),
        (a_sample(50, visible=5.0, working=6.0), 44.0),  # while messages wait, each unit holds one
        (a_sample(50, at=NINE + 120.0), 50.0 - 4.0),  # four more are left since, of which the count knows
        (a_sample(54, at=NINE + 120.0), 50.0),
    ],
)
def test_messages_that_nobody_works_on(sample, held):
    """They are what is in flight beyond what is at work by Little's law."""
    samples = (a_sample(50), sample) if sample.in_flight >= 50 else (sample,)
    found = beyond_work(samples, level(10), 30.0, (0.2, 2 / 60), 1)
    assert found == pytest.approx(held)


def test_messages_that_nobody_works_on_when_a_count_is_odd():
    """A count that rose since the metrics' end may be of new messages: hardly more than was there is held."""
    found = beyond_work((a_sample(50), a_sample(90)), level(10), 30.0, (0.2, 2 / 60), 1)
    assert found == pytest.approx(46.0 * 1.05)


@pytest.mark.parametrize(("seconds", "messages"), [(30, 2.5), (90, 6.0), (600, 12.0)])
def test_messages_received_within(seconds, messages):
    """Less than a period has its share of the most of three; of what is not known nothing is made up."""
    assert received_within(minutes(3.0, 2.0, 2.0, 5.0), seconds) == messages


def a_queue_with_a_fifth_undone(in_flight: float) -> QueueReading:
    """Ten messages a minute were received for two hours, and eight completed."""
    at = [START + 60.0 * minute for minute in range(60 * HOURS)]
    received, deleted = (Series(60.0, tuple((each, count) for each in at)) for count in (10.0, 8.0))
    return replace(a_queue(NINE, 0, in_flight), received=received, deleted=deleted)


def test_held_messages_when_a_fifth_is_left_undone():
    """At the first look at metrics of two hours 56 of 60 are held, and more with each second until the next come."""
    queue = a_queue_with_a_fifth_undone(60)
    rate = Measure(1 / 30, "measured", 0.0)
    of = {"places": 1, "each": 0.0, "timing": TIMING, "is_founded": True}
    memory = learn_held(RedeliveryMemory(), (a_sample(60),), queue, rate, **of)
    assert (memory.held, memory.left_per_s) == pytest.approx((56.0, 2 / 60))
    assert memory.completed.counts == (8.0,) * 120
    later = (a_sample(60), a_sample(62, at=NINE + 60.0))
    assert learn_held(memory, later, queue, rate, **of).held == pytest.approx(58.0)
    guessed = learn_held(RedeliveryMemory(), (a_sample(60),), queue, Measure(1 / 30, "hint", None), **of)
    assert guessed.left_per_s == 0.0


def test_share_when_units_begin_to_hold_more():
    """Units that launch in the second hour hold forty messages more: none was left undone in the first."""
    completed = [10.0] * 60 + [9.0] * 40 + [10.0] * 20
    assert left_undone(level(10), minutes(*completed), 45.0, 30.0, is_known=False) == (0.0, 0.0)


@pytest.mark.parametrize(("each", "back", "is_held"), [(0.0, 0.0, True), (10.0, 0.0, False), (0.0, 2.0, False)])
def test_held_messages_when_hardly_more_than_batches_are_in_flight(each, back, is_held):
    """A twentieth died in their consumers for hours: one unit's work was believed to be that of 24."""
    at = [START + 60.0 * minute for minute in range(60 * HOURS)]
    received, deleted = (Series(60.0, tuple((each, count) for each in at)) for count in (10.0, 9.5))
    queue = replace(a_queue(NINE, 0, 30), received=received, deleted=deleted)
    memory = RedeliveryMemory(history=minutes(*[back] * 60))
    rate = Measure(1 / 30, "measured", 0.0)
    found = learn_held(memory, (a_sample(30),), queue, rate, places=1, each=each, timing=TIMING, is_founded=True)
    assert (found.held > 0.0) is is_held


def test_no_message_is_held_when_units_give_back_batches_of_ten():
    """Ten for each of four units, and 5 more by chance: what units give back as they leave is not left undone."""
    queue = a_queue_with_a_fifth_undone(45)
    rate = Measure(1 / 30, "measured", 0.0)
    found = learn_held(
        RedeliveryMemory(), (a_sample(45),), queue, rate, places=1, each=10.0, timing=TIMING, is_founded=True
    )
    assert found.held == 0.0


@pytest.mark.parametrize(
    ("received", "is_held"),
    [
        ([40, 40, 40, 100, 100, 100], False),  # twenty units begin to hold ten messages each, as messages wait
        ([70] * 6, True),  # thirty of seventy are left undone each minute
    ],
)
def test_no_message_is_held_when_units_begin_to_prefetch(received, is_held):
    """They receive more than they complete once; consumers that leave messages undone do it in each of six minutes."""
    since = NINE - 60.0 * len(received)

    def minutely(counts: list[int]) -> Series:
        return Series(60.0, tuple((since + 60.0 * minute, float(count)) for minute, count in enumerate(counts)))

    queue = replace(a_queue(NINE, 0, 180), received=minutely(received), deleted=minutely([40] * 6))
    found = learn_held(
        RedeliveryMemory(),
        (a_sample(180, working=20.0),),
        queue,
        Measure(1 / 30, "measured", 0.0),
        places=1,
        each=0.0,
        timing=TIMING,
        is_founded=True,
    )
    assert (found.held > 0.0) is is_held


@pytest.mark.parametrize(("in_flight", "done", "held"), [(4.0, 4.0, 0.0), (34.0, 4.0, 30.0), (4.0, 0.0, 4.0)])
def test_held_messages_when_units_complete_what_is_in_flight(in_flight, done, held):
    """Who completes something holds it. What was held before was held for good, and four busy units seemed idle."""
    at = [NINE - 60.0 * minute for minute in range(30, 0, -1)]
    completed = Series(60.0, tuple((each, done) for each in at))
    queue = replace(a_queue(NINE, 9, in_flight), received=completed, deleted=completed)
    before = RedeliveryMemory(held=30.0, received=History(60.0, NINE - 1800.0, (done,) * 29))
    looks = tuple(a_sample(in_flight, at=NINE - 10.0 * number, held=in_flight) for number in range(6, -1, -1))
    rate = Measure(1.0 / 60.0, "measured", 0.0)
    found = learn_held(before, looks, queue, rate, places=1, each=0.0, timing=TIMING, is_founded=False)
    assert found.held == pytest.approx(held)


@pytest.mark.parametrize(
    ("sample", "estimate", "hidden"),
    [
        (a_sample(4), KNOWN, False),
        (a_sample(5), KNOWN, False),
        (a_sample(6), KNOWN, True),
        (a_sample(6), None, False),  # it is all there is to begin with
        (a_sample(6), Estimate(0.1, 9.5, NINE), False),
        (a_sample(6, steady=False), KNOWN, False),  # units that leave hold messages as well
        (a_sample(4, held=1.0), None, True),
    ],
)
def test_work_when_more_is_in_flight_than_units_hold(sample, estimate, hidden):
    """Nobody can tell then who of the units is at work."""
    undone = RedeliveryMemory(received=level(24), completed=level(22))
    assert hides_work((a_sample(4), sample), estimate, 1, undone) is hidden
    whole = RedeliveryMemory(received=level(24), completed=level(23.5))
    assert hides_work((a_sample(4), sample), estimate, 1, whole) is (sample.held > 0.0)


@pytest.mark.parametrize(
    ("received", "completed", "hidden"),
    [
        (10, 8, True),  # eight a minute are one unit and a third at work, two with chance: more is in flight
        (10, 9.8, False),
        (21, 19, False),  # so many complete what three and more units do
    ],
)
def test_work_when_fewer_units_complete_what_is_completed(received, completed, hidden):
    """Ten units in service could have ten messages in flight, but not where two complete all that is completed."""
    counts = RedeliveryMemory(received=level(received), completed=level(completed))
    assert hides_work((a_sample(4, working=10.0),), KNOWN, 1, counts) is hidden
    few = RedeliveryMemory(received=minutes(8.0, 8.0, 8.0), completed=minutes(8.0, 8.0, 6.0))
    assert not hides_work((a_sample(4, working=10.0),), KNOWN, 1, few)  # two are undone: units are at work on them


@pytest.mark.parametrize(
    ("during", "minute", "count", "may"),
    [
        ((a_sample(9, held=5.0), a_sample(9)), 2, 18.0, True),
        ((a_sample(9, held=5.0), a_sample(9)), 1, 18.0, False),  # nothing came that could have waited
        ((a_sample(9, held=5.0), a_sample(9)), 3, 18.0, False),
        ((a_sample(9, held=5.0), a_sample(9)), -1, 18.0, False),
        ((a_sample(9, held=5.0), a_sample(9)), 2, 17.0, False),  # units had time left
        ((a_sample(9, held=5.0, working=0.0), a_sample(9, working=0.0)), 2, 0.0, False),
        ((a_sample(9, held=5.0), a_sample(9, visible=1.0)), 2, 18.0, False),
        ((a_sample(9),), 2, 18.0, False),
    ],
)
def test_units_when_they_may_be_faster(during, minute, count, may):
    """Messages that waited show what units complete; where none are held, those in flight do."""
    received = minutes(20.0, 0.0, 20.0)
    assert may_be_faster(during, received, received.start_at + 60.0 * minute, count, KNOWN) is may


@pytest.mark.parametrize("known", [10.0, 300.0])
def test_rate_when_units_may_be_faster(known):
    """It is believed to be higher by up to a quarter a minute, the more messages tell it; well known or not."""
    messages, seconds = tried_faster(90.0, Estimate(0.1, known, NINE))
    assert messages / seconds == pytest.approx(0.1 * 100.0 / (10.0 + 90.0 / 1.25))
