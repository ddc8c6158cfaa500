"""SQS queues."""

import hashlib
import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.aws.clients import READ_TIMEOUT_S, Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model import Attribute, Message, QueueReading, Reading
from sluice.ports import HELD_BACK, BatchAnswer, LostAnswerError, PortError, QueueFacts, RefusedError

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

# Quotas: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH = 10
MAX_BATCH_BYTES = 1_048_576
MAX_VISIBILITY_S = 43_200
# A long poll must end before the client gives up on the answer: what is received then would be hidden in vain.
MAX_WAIT_S = int(READ_TIMEOUT_S) - 1
GONE = frozenset({"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"})


class SqsQueue:
    """The Queue port."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Visible, in flight and delayed; SQS's own approximations."""
        with asking(_thing(queue_url)):
            found = self._clients.sqs.get_queue_attributes(
                QueueUrl=queue_url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            ).get("Attributes", {})

        def reading(name: str) -> Reading | None:
            return Reading(float(found[name]), now) if name in found else None

        return QueueReading(
            visible=reading("ApproximateNumberOfMessages"),
            in_flight=reading("ApproximateNumberOfMessagesNotVisible"),
            delayed=reading("ApproximateNumberOfMessagesDelayed"),
        )

    def facts(self, queue_url: str) -> QueueFacts:
        """What the queue is."""
        with asking(_thing(queue_url)):
            answer = self._clients.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
        found = answer.get("Attributes", {})
        policy = json.loads(found.get("RedrivePolicy") or "{}")
        return QueueFacts(
            url=queue_url,
            arn=found["QueueArn"],
            fifo=_is_fifo(queue_url),
            retention_s=float(found["MessageRetentionPeriod"]),
            max_bytes=int(found["MaximumMessageSize"]),
            visibility_s=float(found["VisibilityTimeout"]),
            dead_letter_arn=policy.get("deadLetterTargetArn"),
        )

    def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:
        """Up to ten messages, whole. `wait_s` is held to what the client's own timeout allows (4 s)."""
        with asking(_thing(queue_url)):
            answer = self._clients.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=min(max(limit, 1), MAX_BATCH),
                VisibilityTimeout=_visibility(queue_url, visibility_s),
                WaitTimeSeconds=min(math.ceil(wait_s), MAX_WAIT_S),
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        return tuple(_message(received) for received in answer.get("Messages", []))

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send copies, in batches by count and by bytes.

        On a FIFO queue the deduplication id is made of the message's id: one sending repeated is one message, while
        the copy, which has an id of its own, is not taken for this one when it is sent again in its turn. And SQS
        takes the entries of one batch each by itself, so that a message group has one message in a batch at most, and
        none after one that failed: its order is kept.
        """
        done: set[int] = set()
        failed: dict[int, str] = {}
        refused: set[int] = set()
        entries = [_entry(queue_url, i, m, s) for i, (m, s) in enumerate(zip(messages, delay_s, strict=True))]
        batches = deque(_batches(messages, in_order=_is_fifo(queue_url)))
        while batches:
            batch = batches.popleft()
            if _is_fifo(queue_url):
                batch = _without_held_back(batch, messages, failed)
            if not batch:
                continue
            try:
                with asking(_thing(queue_url)):
                    answer = self._clients.sqs_once.send_message_batch(
                        QueueUrl=queue_url, Entries=[entries[index] for index in batch]
                    )
            except LostAnswerError:
                raise
            except RefusedError as error:
                if len(batch) > 1:  # refused as a whole, for one of them: find out which
                    batches.extendleft([index] for index in reversed(batch))
                else:
                    failed[batch[0]] = str(error)
                    refused.add(batch[0])
            except PortError as error:
                if not done:
                    raise
                failed.update(dict.fromkeys(batch, str(error)))
            else:
                _read_answer(answer, done, failed, refused)
        return BatchAnswer(frozenset(done), failed, frozenset(refused))

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete received messages; repeating it is harmless."""
        done: set[int] = set()
        failed: dict[int, str] = {}
        refused: set[int] = set()
        for start in range(0, len(receipts), MAX_BATCH):
            batch = range(start, min(start + MAX_BATCH, len(receipts)))
            try:
                with asking(_thing(queue_url)):
                    answer = self._clients.sqs.delete_message_batch(
                        QueueUrl=queue_url,
                        Entries=[{"Id": str(index), "ReceiptHandle": receipts[index]} for index in batch],
                    )
            except PortError as error:
                if not done:
                    raise
                failed.update(dict.fromkeys(batch, str(error)))
                continue
            _read_answer(answer, done, failed, refused)
        return BatchAnswer(frozenset(done), failed, frozenset(refused))

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a received message's visibility timeout; False if the receipt is no longer good."""
        timeout_s = _visibility(queue_url, seconds)
        with asking(_thing(queue_url)):
            try:
                self._clients.sqs.change_message_visibility(
                    QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=timeout_s
                )
            except ClientError as error:
                # The timeout's own bounds are checked above, so that these codes speak of the receipt. A message
                # that was hidden for 12 hours in all is not ours any longer either.
                if code_of(error) in GONE:
                    return False
                raise
        return True


