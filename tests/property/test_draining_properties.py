"""Drains under any sequence of events, at any times: the invariants that `sluice.draining.state_machine` states."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.consumers.protection import BUSY_TIMEOUT_S
from sluice.draining.deadlines import (
    NO_ACTION_KEPT_S,
    RETRY_S,
    action_began_at,
    due_at,
    heartbeats_until,
    needs_status_check,
    next_check_at,
)
from sluice.draining.events import (
    CommandReported,
    CompletionAnswered,
    DrainReported,
    Event,
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
)
from sluice.draining.state_machine import advance
from sluice.model.draining import (
    UNDER_WAY,
    CommandStatus,
    CompleteHook,
    Drain,
    DrainState,
    DrainStep,
    HookAction,
    HookResult,
    SendHeartbeat,
    StopConsumer,
    TerminateInstance,
)

START = 1_000_000.0
ID = "i-0c0ffee1234567890"
OUR_HOOK = HookAction("consumers", "sluice-drain", ID)
HOOKS = [OUR_HOOK, *(replace(OUR_HOOK, token=f"token-{number}") for number in range(3))]

policies = st.builds(
    lambda via, timeout_s, share, timeouts, silence_share, keep: DrainPolicy(
        via=via,
        hook_timeout_s=timeout_s,
        heartbeat_s=max(0.5, timeout_s * share),
        deadline_s=timeout_s * timeouts,
        silence_s=None if silence_share * timeout_s * timeouts < 120 else silence_share * timeout_s * timeouts,
        keep_failed=keep,
    ),
    via=st.sampled_from([DrainVia.SSM] * 4 + [DrainVia.SELF]),
    timeout_s=st.floats(30, 600),
    share=st.floats(0.05, 0.5),
    timeouts=st.floats(0.5, 100),
    silence_share=st.sampled_from([0.0, 0.2, 0.9]),
    keep=st.sampled_from([False, False, True]),
)
OWN = "the record's own"  # stands for whatever the drain has on record when the event comes: most answers are its own
OWN_ASK = -1
OWN_HOOK = HookAction("", OWN, "")
hooks = st.sampled_from([OWN_HOOK] * 6 + HOOKS)
asks = st.sampled_from([OWN_ASK] * 6 + list(range(4)))
commands = st.sampled_from([OWN] * 6 + ["command-0", "command-1"])
agos = st.floats(0, 600)  # how long before it comes an event happened, in place of its time
world_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Terminating, st.just("orders"), st.sampled_from(HOOKS), agos, st.sampled_from(["EC2", "WarmPool"])),
    st.builds(SpotInterruption, st.just("orders"), st.just(ID), agos),
    st.just(FoundWaiting("orders", OUR_HOOK)),
    st.just(FoundPoolWaiting("orders", OUR_HOOK)),
    st.builds(StopSent, asks, st.sampled_from(["command-0", "command-1"])),
    st.builds(CommandReported, commands, st.sampled_from(CommandStatus)),
    st.builds(CompletionAnswered, hooks, st.booleans()),
    st.builds(InstanceGone, st.sampled_from([None, "Terminating:Proceed"])),
    st.just(MachineEnded()),
    st.just(FoundRetained("orders", OUR_HOOK)),
    st.just(FoundInService()),
    st.builds(DrainReported, agos, st.booleans(), st.none() | agos),
    st.builds(MessagesInFlight, st.integers(0, 5)),
)
answers: st.SearchStrategy[Event] = st.one_of(
    st.builds(StopSent, asks, st.sampled_from(["command-0", "command-1"])),
    st.builds(StopNotAccepted, asks, st.just("no agent")),
    st.builds(CommandReported, commands, st.sampled_from(CommandStatus)),
    st.builds(HeartbeatAnswered, hooks, st.booleans(), st.booleans(), st.just("orders")),
    st.builds(CompletionAnswered, hooks, st.booleans()),
    st.builds(TerminationAnswered, st.booleans()),
)
people_and_time: st.SearchStrategy[Event] = st.sampled_from(
    [Tick(), Tick(), Tick(retains=True), Tick(retains=False), OperatorRelease("orders", OUR_HOOK)]
)
events: st.SearchStrategy[Event] = st.one_of(world_events, answers, answers, answers, people_and_time)
MANY = settings(max_examples=300)
pauses = st.sampled_from([0.0, 0.5, 5.0, 5.0, 15.0, 15.0, 31.0, 47.0, 60.0, 121.0, 301.0, 1_000.0, 20_000.0])
days = st.tuples(policies, st.lists(st.tuples(pauses, events), min_size=5, max_size=40))

type Day = tuple[DrainPolicy, list[tuple[float, Event]]]
type Played = tuple[float, Event, Drain | None, DrainStep]  # time, event, record before, step


def resolved(event: Event, drain: Drain | None, now: float) -> Event:
    """The event with its own time in place of how long ago that was, and the record's own in place of OWN."""
    if isinstance(event, Terminating | SpotInterruption | DrainReported):
        if isinstance(event, DrainReported) and event.draining_at is not None:
            event = replace(event, draining_at=now - event.draining_at)
        return replace(event, at=now - event.at)
    if drain is None:
        return event
    if isinstance(event, StopSent | StopNotAccepted) and event.ask == OWN_ASK:
        return replace(event, ask=drain.stop.asked_count)
    if isinstance(event, CommandReported) and event.command_id == OWN:
        return replace(event, command_id=drain.stop.command_id or "none")
    if isinstance(event, HeartbeatAnswered | CompletionAnswered) and event.hook == OWN_HOOK:
        return replace(event, hook=drain.hook or OUR_HOOK)
    return event


