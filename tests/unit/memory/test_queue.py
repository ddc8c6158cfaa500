"""SQS in memory, beyond the contract: retention, limits, receipts and what CloudWatch would count."""

from __future__ import annotations

import pytest

from sluice.memory import MemoryQueue, MemorySignals, queue_url
from sluice.memory import queue as memory_queue
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.redriving import Attribute, Message
from sluice.ports.errors import RefusedError, TryLaterError
from tests.support.metrics import metrics_of
from tests.support.still_clock import START_AT, Clock


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> MemoryQueue:
    """A world without queues."""
    return MemoryQueue(clock)


def test_message_is_dropped_when_it_outlives_its_retention(queue: MemoryQueue, clock: Clock) -> None:
    """Without a word, as SQS does, also while it is in flight."""
    url = queue.create(queue_url("q"), retention_s=60)
    queue.put(url, "old")
    clock.now += 30
    queue.put(url, "young")
    queue.receive(url, 1, 600.0)
    clock.now += 30
    assert [message.body for message in queue.messages(url)] == ["young"]
    clock.now += 30
    assert queue.messages(url) == ()


@pytest.mark.parametrize(("suffix", "left"), [("", 0), (".fifo", 1)])
def test_retention_runs_on_in_a_standard_dead_letter_queue_only(
    queue: MemoryQueue, clock: Clock, suffix: str, left: int
) -> None:
    """A standard message keeps its first sending when it is dead-lettered; a FIFO message begins anew."""
    dead = queue.create(queue_url(f"dead{suffix}"), retention_s=100)
    url = queue.create(queue_url(f"q{suffix}"), dead_letter=dead, max_receive_count=1)
    queue.put(url, "poison", message_group="g", deduplication="d")
    queue.receive(url, 1, 0.0)
    clock.now += 60
    assert queue.receive(url, 1, 0.0) == ()
    assert len(queue.messages(dead)) == 1
    clock.now += 40
    assert len(queue.messages(dead)) == left


def test_age_in_a_dead_letter_queue_runs_from_the_move(queue: MemoryQueue, clock: Clock) -> None:
    """So that its expiry is hidden, as on AWS."""
    dead = queue.create(queue_url("dead"))
    url = queue.create(queue_url("q"), dead_letter=dead, max_receive_count=1)
    queue.put(url, "poison")
    queue.receive(url, 1, 0.0)
    clock.now += 60
    queue.receive(url, 1, 0.0)
    clock.now += 5
    assert queue.oldest_age_s(dead, clock.now) == 5.0
    assert queue.messages(dead)[0].first_sent_at == START_AT


def test_dead_lettering_is_not_counted_as_sending(queue: MemoryQueue, clock: Clock) -> None:
    """NumberOfMessagesSent counts what producers sent."""
    dead = queue.create(queue_url("dead"))
    url = queue.create(queue_url("q"), dead_letter=dead, max_receive_count=1)
    queue.put(url, "poison")
    queue.receive(url, 1, 0.0)
    queue.receive(url, 1, 0.0)
    clock.now += 60
    nothing = Series(60.0, ((START_AT, 0.0),))
    assert queue.counts(dead, START_AT, clock.now) == (nothing, nothing, nothing)


def test_message_is_lost_when_its_dead_letter_queue_was_deleted(queue: MemoryQueue) -> None:
    """There is nowhere to put it."""
    dead = queue.create(queue_url("dead"))
    url = queue.create(queue_url("q"), dead_letter=dead, max_receive_count=1)
    queue.put(url, "poison")
    queue.drop(dead)
    queue.receive(url, 1, 0.0)
    assert queue.receive(url, 1, 0.0) == ()
    assert queue.messages(url) == ()


def test_receive_goes_on_when_messages_before_are_dead_lettered(queue: MemoryQueue) -> None:
    """Poison at the head of a queue does not cost a receive."""
    dead = queue.create(queue_url("dead"))
    url = queue.create(queue_url("q"), dead_letter=dead, max_receive_count=1)
    for number in range(3):
        queue.put(url, f"poison {number}")
    queue.receive(url, 3, 0.0)
    queue.put(url, "good")
    assert [message.body for message in queue.receive(url, 10, 30.0)] == ["good"]
    assert len(queue.messages(dead)) == 3


