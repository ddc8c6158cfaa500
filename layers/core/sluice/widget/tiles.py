"""The figures at a glance: each with its name, its unit, and in words what its color says."""

import htpy

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.widget.chart.samples import OLDEST_WAIT, VISIBLE, figure_value, oldest_wait_s
from sluice.widget.text import UNKNOWN, counted, number
from sluice.widget.view import Source, View
from sluice.wording import duration, exactly


def render_tiles(view: View, fleet: Fleet) -> htpy.Node:
    """Capacity, backlog, oldest message and quarantine, as of the last decision."""
    latest = view.records.decisions[0][0] if view.records.decisions else None
    backlog = figure_value(latest, VISIBLE) if latest else None
    return htpy.dl(".sl-tiles")[
        _tile("Capacity", number(latest.current) if latest else UNKNOWN, _wanted(latest)),
        _tile("Backlog", number(backlog), "message waiting" if backlog == 1 else "messages waiting"),
        _oldest(latest, fleet),
        _quarantined(view, fleet),
    ]


def _tile(name: str, value: str, below: str, *, bad: bool = False) -> htpy.Node:
    return htpy.div[htpy.dt[name], htpy.dd(class_={"sl-bad": bad})[value, htpy.small[below]]]


def _wanted(latest: Decision | None) -> str:
    if latest is None:
        return "no decision yet"
    return f"{latest.want:,} wanted" if latest.want != latest.current else "as wanted"


def is_late(latest: Decision | None, fleet: Fleet) -> bool:
    """Whether the oldest message has waited longer than any queue of the fleet allows."""
    waited_s = oldest_wait_s(latest) if latest else None
    return waited_s is not None and waited_s > fleet.longest_wait_s


def target_words(fleet: Fleet) -> str:
    """Such as "target 60 s", or "targets 30 s to 15 min" of several queues."""
    shortest_s, longest_s = fleet.tightest_wait_s, fleet.longest_wait_s
    if shortest_s == longest_s:
        return f"target {exactly(shortest_s)}"
    return f"targets {exactly(shortest_s)} to {exactly(longest_s)}"


def oldest_words(latest: Decision | None) -> str:
    """How long the oldest message has waited, in the words of the decision's own sentence."""
    if latest is None or oldest_wait_s(latest) is None:
        return UNKNOWN
    waited_s = figure_value(latest, OLDEST_WAIT)
    return "none" if waited_s is None else duration(waited_s)


def _oldest(latest: Decision | None, fleet: Fleet) -> htpy.Node:
    late = is_late(latest, fleet)
    return _tile("Oldest message", oldest_words(latest), f"{'late: ' if late else ''}{target_words(fleet)}", bad=late)


def _quarantined(view: View, fleet: Fleet) -> htpy.Node:
    if view.is_unread(Source.FAILURE_GROUPS):
        return _tile("Quarantined", UNKNOWN, "could not be read")
    count = sum(group.count for group in view.records.failure_groups)
    groups = sum(1 for group in view.records.failure_groups if group.count)
    if not count and not fleet.dead_letter_queues:
        return _tile("Quarantined", UNKNOWN, "no dead-letter queue")
    below = f"{'message' if count == 1 else 'messages'}, {counted(groups, 'failure group')}" if count else "messages"
    return _tile("Quarantined", number(count), below, bad=count > 0)
