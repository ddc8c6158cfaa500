"""What the documents print for a shell, and a copy of the repository to paste it into."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.sandbox.sandbox import ROOT

ACCOUNT_MARK = "# needs an "
"""How a block begins that needs what a test does not have; the line says what."""
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
    return sorted(path for path in found if path.exists())


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text[: found.start()]), re.MULTILINE)
        yield Block(str(document.relative_to(ROOT)), headings[-1], found["language"], found["text"])


def shell_blocks() -> list[Block]:
    """Every block that is for a shell."""
    return [block for path in documents() for block in blocks(path) if block.language in SHELL_LANGUAGES]


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
