"""A failure group's dead letters by the hour: a small picture, and beside it what it shows in words."""

import htpy

from sluice.model.redriving import FailureGroup
from sluice.widget.text import counted

TREND_HOURS = 24
STEP_PX = 4
HEIGHT_PX = 18


def render_trend(group: FailureGroup, now: float) -> htpy.Node:
    """The last day's dead letters of a group, oldest hour first; nothing where there were none."""
    this_hour = int(now // 3_600)
    counts = dict(group.hours)
    series = [counts.get(this_hour - back, 0) for back in range(TREND_HOURS - 1, -1, -1)]
    most = max(series)
    if not most:
        return None
    bars = [
        htpy.rect(
            x=f"{index * STEP_PX}", y=f"{HEIGHT_PX - height:g}", width=f"{STEP_PX - 1}", height=f"{height:g}"
        )
        for index, count in enumerate(series)
        if count
        for height in [max(1.5, round(HEIGHT_PX * count / most, 1))]
    ]  # fmt: skip
    total = counted(sum(series), "dead letter")
    description = f"{total} in the last {TREND_HOURS} hours: at most {most:,} in one hour, {series[-1]:,} in this hour"
    width = TREND_HOURS * STEP_PX
    return htpy.div(".sl-trend-row")[
        htpy.svg(
            ".sl-trend",
            viewBox=f"0 0 {width} {HEIGHT_PX + 1}",
            width=f"{width}",
            height=f"{HEIGHT_PX + 1}",
            role="img",
            aria_label=description,
        )[
            htpy.title[description],
            htpy.path(".sl-trend-base", d=f"M0 {HEIGHT_PX + 0.5:g}H{width}"),
            bars,
        ],
        htpy.span(".sl-facts", aria_hidden="true")[f"by the hour, {TREND_HOURS} h to now{_most(most)}"],
    ]


def _most(most: int) -> str:
    return f"; highest bar {counted(most, 'dead letter')}"
