"""Consumers that watch for themselves, and signs of life where silence ends a drain."""

import pytest

from sluice.draining.deadlines import due_at
from sluice.draining.events import (
    CommandReported,
    DrainReported,
    Event,
    InstanceGone,
    MachineEnded,
    MessagesInFlight,
    Terminating,
    Tick,
)
from sluice.draining.state_machine import advance
from sluice.model.draining import (
    CommandStatus,
    CompleteHook,
    DrainOutcome,
    DrainState,
    DrainStep,
    Heartbeats,
    SendHeartbeat,
    SignsOfLife,
    StopConsumer,
)
from tests.support.drains import COMMAND, HOOK, ID, NOW, POLICY, SELF, WATCHED, a_drain, a_policy, changed

# --------------------------------------------------------------------------- the consumer watches for itself


def test_self_drain_asks_nothing_and_completes_only_at_the_deadline() -> None:
    """via=self: the drainer keeps time; it beats until the deadline and completes then, not before."""
    began = advance(None, Terminating("orders", HOOK, NOW), SELF, NOW)
    assert began.drain is not None
    assert (began.drain.state, began.actions) == (DrainState.STOPPING, ())
    assert advance(began.drain, Tick(), SELF, NOW + 45).actions == (SendHeartbeat(HOOK),)
    renewed = changed(began.drain, heartbeats=Heartbeats(NOW + 890))
    assert advance(renewed, Tick(), SELF, NOW + 899).actions == ()
    assert advance(renewed, Tick(), SELF, NOW + 900).actions == (CompleteHook(HOOK),)


def test_self_drain_is_released_when_the_instance_has_gone_on() -> None:
    """The consumer completed the action itself: the sweep sees the instance proceed."""
    drain = a_drain(DrainState.STOPPING, command_id=None)
    step = advance(drain, InstanceGone("Terminating:Proceed"), SELF, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)
    assert "completed the lifecycle hook itself" in step.drain.note


# --------------------------------------------------------------------------- signs of life


def test_silence_ends_a_drain_when_nothing_is_heard_of_it() -> None:
    """Two hours for one that works, five minutes for one of which nothing is heard."""
    drain = a_drain(DrainState.STOPPING, started_at=NOW, began_at=NOW, deadline_at=NOW + 7_200)
    assert due_at(drain, WATCHED) == NOW + 300
    assert advance(drain, Tick(), WATCHED, NOW + 299).drain == drain
    silent = advance(drain, Tick(), WATCHED, NOW + 300)
    assert silent.drain is not None
    assert (silent.drain.state, silent.actions) == (DrainState.EXPIRED, (CompleteHook(HOOK),))
    assert "no sign of life for 5 min" in silent.drain.note


@pytest.mark.parametrize(
    "sign",
    [
        CommandReported(COMMAND, CommandStatus.RUNNING),
        DrainReported(NOW + 250, done=False),
        MessagesInFlight(3),
    ],
)
def test_sign_of_life_prolongs_a_drain_when_silence_would_end_it(sign: Event) -> None:
    """A command that runs, a consumer's own report, messages becoming fewer; never past the deadline."""
    drain = a_drain(
        DrainState.STOPPING, started_at=NOW, began_at=NOW, deadline_at=NOW + 700, signs=SignsOfLife(in_flight=4)
    )
    alive = advance(drain, sign, WATCHED, NOW + 250).drain
    assert alive is not None
    assert due_at(alive, WATCHED) == NOW + 550
    late = advance(alive, CommandReported(COMMAND, CommandStatus.RUNNING), WATCHED, NOW + 500).drain
    assert late is not None
    assert due_at(late, WATCHED) == NOW + 700


def test_sign_of_life_leaves_no_record_when_silence_ends_nothing() -> None:
    """Without a longest silence the deadline alone decides: no write a minute for it."""
    drain = a_drain(DrainState.STOPPING, signs=SignsOfLife(in_flight=4))
    for sign in (
        CommandReported(COMMAND, CommandStatus.RUNNING),
        DrainReported(NOW, done=False),
        MessagesInFlight(3),
    ):
        assert advance(drain, sign, POLICY, NOW) == DrainStep(drain)


def test_messages_in_flight_are_no_sign_when_they_do_not_fall() -> None:
    """More, or as many as before, says nothing."""
    drain = a_drain(DrainState.STOPPING, signs=SignsOfLife(in_flight=4))
    assert advance(drain, MessagesInFlight(4), WATCHED, NOW) == DrainStep(drain)
    more = advance(drain, MessagesInFlight(6), WATCHED, NOW).drain
    assert more is not None
    assert (more.signs.in_flight, more.signs.last_at) == (6, None)


def test_consumer_releases_by_its_own_word_when_it_is_done() -> None:
    """No agent is needed for it; what it said before this action began is of another."""
    drain = a_drain(DrainState.NOTICED)
    step = advance(drain, DrainReported(NOW, done=True), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.actions) == (DrainState.DONE, (CompleteHook(HOOK),))
    assert advance(drain, DrainReported(NOW - 11, done=True), POLICY, NOW) == DrainStep(drain)


def test_instance_is_released_when_its_machine_has_ended() -> None:
    """A crash, or a stop by hand: nothing works on it, so nothing is waited for."""
    step = advance(a_drain(DrainState.NOTICED), MachineEnded(), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.actions) == (DrainState.DONE, (CompleteHook(HOOK),))


def test_stop_has_its_own_time_when_the_fleet_sets_one() -> None:
    """Never more than what is left of the deadline."""
    policy = a_policy(stop_timeout_s=120)
    step = advance(None, Terminating("orders", HOOK, NOW), policy, NOW)
    assert step.actions == (StopConsumer(ID, policy.order, 120.0, ask=1),)
