"""Extends the visibility of messages in time, so that they stay hidden while they are worked on."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .sqs import Message, Queue, QueueError

log = logging.getLogger("orders")

MAX_HIDDEN_S: Final = 12 * 3600
"""A message can be hidden for no longer than 12 hours from its receipt (source: "Amazon SQS visibility timeout")."""

SHARE: Final = 3
"""Extended when a third of the visibility has passed: one extension may fail and the next still comes in time."""


@dataclass(slots=True)
class _Held:
    message: Message
    received_at: float
    due_at: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: bool = False


class VisibilityExtender:
    """Extends the visibility of the messages that are held. `tick` does the work; `run` is its loop."""

    def __init__(self, queue: Queue, visibility_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold nothing yet; `visibility_s` is how long each extension lasts, at least 3 s."""
        self._queue = queue
        self._visibility_s = visibility_s
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def interval_s(self) -> float:
        """Seconds between two extensions of one message."""
        return self._visibility_s / SHARE

    def hold(self, message: Message, received_at: float) -> None:
        """Keep a message hidden from now on; its visibility began at this time, or a network delay before."""
        with self._lock:
            self._held[message.receipt] = _Held(message, received_at, received_at + self.interval_s)

    def release(self, message: Message) -> None:
        """Extend no more; an extension under way is waited for, so that it cannot undo what comes next."""
        with self._lock:
            held = self._held.pop(message.receipt, None)
        if held is not None:
            with held.lock:
                held.released = True

    def tick(self) -> None:
        """Extend everything that is due."""
        now = self._clock()
        with self._lock:
            due = [held for held in self._held.values() if held.due_at <= now]
        for held in due:
            self._extend(held, now)

    def _extend(self, held: _Held, now: float) -> None:
        longest_s = int(held.received_at + MAX_HIDDEN_S - now)
        with held.lock:
            if held.released:
                return
            held.due_at = now + self.interval_s
            if longest_s <= 0:
                return
            try:
                self._queue.set_visibility(held.message, min(self._visibility_s, longest_s))
            except QueueError as error:
                # At worst it is delivered a second time, and recognised by whoever is second to commit.
                log.warning("visibility of %s could not be extended: %s", held.message.message_id, error)

    def run(self) -> None:
        """Tick until `end` is called."""
        # Four ticks an interval: no extension is later than a quarter of its interval.
        while not self._ended.wait(self.interval_s / 4):
            self.tick()

    def end(self) -> None:
        """End the loop."""
        self._ended.set()
