"""Texts that mean harm, in every field that others can write: they stay text."""

from dataclasses import replace
from functools import cache

import pytest

from sluice.config.fleet import ConfigError
from sluice.model.redriving import Attribute, Excerpt, Message, QuarantineEntry
from sluice.widget.drains import INTERRUPTED
from sluice.widget.messages import PopupContext, render_message_detail, render_message_list
from sluice.widget.names import NAME_MAX_CHARACTERS, plain_name
from sluice.widget.page import render, render_overview, render_problems
from sluice.widget.view import ReadFailure, Source, Theme, View
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import CONSOLE_ARN, HARM, NOW, OPERATOR_ARN, harmed, view
from tests.support.widget_views import no_match

HARMLESS = "a plain cause"
LARGEST_BYTES = 200_000  # far under Lambda's answer limit of 6 MB; a browser is quick with it


@cache
def show(text: str) -> tuple[str, Page]:
    """A view with that text everywhere, as HTML and parsed."""
    html = render(harmed(text), Theme.LIGHT, 668)
    return html, parse(html)


@pytest.mark.parametrize("name", [name for name in HARM if name != "empty"])
def test_widget_when_a_text_means_harm_has_the_same_elements_as_with_a_harmless_one(name: str) -> None:
    """No element and no attribute comes from a text: the page is built as it is for plain words."""
    _, page = show(HARM[name])
    assert page.problems == []
    assert page.skeleton == show(HARMLESS)[1].skeleton


@pytest.mark.parametrize("name", list(HARM))
def test_widget_when_a_text_means_harm_calls_only_our_functions(name: str) -> None:
    """Every action is one of ours: our endpoints, our fleet, and the group's own id unchanged."""
    _, page = show(HARM[name])
    group = HARM[name] or "none"
    events = [event for _, event in page.actions]
    assert {action.attributes["endpoint"] for action, _ in page.actions} == {CONSOLE_ARN, OPERATOR_ARN}
    assert events == [
        {"view": "fleets"},
        {"fleet": "invoices"},
        {"redrive": {"fleet": "orders", "failure_group": group, "dry_run": True}},
        {"redrive": {"fleet": "orders", "failure_group": group, "dry_run": False}},
        {"fleet": "orders", "failure_group": group},
        {"mute": {"fleet": "orders", "failure_group": group, "undo": False}},
        {"pause": {"fleet": "orders", "job_id": HARM[name]}},
        {"stop": {"fleet": "orders", "job_id": HARM[name]}},
        {"release": {"fleet": "orders", "instance_id": HARM[name] or "i-0"}},
    ]


@pytest.mark.parametrize("name", list(HARM))
def test_confirmation_when_a_text_means_harm_repeats_it_in_plain_characters_alone(name: str) -> None:
    """What an operator confirms names a group by its cause, without a character that means anything to any markup."""
    _, page = show(HARM[name])
    plain = plain_name(HARM[name])
    assert len(plain) <= NAME_MAX_CHARACTERS
    assert not set(plain) & set("<>&\"'`{}[]$\\|~^?!\u201c\u201d\u202e")
    assert plain.isprintable()
    no_name = "this failure group" if HARM[name] else "failure group none"
    group = f"\u201c{plain}\u201d" if plain else no_name
    job = group if HARM[name] else "a failure group"  # which is not on record
    assert [action.attributes.get("confirmation") for action, _ in page.actions] == [
        None,
        None,
        None,
        f"Send 3 quarantined messages of {group} of fleet orders back to the queue, at most 10 messages a second?",
        None,
        f"Mute {group} until another message fails for the same cause? Its messages stay in quarantine.",
        None,
        f"Stop the redrive of {job} of fleet orders? Messages that were already sent stay sent.",
        f"Release this instance of fleet orders now? {INTERRUPTED}",
    ]


