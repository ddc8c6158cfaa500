"""The Consumers port on DynamoDB."""

from sluice.aws.ledger.keys import BEFORE_ALL, PAST_ALL, key
from sluice.aws.ledger.records import CONSUMER, CONSUMERS_FLEET, attributes, keep, list_all, one
from sluice.aws.table import Table, text, typed_all
from sluice.model.consumers import Consumer
from sluice.ports.ledger.consumers import CONSUMERS_KEPT_S

INDEX = "consumers"  # the partition with the fleets that have consumers on record


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

    def fleets(self) -> frozenset[str]:
        """The fleets that ever had a consumer on record."""
        items = self._table.query(INDEX, BEFORE_ALL, PAST_ALL, consistent=False)
        return frozenset(text(attributes(CONSUMERS_FLEET, item), "fleet") for item in items)

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's; its fleet is on record before its first."""
        until = consumer.updated_at + CONSUMERS_KEPT_S
        if consumer.version == 0:
            fleet = {"pk": INDEX, "sk": consumer.fleet, "fleet": consumer.fleet, **CONSUMERS_FLEET.written}
            self._table.put(typed_all(fleet))
        return keep(self._table, CONSUMER, f"consumer#{consumer.instance_id}", consumer, until=until)
