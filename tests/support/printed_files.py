"""Files that a document prints: a comment with the file's path stands on the line before the block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PRINTED = re.compile(r"^<!-- (?P<path>examples/\S+) -->\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def printed_files(document: Path) -> Mapping[str, str]:
    """The text that a document prints of each file, by the file's path in the repository."""
    return {found["path"]: found["text"] for found in _PRINTED.finditer(document.read_text())}
