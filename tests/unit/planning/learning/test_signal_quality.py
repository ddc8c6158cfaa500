"""Signal quality by tables: counts that are doubted, messages that came back, and poison."""

from dataclasses import replace

import pytest

from sluice.model.decisions import ReasonCode
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.planning import Estimate, History, Memory, QueueSample, RedeliveryMemory
from sluice.planning.learning import redeliveries
from tests.support.planner_steps import a_memory, assess_for, changed, learn_from, plan_for, rate_of, remember_need
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, seen

QUIET_DAY = History(60.0, NINE - 60.0 * 62, (30.0,) * 60)  # half a message a second, up to two minutes ago
MEASURED = a_memory(rate=Estimate(1.0, 100.0, NINE - 60), completed=(100.0, 100.0), arrivals=QUIET_DAY)


def looked(counts, *, memory=MEASURED, fleet=None, working=4, gap_s=10.0, in_flight=None):
    """The last decision and memory after looks at so many waiting, with units at work on as many as there are."""
    fleet = fleet or a_fleet(target_wait_s=300)
    decisions = []
    for index, visible in enumerate(counts):
        now = NINE + gap_s * index
        flying = (working if visible else 0) if in_flight is None else in_flight
        snapshot = seen(now, a_queue(now, visible, flying, per_minute=None), a_group(now, working))
        memory = learn_from(memory, snapshot, fleet, now)
        decisions.append(plan_for(snapshot, fleet, memory, now))
        memory = remember_need(memory, decisions[-1])
    return decisions, memory


# ------------------------------------------------------------------------------------------------ doubt


def test_backlog_when_one_count_between_others_is_zero():
    """A false zero is no proof that what waits came after it: as old as before, the backlog needs as much."""
    honest, _ = looked([900, 900, 900, 900, 900])
    dipped, memory = looked([900, 900, 900, 0, 900])
    assert dipped[-1].raw_need == honest[-1].raw_need
    assert assess_for(seen(NINE + 40, a_queue(NINE + 40, 900, 4), a_group(NINE + 40, 4)), a_group(NINE + 40, 4),
                   a_fleet(target_wait_s=300), memory, NINE + 40).required.oldest_s >= 30.0  # fmt: skip
    assert [sample.visible for sample in memory.samples] == [900, 900, 900, 900]
    assert sum(sample.arrived for sample in memory.samples) < 200, "nothing came back that was not gone"


def test_count_when_it_falls_by_more_than_can_be_done():
    """Of 900, four units do 40 in ten seconds: at less than half, half is believed at first, and then the next look."""
    decisions, memory = looked([900, 100])
    assert memory.samples[-1].visible == 450
    assert memory.samples[-1].doubted == 100
    assert "which is read again before it is believed" in decisions[-1].sentence
    told = {figure.name: figure.value for figure in decisions[-1].figures}
    assert (told["visible"], told["visible_doubted"]) == (450, 100)
    _, memory = looked([900, 100, 100])
    assert [sample.visible for sample in memory.samples] == [900, 100]
    assert memory.samples[-1].doubted is None


@pytest.mark.parametrize(("counts", "believed"), [([900, 500], 500), ([60, 0], 0), ([900, 880], 880), ([0, 20], 20)])
def test_count_when_it_may_be_so(counts, believed):
    """Noise, what units can have done, and what may have come are believed at once."""
    _, memory = looked(counts)
    assert (memory.samples[-1].visible, memory.samples[-1].doubted) == (believed, None)


def test_fleet_when_one_look_finds_nothing():
    """Not to zero on one empty look: it goes once the next has found nothing, ten seconds later."""
    calm = changed(MEASURED, arrivals=replace(QUIET_DAY, counts=(0.0,) * 60))
    decisions, _ = looked([3, 0, 0, 0], working=2, memory=calm, gap_s=40.0)
    assert [decision.want for decision in decisions][1:3] == [1, 0]
    assert "the queue is empty for the first tick" in decisions[1].sentence
    decisions, _ = looked([3, 0, 4], working=1, memory=calm, gap_s=40.0)
    assert decisions[-1].want >= 1


def test_scale_out_when_one_count_is_far_too_high():
    """5000 where never more than thirty came in a minute: looked at once more, and it was not there."""
    honest, _ = looked([20, 20, 20, 20])
    spiked, memory = looked([20, 20, 5000, 20])
    assert [decision.want for decision in spiked] == [decision.want for decision in honest]
    assert [sample.visible for sample in memory.samples] == [20, 20, 20]


