"""Metrics of an invocation: a tally of records, and how it becomes CloudWatch's embedded metrics."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Protocol


class Unit(StrEnum):
    """A metric's unit, in CloudWatch's word.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
    """

    COUNT = "Count"
    SECONDS = "Seconds"
    NONE = "None"


type Record = tuple[str, str, Unit, float]  # fleet, metric, unit, value


class MetricSink(Protocol):
    """Where embedded metrics go: Powertools' Metrics is one."""

    def add_dimension(self, name: str, value: str) -> None:
        """A dimension of the metrics that are added until they are flushed."""

    def add_metric(self, name: str, unit: Any, value: float) -> None:
        """One value of a metric."""

    def flush_metrics(self) -> None:
        """Write what was added as one blob."""


def emit(metrics: MetricSink, tally: Iterable[tuple[str | None, str, Any, float]]) -> None:
    """Write a tally: one blob for each fleet, and one for what belongs to no fleet.

    Several values of one metric stay apart, in their order, so that CloudWatch knows minimum, maximum and sum.
    """
    by_fleet: dict[str | None, list[tuple[str, Any, float]]] = {}
    for fleet, name, unit, value in tally:
        by_fleet.setdefault(fleet, []).append((name, unit, value))
    for fleet, records in by_fleet.items():
        if fleet is not None:
            metrics.add_dimension("fleet", fleet)
        for name, unit, value in records:
            metrics.add_metric(name, unit, value)
        metrics.flush_metrics()


def summed(tally: Iterable[Record]) -> tuple[Record, ...]:
    """A tally with its counts added up by fleet and metric, and every other value as it is."""
    counts: dict[tuple[str, str], float] = {}
    others: list[Record] = []
    for fleet, name, unit, value in tally:
        if unit is Unit.COUNT:
            counts[fleet, name] = counts.get((fleet, name), 0) + value
        else:
            others.append((fleet, name, unit, value))
    return (*others, *((fleet, name, Unit.COUNT, value) for (fleet, name), value in counts.items()))
