"""The drain's table: every pair of state and event, and the moves read like a day at the group."""

from dataclasses import replace

import pytest

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.draining import state_machine as draining
from sluice.draining.events import (
    CommandReported,
    CompletionAnswered,
    ConsumerReported,
    Event,
    EventKind,
    FoundInService,
    FoundPoolWaiting,
    FoundRetained,
    FoundWaiting,
    HeartbeatAnswered,
    InstanceGone,
    MachineEnded,
    MessagesInFlight,
    OperatorRelease,
    SpotInterruption,
    StopNotAccepted,
    StopSent,
    Terminating,
    TerminationAnswered,
    Tick,
    event_for_state,
)
from sluice.draining.observations import Observation, events_for
from sluice.draining.state_machine import BEGIN_WITHIN_S, TABLE, Place, advance, kind_of
from sluice.model.draining import (
    CommandStatus,
    CompleteHook,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    DrainStep,
    HookAction,
    HookResult,
    SendHeartbeat,
    StopConsumer,
    TerminateInstance,
)
from tools import drawing

NOW = 1_000_000.0
ID = "i-0c0ffee1234567890"
POLICY = DrainPolicy(deadline_s=900, hook_timeout_s=120, heartbeat_s=45)
WATCHED = DrainPolicy(deadline_s=7_200, silence_s=300, hook_timeout_s=120, heartbeat_s=45)
KEEPS = DrainPolicy(deadline_s=900, hook_timeout_s=120, heartbeat_s=45, keep_failed=True)
SELF = DrainPolicy(via=DrainVia.SELF, deadline_s=900, hook_timeout_s=120, heartbeat_s=45)
HOOK = HookAction("consumers", "sluice-drain", ID, "token-1")
OUR_HOOK = HookAction("consumers", "sluice-drain", ID)
COMMAND = "e8d3c0e4-71f7-4491-898f-c9b35bee5f3b"


def a_drain(state: DrainState, **changes: object) -> Drain:
    """A drain in that state, as a terminating event began it ten seconds ago."""
    drain = Drain(
        fleet="orders",
        instance_id=ID,
        state=state,
        cause=DrainCause.TERMINATE,
        started_at=NOW - 10,
        deadline_at=NOW + 890,
        updated_at=NOW - 10,
        hook=HOOK,
        hook_at=NOW - 10,
        asked_at=NOW - 10,
        asked_count=1,
        command_id=COMMAND if state is DrainState.STOPPING else None,
        version=3,
        outcome=DrainOutcome.COMPLETED if state is DrainState.RELEASED else None,
    )
    return replace(drain, **changes)  # type: ignore[arg-type]


EVENTS: tuple[Event, ...] = (
    Terminating("orders", HOOK, NOW - 10),
    Terminating("orders", replace(HOOK, token="token-2"), NOW, "WarmPool"),
    SpotInterruption("orders", ID, NOW - 1),
    FoundWaiting("orders", OUR_HOOK),
    FoundPoolWaiting("orders", OUR_HOOK),
    InstanceGone(None),
    InstanceGone("Terminating:Proceed"),
    MachineEnded(),
    FoundRetained("orders", OUR_HOOK),
    FoundInService(),
    *(ConsumerReported(at, done) for at in (NOW - 600, NOW) for done in (True, False)),
    *(MessagesInFlight(count) for count in (0, 7)),
    *(TerminationAnswered(found) for found in (True, False)),
    StopSent(1, COMMAND),
    StopSent(7, "another"),
    StopNotAccepted(1, "no agent"),
    *(CommandReported(COMMAND, status) for status in CommandStatus),
    *(CommandReported("another", status) for status in CommandStatus),
    *(HeartbeatAnswered(HOOK, held, probe, "orders") for held in (True, False) for probe in (True, False)),
    *(CompletionAnswered(HOOK, active) for active in (True, False)),
    *(Tick(retains) for retains in (None, True, False)),
    OperatorRelease("orders", OUR_HOOK),
)
PLACES: tuple[Place, ...] = (None, *DrainState)
TIMES = (NOW, NOW + 60, NOW + 5_000)


