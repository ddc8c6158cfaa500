"""The Ledger port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sluice.model.consumers import BootState, Consumer, ConsumerWord
from sluice.model.draining import Drain, DrainCause, DrainState, Heartbeats, HookAction, LifecycleAction, StopCommand
from sluice.model.observed import Mode
from sluice.model.planning import (
    Action,
    Decision,
    Estimate,
    Figure,
    History,
    Memory,
    Outcome,
    OutcomeStatus,
    Reason,
    ReasonCode,
    TimedLaunch,
)
from sluice.model.redriving import Claim, Consignment, JobState, Quarantined, RedriveJob
from sluice.model.shadow import ScoreHistory, Shadow, ShadowFleet, ShadowQueue, Span, Tally
from sluice.model.usage import NeedWindow
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import LAUNCHES_KEPT, RETRY_MARK_S, Ledger
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, World, open_world
from tests.support.planner_steps import a_memory

FLEET = "orders"
AT = 1_767_225_600.25


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn, its table made."""
    for opened in open_world(request):
        if isinstance(opened, AwsWorld):
            opened.make_table()
        yield opened


@pytest.fixture
def ledger(world: World) -> Ledger:
    """That world's ledger."""
    return world.ports.ledger


def decision(number: int, at: float, fleet: str = FLEET) -> Decision:
    """A decision with every kind of field filled in."""
    return Decision(
        id=f"d{number}",
        fleet=fleet,
        at=at,
        mode=Mode.ACT,
        action=Action.SCALE_OUT,
        current=1,
        raw_need=9,
        want=4,
        reasons=(Reason(ReasonCode.NEED, "9 \u00d7 needed", 1, 9), Reason(ReasonCode.GROUP_MAX, "4 at most", 9, 4)),
        figures=(Figure("visible", 120.5, 3.25, "sqs"), Figure("oldest_age", None, None, "cloudwatch")),
        sentence="grow to 4: the queue needs 9",
        hot=True,
    )


def outcome(number: int, at: float) -> Outcome:
    """What came of it."""
    return Outcome(f"d{number}", at, OutcomeStatus.APPLIED, "200")


def drain(instance_id: str = "i-1", state: DrainState = DrainState.STOPPING, at: float = AT) -> Drain:
    """A drain with every field filled in."""
    return Drain(
        fleet=FLEET,
        instance_id=instance_id,
        state=state,
        cause=DrainCause.TERMINATE,
        started_at=at,
        deadline_at=at + 900,
        updated_at=at,
        action=LifecycleAction(HookAction("group", "hook", instance_id, "token"), at, "WarmPool"),
        stop=StopCommand("c-1", at, 1),
        heartbeats=Heartbeats(at + 1, 2),
        note="asked to stop",
    )


def letter(number: int, group: str = "g-1", at: float | None = None, message_group: str | None = None) -> Quarantined:
    """An index entry."""
    return Quarantined(
        fleet=FLEET,
        failure_group=group,
        message_id=f"m-{number:03d}",
        key=f"orders/2026/01/01/m-{number:03d}.json",
        cause="card declined",
        at=AT + number if at is None else at,
        first_sent_at=AT - 60,
        attempt=3,
        source="arn:aws:sqs:eu-central-1:123456789012:orders",
        size_bytes=12,
        sample="{\u20ac",
        message_group=message_group,
    )


def job(number: int, at: float = AT) -> RedriveJob:
    """A redrive job."""
    return RedriveJob(
        id=f"j-{number}",
        fleet=FLEET,
        state=JobState.RUNNING,
        requested_at=at,
        requested_by="a person",
        updated_at=at,
        failure_group="g-1",
        rate_per_s=2.5,
        stopped_groups=("g-2",),
    )


def ids(entries: tuple[Quarantined, ...]) -> list[str]:
    """Message ids."""
    return [entry.message_id for entry in entries]


# --------------------------------------------------------------------------- lease


def test_lease_is_refused_while_another_holds_it(ledger: Ledger) -> None:
    """One planner at a time; another fleet's lease is another's affair."""
    assert ledger.acquire(FLEET, "one", AT + 60, AT)
    assert not ledger.acquire(FLEET, "two", AT + 61, AT + 1)
    assert ledger.acquire("other", "two", AT + 61, AT + 1)


def test_lease_is_renewed_by_its_holder(ledger: Ledger) -> None:
    """The holder may take it again, and then holds it for longer."""
    assert ledger.acquire(FLEET, "one", AT + 60, AT)
    assert ledger.acquire(FLEET, "one", AT + 120, AT + 30)
    assert not ledger.acquire(FLEET, "two", AT + 130, AT + 70)


