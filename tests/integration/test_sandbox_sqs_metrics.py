"""Queue and group metrics in the sandbox: what SQS and Auto Scaling publish about themselves, late."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice_tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


@pytest.fixture
def sqs(sandbox: Sandbox) -> Any:
    """A client of the sandbox's SQS."""
    return sandbox.client("sqs")


@pytest.fixture
def total(sandbox: Sandbox) -> Any:
    """One statistic of a metric over the last hour; None without data."""
    cloudwatch = sandbox.client("cloudwatch")

    def total(metric: str, stat: str, namespace: str = "AWS/SQS", **dimensions: str) -> float | None:
        now = datetime.now(UTC)
        named = {
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        }
        results = cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": named, "Period": 3600, "Stat": stat}}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
        )["MetricDataResults"]
        values = results[0]["Values"]
        return None if not values else {"Sum": sum, "Maximum": max, "SampleCount": sum}[stat](values)

    return total


def test_traffic_is_counted(sqs: Any, total: Any, eventually: Any, unique: Any) -> None:
    """Sends, receives, deletes, empty receives and sizes, each once."""
    name = unique("counted")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="12345")
    entries = [{"Id": str(number), "MessageBody": "1234567890"} for number in range(2)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    for message in received[:2]:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.receive_message(QueueUrl=url)

    eventually(lambda: total("NumberOfMessagesDeleted", "Sum", QueueName=name) == 2)
    assert total("NumberOfMessagesSent", "Sum", QueueName=name) == 3
    assert total("NumberOfMessagesReceived", "Sum", QueueName=name) == len(received) == 3
    assert total("NumberOfEmptyReceives", "Sum", QueueName=name) == 1
    assert total("SentMessageSize", "Sum", QueueName=name) == 25
    assert total("SentMessageSize", "Maximum", QueueName=name) == 10


def test_depth_is_published_by_kind(sqs: Any, total: Any, eventually: Any, unique: Any) -> None:
    """Visible, in flight and delayed, and the oldest message's age."""
    name = unique("depth")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=60)
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=60)

    eventually(lambda: (total("ApproximateAgeOfOldestMessage", "Maximum", QueueName=name) or 0) >= 1)
    assert total("ApproximateNumberOfMessagesVisible", "Maximum", QueueName=name) in {2, 3}
    assert total("ApproximateNumberOfMessagesNotVisible", "Maximum", QueueName=name) == 1
    assert total("ApproximateNumberOfMessagesDelayed", "Maximum", QueueName=name) == 1


def test_metrics_are_late_by_the_delay(sandbox: Sandbox, sqs: Any, total: Any, eventually: Any, unique: Any) -> None:
    """A send is not in the metrics before its minute is over and the delay has passed."""
    name = unique("late")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sent_at = time.time()

    eventually(lambda: total("NumberOfMessagesSent", "Sum", QueueName=name) == 1)

    minute_s = sandbox.settings.minute_s
    minute_ends_at = (sent_at // minute_s + 1) * minute_s
    assert time.time() >= minute_ends_at + sandbox.settings.metric_delay_s


def test_dead_lettering_is_not_a_send_and_restarts_the_age(sqs: Any, total: Any, eventually: Any, unique: Any) -> None:
    """A dead-letter queue's messages were never sent to it, and age from the move."""
    dead, name = unique("dead"), unique("source")
    dead_url = sqs.create_queue(QueueName=dead)["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn":"{dead_arn}","maxReceiveCount":"1"}}'
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    time.sleep(2.5)
    before = time.time()
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
    sqs.receive_message(QueueUrl=url)

    eventually(lambda: total("ApproximateNumberOfMessagesVisible", "Maximum", QueueName=dead) == 1)
    assert (total("ApproximateAgeOfOldestMessage", "Maximum", QueueName=dead) or 0) <= time.time() - before
    assert total("NumberOfMessagesSent", "Sum", QueueName=dead) == 0


def test_nothing_is_lost_when_many_send_and_delete_at_once(sqs: Any, unique: Any) -> None:
    """Changes to one queue at the same moment, from requests and threads, are all kept."""
    url = sqs.create_queue(QueueName=unique("busy"))["QueueUrl"]

    def send(number: int) -> None:
        entries = [{"Id": str(i), "MessageBody": f"{number}-{i}"} for i in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)

    seen: set[str] = set()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(30)))
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            seen |= {message["Body"] for message in messages}
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            list(pool.map(lambda batch: sqs.delete_message_batch(QueueUrl=url, Entries=batch), [entries]))

    assert len(seen) == 300


def test_group_metrics_are_published_when_enabled(
    sandbox: Sandbox, make_group: Any, total: Any, eventually: Any
) -> None:
    """Desired, in service and total, for groups that ask for it; others publish nothing."""
    autoscaling = sandbox.client("autoscaling")
    silent, group = make_group("", desired=1), make_group("", desired=2)
    autoscaling.enable_metrics_collection(AutoScalingGroupName=group.name, Granularity="1Minute")

    def of(name: str, metric: str) -> Any:
        return total(metric, "Maximum", "AWS/AutoScaling", AutoScalingGroupName=name)

    eventually(lambda: of(group.name, "GroupInServiceInstances") == 2)
    assert of(group.name, "GroupDesiredCapacity") == 2
    assert of(group.name, "GroupTotalInstances") == 2
    assert of(silent.name, "GroupDesiredCapacity") is None
