"""Embedded metric format: metrics taken out of the log lines that functions print.

AWS page: AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_logs = Host("services.cloudwatch_logs", "_append_log_events")
_cloudwatch = Host("services.cloudwatch", "_metric_bucket", "_dims_key")

MARK = '"_aws"'
"""What a line must contain to be worth parsing."""

log = logging.getLogger("sandbox.emf")


def install() -> None:
    """Look at every line that reaches a log stream."""
    original = _logs["_append_log_events"]

    def append(stream: Any, events: list[dict[str, Any]]) -> None:
        original(stream, events)
        for event in events:
            if MARK in event["message"]:
                _extract(event["message"])

    _logs["_append_log_events"] = append


def _extract(line: str) -> None:
    """Store the metrics of one line; a line that is not in the format is a log line and nothing else."""
    try:
        document = json.loads(line)
        envelope = document["_aws"]
        at = envelope["Timestamp"] / 1000
        for directive in envelope["CloudWatchMetrics"]:
            for names in directive["Dimensions"] or [[]]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    _store(directive["Namespace"], dimensions, metric, document[metric["Name"]], at)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("not embedded metric format (%r): %s", error, line[:200])


def _store(namespace: str, dimensions: dict[str, str], metric: Mapping[str, Any], value: Any, at: float) -> None:
    key = namespace, metric["Name"], _cloudwatch["_dims_key"](dimensions)
    for number in value if isinstance(value, list) else [value]:
        _cloudwatch["_metric_bucket"](key).append(
            {"Timestamp": at, "Value": float(number), "Unit": metric.get("Unit") or "None", "Dimensions": dimensions}
        )
