"""Shadow mode of several queues: who is served first, what is scored by which target, and when it begins anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY
from sluice.config.fleet import Fleet
from sluice.model.observed import GroupReading, QueueReading
from sluice.model.planning import Memory, Snapshot
from sluice.model.shadow import Shadow, ShadowFleet
from sluice.planning.multi_queue import pooled
from sluice.planning.shadow.scorecard import TallyBuilder, late, score
from sluice.planning.shadow.simulated_fleet import FleetSpeed, SimulatedFleet
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, seen
from tests.support.shadow_world import ShadowedWorld, looked
from tests.support.sharing_world import a_shared_fleet

URGENT = {"queue": "urgent", "target_wait_s": 120, "priority": 1}
BULK = {"queue": "bulk", "target_wait_s": 1800}
PACE = FleetSpeed(1.0, 1.0, 60.0, None)  # a message a second and unit, one at a time

type PerSecond = Mapping[str, Callable[[float], float]]


def in_shadow(*queues: Mapping[str, Any], **changes: Any) -> Fleet:
    """A shared fleet that somebody else scales."""
    return a_shared_fleet(*queues, mode="shadow", **changes)


# --------------------------------------------------------------------------- who is served first


def one_unit(*waiting: float, priorities: Sequence[int]) -> SimulatedFleet:
    """A fleet of one busy unit, and so many that wait in each queue, all since nine."""
    lines = [((NINE, NINE, count),) if count else () for count in waiting]
    return SimulatedFleet(ShadowFleet(1, 1.0, (), (), 1.0, lines[0], tuple(lines[1:])), PACE, priorities)


def counts(fleet: SimulatedFleet) -> list[float]:
    """How many wait in each queue."""
    return [round(line.count, 6) for line in fleet.queues]


@pytest.mark.parametrize(
    ("priorities", "after_20_s", "after_60_s"),
    [((0, 1), [40.0, 0.0], [0.0, 0.0]), ((1, 0), [20.0, 20.0], [0.0, 0.0]), ((3, 3), [30.0, 10.0], [0.0, 0.0])],
)
def test_lines_when_they_wait_are_served_by_priority_or_in_turn(
    priorities: Sequence[int], after_20_s: list[float], after_60_s: list[float]
) -> None:
    """Of 40 and 20 a second's work each goes to the higher one alone; equal ones have half of it."""
    fleet = one_unit(40.0, 20.0, priorities=priorities)
    fleet.advance(NINE, NINE + 20.0, 0.0, None, (0.0,))
    assert counts(fleet) == after_20_s
    fleet.advance(NINE + 20.0, NINE + 60.0, 0.0, None, (0.0,))
    assert counts(fleet) == after_60_s


def test_line_when_a_higher_one_bursts_waits_until_that_is_done() -> None:
    """Ten of bulk come evenly while 60 urgent are worked on; they are started in the ten seconds after."""
    fleet, tally = one_unit(0.0, 60.0, priorities=(0, 1)), TallyBuilder(100.0, 30.0)
    fleet.advance(NINE, NINE + 10.0, 10.0, tally, (0.0,))
    fleet.advance(NINE + 10.0, NINE + 60.0, 0.0, tally, (0.0,))
    assert counts(fleet) == [10.0, 0.0]
    assert sum(tally.waits) == pytest.approx(60.0)
    assert late(tally.to_record()) == pytest.approx(
        30.0, abs=0.01
    )  # of the urgent, by their own target of half a minute
    fleet.advance(NINE + 60.0, NINE + 80.0, 0.0, tally, (0.0,))
    assert counts(fleet) == [0.0, 0.0]
    assert tally.longest_s == pytest.approx(60.0)
    assert late(tally.to_record()) == pytest.approx(30.0, abs=0.01)  # bulk waited a minute, and may wait longer


def test_line_when_less_than_its_share_comes_does_not_wait_whatever_its_equal_holds() -> None:
    """0.4 a second are taken as they come; the other has the rest of the unit, 0.6 a second."""
    fleet, tally = one_unit(100.0, 0.0, priorities=(0, 0)), TallyBuilder(1000.0, 0.001)
    fleet.advance(NINE, NINE + 50.0, 0.0, tally, (20.0,))
    assert counts(fleet) == [70.0, 0.0]
    assert late(tally.to_record()) == 0.0


def test_line_when_more_than_its_share_comes_waits_for_what_is_too_many() -> None:
    """Of 0.8 a second half a one is taken; alone it would not wait."""
    fleet = one_unit(100.0, 0.0, priorities=(0, 0))
    fleet.advance(NINE, NINE + 50.0, 0.0, None, (40.0,))
    assert counts(fleet) == [75.0, 15.0]


