"""Instances that their group keeps for inspection: they cost money until an operator releases them."""

from sluice.config.fleet import DrainPolicy
from sluice.draining.beginning import unknown_drain
from sluice.draining.deadlines import TRUSTED_READING_S
from sluice.draining.events import FoundRetained, InstanceGone, OperatorRelease, TerminationAnswered
from sluice.draining.steps import changed, released, without_retry
from sluice.model.draining import Drain, DrainCause, DrainOutcome, DrainState, DrainStep, TerminateInstance
from sluice.model.frozen import replace


def retained(drain: Drain, now: float) -> DrainStep:
    """The group keeps the instance from now on."""
    note = "kept for inspection by its group: it costs money until an operator releases it"
    retention = replace(drain.retention, since=now)
    return DrainStep(
        changed(without_retry(drain), now, note, state=DrainState.RETAINED, retention=retention, outcome=None)
    )


def found_retained(drain: Drain | None, event: FoundRetained, _policy: DrainPolicy, now: float) -> DrainStep:
    """The group keeps an instance, whoever abandoned its action: it must not be forgotten."""
    if drain is not None and drain.state is DrainState.RELEASED and now < drain.updated_at + TRUSTED_READING_S:
        return DrainStep(drain)
    return retained(drain or unknown_drain(event.fleet, event.hook, DrainCause.TERMINATE, now), now)


def terminate(drain: Drain, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """An operator has seen enough. If the instance cannot be terminated now, the operator's request is answered so."""
    asked = changed(drain, now, "released by an operator: asking Auto Scaling to terminate the instance")
    return DrainStep(asked, (TerminateInstance(event.hook.group, drain.instance_id),))


def terminating(drain: Drain, _event: TerminationAnswered, _policy: DrainPolicy, now: float) -> DrainStep:
    """Auto Scaling terminates the instance."""
    return DrainStep(changed(drain, now, "released by an operator: Auto Scaling terminates the instance"))


def no_longer_retained(
    drain: Drain, _event: InstanceGone | TerminationAnswered, _policy: DrainPolicy, now: float
) -> DrainStep:
    """The instance is not kept any more."""
    return released(drain, now, DrainOutcome.TERMINATED, "the group no longer keeps the instance")
