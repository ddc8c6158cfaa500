"""Redrive jobs: which messages, how far they are, what came back, and the buttons that pause, resume and stop them."""

import htpy

from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.model.redriving import FailureGroup
from sluice.redriving.jobs.lifecycle import ACTIVE_STATES
from sluice.redriving.jobs.rules import forecast
from sluice.widget.elements import and_more, call_action, fraction, progress_bar, unread_section
from sluice.widget.names import group_name
from sluice.widget.redrive_buttons import counted_rate
from sluice.widget.text import DOT, counted, duration, safe_text
from sluice.widget.view import Source, View

JOBS_SHOWN = 5
ACTS_SHOWN = 3

HELD = "held"  # an automatic release that waits for its next try
# Each state's color and label.
JOB_STATES = {
    JobState.RUNNING: ("", "sending"),
    JobState.PAUSED: (".sl-warn", "paused"),
    JobState.WATCHING: ("", "sent, watching"),
    JobState.DONE: (".sl-good", "done"),
    JobState.CAME_BACK: (".sl-warn", "came back"),
    JobState.STOPPED: (".sl-warn", "stopped"),
}


def render_jobs(view: View) -> htpy.Node:
    """The last redrives and how far they are, running ones first."""
    if view.is_unread(Source.REDRIVES):
        return unread_section("Redrives")
    if not view.records.jobs:
        return None
    running = sum(1 for job in view.records.jobs if job.state.is_at_work)
    paused = sum(1 for job in view.records.jobs if job.state is JobState.PAUSED)
    # One that is paused waits for an operator: it must not be among those that are not shown.
    ordered = sorted(view.records.jobs, key=lambda job: (job.state not in ACTIVE_STATES, -job.requested_at))
    return htpy.section[
        htpy.h3["Redrives", htpy.span(".sl-count")[f"{running} running" + (f"{DOT}{paused} paused" if paused else "")]],
        htpy.ul(".sl-rows")[[_job(job, view) for job in ordered[:JOBS_SHOWN]]],
        and_more(len(ordered) - JOBS_SHOWN, "redrive"),
    ]


def _job(job: RedriveJob, view: View) -> htpy.Node:
    kind, label = state_pill(job.state, job.progress.returned_count)
    facts = f"{job.progress.phase} phase, {counted_rate(job.pacing.rate_per_s)} a second"
    if job.state is JobState.WATCHING:
        facts = f"watched until {view.period.minute(job.pacing.next_at)} for messages that fail again"
    if held_until := job.held_until(view.period.now):
        label, facts = HELD, f"tried again at {view.period.minute(held_until)}"
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[_selection(job, view)],
            htpy.span(f".sl-pill{kind}")[label],
            htpy.span(".sl-facts")[facts],
            render_job_buttons(job.fleet, job.id, job.state, view.redrive_arn, _plain_selection(job, view))
            if view.redrive_arn
            else None,
        ],
        job_bar(
            job.state,
            sent_count=job.progress.sent_count,
            returned_count=job.progress.returned_count,
            failed_count=job.progress.failed_count,
            selected_count=job.progress.selected_count,
        ),
        htpy.div(".sl-facts")[
            htpy.span(class_={"sl-warn-text": bool(job.progress.returned_count)})[_progress(job, view)],
            f"{DOT}{'held' if job.release else 'requested'} {view.period.minute(job.requested_at)} by ",
            safe_text(job.requested_by, 120),
            [[DOT, safe_text(one.by, 120), f" {one.action}"] for one in job.actions[1:][-ACTS_SHOWN:]],
            [DOT, safe_text(job.note)] if job.note else None,
        ],
    ]


def state_pill(state: JobState, returned_count: int) -> tuple[str, str]:
    """Color and label of a job's state; amber as soon as something came back."""
    kind, label = JOB_STATES[state]
    return (JOB_STATES[JobState.CAME_BACK][0] if returned_count else kind), label


