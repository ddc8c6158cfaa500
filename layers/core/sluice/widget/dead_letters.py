"""Failure groups with their samples and buttons, and the redrives that the buttons start."""

import re
from collections.abc import Mapping
from typing import Any

import htpy

from sluice.config.fleet import Fleet, RedriveMode
from sluice.model.redriving import FailureGroup, JobState, RedriveJob
from sluice.redriving.jobs.lifecycle import UNDER_WAY
from sluice.redriving.jobs.rules import outlook
from sluice.widget.parts import and_more, bar, call, part, turn, unread
from sluice.widget.text import DOT, counted, duration, number, shown, spoken
from sluice.widget.view import Part, View

GROUPS_SHOWN = 25
JOBS_SHOWN = 5
ACTS_SHOWN = 3
TREND_HOURS = 24
TREND_STEP_PX = 4
TREND_HEIGHT_PX = 18
FILTER_FROM = 6  # fewer groups are read faster than filtered
FILTER_FIELD = "sluice-filter"  # of all forms of a dashboard's widget, the one that is ours
FILTER_LIMIT = 200
SAMPLE_LIMIT = 1_000  # characters of a message's beginning: the ledger keeps half of it
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")


def render_failure_groups(view: View, fleet: Fleet) -> htpy.Node:
    """Failure groups as cards, those with messages in quarantine first, with what can be done about them."""
    if view.unread(Part.FAILURE_GROUPS):
        return unread("Failure groups")
    held = sum(group.count for group in view.failure_groups)
    wanted = [group for group in view.failure_groups if _matches(group, view.filter)]
    groups = sorted(
        (group for group in wanted if not group.is_archived), key=lambda group: (group.count == 0, -group.last_seen_at)
    )
    aside = [group for group in wanted if group.is_archived]
    redrivable = sum(1 for group in groups if group.count)
    return htpy.section[
        htpy.h3[
            "Failure groups",
            htpy.span(".sl-count")[f"{held:,} quarantined"],
            htpy.span(".sl-acts")[
                buttons(view, fleet, {"all": True}, f"all {counted(held, 'quarantined message')}", "all")
            ]
            if redrivable > 1 and view.redrive_arn
            else None,
        ],
        _filter(view, fleet),
        htpy.ul(".sl-cards")[[_failure(group, view, fleet) for group in groups[:GROUPS_SHOWN]]]
        if groups
        else htpy.p(".sl-quiet")["No failure group with that." if view.filter else "No dead letter on record."],
        and_more(len(groups) - GROUPS_SHOWN, "failure group"),
        _aside(aside, view, fleet),
        _manual(view, fleet) if fleet.redrive.mode is RedriveMode.MANUAL else None,
        htpy.p(".sl-quiet")["No buttons: SLUICE_OPERATOR_ARN is not set for this function."]
        if held and not view.redrive_arn and not view.drains_only
        else None,
    ]


def _matches(group: FailureGroup, text: str) -> bool:
    return text.casefold() in f"{group.cause} {group.id}".casefold()


def _filter(view: View, fleet: Fleet) -> htpy.Node:
    """A line to filter by; a dashboard sends what is in its forms along with every call."""
    if view.console_arn is None or (len(view.failure_groups) < FILTER_FROM and not view.filter):
        return None
    return htpy.div(".sl-filter")[
        htpy.form[
            htpy.input(
                name=FILTER_FIELD, value=spoken(view.filter, FILTER_LIMIT), placeholder="cause", aria_label="Filter"
            )
        ],
        htpy.button(type="button")["Filter"],
        call(view.console_arn, {"fleet": fleet.name}, "widget"),
        [
            htpy.button(type="button")["All"],
            call(view.console_arn, {"fleet": fleet.name, "filter": ""}, "widget"),
        ]
        if view.filter
        else None,
    ]


def _aside(groups: list[FailureGroup], view: View, fleet: Fleet) -> htpy.Node:
    """Groups that an operator set aside, out of the way but never out of sight."""
    if not groups:
        return None
    return htpy.details(".sl-sample")[
        htpy.summary[f"{counted(len(groups), 'group')} set aside, until seen again", turn()],
        htpy.ul(".sl-rows")[
            [
                htpy.li(".sl-item")[
                    htpy.div(".sl-line")[
                        htpy.b[shown(group.cause)],
                        htpy.span(".sl-facts")[f"{group.count:,} in quarantine"],
                        htpy.span(".sl-acts")[
                            htpy.button(type="button")["Take out"],
                            call(view.redrive_arn, _archiving(group, fleet, undo=True), "popup"),
                        ]
                        if view.redrive_arn
                        else None,
                    ]
                ]
                for group in groups[:GROUPS_SHOWN]
            ]
        ],
        and_more(len(groups) - GROUPS_SHOWN, "group"),
    ]


