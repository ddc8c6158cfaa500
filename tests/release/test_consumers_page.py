"""docs/consumers.md as a reader uses it: its lines start a sandbox with Celery as the consumer, and send it tasks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.demo.sandbox import STOPPING
from sluice_tools.sandbox.sandbox import missing
from tests.support.consumers_page import block_with
from tests.support.pasted import fresh_copy, with_builds
from tests.support.processes import processes_of
from tests.support.running import UP, Running, started

pytestmark = pytest.mark.sandbox


@contextlib.contextmanager
def started_in_copy(line: str, directory: Path) -> Iterator[Running]:
    """What a line starts in a copy of the repository, in which no sources changed since the last build."""
    if problem := missing():
        pytest.skip(f"CONSUMERS PAGE NOT RUN: {problem}")
    with started(line, with_builds(fresh_copy(directory))) as running:
        yield running


@pytest.fixture(scope="module")
def sandbox_of_celery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What the page's first line starts, once it is up."""
    with started_in_copy(block_with("bin/celery").strip(), tmp_path_factory.mktemp("consumers")) as running:
        running.until_printed(UP)
        yield running


def test_own_consumer_works_when_the_page_is_followed(
    sandbox_of_celery: Running, eventually: Callable[..., Any]
) -> None:
    """The fleet starts from no instance, does each of the tasks once, with the permissions of the instance's role."""
    (exports,) = re.findall(r"^ +(export .*)$", sandbox_of_celery.printed, re.MULTILINE)
    copy = sandbox_of_celery.folder
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


def test_everything_ends_when_ctrl_c_is_pressed_twice(sandbox_of_celery: Running) -> None:
    """Consumers, functions and emulator end and it says so, although whoever presses it is impatient."""
    assert len(processes_of(sandbox_of_celery.folder)) >= 3
    for _ in range(2):  # a terminal sends it to every process of the line
        os.killpg(sandbox_of_celery.process.pid, signal.SIGINT)
        sandbox_of_celery.until_printed(STOPPING)

    sandbox_of_celery.is_over()


def test_everything_ends_when_it_is_terminated_while_it_starts(tmp_path: Path) -> None:
    """As from a service manager: the emulator runs, and the example is being deployed."""
    with started_in_copy("make sandbox", tmp_path) as running:
        running.until_printed("Deploying examples/orders")
        running.process.terminate()

        running.is_over()
