"""A fleet in shadow mode: what Sluice would have used and achieved, next to what scales the fleet now."""

import htpy

from sluice.model.observed import Mode
from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.shadow.scorecard import SHARES, Score, Side, within
from sluice.widget.elements import unread_section
from sluice.widget.text import counted, duration, number, safe_text
from sluice.widget.view import Source, View
from sluice.wording import exactly


def render_score(view: View) -> htpy.Node:
    """One sentence and a table of both sides; nothing for a fleet that is not in shadow mode."""
    if view.fleet is None or view.fleet.mode is not Mode.SHADOW:
        return None
    if view.is_unread(Source.SHADOW):
        return unread_section("Shadow comparison")
    if view.records.day_score is None:
        return htpy.section[
            htpy.h3["Shadow comparison"],
            htpy.p(".sl-quiet")["Nothing to compare yet: the metrics of arrivals are final only after some minutes."],
            _NOT_APPLIED,
        ]
    score = view.records.day_score
    return htpy.section[
        htpy.h3["Shadow comparison", htpy.span(".sl-count")[f"{duration(score.seconds)} compared"]],
        htpy.p[safe_text(score.sentence)],
        htpy.table[
            htpy.thead[
                htpy.tr[
                    htpy.th(scope="col")["last 24 h"],
                    htpy.th(".sl-figure", scope="col")["Sluice"],
                    htpy.th(".sl-figure", scope="col")["current scaling"],
                ]
            ],
            htpy.tbody[[_row(name, ours, theirs) for name, ours, theirs in _rows(score)]],
        ],
        htpy.p(".sl-quiet")[_basis(view, score)],
        htpy.p(".sl-quiet")[safe_text(view.records.week_score.sentence)]
        if view.records.week_score and view.records.week_score.seconds > DAY_S
        else None,
        _NOT_APPLIED,
    ]


_NOT_APPLIED = htpy.p(".sl-quiet")[
    "Sluice decides and changes nothing. Once it is to scale this fleet, deploy it with the mode act."
]


def _rows(score: Score) -> list[tuple[str, str, str]]:
    def both(name: str, *, ours: str, theirs: str) -> tuple[str, str, str]:
        return name, ours, theirs

    def late(side: Side) -> str:
        return number(side.late_fraction * side.messages)

    ours, theirs = score.shadow, score.acting
    in_time = "in time" if score.target_wait_s is None else f"within {exactly(score.target_wait_s)}"
    return [
        both(in_time, ours=within(ours), theirs=within(theirs)),
        both("late messages", ours=late(ours), theirs=late(theirs)),
        both("99% waited at most", ours=_p99(ours), theirs=_p99(theirs)),
        both("longest wait", ours=duration(ours.longest_s), theirs=duration(theirs.longest_s)),
        both(f"{score.unit}-hours", ours=f"{ours.unit_hours:,.1f}", theirs=f"{theirs.unit_hours:,.1f}"),
        both("launches", ours=number(ours.launches), theirs=number(theirs.launches)),
    ]


def _p99(side: Side) -> str:
    """The wait that 99% did not exceed; as a share of the target where several queues have different targets."""
    if side.p99_s is not None:
        return duration(side.p99_s)
    share = side.p99_share or 0.0
    return f"{share:.0%} of their target" if share < SHARES[-1] else f"over {SHARES[-1]:g} targets"


def _row(name: str, ours: str, theirs: str) -> htpy.Node:
    return htpy.tr[htpy.th(scope="row")[name], htpy.td(".sl-figure")[ours], htpy.td(".sl-figure")[theirs]]


def _basis(view: View, score: Score) -> str:
    """How many messages the comparison covers, until when, and whether it had to start again."""
    text = f"Based on {counted(round(score.came), 'message')} up to {view.period.minute(score.until)}."
    if score.restarted is not None:
        at, gap_s = score.restarted
        text += f" It restarted at {view.period.minute(at)}, after {duration(gap_s)} without a tick."
    return text
