"""The Causes port on DynamoDB."""

from collections.abc import Sequence

from sluice.aws.ledger.keys import key, ttl
from sluice.aws.ledger.records import CAUSE, attributes
from sluice.aws.table import Table, Value, text, typed_all
from sluice.ports.ledger.causes import CAUSES_KEPT_S


class DynamoCauses:
    """The Causes port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed."""
        figures: dict[str, Value] = {"cause": cause, "ttl": ttl(now + CAUSES_KEPT_S), **CAUSE.written}
        self._table.put(key(fleet, f"cause#{message_id}") | typed_all(figures))

    def causes(self, fleet: str, message_ids: Sequence[str]) -> dict[str, str]:
        """The causes that consumers reported for these messages."""
        wanted = list(dict.fromkeys(message_ids))
        items = self._table.get_batch([key(fleet, f"cause#{message_id}") for message_id in wanted])
        found = {message_id: item for message_id, item in zip(wanted, items, strict=True) if item}
        return {message_id: text(attributes(CAUSE, item), "cause") for message_id, item in found.items()}
