"""The Queue port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from sluice.aws.queue_messages import SYSTEM_ATTRIBUTES, entry_of, message_of
from sluice.model.observed import QueueReading
from sluice.model.redriving import Attribute, Message
from sluice.ports.errors import NeedsFixError, RefusedError
from sluice.ports.ledger.send_claims import BATCH_CLAIM_MAX
from sluice.ports.stack import Ports
from tests.integration.contract_worlds import EMULATOR, EVERYWHERE, MEMORY, World, open_world


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    yield from open_world(request)


def letter(name: str, body: str = "an order", **more: object) -> Message:
    """A message to send."""
    return Message(id=name, body=body, **more)  # type: ignore[arg-type]


def sent(ports: Ports, url: str, *messages: Message, delay_s: float = 0.0) -> None:
    """Send messages, all of which must be taken."""
    answer = ports.queue.send(url, messages, [delay_s] * len(messages))
    assert answer.done == frozenset(range(len(messages))), answer.failed


def counts(reading: QueueReading) -> tuple[float | None, float | None, float | None]:
    """Visible, in flight, delayed."""
    figures = (reading.visible, reading.in_flight, reading.delayed)
    visible, in_flight, delayed = (figure.value if figure else None for figure in figures)
    return visible, in_flight, delayed


WHOLE = (
    ("binary", Attribute("Binary", None, b"\x00\xff\x10")),
    ("binary-png", Attribute("Binary.png", None, b"\x89PNG")),
    ("count", Attribute("Number", "12.50")),
    ("sluice.cause", Attribute("String", "card declined: \u20ac 12")),
    ("text-custom", Attribute("String.uuid", "5c1d")),
)


def test_every_call_names_the_queue_when_there_is_none(world: World) -> None:
    """A missing queue is for an operator to fix, and is named."""
    url = world.make_queue()
    missing = url + "-missing"
    queue = world.ports.queue
    calls = (
        lambda: queue.read(missing, world.now()),
        lambda: queue.facts(missing),
        lambda: queue.receive(missing, 1, 30.0),
        lambda: queue.send(missing, [letter("a")], [0.0]),
        lambda: queue.delete(missing, ["receipt"]),
        lambda: queue.hide(missing, "receipt", 1.0),
    )
    for call in calls:
        with pytest.raises(NeedsFixError, match="does not exist"):
            call()


def test_queues_read_at_once_are_answered_in_their_order(world: World) -> None:
    """Each with its counts or what is in the way of it: one that is missing does not hide the others."""
    one, other = world.make_queue(), world.make_queue()
    sent(world.ports, other, letter("a"), letter("b"))
    first, missing, last = world.ports.queue.read_all([one, one + "-missing", other], world.now())
    assert isinstance(first, QueueReading)
    assert isinstance(last, QueueReading)
    assert (counts(first), counts(last)) == ((0, 0, 0), (2, 0, 0))
    assert isinstance(missing, NeedsFixError)


def test_reading_tells_for_how_long_the_queue_keeps_and_hides_messages(world: World) -> None:
    """Both come with the counts, by the same call."""
    url = world.make_queue(visibility_s=45)
    reading = world.ports.queue.read(url, world.now())
    assert (reading.retention_s, reading.visibility_s) == (345_600.0, 45.0)


def test_facts_tell_what_the_queue_is(world: World) -> None:
    """ARN, kind, limits and the dead-letter queue are read from the queue itself."""
    dead = world.make_queue(fifo=True)
    url = world.make_queue(fifo=True, visibility_s=45, max_bytes=2048, dead_letter=dead)
    facts = world.ports.queue.facts(url)
    assert facts.url == url
    assert facts.arn.endswith(url.rpartition("/")[2])
    assert (facts.fifo, facts.visibility_s, facts.max_bytes) == (True, 45.0, 2048)
    assert facts.retention_s == 345_600.0
    assert facts.dead_letter_arn == world.ports.queue.facts(dead).arn
    assert facts.max_receive_count is not None
    assert facts.max_receive_count >= 1
    assert world.ports.queue.facts(dead).dead_letter_arn is None
    assert world.ports.queue.facts(dead).max_receive_count is None
    assert not world.ports.queue.facts(world.make_queue()).fifo


def test_messages_arrive_whole_when_sent(world: World) -> None:
    """Body and attributes of every type come back as they were, under a new id."""
    url = world.make_queue()
    sent(world.ports, url, letter("ours", "caf\u00e9 \U0001f600\n{}", attributes=WHOLE))
    (received,) = world.ports.queue.receive(url, 10, 30.0)
    assert received.body == "caf\u00e9 \U0001f600\n{}"
    assert received.attributes == WHOLE
    assert received.attribute("sluice.cause") == "card declined: \u20ac 12"
    assert received.id != "ours"
    assert received.receive_count == 1
    assert received.source is None
    assert received.first_sent_at == pytest.approx(world.now(), abs=5.0)


def test_read_counts_visible_in_flight_and_delayed(world: World) -> None:
    """The three counts tell waiting, received and not yet visible messages apart."""
    url = world.make_queue()
    assert counts(world.ports.queue.read(url, world.now())) == (0, 0, 0)
    sent(world.ports, url, letter("a"), letter("b"), letter("c"))
    sent(world.ports, url, letter("d"), delay_s=60.0)
    world.ports.queue.receive(url, 1, 30.0)
    reading = world.ports.queue.read(url, now=world.now())
    assert counts(reading) == (2, 1, 1)
    assert reading.visible is not None
    assert reading.visible.age_s(world.now()) < 5.0


def test_message_comes_back_when_its_visibility_ends(world: World) -> None:
    """A received message is hidden for as long as asked, then received again and counted so."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (first,) = world.ports.queue.receive(url, 10, 1.0)
    assert world.ports.queue.receive(url, 10, 1.0) == ()
    world.pass_time(1.0)
    (again,) = world.ports.queue.receive(url, 10, 30.0)
    assert (again.id, again.receive_count) == (first.id, 2)
    assert again.receipt != first.receipt


