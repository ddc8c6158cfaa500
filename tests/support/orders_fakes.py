"""Fakes for the tests of the orders example: the two queues in memory, and a store on a new file."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from examples.orders.orders.contract import ATTEMPTS, Attribute, first_sent_at_of
from examples.orders.orders.order import Order
from examples.orders.orders.sqlite import SqliteDatabase
from examples.orders.orders.sqs import Message, QueueError
from examples.orders.orders.store import Store

ARN = "arn:aws:sqs:eu-central-1:000000000000:orders"


@dataclass(slots=True)
class Entry:
    """One message in a queue."""

    message_id: str
    body: str
    attributes: dict[str, Attribute]
    sent_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str = ""


@dataclass(slots=True)
class Call:
    """One call that was made, for asserting on."""

    name: str
    message_id: str
    visibility_s: int | None = None


class MemoryQueue:
    """An order queue and its dead-letter queue, behaving as SQS does where the consumer can tell.

    A message is hidden from its receipt until its visibility ends, a handle is good for the last receipt only, and the
    redrive policy moves a message at the receive after `max_receive_count`.
    """

    arn = ARN
    has_dead_letters = True

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        visibility_s: float = 30.0,
        wait_s: float = 0.05,
        max_receive_count: int = 5,
    ) -> None:
        self.entries: list[Entry] = []
        self.dead: list[Entry] = []
        self.calls: list[Call] = []
        self.fail: Callable[[str], None] = lambda name: None
        """Called with the name of each call before it is done; what it raises is what the call raises."""
        self.receives_count = 0
        self._clock = clock
        self._visibility_s = visibility_s
        self._wait_s = wait_s
        self._max_receive_count = max_receive_count
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()

    # --- the front end's side ---

    def send(self, bodies: Sequence[str], **attributes: Attribute) -> list[bool]:
        """Enqueue."""
        self.fail("send")
        with self._changed:
            for body in bodies:
                now = self._clock()
                named = {f"sluice.{name}": value for name, value in attributes.items()}
                self.entries.append(Entry(f"m{next(self._numbers)}", body, named, now, now))
            self._changed.notify_all()
        return [True] * len(bodies)

    def depth(self) -> dict[str, int]:
        """Counts."""
        self.fail("depth")
        with self._changed:
            waiting = sum(entry.visible_at <= self._clock() for entry in self.entries)
            in_work = len(self.entries) - waiting
            return {"waiting": waiting, "in_work": in_work, "delayed": 0, "dead_letters": len(self.dead)}

    # --- the consumer's side ---

    def receive(self, count: int) -> list[Message]:
        """Receive, waiting a little."""
        self.fail("receive")
        deadline = time.monotonic() + self._wait_s
        with self._changed:
            self.receives_count += 1
            while not (taken := self._take(count)) and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left_s, 0.01))
        return taken

    def _take(self, count: int) -> list[Message]:
        now = self._clock()
        taken: list[Message] = []
        for entry in list(self.entries):
            if entry.visible_at > now or len(taken) == count:
                continue
            if entry.receive_count >= self._max_receive_count:
                self.entries.remove(entry)
                self.dead.append(entry)
                continue
            entry.receive_count += 1
            entry.receipt = f"r{next(self._numbers)}"
            entry.visible_at = now + self._visibility_s
            first_sent_at = first_sent_at_of(entry.attributes)
            taken.append(
                Message(
                    entry.message_id,
                    entry.receipt,
                    entry.body,
                    entry.sent_at if first_sent_at is None else first_sent_at,
                    entry.receive_count,
                    dict(entry.attributes),
                )
            )
        return taken

    def set_visibility(self, message: Message, visibility_s: int) -> None:
        """Change when a message is seen again."""
        self.fail("set_visibility")
        with self._changed:
            self.calls.append(Call("set_visibility", message.message_id, visibility_s))
            self._held(message).visible_at = self._clock() + visibility_s
            self._changed.notify_all()

    def delete(self, message: Message) -> None:
        """Delete; a message that is gone already is deleted."""
        self.fail("delete")
        with self._changed:
            self.calls.append(Call("delete", message.message_id))
            self.entries = [entry for entry in self.entries if entry.receipt != message.receipt]
        self.fail("deleted")

    def send_dead_letter(self, message: Message, attributes: Mapping[str, Attribute]) -> None:
        """Send a copy to the dead-letter queue."""
        self.fail("send_dead_letter")
        with self._changed:
            self.calls.append(Call("send_dead_letter", message.message_id))
            now = self._clock()
            self.dead.append(Entry(f"d{next(self._numbers)}", message.body, dict(attributes), now, now))
        self.fail("sent_dead_letter")

    def _held(self, message: Message) -> Entry:
        for entry in self.entries:
            if entry.receipt == message.receipt:
                return entry
        raise QueueError("this handle is not good any more")

    # --- the redriver's side ---

    def redrive(self) -> int:
        """Send everything dead back, as Sluice does: counted, and first sent when it was first sent."""
        moved, self.dead = self.dead, []
        for entry in moved:
            attempts = float(entry.attributes.get(ATTEMPTS, {"StringValue": "0"})["StringValue"])
            entry.attributes[ATTEMPTS] = {"DataType": "Number", "StringValue": f"{attempts + 1:.0f}"}
            entry.receive_count = 0
            entry.visible_at = self._clock()
            self.entries.append(entry)
        return len(moved)

    def bodies(self) -> list[str]:
        """Everything that is in either queue."""
        with self._changed:
            return [entry.body for entry in (*self.entries, *self.dead)]


@dataclass(slots=True)
class MemoryWorkLog:
    """A work log that is kept."""

    lines: list[dict[str, object]] = field(default_factory=list)
    fail: Callable[[str], None] = lambda event: None

    def write(self, event: str, **about: object) -> None:
        """Keep one line."""
        self.fail(event)
        self.lines.append({"event": event, **about})

    def of(self, event: str) -> list[dict[str, object]]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]


def new_store(directory: Path, clock: Callable[[], float] = time.time) -> Store:
    """A store with its tables and its first stock, on a file of its own."""
    store = Store(SqliteDatabase(directory / "orders.db"), clock)
    store.create()
    return store


_order_numbers: Iterator[int] = itertools.count(1)


def make_order(**changes: object) -> Order:
    """A good order, with an id of its own."""
    values: dict[str, object] = {
        "order_id": f"order-{next(_order_numbers):06}",
        "customer": "Ada",
        "sku": "tea-green",
        "quantity": 2,
    }
    return Order(**(values | changes))  # type: ignore[arg-type]
