"""Capacity, backlog and oldest wait over the time range, as one inline SVG of three panels.

Three small panels over one time axis rather than one picture with three scales: each line has a scale of its own.
A figure that was not read is a gap, never a zero. Hovering needs no script: narrow transparent columns cover the
picture, each with its moment's figures as its title.
"""

from bisect import bisect_left
from collections.abc import Sequence

import htpy

from sluice.model.decisions import Action, OutcomeStatus
from sluice.widget.chart.description import describe
from sluice.widget.chart.paths import PixelOf, level_line, point_line, px, step_line
from sluice.widget.chart.samples import GAP_PX, GAP_S, Sample, known_runs, runs_of, thinned
from sluice.widget.chart.scales import (
    EDGE_PX,
    HEADING_PX,
    PANEL_GAP_PX,
    PANEL_PX,
    TIME_AXIS_PX,
    Panel,
    TimeAxis,
    capacity_scale_top,
    round_duration_up,
    round_up,
    tick_moments,
)
from sluice.widget.text import duration, number, short
from sluice.widget.view import Period
from sluice.wording import exactly

COLUMN_PX = 7.0  # wide enough to point at
MARK_PX = 7.0  # marks nearer than this would cover one another
# A run's last step ends a minute after its last sample, when the next tick was due.
LAST_STEP_S = 60.0
# How a change of capacity is described by its outcome; other outcomes are not marked.
_MARKED = (OutcomeStatus.APPLIED, OutcomeStatus.SHADOW, OutcomeStatus.FAILED)
_ACTIONS = {Action.SCALE_OUT: "scale out", Action.SCALE_IN: "scale in"}


def render_chart(samples: Sequence[Sample], *, period: Period, target_wait_s: float, width: int) -> htpy.Element:
    """The chart.

    Args:
        samples: of the decisions of the time range, in any order; without any the chart is empty.
        period: the time range and the time zone.
        target_wait_s: drawn as a dashed line, in seconds.
        width: of the picture, in pixels.
    """
    axis = TimeAxis(period.since, period.until, float(width))
    every = sorted((entry for entry in samples if period.since <= entry.at <= period.until), key=lambda each: each.at)
    ordered = thinned(every, axis.x)
    runs = runs_of(ordered, max(GAP_S, GAP_PX * axis.s_per_px))
    tops = [HEADING_PX + n * (HEADING_PX + PANEL_PX + PANEL_GAP_PX) for n in range(3)]
    height = tops[2] + PANEL_PX + TIME_AXIS_PX

    capacity = Panel(tops[0], capacity_scale_top(ordered))
    backlog = Panel(tops[1], round_up(max((entry.backlog or 0.0 for entry in ordered), default=0.0), whole=True))
    ages_s = [entry.oldest_wait_s or 0.0 for entry in ordered]
    wait = Panel(tops[2], round_duration_up(max([*ages_s, 1.2 * target_wait_s])))

    description = describe(every, target_wait_s, period)
    return htpy.svg(
        ".sl-chart",
        {"viewBox": f"0 0 {width} {px(height)}", "width": str(width), "height": px(height)},
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_label=f"Capacity, backlog and oldest wait. {description}",
    )[
        htpy.title["Capacity, backlog and oldest wait"],
        htpy.desc[description],
        _time_axis(axis, period, height),
        _heading(capacity, axis, "Capacity", "instances, need dashed", number(capacity.top)),
        _capacity_panel(capacity, axis, runs),
        _heading(backlog, axis, "Backlog", "messages waiting", short(backlog.top)),
        _backlog_panel(backlog, axis, runs),
        _heading(wait, axis, "Oldest message", "has waited", duration(wait.top)),
        _wait_panel(wait, axis, runs, target_wait_s),
        _marks(capacity, axis, every, period),
        _columns(axis, ordered, period, height - TIME_AXIS_PX),
    ]


# --------------------------------------------------------------------------- the panels


def _heading(panel: Panel, axis: TimeAxis, name: str, unit: str, scale: str) -> htpy.Node:
    right = axis.width - EDGE_PX
    return [
        htpy.text(x=px(EDGE_PX), y=px(panel.y0 - 6))[htpy.tspan(".sl-name")[name], f" {unit}"],
        htpy.text(".sl-scale", {"text-anchor": "end"}, x=px(right), y=px(panel.y0 - 6))[scale],
        htpy.path(".sl-grid", d=level_line(panel.y0, EDGE_PX, right) + level_line(panel.base, EDGE_PX, right)),
    ]


def _capacity_panel(panel: Panel, axis: TimeAxis, runs: list[list[Sample]]) -> htpy.Node:
    fills, lines, needs = [], [], []
    for run in runs:
        end = axis.x(run[-1].at + LAST_STEP_S)
        lines.append(step_line(run, lambda entry: panel.y(entry.capacity), axis, end))
        working = step_line(run, lambda entry: panel.y(entry.working), axis, end)
        fills.append(f"{working}V{px(panel.base)}H{px(axis.x(run[0].at))}Z")
        needs.append(step_line(run, lambda entry: panel.y(entry.need), axis, end))
    return [
        htpy.path(".sl-capacity-fill", d="".join(fills)),
        htpy.path(".sl-need", d="".join(needs)),
        htpy.path(".sl-capacity", d="".join(lines)),
        _last_dot(runs, axis, "capacity", lambda entry: panel.y(entry.capacity)),
    ]


def _backlog_panel(panel: Panel, axis: TimeAxis, runs: list[list[Sample]]) -> htpy.Node:
    def y(entry: Sample) -> float:
        return panel.y(entry.backlog or 0.0)

    known = known_runs(runs, lambda entry: entry.backlog)
    lines = [point_line(run, y, axis) for run in known]
    fills = [f"{line}V{px(panel.base)}H{px(axis.x(run[0].at))}Z" for line, run in zip(lines, known, strict=True)]
    return [
        htpy.path(".sl-backlog-fill", d="".join(fills)),
        htpy.path(".sl-backlog", d="".join(lines)),
        _last_dot(known, axis, "backlog", y),
    ]


