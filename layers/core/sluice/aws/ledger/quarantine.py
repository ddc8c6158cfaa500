"""The Quarantine port on DynamoDB."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import batched, chain, islice
from typing import TYPE_CHECKING
from zlib import compress, decompress

from sluice.aws.ledger.failure_groups import DynamoFailureGroups
from sluice.aws.ledger.keys import PAST_ALL, SHARDS, claim_key, counts_key, key, message_key, ms, quoted, shards
from sluice.aws.ledger.records import (
    COUNTS,
    HELD_MESSAGE_GROUP,
    QUARANTINED,
    attributes,
    existing_text,
    name_of,
    readable_texts,
)
from sluice.aws.table import TRANSACTION_MAX, Item, Table, Value, number, text, typed_all
from sluice.model.redriving import QuarantineEntry
from sluice.ports.errors import TryLaterError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Each takes three writes of a transaction's hundred, its failure group one more, and the fleet's count one for all.
LET_GO_AT_ONCE = 24
READ_TOGETHER = 8  # shards: botocore keeps ten connections
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
        # An item of up to 1 KB costs one unit: an entry has about 1.2 KB, and half of that compressed.
        data = typed_all({"data": compress(QUARANTINED.to_text(entry).encode())})
        writes = [
            table.putting(_message_key(fleet, entry.message_id) | data, "attribute_not_exists(#pk)"),
            table.checking(
                claim_key(fleet, entry.message_id),
                "attribute_not_exists(#sent_at) OR #ttl <= :now",
                {":now": math.floor(entry.at)},
            ),
            *(table.putting(place | data) for place in _order_keys(entry)),
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
        # Ids spread evenly: half as much again as a shard's share is mostly enough, and what is not is read then.
        page = math.ceil(1.5 * (limit + 1) / SHARDS) + 4

        def of_shard(pk: str) -> Iterator[Item]:
            start = None if after is None else typed_all({"pk": pk, "sk": f"{prefix}{after}"})
            items = self._table.query(pk, prefix, f"{prefix}{PAST_ALL}", after=start, page=page)
            return chain(list(islice(items, page)), items)

        with ThreadPoolExecutor(READ_TOGETHER) as pool:
            by_shard = list(pool.map(of_shard, shards(fleet)))
        found = list(islice(merge(*by_shard, key=lambda item: text(item, "sk")), limit + 1))
        more = len(found) > limit
        last = text(found[limit - 1], "sk").removeprefix(prefix) if more and limit > 0 else None
        texts = ((_text(item), name_of(item)) for item in found[:limit])
        return tuple(readable_texts(QUARANTINED, texts)), last

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        item = self._table.get(_message_key(fleet, message_id))
        return None if item is None else existing_text(QUARANTINED, _text(item), name_of(item))

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index, its group's and its hold's count; False if it was gone."""
        table, fleet = self._table, entry.fleet
        for _ in range(HOLD_ATTEMPTS):
            there = self.quarantined_message(fleet, entry.message_id)
            if there is None:
                return False
            writes = [
                table.deleting(_message_key(fleet, there.message_id), "attribute_exists(#pk)"),
                *(table.deleting(place) for place in _order_keys(there)),
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
        changed: dict[tuple[str, str], None] = {}
        try:
            for some in batched((each for each in entries if each.message_group is None), LET_GO_AT_ONCE, strict=False):
                if self._remove_together(some):
                    changed |= dict.fromkeys((entry.fleet, entry.failure_group) for entry in some)
                    continue
                for entry in some:
                    self.remove_entry(entry)
        finally:  # once for each group, not for each transaction
            for fleet, group in changed:
                self._groups.let_expire(fleet, group, self._now())
        for entry in entries:
            if entry.message_group is not None:
                self.remove_entry(entry)

    def _remove_together(self, some: Sequence[QuarantineEntry]) -> bool:
        """Take some out in one transaction; False if it cannot be one, or one of them is not there as given."""
        table = self._table
        writes = [table.deleting(place, "attribute_exists(#pk)") for entry in some for place in entry_keys(entry)]
        for (fleet, group), count in Counter((entry.fleet, entry.failure_group) for entry in some).items():
            writes.append(self._groups.removing(fleet, group, count))
        for fleet, count in Counter(entry.fleet for entry in some).items():
            writes.append(self._counting(fleet, -count))
        return len(writes) <= TRANSACTION_MAX and not table.transact(writes)

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


def _message_key(fleet: str, message_id: str) -> Item:
    return message_key(fleet, message_id, f"message#{message_id}")


def entry_keys(entry: QuarantineEntry) -> tuple[Item, Item, Item]:
    """The keys of a message's three items: its entry, and its places in the orders of time."""
    return (_message_key(entry.fleet, entry.message_id), *_order_keys(entry))


def _order_keys(entry: QuarantineEntry) -> tuple[Item, Item]:
    """The two places of a message in the orders of time."""
    place = f"{ms(entry.at)}#{entry.message_id}"
    sks = (f"quarantine#{place}", f"quarantine-of#{quoted(entry.failure_group)}#{place}")
    first, second = (message_key(entry.fleet, entry.message_id, sk) for sk in sks)
    return first, second


def _text(item: Item) -> str:
    """An entry's JSON; an earlier version wrote it uncompressed."""
    data = item.get("data", {})
    return decompress(data["B"]).decode() if "B" in data else text(item, "data")
