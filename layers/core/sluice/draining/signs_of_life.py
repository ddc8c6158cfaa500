"""Signs that a consumer is finishing its work: they prolong a drain.

A report that consumers are draining puts the deadline off, up to its `longest_at`. The other signs count, and
are put on record, only where the fleet has a longest silence (`drain.silence_s`).
"""

from sluice.config.fleet import DrainPolicy
from sluice.consumers.protection import BUSY_TIMEOUT_S
from sluice.draining.deadlines import action_began_at
from sluice.draining.events import CommandReported, DrainReported, MessagesInFlight
from sluice.model.draining import Deadline, Drain, DrainStep
from sluice.model.frozen import replace


def command_running(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The stop runs on the instance, and the instance's agent answers."""
    return _alive(drain, policy, now, now) if event.command_id == drain.stop.command_id else DrainStep(drain)


def consumer_working(drain: Drain, event: DrainReported, policy: DrainPolicy, now: float) -> DrainStep:
    """Consumers reported, since the lifecycle action began, that they are finishing."""
    if event.at < action_began_at(drain):
        return DrainStep(drain)
    step = _alive(drain, policy, event.at, now)
    return DrainStep(_put_off(step.drain or drain, event, policy, now))


def _put_off(drain: Drain, event: DrainReported, policy: DrainPolicy, now: float) -> Drain:
    """The drain with its deadline put off by a report that consumers are draining: progress, which is said each minute.

    A consumer that is only busy may not know that it is to stop, and would never end.
    """
    longest_at = drain.deadline.longest_at
    if longest_at is None or event.draining_at is None or event.draining_at < action_began_at(drain):
        return drain
    held_until = min(event.draining_at, now) + max(policy.deadline_s, BUSY_TIMEOUT_S)
    at = min(held_until, longest_at)
    return drain if at <= drain.deadline.at else replace(drain, deadline=Deadline(at, longest_at), updated_at=now)


def messages_in_flight(drain: Drain, event: MessagesInFlight, policy: DrainPolicy, now: float) -> DrainStep:
    """Fewer messages in flight than before: something finishes, and only draining instances work."""
    before = drain.signs.in_flight
    if policy.silence_s is None or event.count == before:
        return DrainStep(drain)
    signs = replace(drain.signs, in_flight=event.count)
    if before is not None and event.count < before:
        signs = replace(signs, last_at=now)
    return DrainStep(replace(drain, signs=signs, updated_at=now))


def _alive(drain: Drain, policy: DrainPolicy, at: float, now: float) -> DrainStep:
    """A sign of life that was given at a time."""
    if policy.silence_s is None or at <= max(drain.started_at, drain.signs.last_at or 0.0):
        return DrainStep(drain)
    return DrainStep(replace(drain, signs=replace(drain.signs, last_at=min(at, now)), updated_at=now))
