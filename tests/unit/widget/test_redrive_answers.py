"""What the redriver answers to the widget's buttons, where texts mean harm: they stay text."""

from typing import Any

import pytest

from sluice.widget.answers import render_answer
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import HARM, OPERATOR_ARN

HARMLESS = "a plain text"
LARGEST_BYTES = 200_000


def answers(words: str) -> list[dict[str, Any]]:
    """Each kind of answer, with the words wherever others can put theirs."""
    job = {
        "id": "job-1",
        "fleet": "orders",
        "state": "running",
        "requested_by": words or "x",
        "note": words or "x",
        "selected_count": 5,
        "sent_count": 2,
        "failed_count": 1,
        "doubtful_count": 1,
        "returned_count": 1,
    }
    groups = [{"failure_group": "g-1", "cause": words, "count": 3, "first_seen_at": 1.0, "last_seen_at": 2.0}]
    dry_run = {"dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": 3, "rate_per_s": 10.0}
    seen = {
        "message_id": words or "x",
        "cause": words or "x",
        "left_s": 3_600.0,
        "receive_count": 4,
        "size_bytes": 12,
        "attributes": {words or "x": words or "x"},
        "sample": words or "x",
        "payload": words or "x",
    }
    peek = {"peek": True, "waiting_count": 7, "looked_at_count": 2, "messages": [seen], "note": words or "x"}
    return [{"error": words}, {**dry_run, "canary_count": 3, "groups": groups * 30}, {"job": job}, peek]


def show(words: str) -> list[tuple[str, Page]]:
    """Each answer as HTML and parsed."""
    event = {"redrive": {"fleet": "orders", "all": True, "dry_run": True}, "widgetContext": {"theme": "light"}}
    pages = [render_answer(answered, event, OPERATOR_ARN) for answered in answers(words)]
    return [(html, parse(html)) for html in pages]


@pytest.mark.parametrize("name", list(HARM))
def test_answer_when_a_text_means_harm_has_the_same_elements_as_with_a_harmless_one(name: str) -> None:
    """No element, attribute or hidden character comes from a text, and every action is ours."""
    for (html, page), (_, plain) in zip(show(HARM[name]), show(HARMLESS), strict=True):
        assert page.problems == []
        assert page.skeleton == plain.skeleton
        assert [event for _, event in page.actions] == [event for _, event in plain.actions]
        assert [one.attributes for one, _ in page.actions] == [one.attributes for one, _ in plain.actions]
        assert all(character.isprintable() or character in "\n\t" for character in html)
        assert len(html.encode("utf-8")) < LARGEST_BYTES


def test_answer_when_there_are_many_groups_shows_the_first_and_counts_the_rest() -> None:
    """A popup stays readable."""
    (_, (_, page), *_) = show(HARMLESS)
    assert len(page.all("li")) == 25
    assert "and 5 more failure groups" in page.text


def test_answer_when_somebody_looked_into_a_dead_letter_queue_tells_how_long_each_has() -> None:
    """How many of how many, and what looking has cost."""
    (*_, (_, page)) = show(HARMLESS)
    assert "2 dead letters of about 7" in page.text
    assert "SQS deletes it in 1 h" in page.text
    assert "received 4 times" in page.text
    assert page.actions == []


@pytest.mark.parametrize(
    ("state", "label", "color"),
    [
        ("running", "sending", None),
        ("watching", "sent, watching", None),
        ("done", "done", "sl-good"),
        ("came-back", "came back", "sl-warn"),
        ("stopped", "stopped", "sl-warn"),
    ],
)
def test_answer_when_a_job_is_shown_has_the_color_of_its_state(state: str, label: str, color: str | None) -> None:
    """Green is only what did not come back."""
    job = next(answer["job"] for answer in answers("x") if "job" in answer)
    page = parse(render_answer({"job": {**job, "state": state, "returned_count": 0}}, {}, OPERATOR_ARN))
    (pill,) = page.all("span", "sl-pill")
    classes = set(pill.attributes["class"].split()) - {"sl-pill"}
    assert (pill.text, classes) == (label, {color} if color else set())
