"""Every text that the widget shows, over its scenes: singular and plural, units, times as times, plain words."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from sluice.config.fleet import ConfigError, DrainPolicy, RedriveMode, RedrivePolicy
from sluice.config.history import DrainOnly
from sluice.model.decisions import OutcomeStatus
from sluice.model.draining import Deadline, DrainCause, DrainOutcome, DrainState, Heartbeats, Retention, SignsOfLife
from sluice.model.observed import Mode
from sluice.model.redrive_jobs import JobAction, JobState, RedriveJob
from sluice.model.redriving import LastRedrive
from sluice.planning.shadow.scorecard import Score, Side
from sluice.ports.errors import NeedsFixError
from sluice.ports.stack import Ports
from sluice.redriving.jobs.rules import MOVE_NOTE
from sluice.widget.answers import render_answer
from sluice.widget.documentation import DOCUMENTATION
from sluice.widget.page import render
from sluice.widget.service import WidgetService
from sluice.widget.view import ReadFailure, Source, Theme, View, WidgetSettings
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.widget_html import parse
from tests.support.widget_scenes import (
    CONSOLE_ARN,
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
from tests.support.widget_views import POPUPS, VIEWS
from tests.support.widget_world import make_world
from tests.support.words import Text, find

CONTAINERS = {"style", "pre", "bdi", "cwdb-action", "section", "ul", "ol", "dl", "svg"}
TEXT_CLASSES = {"sl-note", "sl-nothing", "sl-facts", "sl-line", "sl-more"}
NOUNS = (
    "message", "instance", "decision", "drain", "redrive", "dead letter", "failure group", "group", "heartbeat", "byte",
    "time", "second",
)  # fmt: skip
# A text of each section, popup and warning.
PARTS = (
    "Peek", "Unmute", "Mute \u201cinvalid-currency", "Dry run all", "Redrive queue", "Pause", "retries suspended",
    "Shadow comparison", "It restarted at", "current scaling", "only draining", "Could not be read.",
    "There is no fleet yet.", "No failure group matches the filter.", "No decision for", "No instance is draining.",
    "kept for inspection", "cost since then", "earlier retries",
    "Needs an operator: ", "What to do: ", "All 2 fleets", "1 to 12 of 312 fleets", "no dead-letter queue",
    "need an operator", "no decision in this time range", "No fleet has", "Deploy fleet.yaml", "Legend of the chart",
    "Unknown parameters", "There is no fleet nothing", "is in the quarantine of", "message by id",
    "The dead-letter queue", "All failure groups", "There are more messages than were counted.",
    "SQS returned no message.", "muted failure group is left out", "SLUICE_TABLE must be set",
)  # fmt: skip
SCORE = Score(
    target_wait_s=60.0, until=NOW - 300.0, seconds=6 * 86_400.0, came=1.0,
    acting=Side(1.0, 0.0, 12.0, 5.0, 44.0, 1), shadow=Side(1.0, 0.0, 11.0, 6.0, 31.2, 2),
    unit="instance", restarted=(NOW - 900, 310.0),
)  # fmt: skip
BAD = ConfigError("invoices", ("queue: is required",))


def several(count: int) -> View:
    """So many of everything that is counted, each counter with that number."""
    group = replace(
        failure_groups()[0], count=count, seen_count=2 * count, failed_retry_count=count,
        last_redrive=LastRedrive("job-7", NOW - 60, count, count),
        hours=((int(NOW // 3_600), count),),
        minutes=((int(NOW // 60), count),),
    )  # fmt: skip
    job = changed_job(
        jobs()[0], selected_count=count, sent_count=count, failed_count=count, doubtful_count=count,
        returned_count=count, rate_per_s=float(count), actions=(JobAction(NOW, "ada", "started it"),),
    )  # fmt: skip
    drain, ended = replace(drains()[0], heartbeats=Heartbeats(count=count), signs=SignsOfLife(NOW - 1)), drains()[2]
    retained = replace(ended, state=DrainState.RETAINED, retention=Retention(since=NOW - 60))
    made = [decision(NOW - 10 * n - 5, current=n, want=n + 1) for n in range(count + 6)]
    policies = {"drain": DrainPolicy(hourly_cost=0.2), "redrive": RedrivePolicy(burst_count=1)}
    return view(
        fleet=fleet().model_copy(update=policies),
        decisions=tuple((one, outcome(one)) for one in made),
        truncated=True,
        failure_groups=(
            *(replace(group, id=f"g{n}") for n in range(count + 25)),
            *(replace(group, id=f"muted{n}", muted_at=NOW) for n in range(count)),
        ),
        jobs=(*(changed_job(job, id=f"j{n}") for n in range(count + 5)), *selections(count)),
        drains=(
            retained,
            *(replace(drain, instance_id=f"i-{n}") for n in range(count + 25)),
            *(replace(ended, instance_id=f"o-{n}", outcome=kind) for n in range(count) for kind in DrainOutcome),
        ),
    )  # fmt: skip


def selections(count: int) -> Iterator[RedriveJob]:
    """A job of each way to select messages; they come first, as the latest."""
    job = redrive_job("s", "orders", JobState.RUNNING, NOW, "ada", NOW, selected_count=count)
    yield changed_job(job, from_dead_letters=True)
    yield changed_job(job, message_id="m-1")
    yield changed_job(job, message_ids=tuple(f"m-{n}" for n in range(count)))
    yield changed_job(job, cause="Broken*", attribute=("kind", "order"), quarantined_from=NOW - 60)
    yield changed_job(job, queue="orders", to_queue="urgent")


def views() -> Iterator[View]:
    """Ordinary, empty, one of everything, several of everything, each mode, each failure."""
    yield view()
    yield view(operator_arn=None, console_arn=None)
    yield view(fleet=None, names=())
    yield view(decisions=(), drains=(), failure_groups=(), jobs=())
    yield view(decisions=(), failure_groups=(), filter="nothing has this")
    yield from (several(count) for count in (1, 2, 30))
    yield from (view(fleet=fleet(mode=Mode.SHADOW), failures=(ReadFailure(source, "denied"),)) for source in Source)
    yield view(fleet=fleet(mode=Mode.SHADOW), day_score=SCORE, week_score=SCORE)
    yield view(fleet=fleet(mode=Mode.SHADOW))
    yield view(fleet=fleet(mode=Mode.PAUSED))
    manual = fleet().model_copy(update={"redrive": RedrivePolicy(mode=RedriveMode.MANUAL)})
    yield view(fleet=manual)
    broken = fleet()
    yield view(fleet=broken, invalid=(BAD,), drain_only=(DrainOnly(broken, "invoices", NOW - 90),))
    yield view(invalid=(BAD, ConfigError("orders/queues/x", ("queue: is required",))), unread_versions=("denied",))
    made = decision(NOW - 900, want=4)
    for status in OutcomeStatus:
        yield view(decisions=((made, outcome(made, status)),))
    yield view(drains=tuple(replace(drains()[0], state=state) for state in DrainState))
    yield view(drains=tuple(replace(drains()[0], cause=cause, deadline=Deadline(NOW - 60)) for cause in DrainCause))


def requests() -> Iterator[dict[str, Any]]:
    """Events of the widget, right and wrong ones."""
    world = make_world()
    entry = world.ports.ledger.quarantine.quarantined("orders")[0][0]
    yield {"fleet": "orders", "failure_group": entry.failure_group}
    yield {"fleet": "orders", "failure_group": "none"}
    yield {"fleet": "orders", "message_id": entry.message_id}
    yield {"fleet": "orders", "message_id": "none"}
    yield {"fleet": "nothing", "flet": "orders", "widgetContext": {"timezone": {"offsetISO": "summer"}}}
    yield {"fleet": 7, "filter": "x" * 300, "widgetContext": {"width": "wide", "timeRange": {"start": 1}}}
    yield {"widgetContext": {"timeRange": {"start": 5_000, "end": 5_000}}}


def answers(count: int) -> Iterator[dict[str, Any]]:
    """The operator function's answers, each counter with that number."""
    job = {
        "id": "j", "fleet": "orders", "state": "running", "requested_by": "ada", "note": "", "selected_count": count,
        "sent_count": count, "failed_count": count, "doubtful_count": count, "returned_count": count, "left_s": 61.0,
    }  # fmt: skip
    yield {"job": job}
    dry_run = {
        "dry_run": True, "fleet": "orders", "from": "quarantine", "selected_count": count, "rate_per_s": float(count),
        "canary_count": count, "groups": [{"cause": "Broken", "count": count}] * (count + 25), "behind_count": count,
        "muted_groups": ["g"] * count, "complete": False, "other_fleets": ["invoices"], "queues": ["a", "b"],
        "paused_queues": ["a"], "move_task_note": MOVE_NOTE,
    }  # fmt: skip
    yield dry_run
    message = {
        "message_id": "m", "cause": "Broken", "left_s": 3_600.0, "receive_count": count, "size_bytes": count,
        "attributes": {"kind": "order"}, "sample": "{}", "queue": "orders",
    }  # fmt: skip
    peek = {"peek": True, "waiting_count": count, "looked_at_count": count, "messages": [message], "note": "Two left."}
    yield peek
    yield {**peek, "messages": []}
    yield {**peek, "messages": [], "looked_at_count": 0}
    yield {"error": "fleet: is required"}
    yield {"instance_id": "i-1", "state": "released"}
    yield {}