def test_message_comes_back_at_once_when_hidden_for_no_time(world: World) -> None:
    """Visibility 0 returns a message, as a draining consumer does."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (first,) = world.ports.queue.receive(url, 10, 600.0)
    assert world.ports.queue.hide(url, first.receipt, 0.0)
    world.pass_time(0.0)
    assert len(world.ports.queue.receive(url, 10, 600.0)) == 1


def test_message_stays_hidden_when_its_visibility_is_extended(world: World) -> None:
    """A heartbeat keeps a message from being received by another."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (held,) = world.ports.queue.receive(url, 10, 1.0)
    assert world.ports.queue.hide(url, held.receipt, 60.0)
    world.pass_time(1.0)
    assert world.ports.queue.receive(url, 10, 1.0) == ()


def test_hide_says_no_when_the_message_is_gone(world: World) -> None:
    """A receipt of a deleted message is no longer good, which is no error."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (held,) = world.ports.queue.receive(url, 10, 30.0)
    world.ports.queue.delete(url, [held.receipt])
    assert not world.ports.queue.hide(url, held.receipt, 60.0)


def test_hold_keeps_what_is_in_flight_and_names_what_is_not(world: World) -> None:
    """Of a batch each entry is answered by itself: a receipt that nobody was given, and one of another queue, fail."""
    url, other = world.make_queue(), world.make_queue()
    sent(world.ports, url, letter("a"))
    sent(world.ports, other, letter("b"))
    (held,) = world.ports.queue.receive(url, 10, 1.0)
    (elsewhere,) = world.ports.queue.receive(other, 10, 600.0)
    forged = "00000000-0000-4000-8000-000000000000"
    answer = world.ports.queue.hold(url, [held.receipt, forged, elsewhere.receipt], 60.0)
    assert (answer.done, set(answer.failed)) == (frozenset({0}), {1, 2})
    assert all(why.startswith(("ReceiptHandleIsInvalid", "MessageNotInflight")) for why in answer.failed.values())
    world.pass_time(1.0)
    assert world.ports.queue.receive(url, 10, 1.0) == ()


@pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)  # moto changes the timeout of any message
def test_hold_fails_when_the_message_is_visible_again(world: World) -> None:
    """Whoever comes late does not take what another may have by now."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (held,) = world.ports.queue.receive(url, 10, 1.0)
    world.pass_time(1.0)
    answer = world.ports.queue.hold(url, [held.receipt], 60.0)
    assert answer.done == frozenset()
    assert answer.failed[0].startswith("MessageNotInflight")


@pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)  # moto changes the timeout of any message
def test_hide_says_no_when_the_message_was_returned(world: World) -> None:
    """Once its visibility is over, a message is no longer ours to hide."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (held,) = world.ports.queue.receive(url, 10, 30.0)
    assert world.ports.queue.hide(url, held.receipt, 0.0)
    assert not world.ports.queue.hide(url, held.receipt, 60.0)


@pytest.mark.parametrize("seconds", [-1.0, 43_201.0])
def test_visibility_is_refused_when_out_of_bounds(world: World, seconds: float) -> None:
    """0 to 12 hours is what SQS takes, for receiving and for hiding."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    with pytest.raises(RefusedError, match="visibility timeout"):
        world.ports.queue.receive(url, 1, seconds)
    (held,) = world.ports.queue.receive(url, 1, 30.0)
    with pytest.raises(RefusedError, match="visibility timeout"):
        world.ports.queue.hide(url, held.receipt, seconds)


def test_deleted_messages_are_gone_for_good(world: World) -> None:
    """More than ten receipts are deleted in one call; repeating it is harmless."""
    url = world.make_queue()
    sent(world.ports, url, *(letter(f"m{i}", f"body {i}") for i in range(12)))
    receipts = [message.receipt for _ in range(4) for message in world.ports.queue.receive(url, 10, 30.0)]
    assert len(receipts) == 12
    answer = world.ports.queue.delete(url, receipts)
    assert (answer.done, answer.failed) == (frozenset(range(12)), {})
    assert counts(world.ports.queue.read(url, world.now())) == (0, 0, 0)
    assert world.ports.queue.delete(url, receipts[:1]).done == frozenset({0})


def test_delete_answers_by_entry_when_one_receipt_is_bad(world: World) -> None:
    """A receipt that is none fails by itself, and for good; the others are deleted."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"))
    (held,) = world.ports.queue.receive(url, 10, 30.0)
    answer = world.ports.queue.delete(url, ["no receipt", held.receipt])
    assert answer.done == frozenset({1})
    assert set(answer.failed) == {0} == set(answer.refused)
    assert counts(world.ports.queue.read(url, world.now())) == (0, 0, 0)


def test_batch_is_taken_when_longer_than_ten(world: World) -> None:
    """Twenty-three messages go in one call."""
    url = world.make_queue()
    sent(world.ports, url, *(letter(f"m{i}", f"body {i}") for i in range(23)))
    assert counts(world.ports.queue.read(url, world.now())) == (23, 0, 0)


def test_batch_is_taken_when_heavier_than_a_request(world: World) -> None:
    """Three messages of 500 kB, which no single request can hold, go in one call."""
    url = world.make_queue()
    sent(world.ports, url, *(letter(f"m{i}", "x" * 500_000) for i in range(3)))
    received = [m for _ in range(3) for m in world.ports.queue.receive(url, 10, 30.0)]
    assert [len(message.body) for message in received] == [500_000] * 3


def test_send_fails_by_entry_when_one_message_is_too_large(world: World) -> None:
    """What the queue will never take is named by its index; the others are sent."""
    url = world.make_queue(max_bytes=1024)
    messages = [letter("a", "small"), letter("b", "x" * 1025), letter("c", "small too")]
    answer = world.ports.queue.send(url, messages, [0.0] * 3)
    assert answer.done == frozenset({0, 2})
    assert set(answer.failed) == {1} == set(answer.refused)
    assert {m.body for _ in range(2) for m in world.ports.queue.receive(url, 10, 30.0)} == {"small", "small too"}


def test_send_fails_by_entry_when_a_delay_is_too_long(world: World) -> None:
    """900 s is the longest delay there is."""
    url = world.make_queue()
    answer = world.ports.queue.send(url, [letter("a"), letter("b")], [901.0, 900.0])
    assert answer.done == frozenset({1})
    assert set(answer.refused) == {0}


def test_message_is_delayed_when_asked(world: World) -> None:
    """A delayed message is counted as such and not received before its time."""
    url = world.make_queue()
    sent(world.ports, url, letter("a"), delay_s=1.0)
    assert world.ports.queue.receive(url, 10, 30.0) == ()
    world.pass_time(1.0)
    assert len(world.ports.queue.receive(url, 10, 30.0)) == 1


def test_message_is_sent_at_once_when_the_queue_delays_but_we_do_not(world: World) -> None:
    """A delay of 0 overrides the queue's own."""
    url = world.make_queue(delay_s=600)
    sent(world.ports, url, letter("a"))
    assert len(world.ports.queue.receive(url, 10, 30.0)) == 1


