"""The consumers' own work log: which orders were begun and which were interrupted, and which instances drained."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_tools.order_traffic import Sent


@dataclass(frozen=True, slots=True)
class UnfinishedWork:
    """Work on a message that was begun and has not ended."""

    instance: str
    message_id: str
    order_id: str | None
    at: float


class WorkLog:
    """Follows the one file that every consumer appends to. Safe to use from several threads."""

    def __init__(self, path: Path, sent: Callable[[], dict[str, Sent]]) -> None:
        self._path = path
        self._sent = sent
        self._lock = threading.Lock()
        self._offset = 0
        self._started: dict[str, float] = {}  # order id -> first begun at
        self._open: dict[tuple[str, int, str], UnfinishedWork] = {}
        self._drained: list[str] = []

    def started(self) -> dict[str, float]:
        """Order id -> when work on it first began."""
        self._follow()
        with self._lock:
            return dict(self._started)

    def open(self) -> list[UnfinishedWork]:
        """Work that was begun and has not ended."""
        self._follow()
        with self._lock:
            return list(self._open.values())

    def drained(self) -> list[str]:
        """Instances whose consumer reported a complete drain."""
        self._follow()
        with self._lock:
            return list(self._drained)

    def oldest_waiting_s(self, now: float) -> float:
        """Seconds that the oldest accepted order has waited for work on it to begin; 0 where none waits."""
        started = self.started()
        waiting = [one.sent_at for order_id, one in self._sent().items() if order_id not in started]
        return max(0.0, now - min(waiting)) if waiting else 0.0

    def _follow(self) -> None:
        with self._lock:
            if not self._path.exists():
                return
            with self._path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
            whole = fresh.rfind(b"\n") + 1
            self._offset += whole
            for line in fresh[:whole].splitlines():
                self._take(json.loads(line))

    def _take(self, entry: dict[str, Any]) -> None:
        key = (str(entry["instance"]), int(entry["process"]), str(entry.get("message_id")))
        match entry["event"]:
            case "started":
                order_id = entry.get("order_id")
                self._open[key] = UnfinishedWork(key[0], key[2], order_id, entry["at"])
                if order_id is not None:
                    self._started.setdefault(order_id, entry["at"])
            case "finished":
                self._open.pop(key, None)
            case "drained":
                self._drained.append(key[0])
            case _:
                pass
