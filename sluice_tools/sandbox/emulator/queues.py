"""SQS under one lock, and counted: what the queue metrics are made of.

ministack serves requests on its event loop and event source mappings on threads, and both rebuild a queue's list of
messages: without a lock around each change, one of two changes at the same moment is lost. Here every change takes
the same lock.

AWS pages (AWSSimpleQueueService/latest/SQSDeveloperGuide): sqs-available-cloudwatch-metrics.html (what is counted,
which queues are active, how age is measured), sqs-dead-letter-queues.html.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

SYNCHRONOUS = (
    "_act_create_queue", "_act_delete_queue", "_act_send_message", "_act_delete_message", "_act_change_visibility",
    "_act_change_visibility_batch", "_act_get_queue_attributes", "_act_set_queue_attributes", "_act_purge_queue",
    "_act_send_message_batch", "_act_delete_message_batch",
)  # fmt: skip
STEPS = ("_expire_retained", "_refresh_counts", "_collect_msgs", "_dlq_sweep")

sqs = Host(
    "services.sqs", *SYNCHRONOUS, *STEPS, "_queues", "_queues_lock", "_HANDLERS", "_get_q", "_act_receive_message",
    "_receive_messages_for_esm", "_delete_messages_for_esm", "_queue_by_arn", "_Err", "_to_xml",
)  # fmt: skip
_eventbridge = Host("services.eventbridge", "_dispatch_to_sqs")
_sns = Host("services.sns", "_deliver_to_sqs")
_lambda = Host("services.lambda_svc", "_route_async_failure")

POISON_RECEIVES = 3
"""A message received this often without being deleted no longer counts as a queue's oldest."""


@dataclass(slots=True)
class Counts:
    """What happened to one queue in the present metric period."""

    sent: int = 0
    received: int = 0
    deleted: int = 0
    empty_receives: int = 0
    sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Depth:
    """What is in a queue now, and how old the oldest of it is, in seconds."""

    visible: int
    in_flight: int
    delayed: int
    oldest_age_s: float


