"""The chart's scales: moments and values to pixels, round scale ends, and the moments that are labelled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.widget.chart.samples import Sample
from sluice.widget.text import Clock

PANEL_PX = 54.0
HEADING_PX = 20.0  # a panel's name and scale, above it
PANEL_GAP_PX = 12.0
TIME_AXIS_PX = 18.0
EDGE_PX = 5.0  # so that the last dot is not cut
TICK_PX = 84.0  # room for a time with its date

_TICKS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800)
_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_ROUND_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600)


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The time range, in epoch seconds, over the picture's width in pixels."""

    since: float
    until: float
    width: float

    def x(self, at: float) -> float:
        """The pixel of a moment, within the picture."""
        part = (at - self.since) / (self.until - self.since)
        return EDGE_PX + min(1.0, max(0.0, part)) * (self.width - 2 * EDGE_PX)

    @property
    def s_per_px(self) -> float:
        """Seconds in one pixel."""
        return (self.until - self.since) / max(1.0, self.width - 2 * EDGE_PX)


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its place in the picture, and its scale from zero to `top`."""

    y0: float  # the pixel of its upper edge
    top: float

    @property
    def base(self) -> float:
        """The pixel of zero, the panel's lower edge."""
        return self.y0 + PANEL_PX

    def y(self, value: float) -> float:
        """The pixel of a value; what is above the scale stays at its edge."""
        return self.base - min(1.0, max(0.0, value / self.top)) * PANEL_PX


def tick_moments(since: float, until: float, width: float, clock: Clock) -> list[float]:
    """Round local times, far enough apart to be labelled."""
    span_s = until - since
    fitting = max(2.0, width / TICK_PX)
    step = next((step for step in _TICKS_S if span_s / step <= fitting), None)
    if step is None:
        step = 604_800 * math.ceil(span_s / fitting / 604_800)
    first = math.ceil((since + clock.offset_s) / step) * step - clock.offset_s
    return [first + n * step for n in range(int((until - first) // step) + 1)] if first <= until else []


def capacity_scale_top(samples: Sequence[Sample]) -> float:
    """Room for the capacity; a need far above it, bound by a limit, is drawn at the edge and not to scale."""
    held = max((max(entry.capacity, entry.want) for entry in samples), default=0)
    need = max((entry.need for entry in samples), default=0)
    return round_up(max(held * 1.15, min(need, 2 * held), 1), whole=True)


def round_up(value: float, *, whole: bool = False) -> float:
    """The next round number at or above a value, at least one."""
    if value <= 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * size for step in _ROUND if step * size >= value and not (whole and (step * size) % 1)), 10 * size
    )


def round_duration_up(value: float) -> float:
    """The next round duration at or above a value, in seconds."""
    hours = value / 3600
    return next((float(step) for step in _ROUND_S if step >= value), round_up(hours) * 3600 if value > 0 else 1.0)
