"""What a run costs and is late at the least, while it still goes on: it can end once that is more than anybody asks.

What was paid and what was late only ever becomes more. Each message that has not begun takes an instance its own time,
which is the same whatever the policy. So at any moment of a run this much is certain:

    cost >= paid so far + time of the messages yet to begin, less what may not be done by the end
    late >= messages that began after their target wait so far

What may not be done by the end is little, if the run is of interest at all. A message that is not late begins within
the target wait and is done within the longest time that any message takes, so it is done if it comes early enough
before the end. Of the others no more are late than the limit has left, and they take at most as long as the longest.

Many messages are simulated as a fluid, whose instances vary at random in what they do: the time of what is yet to begin
is then known but for six standard deviations.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulated_group import Group
from sluice_tools.backtest.simulated_queue import Floats, FluidQueue, MessageQueue, Work, queue_for
from sluice_tools.backtest.traces import Trace

LOOK_S = 30 * MINUTE_S  # a run is looked at so often
DEVIATIONS = 6.0  # by which a fluid's instances may do more than their mean


class Floor(NamedTuple):
    """The least that a run costs and is late."""

    instance_hours: float
    late_fraction: float


class EndedEarly(Exception):  # noqa: N818 - nothing went wrong
    """A run is certain to exceed its limits."""

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self.floor = floor


@dataclass(frozen=True, slots=True)
class WorkLeft:
    """The messages of a trace in a world: what is left of their work, whatever the policy."""

    total: float  # messages
    until: int  # messages that are done at the end unless they are late
    work_by: Floats  # seconds that the first messages take, by their number
    longest_by: Floats  # seconds that the longest messages take, by their number; both empty of a fluid
    seconds_per_message: float
    spread: float  # of a fluid: standard deviation of a message's time, as a share of the mean

    def seconds(self, begun: float, late_left: float) -> float:
        """The least instance-seconds that are yet to be paid.

        Args:
            begun: messages that have begun.
            late_left: messages that may still be late.
        """
        if len(self.work_by):
            first = int(begun)
            if first >= self.until:
                return 0.0
            spared = min(int(late_left) + 1, len(self.longest_by) - 1)
            return max(0.0, float(self.work_by[self.until] - self.work_by[first] - self.longest_by[spared]))
        messages = max(0.0, self.until - begun - late_left)
        return max(0.0, messages - DEVIATIONS * self.spread * sqrt(messages)) * self.seconds_per_message


def work_left(trace: Trace, conditions: Conditions) -> WorkLeft:
    """What every policy's run on a trace has to do."""
    queue, end_s = queue_for(trace, conditions), trace.minutes * MINUTE_S - conditions.target_wait_s
    nothing = np.zeros(0)
    if not isinstance(queue, MessageQueue):
        until = int(trace.counts[: max(0, int(end_s // MINUTE_S))].sum())
        return WorkLeft(trace.total, until, nothing, nothing, conditions.seconds_per_message, conditions.service_cv)
    takes_s = np.array(queue.messages.takes_s)
    until = bisect_right(queue.messages.came_at, end_s - float(takes_s.max(initial=0.0)))
    return WorkLeft(
        trace.total,
        until,
        np.concatenate([[0.0], np.cumsum(takes_s)]),
        np.concatenate([[0.0], np.cumsum(np.sort(takes_s)[::-1])]),
        conditions.seconds_per_message,
        0.0,
    )


class Watch:
    """Looks at a run now and then, and ends it where it is certain to exceed a limit."""

    def __init__(self, left: WorkLeft, target_wait_s: float, most: Floor) -> None:
        self._left = left
        self._target_wait_s = target_wait_s
        self.most = most
        self._late = 0.0  # messages, of those that have begun
        self._counted = 0  # waits of a list, or knots of a fluid
        self._started = 0.0  # of a fluid: messages whose waits were counted

    def look(self, now: float, work: Work, group: Group) -> None:
        """Look at a run each half hour.

        Raises:
            EndedEarly: the run costs more or is later than its limits, whatever comes.
        """
        if now % LOOK_S:
            return
        if isinstance(work, MessageQueue):
            self._count(work)
            begun = float(self._counted)
        elif isinstance(work, FluidQueue):
            self._measure(work)
            begun = self._started
        else:
            raise TypeError("a run in a world with faults cannot be ended early")
        left, most = self._left, self.most
        late_fraction = self._late / left.total
        late_left = most.late_fraction * left.total - self._late
        hours = (group.paid_s(now) + left.seconds(begun, max(0.0, late_left))) / 3600.0
        if late_fraction > most.late_fraction or hours > most.instance_hours:
            raise EndedEarly(Floor(hours, late_fraction))

    def _count(self, queue: MessageQueue) -> None:
        late, most_s, waited = 0, self._target_wait_s, queue.waited
        for wait_s in waited[self._counted :]:
            if wait_s > most_s:
                late += 1
        self._counted = len(waited)
        self._late += late

    def _measure(self, queue: FluidQueue) -> None:
        """Measure what has begun since the last look, piece by piece between the knots, as `FluidQueue.waits` does."""
        arrived_from = max(0, bisect_left(queue.sent_by, self._started) - 1)
        arrived, came = (np.array(curve[arrived_from:]) for curve in (queue.sent_by, queue.at))
        started, began = (np.array(curve[self._counted :]) for curve in (queue.started_by, queue.at))
        edges = np.unique(np.concatenate([arrived, started]))
        edges = edges[(edges >= started[0]) & (edges <= started[-1])]
        middles = (edges[1:] + edges[:-1]) / 2
        waits_s = np.interp(middles, started, began) - np.interp(middles, arrived, came)
        self._late += float(np.diff(edges)[waits_s > self._target_wait_s].sum())
        self._counted, self._started = len(queue.started_by) - 1, float(started[-1])
