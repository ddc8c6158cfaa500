"""The Consumers port in memory."""

from sluice.memory.clock import Clock
from sluice.memory.ledger.versions import check
from sluice.model.consumers import Consumer
from sluice.model.frozen import replace
from sluice.ports.ledger.consumers import CONSUMERS_KEPT_S


class MemoryConsumers:
    """The Consumers port: records by fleet and instance."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._consumers: dict[tuple[str, str], Consumer] = {}

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer."""
        consumer = self._consumers.get((fleet, instance_id))
        return consumer if consumer and consumer.updated_at + CONSUMERS_KEPT_S > self._clock() else None

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer on record."""
        gone_at = self._clock() - CONSUMERS_KEPT_S
        consumers = (self._consumers[key] for key in sorted(key for key in self._consumers if key[0] == fleet))
        return tuple(one for one in consumers if one.updated_at > gone_at)

    def fleets(self) -> frozenset[str]:
        """The fleets that ever had a consumer on record."""
        return frozenset(fleet for fleet, _ in self._consumers)

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's."""
        there = self.consumer(consumer.fleet, consumer.instance_id)
        check(consumer.version, there.version if there else 0, f"consumer of {consumer.instance_id}")
        written = replace(consumer, version=consumer.version + 1)
        self._consumers[consumer.fleet, consumer.instance_id] = written
        return written
