"""What was typed at a terminal and what it printed, as docs/transcript.md shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

SHOWN_LINES = 18
"""Of what one line printed; in the middle of more the rest is left out."""
PAGE = """\
# A transcript

From a wheel in an empty environment to a redrive: the lines of [install.md](install.md), and what they printed on
one machine. `tests/release/test_installed.py` types them whenever it runs, and wrote this page. What is deployed first
is a build with the number of an earlier version, so that there is something to upgrade. Of long output the middle is
left out, and folders have other names.
"""


class Transcript:
    """Sections of typed lines with their output, in the order in which they were typed."""

    def __init__(self) -> None:
        """Nothing was typed yet."""
        self._sections: list[tuple[str, list[str]]] = []

    def add(self, section: str, typed: str, printed: str) -> str:
        """Add lines and what a shell with `-v` printed, which repeats each line before it runs it; what it printed."""
        expected = typed.splitlines()
        shown: list[str] = []
        output: list[str] = []
        for line in printed.splitlines():
            if line not in expected:
                output.append(line.rstrip())
                continue
            shown += _shortened(output)
            output = []
            expected.remove(line)
            if not line.startswith("#"):
                shown.append(f"$ {line}")
        self._sections.append((section, [*shown, *_shortened(output)]))
        return printed

    def write(self, page: Path, names: Mapping[str, str]) -> None:
        """Write the page, with other names for what is of this machine."""
        text = PAGE + "".join(
            f"\n## {section}\n\n```text\n" + "\n".join(lines) + "\n```\n" for section, lines in self._sections
        )
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, names[name])
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(re.sub(r"(127\.0\.0\.1):\d+", r"\1:4566", text))


def _shortened(lines: list[str]) -> list[str]:
    """Lines without the middle where they are many, and without empty ones at either end."""
    kept = "\n".join(lines).strip("\n").splitlines()
    if len(kept) <= SHOWN_LINES:
        return kept
    head, tail = kept[: SHOWN_LINES - 6], kept[-5:]
    return [*head, f"... {len(kept) - len(head) - len(tail)} more lines", *tail]