def drains_at(place: Place) -> tuple[Drain | None, ...]:
    """Drains of a state in several conditions."""
    if place is None:
        return (None,)
    return (
        a_drain(place),
        a_drain(place, hook=None, hook_at=None),
        a_drain(place, hook=OUR_HOOK, command_id=None, retry_at=NOW - 1),
        a_drain(place, outcome=DrainOutcome.GONE),
        a_drain(place, keeping=True, in_flight=7, alive_at=NOW - 5),
    )


POLICIES = (POLICY, SELF, WATCHED, KEEPS)


PAIRS = [pytest.param(place, event, id=f"{place}-{event.kind.name}") for place in PLACES for event in EVENTS]


def test_table_covers_every_kind_when_listed() -> None:
    """The cases below hold at least one event of each kind, so that no row goes untried."""
    tried = {
        kind_of(drain, event, policy, now)
        for policy in POLICIES
        for place in PLACES
        for drain in drains_at(place)
        for event in EVENTS
        for now in TIMES
    }
    assert tried == set(EventKind)


@pytest.mark.parametrize(("place", "event"), PAIRS)
def test_advance_keeps_to_the_table_when_any_event_comes(place: Place, event: Event) -> None:
    """A row leads where it says or leaves the drain where it is; no row changes nothing at all."""
    for drain in drains_at(place):
        for now in TIMES:
            for policy in POLICIES:
                transition = TABLE.get((place, kind_of(drain, event, policy, now)))
                step = advance(drain, event, policy, now)
                if transition is None:
                    assert step == DrainStep(drain)
                    continue
                after = step.drain.state if step.drain else None
                assert after == place or after in transition.to
                if step.drain is not None:
                    assert step.drain.version == (drain.version if drain else 0), "only the ledger raises it"


def test_every_target_is_reached_when_all_cases_are_played() -> None:
    """What a row says it can lead to, it does lead to: the diagram shows no arrow that never happens."""
    reached: dict[tuple[Place, EventKind], set[Place]] = {key: set() for key in TABLE}
    for place in PLACES:
        for drain in drains_at(place):
            for event in EVENTS:
                for now in TIMES:
                    for policy in POLICIES:
                        key = (place, kind_of(drain, event, policy, now))
                        after = advance(drain, event, policy, now).drain
                        if key in reached and after is not None:
                            reached[key].add(after.state)
    missing = {key: row.to - reached[key] - {key[0]} for key, row in TABLE.items()}
    assert {key: states for key, states in missing.items() if states} == {}


# --------------------------------------------------------------------------- a termination, asked for by Run Command


def test_terminating_asks_for_the_stop_when_none_is_on_record() -> None:
    """10:00 the group wants an instance gone: noticed, its consumer to be asked, until the deadline at most."""
    step = advance(None, Terminating("orders", HOOK, NOW - 2, "EC2"), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.deadline_at, step.drain.hook) == (DrainState.NOTICED, NOW + 900, HOOK)
    assert step.actions == (StopConsumer(ID, POLICY.order, 900.0, ask=1),)


