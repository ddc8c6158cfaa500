"""Messages as SQS sends and receives them <-> `Message`."""

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sluice.model.redriving import Attribute, Message

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

# What `Message.received` reads: all would be twice as long an answer.
SYSTEM_ATTRIBUTES: Sequence[
    Literal[
        "SentTimestamp",
        "ApproximateReceiveCount",
        "DeadLetterQueueSourceArn",
        "MessageGroupId",
        "MessageDeduplicationId",
        "AWSTraceHeader",
    ]
] = (
    "SentTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageGroupId",
    "MessageDeduplicationId",
    "AWSTraceHeader",
)


def is_fifo(queue_url: str) -> bool:
    """Whether a queue is a FIFO queue, by its name."""
    return queue_url.endswith(".fifo")


def entry_of(queue_url: str, index: int, message: Message, delay_s: float) -> "SendMessageBatchRequestEntryTypeDef":
    """An entry of SendMessageBatch; its id is the index.

    A copy of a message on a FIFO queue is deduplicated by the message's id.
    """
    entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(index), "MessageBody": message.body}
    if message.attributes:
        entry["MessageAttributes"] = {name: _attribute(value) for name, value in message.attributes}
    if message.trace is not None:
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageSystemAttributeValue.html
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": message.trace}}
    if message.message_group is not None:  # on a standard queue: the tenant of fair queueing
        entry["MessageGroupId"] = message.message_group
    if is_fifo(queue_url):
        entry["MessageDeduplicationId"] = hashlib.sha256(f"sluice {message.id}".encode()).hexdigest()
    else:
        entry["DelaySeconds"] = math.ceil(delay_s)
    return entry


def message_of(received: "MessageTypeDef") -> Message:
    """A message of ReceiveMessage's answer."""
    system: dict[str, str] = dict(received.get("Attributes", {}))  # type: ignore[arg-type]
    attributes = {
        name: Attribute(value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
        for name, value in received.get("MessageAttributes", {}).items()
    }
    return Message.received(received["MessageId"], received["Body"], received["ReceiptHandle"], attributes, system)


def _attribute(value: Attribute) -> "MessageAttributeValueTypeDef":
    if value.binary is not None:
        return {"DataType": value.type, "BinaryValue": value.binary}
    return {"DataType": value.type, "StringValue": value.text or ""}