def test_message_is_dead_lettered_when_received_too_often(world: World) -> None:
    """After maxReceiveCount receives it is in the dead-letter queue, whole, with its id and its first sending."""
    dead = world.make_queue()
    url = world.make_queue(dead_letter=dead, max_receive_count=2)
    sent(world.ports, url, letter("a", attributes=WHOLE))
    (first,) = world.ports.queue.receive(url, 10, 0.0)
    (second,) = world.ports.queue.receive(url, 10, 0.0)
    assert second.receive_count == 2
    assert world.ports.queue.receive(url, 10, 0.0) == ()
    (moved,) = world.ports.queue.receive(dead, 10, 30.0)
    assert (moved.id, moved.body, moved.attributes) == (first.id, first.body, WHOLE)
    assert moved.first_sent_at == first.first_sent_at
    if world.kind != "moto":  # which has no DeadLetterQueueSourceArn
        assert moved.source == world.ports.queue.facts(url).arn
    assert counts(world.ports.queue.read(url, world.now())) == (0, 0, 0)


def test_fifo_group_is_locked_while_one_of_it_is_in_flight(world: World) -> None:
    """The next of a message group waits for the one before it; other groups go on."""
    url = world.make_queue(fifo=True)
    sent(
        world.ports,
        url,
        letter("a1", "a1", message_group="a"),
        letter("a2", "a2", message_group="a"),
        letter("b1", "b1", message_group="b"),
    )
    (first,) = world.ports.queue.receive(url, 1, 30.0)
    assert (first.body, first.message_group) == ("a1", "a")
    assert [m.body for m in world.ports.queue.receive(url, 10, 30.0)] == ["b1"]
    world.ports.queue.delete(url, [first.receipt])
    assert [m.body for m in world.ports.queue.receive(url, 10, 30.0)] == ["a2"]


def test_fifo_order_is_kept_when_a_batch_is_longer_than_ten(world: World) -> None:
    """Order within a message group survives the splitting of a batch."""
    url = world.make_queue(fifo=True)
    sent(world.ports, url, *(letter(f"m{i}", f"{i}", message_group="g") for i in range(15)))
    bodies = []
    for _ in range(2):
        received = world.ports.queue.receive(url, 10, 30.0)
        bodies += [m.body for m in received]
        world.ports.queue.delete(url, [m.receipt for m in received])
    assert bodies == [f"{i}" for i in range(15)]


def test_fifo_message_is_one_when_its_sending_is_repeated(world: World) -> None:
    """A sending repeated after a lost answer does not double the message."""
    url = world.make_queue(fifo=True)
    sent(world.ports, url, letter("a", message_group="g"))
    sent(world.ports, url, letter("a", message_group="g"))
    assert counts(world.ports.queue.read(url, world.now())) == (1, 0, 0)


def test_fifo_message_is_not_dropped_when_sent_again_in_its_turn(world: World) -> None:
    """Sent again within five minutes of its first sending, it arrives: SQS does not take it for its first self."""
    url = world.make_queue(fifo=True)
    sent(world.ports, url, letter("a", message_group="g", deduplication="the producer's own"))
    (back,) = world.ports.queue.receive(url, 10, 30.0)
    world.ports.queue.delete(url, [back.receipt])
    sent(world.ports, url, replace(back, attributes=(("sluice.attempts", Attribute("Number", "1")),)))
    (again,) = world.ports.queue.receive(url, 10, 30.0)
    assert again.attribute("sluice.attempts") == "1"


def test_fifo_send_ignores_delays(world: World) -> None:
    """FIFO queues know no delay of a single message: it is sent at once rather than refused."""
    url = world.make_queue(fifo=True)
    sent(world.ports, url, letter("a", message_group="g"), delay_s=600.0)
    assert len(world.ports.queue.receive(url, 10, 30.0)) == 1