def test_terminating_to_a_warm_pool_drains_all_the_same() -> None:
    """An instance that will come back is drained like one that will not."""
    step = advance(None, Terminating("orders", HOOK, NOW, "WarmPool"), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.destination == "WarmPool"
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
    drain = a_drain(DrainState.STOPPING, heartbeat_at=NOW)
    step = advance(drain, CommandReported(COMMAND, CommandStatus.SUCCEEDED), POLICY, NOW + 121)
    assert step.drain is not None
    assert step.drain.state is DrainState.STOPPING
    assert step.actions == (StopConsumer(ID, POLICY.order, 769.0, ask=2),)
    assert advance(drain, ConsumerReported(NOW + 5, done=True), POLICY, NOW + 121) == DrainStep(drain)
    assert advance(drain, CommandReported(COMMAND, CommandStatus.SUCCEEDED), POLICY, NOW + 120).actions == (
        CompleteHook(HOOK),
    )


def test_success_is_asked_for_again_once_when_it_is_told_twice_and_the_action_may_have_lapsed() -> None:
    """EventBridge delivers at least once: the stop that is under way then is the new one, whose answer counts."""
    told = CommandReported(COMMAND, CommandStatus.SUCCEEDED)
    asked = advance(a_drain(DrainState.STOPPING, heartbeat_at=NOW), told, POLICY, NOW + 121)
    assert asked.drain is not None
    assert advance(asked.drain, told, POLICY, NOW + 122) == DrainStep(asked.drain)
    refused = advance(asked.drain, StopNotAccepted(2, "no agent"), POLICY, NOW + 122).drain
    assert refused is not None
    assert (refused.unanswered_count, refused.retry_at) == (1, NOW + 132)


def test_success_asks_for_nothing_when_consumers_watch_for_themselves_by_now() -> None:
    """The fleet's document was changed while the stop was under way: no further one is sent."""
    told = CommandReported(COMMAND, CommandStatus.SUCCEEDED)
    step = advance(a_drain(DrainState.STOPPING, heartbeat_at=NOW), told, SELF, NOW + 121)
    assert step.drain is not None
    assert (step.drain.state, step.drain.command_id, step.actions) == (DrainState.STOPPING, None, ())


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
    told = CommandReported(COMMAND, CommandStatus.PENDING)
    assert advance(drain, told, POLICY, NOW + BEGIN_WITHIN_S - 1) == DrainStep(drain)


def test_command_is_unknown_and_asked_again_when_it_has_not_begun() -> None:
    """Run Command itself says so only when both its timeouts are over, which may be the whole deadline later."""
    drain = a_drain(DrainState.STOPPING, asked_at=NOW)
    step = advance(drain, CommandReported(COMMAND, CommandStatus.PENDING), POLICY, NOW + BEGIN_WITHIN_S)
    assert step.drain is not None
    assert (step.drain.state, step.drain.command_id) == (DrainState.STOPPING, None)
    assert step.drain.retry_at == NOW + BEGIN_WITHIN_S + 10
    assert "did not begin the stop within 35 s" in step.drain.note
    late = CommandReported("another", CommandStatus.PENDING)
    assert advance(drain, late, POLICY, NOW + 500) == DrainStep(drain)


def test_stop_is_asked_for_again_and_again_when_the_agent_is_dead() -> None:
    """With AWS's rules a dead agent answers nothing until the deadline: eight stops are asked for, not one."""
    policy = replace_policy(deadline_s=900)
    drain, now = a_drain(DrainState.STOPPING, asked_at=NOW, deadline_at=NOW + 900), NOW
    while now < NOW + 900:
        now += 10
        for event in (CommandReported(drain.command_id or "", CommandStatus.PENDING), Tick()):
            step = advance(drain, event, policy, now)
            assert step.drain is not None
            drain = step.drain
            for stop in step.actions:
                if isinstance(stop, StopConsumer):
                    sent = advance(drain, StopSent(stop.ask, f"command-{stop.ask}"), policy, now).drain
                    assert sent is not None
                    drain = sent
    assert drain.asked_count == 8


def test_drain_ends_when_nothing_but_a_command_in_progress_is_heard_of() -> None:
    """With a longest silence of 300 s, a command that stays in progress on a dead agent holds nothing for ten hours."""
    policy = replace_policy(deadline_s=36_000, silence_s=300, hook_timeout_s=600)
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
        (POLICY, "the instance has no unit consumer.service, so nothing could stop (set DrainUnit to what runs"),
        (
            DrainPolicy(container="worker"),
            "the instance has no container worker, so nothing could stop (set drain.container to what runs",
        ),
    ],
)
def test_drain_waits_and_names_what_is_missing_when_there_is_no_such_unit(policy: DrainPolicy, said: str) -> None:
    """The consumer may run under another name: it is not ended, asked again once, and the note names the setting."""
    first = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.MISSING), policy, NOW).drain
    assert first is not None
    assert first.note.startswith(said)
    assert first.note.endswith("asked again soon")
    second = advance(
        replace(first, command_id=COMMAND, retry_at=None),
        CommandReported(COMMAND, CommandStatus.MISSING),
        policy,
        NOW + 20,
    ).drain
    assert second is not None
    assert (second.state, second.command_id, second.retry_at) == (DrainState.STOPPING, None, None)
    assert second.note.endswith("waits for its deadline")


