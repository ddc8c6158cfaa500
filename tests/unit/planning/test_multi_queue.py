"""Several queues on one fleet: their readings as one, what each asks for, and hours of a shared fleet."""

from dataclasses import replace

import pytest

from sluice.model.decisions import Action, ReasonCode
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.planning import Estimate, ExpectedBatch, History, Memory, Snapshot
from sluice.planning.deadlines import need
from sluice.planning.demand import QueueDemand
from sluice.planning.multi_queue import needs, pooled
from sluice.planning.supply import Supply
from tests.support.planner_steps import a_memory, learn_from, plan_for
from tests.support.planner_world import NINE, a_group, a_queue, decide
from tests.support.sharing_world import SharedWorld, a_shared_fleet

NOTHING = Supply(0.0, 1.0, 0.0, 1.0, 10.0, blind_s=70.0)  # nothing is there; a unit completes one message a second
URGENT = {"queue": "urgent", "target_wait_s": 60, "priority": 1}
BULK = {"queue": "bulk", "target_wait_s": 3600}


def demand(name: str, due: tuple[tuple[float, float], ...], *, priority: int = 0, per_s: float = 0.0) -> QueueDemand:
    """A queue whose messages are due as told, and all wait now."""
    return QueueDemand(name, priority, due, 100.0, due[-1][1], per_s=per_s)


def shared(*readings: QueueReading, at: float = NINE, working: int = 0, queues=(URGENT, BULK), **changes):
    """A snapshot of a shared fleet and the fleet."""
    fleet = a_shared_fleet(*queues, **changes)
    return Snapshot("orders", at, pooled(fleet.sources, readings), a_group(at, working), queues=tuple(readings)), fleet


# --------------------------------------------------------------------------- readings


def test_readings_as_one_are_sums_of_what_is_consumed() -> None:
    """As old as the oldest in them; of a paused queue nothing waits, but what is in flight is worked on."""
    fleet = a_shared_fleet(URGENT, BULK, {"queue": "later", "paused": True})
    late = a_queue(NINE, 100, 5, 7, oldest_s=30.0, per_minute=(1.0, 2.0), done_per_minute=(3.0, 1.0), age_s=20.0)
    readings = (a_queue(NINE, 3, 2, 1, oldest_s=9.0, per_minute=(10.0, 20.0)), late, late)
    one = pooled(fleet.sources, readings)
    assert one.visible == Reading(103.0, NINE - 20.0)
    assert one.in_flight == Reading(12.0, NINE - 20.0)
    assert one.delayed == Reading(8.0, NINE - 20.0)
    assert one.oldest_age == Reading(30.0, NINE)
    assert one.sent is not None
    assert [count for _, count in one.sent.points] == [11.0, 22.0]
    assert one.deleted is not None
    assert [count for _, count in one.deleted.points] == [6.0, 2.0]


def test_counts_as_one_end_where_the_latest_queue_is() -> None:
    """A period that not every queue in use has told of would be half a count; a queue long quiet is not waited for."""
    fleet = a_shared_fleet(URGENT, BULK, {"queue": "quiet"})

    def sent(*points: tuple[float, float]) -> QueueReading:
        return QueueReading(sent=Series(60.0, points))

    ahead = sent((NINE, 1.0), (NINE + 60.0, 2.0), (NINE + 120.0, 4.0))
    behind = sent((NINE, 10.0), (NINE + 60.0, 20.0))
    quiet = sent((NINE - 600.0, 7.0))
    total = pooled(fleet.sources, (ahead, behind, quiet)).sent
    assert total == Series(60.0, ((NINE - 600.0, 7.0), (NINE, 11.0), (NINE + 60.0, 22.0)))


def test_what_nothing_is_known_of_stays_unknown() -> None:
    """None is not zero; what is known of one queue alone is the sum."""
    fleet = a_shared_fleet(URGENT, BULK)
    assert pooled(fleet.sources, (QueueReading(), QueueReading())) == QueueReading()
    assert pooled(fleet.sources, (QueueReading(), a_queue(NINE, 4))).visible == Reading(4.0, NINE)


# --------------------------------------------------------------------------- what each asks for


def test_queue_alone_asks_as_it_would_on_a_fleet_of_its_own() -> None:
    """Nothing goes before it."""
    due = ((40.0, 0.0), (100.0, 300.0))
    for supply in (NOTHING, Supply(2.0, 1.0, 1.0, 1.0, 10.0, ((30.0, 2.0),), 70.0)):
        assert needs([demand("a", due)], supply, 60.0) == (need(due, supply, 60.0, 100.0),)