def test_lease_is_free_when_its_time_is_over(ledger: Ledger) -> None:
    """A planner that died holds nothing for longer than it said."""
    assert ledger.acquire(FLEET, "one", AT + 60, AT)
    assert ledger.acquire(FLEET, "two", AT + 120, AT + 60)
    assert not ledger.acquire(FLEET, "one", AT + 130, AT + 61)


def test_lease_is_free_when_given_back(ledger: Ledger) -> None:
    """Only the holder can give it back; what is not ours stays."""
    assert ledger.acquire(FLEET, "one", AT + 60, AT)
    ledger.release(FLEET, "two")
    assert not ledger.acquire(FLEET, "two", AT + 60, AT + 1)
    ledger.release(FLEET, "one")
    ledger.release(FLEET, "one")
    assert ledger.acquire(FLEET, "two", AT + 60, AT + 2)


# --------------------------------------------------------------------------- memory and decisions


def test_memory_is_empty_at_first_and_kept_whole(ledger: Ledger) -> None:
    """A day of minutes, estimates and all comes back as it was; other fleets have their own."""
    assert ledger.memory(FLEET) == Memory()
    memory = a_memory(
        rate=Estimate(0.3125, 12.5, AT),
        arrivals=History(60.0, AT, tuple(float(i % 7) for i in range(1440))),
        under_way=(("i-1", AT), ("i-2", AT + 1)),
        margin_share=0.125,
        shadow=Shadow(
            target_wait_s=120.0,
            at=AT - 240.5,
            fleet=ShadowFleet(3, 2.0, ((AT, AT + 60, 1.0),), ((AT + 5, 1.0, 0.5),), 1.5, ((AT - 9, AT - 1, 12.5),)),
            waiting=((AT - 90, AT - 80, 700.0),),
            ticks=((AT - 10, 3, 20.0, 1.0), (AT, 4, 20.0, 0.0)),
            needs=NeedWindow(((AT, 4),), AT - 900),
            restarted=(AT - 900, 310.0),
            score=ScoreHistory((Span(AT - 300, 240.0, 99.0, Tally(60.0, 1.0, 130.5, (0.0, 9.0)), Tally()),)),
        ),
    )
    ledger.keep_memory(FLEET, memory)
    assert ledger.memory(FLEET) == memory
    assert ledger.memory("other") == Memory()


def test_memory_of_several_queues_in_shadow_is_kept_whole(ledger: Ledger) -> None:
    """Each queue's line on both sides, and what it is scored by."""
    lines = ((AT - 60, AT - 30, 2.5),), ((AT - 9, AT, 1.0), (AT, AT, 3.0))
    fleet = ShadowFleet(2, 2.0, waiting=(), others=lines)
    queues = tuple(ShadowQueue(name, 60.0 * n, 3 - n, AT - n) for n, name in enumerate(("a", "b", "c"), start=1))
    memory = a_memory(shadow=Shadow(60.0, AT, fleet, lines[0], ((), lines[1]), queues=queues))
    ledger.keep_memory(FLEET, memory)
    assert ledger.memory(FLEET) == memory


def timed(number: int) -> TimedLaunch:
    """A launch, before it is noted."""
    return TimedLaunch(f"i-{number}", AT + number, AT + number + 60.5, AT + number + 61, AT + number + 62)


def test_launches_are_read_with_the_memory_when_others_have_noted_them(ledger: Ledger) -> None:
    """Before the planner's first tick and between two; it neither keeps nor loses them, and each has its number."""
    ledger.note_launch(FLEET, timed(1))
    assert ledger.memory(FLEET) == a_memory(timed=(replace(timed(1), number=1),))
    read = ledger.memory(FLEET)
    ledger.note_launch(FLEET, replace(timed(2), ready_at=None))
    ledger.keep_memory(FLEET, replace(read, learned_at=AT))
    both = (replace(timed(1), number=1), replace(timed(2), ready_at=None, number=2))
    assert ledger.memory(FLEET) == a_memory(learned_at=AT, timed=both)
    assert ledger.memory("other") == Memory()


def test_launches_are_forgotten_from_the_first_when_there_are_many(ledger: Ledger) -> None:
    """The last ones stay, their numbers go on, whatever was taken away before."""
    for number in range(1, 3 * LAUNCHES_KEPT):
        ledger.note_launch(FLEET, timed(number))
        last = ledger.memory(FLEET).timed
        assert [launch.number for launch in last] == list(range(max(1, number - LAUNCHES_KEPT + 1), number + 1))
        assert last[-1] == replace(timed(number), number=number)


