"""What can happen to a drain, as values: AWS's events and answers, consumers' and people's words, a group's reading.

What each makes of a drain is `sluice.draining.state_machine`'s to say; here is what each tells. Answers name what
they answer.
"""

from enum import StrEnum

from sluice.model.draining import CommandStatus, HookAction
from sluice.model.frozen import dataclass


class EventKind(StrEnum):
    """What can happen to a drain; the value is the diagram's label."""

    TERMINATING = "terminating hook"
    SPOT = "spot interruption"
    WAITING = "found waiting"
    POOL_WAITING = "found waiting for its warm pool"
    GONE = "instance gone"
    ENDED = "machine ended"
    RETAINED = "found retained"
    SERVING = "found in service"
    STOP_SENT = "stop sent"
    STOP_UNANSWERED = "stop not accepted"
    COMMAND_PENDING = "command not known to have begun"
    COMMAND_RUNNING = "command running, agent online"
    COMMAND_SUCCEEDED = "command succeeded"
    COMMAND_KILLED = "command: consumer killed"
    COMMAND_MISSING = "command: no such unit"
    COMMAND_FAILED = "command failed"
    COMMAND_UNKNOWN = "command timed out, cancelled or undeliverable"
    REPORT_WORKING = "consumer works on its end"
    REPORT_DONE = "consumer is done"
    IN_FLIGHT = "messages in flight"
    HELD = "heartbeat held"
    NOT_HELD = "heartbeat: no active action"
    PROBE_HELD = "probe held"
    PROBE_NOT_HELD = "probe: no active action"  # in no row: another hook holds the instance
    COMPLETED = "action completed"
    NOT_ACTIVE = "completion: no active action"
    ENDING = "termination asked for"
    NOT_RETAINED = "termination: nothing is retained"
    TICK = "tick"
    DEADLINE = "tick after the deadline"
    RELEASE = "operator's release"


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
    """EC2 takes the instance back SPOT_NOTICE_S after `at`."""

    fleet: str
    instance_id: str
    at: float
    kind = EventKind.SPOT


@dataclass(frozen=True, slots=True)
class FoundWaiting:
    """A reading of the group shows the instance waiting to terminate; `hook` has no token."""

    fleet: str
    hook: HookAction
    kind = EventKind.WAITING


@dataclass(frozen=True, slots=True)
class FoundPoolWaiting:
    """A reading of the group shows the instance held on its way into the warm pool; `hook` has no token.

    From service, and then our hook may be what holds it, or new, and then a launch hook is: a reading does not tell.
    """

    fleet: str
    hook: HookAction
    kind = EventKind.POOL_WAITING


@dataclass(frozen=True, slots=True)
class InstanceGone:
    """A reading of the group shows the instance past our hook (`aws_state`), or does not show it (None)."""

    aws_state: str | None
    kind = EventKind.GONE


@dataclass(frozen=True, slots=True)
class MachineEnded:
    """EC2 has stopped or terminated the instance's machine: nothing works on it any more."""

    kind = EventKind.ENDED


@dataclass(frozen=True, slots=True)
class FoundRetained:
    """A reading of the group shows that it keeps the instance; `hook` has no token."""

    fleet: str
    hook: HookAction
    kind = EventKind.RETAINED


@dataclass(frozen=True, slots=True)
class FoundInService:
    """A reading of the group shows the instance in service, or on its way there."""

    kind = EventKind.SERVING


@dataclass(frozen=True, slots=True)
class StopSent:
    """Run Command took stop number `ask`."""

    ask: int
    command_id: str
    kind = EventKind.STOP_SENT


@dataclass(frozen=True, slots=True)
class StopNotAccepted:
    """Stop number `ask` was not accepted, or we do not know whether it was."""

    ask: int
    reason: str
    kind = EventKind.STOP_UNANSWERED


@dataclass(frozen=True, slots=True)
class CommandReported:
    """How a command stands, by Run Command's event or asked for."""

    command_id: str
    status: CommandStatus

    @property
    def kind(self) -> EventKind:
        """One kind a status."""
        return EventKind[f"COMMAND_{self.status.name}"]


@dataclass(frozen=True, slots=True)
class ConsumerReported:
    """The consumer itself says how its end stands; `at` is when it said so."""

    at: float
    done: bool

    @property
    def kind(self) -> EventKind:
        """One kind for being at it, one for being done."""
        return EventKind.REPORT_DONE if self.done else EventKind.REPORT_WORKING


@dataclass(frozen=True, slots=True)
class MessagesInFlight:
    """How many messages are in flight while no instance but those that drain works on them."""

    count: float
    kind = EventKind.IN_FLIGHT


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered:
    """A heartbeat was answered: `held` if the action is active; a probe's answer names the fleet."""

    hook: HookAction
    held: bool
    probe: bool = False
    fleet: str = ""

    @property
    def kind(self) -> EventKind:
        """A probe is a heartbeat for a drain that was released, or that is none yet."""
        if self.probe:
            return EventKind.PROBE_HELD if self.held else EventKind.PROBE_NOT_HELD
        return EventKind.HELD if self.held else EventKind.NOT_HELD


@dataclass(frozen=True, slots=True)
class CompletionAnswered:
    """A completion was answered: `active` if there was an action to complete."""

    hook: HookAction
    active: bool

    @property
    def kind(self) -> EventKind:
        """Both are a success."""
        return EventKind.COMPLETED if self.active else EventKind.NOT_ACTIVE


@dataclass(frozen=True, slots=True)
class TerminationAnswered:
    """Auto Scaling took the termination of a retained instance; not `found` if it retains none."""

    found: bool

    @property
    def kind(self) -> EventKind:
        """Both end a retention."""
        return EventKind.ENDING if self.found else EventKind.NOT_RETAINED


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; `retains` says whether the group keeps abandoned instances, None if it was not looked at."""

    retains: bool | None = None
    kind = EventKind.TICK


@dataclass(frozen=True, slots=True)
class OperatorRelease:
    """A person wants the instance to go on now; `hook` has no token, so that it holds for any action of ours."""

    fleet: str
    hook: HookAction
    kind = EventKind.RELEASE


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
    | ConsumerReported
    | MessagesInFlight
    | HeartbeatAnswered
    | CompletionAnswered
    | TerminationAnswered
    | Tick
    | OperatorRelease
)


type GroupEvent = FoundWaiting | FoundPoolWaiting | InstanceGone | FoundRetained | FoundInService


def event_for_state(fleet: str, hook: HookAction, aws_state: str | None) -> GroupEvent | None:
    """What a group's reading tells of one instance; None if it tells nothing of its drain.

    Args:
        fleet: the fleet's name.
        hook: our hook on that instance, without token.
        aws_state: the group's own word for the instance's state; None if the group does not show it. States after
            https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html and
            https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html (an instance that
            goes back to its warm pool waits at its termination hook in Warmed:Pending:Wait)
    """
    if aws_state is None:
        return InstanceGone(None)
    if aws_state == "InService" or aws_state.startswith("Pending"):
        return FoundInService()
    sight: GroupEvent | None = None
    match aws_state.removeprefix("Warmed:").split(":"):
        case ["Terminating", "Wait"]:
            sight = FoundWaiting(fleet, hook)
        case ["Pending", "Wait"]:
            sight = FoundPoolWaiting(fleet, hook)
        case ["Terminating" | "Pending", "Retained"]:
            sight = FoundRetained(fleet, hook)
        case ["Terminating" | "Pending", "Proceed"] | ["Terminated" | "Stopped" | "Running" | "Hibernated"]:
            sight = InstanceGone(aws_state)
    return sight
