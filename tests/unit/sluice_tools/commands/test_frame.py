"""How the `sluice` command ends: exit codes, messages, and output into a pipe and on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sluice_tools import cli
from sluice_tools.commands import functions, output
from sluice_tools.commands.frame import ExitCode
from sluice_tools.sources import CHECKOUT
from tests.support.command_line import set_up_caller
from tests.support.stack_functions import StackFunctions

STOP = ["redrive", "stop", "job-7", "--fleet", "orders"]
START = ["redrive", "start", "--fleet", "a"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], 'sluice: Unknown command "nope"'),
        (["redrive", "nope"], 'sluice redrive: Unknown command "nope". Available commands: start'),
        (["redrive", "start", "--fleet"], "sluice redrive start: --fleet: must have a value\n"),
        (["redrive", "start", "--all"], "sluice redrive start: --fleet: must be given\n"),
        (
            ["redrive", "start", "--fleets", "orders"],
            "--fleet: must be given. Did you mean --fleet instead of --fleets?",
        ),
        (["messages", "show", "--fleet", "orders"], "sluice messages show: MESSAGE: must be given\n"),
        (
            [*START, "--all", "--group", "g"],
            "--all: must be left out with --group; one of --all, --group and --message selects",
        ),
        ([*START], "--all: must be given, or --group, --message, --queue, --cause, --since, --until or --attribute"),
        (["sandbox", "--consumer", ""], "--consumer: must be one line of printable characters (got '')"),
        ([*START, "--al"], "Unknown option: --al. Did you mean --all?"),
        ([*START, "--all", "--rate", "x"], 'Invalid value for --rate: unable to convert "x"'),
        ([*START, "--all", "--rate", "nan"], "Must be from 0.01 to 10,000 messages a second"),
        ([*START, "--all", "--since", "noon"], "--since: must be a time with its zone"),
        ([*START, "--attribute", "shop"], "--attribute: must be name=value"),
        ([*STOP, "more"], "more: must be left out; the command takes no further argument"),
        ([*STOP, "--stack", "a b"], "--stack: must be a stack's name: a letter"),
    ],
)
def test_usage_error_names_the_option_when_something_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    """Exit code 2, the command's name, and the option as typed; nothing was asked."""
    asked = StackFunctions({}).stand_in(monkeypatch)
    assert cli.run(arguments) == ExitCode.USAGE
    told = capsys.readouterr()
    assert says in told.err
    assert (told.out, asked.asked) == ("", [])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--profile", "none"], "--profile: The config profile (none) could not be found"),
        (["--region", "a/b"], "--region: must be a region's name, such as eu-west-1 (got 'a/b')"),
        (
            ["--endpoint-url", "elsewhere"],
            "--endpoint-url: must be a URL, such as http://localhost:4566",
        ),
    ],
)
def test_option_is_named_when_aws_cannot_use_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], says: str
) -> None:
    """By botocore itself, without a call."""
    set_up_caller(monkeypatch, tmp_path)
    assert cli.run([*STOP, *options]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_help_ends_when_the_terminal_has_one_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is laid out for 40 columns at the least: in a few, the library would go on for ever."""
    monkeypatch.setenv("COLUMNS", "1")
    assert cli.run(["redrive", "start", "--help"]) == 0
    assert "Send quarantined messages" in capsys.readouterr().out


def test_line_to_paste_has_the_options_that_were_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is pasted asks the same stack in the same place; odd ids are quoted."""
    job = {"id": "job 7", "fleet": "orders", "state": "paused", "selected_count": 9, "sent_count": 3}
    job |= {"failed_count": 0, "doubtful_count": 0, "returned_count": 0}
    StackFunctions({"job": job}).stand_in(monkeypatch)
    given = ["--stack", "prod", "--region", "eu-west-3", "--profile", "prod eu"]
    assert cli.run(["redrive", "pause", "job 7", "--fleet", "orders", *given]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  sluice")]
    assert line == "  sluice redrive resume 'job 7' --fleet orders --stack prod --region eu-west-3 --profile 'prod eu'"


def test_interrupt_ends_with_130_when_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while a function is asked; no traceback."""
    StackFunctions({}).stand_in(monkeypatch).error = KeyboardInterrupt()
    assert cli.run(STOP) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "sluice redrive stop: interrupted\n"


def test_fault_of_its_own_is_a_sentence_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With where it is, and how to see more; the traceback where that was asked for."""

    def broken(_aws: object) -> object:
        raise LookupError("a mistake")

    monkeypatch.setattr(functions, "lambda_client", broken)
    assert cli.run(STOP) == ExitCode.FAULT
    told = capsys.readouterr().err
    assert "a fault of sluice itself: LookupError at test_frame.py:" in told
    assert "Traceback" not in told
    monkeypatch.setenv("SLUICE_TRACEBACK", "1")
    assert cli.run(STOP) == ExitCode.FAULT
    assert "Traceback" in capsys.readouterr().err


def test_ids_are_whole_when_the_table_is_wider_than_the_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe has a line for each row; on a terminal other cells wrap, and nothing is left out."""
    ids = [f"{number}" * 60 for number in range(3)]
    monkeypatch.setenv("COLUMNS", "80")
    rows = [(one, "a long cause " * 20) for one in ids]

    output.show_table(("job", "cause"), rows, ids=("job",))
    piped = capsys.readouterr().out.splitlines()
    assert [sum(one in line and line.count("a long cause") == 20 for line in piped) for one in ids] == [1, 1, 1]

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.show_table(("job", "cause"), rows, ids=("job",))
    shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)  # without colours
    assert all(one in shown for one in ids)
    assert max(map(len, shown.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


@pytest.mark.slow
def test_broken_pipe_ends_quietly_when_the_reader_is_gone() -> None:
    """As `sluice ... | head -1`: exit code 141, nothing on standard error."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "sluice_tools.cli", "cost"],
        cwd=CHECKOUT,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.BROKEN_PIPE, b"")


def test_completion_is_installed_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It completes every subcommand; bash reads the script; a place that cannot be written is told."""
    script = tmp_path / "sluice"
    assert cli.run(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    text = script.read_text()
    assert all(name in text for name in (*cli.GROUPS, *cli.COMMANDS, "--from-dead-letter-queue"))
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert cli.run(["--install-completion", "--shell", "bash", "--output", f"{script}/below"]) == ExitCode.USAGE
    assert "--output: " in capsys.readouterr().err
