"""Which processes of this machine are alive, which of them belong to a folder, and the consumer that most tests run."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def orderly(finishes_s: float) -> str:
    """A shell's line for a consumer that finishes what it is at when asked to stop, and tells `drained`.

    Its `sleep` may get the signal before the shell does: it waits on, for its own.
    """
    return f"trap 'kill $!; sleep {finishes_s:g}; echo drained; exit 0' TERM; while :; do sleep 1000 & wait; done"


def running(pid: int) -> bool:
    """Whether a process is alive; one that is over but not yet waited for is not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it may end between any two steps of a look
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def until_over(pids: list[int], within_s: float = 20.0) -> list[int]:
    """Wait for processes to end; those that did not."""
    deadline = time.monotonic() + within_s
    while (left := [pid for pid in pids if running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def processes_of(folder: Path) -> list[int]:
    """The processes that work in a folder, or whose command or environment names it; this one is never among them."""
    name, found = str(folder).encode(), []
    for process in Path("/proc").iterdir():
        # Processes end while this looks, and those of another user do not tell.
        with contextlib.suppress(OSError):
            if process.name.isdigit() and int(process.name) != os.getpid():
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                if name in told + os.fsencode((process / "cwd").readlink()):
                    found.append(int(process.name))
    return [pid for pid in found if running(pid)]
