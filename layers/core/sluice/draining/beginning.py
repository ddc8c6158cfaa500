"""How a drain begins, is joined by its lifecycle action, and begins anew when the instance leaves a second time."""

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.draining.deadlines import (
    SPOT_NOTICE_S,
    STALE_STOP_S,
    TRUSTED_READING_S,
    action_began_at,
    heartbeats_until,
)
from sluice.draining.events import (
    FoundPoolWaiting,
    FoundWaiting,
    HeartbeatAnswered,
    SpotInterruption,
    Terminating,
)
from sluice.draining.steps import changed
from sluice.draining.stop_command import ask_to_stop
from sluice.model.draining import (
    CompleteHook,
    Deadline,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    HookAction,
    LifecycleAction,
    SendHeartbeat,
    StopCommand,
)
from sluice.model.frozen import replace
from sluice.wording import duration

type HeldByHook = Terminating | FoundWaiting | FoundPoolWaiting  # each says that a hook holds the instance


def begin(old: Drain | None, event: HeldByHook, policy: DrainPolicy, now: float) -> DrainStep:
    """A drain begins; over the record of an earlier one, if there is one.

    One that a reading found has waited for an unknown time: its hook's timeout is restarted first of all.
    """
    blank = _blank(old, event.fleet, event.hook.instance_id, now)
    blank = replace(
        blank,
        deadline=Deadline(now + policy.deadline_s, now + max(policy.deadline_s, policy.bound_s)),
        action=_action_of(event, now),
    )
    step = _ask_first(blank, policy, now)
    if isinstance(event, Terminating):
        return step
    return replace(step, actions=(SendHeartbeat(event.hook), *step.actions))


def begin_for_spot(old: Drain | None, event: SpotInterruption, policy: DrainPolicy, now: float) -> DrainStep:
    """No hook holds an interrupted instance: it is drained at once, in the two minutes there are."""
    deadline_at = min(now + policy.deadline_s, event.at + SPOT_NOTICE_S)
    blank = _blank(old, event.fleet, event.instance_id, now)
    return _ask_first(replace(blank, cause=DrainCause.SPOT, deadline=Deadline(deadline_at)), policy, now)


def unknown_drain(fleet: str, hook: HookAction, cause: DrainCause, now: float) -> Drain:
    """A record for an instance that had none: its deadline is now."""
    return replace(_blank(None, fleet, hook.instance_id, now), cause=cause, action=LifecycleAction(hook, now))


def _blank(old: Drain | None, fleet: str, instance_id: str, now: float) -> Drain:
    """A new drain that is due now; of an earlier one only the count of stops and the record's version go on."""
    return Drain(
        fleet=fleet,
        instance_id=instance_id,
        state=DrainState.NOTICED,
        cause=DrainCause.TERMINATE,
        started_at=now,
        deadline=Deadline(now),
        updated_at=now,
        stop=StopCommand(asked_count=old.stop.asked_count if old else 0),
        version=old.version if old else 0,
    )


def _action_of(event: HeldByHook, now: float) -> LifecycleAction:
    if isinstance(event, Terminating):
        return LifecycleAction(event.hook, min(event.at, now), event.destination)
    return LifecycleAction(event.hook, now)


def _ask_first(blank: Drain, policy: DrainPolicy, now: float) -> DrainStep:
    """A drain's first step: ask for the stop, or leave that to a consumer that watches for itself."""
    if policy.via is DrainVia.SELF:
        note = "the consumer watches the instance metadata and stops by itself"
        return DrainStep(changed(blank, now, note, state=DrainState.STOPPING))
    return ask_to_stop(blank, policy, now, "asking the consumer to stop")


# --------------------------------------------------------------------------- the lifecycle action becomes known


def join(drain: Drain, event: HeldByHook, policy: DrainPolicy, now: float) -> DrainStep:
    """The lifecycle action of a drain under way becomes known, or is another one."""
    if drain.action is not None:
        return begin_again(drain, event, policy, now)
    joined = _joined(drain, event, now)
    unseen = not isinstance(event, Terminating) and now < heartbeats_until(joined, policy)
    return DrainStep(joined, (SendHeartbeat(event.hook),) if unseen else ())


def join_when_over(drain: Drain, event: HeldByHook, policy: DrainPolicy, now: float) -> DrainStep:
    """The lifecycle action of a drain that is done or expired becomes known: complete it, or it is another one."""
    if drain.action is not None:
        return begin_again(drain, event, policy, now)
    if now > drain.updated_at + STALE_STOP_S:
        return begin(drain, event, policy, now)
    return DrainStep(_joined(drain, event, now), (CompleteHook(event.hook),))


def begin_again(drain: Drain, event: HeldByHook, policy: DrainPolicy, now: float) -> DrainStep:
    """A lifecycle action that began after the one on record: the instance was drained, came back and leaves again."""
    later = (
        isinstance(event, Terminating)
        and event.at > action_began_at(drain)
        and (drain.hook is None or event.hook.token != drain.hook.token)
    )
    return begin(drain, event, policy, now) if later else DrainStep(drain)


def _joined(drain: Drain, event: HeldByHook, now: float) -> Drain:
    heartbeats = replace(drain.heartbeats, last_at=None)
    note = "the group holds the instance at the lifecycle hook"
    return changed(drain, now, note, action=_action_of(event, now), heartbeats=heartbeats)


# --------------------------------------------------------------------------- Spot


def shorten_for_spot(drain: Drain, event: SpotInterruption, _policy: DrainPolicy, now: float) -> DrainStep:
    """EC2 does not wait for the rest of the deadline."""
    deadline = Deadline(min(drain.deadline.at, event.at + SPOT_NOTICE_S))
    if deadline == drain.deadline:
        return DrainStep(drain)
    if deadline.at == drain.deadline.at:
        return DrainStep(replace(drain, deadline=deadline, updated_at=now))
    note = f"EC2 interrupts the Spot Instance in {duration(deadline.at - now)}"
    return DrainStep(changed(drain, now, note, deadline=deadline))


def begin_for_spot_again(drain: Drain, event: SpotInterruption, policy: DrainPolicy, now: float) -> DrainStep:
    """A notice that is later than the drain's end is of another life of the instance."""
    return begin_for_spot(drain, event, policy, now) if event.at > drain.updated_at else DrainStep(drain)


# --------------------------------------------------------------------------- found waiting without a drain under way


def probe(drain: Drain | None, event: FoundWaiting | FoundPoolWaiting, _policy: DrainPolicy, now: float) -> DrainStep:
    """Another hook may hold the instance: a heartbeat tells whether it is ours, once the reading cannot be old."""
    if drain is not None and drain.outcome is not DrainOutcome.GONE and now < drain.updated_at + TRUSTED_READING_S:
        return DrainStep(drain)
    return DrainStep(drain, (SendHeartbeat(event.hook, probe=True),))


def probe_answered(drain: Drain | None, event: HeartbeatAnswered, policy: DrainPolicy, now: float) -> DrainStep:
    """Our hook holds the instance: its drain begins."""
    return begin(drain, FoundWaiting(drain.fleet if drain else event.fleet, event.hook), policy, now)
