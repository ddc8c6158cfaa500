"""docs/cli.md: what the code says, word for word."""

from __future__ import annotations

from sluice_tools import cli
from sluice_tools.commands import docs
from sluice_tools.commands.frame import ExitCode


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
