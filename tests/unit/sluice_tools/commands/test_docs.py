"""docs/cli.md: what the code says, word for word."""

from __future__ import annotations

import shlex

import pytest

from sluice_tools import cli
from sluice_tools.commands import docs
from sluice_tools.commands.frame import ExitCode
from tests.support.pasted import shell_blocks

pytestmark = pytest.mark.slow

PROGRAMS = (".venv/bin/sluice ", "sluice ")


def test_page_is_as_made_when_the_code_changes() -> None:
    """`make cli-docs` was run."""
    assert docs.PAGE_PATH.read_text() == docs.page()


def test_every_command_is_described_when_it_is_listed() -> None:
    """With a sentence, an example, and each of its options with its meaning; every exit code has its row."""
    found = dict(docs.commands(cli.app))
    page = docs.page()
    assert set(docs.ACCOUNT) | set(docs.HERE) == set(found)
    for name in found:
        section = page.split(f"\n## sluice {name}\n")[1].split("\n## ")[0]
        assert f"\n.venv/bin/sluice {name}" in section
        options = [line for line in section.splitlines() if line.startswith(("| `", "| "))][2:]
        assert all(line.split("|")[3].strip() for line in options), name
    for code in ExitCode:
        assert f"\n| {int(code)} | {code.meaning} |\n" in page


def test_options_are_known_when_a_document_prints_a_command() -> None:
    """Of every line of `sluice` in every document, also of those that no test runs."""
    lines = [line for block in shell_blocks() for line in block.lines if line.startswith(PROGRAMS)]
    typed = [words for line in lines if not {"--help", "--version"} & set(words := shlex.split(line)[1:])]

    assert len(typed) > 50
    for words in typed:
        cli.app.parse_args(words, exit_on_error=False, print_error=False)
