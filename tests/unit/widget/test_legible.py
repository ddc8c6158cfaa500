"""What an operator reads at a glance: names, units, words beside colors, and nothing that contradicts its neighbor."""

import re
from dataclasses import replace
from typing import Any

import pytest

from sluice.model.decisions import Figure, OutcomeStatus
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading
from sluice.model.planning import Memory, Snapshot
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Excerpt, LastRedrive, Message, QuarantineEntry
from sluice.widget.answers import render_answer
from sluice.widget.figures import labelled
from sluice.widget.messages import PopupContext, render_message_detail, render_message_list
from sluice.widget.names import NAME_MAX_CHARACTERS, plain_name
from sluice.widget.page import render
from sluice.widget.view import Theme, View
from tests.support.planner_steps import plan_for
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.several_queues import fleet as shared_fleet
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import (
    NOW,
    OPERATOR_ARN,
    decision,
    failure_groups,
    fleet,
    jobs,
    outcome,
    view,
)


def show(scene: View) -> Page:
    """A view at a third of a dashboard's width, parsed."""
    page = parse(render(scene, Theme.LIGHT, 420))
    assert page.problems == []
    return page


def tiles(page: Page) -> dict[str, str]:
    """The figures at a glance, by name."""
    names = [name.text for name in page.all("dt")]
    return dict(zip(names, [value.text for value in page.all("dd")], strict=True))


def waiting(visible: float, oldest_s: float, read_s_ago: float) -> Snapshot:
    """A queue whose oldest message CloudWatch saw some time ago, and three instances."""
    return Snapshot(
        fleet="orders",
        at=NOW,
        queue=QueueReading(
            visible=Reading(visible, NOW),
            in_flight=Reading(4.0, NOW),
            delayed=Reading(0.0, NOW),
            oldest_age=Reading(oldest_s, NOW - read_s_ago),
        ),
        group=GroupReading(
            name="orders",
            at=NOW,
            desired=3,
            min_size=0,
            max_size=10,
            instances=tuple(Instance(f"i-{n}", Lifecycle.IN_SERVICE) for n in range(3)),
        ),
    )


# --------------------------------------------------------------------------- agreement


@pytest.mark.parametrize(("oldest_s", "read_s_ago"), [(41.0, 60.0), (170.0, 120.0), (900.0, 60.0)])
def test_oldest_message_when_shown_agrees_with_the_decision_beside_it(oldest_s: float, read_s_ago: float) -> None:
    """CloudWatch's age is minutes late: the tile, the chart and the decision's sentence say the same of now."""
    made = plan_for(waiting(340.0, oldest_s, read_s_ago), fleet(), Memory(), NOW)
    said = re.search(r"the oldest for (\d+ (?:s|min))", made.sentence)
    assert said is not None
    page = show(view(decisions=((made, outcome(made)),)))
    assert tiles(page)["Oldest message"] == f"{said[1]}late: target 60 s"


def test_oldest_message_when_nothing_waits_is_none() -> None:
    """A metric of minutes ago is no message that waits now."""
    made = plan_for(waiting(0.0, 41.0, 60.0), fleet(), Memory(), NOW)
    assert "no message is waiting" in made.sentence
    assert tiles(show(view(decisions=((made, outcome(made)),))))["Oldest message"] == "nonetarget 60 s"


def test_target_when_shown_is_in_the_units_of_the_decision() -> None:
    """The tile and the sentence name one target in one way."""
    made = plan_for(waiting(340.0, 41.0, 60.0), fleet(target_wait_s=90.0), Memory(), NOW)
    page = show(view(fleet=fleet(target_wait_s=90.0), decisions=((made, outcome(made)),)))
    assert "target 90 s" in tiles(page)["Oldest message"]
    assert "1 min 30 s" not in tiles(page)["Oldest message"]


# --------------------------------------------------------------------------- what came back is amber


def fills(page: Page) -> list[tuple[str, str]]:
    """Each filled share of the first bar: its class and its width."""
    bars = [one for one in page.all("i") if one.attributes.get("style", "").startswith("width")]  # type: ignore[union-attr]
    return [(str(one.attributes["class"]), str(one.attributes["style"])) for one in bars]


