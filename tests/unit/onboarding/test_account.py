"""What onboarding reads of AWS: it waits for a grant that was made a moment ago, and for nothing that will not come."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.aws.deployment import GRANT_PROPAGATION_S, GRANT_RETRY_PAUSE_S, AwsDeployment
from sluice.aws.errors import Thing, asking
from sluice.onboarding.tags import OtherStackError
from sluice.ports.errors import PortError
from tests.support.still_clock import Clock

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"


class Sqs:
    """SQS that answers each of these codes in turn, and then what the queue is."""

    def __init__(self, *codes: str) -> None:
        """Codes of errors."""
        self.codes = list(codes)
        self.calls = 0

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        """As botocore."""
        self.calls += 1
        if self.codes:
            code = self.codes.pop(0)
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetQueueAttributes")
        return {
            "Attributes": {
                "QueueArn": "arn:aws:sqs:eu-west-1:123456789012:orders",
                "MessageRetentionPeriod": "345600",
                "MaximumMessageSize": "262144",
                "VisibilityTimeout": "30",
            }
        }


def account(sqs: Sqs) -> tuple[AwsDeployment, Clock]:
    """An account with this SQS, and its clock, which goes on where it pauses."""
    clock = Clock()

    class Clients:
        pass

    clients: Any = Clients()
    clients.sqs = sqs

    def pause(seconds: float) -> None:
        clock.now += seconds

    return AwsDeployment(clients, "/sluice/sluice/fleets/", elapsed=clock, pause=pause), clock


def test_retention_is_read_when_the_grant_takes_a_moment() -> None:
    """IAM is eventually consistent: the first answers after a policy was made may still refuse."""
    sqs = Sqs("AccessDenied", "AccessDenied", "ThrottlingException")
    asked, _ = account(sqs)

    assert asked.retention_s(URL) == 345_600
    assert sqs.calls == 4


def test_tagging_is_tried_again_when_the_grant_takes_a_moment() -> None:
    """The whole of it, which is safe to repeat; another stack's tag is no matter of time."""
    sqs = Sqs("AccessDenied", "AccessDenied")
    asked, clock = account(sqs)
    start = clock()

    def tag() -> tuple[str, ...]:
        with asking(Thing("sqs", "tag of a queue", "make it")):
            sqs.get_queue_attributes(QueueUrl=URL, AttributeNames=["All"])
        return ("queue orders",)

    assert asked.once_granted(tag) == ("queue orders",)
    assert (sqs.calls, clock() - start) == (3, 2 * GRANT_RETRY_PAUSE_S)

    def other() -> None:
        raise OtherStackError("queue orders has the tag sluice:stack=blue")

    with pytest.raises(OtherStackError):
        asked.once_granted(other)
    assert clock() - start == 2 * GRANT_RETRY_PAUSE_S


def test_error_is_told_when_the_grant_does_not_come() -> None:
    """After a minute for all queues together, so that the function answers in time."""
    sqs = Sqs(*["AccessDenied"] * 1_000)
    asked, clock = account(sqs)
    start = clock()

    for _ in range(2):
        with pytest.raises(PortError, match="sqs:GetQueueAttributes is not allowed"):
            asked.retention_s(URL)

    assert clock() - start <= GRANT_PROPAGATION_S
    assert sqs.calls == GRANT_PROPAGATION_S / GRANT_RETRY_PAUSE_S + 2


def test_nothing_is_awaited_when_there_is_no_queue() -> None:
    """It will not appear by itself."""
    sqs = Sqs("QueueDoesNotExist")
    asked, clock = account(sqs)
    start = clock()

    with pytest.raises(PortError, match="does not exist"):
        asked.retention_s(URL)

    assert (sqs.calls, clock()) == (1, start)
