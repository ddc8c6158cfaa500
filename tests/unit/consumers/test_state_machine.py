"""When an instance counts, and what its consumer says: every pair of state and event, then like a day at the group."""

from dataclasses import replace

import pytest

from sluice.consumers.protection import BUSY_TIMEOUT_S, ProtectionPlan, is_busy, plan_protection
from sluice.consumers.state_machine import (
    BOOT_TABLE,
    REPORT_FRESH_S,
    BootEvent,
    BootEventKind,
    LaunchStarted,
    LeftGroup,
    ReportReceived,
    SeenInGroup,
    TrackedInstance,
    advance_boot,
    time_launch,
)
from sluice.model.consumers import UNNAMED, BootState, BootStep, Consumer, ConsumerStatus, LastReport, Report
from sluice.model.draining import CompleteHook, HookAction, HookResult
from sluice.model.observed import GroupReading, Instance, Lifecycle
from sluice.model.planning import TimedLaunch

NOW = 1_000_000.0
ID = "i-0c0ffee1234567890"
OURS = HookAction("consumers", "sluice-ready", ID)
HOOK = replace(OURS, token="token-1")
HELD = TrackedInstance("orders", ID, OURS)
FREE = TrackedInstance("orders", ID)


def a_consumer(boot: BootState, **changes: object) -> Consumer:
    """A consumer's record in that state; its launch began a minute ago."""
    up = boot in {BootState.READY, BootState.WORKING}
    consumer = Consumer(
        fleet="orders",
        instance_id=ID,
        boot=boot,
        updated_at=NOW - 20,
        launched_at=NOW - 60,
        ready_at=NOW - 20 if up else None,
        first_message_at=NOW - 15 if boot is BootState.WORKING else None,
        hook=HOOK,
        hook_at=NOW - 50,
        reports=(LastReport(UNNAMED, ConsumerStatus.READY, NOW - 20),) if up else (),
        version=2,
    )
    return replace(consumer, **changes)  # type: ignore[arg-type]


def reported(status: ConsumerStatus, at: float = NOW, in_flight: int | None = None) -> ReportReceived:
    """The consumer says something now."""
    return ReportReceived(Report(ID, status, at, in_flight))


EVENTS: tuple[BootEvent, ...] = (
    LaunchStarted(HOOK, NOW - 50),
    LaunchStarted(replace(HOOK, token="token-2"), NOW),
    SeenInGroup(OURS, waiting=True, launched_at=NOW - 60),
    SeenInGroup(OURS, waiting=True, launched_at=NOW - 5),
    SeenInGroup(None, waiting=False, launched_at=NOW - 60),
    *(reported(status, at) for status in ConsumerStatus for at in (NOW, NOW - 300)),
    LeftGroup(),
)
PLACES: tuple[BootState | None, ...] = (None, *BootState)


def records_at(place: BootState | None) -> tuple[Consumer | None, ...]:
    """Records of a state in several conditions."""
    if place is None:
        return (None,)
    return a_consumer(place), a_consumer(place, hook=None, hook_at=None, launched_at=None, reports=())


@pytest.mark.parametrize("place", PLACES)
def test_advance_boot_keeps_to_the_table_when_any_event_comes(place: BootState | None) -> None:
    """A row leads where it says or stays; no row changes nothing at all; every target is reached."""
    reached: dict[BootEventKind, set[BootState]] = {kind: set() for kind in BootEventKind}
    for event in EVENTS:
        for record in records_at(place):
            for instance in (HELD, FREE):
                step = advance_boot(record, event, instance, NOW)
                transition = BOOT_TABLE.get((place, event.kind))
                if transition is None:
                    assert step == BootStep(record)
                    continue
                after = step.consumer.boot if step.consumer else None
                assert after == place or after in transition.to
                if after is not None:
                    reached[event.kind].add(after)
    wanted = {kind: row.to for (at, kind), row in BOOT_TABLE.items() if at == place}
    assert {kind: to - reached[kind] for kind, to in wanted.items() if to - reached[kind]} == {}


# --------------------------------------------------------------------------- a launch


def test_instance_counts_when_its_consumer_is_ready() -> None:
    """10:00 it is held; 10:01 its consumer has its database: the hook is completed, by its token."""
    held = advance_boot(None, LaunchStarted(HOOK, NOW - 60), HELD, NOW - 59)
    assert held.actions == ()
    step = advance_boot(held.consumer, reported(ConsumerStatus.READY), HELD, NOW)
    assert step.actions == (CompleteHook(HOOK, HookResult.CONTINUE),)
    assert step.consumer is not None
    assert (step.consumer.boot, step.consumer.ready_at) == (BootState.READY, NOW)


def test_launch_is_abandoned_when_the_consumer_will_never_be_ready() -> None:
    """Its artifact is broken: the group need not wait for the hook's timeout."""
    step = advance_boot(a_consumer(BootState.BOOTING), reported(ConsumerStatus.FAILED), HELD, NOW)
    assert step.actions == (CompleteHook(HOOK, HookResult.ABANDON),)
    assert step.consumer is not None
    assert step.consumer.boot is BootState.LOST


