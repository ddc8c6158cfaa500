"""The backtest of an account's own queue, from CloudWatch as moto plays it."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from sluice_tools.backtest.command import BAD_INPUT, FAILED, backtest
from sluice_tools.backtest.history import read_history
from sluice_tools.backtest.traces import TraceError

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

NOW = 1_795_510_800.0
MINUTES = 180


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator["CloudWatchClient"]:
    """Moto's CloudWatch, with nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("COLUMNS", "220")
    with mock_aws():
        yield boto3.client("cloudwatch")


def put(cloudwatch: "CloudWatchClient", now: float, *, group: bool = True) -> None:
    """Three hours of a queue: 12 a minute sent and completed, 4 in flight, 5 instances; one minute of 400 s of age."""
    for minute in range(MINUTES):
        at = datetime.fromtimestamp(now - 60.0 * (MINUTES - minute), UTC)

        def datum(name: str, value: float, key: str, thing: str, at: datetime = at) -> Any:
            return {"MetricName": name, "Value": value, "Timestamp": at, "Dimensions": [{"Name": key, "Value": thing}]}

        age = 400.0 if minute == 100 else 20.0
        figures = [
            ("NumberOfMessagesSent", 12.0),
            ("NumberOfMessagesDeleted", 12.0),
            ("ApproximateNumberOfMessagesNotVisible", 4.0),
            ("ApproximateAgeOfOldestMessage", age),
        ]
        data = [datum(name, value, "QueueName", "orders") for name, value in figures]
        cloudwatch.put_metric_data(Namespace="AWS/SQS", MetricData=data)
        if group:
            working = datum("GroupInServiceInstances", 5.0, "AutoScalingGroupName", "orders-group")
            cloudwatch.put_metric_data(Namespace="AWS/AutoScaling", MetricData=[working])


def test_read_history_when_the_queue_was_busy(cloudwatch: "CloudWatchClient") -> None:
    """Arrivals a minute; seconds per message by Little's law; what the group cost; how old messages became."""
    put(cloudwatch, NOW)
    past = read_history(cloudwatch, "orders", "orders-group", 1, now=NOW, target_wait_s=120.0)
    assert past.trace.name == "orders"
    assert past.trace.counts.tolist() == [12] * MINUTES
    assert past.seconds_per_message == pytest.approx(4.0 / 12.0 * 60.0)
    assert past.instance_hours == pytest.approx(5.0 * MINUTES / 60.0)
    assert (past.oldest_s, past.late_minutes) == (400.0, 1)


def test_read_history_when_the_group_sends_no_metrics(cloudwatch: "CloudWatchClient") -> None:
    """Its cost is unknown, not zero; a queue's URL will do."""
    put(cloudwatch, NOW, group=False)
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
    assert read_history(cloudwatch, url, "orders-group", 1, now=NOW, target_wait_s=120.0).instance_hours is None
    assert read_history(cloudwatch, url, None, 1, now=NOW, target_wait_s=120.0).instance_hours is None


def test_read_history_when_nothing_was_sent(cloudwatch: "CloudWatchClient") -> None:
    """Said with the queue's name."""
    with pytest.raises(TraceError, match="--queue: CloudWatch has no sent message of empty"):
        read_history(cloudwatch, "empty", None, 1, now=NOW, target_wait_s=120.0)
    with pytest.raises(TraceError, match="--days: must be 1 to 15"):
        read_history(cloudwatch, "empty", None, 16, now=NOW, target_wait_s=120.0)


def test_backtest_when_a_queue_is_named(cloudwatch: "CloudWatchClient", capsys: pytest.CaptureFixture[str]) -> None:
    """What was, in a sentence, and what policies would have cost."""
    put(cloudwatch, time.time() // 60 * 60)
    assert (
        backtest(queue="orders", group="orders-group", days=1, policy=["little", "sluice"], jobs=1, as_json=True) == 0
    )
    told = capsys.readouterr()
    out = told.err
    assert "Measured in this time: 15.0 instance-hours; the oldest message was at most 400 s old, " in out
    assert "and older than 120 s in 1 minute" in out
    record, ours = json.loads(told.out)
    assert ours["params"]["hint_seconds"] == 20.0  # what was measured, as a deployment's hint
    assert record["trace"] == "orders"
    assert 12.0 < record["instance_hours"] < 24.0  # a load of four instances, and its square root beside it


def test_backtest_when_the_account_cannot_be_asked(
    cloudwatch: "CloudWatchClient", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty queue is bad input; missing credentials or a missing region are AWS's answer."""
    assert backtest(queue="empty") == BAD_INPUT
    assert "--queue: CloudWatch has no sent message of empty" in capsys.readouterr().err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    boto3.DEFAULT_SESSION = None
    assert backtest(queue="orders") == FAILED
    assert "CloudWatch could not be read" in capsys.readouterr().err
