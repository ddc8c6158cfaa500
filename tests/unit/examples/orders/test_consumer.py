"""The consumer's loop: several orders at a time, a pause while the database is away, and the drain."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.orders.orders.consumer import Consumer, Drained
from examples.orders.orders.databases import DatabaseUnavailableError
from examples.orders.orders.handling import UNAVAILABLE_AFTER_S, Handler, Outcome
from examples.orders.orders.order import Order
from examples.orders.orders.sqs import Message, QueueError
from examples.orders.orders.store import Delivery, Result
from examples.orders.orders.visibility import VisibilityExtender
from tests.support.orders_fakes import MemoryQueue, MemoryWorkLog, make_order, new_store

LONG_S = 20.0
"""Until a test gives up; each waits for an event that comes as soon as it can."""


class Run:
    """A consumer on its own thread, whose database can be held up, taken away and brought back."""

    def __init__(self, directory: Path) -> None:
        self.queue = MemoryQueue()
        self.store = new_store(directory)
        self.worklog = MemoryWorkLog()
        self.started: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.away = False
        self.probes_count = 0
        self.changed = threading.Condition()
        self.drained: Drained | None = None
        handler = Handler(self.queue, self, self.worklog, "i-1")  # type: ignore[arg-type]
        self.extender = VisibilityExtender(self.queue, 30)
        self.consumer = Consumer(
            self.queue,
            self,
            handler,
            self.extender,
            self.worklog,  # type: ignore[arg-type]
            concurrency=3,
            jitter=lambda: 0.0,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.drained = self.consumer.run()

    def process(self, order: Order, delivery: Delivery) -> Result:
        """Process on the real store, once the gate is open and unless the database is away."""
        with self.changed:
            self.started.append(order.order_id)
            self.changed.notify_all()
        assert self.gate.wait(LONG_S)
        if self.away:
            raise DatabaseUnavailableError("down")
        return self.store.process(order, delivery)

    def note_dead_letter(self, order_id: str, cause: str) -> None:
        """Note it in the real store."""
        self.store.note_dead_letter(order_id, cause)

    def probe(self) -> None:
        """Answer unless the database is away."""
        with self.changed:
            self.probes_count += 1
            self.changed.notify_all()
        if self.away:
            raise DatabaseUnavailableError("down")

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + LONG_S
        with self.changed:
            while not holds():
                assert time.monotonic() < deadline, f"never: {self.started}, {self.queue.entries}"
                self.changed.wait(0.02)

    def drain(self) -> Drained:
        """Tell it to stop, and wait for its end."""
        self.consumer.stop()
        return self.ended()

    def ended(self) -> Drained:
        """Wait for its end."""
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        assert self.drained is not None
        return self.drained


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A consumer; started by the test, and in any case stopped."""
    made = Run(tmp_path)
    yield made
    made.gate.set()
    made.consumer.stop()
    if made.thread.ident is not None:
        made.thread.join(LONG_S)


def send(run: Run, count: int) -> list[Order]:
    """Enqueue good orders."""
    orders = [make_order() for _ in range(count)]
    run.queue.send([order.body() for order in orders])
    return orders


def test_all_orders_are_stored_when_there_are_more_than_workers(run: Run) -> None:
    """Thirty orders, three at a time; the counts say what was done."""
    orders = send(run, 30)
    run.thread.start()
    run.until(lambda: not run.queue.entries)
    assert run.drain() == Drained({Outcome.STORED: 30}, returned_unstarted=0, interrupted=0)
    assert run.store.stored_ids() == {order.order_id for order in orders}
    assert run.worklog.of("drained") == [
        {"event": "drained", "outcomes": {"stored": 30}, "returned_unstarted": 0, "interrupted": 0}
    ]


def test_no_more_is_received_than_can_be_started_when_workers_are_busy(run: Run) -> None:
    """Three are in work and seven still visible to other consumers; nothing is hoarded."""
    run.gate.clear()
    send(run, 10)
    run.thread.start()
    run.until(lambda: len(run.started) == 3)
    receives_count = run.queue.receives_count
    time.sleep(0.2)
    assert run.queue.depth() == {"waiting": 7, "in_work": 3, "delayed": 0, "dead_letters": 0}
    assert run.queue.receives_count == receives_count
    run.gate.set()
    run.until(lambda: not run.queue.entries)


def test_work_is_finished_and_nothing_else_begun_when_told_to_stop(run: Run) -> None:
    """SIGTERM with three orders in work: these three are stored, the others stay in the queue untouched."""
    run.gate.clear()
    send(run, 8)
    run.thread.start()
    run.until(lambda: len(run.started) == 3)
    run.consumer.stop()
    run.consumer.stop()  # safe to repeat
    run.thread.join(0.3)
    assert run.thread.is_alive(), "it must not leave before its work is done"
    run.gate.set()
    assert run.drain() == Drained({Outcome.STORED: 3}, returned_unstarted=0, interrupted=0)
    assert len(run.started) == 3
    assert run.queue.depth()["waiting"] == 5
    assert {entry.receive_count for entry in run.queue.entries} == {0}