def test_scale_out_when_a_burst_is_real():
    """The second look is believed, with the time of the first: 5000 are 22.7 units' work for 290 - 60 - 10 s or so."""
    decisions, memory = looked([20, 5000, 4960])
    assert decisions[1].want <= 4
    assert decisions[2].want >= 20
    assert memory.samples[-1].arrived > 4900
    at_once, _ = looked([20, 5000], memory=changed(MEASURED, arrivals=History()))
    assert at_once[1].want >= 20, "without a history any burst may be"


@pytest.mark.parametrize(
    ("fleet", "memory"),
    [
        (a_fleet(target_wait_s=100), MEASURED),  # 94 - 60 - 10 - 10 s leave a launch too little
        (a_fleet(target_wait_s=300, limits={"max_step": 40}), MEASURED),  # a step at a time loses a step
        (a_fleet(target_wait_s=300), changed(MEASURED, arrivals=replace(QUIET_DAY, counts=(30.0,) * 59 + (3000.0,)))),
    ],
)
def test_scale_out_when_there_is_no_time_or_no_reason_to_doubt(fleet, memory):
    """Where waiting would cost the promise, or as much has come within a minute before, scaling out does not wait."""
    decisions, _ = looked([20, 5000], memory=memory, fleet=fleet)
    assert decisions[1].want > 20


@pytest.mark.parametrize(("target_s", "burst"), [(120, 900), (300, 5000), (600, 20_000)])
def test_waits_when_a_first_burst_is_looked_at_twice(target_s, burst):
    """No message of a burst such as never came before is late for it."""
    world = World(lambda t: burst if t == 3001 else 0.5, 1.0, 60.0)
    world.live(a_fleet(target_wait_s=target_s), 4000)
    assert world.longest_wait_s() <= target_s


# ------------------------------------------------------------------------------------------------ what came back


def metrics(now, received, deleted, sent=None, oldest_s=0.0):
    """A queue's reading with metrics of minutes, the last of which ended a minute ago."""
    start = now - now % 60 - 60.0 - 60.0 * len(received)

    def series(counts):
        return Series(60.0, tuple((start + 60.0 * i, float(count)) for i, count in enumerate(counts)))

    return QueueReading(
        sent=series(sent if sent is not None else deleted),
        deleted=series(deleted),
        received=series(received),
        oldest_age=Reading(oldest_s, now - now % 60 - 60.0),
    )


def watched(minutes, visible, in_flight, *, working=4, memory=MEASURED):
    """A memory with looks every ten seconds up to NINE, and its fleet."""
    fleet = a_fleet()
    memory = changed(memory, arrivals=replace(QUIET_DAY, start_at=QUIET_DAY.start_at - 60.0 * minutes))
    for t in range(-60 * minutes, 1, 10):
        now = NINE + t
        memory = learn_from(
            memory, seen(now, a_queue(now, visible, in_flight, per_minute=None), a_group(now, working)), fleet, now
        )
    return memory, fleet


def test_returns_when_more_is_received_than_completed():
    """Received less deleted, in-flight as before: ninety came back in each minute, and are no arrivals."""
    memory, fleet = watched(7, 100.0, 4.0)
    now = NINE + 10
    queue = replace(a_queue(now, 100, 4), **fields_of(metrics(now, [150] * 6, [60] * 6)))
    memory = learn_from(memory, seen(now, queue, a_group(now, 4)), fleet, now)
    assert memory.redeliveries.history.counts[1:] == (90.0,) * 5
    assert redeliveries.returning_per_s(memory.redeliveries) == pytest.approx(1.5)
    assert memory.redeliveries.failing_share == pytest.approx(0.6)


def fields_of(reading):
    """What a reading knows, by name."""
    names = ("sent", "deleted", "received", "oldest_age")
    return {name: getattr(reading, name) for name in names}


def test_returns_when_messages_take_longer_than_a_minute():
    """What was begun and is still in flight has not come back."""
    fleet, memory = a_fleet(), MEASURED
    for t in range(0, 130, 10):
        now = NINE + t
        queue = a_queue(now, 100, min(50, t), per_minute=None)
        if t >= 120:
            received = Series(60.0, ((NINE, 50.0), (NINE + 60, 0.0)))
            queue = replace(queue, received=received, deleted=Series(60.0, ((NINE, 0.0), (NINE + 60, 0.0))))
        memory = learn_from(memory, seen(now, queue, a_group(now, 50)), fleet, now)
    assert memory.redeliveries.history.counts[0] == 0.0
    assert memory.redeliveries.failing_share == 0.0