def _archiving(group: FailureGroup, fleet: Fleet, *, undo: bool) -> dict[str, Any]:
    return {"archive": {"fleet": fleet.name, "failure_group": group.id, "undo": undo}}


def _manual(view: View, fleet: Fleet) -> htpy.Node:
    """Only an operator takes the dead letters: from the queue itself, since it cannot be searched, all of them."""
    several = len(fleet.dead_letter_queues) > 1
    where = "dead-letter queues" if several else "dead-letter queue"
    return htpy.div(".sl-line.sl-quiet")[
        f"Redrive mode manual: dead letters stay in the {where}.",
        htpy.span(".sl-acts")[
            htpy.button(type="button", title="See some of them, and leave them where they are")["Look inside"],
            call(view.redrive_arn, {"peek": {"fleet": fleet.name}}, "popup"),
            buttons(
                view,
                fleet,
                {"all": True, "from": "dead-letter-queue"},
                f"all that is in the {where}",
                "queues" if several else "queue",
            ),
        ]
        if view.redrive_arn and fleet.dead_letter_queues
        else None,
    ]


def _failure(group: FailureGroup, view: View, fleet: Fleet) -> htpy.Node:
    clock, now = view.clock, view.now
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[
            htpy.b[shown(group.cause) if group.cause else "no cause given"],
            render_trend(group, now),
        ],
        htpy.div(".sl-facts")[
            htpy.span(class_=["sl-pill", "sl-bad" if group.count else "sl-good"])[f"{group.count:,} in quarantine"],
            htpy.span(".sl-pill.sl-warn", title="It bursts: what is seen of it is not retried")["tripped"]
            if 0 < fleet.redrive.burst_count <= group.seen_within(fleet.redrive.burst_window_s, now)
            else None,
            f" {group.seen_count:,} seen",
            f", {group.again_count:,} after an attempt" if group.again_count else None,
            f"{DOT}first {clock.minute(group.first_seen_at, now)}{DOT}last ",
            f"{clock.minute(group.last_seen_at, now)} ({duration(max(0.0, now - group.last_seen_at))} ago)",
        ],
        _last_redrive(group, now),
        htpy.details(".sl-sample")[
            htpy.summary["Sample, as received", turn()], htpy.pre[shown(group.sample, SAMPLE_LIMIT)]
        ]
        if group.sample
        else None,
        htpy.div(".sl-acts")[
            buttons(
                view,
                fleet,
                {"failure_group": group.id},
                f"{counted(group.count, 'quarantined message')} of {_name(group)}",
            ),
            [
                htpy.button(type="button", title="The messages of this group, one by one")["Messages"],
                call(view.console_arn, {"fleet": fleet.name, "failure_group": group.id}, "popup"),
            ]
            if view.console_arn
            else None,
            [
                htpy.button(type="button", title="Set it aside until it is seen again")["Archive"],
                call(
                    view.redrive_arn,
                    _archiving(group, fleet, undo=False),
                    "popup",
                    confirmation=f"Set {_name(group)} aside until it is seen again? Its messages stay in quarantine.",
                ),
            ],
        ]
        if group.count and view.redrive_arn
        else None,
    ]


def _last_redrive(group: FailureGroup, now: float) -> htpy.Node:
    """When it was last redriven, and how that went."""
    if group.redriven_at is None:
        return None
    came = f"{group.returned_count:,} came back" if group.returned_count else "none came back"
    when = duration(max(0.0, now - group.redriven_at))
    return htpy.div(".sl-facts")[f"Last redrive {when} ago: {group.redriven_count:,} sent, {came}."]


