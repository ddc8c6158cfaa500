"""Sends orders through the front end's own interface, and keeps which were accepted, and when."""

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

REQUEST_TIMEOUT_S = 10.0
"""The front end only enqueues: its answer takes milliseconds, or it is not there."""
SLICE_S = 0.25
"""Orders are sent in slices of this length, so that a rate of 40 a second is not 40 requests a second."""


class NotAcceptedError(RuntimeError):
    """The front end did not accept an order."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One accepted order."""

    order_id: str
    sent_at: float
    act: int
    poison: bool


class Traffic:
    """A thread that keeps sending orders at the rate it was last told; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
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
        """Send no more."""
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
        """From now on, this many orders a second."""
        self._rate_per_s = rate_per_s

    def place(self, sku: str, *, poison: bool = False) -> str:
        """Send one order of an item; its id."""
        order_id = str(uuid.uuid4())
        now = time.time()
        self._post("/orders", {"order_id": order_id, "customer": "The demo", "sku": sku, "quantity": 1})
        self._keep([order_id], now, poison=poison)
        return order_id

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
                answer = self._post("/orders/load", {"count": count})
                self._keep(answer["order_ids"], sent_at, poison=False)
            except NotAcceptedError as error:
                self._problem = error
                return

    def _keep(self, order_ids: list[str], sent_at: float, *, poison: bool) -> None:
        with self._lock:
            for order_id in order_ids:
                self._sent[order_id] = Sent(order_id, sent_at, self._act, poison)

    def _post(self, path: str, data: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the demo's own front end
            self._url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310 - as above
                return json.loads(answer.read())
        except (OSError, ValueError) as error:
            raise NotAcceptedError(f"POST {path}: {error}") from error
