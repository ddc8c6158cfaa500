"""The Consumers port on DynamoDB."""

from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import CONSUMER, keep, list_all, one
from sluice.aws.table import Table
from sluice.model.consumers import Consumer
from sluice.ports.ledger.consumers import CONSUMERS_KEPT_S


class DynamoConsumers:
    """The Consumers port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer."""
        return one(CONSUMER, self._table.get(key(fleet, f"consumer#{instance_id}")))

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer on record."""
        return tuple(list_all(self._table, CONSUMER, fleet, "consumer#"))

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's."""
        return keep(
            self._table,
            CONSUMER,
            f"consumer#{consumer.instance_id}",
            consumer,
            until=consumer.updated_at + CONSUMERS_KEPT_S,
        )
