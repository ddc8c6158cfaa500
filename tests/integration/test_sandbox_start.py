"""The sandbox itself: it starts, answers, refuses strangers, and leaves nothing behind."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


def test_client_works_when_root(sandbox: Sandbox) -> None:
    """A client of the sandbox sends and receives."""
    sqs = sandbox.client("sqs")
    url = sqs.create_queue(QueueName="start-basic")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")

    received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]

    assert [message["Body"] for message in received] == ["hello"]


def test_client_is_refused_when_its_key_is_unknown(sandbox: Sandbox) -> None:
    """Authorisation is on: a key nobody issued opens nothing."""
    stranger = sandbox.client("sqs", aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x")

    with pytest.raises(ClientError, match="security token"):
        stranger.list_queues()
