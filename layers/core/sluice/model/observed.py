"""What a tick observes: queues, groups and instances as frozen dataclasses and enums, and a fleet's mode.

Times are epoch seconds (float, UTC), durations are seconds, rates are per second. Nothing here reads a clock, calls AWS
or checks a user's input, which `sluice.config` does.
"""

from enum import StrEnum

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """One observed figure and the moment it was true."""

    value: float
    at: float

    def age_s(self, now: float) -> float:
        """Seconds since the figure was true. Never negative: clocks differ a little."""
        return max(0.0, now - self.at)


@dataclass(frozen=True, slots=True)
class Series:
    """Counts per period, ascending in time: `points[i]` is (start of the period in epoch seconds, count in it)."""

    period_s: float
    points: tuple[tuple[float, float], ...] = ()

    def since(self, at: float) -> tuple[tuple[float, float], ...]:
        """The points of the periods that begin at `at` (epoch seconds) or later, to the nearest period; ascending."""
        first = len(self.points)
        while first and self.points[first - 1][0] >= at - self.period_s / 2:
            first -= 1
        return self.points[first:]

    def ended(self, since: float, until: float) -> list[tuple[float, float, float]]:
        """(start, end, count) of the periods that begin at `since` or later and have ended by `until`; ascending."""
        periods = [(start_at, start_at + self.period_s, count) for start_at, count in self.since(since)]
        return [period for period in periods if period[1] <= until]


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One queue at a tick. A figure that could not be read is None, never zero."""

    visible: Reading | None = None  # messages waiting (approximate)
    in_flight: Reading | None = None  # messages received and not yet deleted
    delayed: Reading | None = None  # messages that are not visible yet
    oldest_age: Reading | None = None  # seconds, of the oldest message not yet deleted
    sent: Series | None = None  # messages sent, per period
    deleted: Series | None = None  # messages deleted, per period: completed work
    received: Series | None = None  # messages received, per period; a message that is received again counts again
    retention_s: float | None = None  # how long the queue keeps a message, in seconds
    visibility_s: float | None = None  # how long the queue hides a received message, in seconds; a receive may differ


class Lifecycle(StrEnum):
    """The state of an instance in its group's lifecycle, as coarse as decisions need it."""

    LAUNCHING = "launching"  # Pending, Pending:Wait, Pending:Proceed
    IN_SERVICE = "in-service"  # InService
    DRAINING = "draining"  # Terminating, Terminating:Wait, Terminating:Proceed
    OUT_OF_SERVICE = "out-of-service"  # Standby, Detached, Detaching, EnteringStandby, Warmed:*, Terminating:Retained
    GONE = "gone"  # Terminated

    @classmethod
    def of(cls, aws_state: str) -> "Lifecycle":
        """The state for one of Auto Scaling's lifecycle states, such as "Pending:Wait".

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
        """
        folded = {
            "Pending": cls.LAUNCHING,
            "InService": cls.IN_SERVICE,
            "Terminating": cls.DRAINING,
            "Terminated": cls.GONE,
        }
        if aws_state == "Terminating:Retained":  # kept after an abandoned hook: no longer part of the capacity
            return cls.OUT_OF_SERVICE
        return folded.get(aws_state.partition(":")[0], cls.OUT_OF_SERVICE)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a group."""

    id: str
    state: Lifecycle
    aws_state: str = ""  # Auto Scaling's lifecycle state, such as "Terminating:Wait"
    healthy: bool = True
    protected: bool = False
    launched_at: float | None = None  # the start of its launch in epoch seconds, if known
    weight: float = 1.0  # capacity units


def capacity(instances: tuple[Instance, ...], *states: Lifecycle) -> float:
    """The capacity units of the healthy instances that are in one of the states."""
    units = 0.0
    for instance in instances:
        if instance.healthy and instance.state in states:
            units += instance.weight
    return units


@dataclass(frozen=True, slots=True)
class LaunchFailure:
    """A launch of the group that failed; `message` is Auto Scaling's."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class Membership:
    """The Auto Scaling group that an instance is in."""

    group: str
    aws_state: str  # its lifecycle state there, as Auto Scaling names it


@dataclass(frozen=True, slots=True)
class GroupReading:
    """An Auto Scaling group at a tick; sizes are in the group's own capacity units."""

    name: str
    at: float
    desired: int
    min_size: int
    max_size: int
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()  # process names, such as "Launch"
    launch_failures: tuple[LaunchFailure, ...] = ()  # most recent first
    protects_new: bool = False  # the group protects each new instance from scale-in
    retains: bool = False  # the group keeps an instance whose termination hook is abandoned
    max_lifetime_s: float | None = None  # the group replaces an instance that has been in service for longer

    def count(self, state: Lifecycle) -> int:
        """How many instances are in `state`."""
        return sum(1 for instance in self.instances if instance.state is state)


class Mode(StrEnum):
    """What becomes of a fleet's decisions: they are applied (act), only recorded (shadow), or the capacity is held."""

    ACT = "act"
    SHADOW = "shadow"
    PAUSED = "paused"
