"""Drains under way, each with its age and its deadline; and what is kept for inspection, with what it has cost.

Each can be released by a button, which calls the operator function: the widget itself only reads.
"""

from collections import Counter

import htpy

from sluice.draining.state_machine import due_at
from sluice.model.draining import Drain, DrainOutcome, DrainState
from sluice.widget.parts import and_more, bar, call, part, unread
from sluice.widget.text import DOT, counted, duration, shown
from sluice.widget.view import Part, View

DRAINS_SHOWN = 25


def render_drains(view: View) -> htpy.Node:
    """Every drain that is not released yet, the oldest first; what is retained comes before."""
    if view.unread(Part.DRAINS):
        return unread("Drains")
    listed = [drain for drain in view.drains if drain.state is not DrainState.RELEASED]
    listed.sort(key=lambda drain: (drain.state is not DrainState.RETAINED, drain.started_at))
    retained = sum(drain.state is DrainState.RETAINED for drain in listed)
    under_way = f"{len(listed) - retained} under way"
    return htpy.section[
        htpy.h3["Drains", htpy.span(".sl-count")[f"{under_way}{DOT}{retained} kept" if retained else under_way]],
        htpy.ul(".sl-rows")[
            [
                _retained(drain, view) if drain.state is DrainState.RETAINED else _drain(drain, view)
                for drain in listed[:DRAINS_SHOWN]
            ]
        ]
        if listed
        else htpy.p(".sl-quiet")["No instance is on its way out."],
        and_more(len(listed) - DRAINS_SHOWN, "drain"),
        _released(view),
    ]


def _released(view: View) -> htpy.Node:
    """How the drains that are over have ended, of those still on record."""
    outcomes = Counter(drain.outcome for drain in view.drains if drain.state is DrainState.RELEASED)
    if not outcomes:
        return None
    said = f"{counted(outcomes.total(), 'instance')} released, of those still on record"
    kinds = [f"{outcomes[outcome]:,} {outcome}" for outcome in DrainOutcome if outcomes[outcome]]
    return htpy.p(".sl-quiet")[f"{said}: {', '.join(kinds)}." if kinds else f"{said}."]


_DRAIN_STATES = {
    DrainState.NOTICED: ("", "noticed"),
    DrainState.STOPPING: ("", "stopping"),
    DrainState.DONE: (".sl-good", "done"),
    DrainState.EXPIRED: (".sl-bad", "past its deadline"),
    DrainState.RETAINED: (".sl-bad", "kept for inspection"),
}


def _drain(drain: Drain, view: View) -> htpy.Node:
    due = drain.deadline_at if view.fleet is None else due_at(drain, view.fleet.drain)
    left_s = due - view.now
    until = f"deadline in {duration(left_s)}" if left_s >= 0 else f"deadline passed {duration(-left_s)} ago"
    used = part(view.now - drain.started_at, due - drain.started_at)
    kind_of_bar = ".sl-bad" if used >= 1 else ".sl-warn" if used >= 0.75 else ".sl-plain"
    beats = f"{DOT}{counted(drain.heartbeat_count, 'heartbeat')}" if drain.heartbeat_count else ""
    heard = "" if drain.alive_at is None else f"{DOT}heard of {duration(view.now - drain.alive_at)} ago"
    return htpy.li(".sl-item")[
        _headline(drain, _release(drain, view, "Release", _CUT_SHORT) if drain.state in _HELD else None),
        bar([(used, kind_of_bar)]),
        htpy.div(".sl-facts")[
            f"{duration(view.now - drain.started_at)} old{DOT}{until}",
            f" ({view.clock.second(due, view.now)}){beats}{heard}",
            [DOT, shown(drain.note)] if drain.note else None,
        ],
    ]


def _retained(drain: Drain, view: View) -> htpy.Node:
    """An instance that costs on until an operator lets it go, and how to."""
    age_s = view.now - (drain.updated_at if drain.retained_at is None else drain.retained_at)
    hourly = None if view.fleet is None else view.fleet.drain.hourly_cost
    cost = "" if hourly is None else f"{DOT}has cost {age_s / 3_600 * hourly:,.2f}"
    return htpy.li(".sl-item")[
        _headline(drain, _release(drain, view, "Terminate", _LOST)),
        htpy.div(".sl-facts")[
            f"kept for {duration(age_s)}{cost}",
            [DOT, shown(drain.note)] if drain.note else None,
            f"{DOT}release it by a release request to the operator function" if view.operator_arn is None else None,
        ],
    ]


# What is done or released goes on by itself: nothing is left for an operator to decide.
_HELD = frozenset({DrainState.NOTICED, DrainState.STOPPING, DrainState.EXPIRED})
_CUT_SHORT = "Its consumer has not said that it is done: what it works on is cut short, and comes again."
_LOST = "What is to be found out on it must have been found out: nothing of it is left."


def _release(drain: Drain, view: View, label: str, warning: str) -> htpy.Node:
    """The button that lets an instance go. The confirmation is of our own words and a checked name alone."""
    if view.operator_arn is None or view.fleet is None:
        return None
    return htpy.span(".sl-acts")[
        htpy.button(type="button", title="Let this instance go now")[label],
        call(
            view.operator_arn,
            {"release": {"fleet": view.fleet.name, "instance_id": drain.instance_id}},
            "popup",
            confirmation=f"{label} this instance of fleet {view.fleet.name} now? {warning}",
        ),
    ]


def _headline(drain: Drain, button: htpy.Node) -> htpy.Node:
    kind, label = _DRAIN_STATES.get(drain.state, ("", str(drain.state)))
    return htpy.div(".sl-line")[
        htpy.b[shown(drain.instance_id)],
        htpy.span(f".sl-pill{kind}")[label],
        htpy.span(".sl-facts")[shown(drain.cause)],
        button,
    ]