def refused() -> Ports:
    """Ports that cannot be made."""
    raise NeedsFixError("SLUICE_TABLE must be set")


def pages() -> Iterator[str]:
    """Every scene as HTML."""
    yield from (render(each, Theme.LIGHT, 900) for each in views())
    yield from (made(Theme.LIGHT, 900) for made in (*VIEWS.values(), *POPUPS.values()))
    settings = WidgetSettings(CONSOLE_ARN, OPERATOR_ARN, "/sluice/test/fleets/")
    world = make_world()
    service = WidgetService(lambda: world.ports, lambda: NOW, settings)
    yield from (service.respond(event).text for event in requests())
    yield WidgetService(refused, lambda: NOW, settings).respond({}).text
    event = {"redrive": {"fleet": "orders", "all": True}}
    yield from (render_answer(each, event, OPERATOR_ARN) for count in (1, 2, 30) for each in answers(count))


@cache
def texts() -> tuple[str, ...]:
    """Every text of an element, and every title, label and confirmation, without the events of the buttons."""
    found = set()
    for page in (parse(html) for html in pages()):
        events = [action.text for action in page.all("cwdb-action")]
        for element in page.elements:
            if element.tag in CONTAINERS or (element.tag == "div" and not element.classes & TEXT_CLASSES):
                continue
            text = element.text
            for event in events:
                text = text.replace(event, " ")
            found.add(" ".join(text.split()))
        names = ("title", "aria-label", "confirmation", "placeholder")
        found |= {element.attributes.get(name) or "" for element in page.elements for name in names}
    return tuple(sorted(found - {""}))