def test_unknown_command_is_asked_again_with_growing_pauses() -> None:
    """Undeliverable, cancelled or timed out: the stop is sent again after 10, 20, 40, 80, 120, 120 seconds."""
    drain, pauses, now = a_drain(DrainState.STOPPING), [], NOW
    for _ in range(6):
        unknown = advance(drain, CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, now).drain
        assert unknown is not None
        assert unknown.retry_at is not None
        assert unknown.state is DrainState.STOPPING
        pauses.append(unknown.retry_at - now)
        now = unknown.retry_at
        if now >= unknown.deadline_at:
            break
        step = advance(unknown, Tick(), replace_policy(heartbeat_s=60), now)
        stops = [action for action in step.actions if isinstance(action, StopConsumer)]
        assert step.drain is not None
        assert [stop.ask for stop in stops] == [step.drain.asked_count]
        again = advance(step.drain, StopSent(step.drain.asked_count, COMMAND), POLICY, now).drain
        assert again is not None
        drain = again
    assert pauses == [10, 20, 40, 80, 120, 120]


def replace_policy(**changes: float) -> DrainPolicy:
    """The policy with some numbers changed."""
    return DrainPolicy(**{**POLICY.model_dump(), **changes})


def test_doubled_unknown_counts_once_when_the_command_ended() -> None:
    """The second copy of the same status event finds no command on record: the pause does not grow by it."""
    once = advance(a_drain(DrainState.STOPPING), CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, NOW).drain
    assert advance(once, CommandReported(COMMAND, CommandStatus.UNKNOWN), POLICY, NOW + 1) == DrainStep(once)


def test_refused_stop_keeps_the_drain_noticed_when_there_is_no_agent() -> None:
    """SendCommand refuses an instance without an agent: unknown, asked again later."""
    noticed = a_drain(DrainState.NOTICED, retry_at=NOW + 15)
    step = advance(noticed, StopNotAccepted(1, "InvalidInstanceId"), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.retry_at) == (DrainState.NOTICED, NOW + 10)
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
    assert (first.state, first.retry_at) == (DrainState.STOPPING, NOW + 10)
    asked = replace(first, command_id=COMMAND, retry_at=None)
    second = advance(asked, CommandReported(COMMAND, CommandStatus.FAILED), POLICY, NOW + 20).drain
    assert second is not None
    assert (second.state, second.retry_at) == (DrainState.STOPPING, None)
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


# --------------------------------------------------------------------------- heartbeats


def test_heartbeat_is_sent_when_due_and_not_before() -> None:
    """Every 45 seconds from the action's start, then from the last one."""
    drain = a_drain(DrainState.STOPPING)  # its action began ten seconds ago
    assert advance(drain, Tick(), POLICY, NOW + 34).actions == ()
    assert advance(drain, Tick(), POLICY, NOW + 35).actions == (SendHeartbeat(HOOK),)
    beaten = advance(drain, HeartbeatAnswered(HOOK, held=True), POLICY, NOW + 35).drain
    assert beaten is not None
    assert beaten.heartbeat_count == 1
    assert advance(beaten, Tick(), POLICY, NOW + 79).actions == ()
    assert advance(beaten, Tick(), POLICY, NOW + 80).actions == (SendHeartbeat(HOOK),)


def test_heartbeats_end_when_the_hundredth_timeout_is_over() -> None:
    """AWS ends the action at 100 timeouts whatever is sent: nothing is sent from then on, deadline or not."""
    policy = DrainPolicy(deadline_s=3_000, hook_timeout_s=30, heartbeat_s=10)
    drain = a_drain(DrainState.STOPPING, started_at=NOW - 100, hook_at=NOW - 100, deadline_at=NOW + 2_950)
    assert draining.heartbeats_until(drain, policy) == NOW + 2_900
    assert advance(drain, Tick(), policy, NOW + 2_899).actions == (SendHeartbeat(HOOK),)
    assert advance(drain, Tick(), policy, NOW + 2_900).actions == ()


def test_heartbeats_end_when_48_hours_are_over() -> None:
    """The other ceiling, for long heartbeat timeouts."""
    policy = DrainPolicy(deadline_s=172_800, hook_timeout_s=7_200, heartbeat_s=600)
    drain = a_drain(DrainState.STOPPING, started_at=NOW, hook_at=NOW - 60, deadline_at=NOW + 172_800)
    assert draining.heartbeats_until(drain, policy) == NOW - 60 + 172_800


def test_heartbeat_without_an_action_ends_the_drain_when_it_was_over() -> None:
    """The hook was removed by hand, or timed out: there is nothing to release any more."""
    step = advance(a_drain(DrainState.STOPPING), HeartbeatAnswered(HOOK, held=False), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.outcome) == (DrainState.RELEASED, DrainOutcome.LATE)


