"""What the widget shows of a fleet that consumes several queues."""

from dataclasses import replace
from typing import Any

import pytest

from sluice.config.fleet import ConfigError, Fleet, parse
from sluice.memory import queue_url
from sluice.model.decisions import Figure
from sluice.model.redrive_jobs import JobState
from sluice.widget.answers import render_answer
from sluice.widget.page import render
from sluice.widget.view import Theme
from tests.support.redrive_jobs import redrive_job
from tests.support.several_queues import DOCUMENT, OTHER, URGENT, fleet
from tests.support.widget_html import Page
from tests.support.widget_html import parse as parse_html
from tests.support.widget_scenes import NOW, OPERATOR_ARN, decision, outcome, view


def show(of: Fleet, **changes: object) -> Page:
    """The widget of a fleet, parsed."""
    page = parse_html(render(view(fleet=of, **changes), Theme.LIGHT, 440))
    assert page.problems == []
    return page


def test_queues_are_shown_with_what_is_promised_of_each() -> None:
    """Those that consumers take from first at the top, paused ones last; for one queue there is nothing to list."""
    page = show(fleet())
    (section,) = [one for one in page.all("section") if one.text.startswith("Queues")]
    words = " ".join(section.text.split())
    assert words.index("orders-urgent") < words.index("dead letters in orders-dead") < words.index("orders-nightpaused")
    for told in (
        "target 30 s · priority 5 · no dead-letter queue",
        "target 10 min · priority 0 · dead letters in orders-dead",
    ):
        assert told in words
    assert "targets 30 s to 10 min" in page.text
    one = parse("orders", {"queue": OTHER, "group": "orders", "target_wait_s": 30})
    assert "Queues" not in show(one).text
    assert "target 30 s" in show(one).text


def test_queue_is_shown_with_what_the_last_decision_knew_of_it() -> None:
    """How much waits, for how long, and what that asks for; one that is late stands out."""
    made = decision(NOW - 5)
    seen = {"visible in orders-urgent": 1_234.0, "oldest_wait_s in orders-urgent": 31.0, "need of orders-urgent": 4.0}
    seen |= {"visible in orders": 1.0, "oldest_wait_s in orders": 31.0}
    figures = tuple(Figure(name, value, 0.0, "estimated") for name, value in seen.items())
    made = replace(made, figures=(*made.figures, *figures))
    page = show(fleet(), decisions=((made, outcome(made)),))
    (section,) = [one for one in page.all("section") if one.text.startswith("Queues")]
    words = " ".join(section.text.split())
    assert "no dead-letter queue · 1,234 messages waiting · oldest message 31 s, late · needs a capacity of 4" in words
    assert "dead letters in orders-dead · 1 message waiting · oldest message 31 s" in words
    assert [one.text for one in page.all("span", "sl-bad") if "oldest" in one.text] == ["oldest message 31 s, late"]


def test_queue_whose_document_is_at_fault_is_told_as_one() -> None:
    """Its fleet goes on."""
    page = show(fleet(), invalid=(ConfigError("orders/queues/x", ("queue: is required",)), ConfigError("y", ("z",))))
    assert "The document of queue orders/queues/x is invalid" in page.text
    assert "The document of fleet y is invalid" in page.text


def test_redrive_of_one_queue_is_a_button_that_asks_first() -> None:
    """It says where the messages go, and that they wait where that is paused."""
    actions = [(one.attributes, event) for one, event in show(fleet()).actions]
    of_queue = {
        event["redrive"]["queue"]: attributes.get("confirmation")
        for attributes, event in actions
        if "redrive" in event and "queue" in event["redrive"] and not event["redrive"]["dry_run"]
    }
    assert set(of_queue) == {"orders", "orders-night", "orders-urgent"}
    assert "the quarantined messages of queue orders-urgent of fleet orders back to the queue, at most" in str(
        of_queue["orders-urgent"]
    )
    assert "(orders-night is paused: messages wait there)" in str(of_queue["orders-night"])
    (whole,) = [
        attributes["confirmation"]
        for attributes, event in actions
        if event.get("redrive", {}).get("all") and not event["redrive"]["dry_run"]
    ]
    assert "back to the queues they came from (orders-night is paused" in str(whole)
    assert not [event for _, event in show(fleet(), operator_arn=None).actions if "redrive" in event]


def test_dead_letter_queues_are_spoken_of_when_there_are_several() -> None:
    """In manual mode: one redrive out of all of them."""
    queues = [*DOCUMENT["queues"][:1], {"queue": URGENT, "dead_letter_queue": queue_url("urgent-dead")}]
    page = show(fleet(queues=queues, redrive={"mode": "manual"}))
    assert "dead letters stay in the dead-letter queues." in page.text
    assert "Redrive queues" in page.text
    assert "Redrive queues" not in show(fleet(redrive={"mode": "manual"})).text


def test_job_is_shown_with_the_queues_that_it_names() -> None:
    """From which, to which."""
    job = redrive_job("j", "orders", JobState.RUNNING, NOW, "ada", NOW, queue="orders-urgent", to_queue="orders-night")
    assert "All failure groups of queue orders-urgent to queue orders-night" in " ".join(
        show(fleet(), jobs=(job,)).text.split()
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"queues": ["a", "b"]}, "of fleet orders, each to the queue it came from, at most 10 messages a second"),
        ({"queues": ["a"]}, "of fleet orders, at most 10 messages a second"),
        ({"queues": ["a"], "queue": "a"}, "of fleet orders, queue a, at most 10 messages a second"),
        ({"queues": ["a", "b"], "to": "mail", "to_queue": "c"}, "of fleet orders, to queue c of fleet mail, at most"),
        ({"queues": ["a"], "paused_queues": ["a"]}, "(paused: messages wait there: a), at most 10 messages a second"),
    ],
)
def test_dry_run_is_answered_with_the_queues(more: dict[str, Any], told: str) -> None:
    """From which, to which, and what waits there."""
    seen = {
        "dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": 2, "rate_per_s": 10.0,
        "canary_count": 3, "groups": [], **more,
    }  # fmt: skip
    page = parse_html(render_answer(seen, {"redrive": {"fleet": "orders", "all": True}}, OPERATOR_ARN))
    assert told in " ".join(page.text.split())


def test_look_inside_tells_the_queue_of_each_dead_letter() -> None:
    """Where it is known."""
    message = {
        "message_id": "m", "cause": "c", "left_s": None, "receive_count": 1, "size_bytes": 1, "attributes": {},
        "sample": "", "queue": "orders-urgent",
    }  # fmt: skip
    peek = {"peek": True, "waiting_count": 1, "looked_at_count": 1, "messages": [message], "note": "x"}
    assert "m · from orders-urgent" in " ".join(parse_html(render_answer(peek, {}, OPERATOR_ARN)).text.split())
