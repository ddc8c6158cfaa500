"""Wait-time feedback: what was late though the plan held keeps more of the target back, and nothing else does."""

from dataclasses import dataclass, replace

import pytest

from sluice.model.observed import Lifecycle, Mode, Reading, Series
from sluice.model.planning import Estimate, QueueSample, SafetyMargin, Snapshot
from sluice.planning.learning import safety_margin
from sluice.planning.learning.significance import CLEAR
from tests.support.failing_world import FailingWorld
from tests.support.planner_steps import TIMING, a_memory, changed, learn_from
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen


@dataclass(slots=True)
class WarmingWorld(World):
    """Units are in service, by their group's word, so long before they take their first message."""

    warms_up_s: float = 0.0

    def snapshot(self) -> Snapshot:
        """What a tick sees."""
        told = World.snapshot(self)
        instances = tuple(
            replace(
                one, state=Lifecycle.IN_SERVICE if unit.ready_at - self.warms_up_s <= self.t else Lifecycle.LAUNCHING
            )
            for one, unit in zip(told.group.instances, self.units, strict=True)
        )
        return replace(told, group=replace(told.group, instances=instances))


def bursts(size: int, every_s: int = 1800):
    """Two a second, and so many at once now and then."""
    return lambda t: 2.0 + (size if t > 1200 and t % every_s == 7 else 0)


def late_in(world: World, fleet, seconds: float) -> int:
    """How many of the messages begun in the next seconds were late."""
    before = len(world.waits)
    world.live(fleet, seconds)
    return sum(1 for waited in world.waits[before:] if waited > fleet.target_wait_s)


def test_waits_when_new_consumers_take_a_minute_longer_than_their_group_shows():
    """A release makes consumers slow to begin; nobody tells. What is late because of it teaches, until nothing is."""
    fleet = a_fleet(target_wait_s=180)
    world = WarmingWorld(bursts(600))
    world.live(fleet, 1200)
    world.warms_up_s, world.boot_s = 60.0, 120.0
    late = [late_in(world, fleet, 1800) for _ in range(10)]
    assert late[0] > 100
    assert sum(late[-4:]) == 0
    assert 0.0 < world.memory.margin.share <= CLEAR  # the spread of what they complete, which is learned, does a part
    (planned,) = (figure for figure in world.decisions[-1].figures if figure.name == "planned_wait_s")
    assert planned.source == "measured"
    assert planned.value < 0.9 * 180


def test_plan_when_nothing_was_ever_late():
    """Nothing is reserved beyond the guard that everybody has, and the figure says that it is so by configuration."""
    fleet = a_fleet(target_wait_s=180)
    world = World(bursts(600))
    assert late_in(world, fleet, 9000) == 0
    assert world.memory.margin.share == 0.0
    (planned,) = (figure for figure in world.decisions[-1].figures if figure.name == "planned_wait_s")
    assert (planned.source, planned.value) == ("configured", 170.0)


@pytest.mark.parametrize(
    ("fleet", "boot_s", "bounds"),
    [
        (a_fleet(target_wait_s=60), 180.0, (0, 1000)),  # no launch can be in time
        (a_fleet(target_wait_s=180), 60.0, (0, 3)),  # the group may not have what is needed
        (a_fleet(target_wait_s=180, limits={"max_step": 1}), 60.0, (0, 1000)),  # nor the fleet
    ],
)
def test_lateness_when_the_plan_could_not_hold(fleet, boot_s, bounds):
    """Late because no plan could have been in time, or none was let: that teaches nothing."""
    world = World(bursts(900), boot_s=boot_s, bounds=bounds)
    assert late_in(world, fleet, 9000) > 10
    assert world.memory.margin.share == 0.0


def test_lateness_when_there_was_an_outage():
    """Late because nothing was completed: that teaches nothing."""
    fleet = a_fleet(target_wait_s=180)
    world = FailingWorld(lambda _t: 3.0, lambda t, _poison: 2400 <= t < 3300, back_after_s=10.0)
    world.live(fleet, 5400)
    assert world.longest_wait_s() > 180 + TIMING.tick_s
    assert world.memory.margin.share == 0.0


# ------------------------------------------------------------------------------------------------ one late message