def test_lower_queue_asks_for_what_goes_before_it_as_well() -> None:
    """Of 100 urgent in 100 s and 50 more of bulk in 100 s, and the 0.5 a second that come above meanwhile."""
    due = ((100.0, 100.0),)
    urgent = demand("urgent", due, priority=1, per_s=0.5)
    bulk = demand("bulk", ((100.0, 50.0),))
    together = needs([urgent, bulk], NOTHING, 0.0)
    assert together[0] == need(due, NOTHING, 0.0, 100.0)
    assert together[1] == need(((100.0, 200.0),), NOTHING, 0.0, 100.0)


def test_equal_queues_are_taken_from_in_turn() -> None:
    """A backlog of 10,000 with time goes before 20 urgent ones 20 times, not 10,000 times."""
    tight, loose = demand("tight", ((50.0, 20.0),)), demand("loose", ((50_000.0, 10_000.0),))
    asked = needs([tight, loose], NOTHING, 0.0)
    assert asked[0] == need(((50.0, 40.0),), NOTHING, 0.0, 100.0)


def test_urgent_backlog_starves_what_is_below_but_makes_nothing_late_there() -> None:
    """What is above counts in full for the lower queue, whose own ten are all that can be late."""
    urgent, bulk = demand("urgent", ((5.0, 1000.0),), priority=1), demand("bulk", ((80.0, 10.0),))
    working = Supply(1.0, 1.0, 1.0, 1.0, 10.0, blind_s=70.0)
    alone, below = needs([urgent, bulk], working, 60.0)
    assert alone == need(urgent.deadlines, working, 60.0, 100.0)
    assert below > 10 * need(bulk.deadlines, working, 60.0, 100.0)


def test_queue_asks_for_no_more_once_its_last_message_is_due() -> None:
    """What comes to the higher queue after that is its own concern: a deadline list that goes on flat asks no more."""
    urgent = demand("urgent", ((0.0, 0.0), (60.0, 10.0)), priority=1, per_s=3.0)
    due = ((5.0, 0.0), (80.0, 5.0))
    for supply in (NOTHING, Supply(1.0, 1.0, 1.0, 1.0, 10.0, ((30.0, 1.0),), 70.0)):
        ended, flat = demand("bulk", due), demand("bulk", (*due, (900.0, 5.0)))
        assert needs([urgent, ended], supply, 60.0) == needs([urgent, flat], supply, 60.0)


# --------------------------------------------------------------------------- decisions


def test_decision_names_the_queue_that_asks_for_most() -> None:
    """And shows what waits in each and what each asks for."""
    snapshot, fleet = shared(a_queue(NINE, 300, per_minute=(300.0,)), a_queue(NINE, 40, per_minute=(40.0,)))
    decision = decide(snapshot, fleet)
    assert decision.action is Action.SCALE_OUT
    assert "340 messages are waiting" in decision.sentence
    assert decision.reasons[0].sentence.endswith("most of all by queue orders-urgent")
    figures = {figure.name: figure.value for figure in decision.figures}
    assert (figures["visible"], figures["visible in orders-urgent"], figures["visible in orders-bulk"]) == (
        340,
        300,
        40,
    )
    assert figures["need of orders-urgent"] == decision.raw_need > figures["need of orders-bulk"]
    assert figures["target_wait_s"] == 60.0


def test_loose_target_asks_for_fewer_units() -> None:
    """The same 3,600 messages: in a minute, or in an hour."""
    hints = {"seconds_per_message": 1, "lead_time_s": 30}
    many, none = a_queue(NINE, 3600, per_minute=(3600.0,)), a_queue(NINE, 0)
    tight, fleet = shared(many, none, hints=hints)
    loose, _ = shared(none, many, hints=hints)
    assert decide(tight, fleet).raw_need > 30 * decide(loose, fleet).raw_need > 0


