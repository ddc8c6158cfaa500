"""The launch of an instance, and what its consumer reports from then on, as one table of states and events.

Theory of operation
-------------------
An instance is of use only when its consumer can take messages. If the fleet has a launch hook, Auto Scaling holds each
new instance at that hook (`Pending:Wait`) and counts it as in service only after the hook is completed. Sluice
completes the hook when the consumer reports that it is ready. Sluice sends no heartbeat for this hook: the hook's
timeout limits how long a boot may take. Its default result ABANDON makes the group replace an instance that is not
ready in time, even if Sluice does not run. A consumer that can never be ready reports that, and its instance is
replaced at once.

`advance_boot` takes a consumer's record, one event, the instance with its launch hook, and the time. It returns the new
record and the lifecycle actions to complete. The caller writes the record first and completes the actions afterwards,
as with drains (`sluice.draining.state_machine`). A completion needs no answer: if the action no longer exists, the
completion came too late. If a completion was lost, the next reading of the group still shows the instance at the hook.

A consumer repeats its reports. A report may be lost, doubled, late or out of order. Only a report that is later than
the same consumer's last one and later than the start of the launch counts, and no report undoes that a consumer was
ready. An instance that returns from a warm pool is launched again: what was known of its earlier launch no longer
holds.

An instance may run several consumers, each with a name. It is ready when the first of them is. The record has the last
report of each (`sluice.consumers.reports`), and whoever asks about the instance asks all of them: whether it is
protected from scale-in (`plan_protection`), and whether its drain is done (`sluice.draining.observations`).
"""

from collections.abc import Mapping
from enum import StrEnum
from math import floor

from sluice.consumers.reports import is_later, with_report, without_silent
from sluice.model.consumers import BootState, BootStep, Consumer, ConsumerStatus, Report
from sluice.model.draining import CompleteHook, HookAction, HookResult
from sluice.model.frozen import dataclass, replace
from sluice.model.planning import TimedLaunch
from sluice.model.transition_table import Row, Transition, table_of

# A report without a known launch is believed only if it is at most this old. No instance gets into a warm pool and back
# in that time, and a consumer that waits at the launch hook repeats its report more often.
REPORT_FRESH_S = 30.0
# DescribeAutoScalingGroups lags by some seconds: it may still show an instance at a hook that was just completed. A
# completion is repeated only when the instance is still shown after this time.
READING_LAG_S = 15.0


class BootEventKind(StrEnum):
    """What can happen to an instance's consumer. The value is the label in the diagram of docs/draining.md."""

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
    """Auto Scaling holds a new instance at our launch hook. `at` is the event's own time, in epoch seconds."""

    hook: HookAction
    at: float
    kind = BootEventKind.LAUNCHING


@dataclass(frozen=True, slots=True)
class SeenInGroup:
    """A reading of the group shows the instance, at its launch hook or in service.

    Args:
        hook: our launch hook on that instance, without a token. None if the fleet has none.
        waiting: whether a launch hook holds the instance.
        launched_at: the start of its launch in epoch seconds. None if it is not known.
    """

    hook: HookAction | None
    waiting: bool
    launched_at: float | None

    @property
    def kind(self) -> BootEventKind:
        """FOUND_WAITING while the hook holds the instance, FOUND afterwards."""
        return BootEventKind.FOUND_WAITING if self.waiting else BootEventKind.FOUND


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """The consumer sent a report of its status."""

    report: Report

    @property
    def kind(self) -> BootEventKind:
        """The kind that belongs to the reported status."""
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
    """A reading of the group shows the instance leaving, or does not show it at all."""

    kind = BootEventKind.GONE


type BootEvent = LaunchStarted | SeenInGroup | ReportReceived | LeftGroup


# --------------------------------------------------------------------------- transitions


def _launch_started(consumer: Consumer, event: LaunchStarted, _now: float) -> BootStep:
    """A launch begins. It is a second one if the instance comes from a warm pool."""
    known_at = consumer.hook_at
    if known_at is not None and (event.at <= known_at or event.hook == consumer.hook):
        return BootStep(consumer)
    if consumer.heard_at is not None and consumer.heard_at >= event.at:  # the report came before the launch event
        return _complete_if_ready(replace(consumer, hook=event.hook, hook_at=event.at))
    launched_at = consumer.launched_at if consumer.boot is BootState.BOOTING else None
    return BootStep(_relaunched(consumer, event.hook, event.at, launched_at))


def _relaunched(
    consumer: Consumer, hook: HookAction | None, hook_at: float | None, launched_at: float | None
) -> Consumer:
    """The same instance at the start of a launch: all that was known of an earlier one is dropped."""
    return replace(
        consumer,
        boot=BootState.BOOTING,
        hook=hook,
        hook_at=hook_at,
        launched_at=launched_at,
        ready_at=None,
        served_at=None,
        first_message_at=None,
        measured=False,
    )


