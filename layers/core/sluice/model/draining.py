"""Records of drains: their states, causes and outcomes, their parts, and the steps that a drain asks for."""

from enum import StrEnum

from sluice.model.frozen import dataclass

# --------------------------------------------------------------------------- drains


class DrainState(StrEnum):
    """Where a drain stands."""

    NOTICED = "noticed"  # the instance is to leave; its consumer has not been asked to stop yet
    STOPPING = "stopping"  # its consumer was asked to stop, or watches the instance metadata itself
    DONE = "done"  # its consumer has stopped; the lifecycle action is still to be completed
    EXPIRED = "expired"  # its deadline has passed; the lifecycle action is still to be completed
    RETAINED = "retained"  # its group keeps it for inspection, and it costs money, until an operator releases it
    RELEASED = "released"  # the lifecycle action is completed, by Sluice or by another


UNDER_WAY = frozenset({DrainState.NOTICED, DrainState.STOPPING})
RELEASE_OWED = frozenset({DrainState.DONE, DrainState.EXPIRED})  # the lifecycle action is still to be completed
AT_REST = frozenset({DrainState.RETAINED, DrainState.RELEASED})  # nothing is to be done until something else happens


class CommandStatus(StrEnum):
    """The status of a stop command on one instance, reduced to what a drain needs to know."""

    PENDING = "pending"  # not known to have begun: not delivered, not listed yet, or sent and not answered
    RUNNING = "running"  # it began on the instance
    SUCCEEDED = "succeeded"
    KILLED = "killed"  # the consumer is gone, but was killed before it had finished
    MISSING = "missing"  # the instance has no unit or container of that name
    FAILED = "failed"  # the command ran and failed
    # Undeliverable, DeliveryTimedOut, TimedOut, Cancelled, Terminated: they do not say how the consumer is.
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, aws_status: str) -> "CommandStatus":
        """The status for Run Command's own Status or StatusDetails; UNKNOWN for one that is not listed here.

        InProgress is the status of a command that was sent, whether it has begun on the instance or not.
        https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
        """
        statuses = {
            "Pending": cls.PENDING,
            "InProgress": cls.PENDING,
            "Delayed": cls.PENDING,
            "Cancelling": cls.PENDING,
            "Success": cls.SUCCEEDED,
            "Failed": cls.FAILED,
        }
        return statuses.get(aws_status.replace(" ", ""), cls.UNKNOWN)


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
    OPERATOR = "operator"  # an operator released an instance that had no drain on record


class DrainOutcome(StrEnum):
    """How a drain came to be released."""

    COMPLETED = "completed"  # Sluice completed the lifecycle action
    EXPIRED = "expired"  # the deadline, or the longest silence, had passed before the consumers were known to be done
    NOTHING = "nothing"  # was to be finished on the instance, so that it was not waited for
    INTERRUPTED = "interrupted"  # its consumer was killed before it had finished
    LATE = "late"  # no action was active any more: another completed it, or its timeout ended it
    GONE = "gone"  # the instance went on, or left its group, without Sluice
    CLOSED = "closed"  # no lifecycle action came within an hour of the deadline
    TERMINATED = "terminated"  # it was kept for inspection, and is no longer


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """The lifecycle action that a drain is to complete. `began_at` is in epoch seconds, as far as known."""

    hook: HookAction
    began_at: float
    destination: str = "EC2"  # or "WarmPool": drained all the same


