"""Telemetry of an invocation: its log, and a tally of metric records that becomes CloudWatch's embedded metrics.

Services record each figure with its fleet. `emit` decides what becomes a metric, since CloudWatch bills each series
that has data in an hour (https://aws.amazon.com/cloudwatch/pricing/): one for the whole stack, with the fleets and the
reasons named in the log line, and with `Detail.FLEET` every figure of each fleet as well.
"""

from collections.abc import Iterable, Mapping, Sequence
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


class Detail(StrEnum):
    """Whose metrics there are: the stack's, or each fleet's as well."""

    STACK = "stack"
    FLEET = "fleet"


class Scope(NamedTuple):
    """Which stack's metrics an invocation writes, and in which detail."""

    stack: str
    detail: Detail

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Scope":
        """By a function's environment."""
        return cls(environ.get("SLUICE_STACK", "sluice"), Detail(environ.get("SLUICE_DETAIL", Detail.STACK)))


# Above these figures a fleet needs an operator. Seconds since the last tick that succeeded, since a step of its drains
# or redrive jobs was due, and of a retained instance; the share of its queue's retention that a message, or a dead
# letter since it was first sent, has used; counts; limits that only an operator can lift, where they apply.
LIMITS = {
    "TickAge": 300.0,
    "StepAge": 300.0,
    "InvalidFleets": 0.0,
    "MessageLifeUsed": 0.5,
    "NothingReceived": 0.0,
    "LaunchesHang": 0.0,
    "LaunchesShortLived": 0.0,
    "ProtectedIdle": 0.0,
    "SetByAnother": 0.0,
    "VisibilityShort": 0.0,
    "DrainsExpired": 0.0,
    "DrainsInterrupted": 0.0,
    "RetainedAge": 3_600.0,
    "Quarantined": 0.0,
    "DeadLetterLifeUsed": 0.5,
    "DeadLettersMoveOn": 0.0,
}
# The stack's one metric of each function. It has no value while all is well, so that it then costs nothing.
NEEDS_OPERATOR = "NeedsOperator"
NAMED_FLEETS = 50  # in a log line, for each reason


class MetricSink(Protocol):
    """The writer of embedded metrics. Powertools' Metrics is one."""

    def add_dimension(self, name: str, value: str) -> None:
        """A dimension of the metrics that are added until they are flushed."""

    def add_metric(self, name: str, unit: Any, value: float) -> None:
        """One value of a metric."""

    def add_metadata(self, key: str, value: Any) -> None:
        """A key of the log line that is no metric."""

    def flush_metrics(self) -> None:
        """Write what was added as one blob."""


def emit(metrics: MetricSink, tally: Iterable[Record], scope: Scope) -> None:
    """Write a tally: how many fleets need an operator, and with `Detail.FLEET` each fleet's figures before that.

    Several values of one fleet's metric stay apart, in their order, so that CloudWatch knows minimum, maximum and sum.
    """
    records = tuple(tally)
    if scope.detail is Detail.FLEET:
        _emit_fleets(metrics, records)
    reasons = needs_operator(records)
    if not reasons:
        return
    metrics.add_dimension("stack", scope.stack)
    metrics.add_metric(NEEDS_OPERATOR, Unit.COUNT.value, float(sum(len(fleets) for fleets in reasons.values())))
    metrics.add_metadata("fleets", "; ".join(f"{name}: {_list_of(fleets)}" for name, fleets in reasons.items()))
    metrics.flush_metrics()


def needs_operator(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """The fleets that need an operator, by the metric that says so, the furthest above its limit first."""
    above: dict[str, dict[str, float]] = {}
    for record in records:
        if record.name in LIMITS and record.value > LIMITS[record.name]:
            found = above.setdefault(record.name, {})
            name = record.fleet or "see the errors in this log"
            found[name] = max(found.get(name, 0.0), record.value)
    return {name: _worst_first(above[name]) for name in LIMITS if name in above}


def _worst_first(figures: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(figures, key=lambda fleet: (-figures[fleet], fleet)))


def _emit_fleets(metrics: MetricSink, records: Iterable[Record]) -> None:
    by_fleet: dict[str, list[Record]] = {}
    for record in records:
        if record.fleet is not None:
            by_fleet.setdefault(record.fleet, []).append(record)
    for fleet, of_fleet in by_fleet.items():
        metrics.add_dimension("fleet", fleet)
        for record in of_fleet:
            metrics.add_metric(record.name, record.unit.value, record.value)
        metrics.flush_metrics()


def _list_of(fleets: Sequence[str]) -> str:
    more_count = len(fleets) - NAMED_FLEETS
    return ", ".join(fleets[:NAMED_FLEETS]) + (f" and {more_count} more" if more_count > 0 else "")


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
