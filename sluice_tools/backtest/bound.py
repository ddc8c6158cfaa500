"""The least that any policy can cost that starts every message in time: a linear program over the trace.

The instance-hours of a run are those that the simulator bills: from each launch to the end of its instance, boot and
drain included. The program knows the whole trace and what each message takes. It may use parts of an instance, begin
with as many in service as it likes without their boot, and launch and drain at any moment. Whatever a policy can do in
the simulated world it can do as well, so its optimum is a lower bound for every policy without a late message. It asks
nothing of messages whose deadline lies after the trace's end.

What must be done
-----------------
A message that comes at `a` and takes `s` begins at some `x` in [a, a + W], where W is the target wait, and then has an
instance of its own from `x` to `x + s`. Of a stretch of time [t, t + l] it uses at least the lesser of what it uses if
it begins at once and what it uses if it begins at its deadline, since the overlap of two intervals has no valley when
one of them is moved. The sum over all messages is the least work of the stretch (`Demand.least_work`; in scheduling:
energetic reasoning, Baptiste, Le Pape and Nuijten, Constraint-Based Scheduling, 2001). Three constraints follow:

* The work that is done by t lies between what is done if every message begins at its deadline, and what is done if each
  begins at once (`Demand.done_by`, a wait ago and now).
* The instances in service during a stretch do at least its least work.
* At some moment of a stretch so many whole instances are in service as it needs on average: that number rounded up is
  at most those in service at its beginning and those that come within it.

The grid
--------
Time is cut into slots of `step_s`. The program's variables are true means over slots and true counts at their edges:
the mean of the instances in service (n), those in service at an edge (N), launches that came into service so far (Y).
For every schedule, however fine, n of a slot is at most N at its beginning and what comes within it, and at least N at
its end without what comes within it. Work is compared at edges alone, with exact values. A schedule therefore satisfies
the constraints of every grid, and a coarser grid only leaves constraints out. The trace is cut into parts of a day,
each of which begins with as many in service as it likes: that leaves out the constraints between them.

Chance
------
The program takes what the messages of this seed really take. Boots are drawn at launch, so no policy can choose them;
it pays their mean, which is right in expectation (Wald), and in one run off by at most `Bound.boots_by_chance`. For a
fluid the work is the mean: the optimum is convex in what must be done, so the expected cost is above it again (Jensen).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
import numpy.typing as npt

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulated_queue import Floats, service_times
from sluice_tools.backtest.traces import Trace, times

STEP_S = 60.0
PART_S = 86_400.0  # solved at a time
ROUNDS = 3  # of adding constraints that the optimum so far breaks
BROKEN_BY = 1e-4  # instances; what is closer is kept
ROUNDED = 1e-6  # instance-slots that sums may be wrong by
SIGMAS = 5.0  # one sum of boots in three million is further from its mean
STRETCH_S = 600.0  # the longest whose least work is looked at, unless a wait and a message take longer
INFEASIBLE = 2  # https://docs.scipy.org/doc/scipy/reference/optimize.linprog-highs-ds.html: `status`

type Ints = npt.NDArray[np.int64]


class CannotBeInTimeError(ValueError):
    """No policy starts every message within the target wait."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What else limits a world, whatever the number of instances."""

    at_once: float = inf  # instances that can work at the same time, as with few message groups
    per_s: float = inf  # messages a second that all of them together complete, as with a slow downstream


@dataclass(frozen=True, slots=True)
class Bound:
    """The least cost of a trace in a world."""

    hours: float  # instance-hours
    in_service: Floats  # the mean number of instances, slot by slot
    step_s: float
    conditions: Conditions

    def boots_by_chance(self, launches: int) -> float:
        """Instance-hours by which the boots of so many launches may be shorter than their mean, by chance alone."""
        conditions = self.conditions
        return SIGMAS * conditions.boot_spread * conditions.boot_s * sqrt(launches) / 3600.0


