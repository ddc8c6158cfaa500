"""Counts what AWS bills of the calls of a botocore session, and lets calls take as long as they do on AWS.

A table's units are computed by DynamoDB's rules from the sizes of requests and answers:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

import botocore.session

WRITE_UNIT, READ_UNIT = 1_024, 4_096  # bytes
type Item = Mapping[str, Mapping[str, Any]]


def size_of(item: Item) -> int:
    """Bytes of an item: its attributes' names and values.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    size = 1  # BOOL, NULL
    match kind:
        case "S":
            size = len(held.encode())
        case "N":
            size = ceil(len(held.strip("-").replace(".", "").strip("0")) / 2) + 1
        case "B":
            size = len(held)
        case "M":
            size = 3 + sum(1 + len(name.encode()) + _size_of_value(one) for name, one in held.items())
        case "L":
            size = 3 + sum(1 + _size_of_value(one) for one in held)
        case "SS" | "NS" | "BS":
            size = sum(len(one) for one in held)
    return size


class CallCounter:
    """What a session's clients called since the last `take`.

    Args:
        session: its clients that are made from now on are counted.
        item: reads an item as it is in the table now, by its key: what an update made of it is in no answer.
        spent: takes the processor's time of counting.
    """

    def __init__(
        self, session: botocore.session.Session, item: Callable[[str, Item], Item | None], spent: "Spent"
    ) -> None:
        self._item = item
        self._spent = spent
        self._lock = threading.Lock()
        self._new()
        events = session.get_component("event_emitter")
        events.register("provide-client-params", self._asked)
        events.register("after-call", self._answered)

    def _new(self) -> None:
        self.calls: Counter[str] = Counter()
        self.write_units = 0.0
        self.read_units = 0.0
        self.metrics_read = 0

    def take(self) -> tuple[Counter[str], float, float, int]:
        """Calls, write units, read units and metrics read; counting begins anew."""
        with self._lock:
            taken = (self.calls, self.write_units, self.read_units, self.metrics_read)
            self._new()
        return taken

    def _asked(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["costs.params"] = params

    def _answered(self, model: Any, parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        params = context["costs.params"]
        service = model.service_model.service_name
        with self._spent, self._lock:
            self.calls[f"{service}.{model.name}"] += 1
            if model.name == "GetMetricData":
                self.metrics_read += len(params["MetricDataQueries"])
            if service == "dynamodb":
                self.write_units += sum(self._written(model.name, params))
                self.read_units += sum(_read(model.name, params, parsed))

    def _written(self, operation: str, params: Mapping[str, Any]) -> Iterator[float]:
        if operation == "TransactWriteItems":
            for action in params["TransactItems"]:
                for name, one in action.items():
                    yield from (2 * units for units in self._written(f"{name}Item", one))
        elif operation == "BatchWriteItem":
            for table, requests in params["RequestItems"].items():
                for request in requests:
                    for name, one in request.items():
                        yield from self._written(name.replace("Request", "Item"), {"TableName": table, **one})
        elif operation == "PutItem":
            yield _units(params["Item"], WRITE_UNIT)
        elif operation in {"UpdateItem", "DeleteItem", "ConditionCheckItem"}:
            yield _units(self._item(params["TableName"], params["Key"]), WRITE_UNIT)


def _read(operation: str, params: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[float]:
    if operation == "GetItem":
        yield _units(answer.get("Item"), READ_UNIT) * _share(params)
    elif operation == "Query":
        yield ceil(max(1, sum(size_of(item) for item in answer.get("Items", ()))) / READ_UNIT) * _share(params)
    elif operation == "BatchGetItem":
        for table, asked in params["RequestItems"].items():
            found = answer.get("Responses", {}).get(table, ())
            yield (sum(_units(item, READ_UNIT) for item in found) + len(asked["Keys"]) - len(found)) * _share(asked)


def _units(item: Item | None, unit: int) -> int:
    """An item that is not there is billed as a small one."""
    return ceil(max(1, size_of(item or {})) / unit)


def _share(params: Mapping[str, Any]) -> float:
    return 1.0 if params.get("ConsistentRead") else 0.5


class SlowAnswers:
    """Lets each call of a session take a while, and tells how long calls were waited for.

    Args:
        session: its clients that are made from now on are slow.
        answer: who answers, as a handler of botocore's event `before-send`; its own work is counted in `spent`.
        latency_s: how long a call takes while `on`.
        spent: the processor's time that is no part of the code under measurement.
    """

    def __init__(
        self, session: botocore.session.Session, answer: Callable[..., Any], latency_s: float, spent: "Spent"
    ) -> None:
        self._answer = answer
        self._latency_s = latency_s
        self._spent = spent
        self._lock = threading.Lock()
        self._waits: list[tuple[float, float]] = []
        self.on = False
        session.get_component("event_emitter").register_first("before-send", self._send)

    def waited_s(self) -> float:
        """How long at least one call was under way since the last time, in seconds."""
        with self._lock:
            waits, self._waits = sorted(self._waits), []
        total_s, until = 0.0, float("-inf")
        for begin, end in waits:
            total_s += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total_s

    def _send(self, event_name: str, request: Any, **_: Any) -> Any:
        with self._spent:
            answered = self._answer(event_name=event_name, request=request)
        if self.on:
            begin = time.perf_counter()
            time.sleep(self._latency_s)
            with self._lock:
                self._waits.append((begin, begin + self._latency_s))
        return answered


class Spent:
    """The processor's time that threads spend within it, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._began = threading.local()

    def __enter__(self) -> None:
        """Begin, in this thread."""
        self._began.at = time.thread_time()

    def __exit__(self, *_: object) -> None:
        """End."""
        with self._lock:
            self.seconds += time.thread_time() - self._began.at
