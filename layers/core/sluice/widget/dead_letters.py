"""Failure groups with their samples and buttons, and the redrives that the buttons start."""

import re
from collections.abc import Mapping
from typing import Any

import htpy

from sluice.config import Fleet, RedriveMode
from sluice.model import FailureGroup, JobState, RedriveJob
from sluice.widget.parts import and_more, bar, call, part, turn, unread
from sluice.widget.text import DOT, counted, duration, number, shown
from sluice.widget.view import Part, View

GROUPS_SHOWN = 25
JOBS_SHOWN = 5
SAMPLE_LIMIT = 1_000  # characters of a message's beginning: the ledger keeps half of it
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")


def render_failure_groups(view: View, fleet: Fleet) -> htpy.Node:
    """Failure groups, those with messages in quarantine first, with what can be done about them."""
    if view.unread(Part.FAILURE_GROUPS):
        return unread("Failure groups")
    held = sum(group.count for group in view.failure_groups)
    groups = sorted(view.failure_groups, key=lambda group: (group.count == 0, -group.last_seen_at))
    redrivable = sum(1 for group in groups if group.count)
    return htpy.section[
        htpy.h3[
            "Failure groups",
            htpy.span(".sl-count")[f"{held:,} quarantined"],
            htpy.span(".sl-acts")[
                _buttons(view, fleet, {"all": True}, f"all {counted(held, 'quarantined message')}", "all")
            ]
            if redrivable > 1 and view.redriver_arn
            else None,
        ],
        htpy.ul(".sl-rows")[[_failure(group, view, fleet) for group in groups[:GROUPS_SHOWN]]]
        if groups
        else htpy.p(".sl-quiet")["No dead letter on record."],
        and_more(len(groups) - GROUPS_SHOWN, "failure group"),
        _manual(view, fleet) if fleet.redrive.mode is RedriveMode.MANUAL else None,
        htpy.p(".sl-quiet")["No buttons: SLUICE_REDRIVER_ARN is not set for this function."]
        if held and not view.redriver_arn
        else None,
    ]


def _manual(view: View, fleet: Fleet) -> htpy.Node:
    """Nobody takes the dead letters but a person: from the queue itself, since it cannot be searched, all of them."""
    return htpy.div(".sl-line.sl-quiet")[
        "Redrive mode manual: dead letters stay in the dead-letter queue.",
        htpy.span(".sl-acts")[
            _buttons(
                view, fleet, {"all": True, "from": "dead-letter-queue"}, "all that is in the dead-letter queue", "queue"
            )
        ]
        if view.redriver_arn and fleet.dead_letter_queue
        else None,
    ]


def _failure(group: FailureGroup, view: View, fleet: Fleet) -> htpy.Node:
    clock, now = view.clock, view.now
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[shown(group.cause) if group.cause else "no cause given"],
            htpy.span(".sl-acts")[
                _buttons(
                    view,
                    fleet,
                    {"failure_group": group.id},
                    f"{counted(group.count, 'quarantined message')} of {_name(group)}",
                )
            ]
            if group.count and view.redriver_arn
            else None,
        ],
        htpy.div(".sl-facts")[
            htpy.span(class_=["sl-pill", "sl-bad" if group.count else "sl-good"])[f"{group.count:,} in quarantine"],
            f" {group.seen_count:,} seen{DOT}first {clock.minute(group.first_seen_at, now)}{DOT}last ",
            f"{clock.minute(group.last_seen_at, now)} ({duration(max(0.0, now - group.last_seen_at))} ago)",
        ],
        htpy.details(".sl-sample")[
            htpy.summary["Sample, as received", turn()], htpy.pre[shown(group.sample, SAMPLE_LIMIT)]
        ]
        if group.sample
        else None,
    ]


def _name(group: FailureGroup) -> str:
    """The group by its id, where that is a plain one."""
    return f"failure group {group.id}" if _PLAIN_ID.fullmatch(group.id) else "this failure group"


