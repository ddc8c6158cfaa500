"""A FIFO queue and the instances that work on it: message by message, or as a fluid where there are too many.

Both take instances in and out at any moment, go on to any moment, and tell afterwards how long each message waited.

MessageQueue  whole messages, each with a service time of its own; the oldest goes to the first instance that is free.
FluidQueue    arrivals and starts as curves over time, straight between events; a wait is the horizontal distance
              between them, so waits are exact for the fluid. Service times of short messages vary as their sums do.
"""

from bisect import bisect_right
from dataclasses import dataclass
from heapq import heapify, heappush, heapreplace
from math import inf, sqrt
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tools.backtest.conditions import MINUTE_S, Conditions
from tools.backtest.traces import Trace, times

type Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Waits:
    """How long messages waited: `seconds[i]` was waited by `messages[i]`, which came at `came_at[i]`."""

    came_at: Floats
    seconds: Floats
    messages: Floats


class Work(Protocol):
    """A queue with its consumers. Moments never go back."""

    total: int

    def add(self, server: int, at: float) -> None:
        """An instance begins to take messages."""

    def remove(self, server: int, at: float) -> float:
        """An instance takes no more; when it is done with what it has in hand."""

    def advance(self, until: float) -> None:
        """Let everything up to that moment happen."""

    def visible(self) -> float:
        """Messages that wait now."""

    def in_flight(self) -> float:
        """Messages being worked on now."""

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over."""

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now."""


def queue_for(trace: Trace, conditions: Conditions) -> Work:
    """The queue for a trace: message by message as far as that is affordable."""
    if trace.total > conditions.messages_max:
        return FluidQueue(trace, conditions)
    return MessageQueue(trace, conditions)


class MessageQueue:
    """Whole messages."""

    def __init__(self, trace: Trace, conditions: Conditions) -> None:
        came_at = times(trace, conditions.seed)
        self.total = len(came_at)
        self._came_at: list[float] = came_at.tolist()
        self._takes_s: list[float] = service_times(self.total, conditions).tolist()
        self._sent: list[int] = trace.counts.tolist()
        self._deleted = [0] * (trace.minutes + 1)
        self._free: list[tuple[float, int]] = []  # a heap: (free from, instance)
        self._holds: dict[int, float] = {}  # when the message came that an instance has, or had last
        self._leaving: list[tuple[float, float]] = []  # (done at, when its message came)
        self._head = 0  # the oldest message that waits
        self._arrived = 0
        self._now = 0.0
        self._waited: list[float] = []

    def add(self, server: int, at: float) -> None:
        """An instance begins to take messages."""
        self.advance(at)
        heappush(self._free, (at, server))
        self._holds[server] = at
        self.advance(at)

    def remove(self, server: int, at: float) -> float:
        """An instance takes no more; when it is done with what it has in hand."""
        self.advance(at)
        place = next(index for index, entry in enumerate(self._free) if entry[1] == server)
        free_at = self._free[place][0]
        self._free[place] = self._free[-1]
        self._free.pop()
        heapify(self._free)
        came_at = self._holds.pop(server)
        if free_at <= at:
            return at
        self._leaving.append((free_at, came_at))
        return free_at

    def advance(self, until: float) -> None:
        """Start messages, oldest first, on whichever instance is free first."""
        came_at, takes_s, free, holds = self._came_at, self._takes_s, self._free, self._holds
        waited, deleted, last = self._waited, self._deleted, len(self._deleted) - 1
        arrived = bisect_right(came_at, until, self._arrived)
        head = self._head
        if free:
            while head < arrived:
                free_at, server = free[0]
                came = came_at[head]
                start = came if came > free_at else free_at  # noqa: FURB136 - max() takes thrice as long, a million times
                if start > until:
                    break
                end = start + takes_s[head]
                heapreplace(free, (end, server))
                holds[server] = came
                waited.append(start - came)
                minute = int(end / MINUTE_S)
                deleted[minute if minute < last else last] += 1  # noqa: FURB136 - as above
                head += 1
        self._head, self._arrived, self._now = head, arrived, until

    def visible(self) -> float:
        """Messages that wait now."""
        return float(self._arrived - self._head)

    def in_flight(self) -> float:
        """Messages being worked on now."""
        now = self._now
        if self._leaving:
            self._leaving = [entry for entry in self._leaving if entry[0] > now]
        busy = sum([free_at > now for free_at, _ in self._free])
        return float(busy + len(self._leaving))

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""
        return float(self._sent[minute])

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over."""
        return float(self._deleted[minute])

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""
        now = self._now
        oldest = self._came_at[self._head] if self._head < self._arrived else now
        for free_at, server in self._free:
            if free_at > now:
                oldest = min(oldest, self._holds[server])
        for done_at, came_at in self._leaving:
            if done_at > now:
                oldest = min(oldest, came_at)
        return now - oldest

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now."""
        came_at = np.array(self._came_at[: self._arrived])
        waiting = self._now - came_at[self._head :]
        return Waits(came_at, np.concatenate([np.array(self._waited), waiting]), np.ones(len(came_at)))


