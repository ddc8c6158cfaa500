"""The small parts that the sections share: buttons that call, bars, folds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import htpy

from sluice.widget.text import counted


def part(value: float, whole: float) -> float:
    """How much of a whole, from 0 to 1; nothing of nothing is 0."""
    return min(1.0, max(0.0, value / whole)) if whole > 0 else 0.0


def bar(parts: Sequence[tuple[float, str]]) -> htpy.Node:
    """A bar filled by parts of 0 to 1, each with its class; what it shows stands in words beside it."""
    filled = [htpy.i(kind, style=f"width:{100 * share:.1f}%") for share, kind in parts if share > 0]
    return htpy.div(".sl-bar", aria_hidden="true")[filled]


def unread(name: str) -> htpy.Node:
    """A section of which nothing is known; why stands at the head of the widget."""
    return htpy.section[htpy.h3[name], htpy.p(".sl-quiet")["Could not be read."]]


def and_more(count: int, what: str) -> htpy.Node:
    """How many are not shown, if any."""
    return htpy.p(".sl-quiet")[f"and {counted(count, 'more ' + what)}."] if count > 0 else None


def call(endpoint: str, event: Mapping[str, Any], display: str, confirmation: str | None = None) -> htpy.Node:
    """A `cwdb-action` that calls a function when the element just before it is clicked.

    The event is JSON in which nothing but ASCII stands and nothing means anything to HTML, so that it is read the
    same from the element's text and from its HTML.
    """
    text = json.dumps(event, ensure_ascii=True, allow_nan=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return htpy.cwdb_action(
        action="call", display=display, endpoint=endpoint, confirmation=confirmation, event="click"
    )[text]


def turn() -> htpy.Node:
    """The mark of something that unfolds."""
    return htpy.span(".sl-turn", aria_hidden="true")