def test_bar_when_some_of_a_redrive_came_back_is_amber_for_that_share() -> None:
    """Ten of forty failed again: three quarters of what was sent is not green, a quarter is amber."""
    job = changed_job(jobs()[0], state=JobState.CAME_BACK, selected_count=40, sent_count=40, failed_count=0,
                      returned_count=10)  # fmt: skip
    page = show(view(jobs=(job,), drains=()))
    assert fills(page) == [("sl-plain", "width:75.0%"), ("sl-warn", "width:25.0%")]
    assert "10 failed again" in [one.text.split(", ")[-1] for one in page.all("span", "sl-warn-text")][-1]


def test_bar_when_a_redrive_is_done_is_green_and_only_then() -> None:
    """What is sent and still watched may yet come back."""
    for state, kind in ((JobState.WATCHING, "sl-plain"), (JobState.RUNNING, "sl-plain"), (JobState.DONE, "sl-good")):
        job = redrive_job("j", "orders", state, NOW - 9, "ada", NOW, selected_count=4, sent_count=4)
        assert fills(show(view(jobs=(job,), drains=()))) == [(kind, "width:100.0%")]


def test_answer_when_some_came_back_is_amber_before_the_job_ends() -> None:
    """The popup and the widget have one rule."""
    job = {
        "id": "j", "fleet": "orders", "state": "running", "requested_by": "ada", "note": "", "selected_count": 4,
        "sent_count": 4, "failed_count": 0, "doubtful_count": 0, "returned_count": 1, "left_s": None,
    }  # fmt: skip
    page = parse(render_answer({"job": job}, {}, OPERATOR_ARN))
    assert fills(page) == [("sl-plain", "width:75.0%"), ("sl-warn", "width:25.0%")]
    assert page.all("span", "sl-pill")[0].classes == {"sl-pill", "sl-warn"}
    assert [one.text for one in page.all("span", "sl-warn-text")] == ["1 message failed again. "]


def test_group_when_its_last_redrive_came_back_says_so_in_amber() -> None:
    """Also where its quarantine is empty by now."""
    group = replace(failure_groups()[2], last_redrive=LastRedrive("j", NOW - 60, sent_count=3, returned_count=2))
    page = show(view(failure_groups=(group,), jobs=()))
    assert [one.text for one in page.all("span", "sl-warn-text")] == ["2 failed again"]


# --------------------------------------------------------------------------- names in place of ids


def test_dialogs_when_about_a_failure_group_name_its_cause_and_not_its_id() -> None:
    """Confirmations, tooltips and labels: none has a group's id, which no operator knows by heart."""
    page = show(view())
    ids = {group.id for group in failure_groups()} | {job.id for job in jobs()}
    shown = [page.text_without_events]
    for element in page.elements:
        shown += [element.attributes.get(name) or "" for name in ("title", "aria-label", "confirmation")]
    assert [text for text in shown for id_ in ids if id_ in text] == []
    questions = [one.attributes.get("confirmation") or "" for one, _ in page.actions]
    assert sum("\u201cinvalid-currency: no exchange rate for XTS\u201d" in question for question in questions) == 3


def test_result_of_a_redrive_when_shown_names_the_cause() -> None:
    """The popup after the press, and the confirmation of its own buttons."""
    job = {
        "id": "4f0c-77", "fleet": "orders", "state": "running", "requested_by": "the widget", "note": "",
        "selected_count": 4, "sent_count": 1, "failed_count": 0, "doubtful_count": 0, "returned_count": 0,
        "left_s": 3.0, "failure_group": "cause-77ab", "failure_group_cause": "KeyError: 'shipping_address'",
    }  # fmt: skip
    page = parse(render_answer({"job": job}, {}, OPERATOR_ARN))
    assert "KeyError: 'shipping_address' of fleet orders" in page.text
    assert "cause-77ab" not in page.text
    (question,) = [one.attributes["confirmation"] for one, _ in page.actions if "confirmation" in one.attributes]
    assert "the redrive of \u201cKeyError: shipping_address\u201d of fleet orders" in str(question)


