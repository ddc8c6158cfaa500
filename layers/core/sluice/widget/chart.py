"""Capacity, backlog and oldest wait over the time range, as one inline SVG of three lanes.

Three small lanes over one time axis rather than one picture with three scales: each line is read against its own
scale. A figure that was not read is a gap, never a zero. Hovering needs no script: the picture is covered by narrow
slices, each with its figures as title.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import htpy

from sluice.model.planning import Action, Decision, Outcome, OutcomeStatus
from sluice.widget.text import UNKNOWN, Clock, counted, duration, number, short

# The planner looks at a fleet at least once a minute: three minutes without a decision is a gap, not a long step.
GAP_S = 180.0
SLICE_PX = 7.0  # wide enough to point at
MARK_PX = 7.0  # marks nearer than this would cover one another
TICK_PX = 84.0  # room for a time with its date

_LANE_PX = 54.0
_HEAD_PX = 20.0  # a lane's name and scale above it
_SPACE_PX = 12.0
_AXIS_PX = 18.0
_EDGE_PX = 5.0  # so that the last dot is not cut

# What the planner calls the figures of a decision that are drawn here (`planning._figures`; a test holds them equal).
VISIBLE = "visible"
OLDEST_AGE = "oldest_age_s"
WORKING = "working"

_TICKS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
_NICE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_NICE_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one decision saw and wanted. Counts of instances and messages; `oldest_age_s` in seconds."""

    at: float
    capacity: int  # as the group was set
    working: float  # of it in service, as far as known
    need: int
    want: int
    backlog: float | None
    oldest_age_s: float | None
    action: Action
    status: OutcomeStatus


def figure(decision: Decision, name: str) -> float | None:
    """A figure of a decision; None if it was not read."""
    value = next((entry.value for entry in decision.figures if entry.name == name), None)
    return value if value is not None and math.isfinite(value) else None


