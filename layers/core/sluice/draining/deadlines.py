"""Until when: a drain's deadline, its longest silence, its heartbeats, and when it is to be looked at next.

All times are epoch seconds, all lengths of time seconds.

    due         = deadline, or the last sign of life + silence_s where the policy has a longest silence
    heartbeats  until min(due, start of the lifecycle action + 48 h, start + 100 heartbeat timeouts)
"""

from collections.abc import Iterator

from sluice.config.fleet import HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS, DrainPolicy, DrainVia
from sluice.model.draining import AT_REST, UNDER_WAY, Drain, DrainState

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_NOTICE_S = 120.0
# How long Run Command's event is waited for before its status is asked for: events come in a second or two.
STATUS_CHECK_AFTER_S = 15.0
# Until when the status is asked for every RETRY_S; from then on by each full check: an event reports a long stop's end.
STATUS_CHECK_OFTEN_S = 120.0
# When that is done again which failed, or brought no news: never at once.
RETRY_S = 10.0
# How often a fleet with drains under way is checked in full: consumers' records, machines, messages in flight.
FULL_CHECK_EVERY_S = 60.0
# How long after a change a reading of the group is trusted: DescribeAutoScalingGroups lags by seconds. Until then it
# may still show a released instance as waiting, or an instance that has just begun to wait as in service.
TRUSTED_READING_S = 60.0
# A consumer that stopped for a Spot notice may have been started again by then (the instance was only stopped).
STALE_STOP_S = 300.0
# How long after its deadline a drain without a lifecycle action stays on record before it is closed.
NO_ACTION_KEPT_S = 3_600.0
# How long past its deadline an instance that is to be kept is held, while its group cannot be asked whether it can.
RETENTION_CHECK_S = 60.0


def action_began_at(drain: Drain) -> float:
    """When a drain's lifecycle action began, or, while none is known, the drain itself."""
    return drain.started_at if drain.action is None else drain.action.began_at


def due_at(drain: Drain, policy: DrainPolicy) -> float:
    """When an instance is released whatever its consumer does: at its deadline, or after the longest silence."""
    if policy.silence_s is None:
        return drain.deadline.at
    last_sign_at = max(drain.started_at, drain.signs.last_at or 0.0)
    return min(drain.deadline.at, last_sign_at + policy.silence_s)


def is_due(drain: Drain, policy: DrainPolicy, now: float) -> bool:
    """Whether a drain is under way past its time: it expires with the next tick."""
    return drain.state in UNDER_WAY and now >= due_at(drain, policy)


def is_retry_due(drain: Drain, now: float) -> bool:
    """Whether a stop is to be asked for again."""
    return drain.state in UNDER_WAY and drain.stop.retry_at is not None and now >= drain.stop.retry_at


def heartbeats_until(drain: Drain, policy: DrainPolicy) -> float:
    """When heartbeats end: once the drain is due, or where AWS ends the lifecycle action whatever is sent.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RecordLifecycleActionHeartbeat.html
    """
    ceiling_s = min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * policy.hook_timeout_s)
    return min(due_at(drain, policy), action_began_at(drain) + ceiling_s)


def may_have_timed_out(drain: Drain, policy: DrainPolicy, now: float) -> bool:
    """Whether the hook may have timed out since it was last known to be active.

    The instance may then have come back from a warm pool: what was known of its consumer need not hold any more.
    """
    active_at = max(action_began_at(drain), drain.heartbeats.last_at or 0.0)
    return drain.action is not None and now > active_at + policy.hook_timeout_s


def needs_signs(drain: Drain, policy: DrainPolicy) -> bool:
    """Whether signs of life prolong this drain."""
    return policy.silence_s is not None and drain.state in UNDER_WAY


def needs_status_check(drain: Drain, now: float, *, in_full: bool) -> bool:
    """Whether Run Command should be asked for the status of the drain's command, its event being overdue.

    Args:
        drain: the drain.
        now: epoch seconds.
        in_full: whether the fleet is checked in full.
    """
    if not _awaits_command(drain) or drain.stop.asked_at is None:
        return False
    overdue_s = now - drain.stop.asked_at
    return overdue_s >= STATUS_CHECK_AFTER_S and (in_full or overdue_s < STATUS_CHECK_OFTEN_S)


def next_check_at(drain: Drain, policy: DrainPolicy, now: float) -> float | None:
    """When a tick of this drain has something to do next, or its command's status is to be asked for.

    Returns:
        Epoch seconds, after now: what is due already has failed, or brought no news, and is due again RETRY_S later.
        None if nothing is to be done before something else happens.
    """
    if drain.state in AT_REST:
        return None
    retry_at = now + min(RETRY_S, policy.heartbeat_interval_s)
    return min(at if at > now else retry_at for at in _needs(drain, policy, now))


def _needs(drain: Drain, policy: DrainPolicy, now: float) -> Iterator[float]:
    """The times (epoch seconds) at which something of a drain under way is due, or of one whose release is owed."""
    if drain.state not in UNDER_WAY:
        yield now if drain.action is not None else drain.deadline.at + NO_ACTION_KEPT_S
        return
    yield due_at(drain, policy)
    if policy.keep_failed:
        yield due_at(drain, policy) + RETENTION_CHECK_S  # from then on it no longer waits to know what the group keeps
    if drain.hook is not None and (heartbeat_at := next_heartbeat_at(drain, policy)) < heartbeats_until(drain, policy):
        yield heartbeat_at
    if drain.stop.retry_at is not None and policy.via is not DrainVia.SELF:
        yield drain.stop.retry_at
    if _awaits_command(drain) and drain.stop.asked_at is not None:
        often_until = drain.stop.asked_at + STATUS_CHECK_OFTEN_S
        if now + min(RETRY_S, policy.heartbeat_interval_s) < often_until:  # so that the next check comes in time for it
            yield drain.stop.asked_at + STATUS_CHECK_AFTER_S


def next_heartbeat_at(drain: Drain, policy: DrainPolicy) -> float:
    """When the hook's timeout is to be restarted next."""
    last_at = action_began_at(drain) if drain.heartbeats.last_at is None else drain.heartbeats.last_at
    return last_at + policy.heartbeat_interval_s


def _awaits_command(drain: Drain) -> bool:
    """Whether a stop command is under way for the drain."""
    return drain.state is DrainState.STOPPING and drain.stop.command_id is not None
