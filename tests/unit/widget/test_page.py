"""The widget's sections: what is said of a fleet, and what can be pressed."""

import json
import re
from dataclasses import replace

import pytest

from sluice.config.fleet import ConfigError, DrainPolicy, RedriveMode, RedrivePolicy
from sluice.model.decisions import OutcomeStatus, Reason, ReasonCode
from sluice.model.draining import DrainOutcome, DrainState, Heartbeats, Retention, SignsOfLife
from sluice.model.observed import Mode
from sluice.model.redrive_jobs import JobAction, JobState, Release, Selection
from sluice.model.redriving import Excerpt, Message, QuarantineEntry
from sluice.widget.answers import render_answer
from sluice.widget.messages import PopupContext, render_message_detail, render_message_list
from sluice.widget.page import render, render_problems
from sluice.widget.style import CSS
from sluice.widget.view import Period, ReadFailure, Source, Theme, View, WidgetSettings
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import (
    CONSOLE_ARN,
    HARM,
    HOUR,
    NOW,
    OPERATOR_ARN,
    decision,
    drains,
    failure_groups,
    fleet,
    jobs,
    outcome,
    view,
)


def show(scene: View, theme: Theme = Theme.LIGHT, width: int = 440) -> Page:
    """A view rendered and parsed; it must be well-formed and made of our elements alone."""
    page = parse(render(scene, theme, width))
    assert page.problems == []
    return page


def quiet(**changes: object) -> View:
    """A view of a fleet that was just created."""
    empty = {"names": ("orders",), "decisions": (), "drains": (), "failure_groups": (), "jobs": ()}
    return view(**{**empty, **changes})


def section(page: Page, name: str) -> str:
    """The text of the section with that heading."""
    return next(one.text for one in page.all("section") if one.text.startswith(name))


# --------------------------------------------------------------------------- the whole


@pytest.mark.parametrize("theme", list(Theme))
@pytest.mark.parametrize("width", [-5, 0, 260, 440, 668, 1_360, 10**9])
def test_render_when_of_any_width_and_theme_is_well_formed(theme: Theme, width: int) -> None:
    """Every width and theme gives a well-formed page of our own elements, marked with its theme."""
    page = show(view(), theme, width)
    root = page.elements[0]
    assert {"sl", f"sl-{theme}", "cwdb-no-default-styles"} <= root.classes
    headings = [heading.text for heading in page.all("h2") + page.all("h3")]
    for n, name in enumerate(("orders", "Decisions", "Failure groups", "Redrives", "Drains")):
        assert headings[n].startswith(name)


def test_render_when_wide_has_two_columns() -> None:
    """Two columns need room."""
    assert "sl-wide" in show(view(), width=1_000).elements[0].classes
    assert "sl-wide" not in show(view(), width=800).elements[0].classes


def test_render_when_repeated_is_the_same_plain_text() -> None:
    """Rendering is pure, and its answer a plain string that serialises as one."""
    html = render(view(), Theme.DARK, 668)
    assert html == render(view(), Theme.DARK, 668)
    assert type(html) is str


def test_style_when_escaped_is_unchanged() -> None:
    """The style sheet has nothing that escaping would change or that could end its element."""
    assert not set("<>&\"'") & set(CSS)
    assert parse(render(view(), Theme.LIGHT, 440)).all("style")[0].text == CSS


def test_style_when_applied_stays_within_the_widget() -> None:
    """Every rule begins with a class of ours: nothing else on the dashboard is touched."""
    selectors = [part.split("}")[-1] for part in CSS.split("{")[:-1]]
    assert len(selectors) > 50
    assert all(one.strip().startswith(".sl") for selector in selectors for one in _split(selector))


