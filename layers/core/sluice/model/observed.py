"""The words of Sluice as values: what is observed, decided and done, in frozen dataclasses and enums.

Times are epoch seconds (float, UTC), durations seconds, rates per second. Nothing here reads a clock, calls AWS
or checks a user's input: `config` does the last.
"""

from enum import StrEnum

from sluice.model.frozen import dataclass

# --------------------------------------------------------------------------- observed: the snapshot of a tick


@dataclass(frozen=True, slots=True)
class Reading:
    """One observed figure and the moment it was true."""

    value: float
    at: float

    def age_s(self, now: float) -> float:
        """Seconds since the figure was true; never negative, since clocks differ a little."""
        return max(0.0, now - self.at)


@dataclass(frozen=True, slots=True)
class Series:
    """Counts per period, ascending: `points[i]` is (start of the period, count within it)."""

    period_s: float
    points: tuple[tuple[float, float], ...] = ()

    def since(self, at: float) -> tuple[tuple[float, float], ...]:
        """The points of the periods that begin at a moment or later, ascending: it is to the nearest period."""
        first = len(self.points)
        while first and self.points[first - 1][0] >= at - self.period_s / 2:
            first -= 1
        return self.points[first:]


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One queue as seen at a tick. A figure that could not be read is None, never zero."""

    visible: Reading | None = None  # waiting, messages (approximate)
    in_flight: Reading | None = None  # received, not yet deleted
    delayed: Reading | None = None  # not yet visible
    oldest_age: Reading | None = None  # seconds, of the oldest message not yet deleted
    sent: Series | None = None  # messages sent, per period
    deleted: Series | None = None  # messages deleted, per period: work completed
    received: Series | None = None  # messages received, per period: work begun, some of it again


class Lifecycle(StrEnum):
    """Where an instance is in its group's lifecycle, folded to what decisions need."""

    LAUNCHING = "launching"  # Pending, Pending:Wait, Pending:Proceed
    IN_SERVICE = "in-service"  # InService
    DRAINING = "draining"  # Terminating, Terminating:Wait, Terminating:Proceed
    OUT_OF_SERVICE = "out-of-service"  # Standby, Detached, Detaching, EnteringStandby, Warmed:*, Terminating:Retained
    GONE = "gone"  # Terminated

    @classmethod
    def of(cls, aws_state: str) -> "Lifecycle":
        """Fold the group's own word for a state.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
        """
        folded = {
            "Pending": cls.LAUNCHING,
            "InService": cls.IN_SERVICE,
            "Terminating": cls.DRAINING,
            "Terminated": cls.GONE,
        }
        if aws_state == "Terminating:Retained":  # kept after an abandoned hook: no longer the group's to count
            return cls.OUT_OF_SERVICE
        return folded.get(aws_state.partition(":")[0], cls.OUT_OF_SERVICE)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a group."""

    id: str
    state: Lifecycle
    aws_state: str = ""  # the group's own word, such as "Terminating:Wait"
    healthy: bool = True
    protected: bool = False
    launched_at: float | None = None  # when its launch began, where known
    weight: float = 1.0  # capacity units


def capacity(instances: tuple[Instance, ...], *states: Lifecycle) -> float:
    """Capacity units of the healthy instances in any of the states."""
    units = 0.0
    for instance in instances:
        if instance.healthy and instance.state in states:
            units += instance.weight
    return units


@dataclass(frozen=True, slots=True)
class LaunchFailure:
    """A launch that the group tried in vain."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class Membership:
    """The Auto Scaling group that an instance is in."""

    group: str
    aws_state: str  # its lifecycle state there, in AWS's word


@dataclass(frozen=True, slots=True)
class GroupReading:
    """An Auto Scaling group as seen at a tick."""

    name: str
    at: float
    desired: int
    min_size: int
    max_size: int
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()  # process names, such as "Launch"
    launch_failures: tuple[LaunchFailure, ...] = ()  # most recent first
    retains: bool = False  # an instance whose termination hook is abandoned is kept

    def count(self, state: Lifecycle) -> int:
        """How many instances are in `state`."""
        return sum(1 for instance in self.instances if instance.state is state)


# --------------------------------------------------------------------------- decided


class Mode(StrEnum):
    """What a fleet's decisions are for: applied, only recorded, or held."""

    ACT = "act"
    SHADOW = "shadow"
    PAUSED = "paused"
