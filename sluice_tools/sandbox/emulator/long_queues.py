"""Long queues: a call to SQS takes no longer for the messages that it has nothing to do with.

ministack looks through the whole queue for each receive, and for each message of a batch that is deleted. On AWS a
standard queue takes any number of messages, and nearly any number of calls a second (AWSSimpleQueueService/latest/
SQSDeveloperGuide/quotas-queues.html and standard-queues.html). What is answered is the same, in the same order, but
that a message past its retention may be received for another second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_sqs = Host(
    "services.sqs", "_act_delete_message_batch", "_collect_msgs", "_ensure_msg_fields", "_expire_retained", "_get_q",
    "_validate_batch_entries", "new_uuid",
)  # fmt: skip

EXPIRY_PERIOD_S = 1.0


def install() -> None:
    """Take the place of ministack's actions; before others wrap them."""
    collect_any = _sqs["_collect_msgs"]

    def collect(queue: dict[str, Any], most: int, hidden_s: int) -> list[dict[str, Any]]:
        if queue["is_fifo"]:  # what is hidden of a message group, anywhere in the queue, holds the rest of it
            collected: list[dict[str, Any]] = collect_any(queue, most, hidden_s)
            return collected
        return _collect(queue, most, hidden_s)

    _sqs["_collect_msgs"] = collect
    _sqs["_expire_retained"] = _expiring(_sqs["_expire_retained"])
    _sqs["_act_delete_message_batch"] = _delete_batch


def _expiring(expire: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Look for messages past their retention, which is minutes to days, once a second for each queue."""
    cutoffs: dict[str, float] = {}

    def expire_now_and_then(queue: dict[str, Any]) -> None:
        arn = queue["attributes"].get("QueueArn", "")
        cutoff = time.time() - float(queue["attributes"].get("MessageRetentionPeriod", 0))
        if abs(cutoff - cutoffs.get(arn, 0.0)) >= EXPIRY_PERIOD_S:  # time has passed, or the retention was changed
            cutoffs[arn] = cutoff
            expire(queue)

    return expire_now_and_then


def _collect(queue: dict[str, Any], most: int, hidden_s: int) -> list[dict[str, Any]]:
    """Receive the first few messages of a standard queue that are not hidden."""
    now = time.time()
    found: list[dict[str, Any]] = []
    for message in queue["messages"]:
        if len(found) == most:
            break
        if message["visible_at"] > now:
            continue
        _sqs["_ensure_msg_fields"](message)
        message["receipt_handle"] = _sqs["new_uuid"]()
        message["visible_at"] = now + hidden_s
        message["receive_count"] += 1
        if message["first_receive_at"] is None:
            message["first_receive_at"] = now
        found.append(message)
    return found


def _delete_batch(data: dict[str, Any], url: str) -> dict[str, Any]:
    """Delete by receipt handles, each of which is good once."""
    queue = _sqs["_get_q"](data.get("QueueUrl", url), "sqs:DeleteMessage")
    entries = data.get("Entries", [])
    _sqs["_validate_batch_entries"](entries, "DeleteMessageBatchRequestEntry")
    given = {entry.get("ReceiptHandle", "") for entry in entries} - {None}
    places: list[int] = []
    there: set[str] = set()
    for place, message in enumerate(queue["messages"]):  # what was received is mostly near the front
        if message["receipt_handle"] in given:
            places.append(place)
            there.add(message["receipt_handle"])
            if len(there) == len(given):
                break
    for place in reversed(places):
        del queue["messages"][place]
    answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
    for entry in entries:
        if entry.get("ReceiptHandle", "") in there:
            there.remove(entry["ReceiptHandle"])
            answer["Successful"].append({"Id": entry.get("Id", "")})
            continue
        answer["Failed"].append(
            {
                "Id": entry.get("Id", ""),
                "Code": "ReceiptHandleIsInvalid",
                "Message": "The input receipt handle is invalid.",
                "SenderFault": True,
            }
        )
    return answer
