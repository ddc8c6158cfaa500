"""What becomes of one message, and that no crash anywhere loses an order or does it twice."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.orders.orders import contract
from examples.orders.orders.contract import Attribute
from examples.orders.orders.databases import DatabaseUnavailableError
from examples.orders.orders.handling import (
    MAX_RETRY_AFTER_S,
    UNAVAILABLE_AFTER_S,
    Handled,
    Handler,
    Outcome,
)
from examples.orders.orders.order import Order
from examples.orders.orders.sqs import Message, QueueError
from examples.orders.orders.store import Delivery, Result, Store
from tests.support.orders_fakes import ARN, Call, MemoryQueue, MemoryWorkLog, make_order, new_store


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Bench:
    """A handler with its queue, its store and its log."""

    def __init__(self, directory: Path, max_receive_count: int = 5) -> None:
        self.clock = Clock()
        self.queue = MemoryQueue(clock=self.clock, wait_s=0, max_receive_count=max_receive_count)
        self.store = new_store(directory, self.clock)
        self.worklog = MemoryWorkLog()
        self.processed: list[Delivery] = []
        self.fault: Callable[[], None] = lambda: None
        self.handler = Handler(
            self.queue,
            self,
            self.worklog,  # type: ignore[arg-type]
            "i-1",
            work_s=0.5,
            work_s_by_sku={"carpet-silk": 20.0},
            clock=self.clock,
            work=self.work,
        )

    def work(self, work_s: float) -> None:
        """Let time pass."""
        self.clock.now += work_s

    def process(self, order: Order, delivery: Delivery) -> Result:
        """Process on the real store, unless a fault is set."""
        self.fault()
        self.processed.append(delivery)
        return self.store.process(order, delivery)

    def note_dead_letter(self, order_id: str, cause: str) -> None:
        """Note it in the real store, unless a fault is set."""
        self.fault()
        self.store.note_dead_letter(order_id, cause)

    def receive(self) -> Message:
        """Receive the one message that is there."""
        (message,) = self.queue.receive(1)
        return message

    def handle(self) -> Handled:
        """Receive and handle it."""
        return self.handler.handle(self.receive())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A new one."""
    return Bench(tmp_path)


def test_message_is_deleted_when_its_order_is_stored(bench: Bench) -> None:
    """Commit first, then delete; the log shows the work, and the database how long the order waited."""
    order = make_order()
    bench.queue.send([order.body()])
    bench.clock.now += 4
    assert bench.handle() == Handled(Outcome.STORED, None, database_answered=True)
    assert bench.queue.bodies() == []
    assert bench.processed == [Delivery(1000.0, 1004.0, 1, 0, "i-1")]
    about = {"message_id": "m1", "order_id": order.order_id, "receive_count": 1}
    assert bench.worklog.lines == [
        {"event": "started", **about},
        {"event": "finished", **about, "outcome": "stored", "cause": None},
    ]


def test_work_takes_its_items_time_when_that_is_another(bench: Bench) -> None:
    """Some orders are longer than others."""
    bench.store.restock("carpet-silk", "Carpet", 90_000, 1)
    bench.queue.send([make_order(sku="carpet-silk").body(), make_order().body()])
    began_at = bench.clock.now
    bench.handle()
    assert bench.clock.now == began_at + 20
    bench.handle()
    assert bench.clock.now == began_at + 20.5


def test_message_is_deleted_when_its_order_was_stored_before(bench: Bench) -> None:
    """A second delivery is recognised as done, and ends."""
    order = make_order()
    bench.queue.send([order.body(), order.body()])
    assert [bench.handle().outcome for _ in range(2)] == [Outcome.STORED, Outcome.ALREADY_STORED]
    assert bench.queue.bodies() == []


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (make_order(sku="sku-13").body(), "UnknownItem: sku-13"),
        ("no order", "InvalidOrder: body: give one JSON object"),
        (make_order(quantity=-1).body(), "InvalidOrder: quantity: give a whole number from 1 to 1000"),
    ],
)
def test_cause_travels_with_a_copy_when_the_order_can_never_succeed(bench: Bench, body: str, cause: str) -> None:
    """Send first, then delete: the dead-letter queue has the message whole, and why it is there."""
    bench.queue.send([body])
    bench.queue.entries[0].attributes["shop"] = {"DataType": "String", "StringValue": "north"}
    bench.clock.now += 3
    handled = bench.handle()
    assert (handled.outcome, handled.cause) == (Outcome.DEAD_LETTERED, cause)
    assert [call.name for call in bench.queue.calls] == ["send_dead_letter", "delete"]
    assert bench.queue.entries == []
    (dead,) = bench.queue.dead
    assert dead.body == body
    assert dead.attributes == {
        "shop": {"DataType": "String", "StringValue": "north"},
        contract.CAUSE: {"DataType": "String", "StringValue": cause},
        contract.SOURCE: {"DataType": "String", "StringValue": ARN},
        contract.FIRST_SENT_AT: {"DataType": "Number", "StringValue": "1000.000"},
    }


