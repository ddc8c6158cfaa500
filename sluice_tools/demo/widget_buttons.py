"""Finds the calls of the widget's buttons: a `cwdb-action` has the function to call and the event for it."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any


@dataclass(frozen=True, slots=True)
class ButtonCall:
    """The call of a button."""

    endpoint: str
    event: dict[str, Any]


@dataclass(slots=True)
class _Actions(HTMLParser):
    """Collects every `cwdb-action` of a widget's HTML."""

    found: list[ButtonCall] = field(default_factory=list)
    _endpoint: str | None = None
    _text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "cwdb-action":
            self._endpoint, self._text = dict(attrs).get("endpoint"), []

    def handle_data(self, data: str) -> None:
        if self._endpoint is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "cwdb-action" and self._endpoint is not None:
            self.found.append(ButtonCall(self._endpoint, json.loads("".join(self._text))))
            self._endpoint = None


def button(html: str, *, failure_group: str, dry_run: bool) -> ButtonCall:
    """The redrive button of a failure group.

    Raises:
        LookupError: The widget shows no such button.
    """
    actions = _Actions()
    actions.feed(html)
    for press in actions.found:
        wanted = press.event.get("redrive", {})
        if wanted.get("failure_group") == failure_group and bool(wanted.get("dry_run")) is dry_run:
            return press
    raise LookupError(f"the widget shows no {'dry run' if dry_run else 'redrive'} button for {failure_group}")