@pytest.mark.parametrize(("theme", "page"), [(Theme.LIGHT, "#ffffff"), (Theme.DARK, "#0f1b2a")])
def test_style_when_read_in_either_theme_has_contrast(theme: Theme, page: str) -> None:
    """Every colour of words reaches 4.5 to 1 on the dashboard and on the widget's own grounds, as WCAG AA asks."""
    rule = CSS[CSS.index(".sl.sl-dark {" if theme is Theme.DARK else ".sl {") :]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", rule[: rule.index("}")]))
    for name in ("text", "muted", "faint", "good", "bad", "warn", "capacity", "backlog"):
        assert _contrast(colours[name], page) >= 4.5, name
    for name, ground in (
        ("muted", "panel"),
        ("muted", "chip"),
        ("text", "chip"),
        ("good", "chip"),
        ("warn", "warn-soft"),
        ("bad", "bad-soft"),
        ("on-primary", "primary"),
    ):
        assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def _split(selector: str) -> list[str]:
    """A list of selectors, but for commas within `:where(...)`."""
    parts, depth = [""], 0
    for character in selector:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def test_render_when_the_fleet_is_new_says_that_there_is_nothing_yet() -> None:
    """An empty ledger is shown as such: no decision, no dead letter, no drain, and dashes for figures."""
    page = show(quiet())
    assert "No decision between 12:30 and 15:30 UTC+01:00." in page.text
    assert "No dead letters are recorded." in page.text
    assert "No instance is draining." in page.text
    assert [tile.text for tile in page.all("dd")][:3] == [
        "\u2014no decision yet",
        "\u2014messages waiting",
        "\u2014target 60 s",
    ]
    assert page.actions == []


def test_render_when_there_is_no_fleet_says_where_to_put_one() -> None:
    """A stack without a fleet tells where its documents belong."""
    page = show(View(Period(NOW, NOW - HOUR, NOW), WidgetSettings(fleets_path="/sluice/prod/fleets/")))
    assert "/sluice/prod/fleets/" in page.text


# --------------------------------------------------------------------------- head


@pytest.mark.parametrize(("mode", "word"), [(Mode.ACT, "acting"), (Mode.SHADOW, "shadow"), (Mode.PAUSED, "paused")])
def test_head_when_in_a_mode_tells_it(mode: Mode, word: str) -> None:
    """Whether decisions are applied is said beside the fleet's name."""
    assert show(quiet(fleet=fleet(mode=mode))).all("span", "sl-pill")[0].text == word


def test_tabs_when_there_are_several_fleets_call_this_function_for_the_others() -> None:
    """Each other fleet is a button that renders it in this widget; the shown one is not pressable."""
    page = show(quiet(names=("invoices", "orders")))
    every, other, shown = page.all("button")
    assert (every.text, shown.text, other.text) == ("All 2 fleets", "orders", "invoices")
    assert "disabled" in shown.attributes
    (_, overview), (action, event) = page.actions
    assert overview == {"view": "fleets"}
    assert event == {"fleet": "invoices"}
    assert action.attributes | {"action": "call", "display": "widget", "endpoint": CONSOLE_ARN} == action.attributes


def test_tabs_when_there_is_one_fleet_are_left_out() -> None:
    """One fleet needs no choice, and neither does a function that does not know its own name."""
    assert show(quiet()).all("div", "sl-tabs") == []
    assert show(quiet(names=("a", "orders"), console_arn=None)).all("div", "sl-tabs") == []


def test_tiles_when_the_oldest_message_waits_too_long_say_so() -> None:
    """A wait above the target is marked; one below is not."""
    for oldest_s, marked in ((61.0, True), (60.0, False), (None, False)):
        made = decision(NOW - 10, oldest_wait_s=oldest_s)
        page = show(quiet(decisions=((made, outcome(made)),)))
        assert bool(page.all("dd", "sl-bad")) is marked


def test_warning_when_no_decision_came_lately_is_shown() -> None:
    """A planner that stopped is told, but not for a time range in the past."""
    made = decision(NOW - 900)
    late = quiet(decisions=((made, outcome(made)),))
    assert "No decision for 15 min." in show(late).text
    assert "No decision for" not in show(quiet(decisions=((made, outcome(made)),), until=NOW - 800)).text
    assert "No decision for" not in show(view()).text


def test_warning_when_a_fleet_document_is_bad_names_it_with_every_problem() -> None:
    """An invalid fleet is listed with all its faults while another is shown."""
    bad = ConfigError("invoices", ("queue: is required", "target_wait_s: must be above 0 (got -1)"))
    text = show(view(invalid=(bad,))).text
    for words in (
        "The document of fleet invoices is invalid:",
        "queue: is required",
        "target_wait_s: must be above 0 (got -1)",
    ):
        assert words in text


