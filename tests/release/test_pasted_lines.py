"""What documents print can be pasted: every shell line that needs no account is run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sluice_tools.sandbox.sandbox import ROOT, missing
from tests.support.consumers_page import consumer_commands
from tests.support.pasted import (
    DOCUMENTS_ELSEWHERE,
    ELSEWHERE,
    FOLLOWED,
    SHELL_LANGUAGES,
    Block,
    blocks,
    documents,
    fresh_copy,
    shell_blocks,
)

pytestmark = pytest.mark.sandbox

TIMEOUT_S = 180.0
"""Of one block; the longest takes half a minute on two cores."""
SANDBOX_RUNS = "it runs until Ctrl-C; tests/release/test_consumers_page.py runs it"
NOT_RUN: Mapping[str, str] = {
    **{f'make sandbox CONSUMER="{command}"': SANDBOX_RUNS for command in consumer_commands().values()},
    ".venv/bin/sluice sandbox": "it runs until Ctrl-C; the tests of the lines of `make sandbox` run it",
    "make demo": "four minutes; tests/e2e/test_demo.py runs it",
    "make aws-smoke SANDBOX=1": "minutes; tests/release/test_smoke.py runs it",
    "make test": "CI runs it before this test",
    "make wheel": "tests/release/test_installed.py builds one, installs it and deploys by the lines below this one",
    "make setup": "compiles the planner for minutes where it was not yet; the environments are those of this test",
    'make traces ARGS="--no-download flight_schedule nab_elb_requests tweets_aapl bank_calls"': "installs 80 MB of"
    " packages; tests/integration/test_recorded_traces.py makes traces of short files",
    ".venv/bin/sluice backtest --matrix": "minutes; tests/unit/sluice_tools/backtest/test_command.py runs it on short"
    " traces",
    ".venv/bin/sluice backtest --worlds --seeds 3 --json": "minutes; the line above it runs two worlds, and"
    " tests/unit/sluice_tools/backtest/test_command.py shows that without names all are run",
}
"""Lines that run here and are left out, each with its reason; that their target exists is still looked at."""
DEPLOYED = ("README.md", "Deploy it")
"""tests/release/test_front_door.py pastes these lines, with a sandbox behind them."""
PROGRAMS = re.compile(r"^\s*(?:make|sam|sluice|aws|python3?|export|pip|uv|\.venv/\S+|\.envs/\S+)\s", re.MULTILINE)
NOT_ON_PATH = re.compile(r"^(?:sam|sluice|python3?|pytest)\s")

INSTALLED = ("docs/install.md",)
"""Documents whose first lines install `sluice` so that it is on the path; tests/release/test_installed.py runs them."""
NAMED_ONLY = (
    "sam deploy --guided",
    "sam deploy --config-env prod",
    "sam deploy --template-file .aws-sam/build/template.yaml",
)
"""Spans that speak of a command, below or above a block that gives it with its path."""

HERE = [block for block in shell_blocks() if block.runs_here and (block.document, block.section) != DEPLOYED]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as an operator has it."""
    if problem := missing():
        pytest.skip(f"PASTED LINES NOT RUN: {problem}")
    return fresh_copy(tmp_path_factory.mktemp("pasted"))


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """A script in a shell that has neither an account nor the project's programs on its path."""
    path = [part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part and ".envs" not in part]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV"))}
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=directory,
        env=env | {"PATH": os.pathsep.join(path), "SAM_CLI_TELEMETRY": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("block", HERE, ids=lambda block: f"{block.document}-{block.section}".replace(" ", "_"))
def test_lines_work_when_pasted(block: Block, copy: Path) -> None:
    """A block at a time, as printed, in a shell of its own."""
    left_out = [line for line in block.lines if line in NOT_RUN]
    script = "\n".join(
        "make --dry-run " + line.removeprefix("make ") + " >/dev/null" if line.startswith("make ") else "true"
        for line in left_out
    )
    script += "\n" + "\n".join(line for line in block.lines if line not in NOT_RUN)

    done = run(script, copy)

    assert done.returncode == 0, f"{script}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"


def test_excluded_lines_are_printed_when_excluded() -> None:
    """A line that no document prints any more leaves the list."""
    printed = {line for block in shell_blocks() for line in block.lines}

    assert set(NOT_RUN) <= printed


def test_account_lines_have_their_test_when_they_are_printed() -> None:
    """Each document with such lines is followed on the sandbox, or says which test runs them or why none does."""
    wanting = [block for block in shell_blocks() if not block.runs_here]
    printed = [line for block in wanting if block.document in FOLLOWED for line in block.lines]

    assert {block.document for block in wanting} - set(FOLLOWED) == set(DOCUMENTS_ELSEWHERE)
    assert all(any(line.startswith(start) for line in printed) for start in ELSEWHERE)
    for reason in [*ELSEWHERE.values(), *DOCUMENTS_ELSEWHERE.values()]:
        named = re.findall(r"tests/[\w/]+\.py", reason)
        assert named or reason.startswith("not run: "), reason
        assert all((ROOT / name).exists() for name in named), reason


def test_blocks_name_their_language_when_they_are_for_a_shell() -> None:
    """No command hides in a block that the tests take for a picture or an output."""
    hidden = [
        f"{block.document}: {block.text[:80]}"
        for path in documents()
        for block in blocks(path)
        if block.language not in SHELL_LANGUAGES and PROGRAMS.search(block.text)
    ]

    assert not hidden


def test_programs_are_named_by_their_path_when_nothing_put_them_on_it() -> None:
    """`sam` and `sluice` are in environments of the project: their bare names are "command not found"."""
    bare = [
        f"{block.document}: {line}"
        for block in shell_blocks()
        if "export PATH=" not in block.text and block.document not in INSTALLED
        for line in block.lines
        if NOT_ON_PATH.match(line)
    ]
    for path in documents():
        if str(path.relative_to(ROOT)) in INSTALLED:
            continue
        spans = re.findall(r"`((?:sam|sluice|python3?) [^`]*--[^`]*)`", path.read_text())
        bare += [f"{path.name}: {span}" for span in spans if span not in NAMED_ONLY]

    assert not bare


def test_account_blocks_say_what_they_need_when_they_are_not_run() -> None:
    """The mark is there for a reader: a block with a placeholder or an AWS call is never taken for one that runs."""
    wrong = [
        f"{block.document}: {line}"
        for block in HERE
        for line in block.lines
        if "..." in line or re.match(r"aws |\.envs/sam/bin/sam (deploy|delete)", line)
    ]

    assert not wrong
