"""A queue's visibility timeout that does not fit the work: what decisions say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from sluice.memory.edges import MemorySignals
from sluice.memory.queue import MemoryQueue
from sluice.model.decisions import Decision, ReasonCode
from sluice.model.observed import QueueReading, Series
from sluice.model.planning import History, Memory, QueueSample, RedeliveryMemory
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.multi_queue import pooled
from sluice.planning.observing import merge
from sluice.planning.visibility import Hidden, InFlight, completed_again, hidden
from tests.support.planner_steps import tick_of
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, seen

URL = "https://sqs.eu-central-1.amazonaws.com/000000000000/orders"
TOLD = (ReasonCode.VISIBILITY_SHORT, ReasonCode.HIDDEN_LONG)
TIMING = Timing()
AGAIN = History(60.0, NINE - 10_800.0, (0.0,) * 180)


@dataclass(slots=True)
class Site:
    """A queue, and instances that work on one message each for as long as it takes. One second a step."""

    takes_s: float
    visibility_s: float = 30.0
    own_s: float | None = None  # a visibility timeout that consumers ask for themselves
    extends: bool = False  # consumers extend the timeout while they work
    fails: Callable[[int], bool] = lambda _: False  # by the number of the receive: it is left to the timeout
    units: int = 6
    reports: bool = True  # whether the queue's reading has its visibility timeout
    now: float = NINE
    memory: Memory = field(default_factory=Memory)
    decisions: list[Decision] = field(default_factory=list)
    received: int = 0
    busy: dict[int, tuple[float, Message | None, float]] = field(default_factory=dict)
    queue: MemoryQueue = field(init=False)
    signals: MemorySignals = field(init=False)

    def __post_init__(self) -> None:
        """Make the queue."""
        self.queue = MemoryQueue(lambda: self.now)
        self.queue.create(URL, visibility_s=self.visibility_s)
        self.signals = MemorySignals(self.queue, 90.0)

    def send(self, count: int) -> None:
        """Put messages into the queue."""
        self.queue.send(URL, [Message(id=f"m{number}", body="{}") for number in range(count)], [0.0] * count)

    def live(self, seconds: float, each_s: float = 0.0) -> None:
        """Go on for so long, with a tick each ten seconds and a message each so many."""
        for _ in range(round(seconds)):
            self.now += 1.0
            if each_s and self.now % each_s == 0.0:
                self.send(1)
            for unit in range(self.units):
                self.work(unit)
            if self.now % 10.0 == 0.0:
                self.tick()

    def work(self, unit: int) -> None:
        """One instance's second."""
        if unit in self.busy:
            until, message, extended_at = self.busy[unit]
            if message is not None and self.extends and self.now - extended_at >= 20.0:
                self.queue.hide(URL, message.receipt or "", self.visibility_s)
                self.busy[unit] = until, message, self.now
            if self.now < until:
                return
            if message is not None:
                self.queue.delete(URL, [message.receipt or ""])
            del self.busy[unit]
        if self.now % 5.0:
            return  # it asks for a message each five seconds
        for message in self.queue.receive(URL, 1, self.own_s or self.visibility_s):
            self.received += 1
            failed = self.fails(self.received)
            self.busy[unit] = self.now + self.takes_s, None if failed else message, self.now

    def tick(self) -> None:
        """What the planner sees and decides."""
        (metrics,) = self.signals.read_all([URL], self.now)
        assert isinstance(metrics, QueueReading)
        live = self.queue.read(URL, self.now)
        reading = merge(live if self.reports else replace(live, visibility_s=None), metrics)
        fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
        snapshot = seen(self.now, reading, a_group(self.now, self.units))
        self.memory, _, decision = tick_of(self.memory, snapshot, fleet, self.now)
        self.decisions.append(decision)

    def told(self) -> dict[ReasonCode, str]:
        """What was said of the timeout, by code: the last sentence."""
        return {
            reason.code: reason.sentence
            for decision in self.decisions
            for reason in decision.reasons
            if reason.code in TOLD
        }


