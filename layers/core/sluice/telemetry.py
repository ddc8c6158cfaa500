"""Telemetry: the log that a handler hands over, metric records, and how they become CloudWatch metrics.

The layer collects `MetricRecord`s; `emit` groups them by fleet and gives them to what the handler hands over,
Powertools' Metrics as a rule.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class Log(Protocol):
    """Where it is told what is done, by ids and failure groups alone; Powertools' Logger is one."""

    def debug(self, msg: str, **keys: Any) -> None:
        """What is of use in a search for a fault."""

    def info(self, msg: str, **keys: Any) -> None:
        """What was done."""

    def warning(self, msg: str, **keys: Any) -> None:
        """What goes well by itself later."""

    def error(self, msg: str, **keys: Any) -> None:
        """What a person must put right, or nobody foresaw."""

    def exception(self, msg: str, **keys: Any) -> None:
        """An error, with the exception that is being handled."""

    def append_context_keys(self, **keys: Any) -> AbstractContextManager[None]:
        """Keys of each line written within. A key that was there before is gone after it: these do not nest."""


# --------------------------------------------------------------------------- metrics


class Unit(StrEnum):
    """CloudWatch's units, as far as they are used.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
    """

    COUNT = "Count"
    SECONDS = "Seconds"
    COUNT_PER_SECOND = "Count/Second"


class MetricRecord(NamedTuple):
    """One value of one metric; `fleet` None where it is of no single fleet."""

    fleet: str | None
    name: str
    value: float
    unit: Unit = Unit.COUNT


class MetricSink(Protocol):
    """Where metrics are written; Powertools' Metrics is one."""

    def add_dimension(self, name: str, value: str) -> None:
        """A dimension of the metrics that are added until the next flush."""

    def add_metric(self, name: str, unit: Any, value: float) -> None:
        """A value; several of one name are kept in their order."""

    def flush_metrics(self) -> None:
        """Write what was added, and begin anew."""


def by_fleet(records: Iterable[MetricRecord]) -> dict[str | None, list[MetricRecord]]:
    """The records of each fleet in their order; under None those of no single fleet."""
    grouped: dict[str | None, list[MetricRecord]] = {}
    for record in records:
        grouped.setdefault(record.fleet, []).append(record)
    return grouped


def emit(metrics: MetricSink, records: Iterable[MetricRecord]) -> None:
    """Write records as embedded metrics: one blob for each fleet, with its name as dimension, and one for the rest.

    Several values of one metric stay values, so that CloudWatch knows minimum, maximum and sum.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    for fleet, group in by_fleet(records).items():
        if fleet is not None:
            metrics.add_dimension("fleet", fleet)
        for record in group:
            metrics.add_metric(record.name, record.unit.value, record.value)
        metrics.flush_metrics()