def test_dry_run_of_one_group_when_confirmed_names_its_cause_and_fleet() -> None:
    """The second press asks about what the first has shown."""
    seen: dict[str, Any] = {
        "dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": 2, "rate_per_s": 10.0,
        "canary_count": 3, "groups": [{"cause": "Broken: <b>", "count": 2}],
    }  # fmt: skip
    page = parse(render_answer(seen, {"redrive": {"fleet": "orders", "failure_group": "g"}}, OPERATOR_ARN))
    (question,) = [one.attributes["confirmation"] for one, _ in page.actions]
    assert question == "Send 2 messages of \u201cBroken: b\u201d of fleet orders back, at most 10 messages a second?"


def test_messages_when_listed_are_under_their_cause_and_counted() -> None:
    """A page of a group's messages says of what group it is, and how many there are in all."""
    group = failure_groups()[0]
    entry = QuarantineEntry(
        "orders", group.id, "m", "key", group.cause, NOW - 60, NOW - 90, 1, None, 5, Excerpt("body")
    )
    page = parse(render_message_list([entry] * 20, group.id, "x", PopupContext("orders", NOW), group))
    assert page.all("h2")[0].text == group.cause
    assert "20 of 41 messages, first quarantined first" in page.text
    gone = parse(render_message_list([entry], group.id, None, PopupContext("orders", NOW)))
    assert "1 message, first quarantined first" in gone.text
    assert group.id not in page.text + gone.text


def test_plain_name_when_a_text_is_long_or_strange_is_one_short_line() -> None:
    """Quotes, markup and what turns the words around are spaces."""
    assert plain_name("KeyError: 'a'\n<b>\u202edrow\u05d0") == "KeyError: a b drow"
    assert plain_name("d\u00e9j\u00e0 \u4f60\u597d 12") == "d\u00e9j\u00e0 \u4f60\u597d 12"
    assert plain_name("<>\u202e") == ""
    assert len(plain_name("word " * 500)) <= NAME_MAX_CHARACTERS


# --------------------------------------------------------------------------- units and legend


def test_figures_when_the_planner_writes_them_have_a_label_and_a_unit() -> None:
    """Every figure of a decision, of one queue and of several: words in place of the code's names."""
    snapshot = waiting(340.0, 41.0, 60.0)
    shared = shared_fleet()
    queues = tuple(snapshot.queue for _ in shared.sources)
    made = [
        plan_for(snapshot, fleet(), Memory(), NOW),
        plan_for(replace(snapshot, queues=queues), shared, Memory(), NOW),
    ]
    figures = [figure for one in made for figure in one.figures]
    extra = ("units_enough", "held", "need_of_batches", "visible_doubted", "returned_per_s", "poison")
    figures += [Figure(name, 3.0, None, "measured") for name in extra]
    assert len(figures) > 30
    for figure in figures:
        shown = labelled(figure)
        assert "_" not in shown.label, figure.name
        assert re.search(r"[A-Za-z\u2014]", shown.value), (figure.name, shown.value)


def test_legend_when_drawn_names_what_the_chart_has_and_nothing_else() -> None:
    """Lines and areas always, marks where they occur."""
    still = decision(NOW - 60)
    assert _legend(show(view(decisions=((still, outcome(still)),)))) == [
        "desired capacity", "in service", "capacity needed", "target wait",
    ]  # fmt: skip
    late = decision(NOW - 60, oldest_wait_s=61.0)
    assert _legend(show(view(decisions=((late, outcome(late)),))))[-1] == "late"
    out = decision(NOW - 60, want=5)
    for status, words in (
        (OutcomeStatus.APPLIED, "scaled out"),
        (OutcomeStatus.SHADOW, "decided in shadow mode, not applied"),
        (OutcomeStatus.FAILED, "a change that failed"),
    ):
        assert _legend(show(view(decisions=((out, outcome(out, status)),))))[-1] == words


