"""What decision records say for the chart, thinned to its pixels and cut where figures are missing."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus

# The planner records a decision each third minute at least, that of an idle fleet: two that are missing are a gap.
GAP_S = 400.0
GAP_PX = 2.5  # over long time ranges a gap must also be wide enough to be seen

# The names of a decision's figures that are drawn here (`planning.explanation`; a test holds them equal).
VISIBLE = "visible"
# How long the oldest message has waited by now, as the decision's sentence says. CloudWatch's age of it is late.
OLDEST_WAIT = "oldest_wait_s"
WORKING = "working"
NONE_WAITS = 0.5  # fewer messages are none, as in the decision's sentence


@dataclass(frozen=True, slots=True)
class Sample:
    """What one decision measured and wanted. Counts are of instances and messages."""

    at: float  # epoch seconds
    capacity: int  # the group's desired capacity
    working: float  # of it in service; `capacity` where that is not known
    need: int
    want: int
    backlog: float | None  # None: not read
    oldest_wait_s: float | None
    action: Action
    status: OutcomeStatus


def figure_value(decision: Decision, name: str) -> float | None:
    """A figure of a decision; None if it was not read."""
    value = next((entry.value for entry in decision.figures if entry.name == name), None)
    return value if value is not None and math.isfinite(value) else None


def oldest_wait_s(decision: Decision) -> float | None:
    """Seconds that the oldest waiting message has waited: 0 where none waits, None where it is not known."""
    waited_s = figure_value(decision, OLDEST_WAIT)
    if waited_s is None and (visible := figure_value(decision, VISIBLE)) is not None and visible < NONE_WAITS:
        return 0.0
    return waited_s


def sample_of(decision: Decision, outcome: Outcome) -> Sample:
    """What a decision record says for the chart."""
    working = figure_value(decision, WORKING)
    return Sample(
        at=decision.at,
        capacity=decision.current,
        working=decision.current if working is None else working,
        need=decision.raw_need,
        want=decision.want,
        backlog=figure_value(decision, VISIBLE),
        oldest_wait_s=oldest_wait_s(decision),
        action=decision.action,
        status=outcome.status,
    )


def thinned(ordered: Iterable[Sample], pixel_of: Callable[[float], float]) -> list[Sample]:
    """At most one sample a pixel: the latest, with the highest need, backlog and age of its pixel.

    Args:
        ordered: ascending by time.
        pixel_of: the horizontal pixel of a moment in epoch seconds.
    """
    kept: list[Sample] = []
    for entry in ordered:
        if not kept or int(pixel_of(entry.at)) != int(pixel_of(kept[-1].at)):
            kept.append(entry)
            continue
        last = kept[-1]
        kept[-1] = replace(
            entry,
            need=max(last.need, entry.need),
            backlog=_highest(last.backlog, entry.backlog),
            oldest_wait_s=_highest(last.oldest_wait_s, entry.oldest_wait_s),
        )
    return kept


def _highest(one: float | None, other: float | None) -> float | None:
    return max(one, other) if one is not None and other is not None else one if other is None else other


def runs_of(ordered: Iterable[Sample], gap_s: float) -> list[list[Sample]]:
    """Runs of samples, none of which is more than `gap_s` seconds after the one before it."""
    runs: list[list[Sample]] = []
    for entry in ordered:
        if runs and entry.at - runs[-1][-1].at <= gap_s:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def known_runs(runs: list[list[Sample]], value: Callable[[Sample], float | None]) -> list[list[Sample]]:
    """Runs of the samples that have a figure: cut where it was not read."""
    known: list[list[Sample]] = []
    for run in runs:
        open_run = False
        for entry in run:
            if value(entry) is None:
                open_run = False
            elif open_run:
                known[-1].append(entry)
            else:
                known.append([entry])
                open_run = True
    return known