@pytest.mark.slow
def test_texts_when_collected_are_of_every_part() -> None:
    """The scenes reach each section, popup and warning: what they do not show is not checked."""
    whole = "\n".join(texts())
    missing = [part for part in PARTS if part not in whole]
    assert missing == []
    assert len(texts()) > 400


@pytest.mark.slow
def test_texts_when_they_count() -> None:
    """One is one and has "is"; all else is many."""
    many = rf"(?<![\d.,:])1 (more )?({'s|'.join(NOUNS)}s|retries)\b"
    one = rf"(?<![\d.,:])(?!1 )\d[\d.,]* (more )?({'|'.join((*NOUNS, 'retry'))})\b(?!-)"
    verbs = r"(?<![\d.,])1 [a-z ]+ are\b|(?<![\d.,])(?!1 )\d+ (?!of )[a-z]+s is\b"
    wrong = [text for text in (*texts(), DOCUMENTATION) if re.search(f"{many}|{one}|{verbs}", text)]
    assert wrong == []
    assert [text for text in texts() if "  " in text or "None" in text.removeprefix("None of").split()] == []


def test_texts_when_they_name_a_time() -> None:
    """Lengths of time have a unit that fits, and no moment is in epoch seconds."""
    assert [text for text in texts() if re.search(r"(?<!\w)\d{9,}(?!\w)", text.replace("000000000000", ""))] == []
    lengths = {text: [int(s) for s in re.findall(r"(?<![\w.])(\d+) s\b", text)] for text in texts()}
    assert {text: seconds for text, seconds in lengths.items() if max(seconds, default=0) >= 600} == {}


def test_texts_when_their_words_are_looked_up() -> None:
    """None of the code's own words."""
    own = "two of the first three came back: stopped"  # the note of the scene's job
    found = [str(each) for text in (*texts(), DOCUMENTATION) for each in find(text.replace(own, ""), Text.WIDGET)]
    assert found == []
