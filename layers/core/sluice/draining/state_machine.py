"""Draining: what becomes of an instance that is to leave, as one table over where its drain stands and what happened.

Theory of operation
-------------------
A drain is a record in the ledger, one for each instance. `advance` takes the record, one event, the fleet's policy
and the time; it answers what the record becomes and what to do about it. It does nothing itself. The caller

    1 writes the record, if it differs, at the version it was read at (another was first: read again, advance again);
    2 carries out the actions, in order;
    3 turns each answer into an event (`StopSent`, `HeartbeatAnswered` ...) and advances once more.

So the intent is on record before its effect, and the effect before its result. A crash after 1 leaves an intent that
the next `Tick` finds due again; a crash after 2 leaves an effect that is repeated, and all three actions may be:
stopping a stopped unit succeeds, a second completion finds no action to complete, a second heartbeat is a heartbeat.
A heartbeat has no intent of its own on record: the drain is the intent.

`TABLE` holds every transition there is. What is not in it (a command's answer for a drain that is done, an event
doubled, late or out of order) changes nothing. Which of two events is the right one is told by what it carries:

    a command's answer     counts only for the stop that the record names, and a stop sent only for the last one asked
    a hook's answer        counts only for the hook that the record names
    a terminating event    of another token and a later time than the record's is another lifecycle action: the instance
                           was drained once, came back (a warm pool) and leaves again, so its drain begins anew
    a reading              that shows an instance in service, long after its action began, ends that action's drain:
                           what is known of it (a stop that succeeded) says nothing of the consumer that works there now
    a consumer's report    counts only if it was made since the lifecycle action began

How long an instance is held: until its deadline, or, where the policy has a longest silence, until that long after
the last sign that its consumer is at work on its end. Signs are a stop that began on it while its agent is online, a
report of its consumer, and messages in flight becoming fewer while nothing but drains works on them. An instance
whose machine EC2 has ended needs no word of its consumer. Past its time it is released, or (`keep_failed`) kept for
inspection by a group that can: the action is abandoned, and it is RETAINED until a person lets it go.

Invariants, held by tests/property/test_draining_properties.py and by `python -m tools.chaos`:

    1 `CompleteHook` comes only of DONE (the consumer's stop succeeded, it said so, or its machine has ended) or EXPIRED
      (the deadline passed, nothing was heard of it for the longest silence, or a person said so).
    2 Unknown is not dead, and no sign of life: a stop that has not begun within BEGIN_WITHIN_S, is undeliverable,
      cancelled, timed out or not accepted leaves the drain where it is, to be asked again with growing pauses until
      the deadline. One that ran and failed, or found no unit to stop, is asked again FAILED_RETRIES times.
    3 Any prefix of any sequence of events can be followed by ticks and group readings alone, and ends in RELEASED, or
      in RETAINED where that is wanted.
    4 A completion or heartbeat that finds no active lifecycle action ends the drain; it is no error.
    5 No heartbeat at or after min(deadline, end of the longest silence, start of the action + 48 h, start + 100
      heartbeat timeouts).
    6 The deadline of a drain only ever comes nearer: by Spot's two minutes, or by a person's release.

An action that waits although its drain is RELEASED (its event was lost and the instance had been here before, or a
reading lacked it for a moment) is found by `FoundWaiting`: a probing heartbeat tells whether our hook holds it. So is
one of an instance that is held on its way into a warm pool (`FoundPoolWaiting`): a reading does not tell whether it
comes from service, and our hook holds it, or is new, and a launch hook does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sluice.config.fleet import HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS, DrainPolicy, DrainVia
from sluice.draining.events import (
    CommandReported,
    CompletionAnswered,
    ConsumerReported,
    Event,
    EventKind,
    FoundInService,
    FoundPoolWaiting,
    FoundRetained,
    FoundWaiting,
    HeartbeatAnswered,
    InstanceGone,
    MachineEnded,
    MessagesInFlight,
    OperatorRelease,
    SpotInterruption,
    StopNotAccepted,
    StopSent,
    Terminating,
    TerminationAnswered,
    Tick,
)
from sluice.model.draining import (
    CompleteHook,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    HookAction,
    HookResult,
    SendHeartbeat,
    StopConsumer,
    TerminateInstance,
)
from sluice.model.frozen import dataclass, replace

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_NOTICE_S = 120.0
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html: TimeoutSeconds is at least 30
STOP_TIMEOUT_MIN_S = 30.0
# How long an asked stop is left to whoever asked for it before a tick takes it for lost: the SDK's own retries fit in.
ASK_GRACE_S = 15.0
# Pauses between stops that came to nothing: an agent that restarts is back in seconds, one that is broken stays so.
RETRY_BASE_S = 10.0
RETRY_MAX_S = 120.0
# How long a stop may take to begin. Run Command lets none begin later than 30 s after it was sent (`TimeoutSeconds`),
# but says so only hours later, and a dead agent's command may stay in progress: the rest is for its answer to be read.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
BEGIN_WITHIN_S = 35.0
# A unit that fails to stop twice has a reason of its own: more of the same would only hide it.
FAILED_RETRIES = 1
# How long Run Command's event is waited for before its status is asked for: events come in a second or two.
STATUS_CHECK_AFTER_S = 15.0
# Until when it is asked for at every tick, and from then on once a sweep: a drain of hours is told of by its event.
STATUS_CHECK_OFTEN_S = 120.0
# How long after a release a reading may still show the instance waiting: DescribeAutoScalingGroups lags by seconds.
SETTLE_S = 60.0
# A consumer that stopped for a Spot notice may have been started again by then (the instance was only stopped).
STALE_STOP_S = 300.0
# How long after its deadline a drain without a lifecycle action is kept in sight.
NO_ACTION_KEPT_S = 3_600.0
# How long past its time an instance is held that is to be kept, while its group cannot be asked whether it keeps any.
RETENTION_CHECK_S = 60.0


# --------------------------------------------------------------------------- what is asked of a drain


def needs_status_check(drain: Drain, now: float, *, sweeping: bool) -> bool:
    """Whether Run Command should be asked how the drain's command stands, its event being overdue.

    Args:
        drain: the drain.
        now: epoch seconds.
        sweeping: whether this is a sweep's first round, not a tick within its minute.
    """
    if drain.state is not DrainState.STOPPING or drain.command_id is None or drain.asked_at is None:
        return False
    overdue_s = now - drain.asked_at
    return overdue_s >= STATUS_CHECK_AFTER_S and (sweeping or overdue_s < STATUS_CHECK_OFTEN_S)


def action_began_at(drain: Drain) -> float:
    """When a drain's lifecycle action began, or, while none is known, the drain itself."""
    return drain.started_at if drain.hook_at is None else drain.hook_at


