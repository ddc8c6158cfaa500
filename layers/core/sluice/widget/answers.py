"""The operator function's answers to the widget's buttons, as HTML for a popup."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import htpy

from sluice.model.redrive_jobs import JobState
from sluice.widget.elements import and_more, call_action, fold_mark, payload_note, scrolling_text, sized
from sluice.widget.names import plain_name, quoted
from sluice.widget.redrive_buttons import counted_rate
from sluice.widget.redrive_jobs import HELD, job_bar, render_job_buttons, state_pill
from sluice.widget.style import CSS
from sluice.widget.text import DOT, counted, duration, safe_text

GROUPS_SHOWN = 25
OTHER_FLEETS_SHOWN = 10
SAMPLE_MAX_CHARACTERS = 500
RETURNED = "failed again"
_GOES_ON = {
    JobState.RUNNING: "the job continues in the background; the widget shows its progress",
    JobState.WATCHING: "the job is watched until then for messages that fail again; the widget shows whether any did",
}


def render_answer(answer: Mapping[str, Any], event: Mapping[str, Any], operator_arn: str) -> str:
    """One answer of the operator function.

    Args:
        answer: as the function gives it to other callers: a dry run, `{"job": ...}`, the dead letters of a peek, a
            release's instance and state, a note, or `{"error": ...}`.
        event: the event that was answered, for the theme and for the buttons that repeat its request.
        operator_arn: the function that the buttons call.
    """
    context = event.get("widgetContext")
    dark = isinstance(context, Mapping) and context.get("theme") == "dark"
    match answer:
        case {"error": error}:
            content: htpy.Node = htpy.div(".sl-note.sl-bad")[
                htpy.b["The request failed. "], safe_text(str(error), 1_000)
            ]
        case {"dry_run": True}:
            content = _dry_run(answer, event.get("redrive"), operator_arn)
        case {"job": job}:
            content = _job(job, operator_arn)
        case {"peek": True}:
            content = _peek(answer)
        case {"instance_id": instance_id, "state": _}:
            note = safe_text(str(answer.get("note") or "there was nothing to do"), 500)
            content = htpy.p[htpy.b[safe_text(str(instance_id), 100)], ": ", note, "."]
        case {"note": note}:
            content = htpy.p[safe_text(str(note), 1_000)]
        case _:
            content = htpy.p(".sl-quiet")["Done."]
    root = htpy.div(class_=["sl", "sl-dark" if dark else "sl-light", "cwdb-no-default-styles"])
    return str(root[content, htpy.style[CSS]])


# --------------------------------------------------------------------------- a dry run


def _dry_run(preview: Mapping[str, Any], request: object, operator_arn: str) -> htpy.Node:
    messages, canaries = counted(preview["selected_count"], "message"), counted(preview["canary_count"], "message")
    are = "is" if preview["canary_count"] == 1 else "are"
    least_s = preview["selected_count"] / preview["rate_per_s"]
    return [
        htpy.h2(".sl-title")[f"Dry run: {messages} would be sent", _redrive_button(preview, request, operator_arn)],
        htpy.p(".sl-quiet")[
            "From the ",
            safe_text(str(preview["from"])),
            f" of fleet {preview['fleet']}",
            _queues(preview),
            f", at most {counted_rate(preview['rate_per_s'])} a second, in at least {duration(least_s)}. ",
            f"At first at most {canaries} of each failure group {are} sent; ",
            "the others follow only if none of these fails again. Nothing was sent by this dry run.",
        ],
        _groups(preview["groups"]),
        [htpy.p(".sl-quiet")[note] for note in _dry_run_notes(preview)],
        _other_fleets(preview, request, operator_arn),
    ]


def _redrive_button(preview: Mapping[str, Any], request: object, operator_arn: str) -> htpy.Node:
    """The button that does what the dry run showed."""
    if not preview["selected_count"] or not isinstance(request, Mapping):
        return None
    messages, rate = counted(preview["selected_count"], "message"), counted_rate(preview["rate_per_s"])
    return htpy.span(".sl-acts")[
        htpy.button(".sl-go", type="button")["Redrive"],
        call_action(
            operator_arn,
            {"redrive": {**request, "dry_run": False}},
            "popup",
            confirmation=f"Send {messages}{_of_cause(preview)} of fleet {preview['fleet']} back,"
            f" at most {rate} a second?",
        ),
    ]


def _of_cause(preview: Mapping[str, Any]) -> str:
    """The one failure group of a dry run, by its cause in plain characters."""
    causes = [plain_name(str(group["cause"])) for group in preview["groups"]]
    return f" of {quoted(causes[0])}" if len(causes) == 1 and causes[0] else ""


def _dry_run_notes(preview: Mapping[str, Any]) -> list[str]:
    """What of the selection would not be sent, and whether the count is complete."""
    notes = []
    if (behind := preview.get("behind_count", 0)) > 0:
        are = "is" if behind == 1 else "are"
        notes.append(
            f"{counted(behind, 'more message')} of the selection {are} not sent: to keep the order, messages stay"
            " behind earlier ones of their FIFO message group that are not selected."
        )
    if not preview.get("complete", True):
        notes.append("There are more messages than were counted.")
    if move_task_note := preview.get("move_task_note"):
        notes.append(str(move_task_note))
    if muted := preview.get("muted_groups"):
        notes.append(f"{counted(len(muted), 'muted failure group')} {'is' if len(muted) == 1 else 'are'} left out.")
    return notes


def _queues(preview: Mapping[str, Any]) -> htpy.Node:
    """The queues of a dry run, of a fleet with several: the one it is from, the one it goes to, and paused ones."""
    queue, to, paused = preview.get("queue"), preview.get("to_queue"), preview.get("paused_queues") or ()
    back = ", each to the queue it came from" if len(preview.get("queues") or ()) > 1 else ""
    return [
        [", queue ", safe_text(str(queue), 80)] if queue else None,
        [", to queue ", safe_text(str(to), 80), f" of fleet {preview['to']}"] if to else back,
        [" (paused: messages wait there: ", safe_text(", ".join(map(str, paused)), 200), ")"] if paused else None,
    ]


def _other_fleets(preview: Mapping[str, Any], request: object, operator_arn: str) -> htpy.Node:
    """A button for each other fleet whose queue is of the same kind, so that no name has to be typed."""
    others = [str(name) for name in preview.get("other_fleets", ())][:OTHER_FLEETS_SHOWN]
    if not others or not preview["selected_count"] or not isinstance(request, Mapping):
        return None
    messages = counted(preview["selected_count"], "message")
    return htpy.details(".sl-sample")[
        htpy.summary["To another fleet's queue", fold_mark()],
        htpy.div(".sl-acts")[
            [
                [
                    htpy.button(type="button")[safe_text(name)],
                    call_action(
                        operator_arn,
                        {"redrive": {**request, "dry_run": False, "to": name}},
                        "popup",
                        confirmation=f"Send {messages}{_of_cause(preview)} to the queue of fleet {name}?",
                    ),
                ]
                for name in others
            ]
        ],
    ]


def _groups(groups: Sequence[Mapping[str, Any]]) -> htpy.Node:
    if not groups:
        return None
    rows = [
        htpy.li(".sl-item")[
            htpy.div(".sl-line")[htpy.b[safe_text(str(group["cause"]))], htpy.span(".sl-pill")[f"{group['count']:,}"]]
        ]
        for group in groups[:GROUPS_SHOWN]
    ]
    return [htpy.ul(".sl-rows")[rows], and_more(len(groups) - GROUPS_SHOWN, "failure group")]


# --------------------------------------------------------------------------- a peek


def _peek(found: Mapping[str, Any]) -> htpy.Node:
    """Some dead letters, which are still in their queue."""
    # SQS gives them in no order: those that it deletes first come first.
    messages = sorted(found["messages"], key=lambda one: math.inf if one["left_s"] is None else one["left_s"])
    waiting = "" if found["waiting_count"] is None else f" of about {found['waiting_count']:,}"
    none = "None of them matches." if found["looked_at_count"] else "SQS returned no message."
    return [
        htpy.h2(".sl-title")[
            f"{counted(found['looked_at_count'], 'dead letter')}{waiting}",
            htpy.span(".sl-count")["what SQS deletes first is on top"] if len(messages) > 1 else None,
        ],
        htpy.ul(".sl-cards")[[_dead_letter(message) for message in messages]]
        if messages
        else htpy.p(".sl-quiet")[none],
        htpy.p(".sl-quiet")[
            safe_text(str(found["note"])),
            " To redrive only some, move them to the quarantine first: there they can be selected, and never expire.",
        ],
    ]


def _dead_letter(message: Mapping[str, Any]) -> htpy.Node:
    left_s = message["left_s"]
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[htpy.b[safe_text(str(message["cause"]))]],
        htpy.div(".sl-facts")[
            safe_text(str(message["message_id"]), 100),
            [DOT, "from ", safe_text(str(message["queue"]), 80)] if message.get("queue") else None,
            f"{DOT}SQS deletes it in {duration(left_s)}" if left_s is not None and left_s > 0 else None,
            f"{DOT}received {counted(message['receive_count'], 'time')}{DOT}",
            sized(message["size_bytes"], is_pointer=bool(message.get("payload"))),
            [
                [DOT, safe_text(str(name), 60), "=", safe_text(str(text), 60)]
                for name, text in message["attributes"].items()
            ],
        ],
        payload_note(str(message.get("payload") or "")),
        htpy.details(".sl-sample")[
            htpy.summary["Beginning of the body", fold_mark()],
            scrolling_text("Beginning of the body", safe_text(str(message["sample"]), SAMPLE_MAX_CHARACTERS)),
        ]
        if message["sample"]
        else None,
    ]


# --------------------------------------------------------------------------- a redrive job


def _job(job: Mapping[str, Any], operator_arn: str) -> htpy.Node:
    state = JobState(job["state"])
    kind, label = state_pill(state, job["returned_count"])
    if job.get("held_until"):
        label = HELD
    counts = (
        (job["failed_count"], "could not be sent"),
        (job["doubtful_count"], "not sent because of a possible earlier sending"),
        (job["returned_count"], RETURNED),
    )
    return [
        htpy.h2(".sl-title")[
            f"{job['sent_count']:,} of {counted(job['selected_count'], 'message')} sent",
            htpy.span(f".sl-pill{kind}")[label],
            render_job_buttons(job["fleet"], job["id"], state, operator_arn, _plain_selection(job)),
        ],
        job_bar(
            state,
            sent_count=job["sent_count"],
            returned_count=job["returned_count"],
            failed_count=job["failed_count"],
            selected_count=job["selected_count"],
        ),
        htpy.p(".sl-quiet")[
            [
                htpy.span(class_={"sl-warn-text": what == RETURNED})[f"{counted(count, 'message')} {what}. "]
                for count, what in counts
                if count
            ]
        ],
        htpy.p(".sl-quiet")[safe_text(str(job["note"]), 500)] if job["note"] else None,
        htpy.p(".sl-quiet")[
            htpy.b[safe_text(str(cause), 120)] if (cause := job.get("failure_group_cause")) else "Redrive",
            f" of fleet {job['fleet']}{DOT}requested by ",
            safe_text(str(job["requested_by"]), 120),
            f"{DOT}about {duration(job['left_s'])} left" if job.get("left_s") is not None else None,
            [DOT, _GOES_ON[state]] if state in _GOES_ON else None,
            [DOT, "job ", safe_text(str(job["id"]), 80)],
        ],
    ]


def _plain_selection(job: Mapping[str, Any]) -> str:
    """The messages of a job for a confirmation: those of its failure group by the cause, in plain characters."""
    name = plain_name(str(job.get("failure_group_cause") or ""))
    return quoted(name) if name else "the chosen messages"