def _buttons(view: View, fleet: Fleet, selection: Mapping[str, Any], what: str, suffix: str = "") -> htpy.Node:
    """Dry run and redrive of a selection.

    The confirmation is built from counts and checked names alone, never from what a message says: how a dashboard
    shows it is not documented.
    """
    if view.redriver_arn is None:
        return None
    request = {"fleet": fleet.name, **selection}
    more = f" {suffix}" if suffix else ""
    return [
        htpy.button(type="button", title=f"What would be sent: {what}")[f"Dry run{more}"],
        call(view.redriver_arn, {"redrive": {**request, "dry_run": True}}, "popup"),
        htpy.button(".sl-go", type="button", title=f"Send back: {what}")[f"Redrive{more}"],
        call(
            view.redriver_arn,
            {"redrive": {**request, "dry_run": False}},
            "popup",
            confirmation=f"Send {what} of fleet {fleet.name} back to the queue,"
            f" at most {number(fleet.redrive.rate_per_s)} a second?",
        ),
    ]


_JOB_STATES = {
    JobState.RUNNING: ("", "running"),
    JobState.DONE: (".sl-good", "done"),
    JobState.STOPPED: (".sl-warn", "stopped"),
}


def render_jobs(view: View) -> htpy.Node:
    """The last redrives and how far they are, running ones first."""
    if view.unread(Part.REDRIVES):
        return unread("Redrives")
    if not view.jobs:
        return None
    running = sum(1 for job in view.jobs if job.state is JobState.RUNNING)
    first = sorted(view.jobs, key=lambda job: (job.state is not JobState.RUNNING, -job.requested_at))
    return htpy.section[
        htpy.h3["Redrives", htpy.span(".sl-count")[f"{running} running"]],
        htpy.ul(".sl-rows")[[_job(job, view) for job in first[:JOBS_SHOWN]]],
        and_more(len(first) - JOBS_SHOWN, "redrive"),
    ]


def _job(job: RedriveJob, view: View) -> htpy.Node:
    kind, label = _JOB_STATES[job.state]
    counts = ((job.failed_count, "failed"), (job.doubtful_count, "left as doubtful"), (job.returned_count, "came back"))
    troubles = "".join(f", {count:,} {what}" for count, what in counts if count)
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[_selection(job, view)],
            htpy.span(f".sl-pill{kind}")[label],
            htpy.span(".sl-facts")[f"{job.phase}, {number(job.rate_per_s)} a second"],
            _stop(job, view.redriver_arn) if job.state is JobState.RUNNING and view.redriver_arn else None,
        ],
        bar(
            [
                (part(job.sent_count, job.selected_count), ".sl-good"),
                (part(job.failed_count, job.selected_count), ".sl-bad"),
            ]
        ),
        htpy.div(".sl-facts")[
            f"{job.sent_count:,} of {job.selected_count:,} sent{troubles}{DOT}",
            f"asked {view.clock.minute(job.requested_at, view.now)} by ",
            shown(job.requested_by, 120),
            [DOT, shown(job.note)] if job.note else None,
        ],
    ]


def _stop(job: RedriveJob, redriver_arn: str) -> htpy.Node:
    return htpy.span(".sl-acts")[
        htpy.button(type="button")["Stop"],
        call(
            redriver_arn,
            {"stop": {"fleet": job.fleet, "job_id": job.id}},
            "popup",
            confirmation=f"Stop this redrive of fleet {job.fleet}? What was sent stays sent.",
        ),
    ]


def _selection(job: RedriveJob, view: View) -> htpy.Node:
    if job.from_dead_letters:
        return "The dead-letter queue"
    if job.message_id is not None:
        return ["Message ", shown(job.message_id, 100)]
    if job.failure_group is None:
        return "Every group"
    group = next((group for group in view.failure_groups if group.id == job.failure_group), None)
    return shown(group.cause if group and group.cause else f"group {job.failure_group}", 120)
