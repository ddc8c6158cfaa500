"""Which instances are to be protected from scale-in because their consumers are busy."""

from collections.abc import Iterable

from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle

# A busy consumer repeats its report every minute. After three minutes without one it is taken for crashed, and it no
# longer protects its instance from scale-in.
BUSY_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class ProtectionPlan:
    """The instances whose scale-in protection is to change, by id."""

    protect: tuple[str, ...] = ()
    lift: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()  # recorded as protected by us, and no longer protected: only the record is corrected


def is_busy(consumer: Consumer, now: float) -> bool:
    """Whether any consumer of an instance is busy by a report younger than BUSY_TIMEOUT_S; `now` in epoch seconds."""
    return any(each.status is ConsumerStatus.BUSY and now < each.at + BUSY_TIMEOUT_S for each in consumer.reports)


def plan_protection(consumers: Iterable[Consumer], reading: GroupReading, now: float) -> ProtectionPlan:
    """Decide whose scale-in protection is to change.

    Instances with a busy consumer are protected. Our own protection is lifted once none of an instance's consumers is
    busy. Protection that an operator or the group has set is left alone.

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
        if held is None or (consumer.protected and not held and not is_busy(consumer, now)):
            if consumer.protected:
                forget.append(consumer.instance_id)
        elif is_busy(consumer, now):
            if not held:
                protect.append(consumer.instance_id)
        elif consumer.protected:
            lift.append(consumer.instance_id)
    return ProtectionPlan(tuple(protect), tuple(lift), tuple(forget))