def test_ready_instance_is_let_in_when_its_completion_was_lost() -> None:
    """The group still shows it waiting: completed again, once the reading has settled."""
    ready = a_consumer(BootState.READY, ready_at=NOW - 10, launched_at=NOW - 60)
    waiting = SeenInGroup(OURS, waiting=True, launched_at=NOW - 60)
    assert advance_boot(ready, waiting, HELD, NOW).actions == ()
    assert advance_boot(ready, waiting, HELD, NOW + 10).actions == (CompleteHook(OURS),)


def test_first_word_lets_in_when_the_launch_event_was_lost() -> None:
    """Nothing is known of the launch: a fresh word of its consumer is enough, by instance id."""
    step = advance_boot(None, reported(ConsumerStatus.READY), HELD, NOW + 2)
    assert step.actions == (CompleteHook(OURS, HookResult.CONTINUE),)


def test_old_word_lets_nobody_in_when_nothing_is_known_of_the_launch() -> None:
    """It may be of a life before the warm pool; a consumer that waits repeats itself."""
    assert advance_boot(None, reported(ConsumerStatus.READY), HELD, NOW + REPORT_FRESH_S + 1) == BootStep(None)


def test_earlier_life_lets_nobody_in_when_the_instance_comes_from_a_warm_pool() -> None:
    """It was ready before it was stopped: launched anew, by event or found waiting, it must say so again."""
    worked = a_consumer(BootState.WORKING)
    again = advance_boot(worked, LaunchStarted(replace(HOOK, token="token-2"), NOW), HELD, NOW)
    found = advance_boot(worked, SeenInGroup(OURS, waiting=True, launched_at=NOW - 5), HELD, NOW)
    left = advance_boot(worked, LeftGroup(), HELD, NOW).consumer
    assert left is not None
    assert left.boot is BootState.LEFT
    back = advance_boot(left, SeenInGroup(OURS, waiting=True, launched_at=None), HELD, NOW)
    for step in (again, found, back):
        assert step.actions == ()
        assert step.consumer is not None
        assert (step.consumer.boot, step.consumer.ready_at) == (BootState.BOOTING, None)
    late = advance_boot(again.consumer, reported(ConsumerStatus.READY, NOW - 1), HELD, NOW + 1)
    assert late == BootStep(again.consumer), "said before this launch began"


def test_word_changes_nothing_when_it_is_doubled_or_out_of_order() -> None:
    """Only what is later than the last word counts."""
    busy = advance_boot(a_consumer(BootState.READY), reported(ConsumerStatus.BUSY), FREE, NOW).consumer
    assert advance_boot(busy, reported(ConsumerStatus.BUSY), FREE, NOW + 1) == BootStep(busy)
    assert advance_boot(busy, reported(ConsumerStatus.IDLE, NOW - 1), FREE, NOW + 1) == BootStep(busy)


def test_busy_counts_when_two_words_were_said_in_one_second() -> None:
    """Events' times have whole seconds: who is ready and at once busy is busy, in whatever order that comes."""
    ready, busy = reported(ConsumerStatus.READY), reported(ConsumerStatus.BUSY)
    first = advance_boot(a_consumer(BootState.BOOTING), ready, FREE, NOW).consumer
    then = advance_boot(first, busy, FREE, NOW).consumer
    assert then is not None
    assert (then.boot, [last.status for last in then.reports]) == (BootState.WORKING, [ConsumerStatus.BUSY])
    assert advance_boot(then, ready, FREE, NOW) == BootStep(then)
    assert advance_boot(then, reported(ConsumerStatus.IDLE), FREE, NOW) == BootStep(then)


def test_boot_is_lost_when_its_instance_left_before_it_was_ready() -> None:
    """The hook timed out and the group replaced it."""
    step = advance_boot(a_consumer(BootState.BOOTING), LeftGroup(), HELD, NOW)
    assert step.consumer is not None
    assert step.consumer.boot is BootState.LOST


def test_nothing_is_completed_when_the_fleet_has_no_launch_hook() -> None:
    """Reports are as welcome; there is nothing to complete."""
    step = advance_boot(None, reported(ConsumerStatus.READY), FREE, NOW + 300)
    assert step.actions == ()
    assert step.consumer is not None
    assert step.consumer.boot is BootState.READY


# --------------------------------------------------------------------------- what launches took


def test_launch_is_timed_when_its_first_message_is_known() -> None:
    """From the group's own activity to the consumer's word; the first busy is the first message."""
    found = advance_boot(None, reported(ConsumerStatus.READY), FREE, NOW).consumer
    assert found is not None
    assert time_launch(found, NOW) is None
    found = advance_boot(found, SeenInGroup(None, waiting=False, launched_at=NOW - 70), FREE, NOW + 1).consumer
    found = advance_boot(found, reported(ConsumerStatus.BUSY, NOW + 5, in_flight=1), FREE, NOW + 6).consumer
    assert found is not None
    timed = TimedLaunch(found.instance_id, NOW - 70, NOW, NOW + 5, NOW + 6)
    assert time_launch(found, NOW + 6) == timed
    assert (timed.to_ready_s, timed.to_first_message_s) == (70.0, 75.0)
    again = advance_boot(found, reported(ConsumerStatus.BUSY, NOW + 65), FREE, NOW + 66).consumer
    assert again is not None
    assert time_launch(again, NOW + 6) == timed, "only the first counts"
    assert time_launch(replace(again, measured=True), NOW + 6) is None


