"""Bodies that only point to an object in S3, as Amazon SQS's extended client libraries write them.

Messages above SQS's limit stand in S3, and the queue has their address. Sluice keeps, copies and sends the pointer like
any other message. It neither reads nor keeps the object: the bucket is the producer's, and Sluice has no rights there.
So a lifecycle rule of that bucket, or a consumer that deletes what it has read, may remove the object while its pointer
is in quarantine, and operators see which object it is.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-managing-large-messages.html
https://github.com/awslabs/payload-offloading-java-common-lib-for-aws
"""

import json
import re
from typing import Final, NamedTuple

from sluice.model.redriving import Message

CLASSES: Final = frozenset(
    {"software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"}
)
# The size of the object in bytes, by the name of today's libraries and of those before.
SIZE_ATTRIBUTES: Final = ("ExtendedPayloadSize", "SQSLargePayloadSize")
BODY_LIMIT: Final = 4_000  # characters: a bucket's name has at most 63 and an object's key 1,024 bytes
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class PayloadPointer(NamedTuple):
    """The object in S3 that has a message's body."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """Its address, as the AWS CLI takes it: a text of strangers, to be escaped wherever it is shown."""
        return f"s3://{self.bucket}/{self.key}"


def payload_pointer(message: Message) -> PayloadPointer | None:
    """The object that a message stands for; None for every other message."""
    body = message.body.strip()
    is_offloaded = any(message.attribute(name) for name in SIZE_ATTRIBUTES)  # the library for .NET names no class
    if len(body) > BODY_LIMIT or (body[:1] != "[" and not (is_offloaded and body[:1] == "{")):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # not JSON after all, or nested beyond reason
        return None
    match value:
        case [str(name), dict(place)] if name in CLASSES:
            return _pointer(place)
        case dict(place):
            return _pointer(place)
    return None


def _pointer(place: dict[str, object]) -> PayloadPointer | None:
    names = {name.casefold(): value for name, value in place.items()}
    match names:
        case {"s3bucketname": str(bucket), "s3key": str(key)} if _BUCKET.fullmatch(bucket) and 0 < len(key) <= 1_024:
            return PayloadPointer(bucket, key)
    return None
