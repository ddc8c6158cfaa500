"""The order queue and its dead-letter queue on SQS.

A call that fails raises `QueueError`, whose text says what to do. What a failure means is the caller's to know:
a message whose deletion fails is delivered again, and an order that could not be sent was not accepted.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from .contract import Attribute, first_sent_at_of

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

MAX_BATCH: Final = 10
"""Messages of one SQS call (source: "Amazon SQS message quotas", Amazon SQS Developer Guide)."""

CONNECT_TIMEOUT_S: Final = 3
"""SQS answers a connection in milliseconds."""

READ_TIMEOUT_S: Final = 10
"""For an answer, beyond the time that a long poll waits on purpose."""

MAX_TRIES: Final = 3
"""Of one call, with the SDK's own backoff between: a drain must not wait for SQS for minutes."""


class QueueError(Exception):
    """SQS did not do what was asked. The text names the queue and says what to do."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message.

    Attributes:
        message_id: The same for every delivery of one message.
        receipt: The handle of this delivery.
        body: As it was sent.
        attributes: As they were sent, of any type.
        sent_at: First enqueued, epoch seconds; kept across redrives where the message carries it.
        receive_count: Deliveries until now, this one included.
        trace: The AWS X-Ray header it was sent with, if any.
    """

    message_id: str
    receipt: str
    body: str
    sent_at: float
    receive_count: int = 1
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    trace: str | None = None


class Queue(Protocol):
    """What a consumer needs of the order queue and of its dead-letter queue."""

    @property
    def arn(self) -> str:
        """The order queue's ARN."""
        ...

    @property
    def has_dead_letters(self) -> bool:
        """Whether the consumer knows the dead-letter queue; where not, only the redrive policy dead-letters."""
        ...

    def receive(self, count: int) -> list[Message]:
        """Wait for messages, at most for the long poll's time; at most `count`, 1 to 10."""
        ...

    def set_visibility(self, message: Message, visibility_s: int) -> None:
        """Hide this delivery's message for so long from now on; 0 returns it to the queue at once."""
        ...

    def delete(self, message: Message) -> None:
        """The message is done."""
        ...

    def send_dead_letter(self, message: Message, attributes: Mapping[str, Attribute]) -> None:
        """Send a copy with these attributes to the dead-letter queue; returns once SQS has confirmed it."""
        ...


