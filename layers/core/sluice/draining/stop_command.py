"""Asking a consumer to stop by Run Command: the request, its answers, and when it is repeated.

A stop that has not begun, or whose result is unknown, is asked for again after 10, 20, 40, 80, 120, 120 ... seconds.
One that ran and failed is asked for once more. Only what says that the consumer has stopped ends the wait.
"""

from typing import Any

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.draining.deadlines import may_have_timed_out
from sluice.draining.events import CommandReported, StopNotAccepted, StopSent
from sluice.draining.steps import changed, done
from sluice.model.draining import Drain, DrainState, DrainStep, StopCommand, StopConsumer
from sluice.model.frozen import replace
from sluice.wording import duration

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html: TimeoutSeconds is at least 30
STOP_TIMEOUT_MIN_S = 30.0
# How long an asked stop is left to whoever asked for it before a tick takes it for lost: the SDK's own retries fit in.
ASK_GRACE_S = 15.0
# Pauses between stops without a result: an agent that restarts is back in seconds, one that is broken stays so.
RETRY_BASE_S = 10.0
RETRY_MAX_S = 120.0
# How long a stop may take to begin. Run Command lets none begin later than 30 s after it was sent (`TimeoutSeconds`),
# but reports that only hours later, and a dead agent's command may stay in progress: the rest is for its answer to be
# read. https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
BEGIN_WITHIN_S = 35.0
# A unit that fails to stop twice has a reason of its own: asking again would only hide it.
FAILED_RETRIES = 1


def ask_to_stop(drain: Drain, policy: DrainPolicy, now: float, note: str) -> DrainStep:
    """Put on record that a stop is asked for, then ask for it.

    It may run for as long as the drain may take at most, or for `stop_timeout_s`. The drain itself may end before.
    """
    ask = drain.stop.asked_count + 1
    left_s = max(drain.deadline.at, drain.deadline.longest_at or 0.0) - now
    timeout_s = max(STOP_TIMEOUT_MIN_S, left_s if policy.stop_timeout_s is None else min(left_s, policy.stop_timeout_s))
    stop = replace(drain.stop, asked_at=now, asked_count=ask, retry_at=now + ASK_GRACE_S)
    return DrainStep(
        changed(drain, now, note, stop=stop), (StopConsumer(drain.instance_id, policy.order, timeout_s, ask),)
    )


def stop_sent(drain: Drain, event: StopSent, _policy: DrainPolicy, now: float) -> DrainStep:
    """Run Command has accepted the stop: its result is waited for."""
    if event.ask != drain.stop.asked_count:
        return DrainStep(drain)
    stop = replace(drain.stop, command_id=event.command_id, retry_at=None)
    note = f"the consumer was asked to stop by Run Command {event.command_id}"
    return DrainStep(changed(drain, now, note, state=DrainState.STOPPING, stop=stop))


def stop_not_accepted(drain: Drain, event: StopNotAccepted, _policy: DrainPolicy, now: float) -> DrainStep:
    """Run Command has refused the stop, or did not answer: the consumer may be at work all the same."""
    if event.ask != drain.stop.asked_count or drain.stop.command_id is not None:
        return DrainStep(drain)
    return _ask_later(drain, now, f"Run Command did not accept the stop ({event.reason})")


