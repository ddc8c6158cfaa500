"""A fleet in shadow mode: what Sluice would have come to, beside what acts now."""

import htpy

from sluice.model.observed import Mode
from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.shadow.scorecard import SHARES, Score, Side, within
from sluice.widget.parts import unread
from sluice.widget.text import duration, number, shown
from sluice.widget.view import Part, View


def render_score(view: View) -> htpy.Node:
    """Both columns and one sentence; nothing for a fleet that is not in shadow mode."""
    if view.fleet is None or view.fleet.mode is not Mode.SHADOW:
        return None
    if view.unread(Part.SHADOW):
        return unread("In shadow")
    if view.score is None:
        return htpy.section[
            htpy.h3["In shadow"],
            htpy.p(".sl-quiet")["Nothing is scored yet: arrivals are final some minutes after they came."],
        ]
    score = view.score
    return htpy.section[
        htpy.h3["In shadow", htpy.span(".sl-count")[f"{duration(score.seconds)} scored"]],
        htpy.p[shown(score.sentence)],
        htpy.table[
            htpy.thead[
                htpy.tr[htpy.th["last 24 h"], htpy.th(".sl-figure")["Sluice"], htpy.th(".sl-figure")["what acts"]]
            ],
            htpy.tbody[[_row(name, ours, theirs) for name, ours, theirs in _rows(score)]],
        ],
        htpy.p(".sl-quiet")[_below(view, score)],
        htpy.p(".sl-quiet")[shown(view.week.sentence)] if view.week and view.week.seconds > DAY_S else None,
    ]


def _rows(score: Score) -> list[tuple[str, str, str]]:
    def both(name: str, *, ours: str, theirs: str) -> tuple[str, str, str]:
        return name, ours, theirs

    def late(side: Side) -> str:
        return number(side.late_fraction * side.messages)

    ours, theirs = score.shadow, score.acting
    in_time = "in time" if score.target_wait_s is None else f"within {duration(score.target_wait_s)}"
    return [
        both(in_time, ours=within(ours), theirs=within(theirs)),
        both("late messages", ours=late(ours), theirs=late(theirs)),
        both("99% waited at most about", ours=_p99(ours), theirs=_p99(theirs)),
        both("longest wait", ours=duration(ours.longest_s), theirs=duration(theirs.longest_s)),
        both(f"{score.unit}-hours", ours=f"{ours.unit_hours:,.1f}", theirs=f"{theirs.unit_hours:,.1f}"),
        both("launches", ours=number(ours.launches), theirs=number(theirs.launches)),
    ]


def _p99(side: Side) -> str:
    """A time; of several queues, whose targets differ, a share of them."""
    if side.p99_s is not None:
        return duration(side.p99_s)
    share = side.p99_share or 0.0
    return f"{share:.0%} of their target" if share < SHARES[-1] else f"over {SHARES[-1]:g} targets"


def _row(name: str, ours: str, theirs: str) -> htpy.Node:
    return htpy.tr[htpy.td[name], htpy.td(".sl-figure")[ours], htpy.td(".sl-figure")[theirs]]


def _below(view: View, score: Score) -> str:
    said = f"Of {number(score.came)} messages, as of {view.clock.minute(score.until, view.now)}."
    if score.restarted is not None:
        at, gap_s = score.restarted
        said += f" Begun anew at {view.clock.minute(at, view.now)}, after {duration(gap_s)} without ticks."
    return said