def test_cause_is_noted_for_the_page_when_the_order_is_dead_lettered(bench: Bench) -> None:
    """Until a fix: then the order is stored, and no longer a dead letter."""
    order = make_order(sku="sku-13")
    bench.queue.send([order.body()])
    bench.handle()
    assert bench.store.dead_letters([order.order_id, "another"]) == {order.order_id: "UnknownItem: sku-13"}
    bench.store.restock("sku-13", "Thing 13", 100, 10)
    bench.queue.redrive()
    bench.handle()
    assert bench.store.dead_letters([order.order_id]) == {}


def test_order_is_dead_lettered_when_the_database_cannot_take_the_note(bench: Bench) -> None:
    """The note comes last, and nothing depends on it."""

    def away(order_id: str, cause: str) -> None:
        raise DatabaseUnavailableError("down")

    order = make_order(sku="sku-13")
    bench.note_dead_letter = away  # type: ignore[method-assign]
    bench.queue.send([order.body()])
    assert bench.handle().outcome is Outcome.DEAD_LETTERED
    assert (len(bench.queue.dead), bench.queue.entries) == (1, [])
    assert bench.store.dead_letters([order.order_id]) == {}


def test_order_is_stored_with_its_history_when_it_was_sent_back_after_a_fix(bench: Bench) -> None:
    """The first enqueue time and the attempts of a redriven message reach the database."""
    bench.queue.send([make_order(sku="sku-13").body()])
    bench.handle()
    bench.store.restock("sku-13", "Thing 13", 100, 10)
    bench.clock.now += 3600
    bench.queue.redrive()
    assert bench.handle().outcome is Outcome.STORED
    assert bench.processed[-1] == Delivery(1000.0, 4600.5, 1, 1, "i-1")


def test_message_comes_back_later_when_the_database_is_away(bench: Bench) -> None:
    """Nothing is dead-lettered for an outage, and the message rests while the fleet takes notice."""

    def away() -> None:
        raise DatabaseUnavailableError("down")

    bench.fault = away
    bench.queue.send([make_order().body()])
    assert bench.handle() == Handled(Outcome.RETURNED, "down", database_answered=False)
    assert bench.queue.calls == [Call("set_visibility", "m1", UNAVAILABLE_AFTER_S)]
    assert bench.queue.dead == []


def test_redrive_policy_decides_when_work_fails_for_no_known_cause(bench: Bench) -> None:
    """A fault of the consumer's own is retried ever more slowly, stamped with nothing, and dead-lettered by SQS."""

    def broken() -> None:
        raise ZeroDivisionError

    bench.fault = broken
    bench.queue.send([make_order().body()])
    pauses = []
    while bench.queue.entries:
        handled = bench.handle()
        assert handled.outcome is Outcome.FAILED
        pauses.append(bench.queue.calls[-1].visibility_s)
        bench.clock.now += MAX_RETRY_AFTER_S
        if len(pauses) == 5:
            assert bench.queue.receive(1) == []
    assert pauses == [2, 4, 8, 16, 32]
    (dead,) = bench.queue.dead
    assert dead.attributes == {}


def test_redrive_policy_decides_when_the_cause_does_not_fit(bench: Bench) -> None:
    """Nine attributes leave no room for the stamps: the message is not changed, and not lost."""
    own: dict[str, Attribute] = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(9)}
    bench.queue.send([make_order(sku="sku-13").body()])
    bench.queue.entries[0].attributes.update(own)
    assert bench.handle() == Handled(Outcome.FAILED, "UnknownItem: sku-13", database_answered=True)
    assert [entry.attributes for entry in bench.queue.entries] == [own]
    assert bench.queue.dead == []