def due_at(drain: Drain, policy: DrainPolicy) -> float:
    """When an instance is let go whatever its consumer does: at its deadline, or after the longest silence."""
    if policy.silence_s is None:
        return drain.deadline_at
    heard_at = max(drain.started_at, drain.alive_at or 0.0)
    return min(drain.deadline_at, heard_at + policy.silence_s)


def heartbeats_until(drain: Drain, policy: DrainPolicy) -> float:
    """When heartbeats end by themselves: once the drain is due, or where AWS ends the action whatever we send."""
    ceiling_s = min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * policy.hook_timeout_s)
    return min(due_at(drain, policy), action_began_at(drain) + ceiling_s)


def needs_signs(drain: Drain, policy: DrainPolicy) -> bool:
    """Whether signs of life prolong this drain."""
    return policy.silence_s is not None and drain.state in UNDER_WAY


# --------------------------------------------------------------------------- moves

type Held = Terminating | FoundWaiting | FoundPoolWaiting  # what tells of an instance held by a hook


def _with(drain: Drain, now: float, note: str, **changes: Any) -> Drain:
    return replace(drain, updated_at=now, note=note, **changes)


def _begun(blank: Drain, hook: HookAction | None, policy: DrainPolicy, now: float) -> DrainStep:
    """A drain's first step: ask for the stop, or leave that to a consumer that watches for itself."""
    if policy.via is DrainVia.SELF:
        note = "its consumer watches the instance metadata and stops by itself"
        return DrainStep(_with(blank, now, note, state=DrainState.STOPPING, hook=hook))
    return _asked(replace(blank, hook=hook), policy, now, "its consumer is asked to stop")


def _asked(drain: Drain, policy: DrainPolicy, now: float, note: str) -> DrainStep:
    """The intent to ask for a stop goes on record, and then the stop is asked for."""
    ask = drain.asked_count + 1
    left_s = drain.deadline_at - now
    timeout_s = max(STOP_TIMEOUT_MIN_S, left_s if policy.stop_timeout_s is None else min(left_s, policy.stop_timeout_s))
    return DrainStep(
        _with(drain, now, note, asked_at=now, asked_count=ask, retry_at=now + ASK_GRACE_S),
        (StopConsumer(drain.instance_id, policy.order, timeout_s, ask),),
    )