class Queues:
    """The lock, and the counts under it."""

    def __init__(self) -> None:
        """Count from nothing."""
        self.lock = threading.RLock()
        self._counts: dict[str, Counts] = defaultdict(Counts)
        self._active_at: dict[str, float] = {}

    def install(self) -> None:
        """Wrap every function of ministack's SQS that changes a queue."""
        sqs["_queues_lock"] = self.lock
        for name in (*SYNCHRONOUS, *(step for step in STEPS if step != "_dlq_sweep")):
            sqs[name] = self._locked(sqs[name])
        sqs["_dlq_sweep"] = self._sweeping(sqs["_dlq_sweep"])
        for action, name, count in (
            ("CreateQueue", "_act_create_queue", None),
            ("DeleteQueue", "_act_delete_queue", None),
            ("SendMessage", "_act_send_message", self._sent),
            ("SendMessageBatch", "_act_send_message_batch", self._sent_batch),
            ("DeleteMessage", "_act_delete_message", self._deleted),
            ("DeleteMessageBatch", "_act_delete_message_batch", self._deleted_batch),
            ("ChangeMessageVisibility", "_act_change_visibility", None),
            ("ChangeMessageVisibilityBatch", "_act_change_visibility_batch", None),
            ("GetQueueAttributes", "_act_get_queue_attributes", _nothing),
            ("SetQueueAttributes", "_act_set_queue_attributes", None),
            ("PurgeQueue", "_act_purge_queue", _nothing),
        ):
            sqs["_HANDLERS"][action] = sqs[name] if count is None else self._counting(sqs[name], count)
        sqs["_HANDLERS"]["ReceiveMessage"] = self._counting_receive(sqs["_act_receive_message"])
        self._install_internal()

    def _install_internal(self) -> None:
        """Senders and receivers inside ministack: event source mappings, topics, rules, failure destinations."""
        receive, delete = sqs["_receive_messages_for_esm"], sqs["_delete_messages_for_esm"]

        def receive_for_mapping(queue_url: str, limit: int) -> list[Any]:
            messages: list[Any] = receive(queue_url, limit)
            with self._counting_of(sqs["_get_q"](queue_url)) as counts:
                counts.received += len(messages)
                counts.empty_receives += not messages
            return messages

        def delete_for_mapping(queue_url: str, receipts: set[str]) -> None:
            delete(queue_url, receipts)
            with self._counting_of(sqs["_get_q"](queue_url)) as counts:
                counts.deleted += len(receipts)

        sqs["_receive_messages_for_esm"] = receive_for_mapping
        sqs["_delete_messages_for_esm"] = delete_for_mapping
        _eventbridge["_dispatch_to_sqs"] = self._locked(_eventbridge["_dispatch_to_sqs"])
        _sns["_deliver_to_sqs"] = self._locked(_sns["_deliver_to_sqs"])
        _lambda["_route_async_failure"] = self._locked(_lambda["_route_async_failure"])

    # --- what the metrics read ---

    def take(self, arn: str) -> Counts:
        """The queue's counts of the period that ends now; the next begins at nothing."""
        with self.lock:
            return self._counts.pop(arn, Counts())

    def active_at(self, arn: str, queue: Mapping[str, Any], now: float) -> float:
        """When the queue was last used: now, if there is a message in it."""
        with self.lock:
            if queue["messages"]:
                self._active_at[arn] = now
            return self._active_at.get(arn, 0.0)

    def depth(self, queue: Mapping[str, Any], now: float) -> Depth:
        """What is in a queue."""
        with self.lock:
            visible = in_flight = delayed = 0
            oldest_at = now
            for message in queue["messages"]:
                if message["visible_at"] <= now:
                    visible += 1
                elif message["receive_count"] == 0:
                    delayed += 1
                else:
                    in_flight += 1
                if message["receive_count"] < POISON_RECEIVES or "dead_lettered_at" in message:
                    oldest_at = min(oldest_at, message.get("dead_lettered_at", message["sent_at"]))
            return Depth(visible, in_flight, delayed, now - oldest_at)

    # --- wrapping ---

    def _locked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def locked(*arguments: Any, **named: Any) -> Any:
            with self.lock:
                return function(*arguments, **named)

        return locked

    def _sweeping(self, sweep: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Note when a message was dead-lettered: from then on its age counts in the dead-letter queue."""

        def swept(queue: dict[str, Any]) -> None:
            with self.lock:
                before = {message["id"]: message for message in queue["messages"]}
                sweep(queue)
                moved = before.keys() - {message["id"] for message in queue["messages"]}
                if not moved:
                    return
                now = time.time()
                for other in list(sqs["_queues"].values()):
                    for message in other["messages"]:
                        if message["id"] in moved:
                            message["dead_lettered_at"] = now
                            self._active_at[other["attributes"]["QueueArn"]] = now

        return swept

    def _counting(self, act: Callable[..., Any], count: Callable[[Counts, Any, Any], None]) -> Callable[..., Any]:
        def counted(data: dict[str, Any], url: str) -> Any:
            result = act(data, url)
            with self._counting_of(sqs["_get_q"](data.get("QueueUrl", url))) as counts:
                count(counts, data, result)
            return result

        return counted

    def _counting_receive(self, act: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(data: dict[str, Any], url: str) -> Any:
            result = await act(data, url)
            with self._counting_of(sqs["_get_q"](data.get("QueueUrl", url))) as counts:
                messages = result.get("Messages") or []
                counts.received += len(messages)
                counts.empty_receives += not messages
            return result

        return counted

    def _counting_of(self, queue: Mapping[str, Any]) -> _Counting:
        return _Counting(self.lock, self._counts, self._active_at, queue["attributes"]["QueueArn"])

    @staticmethod
    def _sent(counts: Counts, data: Mapping[str, Any], _result: Any) -> None:
        counts.sent += 1
        counts.sizes.append(_size(data))

    @staticmethod
    def _sent_batch(counts: Counts, data: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        done = {entry["Id"] for entry in result.get("Successful") or []}
        for entry in data.get("Entries") or []:
            if entry["Id"] in done:
                counts.sent += 1
                counts.sizes.append(_size(entry))

    @staticmethod
    def _deleted(counts: Counts, _data: Any, _result: Any) -> None:
        counts.deleted += 1

    @staticmethod
    def _deleted_batch(counts: Counts, _data: Any, result: Mapping[str, Any]) -> None:
        counts.deleted += len(result.get("Successful") or [])


class _Counting:
    """Holds the lock while one queue's counts are changed, and marks the queue as used."""

    def __init__(self, lock: threading.RLock, counts: dict[str, Counts], active_at: dict[str, float], arn: str) -> None:
        self._lock, self._counts, self._active_at, self._arn = lock, counts, active_at, arn

    def __enter__(self) -> Counts:
        self._lock.acquire()
        self._active_at[self._arn] = time.time()
        return self._counts[self._arn]

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def _nothing(_counts: Counts, _data: Any, _result: Any) -> None:
    """Only that the queue was used."""


def _size(message: Mapping[str, Any]) -> int:
    """Bytes of a message: body, and attributes' names, types and values."""
    size = len((message.get("MessageBody") or "").encode())
    for name, attribute in (message.get("MessageAttributes") or {}).items():
        value = attribute.get("StringValue") or attribute.get("BinaryValue") or ""
        size += len(name) + len(attribute.get("DataType") or "") + len(value)
    return size