# --------------------------------------------------------------------------- Spot


def test_spot_drains_at_once_when_no_hook_holds_the_instance() -> None:
    """EC2's two minutes count from the notice, not from when we hear of it."""
    step = advance(None, SpotInterruption("orders", ID, NOW - 20), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.cause, step.drain.deadline_at, step.drain.hook) == (DrainCause.SPOT, NOW + 100, None)
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
    assert (joined.drain.hook, joined.drain.deadline_at) == (HOOK, spot.deadline_at)
    assert joined.actions == ()


@pytest.mark.parametrize("state", [DrainState.DONE, DrainState.EXPIRED])
def test_hook_releases_at_once_when_the_spot_drain_is_over(state: DrainState) -> None:
    """The consumer has stopped (or its two minutes are over) before the group speaks up: release."""
    drain = a_drain(state, hook=None, hook_at=None, cause=DrainCause.SPOT)
    step = advance(drain, Terminating("orders", HOOK, NOW), POLICY, NOW)
    assert step.drain is not None
    assert step.drain.state is state
    assert step.actions == (CompleteHook(HOOK),)


def test_hook_begins_anew_when_the_spot_drain_was_over_long_ago() -> None:
    """The interrupted instance was only stopped, and works again: what was done then says nothing now."""
    drain = a_drain(DrainState.DONE, hook=None, hook_at=None, cause=DrainCause.SPOT)
    step = advance(drain, Terminating("orders", HOOK, NOW + 400), POLICY, NOW + 400)
    assert step.drain is not None
    assert step.drain.state is DrainState.NOTICED
    assert isinstance(step.actions[0], StopConsumer)


def test_spot_brings_the_deadline_nearer_and_never_back() -> None:
    """A notice during a drain leaves two minutes; one during the last two changes nothing."""
    hurried = advance(a_drain(DrainState.STOPPING), SpotInterruption("orders", ID, NOW), POLICY, NOW).drain
    assert hurried is not None
    assert hurried.deadline_at == NOW + 120
    short = a_drain(DrainState.STOPPING, deadline_at=NOW + 50)
    assert advance(short, SpotInterruption("orders", ID, NOW), POLICY, NOW) == DrainStep(short)


def test_spot_drain_without_an_action_is_let_go_when_an_hour_has_passed() -> None:
    """No action ever came and the instance stays: kept in sight for an hour after the deadline, then closed."""
    drain = a_drain(DrainState.DONE, hook=None, hook_at=None)
    assert advance(drain, Tick(), POLICY, drain.deadline_at + 3_599) == DrainStep(drain)
    closed = advance(drain, Tick(), POLICY, drain.deadline_at + 3_600).drain
    assert closed is not None
    assert (closed.state, closed.outcome) == (DrainState.RELEASED, DrainOutcome.CLOSED)


# --------------------------------------------------------------------------- the consumer watches for itself


def test_self_drain_asks_nothing_and_completes_only_at_the_deadline() -> None:
    """via=self: the drainer keeps time; it beats until the deadline and completes then, not before."""
    began = advance(None, Terminating("orders", HOOK, NOW), SELF, NOW)
    assert began.drain is not None
    assert (began.drain.state, began.actions) == (DrainState.STOPPING, ())
    assert advance(began.drain, Tick(), SELF, NOW + 45).actions == (SendHeartbeat(HOOK),)
    beaten = replace(began.drain, heartbeat_at=NOW + 890)
    assert advance(beaten, Tick(), SELF, NOW + 899).actions == ()
    assert advance(beaten, Tick(), SELF, NOW + 900).actions == (CompleteHook(HOOK),)


def test_self_drain_is_released_when_the_instance_has_gone_on() -> None:
    """The consumer completed the action itself: the sweep sees the instance proceed."""
    drain = a_drain(DrainState.STOPPING, command_id=None)
    step = advance(drain, InstanceGone("Terminating:Proceed"), SELF, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)
    assert "completed the action itself" in step.drain.note


# --------------------------------------------------------------------------- signs of life