def _begin(old: Drain | None, event: Held, policy: DrainPolicy, now: float) -> DrainStep:
    """A drain begins; over the record of an earlier one, if there is one.

    One that a reading found has waited for an unknown time: its hook's timeout is restarted first of all.
    """
    blank = Drain(
        fleet=event.fleet,
        instance_id=event.hook.instance_id,
        state=DrainState.NOTICED,
        cause=DrainCause.TERMINATE,
        started_at=now,
        deadline_at=now + policy.deadline_s,
        updated_at=now,
        hook_at=min(event.at, now) if isinstance(event, Terminating) else now,
        destination=event.destination if isinstance(event, Terminating) else "EC2",
        asked_count=old.asked_count if old else 0,
        version=old.version if old else 0,
    )
    step = _begun(blank, event.hook, policy, now)
    if isinstance(event, Terminating):
        return step
    return replace(step, actions=(SendHeartbeat(event.hook), *step.actions))


def _begin_spot(old: Drain | None, event: SpotInterruption, policy: DrainPolicy, now: float) -> DrainStep:
    """No hook holds an interrupted instance: it is drained at once, in the two minutes there are."""
    blank = Drain(
        fleet=event.fleet,
        instance_id=event.instance_id,
        state=DrainState.NOTICED,
        cause=DrainCause.SPOT,
        started_at=now,
        deadline_at=min(now + policy.deadline_s, event.at + SPOT_NOTICE_S),
        updated_at=now,
        asked_count=old.asked_count if old else 0,
        version=old.version if old else 0,
    )
    return _begun(blank, None, policy, now)


def _is_another_action(drain: Drain, event: Terminating) -> bool:
    """Whether the event is of a lifecycle action that began after the one on record."""
    return event.at > action_began_at(drain) and (drain.hook is None or event.hook.token != drain.hook.token)


def _join(drain: Drain, event: Held, policy: DrainPolicy, now: float) -> DrainStep:
    """The lifecycle action of a drain under way becomes known, or is another one."""
    if drain.hook is not None:
        another = isinstance(event, Terminating) and _is_another_action(drain, event)
        return _begin(drain, event, policy, now) if another else DrainStep(drain)
    joined = _joined(drain, event, now)
    unseen = not isinstance(event, Terminating) and now < heartbeats_until(joined, policy)
    return DrainStep(joined, (SendHeartbeat(event.hook),) if unseen else ())


def _joined(drain: Drain, event: Held, now: float) -> Drain:
    return _with(
        drain,
        now,
        "its group waits for it at our hook",
        hook=event.hook,
        hook_at=min(event.at, now) if isinstance(event, Terminating) else now,
        heartbeat_at=None,
        destination=event.destination if isinstance(event, Terminating) else drain.destination,
    )


def _join_owed(drain: Drain, event: Held, policy: DrainPolicy, now: float) -> DrainStep:
    """The lifecycle action of a drain whose release is owed becomes known: release, or it is another one."""
    if drain.hook is None:
        if now > drain.updated_at + STALE_STOP_S:
            return _begin(drain, event, policy, now)
        joined = _joined(drain, event, now)
        return DrainStep(joined, (CompleteHook(event.hook),))
    another = isinstance(event, Terminating) and _is_another_action(drain, event)
    return _begin(drain, event, policy, now) if another else DrainStep(drain)


def _hurry(drain: Drain, event: SpotInterruption, _policy: DrainPolicy, now: float) -> DrainStep:
    """EC2 will not wait for the rest of the deadline."""
    deadline_at = min(drain.deadline_at, event.at + SPOT_NOTICE_S)
    if deadline_at == drain.deadline_at:
        return DrainStep(drain)
    return DrainStep(_with(drain, now, "a Spot interruption leaves it two minutes", deadline_at=deadline_at))


def _sent(drain: Drain, event: StopSent, _policy: DrainPolicy, now: float) -> DrainStep:
    if event.ask != drain.asked_count:
        return DrainStep(drain)
    note = f"its consumer was asked to stop by command {event.command_id}"
    changes = {"state": DrainState.STOPPING, "command_id": event.command_id, "retry_at": None}
    return DrainStep(_with(drain, now, note, **changes))


