"""The Needs port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.model.need import Need, ReportedNeed
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.needs import NEEDS_KEPT_S
from tests.integration.ledger.samples import AT

ORDERS = Need("TickAge", "orders", AT, 310.5)


def test_last_need_of_a_fleet_and_reason_stays_when_it_was_noted_twice(ledger: Ledger) -> None:
    """They are listed by reason and fleet."""
    later = Need("TickAge", "orders", AT + 60.0, 370.5)
    drain = Need("DrainsExpired", "orders", AT, 1.0)
    mails = Need("TickAge", "mails", AT, 400.0)
    for need in (ORDERS, mails, later, drain):
        ledger.needs.note(need)
    assert ledger.needs.noted() == (drain, mails, later)


def test_need_is_left_out_when_it_was_seen_a_day_ago(ledger: Ledger) -> None:
    """DynamoDB deletes it some days later."""
    ledger.needs.note(Need("TickAge", "orders", AT - NEEDS_KEPT_S, 310.0))
    ledger.needs.note(ORDERS)
    assert ledger.needs.noted() == (ORDERS,)


def test_told_needs_are_those_of_the_last_notice(ledger: Ledger) -> None:
    """None before the first one."""
    assert ledger.needs.reported() == ()
    ledger.needs.keep_reported([ReportedNeed("TickAge", "orders", AT), ReportedNeed("StepAge", "mails", AT - 5.5)])
    assert ledger.needs.reported() == (
        ReportedNeed("TickAge", "orders", AT),
        ReportedNeed("StepAge", "mails", AT - 5.5),
    )
    ledger.needs.keep_reported([])
    assert ledger.needs.reported() == ()
    assert ledger.needs.noted() == ()