class SqsQueue:
    """A standard queue; also the front end's side of it."""

    def __init__(
        self,
        url: str,
        dead_letter_url: str | None = None,
        *,
        wait_s: int = 10,
        visibility_s: int = 60,
        client: "SQSClient | None" = None,
    ) -> None:
        """Name the queue; nothing is connected yet.

        Args:
            url: The order queue's URL.
            dead_letter_url: Its dead-letter queue's, None where it is not known.
            wait_s: Long poll, 0 to 20 s.
            visibility_s: How long a received message stays hidden, at first.
            client: boto3's; made from the environment where it is not given.

        Raises:
            QueueError: No region or no such profile: what to set.
        """
        self._url = url
        self._dead_letter_url = dead_letter_url
        self._wait_s = wait_s
        self._visibility_s = visibility_s
        self._arn: str | None = None
        self._sqs = client or _make_client(url, wait_s)

    @property
    def arn(self) -> str:
        """See `Queue.arn`; asked for once."""
        if self._arn is None:
            with _explained("sqs:GetQueueAttributes", self._url):
                answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
            self._arn = answer["Attributes"]["QueueArn"]
        return self._arn

    @property
    def has_dead_letters(self) -> bool:
        """See `Queue.has_dead_letters`."""
        return self._dead_letter_url is not None

    def receive(self, count: int) -> list[Message]:
        """See `Queue.receive`."""
        with _explained("sqs:ReceiveMessage", self._url):
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(count, MAX_BATCH),
                WaitTimeSeconds=self._wait_s,
                VisibilityTimeout=self._visibility_s,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount", "AWSTraceHeader"],
            )
        return [_message(entry) for entry in answer.get("Messages", [])]

    def set_visibility(self, message: Message, visibility_s: int) -> None:
        """See `Queue.set_visibility`."""
        with _explained("sqs:ChangeMessageVisibility", self._url):
            self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=visibility_s
            )

    def delete(self, message: Message) -> None:
        """See `Queue.delete`."""
        with _explained("sqs:DeleteMessage", self._url):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def send_dead_letter(self, message: Message, attributes: Mapping[str, Attribute]) -> None:
        """See `Queue.send_dead_letter`."""
        if self._dead_letter_url is None:
            raise QueueError("no dead-letter queue is configured: set DEAD_LETTER_QUEUE_URL")
        more: dict[str, Any] = {}
        if message.trace:
            more["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": message.trace}}
        with _explained("sqs:SendMessage", self._dead_letter_url):
            self._sqs.send_message(
                QueueUrl=self._dead_letter_url,
                MessageBody=message.body,
                MessageAttributes=cast("dict[str, Any]", dict(attributes)),
                **more,
            )

    def send(self, bodies: Sequence[str]) -> list[bool]:
        """Enqueue bodies, ten a call; each answer is read entry by entry.

        Returns:
            For each body whether SQS confirmed it. One that was not confirmed may be sent again.

        Raises:
            QueueError: Not one was confirmed.
        """
        confirmed = [False] * len(bodies)
        failure: QueueError | None = None
        for start in range(0, len(bodies), MAX_BATCH):
            entries = [
                {"Id": str(start + place), "MessageBody": body}
                for place, body in enumerate(bodies[start : start + MAX_BATCH])
            ]
            try:
                with _explained("sqs:SendMessage", self._url):
                    answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=cast("Any", entries))
            except QueueError as error:
                # What was confirmed stays confirmed; a queue that fails once is not asked for the rest.
                failure = error
                break
            for entry in answer.get("Successful", []):
                confirmed[int(entry["Id"])] = True
            for refused in answer.get("Failed", []):
                failure = QueueError(f"{self._url} refused a message: {refused.get('Message', refused['Code'])}")
        if failure and not any(confirmed):
            raise failure
        return confirmed

    def depth(self) -> dict[str, int]:
        """About how many messages are `waiting`, `in_work`, `delayed` and, where it is known, in `dead_letters`."""
        counts = self._counts(self._url)
        depth = {
            "waiting": counts["ApproximateNumberOfMessages"],
            "in_work": counts["ApproximateNumberOfMessagesNotVisible"],
            "delayed": counts["ApproximateNumberOfMessagesDelayed"],
        }
        if self._dead_letter_url:
            dead = self._counts(self._dead_letter_url)
            depth["dead_letters"] = dead["ApproximateNumberOfMessages"] + dead["ApproximateNumberOfMessagesNotVisible"]
        return depth

    def _counts(self, url: str) -> dict[str, int]:
        with _explained("sqs:GetQueueAttributes", url):
            answer = self._sqs.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )
        return {name: int(value) for name, value in answer["Attributes"].items()}


def _make_client(url: str, wait_s: int) -> "SQSClient":
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=wait_s + READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": MAX_TRIES},
        # Each worker, the thread that extends visibilities and the receiver may talk to SQS at the same moment.
        max_pool_connections=50,
    )
    with _explained("sqs", url):
        return boto3.client("sqs", config=config)


def _message(entry: Mapping[str, Any]) -> Message:
    attributes = cast("dict[str, Attribute]", _sendable(entry.get("MessageAttributes", {})))
    system = entry.get("Attributes", {})
    first_sent_at = first_sent_at_of(attributes)
    return Message(
        message_id=entry["MessageId"],
        receipt=entry["ReceiptHandle"],
        body=entry["Body"],
        sent_at=int(system["SentTimestamp"]) / 1000 if first_sent_at is None else first_sent_at,
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        attributes=attributes,
        trace=system.get("AWSTraceHeader"),
    )


def _sendable(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    # An answer may hold the list fields that a request refuses: "not implemented; reserved for future use".
    wanted = ("DataType", "StringValue", "BinaryValue")
    return {name: {key: value[key] for key in wanted if key in value} for name, value in attributes.items()}


@contextlib.contextmanager
def _explained(action: str, url: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        raise QueueError(_advice(code, action, url) or f"{url}: {code}: {text}") from error
    except NoRegionError as error:
        raise QueueError("no AWS region: set AWS_DEFAULT_REGION") from error
    except NoCredentialsError as error:
        raise QueueError("no AWS credentials: give the instance a role, or set AWS_PROFILE") from error
    except BotoCoreError as error:
        raise QueueError(f"{url} cannot be reached: check the network and AWS_ENDPOINT_URL ({error})") from error


def _advice(code: str, action: str, url: str) -> str | None:
    if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
        return f"there is no queue {url}: set its URL, or create it"
    if "AccessDenied" in code:
        return f"not allowed: grant {action} on {url}"
    return None