@dataclass(frozen=True, slots=True)
class Demand:
    """Messages as work. Times in seconds, work in instance-seconds."""

    came_at: Floats
    takes_s: Floats
    wait_s: float  # each begins within
    end_s: float

    def part(self, begin_s: float, end_s: float) -> "Demand":
        """What may be worked on in a part of the time, which is counted from its beginning."""
        some = (self.came_at + self.wait_s + self.takes_s > begin_s) & (self.came_at < end_s)
        return Demand(self.came_at[some] - begin_s, self.takes_s[some], self.wait_s, end_s - begin_s)

    def done_by(self, at: Floats) -> Floats:
        """Work done by each moment if every message began when it came. With deadlines it is this, a wait later."""
        return _ramps(self.came_at, at) - _ramps(self.came_at + self.takes_s, at)

    def least_work(self, at: Floats, length_s: float) -> Floats:
        """The least work in each [at, at + length_s].

        As `at` moves, a message's part rises from the moment at which the stretch reaches its latest beginning, and
        falls to the moment at which it leaves its earliest end, one second a second, between them at most what fits.
        """
        begin, end = self.came_at + self.wait_s - length_s, self.came_at + self.takes_s
        height = np.minimum(np.minimum(self.takes_s, length_s), (end - begin) / 2.0)
        some = height > 0.0
        begin, end, height = begin[some], end[some], height[some]
        rises = _ramps(begin, at) - _ramps(begin + height, at)
        work: Floats = np.maximum(0.0, rises - _ramps(end - height, at) + _ramps(end, at))
        return work

    def lengths_s(self, step_s: float) -> Iterator[float]:
        """Lengths of stretches that are looked at: from the first of which some message uses something."""
        longest_s = float(self.takes_s.max(initial=0.0))
        steps = max(1, int((self.wait_s - longest_s) / step_s) + 1)
        while steps * step_s <= min(self.end_s, max(STRETCH_S, self.wait_s + longest_s)):
            yield steps * step_s
            steps += 1


@dataclass(frozen=True, slots=True)
class FluidDemand:
    """Work that comes evenly within each minute, in messages too short to tell their beginning from their end."""

    per_minute: Floats
    wait_s: float
    end_s: float
    begin_s: float = 0.0  # since the first minute began

    def part(self, begin_s: float, end_s: float) -> "FluidDemand":
        """What may be worked on in a part of the time, which is counted from its beginning."""
        return FluidDemand(self.per_minute, self.wait_s, end_s - begin_s, self.begin_s + begin_s)

    def done_by(self, at: Floats) -> Floats:
        """Work that has come by each moment, of what may be worked on in this part."""
        came = np.concatenate([[0.0], np.cumsum(self.per_minute)])
        minutes = np.arange(len(came)) * MINUTE_S
        before = np.interp(self.begin_s - self.wait_s, minutes, came)
        by: Floats = np.interp(at + self.begin_s, minutes, came) - before
        return by

    def least_work(self, at: Floats, length_s: float) -> Floats:  # noqa: ARG002 - of any stretch
        """None that the work done by its edges does not tell."""
        return np.zeros(len(at))

    def lengths_s(self, step_s: float) -> Iterator[float]:  # noqa: ARG002 - of any grid
        """None, for that reason."""
        return iter(())


def _ramps(moments: Floats, at: Floats) -> Floats:
    """The sum, at each time, of functions that are 0 up to a moment of their own and then rise by one a second."""
    moments = np.sort(moments)
    begun = np.searchsorted(moments, at)
    return np.asarray(at * begun - np.concatenate([[0.0], np.cumsum(moments)])[begun])


def demand_of(trace: Trace, conditions: Conditions) -> Demand | FluidDemand:
    """The demand of a trace, as it is simulated."""
    wait_s, end_s = conditions.target_wait_s, trace.minutes * MINUTE_S
    if trace.total > conditions.messages_max:
        return FluidDemand(trace.counts.astype(np.float64) * conditions.seconds_per_message, wait_s, end_s)
    return Demand(times(trace, conditions.seed), service_times(trace.total, conditions), wait_s, end_s)


def bound_of(trace: Trace, conditions: Conditions) -> Bound:
    """The least cost of a trace in a world.

    Raises:
        CannotBeInTimeError: no policy starts every message in time, since the world's largest size is too small.
    """
    return least(demand_of(trace, conditions), conditions)


