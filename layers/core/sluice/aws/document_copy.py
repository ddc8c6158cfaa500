"""A copy of the fleets' documents in the ledger, whose revision says whether any has changed.

Each function reads the revision by one small call, and the copy by one or two queries where it changed: 1,000 documents
are about 1 MB. The planner alone reads Parameter Store, and keeps the copy as it is there.

A document and the revision are written in one transaction, so that whoever knows a revision has seen its documents.
"""

from collections.abc import Iterable, Mapping

from sluice.aws.ledger.keys import PAST_ALL
from sluice.aws.ledger.records import DOCUMENT, DOCUMENTS_HEAD, all_attributes, attributes
from sluice.aws.parameters import StoredDocument
from sluice.aws.table import TRANSACTION_MAX, Item, Table, number, text, typed_all
from sluice.model.frozen import dataclass

PARTITION = "documents"
HEAD = "head"
PREFIX = "document#"
CLAIMED_S = 60.0  # a function that reads Parameter Store has ended by then


@dataclass(frozen=True, slots=True)
class CopyHead:
    """Which state the copy has, and when it was last compared with Parameter Store, in epoch seconds."""

    revision: int
    checked_at: float


class DocumentCopy:
    """The copy, over the ledger's table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def head(self) -> CopyHead | None:
        """The copy's revision, as of a moment ago at most; None if there is no whole copy yet.

        Each tick reads it, and a reading that is not consistent costs half. Who sees an old revision reads documents of
        then or later, and reads the new one a few seconds later.
        """
        item = attributes(DOCUMENTS_HEAD, self._table.get(_key(HEAD), consistent=False))
        if "checked_at" not in item:
            return None
        return CopyHead(int(number(item, "revision")), number(item, "checked_at"))

    def documents(self) -> dict[str, StoredDocument]:
        """Every document by name."""
        items = self._table.query(PARTITION, PREFIX, f"{PREFIX}{PAST_ALL}")
        return {
            text(item, "sk").removeprefix(PREFIX): StoredDocument(
                text(item, "data"), int(number(item, "version")), number(item, "modified_at")
            )
            for item in all_attributes(DOCUMENT, items)
        }

    def claim_check(self, now: float) -> bool:
        """Whether it is for the caller to compare the copy with Parameter Store: one caller in CLAIMED_S."""
        claimed = self._table.update(
            _key(HEAD),
            "SET #record_version = :form, #claimed_at = :now",
            {":form": DOCUMENTS_HEAD.version, ":now": now, ":due": now - CLAIMED_S},
            "attribute_not_exists(#claimed_at) OR #claimed_at <= :due",
        )
        return claimed is not None

    def note_check(self, now: float) -> None:
        """The copy was as Parameter Store is at `now`: only from then on is it read."""
        self._table.update(_key(HEAD), "SET #checked_at = :now", {":now": now})

    def change(self, there: Mapping[str, StoredDocument], gone: Iterable[str], read_at: float) -> None:
        """Write documents, and remove others, unless another writer saw a later state of them.

        Args:
            there: new and changed documents, by name.
            gone: names of those that Parameter Store no longer had.
            read_at: when Parameter Store was read, in epoch seconds.
        """
        writes = [
            self._table.putting(
                _key(f"{PREFIX}{name}")
                | typed_all(
                    {"data": one.text, "version": one.version, "modified_at": one.modified_at, **DOCUMENT.written}
                ),
                "attribute_not_exists(#pk) OR #modified_at <= :at",
                {":at": one.modified_at},
            )
            for name, one in there.items()
        ]
        writes += [
            self._table.deleting(
                _key(f"{PREFIX}{name}"), "attribute_not_exists(#pk) OR #modified_at <= :at", {":at": read_at}
            )
            for name in gone
        ]
        one_more = self._table.updating(
            _key(HEAD),
            "SET #record_version = :form ADD #revision :one",
            {":form": DOCUMENTS_HEAD.version, ":one": 1},
        )
        for start in range(0, len(writes), TRANSACTION_MAX - 1):
            self._table.transact_each([*writes[start : start + TRANSACTION_MAX - 1], one_more])


def _key(sk: str) -> Item:
    return typed_all({"pk": PARTITION, "sk": sk})
