"""What docs/consumers.md prints: the commands of its consumers, and how to send tasks to them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sluice_tools.sandbox.sandbox import ROOT
from tests.support.pasted import blocks

PAGE = ROOT / "docs/consumers.md"
_SANDBOX = re.compile(
    r'^make sandbox CONSUMER="(?P<command>[^"$]+/(?P<library>celery|dramatiq) [^"$]*)"$', re.MULTILINE
)


def consumer_commands() -> Mapping[str, str]:
    """The command that the page gives to `make sandbox`, by library."""
    return {found["library"]: found["command"] for found in _SANDBOX.finditer(PAGE.read_text())}


def block_with(text: str) -> str:
    """The page's block for a shell that has this text."""
    (found,) = [block.text for block in blocks(PAGE) if block.language == "sh" and text in block.text]
    return found
