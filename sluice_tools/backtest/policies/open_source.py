"""Open-source autoscalers that look at a queue's depth: KEDA with HPA, buildkite-agent-scaler, Worker Pod Autoscaler.

Each is given the backlog that one instance works off within the target wait, in whole messages and at least one, since
that is what their documentation tells users to set. What the documentation leaves open is as in their source, and their
own tests' inputs and results are held in tests/unit/sluice_tools/backtest/test_peers.py. A pod counts as an instance:
it takes the boot to start, and it is paid for alone. Whoever is scaled in finishes its message, as with Sluice's drain.
"""

from dataclasses import dataclass, field
from math import ceil, floor

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.policies.kubernetes import TINY, Hpa, read_rules
from sluice_tools.backtest.simulator import Minute, Sight, Step
from sluice_tools.backtest.traces import Trace

COUNTS = ("visible", "visible+in-flight", "visible+delayed", "visible+in-flight+delayed")


def messages_each(conditions: Conditions, share: float) -> float:
    """Whole messages that one instance works off within the target wait; at least one."""
    return float(max(1, floor(share * conditions.target_wait_s / conditions.seconds_per_message + TINY)))


@dataclass(slots=True)
class Keda:
    """KEDA between zero and one (or its minimum), Kubernetes' horizontal pod autoscaler above.

    https://keda.sh/docs/latest/scalers/aws-sqs/ and https://keda.sh/docs/latest/reference/scaledobject-spec/ (polling,
    cooldown, minReplicaCount). `up` and `down` are HPA's behaviour as `read_rules` reads it, by default HPA's own.
    """

    queue_share: float = 1.0  # of the backlog that one instance works off within the target wait
    counts: str = "visible+in-flight"  # scaleOnInFlight is on by default, scaleOnDelayed is off
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    sync_s: float = 15.0
    up_tolerance: float = 0.1  # by direction since Kubernetes 1.33; before, one for both
    down_tolerance: float = 0.1
    up_window_s: float = 0.0
    down_window_s: float = 300.0
    up: str = "100%/15 4/15"
    down: str = "100%/15"
    min_replicas: int = 0
    name: str = field(default="keda", init=False)
    _hpa: Hpa | None = field(default=None, init=False, repr=False)
    _active_at: float = field(default=0.0, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At its minimum.

        Raises:
            ValueError: a parameter's text cannot be read.
        """
        if self.counts not in COUNTS:
            raise ValueError(f"keda: counts: must be one of {', '.join(COUNTS)} (got {self.counts})")
        self._hpa = Hpa(
            messages_each(conditions, self.queue_share),
            read_rules(self.up, "keda: up"),
            read_rules(self.down, "keda: down"),
            up_tolerance=self.up_tolerance,
            down_tolerance=self.down_tolerance,
            up_window_s=self.up_window_s,
            down_window_s=self.down_window_s,
            min_replicas=max(1, self.min_replicas),
        )
        self._active_at = 0.0
        return self.min_replicas

    def decide(self, sight: Sight) -> Step:
        """KEDA's part at zero, the horizontal pod autoscaler's above."""
        assert self._hpa is not None, "begin comes first"
        length = self.length(sight.visible(), sight.in_flight(), sight.delayed())
        if length > 0:
            self._active_at = sight.now
        if sight.desired == 0:
            return Step(1, sight.now + self.sync_s) if length > 0 else Step(0, sight.now + self.polling_s)
        if length <= 0 and self.min_replicas == 0 and sight.now - self._active_at >= self.cooldown_s:
            return Step(0, sight.now + self.polling_s)
        return Step(self._hpa.decide(sight.now, length, sight.desired), sight.now + self.sync_s)

    def length(self, visible: float, in_flight: float, delayed: float) -> float:
        """The queue's length as the scaler gives it."""
        in_flight = in_flight if "in-flight" in self.counts else 0.0
        return visible + in_flight + (delayed if "delayed" in self.counts else 0.0)


@dataclass(slots=True)
class Buildkite:
    """buildkite-agent-scaler: jobs by agents per instance, every ten seconds; factors and cooldowns for each way.

    https://github.com/buildkite/buildkite-agent-scaler. It leaves scale-in off where agents end by themselves; those
    of a queue do not, so it is on here. Every simulated instance in service has its agent, so that the availability
    threshold never adds one here.
    """

    each_share: float = 1.0  # of the backlog that one instance works off within the target wait
    buffer: int = 0  # instances more than jobs ask for, but not more of them than that
    out_factor: float = 1.0
    in_factor: float = 1.0
    out_cooldown_s: float = 0.0
    in_cooldown_s: float = 0.0
    after_any: bool = False  # a cooldown begins with the last change in either direction
    scale_out: bool = True
    scale_in: bool = True
    availability: float = 0.5  # below this share of agents online one instance more is wanted; 0 for never
    every_s: float = 10.0
    name: str = field(default="buildkite", init=False)
    _each: float = field(default=1.0, init=False, repr=False)
    _out_at: float | None = field(default=None, init=False, repr=False)
    _in_at: float | None = field(default=None, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At zero."""
        self._each = messages_each(conditions, self.each_share)
        self._out_at = self._in_at = None
        return 0

    def decide(self, sight: Sight) -> Step:
        """One run."""
        jobs = sight.visible() + sight.in_flight()
        return Step(self.wanted(sight.now, jobs, sight.desired), sight.now + self.every_s)

    def wanted(self, now: float, jobs: float, desired: int, online: float = 1.0) -> int:
        """The desired capacity after one run; `online` is the share of agents that are, once all are in service."""
        needed = ceil(jobs / self._each - TINY)
        aim = needed
        if jobs > 0 and online < self.availability:
            aim = max(aim, desired + 1)
        change = aim + min(self.buffer, needed) - desired
        if change > 0 and self.scale_out and not self._cools(now, self.out_cooldown_s, self._out_at, self._in_at):
            self._out_at = now
            return desired + ceil(change * self.out_factor - TINY)
        if change < 0 and self.scale_in and not self._cools(now, self.in_cooldown_s, self._in_at, self._out_at):
            self._in_at = now
            return max(0, desired + floor(change * self.in_factor + TINY))
        return desired

    def _cools(self, now: float, cooldown_s: float, last_at: float | None, other_at: float | None) -> bool:
        """Whether a cooldown forbids a change. Before the first change in its own direction there is none."""
        if last_at is None:
            return False
        if self.after_any and other_at is not None:
            last_at = max(last_at, other_at)
        return now - last_at < cooldown_s


@dataclass(slots=True)
class Wpa:
    """practo's Worker Pod Autoscaler: messages by workers, never below what arrivals keep busy.

    https://github.com/practo/k8s-worker-pod-autoscaler: secondsToProcessOneJob x messages sent per minute / 60 is the
    least, the rate being the mean of the minutes from ten to five minutes ago; ten percent of tolerance, on whole
    workers; down only ten minutes after any change, by `max_disruption` percent (rounded up) at most. Once nothing was
    received from twenty to ten minutes ago and none is sent, all go at once.
    """

    each_share: float = 1.0  # of the backlog that one worker works off within the target wait
    max_disruption: float = 100.0  # percent
    down_delay_s: float = 600.0
    tolerance: float = 0.1
    rate_from_s: float = 600.0  # ago: where the minutes begin whose mean is the rate
    rate_to_s: float = 300.0
    min_replicas: int = 0
    every_s: float = 20.0
    name: str = field(default="wpa", init=False)
    _each: float = field(default=1.0, init=False, repr=False)
    _takes_s: float = field(default=1.0, init=False, repr=False)
    _changed_at: float | None = field(default=None, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At its minimum."""
        self._each, self._takes_s = messages_each(conditions, self.each_share), conditions.seconds_per_message
        self._changed_at = None
        return self.min_replicas

    def decide(self, sight: Sight) -> Step:
        """One sync."""
        now, workers = sight.now, sight.desired
        sent = [minute.sent for minute in between(sight.minutes, now - self.rate_from_s, now - self.rate_to_s)]
        per_minute = sum(sent) / len(sent) if sent else 0.0
        # The metric is of messages received; deleted ones are those that were received and done.
        received = between(sight.minutes, now - 2 * self.rate_from_s, now - self.rate_from_s)
        idle = not any(minute.deleted for minute in received)
        wanted = self.wanted(sight.visible() + sight.in_flight(), per_minute, workers, idle=idle)
        if wanted < workers and self._changed_at is not None and now - self._changed_at <= self.down_delay_s:
            wanted = workers
        if wanted != workers:
            self._changed_at = now
        return Step(wanted, now + self.every_s)

    def wanted(
        self, messages: float, per_minute: float, workers: int, most: int | None = None, *, idle: bool = False
    ) -> int:
        """The desired workers, whenever they may be had.

        Args:
            messages: waiting and in flight.
            per_minute: messages sent.
            workers: those there are.
            most: the maximum.
            idle: nothing was received for long.
        """
        least = max(self.min_replicas, ceil(self._takes_s * per_minute / MINUTE_S - TINY))
        if most is not None and least >= most:
            return most
        wanted = ceil(messages / self._each - TINY)
        if workers and messages > 0 and abs(wanted - workers) / workers <= self.tolerance + TINY:
            wanted = workers
        elif messages <= 0:
            wanted = least
        if not (idle and messages <= 0 and per_minute <= 0):
            wanted = max(wanted, workers - ceil(workers * self.max_disruption / 100.0 - TINY))
        return max(wanted, least) if most is None else max(min(wanted, most), least)


def between(minutes: list[Minute], begin_s: float, end_s: float) -> list[Minute]:
    """The minutes that began in that time, of those whose metrics are there; the first began at 0."""
    first, last = ceil(begin_s / MINUTE_S - TINY), ceil(end_s / MINUTE_S - TINY)
    return minutes[max(0, first) : max(0, last)]
