"""A FIFO queue and the instances that work on it: message by message, or as a fluid where there are too many.

Both take instances in and out at any moment, go on to any moment, and tell afterwards how long each message waited.

MessageQueue  whole messages, each with a service time of its own; the oldest goes to the first instance that is free.
FluidQueue    arrivals and starts as curves over time, straight between events; a wait is the horizontal distance
              between them, so waits are exact for the fluid. Service times of short messages vary as their sums do.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappush, heapreplace
from itertools import accumulate
from math import inf, sqrt
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.random_draws import normal_draws
from sluice_tools.backtest.traces import Trace, times

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

    def remove(self, servers: Sequence[int], at: float) -> list[float]:
        """Instances take no more; when each is done with what it has in hand."""

    def advance(self, until: float) -> None:
        """Let everything up to that moment happen."""

    def visible(self) -> float:
        """Messages that wait now."""

    def in_flight(self) -> float:
        """Messages being worked on now."""

    def delayed(self) -> float:
        """Messages that cannot be received yet."""

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""

    def received_in(self, minute: int) -> float | None:
        """Messages received in a minute that is over, each as often as it was; None where that is not simulated."""

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


@dataclass(frozen=True, slots=True)
class Messages:
    """When each message comes and what it takes: the same whatever the policy."""

    times: Floats
    came_at: list[float]  # the same, since lists are faster to look into
    takes_s: list[float]
    come_by: list[int]  # how many have come by each minute's end


@lru_cache(maxsize=1)  # runs of one trace follow one another; a million messages take 80 MB
def _messages(counts: bytes, seconds_per_message: float, service_cv: float, seed: int) -> Messages:
    trace = Trace("", np.frombuffer(counts, dtype=np.int64))
    conditions = Conditions(seconds_per_message=seconds_per_message, service_cv=service_cv, seed=seed)
    came_at = times(trace, seed)
    come_by = list(accumulate(trace.counts.tolist()))
    return Messages(came_at, came_at.tolist(), service_times(len(came_at), conditions).tolist(), come_by)


class MessageQueue:
    """Whole messages."""

    def __init__(self, trace: Trace, conditions: Conditions) -> None:
        self.messages = messages = _messages(
            trace.counts.tobytes(), conditions.seconds_per_message, conditions.service_cv, conditions.seed
        )
        self.total = len(messages.takes_s)
        self._deleted_by: list[int] = []  # how many have been completed by each minute's end
        self._minute_end_s = MINUTE_S
        self._come_by = messages.come_by[0]  # by the end of the minute that runs
        # A heap: (free from, instance, when the message came that it has or had last).
        self._free: list[tuple[float, int, float]] = []
        self._leaving: list[tuple[float, float]] = []  # (done at, when its message came)
        self._head = 0  # the oldest message that waits
        self._arrived = 0
        self._now = 0.0
        self.waited: list[float] = []

    def add(self, server: int, at: float) -> None:
        """An instance begins to take messages."""
        if at > self._now:
            self.advance(at)
        heappush(self._free, (at, server, at))
        if self._head < self._arrived:
            self.advance(at)

    def remove(self, servers: Sequence[int], at: float) -> list[float]:
        """Instances take no more; when each is done with what it has in hand."""
        if at > self._now:
            self.advance(at)
        going = set(servers)
        gone = {entry[1]: entry for entry in self._free if entry[1] in going}
        self._free = [entry for entry in self._free if entry[1] not in going]
        heapify(self._free)
        self._leaving += [(free_at, came_at) for free_at, _, came_at in gone.values() if free_at > at]
        return [max(at, gone[server][0]) for server in servers]

    def advance(self, until: float) -> None:
        """Start messages, oldest first, on whichever instance is free first."""
        while until >= self._minute_end_s:
            end_s = self._minute_end_s
            self._minute_end_s = end_s + MINUTE_S
            self.advance(end_s)
            self._end_minute(end_s)
        messages, free, head = self.messages, self._free, self._head
        came_at = messages.came_at
        arrived = bisect_right(came_at, until, self._arrived, self._come_by)
        self._arrived, self._now = arrived, until
        if head == arrived or not free:
            return
        takes_s, note_wait = messages.takes_s, self.waited.append
        while head < arrived:
            free_at, server, _ = free[0]
            came = came_at[head]
            start = came if came > free_at else free_at  # noqa: FURB136 - max() takes thrice as long, a million times
            if start > until:
                break
            heapreplace(free, (start + takes_s[head], server, came))
            note_wait(start - came)
            head += 1
        self._head = head

    def _end_minute(self, end_s: float) -> None:
        """Take its count, and let the next one's messages come."""
        in_hand = [entry[0] >= end_s for entry in (*self._free, *self._leaving)]
        self._deleted_by.append(self._head - sum(in_hand))
        come_by, minute = self.messages.come_by, len(self._deleted_by)
        self._come_by = come_by[min(minute, len(come_by) - 1)]

    def visible(self) -> float:
        """Messages that wait now."""
        return float(self._arrived - self._head)

    def in_flight(self) -> float:
        """Messages being worked on now."""
        now = self._now
        if self._leaving:
            self._leaving = [entry for entry in self._leaving if entry[0] > now]
        free = self._free
        if not free or free[0][0] > now:  # the one that is free first is busy: all are
            return float(len(free) + len(self._leaving))
        return float(sum([entry[0] > now for entry in free]) + len(self._leaving))

    def delayed(self) -> float:
        """None is delayed."""
        return 0.0

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""
        return float(_within(self.messages.come_by, minute))

    def received_in(self, minute: int) -> None:
        """Not simulated."""

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over."""
        return float(_within(self._deleted_by, minute))

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""
        now = self._now
        oldest = self.messages.came_at[self._head] if self._head < self._arrived else now
        in_hand = [came_at for free_at, _, came_at in self._free if free_at > now]
        in_hand += [came_at for done_at, came_at in self._leaving if done_at > now]
        return now - min([oldest, *in_hand])

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now."""
        came_at = self.messages.times[: self._arrived]
        waiting = self._now - came_at[self._head :]
        return Waits(came_at, np.concatenate([np.array(self.waited), waiting]), np.ones(len(came_at)))