@pytest.mark.parametrize(("priorities", "left"), [((0, 0), [2.0, 14.0]), ((0, 1), [8.0, 8.0]), ((1, 0), [0.0, 16.0])])
def test_free_places_when_several_lines_wait_are_shared_likewise(priorities: Sequence[int], left: list[float]) -> None:
    """Of twelve places each of two equals takes six at once; else the higher one all that it has."""
    lines = ((NINE, NINE, 8.0),), ((NINE, NINE, 20.0),)
    fleet = SimulatedFleet(ShadowFleet(12, 12.0, (), (), 0.0, lines[0], lines[1:]), PACE, priorities)
    fleet.advance(NINE, NINE + 1e-4, 0.0, None, (0.0,))
    assert [round(line.count, 2) for line in fleet.queues] == left


# --------------------------------------------------------------------------- hours


def slow(world: ShadowedWorld) -> int:
    """A policy that adds a unit a tick while more than a minute's work waits, and takes one away where none does."""
    waiting = world.waiting
    step = 1 if waiting > 60 * max(1, world.desired) else -1 if waiting == 0 else 0
    return min(12, max(1, world.desired + step))


TRAFFIC: PerSecond = {
    "urgent": lambda t: 3.0 + (12.0 if t % 3000.0 < 300.0 else 0.0),
    "bulk": lambda t: 3000.0 if t % 5400.0 == 1800.0 else 0.3,
    "later": lambda t: 2.0,
}


@pytest.mark.slow
@pytest.mark.parametrize("priority", [1, 0])
@pytest.mark.parametrize("others", [(), ({"queue": "later", "paused": True},)], ids=["both", "and-one-paused"])
def test_score_when_another_policy_acts_is_what_both_policies_come_to(
    priority: int, others: tuple[Mapping[str, Any], ...]
) -> None:
    """Three hours: late shares within half a hundredth of runs of their own, instance-hours within five."""
    fleet = in_shadow({**URGENT, "priority": priority}, BULK, *others)
    world, alone = ShadowedWorld.of(fleet, TRAFFIC), ShadowedWorld.of(fleet, TRAFFIC)
    world.watch(3 * 3600.0, slow)
    alone.live(fleet, 3 * 3600.0)
    scored = world.score
    assert world.late_fraction() > 0.1  # or nothing would be shown
    for side, real in ((scored.acting, world), (scored.shadow, alone)):
        assert side.late_fraction == pytest.approx(real.late_fraction(), abs=0.005)
        assert side.unit_hours == pytest.approx(real.unit_seconds / 3600.0, rel=0.05)
    settled = sum(look.settled.came for look in world.looks if look.settled)
    assert scored.came == pytest.approx(settled, abs=0.5)
    assert scored.acting.messages == pytest.approx(settled, rel=1e-3)  # of the paused queue nothing is in it
    assert "in time instead of" in scored.sentence


def test_lines_when_the_group_is_too_small_starve_below_on_both_sides() -> None:
    """Three units at most, and ten minutes of five urgent a second: what comes to bulk meanwhile all waits."""
    traffic = {"urgent": lambda t: 5.0 if t < 600.0 else 1.0, "bulk": lambda t: 0.5}
    world = ShadowedWorld.of(in_shadow(URGENT, BULK), traffic, bounds=(3, 3))
    world.watch(900.0)
    shadow = world.memory.shadow
    assert shadow.fleet is not None
    assert 400.0 < shadow.at - NINE < 900.0
    for urgent, bulk in ((shadow.waiting, *shadow.others), (shadow.fleet.waiting, *shadow.fleet.others)):
        came_s = min(600.0, shadow.at - NINE)
        assert sum(piece[2] for piece in bulk) == pytest.approx(0.5 * (shadow.at - NINE), abs=3.0)
        assert sum(piece[2] for piece in urgent) == pytest.approx(
            5.0 * came_s + (shadow.at - NINE - came_s) - 3.0 * (shadow.at - NINE - 60.0), abs=25.0
        )
    assert shadow.fleet.others[0][0][0] == pytest.approx(NINE, abs=60.0)  # the first of it still waits


def test_decision_when_the_real_fleet_is_never_behind_is_on_the_lines_of_the_other() -> None:
    """How much waits in each queue, for how long and what that asks for is told of the other's lines."""
    traffic = {"urgent": lambda t: 2.0, "bulk": lambda t: 600.0 if t == 300.0 else 0.1}
    world = ShadowedWorld.of(in_shadow(URGENT, BULK), traffic, bounds=(0, 40))
    world.watch(1200.0, lambda _: 40)
    told = []
    for look in world.looks:
        if look.decision is not None:
            figures = {figure.name: figure.value for figure in look.decision.figures}
            waiting = [figures[f"visible in orders-{name}"] for name in ("urgent", "bulk")]
            assert figures["visible"] == sum(waiting)
            told.append((waiting[1], figures.get("oldest_wait_s in orders-bulk"), figures.get("need of orders-bulk")))
    oldest_s = max(oldest for waiting, oldest, _ in told if waiting >= 100.0 and oldest is not None)
    assert oldest_s > 300.0
    assert max(needed for *_, needed in told if needed is not None) >= 1.0
    assert not any(bulk for at, (_, bulk) in world.seen_waiting.items() if at > NINE + 330.0)


