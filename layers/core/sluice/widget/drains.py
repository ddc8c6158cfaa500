"""Drains under way, each with its age and its deadline."""

import htpy

from sluice.model import Drain, DrainState
from sluice.widget.parts import and_more, bar, part, unread
from sluice.widget.text import DOT, counted, duration, shown
from sluice.widget.view import Part, View

DRAINS_SHOWN = 25


def render_drains(view: View) -> htpy.Node:
    """Every drain that is not released yet, the oldest first."""
    if view.unread(Part.DRAINS):
        return unread("Drains")
    under_way = [drain for drain in view.drains if drain.state is not DrainState.RELEASED]
    released = len(view.drains) - len(under_way)
    return htpy.section[
        htpy.h3["Drains", htpy.span(".sl-count")[f"{len(under_way)} under way"]],
        htpy.ul(".sl-rows")[
            [_drain(drain, view) for drain in sorted(under_way, key=lambda one: one.started_at)[:DRAINS_SHOWN]]
        ]
        if under_way
        else htpy.p(".sl-quiet")["No instance is on its way out."],
        and_more(len(under_way) - DRAINS_SHOWN, "drain"),
        htpy.p(".sl-quiet")[f"{counted(released, 'instance')} released, of those still on record."]
        if released
        else None,
    ]


_DRAIN_STATES = {
    DrainState.NOTICED: ("", "noticed"),
    DrainState.STOPPING: ("", "stopping"),
    DrainState.DONE: (".sl-good", "done"),
    DrainState.EXPIRED: (".sl-bad", "past its deadline"),
}


def _drain(drain: Drain, view: View) -> htpy.Node:
    kind, label = _DRAIN_STATES.get(drain.state, ("", str(drain.state)))
    left_s = drain.deadline_at - view.now
    until = f"deadline in {duration(left_s)}" if left_s >= 0 else f"deadline passed {duration(-left_s)} ago"
    used = part(view.now - drain.started_at, drain.deadline_at - drain.started_at)
    kind_of_bar = ".sl-bad" if used >= 1 else ".sl-warn" if used >= 0.75 else ".sl-plain"
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[shown(drain.instance_id)],
            htpy.span(f".sl-pill{kind}")[label],
            htpy.span(".sl-facts")[shown(drain.cause)],
        ],
        bar([(used, kind_of_bar)]),
        htpy.div(".sl-facts")[
            f"{duration(view.now - drain.started_at)} old{DOT}{until}",
            f" ({view.clock.second(drain.deadline_at, view.now)})",
            [DOT, shown(drain.note)] if drain.note else None,
        ],
    ]
