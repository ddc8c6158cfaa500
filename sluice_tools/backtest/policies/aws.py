"""AWS's own policies on a queue: target tracking, step scaling, and predictive scaling above target tracking.

By default they see one-minute metrics, as late as CloudWatch has those of SQS (60 to 180 s), and look once a minute.
Target tracking may also be given a live metric: a custom one that somebody publishes every ten seconds.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulator import Minute, Sight, Step, next_minute
from sluice_tools.backtest.traces import Trace

HOUR_S = 3600.0
DAY_HOURS = 24
REFORECAST_S = 6 * HOUR_S  # a forecast is made anew so often
DEFAULT_WARMUP_S = 300.0  # where none is set, the default cooldown is taken


def backlog_per_instance(minute: Minute) -> float | None:
    """Messages waiting by instances in service; nothing where there are none, and so no metric."""
    return minute.visible / minute.working if minute.working > 0 else None


@dataclass(slots=True)
class TargetTracking:
    """Backlog per instance is held at what one instance works off within the target wait.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html. The alarms are the ones that target
    tracking makes: three points above the target, fifteen below a share of it. How much less than proportional a
    scale-in is AWS does not say.

    A metric's period may be 10 s where the metric is published that often, by somebody's own code:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/policy-creating-high-resolution-metrics.html. It is then seen
    at once. How many points its alarms have AWS does not say: as many as with minutes, unless set.
    """

    target_share: float = 1.0  # of the acceptable backlog: target wait / seconds per message
    out_points: int = 3
    in_points: int = 15
    in_below: float = 0.9  # of the target
    in_share: float = 0.5  # of what the formula would remove
    warmup_s: float = DEFAULT_WARMUP_S
    min_size: int = 1  # at zero there is no backlog per instance: it would stay there
    period_s: float = MINUTE_S  # below a minute: a live metric instead of SQS's own
    name: str = field(default="target-tracking", init=False)
    _target: float = field(default=1.0, init=False, repr=False)
    _warm_at: float = field(default=0.0, init=False, repr=False)
    _live: deque[Minute] = field(default_factory=deque, init=False, repr=False)  # points of a live metric

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At its minimum."""
        self._live = deque(maxlen=max(self.out_points, self.in_points))
        self._target = self.target_share * conditions.target_wait_s / conditions.seconds_per_message
        self._warm_at = 0.0
        return self.min_size

    def wanted(self, minutes: Sequence[Minute], desired: int, *, warming: bool) -> int:
        """The desired capacity after one evaluation of both alarms."""
        points = [backlog_per_instance(minute) for minute in minutes[-self.in_points :]]
        high = points[-self.out_points :]
        if len(high) == self.out_points and all(point is not None and point > self._target for point in high):
            return max(desired, self._proportional(minutes[-1]))
        low = self.in_below * self._target
        if len(points) == self.in_points and all(point is not None and point < low for point in points) and not warming:
            surplus = desired - max(self.min_size, self._proportional(minutes[-1]))
            return desired - max(1, floor(self.in_share * surplus)) if surplus > 0 else desired
        return desired

    def decide(self, sight: Sight) -> Step:
        """One evaluation a minute, or a period."""
        warming = sight.now < self._warm_at or sight.launching > 0
        points, next_s = sight.minutes, next_minute(sight.now)
        if self.period_s < MINUTE_S:
            self._live.append(Minute(sight.now, 0.0, 0.0, sight.visible(), 0.0, 0.0, float(sight.working)))
            points, next_s = list(self._live), sight.now + self.period_s
        wanted = self.wanted(points, sight.desired, warming=warming)
        if wanted > sight.desired:
            self._warm_at = sight.now + self.warmup_s
        return Step(wanted, next_s)

    def _proportional(self, minute: Minute) -> int:
        """Current instances by metric over target: that is, the backlog by the target."""
        return ceil(minute.visible / self._target - 1e-9)


