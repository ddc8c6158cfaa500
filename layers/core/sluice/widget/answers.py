"""What the operator function answers to the widget's buttons, as HTML for a popup."""

from collections.abc import Mapping, Sequence
from typing import Any

import htpy

from sluice.model.redriving import JobState
from sluice.widget.dead_letters import render_job_acts
from sluice.widget.parts import bar, call, part, turn
from sluice.widget.style import CSS
from sluice.widget.text import DOT, counted, duration, number, shown

GROUPS_SHOWN = 25
OTHERS_SHOWN = 10
SAMPLE_LIMIT = 500
_STATES = {
    JobState.RUNNING: ("under way", ""),
    JobState.PAUSED: ("paused", ".sl-warn"),
    JobState.DONE: ("done", ".sl-good"),
    JobState.STOPPED: ("stopped", ".sl-warn"),
}


def render_answer(answered: Mapping[str, Any], event: Mapping[str, Any], operator_arn: str) -> str:
    """The operator function's answer to an event of the widget.

    Args:
        answered: as it is answered to others: a dry run, `{"job": ...}`, where a drain stands, or `{"error": ...}`.
        event: the event, for the theme and for the buttons that repeat its request.
        operator_arn: the function that the buttons call.
    """
    context = event.get("widgetContext")
    dark = isinstance(context, Mapping) and context.get("theme") == "dark"
    match answered:
        case {"error": error}:
            content: htpy.Node = htpy.div(".sl-note.sl-bad")[htpy.b["Not done. "], shown(str(error), 1_000)]
        case {"dry_run": True}:
            content = _dry_run(answered, event, operator_arn)
        case {"job": job}:
            content = _job(job, operator_arn)
        case {"peek": True}:
            content = _peek(answered)
        case {"instance_id": instance_id, "state": _}:
            note = shown(str(answered.get("note") or "nothing was to be done"), 500)
            content = htpy.p[htpy.b[shown(str(instance_id), 100)], ": ", note, "."]
        case {"note": note}:
            content = htpy.p[shown(str(note), 1_000)]
        case _:
            content = htpy.p(".sl-quiet")["Done."]
    root = htpy.div(class_=["sl", "sl-dark" if dark else "sl-light", "cwdb-no-default-styles"])
    return str(root[content, htpy.style[CSS]])


def _dry_run(seen: Mapping[str, Any], event: Mapping[str, Any], operator_arn: str) -> htpy.Node:
    count, rate_per_s = seen["selected_count"], seen["rate_per_s"]
    asked = event.get("redrive")
    what = counted(count, "message")
    return [
        htpy.h3[
            f"Dry run: {what} would be sent",
            htpy.span(".sl-acts")[
                htpy.button(".sl-go", type="button")["Redrive"],
                call(
                    operator_arn,
                    {"redrive": {**asked, "dry_run": False}},
                    "popup",
                    confirmation=f"Send {what} back to the queue, at most {number(rate_per_s)} a second?",
                ),
            ]
            if count and isinstance(asked, Mapping)
            else None,
        ],
        htpy.p(".sl-quiet")[
            "From the ",
            shown(str(seen["from"])),
            f" of fleet {seen['fleet']}",
            _queues(seen),
            f", at most {number(rate_per_s)} a second: ",
            f"{duration(count / rate_per_s)} at the least. ",
            f"First at most {seen['canary_count']} of each failure group; the rest only if none of them comes back. ",
            "Nothing was sent.",
        ],
        _groups(seen["groups"]),
        htpy.p(".sl-quiet")[
            f"{counted(seen['behind_count'], 'more message')} match, behind others of their message group that do not:"
            " left, to keep the order."
        ]
        if seen.get("behind_count")
        else None,
        htpy.p(".sl-quiet")["There are more than were looked at."] if not seen.get("complete", True) else None,
        htpy.p(".sl-quiet")[f"{counted(len(seen['left_groups']), 'group')} set aside is left out."]
        if seen.get("left_groups")
        else None,
        _elsewhere(seen, asked, operator_arn),
    ]


def _queues(seen: Mapping[str, Any]) -> htpy.Node:
    """The queues of a dry run, where there are several to choose among: from which, to which, and which are paused."""
    queue, to, paused = seen.get("queue"), seen.get("to_queue"), seen.get("paused_queues") or ()
    back = ", each to the queue it came from" if len(seen.get("queues") or ()) > 1 else ""
    return [
        [", queue ", shown(str(queue), 80)] if queue else None,
        [", to queue ", shown(str(to), 80), f" of fleet {seen['to']}"] if to else back,
        [" (paused, so that it waits there: ", shown(", ".join(map(str, paused)), 200), ")"] if paused else None,
    ]


