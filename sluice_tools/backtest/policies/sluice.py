"""Sluice itself: the shipped learn, plan and remember, ticked as the deployed planner ticks."""

from dataclasses import dataclass, field
from math import inf

from sluice.config.fleet import Fleet, parse
from sluice.model.decisions import Action
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.planning import Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.learning.learn import learn
from sluice.planning.metric_reader import reads_each_period
from sluice.planning.planner import plan, remember
from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulator import BEGAN_AT, Minute, Sight, Step
from sluice_tools.backtest.traces import Trace

METRIC_MINUTES = 15  # a tick's metrics reach back further; no more than the newest are ever news


@dataclass(slots=True)
class Sluice:
    """The planner with its defaults: unless hints are set, it is given the target wait only."""

    hinted: bool = False  # also given the seconds per message and the boot time
    hint_seconds: float | None = None  # given these seconds per message as a hint, right or wrong
    hint_lead_s: float | None = None  # given this boot time as a hint, right or wrong
    tick_s: float = 10.0  # between the ticks of a fleet
    metric_delay_s: float = 120.0  # that the stack takes its metrics to be late by
    stabilization_window_s: float | None = None  # limits.stabilization_window_s: at most a lead time unless set
    name: str = field(default="sluice", init=False)
    _timing: Timing = field(default_factory=Timing, init=False, repr=False)
    _fleet: Fleet | None = field(default=None, init=False, repr=False)
    _memory: Memory = field(default_factory=Memory, init=False, repr=False)
    _read_s: float = field(default=-inf, init=False, repr=False)  # when the metrics were read last
    _sent: Series | None = field(default=None, init=False, repr=False)
    _deleted: Series | None = field(default=None, init=False, repr=False)
    _received: Series | None = field(default=None, init=False, repr=False)
    _oldest: Reading | None = field(default=None, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """A new fleet, at zero."""
        hints: dict[str, float] = {}
        if self.hinted:
            hints = {"seconds_per_message": conditions.seconds_per_message, "lead_time_s": conditions.boot_s}
        if self.hint_seconds is not None:
            hints["seconds_per_message"] = self.hint_seconds
        if self.hint_lead_s is not None:
            hints["lead_time_s"] = self.hint_lead_s
        self._fleet = parse(
            "backtest",
            {
                "queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/backtest",
                "group": "backtest",
                "target_wait_s": conditions.target_wait_s,
                "limits": {"stabilization_window_s": self.stabilization_window_s},
                **({"hints": hints} if hints else {}),
            },
        )
        self._timing = Timing(self.tick_s, MINUTE_S, self.metric_delay_s)
        self._memory, self._read_s, self._sent, self._deleted = Memory(), -inf, None, None
        self._received, self._oldest = None, None
        return 0

    def decide(self, sight: Sight) -> Step:
        """One tick of the planner."""
        assert self._fleet is not None, "begin comes first"
        fleet, now = self._fleet, BEGAN_AT + sight.now
        snapshot = Snapshot(fleet.name, now, self._queue(sight, now), sight.group())
        memory, estimates = learn(self._memory, snapshot, fleet, timing=self._timing, now=now)
        decision = plan(snapshot, fleet, estimates, memory, timing=self._timing, now=now)
        self._memory = remember(memory, decision, self._timing)
        # Held is as it was read: what was ordered since, and is not read yet, stays ordered.
        want = sight.desired if decision.action is Action.HOLD else decision.want
        return Step(want, sight.now + self.tick_s, decision.sentence, decision.reasons)

    def _read_each_s(self, now: float) -> float:
        """Seconds between two readings of the metrics, as the planner's reader has them."""
        assert self._fleet is not None, "begin comes first"
        each_period = reads_each_period(self._fleet, self._memory, now)
        return self._timing.metric_period_s if each_period else self._timing.metric_read_s

    def _queue(self, sight: Sight, now: float) -> QueueReading:
        if sight.minutes and sight.now - self._read_s >= self._read_each_s(now):
            self._read_s = sight.now
            newest = sight.minutes[-METRIC_MINUTES:]
            self._sent = Series(MINUTE_S, tuple((BEGAN_AT + each.start_s, each.sent) for each in newest))
            self._deleted = Series(MINUTE_S, tuple((BEGAN_AT + each.start_s, each.deleted) for each in newest))
            self._received = _series(newest)
            self._oldest = Reading(newest[-1].oldest_age_s, BEGAN_AT + newest[-1].start_s + MINUTE_S)
        return QueueReading(
            visible=Reading(sight.visible(), now),
            in_flight=Reading(sight.in_flight(), now),
            delayed=Reading(sight.delayed(), now),
            oldest_age=self._oldest,
            sent=self._sent,
            deleted=self._deleted,
            received=self._received,
        )


def _series(minutes: list[Minute]) -> Series | None:
    """What was received in each minute; None where that is not simulated."""
    points = tuple((BEGAN_AT + each.start_s, each.received) for each in minutes if each.received is not None)
    return Series(MINUTE_S, points) if points else None