def job_bar(
    state: JobState, *, sent_count: int, returned_count: int, failed_count: int, selected_count: int
) -> htpy.Node:
    """How far a job is: sent, amber for what came back, red for what could not be sent. Green is a job that is done."""
    stayed_count = max(0, sent_count - returned_count)
    return progress_bar(
        [
            (fraction(stayed_count, selected_count), ".sl-good" if state is JobState.DONE else ".sl-plain"),
            (fraction(returned_count, selected_count), ".sl-warn"),
            (fraction(failed_count, selected_count), ".sl-bad"),
        ]
    )


def _progress(job: RedriveJob, view: View) -> str:
    """How many messages were sent and how many were not, and about how long the rest takes."""
    counts = (
        (job.progress.failed_count, "could not be sent"),
        (job.progress.doubtful_count, "not sent because they may have been sent before"),
        (job.progress.returned_count, "failed again"),
    )
    others = "".join(f", {count:,} {what}" for count, what in counts if count)
    waits = job.state is JobState.WATCHING or job.held_until(view.period.now)
    left_s = None if waits else forecast(job, view.period.now).left_s
    left = f"{DOT}about {duration(left_s)} left" if left_s is not None else ""
    return f"{job.progress.sent_count:,} of {counted(job.progress.selected_count, 'message')} sent{others}{left}"


def render_job_buttons(fleet: str, job_id: str, state: JobState, operator_arn: str, what: str) -> htpy.Node:
    """The buttons of a job that is under way; `what` names its messages in plain characters."""
    if state not in ACTIVE_STATES:
        return None
    job = {"fleet": fleet, "job_id": job_id}
    other = "resume" if state is JobState.PAUSED else "pause"
    return htpy.span(".sl-acts")[
        htpy.button(type="button")[other.capitalize()],
        call_action(operator_arn, {other: job}, "popup"),
        htpy.button(type="button")["Stop"],
        call_action(
            operator_arn,
            {"stop": job},
            "popup",
            confirmation=f"Stop the redrive of {what} of fleet {fleet}? Messages that were already sent stay sent.",
        ),
    ]


def _selection(job: RedriveJob, view: View) -> htpy.Node:
    """The messages that a job is about, with the queues that it names."""
    return [
        _selected(job, view),
        [" of queue ", safe_text(job.selection.queue, 80)] if job.selection.queue else None,
        [" to queue ", safe_text(job.target.queue, 80)] if job.target.queue else None,
    ]


def _group_of(job: RedriveJob, view: View) -> FailureGroup | None:
    return next((group for group in view.records.failure_groups if group.id == job.selection.failure_group), None)


def _plain_selection(job: RedriveJob, view: View) -> str:
    """The messages of a job for a confirmation, where a text from outside has plain characters alone."""
    if job.selection.from_dead_letters:
        return "the dead-letter queue"
    if count := len(job.selection.ids):
        return counted(count, "chosen message")
    if job.selection.failure_group is None:
        return "the chosen messages" if job.selection.narrows else "all failure groups"
    group = _group_of(job, view)
    return group_name(group) if group else "a failure group"


def _selected(job: RedriveJob, view: View) -> htpy.Node:
    if job.selection.from_dead_letters:
        return "The dead-letter queue"
    if job.selection.message_id is not None:
        return ["Message ", safe_text(job.selection.message_id, 100)]
    if job.selection.message_ids:
        return f"{counted(len(job.selection.message_ids), 'message')} by id"
    filters = [
        ["cause ", safe_text(job.selection.cause, 80)] if job.selection.cause else None,
        ["attribute ", safe_text("=".join(job.selection.attribute), 80)] if job.selection.attribute else None,
        "quarantined in a time range" if job.selection.quarantined_from or job.selection.quarantined_to else None,
    ]
    if job.selection.failure_group is None and any(filters):
        return ["Messages: ", [[DOT if index else "", one] for index, one in enumerate(n for n in filters if n)]]
    if job.selection.failure_group is None:
        return "All failure groups"
    group = _group_of(job, view)
    return safe_text(group.cause if group and group.cause else f"failure group {job.selection.failure_group}", 120)
