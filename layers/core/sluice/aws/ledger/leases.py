"""The Leases port on DynamoDB."""

from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import LEASE
from sluice.aws.table import Table, typed_all


class DynamoLeases:
    """The Leases port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease."""
        return self._table.put(
            key(fleet, "lease") | typed_all({"holder": owner, "until_at": until, **LEASE.written}),
            "attribute_not_exists(#pk) OR #holder = :owner OR #until_at <= :now",
            {":owner": owner, ":now": now},
        )

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back if it is ours."""
        self._table.delete(key(fleet, "lease"), "#holder = :owner", {":owner": owner})
