"""Signs that a consumer is finishing its work: they prolong a drain where the fleet has a longest silence.

A sign is put on record only there (`drain.silence_s`): without a longest silence the deadline alone decides.
"""

from sluice.config.fleet import DrainPolicy
from sluice.draining.deadlines import action_began_at
from sluice.draining.events import CommandReported, DrainReported, MessagesInFlight
from sluice.model.draining import Drain, DrainStep
from sluice.model.frozen import replace


def command_running(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The stop runs on the instance, and the instance's agent answers."""
    return _alive(drain, policy, now, now) if event.command_id == drain.stop.command_id else DrainStep(drain)


def consumer_working(drain: Drain, event: DrainReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The consumer reported, since the lifecycle action began, that it is finishing."""
    return _alive(drain, policy, event.at, now) if event.at >= action_began_at(drain) else DrainStep(drain)


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
