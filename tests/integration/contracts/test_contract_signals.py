"""The Signals port's contract. moto's SQS publishes no metrics: there the test publishes what SQS would have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.model.observed import QueueReading
from sluice.model.redriving import Message
from sluice.ports.errors import NeedsFixError, PortError
from tests.integration.contract_worlds import EVERYWHERE, MEMORY, MOTO, World, open_world
from tests.support.metrics import metrics_of


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    yield from open_world(request)


def used_queue(world: World) -> str:
    """A queue to which three messages were sent, of which one was received and deleted."""
    url = world.make_queue()
    world.ports.queue.send(url, [Message(id=f"m{number}", body="an order") for number in range(3)], [0.0] * 3)
    (received,) = world.ports.queue.receive(url, 1, 600.0)
    world.ports.queue.delete(url, [received.receipt])
    world.publish(
        url,
        NumberOfMessagesSent=3,
        NumberOfMessagesReceived=1,
        NumberOfMessagesDeleted=1,
        ApproximateAgeOfOldestMessage=0,
    )
    return url


def settled(world: World, url: str) -> QueueReading:
    """What is known of the queue once its metrics have come."""

    def look() -> QueueReading | None:
        reading = metrics_of(world.ports.signals, url, world.now())
        return reading if reading.sent and any(count for _, count in reading.sent.points) else None

    world.pass_time(world.metric_period_s)
    reading = world.eventually(look)
    assert reading is not None
    return reading


def test_nothing_is_known_of_a_queue_without_activity(world: World) -> None:
    """Neither zero nor an error: CloudWatch has no figures, and says nothing of whether the queue exists."""
    url = world.make_queue()
    assert metrics_of(world.ports.signals, url, world.now()) == QueueReading()
    assert metrics_of(world.ports.signals, url + "-none", world.now()) == QueueReading()


def test_sent_received_and_deleted_are_counted_by_period(world: World) -> None:
    """In ascending periods of known length, each over."""
    reading = settled(world, used_queue(world))
    assert reading.sent is not None
    assert reading.deleted is not None
    assert reading.received is not None
    for series, total in ((reading.sent, 3.0), (reading.received, 1.0), (reading.deleted, 1.0)):
        assert series.period_s == world.metric_period_s
        assert sum(count for _, count in series.points) == total
        assert list(series.points) == sorted(series.points)
        assert all(start % series.period_s == 0 for start, _ in series.points)
        assert all(start + series.period_s <= world.now() for start, _ in series.points)


@pytest.mark.parametrize("world", [MEMORY, MOTO], indirect=True)  # the emulator's period would be over too soon
def test_period_under_way_is_left_out(world: World) -> None:
    """A count that is still growing is no count."""
    url = used_queue(world)
    reading = metrics_of(world.ports.signals, url, world.now() + 1.0)
    assert (reading.sent, reading.received, reading.deleted) == (None, None, None)
    assert reading.oldest_age is not None


def test_oldest_age_tells_when_it_was_true(world: World) -> None:
    """Not in the future, and not older than a period or two once metrics flow."""
    reading = settled(world, used_queue(world))
    assert reading.oldest_age is not None
    assert 0.0 <= reading.oldest_age.value <= world.metric_period_s + 5.0
    assert reading.oldest_age.at <= world.now()
    assert reading.oldest_age.age_s(world.now()) <= 3 * world.metric_period_s


def test_counts_of_the_moment_are_not_signals(world: World) -> None:
    """Visible, in flight and delayed come from the queue itself."""
    reading = settled(world, used_queue(world))
    assert (reading.visible, reading.in_flight, reading.delayed) == (None, None, None)


def sent_by(reading: QueueReading | PortError) -> float:
    """Messages sent to a queue, over all periods: two reads of the emulator may differ in the newest of them."""
    assert isinstance(reading, QueueReading)
    assert reading.sent is not None
    return sum(count for _, count in reading.sent.points)


def test_several_queues_are_read_at_once(world: World) -> None:
    """In the order asked for; one without activity, or that does not exist, is like one read alone."""
    url, idle = used_queue(world), world.make_queue()
    settled(world, url)
    first, used, last = world.ports.signals.read_all([idle, url, url + "-none"], world.now())
    assert (first, last) == (QueueReading(), QueueReading())
    assert sent_by(used) == 3.0


def test_queue_is_read_from_the_period_asked_for(world: World) -> None:
    """The period in which that moment lies is the first; what is older is left out."""
    url = used_queue(world)
    reading = settled(world, url)
    assert reading.sent is not None
    first_at = next(start for start, count in reading.sent.points if count)
    now = world.now()
    (since,) = world.ports.signals.read_all([url], now, first_at + 0.5)
    assert isinstance(since, QueueReading)
    assert since.sent is not None
    assert since.sent.points[0] == (first_at, 3.0)
    world.pass_time(world.metric_period_s)
    (later,) = world.ports.signals.read_all([url], world.now(), first_at + world.metric_period_s)
    assert isinstance(later, QueueReading)
    assert later.sent is None or not any(count for _, count in later.sent.points)


def test_more_queues_are_read_than_a_call_takes(world: World) -> None:
    """A hundred a call, and each in its place."""
    url = used_queue(world)
    settled(world, url)
    unused = [f"{url}-none-{number}" for number in range(101)]
    *others, used = world.ports.signals.read_all([*unused, url], world.now())
    assert others == [QueueReading()] * 101
    assert sent_by(used) == 3.0


def test_alarms_are_read_together_in_the_order_asked_for(world: World) -> None:
    """One that does not exist is an error for itself alone."""
    name = f"{world.make_queue().rpartition('/')[2]}-alarm"
    world.set_alarm(f"{name}-on", on=True)
    world.set_alarm(f"{name}-off", on=False)
    asked = [f"{name}-off", *(f"{name}-none-{number}" for number in range(100)), f"{name}-on"]
    off, *missing, on = world.ports.signals.alarms_are_on(asked)
    assert (off, on) == (False, True)
    assert all(isinstance(error, NeedsFixError) for error in missing)
    assert f"alarm {name}-none-7 does not exist" in str(missing[7])