def sample(decision: Decision, outcome: Outcome) -> Sample:
    """What a decision record says for the chart."""
    working = figure(decision, WORKING)
    return Sample(
        at=decision.at,
        capacity=decision.current,
        working=decision.current if working is None else working,
        need=decision.raw_need,
        want=decision.want,
        backlog=figure(decision, VISIBLE),
        oldest_age_s=figure(decision, OLDEST_AGE),
        action=decision.action,
        status=outcome.status,
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Moments to pixels."""

    since: float
    until: float
    width: float

    def x(self, at: float) -> float:
        """The pixel of a moment, within the picture."""
        part = (at - self.since) / (self.until - self.since)
        return _EDGE_PX + min(1.0, max(0.0, part)) * (self.width - 2 * _EDGE_PX)

    @property
    def s_per_px(self) -> float:
        return (self.until - self.since) / max(1.0, self.width - 2 * _EDGE_PX)


@dataclass(frozen=True, slots=True)
class _Lane:
    """One lane: its place and its scale from zero to `top`."""

    y0: float  # of the lane's upper edge
    top: float

    @property
    def base(self) -> float:
        return self.y0 + _LANE_PX

    def y(self, value: float) -> float:
        """The pixel of a value; what is above the scale stays at its edge."""
        return self.base - min(1.0, max(0.0, value / self.top)) * _LANE_PX


def render_chart(
    samples: Sequence[Sample], *, since: float, until: float, target_wait_s: float, clock: Clock, width: int
) -> htpy.Element:
    """The chart.

    Args:
        samples: what the decisions of the time range say, in any order; none is drawn as an empty chart.
        since: left edge, epoch seconds.
        until: right edge, epoch seconds, after `since`.
        target_wait_s: drawn as a dashed line, in seconds.
        clock: for the time axis.
        width: of the picture, in pixels.
    """
    axis = _Axis(since, until, float(width))
    every = sorted((entry for entry in samples if since <= entry.at <= until), key=lambda entry: entry.at)
    ordered = _thinned(every, axis)
    runs = _runs(ordered, max(GAP_S, 2.5 * axis.s_per_px))
    lanes_y = [_HEAD_PX + n * (_HEAD_PX + _LANE_PX + _SPACE_PX) for n in range(3)]
    height = lanes_y[2] + _LANE_PX + _AXIS_PX

    capacity = _Lane(lanes_y[0], _capacity_top(ordered))
    backlog = _Lane(lanes_y[1], _nice(max((entry.backlog or 0.0 for entry in ordered), default=0.0), whole=True))
    ages = [entry.oldest_age_s or 0.0 for entry in ordered]
    wait = _Lane(lanes_y[2], _nice_s(max([*ages, 1.2 * target_wait_s])))

    sentence = _in_words(every, target_wait_s, clock, until)
    return htpy.svg(
        ".sl-chart",
        {"viewBox": f"0 0 {width} {_px(height)}", "width": str(width), "height": _px(height)},
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_label=f"Capacity, backlog and oldest wait. {sentence}",
    )[
        htpy.title["Capacity, backlog and oldest wait"],
        htpy.desc[sentence],
        _time_axis(axis, clock, height),
        _heading(capacity, axis, "Capacity", "instances, need dashed", number(capacity.top)),
        _capacity_lane(capacity, axis, runs),
        _heading(backlog, axis, "Backlog", "messages waiting", short(backlog.top)),
        _backlog_lane(backlog, axis, runs),
        _heading(wait, axis, "Oldest message", "age", duration(wait.top)),
        _wait_lane(wait, axis, runs, target_wait_s),
        _marks(capacity, axis, every, clock, until),
        _slices(axis, ordered, clock, until, height - _AXIS_PX),
    ]


# --------------------------------------------------------------------------- the lanes


def _heading(lane: _Lane, axis: _Axis, name: str, unit: str, scale: str) -> htpy.Node:
    right = axis.width - _EDGE_PX
    return [
        htpy.text(x=_px(_EDGE_PX), y=_px(lane.y0 - 6))[htpy.tspan(".sl-name")[name], f" {unit}"],
        htpy.text(".sl-scale", {"text-anchor": "end"}, x=_px(right), y=_px(lane.y0 - 6))[scale],
        htpy.path(".sl-grid", d=_h(lane.y0, _EDGE_PX, right) + _h(lane.base, _EDGE_PX, right)),
    ]


def _capacity_lane(lane: _Lane, axis: _Axis, runs: list[list[Sample]]) -> htpy.Node:
    fills, lines, needs = [], [], []
    for run, end in _with_ends(runs, axis):
        lines.append(_steps(run, lambda entry: lane.y(entry.capacity), axis, end))
        working = _steps(run, lambda entry: lane.y(entry.working), axis, end)
        fills.append(f"{working}V{_px(lane.base)}H{_px(axis.x(run[0].at))}Z")
        needs.append(_steps(run, lambda entry: lane.y(entry.need), axis, end))
    return [
        htpy.path(".sl-capacity-fill", d="".join(fills)),
        htpy.path(".sl-need", d="".join(needs)),
        htpy.path(".sl-capacity", d="".join(lines)),
        _dot(runs, axis, "capacity", lambda entry: lane.y(entry.capacity)),
    ]


def _backlog_lane(lane: _Lane, axis: _Axis, runs: list[list[Sample]]) -> htpy.Node:
    known = _known(runs, lambda entry: entry.backlog)
    line = "".join(_line(run, lambda entry: lane.y(entry.backlog or 0.0), axis) for run in known)
    fill = "".join(
        f"{_line(run, lambda entry: lane.y(entry.backlog or 0.0), axis)}V{_px(lane.base)}H{_px(axis.x(run[0].at))}Z"
        for run in known
    )
    return [
        htpy.path(".sl-backlog-fill", d=fill),
        htpy.path(".sl-backlog", d=line),
        _dot(known, axis, "backlog", lambda entry: lane.y(entry.backlog or 0.0)),
    ]


def _wait_lane(lane: _Lane, axis: _Axis, runs: list[list[Sample]], target_wait_s: float) -> htpy.Node:
    known = _known(runs, lambda entry: entry.oldest_age_s)
    line = "".join(_line(run, lambda entry: lane.y(entry.oldest_age_s or 0.0), axis) for run in known)
    return [
        _target(lane, axis, target_wait_s),
        htpy.path(".sl-late", d="".join(_over(run, lane, axis, target_wait_s) for run in known)),
        htpy.path(".sl-wait", d=line),
        _dot(known, axis, "wait", lambda entry: lane.y(entry.oldest_age_s or 0.0)),
    ]


def _target(lane: _Lane, axis: _Axis, target_wait_s: float) -> htpy.Node:
    y = lane.y(target_wait_s)
    # Below the line where above it would be outside the lane.
    name_y = y - 3 if y - lane.y0 > 12 else y + 11
    return [
        htpy.path(".sl-target", d=_h(y, _EDGE_PX, axis.width - _EDGE_PX)),
        htpy.text(".sl-target-name", x=_px(_EDGE_PX + 3), y=_px(name_y))[f"target wait {duration(target_wait_s)}"],
    ]


def _over(run: list[Sample], lane: _Lane, axis: _Axis, target_wait_s: float) -> str:
    """The area between the target and what was above it."""
    line = _line(run, lambda entry: lane.y(max(target_wait_s, entry.oldest_age_s or 0.0)), axis)
    return f"{line}V{_px(lane.y(target_wait_s))}H{_px(axis.x(run[0].at))}Z"


def _dot(runs: list[list[Sample]], axis: _Axis, kind: str, y: Callable[[Sample], float]) -> htpy.Node:
    """Where the line stands now."""
    if not runs:
        return None
    last = runs[-1][-1]
    return htpy.circle(f".sl-dot-{kind}", cx=_px(axis.x(last.at)), cy=_px(y(last)), r="2.5")


def _marks(lane: _Lane, axis: _Axis, samples: list[Sample], clock: Clock, now: float) -> htpy.Node:
    """A triangle where the fleet scaled out or in, hollow where only in shadow, a cross where it failed."""
    marks: list[htpy.Node] = []
    free_from = -math.inf
    for entry in samples:
        x = axis.x(entry.at)
        told = entry.status in (OutcomeStatus.APPLIED, OutcomeStatus.SHADOW, OutcomeStatus.FAILED)
        if entry.action is Action.HOLD or not told or x < free_from:
            continue
        free_from = x + MARK_PX
        kind, shape = _mark(entry, x, lane)
        label = f"{clock.second(entry.at, now)} {entry.action}: {entry.capacity} to {entry.want}, {entry.status}"
        marks.append(htpy.path(kind, d=shape)[htpy.title[label]])
    return marks


def _mark(entry: Sample, x: float, lane: _Lane) -> tuple[str, str]:
    y = max(lane.y0 + 4, min(lane.y(entry.capacity), lane.y(entry.want)) - 7)
    if entry.status is OutcomeStatus.FAILED:
        return ".sl-mark-failed", f"M{_px(x - 3)} {_px(y - 3)}l6 6m0 -6l-6 6"
    rise = -5 if entry.action is Action.SCALE_OUT else 5
    kind = ".sl-mark-shadow" if entry.status is OutcomeStatus.SHADOW else ".sl-mark"
    return kind, f"M{_px(x - 3.5)} {_px(y - rise / 2)}h7l-3.5 {rise}z"


def _slices(axis: _Axis, samples: list[Sample], clock: Clock, now: float, height: float) -> htpy.Node:
    """Transparent columns that tell the figures of their moment when pointed at."""
    latest: dict[int, Sample] = {}
    for entry in samples:
        latest[int(axis.x(entry.at) // SLICE_PX)] = entry
    return [
        htpy.rect(".sl-slice", x=_px(column * SLICE_PX), y="0", width=_px(SLICE_PX), height=_px(height))[
            htpy.title[
                f"{clock.second(entry.at, now)}\n"
                f"capacity {entry.capacity}, {number(entry.working)} working, need {entry.need}\n"
                f"backlog {number(entry.backlog)}, oldest {duration(entry.oldest_age_s)}"
            ]
        ]
        for column, entry in latest.items()
    ]


def _time_axis(axis: _Axis, clock: Clock, height: float) -> htpy.Node:
    base = height - _AXIS_PX
    labels, lines = [], []
    for at in tick_moments(axis.since, axis.until, axis.width, clock):
        x = axis.x(at)
        anchor = "start" if x < 24 else "end" if x > axis.width - 24 else "middle"
        labels.append(
            htpy.text(".sl-tick", {"text-anchor": anchor}, x=_px(x), y=_px(base + 13))[_tick_label(at, axis, clock)]
        )
        lines.append(f"M{_px(x)} {_px(_HEAD_PX)}V{_px(base)}")
    return [htpy.path(".sl-grid", d="".join(lines)), labels]


def tick_moments(since: float, until: float, width: float, clock: Clock) -> list[float]:
    """Round local times, far enough apart to be labelled."""
    span_s = until - since
    fitting = max(2.0, width / TICK_PX)
    step = next((step for step in _TICKS_S if span_s / step <= fitting), None)
    if step is None:
        step = 604_800 * math.ceil(span_s / fitting / 604_800)
    first = math.ceil((since + clock.offset_s) / step) * step - clock.offset_s
    return [first + n * step for n in range(int((until - first) // step) + 1)] if first <= until else []


def _tick_label(at: float, axis: _Axis, clock: Clock) -> str:
    midnight = (at + clock.offset_s) % 86_400 == 0
    if midnight and axis.until - axis.since > 3_600:
        return clock.day(at)
    return clock.second(at) if axis.until - axis.since < 240 else clock.minute(at)


# --------------------------------------------------------------------------- lines


def _thinned(ordered: list[Sample], axis: _Axis) -> list[Sample]:
    """At most one sample a pixel: the latest, with the highest need, backlog and age of its pixel."""
    thinned: list[Sample] = []
    for entry in ordered:
        if not thinned or int(axis.x(entry.at)) != int(axis.x(thinned[-1].at)):
            thinned.append(entry)
            continue
        last = thinned[-1]
        thinned[-1] = replace(
            entry,
            need=max(last.need, entry.need),
            backlog=_highest(last.backlog, entry.backlog),
            oldest_age_s=_highest(last.oldest_age_s, entry.oldest_age_s),
        )
    return thinned


def _highest(one: float | None, other: float | None) -> float | None:
    return max(one, other) if one is not None and other is not None else one if other is None else other


def _runs(ordered: Iterable[Sample], gap_s: float) -> list[list[Sample]]:
    """Samples without a gap between them."""
    runs: list[list[Sample]] = []
    for entry in ordered:
        if runs and entry.at - runs[-1][-1].at <= gap_s:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def _known(runs: list[list[Sample]], value: Callable[[Sample], float | None]) -> list[list[Sample]]:
    """Runs cut where a figure was not read."""
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


def _with_ends(runs: list[list[Sample]], axis: _Axis) -> Iterable[tuple[list[Sample], float]]:
    """Each run with the pixel at which its last step ends: a minute after it, when the next tick was due."""
    return ((run, axis.x(run[-1].at + 60.0)) for run in runs)


def _steps(run: list[Sample], y: Callable[[Sample], float], axis: _Axis, end: float) -> str:
    drawn = [f"M{_px(axis.x(run[0].at))} {_px(y(run[0]))}"]
    height = _px(y(run[0]))
    for entry in run[1:]:
        if (new := _px(y(entry))) != height:
            drawn.append(f"H{_px(axis.x(entry.at))}V{new}")
            height = new
    return "".join(drawn) + f"H{_px(end)}"


def _line(run: list[Sample], y: Callable[[Sample], float], axis: _Axis) -> str:
    points = [f"{_px(axis.x(entry.at))} {_px(y(entry))}" for entry in run]
    # A lone point is drawn as a short dash, or it would not be seen.
    return "M" + "L".join(points) if len(points) > 1 else f"M{points[0]}h1"


def _h(y: float, left: float, right: float) -> str:
    return f"M{_px(left)} {_px(y)}H{_px(right)}"


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# --------------------------------------------------------------------------- scales


def _capacity_top(samples: list[Sample]) -> float:
    """Room for the capacity; a need far above it, bound by a limit, is drawn at the edge and not to scale."""
    held = max((max(entry.capacity, entry.want) for entry in samples), default=0)
    need = max((entry.need for entry in samples), default=0)
    return _nice(max(held * 1.15, min(need, 2 * held), 1), whole=True)


def _nice(value: float, *, whole: bool = False) -> float:
    """The next round number at or above a value, at least one."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * size for step in _NICE if step * size >= value and not (whole and (step * size) % 1)), 10 * size
    )


