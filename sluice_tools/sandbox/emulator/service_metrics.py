"""What AWS services publish about themselves: AWS/SQS for active queues, AWS/AutoScaling for groups that ask for it.

Once a minute (as long as the settings make it) each figure is taken and, ``metric_delay_s`` later, stored with the
start of its minute as its time.

AWS pages: AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html (names, units; one
minute; a queue that was not used for six hours publishes nothing),
autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html (group metrics, off unless enabled).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope, Ticker
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.queues import Counts, Depth, Queues, sqs
from sluice_tools.sandbox.emulator.settings import Settings

_cloudwatch = Host("services.cloudwatch", "_metric_bucket", "_dims_key")
_autoscaling = Host("services.autoscaling", "_asgs")

QUEUE_ACTIVE_S = 6 * 3600
"""How long a queue that nobody uses goes on publishing."""

Figure = tuple[str, str, list[float]]
"""Name, unit, and the values of one minute."""


class ServiceMetrics:
    """The publisher."""

    def __init__(self, settings: Settings, queues: Queues) -> None:
        """Prepare it."""
        self._settings = settings
        self._queues = queues
        self._minute_at = 0.0
        self._numbers = itertools.count()
        self._late: list[tuple[float, int, Scope, dict[str, Any]]] = []
        pause = min(settings.minute_s, settings.metric_delay_s or settings.minute_s) / 10
        self._ticker = Ticker("sandbox-metrics", min(1.0, max(0.02, pause)), self.tick)

    def install(self) -> None:
        """Begin to publish."""
        self._ticker.start()

    def close(self) -> None:
        """Publish no more."""
        self._ticker.close()

    def tick(self, now: float) -> None:
        """Take the figures of a minute that is over; store those whose delay is."""
        minute = math.floor(now / self._settings.minute_s) * self._settings.minute_s
        if minute > self._minute_at:
            if self._minute_at:
                self._take(minute - self._settings.minute_s, now)
            self._minute_at = minute
        while self._late and self._late[0][0] <= now:
            _, _, scope, point = heapq.heappop(self._late)
            _store(scope, point)

    def _take(self, began_at: float, now: float) -> None:
        for (account, region, _), queue in sqs["_queues"].all_items():
            scope = Scope(account, region)
            arn = queue["attributes"]["QueueArn"]
            counts = self._queues.take(arn)
            if now - self._queues.active_at(arn, queue, now) > self._settings.scaled(QUEUE_ACTIVE_S):
                continue
            figures = _queue_figures(counts, self._queues.depth(queue, now))
            self._publish(scope, "AWS/SQS", {"QueueName": arn.rsplit(":", 1)[-1]}, figures, began_at)
        for (account, region, name), group in _autoscaling["_asgs"].all_items():
            enabled = set(group.get("EnabledMetrics", ()))
            figures = [figure for figure in _group_figures(group) if figure[0] in enabled]
            self._publish(Scope(account, region), "AWS/AutoScaling", {"AutoScalingGroupName": name}, figures, began_at)

    def _publish(
        self, scope: Scope, namespace: str, dimensions: dict[str, str], figures: list[Figure], began_at: float
    ) -> None:
        due = began_at + self._settings.minute_s + self._settings.metric_delay_s
        for name, unit, values in figures:
            for value in values:
                point = {
                    "namespace": namespace,
                    "name": name,
                    "dimensions": dimensions,
                    "unit": unit,
                    "value": value,
                    "at": began_at,
                }
                heapq.heappush(self._late, (due, next(self._numbers), scope, point))


def _store(scope: Scope, point: Mapping[str, Any]) -> None:
    with scope.entered():
        key = point["namespace"], point["name"], _cloudwatch["_dims_key"](point["dimensions"])
        _cloudwatch["_metric_bucket"](key).append(
            {
                "Timestamp": point["at"],
                "Value": float(point["value"]),
                "Unit": point["unit"],
                "Dimensions": dict(point["dimensions"]),
            }
        )


def _queue_figures(counts: Counts, depth: Depth) -> list[Figure]:
    return [
        ("ApproximateNumberOfMessagesVisible", "Count", [depth.visible]),
        ("ApproximateNumberOfMessagesNotVisible", "Count", [depth.in_flight]),
        ("ApproximateNumberOfMessagesDelayed", "Count", [depth.delayed]),
        ("ApproximateAgeOfOldestMessage", "Seconds", [float(math.floor(depth.oldest_age_s))]),
        ("NumberOfMessagesSent", "Count", [counts.sent]),
        ("NumberOfMessagesReceived", "Count", [counts.received]),
        ("NumberOfMessagesDeleted", "Count", [counts.deleted]),
        ("NumberOfEmptyReceives", "Count", [counts.empty_receives]),
        ("SentMessageSize", "Bytes", [float(size) for size in counts.sizes]),
    ]


def _group_figures(group: Mapping[str, Any]) -> list[Figure]:
    states = Counter(record["LifecycleState"].split(":")[0] for record in group["Instances"])
    figures = {
        "GroupMinSize": group["MinSize"],
        "GroupMaxSize": group["MaxSize"],
        "GroupDesiredCapacity": group["DesiredCapacity"],
        "GroupInServiceInstances": states["InService"],
        "GroupPendingInstances": states["Pending"],
        "GroupStandbyInstances": states["Standby"],
        "GroupTerminatingInstances": states["Terminating"],
        "GroupTotalInstances": len(group["Instances"]),
    }
    return [(name, "None", [float(value)]) for name, value in figures.items()]
