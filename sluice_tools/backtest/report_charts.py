"""The report's pictures as SVG: series over time in as many columns as a screen shows, and cost against lateness."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

import htpy as h
import numpy as np

from sluice_tools.backtest.simulated_queue import Floats

WIDTH, LEFT, RIGHT = 1030.0, 56.0, 8.0
COLUMNS = 480
INNER = WIDTH - LEFT - RIGHT
NEVER_LATE = 1e-6  # where no message was late, on a logarithmic axis
TICKS = 4
COSTS = (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
LETTER_WIDTH, LINE_HEIGHT = 6.2, 11.0  # of labels, about


@dataclass(frozen=True, slots=True)
class Point:
    """One policy in the picture of cost against lateness."""

    label: str
    colour: str
    cost: float
    late: float


def columns(series: Floats, kind: str) -> Floats:
    """A series in at most `COLUMNS` values: the highest or the mean of what falls into each."""
    size = max(1, ceil(len(series) / COLUMNS))
    padded = np.pad(series.astype(float), (0, -len(series) % size), constant_values=np.nan).reshape(-1, size)
    return np.asarray(np.nanmax(padded, axis=1) if kind == "highest" else np.nanmean(padded, axis=1))


def over_time(
    series: Floats,
    *,
    days: float,
    unit: str,
    colour: str | None = None,
    limit: float | None = None,
    notes: Sequence[tuple[float, str]] = (),
    height: float = 90.0,
) -> h.Element:
    """One series over the trace, with a limit's line, and notes under the cursor.

    Args:
        series: already in columns.
        days: the trace's length.
        unit: what is drawn, beside the axis.
        colour: of its line; an area in the traffic's colour without one.
        limit: a value to compare with.
        notes: (share of the trace's length, text).
        height: in pixels.
    """
    top = max(float(series.max(initial=0.0)), (limit or 0.0) * 1.1, 1e-9)
    step = INNER / max(1, len(series))

    def y(value: float) -> float:
        return height * (1.0 - value / top)

    line = "".join(f"{'L' if i else 'M'}{LEFT + (i + 0.5) * step:.1f} {y(v):.1f}" for i, v in enumerate(series))
    area = f"{line}L{LEFT + INNER:.1f} {height:.1f}L{LEFT:.1f} {height:.1f}Z"
    drawn = (
        h.path(d=line, fill="none", stroke=colour, **{"stroke-width": "1.3"}) if colour else h.path(".traffic", d=area)
    )
    return h.svg(viewBox=f"0 -22 {WIDTH:.0f} {height + 44:.0f}", role="img")[
        h.title[unit],
        h.text(x="0", y="-11")[unit],
        _levels(top, y),
        h.line(".limit", x1=f"{LEFT}", x2=f"{LEFT + INNER}", y1=f"{y(limit):.1f}", y2=f"{y(limit):.1f}")
        if limit is not None
        else None,
        drawn,
        _days(days, height),
        _cursors(notes, height),
    ]


def cost_against_lateness(points: Sequence[Point], best: Sequence[Point], height: float = 300.0) -> h.Element:
    """Every policy by what it costs and how much is late, both on logarithmic axes.

    Args:
        points: the policies.
        best: those that no other beats, by cost: a line leads through them.
        height: in pixels.
    """
    costs, lates = [point.cost for point in points], [max(point.late, NEVER_LATE) for point in points]
    left, right = log10(min(1.0, *costs)) - 0.01, log10(max(costs)) * 1.1 + 0.02
    bottom, top = log10(NEVER_LATE) - 0.3, log10(max(NEVER_LATE * 100, *lates)) + 0.3

    def x(cost: float) -> float:
        return LEFT + INNER * (log10(cost) - left) / (right - left)

    def y(late: float) -> float:
        return height * (top - log10(max(late, NEVER_LATE))) / (top - bottom)

    path = "".join(f"{'L' if i else 'M'}{x(point.cost):.1f} {y(point.late):.1f}" for i, point in enumerate(best))
    decades = [10.0**each for each in range(ceil(bottom), floor(top) + 1)]
    marks = [each for each in COSTS if left <= log10(each) <= right]
    return h.svg(viewBox=f"0 -12 {WIDTH:.0f} {height + 44:.0f}", role="img")[
        h.title["cost against lateness"],
        (
            (
                h.line(".axis", x1=f"{LEFT}", x2=f"{LEFT + INNER}", y1=f"{y(late):.1f}", y2=f"{y(late):.1f}"),
                h.text(".faint", x="0", y=f"{y(late) + 4:.1f}")[_late(late)],
            )
            for late in decades
        ),
        (
            h.text(".faint", x=f"{x(cost):.1f}", y=f"{height + 16:.1f}", **{"text-anchor": "middle"})[f"{cost:g}"]
            for cost in marks
        ),
        h.text(x=f"{LEFT + INNER / 2:.0f}", y=f"{height + 30:.0f}", **{"text-anchor": "middle"})[
            "cost, in multiples of the work alone; up: the share of messages that waited too long"
        ],
        h.path(".front", d=path),
        (
            (
                h.circle(cx=f"{x(point.cost):.1f}", cy=f"{y(point.late):.1f}", r="5", fill=point.colour)[
                    h.title[f"{point.label}: {point.cost:.3f}, {point.late:.3%} late"]
                ],
                h.text(x=f"{x(point.cost) + 8:.1f}", y=f"{text_y + 4:.1f}")[point.label],
            )
            for point, text_y in _apart(points, x, y)
        ),
    ]


def _apart(
    points: Sequence[Point], x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[tuple[Point, float]]:
    """Where each point's label goes: lower, where it would lie on another's."""
    taken: list[tuple[float, float, float]] = []  # (left, right, height)
    for point in sorted(points, key=lambda each: y(each.late)):
        left, text_y = x(point.cost), y(point.late)
        right = left + LETTER_WIDTH * (len(point.label) + 2)
        while any(left < end and begin < right and abs(text_y - at) < LINE_HEIGHT for begin, end, at in taken):
            text_y += LINE_HEIGHT / 2
        taken.append((left, right, text_y))
        yield point, text_y


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both cost and lateness, by cost."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.cost, each.late)):
        if not kept or point.late < kept[-1].late:
            kept.append(point)
    return kept


def _late(share: float) -> str:
    return "none" if share <= NEVER_LATE * 1.01 else f"{share * 100:g}%"


def _levels(top: float, y: Callable[[float], float]) -> Iterator[h.Element]:
    step = _round_step(top / TICKS)
    value = 0.0
    while value <= top:
        yield h.line(".axis", x1=f"{LEFT}", x2=f"{LEFT + INNER}", y1=f"{y(value):.1f}", y2=f"{y(value):.1f}")
        yield h.text(".faint", x=f"{LEFT - 6}", y=f"{y(value) + 4:.1f}", **{"text-anchor": "end"})[f"{value:g}"]
        value += step


def _round_step(about: float) -> float:
    power = 10.0 ** floor(log10(about))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= about)


def _days(days: float, height: float) -> Iterator[h.Element]:
    """Days, or hours where there are few."""
    hours = days * 24
    step = next((each for each in (1, 2, 6, 12, 24, 48, 168, 720) if hours / each <= 16), 1440)
    for hour in range(0, int(hours) + 1, step):
        x = LEFT + INNER * hour / hours
        text = f"day {hour // 24 + 1}" if step >= 24 else f"{hour % 24:02d}:00"
        yield h.line(".axis", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{height}", y2=f"{height + 4}")
        if x < LEFT + INNER - LETTER_WIDTH * len(text):  # at the end there is no room for it
            yield h.text(".faint", x=f"{x:.1f}", y=f"{height + 16}")[text]


def _cursors(notes: Sequence[tuple[float, str]], height: float) -> Iterable[h.Element]:
    """What was decided, under the cursor: each note from its moment to the next one's, the last of a column only."""
    by_column = {int(share * COLUMNS): text for share, text in notes}
    edges = [*by_column, COLUMNS]
    step = INNER / COLUMNS
    return [
        h.rect(
            ".cursor", x=f"{LEFT + begin * step:.1f}", y="0", width=f"{(end - begin) * step:.1f}", height=f"{height}"
        )[h.title[by_column[begin]]]
        for begin, end in pairwise(edges)
    ]
