"""How an instance is released: its consumer is done, its deadline passes, an operator asks, or it went by itself."""

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.draining.beginning import unknown_drain
from sluice.draining.deadlines import (
    NO_ACTION_KEPT_S,
    RETENTION_CHECK_S,
    TRUSTED_READING_S,
    action_began_at,
    due_at,
    heartbeats_until,
    may_have_timed_out,
    next_heartbeat_at,
)
from sluice.draining.events import (
    CompletionAnswered,
    DrainReported,
    FoundInService,
    HeartbeatAnswered,
    InstanceGone,
    MachineEnded,
    OperatorRelease,
    Tick,
)
from sluice.draining.retention import retained
from sluice.draining.steps import changed, completion, done, released, without_retry
from sluice.draining.stop_command import ask_to_stop, killed_note, with_advice
from sluice.model.draining import (
    RELEASE_OWED,
    CompleteHook,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    LifecycleAction,
    SendHeartbeat,
)
from sluice.model.frozen import replace
from sluice.wording import duration

# --------------------------------------------------------------------------- the consumer is done


def consumer_done(drain: Drain, event: DrainReported, policy: DrainPolicy, now: float) -> DrainStep:
    """All known consumers of the instance report that they are done.

    A report from before this lifecycle action began is not about it. A stop that is under way may wait for a process
    that reports nothing: its own end counts.
    """
    old = event.at < action_began_at(drain) or may_have_timed_out(drain, policy, now)
    if old or drain.stop.command_id is not None:
        return DrainStep(drain)
    return done(drain, now, "all known consumers of the instance reported that they are done")


def machine_ended(drain: Drain, _event: MachineEnded, _policy: DrainPolicy, now: float) -> DrainStep:
    """EC2 has stopped or terminated the machine: no report of the consumer is needed."""
    return done(drain, now, "the instance's machine has ended: no consumer runs on it any more")


# --------------------------------------------------------------------------- time passes


def wait(drain: Drain, _event: Tick, policy: DrainPolicy, now: float) -> DrainStep:
    """What is due before the deadline: a heartbeat, and a stop that is to be asked for again."""
    heartbeat: tuple[SendHeartbeat, ...] = ()
    if drain.hook is not None and now < heartbeats_until(drain, policy):
        heartbeat = (SendHeartbeat(drain.hook),) if now >= next_heartbeat_at(drain, policy) else ()
    if drain.stop.retry_at is None or now < drain.stop.retry_at or policy.via is DrainVia.SELF:
        return DrainStep(drain, heartbeat)
    step = ask_to_stop(drain, policy, now, "asking the consumer to stop again")
    return replace(step, actions=(*heartbeat, *step.actions))


def heartbeat_answered(drain: Drain, event: HeartbeatAnswered, _policy: DrainPolicy, now: float) -> DrainStep:
    """The hook's timeout was restarted."""
    if event.hook != drain.hook:
        return DrainStep(drain)
    heartbeats = replace(drain.heartbeats, last_at=now, count=drain.heartbeats.count + 1)
    return DrainStep(replace(drain, heartbeats=heartbeats, updated_at=now))


def expire(drain: Drain, event: Tick, policy: DrainPolicy, now: float) -> DrainStep:
    """The drain is due: released, or kept for inspection where that is wanted and the group can.

    A Spot Instance is never kept. Where the group keeps nothing, ABANDON would only cut other hooks short.
    """
    to_keep = policy.keep_failed and drain.cause is not DrainCause.SPOT and drain.action is not None
    if to_keep and event.retains is None and now - due_at(drain, policy) < RETENTION_CHECK_S:
        return DrainStep(drain)
    silent = now < drain.deadline.at and policy.silence_s is not None
    why = f"no sign of life for {duration(policy.silence_s or 0.0)}" if silent else "the drain's deadline has passed"
    note = f"{why}, and the consumer is not known to have stopped"
    retention = replace(drain.retention, requested=bool(to_keep and event.retains))
    expired = changed(
        without_retry(drain), now, note, state=DrainState.EXPIRED, retention=retention, outcome=DrainOutcome.EXPIRED
    )
    return DrainStep(expired, completion(expired))


