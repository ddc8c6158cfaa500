"""What the documents print for a shell, and a copy of the repository to paste it into."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.deploy.build import deployment_folder
from sluice_tools.sam_cli import built_template
from sluice_tools.sandbox.sandbox import REGION, ROOT

ACCOUNT_MARK = "# needs an "
"""How a block begins that needs what a test does not have; the line says what."""
FOLLOWED = (
    *sorted(f"docs/guides/{path.name}" for path in (ROOT / "docs/guides").glob("*.md")),
    "docs/deploying.md",
    "docs/grafana.md",
    "docs/operations.md",
    "docs/shadow-mode.md",
)
"""Documents whose lines that need an account are run by tests/release/documents/test_guides.py, in this order."""
TRANSCRIPT = "transcript.md"
"""Tells nothing to type: tests/release/test_installed.py compares what was typed in it with docs/install.md."""
HISTORY_IN_MOTO = "run by tests/integration/test_backtest_history.py"
ELSEWHERE: Mapping[str, str] = {
    "make build": "run by tests/release/test_front_door.py",
    ".envs/sam/bin/sam deploy --guided --config-env prod": "run by tests/release/documents/test_settings.py",
    ".envs/sam/bin/sam deploy --template fleet.yaml": "run by tests/release/documents/test_uninstall.py",
    ".envs/sam/bin/sam deploy --template queue.yaml": "run by tests/release/documents/test_uninstall.py",
    ".envs/sam/bin/sam delete": "run by tests/release/documents/test_uninstall.py",
    ".venv/bin/sluice enroll --remove": "run by tests/release/documents/test_uninstall.py",
    ".envs/sam/bin/sam publish": "not run: the sandbox has no Serverless Application Repository",
    ".envs/sam/bin/sam deploy --template dashboards/queries.yaml": "run by tests/release/documents/test_uninstall.py",
    ".venv/bin/sluice backtest --queue": HISTORY_IN_MOTO,
}
"""How lines of these documents begin that are run by another test, or not at all; by which one, or why."""
DOCUMENTS_ELSEWHERE: Mapping[str, str] = {
    "docs/aws-smoke.md": "run with SANDBOX=1 by tests/release/test_smoke.py; it asks a real account otherwise",
    "docs/backtest.md": HISTORY_IN_MOTO,
    "docs/cli.md": "the ids are made up: tests/unit/sluice_tools/commands/test_docs.py reads the options,"
    " tests/e2e/stack/test_redrive_deployed.py runs commands with ids of a stack",
    "docs/consumers.md": "run by tests/release/test_consumers_page.py; the line for Docker needs the reader's image",
    "docs/install.md": "run by tests/release/test_installed.py",
    "docs/settings.md": "run by tests/release/documents/test_settings.py",
    "examples/consumer/README.md": "not run: it needs systemd as root, on an instance of a group",
    "examples/orders/README.md": "tests/integration/test_orders_processes.py runs the same programs",
}
"""Other documents with such lines."""
SHELL_LANGUAGES = frozenset({"sh", "bash", "shell", "console"})
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    document: str  # its path in the repository
    section: str  # the heading above it
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Its commands; one that goes on after a backslash is one, comments at the end are left out."""
        joined = self.text.replace("\\\n", "")
        bare = (re.sub(r"(^|\s+)# .*$", "", line).strip() for line in joined.splitlines())
        return [line for line in bare if line]

    @property
    def runs_here(self) -> bool:
        """Whether it says nothing of an account or a machine that it needs."""
        return not self.text.startswith(ACCOUNT_MARK)


def documents() -> list[Path]:
    """Every document that tells an operator what to type."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    found += [*ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/*.md"), *ROOT.glob("examples/*/README.md")]
    return sorted(path for path in found if path.exists() and path.name != TRANSCRIPT)


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text[: found.start()]), re.MULTILINE)
        yield Block(str(document.relative_to(ROOT)), headings[-1], found["language"], found["text"])


def shell_blocks() -> list[Block]:
    """Every block that is for a shell."""
    return [block for path in documents() for block in blocks(path) if block.language in SHELL_LANGUAGES]


def account_blocks(document: str) -> list[Block]:
    """The blocks of one document that need what a test of pasted lines does not have."""
    return [block for block in shell_blocks() if block.document == document and not block.runs_here]


def elsewhere(line: str) -> str | None:
    """By which other test a line is run, or why it is not; None if it has no such reason."""
    return next((reason for start, reason in ELSEWHERE.items() if line.startswith(start)), None)


def fresh_copy(directory: Path) -> Path:
    """The repository's own files as they stand, with the environments linked; where they are.

    The environments must be up to date: `make` in the copy would otherwise make them anew in their own place.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, directory / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for name in (".venv", ".envs"):
        (directory / name).symlink_to(ROOT / name)
    asked = subprocess.run(
        ["make", "--question", "setup-sandbox"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, f"the environments are not up to date: run `make setup-sandbox`\n{asked.stderr}"
    return directory


def with_builds(copy: Path) -> Path:
    """A fresh copy in which Sluice was built before: with what this checkout's own builds made of the same sources."""
    deployment = deployment_folder()
    shutil.copytree(deployment, copy / deployment.relative_to(ROOT))
    environ = os.environ | {"AWS_DEFAULT_REGION": REGION}
    with built_template(ROOT / "template.yaml", environ=environ, log=copy / "build/sam.log") as template:
        shared = template.parents[1]
        shutil.copytree(template.parent, copy / template.parent.relative_to(ROOT))
        shutil.copy(shared / "sources", copy / shared.relative_to(ROOT))
    return copy
