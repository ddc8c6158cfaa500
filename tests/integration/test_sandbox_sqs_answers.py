"""Answers of SQS in the sandbox that are AWS's rather than ministack's."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import Sandbox, SandboxError

pytestmark = pytest.mark.sandbox


@pytest.fixture
def sqs(sandbox: Sandbox) -> Any:
    """A client of the sandbox's SQS."""
    return sandbox.client("sqs")


@pytest.fixture
def received(sqs: Any, unique: Any) -> Any:
    """A queue's URL and the receipt of its one message, in flight."""
    url = sqs.create_queue(QueueName=unique("answers"))["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    message = sqs.receive_message(QueueUrl=url)["Messages"][0]
    return url, message["ReceiptHandle"]


def test_visibility_is_refused_when_the_message_is_visible_again(sqs: Any, received: Any) -> None:
    """MessageNotInflight, alone and as an entry of a batch."""
    url, receipt = received
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)

    with pytest.raises(sqs.exceptions.MessageNotInflight):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=30)
    batch = sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": receipt, "VisibilityTimeout": 30}]
    )

    assert [entry["Code"] for entry in batch["Failed"]] == ["MessageNotInflight"]
    assert batch.get("Successful", []) == []


def test_delete_succeeds_when_it_is_repeated(sqs: Any, received: Any) -> None:
    """An old receipt of a standard queue is no error; what never was a receipt is one."""
    url, receipt = received
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)

    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
    entries = [{"Id": "old", "ReceiptHandle": receipt}, {"Id": "odd", "ReceiptHandle": "not a receipt"}]
    batch = sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    assert [entry["Id"] for entry in batch["Successful"]] == ["old"]
    assert [(entry["Id"], entry["Code"]) for entry in batch["Failed"]] == [("odd", "ReceiptHandleIsInvalid")]


def test_each_receive_of_a_long_queue_takes_the_next_that_are_not_hidden(sqs: Any, unique: Any) -> None:
    """In the order in which they were sent; what a batch deletes is gone, and nothing else is."""
    url = sqs.create_queue(QueueName=unique("answers"))["QueueUrl"]
    for first in range(0, 30, 10):
        entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(first, first + 10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    def receive(hidden_s: int) -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=hidden_s)
        messages: list[dict[str, Any]] = answer["Messages"]
        return messages

    first, second, shown_again = receive(60), receive(60), receive(0)
    entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate((*first[:5], *second[5:]))]
    entries[9]["ReceiptHandle"] = entries[8]["ReceiptHandle"]
    batch = sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    assert [[int(m["Body"]) for m in some] for some in (first, second, shown_again, receive(60))] == [
        [*range(10)], [*range(10, 20)], [*range(20, 30)], [*range(20, 30)]
    ]  # fmt: skip
    assert sorted(entry["Id"] for entry in batch["Successful"]) == [str(i) for i in range(10)]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert counts["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "21"}


def test_send_is_refused_when_the_delay_is_too_long(sqs: Any, received: Any) -> None:
    """Fifteen minutes at most, entry by entry in a batch."""
    url, _ = received

    with pytest.raises(ClientError, match="DelaySeconds"):
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=901)
    entries = [{"Id": "long", "MessageBody": "x", "DelaySeconds": 901}, {"Id": "fine", "MessageBody": "x"}]
    batch = sqs.send_message_batch(QueueUrl=url, Entries=entries)

    assert [entry["Id"] for entry in batch["Failed"]] == ["long"]
    assert [entry["Id"] for entry in batch["Successful"]] == ["fine"]


def test_answer_comes_later_when_the_service_is_delayed(sandbox: Sandbox, sqs: Any, received: Any) -> None:
    """Each call of that service takes so much longer, until it is told otherwise."""
    url, _ = received
    sandbox.admin("POST", "delays/AmazonSQS", {"seconds": 0.3})
    try:
        began = time.monotonic()
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        took_s = time.monotonic() - began
    finally:
        sandbox.admin("POST", "delays/AmazonSQS", {"seconds": 0})
    assert took_s >= 0.3
    with pytest.raises(SandboxError, match="bad request"):
        sandbox.admin("POST", "delays/AmazonSQS", {})