class FluidQueue:
    """Messages as a fluid."""

    def __init__(self, trace: Trace, conditions: Conditions) -> None:
        self.total = trace.total
        self._counts: list[float] = trace.counts.astype(float).tolist()
        self._takes_s = conditions.seconds_per_message
        self._cv = conditions.service_cv
        self._random = Random(conditions.seed)  # noqa: S311 - a simulation
        self._servers = 0
        self._leaving: list[float] = []
        self._now = 0.0
        self._sent_count = 0.0
        self._started = 0.0
        self._rate = 0.0  # messages started per second of late
        self._minutes = [0.0] * (len(self._counts) + 1)
        self._knots: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]  # (time, arrived, started)

    def add(self, server: int, at: float) -> None:  # noqa: ARG002 - instances of a fluid are alike
        """An instance begins to take messages."""
        self.advance(at)
        self._servers += 1

    def remove(self, server: int, at: float) -> float:  # noqa: ARG002 - instances of a fluid are alike
        """An instance takes no more; when it is done with what it has in hand."""
        self.advance(at)
        self._servers -= 1
        done_at = at + self._takes_s if self._started < self._sent_count else at
        self._leaving.append(done_at)
        return done_at

    def advance(self, until: float) -> None:
        """Go on, minute by minute, with capacity as it is."""
        while self._now < until:
            minute = int(self._now / MINUTE_S)
            end = min(until, (minute + 1) * MINUTE_S)
            if end <= self._now:  # rounding at a minute's edge
                minute, end = minute + 1, until
            count = self._counts[minute] if minute < len(self._counts) else 0.0
            self._run(end, count / MINUTE_S, min(minute, len(self._counts)))

    def _run(self, end: float, came_per_s: float, minute: int) -> None:
        """One stretch with constant arrivals and capacity."""
        seconds = end - self._now
        able_per_s = self._servers / self._takes_s
        if able_per_s > 0.0 and self._cv > 0.0:
            spread = self._cv / sqrt(able_per_s * seconds)
            able_per_s *= max(0.0, 1.0 + spread * self._random.gauss(0.0, 1.0))
        waiting = self._sent_count - self._started
        emptied_s = inf
        if able_per_s > came_per_s:
            emptied_s = waiting / (able_per_s - came_per_s)
        if emptied_s < seconds:
            if emptied_s > 0.0:
                self._step(self._now + emptied_s, came_per_s, able_per_s, minute)
            self._step(end, came_per_s, came_per_s, minute)
            self._started = self._sent_count
        else:
            self._step(end, came_per_s, able_per_s, minute)

    def _step(self, end: float, came_per_s: float, started_per_s: float, minute: int) -> None:
        seconds = end - self._now
        self._now = end
        self._sent_count += came_per_s * seconds
        self._started = min(self._sent_count, self._started + started_per_s * seconds)
        self._rate = started_per_s
        self._minutes[minute] += started_per_s * seconds
        self._knots.append((end, self._sent_count, self._started))

    def visible(self) -> float:
        """Messages that wait now."""
        return max(0.0, self._sent_count - self._started)

    def in_flight(self) -> float:
        """Messages being worked on now: all that instances can hold while some wait, else by Little's law."""
        if self._leaving:
            self._leaving = [done_at for done_at in self._leaving if done_at > self._now]
        if self._started < self._sent_count:
            return float(self._servers + len(self._leaving))
        return min(float(self._servers), self._rate * self._takes_s) + len(self._leaving)

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""
        return self._counts[minute]

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over; they take far less than one."""
        return float(round(self._minutes[minute]))

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""
        if self.visible() < 1.0:
            return 0.0
        index = bisect_right(self._knots, self._started, key=lambda knot: knot[1])
        before, after = self._knots[index - 1], self._knots[min(index, len(self._knots) - 1)]
        came = after[1] - before[1]
        share = (self._started - before[1]) / came if came > 0.0 else 0.0
        return self._now - (before[0] + share * (after[0] - before[0]))

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now.

        Between knots of either curve a wait is a straight line over the messages: its middle stands for the piece.
        """
        at, arrived, started = np.array(self._knots).T
        edges = np.unique(np.concatenate([arrived, started]))
        messages = np.diff(edges)
        kept = messages > 1e-6
        middles = ((edges[1:] + edges[:-1]) / 2)[kept]
        came_at = np.interp(middles, arrived, at)
        started_at = np.where(middles < started[-1], np.interp(middles, started, at), self._now)
        return Waits(came_at, np.maximum(0.0, started_at - came_at), messages[kept])


def service_times(count: int, conditions: Conditions) -> Floats:
    """Seconds that each message takes: gamma distributed with the conditions' mean and spread."""
    mean, cv = conditions.seconds_per_message, conditions.service_cv
    if cv == 0.0:
        return np.full(count, mean)
    shape = cv**-2.0
    return np.random.default_rng([conditions.seed, 2]).gamma(shape, mean / shape, count)
