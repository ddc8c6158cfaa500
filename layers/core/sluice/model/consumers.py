"""What consumers report of themselves, and what is on record of the consumers of each instance."""

from enum import StrEnum

from sluice.model.draining import CompleteHook, HookAction
from sluice.model.frozen import dataclass

UNNAMED = ""  # an instance has at most one consumer without a name
CONSUMER_NAME = r"[A-Za-z0-9][A-Za-z0-9@._:/\\-]{0,127}"
# An instance's record holds the last reports of so many consumers, in about 6 KB: an item of DynamoDB may have 400 KB,
# and a write costs by the KB.
CONSUMERS_MAX = 64
OVERFLOW = "*"  # stands for all consumers above CONSUMERS_MAX; no consumer can have this name


class ConsumerStatus(StrEnum):
    """What a consumer reports of itself. docs/draining.md describes the event that carries it."""

    READY = "ready"  # it can take messages: its instance may count as in service
    FAILED = "failed"  # it can never be ready: its instance is to be replaced
    BUSY = "busy"  # at least one message is in flight
    IDLE = "idle"  # no message is in flight
    DRAINING = "draining"  # it takes no new messages and completes those in flight
    DONE = "done"  # it has completed or returned all its messages


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a consumer; `at` is the event's own time, in epoch seconds."""

    instance_id: str
    status: ConsumerStatus
    at: float
    in_flight: int | None = None  # messages
    consumer: str = UNNAMED  # its name on its instance


@dataclass(frozen=True, slots=True)
class LastReport:
    """The last report of one of an instance's consumers; `at` in epoch seconds, `in_flight` in messages."""

    consumer: str
    status: ConsumerStatus
    at: float
    in_flight: int | None = None


class BootState(StrEnum):
    """How far an instance's launch has come."""

    BOOTING = "booting"  # launched, without a report of a consumer
    READY = "ready"  # a consumer can take messages
    WORKING = "working"  # a consumer has taken the first message
    LOST = "lost"  # it left the group before a consumer was ready
    LEFT = "left"  # it was ready, and is leaving or gone


@dataclass(frozen=True, slots=True)
class Consumer:
    """What is known of an instance's consumers, as the ledger keeps it. All times are in epoch seconds."""

    fleet: str
    instance_id: str
    boot: BootState
    updated_at: float
    launched_at: float | None = None  # the start of its launch, if known
    ready_at: float | None = None
    served_at: float | None = None  # when the group first showed the instance in service
    first_message_at: float | None = None
    hook: HookAction | None = None  # the launch's lifecycle action, if known
    hook_at: float | None = None  # the start of that action
    reports: tuple[LastReport, ...] = ()  # one of each known consumer, at most CONSUMERS_MAX and OVERFLOW's
    protected: bool = False  # Sluice has protected its instance from scale-in
    refresh_seen_at: float | None = None  # when an instance refresh was last seen that is to replace its instance
    measured: bool = False  # the time from launch to first message was measured
    version: int = 0  # of the ledger's record: each write raises it by one

    @property
    def heard_at(self) -> float | None:
        """When any of them reported last."""
        return max((report.at for report in self.reports), default=None)


@dataclass(frozen=True, slots=True)
class BootStep:
    """The new record of a consumer, and the lifecycle actions to complete once it is written."""

    consumer: Consumer | None
    actions: tuple[CompleteHook, ...] = ()
