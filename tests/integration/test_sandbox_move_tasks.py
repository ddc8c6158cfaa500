"""Message move tasks in the sandbox: the console's redrive of a dead-letter queue."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


class Pair:
    """A queue and its dead-letter queue."""

    def __init__(self, sandbox: Sandbox, name: str, *, fifo: bool = False) -> None:
        """Make both."""
        self.sqs = sandbox.client("sqs")
        kind = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if fifo else {}
        suffix = ".fifo" if fifo else ""
        self.dead_url, self.dead_arn = self._create(f"{name}-dead{suffix}", kind)
        redrive = json.dumps({"deadLetterTargetArn": self.dead_arn, "maxReceiveCount": 1})
        self.url, self.arn = self._create(f"{name}{suffix}", kind | {"RedrivePolicy": redrive})

    def _create(self, name: str, attributes: dict[str, str]) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    def poison(self, *bodies: str) -> None:
        """Send messages, and fail each until it is dead-lettered."""
        for body in bodies:
            attributes = {"cause": {"DataType": "String", "StringValue": "bad"}}
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, MessageAttributes=attributes)
        while self.dead() < len(bodies):
            self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, VisibilityTimeout=0)

    def dead(self) -> int:
        """How many dead letters are visible."""
        return self._visible(self.dead_url)

    def alive(self) -> int:
        """How many messages are visible in the source."""
        return self._visible(self.url)

    def _visible(self, url: str) -> int:
        name = "ApproximateNumberOfMessages"
        return int(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

    def tasks(self, limit: int = 10) -> list[dict[str, Any]]:
        """The dead-letter queue's tasks, newest first."""
        found: list[dict[str, Any]] = self.sqs.list_message_move_tasks(SourceArn=self.dead_arn, MaxResults=limit)[
            "Results"
        ]
        return found


@pytest.fixture
def pair(sandbox: Sandbox, unique: Any) -> Pair:
    """A standard queue and its dead-letter queue."""
    return Pair(sandbox, unique("move"))


def test_messages_return_to_their_source_when_no_destination_is_named(pair: Pair, eventually: Any) -> None:
    """All go back, with body and attributes, as new messages."""
    pair.poison("a", "b", "c")
    dead = pair.sqs.receive_message(
        QueueUrl=pair.dead_url, MaxNumberOfMessages=10, AttributeNames=["All"], VisibilityTimeout=0
    )["Messages"]
    assert {message["Attributes"]["DeadLetterQueueSourceArn"] for message in dead} == {pair.arn}

    pair.sqs.start_message_move_task(SourceArn=pair.dead_arn)
    eventually(lambda: pair.tasks()[0]["Status"] == "COMPLETED")

    assert (pair.alive(), pair.dead()) == (3, 0)
    task = pair.tasks()[0]
    assert (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]) == (3, 3)
    assert "TaskHandle" not in task
    back = pair.sqs.receive_message(
        QueueUrl=pair.url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    assert {message["Body"] for message in back} == {"a", "b", "c"}
    assert {message["MessageAttributes"]["cause"]["StringValue"] for message in back} == {"bad"}
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in back} == {"1"}
    assert not {message["MessageId"] for message in back} & {message["MessageId"] for message in dead}


def test_messages_go_elsewhere_when_a_destination_is_named(
    pair: Pair, sandbox: Sandbox, unique: Any, eventually: Any
) -> None:
    """Any queue of the same type will do."""
    other = Pair(sandbox, unique("move"))
    pair.poison("a")

    pair.sqs.start_message_move_task(SourceArn=pair.dead_arn, DestinationArn=other.arn)

    eventually(lambda: other.alive() == 1)
    assert (pair.alive(), pair.dead()) == (0, 0)


def test_task_keeps_its_rate_and_stops_when_cancelled(pair: Pair, eventually: Any) -> None:
    """Three a second take their time; a cancelled task leaves the rest, and what moved stays moved."""
    pair.poison(*(str(number) for number in range(20)))
    began = time.monotonic()
    handle = pair.sqs.start_message_move_task(SourceArn=pair.dead_arn, MaxNumberOfMessagesPerSecond=3)["TaskHandle"]
    assert pair.tasks()[0]["TaskHandle"] == handle

    eventually(lambda: pair.alive() >= 5)
    assert time.monotonic() - began > 1.3
    moved = pair.sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]

    assert 5 <= moved < 20
    assert pair.tasks()[0]["Status"] == "CANCELLED"
    assert pair.alive() + pair.dead() == 20
    with pytest.raises(ClientError, match="Only active tasks"):
        pair.sqs.cancel_message_move_task(TaskHandle=handle)


def test_second_task_is_refused_while_one_runs(pair: Pair) -> None:
    """One active task a source."""
    pair.poison("a", "b")
    handle = pair.sqs.start_message_move_task(SourceArn=pair.dead_arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]

    with pytest.raises(ClientError, match="already a task running"):
        pair.sqs.start_message_move_task(SourceArn=pair.dead_arn)

    pair.sqs.cancel_message_move_task(TaskHandle=handle)
    pair.sqs.start_message_move_task(SourceArn=pair.dead_arn)
    assert [task["Status"] for task in pair.tasks()][-1] == "CANCELLED"


def test_task_is_refused_when_it_makes_no_sense(pair: Pair, sandbox: Sandbox, unique: Any) -> None:
    """A source that is no dead-letter queue, a queue that does not exist, a rate beyond SQS's, another type."""
    fifo = Pair(sandbox, unique("move"), fifo=True)
    start = pair.sqs.start_message_move_task

    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
        start(SourceArn=pair.arn)
    with pytest.raises(ClientError, match="doesn't exist"):
        start(SourceArn=pair.dead_arn + "-not")
    with pytest.raises(ClientError, match="Must be between 1 and 500"):
        start(SourceArn=pair.dead_arn, MaxNumberOfMessagesPerSecond=501)
    with pytest.raises(ClientError, match="same type"):
        start(SourceArn=pair.dead_arn, DestinationArn=fifo.arn)


def test_message_in_flight_stays_when_the_rest_is_moved(pair: Pair, eventually: Any) -> None:
    """A task moves what can be received."""
    pair.poison("a", "b")
    pair.sqs.receive_message(QueueUrl=pair.dead_url, VisibilityTimeout=60)

    pair.sqs.start_message_move_task(SourceArn=pair.dead_arn)
    eventually(lambda: pair.tasks()[0]["Status"] == "COMPLETED")

    assert pair.alive() == 1
