"""What could be done by one who knows the trace.

Work that has been started by t must be at least what is due by then, and at most what has come. Of all curves in that
tube the taut string, the shortest one, has the smallest peak and the least up and down. `Clairvoyant` follows it, in
whole instances, launched one boot ahead. `tools.backtest.bound` says what nobody could do better.
"""

from dataclasses import dataclass, field
from math import ceil, inf

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tools.backtest.conditions import MINUTE_S, Conditions
from tools.backtest.simulated_queue import Floats, service_times
from tools.backtest.simulator import Sight, Step
from tools.backtest.traces import Trace, times

STEP_S = 10.0
GUARD_SHARE = 0.1


def taut_string(lower: Floats, upper: Floats) -> Floats:
    """The slopes, step by step, of the shortest curve from (0, 0) to the tube's end.

    Args:
        lower: what the curve must have reached after each step, ascending; its last value is upper's.
        upper: what it may have reached at most.
    """
    steps = len(lower)
    low, high = lower.tolist(), upper.tolist()
    slopes = np.empty(steps)
    at, height = 0, 0.0
    while at < steps:
        most, least, most_at, least_at = inf, -inf, at, at
        bend_at, bend = steps, high[-1]
        for j in range(at, steps):
            span = j + 1 - at
            needs, may = (low[j] - height) / span, (high[j] - height) / span
            if needs > most:
                bend_at, bend = most_at, high[most_at - 1]
                break
            if may < least:
                bend_at, bend = least_at, low[least_at - 1]
                break
            if may <= most:
                most, most_at = may, j + 1
            if needs >= least:
                least, least_at = needs, j + 1
        slopes[at:bend_at] = (bend - height) / (bend_at - at)
        at, height = bend_at, bend
    return slopes


def work_of(trace: Trace, conditions: Conditions) -> Floats:
    """The work that has come by the end of each step, in instances times steps.

    Message by message, as it is simulated; of a fluid by its minutes.
    """
    steps = trace.minutes * round(MINUTE_S / STEP_S)
    if trace.total > conditions.messages_max:
        per_step = round(MINUTE_S / STEP_S)
        each_s = np.repeat(trace.counts / per_step, per_step) * conditions.seconds_per_message
        return np.asarray(np.cumsum(each_s) / STEP_S)
    step = np.minimum((times(trace, conditions.seed) / STEP_S).astype(np.int64), steps - 1)
    each_s = np.bincount(step, weights=service_times(trace.total, conditions), minlength=steps)
    return np.asarray(np.cumsum(each_s) / STEP_S)


def string_of(came: Floats, wait_s: float) -> Floats:
    """Instances over time, step by step, that do all of the work within `wait_s` as evenly as can be."""
    delay = max(0, int(wait_s / STEP_S))
    due = np.concatenate([np.zeros(delay), came])[: len(came)]
    due[-1] = came[-1]
    return taut_string(due, came)


@dataclass(slots=True)
class Clairvoyant:
    """Follows the taut string of the whole trace, launched a boot ahead; dips shorter than a boot are not followed."""

    guard: float = GUARD_SHARE  # of the target wait, kept for what steps and boots leave unknown
    headroom: float = 0.0  # more than the string asks for, as a share
    name: str = field(default="clairvoyant", init=False)
    _sizes: list[int] = field(default_factory=list, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """The whole plan. It looks at the trace."""
        wait_s = conditions.target_wait_s * (1.0 - self.guard)
        sizes = np.ceil(string_of(work_of(trace, conditions), wait_s) * (1.0 + self.headroom) - 1e-6)
        ahead = ceil(conditions.boot_s * (1.0 + 2.0 * conditions.boot_spread) / STEP_S) + 1
        sizes = -_highest(-_highest(sizes, ahead, before=True), ahead, before=False)  # fill short dips
        self._sizes = _highest(sizes, ahead, before=False).astype(int).tolist()
        return self._sizes[0]

    def decide(self, sight: Sight) -> Step:
        """What the plan says; at the end of it, whatever is left is worked off."""
        index = int(sight.now / STEP_S)
        size = self._sizes[min(index, len(self._sizes) - 1)]
        if size == 0 and sight.visible() > 0:
            size = 1
        return Step(size, sight.now + STEP_S)


def _highest(values: Floats, span: int, *, before: bool) -> Floats:
    """The highest value of the `span` steps that end (or begin) at each."""
    padded = np.pad(values, (span - 1, 0) if before else (0, span - 1), mode="edge")
    return np.asarray(sliding_window_view(padded, span).max(axis=1))