def test_fifo_send_fails_by_entry_when_a_message_has_no_group(world: World) -> None:
    """A FIFO queue takes no message without a message group; the others are sent."""
    url = world.make_queue(fifo=True)
    answer = world.ports.queue.send(url, [letter("a"), letter("b", message_group="g")], [0.0, 0.0])
    assert answer.done == frozenset({1})
    assert set(answer.refused) == {0}


def test_fifo_group_is_held_back_when_one_of_it_is_refused(world: World) -> None:
    """What comes after a message that failed would overtake it: it fails, too, but not for good. Others go on."""
    url = world.make_queue(fifo=True, max_bytes=1024)
    messages = [
        letter("a1", "a1", message_group="a"),
        letter("a2", "x" * 1025, message_group="a"),
        letter("b1", "b1", message_group="b"),
        letter("a3", "a3", message_group="a"),
        letter("b2", "b2", message_group="b"),
    ]
    answer = world.ports.queue.send(url, messages, [0.0] * 5)
    assert answer.done == frozenset({0, 2, 4})
    assert (set(answer.failed), answer.refused) == ({1, 3}, frozenset({1}))
    assert counts(world.ports.queue.read(url, world.now())) == (3, 0, 0)


def test_receive_brings_as_many_as_are_asked_for(world: World) -> None:
    """However many requests that takes; and what is there, where that is less."""
    url = world.make_queue()
    sent(world.ports, url, *(letter(f"m{i}") for i in range(47)))
    assert len(world.ports.queue.receive(url, 25, 60.0)) == 25
    assert len(world.ports.queue.receive(url, 50, 60.0)) == 22
    assert world.ports.queue.receive(url, 50, 60.0) == ()
    sent(world.ports, url, letter("one"), letter("two"))
    assert len(world.ports.queue.receive(url, 0, 30.0)) <= 1


@pytest.mark.parametrize("count", [0, 1, 9, 500, 501, 2_000])
def test_rounds_are_the_whole_load(world: World, count: int) -> None:
    """However it is divided; and each can be claimed."""
    rounds = world.ports.queue.rounds(count)
    parts = [part for some in rounds for part in some]
    assert (sum(parts), len(parts) >= 1, min(parts) >= 0) == (count, True, True)
    assert max(sum(some) for some in rounds) <= BATCH_CLAIM_MAX


def test_messages_are_moved_side_by_side(world: World) -> None:
    """Each piece moves messages of its own; the error of one is raised to who waits for it, and ends no other."""
    urls = [world.make_queue() for _ in range(3)]
    queue = world.ports.queue
    moved: list[int] = []

    def move(place: int) -> int:
        sent(world.ports, urls[place], *(letter(f"m{n}", f"{place}") for n in range(12)))
        received = queue.receive(urls[place], 12, 30.0, wait_s=2.0)
        if place == 0:
            raise RefusedError("not this one")
        queue.delete(urls[place], [message.receipt for message in received])
        moved.append(place)
        return place

    first, *others = [queue.begin(partial(move, place)) for place in range(3)]
    with pytest.raises(RefusedError, match="not this one"):
        first()
    assert [wait_for() for wait_for in others] == [1, 2]
    assert sorted(moved) == [1, 2]
    held = [queue.read(url, world.now()) for url in urls]
    assert [sum(count or 0 for count in counts(reading)) for reading in held] == [12, 0, 0]


def test_many_are_deleted_by_entry_when_longer_than_ten(world: World) -> None:
    """Some requests at once, one answer; a bad receipt among them fails alone."""
    url = world.make_queue()
    sent(world.ports, url, *(letter(f"m{i}") for i in range(35)))
    receipts = [message.receipt for message in world.ports.queue.receive(url, 35, 60.0)]
    answer = world.ports.queue.delete(url, [*receipts[:20], "no receipt", *receipts[20:]])
    assert (len(answer.done), set(answer.failed)) == (35, {20})
    assert counts(world.ports.queue.read(url, world.now())) == (0, 0, 0)


def test_trace_of_a_message_is_received_and_sent_along() -> None:
    """As SQS's own attribute in both; the emulators know it of single sends alone."""
    header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    received = message_of(
        {"MessageId": "m", "Body": "a", "ReceiptHandle": "r", "Attributes": {"AWSTraceHeader": header}}
    )
    entry = entry_of("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", 0, received, 0.0)
    assert entry.get("MessageSystemAttributes") == {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}
    assert "AWSTraceHeader" in SYSTEM_ATTRIBUTES
