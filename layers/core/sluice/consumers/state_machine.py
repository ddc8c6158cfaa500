"""Launching: when a new instance counts, and what its consumer says of itself from then on, as one table.

Theory of operation
-------------------
An instance is of use once its consumer is. Where the fleet has a launch hook, its group waits at that hook with each
new instance (`Pending:Wait`), and counts it only when the hook is completed: at the consumer's word that it is ready.
No heartbeat is ever sent: the hook's timeout is how long a boot may take, and its default result ABANDON has the
group replace an instance that is not ready by then, whether Sluice lives or not. A consumer that knows that it will
never be ready says so, and its instance is replaced at once.

`advance_boot` takes the record of a consumer, one event, the name of the launch hook (None: there is none) and the
time; it answers what the record becomes and which lifecycle action to complete. The caller writes the record before
it acts, as with drains (`sluice.draining.state_machine`). A completion needs no answer: one that found nothing was
late, and one that was lost is found again, since the group still shows the instance waiting.

What a consumer says is repeated by it, may be lost, doubled, late or out of order: only what is later than the last
word and than the launch's own beginning counts, and no word takes back that a consumer was ready. An instance that
comes back from a warm pool is launched anew: what was known of it before holds no more.

Whether its instance is protected from scale-in follows from the last word (`plan_protection`): a consumer that is
busy is, until it says otherwise or nothing has been heard of it for BUSY_TIMEOUT_S. What an operator has protected, or
the group by itself, is left alone.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import floor
from typing import Any

from sluice.model.consumers import BootState, BootStep, Consumer, ConsumerStatus, Report
from sluice.model.draining import CompleteHook, HookAction, HookResult
from sluice.model.frozen import dataclass, replace
from sluice.model.planning import TimedLaunch

# How old a word may be where nothing is known of the launch that it would end: no instance gets to a warm pool and back
# in that time, and a consumer that waits to be let in repeats itself more often.
REPORT_FRESH_S = 30.0
# How long a reading may still show an instance waiting that was completed: DescribeAutoScalingGroups lags by seconds.
READING_LAG_S = 15.0


class BootEventKind(StrEnum):
    """What can happen on an instance's way into service; the value is the diagram's label."""

    LAUNCHING = "launching hook"
    FOUND_WAITING = "found waiting to launch"
    FOUND = "found in service"
    READY = "consumer is ready"
    FAILED = "consumer will never be ready"
    BUSY = "consumer is busy"
    IDLE = "consumer is idle"
    DRAINING = "consumer is draining"
    GONE = "instance gone or going"


@dataclass(frozen=True, slots=True)
class LaunchStarted:
    """The group holds a new instance at our launch hook; `at` is the event's own time."""

    hook: HookAction
    at: float
    kind = BootEventKind.LAUNCHING


@dataclass(frozen=True, slots=True)
class SeenInGroup:
    """A reading of the group shows the instance: waiting at its launch hook, or in service.

    Args:
        hook: our launch hook on that instance, without token; None if there is none.
        waiting: whether it is held by a launch hook.
        launched_at: when its launch began, where known.
    """

    hook: HookAction | None
    waiting: bool
    launched_at: float | None

    @property
    def kind(self) -> BootEventKind:
        """One kind while it is held, one afterwards."""
        return BootEventKind.FOUND_WAITING if self.waiting else BootEventKind.FOUND


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """The consumer said something of itself."""

    report: Report

    @property
    def kind(self) -> BootEventKind:
        """By its word."""
        match self.report.status:
            case ConsumerStatus.READY:
                return BootEventKind.READY
            case ConsumerStatus.FAILED:
                return BootEventKind.FAILED
            case ConsumerStatus.BUSY:
                return BootEventKind.BUSY
            case ConsumerStatus.IDLE:
                return BootEventKind.IDLE
            case ConsumerStatus.DRAINING | ConsumerStatus.DONE:
                return BootEventKind.DRAINING


@dataclass(frozen=True, slots=True)
class LeftGroup:
    """A reading shows the instance on its way out, or not at all."""

    kind = BootEventKind.GONE


type BootEvent = LaunchStarted | SeenInGroup | ReportReceived | LeftGroup


# --------------------------------------------------------------------------- moves


def _launch(consumer: Consumer, event: LaunchStarted, _now: float) -> BootStep:
    """It begins, or begins anew: an instance that comes from a warm pool has worked before."""
    known_at = consumer.hook_at
    if known_at is not None and (event.at <= known_at or event.hook == consumer.hook):
        return BootStep(consumer)
    if consumer.status_at is not None and consumer.status_at >= event.at:  # it spoke before its event came
        return _admit(replace(consumer, hook=event.hook, hook_at=event.at))
    launched_at = consumer.launched_at if consumer.boot is BootState.BOOTING else None
    return BootStep(_relaunched(consumer, event.hook, event.at, launched_at))


