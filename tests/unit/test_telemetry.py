"""Metric records: grouped by fleet, written one blob a fleet, each value kept."""

from sluice.telemetry import Record, Unit, emit, summed

RECORDS = (
    Record("orders", "Need", Unit.COUNT, 3),
    Record(None, "InvalidFleets", Unit.COUNT, 0),
    Record("mails", "LeadTime", Unit.SECONDS, 60.5),
    Record("orders", "Need", Unit.COUNT, 5),
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


def test_summed_when_a_count_comes_more_than_once():
    """Counts of one fleet and metric are added up; every other value stays as it is."""
    assert set(summed(RECORDS)) == {
        Record("orders", "Need", Unit.COUNT, 8),
        Record(None, "InvalidFleets", Unit.COUNT, 0),
        Record("mails", "LeadTime", Unit.SECONDS, 60.5),
    }


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
