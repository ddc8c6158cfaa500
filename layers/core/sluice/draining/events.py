"""What can happen to a drain, as values: AWS's events and answers, consumers' reports, operators' requests, readings.

`sluice.draining.state_machine` decides what each makes of a drain. Answers name what they answer. Times (`at`) are in
epoch seconds.
"""

from enum import StrEnum

from sluice.model.draining import CommandStatus, HookAction
from sluice.model.frozen import dataclass


class EventKind(StrEnum):
    """What can happen to a drain; the value is the diagram's label."""

    TERMINATING = "terminating hook"
    SPOT_INTERRUPTION = "spot interruption"
    FOUND_WAITING = "found waiting"
    FOUND_POOL_WAITING = "found waiting for its warm pool"
    INSTANCE_GONE = "instance gone"
    MACHINE_ENDED = "machine ended"
    FOUND_RETAINED = "found retained"
    FOUND_IN_SERVICE = "found in service"
    STOP_SENT = "stop sent"
    STOP_NOT_ACCEPTED = "stop not accepted"
    COMMAND_PENDING = "command not known to have begun"
    COMMAND_RUNNING = "command running, agent online"
    COMMAND_SUCCEEDED = "command succeeded"
    COMMAND_KILLED = "command: consumer killed"
    COMMAND_MISSING = "command: no such unit"
    COMMAND_FAILED = "command failed"
    COMMAND_UNKNOWN = "command timed out, cancelled or undeliverable"
    CONSUMER_WORKING = "consumer is finishing"
    CONSUMER_DONE = "consumer is done"
    NOTHING_FOUND = "nothing to finish"
    MESSAGES_IN_FLIGHT = "messages in flight"
    HEARTBEAT_HELD = "heartbeat held"
    HEARTBEAT_NOT_HELD = "heartbeat: no active action"
    PROBE_HELD = "probe held"
    PROBE_NOT_HELD = "probe: no active action"  # in no row: another hook holds the instance
    ACTION_COMPLETED = "action completed"
    ACTION_NOT_ACTIVE = "completion: no active action"
    TERMINATION_TAKEN = "termination asked for"
    NOT_RETAINED = "termination: nothing is retained"
    TICK = "tick"
    DEADLINE = "tick after the deadline"
    OPERATOR_RELEASE = "operator's release"


@dataclass(frozen=True, slots=True)
class Terminating:
    """The group holds the instance at our hook; `at` is the event's own time."""

    fleet: str
    hook: HookAction
    at: float
    destination: str = "EC2"
    kind = EventKind.TERMINATING


@dataclass(frozen=True, slots=True)
class SpotInterruption:
    """EC2 interrupts the Spot Instance SPOT_NOTICE_S seconds after `at`."""

    fleet: str
    instance_id: str
    at: float
    kind = EventKind.SPOT_INTERRUPTION


@dataclass(frozen=True, slots=True)
class FoundWaiting:
    """A reading of the group shows the instance waiting to terminate; `hook` has no token."""

    fleet: str
    hook: HookAction
    kind = EventKind.FOUND_WAITING


@dataclass(frozen=True, slots=True)
class FoundPoolWaiting:
    """A reading of the group shows the instance held on its way into the warm pool; `hook` has no token.

    It comes from service, and our hook may hold it, or it is new, and a launch hook does: a reading does not tell.
    """

    fleet: str
    hook: HookAction
    kind = EventKind.FOUND_POOL_WAITING


@dataclass(frozen=True, slots=True)
class InstanceGone:
    """A reading of the group shows the instance past our hook (`aws_state`), or does not show it (None)."""

    aws_state: str | None
    kind = EventKind.INSTANCE_GONE


@dataclass(frozen=True, slots=True)
class MachineEnded:
    """EC2 has stopped or terminated the instance's machine: no consumer runs on it any more."""

    kind = EventKind.MACHINE_ENDED


@dataclass(frozen=True, slots=True)
class FoundRetained:
    """A reading of the group shows that it keeps the instance; `hook` has no token."""

    fleet: str
    hook: HookAction
    kind = EventKind.FOUND_RETAINED


@dataclass(frozen=True, slots=True)
class FoundInService:
    """A reading of the group shows the instance in service, or on its way there."""

    kind = EventKind.FOUND_IN_SERVICE


@dataclass(frozen=True, slots=True)
class StopSent:
    """Run Command took stop number `ask`."""

    ask: int
    command_id: str
    kind = EventKind.STOP_SENT


@dataclass(frozen=True, slots=True)
class StopNotAccepted:
    """Stop number `ask` was not accepted, or it is not known whether it was."""

    ask: int
    reason: str
    kind = EventKind.STOP_NOT_ACCEPTED


