"""No input of the `sluice` command ends in a traceback, in an exit code that is not documented, or never.

It runs a few hundred inputs. SLUICE_FUZZ_INPUTS=5000 runs as many as it says, from SLUICE_FUZZ_SEED on:

    SLUICE_FUZZ_INPUTS=5000 .venv/bin/python -m pytest tests/unit/sluice_tools/commands/test_fuzz.py -s
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.memory.account import MemoryAccount
from sluice_tools import cli, doctor, enroll, fleet_options
from sluice_tools.commands import functions
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import ExitCode
from sluice_tools.sources import CHECKOUT
from tests.support import command_fuzz
from tests.support.account_world import sound
from tests.support.command_line import set_up_caller
from tests.support.stack_functions import StackFunctions

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SLUICE_FUZZ_INPUTS", "250"))
SEED = os.environ.get("SLUICE_FUZZ_SEED", "1")
DOCUMENTED = {ExitCode.DONE, ExitCode.BAD, ExitCode.USAGE, ExitCode.UNREACHABLE, ExitCode.INTERRUPTED}
READS_A_TERMINAL = 0.3  # share of inputs whose output is a terminal


class Output(io.StringIO):
    """Standard output, or standard error, which may be a terminal."""

    terminal = False

    def isatty(self) -> bool:
        """Whether it is one."""
        return self.terminal


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Files that an input may name; what a command writes stays in their folder."""
    return command_fuzz.files_in(tmp_path, Random(SEED))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryAccount:
    """Everything that a command would ask over a network or simulate for minutes, in memory."""
    from sluice_tools.backtest import command

    there = sound()
    set_up_caller(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for module in (doctor, enroll):
        monkeypatch.setattr(module, "AwsAccount", lambda _clients: there)
    monkeypatch.setattr(enroll, "AwsTagWriter", lambda _clients: there)
    monkeypatch.setattr(doctor, "learned_warnings", lambda *_: ("learned",))
    monkeypatch.setattr(doctor, "unit_warnings", lambda *_: ())
    fleet = (command_fuzz.EXAMPLES / "fleet.json").read_text()
    documents = {"orders": SimpleNamespace(text=fleet), "main": SimpleNamespace(text="{")}
    monkeypatch.setattr(fleet_options, "ParameterDocuments", lambda *_: SimpleNamespace(all=lambda: documents))
    monkeypatch.setattr("sluice_tools.deploy.command.deployment_folder", lambda: CHECKOUT)
    monkeypatch.setattr("sluice_tools.deploy.publish.deployment_folder", no_history)
    monkeypatch.setattr("sluice_tools.demo.sandbox._run", lambda *_, **__: None)
    run = simulated(tmp_path)
    monkeypatch.setattr(command, "_run", lambda *_: ([run], [run]))
    monkeypatch.setattr(command, "with_bounds", lambda runs, *_: runs)
    monkeypatch.setattr(command, "run_worlds", lambda *_: [])
    monkeypatch.setattr(command, "workloads", lambda *_, **__: [])
    monkeypatch.setattr(command, "_read_history", lambda *_: no_history())
    return there


class Away:
    """A client of a service that cannot be reached."""

    meta = SimpleNamespace(region_name="eu-west-1", partition="aws")

    def __getattr__(self, _operation: str) -> Any:
        return no_history


def simulated(directory: Path) -> Any:
    """One real run of one policy, to be shown."""
    from sluice_tools.backtest.conditions import Conditions
    from sluice_tools.backtest.study import Task, run_tasks
    from sluice_tools.backtest.trace_files import read

    trace = directory / "trace.csv"
    trace.write_text("minute,arrivals\n0,3\n1,5\n2,0\n")
    conditions = Conditions(target_wait_s=120.0, boot_s=60.0, seconds_per_message=1.0)
    (run,) = run_tasks([Task(read(trace)[0], "fixed", conditions)], 1)
    return run


def no_history(**_: object) -> None:
    """A service, away."""
    from botocore.exceptions import EndpointConnectionError

    raise EndpointConnectionError(endpoint_url="http://localhost")


def run(given: command_fuzz.Input, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, output and errors of one input."""
    lambda_ = StackFunctions(given.answers).stand_in(monkeypatch)

    def client(aws: AwsOptions, service: str, _config: object = None) -> object:
        aws.session()  # what cannot be used of the options is found as it is with AWS
        return lambda_ if service == "lambda" else Away()

    monkeypatch.setattr(functions, "lambda_client", lambda aws: client(aws, "lambda"))
    monkeypatch.setattr(AwsOptions, "client", client)
    rng = Random(given.seed)
    out, err = Output(), Output()
    out.terminal = err.terminal = rng.random() < READS_A_TERMINAL
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("COLUMNS", str(rng.choice([1, 20, 80, 200])))
    try:
        return cli.run(given.arguments), out.getvalue(), err.getvalue()
    finally:
        monkeypatch.setattr(sys, "stdout", sys.__stdout__)
        monkeypatch.setattr(sys, "stderr", sys.__stderr__)


def problem(given: command_fuzz.Input, code: int, out: str, err: str) -> str | None:
    """What is wrong with how a command ended."""
    if "Traceback" in err or code not in DOCUMENTED:
        return f"ends with {code}: {err[-500:]}"
    if code in {ExitCode.USAGE, ExitCode.UNREACHABLE, ExitCode.INTERRUPTED} and not err.strip():
        return f"ends with {code} and no message"
    whole = code == ExitCode.DONE and "--json" in given.arguments and out.lstrip()[:1] in {"{", "["}
    if whole:
        json.loads(out)
    if out.isprintable() is False and any(one in out for one in "\u202e\x00\x07"):
        return "prints characters that a terminal acts on"
    return None


@pytest.mark.usefixtures("account")
def test_command_ends_with_a_sentence_when_its_input_is_anything(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments, files and answers, valid and broken; each ends with a documented code."""
    codes: Counter[int] = Counter()
    found: list[str] = []
    for number in range(INPUTS):
        given = command_fuzz.make(f"{SEED}-{number}", files)
        code, out, err = run(given, monkeypatch)
        codes[code] += 1
        if said := problem(given, code, out, err):
            found.append(f"seed {given.seed}: sluice {given.arguments!r}: {said}")
    print(f"{INPUTS:,} inputs: {len(found)} faults; exit codes {dict(sorted(codes.items()))}")  # noqa: T201
    assert not found, "\n".join(found[:10])
    assert set(codes) >= {ExitCode.DONE, ExitCode.USAGE}, "the inputs are all of one kind"