@dataclass(slots=True)
class Predictive:
    """Target tracking, and below it the capacity that an hourly forecast asks for; the forecast only ever raises.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-predictive-scaling.html. How AWS forecasts is
    not published; here an hour's load is the mean of that hour on the days before.
    """

    days: int = 14
    buffer_s: float = 300.0  # so long before the hour its capacity is launched
    utilisation: float = 0.9  # what an instance's load is planned to be
    target_share: float = 1.0
    in_share: float = 0.5
    warmup_s: float = DEFAULT_WARMUP_S
    min_size: int = 1
    name: str = field(default="predictive", init=False)
    _tracking: TargetTracking = field(default_factory=TargetTracking, init=False, repr=False)
    _takes_s: float = field(default=1.0, init=False, repr=False)
    _hours: list[int] = field(default_factory=list, init=False, repr=False)
    _forecast_at: float = field(default=0.0, init=False, repr=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """At its minimum, without a forecast for the first day."""
        self._tracking = TargetTracking(
            target_share=self.target_share, in_share=self.in_share, warmup_s=self.warmup_s, min_size=self.min_size
        )
        self._takes_s, self._hours, self._forecast_at = conditions.seconds_per_message, [], 0.0
        return self._tracking.begin(conditions, trace)

    def decide(self, sight: Sight) -> Step:
        """The higher of both."""
        if sight.now - self._forecast_at >= REFORECAST_S:
            self._forecast_at = sight.now
            self._hours = self.forecast(sight.minutes)
        step = self._tracking.decide(sight)
        return Step(max(step.desired, self.floor_at(sight.now)), step.next_s)

    def forecast(self, minutes: Sequence[Minute]) -> list[int]:
        """Instances for each hour of the day; none before a day's data is there."""
        hours = [0.0] * (len(minutes) // 60)
        for hour in range(len(hours)):
            hours[hour] = sum(minute.sent for minute in minutes[60 * hour : 60 * hour + 60])
        if len(hours) < DAY_HOURS:
            return []
        wanted = []
        for hour in range(DAY_HOURS):
            same = hours[hour::DAY_HOURS][-self.days :]
            load = sum(same) / len(same) * self._takes_s / HOUR_S
            wanted.append(ceil(load / self.utilisation - 1e-9))
        return wanted

    def floor_at(self, now: float) -> int:
        """What the forecast asks for now: this hour's capacity, and the next one's shortly before it."""
        if not self._hours:
            return 0
        return max(self._hours[int(at // HOUR_S) % DAY_HOURS] for at in (now, now + self.buffer_s))


@dataclass(slots=True)
class StepScaling:
    """Percent steps on the number of messages waiting.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html: what a step adds or removes is
    rounded towards zero, but to one where it is less; while instances warm up, only what a higher step has more is
    added, and nothing is removed. Thresholds are multiples of what one instance works off within the target wait, and a
    larger breach adds no less than a smaller one.
    """

    out_above: float = 1.0
    second_above: float = 2.0
    third_above: float = 4.0
    out_percent: float = 10.0
    second_percent: float = 30.0
    third_percent: float = 100.0
    in_below: float = 0.1
    in_percent: float = 10.0
    out_points: int = 1
    in_points: int = 15
    warmup_s: float = DEFAULT_WARMUP_S
    min_size: int = 1
    name: str = field(default="step-scaling", init=False)
    _unit: float = field(default=1.0, init=False, repr=False)
    _warm: list[tuple[float, int]] = field(default_factory=list, init=False, repr=False)  # (warm at, instances)

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - nothing of the trace is known
        """At its minimum.

        Raises:
            ValueError: a larger breach would add less.
        """
        if not self.out_percent <= self.second_percent <= self.third_percent:
            raise ValueError(
                "step-scaling: second_percent, third_percent: must be at least the percentage of the step below"
                f" (got {self.out_percent:g}, {self.second_percent:g}, {self.third_percent:g})"
            )
        self._unit = conditions.target_wait_s / conditions.seconds_per_message
        self._warm = []
        return self.min_size

    def decide(self, sight: Sight) -> Step:
        """One evaluation of both alarms a minute."""
        self._warm = [(at, count) for at, count in self._warm if at > sight.now]
        warming = sum(count for _, count in self._warm)
        wanted = self.wanted([minute.visible for minute in sight.minutes[-self.in_points :]], sight.desired, warming)
        if wanted > sight.desired:
            self._warm.append((sight.now + self.warmup_s, wanted - sight.desired))
        return Step(wanted, next_minute(sight.now))

    def wanted(self, points: Sequence[float], desired: int, warming: int) -> int:
        """The desired capacity after one evaluation; `warming` of the desired are not warm yet."""
        latest = [point / self._unit for point in points[-self.in_points :]]
        high = latest[-self.out_points :]
        if len(high) == self.out_points and all(point >= self.out_above for point in high):
            percent = self.out_percent
            if high[-1] >= self.third_above:
                percent = self.third_percent
            elif high[-1] >= self.second_above:
                percent = self.second_percent
            warm = desired - warming
            return max(desired, warm + rounded(warm * percent / 100.0))
        low = len(latest) == self.in_points and all(point <= self.in_below for point in latest)
        if low and not warming:
            return max(self.min_size, desired + rounded(-desired * self.in_percent / 100.0))
        return desired


def rounded(adjustment: float) -> int:
    """A percentage of the capacity in whole instances: towards zero, but to one where it is less than one."""
    if adjustment == 0.0:
        return 0
    if abs(adjustment) < 1.0:
        return 1 if adjustment > 0 else -1
    return int(adjustment + (1e-9 if adjustment > 0 else -1e-9))
