"""Rules that need no history: a fixed fleet, and Little's law with the square root beside it."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil, sqrt

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulator import NEVER, Sight, Step
from sluice_tools.backtest.traces import Trace


@dataclass(slots=True)
class Fixed:
    """A fleet that never changes, sized by the trace: at its busiest minute's load, or at the mean."""

    at: str = "peak"  # or "mean"
    scale: float = 1.0
    name: str = field(default="fixed", init=False)
    _size: int = field(default=0, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """Its size. It looks at the trace."""
        if self.at not in ("peak", "mean"):
            raise ValueError(f"fixed: at: must be peak or mean (got {self.at})")
        per_minute = float(trace.counts.max() if self.at == "peak" else trace.counts.mean())
        self._size = max(1, ceil(self.scale * per_minute * conditions.seconds_per_message / MINUTE_S - 1e-9))
        return self._size

    def decide(self, sight: Sight) -> Step:  # noqa: ARG002 - whatever is seen
        """The same as ever."""
        return Step(self._size, NEVER)


@dataclass(slots=True)
class Little:
    """R + beta sqrt(R) instances for a load of R = arrival rate x seconds per message, plus what works the backlog off.

    The square-root staffing rule: Halfin and Whitt, "Heavy-Traffic Limits for Queues with Many Exponential Servers",
    Operations Research 29 (1981). The backlog Q is worked off in the target wait by Q / (rate x target) more.
    """

    beta: float = 1.0
    window_minutes: int = 5  # over which the arrival rate is taken from the metric
    backlog_share: float = 1.0  # of the target wait within which the backlog is worked off
    down_after_s: float = 300.0  # the largest size of so long is kept
    every_s: float = 10.0
    name: str = field(default="little", init=False)
    _takes_s: float = field(default=1.0, init=False, repr=False)
    _target_s: float = field(default=120.0, init=False, repr=False)
    # Sizes of the time that counts and not exceeded since: (at, size), the largest first.
    _sizes: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False)
    _seen: int = field(default=0, init=False, repr=False)  # minutes whose metrics were known at the last look
    _per_s: float = field(default=0.0, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At zero."""
        self._takes_s, self._target_s = conditions.seconds_per_message, conditions.target_wait_s
        self._sizes, self._seen, self._per_s = deque(), 0, 0.0
        return 0

    def size(self, per_s: float, backlog: float) -> int:
        """The rule itself: arrivals per second and messages waiting -> instances."""
        load = per_s * self._takes_s
        served = self.backlog_share * self._target_s / self._takes_s  # by one instance, within the wait
        return ceil(load + self.beta * sqrt(load) + backlog / served - 1e-9)

    def decide(self, sight: Sight) -> Step:
        """The rule on what is seen now."""
        if len(sight.minutes) != self._seen:
            self._seen = len(sight.minutes)
            recent = sight.minutes[-self.window_minutes :]
            self._per_s = sum(minute.sent for minute in recent) / (len(recent) * MINUTE_S)
        wanted, sizes = self.size(self._per_s, sight.visible()), self._sizes
        while sizes and sizes[-1][1] <= wanted:
            sizes.pop()
        sizes.append((sight.now, wanted))
        while sizes[0][0] <= sight.now - self.down_after_s and len(sizes) > 1:
            sizes.popleft()
        return Step(max(wanted, min(sizes[0][1], sight.desired)), sight.now + self.every_s)
