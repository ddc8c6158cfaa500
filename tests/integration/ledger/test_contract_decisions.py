"""The Decisions port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.model.decisions import Action, Decision, Figure, Outcome, OutcomeStatus, Reason, ReasonCode
from sluice.model.observed import Mode
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import FLEET


def decision(number: int, at: float, fleet: str = FLEET) -> Decision:
    """A decision with every kind of field filled in."""
    return Decision(
        id=f"d{number}",
        fleet=fleet,
        at=at,
        mode=Mode.ACT,
        action=Action.SCALE_OUT,
        current=1,
        raw_need=9,
        want=4,
        reasons=(Reason(ReasonCode.NEED, "9 \u00d7 needed", 1, 9), Reason(ReasonCode.GROUP_MAX, "4 at most", 9, 4)),
        figures=(Figure("visible", 120.5, 3.25, "sqs"), Figure("oldest_age", None, None, "cloudwatch")),
        sentence="Scaling out to 4: the queue needs 9",
    )


def outcome(number: int, at: float) -> Outcome:
    """What came of it."""
    return Outcome(at, OutcomeStatus.APPLIED, "200")


def test_decisions_come_most_recent_first(world: World, ledger: Ledger) -> None:
    """The last ones of one fleet, whole, with their outcomes."""
    now = world.now()
    for number in range(5):
        ledger.decisions.record_all([(decision(number, now + number), outcome(number, now + number))])
    ledger.decisions.record_all([(decision(9, now + 9, "other"), outcome(9, now + 9))])
    assert [d.id for d, _ in ledger.decisions.decisions(FLEET, 3)] == ["d4", "d3", "d2"]
    assert ledger.decisions.decisions(FLEET, 1) == ((decision(4, now + 4), outcome(4, now + 4)),)
    assert len(ledger.decisions.decisions(FLEET, 100)) == 5


def test_decisions_are_of_a_span_when_asked(world: World, ledger: Ledger) -> None:
    """Both ends of the span belong to it."""
    now = world.now()
    for number in range(5):
        ledger.decisions.record_all([(decision(number, now + number), outcome(number, now + number))])
    assert [d.id for d, _ in ledger.decisions.decisions(FLEET, 10, since=now + 1, until=now + 3)] == ["d3", "d2", "d1"]
    assert [d.id for d, _ in ledger.decisions.decisions(FLEET, 2, until=now + 3)] == ["d3", "d2"]
    assert [d.id for d, _ in ledger.decisions.decisions(FLEET, 10, since=now + 3.001)] == ["d4"]


def test_decision_overwrites_itself_when_recorded_again(world: World, ledger: Ledger) -> None:
    """A repeated record is one record, with the later outcome."""
    now = world.now()
    ledger.decisions.record_all([(decision(1, now), Outcome(now, OutcomeStatus.FAILED, "throttled"))])
    ledger.decisions.record_all([(decision(1, now), outcome(1, now))])
    assert [o.status for _, o in ledger.decisions.decisions(FLEET, 10)] == [OutcomeStatus.APPLIED]