def _relaunched(
    consumer: Consumer, hook: HookAction | None, hook_at: float | None, launched_at: float | None
) -> Consumer:
    """The same instance at the beginning of a launch."""
    return replace(
        consumer,
        boot=BootState.BOOTING,
        hook=hook,
        hook_at=hook_at,
        launched_at=launched_at,
        ready_at=None,
        first_message_at=None,
        measured=False,
    )


def _admit(consumer: Consumer) -> BootStep:
    """A consumer that was ready before its instance was known to wait: completed now."""
    if consumer.boot not in {BootState.READY, BootState.WORKING} or consumer.hook is None:
        return BootStep(consumer)
    return BootStep(consumer, (CompleteHook(consumer.hook),))


def _found_waiting(consumer: Consumer, event: SeenInGroup, now: float) -> BootStep:
    """Its event was lost, or its completion was: a consumer that is ready is let in."""
    launched_at, ready_at = event.launched_at, consumer.ready_at
    another = launched_at is not None and ready_at is not None and floor(launched_at) > ready_at
    if consumer.boot is BootState.LEFT or another:
        return BootStep(_relaunched(consumer, event.hook, launched_at, launched_at))
    found = replace(
        consumer,
        hook=consumer.hook or event.hook,
        launched_at=consumer.launched_at if launched_at is None else _launch_start(launched_at, consumer),
    )
    owed = consumer.ready_at is not None and now >= consumer.ready_at + READING_LAG_S and event.hook is not None
    actions = (CompleteHook(event.hook),) if owed and event.hook is not None else ()
    return BootStep(found, actions)


def _found(consumer: Consumer, event: SeenInGroup, _now: float) -> BootStep:
    """Only the group knows when a launch began."""
    if event.launched_at is None or consumer.launched_at is not None:
        return BootStep(consumer)
    return BootStep(replace(consumer, launched_at=_launch_start(event.launched_at, consumer)))


def _launch_start(launched_at: float, consumer: Consumer) -> float:
    """When a launch began, by a reading of the group; whole seconds must not put it after the word that it led to."""
    return launched_at if consumer.ready_at is None else min(launched_at, consumer.ready_at)


def _reported_at(report: Report, consumer: Consumer) -> float:
    """When a consumer said so; whole seconds must not put it before the launch that it followed."""
    return report.at if consumer.launched_at is None else max(report.at, consumer.launched_at)


def _with_report(consumer: Consumer, event: ReportReceived) -> Consumer:
    report = event.report
    return replace(consumer, status=report.status, status_at=report.at, in_flight=report.in_flight)


