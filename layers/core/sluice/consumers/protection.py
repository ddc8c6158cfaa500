"""Which instances are to be protected from scale-in because their consumers are busy."""

from collections.abc import Iterable
from math import ceil

from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle

# A busy consumer repeats its report every minute. After three minutes without one it is taken for crashed, and it no
# longer protects its instance from scale-in.
BUSY_TIMEOUT_S = 180.0
# How long an instance refresh that was seen is taken to go on: fleets are asked about theirs in turn, and each has its
# turn within the hour, up to REFRESHES_ASKED_MAX * 60 fleets.
REFRESH_TRUSTED_S = 7_200.0
REFRESHES_ASKED_MAX = 40  # calls in a minute, however many fleets there are: the API has no call for several groups


@dataclass(frozen=True, slots=True)
class ProtectionPlan:
    """The instances whose scale-in protection is to change, by id."""

    protect: tuple[str, ...] = ()
    lift: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()  # recorded as protected by us, and no longer protected: only the record is corrected


def is_busy(consumer: Consumer, now: float) -> bool:
    """Whether any consumer of an instance is busy by a report younger than BUSY_TIMEOUT_S; `now` in epoch seconds."""
    return any(each.status is ConsumerStatus.BUSY and now < each.at + BUSY_TIMEOUT_S for each in consumer.reports)


def must_yield(consumer: Consumer, reading: GroupReading, now: float) -> bool:
    """Whether Auto Scaling is to replace an instance, so that Sluice must not protect it; `now` in epoch seconds.

    Protection would keep a busy instance out of the group's instance refresh, which waits an hour for it and then
    fails, and in service beyond its maximum lifetime. The termination hook lets its consumers finish.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-max-instance-lifetime.html
    """
    if consumer.refresh_seen_at is not None and now < consumer.refresh_seen_at + REFRESH_TRUSTED_S:
        return True
    in_service_at = consumer.ready_at if consumer.launched_at is None else consumer.launched_at
    return (
        reading.max_lifetime_s is not None
        and in_service_at is not None
        and now >= in_service_at + reading.max_lifetime_s
    )


def seen_in_refresh(consumer: Consumer, began_at: float | None, now: float) -> Consumer:
    """The record after its group was asked for an instance refresh.

    Args:
        consumer: the record of an instance's consumers.
        began_at: when the refresh began that is under way, in epoch seconds; None if there is none. It replaces the
            instances that were launched before.
        now: epoch seconds.
    """
    launched_at = consumer.launched_at
    if began_at is None or (launched_at is not None and launched_at >= began_at):
        return consumer if consumer.refresh_seen_at is None else replace(consumer, refresh_seen_at=None)
    if consumer.refresh_seen_at is not None and now < consumer.refresh_seen_at + REFRESH_TRUSTED_S / 4:
        return consumer  # not written each minute
    return replace(consumer, refresh_seen_at=now)


def has_its_turn(index: int, count: int, now: float) -> bool:
    """Whether a fleet is asked about its instance refresh in this minute.

    Args:
        index: the fleet's place among those that may be asked, from 0.
        count: how many these are.
        now: epoch seconds.
    """
    turns = ceil(count / REFRESHES_ASKED_MAX)
    return index % turns == int(now // 60) % turns


def plan_protection(consumers: Iterable[Consumer], reading: GroupReading, now: float) -> ProtectionPlan:
    """Decide whose scale-in protection is to change.

    Instances with a busy consumer are protected, unless Auto Scaling is to replace them (`must_yield`). Our own
    protection is lifted once none of an instance's consumers is busy. Protection that an operator or the group has set
    is left alone.

    Args:
        consumers: the record of each instance's consumers.
        reading: their group as of now. Only instances in service can be protected.
        now: epoch seconds.

    Returns:
        The ids to protect, to lift, and to correct on record only.
    """
    protected = {i.id: i.protected for i in reading.instances if i.state is Lifecycle.IN_SERVICE}
    protect, lift, forget = [], [], []
    for consumer in consumers:
        held = protected.get(consumer.instance_id)
        wanted = is_busy(consumer, now) and not must_yield(consumer, reading, now)
        if held is None or (consumer.protected and not held and not wanted):
            if consumer.protected:
                forget.append(consumer.instance_id)
        elif wanted:
            if not held:
                protect.append(consumer.instance_id)
        elif consumer.protected:
            lift.append(consumer.instance_id)
    return ProtectionPlan(tuple(protect), tuple(lift), tuple(forget))