@pytest.mark.parametrize(
    ("ready_s", "first_s", "lead_s"),
    [(60.0, 60.2, 60.2), (60.0, 80.0, 80.0), (60.0, 3_600.0, 60.0), (None, 75.0, 75.0), (75.0, 75.0, 75.0)],
    ids=["at once", "within a receive's longest wait", "nothing was there", "never said ready", "first word is busy"],
)
def test_lead_time_leaves_out_the_wait_for_a_message_when_there_was_none(
    ready_s: float | None, first_s: float, lead_s: float
) -> None:
    """A consumer that was ready for an hour before anything came took no hour to launch."""
    ready_at = None if ready_s is None else NOW + ready_s
    assert TimedLaunch("i-1", NOW, ready_at, NOW + first_s, NOW + first_s).lead_s == pytest.approx(lead_s)


@pytest.mark.parametrize("waiting", [True, False], ids=["held", "in service"])
@pytest.mark.parametrize("report_first", [True, False], ids=["word first", "reading first"])
def test_launch_never_ends_before_it_began_when_events_tell_whole_seconds(waiting: bool, report_first: bool) -> None:
    """Scenario: ready 0.6 s after the launch, told by an event without fractions: 0.3 s before it, by the figures."""
    instance = HELD if waiting else FREE
    found = SeenInGroup(OURS if waiting else None, waiting=waiting, launched_at=NOW + 0.3)
    events: list[BootEvent] = [found, reported(ConsumerStatus.READY, NOW)]
    known: Consumer | None = None
    for event in [
        *(reversed(events) if report_first else events),
        reported(ConsumerStatus.BUSY, NOW, in_flight=1),
        found,
    ]:
        known = advance_boot(known, event, instance, NOW + 1).consumer
    assert known is not None
    assert known.boot is BootState.WORKING, "it is the same launch"
    assert known.launched_at is not None
    assert known.ready_at is not None
    assert known.first_message_at is not None
    assert NOW <= known.launched_at <= known.ready_at <= known.first_message_at <= NOW + 0.3


# --------------------------------------------------------------------------- scale-in protection


def a_group(**protected: bool) -> GroupReading:
    """A group of instances in service, by id, and one that is terminating."""
    instances = [Instance(key, Lifecycle.IN_SERVICE, "InService", protected=value) for key, value in protected.items()]
    leaving = Instance("leaving", Lifecycle.DRAINING, "Terminating:Wait")
    return GroupReading("consumers", NOW, len(instances), 0, 10, (*instances, leaving))


def one(instance_id: str, status: ConsumerStatus, ago_s: float = 0.0, *, ours: bool = False) -> Consumer:
    """A consumer whose last report is so old."""
    reports = (LastReport(UNNAMED, status, NOW - ago_s),)
    return Consumer("orders", instance_id, BootState.WORKING, NOW, reports=reports, protected=ours)


def test_protection_is_planned_when_consumers_have_spoken() -> None:
    """The busy get it; ours is lifted of the idle and of those that crashed; an operator's is left alone."""
    consumers = (
        one("busy", ConsumerStatus.BUSY),
        one("still", ConsumerStatus.BUSY, ours=True),
        one("idle", ConsumerStatus.IDLE, ours=True),
        one("crashed", ConsumerStatus.BUSY, BUSY_TIMEOUT_S, ours=True),
        one("theirs", ConsumerStatus.IDLE),
        one("leaving", ConsumerStatus.BUSY, ours=True),
        one("lifted", ConsumerStatus.IDLE, ours=True),
        one("gone", ConsumerStatus.BUSY),
    )
    reading = a_group(busy=False, still=True, idle=True, crashed=True, theirs=True, lifted=False)
    assert plan_protection(consumers, reading, NOW) == ProtectionPlan(
        protect=("busy",), lift=("idle", "crashed"), forget=("leaving", "lifted")
    )


def test_protection_is_set_again_when_only_the_record_was_written() -> None:
    """The drainer died between record and call: busy, ours on record, not protected."""
    plan = plan_protection([one("busy", ConsumerStatus.BUSY, ours=True)], a_group(busy=False), NOW)
    assert plan == ProtectionPlan(protect=("busy",))


def test_consumer_is_busy_for_three_minutes_after_its_last_word() -> None:
    """Then it is taken for crashed."""
    assert is_busy(one("i-1", ConsumerStatus.BUSY, BUSY_TIMEOUT_S - 1), NOW)
    assert not is_busy(one("i-1", ConsumerStatus.BUSY, BUSY_TIMEOUT_S), NOW)
    assert not is_busy(one("i-1", ConsumerStatus.DRAINING), NOW)