def _complete_if_ready(consumer: Consumer) -> BootStep:
    """Complete the hook of a consumer that was ready before its hook was known."""
    if consumer.boot not in {BootState.READY, BootState.WORKING} or consumer.hook is None:
        return BootStep(consumer)
    return BootStep(consumer, (CompleteHook(consumer.hook),))


def _found_waiting(consumer: Consumer, event: SeenInGroup, now: float) -> BootStep:
    """The launch event or its completion was lost. The hook of a ready consumer is completed again."""
    launched_at, ready_at = event.launched_at, consumer.ready_at
    relaunched = launched_at is not None and ready_at is not None and floor(launched_at) > ready_at
    if consumer.boot is BootState.LEFT or relaunched:
        return BootStep(_relaunched(consumer, event.hook, launched_at, launched_at))
    found = replace(
        consumer,
        hook=consumer.hook or event.hook,
        launched_at=consumer.launched_at if launched_at is None else _launch_start(launched_at, consumer),
    )
    due = consumer.ready_at is not None and now >= consumer.ready_at + READING_LAG_S and event.hook is not None
    actions = (CompleteHook(event.hook),) if due and event.hook is not None else ()
    return BootStep(found, actions)


def _found(consumer: Consumer, event: SeenInGroup, now: float) -> BootStep:
    """Take over the start of the launch, which only the group knows, and forget consumers that are silent."""
    launched_at = consumer.launched_at
    if launched_at is None and event.launched_at is not None:
        launched_at = _launch_start(event.launched_at, consumer)
    served_at = now if consumer.served_at is None else consumer.served_at
    reports = without_silent(consumer.reports, now)
    return BootStep(replace(consumer, launched_at=launched_at, served_at=served_at, reports=reports))


def _launch_start(launched_at: float, consumer: Consumer) -> float:
    """The start of a launch by the group's reading, in epoch seconds.

    Times have whole seconds. Rounding must not put the start after the report that the launch led to.
    """
    return launched_at if consumer.ready_at is None else min(launched_at, consumer.ready_at)


def _reported_at(report: Report, consumer: Consumer) -> float:
    """The time of a report, in epoch seconds.

    Times have whole seconds. Rounding must not put the report before the start of the launch that it followed.
    """
    return report.at if consumer.launched_at is None else max(report.at, consumer.launched_at)


def _with_report(consumer: Consumer, event: ReportReceived) -> Consumer:
    """The record with the reported status, its time and its messages in flight."""
    return replace(consumer, reports=with_report(consumer.reports, event.report))


