"""Foreign text, figures and times in the widget's words."""

import pytest

from sluice.widget.text import UNKNOWN, Clock, counted, duration, number, safe_string, safe_text, short, utc_offset_s
from tests.support.widget_html import parse
from tests.support.widget_scenes import NOW


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (93_600, "1 d 2 h"),
        (1_209_600, "14 d"),
        (-90, "-1 min 30 s"),
        (None, UNKNOWN),
        (float("nan"), UNKNOWN),
        (float("inf"), UNKNOWN),
    ],
)
def test_duration_when_spoken_names_its_two_largest_units(seconds: float | None, words: str) -> None:
    """A duration is told in its two largest units, and an unknown one is never a zero."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (12.0, "12"), (2.04, "2.04"), (2.5, "2.5"), (1_240.4, "1,240"), (None, UNKNOWN)],
)
def test_number_when_spoken_is_no_more_precise_than_it_is_read(value: float | None, words: str) -> None:
    """A figure has thousands marked and at most two decimals."""
    assert number(value) == words


@pytest.mark.parametrize(("value", "words"), [(8, "8"), (1_200, "1.2k"), (4_000, "4k"), (3e6, "3M"), (2e9, "2G")])
def test_short_when_large_uses_a_letter(value: float, words: str) -> None:
    """A scale's number is short."""
    assert short(value) == words


def test_counted_when_one_is_singular() -> None:
    """One is not many."""
    assert (counted(1, "message"), counted(1_400, "message")) == ("1 message", "1,400 messages")


@pytest.mark.parametrize(
    ("iso", "seconds"),
    [("+00:00", 0.0), ("Z", 0.0), ("+05:30", 19_800.0), ("-0800", -28_800.0), ("east", None), ("", None)],
)
def test_offset_when_read_has_its_sign_from_iso(iso: str, seconds: float | None) -> None:
    """East of UTC is positive; what is no offset is none."""
    assert utc_offset_s(iso) == seconds


def test_clock_when_offset_tells_local_time_and_another_day() -> None:
    """Times are local, and a time on another local day carries its date."""
    clock = Clock(19_800.0)
    assert clock.second(NOW) == "20:00:00"
    assert clock.minute(NOW - 86_400, NOW) == "23 Nov 20:00"
    assert clock.minute(NOW - 20 * 3_600, NOW) == "00:00"
    assert clock.zone == "UTC+05:30"
    assert Clock(-12_600.0).zone == "UTC-03:30"
    assert Clock().zone == "UTC"


@pytest.mark.parametrize("at", [1e20, -1e20, float("nan"), float("inf")])
def test_clock_when_no_calendar_has_the_moment_shows_a_dash(at: float) -> None:
    """A nonsensical time is shown as unknown, and does not break the page."""
    assert Clock().second(at, NOW) == UNKNOWN
    assert Clock().day(at) == UNKNOWN


def shown_text(text: str, limit: int = 300) -> str:
    """Text as a browser's reader sees it after `safe_text`."""
    return parse(str(safe_text(text, limit))).elements[0].text


def test_safe_text_when_text_holds_a_bidi_override_shows_a_tag_in_its_place() -> None:
    """What would reorder the line is visible and has no effect."""
    page = parse(str(safe_text("pay \u202e00,1\u202c now")))
    assert page.elements[0].text == "pay U+202E00,1U+202C now"
    assert [tag.attributes["title"] for tag in page.all("span", "sl-tag")] == [
        "RIGHT-TO-LEFT OVERRIDE",
        "POP DIRECTIONAL FORMATTING",
    ]


@pytest.mark.parametrize(
    "hidden",
    [*"\x00\x07\x1b\x7f\x9b\r\u00ad\u061c\u200b\u200d\u200e\u2028\u2066\ufeff\ue000\ufffe", "\U000e0041", "\ud800"],
)
def test_safe_text_when_a_character_is_hidden_shows_its_code_point(hidden: str) -> None:
    """Controls, format characters, surrogates, private and unassigned ones all become tags."""
    assert shown_text(f"a{hidden}b") == f"aU+{ord(hidden):04X}b"
    assert safe_string(f"a{hidden}b") == f"aU+{ord(hidden):04X}b"


def test_safe_text_when_text_is_plain_in_any_script_is_left_alone() -> None:
    """Lines, tabs, accents, other scripts and symbols stay as they are, isolated from what is around them."""
    text = "ligne 1\n\tligne 2: d\u00e9j\u00e0 vu, e\u0301, \u05e9\u05dc\u05d5\u05dd, \u4f60\u597d, \u2713 \U0001f600"
    assert shown_text(text) == text
    assert [element.tag for element in parse(str(safe_text(text))).elements] == ["bdi"]


def test_safe_text_when_a_hidden_character_repeats_counts_it() -> None:
    """A run of one hidden character is one tag, and a Windows line end is none."""
    assert shown_text("a" + "\u200b" * 12 + "b\r\nc") == "aU+200B \u00d712b\nc"


def test_safe_text_when_marks_are_stacked_keeps_only_a_few() -> None:
    """A letter with hundreds of combining marks does not paint over its neighbours."""
    assert shown_text("Z" + "\u0301" * 9) == "Z" + "\u0301" * 4 + "U+0301 \u00d75"


def test_safe_text_when_text_is_long_says_how_much_is_left_out() -> None:
    """A cut is told, with its size."""
    assert shown_text("x" * 1_300, 300) == "x" * 300 + "+1,000 characters"
    assert shown_text("x" * 300, 300) == "x" * 300


def test_safe_text_when_text_is_markup_is_text() -> None:
    """Markup is escaped, entities stay what they were."""
    text = "<b>&lt;</b> &amp; \"'"
    assert shown_text(text) == text
    assert len(parse(str(safe_text(text))).elements) == 1
