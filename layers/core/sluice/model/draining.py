"""Drains: their states, causes and outcomes, and the steps that a drain asks for, as records."""

from enum import StrEnum

from sluice.model.frozen import dataclass

# --------------------------------------------------------------------------- drains


class DrainState(StrEnum):
    """Where a drain stands."""

    NOTICED = "noticed"  # the instance is to go; nothing asked of it yet
    STOPPING = "stopping"  # its consumer was asked to stop (or is known to watch for itself)
    DONE = "done"  # its consumer has said that it is done; the release is owed
    EXPIRED = "expired"  # its deadline has passed; the release is owed
    RETAINED = "retained"  # its group keeps it for inspection, and it costs money, until an operator lets it go
    RELEASED = "released"  # the lifecycle action is completed, by us or by another


class CommandStatus(StrEnum):
    """How a stop stands on one instance: Run Command's answer, folded to what a drain needs."""

    PENDING = "pending"  # not known to have begun: not delivered, not listed yet, or sent and not answered
    RUNNING = "running"  # it began on the instance
    SUCCEEDED = "succeeded"
    KILLED = "killed"  # the consumer is gone, but was killed before it had finished
    MISSING = "missing"  # the instance has no unit or container of that name
    FAILED = "failed"  # the command ran and failed
    UNKNOWN = (
        "unknown"  # Undeliverable, DeliveryTimedOut, TimedOut, Cancelled, Terminated: says nothing of the consumer
    )

    @classmethod
    def of(cls, word: str) -> "CommandStatus":
        """Fold Run Command's own Status or StatusDetails; what is not known here says nothing of the consumer.

        InProgress is said of a command that was sent, whether it has begun or not.
        https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
        """
        folded = {
            "Pending": cls.PENDING,
            "InProgress": cls.PENDING,
            "Delayed": cls.PENDING,
            "Cancelling": cls.PENDING,
            "Success": cls.SUCCEEDED,
            "Failed": cls.FAILED,
        }
        return folded.get(word.replace(" ", ""), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class HookAction:
    """One lifecycle action that waits for an answer; the token is optional, the instance id suffices."""

    group: str
    hook: str
    instance_id: str
    token: str | None = None


class HookResult(StrEnum):
    """How a lifecycle action is completed."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


class DrainCause(StrEnum):
    """Why a drain began."""

    TERMINATE = "terminate"  # the group waits for the instance at our hook
    SPOT = "spot"  # EC2 takes the instance back
    OPERATOR = "operator"  # an operator released an instance that was not on record


class DrainOutcome(StrEnum):
    """How a drain came to be released."""

    COMPLETED = "completed"  # we completed the lifecycle action
    LATE = "late"  # no action was active any more: another completed it, or its timeout ended it
    GONE = "gone"  # the instance went on, or left its group, without our word
    CLOSED = "closed"  # no lifecycle action ever came, long after there was anything left to do
    TERMINATED = "terminated"  # it was retained, and is no longer


@dataclass(frozen=True, slots=True)
class Drain:
    """One instance on its way out of service, as the ledger keeps it."""

    fleet: str
    instance_id: str
    state: DrainState
    cause: DrainCause
    started_at: float
    deadline_at: float
    updated_at: float
    hook: HookAction | None = None  # None while no lifecycle action is known (a Spot notice comes first)
    command_id: str | None = None  # of the stop that is under way; None once it ended without the consumer's word
    heartbeat_at: float | None = None
    heartbeat_count: int = 0
    destination: str = "EC2"  # or "WarmPool": drained all the same
    note: str = ""  # the last thing that happened, in words
    version: int = 0  # of the ledger's record; each write raises it by one
    hook_at: float | None = None  # when the lifecycle action began, as far as known
    asked_at: float | None = None  # when a stop was last asked for
    asked_count: int = 0  # stops asked for, ever: tells the answer to one from the answer to another
    unanswered_count: int = 0  # stops of this drain that came to nothing we know of
    failed_count: int = 0  # stops of this drain that ran and failed
    retry_at: float | None = None  # when to ask again; None: not before something else happens
    outcome: DrainOutcome | None = None  # once released
    alive_at: float | None = None  # the last sign that its consumer is at work on its end
    in_flight: float | None = None  # messages in flight when last looked at, while nothing but drains works on them
    keeping: bool = False  # the lifecycle action was abandoned, for its group to keep the instance
    retained_at: float | None = None  # since when its group keeps it
    killed: bool = False  # its consumer was killed before it had finished


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What Run Command is to do on an instance: stop a systemd unit, or a container in its place."""

    unit: str = "consumer.service"
    container: str | None = None
    document: str | None = None  # None: the stack's own; any other takes `unit`, `container` and `executionTimeout`


@dataclass(frozen=True, slots=True)
class StopConsumer:
    """Ask the instance, by Run Command, to stop its consumer; `ask` is the drain's `asked_count` at that moment."""

    instance_id: str
    order: StopOrder
    timeout_s: float  # until when it must have ended
    ask: int


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Restart the hook's timeout; as a probe, learn whether our hook holds an instance whose drain is released."""

    hook: HookAction
    probe: bool = False


@dataclass(frozen=True, slots=True)
class CompleteHook:
    """Complete the lifecycle action: the instance goes on."""

    hook: HookAction
    result: HookResult = HookResult.CONTINUE


@dataclass(frozen=True, slots=True)
class TerminateInstance:
    """Terminate an instance that its group has retained."""

    group: str
    instance_id: str


type DrainAction = StopConsumer | SendHeartbeat | CompleteHook | TerminateInstance


@dataclass(frozen=True, slots=True)
class DrainStep:
    """What is to become of a drain: the record to write if it differs, and then what to do, in order."""

    drain: Drain | None  # None: there is none, and none begins
    actions: tuple[DrainAction, ...] = ()