def test_work_that_takes_longer_than_the_visibility_timeout_is_told() -> None:
    """Messages of 45 s on a queue of 30 s are worked on twice: the decision says so, with both times and the cure."""
    site = Site(takes_s=45.0)
    site.live(1500.0, each_s=30.0)
    said = site.told()
    assert set(said) == {ReasonCode.VISIBILITY_SHORT}
    assert "the queue's visibility timeout is 30 s; raise it" in said[ReasonCode.VISIBILITY_SHORT]
    decision = site.decisions[-1]
    [reason] = [each for each in decision.reasons if each.code is ReasonCode.VISIBILITY_SHORT]
    assert reason.before == reason.after == decision.want
    assert reason.sentence[1:] in decision.sentence


def test_six_tasks_that_are_done_two_or_three_times_are_told() -> None:
    """A handful of messages is enough, also where they end in the dead-letter queue."""
    site = Site(takes_s=75.0, units=3)
    dead = site.queue.create(f"{URL}-dead")
    site.queue.create(URL, visibility_s=30.0, dead_letter=dead, max_receive_count=3)
    site.now += 30.0
    site.live(300.0)
    site.send(6)
    site.live(900.0)
    assert ReasonCode.VISIBILITY_SHORT in site.told()


@pytest.mark.parametrize(
    "site",
    [
        Site(takes_s=20.0),  # it fits
        Site(takes_s=45.0, visibility_s=120.0),
        Site(takes_s=45.0, extends=True),
        Site(takes_s=45.0, own_s=120.0),  # each receive asks for more
        Site(takes_s=20.0, fails=lambda number: number % 2 == 0),  # half of the receives fail, and come back
        Site(takes_s=45.0, extends=True, fails=lambda number: number % 3 == 0),
        Site(takes_s=45.0, reports=False),  # a reading without the attribute
    ],
    ids=["fits", "long", "extended", "asked for", "failing", "failing and extended", "unknown"],
)
def test_nothing_is_told_when_no_work_is_done_twice(site: Site) -> None:
    """Failures, consumers that extend the timeout, and a timeout that is not known."""
    site.live(1500.0, each_s=30.0)
    assert site.told() == {}


def test_messages_that_a_consumer_hides_for_hours_are_told_after_an_hour() -> None:
    """Two of its messages were left undone: they are in flight for longer than anything takes."""
    site = Site(takes_s=10.0, own_s=4 * 3600.0, fails=lambda number: number in {38, 39})
    site.live(900.0, each_s=20.0)
    site.live(3400.0)
    assert site.told() == {}
    site.live(900.0)
    said = site.told()
    assert set(said) == {ReasonCode.HIDDEN_LONG}
    assert said[ReasonCode.HIDDEN_LONG].startswith("2 messages have been in flight for more than 60 min, but a message")
    assert "the queue's visibility timeout is 30 s" in said[ReasonCode.HIDDEN_LONG]


# --------------------------------------------------------------------------- by tables


def a_sample(at: float, there: float, in_flight: float = 0.0) -> QueueSample:
    """So many messages, of which some are in flight."""
    return QueueSample(at, there - in_flight, in_flight, 6.0, steady=True, arrived=0.0)


def a_metric(*counts: float) -> Series:
    """The minutes up to nine."""
    return Series(60.0, tuple((NINE - 60.0 * (len(counts) - place), number) for place, number in enumerate(counts)))


