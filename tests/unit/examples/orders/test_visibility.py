"""Keeping messages hidden while they are worked on."""

import threading

from examples.orders.orders.sqs import Message, QueueError
from examples.orders.orders.visibility import MAX_HIDDEN_S, VisibilityExtender
from tests.support.orders_fakes import Call, MemoryQueue, make_order


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def received(clock: Clock) -> tuple[MemoryQueue, Message]:
    """A queue, and the message just received from it."""
    queue = MemoryQueue(clock=clock, visibility_s=30, wait_s=0)
    queue.send([make_order().body()])
    (message,) = queue.receive(1)
    return queue, message


def test_message_stays_hidden_when_work_takes_longer_than_its_visibility() -> None:
    """Five times the visibility pass, and nobody else receives the message."""
    clock = Clock()
    queue, message = received(clock)
    extender = VisibilityExtender(queue, 30, clock)
    extender.hold(message, clock.now)
    for second in range(150):
        clock.now = float(second)
        extender.tick()
        assert queue.receive(1) == []
    # Every ten seconds, after each of which 30 s are left: no more calls than that.
    assert len(queue.calls) == 14
    assert {call.visibility_s for call in queue.calls} == {30}


def test_message_is_extended_no_more_when_it_was_released() -> None:
    """What is returned with visibility 0 stays returned."""
    clock = Clock()
    queue, message = received(clock)
    extender = VisibilityExtender(queue, 30, clock)
    extender.hold(message, clock.now)
    extender.release(message)
    queue.set_visibility(message, 0)
    clock.now = 25.0
    extender.tick()
    assert queue.calls == [Call("set_visibility", message.message_id, 0)]
    extender.release(message)  # safe to repeat


def test_next_extension_is_tried_when_one_failed() -> None:
    """A failed call is not the end: the next one is due before the visibility ends."""
    clock = Clock()
    queue, message = received(clock)
    extender = VisibilityExtender(queue, 30, clock)
    extender.hold(message, clock.now)

    def refuse(_: str) -> None:
        raise QueueError("busy")

    queue.fail = refuse
    clock.now = 10.0
    extender.tick()
    queue.fail = lambda name: None
    clock.now = 20.0
    extender.tick()
    clock.now = 49.0
    assert queue.receive(1) == []
    assert len(queue.calls) == 1


def test_extension_ends_when_twelve_hours_have_passed() -> None:
    """SQS allows no more: the last extensions end at the limit, and then there are none."""
    clock = Clock()
    queue, message = received(clock)
    extender = VisibilityExtender(queue, 30, clock)
    extender.hold(message, clock.now)
    clock.now = MAX_HIDDEN_S - 12.0
    extender.tick()
    assert queue.calls[-1].visibility_s == 12
    clock.now = MAX_HIDDEN_S + 1.0
    extender.tick()
    assert len(queue.calls) == 1


def test_releasing_waits_when_an_extension_is_under_way() -> None:
    """An extension that overtook the return would hide the message again."""
    clock = Clock()
    queue, message = received(clock)
    extender = VisibilityExtender(queue, 30, clock)
    extender.hold(message, clock.now)
    asked, may_answer = threading.Event(), threading.Event()

    def slow(_: str) -> None:
        asked.set()
        assert may_answer.wait(10)

    queue.fail = slow
    clock.now = 10.0
    ticking = threading.Thread(target=extender.tick)
    ticking.start()
    assert asked.wait(10)
    releasing = threading.Thread(target=extender.release, args=[message])
    releasing.start()
    releasing.join(0.1)
    assert releasing.is_alive()
    may_answer.set()
    releasing.join(10)
    ticking.join(10)
    assert not releasing.is_alive()


def test_loop_ends_when_it_is_told_to() -> None:
    """The extender's thread does not outlive the drain."""
    extender = VisibilityExtender(MemoryQueue(), 3)
    loop = threading.Thread(target=extender.run, daemon=True)
    loop.start()
    extender.end()
    loop.join(10)
    assert not loop.is_alive()
