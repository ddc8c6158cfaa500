"""Answers of SQS that ministack gives otherwise than AWS: late receipts, long delays, and the events of mappings.

AWS pages (AWSSimpleQueueService/latest/APIReference): API_ChangeMessageVisibility.html (MessageNotInflight),
API_DeleteMessage.html (an old receipt handle is no error), API_SendMessage.html (DelaySeconds from 0 to 900);
lambda/latest/dg/with-sqs.html (a record's attributes are the message's).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_sqs = Host(
    "services.sqs", "_act_change_visibility", "_act_change_visibility_batch", "_act_delete_message",
    "_act_delete_message_batch", "_act_send_message", "_get_q", "_Err",
)  # fmt: skip
_lambda = Host("services.lambda_svc", "_run_sqs_batch")

DELAY_MAX_S = 900
"""Longest delay of a message."""

_RECEIPT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What ministack's receipt handles look like: anything else never was one."""


def install() -> None:
    """Wrap the actions; before the queues' lock goes around them."""
    _sqs["_act_send_message"] = _sending(_sqs["_act_send_message"])
    _sqs["_act_change_visibility"] = _changing(_sqs["_act_change_visibility"])
    _sqs["_act_change_visibility_batch"] = _changing_batch(_sqs["_act_change_visibility_batch"])
    _sqs["_act_delete_message"] = _deleting(_sqs["_act_delete_message"])
    _sqs["_act_delete_message_batch"] = _deleting_batch(_sqs["_act_delete_message_batch"])
    _lambda["_run_sqs_batch"] = _running(_lambda["_run_sqs_batch"])


Act = Callable[[dict[str, Any], str], dict[str, Any]]


def _sending(act: Act) -> Act:
    def send(data: dict[str, Any], url: str) -> dict[str, Any]:
        delay = data.get("DelaySeconds")
        if delay is not None and not 0 <= int(delay) <= DELAY_MAX_S:
            raise _sqs["_Err"](
                "InvalidParameterValue",
                f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= "
                f"{DELAY_MAX_S}.",
            )
        return act(data, url)

    return send


def _changing(act: Act) -> Act:
    def change(data: dict[str, Any], url: str) -> dict[str, Any]:
        if not _in_flight(data.get("QueueUrl", url), data.get("ReceiptHandle", "")):
            raise _sqs["_Err"]("MessageNotInflight", "The specified message isn't in flight.")
        return act(data, url)

    return change


def _changing_batch(act: Act) -> Act:
    def change(data: dict[str, Any], url: str) -> dict[str, Any]:
        queue_url = data.get("QueueUrl", url)
        late = [e for e in data.get("Entries") or [] if not _in_flight(queue_url, e.get("ReceiptHandle", ""))]
        result = act(data, url)
        ids = {entry["Id"] for entry in late}
        result["Successful"] = [entry for entry in result["Successful"] if entry["Id"] not in ids]
        known = {entry["Id"] for entry in result["Failed"]}
        result["Failed"] += [
            {
                "Id": name,
                "Code": "MessageNotInflight",
                "Message": "The specified message isn't in flight.",
                "SenderFault": True,
            }
            for name in sorted(ids - known)
        ]
        return result

    return change


def _in_flight(queue_url: str, receipt: str) -> bool:
    """Whether a receipt is of a message that is hidden now; True for no message at all: that is another error."""
    now = time.time()
    for message in _sqs["_get_q"](queue_url)["messages"]:
        if receipt and message["receipt_handle"] == receipt:
            return bool(message["visible_at"] > now)
    return True


def _deleting(act: Act) -> Act:
    def delete(data: dict[str, Any], url: str) -> dict[str, Any]:
        try:
            return act(data, url)
        except _sqs["_Err"] as error:
            if error.code == "ReceiptHandleIsInvalid" and _once_valid(data, url, data.get("ReceiptHandle", "")):
                return {}
            raise

    return delete


def _deleting_batch(act: Act) -> Act:
    def delete(data: dict[str, Any], url: str) -> dict[str, Any]:
        receipts = {entry.get("Id"): entry.get("ReceiptHandle", "") for entry in data.get("Entries") or []}
        result = act(data, url)
        gone = [entry for entry in result["Failed"] if _once_valid(data, url, receipts.get(entry["Id"], ""))]
        result["Failed"] = [entry for entry in result["Failed"] if entry not in gone]
        result["Successful"] += [{"Id": entry["Id"]} for entry in gone]
        return result

    return delete


def _once_valid(data: Mapping[str, Any], url: str, receipt: str) -> bool:
    """Whether deleting by a receipt that names nothing now is no error: it is well formed, the queue standard."""
    return bool(_RECEIPT.fullmatch(receipt)) and not _sqs["_get_q"](data.get("QueueUrl", url))["is_fifo"]


def _running(run: Callable[..., None]) -> Callable[..., None]:
    def run_batch(esm: Any, function: Any, event: dict[str, Any], batch: list[dict[str, Any]], *rest: Any) -> None:
        sources = {message["id"]: (message.get("sys") or {}).get("DeadLetterQueueSourceArn") for message in batch}
        for record in event["Records"]:
            if source := sources.get(record["messageId"]):
                record["attributes"]["DeadLetterQueueSourceArn"] = source
        run(esm, function, event, batch, *rest)

    return run_batch
