"""docs/consumers.md as a reader uses it: its lines start a sandbox with Celery as the consumer, and send it tasks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.sandbox.sandbox import missing
from tests.support.consumers_page import block_with
from tests.support.pasted import fresh_copy

pytestmark = pytest.mark.sandbox

UP = "Ctrl-C stops everything."
UP_WITHIN_S, ENDED_WITHIN_S = 600.0, 120.0


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as an operator has it."""
    if problem := missing():
        pytest.skip(f"CONSUMERS PAGE NOT RUN: {problem}")
    return fresh_copy(tmp_path)


@pytest.fixture
def exports(copy: Path) -> Iterator[str]:
    """The exports that the page's first line prints, while what it started runs; then Ctrl-C ends it."""
    printed = copy / "printed.txt"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV"))}
    with (
        printed.open("w") as output,
        subprocess.Popen(
            ["bash", "-c", block_with("bin/celery")], cwd=copy, env=env | {"COLUMNS": "200"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            until = time.monotonic() + UP_WITHIN_S
            while UP not in printed.read_text():
                assert process.poll() is None, printed.read_text()[-3_000:]
                assert time.monotonic() < until, printed.read_text()[-3_000:]
                time.sleep(0.2)
            (line,) = re.findall(r"^ +(export .*)$", printed.read_text(), re.MULTILINE)
            yield line
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(ENDED_WITHIN_S)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def test_own_consumer_works_when_the_page_is_followed(copy: Path, exports: str, eventually: Callable[..., Any]) -> None:
    """The fleet starts from no instance, does each of the tasks once, with the permissions of the instance's role."""
    sent = subprocess.run(
        ["bash", "-eu", "-c", f"{exports}\n{block_with('celery_tasks.py 6')}"],
        cwd=copy, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (sent.returncode, sent.stdout) == (0, "sent 6 tasks of 1 s\n"), sent.stderr

    def done() -> list[int]:
        log = copy / "build/sandbox/work.jsonl"
        lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
        return sorted(line["task"] for line in lines if line["event"] == "done")

    assert eventually(lambda: len(done()) >= 6 and done()) == list(range(6))