@dataclass(frozen=True, slots=True)
class StopCommand:
    """How asking the consumer to stop stands. Times are epoch seconds.

    Args:
        command_id: the Run Command under way; None if there is none, or if it ended without a result.
        asked_at: when a stop was last asked for.
        asked_count: stops asked for on this instance, ever: it tells the answer to one from the answer to another.
        unanswered_count: stops of this drain of which it is not known what became of them.
        failed_count: stops of this drain that ran and failed.
        retry_at: when to ask again; None: not before something else happens.
        killed: whether the consumer was killed before it had finished.
        missing: whether there was no unit or container to stop, also when that was asked again.
        advice: sentences about what there is to mend in how its units stop; empty if nothing is known.
    """

    command_id: str | None = None
    asked_at: float | None = None
    asked_count: int = 0
    unanswered_count: int = 0
    failed_count: int = 0
    retry_at: float | None = None
    killed: bool = False
    missing: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """The heartbeats that were sent for a drain; `last_at` (epoch seconds) is of its present lifecycle action."""

    last_at: float | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a drain is to be over, in epoch seconds.

    Args:
        at: then at the latest, as it stands now.
        longest_at: until when reports of consumers may put that off; None: they may not.
    """

    at: float
    longest_at: float | None = None


@dataclass(frozen=True, slots=True)
class NothingToFinish:
    """Why no consumer works on the instance, and since when that is known, in epoch seconds."""

    why: str
    since: float


@dataclass(frozen=True, slots=True)
class SignsOfLife:
    """What was seen of a consumer that finishes its work, or that there is none.

    Args:
        last_at: the last sign, in epoch seconds, where the fleet's `drain.silence_s` asks for it.
        in_flight: messages in flight when last read, while no instance but draining ones works on them; the same.
        nothing: why there is none at work; None where one may be.
    """

    last_at: float | None = None
    in_flight: float | None = None
    nothing: NothingToFinish | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """An instance that its group keeps for inspection: whether that was asked for, and since when (epoch seconds)."""

    requested: bool = False  # the lifecycle action is completed with ABANDON
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """One instance on its way out of service, as the ledger keeps it. Times are epoch seconds."""

    fleet: str
    instance_id: str
    state: DrainState
    cause: DrainCause
    started_at: float
    deadline: Deadline
    updated_at: float
    action: LifecycleAction | None = None  # None while no lifecycle action is known (a Spot notice comes first)
    stop: StopCommand = StopCommand()
    heartbeats: Heartbeats = Heartbeats()
    signs: SignsOfLife = SignsOfLife()
    retention: Retention = Retention()
    outcome: DrainOutcome | None = None  # once released
    note: str = ""  # the last thing that happened, as a sentence
    version: int = 0  # of the ledger's record; each write raises it by one

    @property
    def hook(self) -> HookAction | None:
        """The lifecycle action as Auto Scaling names it."""
        return None if self.action is None else self.action.hook


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """What EC2 is going to do to an instance."""

    instance_id: str
    code: str  # EC2's, such as "instance-retirement"
    at: float  # the earliest time of it, in epoch seconds


@dataclass(frozen=True, slots=True)
class UnreleasedDrain:
    """A drain whose instance is not released yet, as the ledger's index of all fleets has it."""

    fleet: str
    instance_id: str
    retained_since: float | None = None  # epoch seconds; None: it is under way, or its release is owed

    @classmethod
    def of(cls, drain: Drain | None) -> "UnreleasedDrain | None":
        """The index's entry of a drain; None once its instance is released."""
        if drain is None or drain.state is DrainState.RELEASED:
            return None
        since = drain.retention.since if drain.state is DrainState.RETAINED else None
        return cls(drain.fleet, drain.instance_id, since)


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What Run Command is to do on an instance: stop a systemd unit, or a container in its place."""

    unit: str = "consumer.service"
    container: str | None = None
    document: str | None = None  # None: the stack's own; any other takes `unit`, `container` and `executionTimeout`


@dataclass(frozen=True, slots=True)
class StopConsumer:
    """Ask the instance, by Run Command, to stop its consumer; `ask` is the drain's `stop.asked_count` at that time."""

    instance_id: str
    order: StopOrder
    timeout_s: float  # how long the command may run
    ask: int


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Restart the hook's timeout; as a probe, learn whether our hook holds an instance that has no drain under way."""

    hook: HookAction
    probe: bool = False


@dataclass(frozen=True, slots=True)
class CompleteHook:
    """Complete the lifecycle action: the instance goes on."""

    hook: HookAction
    result: HookResult = HookResult.CONTINUE


@dataclass(frozen=True, slots=True)
class TerminateInstance:
    """Terminate an instance that its group keeps for inspection."""

    group: str
    instance_id: str


type DrainAction = StopConsumer | SendHeartbeat | CompleteHook | TerminateInstance


@dataclass(frozen=True, slots=True)
class DrainStep:
    """What is to become of a drain: the record to write if it differs, and then what to do, in order."""

    drain: Drain | None  # None: there is no drain, and none begins
    actions: tuple[DrainAction, ...] = ()
