"""One policy on one trace: a queue, a group and a clock.

The world goes from event to event: boots and drains as they end, minutes as metrics are taken, ticks as the policy asks
for them. What a policy sees is a `Sight`: the queue's own counts, approximate; the group as it is; and metrics of
minutes that ended a while ago. Everything random comes from the conditions' seed: the same run twice is the same run.

A `Behaviour` makes it one of the worlds: its consumers, group and metrics do what `sluice_tools.backtest.worlds`
simulates.
"""

import time
from collections import deque
from dataclasses import asdict
from math import ceil, inf
from random import Random
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from sluice.model.decisions import Reason
from sluice.model.observed import GroupReading
from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.random_draws import normal_draws
from sluice_tools.backtest.runs import Run, Tally, Timeline
from sluice_tools.backtest.simulated_group import Group
from sluice_tools.backtest.simulated_queue import Waits, Work, queue_for
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.behaviours import Behaviour, SignalFaults
from sluice_tools.backtest.worlds.group import WorldGroup
from sluice_tools.backtest.worlds.queue import WorldQueue

# Traces begin on a Monday at 00:00 UTC, so that policies which know of days see whole ones.
BEGAN_AT = 1_795_392_000.0


class Minute(NamedTuple):
    """What CloudWatch knows of one minute."""

    start_s: float
    sent: float
    deleted: float
    visible: float  # at its end
    in_flight: float
    oldest_age_s: float
    working: float  # instances in service at its end
    received: float | None = None  # None where that is not simulated


class Step(NamedTuple):
    """What a policy wants, and when it looks again."""

    desired: int
    next_s: float
    note: str = ""
    reasons: tuple[Reason, ...] = ()


class Sight:
    """What a policy can see at a tick; times in seconds since the trace began."""

    def __init__(self, work: Work, group: Group, conditions: Conditions) -> None:
        self.now = 0.0
        self.minutes: list[Minute] = []  # those whose metrics are there, ascending
        self._work = work
        self._group = group
        self._noise = conditions.count_noise
        self._draws = normal_draws(conditions.seed + 1)
        self._drawn = 0

    @property
    def desired(self) -> int:
        """The group's desired capacity."""
        return self._group.desired

    @property
    def working(self) -> int:
        """Instances in service."""
        return self._group.working

    @property
    def launching(self) -> int:
        """Instances on their way."""
        return self._group.launching

    def visible(self) -> float:
        """Messages waiting, approximately."""
        return self._about(self._work.visible())

    def in_flight(self) -> float:
        """Messages being worked on, approximately."""
        return self._about(self._work.in_flight())

    def delayed(self) -> float:
        """Messages that cannot be received yet, approximately."""
        return self._about(self._work.delayed())

    def group(self) -> GroupReading:
        """The group in the model's words."""
        return self._group.reading(self.now)

    def _about(self, count: float) -> float:
        if count < 1.0 or self._noise == 0.0:
            return float(round(count))
        place = self._drawn
        self._drawn = place + 1
        if place >= len(self._draws.known):
            self._draws.extend()
        about = round(count * (1.0 + self._noise * self._draws.known[place]))
        return float(about) if about > 0 else 0.0


class Watching(Protocol):
    """Looks at a run as it goes on, and may end it."""

    def look(self, now: float, work: Work, group: Group) -> None:
        """A minute is over. What it raises ends the run."""


class Policy(Protocol):
    """Decides how many instances there should be. Its public fields are its parameters."""

    name: str

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """Get ready for a run; how many instances are there at its beginning.

        Only policies that say so look at the trace.
        """

    def decide(self, sight: Sight) -> Step:
        """What is wanted now."""


def simulate(
    trace: Trace,
    policy: Policy,
    conditions: Conditions,
    behaviour: Behaviour | None = None,
    watch: Watching | None = None,
) -> Run:
    """Run a policy on a trace to its end. What still waits then has waited until then.

    Args:
        trace: the traffic.
        policy: what decides.
        conditions: every number that is neither traffic nor policy.
        behaviour: how consumers, group and metrics behave, and then the run has what was said; None: plainly.
        watch: looks at the run each minute, and may end it by an error.
    """
    began = time.process_time()
    work, group, signals = _world(trace, conditions, behaviour)
    sight = Sight(work, group, conditions)
    group.start(policy.begin(conditions, trace))
    metrics = _Metrics(sight, work, group, conditions, signals.silent_after_s)
    notes: list[tuple[float, str]] = []
    tally = None if behaviour is None else Tally()
    tick_s, ticks = 0.0, 0
    decide = policy.decide
    for minute in range(trace.minutes):
        minute_end_s = (minute + 1) * MINUTE_S
        while tick_s < minute_end_s:
            if tick_s >= group.next_s:
                group.advance(tick_s)
            else:
                work.advance(tick_s)
            if tick_s >= metrics.due_s:
                metrics.arrive(tick_s)
            sight.now = tick_s
            step = decide(sight)
            ticks += 1
            if tally is not None:
                tally.add(step.reasons)
            if step.desired != group.desired:
                notes.append((tick_s, step.note or f"{group.desired} to {step.desired}"))
                group.set_desired(step.desired, tick_s)
            tick_s = max(step.next_s, tick_s + 1.0)
        group.advance(minute_end_s)
        metrics.take(minute)
        if watch is not None:
            watch.look(minute_end_s, work, group)
    end_s = trace.minutes * MINUTE_S
    billed_s = group.close(end_s)
    waits = work.waits()
    p50, p99, longest = quantiles(waits, (0.5, 0.99, 1.0))
    return Run(
        trace=trace.name,
        policy=policy.name,
        params=params_of(policy),
        conditions=conditions,
        instance_hours=billed_s / 3600.0,
        work_hours=work.total * conditions.seconds_per_message / 3600.0,
        late_fraction=late_fraction(waits, conditions.target_wait_s),
        wait_p50_s=p50,
        wait_p99_s=p99,
        wait_max_s=longest,
        launches=group.launches,
        ticks=ticks,
        cpu_s=time.process_time() - began,
        timeline=metrics.timeline(trace, waits),
        notes=tuple(notes),
        said=() if tally is None else tally.said(),
    )


