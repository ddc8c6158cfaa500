"""Asking a consumer to stop: the commands, what is unknown, and what a crash leaves."""

from dataclasses import replace

import pytest

from sluice.config.fleet import DrainPolicy
from sluice.draining.events import (
    CommandReported,
    CompletionAnswered,
    DrainReported,
    EventKind,
    StopNotAccepted,
    StopSent,
    Terminating,
    Tick,
)
from sluice.draining.observations import Observation, events_for
from sluice.draining.state_machine import advance, kind_of
from sluice.draining.stop_command import BEGIN_WITHIN_S
from sluice.model.draining import (
    CommandStatus,
    CompleteHook,
    DrainOutcome,
    DrainState,
    DrainStep,
    Heartbeats,
    StopConsumer,
)
from tests.support.drains import (
    COMMAND,
    HOOK,
    ID,
    NOW,
    POLICY,
    SELF,
    a_drain,
    a_policy,
    changed,
)

# --------------------------------------------------------------------------- a termination, asked for by Run Command


def test_terminating_asks_for_the_stop_when_none_is_on_record() -> None:
    """10:00 the group wants an instance gone: noticed, its consumer to be asked, until the deadline at most."""
    step = advance(None, Terminating("orders", HOOK, NOW - 2, "EC2"), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.deadline.at, step.drain.hook) == (DrainState.NOTICED, NOW + 900, HOOK)
    assert step.actions == (StopConsumer(ID, POLICY.order, 900.0, ask=1),)


def test_terminating_to_a_warm_pool_drains_all_the_same() -> None:
    """An instance that will come back is drained like one that will not."""
    step = advance(None, Terminating("orders", HOOK, NOW, "WarmPool"), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.action.destination == "WarmPool"
    assert isinstance(step.actions[0], StopConsumer)


def test_terminating_changes_nothing_when_it_comes_twice() -> None:
    """The same event again finds the drain under way, whatever its state."""
    for state in DrainState:
        drain = a_drain(state)
        assert advance(drain, Terminating("orders", HOOK, NOW - 10), POLICY, NOW) == DrainStep(drain)


def test_success_releases_when_the_command_is_the_drains_own() -> None:
    """10:02 systemctl stop has returned: done, and the action is to be completed with CONTINUE."""
    step = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.SUCCEEDED), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.state is DrainState.DONE
    assert step.actions == (CompleteHook(HOOK),)


def test_success_is_asked_for_again_when_the_action_may_have_lapsed() -> None:
    """Nobody was there for longer than the hook holds: the instance may have gone to a warm pool and come back."""
    drain = a_drain(DrainState.STOPPING, heartbeats=Heartbeats(NOW))
    step = advance(drain, CommandReported(COMMAND, CommandStatus.SUCCEEDED), POLICY, NOW + 121)
    assert step.drain is not None
    assert step.drain.state is DrainState.STOPPING
    assert step.actions == (StopConsumer(ID, POLICY.order, 769.0, ask=2),)
    assert advance(drain, DrainReported(NOW + 5, done=True), POLICY, NOW + 121) == DrainStep(drain)
    assert advance(drain, CommandReported(COMMAND, CommandStatus.SUCCEEDED), POLICY, NOW + 120).actions == (
        CompleteHook(HOOK),
    )


def test_success_is_asked_for_again_once_when_it_is_reported_twice_and_the_action_may_have_lapsed() -> None:
    """EventBridge delivers at least once: the stop that is under way then is the new one, whose answer counts."""
    reported = CommandReported(COMMAND, CommandStatus.SUCCEEDED)
    asked = advance(a_drain(DrainState.STOPPING, heartbeats=Heartbeats(NOW)), reported, POLICY, NOW + 121)
    assert asked.drain is not None
    assert advance(asked.drain, reported, POLICY, NOW + 122) == DrainStep(asked.drain)
    refused = advance(asked.drain, StopNotAccepted(2, "no agent"), POLICY, NOW + 122).drain
    assert refused is not None
    assert (refused.stop.unanswered_count, refused.stop.retry_at) == (1, NOW + 132)


def test_success_asks_for_nothing_when_consumers_watch_for_themselves_by_now() -> None:
    """The fleet's document was changed while the stop was under way: no further one is sent."""
    reported = CommandReported(COMMAND, CommandStatus.SUCCEEDED)
    step = advance(a_drain(DrainState.STOPPING, heartbeats=Heartbeats(NOW)), reported, SELF, NOW + 121)
    assert step.drain is not None
    assert (step.drain.state, step.drain.stop.command_id, step.actions) == (DrainState.STOPPING, None, ())


def test_success_is_ignored_when_the_command_is_another() -> None:
    """Somebody patched the instance by Run Command: that says nothing of the consumer."""
    drain = a_drain(DrainState.STOPPING)
    assert advance(drain, CommandReported("another", CommandStatus.SUCCEEDED), POLICY, NOW) == DrainStep(drain)


