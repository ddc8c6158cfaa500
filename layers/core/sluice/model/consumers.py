"""What consumers report of themselves, and what is on record of each."""

from enum import StrEnum

from sluice.model.draining import CompleteHook, HookAction
from sluice.model.frozen import dataclass


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


class BootState(StrEnum):
    """How far an instance's launch has come."""

    BOOTING = "booting"  # launched, without a report of its consumer
    READY = "ready"  # its consumer can take messages
    WORKING = "working"  # its consumer has taken its first message
    LOST = "lost"  # it left the group before its consumer was ready
    LEFT = "left"  # it was ready, and is leaving or gone


@dataclass(frozen=True, slots=True)
class Consumer:
    """What is known of an instance's consumer, as the ledger keeps it. All times are in epoch seconds."""

    fleet: str
    instance_id: str
    boot: BootState
    updated_at: float
    launched_at: float | None = None  # the start of its launch, if known
    ready_at: float | None = None
    first_message_at: float | None = None
    hook: HookAction | None = None  # the launch's lifecycle action, if known
    hook_at: float | None = None  # the start of that action
    status: ConsumerStatus | None = None  # the last that it reported
    status_at: float | None = None
    in_flight: int | None = None  # messages, by the last report
    protected: bool = False  # Sluice has protected its instance from scale-in
    measured: bool = False  # the time from launch to first message was measured
    version: int = 0  # of the ledger's record: each write raises it by one


@dataclass(frozen=True, slots=True)
class BootStep:
    """The new record of a consumer, and the lifecycle actions to complete once it is written."""

    consumer: Consumer | None
    actions: tuple[CompleteHook, ...] = ()
