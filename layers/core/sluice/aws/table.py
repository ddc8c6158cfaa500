"""The DynamoDB table of the ledger: conditional writes, whole queries and transactions over pk and sk.

Table: pk (S, hash), sk (S, range), time to live on `ttl` (N, epoch seconds). Reads are strongly consistent unless they
say otherwise: a drain or a claim read late would be acted on twice. In expressions a name is written `#name`, so that
none can be one of DynamoDB's 573 reserved words.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import uniform
from time import sleep
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, TryLaterError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

type Value = str | int | float | bytes | list[str]
type Item = dict[str, Any]  # attribute name -> DynamoDB's {"S": ...}

CONDITION_FAILED = "ConditionalCheckFailed"
CONFLICT = "TransactionConflict"
TRY_LATER = frozenset({CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"})

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
TRANSACTION_MAX = 100
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_READ_MAX = 100
BATCH_WRITE_MAX = 25
BATCH_ATTEMPTS = 3  # DynamoDB may leave out some of a batch, and asks to send those again after a pause
# Transactions that meet on one item (a burst of dead letters counted in one failure group) are refused, not queued,
# and botocore does not repeat them. Each takes a few milliseconds, so that some short pauses part them.
CONFLICT_ATTEMPTS = 6
CONFLICT_PAUSE_S = 0.05


def typed(value: Value) -> dict[str, Any]:
    """A value as DynamoDB takes it."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, list):
        return {"L": [typed(each) for each in value]}
    return {"N": repr(value)}


def typed_all(values: Mapping[str, Value]) -> Item:
    """Several values as DynamoDB takes them."""
    return {name: typed(value) for name, value in values.items()}


def text(item: Item, name: str) -> str:
    """A string attribute; empty where there is none."""
    return str(item.get(name, {}).get("S", ""))


def number(item: Item, name: str) -> float:
    """A number attribute; zero where there is none."""
    return float(item.get(name, {}).get("N", 0))