@pytest.mark.parametrize("refused", ["send_dead_letter", "arn", "none"])
def test_redrive_policy_decides_when_the_dead_letter_queue_cannot_be_used(
    bench: Bench, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not reachable, not allowed or not configured: the message stays in the queue."""

    def fail(name: str) -> None:
        if name == refused:
            raise QueueError("not allowed: grant sqs:SendMessage")

    def no_arn(_: MemoryQueue) -> str:
        raise QueueError("not allowed: grant sqs:GetQueueAttributes")

    bench.queue.fail = fail
    if refused == "arn":
        monkeypatch.setattr(MemoryQueue, "arn", property(no_arn))
    if refused == "none":
        monkeypatch.setattr(MemoryQueue, "has_dead_letters", False)
    bench.queue.send([make_order(sku="sku-13").body()])
    assert bench.handle().outcome is Outcome.FAILED
    assert len(bench.queue.entries) == 1
    assert bench.queue.dead == []


@pytest.mark.parametrize("refused", ["delete", "set_visibility"])
def test_handling_goes_on_when_the_queue_does_not_answer(bench: Bench, refused: str) -> None:
    """What could not be deleted or returned comes back by itself; the outcome is what was done to the order."""

    def fail(name: str) -> None:
        if name == refused:
            raise QueueError("no answer")

    def away() -> None:
        raise DatabaseUnavailableError("down")

    bench.queue.fail = fail
    bench.fault = away if refused == "set_visibility" else bench.fault
    bench.queue.send([make_order().body()])
    handled = bench.handle()
    assert handled.outcome is (Outcome.RETURNED if refused == "set_visibility" else Outcome.STORED)
    assert len(bench.queue.entries) == 1


@pytest.mark.parametrize("kind", ["good", "poison", "away", "broken"])
def test_message_is_released_before_its_visibility_is_changed(bench: Bench, kind: str) -> None:
    """An extension after the return would hide the message again."""
    bench.queue.send([make_order(sku="sku-13" if kind == "poison" else "kettle").body()])

    def fault() -> None:
        if kind in {"away", "broken"}:
            raise DatabaseUnavailableError("down") if kind == "away" else ZeroDivisionError

    bench.fault = fault
    seen: list[list[str]] = []
    bench.handler.handle(bench.receive(), lambda: seen.append([call.name for call in bench.queue.calls]))
    assert seen == [["send_dead_letter"] if kind == "poison" else []]


# --- the whole property: no crash loses an order or does it twice ---


class Crash(BaseException):
    """The process is gone, at this very point."""


KINDS = ("good", "again", "poison", "no order", "reused id")


def body_of(kind: str, number: int) -> str:
    """A message of a kind."""
    order = make_order(order_id=f"order-{number:06}")
    match kind:
        case "poison":
            return make_order(order_id=order.order_id, sku="sku-13").body()
        case "no order":
            return f"no order {number}"
        case "reused id":
            return make_order(order_id="order-000000", quantity=9).body()
        case _:
            return order.body()


@pytest.mark.slow
@settings(max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    crashes=st.lists(st.integers(0, 5), max_size=12),
    outages=st.sets(st.integers(1, 8)),
    max_receive_count=st.sampled_from([2, 100]),
)
def test_each_order_is_somewhere_and_done_once_when_consumers_crash_anywhere(  # noqa: C901 - one scenario
    kinds: list[str], crashes: list[int], outages: set[int], max_receive_count: int
) -> None:
    """At every instant each order is in the queue, the dead-letter queue or the database.

    Consumers crash before and after each of their calls, the database goes away now and then, messages are delivered
    twice, and the redrive policy takes what was received too often. In the end, after a fix and a redrive, every order
    that can be done is stored, once, and what never can be is in the dead-letter queue.
    """
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), max_receive_count)
        first = body_of("good", 0)
        bench.queue.send([first])
        bench.handle()
        bodies = {number: body_of(kind, number) for number, kind in enumerate(kinds, start=1)}
        of_kind = {kind: {bodies[number] for number, its in enumerate(kinds, start=1) if its == kind} for kind in KINDS}
        bench.queue.send([*bodies.values(), *of_kind["again"]])
        countdown = itertools.chain(crashes, itertools.repeat(-1))
        state = {"left": next(countdown), "processed": 0}

        def each_is_somewhere() -> None:
            there = {*bench.queue.bodies(), *stored_bodies(bench.store)}
            assert {first, *bodies.values()} <= there

        def step(_: str = "") -> None:
            each_is_somewhere()
            if state["left"] == 0:
                state["left"] = next(countdown)
                raise Crash
            state["left"] -= 1

        def fault() -> None:
            step()
            state["processed"] += 1
            if state["processed"] in outages:
                raise DatabaseUnavailableError("down")

        bench.fault = fault
        bench.queue.fail = step

        def consume() -> None:
            for _ in range(400):
                bench.clock.now += 10
                try:
                    for message in bench.queue.receive(3):
                        bench.handler.handle(message)
                except Crash:
                    continue
                if not bench.queue.entries:
                    return
            raise AssertionError(f"never done: {bench.queue.entries}")

        consume()
        each_is_somewhere()
        assert bench.store.audit().holds

        bench.queue.fail = lambda name: None
        bench.fault = lambda: None
        bench.store.restock("sku-13", "Thing 13", 100, 100)
        bench.queue.redrive()
        consume()
        can_be_done = {first} | of_kind["good"] | of_kind["again"] | of_kind["poison"]
        assert stored_bodies(bench.store) == can_be_done
        assert {entry.body for entry in bench.queue.dead} == of_kind["no order"] | of_kind["reused id"]
        audit = bench.store.audit()
        assert audit.holds
        assert audit.stored == len(can_be_done)
        bench.store.close()


def stored_bodies(store: Store) -> set[str]:
    """The messages whose orders are in the database."""
    return {Order(order.order_id, order.customer, order.sku, order.quantity).body() for order in store.recent(1000)}
