"""Elements that the sections share: actions of buttons, progress bars, marks of what unfolds."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import htpy

from sluice.widget.text import counted, safe_text

URI_MAX_CHARACTERS = 1_200  # of an object in S3: a key has at most 1,024 bytes


def fraction(value: float, whole: float) -> float:
    """The share of a whole, from 0 to 1; 0 where the whole is 0."""
    return min(1.0, max(0.0, value / whole)) if whole > 0 else 0.0


def progress_bar(shares: Sequence[tuple[float, str]]) -> htpy.Node:
    """A bar filled by shares of 0 to 1, each with its class; the text beside it has the same in numbers."""
    filled = [htpy.i(kind, style=f"width:{100 * share:.1f}%") for share, kind in shares if share > 0]
    return htpy.div(".sl-bar", aria_hidden="true")[filled]


def unread_section(name: str) -> htpy.Node:
    """A section whose source could not be read; the error is at the head of the widget."""
    return htpy.section[htpy.h3[name], htpy.p(".sl-quiet")["Could not be read."]]


def and_more(count: int, noun: str) -> htpy.Node:
    """How many are not shown, if any."""
    return htpy.p(".sl-quiet")[f"and {counted(count, 'more ' + noun)}."] if count > 0 else None


def call_action(endpoint: str, event: Mapping[str, Any], display: str, confirmation: str | None = None) -> htpy.Node:
    """A `cwdb-action` that calls a function when the element just before it is clicked.

    The event is JSON of ASCII characters without any that HTML gives a meaning to, so that it reads the same as the
    element's text and as its HTML.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html

    Args:
        endpoint: the ARN of the function.
        event: what the function is invoked with.
        display: where its answer is shown: `widget` or `popup`.
        confirmation: the question to confirm first, if any.
    """
    text = json.dumps(event, ensure_ascii=True, allow_nan=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return htpy.cwdb_action(
        action="call", display=display, endpoint=endpoint, confirmation=confirmation, event="click"
    )[text]


def sized(size_bytes: int, *, is_pointer: bool = False) -> str:
    """A message's size as SQS counts it: body and attributes. What a pointer stands for is not in it."""
    what = " of pointer and attributes" if is_pointer else " with its attributes"
    return f"{counted(size_bytes, 'byte')}{what}"


def payload_note(uri: str) -> htpy.Node:
    """Where the body is that a message only points to; nothing for a message that has its body."""
    if not uri:
        return None
    return htpy.div(".sl-quiet")[
        "The body is the object ",
        htpy.b[safe_text(uri, URI_MAX_CHARACTERS)],
        ". Sluice keeps the pointer and not the object: a lifecycle rule of the bucket may delete it.",
    ]


def for_screen_readers(text: str) -> htpy.Node:
    """Words in the place of a sign that only eyes read; they take no room."""
    return htpy.span(".sl-hear")[text]


def scrolling_text(label: str, text: htpy.Node, class_: str = "") -> htpy.Node:
    """A text of many lines that scrolls within its own frame, by keyboard as well.

    Args:
        label: what it is, for screen readers.
        text: the text.
        class_: of the frame, such as `.sl-whole`.
    """
    return htpy.pre(class_, tabindex="0", role="group", aria_label=label)[text]


def fold_mark() -> htpy.Node:
    """The mark of something that unfolds."""
    return htpy.span(".sl-turn", aria_hidden="true")