class Table:
    """One table.

    Args:
        clients: where the client comes from.
        name: the table's.
        pause: waits for some seconds, between transactions that met.
    """

    def __init__(self, clients: Clients, name: str, pause: Callable[[float], None] = sleep) -> None:
        self._clients = clients
        self.name = name
        self._pause = pause

    def get(self, key: Item, *, consistent: bool = True) -> Item | None:
        """The item under a key, if any."""
        with asking(self._thing()):
            answer = self._clients.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=consistent)
        return dict(answer["Item"]) if "Item" in answer else None

    def get_batch(self, keys: Sequence[Item], names: Sequence[str] = ()) -> list[Item | None]:
        """The items under keys, in their order, each as it is when it is read; by one call for a hundred.

        Args:
            keys: no key twice.
            names: the attributes to read; all of them where none is named.
        """
        found: dict[tuple[str, str], Item] = {}
        more: dict[str, Any] = {"ConsistentRead": True}
        if names:
            more["ProjectionExpression"] = ", ".join(f"#{name}" for name in ("pk", "sk", *names))
            more["ExpressionAttributeNames"] = {f"#{name}": name for name in ("pk", "sk", *names)}
        for start in range(0, len(keys), BATCH_READ_MAX):
            left = list(keys[start : start + BATCH_READ_MAX])
            for attempt in range(BATCH_ATTEMPTS):
                self._pause_before(attempt)
                wanted: Any = {self.name: {"Keys": left, **more}}
                with asking(self._thing()):
                    answer: dict[str, Any] = dict(self._clients.dynamodb.batch_get_item(RequestItems=wanted))
                for item in answer["Responses"].get(self.name, []):
                    found[text(item, "pk"), text(item, "sk")] = dict(item)
                left = list(answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", []))
                if not left:
                    break
            else:
                raise TryLaterError(f"{self._thing().name}: {len(left)} items of a batch were not read: throttled")
        if not found:  # as when a redrive asks who else has claimed its messages
            return [None] * len(keys)
        return [found.get((text(one, "pk"), text(one, "sk"))) for one in keys]

    def query(
        self,
        pk: str,
        low: str,
        high: str,
        *,
        after: Item | None = None,
        page: int | None = None,
        descending: bool = False,
        consistent: bool = True,
    ) -> Iterator[Item]:
        """The items of a partition whose sk is from `low` to `high`, fetched page by page as they are asked for."""
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": typed_all({":pk": pk, ":low": low, ":high": high}),
            "ScanIndexForward": not descending,
            "ConsistentRead": consistent,
        }
        if page is not None:
            request["Limit"] = page
        while True:
            if after is not None:
                request["ExclusiveStartKey"] = after
            with asking(self._thing()):
                answer = self._clients.dynamodb.query(**request)
            yield from answer["Items"]
            after = answer.get("LastEvaluatedKey")
            if not after:
                return

    def put(self, item: Item, condition: str | None = None, values: Mapping[str, Value] | None = None) -> bool:
        """Write an item; False if the condition does not hold."""
        return self._write("put_item", self._request({"Item": item}, condition, values)) is not None

    def put_batch(self, items: Sequence[Item]) -> tuple[PortError | None, ...]:
        """Write items, none with the key of another, whatever was there; for each, in order, the error that it met.

        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
        """
        failed: dict[tuple[str, str], PortError] = {}
        for start in range(0, len(items), BATCH_WRITE_MAX):
            left = list(items[start : start + BATCH_WRITE_MAX])
            error: PortError = TryLaterError(f"{self._thing().name}: items of a batch were not written: throttled")
            for attempt in range(BATCH_ATTEMPTS):
                self._pause_before(attempt)
                try:
                    with asking(self._thing()):
                        answer = self._clients.dynamodb.batch_write_item(
                            RequestItems={self.name: [{"PutRequest": {"Item": item}} for item in left]}
                        )
                except PortError as fault:
                    error = fault
                    break
                requests = answer.get("UnprocessedItems", {}).get(self.name, [])
                left = [dict(request["PutRequest"]["Item"]) for request in requests if "PutRequest" in request]
                if not left:
                    break
            failed |= {(text(item, "pk"), text(item, "sk")): error for item in left}
        return tuple(failed.get((text(item, "pk"), text(item, "sk"))) for item in items)

    def delete(self, key: Item, condition: str | None = None, values: Mapping[str, Value] | None = None) -> bool:
        """Delete an item; False if the condition does not hold."""
        return self._write("delete_item", self._request({"Key": key}, condition, values)) is not None

    def update(
        self, key: Item, expression: str, values: Mapping[str, Value], condition: str | None = None
    ) -> Item | None:
        """Change an item, making it where there is none; the whole item after, or None if the condition fails."""
        parts = {"Key": key, "UpdateExpression": expression, "ReturnValues": "ALL_NEW"}
        answer = self._write("update_item", self._request(parts, condition, values))
        return None if answer is None else dict(answer["Attributes"])

    # The same as parts of a transaction.
    def putting(
        self, item: Item, condition: str | None = None, values: Mapping[str, Value] | None = None
    ) -> "TransactWriteItemTypeDef":
        """Write an item."""
        return {"Put": self._request({"Item": item}, condition, values)}  # type: ignore[typeddict-item]

    def deleting(
        self, key: Item, condition: str | None = None, values: Mapping[str, Value] | None = None
    ) -> "TransactWriteItemTypeDef":
        """Delete an item."""
        return {"Delete": self._request({"Key": key}, condition, values)}  # type: ignore[typeddict-item]

    def updating(
        self, key: Item, expression: str, values: Mapping[str, Value], condition: str | None = None
    ) -> "TransactWriteItemTypeDef":
        """Change an item."""
        parts = {"Key": key, "UpdateExpression": expression}
        return {"Update": self._request(parts, condition, values)}  # type: ignore[typeddict-item]

    def checking(
        self, key: Item, condition: str, values: Mapping[str, Value] | None = None
    ) -> "TransactWriteItemTypeDef":
        """Change nothing, but fail if the condition does not hold."""
        return {"ConditionCheck": self._request({"Key": key}, condition, values)}  # type: ignore[typeddict-item]

    def transact(self, writes: "Sequence[TransactWriteItemTypeDef]") -> frozenset[int]:
        """Write all or nothing; the indexes of the writes whose conditions failed: none when all was written.

        botocore gives each transaction a token of its own, so that a repeated request is one transaction.
        """
        with asking(self._thing()):
            try:
                self._patiently("transact_write_items", {"TransactItems": writes})
            except ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                return self._cancelled(error)
        return frozenset()

    def transact_each(self, writes: "Sequence[TransactWriteItemTypeDef]") -> frozenset[int]:
        """Make each write whose own condition holds, a hundred a transaction; the indexes of those whose does not."""
        left_out: set[int] = set()
        for start in range(0, len(writes), TRANSACTION_MAX):
            open_ = list(range(start, min(start + TRANSACTION_MAX, len(writes))))
            while open_ and (failed := self.transact([writes[index] for index in open_])):
                left_out |= {open_[place] for place in failed}
                open_ = [index for place, index in enumerate(open_) if place not in failed]
        return frozenset(left_out)

    def _cancelled(self, error: ClientError) -> frozenset[int]:
        """Which conditions failed; or the port error, where something else cancelled the transaction."""
        reasons = _reasons(error)
        failed = frozenset(index for index, code in enumerate(reasons) if code == CONDITION_FAILED)
        if failed:
            return failed
        if TRY_LATER & set(reasons):
            raise TryLaterError(f"{self._thing().name}: {error}") from error
        if "AccessDenied" in reasons:
            raise NeedsFixError(
                f"{self._thing().name}: grant dynamodb:PutItem, UpdateItem, DeleteItem and ConditionCheckItem"
                f" to this function's role ({error})"
            ) from error
        raise RefusedError(f"{self._thing().name}: {error}") from error

    def _request(
        self, parts: dict[str, Any], condition: str | None, values: Mapping[str, Value] | None
    ) -> dict[str, Any]:
        """A request with its condition, and the names and values that its expressions use."""
        request = {"TableName": self.name, **parts}
        if condition is not None:
            request["ConditionExpression"] = condition
        if values:
            request["ExpressionAttributeValues"] = typed_all(values)
        expressions = f"{parts.get('UpdateExpression', '')} {condition or ''}"
        if names := {name: name.removeprefix("#") for name in re.findall(r"#\w+", expressions)}:
            request["ExpressionAttributeNames"] = names
        return request

    def _write(self, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a single write; None if its condition did not hold."""
        with asking(self._thing()):
            try:
                return self._patiently(operation, request)
            except ClientError as error:
                if code_of(error) == "ConditionalCheckFailedException":
                    return None
                raise

    def _patiently(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a write, tried again for as long as it meets other transactions."""
        attempt = 0
        while True:
            try:
                answer: dict[str, Any] = getattr(self._clients.dynamodb, operation)(**request)
            except ClientError as error:
                attempt += 1
                if attempt == CONFLICT_ATTEMPTS or not _met_another(error):
                    raise
                self._pause_before(attempt)
            else:
                return answer

    def _pause_before(self, attempt: int) -> None:
        """Wait before another attempt; not before the first, which has number 0."""
        if attempt:
            self._pause(uniform(0.0, CONFLICT_PAUSE_S * attempt))  # noqa: S311 (jitter, no secret)

    def _thing(self) -> Thing:
        return Thing("dynamodb", f"table {self.name}", "deploy the stack, which makes it, or correct SLUICE_TABLE")


def _reasons(error: ClientError) -> list[str]:
    """Why each write of a cancelled transaction was not made; "None" for those that could have been."""
    return [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]


def _met_another(error: ClientError) -> bool:
    """Whether nothing but another transaction on the same item stood in the way."""
    reasons = _reasons(error)
    return code_of(error) == "TransactionConflictException" or (CONFLICT in reasons and CONDITION_FAILED not in reasons)
