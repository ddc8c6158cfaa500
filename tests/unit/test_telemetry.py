"""Metric records: folded into a few metrics of the stack, and written for each fleet where the stack asks for that."""

import pytest

from sluice.telemetry import LIMITS, NAMED_FLEETS, Detail, Record, Scope, Unit, emit, needs_operator, summed

STACK = Scope("blue", Detail.STACK)
FLEET = Scope("blue", Detail.FLEET)

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
        self.metadata: dict[str, str] = {}
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

    def add_metadata(self, key: str, value: str) -> None:
        """As Powertools' Metrics."""
        self.metadata[key] = value

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


def test_emit_when_each_fleet_has_metrics_of_its_own():
    """One blob a fleet with its name as dimension, its values apart; units are CloudWatch's."""
    sink = Sink()
    emit(sink, RECORDS, FLEET)
    assert sink.blobs == [
        ({"fleet": "orders"}, [("Need", "Count", 3), ("Need", "Count", 5)]),
        ({"fleet": "mails"}, [("LeadTime", "Seconds", 60.5)]),
    ]


@pytest.mark.parametrize("scope", [STACK, FLEET])
def test_emit_when_there_is_nothing(scope):
    """Nothing is written."""
    sink = Sink()
    emit(sink, (), scope)
    assert sink.blobs == []


def test_emit_when_all_is_well():
    """No series of a fleet, and none of the stack: a metric costs money in each hour in which it has a value."""
    sink = Sink()
    tally = (
        *RECORDS,
        Record("orders", "TickAge", Unit.SECONDS, 9.5),
        Record("orders", "RetainedAge", Unit.SECONDS, 60.0),
        Record("orders", "DeadLetterLifeUsed", Unit.NONE, 0.2),
    )
    emit(sink, tally, STACK)
    assert sink.blobs == []
    assert sink.metadata == {}


def test_emit_when_fleets_need_an_operator():
    """One metric counts them for each reason, and the log line names them by the reason, the worst first."""
    sink = Sink()
    tally = (
        Record("orders", "DrainsExpired", Unit.COUNT, 1),
        Record("mails", "DrainsExpired", Unit.COUNT, 2),
        Record("orders", "TickAge", Unit.SECONDS, 20.0),
        Record("bills", "TickAge", Unit.SECONDS, 400.0),
        Record(None, "InvalidFleets", Unit.COUNT, 1),
    )
    emit(sink, tally, STACK)
    assert sink.blobs == [({"stack": "blue"}, [("NeedsOperator", "Count", 4.0)])]
    assert sink.metadata == {
        "fleets": "TickAge: bills; InvalidFleets: see the errors in this log; DrainsExpired: mails, orders"
    }


@pytest.mark.parametrize("name", LIMITS)
def test_limit_when_a_figure_is_at_it_and_above(name):
    """At the limit all is well."""
    assert needs_operator([Record("orders", name, Unit.NONE, LIMITS[name])]) == {}
    assert needs_operator([Record("orders", name, Unit.NONE, LIMITS[name] + 0.01)]) == {name: ("orders",)}


def test_emit_when_a_thousand_fleets_need_an_operator():
    """A log line has room for some names, and says how many more there are."""
    sink = Sink()
    emit(sink, [Record(f"f{n:04}", "Quarantined", Unit.COUNT, 1) for n in range(1000)], STACK)
    assert sink.blobs[0][1] == [("NeedsOperator", "Count", 1000.0)]
    assert sink.metadata["fleets"].endswith(f"f{NAMED_FLEETS - 1:04} and {1000 - NAMED_FLEETS} more")


def test_scope_when_the_environment_says_nothing_or_something_else():
    """The stack's metrics are the default; what is neither of both is refused."""
    assert Scope.of({}) == Scope("sluice", Detail.STACK)
    assert Scope.of({"SLUICE_STACK": "blue", "SLUICE_DETAIL": "fleet"}) == FLEET
    with pytest.raises(ValueError, match="none"):
        Scope.of({"SLUICE_DETAIL": "none"})