def _world(trace: Trace, conditions: Conditions, behaviour: Behaviour | None) -> tuple[Work, Group, SignalFaults]:
    """Queue, group and signals. Where launches fail, the group tells of them as Auto Scaling does."""
    if behaviour is None:
        work = queue_for(trace, conditions)
        if conditions.launch_failure > 0.0:
            return work, WorldGroup(work, conditions, BEGAN_AT), SignalFaults()
        return work, Group(work, conditions, BEGAN_AT), SignalFaults()
    queue = WorldQueue(trace, conditions, behaviour.consumers, behaviour.signals)
    return queue, WorldGroup(queue, conditions, BEGAN_AT, behaviour.group), behaviour.signals


def params_of(policy: Policy) -> dict[str, Any]:
    """A policy's parameters: its public fields."""
    fields = asdict(cast("Any", policy))  # every policy is a dataclass; a Protocol cannot say so
    return {name: value for name, value in fields.items() if not name.startswith("_") and name != "name"}


def late_fraction(waits: Waits, target_wait_s: float) -> float:
    """The share of messages that waited longer than the target."""
    total = float(waits.messages.sum())
    return float(waits.messages[waits.seconds > target_wait_s].sum()) / total if total else 0.0


def quantiles(waits: Waits, shares: tuple[float, ...]) -> list[float]:
    """The waits that so large shares of the messages did not exceed."""
    count = len(waits.seconds)
    if not count:
        return [0.0 for _ in shares]
    if (waits.messages == 1.0).all():  # each counts once: no need to sort them all
        places = [min(max(ceil(share * count) - 1, 0), count - 1) for share in shares]
        seconds = np.partition(waits.seconds, places)
        return [float(seconds[place]) for place in places]
    order = np.argsort(waits.seconds, kind="stable")
    seconds, up_to = waits.seconds[order], np.cumsum(waits.messages[order])
    reached = np.searchsorted(up_to, [share * up_to[-1] for share in shares], side="left")
    return [float(seconds[min(place, count - 1)]) for place in reached]


class _Metrics:
    """Takes each minute's figures, and lets them be seen when they are due."""

    def __init__(self, sight: Sight, work: Work, group: Group, conditions: Conditions, silent_after_s: float) -> None:
        self._silent_after_s = silent_after_s
        self._active_s = 0.0  # when anything was in the queue last
        self._sight = sight
        self._work = work
        self._group = group
        self._late_s = conditions.metric_late_s
        self._random = Random(conditions.seed + 2)  # noqa: S311 - a simulation
        self._taken: list[Minute] = []
        self._launching: list[float] = []
        self._due: deque[tuple[float, Minute]] = deque()  # what cannot be seen yet, and when it can
        self._latest_s = 0.0
        self.due_s = inf  # when the next figures can be seen

    def take(self, minute: int) -> None:
        """A minute is over."""
        work, end_s = self._work, (minute + 1) * MINUTE_S
        taken = Minute(
            minute * MINUTE_S,
            work.sent_in(minute),
            work.deleted_in(minute),
            float(round(work.visible())),
            float(round(work.in_flight())),
            work.oldest_age(),
            float(self._group.working),
            work.received_in(minute),
        )
        self._taken.append(taken)
        self._launching.append(float(self._group.launching))
        if taken.sent or taken.visible or taken.in_flight:
            self._active_s = end_s
        if end_s - self._active_s >= self._silent_after_s:
            return
        self._latest_s = max(self._latest_s, end_s + self._random.uniform(*self._late_s))
        self._due.append((self._latest_s, taken))
        self.due_s = self._due[0][0]

    def arrive(self, now: float) -> None:
        """What is due can be seen."""
        while self.due_s <= now:
            self._sight.minutes.append(self._due.popleft()[1])
            self.due_s = self._due[0][0] if self._due else inf

    def timeline(self, trace: Trace, waits: Waits) -> Timeline:
        """The run minute by minute."""
        longest = np.zeros(trace.minutes)
        minutes = np.minimum((waits.came_at / MINUTE_S).astype(np.int64), trace.minutes - 1)
        np.maximum.at(longest, minutes, waits.seconds)
        return Timeline(
            arrivals=trace.counts.astype(float),
            working=np.array([minute.working for minute in self._taken]),
            launching=np.array(self._launching),
            visible=np.array([minute.visible for minute in self._taken]),
            wait_s=longest,
        )


def next_minute(now: float) -> float:
    """The next whole minute."""
    return (now // MINUTE_S + 1.0) * MINUTE_S


NEVER = inf