def _legend(page: Page) -> list[str]:
    (legend,) = page.all("ul", "sl-legend")
    assert legend.attributes["aria-label"] == "Legend of the chart"
    words = []
    for one in page.elements[page.elements.index(legend) + 1 :]:
        if one.tag not in {"li", "svg", "path", "span"}:
            break
        words += [one.text] if one.tag == "li" else []
    return words


def test_trend_when_drawn_says_its_extent_and_its_highest_bar() -> None:
    """A small picture without scales: the words beside it are its axes."""
    page = show(view())
    (first, *_) = page.all("div", "sl-trend-row")
    assert "by the hour, 24 h to now; highest bar 28 dead letters" in first.text
    assert page.all("path", "sl-trend-base")


# --------------------------------------------------------------------------- words beside colors


def test_status_when_it_has_a_color_has_words_as_well() -> None:
    """A late message, quarantined messages and a change of capacity are read without seeing red or an arrow."""
    late = decision(NOW - 10, want=5, oldest_wait_s=75.0)
    page = show(view(decisions=((late, outcome(late)),)))
    assert tiles(page)["Oldest message"] == "75 slate: target 60 s"
    assert tiles(page)["Quarantined"] == "47messages, 2 failure groups"
    assert "scale out from 3 to 5" in [one.text for one in page.all("span", "sl-hear")]


# --------------------------------------------------------------------------- bytes and order


def message_of(body: str) -> Message:
    """A message with one attribute of nine bytes: name, type and value."""
    return Message("m", body, attributes=(("k", Attribute("String", "10")),))


def test_bytes_when_a_message_is_shown_are_of_body_and_attributes_apart() -> None:
    """SQS counts attributes as well: 14 bytes of a body of 9 characters, 23 with an attribute."""
    body = "\u00fc" * 5 + "abcd"
    entry = QuarantineEntry("orders", "g", "m", "key", "c", NOW - 60, NOW - 90, 1, None, 23, Excerpt(body))
    message = message_of(body)
    assert message.size_bytes == 23
    page = parse(render_message_detail(entry, message, PopupContext("orders", NOW)))
    assert "23 bytes with its attributes" in page.text
    assert "Body, 14 bytes" in page.text


def test_bytes_when_a_body_is_in_s3_are_said_to_be_of_the_pointer() -> None:
    """Two hundred bytes of a pointer are not the size of the object of two megabytes."""
    entry = QuarantineEntry(
        "orders", "g", "m", "key", "c", NOW - 60, NOW - 90, 1, None, 200, Excerpt("x", payload="s3://big/object")
    )
    page = parse(render_message_list([entry], "g", None, PopupContext("orders", NOW)))
    assert "200 bytes of pointer and attributes" in page.text


def test_redrives_when_many_show_one_that_is_paused_before_those_that_ended() -> None:
    """A paused one waits for an operator: it is not hidden behind later ones."""
    paused = redrive_job("p", "orders", JobState.PAUSED, NOW - 9_000, "ada", NOW, cause="paused one")
    ended = [redrive_job(f"d{n}", "orders", JobState.DONE, NOW - n, "ada", NOW) for n in range(8)]
    page = show(view(jobs=(*ended, paused)))
    section = next(one.text for one in page.all("section") if one.text.startswith("Redrives"))
    assert "0 running \u00b7 1 paused" in section
    assert "paused one" in section
    assert "and 4 more redrives." in section


def test_dead_letters_when_peeked_at_are_ordered_by_what_sqs_deletes_first() -> None:
    """SQS gives them in no order; what has the least time left comes first, what is not known last."""
    letters = [
        {"message_id": name, "cause": name, "left_s": left_s, "receive_count": 1, "size_bytes": 1, "attributes": {},
         "sample": ""}
        for name, left_s in (("later", 9_000.0), ("unknown", None), ("sooner", 60.0))
    ]  # fmt: skip
    peek = {"peek": True, "waiting_count": 3, "looked_at_count": 3, "messages": letters, "note": "x"}
    page = parse(render_answer(peek, {}, OPERATOR_ARN))
    assert [one.text for one in page.all("b")] == ["sooner", "later", "unknown"]
    assert "what SQS deletes first is on top" in page.text
