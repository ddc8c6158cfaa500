"""The Leases port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.ports.ledger import Ledger
from tests.integration.ledger.samples import AT, FLEET


def test_lease_is_refused_while_another_holds_it(ledger: Ledger) -> None:
    """One planner at a time; another fleet's lease is another's affair."""
    assert ledger.leases.acquire(FLEET, "one", AT + 60, AT)
    assert not ledger.leases.acquire(FLEET, "two", AT + 61, AT + 1)
    assert ledger.leases.acquire("other", "two", AT + 61, AT + 1)


def test_lease_is_renewed_by_its_holder(ledger: Ledger) -> None:
    """The holder may take it again, and then holds it for longer."""
    assert ledger.leases.acquire(FLEET, "one", AT + 60, AT)
    assert ledger.leases.acquire(FLEET, "one", AT + 120, AT + 30)
    assert not ledger.leases.acquire(FLEET, "two", AT + 130, AT + 70)


def test_lease_is_free_when_its_time_is_over(ledger: Ledger) -> None:
    """A planner that died holds nothing for longer than it said."""
    assert ledger.leases.acquire(FLEET, "one", AT + 60, AT)
    assert ledger.leases.acquire(FLEET, "two", AT + 120, AT + 60)
    assert not ledger.leases.acquire(FLEET, "one", AT + 130, AT + 61)


def test_lease_is_free_when_given_back(ledger: Ledger) -> None:
    """Only the holder can give it back; what is not ours stays."""
    assert ledger.leases.acquire(FLEET, "one", AT + 60, AT)
    ledger.leases.release(FLEET, "two")
    assert not ledger.leases.acquire(FLEET, "two", AT + 60, AT + 1)
    ledger.leases.release(FLEET, "one")
    ledger.leases.release(FLEET, "one")
    assert ledger.leases.acquire(FLEET, "two", AT + 60, AT + 2)
