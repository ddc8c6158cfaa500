"""The Drains port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.model.draining import (
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    Heartbeats,
    HookAction,
    LifecycleAction,
    Retention,
    SignsOfLife,
    StopCommand,
)
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import AT, FLEET


def drain(instance_id: str = "i-1", state: DrainState = DrainState.STOPPING, at: float = AT) -> Drain:
    """A drain with every field filled in."""
    return Drain(
        fleet=FLEET,
        instance_id=instance_id,
        state=state,
        cause=DrainCause.TERMINATE,
        started_at=at,
        deadline_at=at + 900,
        updated_at=at,
        action=LifecycleAction(HookAction("group", "hook", instance_id, "token"), at, "WarmPool"),
        stop=StopCommand("c-1", at, 1, retry_at=at + 15),
        heartbeats=Heartbeats(at + 1, 2),
        signs=SignsOfLife(at + 2, 3.0),
        retention=Retention(requested=True, since=at + 3),
        outcome=DrainOutcome.COMPLETED,
        note="asked to stop",
    )


def test_drain_is_kept_whole_at_its_version(ledger: Ledger) -> None:
    """A new drain is version 1, and each writing is one more."""
    assert ledger.drains.drain(FLEET, "i-1") is None
    first = ledger.drains.keep_drain(drain())
    assert first == replace(drain(), version=1)
    second = ledger.drains.keep_drain(replace(first, state=DrainState.DONE))
    assert second.version == 2
    assert ledger.drains.drain(FLEET, "i-1") == second


def test_drain_is_refused_when_another_wrote_it_first(ledger: Ledger) -> None:
    """Neither a second first writing nor one on an old version goes through, and the ledger keeps the other's."""
    first = ledger.drains.keep_drain(drain())
    with pytest.raises(ConflictError):
        ledger.drains.keep_drain(drain())
    second = ledger.drains.keep_drain(replace(first, note="theirs"))
    with pytest.raises(ConflictError):
        ledger.drains.keep_drain(replace(first, note="ours"))
    assert ledger.drains.drain(FLEET, "i-1") == second
    with pytest.raises(ConflictError):
        ledger.drains.keep_drain(replace(drain("i-none"), version=4))
    assert ledger.drains.drain(FLEET, "i-none") is None


def test_drains_are_listed_when_released_too(world: World, ledger: Ledger) -> None:
    """Every drain of one fleet on record, and only of that fleet."""
    now = world.now()
    ledger.drains.keep_drain(drain("i-b", at=now))
    ledger.drains.keep_drain(drain("i-a", DrainState.RELEASED, at=now))
    ledger.drains.keep_drain(replace(drain("i-c", at=now), fleet="other"))
    assert [d.instance_id for d in ledger.drains.all_of(FLEET)] == ["i-a", "i-b"]