def _within(by_end: list[int], minute: int) -> int:
    """What came up in a minute, of counts so far by each minute's end."""
    return by_end[minute] - by_end[minute - 1] if minute else by_end[0]


class FluidQueue:
    """Messages as a fluid."""

    def __init__(self, trace: Trace, conditions: Conditions) -> None:
        self.total = trace.total
        self._counts: list[float] = trace.counts.astype(float).tolist()
        self._takes_s = conditions.seconds_per_message
        self._cv = conditions.service_cv
        self._draws = normal_draws(conditions.seed)
        self._drawn = 0
        self._servers = 0
        self._leaving: list[float] = []
        self._now = 0.0
        self._sent_count = 0.0
        self._started = 0.0
        self._rate = 0.0  # messages started per second of late
        self._minutes = [0.0] * (len(self._counts) + 1)
        # Knots of both curves: by each moment so many arrived, and so many started.
        self.at, self.sent_by, self.started_by = array("d", [0.0]), array("d", [0.0]), array("d", [0.0])

    def add(self, server: int, at: float) -> None:  # noqa: ARG002 - instances of a fluid are alike
        """An instance begins to take messages."""
        self.advance(at)
        self._servers += 1

    def remove(self, servers: Sequence[int], at: float) -> list[float]:
        """Instances take no more; when each is done with what it has in hand. Those of a fluid are alike."""
        self.advance(at)
        self._servers -= len(servers)
        done_at = at + self._takes_s if self._started < self._sent_count else at
        self._leaving += [done_at] * len(servers)
        return [done_at] * len(servers)

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
            place = self._drawn
            self._drawn = place + 1
            if place >= len(self._draws.known):
                self._draws.extend()
            able_per_s *= max(0.0, 1.0 + spread * self._draws.known[place])
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
        self.at.append(end)
        self.sent_by.append(self._sent_count)
        self.started_by.append(self._started)

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

    def delayed(self) -> float:
        """None is delayed."""
        return 0.0

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""
        return self._counts[minute]

    def received_in(self, minute: int) -> None:
        """Not simulated."""

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over; they take far less than one."""
        return float(round(self._minutes[minute]))

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""
        if self.visible() < 1.0:
            return 0.0
        at, sent_by = self.at, self.sent_by
        after = min(bisect_right(sent_by, self._started), len(at) - 1)
        before = after - 1
        came = sent_by[after] - sent_by[before]
        share = (self._started - sent_by[before]) / came if came > 0.0 else 0.0
        return self._now - (at[before] + share * (at[after] - at[before]))

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now.

        Between knots of either curve a wait is a straight line over the messages: its middle stands for the piece.
        """
        at, arrived, started = np.array(self.at), np.array(self.sent_by), np.array(self.started_by)
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
