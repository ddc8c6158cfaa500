"""The picture of docs/scale.md: how far apart a fleet's ticks are, by the number of fleets in a stack."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from sluice_tools.scale.simulation import Result, documents_wall, quantile

COLOURS = ("#1f77b4", "#d62728")
GOAL_S = 15.0  # a tick and a half


def draw(results: Mapping[int, Sequence[Result]], path: Path) -> None:
    """Draw the gaps.

    Args:
        results: by how many planners there may be at once, in the order of their sizes.
        path: where the SVG is written. It is the same text for the same results.
    """
    with mpl.rc_context({"svg.hashsalt": "sluice", "font.size": 9, "svg.fonttype": "path"}):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots()
        for (concurrency, found), colour in zip(results.items(), COLOURS, strict=True):
            sizes = [each.fleets for each in found]
            name = f"at most {concurrency:,} planners at once"
            axes.plot(
                sizes, [min(each.p99, 60.0) for each in found], color=colour, marker="o", ms=3, label=f"p99, {name}"
            )
            axes.plot(
                sizes, [quantile(each.gaps, 0.5) for each in found], color=colour, ls=":", lw=1.2, label=f"p50, {name}"
            )
        axes.axhline(GOAL_S, color="#555555", lw=0.8, ls="--")
        axes.text(50, GOAL_S + 0.4, "1.5 ticks", color="#555555")
        wall = documents_wall()
        axes.axvline(wall, color="#555555", lw=0.8, ls="--")
        axes.text(wall * 0.97, 1.0, f"documents: {wall:,.0f} fleets", color="#555555", rotation=90, ha="right")
        axes.set_xscale("log")
        axes.set_xticks([each.fleets for each in next(iter(results.values()))])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda fleets, _: f"{fleets:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", labelrotation=45)
        axes.set_ylim(0, None)
        axes.set_xlabel("fleets in one stack")
        axes.set_ylabel("seconds between two ticks of a fleet")
        axes.legend(frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})
