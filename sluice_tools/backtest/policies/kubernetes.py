"""Kubernetes' horizontal pod autoscaler on a queue's length, as KEDA gives it: an external metric, averaged over pods.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ has the algorithm, the tolerances and the
scaling behaviour. What the page leaves open (how percentages are rounded, what counts within a period) is as in
kubernetes/kubernetes, pkg/controller/podautoscaler/horizontal.go and replica_calculator.go.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor

TINY = 1e-9
DISABLED = "disabled"
_POLICY = re.compile(r"(\d+(?:\.\d+)?)(%?)/(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """So many pods, or so many percent of them, may be added or removed within a period."""

    value: float
    percent: bool
    period_s: float


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """The behaviour in one direction. Without policies that direction is disabled."""

    policies: tuple[ScalingPolicy, ...]
    least: bool = False  # selectPolicy: Min, so that the policy which changes least decides

    @property
    def longest_s(self) -> float:
        """The longest period that is looked back at."""
        return max((policy.period_s for policy in self.policies), default=0.0)


def read_rules(text: str, where: str) -> ScalingRules:
    """Rules as text: `100%/15 4/15` is a hundred percent or four pods in 15 s, whichever changes more.

    Args:
        text: policies with spaces between them, after `min` if the one that changes least decides; or `disabled`.
        where: the parameter, for the error.

    Raises:
        ValueError: the text is none of these.
    """
    words = text.split()
    if words == [DISABLED]:
        return ScalingRules(())
    least = words[:1] == ["min"]
    found = [_POLICY.fullmatch(word) for word in words[1 if least else 0 :]]
    if not found or None in found:
        raise ValueError(f"{where}: must be policies such as 100%/15 4/15, or {DISABLED} (got {text})")
    return ScalingRules(
        tuple(ScalingPolicy(float(each[1]), each[2] == "%", float(each[3])) for each in found if each is not None),
        least,
    )


@dataclass(slots=True)
class Hpa:
    """The autoscaler above zero. Times in seconds; `decide` is one sync."""

    each: float  # messages for one pod
    up: ScalingRules
    down: ScalingRules
    up_tolerance: float = 0.1
    down_tolerance: float = 0.1
    up_window_s: float = 0.0
    down_window_s: float = 300.0
    min_replicas: int = 1
    # What was recommended within a window and not passed since: (at, pods), the highest or the lowest first.
    _highest: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False)
    _lowest: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False)
    _changes: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False)  # (at, pods more)

    def decide(self, now: float, length: float, replicas: int) -> int:
        """The pods after a sync: recommended, stabilised, and no faster than the behaviour allows."""
        wanted = self.limited(now, self.stabilised(now, self.recommended(length, replicas), replicas), replicas)
        if wanted != replicas:
            self._changes.append((now, wanted - replicas))
        return wanted

    def recommended(self, length: float, replicas: int) -> int:
        """As many as the length asks for, unless its ratio to what is there is within the tolerances."""
        ratio = length / (self.each * replicas)
        if 1.0 - self.down_tolerance - TINY <= ratio <= 1.0 + self.up_tolerance + TINY:
            return replicas
        return ceil(length / self.each - TINY)

    def stabilised(self, now: float, wanted: int, replicas: int) -> int:
        """No lower than the highest of one window, no higher than the lowest of the other."""
        highest, lowest = self._highest, self._lowest
        while highest and highest[-1][1] <= wanted:
            highest.pop()
        while lowest and lowest[-1][1] >= wanted:
            lowest.pop()
        highest.append((now, wanted))
        lowest.append((now, wanted))
        while len(highest) > 1 and highest[0][0] <= now - self.down_window_s:
            highest.popleft()
        while len(lowest) > 1 and lowest[0][0] <= now - self.up_window_s:
            lowest.popleft()
        return min(max(replicas, lowest[0][1]), highest[0][1])

    def limited(self, now: float, wanted: int, replicas: int) -> int:
        """What the behaviour allows of it, and the minimum."""
        if wanted > replicas:
            return min(wanted, self.most(now, replicas))
        if wanted < replicas:
            return max(wanted, self.min_replicas, self.fewest(now, replicas))
        return wanted

    def most(self, now: float, replicas: int) -> int:
        """The most that scaling up may reach now; percentages are rounded up, so that one percent adds a pod."""
        limits = [
            ceil(began * (1.0 + policy.value / 100.0) - TINY) if policy.percent else began + floor(policy.value)
            for policy, began in self._period_starts(self.up.policies, now, replicas)
        ]
        return max(replicas, (min if self.up.least else max)(limits, default=replicas))

    def fewest(self, now: float, replicas: int) -> int:
        """The fewest that scaling down may reach now; what a percentage leaves is cut to whole pods."""
        limits = [
            floor(began * (1.0 - policy.value / 100.0) + TINY) if policy.percent else began - floor(policy.value)
            for policy, began in self._period_starts(self.down.policies, now, replicas)
        ]
        return min(replicas, (max if self.down.least else min)(limits, default=replicas))

    def _period_starts(
        self, policies: Sequence[ScalingPolicy], now: float, replicas: int
    ) -> list[tuple[ScalingPolicy, int]]:
        """Each policy with the pods there were when its period began."""
        changes, longest_s = self._changes, max(self.up.longest_s, self.down.longest_s)
        while changes and changes[0][0] <= now - longest_s:
            changes.popleft()
        return [
            (policy, replicas - sum(more for at, more in changes if at > now - policy.period_s)) for policy in policies
        ]
