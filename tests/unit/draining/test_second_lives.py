"""Missed events, instances that come back, and operators' releases."""

from dataclasses import replace

import pytest

from sluice.draining.events import (
    FoundInService,
    FoundPoolWaiting,
    FoundWaiting,
    HeartbeatAnswered,
    OperatorRelease,
    Terminating,
)
from sluice.draining.state_machine import advance
from sluice.model.draining import (
    CompleteHook,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    SendHeartbeat,
    StopConsumer,
)
from tests.support.drains import (
    HOOK,
    ID,
    NOW,
    OUR_HOOK,
    POLICY,
    a_drain,
)


def test_found_waiting_begins_with_a_heartbeat_when_its_event_was_lost() -> None:
    """How long the hook has waited is unknown, so its timeout is restarted before anything else."""
    step = advance(None, FoundWaiting("orders", OUR_HOOK), POLICY, NOW)
    assert step.actions == (SendHeartbeat(OUR_HOOK), StopConsumer(ID, POLICY.order, 900.0, ask=1))


def test_found_waiting_sends_no_heartbeat_when_the_deadline_has_passed() -> None:
    """A Spot drain joined by a sweep after its deadline expires; it is not prolonged."""
    drain = a_drain(DrainState.STOPPING, action=None, deadline_at=NOW)
    assert advance(drain, FoundWaiting("orders", OUR_HOOK), POLICY, NOW + 1).actions == ()


def test_late_event_changes_nothing_when_the_sweep_has_released() -> None:
    """The sweep found and finished it; the event that was lost arrives after all."""
    drain = a_drain(DrainState.RELEASED, hook=OUR_HOOK, began_at=NOW - 10)
    assert advance(drain, Terminating("orders", HOOK, NOW - 30), POLICY, NOW) == DrainStep(drain)


@pytest.mark.parametrize("state", [DrainState.NOTICED, DrainState.STOPPING, DrainState.DONE, DrainState.EXPIRED])
def test_drain_goes_on_when_its_instance_is_held_before_the_warm_pool(state: DrainState) -> None:
    """Where AWS holds an instance that goes back: it is not gone, its consumer is at work, its heartbeats go on."""
    drain = a_drain(state, destination="WarmPool")
    assert advance(drain, FoundPoolWaiting("orders", OUR_HOOK), POLICY, NOW) == DrainStep(drain)


def test_instance_held_before_the_warm_pool_is_drained_when_our_hook_holds_it() -> None:
    """Its event was lost: a probing heartbeat asks first, since a new instance waits there for a launch hook."""
    probe = advance(None, FoundPoolWaiting("orders", OUR_HOOK), POLICY, NOW)
    assert probe == DrainStep(None, (SendHeartbeat(OUR_HOOK, probe=True),))
    assert advance(None, HeartbeatAnswered(OUR_HOOK, held=False, probe=True, fleet="orders"), POLICY, NOW) == DrainStep(
        None
    )
    begun = advance(None, HeartbeatAnswered(OUR_HOOK, held=True, probe=True, fleet="orders"), POLICY, NOW)
    assert begun.drain is not None
    assert (begun.drain.fleet, begun.drain.state, begun.drain.hook) == ("orders", DrainState.NOTICED, OUR_HOOK)
    assert [type(action) for action in begun.actions] == [SendHeartbeat, StopConsumer]


def test_drain_begins_anew_when_the_instance_came_back_from_a_warm_pool() -> None:
    """Another token, later than the last: the instance has worked since, so nothing known of it holds."""
    drain = a_drain(DrainState.RELEASED, asked_count=4, failed_count=2)
    step = advance(drain, Terminating("orders", replace(HOOK, token="token-2"), NOW), POLICY, NOW + 1)
    assert step.drain is not None
    assert (step.drain.state, step.drain.stop.failed_count, step.drain.outcome) == (DrainState.NOTICED, 0, None)
    assert step.drain.deadline.at == NOW + 901
    assert step.drain.stop.asked_count == 5, "an answer to a stop of the first life must not pass for one of this"