def _wait_panel(panel: Panel, axis: TimeAxis, runs: list[list[Sample]], target_wait_s: float) -> htpy.Node:
    def y(entry: Sample) -> float:
        return panel.y(entry.oldest_wait_s or 0.0)

    known = known_runs(runs, lambda entry: entry.oldest_wait_s)
    return [
        _target(panel, axis, target_wait_s),
        htpy.path(".sl-late", d="".join(_late_area(run, panel, axis, target_wait_s) for run in known)),
        htpy.path(".sl-wait", d="".join(point_line(run, y, axis) for run in known)),
        _last_dot(known, axis, "wait", y),
    ]


def _target(panel: Panel, axis: TimeAxis, target_wait_s: float) -> htpy.Node:
    y = panel.y(target_wait_s)
    # The name is below the line where above it would be outside the panel.
    name_y = y - 3 if y - panel.y0 > 12 else y + 11
    return [
        htpy.path(".sl-target", d=level_line(y, EDGE_PX, axis.width - EDGE_PX)),
        htpy.text(".sl-target-name", x=px(EDGE_PX + 3), y=px(name_y))[f"target wait {exactly(target_wait_s)}"],
    ]


def _late_area(run: list[Sample], panel: Panel, axis: TimeAxis, target_wait_s: float) -> str:
    """The area between the target and the waits above it."""
    line = point_line(run, lambda entry: panel.y(max(target_wait_s, entry.oldest_wait_s or 0.0)), axis)
    return f"{line}V{px(panel.y(target_wait_s))}H{px(axis.x(run[0].at))}Z"


def _last_dot(runs: list[list[Sample]], axis: TimeAxis, kind: str, y: PixelOf) -> htpy.Node:
    """A dot at the last sample."""
    if not runs:
        return None
    last = runs[-1][-1]
    return htpy.circle(f".sl-dot-{kind}", cx=px(axis.x(last.at)), cy=px(y(last)), r="2.5")


def _marks(panel: Panel, axis: TimeAxis, samples: list[Sample], period: Period) -> htpy.Node:
    """A triangle where the fleet scaled out or in, hollow where only in shadow, a cross where it failed.

    Where there is no room for all of them, those that failed stay: they are why one looks.
    """
    marks: list[htpy.Node] = []
    taken: list[float] = []  # pixels of the marks so far, ascending
    changes = [entry for entry in samples if entry.action is not Action.HOLD and entry.status in _MARKED]
    for entry in sorted(changes, key=lambda each: (each.status is not OutcomeStatus.FAILED, each.at)):
        x = axis.x(entry.at)
        place = bisect_left(taken, x)
        if any(abs(x - other) < MARK_PX for other in taken[max(0, place - 1) : place + 1]):
            continue
        taken.insert(place, x)
        kind, shape = _mark(entry, x, panel)
        action = f"{_ACTIONS[entry.action]} from {entry.capacity} to {entry.want}"
        marks.append(htpy.path(kind, d=shape)[htpy.title[f"{period.second(entry.at)} {action}: {entry.status}"]])
    return marks


def _mark(entry: Sample, x: float, panel: Panel) -> tuple[str, str]:
    """Class and path of one mark."""
    y = max(panel.y0 + 4, min(panel.y(entry.capacity), panel.y(entry.want)) - 7)
    if entry.status is OutcomeStatus.FAILED:
        return ".sl-mark-failed", f"M{px(x - 3)} {px(y - 3)}l6 6m0 -6l-6 6"
    rise = -5 if entry.action is Action.SCALE_OUT else 5
    kind = ".sl-mark-shadow" if entry.status is OutcomeStatus.SHADOW else ".sl-mark"
    return kind, f"M{px(x - 3.5)} {px(y - rise / 2)}h7l-3.5 {rise}z"


def _columns(axis: TimeAxis, samples: list[Sample], period: Period, height: float) -> htpy.Node:
    """Transparent columns whose titles have the figures of their moment."""
    latest = {int(axis.x(entry.at) // COLUMN_PX): entry for entry in samples}
    return [
        htpy.rect(".sl-slice", x=px(column * COLUMN_PX), y="0", width=px(COLUMN_PX), height=px(height))[
            htpy.title[
                f"{period.second(entry.at)}\n"
                f"capacity {entry.capacity}, {number(entry.working)} working, need {entry.need}\n"
                f"backlog {number(entry.backlog)}, oldest message {duration(entry.oldest_wait_s)}"
            ]
        ]
        for column, entry in latest.items()
    ]


def _time_axis(axis: TimeAxis, period: Period, height: float) -> htpy.Node:
    base = height - TIME_AXIS_PX
    labels, lines = [], []
    for at in tick_moments(axis.since, axis.until, axis.width, period.clock):
        x = axis.x(at)
        anchor = "start" if x < 24 else "end" if x > axis.width - 24 else "middle"
        label = _tick_label(at, period)
        labels.append(htpy.text(".sl-tick", {"text-anchor": anchor}, x=px(x), y=px(base + 13))[label])
        lines.append(f"M{px(x)} {px(HEADING_PX)}V{px(base)}")
    return [htpy.path(".sl-grid", d="".join(lines)), labels]


def _tick_label(at: float, period: Period) -> str:
    span_s = period.until - period.since
    midnight = (at + period.clock.offset_s) % 86_400 == 0
    if midnight and span_s > 3_600:
        return period.clock.day(at)
    return period.clock.second(at) if span_s < 240 else period.clock.minute(at)
