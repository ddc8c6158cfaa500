"""Sends orders at a rate, through the front end or straight to the queue, and records which were accepted, and when."""

import itertools
import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from botocore.exceptions import BotoCoreError, ClientError

REQUEST_TIMEOUT_S = 10.0
"""The front end only enqueues: its answer takes milliseconds, or it is not there."""
SLICE_S = 0.25
"""Orders are sent in slices of this length, so that a rate of 40 a second is not 40 requests a second."""


BATCH = 10
"""The most messages of one SendMessageBatch."""
CUSTOMER = "A story"


class NotAcceptedError(RuntimeError):
    """An order was not accepted."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One accepted order."""

    order_id: str
    sent_at: float
    act: int
    poison: bool


class Shop(Protocol):
    """Takes orders."""

    def place(self, order_id: str, sku: str) -> None:
        """Take one order of one item.

        Raises:
            NotAcceptedError: It was not accepted.
        """
        ...

    def load(self, count: int) -> list[str]:
        """Take `count` orders of what the catalogue has; the ids of those that were accepted.

        Raises:
            NotAcceptedError: None was accepted.
        """
        ...


class FrontEnd:
    """The example's own front end, over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def place(self, order_id: str, sku: str) -> None:
        """See `Shop`."""
        self._post("/orders", {"order_id": order_id, "customer": CUSTOMER, "sku": sku, "quantity": 1})

    def load(self, count: int) -> list[str]:
        """See `Shop`."""
        order_ids: list[str] = self._post("/orders/load", {"count": count})["order_ids"]
        return order_ids

    def _post(self, path: str, data: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the demo's own front end
            self._url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310 - as above
                return json.loads(answer.read())
        except (OSError, ValueError) as error:
            raise NotAcceptedError(f"POST {path}: {error}") from error


class OrderQueue:
    """The order queue itself, for whoever has the right to send to it: what the front end does, without it."""

    def __init__(self, sqs: Any, queue_url: str, skus: Sequence[str]) -> None:
        """Send to a queue.

        Args:
            sqs: boto3's client.
            queue_url: the order queue.
            skus: what `load` orders, in turn; the catalogue has all of them.
        """
        self._sqs, self._queue_url, self._skus = sqs, queue_url, tuple(skus)

    def place(self, order_id: str, sku: str) -> None:
        """See `Shop`."""
        if self._send([(order_id, sku)]) != [order_id]:
            raise NotAcceptedError(f"SQS did not accept order {order_id}")

    def load(self, count: int) -> list[str]:
        """See `Shop`."""
        orders = [(str(uuid.uuid4()), self._skus[number % len(self._skus)]) for number in range(count)]
        accepted = [
            order_id for batch in itertools.batched(orders, BATCH, strict=False) for order_id in self._send(batch)
        ]
        if not accepted:
            raise NotAcceptedError(f"SQS accepted none of {count} orders")
        return accepted

    def _send(self, orders: Sequence[tuple[str, str]]) -> list[str]:
        entries = [
            {
                "Id": str(number),
                "MessageBody": json.dumps({"order_id": order_id, "customer": CUSTOMER, "sku": sku, "quantity": 1}),
            }
            for number, (order_id, sku) in enumerate(orders)
        ]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise NotAcceptedError(f"SendMessageBatch: {error}") from error
        return [orders[int(entry["Id"])][0] for entry in answer.get("Successful", ())]


class Traffic:
    """A thread that sends orders at the rate that was set last; a context manager."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._rate_per_s = 0.0
        self._act = 0
        self._lock = threading.Lock()
        self._sent: dict[str, Sent] = {}
        self._problem: Exception | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        """Begin, at no rate."""
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop sending."""
        self._end.set()
        self._thread.join(timeout=REQUEST_TIMEOUT_S)

    @property
    def sent(self) -> dict[str, Sent]:
        """Every accepted order so far, by id."""
        if self._problem is not None:
            raise self._problem
        with self._lock:
            return dict(self._sent)

    def act(self, number: int) -> None:
        """Orders sent from now on belong to this act."""
        self._act = number

    def at(self, rate_per_s: float) -> None:
        """From now on, send this many orders a second."""
        self._rate_per_s = rate_per_s

    def burst(self, count: int) -> int:
        """Send this many orders at once; how many were accepted."""
        sent_at = time.time()
        order_ids = self._shop.load(count)
        self._keep(order_ids, sent_at, poison=False)
        return len(order_ids)

    def place(self, sku: str, *, poison: bool = False) -> str:
        """Send one order of an item; its id."""
        order_id = str(uuid.uuid4())
        now = time.time()
        self._shop.place(order_id, sku)
        self._keep([order_id], now, poison=poison)
        return order_id

    def note(self, order_id: str, sent_at: float) -> None:
        """Count an order that somebody else has sent, and that was accepted, as one of these."""
        self._keep([order_id], sent_at, poison=False)

    def _run(self) -> None:
        owed = 0.0
        before = time.monotonic()
        while not self._end.wait(SLICE_S):
            now = time.monotonic()
            owed += self._rate_per_s * (now - before)
            before = now
            if (count := int(owed)) < 1:
                continue
            owed -= count
            try:
                sent_at = time.time()
                self._keep(self._shop.load(count), sent_at, poison=False)
            except NotAcceptedError as error:
                self._problem = error
                return

    def _keep(self, order_ids: list[str], sent_at: float, *, poison: bool) -> None:
        with self._lock:
            for order_id in order_ids:
                self._sent[order_id] = Sent(order_id, sent_at, self._act, poison)
