"""``aws.*`` events: what AWS services themselves put on the default event bus.

PutEvents refuses ``aws.`` sources, to us as to everyone; ministack's own emitters pass a flag, and so do these.
Delivery runs on one thread of its own, so that whoever emits (often under a lock) never waits for a target.

AWS pages: "AWS service events" (eventbridge/latest/userguide/eb-service-event.html); best effort, so a target that
fails loses nothing but this event.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_responses = Host("core.responses", "request_scope", "get_account_id", "get_region")
_eventbridge = Host("services.eventbridge", "_put_events")

log = logging.getLogger("sandbox.events")


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and region in which ministack's state is looked up."""

    account: str
    region: str

    @classmethod
    def current(cls) -> Scope:
        """Those of the request being handled."""
        return cls(_responses["get_account_id"](), _responses["get_region"]())

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Make them the present ones: a background thread has none of its own."""
        with _responses["request_scope"](self.account, self.region):
            yield

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a regional resource."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def iso(at: float) -> str:
    """Epoch seconds in the form AWS writes in events, in whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(at: float) -> str:
    """Epoch seconds in the form the query APIs write, in milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Worker:
    """One thread that does small jobs in order: deliveries that nobody should wait for."""

    def __init__(self, name: str) -> None:
        """Start the thread; it ends with the process."""
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, job: Callable[[], None]) -> None:
        """Do it later; an exception is logged and ends nothing else."""
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                log.exception("a delivery failed")


class Bus:
    """Puts AWS's own events on the default bus."""

    def __init__(self) -> None:
        """Start the delivering thread."""
        self._worker = Worker("sandbox-events")

    def emit(
        self, scope: Scope, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]
    ) -> None:
        """Emit one event of an ``aws.`` source."""
        entry = {
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": list(resources),
        }
        log.info("%s: %s %s", source, detail_type, ", ".join(resources))

        def deliver() -> None:
            with scope.entered():
                _eventbridge["_put_events"]({"Entries": [entry]}, allow_aws_source=True)

        self._worker.do(deliver)


class Ticker:
    """A background thread that calls ``step`` every ``period_s`` or as soon as it is woken."""

    def __init__(self, name: str, period_s: float, step: Callable[[float], None]) -> None:
        """Prepare it; ``step`` gets the time in epoch seconds."""
        self._period_s = period_s
        self._step = step
        self._woken = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def wake(self) -> None:
        """Tick now."""
        self._woken.set()

    def close(self) -> None:
        """Tick no more; returns when the last tick is over."""
        self._ended = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._ended:
            self._woken.wait(self._period_s)
            self._woken.clear()
            if self._ended:
                return
            try:
                self._step(time.time())
            except Exception:
                log.exception("%s: a tick failed", self._thread.name)
