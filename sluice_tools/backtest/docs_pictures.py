"""The pictures of docs/comparison.md: cost against lateness for each world, and a crowd as it was met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from sluice_tools.backtest.conditions import MINUTE_S
from sluice_tools.backtest.report import COLOURS
from sluice_tools.backtest.report_charts import Point, front
from sluice_tools.backtest.runs import Run

INK, FAINT, TRAFFIC, LIMIT = "#22303c", "#8a97a3", "#c3ccd5", "#c53030"
ACROSS = 4  # panels in a row
COST_SHOWN = 3.0  # settings that cost more are not looked for by anybody
NEVER_LATE = 1e-6  # where no message was late, on a logarithmic axis
COSTS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
LATES = {NEVER_LATE: "none", 1e-5: "", 1e-4: "0.01%", 1e-3: "0.1%", 1e-2: "1%", 1e-1: "10%", 1.0: "all"}
TOP = 1.5  # just above a share of all
DPI = 110


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of cost against lateness."""

    title: str
    ours: Point
    peers: Sequence[Point]
    clairvoyant: Point | None
    bound: float | None  # no policy that is never late costs less


def point(run: Run) -> Point:
    """A run in the picture."""
    return Point(run.policy, COLOURS[run.policy], run.cost_ratio, run.late_fraction)


def draw_world(title: str, panels: Sequence[Panel]) -> Figure:
    """Every setting of every peer, the front of those that no other peer beats, and Sluice."""
    rows = ceil(len(panels) / ACROSS)
    figure = Figure(figsize=(3.1 * ACROSS, 2.5 * rows + 0.9), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=11, color=INK)
    grid = np.ravel(figure.subplots(rows, ACROSS, squeeze=False))
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    named: Mapping[str, Artist] = {
        text: handle
        for axes in grid[: len(panels)]
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    legend = figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=6, fontsize=8, frameon=False
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    shown = [each for each in panel.peers if each.cost <= COST_SHOWN]
    for policy in dict.fromkeys(each.label for each in shown):
        of = [each for each in shown if each.label == policy]
        axes.scatter(
            [each.cost for each in of], [_late(each) for each in of], s=11, color=of[0].colour, alpha=0.6,
            linewidths=0, label=policy,
        )  # fmt: skip
    best = front(shown)
    if best:
        costs = [best[0].cost, *(each.cost for each in best), COST_SHOWN * 2]
        lates = [TOP, *(_late(each) for each in best), _late(best[-1])]
        axes.step(costs, lates, where="post", color=INK, linewidth=0.9, label="best of the peers")
    if panel.bound is not None:
        axes.axvline(panel.bound, color=FAINT, linewidth=0.8, linestyle=":", label="bound: never late for less")
    if panel.clairvoyant is not None:
        axes.plot(
            panel.clairvoyant.cost, _late(panel.clairvoyant), "D", color=FAINT, markersize=5, fillstyle="none",
            label="clairvoyant",
        )  # fmt: skip
    axes.plot(
        panel.ours.cost, _late(panel.ours), "*", color=LIMIT, markersize=12, markeredgecolor="white",
        markeredgewidth=0.6, label="Sluice", zorder=5,
    )  # fmt: skip
    axes.set_title(panel.title, fontsize=9, color=INK)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(0.97, panel.ours.cost * 0.97), COST_SHOWN * 1.03)
    axes.set_ylim(NEVER_LATE * 0.5, TOP)
    axes.xaxis.set_major_locator(FixedLocator(COSTS))
    axes.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
    axes.yaxis.set_major_locator(FixedLocator(list(LATES)))
    axes.yaxis.set_major_formatter(lambda late, _: next((LATES[each] for each in LATES if np.isclose(each, late)), ""))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#eceff2", linewidth=0.6)
    _dress(axes)


def _late(each: Point) -> float:
    return max(each.late, NEVER_LATE)


def draw_crowd(ours: Run, other: Run, other_name: str, minutes: range) -> Figure:
    """Arrivals, capacity and waits of two policies over a stretch of their trace."""
    figure = Figure(figsize=(10, 6.2), layout="constrained", facecolor="white")
    traffic, capacity, wait = figure.subplots(3, 1, sharex=True)
    at = np.array(minutes) - minutes.start
    window = slice(minutes.start, minutes.stop)
    takes_min = ours.conditions.seconds_per_message / MINUTE_S
    arrivals = ours.timeline.arrivals[window]
    traffic.fill_between(at, arrivals, step="post", color=TRAFFIC)
    traffic.set_ylabel("messages a minute")
    capacity.fill_between(
        at, arrivals * takes_min, step="post", color=TRAFFIC, label="work that comes, in instances", linewidth=0
    )
    for run, name, colour, width in ((other, other_name, COLOURS[other.policy], 1.1), (ours, "Sluice", LIMIT, 1.6)):
        timeline = run.timeline
        paid = (timeline.working + timeline.launching)[window]
        capacity.step(at, paid, where="post", color=colour, linewidth=width, label=name)
        wait.step(at, timeline.wait_s[window], where="post", color=colour, linewidth=width, label=name)
    capacity.set_ylabel("instances, launching ones included")
    # Arrivals higher than what is paid for are cut off: they would flatten the rest.
    highest = max(float((run.timeline.working + run.timeline.launching)[window].max()) for run in (ours, other))
    capacity.set_ylim(0, highest * 1.15)
    wait.axhline(ours.conditions.target_wait_s, color=INK, linewidth=1, linestyle="--")
    wait.set_ylabel("longest wait, s")
    wait.set_xlabel("minutes")
    longest = [float(run.timeline.wait_s[window].max()) for run in (ours, other)]
    wait.set_ylim(0, max(ours.conditions.target_wait_s, *longest) * 1.15)
    right = len(minutes) - 1
    wait.text(right, ours.conditions.target_wait_s, "target wait", ha="right", va="bottom", fontsize=8, color=INK)
    for axes in (traffic, capacity, wait):
        axes.set_xlim(0, right)
        axes.yaxis.label.set_size(8)
        axes.xaxis.label.set_size(8)
        _dress(axes)
    capacity.legend(loc="upper right", fontsize=8, frameon=False)
    return figure


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=7.5)
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_color(INK)


def save(figure: Figure, path: Path) -> None:
    """Write it as PNG; the same figures give the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
