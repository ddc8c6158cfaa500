"""What one look at a fleet tells of each of its drains: AWS's lists and consumers' words, as events.

A word that could not be read is missing, and tells nothing.
"""

from collections.abc import Iterable
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.draining.events import (
    CommandReported,
    ConsumerReported,
    Event,
    GroupEvent,
    InstanceGone,
    MachineEnded,
    MessagesInFlight,
    event_for_state,
)
from sluice.draining.state_machine import UNDER_WAY
from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.draining import CommandStatus, Drain, HookAction
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading

# What a consumer says that is a sign of life of its drain.
AT_WORK = frozenset({ConsumerStatus.BUSY, ConsumerStatus.DRAINING})


@dataclass(frozen=True, slots=True)
class Observation:
    """What AWS and consumers say of a fleet's instances, as of one round."""

    reading: GroupReading | None = None
    consumers: dict[str, Consumer] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()  # ids of instances whose machines are stopped or terminated
    in_flight: float | None = None  # messages, where that tells something
    commands: dict[str, dict[str, CommandStatus]] = field(default_factory=dict)  # by command, then by instance
    online: frozenset[str] = frozenset()  # ids of instances whose agents answer, where signs of life are wanted


def group_events(fleet: Fleet, drains: Iterable[str], reading: GroupReading | None) -> dict[str, GroupEvent | None]:
    """What the group's reading tells of each instance, of those with a drain too; nothing if there is none."""
    if reading is None:
        return {}
    states: dict[str, str | None] = dict.fromkeys(drains)
    states |= {instance.id: instance.aws_state for instance in reading.instances}
    return {key: event_for_state(fleet.name, our_hook(fleet, key), state) for key, state in states.items()}


def events_for(drain: Drain | None, sight: GroupEvent | None, look: Observation) -> tuple[Event, ...]:
    """What is said of one instance: by its group, Run Command, EC2, its consumer and its queue."""
    if isinstance(sight, InstanceGone):
        return (sight,)
    news: list[Event] = [] if sight is None else [sight]
    if drain is None or drain.state not in UNDER_WAY:
        return tuple(news)
    if drain.command_id in look.commands:
        # What is not listed yet has not begun, as far as anybody knows.
        status = look.commands[drain.command_id].get(drain.instance_id, CommandStatus.PENDING)
        # A dead agent's command stays as it was: that it began is no sign of life while the agent is silent.
        if status is not CommandStatus.RUNNING or drain.instance_id in look.online:
            news.append(CommandReported(drain.command_id or "", status))
    if drain.instance_id in look.ended:
        news.append(MachineEnded())
    consumer = look.consumers.get(drain.instance_id)
    if consumer and consumer.status_at is not None and (told := reported(consumer.status, consumer.status_at)):
        news.append(told)
    if look.in_flight is not None:
        news.append(MessagesInFlight(look.in_flight))
    return tuple(news)


def reported(status: ConsumerStatus | None, at: float) -> ConsumerReported | None:
    """What a consumer's word tells of its drain: a sign of life, or the end; None if it tells nothing of it."""
    return (
        ConsumerReported(at, done=status is ConsumerStatus.DONE) if status in {*AT_WORK, ConsumerStatus.DONE} else None
    )


def our_hook(fleet: Fleet, instance_id: str) -> HookAction:
    """The lifecycle action by which a fleet's group waits for the drain of an instance."""
    return HookAction(fleet.group, fleet.drain.hook, instance_id)


def urgency(drain: Drain | None) -> float:
    """What to sort by: instances without a record first (their hook's clock runs unseen), then by last heartbeat."""
    if drain is None:
        return 0.0
    return drain.heartbeat_at or drain.hook_at or drain.started_at
