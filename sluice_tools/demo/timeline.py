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
    for act in acts:
        backlog.text(
            act.began_at - start + 1, 1.02, f"{act.number} {act.title}", transform=backlog.get_xaxis_transform(),
            fontsize=7.5, color=INK, va="bottom", ha="left", rotation=12,
        )  # fmt: skip
    return figure


def save(figure: Figure, png: Path) -> str:
    """Write the picture as PNG, and answer it as SVG text for the page."""
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=130)
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


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
