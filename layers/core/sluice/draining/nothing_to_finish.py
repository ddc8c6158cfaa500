"""Instances that have nothing to finish: they are not waited for until the deadline.

Unknown is not dead: an agent that does not answer now, a stop without a result and a consumer that is silent say
nothing. These say that no consumer works on the instance, as long as none has reported anything else since its launch:

    failed          its consumers, all that are known, reported that they can never be ready
    never ready     it was held at the launch hook and left from there: it never was in service
    no such unit    the stop ran, and found no unit or container of that name, twice
    no agent        Systems Manager has never heard of it, though its boot has had BOOT_WITHIN_S

What is found must still be so GRACE_S later; then the drain is done, with an outcome of its own and without an alarm.
"""

from sluice.config.fleet import DrainPolicy, DrainVia, Fleet
from sluice.draining.deadlines import STATUS_CHECK_AFTER_S
from sluice.draining.events import NothingFound
from sluice.draining.observations import Observation
from sluice.draining.steps import changed, done
from sluice.model.consumers import BootState, Consumer, ConsumerStatus
from sluice.model.draining import (
    UNDER_WAY,
    CommandStatus,
    Drain,
    DrainOutcome,
    DrainStep,
    NothingToFinish,
)
from sluice.model.frozen import replace
from sluice.wording import duration

# How long an instance is held with nothing to finish, in case a consumer shows after all: a sweep's minute, so that two
# readings agree.
GRACE_S = 60.0
# An agent registers within a minute or two of a boot. One that has not after ten was not started, or may not register.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/ssm-agent-technical-details.html
BOOT_WITHIN_S = 600.0
# Statuses that a consumer cannot report unless it works, or can.
ALIVE = frozenset(ConsumerStatus) - {ConsumerStatus.FAILED, ConsumerStatus.DONE}


def nothing_found(fleet: Fleet, drain: Drain | None, observed: Observation, now: float) -> tuple[NothingFound, ...]:
    """What a full check says of an instance's work: an event if there is none, or if that is no longer so."""
    if drain is None or drain.state not in UNDER_WAY or not observed.in_full:
        return ()
    if drain.stop.command_id and drain.stop.asked_at and now < drain.stop.asked_at + STATUS_CHECK_AFTER_S:
        return ()  # a stop has just been asked for, and its answer says more
    consumer = observed.consumers.get(drain.instance_id)
    why = None if consumer is None else _why_by_reports(fleet, consumer)
    if why is None and fleet.drain.via is not DrainVia.SELF and (consumer is None or not _has_lived(consumer)):
        why = _why_by_stop(fleet.drain, drain, observed, now)
    command = observed.commands.get(drain.stop.command_id or "", {}).get(drain.instance_id)
    if command is CommandStatus.RUNNING:  # it is about to say how the consumer has ended
        why = None
    return () if why is None and drain.signs.nothing is None else (NothingFound(why),)


def _why_by_reports(fleet: Fleet, consumer: Consumer) -> str | None:
    """Why the record of an instance's consumers says that none works; None if it does not."""
    if _has_failed(consumer):
        return "its consumer has reported that it can never be ready"
    if fleet.launch.hook is not None and not _has_lived(consumer) and _was_never_in_service(consumer):
        return "its launch was abandoned before a consumer was ready"
    return None


def _why_by_stop(policy: DrainPolicy, drain: Drain, observed: Observation, now: float) -> str | None:
    """Why the stop by Run Command says that no consumer works; None if it does not."""
    if drain.stop.missing:
        return f"it has no {policy.what_is_stopped}"
    launched_at = observed.unregistered.get(drain.instance_id)
    if launched_at is not None and now >= launched_at + BOOT_WITHIN_S:
        since = duration(now - launched_at)
        return f"no SSM agent has registered on it in the {since} since its launch, so nothing there can be stopped"
    return None


def _has_failed(consumer: Consumer) -> bool:
    """Whether all that is known of an instance's consumers is that they failed, in this launch."""
    since = consumer.launched_at or consumer.hook_at or 0.0
    statuses = {report.status for report in consumer.reports if report.at >= since}
    return statuses == {ConsumerStatus.FAILED}


def _has_lived(consumer: Consumer) -> bool:
    return consumer.ready_at is not None or any(report.status in ALIVE for report in consumer.reports)


def _was_never_in_service(consumer: Consumer) -> bool:
    held = consumer.hook_at is not None or consumer.launched_at is not None
    return consumer.boot is BootState.LOST and held and consumer.served_at is None


def found(drain: Drain, event: NothingFound, _policy: DrainPolicy, now: float) -> DrainStep:
    """Nothing is to be finished: noted first, and once the grace is over the drain is done."""
    if event.why is None:
        signs = replace(drain.signs, nothing=None)
        return DrainStep(changed(drain, now, "the instance may have work to finish after all", signs=signs))
    if drain.signs.nothing is None:
        grace = duration(GRACE_S)
        note = f"the instance has nothing to finish: {event.why}; it is released in {grace} unless that changes"
        signs = replace(drain.signs, nothing=NothingToFinish(event.why, now))
        return DrainStep(changed(drain, now, note, signs=signs))
    if now < drain.signs.nothing.since + GRACE_S:
        return DrainStep(drain)
    step = done(drain, now, f"the instance has nothing to finish: {event.why}")
    assert step.drain is not None
    return replace(step, drain=replace(step.drain, outcome=DrainOutcome.NOTHING))
