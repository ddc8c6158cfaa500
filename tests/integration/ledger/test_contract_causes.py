"""The Causes port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import FLEET


def test_cause_is_remembered_when_it_is_told(world: World, ledger: Ledger) -> None:
    """By message, the last one that was told; none of the others."""
    now = world.now()
    ledger.causes.keep_cause(FLEET, "m-1", "KeyError", now)
    ledger.causes.keep_cause(FLEET, "m-1", "KeyError: 'street'", now + 1)
    ledger.causes.keep_cause("other", "m-2", "timeout", now)
    assert ledger.causes.causes(FLEET, ["m-1", "m-2", "m-1"]) == {"m-1": "KeyError: 'street'"}
    assert ledger.causes.causes(FLEET, []) == {}