def _pause_s(unanswered_count: int) -> float:
    """10, 20, 40, 80, 120, 120 ... seconds."""
    return float(min(RETRY_MAX_S, RETRY_BASE_S * 2.0 ** min(unanswered_count - 1, 10)))


def _ask_later(drain: Drain, now: float, note: str, **changes: Any) -> DrainStep:
    count = drain.unanswered_count + 1
    retry_at = now + _pause_s(count)
    return DrainStep(_with(drain, now, note, unanswered_count=count, retry_at=retry_at, command_id=None, **changes))


def _unanswered(drain: Drain, event: StopNotAccepted, _policy: DrainPolicy, now: float) -> DrainStep:
    if event.ask != drain.asked_count or drain.command_id is not None:
        return DrainStep(drain)
    return _ask_later(drain, now, f"unknown whether its consumer lives: {event.reason}")


def _done(drain: Drain, now: float, note: str) -> DrainStep:
    done = _with(drain, now, note, state=DrainState.DONE, retry_at=None)
    return DrainStep(done, (CompleteHook(done.hook),) if done.hook else ())


def _may_have_lapsed(drain: Drain, policy: DrainPolicy, now: float) -> bool:
    """Whether the hook may have timed out since we last knew it active: then the instance may live a second life."""
    known_at = max(action_began_at(drain), drain.heartbeat_at or 0.0)
    return drain.hook is not None and now > known_at + policy.hook_timeout_s


