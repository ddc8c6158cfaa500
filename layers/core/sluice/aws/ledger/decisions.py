"""The Decisions port on DynamoDB."""

from itertools import islice
from math import inf

from sluice.aws.ledger.keys import PAST_ALL, key, ms, partition, ttl
from sluice.aws.ledger.records import DECISION, Recorded, readable
from sluice.aws.table import Table, Value, typed_all
from sluice.model.planning import Decision, Outcome
from sluice.ports.ledger.decisions import DECISIONS_KEPT_S


class DynamoDecisions:
    """The Decisions port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision with its outcome."""
        data = DECISION.to_text(Recorded(decision, outcome))
        figures: dict[str, Value] = {"data": data, "ttl": ttl(decision.at + DECISIONS_KEPT_S)}
        self._table.put(key(decision.fleet, f"decision#{ms(decision.at)}#{decision.id}") | typed_all(figures))

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