def _peek(found: Mapping[str, Any]) -> htpy.Node:
    """Dead letters in their queue, which an operator has looked into."""
    messages = found["messages"]
    waiting = "" if found["waiting_count"] is None else f" of about {found['waiting_count']:,} waiting"
    return [
        htpy.h3[f"{counted(found['looked_at_count'], 'dead letter')} looked at{waiting}"],
        htpy.ul(".sl-cards")[[_seen(message) for message in messages]]
        if messages
        else htpy.p(".sl-quiet")["None of them matches." if found["looked_at_count"] else "None is there to be seen."],
        htpy.p(".sl-quiet")[
            shown(str(found["note"])), " To choose among them, put them into quarantine: nothing expires there."
        ],
    ]


def _seen(message: Mapping[str, Any]) -> htpy.Node:
    left_s = message["left_s"]
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[htpy.b[shown(str(message["cause"]))]],
        htpy.div(".sl-facts")[
            shown(str(message["message_id"]), 100),
            [DOT, "from ", shown(str(message["queue"]), 80)] if message.get("queue") else None,
            f"{DOT}SQS deletes it in {duration(left_s)}" if left_s is not None and left_s > 0 else None,
            f"{DOT}received {counted(message['receive_count'], 'time')}{DOT}{counted(message['size_bytes'], 'byte')}",
            [[DOT, shown(str(name), 60), "=", shown(str(text), 60)] for name, text in message["attributes"].items()],
        ],
        htpy.details(".sl-sample")[
            htpy.summary["Beginning of its body", turn()], htpy.pre[shown(str(message["sample"]), SAMPLE_LIMIT)]
        ]
        if message["sample"]
        else None,
    ]


def _elsewhere(seen: Mapping[str, Any], asked: object, operator_arn: str) -> htpy.Node:
    """Other fleets whose queue is of the same kind: suggested, so that no queue has to be typed."""
    others = [str(name) for name in seen.get("other_fleets", ())][:OTHERS_SHOWN]
    if not others or not seen["selected_count"] or not isinstance(asked, Mapping):
        return None
    return htpy.details(".sl-sample")[
        htpy.summary["To another fleet's queue", turn()],
        htpy.div(".sl-acts")[
            [
                [
                    htpy.button(type="button")[shown(name)],
                    call(
                        operator_arn,
                        {"redrive": {**asked, "dry_run": False, "to": name}},
                        "popup",
                        confirmation=f"Send {counted(seen['selected_count'], 'message')} to the queue of {name}?",
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
            htpy.div(".sl-line")[htpy.b[shown(str(group["cause"]))], htpy.span(".sl-pill")[f"{group['count']:,}"]]
        ]
        for group in groups[:GROUPS_SHOWN]
    ]
    more = len(groups) - GROUPS_SHOWN
    return [htpy.ul(".sl-rows")[rows], htpy.p(".sl-quiet")[f"and {counted(more, 'more group')}."] if more > 0 else None]


def _job(job: Mapping[str, Any], operator_arn: str) -> htpy.Node:
    label, kind = _STATES[JobState(job["state"])]
    counts = (
        (job["failed_count"], "could not be sent"),
        (job["doubtful_count"], "may have been sent before and were left"),
        (job["returned_count"], "came back"),
    )
    running = job["state"] == JobState.RUNNING
    return [
        htpy.h3[
            f"{job['sent_count']:,} of {counted(job['selected_count'], 'message')} sent",
            htpy.span(f".sl-pill{kind}")[label],
            render_job_acts(job["fleet"], job["id"], JobState(job["state"]), operator_arn),
        ],
        bar(
            [
                (part(job["sent_count"], job["selected_count"]), ".sl-good"),
                (part(job["failed_count"], job["selected_count"]), ".sl-bad"),
            ]
        ),
        htpy.p(".sl-quiet")[[f"{counted(count, 'message')} {what}. " for count, what in counts if count]],
        htpy.p(".sl-quiet")[shown(str(job["note"]), 500)] if job["note"] else None,
        htpy.p(".sl-quiet")[
            "Job ",
            shown(str(job["id"]), 80),
            DOT,
            f"fleet {job['fleet']}",
            DOT,
            "asked by ",
            shown(str(job["requested_by"]), 120),
            f"{DOT}about {duration(job['left_s'])} left" if job.get("left_s") is not None else None,
            [DOT, "it goes on by itself, minute by minute; the widget shows how far it is"] if running else None,
        ],
    ]