def test_drain_is_over_when_its_instance_is_in_service_again() -> None:
    """Its hook timed out unseen and it came back from a warm pool; a reading lags, so not at once."""
    drain = a_drain(DrainState.STOPPING)
    assert advance(drain, FoundInService(), POLICY, NOW + 49) == DrainStep(drain)
    over = advance(drain, FoundInService(), POLICY, NOW + 50).drain
    assert over is not None
    assert (over.state, over.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)
    spot = a_drain(DrainState.STOPPING, action=None)
    assert advance(spot, FoundInService(), POLICY, NOW + 60) == DrainStep(spot), "no action is known, so none is over"


def test_drain_begins_anew_when_a_later_action_names_itself() -> None:
    """The first was found by a sweep and has no token: what comes later than that is another."""
    found = a_drain(DrainState.STOPPING, hook=OUR_HOOK)
    step = advance(found, Terminating("orders", HOOK, NOW), POLICY, NOW + 1)
    assert step.drain is not None
    assert (step.drain.state, step.drain.hook) == (DrainState.NOTICED, HOOK)
    assert advance(found, Terminating("orders", HOOK, NOW - 20), POLICY, NOW) == DrainStep(found)


def test_released_instance_is_probed_when_it_still_waits() -> None:
    """It may be another hook that holds it: a heartbeat tells whether it is ours, once the reading cannot be old."""
    drain = a_drain(DrainState.RELEASED)
    assert advance(drain, FoundWaiting("orders", OUR_HOOK), POLICY, NOW + 49) == DrainStep(drain)
    probe = advance(drain, FoundWaiting("orders", OUR_HOOK), POLICY, NOW + 50)
    assert probe == DrainStep(drain, (SendHeartbeat(OUR_HOOK, probe=True),))
    assert advance(drain, HeartbeatAnswered(OUR_HOOK, held=False, probe=True), POLICY, NOW + 50) == DrainStep(drain)
    again = advance(drain, HeartbeatAnswered(OUR_HOOK, held=True, probe=True), POLICY, NOW + 50)
    assert again.drain is not None
    assert again.drain.state is DrainState.NOTICED


def test_released_instance_is_probed_at_once_when_a_reading_only_lacked_it() -> None:
    """It was taken for gone and is there again: no time is lost."""
    drain = a_drain(DrainState.RELEASED, outcome=DrainOutcome.GONE)
    assert advance(drain, FoundWaiting("orders", OUR_HOOK), POLICY, NOW).actions == (
        SendHeartbeat(OUR_HOOK, probe=True),
    )


def test_heartbeat_answered_late_does_not_reopen_when_the_drain_was_released() -> None:
    """An ordinary heartbeat that held, answered after the release, is no probe."""
    drain = a_drain(DrainState.RELEASED)
    assert advance(drain, HeartbeatAnswered(HOOK, held=True), POLICY, NOW) == DrainStep(drain)


@pytest.mark.parametrize("state", [DrainState.NOTICED, DrainState.STOPPING])
def test_operators_release_stands_for_the_deadline_when_under_way(state: DrainState) -> None:
    """An operator's request: expired now, completed by instance id, whatever token is on record."""
    step = advance(a_drain(state), OperatorRelease("orders", OUR_HOOK), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.deadline.at) == (DrainState.EXPIRED, NOW)
    assert step.actions == (CompleteHook(OUR_HOOK),)


def test_operators_release_works_when_nothing_is_on_record() -> None:
    """An instance that hangs without a record can be released all the same, and that is recorded."""
    step = advance(None, OperatorRelease("orders", OUR_HOOK), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.cause, step.drain.state) == (DrainCause.OPERATOR, DrainState.EXPIRED)
    assert step.actions == (CompleteHook(OUR_HOOK),)