def test_decisions_come_most_recent_first(world: World, ledger: Ledger) -> None:
    """The last ones of one fleet, whole, with their outcomes."""
    now = world.now()
    for number in range(5):
        ledger.record(decision(number, now + number), outcome(number, now + number))
    ledger.record(decision(9, now + 9, "other"), outcome(9, now + 9))
    assert [d.id for d, _ in ledger.decisions(FLEET, 3)] == ["d4", "d3", "d2"]
    assert ledger.decisions(FLEET, 1) == ((decision(4, now + 4), outcome(4, now + 4)),)
    assert len(ledger.decisions(FLEET, 100)) == 5


def test_decisions_are_of_a_span_when_asked(world: World, ledger: Ledger) -> None:
    """Both ends of the span belong to it."""
    now = world.now()
    for number in range(5):
        ledger.record(decision(number, now + number), outcome(number, now + number))
    assert [d.id for d, _ in ledger.decisions(FLEET, 10, since=now + 1, until=now + 3)] == ["d3", "d2", "d1"]
    assert [d.id for d, _ in ledger.decisions(FLEET, 2, until=now + 3)] == ["d3", "d2"]
    assert [d.id for d, _ in ledger.decisions(FLEET, 10, since=now + 3.001)] == ["d4"]


def test_decision_overwrites_itself_when_recorded_again(world: World, ledger: Ledger) -> None:
    """A repeated record is one record, with the later outcome."""
    now = world.now()
    ledger.record(decision(1, now), Outcome("d1", now, OutcomeStatus.FAILED, "throttled"))
    ledger.record(decision(1, now), outcome(1, now))
    assert [o.status for _, o in ledger.decisions(FLEET, 10)] == [OutcomeStatus.APPLIED]


# --------------------------------------------------------------------------- drains and jobs: versions


def test_drain_is_kept_whole_at_its_version(ledger: Ledger) -> None:
    """A new drain is version 1, and each writing is one more."""
    assert ledger.drain(FLEET, "i-1") is None
    first = ledger.keep_drain(drain())
    assert first == replace(drain(), version=1)
    second = ledger.keep_drain(replace(first, state=DrainState.DONE))
    assert second.version == 2
    assert ledger.drain(FLEET, "i-1") == second


def test_drain_is_refused_when_another_wrote_it_first(ledger: Ledger) -> None:
    """Neither a second first writing nor one on an old version goes through, and the ledger keeps the other's."""
    first = ledger.keep_drain(drain())
    with pytest.raises(ConflictError):
        ledger.keep_drain(drain())
    second = ledger.keep_drain(replace(first, note="theirs"))
    with pytest.raises(ConflictError):
        ledger.keep_drain(replace(first, note="ours"))
    assert ledger.drain(FLEET, "i-1") == second
    with pytest.raises(ConflictError):
        ledger.keep_drain(replace(drain("i-none"), version=4))
    assert ledger.drain(FLEET, "i-none") is None


def test_drains_are_listed_when_released_too(world: World, ledger: Ledger) -> None:
    """Every drain of one fleet on record, and only of that fleet."""
    now = world.now()
    ledger.keep_drain(drain("i-b", at=now))
    ledger.keep_drain(drain("i-a", DrainState.RELEASED, at=now))
    ledger.keep_drain(replace(drain("i-c", at=now), fleet="other"))
    assert [d.instance_id for d in ledger.drains(FLEET)] == ["i-a", "i-b"]


def consumer(instance_id: str, at: float) -> Consumer:
    """A consumer with every kind of field filled in."""
    return Consumer(
        fleet=FLEET,
        instance_id=instance_id,
        boot=BootState.WORKING,
        updated_at=at,
        launched_at=at - 90.5,
        ready_at=at - 30,
        first_message_at=at - 29,
        hook=HookAction("consumers", "sluice-ready", instance_id, "token"),
        hook_at=at - 80,
        word=ConsumerWord.BUSY,
        word_at=at,
        in_hand=3,
        protected=True,
    )