@pytest.mark.parametrize("active", [True, False])
def test_completion_releases_when_late_or_repeated_too(active: bool) -> None:
    """No active lifecycle action is a success: somebody was faster."""
    step = advance(a_drain(DrainState.DONE), CompletionAnswered(HOOK, active), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.state is DrainState.RELEASED
    assert step.drain.outcome is (DrainOutcome.COMPLETED if active else DrainOutcome.LATE)


def test_completion_of_an_earlier_action_is_ignored_when_the_record_names_another() -> None:
    """A late answer to the first life's completion does not release the second."""
    drain = a_drain(DrainState.DONE, hook=replace(HOOK, token="token-2"))
    assert advance(drain, CompletionAnswered(HOOK, active=False), POLICY, NOW) == DrainStep(drain)


# --------------------------------------------------------------------------- unknown is not dead


def test_command_is_waited_for_when_it_may_still_begin() -> None:
    """Run Command lets a stop begin within 30 s: until then, and until its answer can be read, nothing changes."""
    drain = a_drain(DrainState.STOPPING, asked_at=NOW)
    reported = CommandReported(COMMAND, CommandStatus.PENDING)
    assert advance(drain, reported, POLICY, NOW + BEGIN_WITHIN_S - 1) == DrainStep(drain)


def test_command_is_unknown_and_asked_again_when_it_has_not_begun() -> None:
    """Run Command itself says so only when both its timeouts are over, which may be the whole deadline later."""
    drain = a_drain(DrainState.STOPPING, asked_at=NOW)
    step = advance(drain, CommandReported(COMMAND, CommandStatus.PENDING), POLICY, NOW + BEGIN_WITHIN_S)
    assert step.drain is not None
    assert (step.drain.state, step.drain.stop.command_id) == (DrainState.STOPPING, None)
    assert step.drain.stop.retry_at == NOW + BEGIN_WITHIN_S + 10
    assert "did not begin the stop within 35 s" in step.drain.note
    late = CommandReported("another", CommandStatus.PENDING)
    assert advance(drain, late, POLICY, NOW + 500) == DrainStep(drain)


def test_stop_is_asked_for_again_and_again_when_the_agent_is_dead() -> None:
    """With AWS's rules a dead agent answers nothing until the deadline: eight stops are asked for, not one."""
    policy = a_policy(deadline_s=900)
    drain, now = a_drain(DrainState.STOPPING, asked_at=NOW, deadline_at=NOW + 900), NOW
    while now < NOW + 900:
        now += 10
        for event in (CommandReported(drain.stop.command_id or "", CommandStatus.PENDING), Tick()):
            step = advance(drain, event, policy, now)
            assert step.drain is not None
            drain = step.drain
            for stop in step.actions:
                if isinstance(stop, StopConsumer):
                    sent = advance(drain, StopSent(stop.ask, f"command-{stop.ask}"), policy, now).drain
                    assert sent is not None
                    drain = sent
    assert drain.stop.asked_count == 8


def test_drain_ends_when_nothing_but_a_command_in_progress_is_heard_of() -> None:
    """With a longest silence of 300 s, a command that stays in progress on a dead agent holds nothing for ten hours."""
    policy = a_policy(deadline_s=36_000, longest_s=36_000, silence_s=300, hook_timeout_s=600)
    drain = a_drain(DrainState.STOPPING, started_at=NOW, deadline_at=NOW + 36_000, asked_at=NOW)
    look = Observation(commands={COMMAND: {ID: CommandStatus.RUNNING}})
    for event in events_for(drain, None, look):
        step = advance(drain, event, policy, NOW + 250)
        assert step.drain is not None
        drain = step.drain
    assert kind_of(drain, Tick(), policy, NOW + 301) is EventKind.DEADLINE
    alive = replace(look, online=frozenset({ID}))
    (event,) = events_for(drain, None, alive)
    held = advance(drain, event, policy, NOW + 250).drain
    assert held is not None
    assert kind_of(held, Tick(), policy, NOW + 301) is EventKind.TICK


def test_drain_is_done_and_says_so_when_its_consumer_was_killed() -> None:
    """Waiting longer mends nothing; what it was at comes again, and the note tells why."""
    step = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.KILLED), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.state is DrainState.DONE
    assert step.drain.note == (
        "unit consumer.service was killed before it had finished: it did not stop within its own stop timeout"
    )


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (POLICY, "the instance has no unit consumer.service, so nothing was stopped (set DrainUnit to what runs"),
        (
            DrainPolicy(container="worker"),
            "the instance has no container worker, so nothing was stopped (set drain.container to what runs",
        ),
    ],
)
def test_drain_waits_and_names_what_is_missing_when_there_is_no_such_unit(policy: DrainPolicy, said: str) -> None:
    """The consumer may run under another name: it is not ended, asked again once, and the note names the setting."""
    first = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.MISSING), policy, NOW).drain
    assert first is not None
    assert first.note.startswith(said)
    assert first.note.endswith("asking again in 10 s")
    second = advance(
        changed(first, command_id=COMMAND, retry_at=None),
        CommandReported(COMMAND, CommandStatus.MISSING),
        policy,
        NOW + 20,
    ).drain
    assert second is not None
    assert (second.state, second.stop.command_id, second.stop.retry_at) == (DrainState.STOPPING, None, None)
    assert second.note.endswith("waiting for the drain's deadline")