def test_silence_ends_a_drain_when_nothing_is_heard_of_it() -> None:
    """Two hours for one that works, five minutes for one of which nothing is heard."""
    drain = a_drain(DrainState.STOPPING, started_at=NOW, hook_at=NOW, deadline_at=NOW + 7_200)
    assert draining.due_at(drain, WATCHED) == NOW + 300
    assert advance(drain, Tick(), WATCHED, NOW + 299).drain == drain
    silent = advance(drain, Tick(), WATCHED, NOW + 300)
    assert silent.drain is not None
    assert (silent.drain.state, silent.actions) == (DrainState.EXPIRED, (CompleteHook(HOOK),))
    assert "nothing was heard of it" in silent.drain.note


@pytest.mark.parametrize(
    "sign",
    [
        CommandReported(COMMAND, CommandStatus.RUNNING),
        ConsumerReported(NOW + 250, done=False),
        MessagesInFlight(3),
    ],
)
def test_sign_of_life_prolongs_a_drain_when_silence_would_end_it(sign: Event) -> None:
    """A command that runs, a consumer's own word, messages becoming fewer; never past the deadline."""
    drain = a_drain(DrainState.STOPPING, started_at=NOW, hook_at=NOW, deadline_at=NOW + 700, in_flight=4)
    alive = advance(drain, sign, WATCHED, NOW + 250).drain
    assert alive is not None
    assert draining.due_at(alive, WATCHED) == NOW + 550
    late = advance(alive, CommandReported(COMMAND, CommandStatus.RUNNING), WATCHED, NOW + 500).drain
    assert late is not None
    assert draining.due_at(late, WATCHED) == NOW + 700


def test_sign_of_life_leaves_no_record_when_silence_ends_nothing() -> None:
    """Without a longest silence the deadline alone decides: no write a minute for it."""
    drain = a_drain(DrainState.STOPPING, in_flight=4)
    for sign in (
        CommandReported(COMMAND, CommandStatus.RUNNING),
        ConsumerReported(NOW, done=False),
        MessagesInFlight(3),
    ):
        assert advance(drain, sign, POLICY, NOW) == DrainStep(drain)


def test_messages_in_flight_are_no_sign_when_they_do_not_fall() -> None:
    """More, or as many as before, says nothing."""
    drain = a_drain(DrainState.STOPPING, in_flight=4)
    assert advance(drain, MessagesInFlight(4), WATCHED, NOW) == DrainStep(drain)
    more = advance(drain, MessagesInFlight(6), WATCHED, NOW).drain
    assert more is not None
    assert (more.in_flight, more.alive_at) == (6, None)


def test_consumer_releases_by_its_own_word_when_it_is_done() -> None:
    """No agent is needed for it; what it said before this action began is of another."""
    drain = a_drain(DrainState.NOTICED)
    step = advance(drain, ConsumerReported(NOW, done=True), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.actions) == (DrainState.DONE, (CompleteHook(HOOK),))
    assert advance(drain, ConsumerReported(NOW - 11, done=True), POLICY, NOW) == DrainStep(drain)


def test_instance_is_released_when_its_machine_has_ended() -> None:
    """A crash, or a stop by hand: nothing works on it, so nothing is waited for."""
    step = advance(a_drain(DrainState.NOTICED), MachineEnded(), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.actions) == (DrainState.DONE, (CompleteHook(HOOK),))


def test_stop_has_its_own_time_when_the_fleet_sets_one() -> None:
    """Never more than what is left of the deadline."""
    policy = replace_policy(stop_timeout_s=120)
    step = advance(None, Terminating("orders", HOOK, NOW), policy, NOW)
    assert step.actions == (StopConsumer(ID, policy.order, 120.0, ask=1),)


# --------------------------------------------------------------------------- kept for inspection