def test_paused_queue_asks_for_nothing_and_wakes_nothing() -> None:
    """However much waits there; a fleet all of whose queues are paused goes to zero once nothing is in flight."""
    paused = ({**URGENT, "paused": True}, {**BULK, "paused": True})
    full, idle = a_queue(NINE, 5000, per_minute=(60.0,)), a_queue(NINE, 0)
    snapshot, fleet = shared(full, idle, queues=(paused[0], BULK))
    assert (decide(snapshot, fleet).want, decide(snapshot, fleet).action) == (0, Action.HOLD)
    snapshot, fleet = shared(full, full, queues=paused, working=3)
    watched = a_memory(needs=((NINE - 10.0, 0),), needs_since=NINE - 600.0, needs_until=NINE - 10.0)
    assert decide(snapshot, fleet, watched).want == 0
    busy = replace(full, in_flight=Reading(2.0, NINE))
    snapshot, fleet = shared(busy, full, queues=paused, working=3)
    assert decide(snapshot, fleet, watched).want >= 1


def test_queue_that_cannot_be_read_forbids_scaling_in_and_not_out() -> None:
    """It is named; what the others ask for is done all the same."""
    snapshot, fleet = shared(QueueReading(), a_queue(NINE, 0), working=3)
    watched = a_memory(needs=((NINE - 10.0, 0),), needs_since=NINE - 600.0, needs_until=NINE - 10.0)
    decision = decide(snapshot, fleet, watched)
    assert (decision.action, decision.reasons[1].code) == (Action.HOLD, ReasonCode.STALE)
    assert "the counts of messages in orders-urgent are unknown" in decision.reasons[1].sentence
    snapshot, fleet = shared(QueueReading(), a_queue(NINE, 900_000, per_minute=(9.0,)), working=3)
    assert decide(snapshot, fleet, watched).action is Action.SCALE_OUT
    snapshot, fleet = shared(QueueReading(), QueueReading(), working=3)
    assert decide(snapshot, fleet, watched).want == 3


# --------------------------------------------------------------------------- learning


def test_queue_that_is_no_longer_paused_does_not_seem_to_come_at_once() -> None:
    """What waited there came when it came: the rate of arrivals stays what it is, and its messages are old."""
    memory = Memory()
    for tick in range(12):
        at = NINE + 10.0 * tick
        queues = (URGENT, {**BULK, "paused": tick < 11})
        counts = (a_queue(at, 0, per_minute=None), a_queue(at, 1000 + 10 * tick, per_minute=None))
        snapshot, fleet = shared(*counts, at=at, working=1, queues=queues)
        memory = learn_from(memory, snapshot, fleet, at)
    assert [sample.arrived for sample in memory.samples] == [0.0] * 11 + [10.0]
    assert (memory.samples[-2].visible, memory.samples[-1].visible) == (0.0, 1110.0)
    oldest = {figure.name: figure.value for figure in plan_for(snapshot, fleet, memory, at).figures}
    assert oldest["visible in orders-bulk"] == 1110.0


def test_what_comes_while_one_queue_cannot_be_read_is_seen_later() -> None:
    """In the next sample of all queues, for those that were read meanwhile as well."""
    memory = Memory()
    for tick, urgent in enumerate((0.0, None, 30.0)):
        at = NINE + 10.0 * tick
        counts = (a_queue(at, urgent, per_minute=None), a_queue(at, 20 * tick, per_minute=None))
        snapshot, fleet = shared(*counts, at=at)
        memory = learn_from(memory, snapshot, fleet, at)
    assert [(sample.at, sample.arrived) for sample in memory.samples] == [(NINE, 0.0), (NINE + 20.0, 70.0)]


def test_each_queue_has_its_own_arrivals_in_memory_that_is_bounded() -> None:
    """Hours of counts, as long as the fleet has the queue; a tick repeated teaches nothing."""
    per_minute = tuple(float(n % 7) for n in range(300))
    snapshot, fleet = shared(a_queue(NINE, 0, per_minute=per_minute), a_queue(NINE, 3, per_minute=(5.0,) * 4))
    memory = learn_from(Memory(), snapshot, fleet, NINE)
    assert [(each.name, len(each.arrivals.counts)) for each in memory.queues] == [
        ("orders-urgent", 180),
        ("orders-bulk", 4),
    ]
    assert learn_from(memory, snapshot, fleet, NINE) == memory
    later, fewer = shared(a_queue(NINE + 10.0, 0), at=NINE + 10.0, queues=({**URGENT, "paused": True},))
    assert [each.name for each in learn_from(memory, later, fewer, NINE + 10.0).queues] == ["orders-urgent"]


