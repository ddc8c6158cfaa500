"""The Quarantine port on DynamoDB."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import batched, islice
from typing import TYPE_CHECKING

from sluice.aws.ledger.failure_groups import DynamoFailureGroups
from sluice.aws.ledger.keys import PAST_ALL, claim_sk, counts_key, key, ms, partition, quoted
from sluice.aws.ledger.records import COUNTS, HELD_MESSAGE_GROUP, QUARANTINED, attributes, one, readable
from sluice.aws.table import TRANSACTION_MAX, Item, Table, Value, number, text, typed_all
from sluice.model.redriving import QuarantineEntry
from sluice.ports.errors import TryLaterError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Each takes three writes of a transaction's hundred, its failure group one more, and the fleet's count one for all.
LET_GO_AT_ONCE = 24
# Two writers of one message group's hold meet at most now and then; each attempt that fails means that another won.
HOLD_ATTEMPTS = 5


class DynamoQuarantine:
    """The Quarantine port."""

    def __init__(self, table: Table, groups: DynamoFailureGroups, now: Callable[[], float]) -> None:
        self._table = table
        self._groups = groups
        self._now = now

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine, as counted in the transactions that put them there."""
        return int(number(attributes(COUNTS, self._table.get(counts_key(fleet))), "held_count"))

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Index a message, count it in its group, hold its message group; False if it was there or was sent again."""
        table, fleet = self._table, entry.fleet
        data = {"data": QUARANTINED.to_text(entry)}
        writes = [
            table.putting(key(fleet, _message_sk(entry.message_id)) | typed_all(data), "attribute_not_exists(#pk)"),
            table.checking(
                key(fleet, claim_sk(entry.message_id)),
                "attribute_not_exists(#sent_at) OR #ttl <= :now",
                {":now": math.floor(entry.at)},
            ),
            *(table.putting(key(fleet, sk) | typed_all(data)) for sk in _order_sks(entry)),
            self._groups.adding(entry),
            self._counting(fleet, 1),
        ]
        if entry.message_group is not None:
            writes.append(
                table.updating(
                    _hold_key(fleet, entry.message_group),
                    "SET #record_version = :form, #failure_group = if_not_exists(#failure_group, :group)"
                    " ADD #count :one",
                    {":form": HELD_MESSAGE_GROUP.version, ":group": entry.failure_group, ":one": 1},
                )
            )
        return not table.transact(writes)

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first; the cursor is `<at ms>#<message id>` of the page's last entry."""
        prefix = "quarantine#" if failure_group is None else f"quarantine-of#{quoted(failure_group)}#"
        items = self._table.query(
            partition(fleet),
            prefix,
            f"{prefix}{PAST_ALL}",
            after=None if after is None else key(fleet, f"{prefix}{after}"),
            page=limit + 1,
        )
        page = list(islice(items, limit + 1))
        more = len(page) > limit
        last = text(page[limit - 1], "sk").removeprefix(prefix) if more and limit > 0 else None
        return tuple(readable(QUARANTINED, iter(page[:limit]))), last

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        return one(QUARANTINED, self._table.get(key(fleet, _message_sk(message_id))))

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index, its group's and its hold's count; False if it was gone."""
        table, fleet = self._table, entry.fleet
        for _ in range(HOLD_ATTEMPTS):
            there = self.quarantined_message(fleet, entry.message_id)
            if there is None:
                return False
            writes = [
                table.deleting(key(fleet, _message_sk(there.message_id)), "attribute_exists(#pk)"),
                *(table.deleting(key(fleet, sk)) for sk in _order_sks(there)),
                self._groups.removing(fleet, there.failure_group, 1),
                self._counting(fleet, -1),
            ]
            if there.message_group is not None:
                hold = _hold_key(fleet, there.message_group)
                if number(attributes(HELD_MESSAGE_GROUP, table.get(hold)), "count") > 1:
                    writes.append(table.updating(hold, "ADD #count :less", {":less": -1, ":one": 1}, "#count > :one"))
                else:
                    writes.append(table.deleting(hold, "attribute_not_exists(#pk) OR #count <= :one", {":one": 1}))
            failed = table.transact(writes)
            if not failed:
                self._groups.let_expire(fleet, there.failure_group, self._now())
                return True
            if 0 in failed:
                return False
        raise TryLaterError(
            f"the message group of {entry.message_id} of fleet {fleet} is written by others all the time"
        )

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """Take many out of the index and their groups' counts: those that are there as given, a transaction for many.

        What is not, and FIFO messages, whose holds are counted, go one by one.
        """
        table = self._table
        for some in batched((entry for entry in entries if entry.message_group is None), LET_GO_AT_ONCE, strict=False):
            writes = []
            for entry in some:
                writes += [
                    table.deleting(key(entry.fleet, _message_sk(entry.message_id)), "attribute_exists(#pk)"),
                    *(table.deleting(key(entry.fleet, sk), "attribute_exists(#pk)") for sk in _order_sks(entry)),
                ]
            for (fleet, group), count in Counter((entry.fleet, entry.failure_group) for entry in some).items():
                writes.append(self._groups.removing(fleet, group, count))
            for fleet, count in Counter(entry.fleet for entry in some).items():
                writes.append(self._counting(fleet, -count))
            if len(writes) > TRANSACTION_MAX or table.transact(writes):
                for entry in some:
                    self.remove_entry(entry)
                continue
            for fleet, group in dict.fromkeys((entry.fleet, entry.failure_group) for entry in some):
                self._groups.let_expire(fleet, group, self._now())
        for entry in entries:
            if entry.message_group is not None:
                self.remove_entry(entry)

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds a FIFO message group."""
        item = self._table.get(_hold_key(fleet, message_group))
        return text(attributes(HELD_MESSAGE_GROUP, item), "failure_group") if item else None

    def _counting(self, fleet: str, count: int) -> "TransactWriteItemTypeDef":
        """Count messages that come into quarantine, or leave it (negative)."""
        values: dict[str, Value] = {":form": COUNTS.version, ":count": count}
        return self._table.updating(counts_key(fleet), "SET #record_version = :form ADD #held_count :count", values)


def _hold_key(fleet: str, message_group: str) -> Item:
    return key(fleet, f"hold#{message_group}")


def _message_sk(message_id: str) -> str:
    return f"message#{message_id}"


def _order_sks(entry: QuarantineEntry) -> tuple[str, str]:
    """The two places of a message in the orders of time."""
    place = f"{ms(entry.at)}#{entry.message_id}"
    return f"quarantine#{place}", f"quarantine-of#{quoted(entry.failure_group)}#{place}"