def _thing(queue_url: str) -> Thing:
    return Thing("sqs", f"queue {queue_url}", "create it, or correct the fleet's document")


def _is_fifo(queue_url: str) -> bool:
    return queue_url.endswith(".fifo")


def _visibility(queue_url: str, seconds: float) -> int:
    """Whole seconds, as SQS takes them; never shorter than asked for."""
    if not 0 <= seconds <= MAX_VISIBILITY_S:
        raise RefusedError(f"queue {queue_url}: a visibility timeout is 0 to {MAX_VISIBILITY_S} s, not {seconds:g}")
    return math.ceil(seconds)


def _batches(messages: Sequence[Message], *, in_order: bool) -> Iterator[list[int]]:
    """Indexes in order, at most ten a batch and at most its bytes; a message too large for any goes alone.

    In order: no two of one message group in one batch.
    """
    batch: list[int] = []
    batch_bytes = 0
    groups: set[str | None] = set()
    for index, message in enumerate(messages):
        size = message.size_bytes
        full = len(batch) == MAX_BATCH or batch_bytes + size > MAX_BATCH_BYTES
        if batch and (full or (in_order and message.message_group in groups)):
            yield batch
            batch, batch_bytes, groups = [], 0, set()
        batch.append(index)
        batch_bytes += size
        groups.add(message.message_group)
    if batch:
        yield batch


def _without_held_back(batch: list[int], messages: Sequence[Message], failed: dict[int, str]) -> list[int]:
    """The batch without those whose message group has one that failed: they are entered as failed, too."""
    groups = {messages[index].message_group for index in failed} - {None}
    for index in batch:
        if messages[index].message_group in groups:
            failed[index] = HELD_BACK
    return [index for index in batch if index not in failed]


def _entry(queue_url: str, index: int, message: Message, delay_s: float) -> "SendMessageBatchRequestEntryTypeDef":
    entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(index), "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {name: _attribute(value) for name, value in message.attributes}
    if message.message_group is not None:  # on a standard queue: the tenant of fair queueing
        entry["MessageGroupId"] = message.message_group
    if _is_fifo(queue_url):
        entry["MessageDeduplicationId"] = hashlib.sha256(f"sluice {message.id}".encode()).hexdigest()
    else:
        entry["DelaySeconds"] = math.ceil(delay_s)
    return entry


def _attribute(value: Attribute) -> "MessageAttributeValueTypeDef":
    if value.binary is not None:
        return {"DataType": value.type, "BinaryValue": value.binary}
    return {"DataType": value.type, "StringValue": value.text or ""}


def _message(received: "MessageTypeDef") -> Message:
    system: dict[str, str] = dict(received.get("Attributes", {}))  # type: ignore[arg-type]
    attributes = {
        name: Attribute(value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
        for name, value in received.get("MessageAttributes", {}).items()
    }
    return Message.received(received["MessageId"], received["Body"], received["ReceiptHandle"], attributes, system)


def _read_answer(answer: Any, done: set[int], failed: dict[int, str], refused: set[int]) -> None:
    """Enter a batch's answer, entry by entry."""
    done.update(int(entry["Id"]) for entry in answer.get("Successful", []))
    for entry in answer.get("Failed", []):
        index = int(entry["Id"])
        failed[index] = f"{entry.get('Code', 'no code')}: {entry.get('Message', 'no message')}"
        if entry.get("SenderFault"):
            refused.add(index)