def _ready(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    heard = _with_report(consumer, event)
    if consumer.boot is BootState.WORKING:
        return BootStep(heard)
    first = consumer.boot is not BootState.READY
    ready = replace(
        heard, boot=BootState.READY, ready_at=_reported_at(event.report, consumer) if first else consumer.ready_at
    )
    return BootStep(ready, _completion(ready, HookResult.CONTINUE))


def _failed(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    heard = replace(_with_report(consumer, event), boot=BootState.LOST)
    return BootStep(heard, _completion(heard, HookResult.ABANDON))


def _busy(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    """Whoever works is ready, whether its word of that has come or not."""
    heard = _with_report(consumer, event)
    if consumer.boot is BootState.WORKING:
        return BootStep(heard)
    at = _reported_at(event.report, consumer)
    ready_at = at if consumer.ready_at is None else consumer.ready_at
    working = replace(heard, boot=BootState.WORKING, ready_at=ready_at, first_message_at=at)
    return BootStep(working, _completion(working, HookResult.CONTINUE) if consumer.ready_at is None else ())


def _record_report(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    return BootStep(_with_report(consumer, event))


def _gone(consumer: Consumer, _event: LeftGroup, _now: float) -> BootStep:
    lost = consumer.boot is BootState.BOOTING
    return BootStep(replace(consumer, boot=BootState.LOST if lost else BootState.LEFT))


def _back_in_service(consumer: Consumer, _event: SeenInGroup, _now: float) -> BootStep:
    """A reading lacked it for a moment, or it was in standby."""
    return BootStep(replace(consumer, boot=BootState.READY))


def _completion(consumer: Consumer, result: HookResult) -> tuple[CompleteHook, ...]:
    return () if consumer.hook is None else (CompleteHook(consumer.hook, result),)


# --------------------------------------------------------------------------- the table

type Transition = Callable[[Any, Any, float], BootStep]
type State = BootState | None


@dataclass(frozen=True, slots=True)
class BootTransition:
    """What an event does to a consumer's record in some state, and where that can lead."""

    move: Transition
    to: frozenset[BootState]


_K, _S = BootEventKind, BootState
_NEW: frozenset[State] = frozenset({None, _S.BOOTING})
_UP: frozenset[State] = frozenset({_S.READY, _S.WORKING})
_OUT: frozenset[State] = frozenset({_S.LOST, _S.LEFT})


def _rows() -> Mapping[tuple[State, BootEventKind], BootTransition]:
    """Each row: in which states, on which events, which move, and where to (an empty set: it stays)."""
    rows: tuple[tuple[frozenset[State], tuple[BootEventKind, ...], Transition, frozenset[BootState]], ...] = (
        (_NEW | _UP | _OUT, (_K.LAUNCHING,), _launch, frozenset({_S.BOOTING})),
        (_NEW | _UP | {_S.LEFT}, (_K.FOUND_WAITING,), _found_waiting, frozenset({_S.BOOTING})),
        (frozenset({_S.BOOTING}) | _UP, (_K.FOUND,), _found, frozenset()),
        (_NEW | {_S.READY, _S.LOST}, (_K.READY, _K.IDLE), _ready, frozenset({_S.READY})),
        (frozenset({_S.WORKING}), (_K.READY, _K.IDLE), _ready, frozenset()),
        (_NEW, (_K.FAILED,), _failed, frozenset({_S.LOST})),
        (_NEW | {_S.READY, _S.LOST}, (_K.BUSY,), _busy, frozenset({_S.WORKING})),
        (frozenset({_S.WORKING}), (_K.BUSY,), _busy, frozenset()),
        (frozenset({None}), (_K.DRAINING,), _record_report, frozenset({_S.BOOTING})),
        (frozenset({_S.BOOTING}) | _UP | _OUT, (_K.DRAINING,), _record_report, frozenset()),
        (frozenset({_S.BOOTING}), (_K.GONE,), _gone, frozenset({_S.LOST})),
        (_UP, (_K.GONE,), _gone, frozenset({_S.LEFT})),
        # on its way out whatever it says, unless its group has it in service after all
        (frozenset({_S.LEFT}), (_K.READY, _K.IDLE, _K.BUSY), _record_report, frozenset()),
        (frozenset({_S.LEFT}), (_K.FOUND,), _back_in_service, frozenset({_S.READY})),
    )
    return {
        (place, kind): BootTransition(move, to if place is None else to - {place})
        for places, kinds, move, to in rows
        for place in places
        for kind in kinds
    }


BOOT_TABLE: Mapping[tuple[State, BootEventKind], BootTransition] = _rows()


@dataclass(frozen=True, slots=True)
class TrackedInstance:
    """Which instance of which fleet; `hook` is the fleet's launch hook on it, without token, if it has one."""

    fleet: str
    instance_id: str
    hook: HookAction | None = None


def _is_newer(consumer: Consumer | None, report: Report, instance: TrackedInstance, now: float) -> bool:
    """Whether a report is of this launch, and later than the last.

    Events' times have whole seconds: of two words in one second that counts which keeps more from going wrong.
    """
    since = () if consumer is None else tuple(at for at in (consumer.hook_at, consumer.launched_at) if at is not None)
    if instance.hook is not None and not since and now > report.at + REPORT_FRESH_S:
        return False
    known = None if consumer is None or consumer.status_at is None else (consumer.status_at, _rank(consumer.status))
    later = known is None or (report.at, _rank(report.status)) > known
    return later and all(report.at >= floor(at) for at in since)


def _rank(status: ConsumerStatus | None) -> int:
    """Of words said in one second, the greater counts: to take a consumer for busy does no harm, the other way does."""
    order = (
        ConsumerStatus.READY,
        ConsumerStatus.IDLE,
        ConsumerStatus.BUSY,
        ConsumerStatus.DRAINING,
        ConsumerStatus.DONE,
    )
    return order.index(status) if status in order else len(order)


def advance_boot(consumer: Consumer | None, event: BootEvent, instance: TrackedInstance, now: float) -> BootStep:
    """Judge what one event makes of a consumer's record.

    Args:
        consumer: the instance's record as read from the ledger; None if there is none.
        event: what happened. Events of other instances must not be given.
        instance: the instance.
        now: epoch seconds.

    Returns:
        The record to write if it differs from `consumer`, then the lifecycle actions to complete. An event that has
        no row in BOOT_TABLE, and a word that is not later than the last, change nothing.
    """
    transition = BOOT_TABLE.get((consumer.boot if consumer else None, event.kind))
    if transition is None:
        return BootStep(consumer)
    if isinstance(event, ReportReceived) and not _is_newer(consumer, event.report, instance, now):
        return BootStep(consumer)
    known = consumer or Consumer(instance.fleet, instance.instance_id, BootState.BOOTING, now)
    if instance.hook is not None and known.hook is None:
        known = replace(known, hook=instance.hook)
    step = transition.move(known, event, now)
    if step.consumer == consumer or step.consumer is None:
        return step
    return replace(step, consumer=replace(step.consumer, updated_at=now))


# --------------------------------------------------------------------------- what launches took


def time_launch(consumer: Consumer, now: float) -> TimedLaunch | None:
    """What a consumer's launch took, once its first message is known; None before, or if its beginning is unknown.

    Args:
        consumer: its record. One that is `measured` was timed before.
        now: epoch seconds.
    """
    launched_at, first_at = consumer.launched_at, consumer.first_message_at
    if consumer.measured or launched_at is None or first_at is None or first_at < launched_at:
        return None
    return TimedLaunch(consumer.instance_id, launched_at, consumer.ready_at, first_at, now)