@pytest.mark.parametrize("part", [Source.DECISIONS, Source.DRAINS, Source.FAILURE_GROUPS, Source.REDRIVES])
def test_trouble_when_a_part_cannot_be_read_is_told_and_nothing_is_said_of_it(part: Source) -> None:
    """A part that could not be read says so with what to grant, and is not shown as empty."""
    grant = "AccessDenied: grant dynamodb:Query on table sluice-ledger"
    text = show(quiet(failures=(ReadFailure(part, grant),))).text
    assert f"{part.capitalize()} could not be read. {grant}" in text
    empty = {
        Source.DECISIONS: "No decision between",
        Source.DRAINS: "No instance is draining",
        Source.FAILURE_GROUPS: "none in quarantine",
        Source.REDRIVES: "running",
    }
    assert empty[part] not in text


# --------------------------------------------------------------------------- decisions


def test_decisions_when_holds_repeat_are_told_once() -> None:
    """Holds in a row for the same reasons are one line with their number; a change of size breaks the row."""
    made = [decision(NOW - 60 * n, sentence=f"Hold at 3, tick {n}.") for n in range(1, 6)]
    made.insert(2, decision(NOW - 150, want=4, current=3, sentence="Scaling out from 3 to 4."))
    said = [row.text for row in show(quiet(decisions=tuple((one, outcome(one)) for one in made))).all("summary")]
    assert len(said) == 3
    assert "Hold at 3, tick 1." in said[0]
    assert "2 times since 15:28" in said[0]
    assert "3 times since 15:25" in said[2]


def test_decision_when_unfolded_has_need_reasons_figures_and_outcome() -> None:
    """Behind its sentence a decision has the raw need, each limit, each figure's age, and what AWS answered."""
    made = decision(
        NOW - 10,
        current=3,
        need=9,
        want=5,
        sentence="Scaling out from 3 to 5.",
        reasons=(
            Reason(ReasonCode.NEED, "800 messages wait", 3, 9),
            Reason(ReasonCode.STEP, "at most 2 at once", 9, 5),
        ),
    )
    came_of = outcome(made, OutcomeStatus.FAILED, "ScalingActivityInProgress")
    page = show(quiet(decisions=((made, came_of),)))
    (row,) = [one for one in page.all("details") if "Scaling out from 3 to 5." in one.text]
    words = " ".join(row.text.split())
    for said in (
        "scale out from 3 to 5\u25b4 3 \u2192 5",
        "Capacity 3, need 9, wanted 5. Outcome: failed: ScalingActivityInProgress",
        "800 messages wait3 \u2192 9",
        "stepat most 2 at once9 \u2192 5",
        "Completed by one unit2.04 messages a second35 smeasured",
        "Target wait60 s\u2014configured",
    ):
        assert said in words
    assert "open" not in row.attributes


def test_decisions_when_many_are_folded_and_bounded() -> None:
    """Six are shown at once, some more on a press, and a page never grows without end."""
    made = [decision(NOW - 10 * n, current=n, want=n + 1) for n in range(1, 500)]
    page = show(quiet(decisions=tuple((one, outcome(one)) for one in made)))
    assert "24 earlier decisions" in page.text
    assert len(page.all("ol", "sl-steps")) == 30


def test_decisions_when_more_were_made_than_read_say_from_when_on() -> None:
    """A cut time range is told."""
    made = decision(NOW - 300)
    assert (
        "Only the most recent 1 decision of this time range is shown, from 15:25 on"
        in show(quiet(decisions=((made, outcome(made)),), truncated=True)).text
    )


# --------------------------------------------------------------------------- drains


def test_drains_when_under_way_show_age_and_deadline() -> None:
    """A drain shows how old it is and how long it may still take; released ones are only counted."""
    text = section(show(view()), "Drains")
    for words in (
        "2 under way",
        "i-0a41c9d2e83f5b617",
        "2 min 20 s old \u00b7 deadline in 12 min 40 s (15:42:40)",
        "deadline in 25 s",
        "1 released instance still on record",
    ):
        assert words in text
    assert "i-0c0ffee0c0ffee000" not in text


