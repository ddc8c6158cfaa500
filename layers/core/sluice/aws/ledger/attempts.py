"""The Attempts port on DynamoDB."""

from sluice.aws.ledger.keys import key, ttl
from sluice.aws.ledger.records import ATTEMPTS, attributes
from sluice.aws.table import Table, Value, number, typed_all
from sluice.ports.ledger.attempts import ATTEMPTS_KEPT_S


class DynamoAttempts:
    """The Attempts port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far."""
        item = self._table.get(key(fleet, f"attempts#{message_key}"))
        return int(number(attributes(ATTEMPTS, item), "attempts"))

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives, unless more are remembered."""
        record = key(fleet, f"attempts#{message_key}")
        ends: dict[str, Value] = {"ttl": ttl(now + ATTEMPTS_KEPT_S)}
        figures: dict[str, Value] = {"attempts": attempts, **ends, **ATTEMPTS.written}
        not_fewer = "attribute_not_exists(#pk) OR #attempts <= :attempts OR #ttl <= :now"
        if not self._table.put(record | typed_all(figures), not_fewer, {":attempts": attempts, ":now": now}):
            self._table.update(record, "SET #ttl = :ttl", {":ttl": ends["ttl"]})