def test_consumers_are_kept_at_their_version_and_listed(world: World, ledger: Ledger) -> None:
    """Written like drains, and of one fleet each."""
    now = world.now()
    assert ledger.consumer(FLEET, "i-1") is None
    first = ledger.keep_consumer(consumer("i-1", now))
    assert first == replace(consumer("i-1", now), version=1)
    second = ledger.keep_consumer(replace(first, protected=False))
    with pytest.raises(ConflictError):
        ledger.keep_consumer(replace(first, word=ConsumerWord.IDLE))
    ledger.keep_consumer(replace(consumer("i-2", now), fleet="other"))
    assert ledger.consumer(FLEET, "i-1") == second
    assert ledger.consumers(FLEET) == (second,)


def test_job_is_kept_at_its_version(world: World, ledger: Ledger) -> None:
    """Jobs are written like drains, and listed most recent first."""
    now = world.now()
    assert ledger.job(FLEET, "j-1") is None
    first = ledger.keep_job(job(1, now))
    assert first.version == 1
    ledger.keep_job(job(2, now + 1))
    second = ledger.keep_job(replace(first, state=JobState.STOPPED, sent_count=3))
    with pytest.raises(ConflictError):
        ledger.keep_job(replace(first, note="ours"))
    assert ledger.job(FLEET, "j-1") == second
    assert [j.id for j in ledger.jobs(FLEET)] == ["j-2", "j-1"]
    assert ledger.jobs("other") == ()


# --------------------------------------------------------------------------- failure groups and quarantine


def test_failure_is_counted_as_seen(ledger: Ledger) -> None:
    """The first makes the group, later ones add to it and bring its cause, sample and last time up to date."""
    assert ledger.failure_group(FLEET, "g-1") is None
    first = ledger.note_failure(FLEET, "g-1", "declined", "one", AT)
    assert (first.seen_count, first.count, first.first_seen_at, first.last_seen_at) == (1, 0, AT, AT)
    assert first.again_count == 0
    second = ledger.note_failure(FLEET, "g-1", "card declined", "two", AT + 5, again=True)
    assert second.again_count == 1, "it had been sent back before"
    assert (second.seen_count, second.first_seen_at, second.last_seen_at) == (2, AT, AT + 5)
    assert (second.cause, second.sample) == ("card declined", "two")
    assert ledger.failure_group(FLEET, "g-1") == second


def test_groups_are_admitted_until_there_are_as_many_as_may_be(ledger: Ledger) -> None:
    """What is there stays usable; what would be one too many is refused, of this fleet alone."""
    assert all(ledger.admit_group(FLEET, f"g-{n}", "declined", AT) for n in range(GROUPS_MAX))
    assert ledger.admit_group(FLEET, "g-7", "declined", AT + 1)
    assert not ledger.admit_group(FLEET, "g-new", "declined", AT + 1)
    assert ledger.admit_group("other", "g-new", "declined", AT + 1)
    ledger.note_failure(FLEET, OVERFLOW.id, OVERFLOW.words, "one", AT + 1)
    assert len(ledger.failure_groups(FLEET)) == GROUPS_MAX + 1
    assert ledger.failure_group(FLEET, "g-new") is None
    made = ledger.failure_group(FLEET, "g-7")
    assert made is not None
    assert (made.count, made.seen_count, made.cause, made.first_seen_at) == (0, 0, "declined", AT)


def test_quarantine_size_is_kept_as_messages_come_and_go(ledger: Ledger) -> None:
    """One read, whatever the groups; a message that is indexed twice or let go twice counts once."""
    assert ledger.quarantine_size(FLEET) == 0
    entries = [letter(n, f"g-{n % 3}") for n in range(7)]
    assert all(ledger.quarantine(entry) for entry in entries)
    assert not ledger.quarantine(entries[0])
    assert ledger.quarantine_size(FLEET) == sum(group.count for group in ledger.failure_groups(FLEET)) == 7
    assert ledger.let_go(entries[0])
    assert not ledger.let_go(entries[0])
    ledger.let_go_all(entries[:5])
    assert ledger.quarantine_size(FLEET) == sum(group.count for group in ledger.failure_groups(FLEET)) == 2
    assert ledger.quarantine_size("other") == 0


