"""Telemetry of an invocation: its log, and a tally of metric records that becomes CloudWatch's embedded metrics."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from logging import getLogger  # noqa: TID251 - a level is set here, nothing is logged
from typing import Any, NamedTuple, Protocol


class Log(Protocol):
    """The log, which names messages by ids and failure groups only; Powertools' Logger is one."""

    def debug(self, msg: str, **keys: Any) -> None:
        """Details for the search for a fault."""

    def info(self, msg: str, **keys: Any) -> None:
        """What was done."""

    def warning(self, msg: str, **keys: Any) -> None:
        """A fault that Sluice mends by itself later."""

    def error(self, msg: str, **keys: Any) -> None:
        """A fault that an operator must mend, or that was not foreseen."""

    def exception(self, msg: str, **keys: Any) -> None:
        """An error with the exception that is being handled."""

    def append_context_keys(self, **keys: Any) -> AbstractContextManager[None]:
        """Keys of each line within the context. They do not nest: a key that was there before is gone afterwards."""


def keep_from(level: str | None, name: str) -> None:
    """Let the logger of that name keep lines from a level on, such as WARNING. None leaves the logger as it is.

    The stack's LogLevel cannot be Lambda's own filter, which takes a line without a level, such as a metric, for INFO
    (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html): it stays at INFO or DEBUG.
    Powertools obeys only that filter (AWS_LAMBDA_LOG_LEVEL), also in its `setLevel`, so the level is set on the logger
    itself.
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
    """One value of one metric; `fleet` is None if the value is not of a single fleet."""

    fleet: str | None
    name: str
    unit: Unit
    value: float


class MetricSink(Protocol):
    """The writer of embedded metrics. Powertools' Metrics is one."""

    def add_dimension(self, name: str, value: str) -> None:
        """A dimension of the metrics that are added until they are flushed."""

    def add_metric(self, name: str, unit: Any, value: float) -> None:
        """One value of a metric."""

    def flush_metrics(self) -> None:
        """Write what was added as one blob."""


def emit(metrics: MetricSink, tally: Iterable[Record]) -> None:
    """Write a tally: one blob for each fleet, and one for the values without a fleet.

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
