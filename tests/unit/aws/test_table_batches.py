"""Batches of the ledger's table: what DynamoDB leaves undone is asked for again, for a while."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sluice.aws.clients import Clients
from sluice.aws.table import BATCH_READS_MAX, BATCH_WRITES_MAX, CONFLICT_ATTEMPTS, Item, Table, typed_all
from sluice.ports.errors import TryLaterError


class Leaving:
    """DynamoDB, which does one entry of a batch in each call, or none."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck = stuck
        self.items: list[Item] = []
        self.sizes: list[int] = []

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        """Write the first entry."""
        entries = RequestItems["t"]
        self.sizes.append(len(entries))
        if self.stuck:
            return {"UnprocessedItems": RequestItems}
        self.items.append(entries[0]["PutRequest"]["Item"])
        return {"UnprocessedItems": {"t": entries[1:]} if entries[1:] else {}}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        """Read the first key."""
        keys = RequestItems["t"]["Keys"]
        self.sizes.append(len(keys))
        left = {"t": {"Keys": keys[1:], "ConsistentRead": True}} if keys[1:] else {}
        return {"Responses": {"t": [one for one in self.items if one == keys[0]]}, "UnprocessedKeys": left}


def table(dynamodb: Leaving, pauses: list[float]) -> Table:
    """The table over such a DynamoDB."""
    return Table(cast("Clients", SimpleNamespace(dynamodb=dynamodb)), "t", pauses.append)


def key(number: int) -> Item:
    """An item that is its key alone."""
    return typed_all({"pk": "p", "sk": f"{number:03d}"})


def test_batch_is_sent_again_for_what_was_left_undone() -> None:
    """Entry by entry, with a pause between."""
    dynamodb, pauses = Leaving(), list[float]()
    table(dynamodb, pauses).put_all([key(number) for number in range(4)])
    assert (dynamodb.items, dynamodb.sizes, len(pauses)) == ([key(number) for number in range(4)], [4, 3, 2, 1], 3)
    assert table(dynamodb, pauses).get_all([key(3), key(9), key(0)]) == [key(3), None, key(0)]


def test_batch_is_given_up_when_dynamodb_leaves_it_undone_again_and_again() -> None:
    """The caller is told to try later, and nothing waits for ever."""
    dynamodb, pauses = Leaving(stuck=True), list[float]()
    with pytest.raises(TryLaterError, match=f"some of a batch was left undone {CONFLICT_ATTEMPTS} times"):
        table(dynamodb, pauses).put_all([key(1)])
    assert len(dynamodb.sizes) == CONFLICT_ATTEMPTS


@pytest.mark.parametrize(("method", "most"), [("put_all", BATCH_WRITES_MAX), ("get_all", BATCH_READS_MAX)])
def test_no_batch_is_larger_than_dynamodb_takes(method: str, most: int) -> None:
    """A longer list goes in several."""

    class Whole(Leaving):
        def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
            self.sizes.append(len(RequestItems["t"]))
            return {}

        def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
            self.sizes.append(len(RequestItems["t"]["Keys"]))
            return {"Responses": {}}

    dynamodb = Whole()
    getattr(table(dynamodb, []), method)([key(number) for number in range(2 * most + 1)])
    assert dynamodb.sizes == [most, most, 1]
