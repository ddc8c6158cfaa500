"""Open-source autoscalers that look at a queue's depth: KEDA with HPA, buildkite-agent-scaler, Worker Pod Autoscaler.

Each is given the backlog that one instance works off within the target wait, in whole messages and at least one, since
that is what their documentation tells users to set.
"""

from collections import deque
from dataclasses import dataclass, field
from math import ceil, floor

from tools.backtest.conditions import MINUTE_S, Conditions
from tools.backtest.simulator import Sight, Step
from tools.backtest.traces import Trace

TINY = 1e-9


def messages_each(conditions: Conditions, share: float) -> float:
    """Whole messages that one instance works off within the target wait; at least one."""
    return float(max(1, floor(share * conditions.target_wait_s / conditions.seconds_per_message + TINY)))


@dataclass(slots=True)
class Keda:
    """KEDA between zero and one, Kubernetes' horizontal pod autoscaler above; messages in flight count.

    https://keda.sh/docs/latest/scalers/aws-sqs/, https://keda.sh/docs/latest/reference/scaledobject-spec/ (polling and
    cooldown) and https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ (algorithm, behaviour).
    """

    queue_share: float = 1.0  # of the backlog that one instance works off within the target wait
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    sync_s: float = 15.0
    tolerance: float = 0.1
    down_window_s: float = 300.0
    up_percent: float = 100.0
    up_pods: int = 4
    name: str = field(default="keda", init=False)
    _each: float = field(default=1.0, init=False, repr=False)
    _active_at: float = field(default=0.0, init=False, repr=False)
    # What was recommended within the window and has not been exceeded since: (at, count), the highest first.
    _recommended: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At zero."""
        self._each = messages_each(conditions, self.queue_share)
        self._active_at, self._recommended = 0.0, deque()
        return 0

    def decide(self, sight: Sight) -> Step:
        """KEDA's part at zero, the horizontal pod autoscaler's above."""
        length = sight.visible() + sight.in_flight()
        if length > 0:
            self._active_at = sight.now
        if sight.desired == 0:
            self._recommended.clear()
            return Step(1, sight.now + self.sync_s) if length > 0 else Step(0, sight.now + self.polling_s)
        if length <= 0 and sight.now - self._active_at >= self.cooldown_s:
            return Step(0, sight.now + self.polling_s)
        return Step(self.stabilised(sight.now, length, sight.desired), sight.now + self.sync_s)

    def recommended(self, length: float, replicas: int) -> int:
        """The algorithm: as many as the length asks for, unless that is nearly as many as there are."""
        if abs(1.0 - length / (self._each * replicas)) <= self.tolerance + TINY:
            return replicas
        return max(1, ceil(length / self._each - TINY))

    def stabilised(self, now: float, length: float, replicas: int) -> int:
        """The behaviour: down to the highest recommendation of the window, up by so much a sync at most."""
        wanted = self.recommended(length, replicas)
        recent = self._recommended
        while recent and recent[-1][1] <= wanted:
            recent.pop()
        recent.append((now, wanted))
        while recent[0][0] <= now - self.down_window_s and len(recent) > 1:
            recent.popleft()
        if wanted < replicas:
            return min(replicas, recent[0][1])
        most = max(floor(replicas * (1.0 + self.up_percent / 100.0) + TINY), replicas + self.up_pods)
        return min(wanted, most)


@dataclass(slots=True)
class Buildkite:
    """buildkite-agent-scaler: jobs by agents per instance, every ten seconds; factors and cooldowns for each way.

    https://github.com/buildkite/buildkite-agent-scaler. It leaves scale-in off where agents end by themselves; those
    of a queue do not, so it is on here.
    """

    each_share: float = 1.0  # of the backlog that one instance works off within the target wait
    buffer: int = 0  # instances more than jobs ask for, but not more of them than that
    out_factor: float = 1.0
    in_factor: float = 1.0
    out_cooldown_s: float = 0.0
    in_cooldown_s: float = 0.0
    scale_in: bool = True
    every_s: float = 10.0
    name: str = field(default="buildkite", init=False)
    _each: float = field(default=1.0, init=False, repr=False)
    _out_at: float = field(default=-1e12, init=False, repr=False)
    _in_at: float = field(default=-1e12, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At zero."""
        self._each = messages_each(conditions, self.each_share)
        self._out_at = self._in_at = -1e12
        return 0

    def decide(self, sight: Sight) -> Step:
        """One run."""
        wanted = self.wanted(sight.now, sight.visible() + sight.in_flight(), sight.desired)
        return Step(wanted, sight.now + self.every_s)

    def wanted(self, now: float, jobs: float, desired: int) -> int:
        """The desired capacity after one run."""
        needed = ceil(jobs / self._each - TINY)
        change = needed + min(self.buffer, needed) - desired
        if change > 0 and now - self._out_at >= self.out_cooldown_s:
            self._out_at = now
            return desired + ceil(change * self.out_factor - TINY)
        if change < 0 and self.scale_in and now - self._in_at >= self.in_cooldown_s:
            self._in_at = now
            return max(0, desired + floor(change * self.in_factor + TINY))
        return desired


@dataclass(slots=True)
class Wpa:
    """practo's Worker Pod Autoscaler: messages by workers, never below what arrivals keep busy.

    https://github.com/practo/k8s-worker-pod-autoscaler: secondsToProcessOneJob x messages sent per minute / 60 is the
    least; ten percent of tolerance; down only ten minutes after any change, by `max_disruption` percent at most.
    """

    each_share: float = 1.0  # of the backlog that one worker works off within the target wait
    max_disruption: float = 100.0  # percent
    down_delay_s: float = 600.0
    tolerance: float = 0.1
    every_s: float = 20.0
    rate_minutes: int = 1  # messages sent per minute are the mean of so many
    name: str = field(default="wpa", init=False)
    _each: float = field(default=1.0, init=False, repr=False)
    _takes_s: float = field(default=1.0, init=False, repr=False)
    _changed_at: float = field(default=-1e12, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At zero."""
        self._each, self._takes_s = messages_each(conditions, self.each_share), conditions.seconds_per_message
        self._changed_at = -1e12
        return 0

    def decide(self, sight: Sight) -> Step:
        """One sync."""
        recent = sight.minutes[-self.rate_minutes :]
        per_minute = sum(minute.sent for minute in recent) / len(recent) if recent else 0.0
        wanted = self.wanted(sight.visible() + sight.in_flight(), per_minute, sight.desired)
        if wanted < sight.desired and sight.now - self._changed_at < self.down_delay_s:
            wanted = sight.desired
        if wanted != sight.desired:
            self._changed_at = sight.now
        return Step(wanted, sight.now + self.every_s)

    def wanted(self, messages: float, per_minute: float, workers: int, most: int | None = None) -> int:
        """The desired workers, whenever they may be had."""
        least = ceil(self._takes_s * per_minute / MINUTE_S - TINY)
        wanted = ceil(messages / self._each - TINY)
        if workers and messages > 0 and abs(1.0 - messages / (self._each * workers)) <= self.tolerance + TINY:
            wanted = workers
        wanted = max(wanted, least)
        if wanted < workers:
            wanted = max(wanted, workers - floor(workers * self.max_disruption / 100.0 + TINY))
        return wanted if most is None else min(wanted, most)
