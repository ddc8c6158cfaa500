"""DynamoDB's capacity units of the calls that a test makes, by partition key, computed from the items that they meet.

A write costs a unit for each begun KB of the item, the larger of before and after; a deletion the item's, at least one.
Each write and each condition check of a transaction costs twice as much. A consistent
read costs a unit for each begun 4 KB: a query of all it returns, other reads of each item. An item's size is that of
its names and values.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import botocore.client

WRITE_BYTES, READ_BYTES = 1_024, 4_096
# What a partition of DynamoDB takes a second.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
PARTITION_WRITES_PER_S, PARTITION_READS_PER_S = 1_000, 3_000

type Item = dict[str, Any]


@dataclass(slots=True)
class Units:
    """Units so far, by partition key, and calls by operation."""

    writes: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)


def size_bytes(item: Item) -> int:
    """About how large an item is for DynamoDB."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Item) -> int:
    ((kind, held),) = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "B":
        return len(held)
    if kind == "N":
        return len(str(held).replace("-", "").replace(".", "")) // 2 + 2
    if kind == "L":
        return 3 + sum(1 + _value_bytes(each) for each in held)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_bytes(each) for name, each in held.items())
    return 1


@contextmanager
def counted() -> Iterator[Units]:
    """Count the units of every call to DynamoDB meanwhile."""
    units = Units()
    real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined] # where every call goes through

    def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if client.meta.service_model.service_name != "dynamodb":
            return real(client, operation, arguments)
        units.calls[operation] += 1
        written = list(_writes(operation, arguments))
        tables = {table for table, _, _ in written}
        before = [_there(real, client, table, key) for table, key, _ in written]
        try:
            answer = real(client, operation, arguments)
        finally:  # what a condition refuses is paid as well
            assert len(tables) <= 1
            for (table, key, factor), earlier in zip(written, before, strict=True):
                largest = max(earlier, _there(real, client, table, key))
                units.writes[key["pk"]["S"]] += factor * max(1, math.ceil(largest / WRITE_BYTES))
        _count_reads(units, operation, arguments, answer)
        return answer

    with mock.patch.object(botocore.client.BaseClient, "_make_api_call", call):
        yield units


def _writes(operation: str, arguments: dict[str, Any]) -> Iterable[tuple[str, Item, int]]:
    """Table, key and factor of each write of a request."""
    match operation:
        case "PutItem":
            yield arguments["TableName"], _key(arguments["Item"]), 1
        case "UpdateItem" | "DeleteItem":
            yield arguments["TableName"], arguments["Key"], 1
        case "BatchWriteItem":
            for table, requests in arguments["RequestItems"].items():
                for request in requests:
                    put = "PutRequest" in request
                    yield table, _key(request["PutRequest"]["Item"]) if put else request["DeleteRequest"]["Key"], 1
        case "TransactWriteItems":
            for one in arguments["TransactItems"]:
                ((kind, parts),) = one.items()
                yield parts["TableName"], _key(parts["Item"]) if kind == "Put" else parts["Key"], 2


def _count_reads(units: Units, operation: str, arguments: dict[str, Any], answer: dict[str, Any]) -> None:
    match operation:
        case "GetItem":
            units.reads[arguments["Key"]["pk"]["S"]] += _read(answer.get("Item"))
        case "Query":
            pk = arguments["ExpressionAttributeValues"][":pk"]["S"]
            whole = sum(map(size_bytes, answer["Items"]))
            units.reads[pk] += max(1, math.ceil(whole / READ_BYTES))
        case "BatchGetItem":
            for table, asked in arguments["RequestItems"].items():
                found = {(item["pk"]["S"], item["sk"]["S"]): item for item in answer["Responses"].get(table, [])}
                for key in asked["Keys"]:
                    units.reads[key["pk"]["S"]] += _read(found.get((key["pk"]["S"], key["sk"]["S"])))


def _read(item: Item | None) -> int:
    return max(1, math.ceil(size_bytes(item or {}) / READ_BYTES))


def _key(item: Item) -> Item:
    return {"pk": item["pk"], "sk": item["sk"]}


def _there(real: Callable[..., Any], client: Any, table: str, key: Item) -> int:
    """The bytes of the item that is there; 0 if there is none."""
    found = real(client, "GetItem", {"TableName": table, "Key": key, "ConsistentRead": True}).get("Item")
    return size_bytes(found) if found else 0