@dataclass(frozen=True, slots=True)
class CommandReported:
    """The status of a stop command, by Run Command's event or asked for; `advice` is what its output has to say."""

    command_id: str
    status: CommandStatus
    advice: str = ""

    @property
    def kind(self) -> EventKind:
        """One kind a status."""
        return EventKind[f"COMMAND_{self.status.name}"]


@dataclass(frozen=True, slots=True)
class DrainReported:
    """The instance's consumers reported, at a time, that they are finishing or done.

    `draining_at` is the time of the last report that one of them is draining.
    """

    at: float
    done: bool
    draining_at: float | None = None

    @property
    def kind(self) -> EventKind:
        """One kind for finishing, one for done."""
        return EventKind.CONSUMER_DONE if self.done else EventKind.CONSUMER_WORKING


@dataclass(frozen=True, slots=True)
class MessagesInFlight:
    """How many messages are in flight while no instance but those that drain works on them."""

    count: float
    kind = EventKind.MESSAGES_IN_FLIGHT


@dataclass(frozen=True, slots=True)
class NothingFound:
    """A full check found no consumer at work on the instance, and why; None: that is no longer so."""

    why: str | None
    kind = EventKind.NOTHING_FOUND


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered:
    """Auto Scaling answered a heartbeat: `held` if the action is active; a probe's answer names the fleet."""

    hook: HookAction
    held: bool
    probe: bool = False
    fleet: str = ""

    @property
    def kind(self) -> EventKind:
        """A probe is a heartbeat for a drain that was released, or that is none yet."""
        if self.probe:
            return EventKind.PROBE_HELD if self.held else EventKind.PROBE_NOT_HELD
        return EventKind.HEARTBEAT_HELD if self.held else EventKind.HEARTBEAT_NOT_HELD


@dataclass(frozen=True, slots=True)
class CompletionAnswered:
    """Auto Scaling answered a completion: `active` if there was an action to complete."""

    hook: HookAction
    active: bool

    @property
    def kind(self) -> EventKind:
        """Both are a success."""
        return EventKind.ACTION_COMPLETED if self.active else EventKind.ACTION_NOT_ACTIVE


@dataclass(frozen=True, slots=True)
class TerminationAnswered:
    """Auto Scaling took the termination of a retained instance; not `found` if it retains none."""

    found: bool

    @property
    def kind(self) -> EventKind:
        """Both end a retention."""
        return EventKind.TERMINATION_TAKEN if self.found else EventKind.NOT_RETAINED


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; `retains` says whether the group keeps abandoned instances, None if that was not read."""

    retains: bool | None = None
    kind = EventKind.TICK


@dataclass(frozen=True, slots=True)
class OperatorRelease:
    """An operator releases the instance now; `hook` has no token, so that it stands for any action of ours."""

    fleet: str
    hook: HookAction
    kind = EventKind.OPERATOR_RELEASE


type Event = (
    Terminating
    | SpotInterruption
    | FoundWaiting
    | FoundPoolWaiting
    | InstanceGone
    | MachineEnded
    | FoundRetained
    | FoundInService
    | StopSent
    | StopNotAccepted
    | CommandReported
    | DrainReported
    | MessagesInFlight
    | NothingFound
    | HeartbeatAnswered
    | CompletionAnswered
    | TerminationAnswered
    | Tick
    | OperatorRelease
)


# What a reading of a group makes of one instance.
type GroupEvent = FoundWaiting | FoundPoolWaiting | InstanceGone | FoundRetained | FoundInService


def event_for_state(fleet: str, hook: HookAction, aws_state: str | None) -> GroupEvent | None:
    """The event of one instance's drain by its state in a group's reading; None if that is not about its drain.

    Args:
        fleet: the fleet's name.
        hook: our hook on that instance, without token.
        aws_state: Auto Scaling's own name of the instance's state; None if the group does not show it. States after
            https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html and
            https://docs.aws.amazon.com/autoscaling/ec2/userguide/replace-root-volume.html (a termination hook holds an
            instance before its root volume is replaced) and
            https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html (an instance that
            goes back to its warm pool waits at its termination hook in Warmed:Pending:Wait)
    """
    if aws_state is None:
        return InstanceGone(None)
    if aws_state == "InService" or aws_state.startswith("Pending"):
        return FoundInService()
    found: GroupEvent | None = None
    match aws_state.removeprefix("Warmed:").split(":"):
        case ["Terminating" | "ReplacingRootVolume", "Wait"]:
            found = FoundWaiting(fleet, hook)
        case ["Pending", "Wait"]:
            found = FoundPoolWaiting(fleet, hook)
        case ["Terminating" | "Pending", "Retained"]:
            found = FoundRetained(fleet, hook)
        case ["Terminating" | "Pending" | "ReplacingRootVolume", "Proceed"] | [
            "Terminated" | "RootVolumeReplaced" | "Stopped" | "Running" | "Hibernated"
        ]:
            found = InstanceGone(aws_state)
    return found
