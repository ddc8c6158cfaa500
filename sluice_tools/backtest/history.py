"""The last days of a queue in an AWS account, from CloudWatch: its traffic as a trace, its waits, its fleet's cost.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html and
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from sluice.wording import count
from sluice_tools.backtest.conditions import MINUTE_S
from sluice_tools.backtest.simulated_queue import Floats
from sluice_tools.backtest.traces import Trace, TraceError

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

DAYS_MAX = 15  # CloudWatch keeps metrics by the minute for so long
DAY_S = 86_400.0
WORK_LEAST = 20.0  # completed messages: from fewer the seconds per message cannot be estimated
QUEUE_METRICS = {
    "sent": ("NumberOfMessagesSent", "Sum"),
    "deleted": ("NumberOfMessagesDeleted", "Sum"),
    "in_flight": ("ApproximateNumberOfMessagesNotVisible", "Average"),
    "oldest": ("ApproximateAgeOfOldestMessage", "Maximum"),
}
GROUP_METRIC = ("GroupInServiceInstances", "Average")


@dataclass(frozen=True, slots=True)
class QueueHistory:
    """What CloudWatch has of a queue and its group."""

    trace: Trace
    seconds_per_message: float | None  # by Little's law; None where too few messages were completed
    instance_hours: float | None  # in service; None where the group sends no metrics
    oldest_s: float  # the greatest age of the oldest message
    late_minutes: int  # in which the oldest message was older than the target wait


def read_history(
    cloudwatch: "CloudWatchClient", queue: str, group: str | None, days: int, *, now: float, target_wait_s: float
) -> QueueHistory:
    """Read a queue's and its group's last days.

    Args:
        cloudwatch: the account's, in the queue's region.
        queue: its name or URL.
        group: the Auto Scaling group's name, to read its cost; None: its cost is not read.
        days: at most 15.
        now: epoch seconds.
        target_wait_s: to count late minutes by.

    Raises:
        TraceError: `days` is out of range, or CloudWatch has no message of the queue.
    """
    if not 1 <= days <= DAYS_MAX:
        raise TraceError(
            f"--days: must be 1 to {DAYS_MAX}, as long as CloudWatch keeps metrics by the minute (got {days})"
        )
    name = queue.rpartition("/")[2]
    end_at = now // MINUTE_S * MINUTE_S
    minutes = round(days * DAY_S / MINUTE_S)
    series = _read(cloudwatch, _queries(name, group), end_at - minutes * MINUTE_S, minutes)
    sent = np.nan_to_num(series["sent"])
    if not sent.sum():
        raise TraceError(f"--queue: CloudWatch has no sent message of {name} in the last {count(days, 'day')}")
    first = int(np.flatnonzero(sent)[0])  # zeros before it may mean that the queue did not exist yet
    oldest = np.nan_to_num(series["oldest"][first:])
    return QueueHistory(
        trace=Trace(name, np.rint(sent[first:]).astype(np.int64)),
        seconds_per_message=_by_littles_law(series["in_flight"][first:], series["deleted"][first:]),
        instance_hours=_hours(series.get("working"), first),
        oldest_s=float(oldest.max(initial=0.0)),
        late_minutes=int(np.sum(oldest > target_wait_s)),
    )


def _by_littles_law(in_flight: Floats, deleted: Floats) -> float | None:
    """Seconds per message = mean messages in flight / completions a second (Little's law)."""
    completed = float(np.nan_to_num(deleted).sum())
    if completed < WORK_LEAST:
        return None
    held_s = float(np.nan_to_num(in_flight).sum()) * MINUTE_S
    return held_s / completed if held_s > 0 else None


def _hours(working: Floats | None, first: int) -> float | None:
    if working is None or np.all(np.isnan(working[first:])):
        return None
    return float(np.nansum(working[first:])) * MINUTE_S / 3600.0


def _queries(queue: str, group: str | None) -> "list[MetricDataQueryTypeDef]":
    queries = [
        _query(key, "AWS/SQS", metric, statistic, {"QueueName": queue})
        for key, (metric, statistic) in QUEUE_METRICS.items()
    ]
    if group is not None:
        queries.append(_query("working", "AWS/AutoScaling", *GROUP_METRIC, {"AutoScalingGroupName": group}))
    return queries


def _query(
    key: str, namespace: str, metric: str, statistic: str, dimensions: Mapping[str, str]
) -> "MetricDataQueryTypeDef":
    return {
        "Id": key,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": int(MINUTE_S),
            "Stat": statistic,
        },
    }


def _read(
    cloudwatch: "CloudWatchClient", queries: "list[MetricDataQueryTypeDef]", begin_at: float, minutes: int
) -> dict[str, Floats]:
    """Each metric by the minute; NaN where CloudWatch has no value."""
    series: dict[str, Floats] = {query["Id"]: np.full(minutes, np.nan) for query in queries}
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(begin_at, UTC),
        EndTime=datetime.fromtimestamp(begin_at + minutes * MINUTE_S, UTC),
        ScanBy="TimestampAscending",
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            _take(series[result["Id"]], result, begin_at)
    return series


def _take(values: Floats, result: Any, begin_at: float) -> None:
    for stamp, value in zip(result["Timestamps"], result["Values"], strict=True):
        index = int((stamp.timestamp() - begin_at) // MINUTE_S)
        if 0 <= index < len(values):
            values[index] = value