def test_failed_drain_is_kept_when_the_group_allows_it() -> None:
    """Past its deadline the action is abandoned; the group keeps the instance until a person lets it go."""
    drain = a_drain(DrainState.STOPPING, deadline_at=NOW)
    expired = advance(drain, Tick(retains=True), KEEPS, NOW)
    assert expired.drain is not None
    assert (expired.drain.state, expired.drain.keeping) == (DrainState.EXPIRED, True)
    assert expired.actions == (CompleteHook(HOOK, HookResult.ABANDON),)
    kept = advance(expired.drain, CompletionAnswered(HOOK, active=True), KEEPS, NOW + 1).drain
    assert kept is not None
    assert (kept.state, kept.retained_at) == (DrainState.RETAINED, NOW + 1)
    assert advance(kept, Tick(), KEEPS, NOW + 86_400) == DrainStep(kept)
    let_go = advance(kept, OperatorRelease("orders", OUR_HOOK), KEEPS, NOW + 90_000)
    assert let_go.actions == (TerminateInstance("consumers", ID),)
    ending = advance(let_go.drain, TerminationAnswered(found=True), KEEPS, NOW + 90_001).drain
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
def test_retained_instance_is_on_record_when_another_abandoned_it(place: Place) -> None:
    """Whoever did it: what costs money must not be forgotten."""
    drain = a_drain(place, updated_at=NOW - 100) if place else None
    kept = advance(drain, FoundRetained("orders", OUR_HOOK), POLICY, NOW).drain
    assert kept is not None
    assert kept.state is DrainState.RETAINED


def test_retained_instance_is_terminated_again_when_it_is_released_again() -> None:
    """The operator function alone may terminate: a tick asks for nothing, and a second release repeats the first."""
    kept = a_drain(DrainState.RETAINED, retained_at=NOW - 60)
    release = OperatorRelease("orders", OUR_HOOK)
    ending = advance(kept, release, POLICY, NOW)
    assert ending.actions == (TerminateInstance("consumers", ID),)
    assert advance(ending.drain, Tick(), POLICY, NOW + 600).actions == ()
    assert advance(ending.drain, release, POLICY, NOW + 600).actions == (TerminateInstance("consumers", ID),)
    over = advance(ending.drain, TerminationAnswered(found=False), POLICY, NOW + 120).drain
    assert over is not None
    assert over.state is DrainState.RELEASED


# --------------------------------------------------------------------------- missed events, second lives, people


def test_found_waiting_begins_with_a_heartbeat_when_its_event_was_lost() -> None:
    """How long the hook has waited is unknown, so its timeout is restarted before anything else."""
    step = advance(None, FoundWaiting("orders", OUR_HOOK), POLICY, NOW)
    assert step.actions == (SendHeartbeat(OUR_HOOK), StopConsumer(ID, POLICY.order, 900.0, ask=1))


def test_found_waiting_sends_no_heartbeat_when_the_deadline_has_passed() -> None:
    """A Spot drain joined by a sweep after its deadline expires; it is not prolonged."""
    drain = a_drain(DrainState.STOPPING, hook=None, hook_at=None, deadline_at=NOW)
    assert advance(drain, FoundWaiting("orders", OUR_HOOK), POLICY, NOW + 1).actions == ()


def test_late_event_changes_nothing_when_the_sweep_has_released() -> None:
    """The sweep found and finished it; the event that was lost arrives after all."""
    drain = a_drain(DrainState.RELEASED, hook=OUR_HOOK, hook_at=NOW - 10)
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
    assert (step.drain.state, step.drain.failed_count, step.drain.outcome) == (DrainState.NOTICED, 0, None)
    assert step.drain.deadline_at == NOW + 901
    assert step.drain.asked_count == 5, "an answer to a stop of the first life must not pass for one of this"


def test_drain_is_over_when_its_instance_is_in_service_again() -> None:
    """Its hook timed out unseen and it came back from a warm pool; a reading lags, so not at once."""
    drain = a_drain(DrainState.STOPPING)
    assert advance(drain, FoundInService(), POLICY, NOW + 49) == DrainStep(drain)
    over = advance(drain, FoundInService(), POLICY, NOW + 50).drain
    assert over is not None
    assert (over.state, over.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)
    spot = a_drain(DrainState.STOPPING, hook=None, hook_at=None)
    assert advance(spot, FoundInService(), POLICY, NOW + 60) == DrainStep(spot), "no action is known, so none is over"


def test_drain_begins_anew_when_a_later_action_names_itself() -> None:
    """The first was found by a sweep and has no token: what comes later than that is another."""
    found = a_drain(DrainState.STOPPING, hook=OUR_HOOK)
    step = advance(found, Terminating("orders", HOOK, NOW), POLICY, NOW + 1)
    assert step.drain is not None
    assert (step.drain.state, step.drain.hook) == (DrainState.NOTICED, HOOK)
    assert advance(found, Terminating("orders", HOOK, NOW - 20), POLICY, NOW) == DrainStep(found)