def test_batch_that_recurs_in_one_of_several_queues_is_not_launched_for_ahead() -> None:
    """Whose it will be, and so by when it must be begun, is not told: bulk would be awaited as if it were urgent."""
    batch = ExpectedBatch(NINE + 185.0, NINE + 245.0, (300.0,) * 8)
    memory = a_memory(batches=(batch,), arrivals=History(60.0, NINE - 3600.0, (0.0,) * 59))
    queues = ({**URGENT, "target_wait_s": 300}, BULK)
    hints = {"seconds_per_message": 30, "lead_time_s": 180}
    snapshot, fleet = shared(a_queue(NINE, 0), a_queue(NINE, 0), queues=queues, hints=hints)
    alone = replace(snapshot, queue=snapshot.queues[0], queues=())
    assert plan_for(alone, fleet.with_only(fleet.sources[0]), memory, NINE).raw_need > 0
    assert plan_for(snapshot, fleet, memory, NINE).raw_need == 0


# --------------------------------------------------------------------------- hours


@pytest.mark.parametrize(("priority", "late_s"), [(1, 0.0), (0, 10.0)])
def test_both_promises_are_kept_when_bulk_comes_on_top_of_urgent(priority: int, late_s: float) -> None:
    """Two hours: 3 urgent a second, in two minutes; 6,000 of bulk at once, in half an hour.

    Of equal queues the one takes from the other what it had, at once and unforeseen: a tick passes until that is seen.
    """
    fleet = a_shared_fleet(
        {"queue": "urgent", "target_wait_s": 120, "priority": priority}, {"queue": "bulk", "target_wait_s": 1800}
    )
    world = SharedWorld.of(
        fleet, {"urgent": lambda t: 3.0, "bulk": lambda t: 6000.0 if t == 1800.0 else 0.0}, boot_s=60.0
    )
    world.live(fleet, 7200.0)
    assert world.longest_wait_of("urgent") <= 120.0 + late_s
    assert world.longest_wait_of("bulk") <= 1800.0
    work_s = sum(len(lane.waits) for lane in world.lanes.values())
    assert world.unit_seconds <= 1.35 * work_s


@pytest.mark.slow
def test_bulk_waits_for_its_target_when_it_has_one_of_its_own() -> None:
    """The same traffic under one tight target costs more units at the peak: each queue's own target is used."""
    traffic = {"urgent": lambda t: 1.0, "bulk": lambda t: 3000.0 if t == 600.0 else 0.0}
    peaks = []
    for target_s in (1800, 120):
        fleet = a_shared_fleet(
            {"queue": "urgent", "target_wait_s": 120, "priority": 1}, {"queue": "bulk", "target_wait_s": target_s}
        )
        world = SharedWorld.of(fleet, traffic, boot_s=60.0)
        world.live(fleet, 3600.0)
        assert world.longest_wait_of("urgent") <= 120.0
        assert world.longest_wait_of("bulk") <= target_s
        peaks.append(max(decision.want for decision in world.decisions))
    assert 5 * peaks[0] < peaks[1]


def test_doubt_when_one_of_several_queues_seems_empty() -> None:
    """Of 900 that wait in one queue a false zero leaves half believed, in that queue and in the sum, for one look."""
    fleet = a_shared_fleet({"queue": "bulk", "target_wait_s": 3600}, {"queue": "urgent", "target_wait_s": 300})
    memory = a_memory(rate=Estimate(1.0, 100.0, NINE - 60), completed=(100.0, 100.0))
    needed = []
    for t, urgent in ((0, 900), (10, 900), (20, 0), (30, 880)):
        now = NINE + t
        queues = (a_queue(now, 30, 0, per_minute=None), a_queue(now, urgent, 4, per_minute=None))
        snapshot = Snapshot("orders", now, pooled(fleet.sources, queues), a_group(now, 4), (), None, queues)
        memory = learn_from(memory, snapshot, fleet, now)
        needed.append(plan_for(snapshot, fleet, memory, now).raw_need)
        if t == 20:
            assert [queue.samples[-1].doubted for queue in memory.queues] == [None, 0.0]
            assert (memory.samples[-1].visible, memory.samples[-1].doubted) == (480, 30)
    assert needed[2] >= 2
    assert needed[3] >= needed[1] - 1
    assert [seen.visible for seen in memory.samples] == [930, 930, 910]
    assert all(seen.doubted is None for seen in memory.samples)