def test_drain_when_silence_would_end_it_says_when_it_was_last_heard_of() -> None:
    """Its deadline is then the end of the silence, and heartbeats are counted."""
    one = replace(drains()[0], signs=SignsOfLife(NOW - 40), heartbeats=Heartbeats(count=3))
    watched = fleet().model_copy(update={"drain": DrainPolicy(deadline_s=900, silence_s=300)})
    text = section(show(view(drains=(one,), fleet=watched)), "Drains")
    assert "deadline in 4 min 20 s" in text
    assert "3 heartbeats" in text
    assert "last report 40 s ago" in text


def test_instance_when_kept_shows_age_and_cost() -> None:
    """What costs on comes first, with what to do about it."""
    kept = replace(drains()[2], state=DrainState.RETAINED, retention=Retention(since=NOW - 5_400), note="kept")
    priced = fleet().model_copy(update={"drain": DrainPolicy(hourly_cost=0.2)})
    text = section(show(view(drains=(drains()[0], kept), fleet=priced)), "Drains")
    assert "1 under way · 1 kept for inspection" in text
    assert text.index("kept for inspection", text.index("1 kept for inspection") + 2) < text.index("stopping")
    assert "kept for 1 h 30 min · cost since then 0.30" in text
    assert "cost since" not in section(show(view(drains=(kept,))), "Drains"), "what it costs is not known"


def releases(page: Page) -> list[tuple[str, dict[str, object], str]]:
    """What the drains' buttons call, with what, and what is asked before."""
    return [
        (str(action.attributes["endpoint"]), event, str(action.attributes["confirmation"]))
        for action, event in page.actions
        if "release" in event
    ]


def test_drain_when_not_done_can_be_released_by_the_function_that_may() -> None:
    """By the drainer, after a confirmation that tells the price; what is done goes on by itself."""
    under_way = drains()[0]
    kept = replace(drains()[2], state=DrainState.RETAINED, retention=Retention(since=NOW - 60))
    done = replace(drains()[1], instance_id="i-done", state=DrainState.DONE)
    (first, second) = releases(show(view(drains=(under_way, kept, done))))
    assert {first[0], second[0]} == {OPERATOR_ARN}
    assert first[1] == {"release": {"fleet": "orders", "instance_id": kept.instance_id}}
    assert first[2].startswith(f"Terminate instance {kept.instance_id} of fleet orders now?")
    assert second[1] == {"release": {"fleet": "orders", "instance_id": under_way.instance_id}}
    assert second[2].startswith(
        f"Release instance {under_way.instance_id} of fleet orders now? Its consumer has not reported that it is done"
    )


def test_drain_when_nobody_may_act_has_no_button() -> None:
    """Then what is kept says how else it is released."""
    kept = replace(drains()[2], state=DrainState.RETAINED, retention=Retention(since=NOW - 60))
    page = show(view(drains=(kept,), operator_arn=None))
    assert releases(page) == []
    assert "to release it, send a release request to the operator function" in section(page, "Drains")


@pytest.mark.parametrize("text", list(HARM.values()), ids=list(HARM))
def test_release_when_answered_shows_what_it_says_as_text(text: str) -> None:
    """A note, an id and a problem are data: the popup is built as for plain words."""
    event = {"release": {}, "widgetContext": {"theme": "dark"}}
    for answered in ({"instance_id": text, "state": text, "note": text}, {"error": text}):
        harmless = dict.fromkeys(answered, "i-1")
        pages = [parse(render_answer(each, event, OPERATOR_ARN)) for each in (answered, harmless)]
        assert pages[0].problems == []
        assert pages[0].skeleton == pages[1].skeleton or text == ""


def test_drains_when_over_are_counted_by_outcome() -> None:
    """How they ended, at a glance."""
    over = drains()[2]
    ended = [replace(over, instance_id=f"i-{n}", outcome=DrainOutcome.COMPLETED) for n in range(3)]
    text = section(show(view(drains=(*ended, replace(over, outcome=DrainOutcome.LATE)))), "Drains")
    assert "4 released instances still on record: 3 completed, 1 already ended at their completion." in text


def test_drain_when_past_its_deadline_says_since_when() -> None:
    """A drain that outlived its deadline is told as such, with a full bar."""
    page = show(view(now=NOW + 500, drains=drains()))
    assert "deadline passed 7 min 55 s ago" in section(page, "Drains")
    assert "width:100.0%" in {bar.attributes["style"] for bar in page.all("i", "sl-bad")}


