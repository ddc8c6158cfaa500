"""The backtest of an account's own queue, from CloudWatch as moto plays it."""

import json
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from sluice_tools import cli
from sluice_tools.backtest.command import BAD_INPUT, FAILED, backtest
from sluice_tools.backtest.history import read_history
from sluice_tools.backtest.traces import TraceError
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import UsageError
from tests.support.pasted import account_blocks

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

JSON = AwsOptions(as_json=True)
IMAGES = Path(__file__).parents[1] / "support/amis.json"
NOW = 1_795_510_800.0
MINUTES = 180
# By the minute: messages sent, deleted, in flight in the mean, and the age of the oldest in seconds.
SANDBOX = [
    (0, 0, 0, 0), (300, 300, 2.9, 19), (300, 214, 3.2, 14), (0, 86, 0, 0), (122, 122, 1.1, 1), (134, 132, 1.2, 0),
    (134, 134, 1.8, 0), (10, 12, 0, 0), (500, 500, 5, 24), (8, 8, 0.1, 2), (30, 30, 0, 0), (22, 22, 0, 0),
    (100, 100, 1.2, 6), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0),
]  # fmt: skip


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator["CloudWatchClient"]:
    """Moto's CloudWatch, with nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("COLUMNS", "220")
    with mock_aws():
        yield boto3.client("cloudwatch")


def put(
    cloudwatch: "CloudWatchClient",
    now: float,
    *,
    group: bool = True,
    name: str = "orders-group",
    minutes: int = MINUTES,
) -> None:
    """Minutes of a queue: 12 a minute sent and completed, 4 in flight, 5 instances; one minute of 400 s of age."""
    for minute in range(minutes):
        at = datetime.fromtimestamp(now - 60.0 * (minutes - minute), UTC)

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
            working = datum("GroupInServiceInstances", 5.0, "AutoScalingGroupName", name)
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
    assert backtest(queue="orders", group="orders-group", days=1, policy=["little", "sluice"], jobs=1, aws=JSON) == 0
    told = capsys.readouterr()
    out = told.err
    assert "Measured in this time: 15.0 instance-hours; the oldest message was at most 400 s old, " in out
    assert "No dollars are shown: there is no group orders-group in this region. --instance-type or" in out
    assert "and older than 120 s in 1 minute" in out
    record, ours = json.loads(told.out)
    assert ours["params"]["hint_seconds"] == 20.0  # what was measured, as a deployment's hint
    assert record["trace"] == "orders"
    assert 12.0 < record["instance_hours"] < 24.0  # a load of four instances, and its square root beside it


def test_backtest_when_the_queue_is_the_sandboxs_own(
    cloudwatch: "CloudWatchClient", capsys: pytest.CaptureFixture[str]
) -> None:
    """With all defaults Sluice is late with nothing, and each cheaper policy is late with many messages.

    The metrics are those of `make sandbox`, when loads of 300, 300, 500 and 100 orders were sent from its order page,
    and two orders a second for three minutes.
    """
    began = time.time() // 60 * 60 - 60.0 * len(SANDBOX)
    for minute, (sent, deleted, in_flight, oldest) in enumerate(SANDBOX):
        figures = {
            "NumberOfMessagesSent": sent,
            "NumberOfMessagesDeleted": deleted,
            "ApproximateNumberOfMessagesNotVisible": in_flight,
            "ApproximateAgeOfOldestMessage": oldest,
        }
        cloudwatch.put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": name,
                    "Value": value,
                    "Timestamp": datetime.fromtimestamp(began + 60.0 * minute, UTC),
                    "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
                }
                for name, value in figures.items()
            ],
        )
    assert backtest(queue="orders", days=1, jobs=1, aws=JSON) == 0
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 10
    (ours,) = [record for record in records if record["policy"] == "sluice"]
    assert ours["params"]["hint_seconds"] == pytest.approx(0.596, abs=0.001)  # by Little's law
    assert ours["late_fraction"] == 0.0
    assert ours["cost_of_bound"] == pytest.approx(1.65, abs=0.1)
    cheaper = [record for record in records if record["cost_of_bound"] < ours["cost_of_bound"]]
    assert len(cheaper) <= 5
    assert all(record["late_fraction"] > 0.1 for record in cheaper if record["policy"] != "clairvoyant")


def test_backtest_when_the_groups_instances_are_of_one_type(
    cloudwatch: "CloudWatchClient", capsys: pytest.CaptureFixture[str]
) -> None:
    """Their price stands beside instance-hours: of what was, and of what policies would have cost."""
    put(cloudwatch, time.time() // 60 * 60)
    template = {"ImageId": json.loads(IMAGES.read_text())[0]["ami_id"], "InstanceType": "c7g.large"}
    boto3.client("ec2").create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=template)  # type: ignore[arg-type]
    boto3.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="orders-group",
        MinSize=1,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateName": "workers"},
        AvailabilityZones=["eu-central-1a"],
    )
    assert backtest(queue="orders", group="orders-group", days=1, policy=["little"], jobs=1, aws=JSON) == 0
    told = capsys.readouterr()
    assert "Measured in this time: 15.0 instance-hours or $1.09;" in told.err  # at 0.0725 dollars an hour
    assert "the On-Demand price of c7g.large" in told.err
    (record,) = json.loads(told.out)
    assert record["dollars"] == pytest.approx(record["instance_hours"] * 0.0725, abs=0.005)


PRINTED = [
    line
    for document in ("docs/backtest.md", "docs/guides/from-target-tracking.md")
    for block in account_blocks(document)
    for line in block.lines
    if "backtest --queue" in line
]


@pytest.mark.parametrize("line", PRINTED)
def test_backtest_when_a_documents_line_is_typed(
    line: str, cloudwatch: "CloudWatchClient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the few minutes that its queue has; a report is written where it says."""
    words = shlex.split(line)[1:]
    put(cloudwatch, time.time() // 60 * 60, name=words[words.index("--group") + 1], minutes=20)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        cli.app([*words, "--jobs", "1"])

    assert ended.value.code in {None, 0}
    assert not (report := [word for word in words if word.endswith(".html")]) or (tmp_path / report[0]).exists()


def test_backtest_when_the_region_is_given(
    cloudwatch: "CloudWatchClient", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every other command: it wins over the environment's."""
    put(cloudwatch, time.time() // 60 * 60, minutes=20)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    assert backtest(queue="orders", policy=["fixed"], jobs=1, aws=AwsOptions(region="us-east-1")) == BAD_INPUT
    assert backtest(queue="orders", policy=["fixed"], jobs=1, aws=AwsOptions(region="eu-central-1")) == 0
    assert "instance-hours" in capsys.readouterr().out


def test_backtest_when_the_account_cannot_be_asked(
    cloudwatch: "CloudWatchClient", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty queue and a missing region are bad input; what does not answer is AWS's failure."""
    assert backtest(queue="empty") == BAD_INPUT
    assert "--queue: CloudWatch has no sent message of empty" in capsys.readouterr().err
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert backtest(queue="orders", aws=AwsOptions(endpoint_url="http://127.0.0.1:9")) == FAILED
    assert "CloudWatch could not be read" in capsys.readouterr().err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    with pytest.raises(UsageError, match="--region: must be given"):
        backtest(queue="orders")