def _ready(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    reported = _with_report(consumer, event)
    if consumer.boot is BootState.WORKING:
        return BootStep(reported)
    first = consumer.boot is not BootState.READY
    ready = replace(
        reported, boot=BootState.READY, ready_at=_reported_at(event.report, consumer) if first else consumer.ready_at
    )
    return BootStep(ready, _completion(ready, HookResult.CONTINUE))


def _failed(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    reported = replace(_with_report(consumer, event), boot=BootState.LOST)
    return BootStep(reported, _completion(reported, HookResult.ABANDON))


def _busy(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    """A consumer that works is ready, even if its report of that was lost."""
    reported = _with_report(consumer, event)
    if consumer.boot is BootState.WORKING:
        return BootStep(reported)
    at = _reported_at(event.report, consumer)
    ready_at = at if consumer.ready_at is None else consumer.ready_at
    working = replace(reported, boot=BootState.WORKING, ready_at=ready_at, first_message_at=at)
    return BootStep(working, _completion(working, HookResult.CONTINUE) if consumer.ready_at is None else ())


def _record_report(consumer: Consumer, event: ReportReceived, _now: float) -> BootStep:
    return BootStep(_with_report(consumer, event))


def _gone(consumer: Consumer, _event: LeftGroup, _now: float) -> BootStep:
    lost = consumer.boot is BootState.BOOTING
    return BootStep(replace(consumer, boot=BootState.LOST if lost else BootState.LEFT))


def _back_in_service(consumer: Consumer, _event: SeenInGroup, _now: float) -> BootStep:
    """The instance was missing from one reading, or it was in standby."""
    return BootStep(replace(consumer, boot=BootState.READY))


def _completion(consumer: Consumer, result: HookResult) -> tuple[CompleteHook, ...]:
    return () if consumer.hook is None else (CompleteHook(consumer.hook, result),)


# --------------------------------------------------------------------------- the table

type State = BootState | None  # None: no record yet

_K, _S = BootEventKind, BootState
_NEW: frozenset[State] = frozenset({None, _S.BOOTING})
_UP: frozenset[State] = frozenset({_S.READY, _S.WORKING})
_OUT: frozenset[State] = frozenset({_S.LOST, _S.LEFT})

# In which states, on which events, which move, and where to (an empty set: the state stays).
_ROWS: tuple[Row[State, BootEventKind], ...] = (
    (_NEW | _UP | _OUT, (_K.LAUNCHING,), _launch_started, frozenset({_S.BOOTING})),
    (_NEW | _UP | {_S.LEFT}, (_K.FOUND_WAITING,), _found_waiting, frozenset({_S.BOOTING})),
    (frozenset({_S.BOOTING}) | _UP, (_K.FOUND,), _found, frozenset()),
    (_NEW | {_S.READY, _S.LOST}, (_K.READY, _K.IDLE), _ready, frozenset({_S.READY})),
    (frozenset({_S.WORKING}), (_K.READY, _K.IDLE), _ready, frozenset()),
    (_NEW, (_K.FAILED,), _failed, frozenset({_S.LOST})),
    (_UP, (_K.FAILED,), _record_report, frozenset()),  # another consumer of the instance is ready
    (_NEW | {_S.READY, _S.LOST}, (_K.BUSY,), _busy, frozenset({_S.WORKING})),
    (frozenset({_S.WORKING}), (_K.BUSY,), _busy, frozenset()),
    (frozenset({None}), (_K.DRAINING,), _record_report, frozenset({_S.BOOTING})),
    (frozenset({_S.BOOTING}) | _UP | _OUT, (_K.DRAINING,), _record_report, frozenset()),
    (frozenset({_S.BOOTING}), (_K.GONE,), _gone, frozenset({_S.LOST})),
    (_UP, (_K.GONE,), _gone, frozenset({_S.LEFT})),
    # it leaves whatever it reports, unless its group shows it in service again
    (frozenset({_S.LEFT}), (_K.READY, _K.IDLE, _K.BUSY), _record_report, frozenset()),
    (frozenset({_S.LEFT}), (_K.FOUND,), _back_in_service, frozenset({_S.READY})),
)

BOOT_TABLE: Mapping[tuple[State, BootEventKind], Transition[State]] = table_of(_ROWS)


@dataclass(frozen=True, slots=True)
class TrackedInstance:
    """An instance of a fleet. `hook` is the fleet's launch hook on it, without a token; None if the fleet has none."""

    fleet: str
    instance_id: str
    hook: HookAction | None = None


def _is_newer(consumer: Consumer | None, report: Report, instance: TrackedInstance, now: float) -> bool:
    """Whether a report belongs to this launch, and is later than the last report of the same consumer."""
    launch_times = (
        () if consumer is None else tuple(at for at in (consumer.hook_at, consumer.launched_at) if at is not None)
    )
    if instance.hook is not None and not launch_times and now > report.at + REPORT_FRESH_S:
        return False
    later = consumer is None or is_later(report, consumer.reports)
    return later and all(report.at >= floor(at) for at in launch_times)


def advance_boot(consumer: Consumer | None, event: BootEvent, instance: TrackedInstance, now: float) -> BootStep:
    """Work out what one event makes of a consumer's record.

    Args:
        consumer: the instance's record as read from the ledger. None if there is none.
        event: what happened to this instance. Events of other instances must not be given.
        instance: the instance, with the fleet's launch hook.
        now: epoch seconds.

    Returns:
        The record, which the caller writes if it differs from `consumer`, and the lifecycle actions, which the caller
        completes afterwards. An event without a row in BOOT_TABLE changes nothing. Neither does a report that is not
        later than the last one.
    """
    transition = BOOT_TABLE.get((consumer.boot if consumer else None, event.kind))
    if transition is None:
        return BootStep(consumer)
    if isinstance(event, ReportReceived) and not _is_newer(consumer, event.report, instance, now):
        return BootStep(consumer)
    known = consumer or Consumer(instance.fleet, instance.instance_id, BootState.BOOTING, now)
    if instance.hook is not None and known.hook is None:
        known = replace(known, hook=instance.hook)
    step: BootStep = transition.move(known, event, now)
    if step.consumer == consumer or step.consumer is None:
        return step
    return replace(step, consumer=replace(step.consumer, updated_at=now))


# --------------------------------------------------------------------------- the time of a launch


def time_launch(consumer: Consumer, now: float) -> TimedLaunch | None:
    """The times of a consumer's launch, once its first message is known.

    Args:
        consumer: its record. A record that is `measured` was timed before.
        now: epoch seconds.

    Returns:
        The launch's start, ready time and first message in epoch seconds. None if it was timed before, if no message
        was taken yet, or if its start is not known.
    """
    launched_at, first_at = consumer.launched_at, consumer.first_message_at
    if consumer.measured or launched_at is None or first_at is None or first_at < launched_at:
        return None
    return TimedLaunch(consumer.instance_id, launched_at, consumer.ready_at, first_at, now)