def test_messages_are_returned_at_once_when_they_arrive_after_the_stop(run: Run) -> None:
    """A long poll under way may still bring messages: visibility 0, so that another consumer has them at once."""
    send(run, 2)
    receive = run.queue.receive

    def receive_and_be_stopped(count: int) -> list[Message]:
        messages = receive(count)
        run.consumer.stop()
        return messages

    run.queue.receive = receive_and_be_stopped  # type: ignore[method-assign]
    run.thread.start()
    assert run.ended() == Drained({}, returned_unstarted=2, interrupted=0)
    assert run.started == []
    assert [(call.name, call.visibility_s) for call in run.queue.calls] == [("set_visibility", 0)] * 2
    assert run.queue.depth()["waiting"] == 2
    assert len(run.worklog.of("returned")) == 2


def test_drain_ends_when_messages_cannot_be_returned(run: Run) -> None:
    """They come back by themselves; the drain does not hang on the queue."""
    send(run, 1)
    receive = run.queue.receive

    def receive_and_lose_the_queue(count: int) -> list[Message]:
        messages = receive(count)
        run.consumer.stop()
        run.queue.fail = refuse
        return messages

    def refuse(name: str) -> None:
        raise QueueError("no answer")

    run.queue.receive = receive_and_lose_the_queue  # type: ignore[method-assign]
    run.thread.start()
    assert run.ended().returned_unstarted == 1
    assert len(run.queue.entries) == 1


@pytest.mark.slow
def test_nothing_is_received_when_the_database_is_away_from_the_start(run: Run) -> None:
    """A consumer that boots into an outage probes, and touches no message."""
    run.away = True
    (order,) = send(run, 1)
    run.thread.start()
    run.until(lambda: run.probes_count >= 3)
    assert run.queue.receives_count == 0
    run.away = False
    run.until(lambda: not run.queue.entries)
    assert run.store.stored_ids() == {order.order_id}


@pytest.mark.slow
def test_each_message_is_received_once_when_the_database_goes_away(run: Run) -> None:
    """An outage costs the orders in work one receive each, and those in the queue none."""
    run.gate.clear()
    send(run, 9)
    run.thread.start()
    run.until(lambda: len(run.started) == 3)
    run.away = True
    probes_count = run.probes_count
    run.gate.set()
    run.until(lambda: run.probes_count >= probes_count + 3)
    assert sorted(entry.receive_count for entry in run.queue.entries) == [0] * 6 + [1] * 3
    assert run.queue.dead == []
    returned = [call.visibility_s for call in run.queue.calls]
    assert returned == [UNAVAILABLE_AFTER_S] * 3


def test_one_message_goes_first_when_the_database_comes_back(run: Run) -> None:
    """Only after one order was stored are the others taken, three at a time again."""
    run.gate.clear()
    send(run, 3)
    run.thread.start()
    run.until(lambda: len(run.started) == 3)
    run.away = True
    probes_count = run.probes_count
    run.gate.set()
    run.until(lambda: run.probes_count > probes_count)
    orders = send(run, 6)
    run.gate.clear()
    run.away = False
    run.until(lambda: len(run.started) == 4)
    time.sleep(0.2)
    assert len(run.started) == 4
    run.gate.set()
    run.until(lambda: {order.order_id for order in orders} <= set(run.started))
    run.drain()
    assert {order.order_id for order in orders} <= run.store.stored_ids()


def test_drain_ends_when_the_database_is_away(run: Run) -> None:
    """A consumer that waits for its database can be told to stop all the same."""
    run.away = True
    send(run, 3)
    run.thread.start()
    run.until(lambda: run.probes_count >= 2)
    assert run.drain() == Drained({}, 0, 0)


@pytest.mark.slow
def test_receiving_goes_on_when_the_queue_was_away(run: Run) -> None:
    """A failed receive is tried again, and a drain does not wait for the pause between."""
    failures = iter([QueueError("down"), QueueError("down")])

    def fail(name: str) -> None:
        if name == "receive" and (error := next(failures, None)):
            raise error

    run.queue.fail = fail
    (order,) = send(run, 1)
    run.thread.start()
    run.until(lambda: not run.queue.entries)
    assert run.store.stored_ids() == {order.order_id}


def test_interruption_is_counted_when_the_consumer_itself_fails(run: Run) -> None:
    """A work log that cannot be written: the loop lives on, and the count tells the truth."""
    failures = iter([OSError("disk full")])

    def fail(event: str) -> None:
        if event == "started" and (error := next(failures, None)):
            raise error

    run.worklog.fail = fail
    send(run, 2)
    run.thread.start()
    run.until(lambda: len(run.queue.entries) == 1)
    drained = run.drain()
    assert (drained.interrupted, drained.outcomes) == (1, {Outcome.STORED: 1})


def test_message_stays_hidden_when_its_order_takes_long(run: Run) -> None:
    """The consumer holds what it works on, and releases it when it is done."""
    run.gate.clear()
    send(run, 1)
    held: list[Message] = []
    released: list[Message] = []
    run.extender.hold = lambda message, received_at: held.append(message)  # type: ignore[method-assign]
    run.extender.release = released.append  # type: ignore[assignment, method-assign]
    run.thread.start()
    run.until(lambda: len(run.started) == 1)
    assert len(held) == 1
    assert released == []
    run.gate.set()
    run.until(lambda: not run.queue.entries)
    run.drain()
    assert released == held