@pytest.mark.parametrize(
    ("sent", "deleted", "there", "delayed", "again"),
    [
        ((6.0, 6.0), (6.0, 6.0), (0, 0), 0, 0.0),
        ((6.0, 6.0), (12.0, 12.0), (0, 0), 0, 12.0),
        ((0.0, 0.0), (12.0, 0.0), (12, 0), 0, 0.0),  # a backlog
        ((0.0, 0.0), (12.0, 0.0), (6, 0), 0, 6.0),
        ((6.0, 6.0), (2.0, 0.0), (0, 5), 0, 0.0),  # some were moved or expired
        ((6.0, 6.0), (12.0, 12.0), (0, 0), 4, 0.0),  # what was delayed became visible
        ((), (12.0, 12.0), (0, 0), 0, 0.0),
        ((6.0, 6.0), (), (0, 0), 0, 0.0),
    ],
)
def test_completions_beyond_what_left_the_queue_are_repeats(sent, deleted, there, delayed, again) -> None:
    """Deleted, less what was sent and what left the backlog."""
    samples = [a_sample(NINE - 130.0, there[0]), a_sample(NINE - 115.0, there[0]), a_sample(NINE, there[1])]
    queue = replace(a_queue(NINE, delayed=delayed), sent=a_metric(*sent), deleted=a_metric(*deleted))
    assert completed_again(samples, queue)[0] == again


def test_count_that_falls_beside_a_periods_end_is_no_repeat() -> None:
    """Of the counts around a period's end the one that shows less is taken."""
    samples = [a_sample(NINE - 65.0, 0.0), a_sample(NINE - 55.0, 50.0), a_sample(NINE - 5.0, 30.0), a_sample(NINE, 0.0)]
    queue = replace(a_queue(NINE), sent=a_metric(0.0), deleted=a_metric(50.0))
    assert completed_again(samples, queue) == (0.0, 50.0)
    assert completed_again([], queue) == (0.0, 0.0)
    assert completed_again(samples[2:], queue) == (0.0, 0.0)  # no whole period was seen


FIVE = (a_sample(NINE + 30.0, 5.0, 5.0), a_sample(NINE + 60.0, 8.0, 7.0))


@pytest.mark.parametrize(
    ("received", "samples", "mean_s", "visibility_s", "found"),
    [
        (AGAIN, FIVE, 10.0, 30.0, Hidden(5.0, 3600.0)),  # any number may have been received since
        (AGAIN, FIVE, 2400.0, 30.0, Hidden(5.0, pytest.approx(7725.0, rel=1e-3))),
        (AGAIN, FIVE, 10.0, 7200.0, Hidden(5.0, 7200.0)),
        (AGAIN, FIVE, 10.0, 43_200.0, None),  # the queue's own timeout is hours
        (AGAIN, FIVE, 4000.0, 30.0, None),  # the work is hours
        (AGAIN, (), 10.0, 30.0, None),
        (AGAIN, (a_sample(NINE + 60.0, 0.0),), 10.0, 30.0, None),
        (AGAIN, FIVE, 10.0, None, None),
        (AGAIN, FIVE, None, 30.0, None),  # nothing was learned
        (AGAIN, (a_sample(NINE + 3600.0, 5.0, 5.0),), 10.0, 30.0, None),  # the metrics are old
        (History(60.0, NINE - 1800.0, (0.0,) * 30), FIVE, 10.0, 30.0, None),  # half an hour is known
        (replace(AGAIN, counts=(0.0,) * 170 + (5.0,) * 10), FIVE, 10.0, 30.0, None),  # received lately
        (History(), FIVE, 10.0, 30.0, None),
    ],
)
def test_messages_are_hidden_when_none_was_received_for_as_long_as_any_takes(
    received, samples, mean_s, visibility_s, found
) -> None:
    """An hour, three times the mean or the queue's own timeout, whichever is longest."""
    memory = Memory(redeliveries=RedeliveryMemory(received=received), samples=samples)
    flight = None if mean_s is None else InFlight(mean_s, mean_s)
    assert hidden(memory, flight, visibility_s, TIMING) == found


@pytest.mark.parametrize(("timeouts", "all_s"), [((30.0, 90.0), 90.0), ((30.0, None), None)])
def test_longest_timeout_of_several_queues_counts(timeouts, all_s) -> None:
    """It is not known which queue a message is of; one timeout that is not known leaves it open."""
    fleet = a_fleet(queue=None, queues=[{"queue": URL}, {"queue": f"{URL}-mails"}])
    readings = [replace(a_queue(NINE), visibility_s=timeout) for timeout in timeouts]
    assert pooled(fleet.sources, readings).visibility_s == all_s