def test_receive_is_for_later_when_too_much_is_in_flight(queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS's limit of messages in flight."""
    monkeypatch.setattr(memory_queue, "MAX_IN_FLIGHT", 2)
    url = queue.create(queue_url("q"))
    for number in range(3):
        queue.put(url, f"{number}")
    queue.receive(url, 2, 30.0)
    with pytest.raises(TryLaterError, match="OverLimit"):
        queue.receive(url, 1, 30.0)


def test_old_receipt_deletes_nothing_when_the_message_was_received_again(queue: MemoryQueue, clock: Clock) -> None:
    """The answer says done all the same: a consumer that lost its message cannot tell."""
    url = queue.create(queue_url("q"))
    queue.put(url, "a")
    (first,) = queue.receive(url, 1, 10.0)
    clock.now += 10
    queue.receive(url, 1, 10.0)
    assert queue.delete(url, [first.receipt]).done == frozenset({0})
    assert len(queue.messages(url)) == 1
    assert not queue.hide(url, first.receipt, 60.0)


def test_expired_receipt_still_deletes_on_a_standard_queue_only(queue: MemoryQueue, clock: Clock) -> None:
    """Nobody received it meanwhile. A FIFO queue refuses, since another may be about to."""
    url = queue.create(queue_url("q"))
    queue.put(url, "a")
    (held,) = queue.receive(url, 1, 10.0)
    fifo = queue.create(queue_url("q.fifo"))
    queue.put(fifo, "a", message_group="g", deduplication="d")
    (locked,) = queue.receive(fifo, 1, 10.0)
    clock.now += 10
    assert queue.delete(url, [held.receipt]).done == frozenset({0})
    assert queue.messages(url) == ()
    assert set(queue.delete(fifo, [locked.receipt]).failed) == {0}
    assert len(queue.messages(fifo)) == 1


def test_duplicate_is_dropped_within_five_minutes_only(queue: MemoryQueue, clock: Clock) -> None:
    """And answers with the id of the first, even when that was deleted."""
    url = queue.create(queue_url("q.fifo"))
    first = queue.put(url, "a", message_group="g", deduplication="d")
    (held,) = queue.receive(url, 1, 30.0)
    queue.delete(url, [held.receipt])
    clock.now += 299
    assert queue.put(url, "a", message_group="g", deduplication="d") == first
    assert queue.messages(url) == ()
    clock.now += 1
    assert queue.put(url, "a", message_group="g", deduplication="d") != first


def test_fifo_group_is_locked_while_one_of_it_is_delayed(queue: MemoryQueue, clock: Clock) -> None:
    """A queue's own delay keeps the order, too."""
    url = queue.create(queue_url("q.fifo"), delay_s=10)
    queue.put(url, "first", message_group="g", deduplication="1")
    clock.now += 5
    queue.put(url, "second", message_group="g", deduplication="2")
    clock.now += 5
    assert queue.receive(url, 10, 30.0) == ()
    clock.now += 5
    assert [message.body for message in queue.receive(url, 10, 30.0)] == ["first", "second"]


@pytest.mark.parametrize(
    ("body", "attributes", "delay_s"),
    [
        ("", {}, None),
        ("x" * 1025, {}, None),
        ("x", {"blob": Attribute("Binary", None, b"x" * 1020)}, None),
        ("x", {f"a{number}": Attribute("String", "v") for number in range(11)}, None),
        ("x", {}, 901.0),
        ("x", {}, -1.0),
    ],
    ids=["empty", "long", "heavy attribute", "eleven attributes", "delayed too long", "delayed into the past"],
)
def test_producer_is_refused_what_sqs_refuses(
    queue: MemoryQueue, body: str, attributes: dict[str, Attribute], delay_s: float | None
) -> None:
    """Limits of size, of attributes and of delay."""
    url = queue.create(queue_url("q"), max_bytes=1024)
    with pytest.raises(RefusedError, match=r"InvalidParameterValue|MissingParameter"):
        queue.put(url, body, attributes=attributes, delay_s=delay_s)
    assert queue.messages(url) == ()


def test_message_counts_body_and_attributes_as_sqs_does() -> None:
    """Bytes of the body, and of every attribute's name, type and value."""
    letter = Message(
        "m", "\u20ac", attributes=(("ab", Attribute("String", "\u20ac")), ("c", Attribute("Binary", None, b"123")))
    )
    assert letter.size_bytes == 3 + (2 + 6 + 3) + (1 + 6 + 3)


def test_producers_delay_is_the_queues_unless_it_says_otherwise(queue: MemoryQueue, clock: Clock) -> None:
    """None is not zero."""
    url = queue.create(queue_url("q"), delay_s=10)
    queue.put(url, "late")
    queue.put(url, "soon", delay_s=0.0)
    assert [message.body for message in queue.receive(url, 10, 30.0)] == ["soon"]
    clock.now += 10
    assert [message.body for message in queue.receive(url, 10, 30.0)] == ["late"]


# --------------------------------------------------------------------------- signals


def test_oldest_age_skips_what_was_received_too_often(queue: MemoryQueue, clock: Clock) -> None:
    """Past three receives a message no longer counts as the oldest."""
    url = queue.create(queue_url("q"))
    queue.put(url, "poison")
    clock.now += 10
    queue.put(url, "good")
    clock.now += 10
    for _ in range(3):
        queue.receive(url, 1, 0.0)
    assert queue.oldest_age_s(url, clock.now) == 20.0
    queue.receive(url, 1, 0.0)
    assert queue.oldest_age_s(url, clock.now) == 10.0


def test_signals_are_late_when_told_so(queue: MemoryQueue, clock: Clock) -> None:
    """What was true a while ago, with the time at which it was; a message gone since counts as it did then."""
    url = queue.create(queue_url("q"))
    signals = MemorySignals(queue, lag_s=90.0)
    queue.put(url, "a")
    clock.now += 60
    assert metrics_of(signals, url, clock.now) == QueueReading()
    (held,) = queue.receive(url, 1, 600.0)
    queue.delete(url, [held.receipt])
    clock.now += 60
    reading = metrics_of(signals, url, clock.now)
    assert reading.oldest_age == Reading(30.0, START_AT + 30)
    assert reading.sent is None
    clock.now += 90
    reading = metrics_of(signals, url, clock.now)
    assert reading.sent == Series(60.0, ((START_AT, 1.0), (START_AT + 60, 0.0)))
    assert reading.received == reading.deleted == Series(60.0, ((START_AT, 0.0), (START_AT + 60, 1.0)))
    assert reading.oldest_age == Reading(0.0, START_AT + 120)


def test_fed_reading_is_answered_until_taken_back(queue: MemoryQueue, clock: Clock) -> None:
    """A test may say what CloudWatch knows."""
    url = queue.create(queue_url("q"))
    signals = MemorySignals(queue)
    fed = QueueReading(oldest_age=Reading(7.0, clock.now))
    signals.feed(url, fed)
    assert metrics_of(signals, url, clock.now) is fed
    signals.feed(url, None)
    assert metrics_of(signals, url, clock.now) == QueueReading()
