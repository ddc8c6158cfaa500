"""The Consumers port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.model.consumers import UNNAMED, BootState, Consumer, ConsumerStatus, LastReport
from sluice.model.draining import HookAction
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import FLEET


def consumer(instance_id: str, at: float) -> Consumer:
    """A consumer with every kind of field filled in."""
    return Consumer(
        fleet=FLEET,
        instance_id=instance_id,
        boot=BootState.WORKING,
        updated_at=at,
        launched_at=at - 90.5,
        ready_at=at - 30,
        first_message_at=at - 29,
        hook=HookAction("consumers", "sluice-ready", instance_id, "token"),
        hook_at=at - 80,
        reports=(
            LastReport(UNNAMED, ConsumerStatus.BUSY, at, 3),
            LastReport("worker@1.service", ConsumerStatus.DONE, at - 0.5),
        ),
        protected=True,
    )


def test_consumers_are_kept_at_their_version_and_listed(world: World, ledger: Ledger) -> None:
    """Written like drains, and of one fleet each."""
    now = world.now()
    assert ledger.consumers.consumer(FLEET, "i-1") is None
    first = ledger.consumers.keep_consumer(consumer("i-1", now))
    assert first == replace(consumer("i-1", now), version=1)
    second = ledger.consumers.keep_consumer(replace(first, protected=False))
    with pytest.raises(ConflictError):
        ledger.consumers.keep_consumer(replace(first, reports=()))
    ledger.consumers.keep_consumer(replace(consumer("i-2", now), fleet="other"))
    assert ledger.consumers.consumer(FLEET, "i-1") == second
    assert ledger.consumers.consumers(FLEET) == (second,)


def test_fleets_are_known_that_ever_had_a_consumer_on_record(world: World, ledger: Ledger) -> None:
    """So that the sweep asks for the consumers of those alone."""
    assert ledger.consumers.fleets() == frozenset()
    for instance_id in ("i-1", "i-2"):
        ledger.consumers.keep_consumer(consumer(instance_id, world.now()))
    ledger.consumers.keep_consumer(replace(consumer("i-3", world.now()), fleet="other"))
    assert ledger.consumers.fleets() == {FLEET, "other"}
