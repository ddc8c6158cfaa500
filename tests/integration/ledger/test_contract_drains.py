"""The Drains port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.model.draining import (
    Deadline,
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
    UnreleasedDrain,
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
        deadline=Deadline(at + 900),
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


def test_unreleased_drains_are_listed_over_all_fleets(ledger: Ledger) -> None:
    """By fleet and instance: those under way, and those kept for inspection with the time from which they are."""
    ledger.drains.keep_drain(drain("i-b"))
    ledger.drains.keep_drain(replace(drain("i-a", DrainState.RETAINED), fleet="other"))
    ledger.drains.keep_drain(drain("i-c", DrainState.RELEASED))
    assert ledger.drains.unreleased() == (
        UnreleasedDrain(FLEET, "i-b"),
        UnreleasedDrain("other", "i-a", retained_since=AT + 3),
    )
    assert [one.instance_id for one in ledger.drains.unreleased_of(FLEET)] == ["i-b"]
    assert ledger.drains.unreleased_of("others") == ()


def test_index_follows_a_drain_through_its_states(ledger: Ledger) -> None:
    """It begins, is retained, is released, and begins again; what did not change is not lost by another write."""
    first = ledger.drains.keep_drain(drain(state=DrainState.NOTICED))
    second = ledger.drains.keep_drain(replace(first, note="a heartbeat"), first)
    assert ledger.drains.unreleased() == (UnreleasedDrain(FLEET, "i-1"),)
    assert ledger.drains.unreleased_of(FLEET) == (second,)
    retained = ledger.drains.keep_drain(replace(second, state=DrainState.RETAINED), second)
    assert ledger.drains.unreleased() == (UnreleasedDrain(FLEET, "i-1", retained_since=AT + 3),)
    released = ledger.drains.keep_drain(replace(retained, state=DrainState.RELEASED), retained)
    assert (ledger.drains.unreleased(), ledger.drains.unreleased_of(FLEET)) == ((), ())
    ledger.drains.keep_drain(replace(released, state=DrainState.NOTICED), released)
    assert ledger.drains.unreleased() == (UnreleasedDrain(FLEET, "i-1"),)


def test_index_is_right_when_the_record_before_is_not_known(ledger: Ledger) -> None:
    """Whoever cannot say what was there writes the index in any case."""
    first = ledger.drains.keep_drain(drain())
    released = ledger.drains.keep_drain(replace(first, state=DrainState.RELEASED))
    assert ledger.drains.unreleased() == ()
    ledger.drains.keep_drain(replace(released, state=DrainState.NOTICED))
    assert ledger.drains.unreleased() == (UnreleasedDrain(FLEET, "i-1"),)


def test_index_stays_as_it_is_when_another_wrote_the_drain_first(ledger: Ledger) -> None:
    """The drain and the index are written together, or neither is."""
    first = ledger.drains.keep_drain(drain())
    theirs = ledger.drains.keep_drain(replace(first, stop=replace(first.stop, command_id="c-2")), first)
    with pytest.raises(ConflictError):
        ledger.drains.keep_drain(replace(first, state=DrainState.RELEASED), first)
    assert ledger.drains.unreleased() == (UnreleasedDrain(FLEET, "i-1"),)
    assert ledger.drains.of_command("c-2", "i-1") == theirs


def test_drain_is_found_by_its_command(ledger: Ledger) -> None:
    """A command of many instances finds the drain of each; one that is over, or was asked for again, finds none."""
    first = ledger.drains.keep_drain(drain("i-1"))
    other = ledger.drains.keep_drain(replace(drain("i-2"), fleet="other"))
    assert ledger.drains.of_command("c-1", "i-1") == first
    assert ledger.drains.of_command("c-1", "i-2") == other
    assert ledger.drains.of_command("c-1", "i-3") is None
    again = ledger.drains.keep_drain(replace(first, stop=replace(first.stop, command_id="c-2")), first)
    assert ledger.drains.of_command("c-1", "i-1") is None
    assert ledger.drains.of_command("c-2", "i-1") == again
    released = ledger.drains.keep_drain(replace(again, state=DrainState.RELEASED), again)
    assert released.stop.command_id == "c-2"
    assert ledger.drains.of_command("c-2", "i-1") is None
