"""The Decisions port on DynamoDB."""

from collections.abc import Sequence
from itertools import islice
from math import inf

from sluice.aws.ledger.keys import PAST_ALL, key, ms, partition, ttl
from sluice.aws.ledger.records import DECISION, Recorded, readable
from sluice.aws.table import Item, Table, Value, typed_all
from sluice.model.decisions import Decision, Outcome
from sluice.ports.errors import PortError
from sluice.ports.ledger.decisions import DECISIONS_KEPT_S


class DynamoDecisions:
    """The Decisions port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Record decisions with their outcomes, by one call for some of them at a time."""
        return self._table.put_batch([_item(decision, outcome) for decision, outcome in decided])

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions of a span of time, latest first. The read is eventually consistent: it is for display."""
        last = PAST_ALL if until == inf else f"{ms(until)}#{PAST_ALL}"
        items = self._table.query(
            partition(fleet),
            f"decision#{ms(since)}",
            f"decision#{last}",
            page=limit,
            descending=True,
            consistent=False,
        )
        found = (r for r in readable(DECISION, items) if since <= r.decision.at <= until)
        return tuple((record.decision, record.outcome) for record in islice(found, limit))


def _item(decision: Decision, outcome: Outcome) -> Item:
    data = DECISION.to_text(Recorded(decision, outcome))
    figures: dict[str, Value] = {"data": data, "ttl": ttl(decision.at + DECISIONS_KEPT_S)}
    return key(decision.fleet, f"decision#{ms(decision.at)}#{decision.id}") | typed_all(figures)
