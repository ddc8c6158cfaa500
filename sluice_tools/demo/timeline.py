"""The timeline picture: what came, what waited, what worked, and how long orders waited."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sluice_tools.demo.watcher import Sample

mpl.rcParams["svg.fonttype"] = "none"  # text stays text: selectable, and small
mpl.rcParams["svg.hashsalt"] = "sluice"  # the same figures give the same file

INK, FAINT = "#22303c", "#8a97a3"
COLOURS = {"visible": "#e0a030", "in_flight": "#f4d58d", "working": "#2f855a", "draining": "#63b3ed", "wait": "#3056a0"}
TITLE_SIZE = 7.5
ROW_POINTS = 12.0  # from one row of titles to the next
GAP_POINTS = 8.0  # between two titles of a row, in case a browser's font is wider
BANDS = ("#f5f7f9", "#ffffff")


@dataclass(frozen=True, slots=True)
class ActSpan:
    """One act on the time axis."""

    number: int
    title: str
    began_at: float
    ended_at: float
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """One order's wait: sent, and seconds until work on it started."""

    sent_at: float
    wait_s: float
    counted: bool  # by the audit: neither poison nor sent while the database was down


def draw(samples: Sequence[Sample], acts: Sequence[ActSpan], waits: Sequence[Wait], target_wait_s: float) -> Figure:
    """Draw the timeline.

    Args:
        samples: what the watcher saw, ascending.
        acts: every act, in order.
        waits: one an order.
        target_wait_s: seconds.
    """
    start = acts[0].began_at
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    backlog, capacity, wait = figure.subplots(3, 1, sharex=True)
    at = [sample.at - start for sample in samples]

    backlog.stackplot(
        at,
        [[sample.visible for sample in samples], [sample.in_flight for sample in samples]],
        labels=["waiting", "being worked on"],
        colors=[COLOURS["visible"], COLOURS["in_flight"]],
    )
    backlog.set_ylabel("orders")
    capacity.stackplot(
        at,
        [[sample.working for sample in samples], [sample.draining for sample in samples]],
        labels=["working", "draining"],
        colors=[COLOURS["working"], COLOURS["draining"]],
        step="post",
    )
    capacity.step(at, [s.desired for s in samples], where="post", color=INK, linewidth=1.2, label="desired")
    capacity.set_ylabel("instances")
    counted = [one for one in waits if one.counted]
    others = [one for one in waits if not one.counted]
    wait.scatter(
        [one.sent_at - start for one in counted],
        [one.wait_s for one in counted],
        s=5,
        color=COLOURS["wait"],
        label="an order",
    )
    wait.scatter(
        [one.sent_at - start for one in others],
        [one.wait_s for one in others],
        s=6,
        color=FAINT,
        marker="x",
        linewidths=0.7,
        label="poison, or sent while the database was down",
    )
    wait.axhline(target_wait_s, color="#c53030", linewidth=1, linestyle="--", label="target wait")
    wait.set_ylabel("wait, s")
    wait.set_xlabel("seconds since the story began")
    # Poison waits for an operator, for as long as that takes: it must not flatten the rest.
    top = max([target_wait_s, *(one.wait_s for one in counted)]) * 1.7
    wait.set_ylim(0, top)

    for axes in (backlog, capacity, wait):
        _dress(axes, acts, start)
    _label(figure, backlog, acts, start)
    return figure


def save(figure: Figure, png: Path) -> str:
    """Write the picture as PNG, and answer it as SVG text for the page."""
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=130)
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _label(figure: Figure, axes: Axes, acts: Sequence[ActSpan], start: float) -> None:
    """Put the acts' titles above the axes, in as many rows as keep them apart, each with a line to its act's beginning.

    The last act is in the lowest row and none sticks out on the right, whatever the acts' lengths.
    """
    figure.draw_without_rendering()  # only now are the axes as wide as they stay, and can texts be measured
    to_points = 72 / figure.dpi
    width = axes.get_window_extent().width * to_points
    rows: list[float] = []  # where the leftmost label of each row begins, the lowest row first
    for act in reversed(acts):
        title = f"{act.number} {act.title}"
        measured = axes.text(0, 0, title, fontsize=TITLE_SIZE)
        length = measured.get_window_extent().width * to_points
        measured.remove()
        began = width * (act.began_at - start) / (acts[-1].ended_at - start)
        left = max(0.0, min(began, width - length - GAP_POINTS))
        # Also left of the rows above, whose lines come down here.
        free = (row for row in range(len(rows)) if left + length + GAP_POINTS <= min(rows[row:]))
        row = next(free, len(rows))
        rows[row : row + 1] = [left]
        line = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            title,
            (act.began_at - start, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(left - began, ROW_POINTS * (row + 0.4)),
            textcoords="offset points",
            fontsize=TITLE_SIZE,
            color=INK,
            va="bottom",
            arrowprops=line | {"relpos": ((began - left) / length, 0.0)},  # upright
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            zorder=len(acts) - row,  # lines go behind the titles of the rows below
        )


def _dress(axes: Axes, acts: Sequence[ActSpan], start: float) -> None:
    for index, act in enumerate(acts):
        colour = "#fdecea" if act.outage else BANDS[index % 2]
        axes.axvspan(act.began_at - start, act.ended_at - start, color=colour, zorder=-10, linewidth=0)
    axes.set_xlim(0, acts[-1].ended_at - start)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    axes.yaxis.label.set_color(INK)
    axes.legend(loc="upper right", fontsize=7.5, frameon=False)