def complete_again(drain: Drain, _event: Tick, _policy: DrainPolicy, now: float) -> DrainStep:
    """The action is completed until that is answered; a drain without an action is closed at last."""
    if drain.action is not None:
        return DrainStep(drain, completion(drain))
    if now < drain.deadline.at + NO_ACTION_KEPT_S:
        return DrainStep(drain)
    note = f"no lifecycle hook held the instance within {duration(NO_ACTION_KEPT_S)} after the drain's deadline"
    return released(drain, now, DrainOutcome.CLOSED, note)


# --------------------------------------------------------------------------- the release is answered


def completed(drain: Drain, event: CompletionAnswered, policy: DrainPolicy, now: float) -> DrainStep:
    """Auto Scaling has taken the completion: the instance goes on, or is kept for inspection."""
    if event.hook != drain.hook:
        return DrainStep(drain)
    if drain.retention.requested and drain.state is DrainState.EXPIRED:
        return retained(drain, now)
    if drain.outcome is DrainOutcome.NOTHING and drain.signs.nothing is not None:
        why = f"it had nothing to finish ({drain.signs.nothing.why})"
    elif drain.stop.killed:
        why = killed_note(policy)
    elif drain.state is DrainState.DONE:
        why = "its consumer has stopped"
    else:
        why = "its consumer was not known to have stopped"
    return released(drain, now, DrainOutcome.COMPLETED, with_advice(f"instance released: {why}", drain.stop))


def already_over(
    drain: Drain, event: HeartbeatAnswered | CompletionAnswered, _policy: DrainPolicy, now: float
) -> DrainStep:
    """No lifecycle action is active: another completed it, or it timed out."""
    if event.hook != drain.hook:
        return DrainStep(drain)
    return released(drain, now, DrainOutcome.LATE, "the lifecycle hook was already completed, or had timed out")


def gone(drain: Drain, event: InstanceGone, policy: DrainPolicy, now: float) -> DrainStep:
    """The instance went on without Sluice."""
    where = f"is {event.aws_state}" if event.aws_state else "is no longer in its group"
    if drain.state in RELEASE_OWED:
        how = ""
    elif policy.via is DrainVia.SELF:
        how = ": its consumer completed the lifecycle hook itself"
    else:
        how = ", and its consumer was not known to have stopped"
    return released(drain, now, DrainOutcome.GONE, f"the instance {where}{how}")


def in_service(drain: Drain, _event: FoundInService, _policy: DrainPolicy, now: float) -> DrainStep:
    """Its action is over, though no event said so; a drain that only a Spot notice began goes on."""
    if drain.action is None or now < action_began_at(drain) + TRUSTED_READING_S:
        return DrainStep(drain)
    note = "the instance is in service again: its lifecycle hook is over"
    return released(drain, now, DrainOutcome.GONE, note)


# --------------------------------------------------------------------------- an operator's release


def release_now(drain: Drain | None, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """An operator's request stands for the deadline, whether a drain is on record or not."""
    drain = drain or unknown_drain(event.fleet, event.hook, DrainCause.OPERATOR, now)
    asked = _for_any_action(without_retry(drain), event)
    deadline = replace(drain.deadline, at=min(drain.deadline.at, now))
    expired = changed(asked, now, "released by an operator", state=DrainState.EXPIRED, deadline=deadline, outcome=None)
    return DrainStep(expired, (CompleteHook(event.hook),))


def release_again(drain: Drain, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """A drain that is done stays done: the completion is only repeated, whatever token was on record."""
    asked = changed(_for_any_action(drain, event), now, "released by an operator")
    return DrainStep(asked, (CompleteHook(event.hook),))


def _for_any_action(drain: Drain, event: OperatorRelease) -> Drain:
    """The drain with a lifecycle action that has no token, and with nothing to be kept for inspection."""
    destination = "EC2" if drain.action is None else drain.action.destination
    action = LifecycleAction(event.hook, action_began_at(drain), destination)
    return replace(drain, action=action, retention=replace(drain.retention, requested=False))
