"""The Drains port on DynamoDB."""

from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import DRAIN, keep, list_all, one
from sluice.aws.table import Table
from sluice.model.draining import Drain, DrainState
from sluice.ports.ledger.drains import DRAINS_KEPT_S


class DynamoDrains:
    """The Drains port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        return one(DRAIN, self._table.get(key(fleet, f"drain#{instance_id}")))

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record."""
        return tuple(list_all(self._table, DRAIN, fleet, "drain#"))

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's."""
        ended = drain.state is DrainState.RELEASED
        until = drain.updated_at + DRAINS_KEPT_S if ended else None
        return keep(self._table, DRAIN, f"drain#{drain.instance_id}", drain, until=until)