def test_unknown_command_is_asked_again_with_growing_pauses() -> None:
    """Undeliverable, cancelled or timed out: the stop is sent again after 10, 20, 40, 80, 120, 120 seconds."""
    drain, pauses, now = a_drain(DrainState.STOPPING), [], NOW
    for _ in range(6):
        unknown = advance(drain, CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, now).drain
        assert unknown is not None
        assert unknown.stop.retry_at is not None
        assert unknown.state is DrainState.STOPPING
        pauses.append(unknown.stop.retry_at - now)
        now = unknown.stop.retry_at
        if now >= unknown.deadline.at:
            break
        step = advance(unknown, Tick(), a_policy(heartbeat_s=60), now)
        stops = [action for action in step.actions if isinstance(action, StopConsumer)]
        assert step.drain is not None
        assert [stop.ask for stop in stops] == [step.drain.stop.asked_count]
        again = advance(step.drain, StopSent(step.drain.stop.asked_count, COMMAND), POLICY, now).drain
        assert again is not None
        drain = again
    assert pauses == [10, 20, 40, 80, 120, 120]


def test_doubled_unknown_counts_once_when_the_command_ended() -> None:
    """The second copy of the same status event finds no command on record: the pause does not grow by it."""
    once = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, NOW).drain
    assert advance(once, CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, NOW + 1) == DrainStep(once)


def test_refused_stop_keeps_the_drain_noticed_when_there_is_no_agent() -> None:
    """SendCommand refuses an instance without an agent: unknown, asked again later."""
    noticed = a_drain(DrainState.NOTICED, retry_at=NOW + 15)
    step = advance(noticed, StopNotAccepted(1, "InvalidInstanceId"), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.stop.retry_at) == (DrainState.NOTICED, NOW + 10)
    assert "InvalidInstanceId" in step.drain.note


def test_answer_to_an_earlier_stop_is_ignored_when_another_was_asked_since() -> None:
    """Two invocations asked: only the last one's command is followed."""
    drain = a_drain(DrainState.NOTICED, asked_count=2)
    assert advance(drain, StopSent(1, COMMAND), POLICY, NOW) == DrainStep(drain)
    assert advance(drain, StopNotAccepted(1, "throttled"), POLICY, NOW) == DrainStep(drain)


def test_failed_command_is_asked_once_more_and_then_waits_for_the_deadline() -> None:
    """A unit that fails to stop is not done: one retry, then only the deadline ends it."""
    first = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.FAILED), POLICY, NOW).drain
    assert first is not None
    assert (first.state, first.stop.retry_at) == (DrainState.STOPPING, NOW + 10)
    asked = changed(first, command_id=COMMAND, retry_at=None)
    second = advance(asked, CommandReported(COMMAND, CommandStatus.FAILED), POLICY, NOW + 20).drain
    assert second is not None
    assert (second.state, second.stop.retry_at) == (DrainState.STOPPING, None)
    before = advance(second, Tick(), POLICY, NOW + 889)
    assert not any(isinstance(action, StopConsumer) for action in before.actions)
    after = advance(second, Tick(), POLICY, NOW + 890)
    assert after.drain is not None
    assert after.drain.state is DrainState.EXPIRED
    assert after.actions == (CompleteHook(HOOK),)


# --------------------------------------------------------------------------- crashes


def test_intent_without_effect_is_taken_up_when_its_grace_is_over() -> None:
    """The drainer died between record and SendCommand: fifteen seconds later a tick asks in its place."""
    step = advance(None, Terminating("orders", HOOK, NOW), POLICY, NOW)
    assert not advance(step.drain, Tick(), POLICY, NOW + 14).actions
    again = advance(step.drain, Tick(), POLICY, NOW + 15)
    assert again.actions == (StopConsumer(ID, POLICY.order, 885.0, ask=2),)


@pytest.mark.parametrize("state", [DrainState.DONE, DrainState.EXPIRED])
def test_owed_release_is_repeated_when_nobody_answered(state: DrainState) -> None:
    """The drainer died before or after completing: each tick completes again until an answer is on record."""
    drain = a_drain(state)
    assert advance(drain, Tick(), POLICY, NOW) == DrainStep(drain, (CompleteHook(HOOK),))
