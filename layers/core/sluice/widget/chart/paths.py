"""SVG path data for the chart's lines: https://www.w3.org/TR/SVG2/paths.html#PathData."""

from collections.abc import Callable, Sequence

from sluice.widget.chart.samples import Sample
from sluice.widget.chart.scales import TimeAxis

type PixelOf = Callable[[Sample], float]  # a sample's vertical pixel


def step_line(run: Sequence[Sample], y: PixelOf, axis: TimeAxis, end: float) -> str:
    """Level lines that change at the samples' moments; the last one ends at the pixel `end`."""
    height = px(y(run[0]))
    drawn = [f"M{px(axis.x(run[0].at))} {height}"]
    for entry in run[1:]:
        if (new := px(y(entry))) != height:
            drawn.append(f"H{px(axis.x(entry.at))}V{new}")
            height = new
    return "".join(drawn) + f"H{px(end)}"


def point_line(run: Sequence[Sample], y: PixelOf, axis: TimeAxis) -> str:
    """Straight lines between the samples' points."""
    points = [f"{px(axis.x(entry.at))} {px(y(entry))}" for entry in run]
    # A single point is drawn as a short dash, or it would not be seen.
    return "M" + "L".join(points) if len(points) > 1 else f"M{points[0]}h1"


def level_line(y: float, left: float, right: float) -> str:
    """One level line between two pixels."""
    return f"M{px(left)} {px(y)}H{px(right)}"


def px(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
