"""What CloudWatch knows of a queue, and whether an alarm is on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.model.observed import QueueReading, Reading, Series
from sluice.ports.aws_services import SIGNALS_WINDOW_S
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError, answer_of

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

# A call takes 500 queries, of which each queue has four, and answers 100,800 points at once: 400 metrics of three hours
# are 72,000. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
QUEUES_AT_ONCE = 100
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
ALARMS_AT_ONCE = 100
NO_ALARM = "create it, or correct limits.veto_alarm"

type Points = list[tuple[float, float]]


class CloudWatchSignals:
    """The Signals port: one GetMetricData for a hundred queues, all metrics of each in it.

    Args:
        clients: where the client comes from.
        period_s: how often SQS sends its metrics, in whole seconds.
    """

    def __init__(self, clients: Clients, period_s: int = PERIOD_S) -> None:
        self._clients = clients
        self._period_s = period_s

    def read_all(
        self, queue_urls: Sequence[str], now: float, since: float | None = None
    ) -> tuple[QueueReading | PortError, ...]:
        """Counts in whole periods, and the last oldest age, by one call for each hundred queues."""
        oldest_at = now - SIGNALS_WINDOW_S
        since = oldest_at if since is None else max(since, oldest_at)
        found: list[QueueReading | PortError] = []
        for start in range(0, len(queue_urls), QUEUES_AT_ONCE):
            try:
                found += self._read_some(queue_urls[start : start + QUEUES_AT_ONCE], now, since)
            except PortError as error:
                found += [error] * (len(queue_urls) - start)  # those not yet asked for would wait as long
                break
        return tuple(found)

    def _read_some(self, queue_urls: Sequence[str], now: float, since: float) -> list[QueueReading | PortError]:
        names = [url.rpartition("/")[2] for url in queue_urls]
        results: dict[str, list[MetricDataResultTypeDef]] = {}
        start_at = since // self._period_s * self._period_s  # periods begin at their multiples
        what = f"metrics of queue {names[0]}" if len(names) == 1 else f"metrics of {len(names)} queues"
        with asking(Thing("cloudwatch", what, "check the queue's name")):
            pages = self._clients.of_ticks.cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[
                    query for place, name in enumerate(names) for query in _queries(place, name, self._period_s)
                ],
                StartTime=datetime.fromtimestamp(start_at, UTC),
                EndTime=datetime.fromtimestamp(now, UTC),
                ScanBy="TimestampAscending",
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    results.setdefault(result["Id"], []).append(result)
        return [answer_of(partial(self._reading, results, place, name, now)) for place, name in enumerate(names)]

    def _reading(
        self, results: "Mapping[str, Sequence[MetricDataResultTypeDef]]", place: int, name: str, now: float
    ) -> QueueReading:
        points = {
            metric: [point for result in results.get(_id(metric, place), ()) for point in _points(result, name)]
            for metric in METRICS
        }
        oldest = points["oldest"][-1:]
        return QueueReading(
            sent=_whole(points["sent"], self._period_s, now),
            deleted=_whole(points["deleted"], self._period_s, now),
            received=_whole(points["received"], self._period_s, now),
            # A period's figure is true at the period's end at the latest.
            oldest_age=Reading(oldest[0][1], min(oldest[0][0] + self._period_s, now)) if oldest else None,
        )

    def alarms_are_on(self, names: Sequence[str]) -> tuple[bool | PortError, ...]:
        """Whether each alarm, metric or composite, is in ALARM, by one call for each hundred of them."""
        states: dict[str, str] = {}
        for start in range(0, len(names), ALARMS_AT_ONCE):
            some = list(names[start : start + ALARMS_AT_ONCE])
            what = f"alarm {some[0]}" if len(some) == 1 else f"{len(some)} alarms"
            try:
                with asking(Thing("cloudwatch", what, NO_ALARM)):
                    answer = self._clients.of_ticks.cloudwatch.describe_alarms(
                        AlarmNames=some, AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=ALARMS_AT_ONCE
                    )
            except PortError as error:
                return tuple(states[name] == "ALARM" if name in states else error for name in names)
            states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer.get("MetricAlarms", [])}
            states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer.get("CompositeAlarms", [])}
        return tuple(
            states[name] == "ALARM" if name in states else NeedsFixError(f"alarm {name} does not exist: {NO_ALARM}")
            for name in names
        )


def _id(metric: str, place: int) -> str:
    """A query's id: it must begin with a small letter."""
    return f"{metric}_{place}"


def _queries(place: int, queue_name: str, period_s: int) -> "Sequence[MetricDataQueryTypeDef]":
    return [
        {
            "Id": _id(name, place),
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
        for name, (metric, statistic) in METRICS.items()
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
