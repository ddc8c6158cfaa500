"""Instances that are kept for inspection."""

import pytest

from sluice.draining.events import (
    CompletionAnswered,
    FoundRetained,
    InstanceGone,
    OperatorRelease,
    TerminationAnswered,
    Tick,
)
from sluice.draining.state_machine import StateOrNone, advance
from sluice.model.draining import (
    CompleteHook,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    HookResult,
    Retention,
    TerminateInstance,
)
from tests.support.drains import HOOK, ID, KEEPS, NOW, OUR_HOOK, POLICY, a_drain


def test_failed_drain_is_kept_when_the_group_allows_it() -> None:
    """Past its deadline the action is abandoned; the group keeps the instance until an operator releases it."""
    drain = a_drain(DrainState.STOPPING, deadline_at=NOW)
    expired = advance(drain, Tick(retains=True), KEEPS, NOW)
    assert expired.drain is not None
    assert (expired.drain.state, expired.drain.retention.requested) == (DrainState.EXPIRED, True)
    assert expired.actions == (CompleteHook(HOOK, HookResult.ABANDON),)
    kept = advance(expired.drain, CompletionAnswered(HOOK, active=True), KEEPS, NOW + 1).drain
    assert kept is not None
    assert (kept.state, kept.retention.since) == (DrainState.RETAINED, NOW + 1)
    assert advance(kept, Tick(), KEEPS, NOW + 86_400) == DrainStep(kept)
    released = advance(kept, OperatorRelease("orders", OUR_HOOK), KEEPS, NOW + 90_000)
    assert released.actions == (TerminateInstance("consumers", ID),)
    ending = advance(released.drain, TerminationAnswered(found=True), KEEPS, NOW + 90_001).drain
    gone = advance(ending, InstanceGone(None), KEEPS, NOW + 90_060).drain
    assert gone is not None
    assert (gone.state, gone.outcome) == (DrainState.RELEASED, DrainOutcome.TERMINATED)


def test_failed_drain_is_released_when_the_group_keeps_nothing() -> None:
    """ABANDON would only cut other hooks short there; and while the group cannot be read, a minute is waited."""
    drain = a_drain(DrainState.STOPPING, deadline_at=NOW)
    assert advance(drain, Tick(retains=False), KEEPS, NOW).actions == (CompleteHook(HOOK),)
    assert advance(drain, Tick(), KEEPS, NOW + 59) == DrainStep(drain)
    assert advance(drain, Tick(), KEEPS, NOW + 60).actions == (CompleteHook(HOOK),)


def test_failed_drain_is_released_when_spot_takes_it() -> None:
    """There is nothing to keep."""
    drain = a_drain(DrainState.STOPPING, cause=DrainCause.SPOT, deadline_at=NOW)
    assert advance(drain, Tick(retains=True), KEEPS, NOW).actions == (CompleteHook(HOOK),)


@pytest.mark.parametrize("place", [None, DrainState.STOPPING, DrainState.EXPIRED, DrainState.RELEASED])
def test_retained_instance_is_on_record_when_another_abandoned_it(place: StateOrNone) -> None:
    """Whoever did it: what costs money must not be forgotten."""
    drain = a_drain(place, updated_at=NOW - 100) if place else None
    kept = advance(drain, FoundRetained("orders", OUR_HOOK), POLICY, NOW).drain
    assert kept is not None
    assert kept.state is DrainState.RETAINED


def test_retained_instance_is_terminated_again_when_it_is_released_again() -> None:
    """The operator function alone may terminate: a tick asks for nothing, and a second release repeats the first."""
    kept = a_drain(DrainState.RETAINED, retention=Retention(since=NOW - 60))
    release = OperatorRelease("orders", OUR_HOOK)
    ending = advance(kept, release, POLICY, NOW)
    assert ending.actions == (TerminateInstance("consumers", ID),)
    assert advance(ending.drain, Tick(), POLICY, NOW + 600).actions == ()
    assert advance(ending.drain, release, POLICY, NOW + 600).actions == (TerminateInstance("consumers", ID),)
    over = advance(ending.drain, TerminationAnswered(found=False), POLICY, NOW + 120).drain
    assert over is not None
    assert over.state is DrainState.RELEASED
