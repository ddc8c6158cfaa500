"""Text from outside, figures and times as the widget shows them.

The texts of messages, of AWS and of documents are data. htpy escapes them; this module handles what escaping leaves:
characters that a browser does not show, or that reorder the characters around them. Each is replaced by a small tag
with its code point, so that the text stays readable and hides nothing.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import htpy

LINE_MAX_CHARACTERS = 300  # of a cause, a note or an answer: three lines at a third of a dashboard's width
DOT = " \N{MIDDLE DOT} "  # between two facts
UNKNOWN = "\N{EM DASH}"  # shown for a figure that could not be read: never a zero

# Surrogates, controls, format characters (bidi overrides and isolates, zero width, tags), private use, unassigned,
# line and paragraph separators: with these the shown text may differ from the real one.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHOWN_CONTROLS = frozenset("\n\t")
# No script stacks more combining marks on one letter; more would cover the lines around them.
_MARKS_MAX = 4


@dataclass(frozen=True, slots=True)
class Clock:
    """Local time as the dashboard shows it: a fixed offset, in seconds east of UTC."""

    offset_s: float = 0.0

    def local(self, at: float) -> datetime | None:
        """A moment as a local date and time; None where no calendar has it."""
        try:
            return datetime.fromtimestamp(at, UTC) + timedelta(seconds=self.offset_s)
        except (ValueError, OverflowError, OSError):
            return None

    def second(self, at: float, now: float | None = None) -> str:
        """`14:03:10`, with the day before it where it is not the day of `now`."""
        return self._on_day(at, now, "%H:%M:%S")

    def minute(self, at: float, now: float | None = None) -> str:
        """`14:03`, with the day before it where it is not the day of `now`."""
        return self._on_day(at, now, "%H:%M")

    def day(self, at: float) -> str:
        """`24 Nov`."""
        local = self.local(at)
        return f"{local.day} {local:%b}" if local else UNKNOWN

    def _on_day(self, at: float, now: float | None, form: str) -> str:
        local = self.local(at)
        if local is None:
            return UNKNOWN
        today = self.local(now) if now is not None else None
        other_day = today is not None and today.date() != local.date()
        return f"{self.day(at)} {local:{form}}" if other_day else format(local, form)

    @property
    def zone(self) -> str:
        """`UTC`, `UTC+02:00`."""
        minutes = round(self.offset_s / 60)
        sign = "+" if minutes > 0 else "-"
        return f"UTC{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if minutes else "UTC"


def safe_text(text: str, limit: int = LINE_MAX_CHARACTERS) -> htpy.Node:
    """Text from outside as an isolated element: hidden characters as tags, cut after `limit` characters."""
    return htpy.bdi[[_node(part) for part in _parts(text, limit)]]


def safe_string(text: str, limit: int = LINE_MAX_CHARACTERS) -> str:
    """The same as a plain string, for attributes."""
    return "".join(part if isinstance(part, str) else part.label for part in _parts(text, limit))


@dataclass(frozen=True, slots=True)
class _Tag:
    """A label in the place of characters that cannot be shown as they are."""

    label: str
    meaning: str


def _node(part: str | _Tag) -> htpy.Node:
    return part if isinstance(part, str) else htpy.span(".sl-tag", title=part.meaning)[part.label]


def _parts(text: str, limit: int) -> list[str | _Tag]:
    """The text in parts: runs that can be shown as they are, and a tag for each run of one hidden character."""
    parts: list[str | _Tag] = []
    beginning = text[:limit].replace("\r\n", "\n")
    for hidden, run in groupby(_with_hidden(beginning), key=lambda one: one[0]):
        characters = [character for _, character in run]
        if not hidden:
            parts.append("".join(characters))
            continue
        for character, same in groupby(characters):
            count = len(list(same))
            times = f" \N{MULTIPLICATION SIGN}{count}" if count > 1 else ""
            name = unicodedata.name(character, "a character without a name")
            parts.append(_Tag(f"U+{ord(character):04X}{times}", name))
    if len(text) > limit:
        parts.append(_Tag(f"+{len(text) - limit:,} characters", "the text goes on"))
    return parts


def _with_hidden(text: str) -> Iterator[tuple[bool, str]]:
    """Each character, with whether it is hidden."""
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category.startswith("M") else 0
        yield (category in _HIDDEN_CATEGORIES and character not in _SHOWN_CONTROLS) or marks > _MARKS_MAX, character


def number(value: float | None) -> str:
    """`1,240`; at most two decimals; a dash for what is unknown."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.2f}".rstrip("0").rstrip(".")


def short(value: float) -> str:
    """`1.2k`, for scales."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return number(value)


_SPANS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; a dash for what is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 10 and seconds != round(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, part_size, part_unit in _SPANS:
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest and whole < 100 * size else "")
    return f"{whole} s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 message`, `14 messages`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


def utc_offset_s(iso: str) -> float | None:
    """Seconds east of UTC, of an offset such as `+02:00` or `Z`; None if it is neither."""
    if iso in ("Z", "z"):
        return 0.0
    match = _OFFSET.fullmatch(iso)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    seconds = int(hours) * 3600 + int(minutes) * 60
    return float(seconds if sign == "+" else -seconds)
