"""What consumers say of themselves, and what is on record of each, as records."""

from enum import StrEnum

from sluice.model.draining import CompleteHook, HookAction
from sluice.model.frozen import dataclass

# --------------------------------------------------------------------------- consumers


class ConsumerStatus(StrEnum):
    """What a consumer says of itself (docs/draining.md has the event it says it by)."""

    READY = "ready"  # it can take messages: its instance may count
    FAILED = "failed"  # it will never be ready: replace its instance
    BUSY = "busy"  # it works on at least one message
    IDLE = "idle"  # it has no message in flight
    DRAINING = "draining"  # it takes nothing new, and works on what it has
    DONE = "done"  # it has let go of everything


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a consumer said."""

    instance_id: str
    status: ConsumerStatus
    at: float
    in_flight: int | None = None  # messages it works on


class BootState(StrEnum):
    """How far an instance has come on its way into service."""

    BOOTING = "booting"  # launched; nothing heard of its consumer
    READY = "ready"  # its consumer can take messages
    WORKING = "working"  # its consumer has begun its first message
    LOST = "lost"  # it left before its consumer was ready
    LEFT = "left"  # it was ready, and is on its way out or gone


@dataclass(frozen=True, slots=True)
class Consumer:
    """What is known of an instance's consumer, as the ledger keeps it."""

    fleet: str
    instance_id: str
    boot: BootState
    updated_at: float
    launched_at: float | None = None  # when its launch began, where known
    ready_at: float | None = None
    first_message_at: float | None = None
    hook: HookAction | None = None  # the launch's lifecycle action, where one is known
    hook_at: float | None = None  # when that began
    status: ConsumerStatus | None = None  # the last it said
    status_at: float | None = None
    in_flight: int | None = None
    protected: bool = False  # we have protected its instance from scale-in
    measured: bool = False  # launch to first message was counted
    version: int = 0  # of the ledger's record; each write raises it by one


@dataclass(frozen=True, slots=True)
class BootStep:
    """What is to become of a consumer's record, and then what to do."""

    consumer: Consumer | None
    actions: tuple[CompleteHook, ...] = ()