def test_backlog_when_a_crash_gives_messages_back():
    """A hundred that were in flight wait again: due a target wait after that, not overdue since they were sent.

    Ten units can have done 25 in the meantime; that more than those came back is seen at once. Two minutes later the
    metric has told that no more than thirty a minute were sent.
    """
    fleet = a_fleet(target_wait_s=240, hints={"seconds_per_message": 20, "lead_time_s": 60, "concurrency": 10})
    memory = a_memory(rate=Estimate(0.5, 100.0, NINE - 60), completed=(100.0, 200.0), arrivals=QUIET_DAY)
    for t in range(-400, 131, 10):
        now = NINE + t
        counts = (5, 100) if t < 10 else (105, 0)
        snapshot = seen(now, a_queue(now, *counts, per_minute=(30.0,) * 10, oldest_s=900), a_group(now, 10))
        memory = learn_from(memory, snapshot, fleet, now)
    assert max(sample.returned for sample in memory.samples) == 72.0

    def oldest_s(memory: Memory) -> float:
        return assess_for(snapshot, snapshot.group, fleet, memory, snapshot.at).required.oldest_s

    untold = replace(memory, samples=tuple(replace(sample, returned=0.0) for sample in memory.samples))
    assert oldest_s(memory) < 225.6 < oldest_s(untold)  # 6% less than the target


def test_service_rate_when_most_of_what_is_begun_comes_back():
    """Many failing minutes in a row are no change of mix: each counts as one odd minute, which moves the rate by 7%."""
    memory, fleet = watched(7, 100.0, 4.0)
    now = NINE + 10
    queue = replace(a_queue(now, 100, 4), **fields_of(metrics(now, [240] * 6, [24] * 6)))
    failing = learn_from(memory, seen(now, queue, a_group(now, 4)), fleet, now)
    slow = learn_from(memory, seen(now, replace(queue, received=None), a_group(now, 4)), fleet, now)
    assert failing.service_rate.outlier_run == (0, 0.0, 0.0)
    assert rate_of(failing, fleet, now).value > 2 * rate_of(slow, fleet, now).value
    assert rate_of(slow, fleet, now).value < 0.2


def test_failing_when_nothing_is_heard_of_it_any_more():
    """Twelve minutes without the metric, and what failed of late is no longer of late."""
    memory, fleet = watched(7, 100.0, 4.0)
    memory = changed(memory, failing_share=0.9, returned=History(60.0, NINE - 820.0, (90.0,)))
    for t in (10, 20):
        now = NINE + t
        memory = learn_from(memory, seen(now, a_queue(now, 100, 4), a_group(now, 4)), fleet, now)
    assert memory.redeliveries.failing_share == 0.0


def test_tail_when_what_is_begun_fails():
    """Units are not kept for being busy with what is not done."""
    memory, fleet = watched(7, 30.0, 4.0)
    memory = changed(memory, needs=((NINE - 60, 1),), needs_since=NINE - 600, needs_until=NINE)
    snapshot = seen(NINE + 1, a_queue(NINE + 1, 30, 4), a_group(NINE + 1, 4))
    kept = plan_for(snapshot, fleet, learn_from(memory, snapshot, fleet, NINE + 1), NINE + 1)
    remove_entry = plan_for(
        snapshot, fleet, changed(learn_from(memory, snapshot, fleet, NINE + 1), failing_share=0.9), NINE + 1
    )
    assert ReasonCode.BUSY_CAPACITY in {reason.code for reason in kept.reasons}
    assert remove_entry.want < kept.want


# ------------------------------------------------------------------------------------------------ poison


