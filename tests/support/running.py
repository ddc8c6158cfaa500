"""A long-running command that a test starts, reads and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.demo.sandbox import STOPPED, STOPPING
from tests.support.processes import processes_of, until_over

UP = "Ctrl-C stops everything."
UP_WITHIN_S, ENDED_WITHIN_S = 600.0, 120.0


@dataclass(slots=True)
class Running:
    """A sandbox that a line started in a folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def printed(self) -> str:
        """All that it has printed so far."""
        return (self.folder / "printed.txt").read_text()

    def until_printed(self, text: str) -> None:
        """Wait until it prints a text."""
        until = time.monotonic() + UP_WITHIN_S
        while text not in self.printed:
            assert self.process.poll() is None, self.printed[-3_000:]
            assert time.monotonic() < until, self.printed[-3_000:]
            time.sleep(0.2)

    def is_over(self) -> None:
        """Check that it said that it stops and that all has stopped, and that no process of it is left."""
        self.process.wait(ENDED_WITHIN_S)
        assert until_over(processes_of(self.folder)) == [], self.printed[-3_000:]
        assert self.printed.index(STOPPING) < self.printed.index(STOPPED)
        assert "Traceback" not in self.printed


@contextlib.contextmanager
def started(line: str, folder: Path, **environ: str) -> Iterator[Running]:
    """What a line starts in a folder; killed at the end, should it still run."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV"))}
    with (
        (folder / "printed.txt").open("w") as output,
        subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=folder, env=env | {"COLUMNS": "200"} | environ,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield Running(folder, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
