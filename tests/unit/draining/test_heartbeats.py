"""Heartbeats: when they are sent, when they end, and what an answer without an action means."""

from sluice.config.fleet import DrainPolicy
from sluice.draining.deadlines import heartbeats_until
from sluice.draining.events import (
    HeartbeatAnswered,
    Tick,
)
from sluice.draining.state_machine import advance
from sluice.model.draining import (
    DrainOutcome,
    DrainState,
    SendHeartbeat,
)
from tests.support.drains import HOOK, NOW, POLICY, a_drain


def test_heartbeat_is_sent_when_due_and_not_before() -> None:
    """Every 45 seconds from the action's start, then from the last one."""
    drain = a_drain(DrainState.STOPPING)  # its action began ten seconds ago
    assert advance(drain, Tick(), POLICY, NOW + 34).actions == ()
    assert advance(drain, Tick(), POLICY, NOW + 35).actions == (SendHeartbeat(HOOK),)
    renewed = advance(drain, HeartbeatAnswered(HOOK, held=True), POLICY, NOW + 35).drain
    assert renewed is not None
    assert renewed.heartbeats.count == 1
    assert advance(renewed, Tick(), POLICY, NOW + 79).actions == ()
    assert advance(renewed, Tick(), POLICY, NOW + 80).actions == (SendHeartbeat(HOOK),)


def test_heartbeats_end_when_the_hundredth_timeout_is_over() -> None:
    """AWS ends the action at 100 timeouts whatever is sent: nothing is sent from then on, deadline or not."""
    policy = DrainPolicy(deadline_s=3_000, hook_timeout_s=30, heartbeat_s=10)
    drain = a_drain(DrainState.STOPPING, started_at=NOW - 100, began_at=NOW - 100, deadline_at=NOW + 2_950)
    assert heartbeats_until(drain, policy) == NOW + 2_900
    assert advance(drain, Tick(), policy, NOW + 2_899).actions == (SendHeartbeat(HOOK),)
    assert advance(drain, Tick(), policy, NOW + 2_900).actions == ()


def test_heartbeats_end_when_48_hours_are_over() -> None:
    """The other ceiling, for long heartbeat timeouts."""
    policy = DrainPolicy(deadline_s=172_800, hook_timeout_s=7_200, heartbeat_s=600)
    drain = a_drain(DrainState.STOPPING, started_at=NOW, began_at=NOW - 60, deadline_at=NOW + 172_800)
    assert heartbeats_until(drain, policy) == NOW - 60 + 172_800


def test_heartbeat_without_an_action_ends_the_drain_when_it_was_over() -> None:
    """The hook was removed by hand, or timed out: there is nothing to release any more."""
    step = advance(a_drain(DrainState.STOPPING), HeartbeatAnswered(HOOK, held=False), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.outcome) == (DrainState.RELEASED, DrainOutcome.LATE)
