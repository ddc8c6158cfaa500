"""What CloudWatch knows of a queue, and whether an alarm is on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.model import QueueReading, Reading, Series
from sluice.ports import SIGNALS_WINDOW_S, NeedsFixError, TryLaterError

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef, MetricDataResultTypeDef

PERIOD_S = 60  # SQS sends its metrics once a minute; an emulator may be quicker
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
METRICS = {
    "sent": ("NumberOfMessagesSent", "Sum"),
    "received": ("NumberOfMessagesReceived", "Sum"),
    "deleted": ("NumberOfMessagesDeleted", "Sum"),
    "oldest": ("ApproximateAgeOfOldestMessage", "Maximum"),
}

type Points = list[tuple[float, float]]


class CloudWatchSignals:
    """The Signals port: one GetMetricData a queue, all its metrics in it.

    Args:
        clients: where the client comes from.
        period_s: how often SQS sends its metrics, in whole seconds.
    """

    def __init__(self, clients: Clients, period_s: int = PERIOD_S) -> None:
        self._clients = clients
        self._period_s = period_s

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Sent, received and deleted in whole periods, and the last oldest age; None where CloudWatch has nothing."""
        points: dict[str, Points] = {name: [] for name in METRICS}
        name = queue_url.rpartition("/")[2]
        start_at = (now - SIGNALS_WINDOW_S) // self._period_s * self._period_s  # periods begin at their multiples
        with asking(Thing("cloudwatch", f"metrics of queue {name}", "check the queue's name")):
            pages = self._clients.cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=_queries(name, self._period_s),
                StartTime=datetime.fromtimestamp(start_at, UTC),
                EndTime=datetime.fromtimestamp(now, UTC),
                ScanBy="TimestampAscending",
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    points[result["Id"]] += _points(result, name)
        oldest = points["oldest"][-1:]
        return QueueReading(
            sent=_whole(points["sent"], self._period_s, now),
            deleted=_whole(points["deleted"], self._period_s, now),
            received=_whole(points["received"], self._period_s, now),
            # A period's figure is true at the period's end at the latest.
            oldest_age=Reading(oldest[0][1], min(oldest[0][0] + self._period_s, now)) if oldest else None,
        )

    def alarm_is_on(self, name: str) -> bool:
        """Whether the alarm, metric or composite, is in ALARM."""
        thing = Thing("cloudwatch", f"alarm {name}", "create it, or correct limits.veto_alarm")
        with asking(thing):
            answer = self._clients.cloudwatch.describe_alarms(
                AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        states = [alarm["StateValue"] for alarm in answer.get("MetricAlarms", [])]
        states += [alarm["StateValue"] for alarm in answer.get("CompositeAlarms", [])]
        if not states:
            raise NeedsFixError(f"{thing.name} does not exist: {thing.fix}")
        return "ALARM" in states


def _queries(queue_name: str, period_s: int) -> "Sequence[MetricDataQueryTypeDef]":
    return [
        {
            "Id": query_id,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SQS",
                    "MetricName": metric,
                    "Dimensions": [{"Name": "QueueName", "Value": queue_name}],
                },
                "Period": period_s,
                "Stat": statistic,
            },
        }
        for query_id, (metric, statistic) in METRICS.items()
    ]


def _points(result: "MetricDataResultTypeDef", queue_name: str) -> Points:
    """A result's points as (start of the period, value), ascending."""
    status = result.get("StatusCode", "Complete")
    if status == "Forbidden":
        raise NeedsFixError(f"metrics of queue {queue_name}: grant cloudwatch:GetMetricData to this function's role")
    if status == "InternalError":
        raise TryLaterError(f"metrics of queue {queue_name}: CloudWatch could not read {result.get('Id')}")
    stamps = (stamp.timestamp() for stamp in result.get("Timestamps", []))
    return sorted(zip(stamps, result.get("Values", []), strict=True))


def _whole(points: Points, period_s: int, now: float) -> Series | None:
    """The periods that are over: the present one's count is still growing. None if there are none."""
    over = tuple(point for point in points if point[0] + period_s <= now)
    return Series(float(period_s), over) if over else None
