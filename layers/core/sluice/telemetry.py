"""Telemetry of an invocation: its log, and a tally of metric records that becomes CloudWatch's embedded metrics."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from logging import getLogger  # noqa: TID251 - a level is set here, nothing is logged
from typing import Any, NamedTuple, Protocol


class Log(Protocol):
    """The log, which names messages by ids and failure groups only; Powertools' Logger is one."""

    def debug(self, msg: str, **keys: Any) -> None:
        """What is of use in a search for a fault."""

    def info(self, msg: str, **keys: Any) -> None:
        """What was done."""

    def warning(self, msg: str, **keys: Any) -> None:
        """What goes well by itself later."""

    def error(self, msg: str, **keys: Any) -> None:
        """What an operator must put right, or nobody foresaw."""

    def exception(self, msg: str, **keys: Any) -> None:
        """An error, with the exception that is being handled."""

    def append_context_keys(self, **keys: Any) -> AbstractContextManager[None]:
        """Keys of each line written within. A key that was there before is gone after it: these do not nest."""


def keep_from(level: str | None, name: str) -> None:
    """Keep the lines of the logger of that name from a level on, such as WARNING; None: as it is.

    The stack's LogLevel cannot be Lambda's own filter, which takes a line without a level, such as a metric, for INFO
    (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html): it stays at INFO or DEBUG.
    Powertools would go by that filter alone (AWS_LAMBDA_LOG_LEVEL), and even its `setLevel` does.
    """
    if level:
        getLogger(name).setLevel(level)


class Unit(StrEnum):
    """A metric's unit, in CloudWatch's word.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
    """

    COUNT = "Count"
    SECONDS = "Seconds"
    COUNT_PER_SECOND = "Count/Second"
    NONE = "None"


class Record(NamedTuple):
    """One value of one metric; `fleet` is None where it is of no single fleet."""

    fleet: str | None
    name: str
    unit: Unit
    value: float


class MetricSink(Protocol):
    """Where embedded metrics go: Powertools' Metrics is one."""

    def add_dimension(self, name: str, value: str) -> None:
        """A dimension of the metrics that are added until they are flushed."""

    def add_metric(self, name: str, unit: Any, value: float) -> None:
        """One value of a metric."""

    def flush_metrics(self) -> None:
        """Write what was added as one blob."""


def emit(metrics: MetricSink, tally: Iterable[Record]) -> None:
    """Write a tally: one blob for each fleet, and one for what belongs to no fleet.

    Several values of one metric stay apart, in their order, so that CloudWatch knows minimum, maximum and sum.
    """
    by_fleet: dict[str | None, list[Record]] = {}
    for record in tally:
        by_fleet.setdefault(record.fleet, []).append(record)
    for fleet, records in by_fleet.items():
        if fleet is not None:
            metrics.add_dimension("fleet", fleet)
        for record in records:
            metrics.add_metric(record.name, record.unit.value, record.value)
        metrics.flush_metrics()


def summed(tally: Iterable[Record]) -> tuple[Record, ...]:
    """A tally with its counts added up by fleet and metric, and every other value as it is."""
    counts: dict[tuple[str | None, str], float] = {}
    others: list[Record] = []
    for record in tally:
        if record.unit is Unit.COUNT:
            counts[record.fleet, record.name] = counts.get((record.fleet, record.name), 0) + record.value
        else:
            others.append(record)
    return (*others, *(Record(fleet, name, Unit.COUNT, value) for (fleet, name), value in counts.items()))
