"""What can be done by one who knows the trace: the bound's program, rounded to whole instances.

`sluice_tools.backtest.bound` gives the mean number of instances of each slot, whole or not. Of the whole numbers near
it, in steps of `STEP_S`, a dynamic program chooses those that cost least: a state is the instances in service and how
far work is between what is due and what has come, and a choice is the instances of the next step. It pays for time in
service, and for the boot and drain of each launch. Work that is not done when it is due costs `LATE_COST`. The policy
launches each a boot ahead. What comes of it in the simulator is what one who knows everything can do at most; what the
bound says, what nobody can do better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from sluice_tools.backtest.bound import Bound, Demand, FluidDemand, bound_of, demand_of, launch_cost_s
from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulated_queue import Floats
from sluice_tools.backtest.simulator import Sight, Step, simulate
from sluice_tools.backtest.traces import Trace

STEP_S = 30.0
LEVELS = 10  # numbers of instances that are considered at a time
SHARES = 17  # of the way from what is due to what has come
ONE_BY_ONE = 4  # times that a plan is mended by single instances, before more are added where it is still late
MORE_MOST = 0.5  # of those in service, that are added at a time then
LATE_COST = 100.0  # of a step of work that is not done in time, in steps of an instance


@dataclass(slots=True)
class Clairvoyant:
    """Follows the bound's program in whole instances, each launched a boot ahead."""

    guard: float = 0.1  # of the target wait, kept for what steps and chance leave unknown
    mends: int = 10  # times that it may run the plan and add an instance where messages are late
    name: str = field(default="clairvoyant", init=False)
    _sizes: list[int] = field(default_factory=list, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """The whole plan. It looks at the trace."""
        wait_s = conditions.target_wait_s
        bound = bound_of(trace, conditions)
        sizes = whole_sizes(demand_of(trace, conditions), bound, conditions, wait_s * (1.0 - self.guard))
        for times in range(self.mends):
            run = simulate(trace, _Planned(launched_ahead(sizes, conditions.boot_s)), conditions)
            if not run.late_fraction:
                break
            sizes = _mended(sizes, run.timeline.wait_s, wait_s, 0.0 if times < ONE_BY_ONE else MORE_MOST)
        self._sizes = launched_ahead(sizes, conditions.boot_s)
        return self._sizes[0]

    def decide(self, sight: Sight) -> Step:
        """What the plan says."""
        return _Planned(self._sizes).decide(sight)


def _mended(sizes: Floats, waited_s: Floats, wait_s: float, share: float) -> Floats:
    """One instance more where messages that came in a minute waited too long.

    Up to a share of those there, in proportion to how much too long, where that is more than one.
    """
    more = np.zeros(len(sizes))
    for minute in np.flatnonzero(waited_s > wait_s).tolist():
        begin = int(minute * MINUTE_S / STEP_S)
        until = slice(begin, begin + ceil((MINUTE_S + wait_s) / STEP_S))
        missing = max(1.0, np.ceil(sizes[until].max(initial=0.0) * min(share, waited_s[minute] / wait_s - 1.0)))
        more[until] = np.maximum(more[until], missing)
    return sizes + more


@dataclass(slots=True)
class _Planned:
    """So many instances in each step; at the end of them, whatever is left is worked off."""

    sizes: list[int]
    name: str = field(default="planned", init=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - it is planned already
        """The first step's."""
        return self.sizes[0]

    def decide(self, sight: Sight) -> Step:
        """This step's."""
        index = int(sight.now / STEP_S)
        size = self.sizes[min(index, len(self.sizes) - 1)]
        if size == 0 and sight.visible() > 0:
            size = 1
        return Step(size, (index + 1) * STEP_S)


def launched_ahead(in_service: Floats, boot_s: float) -> list[int]:
    """The desired capacity of each step, so that so many are in service."""
    ahead = ceil(boot_s / STEP_S)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(in_service, (0, ahead), mode="edge"), ahead + 1)
    sizes: list[int] = windows.max(axis=1).astype(int).tolist()
    return sizes


def whole_sizes(demand: Demand | FluidDemand, bound: Bound, conditions: Conditions, wait_s: float) -> Floats:
    """Instances in service in each step: whole numbers near the bound's means that do the work in time, cheaply.

    Args:
        demand: what must be done.
        bound: its optimum.
        conditions: what launches and drains cost.
        wait_s: within which messages begin.
    """
    steps = ceil(demand.end_s / STEP_S)
    edges = np.arange(steps + 1, dtype=np.float64) * STEP_S
    came = demand.done_by(edges) / STEP_S
    due = np.minimum(demand.done_by(edges - wait_s) / STEP_S, came)
    least = demand.least_work(edges[:-1], STEP_S) / STEP_S
    levels = levels_near(np.repeat(bound.in_service, max(1, round(bound.step_s / STEP_S)))[:steps])
    return _Rounding(came, due, least, levels, conditions).sizes()


def levels_near(means: Floats) -> Floats:
    """Whole numbers for each step: from a little below to a little above its mean and its neighbours'."""
    padded = np.pad(means, 2, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 5)
    low = np.maximum(0.0, np.floor(around.min(axis=1)) - 1.0)
    high = np.maximum(low + LEVELS - 1.0, np.ceil(around.max(axis=1)) + 2.0)
    return np.asarray(np.rint(np.linspace(low, high, LEVELS, axis=1)))


class _Rounding:
    """The dynamic program, in steps and instances."""

    def __init__(self, came: Floats, due: Floats, least: Floats, levels: Floats, conditions: Conditions) -> None:
        self._came, self._due, self._least, self._levels = came, due, least, levels
        self._launch = launch_cost_s(conditions) / STEP_S
        self._drain = conditions.drain_s / STEP_S
        self._shares = np.linspace(0.0, 1.0, SHARES)

    def sizes(self) -> Floats:
        """The cheapest way through."""
        steps = len(self._levels)
        after = np.zeros((steps + 1, LEVELS, SHARES), dtype=np.float32)  # the cost from each step on
        for step in range(steps - 1, 0, -1):
            cost = self._cost(step, self._shares, after[step + 1])
            after[step] = (self._changes(step)[:, :, None] + cost[None, :, :]).min(axis=1)
        chosen, share, sizes = -1, 0.0, np.empty(steps)
        for step in range(steps):
            cost = self._cost(step, np.array([share]), after[step + 1])[:, 0]
            chosen = int(np.argmin(cost if step == 0 else cost + self._changes(step)[chosen]))
            sizes[step] = self._levels[step, chosen]
            share = float(self._moved(step, np.array([share]))[0][chosen, 0])
        return sizes

    def _changes(self, step: int) -> Floats:
        """What it costs to come from each number of the step before to each of this one."""
        more = self._levels[step][None, :] - self._levels[step - 1][:, None]
        return np.asarray(np.where(more > 0.0, more * self._launch, -more * self._drain))

    def _moved(self, step: int, shares: Floats) -> tuple[Floats, Floats]:
        """For each number of instances and share at the step's beginning: the share at its end, and the late work."""
        due, came = self._due[step], self._came[step]
        begun = due + shares[None, :] * (came - due)
        done = np.minimum(self._came[step + 1], begun + self._levels[step][:, None])
        due, came = self._due[step + 1], self._came[step + 1]
        late = np.maximum(0.0, due - done)
        return np.clip((done - due) / max(came - due, 1e-9), 0.0, 1.0), late

    def _cost(self, step: int, shares: Floats, after: Sequence[Floats] | Floats) -> Floats:
        """What each number of instances costs from each share on: its time, what is late, and what follows."""
        levels = self._levels[step][:, None]
        share, late = self._moved(step, shares)
        place = share * (SHARES - 1)
        below = np.minimum(place.astype(np.int64), SHARES - 2)
        rows = np.arange(LEVELS)[:, None]
        table = np.asarray(after)
        follows = table[rows, below] + (place - below) * (table[rows, below + 1] - table[rows, below])
        short = late + np.maximum(0.0, self._least[step] - levels)
        return np.asarray(levels + LATE_COST * short + follows)