def test_released_instance_is_probed_when_it_still_waits() -> None:
    """It may be another hook that holds it: a heartbeat tells whether it is ours, after the reading has settled."""
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
    """An ordinary heartbeat that held, told after the release, is no probe."""
    drain = a_drain(DrainState.RELEASED)
    assert advance(drain, HeartbeatAnswered(HOOK, held=True), POLICY, NOW) == DrainStep(drain)


@pytest.mark.parametrize("state", [DrainState.NOTICED, DrainState.STOPPING])
def test_operators_release_stands_for_the_deadline_when_under_way(state: DrainState) -> None:
    """A person's word: expired now, completed by instance id, whatever token is on record."""
    step = advance(a_drain(state), OperatorRelease("orders", OUR_HOOK), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.state, step.drain.deadline_at) == (DrainState.EXPIRED, NOW)
    assert step.actions == (CompleteHook(OUR_HOOK),)


def test_operators_release_works_when_nothing_is_on_record() -> None:
    """An instance that hangs without a record can be released all the same, and that is recorded."""
    step = advance(None, OperatorRelease("orders", OUR_HOOK), POLICY, NOW)
    assert step.drain is not None
    assert (step.drain.cause, step.drain.state) == (DrainCause.OPERATOR, DrainState.EXPIRED)
    assert step.actions == (CompleteHook(OUR_HOOK),)


# --------------------------------------------------------------------------- readings


@pytest.mark.parametrize(
    ("aws_state", "expected"),
    [
        ("Terminating:Wait", FoundWaiting("orders", OUR_HOOK)),
        ("Warmed:Terminating:Wait", FoundWaiting("orders", OUR_HOOK)),
        ("Terminating:Proceed", InstanceGone("Terminating:Proceed")),
        ("Warmed:Terminating:Proceed", InstanceGone("Warmed:Terminating:Proceed")),
        ("Terminating:Retained", FoundRetained("orders", OUR_HOOK)),
        ("Terminated", InstanceGone("Terminated")),
        ("Warmed:Stopped", InstanceGone("Warmed:Stopped")),
        ("Warmed:Running", InstanceGone("Warmed:Running")),
        ("Warmed:Hibernated", InstanceGone("Warmed:Hibernated")),
        ("Warmed:Pending", None),
        ("Warmed:Pending:Wait", FoundPoolWaiting("orders", OUR_HOOK)),
        ("Warmed:Pending:Proceed", InstanceGone("Warmed:Pending:Proceed")),
        ("Warmed:Pending:Retained", FoundRetained("orders", OUR_HOOK)),
        ("Warmed:Terminating", None),
        ("Warmed:Terminating:Retained", FoundRetained("orders", OUR_HOOK)),
        (None, InstanceGone(None)),
        ("InService", FoundInService()),
        ("Pending:Wait", FoundInService()),
        ("Terminating", None),
        ("Standby", None),
    ],
)
def test_reading_tells_when_the_state_says_something_of_a_drain(aws_state: str | None, expected: Event | None) -> None:
    """Waiting is ours to answer, past the hook is over, kept must not be forgotten, and all else says nothing."""
    assert event_for_state("orders", OUR_HOOK, aws_state) == expected


def test_command_is_looked_at_when_its_event_is_overdue() -> None:
    """After fifteen seconds at every tick, after two minutes only once a sweep."""
    drain = a_drain(DrainState.STOPPING, asked_at=NOW)
    looks = [draining.needs_status_check(drain, NOW + later_s, sweeping=False) for later_s in (14, 15, 119, 120)]
    assert looks == [False, True, True, False]
    assert draining.needs_status_check(drain, NOW + 5_000, sweeping=True)
    assert not draining.needs_status_check(replace(drain, command_id=None), NOW + 60, sweeping=True)
    assert not draining.needs_status_check(a_drain(DrainState.DONE, command_id=COMMAND), NOW + 60, sweeping=True)


# --------------------------------------------------------------------------- the docs


def test_docs_show_the_table_as_it_is_when_drawn_anew() -> None:
    """docs/draining.md is drawn from the tables: `python -m tools.drawing` after a change."""
    page = drawing.PAGE.read_text()
    assert drawing.drawn(page) == page


def test_drawing_refuses_a_page_without_a_place_for_it() -> None:
    """The markers are named."""
    with pytest.raises(ValueError, match="must have"):
        drawing.drawn("# A page")
