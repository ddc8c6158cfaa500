"""Until when: a drain's deadline, its longest silence, its heartbeats, and when its stop command is asked about.

All times are epoch seconds, all lengths of time seconds.

    due         = deadline, or the last sign of life + silence_s where the policy has a longest silence
    heartbeats  until min(due, start of the lifecycle action + 48 h, start + 100 heartbeat timeouts)
"""

from sluice.config.fleet import HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS, DrainPolicy
from sluice.model.draining import UNDER_WAY, Drain, DrainState

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
SPOT_NOTICE_S = 120.0
# How long Run Command's event is waited for before its status is asked for: events come in a second or two.
STATUS_CHECK_AFTER_S = 15.0
# Until when the status is asked for at each tick; from then on once a sweep: the event reports the end of a long stop.
STATUS_CHECK_OFTEN_S = 120.0
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
        return drain.deadline_at
    last_sign_at = max(drain.started_at, drain.signs.last_at or 0.0)
    return min(drain.deadline_at, last_sign_at + policy.silence_s)


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


def needs_status_check(drain: Drain, now: float, *, sweeping: bool) -> bool:
    """Whether Run Command should be asked for the status of the drain's command, its event being overdue.

    Args:
        drain: the drain.
        now: epoch seconds.
        sweeping: whether this is a sweep's first round, not a tick within its minute.
    """
    if drain.state is not DrainState.STOPPING or drain.stop.command_id is None or drain.stop.asked_at is None:
        return False
    overdue_s = now - drain.stop.asked_at
    return overdue_s >= STATUS_CHECK_AFTER_S and (sweeping or overdue_s < STATUS_CHECK_OFTEN_S)
