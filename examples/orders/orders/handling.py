"""What becomes of one delivery of one message: the order is stored, dead-lettered with its cause, or given back.

Invariant: at every instant, after any crash, each order is in at least one of the queue, the dead-letter queue and the
database. The message is deleted last, after the commit or after the dead-letter queue has confirmed the copy; each
step before that is safe to repeat.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from . import contract
from .databases import WORST_CASE_S, DatabaseUnavailableError, DataRefusedError
from .order import Order, RejectedError, parse_body
from .sqs import Message, Queue, QueueError
from .store import Delivery, Result
from .worklog import WorkLog

log = logging.getLogger("orders")

RETRY_AFTER_S: Final = 2
"""First pause of a message whose handling failed for no stated cause; doubled with each receive."""

MAX_RETRY_AFTER_S: Final = 120
"""The longest such pause."""

UNAVAILABLE_AFTER_S: Final = math.ceil(WORST_CASE_S) + 1
"""Pause of a message that met an unavailable database. Longer than a transaction may take, so that by then every
consumer of the fleet has noticed as well, and the message is not received once by each of them in turn."""


class Outcome(StrEnum):
    """How a worker let go of a message."""

    STORED = "stored"
    ALREADY_STORED = "already_stored"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Handled:
    """How a worker let go of a message, and why.

    Attributes:
        outcome: `RETURNED`: the database is unavailable, the message is back in the queue; `FAILED`: something
            unforeseen, or a cause that cannot be stamped; the redrive policy counts.
        cause: Why, where the order is not stored.
        database_answered: Whether the database did what it was asked; None where it was not asked.
    """

    outcome: Outcome
    cause: str | None = None
    database_answered: bool | None = None


class Processor(Protocol):
    """The part of `Store` that handling needs."""

    def process(self, order: Order, delivery: Delivery) -> Result:
        """See `Store.process`."""
        ...

    def note_dead_letter(self, order_id: str, cause: str) -> None:
        """See `Store.note_dead_letter`."""
        ...


class Handler:
    """Handles deliveries, on any number of threads."""

    def __init__(
        self,
        queue: Queue,
        store: Processor,
        worklog: WorkLog,
        instance: str,
        *,
        work_s: float = 0.0,
        work_s_by_sku: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.time,
        work: Callable[[float], None] = time.sleep,
    ) -> None:
        """Put a handler together.

        Args:
            queue: Where messages came from.
            store: Where orders go.
            worklog: Gets a line when work begins and when it ends.
            instance: Who works, stored with each order.
            work_s: What each order takes besides the database.
            work_s_by_sku: The same for items that take another time.
            clock: Epoch seconds.
            work: Spends `work_s`.
        """
        self._queue = queue
        self._store = store
        self._worklog = worklog
        self._instance = instance
        self._work_s = work_s
        self._work_s_by_sku = dict(work_s_by_sku or {})
        self._clock = clock
        self._work = work

    def handle(self, message: Message, release: Callable[[], None] = lambda: None) -> Handled:
        """Work on one message to its end; raises nothing that a message or a service can cause.

        Args:
            message: The delivery.
            release: Called before the message is deleted or given back; from then on its visibility is not extended.
        """
        about = {"message_id": message.message_id, "receive_count": message.receive_count}
        started_at = self._clock()
        try:
            order: Order | RejectedError = parse_body(message.body)
        except RejectedError as error:
            order = error
        about["order_id"] = order.order_id if isinstance(order, Order) else None
        self._worklog.write("started", **about)
        handled = self._handle(message, order, started_at, release)
        if isinstance(order, Order) and handled.outcome is Outcome.DEAD_LETTERED and handled.cause is not None:
            self._note(order.order_id, handled.cause)
        self._worklog.write("finished", **about, outcome=handled.outcome, cause=handled.cause)
        return handled

    def _handle(
        self, message: Message, order: Order | RejectedError, started_at: float, release: Callable[[], None]
    ) -> Handled:
        if isinstance(order, RejectedError):
            return self._dead_letter(message, order.cause, release, database_answered=None)
        try:
            self._work(self._work_s_by_sku.get(order.sku, self._work_s))
            result = self._store.process(order, self._delivery(message, started_at))
        except RejectedError as error:
            return self._dead_letter(message, error.cause, release, database_answered=True)
        except DatabaseUnavailableError as error:
            release()
            self._give_back(message, UNAVAILABLE_AFTER_S)
            return Handled(Outcome.RETURNED, str(error), database_answered=False)
        except Exception as error:
            # A fault of ours: the message stays, and the redrive policy decides how often it is tried.
            log.exception("order %s failed", order.order_id)
            return self._fail(message, f"{type(error).__name__}: {error}", release, database_answered=None)
        release()
        self._delete(message)
        return Handled(Outcome(result.value), database_answered=True)

    def _note(self, order_id: str, cause: str) -> None:
        # For the page alone: the dead-letter queue has the order and its cause, so that a note may be missing.
        try:
            self._store.note_dead_letter(order_id, cause)
        except (DatabaseUnavailableError, DataRefusedError) as error:
            log.warning("%s is dead-lettered, and the database has no note of it: %s", order_id, error)

    def _delivery(self, message: Message, started_at: float) -> Delivery:
        return Delivery(
            sent_at=message.sent_at,
            started_at=started_at,
            receive_count=message.receive_count,
            attempts=contract.attempts_of(message.attributes),
            worked_by=self._instance,
        )

    def _dead_letter(
        self, message: Message, cause: str, release: Callable[[], None], *, database_answered: bool | None
    ) -> Handled:
        if not self._queue.has_dead_letters:
            return self._fail(message, cause, release, database_answered=database_answered)
        try:
            stamped = contract.stamp(
                message.attributes, cause=cause, source=self._queue.arn, first_sent_at=message.sent_at
            )
            if stamped is None:
                log.warning("%s has no room for its cause (%s): left to the redrive policy", message.message_id, cause)
                return self._fail(message, cause, release, database_answered=database_answered)
            self._queue.send_dead_letter(message, stamped)
        except QueueError as error:
            log.warning(
                "%s could not be dead-lettered, and is left to the redrive policy: %s", message.message_id, error
            )
            return self._fail(message, cause, release, database_answered=database_answered)
        release()
        self._delete(message)
        return Handled(Outcome.DEAD_LETTERED, cause, database_answered)

    def _fail(
        self, message: Message, cause: str, release: Callable[[], None], *, database_answered: bool | None
    ) -> Handled:
        release()
        doublings = min(message.receive_count - 1, 10)
        self._give_back(message, min(MAX_RETRY_AFTER_S, RETRY_AFTER_S * 2**doublings))
        return Handled(Outcome.FAILED, cause, database_answered)

    def _delete(self, message: Message) -> None:
        try:
            self._queue.delete(message)
        except QueueError as error:
            # It will be delivered again, and recognised as done.
            log.warning("%s is done but could not be deleted: %s", message.message_id, error)

    def _give_back(self, message: Message, after_s: int) -> None:
        try:
            self._queue.set_visibility(message, after_s)
        except QueueError as error:
            # Its visibility timeout ends by itself.
            log.warning("%s could not be given back early: %s", message.message_id, error)
