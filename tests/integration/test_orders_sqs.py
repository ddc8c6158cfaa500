"""The queue's adapter on moto, and what it says when SQS refuses."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from examples.orders.orders import sqs as sqs_module
from examples.orders.orders.contract import Attribute
from examples.orders.orders.sqs import MAX_BATCH, QueueError, SqsQueue


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """SQS in process."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("sqs")


@pytest.fixture
def queue(client: Any) -> SqsQueue:
    """The order queue with its dead-letter queue."""
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    url = client.create_queue(QueueName="orders")["QueueUrl"]
    return SqsQueue(url, dead, wait_s=0, visibility_s=30, client=client)


def refuse(client: Any, monkeypatch: pytest.MonkeyPatch, operation: str, code: str) -> None:
    """Let one operation answer with an error."""

    def fail(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    monkeypatch.setattr(client, operation, fail)


def test_message_is_the_same_when_it_went_through_the_queue(queue: SqsQueue, client: Any) -> None:
    """Body, attributes of every type, and when it was sent, in seconds."""
    attributes: dict[str, Attribute] = {
        "text": {"DataType": "String.note", "StringValue": "é"},
        "number": {"DataType": "Number", "StringValue": "1.5"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    client.send_message(QueueUrl=queue._url, MessageBody="body", MessageAttributes=attributes)
    (message,) = queue.receive(10)
    assert (message.body, message.receive_count) == ("body", 1)
    assert message.attributes == attributes
    assert abs(message.sent_at - time.time()) < 60
    queue.send_dead_letter(message, message.attributes)
    answer = client.receive_message(QueueUrl=queue._dead_letter_url, MessageAttributeNames=["All"])
    (dead,) = answer["Messages"]
    assert dead["Body"] == "body"
    assert {name: value["DataType"] for name, value in dead["MessageAttributes"].items()} == {
        "text": "String.note",
        "number": "Number",
        "bytes": "Binary",
    }
    assert dead["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00\xff"


def test_message_is_as_old_as_it_says_when_it_was_sent_back(queue: SqsQueue, client: Any) -> None:
    """A redriven copy has a new timestamp of SQS's, and carries the first one."""
    first: Any = {"sluice.first_sent_at": {"DataType": "Number", "StringValue": "1234.500"}}
    client.send_message(QueueUrl=queue._url, MessageBody="body", MessageAttributes=first)
    assert [message.sent_at for message in queue.receive(1)] == [1234.5]


def test_trace_header_goes_on_when_a_message_is_dead_lettered(queue: SqsQueue, client: Any) -> None:
    """A trace does not end at the failure."""
    header: Any = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    client.send_message(QueueUrl=queue._url, MessageBody="body", MessageSystemAttributes=header)
    (message,) = queue.receive(1)
    queue.send_dead_letter(message, {})
    answer = client.receive_message(QueueUrl=queue._dead_letter_url, AttributeNames=["All"])
    assert answer["Messages"][0]["Attributes"]["AWSTraceHeader"] == "Root=1-5759e988-bd862e3fe1be46a994272793"


def test_message_is_visible_at_once_when_it_is_returned_and_gone_when_deleted(queue: SqsQueue) -> None:
    """Visibility 0, and a handle of the second receipt."""
    queue.send(["body"])
    (first,) = queue.receive(1)
    assert queue.receive(1) == []
    queue.set_visibility(first, 0)
    (second,) = queue.receive(1)
    assert (second.message_id, second.receive_count) == (first.message_id, 2)
    queue.delete(second)
    assert queue.depth() == {"waiting": 0, "in_work": 0, "delayed": 0, "dead_letters": 0}


@pytest.mark.parametrize("count", [1, MAX_BATCH, MAX_BATCH + 1, 35])
def test_all_bodies_are_sent_when_they_are_more_than_a_batch(queue: SqsQueue, count: int) -> None:
    """Ten a call, each confirmed, none twice."""
    assert queue.send([f"body {number}" for number in range(count)]) == [True] * count
    bodies = set()
    while messages := queue.receive(MAX_BATCH):
        bodies |= {message.body for message in messages}
    assert bodies == {f"body {number}" for number in range(count)}


def test_bodies_are_confirmed_one_by_one_when_a_batch_is_taken_in_part(
    queue: SqsQueue, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is read entry by entry; a call that fails later does not undo what was confirmed."""
    calls: list[int] = []

    def send(QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        calls.append(len(Entries))
        if len(calls) == 2:
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "no"}}, "SendMessageBatch")
        return {
            "Successful": [{"Id": entry["Id"]} for entry in Entries[1:]],
            "Failed": [{"Id": Entries[0]["Id"], "Code": "InternalError", "SenderFault": False}],
        }

    monkeypatch.setattr(client, "send_message_batch", send)
    assert queue.send(["x"] * 25) == [False] + [True] * 9 + [False] * 15
    assert calls == [10, 10]


def test_error_is_raised_when_nothing_was_confirmed(
    queue: SqsQueue, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one of them is in the queue: that is no partial success."""
    refused = {"Failed": [{"Id": "0", "Code": "InvalidMessageContents", "SenderFault": True, "Message": "bad text"}]}
    monkeypatch.setattr(client, "send_message_batch", lambda **_: refused)
    with pytest.raises(QueueError, match="bad text"):
        queue.send(["x"])


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", "there is no queue http"),
        ("QueueDoesNotExist", "there is no queue http"),
        ("AccessDenied", "grant sqs:ReceiveMessage on http"),
        ("AccessDeniedException", "grant sqs:ReceiveMessage on http"),
        ("Throttled", "Throttled: no"),
    ],
)
def test_error_says_what_to_do_when_sqs_refuses(
    queue: SqsQueue, client: Any, monkeypatch: pytest.MonkeyPatch, code: str, advice: str
) -> None:
    """The queue and, where it is one, the missing permission are named."""
    refuse(client, monkeypatch, "receive_message", code)
    with pytest.raises(QueueError, match=advice):
        queue.receive(1)


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("change_message_visibility", "sqs:ChangeMessageVisibility"),
        ("delete_message", "sqs:DeleteMessage"),
        ("send_message", "sqs:SendMessage"),
        ("send_message_batch", "sqs:SendMessage"),
        ("get_queue_attributes", "sqs:GetQueueAttributes"),
    ],
)
def test_permission_is_named_when_it_is_missing(
    queue: SqsQueue, client: Any, monkeypatch: pytest.MonkeyPatch, operation: str, permission: str
) -> None:
    """For each call that the programs make."""
    queue.send(["body"])
    (message,) = queue.receive(1)
    refuse(client, monkeypatch, operation, "AccessDenied")
    calls: dict[str, Callable[[], object]] = {
        "change_message_visibility": lambda: queue.set_visibility(message, 0),
        "delete_message": lambda: queue.delete(message),
        "send_message": lambda: queue.send_dead_letter(message, {}),
        "send_message_batch": lambda: queue.send(["body"]),
        "get_queue_attributes": lambda: queue.arn,
    }
    with pytest.raises(QueueError, match=f"grant {permission} on "):
        calls[operation]()


def test_arn_is_asked_for_once(queue: SqsQueue, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not change; a burst of poison does not ask for it each time."""
    assert queue.arn == "arn:aws:sqs:eu-central-1:123456789012:orders"
    refuse(client, monkeypatch, "get_queue_attributes", "Throttled")
    assert queue.arn == "arn:aws:sqs:eu-central-1:123456789012:orders"


def test_region_is_asked_for_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent anywhere."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(QueueError, match="set AWS_DEFAULT_REGION"):
        SqsQueue("http://queue")


def test_call_ends_in_time_when_sqs_hangs(client: Any) -> None:
    """A server that takes the connection and never answers: what a drain waits for it is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config: Any = sqs_module._make_client(url, 0).meta.config
        assert config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout) < 60
        quick = config.merge(Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
        mute = boto3.client("sqs", endpoint_url=url, config=quick)
        with pytest.raises(QueueError, match="cannot be reached"):
            SqsQueue(f"{url}/1/orders", wait_s=0, client=mute).receive(1)


def test_policy_of_the_queue_dead_letters_when_a_message_is_received_too_often(client: Any, queue: SqsQueue) -> None:
    """What the consumer leaves to the redrive policy ends in the same dead-letter queue, unstamped."""
    dead_arn = client.get_queue_attributes(QueueUrl=queue._dead_letter_url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": dead_arn["Attributes"]["QueueArn"], "maxReceiveCount": 2}
    client.set_queue_attributes(QueueUrl=queue._url, Attributes={"RedrivePolicy": json.dumps(policy)})
    queue.send(["body"])
    for _ in range(2):
        (message,) = queue.receive(1)
        queue.set_visibility(message, 0)
    assert queue.receive(1) == []
    assert queue.depth()["dead_letters"] == 1