def render_trend(group: FailureGroup, now: float) -> htpy.Node:
    """Dead letters seen in each of the last hours, as a small picture with its figures in words."""
    this_hour = int(now // 3_600)
    counts = dict(group.hours)
    series = [counts.get(this_hour - back, 0) for back in range(TREND_HOURS - 1, -1, -1)]
    most = max(series)
    if not most:
        return None
    bars = [
        htpy.rect(
            x=f"{index * TREND_STEP_PX}",
            y=f"{TREND_HEIGHT_PX - height:g}",
            width=f"{TREND_STEP_PX - 1}",
            height=f"{height:g}",
        )
        for index, count in enumerate(series)
        if count
        for height in [max(1.5, round(TREND_HEIGHT_PX * count / most, 1))]
    ]
    told = f"{sum(series):,} seen in the last {TREND_HOURS} hours, at most {most:,} in one, {series[-1]:,} in this one"
    width = TREND_HOURS * TREND_STEP_PX
    return htpy.svg(
        ".sl-trend", viewBox=f"0 0 {width} {TREND_HEIGHT_PX}", width=f"{width}", height=f"{TREND_HEIGHT_PX}",
        role="img", aria_label=told,
    )[htpy.title[told], bars]  # fmt: skip


def _name(group: FailureGroup) -> str:
    """The group by its id, where that is a plain one."""
    return f"failure group {group.id}" if _PLAIN_ID.fullmatch(group.id) else "this failure group"


def buttons(view: View, fleet: Fleet, selection: Mapping[str, Any], what: str, suffix: str = "") -> htpy.Node:
    """Dry run and redrive of a selection.

    The confirmation is built from counts and checked names alone, never from what a message says: how a dashboard
    shows it is not documented.
    """
    if view.redrive_arn is None:
        return None
    request = {"fleet": fleet.name, **selection}
    more = f" {suffix}" if suffix else ""
    return [
        htpy.button(type="button", title=f"What would be sent: {what}")[f"Dry run{more}"],
        call(view.redrive_arn, {"redrive": {**request, "dry_run": True}}, "popup"),
        htpy.button(".sl-go", type="button", title=f"Send back: {what}")[f"Redrive{more}"],
        call(
            view.redrive_arn,
            {"redrive": {**request, "dry_run": False}},
            "popup",
            confirmation=f"Send {what} of fleet {fleet.name} back to {_back_to(fleet, selection)},"
            f" at most {number(fleet.redrive.rate_per_s)} a second?",
        ),
    ]


def _back_to(fleet: Fleet, selection: Mapping[str, Any]) -> str:
    """Where a selection goes, and whether it will wait there."""
    sources = [source for source in fleet.sources if selection.get("queue") in {None, source.name}]
    paused = [source.name for source in sources if source.paused]
    where = "the queue" if len(sources) == 1 else "the queues they came from"
    return where + (f" ({', '.join(paused)} paused: what is sent there waits)" if paused else "")


_JOB_STATES = {
    JobState.RUNNING: ("", "running"),
    JobState.PAUSED: (".sl-warn", "paused"),
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
    seen = outlook(job, view.now)
    counts = ((job.failed_count, "failed"), (job.doubtful_count, "left as doubtful"), (job.returned_count, "came back"))
    troubles = "".join(f", {count:,} {what}" for count, what in counts if count)
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[_selection(job, view)],
            htpy.span(f".sl-pill{kind}")[label],
            htpy.span(".sl-facts")[f"{job.phase}, {number(job.rate_per_s)} a second"],
            render_job_acts(job.fleet, job.id, job.state, view.redrive_arn) if view.redrive_arn else None,
        ],
        bar(
            [
                (part(job.sent_count, job.selected_count), ".sl-good"),
                (part(job.failed_count, job.selected_count), ".sl-bad"),
            ]
        ),
        htpy.div(".sl-facts")[
            f"{job.sent_count:,} of {job.selected_count:,} sent{troubles}{DOT}",
            f"about {duration(seen.left_s)} left{DOT}" if seen.left_s is not None else None,
            f"asked {view.clock.minute(job.requested_at, view.now)} by ",
            shown(job.requested_by, 120),
            [[DOT, act.what, " by ", shown(act.who, 120)] for act in job.acts[1:][-ACTS_SHOWN:]],
            [DOT, shown(job.note)] if job.note else None,
        ],
    ]


def render_job_acts(fleet: str, job_id: str, state: JobState, operator_arn: str) -> htpy.Node:
    """The buttons of a job that is under way."""
    asked = {"fleet": fleet, "job_id": job_id}
    if state not in UNDER_WAY:
        return None
    other = "resume" if state is JobState.PAUSED else "pause"
    return htpy.span(".sl-acts")[
        htpy.button(type="button")[other.capitalize()],
        call(operator_arn, {other: asked}, "popup"),
        htpy.button(type="button")["Stop"],
        call(
            operator_arn,
            {"stop": asked},
            "popup",
            confirmation=f"Stop this redrive of fleet {fleet}? What was sent stays sent.",
        ),
    ]


def _selection(job: RedriveJob, view: View) -> htpy.Node:
    """What a job is about, with the queues that it names."""
    return [
        _chosen(job, view),
        [" of queue ", shown(job.queue, 80)] if job.queue else None,
        [" to queue ", shown(job.to_queue, 80)] if job.to_queue else None,
    ]


def _chosen(job: RedriveJob, view: View) -> htpy.Node:
    if job.from_dead_letters:
        return "The dead-letter queue"
    if job.message_id is not None:
        return ["Message ", shown(job.message_id, 100)]
    if job.message_ids:
        return f"{counted(len(job.message_ids), 'message')} by id"
    narrowed = [
        ["cause ", shown(job.cause, 80)] if job.cause else None,
        ["with ", shown("=".join(job.attribute), 80)] if job.attribute else None,
        "by time" if job.quarantined_from or job.quarantined_to else None,
    ]
    if job.failure_group is None and any(narrowed):
        return ["Messages ", [[DOT if index else "", one] for index, one in enumerate(n for n in narrowed if n)]]
    if job.failure_group is None:
        return "Every group"
    group = next((group for group in view.failure_groups if group.id == job.failure_group), None)
    return shown(group.cause if group and group.cause else f"group {job.failure_group}", 120)
