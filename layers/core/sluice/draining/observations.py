"""What a sweep observed of a fleet, as the events of each of its drains: AWS's lists and consumers' reports.

What could not be read is missing, and makes no event.
"""

from collections.abc import Iterable
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.consumers.reports import ENDED
from sluice.draining.deadlines import action_began_at
from sluice.draining.events import (
    CommandReported,
    DrainReported,
    Event,
    GroupEvent,
    InstanceGone,
    MachineEnded,
    MessagesInFlight,
    event_for_state,
)
from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.draining import UNDER_WAY, CommandStatus, Drain, HookAction
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading

# Reports of a consumer that are signs of life of its drain.
AT_WORK = frozenset({ConsumerStatus.BUSY, ConsumerStatus.DRAINING})


@dataclass(frozen=True, slots=True)
class Observation:
    """What AWS and consumers report of a fleet's instances, as of one round."""

    reading: GroupReading | None = None
    consumers: dict[str, Consumer] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()  # ids of instances whose machines are stopped or terminated
    in_flight: float | None = None  # messages, where they are a sign of life
    commands: dict[str, dict[str, CommandStatus]] = field(default_factory=dict)  # by command, then by instance
    in_full: bool = False  # whether consumers' records were read
    unregistered: dict[str, float] = field(default_factory=dict)  # ids without an agent ever: when EC2 launched them
    online: frozenset[str] = frozenset()  # ids of instances whose agents answer, where signs of life are wanted


def group_events(fleet: Fleet, drains: Iterable[str], reading: GroupReading | None) -> dict[str, GroupEvent | None]:
    """The event that the group's reading makes for each instance in it, and each with a drain; none without one."""
    if reading is None:
        return {}
    states: dict[str, str | None] = dict.fromkeys(drains)
    states |= {instance.id: instance.aws_state for instance in reading.instances}
    return {key: event_for_state(fleet.name, our_hook(fleet, key), state) for key, state in states.items()}


def events_for(drain: Drain | None, group_event: GroupEvent | None, observed: Observation) -> tuple[Event, ...]:
    """The events of one instance's drain: from its group, Run Command, EC2, its consumer and its queue."""
    if isinstance(group_event, InstanceGone):
        return (group_event,)
    events: list[Event] = [] if group_event is None else [group_event]
    if drain is None or drain.state not in UNDER_WAY:
        return tuple(events)
    if drain.stop.command_id in observed.commands:
        # What is not listed yet is not known to have begun.
        status = observed.commands[drain.stop.command_id].get(drain.instance_id, CommandStatus.PENDING)
        # A dead agent's command stays as it was: that it began is no sign of life while the agent is silent.
        if status is not CommandStatus.RUNNING or drain.instance_id in observed.online:
            events.append(CommandReported(drain.stop.command_id or "", status))
    if drain.instance_id in observed.ended:
        events.append(MachineEnded())
    consumer = observed.consumers.get(drain.instance_id)
    if consumer and (report := reported(consumer)):
        events.append(report)
    if observed.in_flight is not None:
        events.append(MessagesInFlight(observed.in_flight))
    return tuple(events)


def reported(consumer: Consumer) -> DrainReported | None:
    """What an instance's consumers report of its drain together; None if no report is about it.

    They are done once all known ones are, and the earliest of these reports must be about this drain: a consumer that
    reported done before it may have been started again. Until then the latest report of work is a sign of life, and
    the latest report that one is draining is progress.
    """
    done = [each.at for each in consumer.reports if each.status is ConsumerStatus.DONE]
    if done and all(each.status in ENDED for each in consumer.reports):
        return DrainReported(min(done), done=True)
    at_work = [each.at for each in consumer.reports if each.status in AT_WORK]
    draining = [each.at for each in consumer.reports if each.status is ConsumerStatus.DRAINING]
    return DrainReported(max(at_work), done=False, draining_at=max(draining, default=None)) if at_work else None


def our_hook(fleet: Fleet, instance_id: str, drain: Drain | None = None) -> HookAction:
    """The lifecycle action by which a fleet's group waits for the drain of an instance.

    A drain keeps the group and the hook that it began with, whatever the fleet's document says since.
    """
    if drain is not None and drain.hook is not None:
        return replace(drain.hook, token=None)
    return HookAction(fleet.group, fleet.drain.hook, instance_id)


def urgency(drain: Drain | None) -> float:
    """What to sort by: instances without a record first (their hook's clock runs unseen), then by last heartbeat."""
    if drain is None:
        return 0.0
    return drain.heartbeats.last_at or action_began_at(drain)