def test_failure_is_counted_in_its_hour_and_minute(ledger: Ledger) -> None:
    """The trend of some days by the hour, and of some minutes by the minute: what is older is left out."""
    hour, minute = int(AT // 3_600), int(AT // 60)
    for at in (AT, AT + 1, AT + 61, AT + 3_600):
        group = ledger.note_failure(FLEET, "g-1", "declined", "one", at)
    assert group.hours == ((hour, 3), (hour + 1, 1))
    assert group.minutes == ((minute + 60, 1),)
    assert group.seen_within(120, AT + 3_600) == 1
    for n in range(40):
        group = ledger.note_failure(FLEET, "g-1", "declined", "one", AT + 3_600 * (60 + n))
    assert group.hours == tuple((hour + n, 1) for n in range(28, 100) if n >= 60)
    assert (group.seen_count, len(group.minutes)) == (44, 1)
    assert ledger.failure_group(FLEET, "g-1") == group


def test_redrive_of_a_group_is_counted_anew_with_each_job(ledger: Ledger) -> None:
    """How the last one went; what comes back of an earlier one no longer counts."""
    ledger.note_redriven(FLEET, "g-1", "j-1", 3, AT)
    assert ledger.failure_group(FLEET, "g-1") is None
    ledger.note_failure(FLEET, "g-1", "declined", "one", AT)
    ledger.note_redriven(FLEET, "g-1", "j-1", 3, AT + 1)
    ledger.note_redriven(FLEET, "g-1", "j-1", 7, AT + 2)
    ledger.note_returned(FLEET, "g-1", "j-1")
    group = ledger.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.redrive_job, group.redriven_at, group.redriven_count, group.returned_count) == ("j-1", AT + 1, 10, 1)
    ledger.note_redriven(FLEET, "g-1", "j-2", 2, AT + 9)
    ledger.note_returned(FLEET, "g-1", "j-1")
    group = ledger.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.redrive_job, group.redriven_at, group.redriven_count, group.returned_count) == ("j-2", AT + 9, 2, 0)


def test_archived_group_comes_back_when_it_is_seen_again(ledger: Ledger) -> None:
    """Set aside until then, or until a person takes it out."""
    assert ledger.archive_group(FLEET, "g-1", AT) is None
    ledger.note_failure(FLEET, "g-1", "declined", "one", AT)
    group = ledger.archive_group(FLEET, "g-1", AT + 5)
    assert group is not None
    assert (group.archived_at, group.is_archived) == (AT + 5, True)
    assert not ledger.note_failure(FLEET, "g-1", "declined", "two", AT + 6).is_archived
    group = ledger.archive_group(FLEET, "g-1", None)
    assert group is not None
    assert (group.archived_at, group.seen_count) == (None, 2)


def test_cause_is_remembered_when_it_is_told(world: World, ledger: Ledger) -> None:
    """By message, the last one that was told; none of the others."""
    now = world.now()
    ledger.keep_cause(FLEET, "m-1", "KeyError", now)
    ledger.keep_cause(FLEET, "m-1", "KeyError: 'street'", now + 1)
    ledger.keep_cause("other", "m-2", "timeout", now)
    assert ledger.causes(FLEET, ["m-1", "m-2", "m-1"]) == {"m-1": "KeyError: 'street'"}
    assert ledger.causes(FLEET, []) == {}


def test_failure_groups_come_most_recently_seen_first(ledger: Ledger) -> None:
    """Every group of one fleet."""
    for number in range(3):
        ledger.note_failure(FLEET, f"g-{number}", "cause", "sample", AT + number)
    ledger.note_failure(FLEET, "g-0", "cause", "sample", AT + 10)
    ledger.note_failure("other", "g-9", "cause", "sample", AT + 11)
    assert [group.id for group in ledger.failure_groups(FLEET)] == ["g-0", "g-2", "g-1"]


def test_quarantined_message_is_counted_once_when_repeated(ledger: Ledger) -> None:
    """The second indexing of a message, even at another time, changes nothing."""
    ledger.note_failure(FLEET, "g-1", "declined", "one", AT)
    assert ledger.quarantine(letter(1))
    assert not ledger.quarantine(letter(1, at=AT + 500))
    group = ledger.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.count, group.seen_count) == (1, 1)
    assert ledger.quarantined_message(FLEET, "m-001") == letter(1)
    assert ledger.quarantined(FLEET) == ((letter(1),), None)


def test_quarantine_makes_the_group_when_it_was_not_noted(ledger: Ledger) -> None:
    """A crash between the two leaves no message without its group."""
    assert ledger.quarantine(letter(1))
    group = ledger.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.count, group.seen_count, group.cause, group.sample) == (1, 0, "card declined", "{\u20ac")
    assert (group.first_seen_at, group.last_seen_at) == (AT + 1, AT + 1)