@pytest.mark.parametrize("name", list(HARM))
def test_widget_when_a_text_means_harm_has_no_hidden_character(name: str) -> None:
    """No control, bidi override, zero-width or unassigned character reaches the page, nor anything not UTF-8."""
    html, _ = show(HARM[name])
    hidden = [character for character in html if not character.isprintable() and character not in "\n\t"]
    assert hidden == []
    html.encode("utf-8")


@pytest.mark.parametrize("name", list(HARM))
def test_widget_when_a_text_is_huge_stays_small(name: str) -> None:
    """A text of any size leaves the page small, but for the group's own id, which its buttons need whole."""
    html, _ = show(HARM[name])
    assert len(html.encode()) < LARGEST_BYTES + 30 * len(HARM[name])


@pytest.mark.parametrize("name", [name for name in HARM if name not in {"empty", "huge", "lines", "long-word"}])
def test_sample_when_it_means_harm_can_be_read_as_it_was_received(name: str) -> None:
    """The sample shows the body's own words; hidden characters are named by code point."""
    _, page = show(HARM[name])
    named = [
        character if character.isprintable() or character in "\n\t" else _name(character) for character in HARM[name]
    ]
    words = "".join(named)
    (sample,) = page.all("pre")
    assert sample.text.startswith(words[:300].split("\u0301")[0])


def _name(character: str) -> str:
    return f"U+{ord(character):04X}"


@pytest.mark.parametrize("name", list(HARM))
def test_messages_and_warnings_when_they_repeat_a_text_keep_it_text(name: str) -> None:
    """A bad document, an answer of AWS and a wrong request are as foreign as a message."""
    text = HARM[name]

    def warned(words: str) -> View:
        failures = (ReadFailure(Source.REDRIVES, words),)
        return view(invalid=(ConfigError(words, (words, words)),), failures=failures, decisions=())

    shown = parse(render(warned(text), Theme.LIGHT, 668))
    assert shown.problems == []
    assert shown.skeleton == parse(render(warned("x"), Theme.LIGHT, 668)).skeleton
    message = parse(render_problems(text, [text], Theme.LIGHT))
    assert message.problems == []
    assert message.skeleton == parse(render_problems("x", ["x"], Theme.LIGHT)).skeleton


@pytest.mark.parametrize("name", list(HARM))
def test_messages_when_they_mean_harm_are_shown_as_text(name: str) -> None:
    """Body, attributes, ids, group and cause of a message make no element, and call nothing but ours."""

    def pages(text: str) -> list[Page]:
        entry = QuarantineEntry(
            "orders", text or "g", text or "m", "key", text, NOW - 60, NOW - 90, 1, text, 5,
            Excerpt(text[:500], ((text or "n", text or "t"),), text or "p"), text or None, said=text or "c",
        )  # fmt: skip
        attributes = ((text or "n", Attribute("String", text or "t")), ("scan", Attribute("Binary", binary=bytes(40))))
        message = Message(text or "m", text or "b", "", attributes, NOW - 90, 1, text or "s", text or "g")
        scene = PopupContext("orders", NOW, console_arn=CONSOLE_ARN, operator_arn=OPERATOR_ARN)
        listed = render_message_list([entry], text or "g", "cursor", scene)
        return [parse(listed), parse(render_message_detail(entry, message, scene))]

    for page, plain in zip(pages(HARM[name]), pages("x"), strict=True):
        assert page.problems == []
        if name != "empty":
            assert page.skeleton == plain.skeleton
        assert {action.attributes["endpoint"] for action, _ in page.actions} <= {CONSOLE_ARN, OPERATOR_ARN}


@pytest.mark.parametrize("name", [name for name in HARM if name != "empty"])
def test_search_when_it_means_harm_stays_text(name: str) -> None:
    """What is typed into the search is shown again, as text, in a field and in a sentence."""
    shown, plain = (
        parse(render_overview(replace(no_match(), search=text), Theme.LIGHT, 668)) for text in (HARM[name], HARMLESS)
    )
    assert shown.problems == []
    assert shown.skeleton == plain.skeleton
    assert [event for _, event in shown.actions] == [event for _, event in plain.actions]