def least(
    demand: Demand | FluidDemand, conditions: Conditions, caps: Caps | None = None, step_s: float = STEP_S
) -> Bound:
    """The least cost of a demand.

    Args:
        demand: what must be done.
        conditions: what launches, drains and the shortest bill cost, and the largest size.
        caps: what else limits the world.
        step_s: the length of a slot, in seconds.

    Raises:
        CannotBeInTimeError: no policy starts every message in time.
    """
    hours, in_service = 0.0, []
    for begin_s in np.arange(0.0, demand.end_s, PART_S).tolist():
        part = demand.part(begin_s, min(demand.end_s, begin_s + PART_S))
        cost_s, means = _Program(part, conditions, caps or Caps(), step_s).solve()
        hours += cost_s / 3600.0
        in_service.append(means)
    return Bound(hours, np.concatenate(in_service), step_s, conditions)


def launch_cost_s(conditions: Conditions) -> float:
    """Instance-seconds that one costs before it comes into service: its boot, and those of launches that failed."""
    failed = conditions.launch_failure / (1.0 - conditions.launch_failure)
    return conditions.boot_s + failed * max(conditions.boot_s, conditions.minimum_billing_s)


class _Program:
    """The linear program of one part, in slots and instances.

    Variables at each edge k = 0..K: C[k], the instance-slots in service so far; P[k], those that worked; N[k], the
    instances in service; Y[k], launches that came into service so far.
    """

    def __init__(self, demand: Demand | FluidDemand, conditions: Conditions, caps: Caps, step_s: float) -> None:
        self._demand = demand
        self._conditions = conditions
        self._step_s = step_s
        self._slots = ceil(demand.end_s / step_s)
        self._edges: Floats = np.arange(self._slots + 1, dtype=np.float64) * step_s
        self._rows: list[tuple[list[tuple[Ints, float]], Floats]] = []
        edge = np.arange(self._slots + 1)
        self._c, self._p, self._n, self._y = (edge + part * len(edge) for part in range(4))
        self._bounds = self._work_bounds()
        self._balance()
        self._minimum_billing()
        at_once = min(caps.at_once, caps.per_s * conditions.seconds_per_message)
        if at_once < inf:
            self._at_most([(self._p[1:], 1.0), (self._p[:-1], -1.0)], at_once)
        self._at_most([(self._c[1:], 1.0), (self._c[:-1], -1.0)], float(conditions.max_size))

    def solve(self) -> tuple[float, Floats]:
        """The least cost in instance-seconds, and the mean number of instances of each slot.

        Of the many stretches, those constrain it that the optimum without them would break.
        """
        cost, values = self._optimum()
        needs = [
            (round(length / self._step_s), *self._needs(length)) for length in self._demand.lengths_s(self._step_s)
        ]
        for _ in range(ROUNDS):
            if not sum([self._add_broken(values, length, mean, whole) for length, mean, whole in needs]):
                break
            cost, values = self._optimum()
        return cost * self._step_s, np.diff(values[self._c])

    def _at_most(self, terms: list[tuple[Ints, float]], limit: Floats | float) -> None:
        """For each place: the sum of variables, each with its factor, is at most the limit."""
        self._rows.append((terms, np.broadcast_to(np.asarray(limit, dtype=np.float64), terms[0][0].shape)))

    def _balance(self) -> None:
        c, p, n, y = self._c, self._p, self._n, self._y
        less_mean = [(c[1:], -1.0), (c[:-1], 1.0)]
        less_came = [(y[1:], -1.0), (y[:-1], 1.0)]
        self._at_most(less_came, 0.0)
        self._at_most([(p[1:], 1.0), (p[:-1], -1.0), *less_mean], 0.0)  # work is done by those in service
        self._at_most([(c[1:], 1.0), (c[:-1], -1.0), (n[:-1], -1.0), *less_came], 0.0)
        self._at_most([(n[1:], 1.0), *less_came, *less_mean], 0.0)
        self._at_most([(n[1:], 1.0), (n[:-1], -1.0), *less_came], 0.0)  # nothing comes but by launches

    def _minimum_billing(self) -> None:
        """What has come is paid for until the shortest bill; so many whole slots of that follow the one it came in."""
        conditions = self._conditions
        paid_s = conditions.minimum_billing_s - conditions.boot_s - conditions.drain_s
        whole = int(paid_s / self._step_s) - 1
        if whole >= 1:
            c, y, slot = self._c, self._y, np.arange(self._slots)
            first = np.maximum(slot - whole, 0)
            self._at_most([(y[slot], 1.0), (y[first], -1.0), (c[1:], -1.0), (c[:-1], 1.0)], 0.0)

    def _work_bounds(self) -> Floats:
        """The lower and upper bound of each variable."""
        lower, upper = np.zeros(4 * len(self._edges)), np.full(4 * len(self._edges), inf)
        upper[self._p] = self._demand.done_by(self._edges) / self._step_s
        due = self._demand.done_by(self._edges - self._demand.wait_s) / self._step_s
        lower[self._p] = np.minimum(due - ROUNDED, upper[self._p])
        upper[[self._c[0], self._y[0]]] = 0.0
        return np.column_stack([lower, upper])

    def _needs(self, length_s: float) -> tuple[Floats, Floats]:
        """The instances that each stretch of that length needs on average, and at some moment."""
        mean = self._demand.least_work(self._edges[self._edges <= self._edges[-1] - length_s], length_s) / length_s
        return mean, np.ceil(mean - ROUNDED)

    def _add_broken(self, values: Floats, length: int, mean: Floats, whole: Floats) -> int:
        """Have those stretches of so many slots constrain the optimum that it breaks; how many do."""
        c, n, y = values[self._c], values[self._n], values[self._y]
        at = np.flatnonzero((c[length:] - c[:-length]) / length < mean - BROKEN_BY)
        if len(at):
            self._at_most([(self._c[at], 1.0), (self._c[at + length], -1.0)], -mean[at] * length)
        of = np.flatnonzero(n[:-length] + y[length:] - y[:-length] < whole - BROKEN_BY)
        if len(of):
            self._at_most([(self._n[of], -1.0), (self._y[of], 1.0), (self._y[of + length], -1.0)], -whole[of])
        return len(at) + len(of)

    def _optimum(self) -> tuple[float, Floats]:
        """Solve the program as it is: the cost in instance-slots, and every variable.

        The dual simplex: HiGHS's interior point takes some of these programs for infeasible.
        """
        # Here, since it takes as long to import as all else of a backtest, in each process, and most ask for no bound.
        from scipy.optimize import linprog  # noqa: PLC0415
        from scipy.sparse import coo_array  # noqa: PLC0415

        sizes = [len(limit) for _, limit in self._rows]
        firsts = np.cumsum([0, *sizes])
        row, column, factor = [], [], []
        for first, (terms, limit) in zip(firsts.tolist(), self._rows, strict=False):
            for variable, value in terms:
                row.append(np.arange(first, first + len(limit)))
                column.append(variable)
                factor.append(np.full(len(limit), value))
        places = np.concatenate(row), np.concatenate(column)
        matrix = coo_array((np.concatenate(factor), places), shape=(int(firsts[-1]), len(self._bounds))).tocsr()
        cost, drain = np.zeros(len(self._bounds)), self._conditions.drain_s / self._step_s
        cost[self._c[-1]] = 1.0
        cost[self._y[-1]] = launch_cost_s(self._conditions) / self._step_s + drain
        cost[self._n[0]], cost[self._n[-1]] = drain, -drain  # what has come and is no more there was drained
        limits = np.concatenate([limit for _, limit in self._rows])
        found = linprog(cost, A_ub=matrix, b_ub=limits, bounds=self._bounds, method="highs-ds")
        if found.status == INFEASIBLE:
            raise CannotBeInTimeError("no policy starts every message within the target wait")
        if found.status != 0:
            raise RuntimeError(f"HiGHS found no optimum: {found.message}")
        return float(found.fun), np.asarray(found.x)
