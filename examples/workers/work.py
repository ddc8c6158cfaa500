"""The work of both examples: a task that takes a number of seconds, and a task that always fails."""

import json
import os
import sys
import time
from pathlib import Path


def work(number: int, seconds: float) -> None:
    """Work on task `number` for so many seconds, and note its beginning and its end.

    Raises:
        ValueError: The number is negative: the task is a poison message.
    """
    note("begun", number)
    if number < 0:
        raise ValueError(f"no task has the number {number}")
    time.sleep(seconds)
    note("done", number)


def note(event: str, number: int) -> None:
    """Append one line of JSON to the file that WORK_LOG names, or print it."""
    line = json.dumps({"event": event, "task": number, "at": time.time(), "pid": os.getpid()}) + "\n"
    path = os.environ.get("WORK_LOG")
    if path is None:
        sys.stdout.write(line)
        return
    with Path(path).open("a") as log:  # one write of one short line: lines of several processes are not mixed
        log.write(line)


def asked(arguments: list[str]) -> tuple[range, float]:
    """The tasks that a command line asks for: how many, and the seconds of each (1 without)."""
    count, seconds = int(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 1.0
    return range(count), seconds