LATE_AT = NINE - 420.0
LATE = a_memory(
    learned_at=NINE - 10.0,
    rate=Estimate(1.0, 100.0, NINE - 60),
    to_service=Estimate(60.0, 8.0, NINE - 600),
    late=(LATE_AT, 0.05),
    samples=tuple(QueueSample(NINE - 10.0 * i, 50.0, 2.0, 2.0, True, 0.0) for i in range(60, 0, -1)),
)


def settle(memory=LATE, *, done=120.0, oldest=None, at=NINE):
    """The memory once a stretch of lateness can be judged; two units complete 120 a minute."""
    points = tuple((NINE - 60.0 * i, done) for i in range(12, 1, -1))
    queue = replace(a_queue(at, 50, 2, per_minute=None), deleted=Series(60.0, points), oldest_age=oldest)
    margin = safety_margin.judged(
        memory.margin,
        memory.service_rate.estimate,
        memory.samples,
        queue,
        target_wait_s=120.0,
        timing=TIMING,
        learned_at=memory.learned_at,
        at=at,
    )
    return replace(memory, margin=margin)


@pytest.mark.parametrize(
    ("by", "share"), [(0.05, 0.05), (0.001, safety_margin.STEP_LEAST), (4.0, safety_margin.STEP_MOST)]
)
def test_margin_when_units_did_what_they_should(by, share):
    """As much of the target as it was late by, within bounds; what comes once it is over is judged anew."""
    learned = settle(changed(LATE, late=(LATE_AT, by)))
    assert (learned.margin.share, learned.margin.late, learned.margin.held_since) == (share, None, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"done": 10.0}, "they did hardly anything: an outage, or other messages"),
        ({"oldest": Reading(40.0, LATE_AT - 20.0)}, "what was the oldest twenty seconds before cannot have waited 120"),
    ],
)
def test_lesson_when_something_else_was_wrong(change, why):
    """It is dropped, and nothing is learned."""
    learned = settle(**change)
    assert (learned.margin.share, learned.margin.late) == (0.0, None), why


def test_lesson_when_metrics_are_not_there_yet():
    """It waits for them."""
    soon = changed(LATE, late=(NINE - 300.0, 0.05))
    assert settle(soon) == soon


def test_lessons_when_there_are_many():
    """The margin has a bound."""
    memory = LATE
    for _ in range(20):
        memory = settle(changed(memory, late=(LATE_AT, 0.08)))
    assert memory.margin.share == CLEAR


def test_lesson_when_the_promise_was_kept_since():
    """Half of it is forgotten in a day; of almost nothing, all."""
    fleet = a_fleet()
    memory = a_memory(margin_share=0.1, learned_at=NINE)
    for hour in range(24):
        now = NINE + 3600.0 * (hour + 1)
        memory = learn_from(memory, seen(now, a_queue(now), a_group(now)), fleet, now)
    assert memory.margin.share == pytest.approx(0.05)
    now += 4 * 86_400.0
    assert learn_from(memory, seen(now, a_queue(now), a_group(now)), fleet, now).margin.share == 0.0


# ------------------------------------------------------------------------------------------------ what is noted


def late_decision(fleet, **changes):
    """A decision on a fleet whose oldest message has waited 150 s, of 120."""
    known = a_memory(rate=Estimate(1.0, 100.0, NINE), to_service=Estimate(30.0, 8.0, NINE))
    queue = a_queue(NINE, 30, 4, oldest_s=150, per_minute=(6.0,) * 10)
    return replace(decide(seen(NINE, queue, a_group(NINE, 4)), fleet, known), **changes)


def test_lateness_when_plans_held_since_before_the_message_came():
    """It is noted with how late it was: 150 of 120 s."""
    held = SafetyMargin(held_since=NINE - 200.0)
    assert safety_margin.noted(held, late_decision(a_fleet()), TIMING).late == (NINE, pytest.approx(0.25))
    recently = SafetyMargin(held_since=NINE - 100.0)
    assert safety_margin.noted(recently, late_decision(a_fleet()), TIMING) == recently


@pytest.mark.parametrize("changes", [{"mode": Mode.SHADOW}, {"mode": Mode.PAUSED}, {"raw_need": 9, "want": 4}])
def test_lateness_when_the_decision_was_not_the_fleets(changes):
    """In shadow mode another acts; where less was wanted than needed a limit did it: from then on nothing held."""
    held = SafetyMargin(held_since=NINE - 200.0)
    assert safety_margin.noted(held, late_decision(a_fleet(), **changes), TIMING) == SafetyMargin()
