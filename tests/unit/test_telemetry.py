"""Metric records: grouped by fleet, written one blob a fleet, each value kept."""

from sluice.telemetry import MetricRecord, Unit, by_fleet, emit

RECORDS = (
    MetricRecord("orders", "Need", 3),
    MetricRecord(None, "InvalidFleets", 0),
    MetricRecord("mails", "LeadTime", 60.5, Unit.SECONDS),
    MetricRecord("orders", "Need", 5),
)


class Sink:
    """Takes what is written, blob by blob."""

    def __init__(self) -> None:
        self.blobs: list[tuple[dict[str, str], list[tuple[str, str, float]]]] = []
        self._new()

    def _new(self) -> None:
        self.dimensions: dict[str, str] = {}
        self.metrics: list[tuple[str, str, float]] = []

    def add_dimension(self, name: str, value: str) -> None:
        """As Powertools' Metrics."""
        self.dimensions[name] = value

    def add_metric(self, name: str, unit: str, value: float) -> None:
        """As Powertools' Metrics."""
        self.metrics.append((name, unit, value))

    def flush_metrics(self) -> None:
        """As Powertools' Metrics."""
        self.blobs.append((self.dimensions, self.metrics))
        self._new()


def test_records_when_they_are_of_several_fleets():
    """Each fleet's in their order; those of no fleet under None."""
    grouped = by_fleet(RECORDS)
    assert [(fleet, [record.value for record in records]) for fleet, records in grouped.items()] == [
        ("orders", [3, 5]),
        (None, [0]),
        ("mails", [60.5]),
    ]


def test_emit_when_records_are_of_several_fleets():
    """One blob a fleet with its name as dimension, one without for the rest; units are CloudWatch's."""
    sink = Sink()
    emit(sink, RECORDS)
    assert sink.blobs == [
        ({"fleet": "orders"}, [("Need", "Count", 3), ("Need", "Count", 5)]),
        ({}, [("InvalidFleets", "Count", 0)]),
        ({"fleet": "mails"}, [("LeadTime", "Seconds", 60.5)]),
    ]


def test_emit_when_there_is_nothing():
    """Nothing is written."""
    sink = Sink()
    emit(sink, ())
    assert sink.blobs == []
