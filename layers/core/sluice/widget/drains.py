"""Drains under way with their age and deadline, and instances retained for inspection with their cost.

Each has a button that releases it by a call of the operator function: the widget itself only reads.
"""

from collections import Counter

import htpy

from sluice.draining.deadlines import due_at
from sluice.model.draining import Drain, DrainCause, DrainOutcome, DrainState
from sluice.widget.elements import and_more, call_action, fraction, progress_bar, unread_section
from sluice.widget.names import instance_name
from sluice.widget.text import DOT, counted, duration, safe_text
from sluice.widget.view import Source, View

DRAINS_SHOWN = 25


def render_drains(view: View) -> htpy.Node:
    """Every drain that is not released yet: retained instances first, then the oldest first."""
    if view.is_unread(Source.DRAINS):
        return unread_section("Drains")
    listed = [drain for drain in view.records.drains if drain.state is not DrainState.RELEASED]
    listed.sort(key=lambda drain: (drain.state is not DrainState.RETAINED, drain.started_at))
    retained = sum(drain.state is DrainState.RETAINED for drain in listed)
    count = f"{len(listed) - retained} under way" + (f"{DOT}{retained} kept for inspection" if retained else "")
    return htpy.section[
        htpy.h3[
            "Drains",
            htpy.span(".sl-count")[count],
        ],
        htpy.ul(".sl-rows")[
            [
                _retained(drain, view) if drain.state is DrainState.RETAINED else _drain(drain, view)
                for drain in listed[:DRAINS_SHOWN]
            ]
        ]
        if listed
        else htpy.p(".sl-quiet")["No instance is draining."],
        and_more(len(listed) - DRAINS_SHOWN, "drain"),
        _released(view),
    ]


def _released(view: View) -> htpy.Node:
    """How the released drains that the ledger still has have ended."""
    outcomes = Counter(drain.outcome for drain in view.records.drains if drain.state is DrainState.RELEASED)
    if not outcomes:
        return None
    released = f"{counted(outcomes.total(), 'released instance')} still on record"
    kinds = [f"{outcomes[outcome]:,} {label}" for outcome, label in _OUTCOMES.items() if outcomes[outcome]]
    return htpy.p(".sl-quiet")[f"{released}: {', '.join(kinds)}." if kinds else f"{released}."]


_OUTCOMES = {
    DrainOutcome.COMPLETED: "completed",
    DrainOutcome.EXPIRED: "expired",
    DrainOutcome.NOTHING: "had nothing to finish",
    DrainOutcome.INTERRUPTED: "interrupted, because their consumers were killed",
    DrainOutcome.LATE: "already ended at their completion",
    DrainOutcome.GONE: "left their group by themselves",
    DrainOutcome.CLOSED: "closed without a lifecycle action",
    DrainOutcome.TERMINATED: "terminated after their inspection",
}
_CAUSES = {
    DrainCause.TERMINATE: "the group terminates it",
    DrainCause.SPOT: "Spot interruption",
    DrainCause.OPERATOR: "released by an operator",
}
_DRAIN_STATES = {
    DrainState.NOTICED: ("", "starting"),
    DrainState.STOPPING: ("", "stopping"),
    DrainState.DONE: (".sl-good", "done"),
    DrainState.EXPIRED: (".sl-bad", "past its deadline"),
    DrainState.RETAINED: (".sl-bad", "kept for inspection"),
}


def _drain(drain: Drain, view: View) -> htpy.Node:
    due = drain.deadline.at if view.fleet is None else due_at(drain, view.fleet.drain)
    left_s = due - view.period.now
    until = f"deadline in {duration(left_s)}" if left_s >= 0 else f"deadline passed {duration(-left_s)} ago"
    used = fraction(view.period.now - drain.started_at, due - drain.started_at)
    kind_of_bar = ".sl-bad" if used >= 1 else ".sl-warn" if used >= 0.75 else ".sl-plain"
    heartbeats = f"{DOT}{counted(drain.heartbeats.count, 'heartbeat')}" if drain.heartbeats.count else ""
    last_at = drain.signs.last_at
    report = "" if last_at is None else f"{DOT}last report {duration(view.period.now - last_at)} ago"
    return htpy.li(".sl-item")[
        _headline(drain, _release(drain, view, "Release", INTERRUPTED) if drain.state in _RELEASABLE else None),
        progress_bar([(used, kind_of_bar)]),
        htpy.div(".sl-facts")[
            f"{duration(view.period.now - drain.started_at)} old{DOT}{until}",
            f" ({view.period.second(due)}){heartbeats}{report}",
            [DOT, safe_text(drain.note)] if drain.note else None,
        ],
    ]


def _retained(drain: Drain, view: View) -> htpy.Node:
    """An instance that runs, and costs, until an operator releases it."""
    age_s = view.period.now - (drain.updated_at if drain.retention.since is None else drain.retention.since)
    hourly = None if view.fleet is None else view.fleet.drain.hourly_cost
    cost = "" if hourly is None else f"{DOT}cost since then {age_s / 3_600 * hourly:,.2f}"
    return htpy.li(".sl-item")[
        _headline(drain, _release(drain, view, "Terminate", _LOST)),
        htpy.div(".sl-facts")[
            f"kept for {duration(age_s)}{cost}",
            [DOT, safe_text(drain.note)] if drain.note else None,
            f"{DOT}to release it, send a release request to the operator function"
            if view.settings.operator_arn is None
            else None,
        ],
    ]


# Drains in other states end by themselves: there is nothing for an operator to decide.
_RELEASABLE = frozenset({DrainState.NOTICED, DrainState.STOPPING, DrainState.EXPIRED})
INTERRUPTED = (
    "Its consumer has not reported that it is done: messages that it is processing are interrupted and delivered again."
)
_LOST = "Everything on the instance is lost: finish your inspection first."


def _release(drain: Drain, view: View, label: str, warning: str) -> htpy.Node:
    """The button that releases an instance. Its confirmation has only fixed text and a checked name."""
    if view.settings.operator_arn is None or view.fleet is None:
        return None
    return htpy.span(".sl-acts")[
        htpy.button(type="button", title="Let the group terminate this instance now")[label],
        call_action(
            view.settings.operator_arn,
            {"release": {"fleet": view.fleet.name, "instance_id": drain.instance_id}},
            "popup",
            confirmation=f"{label} {instance_name(drain.instance_id)} of fleet {view.fleet.name} now? {warning}",
        ),
    ]


def _headline(drain: Drain, button: htpy.Node) -> htpy.Node:
    kind, label = _DRAIN_STATES.get(drain.state, ("", str(drain.state)))
    return htpy.div(".sl-line")[
        htpy.b[safe_text(drain.instance_id)],
        htpy.span(f".sl-pill{kind}")[label],
        htpy.span(".sl-facts")[_CAUSES.get(drain.cause, str(drain.cause))],
        button,
    ]
