"""Any text at all, in every field that others can write, leaves the widget as it is built for plain words."""

from unicodedata import category

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.widget.page import render
from sluice.widget.text import safe_string, safe_text
from sluice.widget.view import Theme
from tests.support.widget_html import parse
from tests.support.widget_scenes import harmed

# Surrogates too: a body is whatever SQS gave, or what was left of it.
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=60)
MARKUP = st.text(alphabet="<>&\"'/=!-[]? \n\u202ecwdb-action script onload style svg", min_size=1, max_size=60)
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # a space of any width shows as one
PLAIN = parse(render(harmed("plain words"), Theme.LIGHT, 600)).skeleton


@settings(max_examples=60)
@given(ANY_TEXT | MARKUP)
def test_widget_when_given_any_text_keeps_its_elements_and_its_events(text: str) -> None:
    """No text adds an element or an attribute, and a group's id comes back from its buttons unchanged."""
    page = parse(render(harmed(text), Theme.LIGHT, 600))
    assert page.problems == []
    assert page.skeleton == PLAIN
    assert {event["redrive"]["failure_group"] for _, event in page.actions if "redrive" in event} == {text}


@settings(max_examples=300)
@given(ANY_TEXT | MARKUP)
def test_safe_text_when_given_any_text_is_printable_and_escaped(text: str) -> None:
    """What is shown has nothing hidden in it, and reads the same in an attribute."""
    page = parse(str(safe_text(text)))
    assert [element.tag for element in page.elements if "sl-tag" not in element.classes] == ["bdi"]
    words = page.elements[0].text
    assert words == safe_string(text)
    assert HIDDEN.isdisjoint(category(character) for character in words if character not in "\n\t")