def _succeeded(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    return _stopped(drain, event, policy, now, "its consumer has stopped")


def _killed(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """Its end is no better for waiting; what it was at comes again."""
    step = _stopped(drain, event, policy, now, _killed_note(policy))
    if step.drain is None or step.drain.state is not DrainState.DONE:
        return step
    return replace(step, drain=replace(step.drain, killed=True))


def _killed_note(policy: DrainPolicy) -> str:
    return f"{_what(policy)} was killed before it had finished: it did not stop within its own stop timeout"


def _what(policy: DrainPolicy) -> str:
    """What is stopped, by name."""
    return f"container {policy.container}" if policy.container else f"unit {policy.unit}"


def _stopped(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float, note: str) -> DrainStep:
    if event.command_id != drain.command_id:
        return DrainStep(drain)
    if not _may_have_lapsed(drain, policy, now):
        return _done(drain, now, note)
    over = replace(drain, command_id=None)  # told once more, its success asks for nothing more
    note = "its action may have lapsed since its consumer stopped"
    if policy.via is DrainVia.SELF:
        return DrainStep(_with(over, now, f"{note}: what works there now watches for itself"))
    return _asked(over, policy, now, f"{note}: asked once more")


def _said_done(drain: Drain, event: ConsumerReported, policy: DrainPolicy, now: float) -> DrainStep:
    # Of an earlier life, or of before anybody wanted it gone.
    if event.at < action_began_at(drain) or _may_have_lapsed(drain, policy, now):
        return DrainStep(drain)
    return _done(drain, now, "its consumer says that it is done")


def _ended(drain: Drain, _event: MachineEnded, _policy: DrainPolicy, now: float) -> DrainStep:
    return _done(drain, now, "its machine has ended: nothing works on it any more")


def _lives(drain: Drain, policy: DrainPolicy, at: float, now: float) -> DrainStep:
    """A sign of life, of a moment; worth a record only where silence ends a drain."""
    if policy.silence_s is None or at <= max(drain.started_at, drain.alive_at or 0.0):
        return DrainStep(drain)
    return DrainStep(replace(drain, alive_at=min(at, now), updated_at=now))


def _running(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    return _lives(drain, policy, now, now) if event.command_id == drain.command_id else DrainStep(drain)


def _said_working(drain: Drain, event: ConsumerReported, policy: DrainPolicy, now: float) -> DrainStep:
    return _lives(drain, policy, event.at, now) if event.at >= action_began_at(drain) else DrainStep(drain)


def _counted(drain: Drain, event: MessagesInFlight, policy: DrainPolicy, now: float) -> DrainStep:
    """Fewer messages in flight than before: something finishes, and only drains are at work."""
    if policy.silence_s is None or event.count == drain.in_flight:
        return DrainStep(drain)
    noted = replace(drain, in_flight=event.count, updated_at=now)
    if drain.in_flight is None or event.count > drain.in_flight:
        return DrainStep(noted)
    return DrainStep(replace(noted, alive_at=now))


def _failed(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    return _in_vain(drain, event, now, f"{_what(policy)} failed to stop")


def _missing(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """Its consumer may run under another name, so that nobody knows when it is done."""
    setting = "drain.container" if policy.container else "DrainUnit"
    note = f"the instance has no {_what(policy)}, so nothing could stop (set {setting} to what runs the consumer)"
    return _in_vain(drain, event, now, note)


def _in_vain(drain: Drain, event: CommandReported, now: float, why: str) -> DrainStep:
    if event.command_id != drain.command_id:
        return DrainStep(drain)
    failed_count = drain.failed_count + 1
    if failed_count <= FAILED_RETRIES:
        return _ask_later(drain, now, f"{why}: asked again soon", failed_count=failed_count)
    note = f"{why}: waits for its deadline"
    return DrainStep(_with(drain, now, note, failed_count=failed_count, command_id=None, retry_at=None))


def _not_begun(drain: Drain, event: CommandReported, _policy: DrainPolicy, now: float) -> DrainStep:
    begun_by = (drain.asked_at or drain.started_at) + BEGIN_WITHIN_S
    if event.command_id != drain.command_id or now < begun_by:
        return DrainStep(drain)
    why = f"the instance's agent did not begin the stop within {BEGIN_WITHIN_S:g} s"
    return _ask_later(drain, now, f"unknown whether its consumer lives: {why}")


def _unknown(drain: Drain, event: CommandReported, _policy: DrainPolicy, now: float) -> DrainStep:
    if event.command_id != drain.command_id:
        return DrainStep(drain)
    return _ask_later(drain, now, "unknown whether its consumer lives: the command ended without its word")


def _beaten(drain: Drain, event: HeartbeatAnswered, _policy: DrainPolicy, now: float) -> DrainStep:
    if event.hook != drain.hook:
        return DrainStep(drain)
    return DrainStep(replace(drain, heartbeat_at=now, heartbeat_count=drain.heartbeat_count + 1, updated_at=now))


def _released(drain: Drain, now: float, outcome: DrainOutcome, note: str) -> DrainStep:
    return DrainStep(_with(drain, now, note, state=DrainState.RELEASED, outcome=outcome, retry_at=None))


def _late(drain: Drain, event: HeartbeatAnswered | CompletionAnswered, _policy: DrainPolicy, now: float) -> DrainStep:
    if event.hook != drain.hook:
        return DrainStep(drain)
    return _released(drain, now, DrainOutcome.LATE, "its lifecycle action was over when we came")


def _completed(drain: Drain, event: CompletionAnswered, policy: DrainPolicy, now: float) -> DrainStep:
    if event.hook != drain.hook:
        return DrainStep(drain)
    if drain.keeping and drain.state is DrainState.EXPIRED:
        return _retained(drain, now)
    said = "its consumer has stopped" if drain.state is DrainState.DONE else "its deadline has passed"
    said = _killed_note(policy) if drain.killed else said
    return _released(drain, now, DrainOutcome.COMPLETED, f"released: {said}")


def _gone(drain: Drain, event: InstanceGone, policy: DrainPolicy, now: float) -> DrainStep:
    where = f"is {event.aws_state}" if event.aws_state else "is no longer in its group"
    if drain.state in RELEASE_OWED:
        how = ""
    elif policy.via is DrainVia.SELF:
        how = ": its consumer completed the action itself"
    else:
        how = ", and its consumer never said that it was done"
    return _released(drain, now, DrainOutcome.GONE, f"the instance {where}{how}")


def _retained(drain: Drain, now: float) -> DrainStep:
    note = "kept for inspection by its group: it costs money until it is released"
    changes = {"state": DrainState.RETAINED, "retained_at": now, "retry_at": None, "outcome": None}
    return DrainStep(_with(drain, now, note, **changes))


def _keep(drain: Drain | None, event: FoundRetained, _policy: DrainPolicy, now: float) -> DrainStep:
    """The group keeps an instance, whoever abandoned its action: it must not be forgotten."""
    if drain is not None and drain.state is DrainState.RELEASED and now < drain.updated_at + SETTLE_S:
        return DrainStep(drain)
    return _retained(drain or _unknown_drain(event.fleet, event.hook, DrainCause.TERMINATE, now), now)


def _end(drain: Drain, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """An operator has seen enough of a retained instance. If it cannot be terminated now, the operator is told so."""
    asked = _with(drain, now, "released by an operator: to be terminated")
    return DrainStep(asked, (TerminateInstance(event.hook.group, drain.instance_id),))


def _ending(drain: Drain, _event: TerminationAnswered, _policy: DrainPolicy, now: float) -> DrainStep:
    return DrainStep(_with(drain, now, "released by an operator: being terminated"))


def _no_longer_kept(
    drain: Drain, _event: InstanceGone | TerminationAnswered, _policy: DrainPolicy, now: float
) -> DrainStep:
    return _released(drain, now, DrainOutcome.TERMINATED, "it is no longer retained")


def _serves(drain: Drain, _event: FoundInService, _policy: DrainPolicy, now: float) -> DrainStep:
    """Its action is over, though nobody told us; a drain that only a Spot notice began goes on."""
    if drain.hook is None or now < action_began_at(drain) + SETTLE_S:
        return DrainStep(drain)
    return _released(drain, now, DrainOutcome.GONE, "it is in service again: its lifecycle action is over")


def _wait(drain: Drain, _event: Tick, policy: DrainPolicy, now: float) -> DrainStep:
    """What is due before the deadline: a heartbeat, and a stop that came to nothing."""
    beat: tuple[SendHeartbeat, ...] = ()
    if drain.hook is not None and now < heartbeats_until(drain, policy):
        last_at = next(at for at in (drain.heartbeat_at, drain.hook_at, drain.started_at) if at is not None)
        beat = (SendHeartbeat(drain.hook),) if now >= last_at + policy.heartbeat_s else ()
    if drain.retry_at is None or now < drain.retry_at or policy.via is DrainVia.SELF:
        return DrainStep(drain, beat)
    asked = _asked(drain, policy, now, "its consumer is asked to stop once more")
    return DrainStep(asked.drain, (*beat, *asked.actions))


def _expire(drain: Drain, event: Tick, policy: DrainPolicy, now: float) -> DrainStep:
    late_s = now - due_at(drain, policy)
    # Nothing keeps what Spot takes, and an action that is abandoned where nothing is kept would cut other hooks short.
    to_keep = policy.keep_failed and drain.cause is not DrainCause.SPOT and drain.hook is not None
    if to_keep and event.retains is None and late_s < RETENTION_CHECK_S:
        return DrainStep(drain)
    silent = now < drain.deadline_at
    why = "nothing was heard of it for the longest silence" if silent else "its deadline has passed"
    note = f"{why}, and its consumer has not said that it is done"
    keeping = bool(to_keep and event.retains)
    expired = _with(drain, now, note, state=DrainState.EXPIRED, retry_at=None, keeping=keeping)
    return DrainStep(expired, _completion(expired))


def _completion(drain: Drain) -> tuple[CompleteHook, ...]:
    """What is owed to the group: the action's result."""
    if drain.hook is None:
        return ()
    return (CompleteHook(drain.hook, HookResult.ABANDON if drain.keeping else HookResult.CONTINUE),)


def _owe(drain: Drain, _event: Tick, _policy: DrainPolicy, now: float) -> DrainStep:
    """The release is owed until it is answered; a drain without a lifecycle action is let go at last."""
    if drain.hook is not None:
        return DrainStep(drain, _completion(drain))
    if now < drain.deadline_at + NO_ACTION_KEPT_S:
        return DrainStep(drain)
    return _released(drain, now, DrainOutcome.CLOSED, "no lifecycle action ever came")


def _let_go(drain: Drain | None, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """A person's word stands for the deadline, on record or not."""
    drain = drain or _unknown_drain(event.fleet, event.hook, DrainCause.OPERATOR, now)
    deadline_at = min(drain.deadline_at, now)
    changes = {"state": DrainState.EXPIRED, "hook": event.hook, "retry_at": None, "outcome": None, "keeping": False}
    expired = _with(drain, now, "released by an operator", deadline_at=deadline_at, **changes)
    return DrainStep(expired, (CompleteHook(event.hook),))


def _unknown_drain(fleet: str, hook: HookAction, cause: DrainCause, now: float) -> Drain:
    """A record for an instance that had none: its deadline is now."""
    return Drain(
        fleet=fleet,
        instance_id=hook.instance_id,
        state=DrainState.NOTICED,
        cause=cause,
        started_at=now,
        deadline_at=now,
        updated_at=now,
        hook=hook,
        hook_at=now,
    )


def _let_go_done(drain: Drain, event: OperatorRelease, _policy: DrainPolicy, now: float) -> DrainStep:
    """What is done stays done: the release is only repeated, whatever token was on record."""
    let_go = _with(drain, now, "released by an operator", hook=event.hook, keeping=False)
    return DrainStep(let_go, (CompleteHook(event.hook),))


def _begin_again(drain: Drain, event: Terminating, policy: DrainPolicy, now: float) -> DrainStep:
    return _begin(drain, event, policy, now) if _is_another_action(drain, event) else DrainStep(drain)


def _spot_again(drain: Drain, event: SpotInterruption, policy: DrainPolicy, now: float) -> DrainStep:
    return _begin_spot(drain, event, policy, now) if event.at > drain.updated_at else DrainStep(drain)


def _probe(drain: Drain | None, event: FoundWaiting | FoundPoolWaiting, _policy: DrainPolicy, now: float) -> DrainStep:
    if drain is not None and drain.outcome is not DrainOutcome.GONE and now < drain.updated_at + SETTLE_S:
        return DrainStep(drain)
    return DrainStep(drain, (SendHeartbeat(event.hook, probe=True),))


def _found_held(drain: Drain | None, event: HeartbeatAnswered, policy: DrainPolicy, now: float) -> DrainStep:
    return _begin(drain, FoundWaiting(drain.fleet if drain else event.fleet, event.hook), policy, now)


# --------------------------------------------------------------------------- the table

type Move = Callable[[Any, Any, DrainPolicy, float], DrainStep]
type Place = DrainState | None  # None: no drain on record


@dataclass(frozen=True, slots=True)
class Transition:
    """What an event does to a drain in some state, and where that can lead."""

    move: Move
    to: frozenset[Place]


_K, _S = EventKind, DrainState
UNDER_WAY = frozenset({_S.NOTICED, _S.STOPPING})
RELEASE_OWED = frozenset({_S.DONE, _S.EXPIRED})
_BEGINNING = UNDER_WAY  # by command, or by itself


def _rows() -> Mapping[tuple[Place, EventKind], Transition]:
    """Each row: in which states, on which event, which move, and where to (an empty set: it stays)."""
    rows: tuple[tuple[frozenset[Place], tuple[EventKind, ...], Move, frozenset[Place]], ...] = (
        # no drain yet
        (frozenset({None}), (_K.TERMINATING, _K.WAITING), _begin, _BEGINNING),
        (frozenset({None}), (_K.SPOT,), _begin_spot, _BEGINNING),
        (frozenset({None}), (_K.POOL_WAITING,), _probe, frozenset()),
        (frozenset({None}), (_K.PROBE_HELD,), _found_held, _BEGINNING),
        (frozenset({None}), (_K.RELEASE,), _let_go, frozenset({_S.EXPIRED})),
        (frozenset({None, _S.RELEASED}), (_K.RETAINED,), _keep, frozenset({_S.RETAINED})),
        # asking for the stop
        (UNDER_WAY, (_K.STOP_SENT,), _sent, frozenset({_S.STOPPING})),
        (UNDER_WAY, (_K.STOP_UNANSWERED,), _unanswered, frozenset()),
        # waiting for the consumer
        (frozenset({_S.STOPPING}), (_K.COMMAND_SUCCEEDED,), _succeeded, frozenset({_S.DONE})),
        (frozenset({_S.STOPPING}), (_K.COMMAND_KILLED,), _killed, frozenset({_S.DONE})),
        (frozenset({_S.STOPPING}), (_K.COMMAND_PENDING,), _not_begun, frozenset()),
        (frozenset({_S.STOPPING}), (_K.COMMAND_RUNNING,), _running, frozenset()),
        (frozenset({_S.STOPPING}), (_K.COMMAND_FAILED,), _failed, frozenset()),
        (frozenset({_S.STOPPING}), (_K.COMMAND_MISSING,), _missing, frozenset()),
        (frozenset({_S.STOPPING}), (_K.COMMAND_UNKNOWN,), _unknown, frozenset()),
        (UNDER_WAY, (_K.TERMINATING,), _join, _BEGINNING),
        (UNDER_WAY, (_K.WAITING, _K.POOL_WAITING), _join, frozenset()),
        (UNDER_WAY, (_K.REPORT_WORKING,), _said_working, frozenset()),
        (UNDER_WAY, (_K.IN_FLIGHT,), _counted, frozenset()),
        (UNDER_WAY, (_K.REPORT_DONE,), _said_done, frozenset({_S.DONE})),
        (UNDER_WAY, (_K.ENDED,), _ended, frozenset({_S.DONE})),
        (UNDER_WAY, (_K.SPOT,), _hurry, frozenset()),
        (UNDER_WAY, (_K.TICK,), _wait, frozenset()),
        (UNDER_WAY, (_K.HELD,), _beaten, frozenset()),
        (UNDER_WAY, (_K.NOT_HELD,), _late, frozenset({_S.RELEASED})),
        (UNDER_WAY, (_K.DEADLINE,), _expire, frozenset({_S.EXPIRED})),
        (UNDER_WAY, (_K.RELEASE,), _let_go, frozenset({_S.EXPIRED})),
        # the release is owed
        (RELEASE_OWED, (_K.TERMINATING, _K.WAITING, _K.POOL_WAITING), _join_owed, _BEGINNING),
        (RELEASE_OWED, (_K.TICK,), _owe, frozenset({_S.RELEASED})),
        (frozenset({_S.DONE}), (_K.COMPLETED,), _completed, frozenset({_S.RELEASED})),
        (frozenset({_S.EXPIRED}), (_K.COMPLETED,), _completed, frozenset({_S.RELEASED, _S.RETAINED})),
        (RELEASE_OWED, (_K.NOT_ACTIVE,), _late, frozenset({_S.RELEASED})),
        (RELEASE_OWED, (_K.RELEASE,), _let_go_done, frozenset()),
        # it left by itself
        (UNDER_WAY | RELEASE_OWED, (_K.GONE,), _gone, frozenset({_S.RELEASED})),
        (UNDER_WAY | RELEASE_OWED, (_K.SERVING,), _serves, frozenset({_S.RELEASED})),
        # kept for inspection: until a person, or another tool, lets it go
        (UNDER_WAY | RELEASE_OWED, (_K.RETAINED,), _keep, frozenset({_S.RETAINED})),
        (frozenset({_S.RETAINED}), (_K.GONE, _K.NOT_RETAINED), _no_longer_kept, frozenset({_S.RELEASED})),
        (frozenset({_S.RETAINED}), (_K.ENDING,), _ending, frozenset()),
        (frozenset({_S.RETAINED}), (_K.RELEASE,), _end, frozenset()),
        (frozenset({_S.RETAINED}), (_K.TERMINATING,), _begin_again, _BEGINNING),
        # released: only another lifecycle action, or a person, begins again
        (frozenset({_S.RELEASED}), (_K.TERMINATING,), _begin_again, _BEGINNING),
        (frozenset({_S.RELEASED}), (_K.SPOT,), _spot_again, _BEGINNING),
        (frozenset({_S.RELEASED}), (_K.WAITING, _K.POOL_WAITING), _probe, frozenset()),
        (frozenset({_S.RELEASED}), (_K.PROBE_HELD,), _found_held, _BEGINNING),
        (frozenset({_S.RELEASED}), (_K.RELEASE,), _let_go, frozenset({_S.EXPIRED})),
    )
    return {
        (place, kind): Transition(move, to) for places, kinds, move, to in rows for place in places for kind in kinds
    }


TABLE: Mapping[tuple[Place, EventKind], Transition] = _rows()


def kind_of(drain: Drain | None, event: Event, policy: DrainPolicy, now: float) -> EventKind:
    """An event's row: a tick counts as the deadline once a drain under way is due."""
    if isinstance(event, Tick) and drain is not None and drain.state in UNDER_WAY and now >= due_at(drain, policy):
        return EventKind.DEADLINE
    return event.kind


def advance(drain: Drain | None, event: Event, policy: DrainPolicy, now: float) -> DrainStep:
    """Judge what one event makes of a drain.

    Args:
        drain: the instance's record as read from the ledger; None if there is none.
        event: what happened. Events of other instances must not be given.
        policy: how the fleet's instances are drained.
        now: epoch seconds.

    Returns:
        The record to write if it differs from `drain`, then the actions to carry out. An event that has no row in
        TABLE changes nothing.
    """
    transition = TABLE.get((drain.state if drain else None, kind_of(drain, event, policy, now)))
    return DrainStep(drain) if transition is None else transition.move(drain, event, policy, now)