def minutes_of(rows, *, visible=200.0, in_flight=4.0, memory=MEASURED, arrived=0.0):
    """The memory after minutes of (sent, received, deleted, oldest age), looked at every ten seconds."""
    fleet = a_fleet()
    for t in range(0, 60 * len(rows) + 71, 10):
        now = NINE + t
        over = min(len(rows), max(0, (t - 10) // 60))
        known = [[(NINE + 60.0 * i, float(row[column])) for i, row in enumerate(rows[:over])] for column in range(3)]
        queue = QueueReading(
            Reading(visible, now),
            Reading(in_flight, now),
            Reading(0.0, now),
            oldest_age=Reading(float(rows[over - 1][3]), NINE + 60.0 * over) if over else None,
            sent=Series(60.0, tuple(known[0])) if over else None,
            deleted=Series(60.0, tuple(known[2])) if over else None,
            received=Series(60.0, tuple(known[1])) if over else None,
        )
        memory = learn_from(memory, seen(now, queue, a_group(now, 4)), fleet, now)
    return memory


POISONED = (30, 240, 30, 3)  # a minute: thirty came and were completed at once, 210 attempts failed


def test_poison_when_consumers_complete_all_else():
    """204 are there all along, of which what came within 13 s can be young, as ticks saw it: the rest is poison."""
    assert minutes_of([POISONED] * 4).redeliveries.poison == 0.0
    assert 50 < minutes_of([POISONED] * 5).redeliveries.poison <= minutes_of([POISONED] * 8).redeliveries.poison <= 204
    assert minutes_of([POISONED] * 8).redeliveries.poison > 100


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((30, 240, 0, 3), "nothing completes: an outage"),
        ((30, 240, 5, 3), "hardly anything completes: an outage, too"),
        ((30, 240, 90, 3), "what waits is worked off"),
        ((30, 240, 30, 500), "the oldest waits since long, and was not received three times"),
        ((30, 33, 30, 3), "nothing comes back"),
    ],
)
def test_poison_when_the_messages_need_not_be_at_fault(row, why):
    """Each of these leaves the backlog what it is: work."""
    assert minutes_of([row] * 10).redeliveries.poison == 0.0, why


def test_poison_when_an_outage_follows():
    """Once consumers complete nothing of what comes, nothing is called poison any more."""
    memory = minutes_of([POISONED] * 8 + [(30, 240, 0, 3)] * 6)
    assert memory.redeliveries.poison == 0.0


def test_poison_when_nobody_else_comes():
    """It is known from before; it stays, as long as it is there, and keeps one unit."""
    memory = minutes_of([POISONED] * 8 + [(0, 240, 0, 0)] * 8)
    assert memory.redeliveries.poison >= 190
    now = NINE + 16 * 60 + 80
    snapshot = seen(now, a_queue(now, 200, 4, per_minute=(0,) * 8), a_group(now, 4))
    fleet = a_fleet()
    decision = plan_for(snapshot, fleet, learn_from(memory, snapshot, fleet, now), now)
    assert decision.raw_need == 1
    assert "200 of them are received again and again" in decision.sentence
    assert {figure.name: figure.source for figure in decision.figures}["poison"] == "measured"
    more = seen(now, a_queue(now, 260, 4, per_minute=(0,) * 8), a_group(now, 4))
    assert plan_for(more, fleet, learn_from(memory, more, fleet, now), now).raw_need > 1, "others wait behind it"


def test_poison_when_it_is_all_that_waits_for_a_group_at_zero():
    """One unit is woken for it: it is work."""
    memory = changed(
        MEASURED, arrivals=replace(QUIET_DAY, counts=(0.0,) * 60), poison=50.0, suspects=((NINE, 50.0, 0.0),)
    )
    snapshot = seen(NINE, a_queue(NINE, 50, 0), a_group(NINE))
    assert plan_for(snapshot, a_fleet(), memory, NINE).want == 1


def test_poison_when_the_fleet_is_told_nothing_of_receives():
    """Without that metric everything is as it was: no returns, no poison, no share that fails."""
    memory, fleet = watched(7, 100.0, 4.0)
    now = NINE + 10
    queue = replace(a_queue(now, 100, 4), deleted=Series(60.0, ((NINE - 120.0, 24.0),)), received=None)
    memory = learn_from(memory, seen(now, queue, a_group(now, 4)), fleet, now)
    assert (
        memory.redeliveries.history,
        memory.redeliveries.poison,
        memory.redeliveries.failing_share,
        memory.redeliveries.suspects,
    ) == (History(), 0.0, 0.0, ())


def test_sighting_when_a_count_of_those_in_flight_is_missing():
    """Nothing can be said to have come back then."""
    before = QueueSample(NINE, 10.0, 50.0, 4.0, True, 0.0)
    queue = replace(a_queue(NINE + 10, 60, None))
    assert redeliveries.came_back(RedeliveryMemory(), before, queue, 10.0, 10.0) == 0.0
