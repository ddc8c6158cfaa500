"""Which instances are to be protected from scale-in because their consumers are busy."""

from collections.abc import Iterable

from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle

# A busy consumer repeats itself every minute: after three in vain it is taken for crashed, and its instance may go.
BUSY_TIMEOUT_S = 180.0


# --------------------------------------------------------------------------- scale-in protection


@dataclass(frozen=True, slots=True)
class ProtectionPlan:
    """Which instances to protect from scale-in, and which no longer, by id."""

    protect: tuple[str, ...] = ()
    lift: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()  # ours on record, but not there any more: only the record is put right


def is_busy(consumer: Consumer, now: float) -> bool:
    """Whether a consumer is at work, as far as its last word goes, and that is recent."""
    fresh = consumer.status_at is not None and now < consumer.status_at + BUSY_TIMEOUT_S
    return consumer.status is ConsumerStatus.BUSY and fresh


def plan_protection(consumers: Iterable[Consumer], reading: GroupReading, now: float) -> ProtectionPlan:
    """Whose scale-in protection is to change: the busy get it, and ours is lifted once they are not.

    Args:
        consumers: every consumer on record.
        reading: their group as of now; only instances in service can be protected.
        now: epoch seconds.
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