def test_index_is_paged_oldest_first(ledger: Ledger) -> None:
    """Over all failure groups or one, by pages that neither repeat nor leave out."""
    for number in (3, 1, 4, 0, 2):
        ledger.quarantine(letter(number, "g-even" if number % 2 == 0 else "g-odd"))
    pages, after = [], None
    for _ in range(3):
        page, after = ledger.quarantined(FLEET, limit=2, after=after)
        pages.append(ids(page))
    assert pages == [["m-000", "m-001"], ["m-002", "m-003"], ["m-004"]]
    assert after is None
    page, after = ledger.quarantined(FLEET, "g-even", limit=2)
    assert ids(page) == ["m-000", "m-002"]
    page, after = ledger.quarantined(FLEET, "g-even", limit=2, after=after)
    assert (ids(page), after) == (["m-004"], None)
    assert ledger.quarantined("other") == ((), None)


def test_index_has_no_next_page_when_the_last_is_just_full(ledger: Ledger) -> None:
    """None says that there is no more, also at the boundary."""
    for number in range(4):
        ledger.quarantine(letter(number))
    _, after = ledger.quarantined(FLEET, limit=2)
    page, after = ledger.quarantined(FLEET, limit=2, after=after)
    assert (ids(page), after) == (["m-002", "m-003"], None)


def test_page_goes_on_when_its_last_entry_was_let_go(ledger: Ledger) -> None:
    """A cursor is a place, not an entry: redriving a page does not lose the next."""
    for number in range(4):
        ledger.quarantine(letter(number))
    page, after = ledger.quarantined(FLEET, limit=2)
    for entry in page:
        assert ledger.let_go(entry)
    assert ids(ledger.quarantined(FLEET, limit=2, after=after)[0]) == ["m-002", "m-003"]


def test_failure_groups_keep_apart_when_one_name_begins_with_the_other(ledger: Ledger) -> None:
    """No group's page holds another's messages."""
    ledger.quarantine(letter(1, "g"))
    ledger.quarantine(letter(2, "g#1"))
    ledger.quarantine(letter(3, "g/\u00e9"))
    assert ids(ledger.quarantined(FLEET, "g")[0]) == ["m-001"]
    assert ids(ledger.quarantined(FLEET, "g#1")[0]) == ["m-002"]
    assert ids(ledger.quarantined(FLEET, "g/\u00e9")[0]) == ["m-003"]


def test_let_go_takes_a_message_out_once(ledger: Ledger) -> None:
    """Out of the index and the group's count, whatever the caller's copy says; the second time it was gone."""
    ledger.quarantine(letter(1))
    ledger.quarantine(letter(2))
    assert ledger.let_go(replace(letter(1), failure_group="g-wrong", at=AT + 77))
    assert not ledger.let_go(letter(1))
    assert ids(ledger.quarantined(FLEET)[0]) == ["m-002"]
    assert ids(ledger.quarantined(FLEET, "g-1")[0]) == ["m-002"]
    assert ledger.quarantined_message(FLEET, "m-001") is None
    group = ledger.failure_group(FLEET, "g-1")
    assert group is not None
    assert group.count == 1


