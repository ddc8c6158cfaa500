"""Drains for tests: made, and changed, by the names of their parts' fields."""

from typing import Any

from sluice.config.fleet import DrainPolicy, DrainVia
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
    NothingFound,
    OperatorRelease,
    SpotInterruption,
    StopNotAccepted,
    StopSent,
    Terminating,
    TerminationAnswered,
    Tick,
)
from sluice.draining.state_machine import StateOrNone
from sluice.model.draining import (
    CommandStatus,
    Deadline,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    HookAction,
    LifecycleAction,
    NothingToFinish,
    Retention,
    SignsOfLife,
)
from sluice.model.frozen import replace

NOW = 1_000_000.0
ID = "i-0c0ffee1234567890"
HOOK = HookAction("consumers", "sluice-drain", ID, "token-1")
OUR_HOOK = HookAction("consumers", "sluice-drain", ID)
COMMAND = "e8d3c0e4-71f7-4491-898f-c9b35bee5f3b"

POLICY = DrainPolicy(deadline_s=900, longest_s=900, hook_timeout_s=120, heartbeat_s=45)
WATCHED = DrainPolicy(deadline_s=7_200, silence_s=300, hook_timeout_s=120, heartbeat_s=45)
KEEPS = DrainPolicy(deadline_s=900, hook_timeout_s=120, heartbeat_s=45, keep_failed=True)
SELF = DrainPolicy(via=DrainVia.SELF, deadline_s=900, hook_timeout_s=120, heartbeat_s=45)

PARTS = {
    "stop": (
        "command_id",
        "asked_at",
        "asked_count",
        "unanswered_count",
        "failed_count",
        "retry_at",
        "killed",
        "missing",
    ),
    "action": ("hook", "began_at", "destination"),
    "deadline": ("at", "longest_at"),
    "signs": ("nothing",),
}


def changed(drain: Drain | None, **changes: Any) -> Drain:
    """The drain with other fields, those of its parts by their own names, the deadline as `deadline_at`."""
    assert drain is not None
    if "deadline_at" in changes:
        changes["at"] = changes.pop("deadline_at")
    for part, fields in PARTS.items():
        of_part = {name: changes.pop(name) for name in fields if name in changes}
        if of_part:
            drain = replace(drain, **{part: replace(getattr(drain, part), **of_part)})
    return replace(drain, **changes)


def a_drain(state: DrainState, **changes: Any) -> Drain:
    """A drain in that state, as a terminating event began it ten seconds ago."""
    drain = Drain(
        fleet="orders",
        instance_id=ID,
        state=state,
        cause=DrainCause.TERMINATE,
        started_at=NOW - 10,
        deadline=Deadline(NOW + 890),
        updated_at=NOW - 10,
        action=LifecycleAction(HOOK, NOW - 10),
        version=3,
        outcome=DrainOutcome.COMPLETED if state is DrainState.RELEASED else None,
    )
    stop = {"asked_at": NOW - 10, "asked_count": 1, "command_id": COMMAND if state is DrainState.STOPPING else None}
    return changed(drain, **(stop | changes))


def a_policy(**changes: float) -> DrainPolicy:
    """The policy with some numbers changed."""
    return DrainPolicy(**{**POLICY.model_dump(), **changes})


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
    *(DrainReported(at, done) for at in (NOW - 600, NOW) for done in (True, False)),
    DrainReported(NOW, done=False, draining_at=NOW),
    *(MessagesInFlight(count) for count in (0, 7)),
    *(TerminationAnswered(found) for found in (True, False)),
    *(NothingFound(why) for why in ("it has no unit consumer.service", None)),
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
STATES: tuple[StateOrNone, ...] = (None, *DrainState)
TIMES = (NOW, NOW + 60, NOW + 5_000)


def drains_in(state: StateOrNone) -> tuple[Drain | None, ...]:
    """Drains of a state in several conditions."""
    if state is None:
        return (None,)
    return (
        a_drain(state),
        a_drain(state, nothing=NothingToFinish("it has no unit consumer.service", NOW - 100)),
        a_drain(state, action=None),
        a_drain(state, longest_at=NOW + 40_000),
        a_drain(state, hook=OUR_HOOK, command_id=None, retry_at=NOW - 1),
        a_drain(state, outcome=DrainOutcome.GONE),
        a_drain(state, retention=Retention(requested=True), signs=SignsOfLife(NOW - 5, 7)),
    )


POLICIES = (POLICY, SELF, WATCHED, KEEPS)