# --------------------------------------------------------------------------- failure groups


def test_buttons_when_a_group_has_messages_ask_the_redriver_for_just_it() -> None:
    """Dry run and redrive of a group are exact requests to the redriver; only the redrive asks first."""
    page = show(quiet(failure_groups=failure_groups()[:1]))
    (dry, dry_event), (redrive, redrive_event), (_, messages_event), (archive, mute_event) = page.actions
    request = {"fleet": "orders", "failure_group": "5f1d7a84db00d2fce00b31a7fc73224f"}
    assert dry_event == {"redrive": {**request, "dry_run": True}}
    assert redrive_event == {"redrive": {**request, "dry_run": False}}
    assert messages_event == request
    assert mute_event == {"mute": {**request, "undo": False}}
    assert "Its messages stay in quarantine." in (archive.attributes["confirmation"] or "")
    for action in (dry, redrive):
        assert action.attributes["action"] == "call"
        assert action.attributes["endpoint"] == OPERATOR_ARN
        assert action.attributes["display"] == "popup"
    assert "confirmation" not in dry.attributes
    assert redrive.attributes["confirmation"] == (
        "Send 41 quarantined messages of \u201cinvalid-currency: no exchange rate for XTS\u201d of fleet orders back"
        " to the queue, at most 10 messages a second?"
    )


def test_buttons_when_pressed_stand_just_before_their_action() -> None:
    """A cwdb-action acts on the element before it: that is always a button, and each has one action."""
    page = show(view())
    before = [id(action.before) for action in page.all("cwdb-action")]
    assert before == [id(one) for one in page.all("button") if "disabled" not in one.attributes]
    assert len(before) == 16


def test_stop_when_a_redrive_runs_is_a_button_that_asks_first() -> None:
    """A redrive under way can be stopped, one that ended cannot."""
    stops = [(action, event) for action, event in show(view()).actions if "stop" in event]
    ((action, event),) = stops
    assert event == {"stop": {"fleet": "orders", "job_id": "j-2"}}
    assert (
        action.attributes["confirmation"]
        == "Stop the redrive of \u201cinvalid-currency: no exchange rate for XTS\u201d of fleet orders?"
        " Messages that were already sent stay sent."
    )


def test_buttons_when_several_groups_have_messages_offer_all() -> None:
    """Redriving everything is offered once there is more than one group."""
    events = [event["redrive"] for _, event in show(view()).actions if "redrive" in event]
    assert {"fleet": "orders", "all": True, "dry_run": False} in events
    assert len(events) == 6
    one = show(quiet(failure_groups=failure_groups()[:1]))
    assert not any(event.get("redrive", {}).get("all") for _, event in one.actions)


def test_buttons_when_a_group_is_empty_or_the_redriver_unknown_are_left_out() -> None:
    """There is nothing to press for a group without messages, nor without a redriver, which is told."""
    assert show(quiet(failure_groups=failure_groups()[2:])).actions == []
    page = show(quiet(failure_groups=failure_groups(), operator_arn=None))
    assert page.actions == []
    assert "SLUICE_OPERATOR_ARN is not set" in page.text


def test_groups_when_shown_have_count_times_and_sample() -> None:
    """A group is its cause, its count, when it was first and last seen, and a sample; those in need come first."""
    page = show(view())
    items = [item.text for item in page.all("li", "sl-card")]
    assert "invalid-currency: no exchange rate for 'XTS'" in items[0]
    assert (
        "41 in quarantine  41 messages, 3 failed retries \u00b7 first 14:16 \u00b7 last 15:26 (3 min 10 s ago)"
        in items[0]
    )
    assert '"currency": "XTS"' in page.all("pre")[0].text
    assert "0 in quarantine  112 messages \u00b7 first 23 Nov 13:30" in items[2]


