"""The chart's legend: each line, area and mark that it draws, in words. A mark that does not occur is left out."""

from collections.abc import Sequence

import htpy

from sluice.model.decisions import Action, OutcomeStatus
from sluice.widget.chart.samples import Sample

_SWATCH_PX = 16
_MIDDLE_PX = 6


def render_legend(samples: Sequence[Sample], target_wait_s: float) -> htpy.Node:
    """The legend of the samples that are drawn, with their target wait in seconds."""
    statuses = {(sample.action, sample.status) for sample in samples if sample.action is not Action.HOLD}
    applied = {action for action, status in statuses if status is OutcomeStatus.APPLIED}
    entries = [
        (_line("sl-capacity"), "desired capacity"),
        (_area("sl-capacity-fill"), "in service"),
        (_line("sl-need"), "capacity needed"),
        (_line("sl-target"), "target wait"),
    ]
    if any((sample.oldest_wait_s or 0.0) > target_wait_s for sample in samples):
        entries.append((_area("sl-late"), "late"))
    if Action.SCALE_OUT in applied:
        entries.append((_mark("sl-mark", "M4.5 9h7l-3.5 -5z"), "scaled out"))
    if Action.SCALE_IN in applied:
        entries.append((_mark("sl-mark", "M4.5 4h7l-3.5 5z"), "scaled in"))
    if any(status is OutcomeStatus.SHADOW for _, status in statuses):
        entries.append((_mark("sl-mark-shadow", "M4.5 9h7l-3.5 -5z"), "decided in shadow mode, not applied"))
    if any(status is OutcomeStatus.FAILED for _, status in statuses):
        entries.append((_mark("sl-mark-failed", "M5 3l6 6m0 -6l-6 6"), "a change that failed"))
    return htpy.ul(".sl-legend", aria_label="Legend of the chart")[
        [htpy.li[_swatch(drawn), htpy.span[words]] for drawn, words in entries]
    ]


def _swatch(drawn: htpy.Node) -> htpy.Node:
    size = {"viewBox": f"0 0 {_SWATCH_PX} 12", "width": f"{_SWATCH_PX}", "height": "12"}
    return htpy.svg(".sl-chart.sl-swatch", size, aria_hidden="true")[drawn]


def _line(class_: str) -> htpy.Node:
    return htpy.path(f".{class_}", d=f"M0 {_MIDDLE_PX}H{_SWATCH_PX}")


def _area(class_: str) -> htpy.Node:
    return htpy.path(f".{class_}", d=f"M0 1H{_SWATCH_PX}V11H0Z")


def _mark(class_: str, shape: str) -> htpy.Node:
    return htpy.path(f".{class_}", d=shape)
