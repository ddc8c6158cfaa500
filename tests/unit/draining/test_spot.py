"""Spot interruptions: two minutes, with or without a lifecycle action."""

import pytest

from sluice.draining.events import (
    SpotInterruption,
    Terminating,
    Tick,
)
from sluice.draining.state_machine import advance
from sluice.model.draining import (
    CompleteHook,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    StopConsumer,
)
from tests.support.drains import HOOK, ID, NOW, POLICY, a_drain


def test_spot_drains_at_once_when_no_hook_holds_the_instance() -> None:
    """EC2's two minutes count from the notice, not from when we hear of it."""
    step = advance(None, SpotInterruption("orders", ID, NOW - 20), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.cause, step.drain.deadline.at, step.drain.hook) == (DrainCause.SPOT, NOW + 100, None)
    assert step.actions == (StopConsumer(ID, POLICY.order, 100.0, ask=1),)


def test_spot_asks_for_thirty_seconds_at_least_when_the_notice_is_old() -> None:
    """SendCommand refuses a timeout below thirty seconds."""
    step = advance(None, SpotInterruption("orders", ID, NOW - 110), POLICY, NOW)
    assert step.actions == (StopConsumer(ID, POLICY.order, 30.0, ask=1),)


def test_hook_joins_when_the_spot_drain_is_under_way() -> None:
    """The group's event comes after the notice: same drain, same deadline, now with an action to complete."""
    spot = advance(None, SpotInterruption("orders", ID, NOW), POLICY, NOW).drain
    joined = advance(spot, Terminating("orders", HOOK, NOW + 30), POLICY, NOW + 31)
    assert joined.drain is not None
    assert spot is not None
    assert (joined.drain.hook, joined.drain.deadline.at) == (HOOK, spot.deadline.at)
    assert joined.actions == ()


@pytest.mark.parametrize("state", [DrainState.DONE, DrainState.EXPIRED])
def test_hook_releases_at_once_when_the_spot_drain_is_over(state: DrainState) -> None:
    """The consumer has stopped (or its two minutes are over) before the group speaks up: release."""
    drain = a_drain(state, action=None, cause=DrainCause.SPOT)
    step = advance(drain, Terminating("orders", HOOK, NOW), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.state is state
    assert step.actions == (CompleteHook(HOOK),)


def test_hook_begins_anew_when_the_spot_drain_was_over_long_ago() -> None:
    """The interrupted instance was only stopped, and works again: what was done then says nothing now."""
    drain = a_drain(DrainState.DONE, action=None, cause=DrainCause.SPOT)
    step = advance(drain, Terminating("orders", HOOK, NOW + 400), POLICY, NOW + 400)
    assert step.drain is not None
    assert step.drain.state is DrainState.NOTICED
    assert isinstance(step.actions[0], StopConsumer)


def test_spot_brings_the_deadline_nearer_and_never_back() -> None:
    """A notice during a drain leaves two minutes; one during the last two changes nothing."""
    hurried = advance(a_drain(DrainState.STOPPING), SpotInterruption("orders", ID, NOW), POLICY, NOW).drain
    assert hurried is not None
    assert hurried.deadline.at == NOW + 120
    short = a_drain(DrainState.STOPPING, deadline_at=NOW + 50)
    assert advance(short, SpotInterruption("orders", ID, NOW), POLICY, NOW) == DrainStep(short)


def test_spot_drain_without_an_action_is_closed_when_an_hour_has_passed() -> None:
    """No action ever came and the instance stays: kept on record for an hour after the deadline, then closed."""
    drain = a_drain(DrainState.DONE, action=None)
    assert advance(drain, Tick(), POLICY, drain.deadline.at + 3_599) == DrainStep(drain)
    closed = advance(drain, Tick(), POLICY, drain.deadline.at + 3_600).drain
    assert closed is not None
    assert (closed.state, closed.outcome) == (DrainState.RELEASED, DrainOutcome.CLOSED)
