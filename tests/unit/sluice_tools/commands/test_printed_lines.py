"""Lines that documents and code print for an operator to paste: each is a command of `sluice` that exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from sluice_tools import cli
from sluice_tools.sources import CHECKOUT
from tests.support.pasted import documents

CODED = re.compile(r"\bsluice ((?:--)?[a-z][a-z-]*(?: [^\"`\n,.;]+)?)")
NAMES = frozenset({*cli.GROUPS, *cli.COMMANDS})
OPTION = re.compile(r"--[a-z][a-z-]*")


def spans(text: str) -> Iterator[str]:
    """What stands between backticks, and each line of a fenced block: what begins with the command."""
    for fenced in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from fenced.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def printed() -> Iterator[tuple[str, str]]:
    """Each line with where it is printed."""
    for path in [*documents(), CHECKOUT / "CHANGELOG.md"]:
        for span in spans(path.read_text()):
            if found := re.match(r"\s*(?:\$ )?(?:\.venv/bin/|uvx --from \S+ )?sluice (.+)", span):
                yield str(path.relative_to(CHECKOUT)), re.sub(r"\s#.*", "", found[1])
    for folder in ("layers/core/sluice", "functions", "sluice_tools"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            for found in CODED.finditer(path.read_text()):
                if found[1].split()[0] in NAMES:
                    yield str(path.relative_to(CHECKOUT)), found[1]


LINES = sorted(set(printed()))


def test_lines_are_found_when_they_are_looked_for() -> None:
    """Those of the documents and those of the code."""
    assert {Path(where).parts[0] for where, _ in LINES} >= {"docs", "layers", "sluice_tools"}
    assert any("redrive" in line for _, line in LINES)


def test_printed_lines_are_commands_when_they_are_pasted() -> None:
    """The words of each lead to a command, and each option that it names is one of that command's."""
    for where, line in LINES:
        hold(where, line)


def hold(where: str, line: str) -> None:
    """A line must be a command with options of its own."""
    words = re.sub(r"\{[^}]*\}|[|<>].*", "", line).split()
    if words[0] in {"--help", "--version"}:
        return
    command: list[str] = []
    app = cli.app
    for word in words:
        if word not in app:
            break
        command.append(word)
        app = app[word]
    assert command, f"{where}: sluice {line}: is no command; there are {', '.join(sorted(NAMES))}"
    if app.default_command is None:
        assert not words[len(command) :] or not words[len(command)].startswith("-"), f"{where}: sluice {line}"
        return
    known = {name for argument in app.assemble_argument_collection() for name in argument.names}
    assert set(OPTION.findall(" ".join(words[len(command) :]))) - {"--help"} <= known, f"{where}: sluice {line}"


@pytest.mark.parametrize("verb", ["watch", "pause", "resume", "stop"])
def test_line_of_a_job_is_read_as_it_was_meant_when_it_is_pasted(verb: str) -> None:
    """Odd ids and names come back whole from the shell's reading and the command line's."""
    from sluice_tools.commands.answers import Job
    from sluice_tools.commands.aws_options import AwsOptions
    from sluice_tools.commands.redrive import line_to_paste

    counts = dict.fromkeys(("selected_count", "sent_count", "failed_count", "doubtful_count", "returned_count"), 0)
    job = Job(id="it's a job $HOME", fleet="orders", state="running", **counts)
    aws = AwsOptions(stack="prod", region="eu-west-3", profile="prod eu")
    _, *words = shlex.split(line_to_paste(verb, job, aws))
    try:
        _, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        pytest.fail(str(error))
    assert bound.arguments["aws"] == aws
    assert (bound.arguments["job"], bound.arguments["fleet"]) == (job.id, job.fleet)