def play(day: Day) -> list[Played]:
    """Advance through a day, the ledger's part done."""
    policy, happened = day
    drain: Drain | None = None
    now, steps = START, []
    for pause_s, template in happened:
        now += pause_s
        event = resolved(template, drain, now)
        step = advance(drain, event, policy, now)
        steps.append((now, event, drain, step))
        written = step.drain is not None and step.drain != drain
        drain = replace(step.drain, version=step.drain.version + 1) if step.drain and written else step.drain
    return steps


@pytest.mark.slow
@MANY
@given(days)
def test_release_is_asked_for_only_when_done_or_due(day: Day) -> None:
    """CompleteHook comes of DONE or EXPIRED: of a consumer's report, the deadline, or an operator's release."""
    for now, event, before, step in play(day):
        after = step.drain
        if any(isinstance(action, CompleteHook) for action in step.actions):
            assert after is not None
            assert after.state in {DrainState.DONE, DrainState.EXPIRED}
        if after is None or (before is not None and before.state is after.state):
            continue
        if after.state is DrainState.DONE:
            assert before is not None
            said = isinstance(event, DrainReported) and event.done and event.at >= action_began_at(before)
            ends = (CommandStatus.SUCCEEDED, CommandStatus.KILLED)
            assert said or event in (
                MachineEnded(),
                *(CommandReported(str(before.stop.command_id), end) for end in ends),
            )
        if after.state is DrainState.EXPIRED:
            assert isinstance(event, OperatorRelease) or (before is not None and now >= due_at(before, day[0]))


@MANY
@given(days)
def test_release_is_on_record_only_when_answered_or_gone(day: Day) -> None:
    """RELEASED from under way needs the action's end or the instance's; nothing else skips DONE and EXPIRED."""
    for _, event, before, step in play(day):
        if before is None or step.drain is None or step.drain.state is not DrainState.RELEASED:
            continue
        if before.state in UNDER_WAY:
            ended = isinstance(event, HeartbeatAnswered) and not event.held and event.hook == before.hook
            assert isinstance(event, InstanceGone | FoundInService) or ended
        elif before.state is not DrainState.RELEASED:
            assert isinstance(event, InstanceGone | FoundInService | CompletionAnswered | TerminationAnswered | Tick)
            assert step.drain.outcome is not None


@MANY
@given(days)
def test_heartbeats_end_by_themselves_when_deadline_or_ceiling_is_reached(day: Day) -> None:
    """None at or after min(deadline, 48 h, 100 timeouts), save the probe of one that was released or is none yet."""
    policy = day[0]
    for now, event, before, step in play(day):
        for action in step.actions:
            if isinstance(action, SendHeartbeat) and not action.probe:
                assert step.drain is not None
                assert step.drain.state in UNDER_WAY
                assert now < heartbeats_until(step.drain, policy)
            elif isinstance(action, SendHeartbeat):
                unknown = before is None and isinstance(event, FoundPoolWaiting)
                assert unknown or (before is not None and before.state is DrainState.RELEASED)


@MANY
@given(days)
def test_deadline_is_put_off_by_progress_alone_when_the_drain_is_the_same(day: Day) -> None:
    """Any other later deadline is another drain's, which began now; none is past its bound or the hook's ceiling."""
    policy = day[0]
    for now, event, before, step in play(day):
        after = step.drain
        if after is not None and after.deadline.longest_at is not None:
            assert after.deadline.at <= after.deadline.longest_at <= after.started_at + policy.ceiling_s + 1e-6
        if before is not None and after is not None and after.deadline.at > before.deadline.at:
            assert after.state in UNDER_WAY
            if after.started_at != now:
                assert isinstance(event, DrainReported)
                assert event.draining_at is not None
                assert not event.done
                assert after.deadline.at <= event.draining_at + max(policy.deadline_s, BUSY_TIMEOUT_S)