def _nice_s(value: float) -> float:
    """The next round duration at or above a value, in seconds."""
    hours = value / 3600
    return next((float(step) for step in _NICE_S if step >= value), _nice(hours) * 3600 if value > 0 else 1.0)


def _in_words(samples: list[Sample], target_wait_s: float, clock: Clock, now: float) -> str:
    """What the picture shows, for those who do not see it."""
    if not samples:
        return "No decision in this time range."
    capacities = [entry.capacity for entry in samples]
    backlog = max(samples, key=lambda entry: entry.backlog or 0.0)
    oldest = max(samples, key=lambda entry: entry.oldest_age_s or 0.0)
    changes = sum(1 for entry in samples if entry.action is not Action.HOLD)
    return (
        f"From {clock.second(samples[0].at, now)} to {clock.second(samples[-1].at, now)} {clock.zone}: "
        f"capacity between {min(capacities)} and {max(capacities)}, last {capacities[-1]}; "
        f"backlog at most {_at_most(backlog.backlog, backlog.at, number, clock, now)}, "
        f"last {number(samples[-1].backlog)}; "
        f"oldest message at most {_at_most(oldest.oldest_age_s, oldest.at, duration, clock, now)} "
        f"against a target wait of {duration(target_wait_s)}; "
        f"{counted(changes, 'decision')} to scale out or in."
    )


def _at_most(value: float | None, at: float, form: Callable[[float | None], str], clock: Clock, now: float) -> str:
    return UNKNOWN if value is None else f"{form(value)} at {clock.second(at, now)}"
