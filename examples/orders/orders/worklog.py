"""One line of JSON for each order begun and each let go of, so that an audit can prove that none was interrupted.

A line has `at` (epoch seconds), `event`, `instance`, `process`, and what the event is about:

- `started`: a worker began; with `message_id`, `order_id` (null where the body is no order) and `receive_count`.
- `finished`: that worker is done; the same and `outcome` (see `handling.Outcome`) and, where there is one, `cause`.
- `draining`: the process was asked to stop; `working` counts what it has to finish.
- `drained`: the process stops, with counts of everything; its `interrupted` counts what was begun and given up.
- anything else is for people.

A process that is killed writes nothing any more: what it had begun shows as started and never finished.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class WorkLog:
    """Writes lines, whole ones, from several threads and from several processes to one file."""

    def __init__(self, instance: str, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Open the log.

        Args:
            instance: Who writes.
            path: A file to append to; None for standard output, which systemd takes to the journal.
            clock: Epoch seconds.
        """
        self._instance = instance
        self._clock = clock
        if path is None:
            self._file = sys.stdout.fileno()
        else:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: str, **about: object) -> None:
        """Append one line; see the module for the events."""
        line = {"at": round(self._clock(), 3), "event": event, "instance": self._instance, "process": os.getpid()}
        # One write of one whole line in append mode: lines of several writers do not mix.
        os.write(self._file, (json.dumps(line | about) + "\n").encode())


@dataclass(frozen=True, slots=True)
class WorkAudit:
    """What the lines of one or more work logs say.

    Attributes:
        started: Times work on a message began.
        outcomes: Outcome -> times.
        interrupted: Beginnings without an end, each as (instance, message id).
        drains: Processes that stopped as they should.
    """

    started: int
    outcomes: dict[str, int]
    interrupted: tuple[tuple[str, str], ...]
    drains: int


def read_worklog(lines: Iterable[str]) -> WorkAudit:
    """Sum up the lines of work logs; lines that are not of a work log are passed over."""
    open_work: Counter[tuple[str, int, str]] = Counter()
    outcomes: Counter[str] = Counter()
    started = drains = 0
    for line in lines:
        entry = _entry(line)
        match entry.get("event"):
            case "started":
                started += 1
                open_work[_work(entry)] += 1
            case "finished":
                outcomes[str(entry.get("outcome"))] += 1
                open_work[_work(entry)] -= 1
            case "drained":
                drains += 1
            case _:
                pass
    interrupted = tuple((instance, message_id) for instance, _, message_id in sorted(open_work.elements()))
    return WorkAudit(started, dict(outcomes), interrupted, drains)


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _work(entry: dict[str, Any]) -> tuple[str, int, str]:
    return str(entry.get("instance")), int(entry.get("process", 0)), str(entry.get("message_id"))