def test_decision_when_nobody_works_on_the_real_queues_knows_of_those_that_are_worked_on() -> None:
    """What is in flight is the other fleet's, whose units are busy; in the real one nothing is."""
    world = ShadowedWorld.of(in_shadow(URGENT, BULK), {"urgent": lambda t: 2.0, "bulk": lambda t: 1.0})
    world.watch(600.0, lambda _: 0)
    decision = world.looks[-1].decision
    assert decision is not None
    figures = {figure.name: figure.value or 0.0 for figure in decision.figures}
    assert 2.0 <= figures["in_flight"] <= figures["working"]
    assert figures["visible in orders-urgent"] < 300.0 < world.seen_waiting[world.now - 10.0][0]


def test_memory_when_one_line_is_empty_knows_of_that_one_alone() -> None:
    """Bulk was empty until its 2,000 came, urgent once three units were there; both were at the first tick alone."""
    traffic = {"urgent": lambda t: 2.0, "bulk": lambda t: 2000.0 if t == 60.0 else 0.0}
    world = ShadowedWorld.of(in_shadow(URGENT, BULK), traffic, bounds=(3, 3))
    world.watch(400.0)
    shadow = world.memory.shadow
    urgent, bulk = shadow.queues
    assert (shadow.empty_at, bulk.empty_at, urgent.empty_at) == (NINE, NINE + 60.0, world.now - 10.0)


# --------------------------------------------------------------------------- when it begins anew


def readings(fleet: Fleet, at: float, *, unread: str | None = None) -> tuple[QueueReading, ...]:
    """Five messages wait in each queue and one a second comes; one of them perhaps cannot be read."""
    some, none = a_queue(at, 5, 1, per_minute=(60.0,) * 10), QueueReading()
    return tuple(none if source.name == unread else some for source in fleet.sources)


def snapshot(fleet: Fleet, at: float, *, group: GroupReading | None = None, unread: str | None = None) -> Snapshot:
    """What a tick sees of a fleet, shared or not."""
    group = group or a_group(at, 2)
    if not fleet.shared:
        return seen(at, a_queue(at, 5, 1, per_minute=(60.0,) * 10), group)
    read = readings(fleet, at, unread=unread)
    return Snapshot("orders", at, pooled(fleet.sources, read), group, queues=read)


def watched(fleet: Fleet, seconds: float = 480.0) -> tuple[Memory, float]:
    """The memory after so long of ticks, and when the next one is."""
    memory, at = Memory(), NINE
    while at < NINE + seconds:
        memory, _, _ = looked(memory, snapshot(fleet, at), fleet)
        at += 10.0
    assert score(memory.shadow) is not None
    return memory, at


TWO = in_shadow(URGENT, BULK)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TWO, in_shadow(URGENT, BULK, {"queue": "further"})),
        (in_shadow(URGENT, BULK, {"queue": "further"}), TWO),
        (TWO, in_shadow(URGENT, {**BULK, "paused": True})),
        (in_shadow(URGENT, {**BULK, "paused": True}), TWO),
        (TWO, in_shadow(URGENT, {**BULK, "target_wait_s": 900})),
        (TWO, in_shadow({**URGENT, "priority": -1}, BULK)),
        (TWO, a_fleet(mode="shadow")),
        (a_fleet(mode="shadow"), TWO),
    ],
    ids=["added", "removed", "paused", "no-longer-paused", "target", "priority", "not-shared", "shared"],
)
def test_score_when_what_is_consumed_changes_begins_anew(before: Fleet, after: Fleet) -> None:
    """Equal to the real fleet, in each queue that is consumed now; what was until then is settled by what was known."""
    memory, at = watched(before)
    memory, _, followed = looked(memory, snapshot(after, at), after)
    shadow = followed.shadow
    assert followed.began
    assert score(shadow) is None
    assert shadow.restarted is None
    consumed = [source for source in after.sources if not source.paused]
    assert [queue.name for queue in shadow.queues] == [source.name for source in consumed if after.shared]
    assert shadow.targets_s == tuple(source.target_wait_s for source in consumed)
    assert shadow.fleet is not None
    for waiting, others in ((shadow.waiting, shadow.others), (shadow.fleet.waiting, shadow.fleet.others)):
        assert [sum(piece[2] for piece in line) for line in (waiting, *others)] == [5.0] * len(consumed)
    assert followed.settled is not None
    were_consumed = sum(not source.paused for source in before.sources)
    assert followed.settled.came == pytest.approx(were_consumed * followed.settled.seconds, abs=0.5)
    _, _, next_ = looked(memory, snapshot(after, at + 10.0), after)
    assert not next_.began