def test_groups_when_redriving_is_manual_say_where_dead_letters_are() -> None:
    """In manual mode an empty quarantine does not mean that there is no dead letter: the queue itself is offered."""
    manual = fleet().model_copy(update={"redrive": RedrivePolicy(mode=RedriveMode.MANUAL)})
    page = show(quiet(fleet=manual))
    assert "dead letters stay in the dead-letter queue" in page.text
    queue = {"fleet": "orders", "all": True, "from": "dead-letter-queue"}
    assert [event for _, event in page.actions] == [
        {"peek": {"fleet": "orders"}},
        {"redrive": {**queue, "dry_run": True}},
        {"redrive": {**queue, "dry_run": False}},
    ]
    assert "dead letters stay" not in show(quiet()).text


def test_groups_when_there_are_hundreds_are_bounded() -> None:
    """A page shows some and counts the others."""
    many = tuple(replace(failure_groups()[0], id=f"g{n}") for n in range(300))
    page = show(quiet(failure_groups=many))
    assert "and 275 more failure groups." in page.text
    assert len(page.all("pre")) == 25


def test_redrives_when_running_show_progress_and_troubles() -> None:
    """A job shows what it redrives, how far it is, what failed, who asked, and why it stopped."""
    text = section(show(view()), "Redrives")
    for words in (
        "1 running",
        "invalid-currency: no exchange rate for 'XTS'sendingramp phase, 5 messages a second",
        (
            "26 of 41 messages sent, 1 could not be sent \u00b7 about 2.8 s left \u00b7"
            " requested 15:28 by widget in account 000000000000"
        ),
        (
            "3 of 112 messages sent, 2 failed again \u00b7 requested 14:50 by ada \u00b7"
            " two of the first three came back: stopped"
        ),
    ):
        assert words in text


def test_group_when_shown_has_its_trend_and_how_its_last_redrive_went() -> None:
    """A small picture with its figures in words; what bursts says so."""
    page = show(view())
    cards = [card.text for card in page.all("li", "sl-card")]
    trends = [one.attributes["aria-label"] for one in page.all("svg", "sl-trend")]
    assert trends[0] == "44 dead letters in the last 24 hours: at most 28 in one hour, 9 in this hour"
    assert len(trends) == 2
    assert "Last redrive 1 min 35 s ago: 26 messages sent, none failed again." in cards[0]
    assert "retries suspended" not in cards[0]
    assert "retries suspended" in cards[1]
    assert "Last redrive 40 min ago: 3 messages sent, 2 failed again." in cards[2]


def test_group_that_is_held_says_when_it_is_tried_again() -> None:
    """Neither the group nor its release looks as if it waited for an operator."""
    scene = view()
    group = scene.records.failure_groups[1]
    due_at = scene.period.now + 300.0
    release = replace(
        redrive_job("release-x", "orders", JobState.RUNNING, scene.period.now, "Sluice", scene.period.now),
        selection=Selection(failure_group=group.id),
        release=Release(600.0, due_at, due_at + 3_600.0),
    )
    page = show(replace(scene, records=replace(scene.records, jobs=(release,))))
    at = scene.period.minute(due_at)
    card = page.all("li", "sl-card")[1].text
    assert f"held, tried again at {at}" in card
    assert "retries suspended" not in card
    assert f"heldtried again at {at}" in section(page, "Redrives")


def test_group_is_folded_away_while_it_is_muted() -> None:
    """Out of the way, still counted, and taken out again by a button."""
    first, second, _ = failure_groups()
    muted = replace(first, muted_at=NOW)
    page = show(quiet(failure_groups=(muted, second)))
    assert [card.text.startswith("KeyError") for card in page.all("li", "sl-card")] == [True]
    assert "1 muted group, hidden until another message fails" in page.text
    events = [event for _, event in page.actions]
    assert {"mute": {"fleet": "orders", "failure_group": first.id, "undo": True}} in events
    again = show(quiet(failure_groups=(replace(muted, last_seen_at=NOW + 1), second)))
    assert len(again.all("li", "sl-card")) == 2


def test_groups_when_filtered_are_those_with_the_text() -> None:
    """The filter stands in its field, and can be taken away."""
    many = tuple(replace(failure_groups()[0], id=f"g{n}", cause=f"Cause <{n}>") for n in range(8))
    page = show(quiet(failure_groups=many, filter="cause <3"))
    assert len(page.all("li", "sl-card")) == 1
    assert page.all("input")[0].attributes["value"] == "cause <3"
    assert {"fleet": "orders", "filter": ""} in [event for _, event in page.actions]
    assert len(show(quiet(failure_groups=many)).all("li", "sl-card")) == 8
    assert not show(quiet(failure_groups=many[:2])).all("form")