def test_message_can_be_quarantined_again_when_it_was_let_go(ledger: Ledger) -> None:
    """Unless it was sent: then a repeated dead letter is the same one, and not indexed again."""
    ledger.quarantine(letter(1))
    ledger.let_go(letter(1))
    assert ledger.quarantine(letter(1))
    ledger.let_go(letter(1))
    ledger.claim_retries(FLEET, ["m-001"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["m-001"], AT)
    assert not ledger.quarantine(letter(1))
    assert ledger.quarantined(FLEET) == ((), None)


def test_message_group_is_held_while_any_of_it_is_quarantined(ledger: Ledger) -> None:
    """By the failure group that came first, until the last message is let go; then anew."""
    assert ledger.held_in(FLEET, "customer 7") is None
    ledger.quarantine(letter(1, "g-1", message_group="customer 7"))
    ledger.quarantine(letter(2, "g-2", message_group="customer 7"))
    ledger.quarantine(letter(3, "g-3", message_group="customer 8"))
    assert ledger.held_in(FLEET, "customer 7") == "g-1"
    ledger.let_go(letter(1))
    assert ledger.held_in(FLEET, "customer 7") == "g-1"
    ledger.let_go(letter(2))
    assert ledger.held_in(FLEET, "customer 7") is None
    ledger.quarantine(letter(4, "g-4", message_group="customer 7"))
    assert ledger.held_in(FLEET, "customer 7") == "g-4"
    assert ledger.held_in("other", "customer 7") is None


# --------------------------------------------------------------------------- sending again


def test_retry_is_granted_once(ledger: Ledger) -> None:
    """While the claimant is at it, everyone else is told so, message by message."""
    assert ledger.claim_retries(FLEET, ["a", "b"], AT + 60, AT) == {"a": Claim.GRANTED, "b": Claim.GRANTED}
    assert ledger.claim_retries(FLEET, ["b", "c"], AT + 61, AT + 1) == {"b": Claim.BUSY, "c": Claim.GRANTED}
    assert ledger.claim_retries("other", ["a"], AT + 61, AT + 1) == {"a": Claim.GRANTED}


def test_retry_is_sent_when_confirmed(ledger: Ledger) -> None:
    """What was sent stays sent, also after the claimant's time, also on a person's word."""
    ledger.claim_retries(FLEET, ["a"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["a"], AT + 1)
    assert ledger.claim_retries(FLEET, ["a"], AT + 999, AT + 100) == {"a": Claim.SENT}
    assert ledger.claim_retries(FLEET, ["a"], AT + 999, AT + 100, again=True) == {"a": Claim.SENT}


def test_retry_is_doubtful_when_its_claimant_is_gone(ledger: Ledger) -> None:
    """It may have been sent: only a person's word grants it again, and that once."""
    ledger.claim_retries(FLEET, ["a"], AT + 60, AT)
    assert ledger.claim_retries(FLEET, ["a"], AT + 120, AT + 60) == {"a": Claim.DOUBTFUL}
    assert ledger.claim_retries(FLEET, ["a"], AT + 120, AT + 60, again=True) == {"a": Claim.GRANTED}
    assert ledger.claim_retries(FLEET, ["a"], AT + 130, AT + 70, again=True) == {"a": Claim.BUSY}


def test_retry_is_free_when_released(ledger: Ledger) -> None:
    """What was surely not sent can be claimed again; what was sent cannot be released."""
    ledger.claim_retries(FLEET, ["a", "b"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["b"], AT)
    ledger.release_retries(FLEET, ["a", "b", "never claimed"])
    assert ledger.claim_retries(FLEET, ["a", "b"], AT + 61, AT + 1) == {"a": Claim.GRANTED, "b": Claim.SENT}


def test_retry_is_free_when_no_copy_can_be_left(ledger: Ledger) -> None:
    """A mark is good for as long as a copy of the message may be in a queue, and no longer."""
    ledger.claim_retries(FLEET, ["a"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["a"], AT)
    later = AT + RETRY_MARK_S + 1
    assert ledger.claim_retries(FLEET, ["a"], later, later - 2) == {"a": Claim.SENT}
    assert ledger.claim_retries(FLEET, ["a"], later + 60, later) == {"a": Claim.GRANTED}


def test_many_retries_are_claimed_confirmed_and_released_at_once(ledger: Ledger) -> None:
    """More than a transaction holds, some of them another's: each by itself, as one would be."""
    many = [f"m-{n:03d}" for n in range(230)]
    ledger.claim_retries(FLEET, many[100:103], AT + 60, AT)
    ledger.confirm_retries(FLEET, many[102:103], AT)
    claims = ledger.claim_retries(FLEET, many, AT + 61, AT + 1)
    assert {m for m in many if claims[m] is not Claim.GRANTED} == set(many[100:103])
    assert [claims[m] for m in many[100:103]] == [Claim.BUSY, Claim.BUSY, Claim.SENT]
    ledger.confirm_retries(FLEET, many[103:], AT + 2)
    ledger.release_retries(FLEET, many)
    again = ledger.claim_retries(FLEET, many, AT + 62, AT + 2)
    assert {m for m in many if again[m] is Claim.SENT} == set(many[102:])
    assert {m for m in many if again[m] is Claim.GRANTED} == set(many[:102])


def test_marks_are_told_without_a_claim(ledger: Ledger) -> None:
    """Those that have one; asking changes nothing."""
    ledger.claim_retries(FLEET, ["a", "b", "c"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["b"], AT)
    for _ in range(2):
        assert ledger.retry_marks(FLEET, ["a", "b", "d"], AT + 1) == {"a": Claim.BUSY, "b": Claim.SENT}
    assert ledger.retry_marks(FLEET, ["a", "b"], AT + 61) == {"a": Claim.DOUBTFUL, "b": Claim.SENT}
    assert ledger.retry_marks(FLEET, ["a"], AT + RETRY_MARK_S + 1) == {}
    assert ledger.retry_marks("other", ["a"], AT + 1) == {}
    assert ledger.retry_marks(FLEET, [], AT + 1) == {}


def consignment(*ids: str, name: str = "c-1", sent: tuple[str, ...] = (), at: float = AT) -> Consignment:
    """A consignment of these messages."""
    return Consignment(FLEET, name, at, at + 60, ids, sent)


def test_consignment_is_granted_once(ledger: Ledger) -> None:
    """What one record claims, no other claim gets, of whichever kind; what another has, it does not get."""
    ledger.claim_retries(FLEET, ["b", "c"], AT + 60, AT)
    ledger.confirm_retries(FLEET, ["c"], AT)
    claims = ledger.consign(consignment("a", "b", "c", "d"))
    assert claims == {"a": Claim.GRANTED, "b": Claim.BUSY, "c": Claim.SENT, "d": Claim.GRANTED}
    assert ledger.consign(consignment("d", "e", name="c-2")) == {"d": Claim.BUSY, "e": Claim.GRANTED}
    assert ledger.claim_retries(FLEET, ["a", "f"], AT + 60, AT) == {"a": Claim.BUSY, "f": Claim.GRANTED}
    assert ledger.retry_marks(FLEET, ["a", "c", "e"], AT) == {"a": Claim.BUSY, "c": Claim.SENT, "e": Claim.BUSY}


def test_consignment_says_what_was_sent_when_it_is_settled(ledger: Ledger) -> None:
    """What it no longer names is free; what may have been sent is in doubt once its claimant is gone."""
    ledger.consign(consignment("a", "b", "c"))
    ledger.settle_consignment(consignment("b", sent=("a",)))
    assert ledger.claim_retries(FLEET, ["a", "b", "c"], AT + 130, AT + 70) == {
        "a": Claim.SENT, "b": Claim.DOUBTFUL, "c": Claim.GRANTED,
    }  # fmt: skip
    ledger.release_retries(FLEET, ["a", "b", "c"])
    assert ledger.consign(consignment("a", "b", name="c-2", at=AT + 70), again=True) == {
        "a": Claim.SENT, "b": Claim.GRANTED,
    }  # fmt: skip


def test_consignment_is_forgotten_when_it_names_nothing(ledger: Ledger) -> None:
    """And by itself, once no copy of its messages can be in a queue."""
    ledger.consign(consignment("a"))
    ledger.settle_consignment(consignment())
    assert ledger.retry_marks(FLEET, ["a"], AT) == {}
    ledger.settle_consignment(consignment(sent=("a",)))
    later = AT + RETRY_MARK_S + 1
    assert ledger.claim_retries(FLEET, ["a"], later, later - 2) == {"a": Claim.SENT}
    assert ledger.claim_retries(FLEET, ["a"], later + 60, later) == {"a": Claim.GRANTED}


def test_consignment_sees_the_marks_when_there_are_many(ledger: Ledger) -> None:
    """Above a few hundred its messages' own marks are asked for; the answer is the same."""
    many = [f"m-{n:03d}" for n in range(450)]
    ledger.claim_retries(FLEET, many, AT + 60, AT)
    ledger.confirm_retries(FLEET, many[400:], AT)
    claims = ledger.consign(consignment("a", many[0], many[449]))
    assert claims == {"a": Claim.GRANTED, many[0]: Claim.BUSY, many[449]: Claim.SENT}


def test_many_are_let_go_when_some_of_them_are_gone(ledger: Ledger) -> None:
    """Out of the index and of their groups' counts and holds, each once."""
    for n in range(30):
        ledger.quarantine(letter(n, "g-even" if n % 2 == 0 else "g-odd"))
    ledger.quarantine(letter(30, "g-held", message_group="customer 7"))
    ledger.let_go(letter(3, "g-odd"))
    ledger.let_go_all([letter(n, "g-even" if n % 2 == 0 else "g-odd") for n in range(28)])
    ledger.let_go_all([letter(30, "g-held", message_group="customer 7")])
    ledger.let_go_all([])
    assert ids(ledger.quarantined(FLEET)[0]) == ["m-028", "m-029"]
    assert {group.id: group.count for group in ledger.failure_groups(FLEET)} == {"g-even": 1, "g-odd": 1, "g-held": 0}
    assert ledger.held_in(FLEET, "customer 7") is None


def test_attempts_are_remembered(world: World, ledger: Ledger) -> None:
    """For messages that cannot carry the count; none are known of the others."""
    assert ledger.attempts(FLEET, "key") == 0
    ledger.keep_attempts(FLEET, "key", 2, world.now())
    ledger.keep_attempts(FLEET, "key", 3, world.now())
    assert ledger.attempts(FLEET, "key") == 3
    assert ledger.attempts("other", "key") == 0