def test_score_when_only_what_no_queue_is_promised_changes_goes_on() -> None:
    """The fleet's own target wait is nobody's where each queue has one."""
    memory, at = watched(TWO)
    same = in_shadow(URGENT, BULK, target_wait_s=30)
    _, _, followed = looked(memory, snapshot(same, at), same)
    assert not followed.began
    assert score(followed.shadow) is not None


def test_tick_when_a_queue_cannot_be_read_is_left_out() -> None:
    """The next goes on; after two minutes it begins anew, equal to the real fleet, and keeps the score."""
    memory, at = watched(TWO)
    kept = memory.shadow
    for _ in range(3):
        memory, _, followed = looked(memory, snapshot(TWO, at, unread="orders-bulk"), TWO)
        assert (followed.shadow, followed.decision) == (kept, None)
        at += 10.0
    _, _, followed = looked(memory, snapshot(TWO, at), TWO)
    assert not followed.began
    assert followed.decision is not None
    _, _, followed = looked(memory, snapshot(TWO, at + 100.0), TWO)
    assert followed.began
    assert followed.shadow.restarted == (at + 100.0, 140.0)
    assert score(followed.shadow) is not None


def test_score_when_ticks_were_missed_has_what_waited_in_each_queue() -> None:
    """On both sides: what waited at first, what came, and what waits now that it has begun anew."""
    memory, at = watched(TWO)
    memory, _, followed = looked(memory, snapshot(TWO, at + 300.0), TWO)
    assert followed.began
    scored = score(memory.shadow)
    assert scored is not None
    assert scored.acting.messages == pytest.approx(10.0 + scored.came + 10.0, abs=0.1)
    assert scored.shadow.messages == pytest.approx(10.0 + scored.came + 10.0, abs=0.1)


def test_fleet_when_all_its_queues_are_paused_is_not_followed() -> None:
    """There is nothing to be in time with; nor is there when the one paused is all that it has."""
    for queues in ([{**URGENT, "paused": True}, {**BULK, "paused": True}], [{**URGENT, "paused": True}]):
        fleet = in_shadow(*queues)
        memory, _, followed = looked(Memory(), snapshot(fleet, NINE), fleet)
        assert (followed.decision, memory.shadow) == (None, Shadow())


def test_fleet_when_all_but_one_of_its_queues_are_paused_is_scored_by_that_ones_target() -> None:
    """Its sentence says so, as for a fleet with that queue alone."""
    memory, _ = watched(in_shadow(URGENT, {**BULK, "paused": True}))
    scored = score(memory.shadow)
    assert scored is not None
    assert scored.target_wait_s == 120.0
    assert "within 120 s" in scored.sentence


# --------------------------------------------------------------------------- the record


def test_record_when_a_fleet_is_shared_comes_back_whole() -> None:
    """Lines, queues and score; and one more tick goes on from it."""
    memory, at = watched(TWO)
    assert len(memory.shadow.queues) == 2
    read = read_memory(MEMORY.to_text(memory))
    assert read == memory
    assert looked(read, snapshot(TWO, at), TWO) == looked(memory, snapshot(TWO, at), TWO)


def test_record_when_it_is_of_before_queues_were_scored_is_gone_on_with() -> None:
    """A shadow without the fields of several queues: the same figures, and no new beginning."""
    fleet = a_fleet(mode="shadow")
    memory, at = watched(fleet)
    text = MEMORY.to_text(memory)
    for field in (',"others":[]', ',"queues":[]'):
        assert text.count(field) >= 1
        text = text.replace(field, "")
    read = read_memory(text)
    assert read == memory
    _, _, followed = looked(read, snapshot(fleet, at), fleet)
    assert not followed.began


def test_record_when_a_version_before_has_dropped_the_queues_begins_anew() -> None:
    """What it kept of a shared fleet's shadow is of one queue, which there is not."""
    memory, at = watched(TWO)
    assert memory.shadow.fleet is not None
    dropped = replace(memory.shadow, fleet=replace(memory.shadow.fleet, others=()), others=(), queues=())
    _, _, followed = looked(replace(memory, shadow=dropped), snapshot(TWO, at), TWO)
    assert followed.began
    assert len(followed.shadow.others) == 1