def test_job_when_paused_can_be_resumed_or_stopped() -> None:
    """And says who paused it."""
    actions = (JobAction(NOW, "x", "asked for it"), JobAction(NOW, "ada", "paused it"))
    job = changed_job(jobs()[0], state=JobState.PAUSED, actions=actions)
    page = show(quiet(jobs=(job,)))
    assert [next(iter(event)) for _, event in page.actions] == ["resume", "stop"]
    assert "ada paused it" in page.text
    assert "left" not in section(page, "Redrives")


# --------------------------------------------------------------------------- messages


def test_message_when_a_request_is_wrong_lists_each_problem() -> None:
    """A request that cannot be understood is answered as a widget, in the dashboard's theme."""
    page = parse(render_problems("This widget cannot be shown:", ["fleet: must be text", "<b>"], Theme.DARK))
    assert page.problems == []
    assert "sl-dark" in page.elements[0].classes
    assert [item.text for item in page.all("li")] == ["fleet: must be text", "<b>"]


def test_actions_when_serialised_hold_only_ascii_without_markup() -> None:
    """What stands in an action reads the same as text and as HTML, and gives back the very id of the group."""
    strange = "a<b>&\"'\u202e\u00e9\\ </cwdb-action>"
    page = show(quiet(failure_groups=(replace(failure_groups()[0], id=strange, cause="<>"),)))
    for action, event in page.actions:
        asked = next(iter(event.values())) if len(event) == 1 else event
        assert asked["failure_group"] == strange
        assert action.text.isascii()
        assert not set("<>&'") & set(action.text)
        assert json.loads(action.text.replace("&quot;", '"')) == event
    assert "of this failure group of fleet" in (page.actions[1][0].attributes["confirmation"] or "")


@pytest.mark.parametrize(
    ("expires_at", "told"),
    [
        (NOW + 7_200, "SQS would delete it in 2 h; in quarantine it stays"),
        (NOW - 7_200, "SQS would have deleted it 2 h ago; in quarantine it stays"),
        (None, ""),
    ],
)
def test_message_when_shown_tells_the_time_that_sqs_has_left_it(expires_at: float | None, told: str) -> None:
    """One by one, in the list and whole: a group's age tells nothing of its oldest message's time."""
    entry = QuarantineEntry(
        "orders", "g", "m", "key", "Broken", NOW - 60, NOW - 90, 1, None, 5, Excerpt("body"), expires_at=expires_at
    )
    scene = PopupContext("orders", NOW)
    for page in (
        render_message_list([entry], "g", None, scene),
        render_message_detail(entry, Message("m", "body"), scene),
    ):
        assert told in parse(page).text
        assert ("in quarantine it stays" in parse(page).text) is bool(told)


def test_message_when_its_body_is_in_s3_names_the_object() -> None:
    """The object that a pointer stands for, and that Sluice does not keep it, in the list and on the message's page."""
    entry = QuarantineEntry(
        "orders",
        "g",
        "m",
        "key",
        "Broken",
        NOW - 60,
        NOW - 90,
        1,
        None,
        5,
        Excerpt("body", payload="s3://big-orders/7f/<a>"),
    )
    scene = PopupContext("orders", NOW)
    for page in (
        render_message_list([entry], "g", None, scene),
        render_message_detail(entry, Message("m", "body"), scene),
    ):
        assert (
            "The body is the object s3://big-orders/7f/<a>. Sluice keeps the pointer and not the object"
            in parse(page).text
        )


def test_message_when_shown_has_its_cause_as_it_was_said() -> None:
    """The group's title is masked, and a message's own page is not; records of before have the title alone."""
    entry = QuarantineEntry(
        "orders", "g", "m", "key", "order <n> is late", NOW - 60, NOW - 90, 1, None, 5, Excerpt("body")
    )
    scene = PopupContext("orders", NOW)
    assert "order <n> is late" in parse(render_message_detail(entry, Message("m", "body"), scene)).text
    said = replace(entry, said="order 17 is late")
    assert "order 17 is late" in parse(render_message_detail(said, Message("m", "body"), scene)).text