@pytest.mark.slow
@MANY
@given(days)
def test_every_stop_is_intended_on_record_when_it_is_asked_for(day: Day) -> None:
    """The record that is written first names the stop, and no two stops have the same number."""
    policy, asked = day[0], []
    for now, _, _, step in play(day):
        for action in step.actions:
            if isinstance(action, StopConsumer):
                assert step.drain is not None
                assert (step.drain.stop.asked_count, step.drain.stop.asked_at) == (action.ask, now)
                assert step.drain.stop.retry_at is not None, "should the effect be lost, a tick asks again"
                asked.append(action.ask)
    assert policy.via is DrainVia.SSM or not asked
    assert len(set(asked)) == len(asked)


@MANY
@given(days, world_events)
def test_world_event_changes_nothing_more_when_it_is_doubled(day: Day, template: Event) -> None:
    """The same event of AWS's again, at once: the record stays as the first left it."""
    now, _, _, last = play(day)[-1]
    event = resolved(template, last.drain, now)
    once = advance(last.drain, event, day[0], now).drain
    assert advance(once, event, day[0], now).drain == once


@MANY
@given(days)
def test_drain_ends_when_only_ticks_and_readings_follow(day: Day) -> None:
    """From any point, however it came about, ticks end a drain: its action is answered, or it is let go."""
    policy = day[0]
    last_at, _, _, last = play(day)[-1]
    drain, now = last.drain, last_at
    if drain is None:
        return
    end_at = max(now, drain.deadline.at) + NO_ACTION_KEPT_S + 120
    over = {DrainState.RELEASED, DrainState.RETAINED}
    while drain is not None and drain.state not in over and now < end_at:
        now += 60
        step = advance(drain, Tick(), policy, now)
        drain = step.drain
        for action in step.actions:
            answer: Event
            if isinstance(action, StopConsumer):
                answer = StopNotAccepted(action.ask, "no agent")
            elif isinstance(action, SendHeartbeat):
                answer = HeartbeatAnswered(action.hook, held=True)
            elif isinstance(action, TerminateInstance):
                answer = TerminationAnswered(found=True)
            else:
                answer = CompletionAnswered(action.hook, active=False)
            drain = advance(drain, answer, policy, now).drain
    assert drain is not None
    assert drain.state in over


@MANY
@given(days)
def test_action_is_abandoned_only_when_the_group_keeps_what_failed(day: Day) -> None:
    """ABANDON elsewhere would cut other hooks short, and what Spot takes nothing keeps."""
    for _, event, before, step in play(day):
        for action in step.actions:
            if isinstance(action, CompleteHook) and action.result is HookResult.ABANDON:
                assert day[0].keep_failed
                assert step.drain is not None
                assert step.drain.state is DrainState.EXPIRED
                known = before is not None and before.retention.requested
                assert known or (isinstance(event, Tick) and event.retains)


@MANY
@given(days, st.floats(0.001, 0.999))
def test_tick_has_nothing_to_do_before_the_next_check_is_due(day: Day, share: float) -> None:
    """Whoever comes at the time that is named misses nothing, and does not come for nothing."""
    policy = day[0]
    for now, _, _, step in play(day):
        drain = step.drain
        if drain is None or advance(drain, Tick(), policy, now) != DrainStep(drain):
            continue  # something is due already: it is tried again after a pause, whatever else there is
        at = next_check_at(drain, policy, now)
        if at is None:
            assert advance(drain, Tick(), policy, now + 10_000_000.0) == DrainStep(drain)
            continue
        assert at > now
        assert advance(drain, Tick(), policy, now + share * (at - now)) == DrainStep(drain)
        acts = advance(drain, Tick(retains=False), policy, at) != DrainStep(drain)
        assert acts or needs_status_check(drain, at, in_full=False), "it is called for nothing"


@MANY
@given(days)
def test_what_is_due_is_tried_again_after_a_pause(day: Day) -> None:
    """Never at once, and not later than heartbeats come."""
    policy = day[0]
    for now, _, _, step in play(day):
        if step.drain is not None and advance(step.drain, Tick(), policy, now) != DrainStep(step.drain):
            at = next_check_at(step.drain, policy, now)
            assert at is not None
            assert now < at <= now + min(RETRY_S, policy.heartbeat_interval_s)
