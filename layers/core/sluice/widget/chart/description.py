"""The chart in words, for those who do not see it."""

from collections.abc import Callable, Sequence

from sluice.model.decisions import Action
from sluice.widget.chart.samples import Sample
from sluice.widget.text import UNKNOWN, counted, duration, number
from sluice.widget.view import Period
from sluice.wording import exactly


def describe(samples: Sequence[Sample], target_wait_s: float, period: Period) -> str:
    """The range of capacity, the largest backlog and the longest wait, each with its time; and the changes.

    Args:
        samples: ascending by time.
        target_wait_s: seconds.
        period: for the times.
    """
    if not samples:
        return "No decision in this time range."
    capacities = [entry.capacity for entry in samples]
    backlog = max(samples, key=lambda entry: entry.backlog or 0.0)
    oldest = max(samples, key=lambda entry: entry.oldest_wait_s or 0.0)
    changes = sum(1 for entry in samples if entry.action is not Action.HOLD)
    return (
        f"From {period.second(samples[0].at)} to {period.second(samples[-1].at)} {period.clock.zone}: "
        f"capacity between {min(capacities)} and {max(capacities)}, last {capacities[-1]}; "
        f"backlog at most {_value_at(backlog.backlog, backlog.at, number, period)}, "
        f"last {number(samples[-1].backlog)}; "
        f"oldest message at most {_value_at(oldest.oldest_wait_s, oldest.at, duration, period)} "
        f"against a target wait of {exactly(target_wait_s)}; "
        f"{counted(changes, 'decision')} to scale out or in."
    )


def _value_at(value: float | None, at: float, form: Callable[[float | None], str], period: Period) -> str:
    return UNKNOWN if value is None else f"{form(value)} at {period.second(at)}"