def command_succeeded(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The consumer's unit or container has stopped."""
    return _stopped(drain, event, policy, now, "the consumer has stopped")


def command_killed(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The consumer was killed. Waiting mends nothing: SQS delivers again what it was working on."""
    step = _stopped(drain, event, policy, now, killed_note(policy))
    if step.drain is None or step.drain.state is not DrainState.DONE:
        return step
    return replace(step, drain=replace(step.drain, stop=replace(step.drain.stop, killed=True)))


def with_advice(note: str, stop: StopCommand) -> str:
    """A note, and after it what there is to mend in how the consumer's units stop."""
    return f"{note}. {stop.advice.removesuffix('.')}" if stop.advice else note


def killed_note(policy: DrainPolicy) -> str:
    """Such as "unit consumer.service was killed before it had finished ..."."""
    return f"{policy.what_is_stopped} was killed before it had finished: it did not stop within its own stop timeout"


def _stopped(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float, note: str) -> DrainStep:
    if event.command_id != drain.stop.command_id:
        return DrainStep(drain)
    if not may_have_timed_out(drain, policy, now):
        stop = replace(drain.stop, advice=event.advice)
        return done(replace(drain, stop=stop), now, with_advice(note, stop))
    # Reported a second time, this command's success changes nothing any more.
    over = replace(drain, stop=replace(drain.stop, command_id=None))
    note = "the lifecycle hook may have timed out since the consumer stopped"
    if policy.via is DrainVia.SELF:
        return DrainStep(changed(over, now, f"{note}: a consumer that runs now watches the instance metadata itself"))
    return ask_to_stop(over, policy, now, f"{note}: asking it to stop again")


def command_failed(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """The stop ran, and the unit or container did not stop."""
    return _in_vain(drain, event, now, f"{policy.what_is_stopped} failed to stop")


def command_missing(drain: Drain, event: CommandReported, policy: DrainPolicy, now: float) -> DrainStep:
    """There is nothing of that name on the instance: its consumer may run under another name, and is not done."""
    setting = "drain.container" if policy.container else "DrainUnit"
    what = policy.what_is_stopped
    note = f"the instance has no {what}, so nothing was stopped (set {setting} to what runs the consumer)"
    step = _in_vain(drain, event, now, note)
    if step.drain is None or step.drain.stop.retry_at is not None or step.drain == drain:
        return step
    return replace(step, drain=replace(step.drain, stop=replace(step.drain.stop, missing=True)))


def _in_vain(drain: Drain, event: CommandReported, now: float, why: str) -> DrainStep:
    if event.command_id != drain.stop.command_id:
        return DrainStep(drain)
    failed_count = drain.stop.failed_count + 1
    if failed_count <= FAILED_RETRIES:
        return _ask_later(drain, now, why, failed_count=failed_count)
    stop = replace(drain.stop, failed_count=failed_count, command_id=None, retry_at=None)
    return DrainStep(changed(drain, now, f"{why}; waiting for the drain's deadline", stop=stop))


def command_pending(drain: Drain, event: CommandReported, _policy: DrainPolicy, now: float) -> DrainStep:
    """The stop is not known to have begun: after BEGIN_WITHIN_S it never will."""
    begun_by = (drain.stop.asked_at or drain.started_at) + BEGIN_WITHIN_S
    if event.command_id != drain.stop.command_id or now < begun_by:
        return DrainStep(drain)
    return _ask_later(drain, now, f"the instance's agent did not begin the stop within {duration(BEGIN_WITHIN_S)}")


def command_unknown(drain: Drain, event: CommandReported, _policy: DrainPolicy, now: float) -> DrainStep:
    """The command ended, and its end does not say how the consumer is."""
    if event.command_id != drain.stop.command_id:
        return DrainStep(drain)
    return _ask_later(drain, now, "the stop command ended without a result from the instance")


def _ask_later(drain: Drain, now: float, why: str, **changes: Any) -> DrainStep:
    count = drain.stop.unanswered_count + 1
    pause_s = _pause_s(count)
    stop = replace(drain.stop, unanswered_count=count, retry_at=now + pause_s, command_id=None, **changes)
    return DrainStep(changed(drain, now, f"{why}; asking again in {duration(pause_s)}", stop=stop))


def _pause_s(unanswered_count: int) -> float:
    """10, 20, 40, 80, 120, 120 ... seconds."""
    return float(min(RETRY_MAX_S, RETRY_BASE_S * 2.0 ** min(unanswered_count - 1, 10)))
