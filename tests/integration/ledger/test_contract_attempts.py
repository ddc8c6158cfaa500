"""The Attempts port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import FLEET


def test_attempts_are_remembered(world: World, ledger: Ledger) -> None:
    """For messages that cannot carry the count; none are known of the others."""
    assert ledger.attempts.attempts(FLEET, "key") == 0
    ledger.attempts.keep_attempts(FLEET, "key", 2, world.now())
    ledger.attempts.keep_attempts(FLEET, "key", 3, world.now())
    assert ledger.attempts.attempts(FLEET, "key") == 3
    assert ledger.attempts.attempts("other", "key") == 0


def test_attempts_never_become_fewer(world: World, ledger: Ledger) -> None:
    """A message that is in quarantine twice has two counts: the lower one, sent later, gives it no further retries."""
    ledger.attempts.keep_attempts(FLEET, "key", 5, world.now())
    ledger.attempts.keep_attempts(FLEET, "key", 2, world.now())
    assert ledger.attempts.attempts(FLEET, "key") == 5
