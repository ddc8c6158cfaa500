"""What a piece of HTML is made of, for tests: its elements in order, their attributes, its text, its actions."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from typing import Any

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "source", "wbr"})
# SVG's own, that html.parser sees as `<path ...></path>` like any other element.
# fmt: off
_OURS = frozenset({
    "div", "h2", "h3", "span", "button", "cwdb-action", "dl", "dt", "dd", "small", "section", "svg", "title",
    "desc", "text", "tspan", "path", "rect", "circle", "p", "ul", "ol", "li", "details", "summary", "b", "i",
    "bdi", "pre", "table", "thead", "tbody", "tr", "th", "td", "style", "form", "input", "br",
})
# fmt: on
# fmt: off
_OUR_ATTRIBUTES = frozenset({
    "class", "title", "type", "disabled", "aria-current", "aria-label", "aria-hidden", "role", "style", "action",
    "display", "endpoint", "confirmation", "event", "viewbox", "width", "height", "xmlns", "x", "y", "d", "cx",
    "cy", "r", "text-anchor", "name", "value", "placeholder", "scope", "tabindex",
})
# fmt: on


@dataclass
class Element:
    """One element as opened."""

    tag: str
    attributes: dict[str, str | None]
    pieces: list[str] = field(default_factory=list)  # of its text, in order
    before: "Element | None" = None  # the element just before it, within the same one

    @cached_property
    def text(self) -> str:
        """The text directly within it and within what it holds."""
        return "".join(self.pieces)

    @property
    def classes(self) -> set[str]:
        """Its classes."""
        return set((self.attributes.get("class") or "").split())


@dataclass
class Page:
    """A parsed piece of HTML."""

    elements: list[Element] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text but the style sheet's, with single spaces."""
        whole = self.elements[0].text if self.elements else ""
        return " ".join(whole.split())

    @property
    def text_without_events(self) -> str:
        """All text but the events of the buttons, which nobody reads."""
        whole = self.elements[0].text if self.elements else ""
        for action in self.all("cwdb-action"):
            whole = whole.replace(action.text, " ")
        return " ".join(whole.split())

    def all(self, tag: str, class_: str | None = None) -> list[Element]:
        """Every element of a tag, and of a class."""
        return [one for one in self.elements if one.tag == tag and (class_ is None or class_ in one.classes)]

    @property
    def skeleton(self) -> list[tuple[str, tuple[str, ...]]]:
        """Tags with the names of their attributes, in order, without the tags that stand for hidden characters."""
        return [(one.tag, tuple(sorted(one.attributes))) for one in self.elements if "sl-tag" not in one.classes]

    @property
    def actions(self) -> list[tuple[Element, dict[str, Any]]]:
        """Every `cwdb-action` with the event in it."""
        return [(one, json.loads(one.text)) for one in self.all("cwdb-action")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._open: list[Element] = []
        self._last: list[Element | None] = [None]  # of each open element, and of the page: the last one within it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), before=self._last[-1])
        self._last[-1] = element
        names = [name for name, _ in attrs]
        self.page.elements.append(element)
        if tag not in _OURS:
            self.page.problems.append(f"<{tag}> is none of ours")
        self.page.problems += [f"<{tag} {name}> is none of ours" for name in names if name not in _OUR_ATTRIBUTES]
        if len(set(names)) != len(names):
            self.page.problems.append(f"<{tag}> has an attribute twice: {names}")
        if tag not in _VOID:
            self._open.append(element)
            self._last.append(None)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.page.problems.append(f"</{tag}> closes nothing")
            return
        self._open.pop()
        self._last.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].tag == "style":
            self._open[-1].pieces.append(data)
            return
        for element in self._open:
            element.pieces.append(data)
        if not self._open and data.strip():
            self.page.problems.append(f"text outside: {data[:60]!r}")

    def handle_comment(self, data: str) -> None:
        self.page.problems.append(f"a comment: {data[:60]!r}")

    def handle_decl(self, decl: str) -> None:
        self.page.problems.append(f"a declaration: {decl[:60]!r}")

    def handle_pi(self, data: str) -> None:
        self.page.problems.append(f"a processing instruction: {data[:60]!r}")

    def unknown_decl(self, data: str) -> None:
        self.page.problems.append(f"an unknown declaration: {data[:60]!r}")

    def close(self) -> None:
        super().close()
        self.page.problems += [f"<{element.tag}> is never closed" for element in self._open]


def parse(html: str) -> Page:
    """Parse a piece of HTML; `problems` lists whatever a widget of ours never has."""
    reader = _Reader()
    reader.feed("".join((html,)))  # a plain string, also of one that escapes what it is added to
    reader.close()
    return reader.page
