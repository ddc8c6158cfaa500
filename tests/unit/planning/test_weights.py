"""Instances that count for several units: bounds, overshoot, budget, rates and shadow mode, in units throughout."""

from dataclasses import dataclass, field, replace
from itertools import cycle

import pytest

from sluice.model.decisions import ReasonCode
from sluice.model.observed import GroupReading, Instance, Lifecycle
from sluice.model.planning import Memory, Snapshot
from sluice.planning.shadow.scorecard import score
from tests.support.planner_steps import learn_from, plan_for, rate_of, replay_for
from tests.support.planner_world import NINE, Unit, World, a_fleet, a_queue, decide, seen, watched
from tests.unit.planning.learning.test_learn import saturated

MENUS = [(4,), (2, 4), (1, 2, 4), (4, 1, 2)]  # weights, in the order in which the group launches them


@dataclass(slots=True)
class WeightedWorld(World):
    """A group that launches until what is desired is there, and lets an instance go only if what is left suffices."""

    menu: tuple[int, ...] = (1, 2, 4)
    instances: list[list[Unit]] = field(default_factory=list)  # each with as many units as it weighs
    launched: int = 0
    _weights: cycle = field(default_factory=lambda: cycle((1,)))

    def __post_init__(self) -> None:
        self._weights = cycle(self.menu)

    @property
    def capacity(self) -> int:
        """Units that are there or on their way."""
        return sum(len(instance) for instance in self.instances)

    def set_desired(self, desired: int) -> None:
        """Launch, or let go those that are not needed, the oldest first."""
        self.desired = desired
        while self.capacity < desired:
            self.launched += 1
            instance = [Unit(f"i-{self.launched}", self.t, self.t + self.boot_s) for _ in range(next(self._weights))]
            self.instances.append(instance)
            self._booting.extend(instance)
        for instance in list(self.instances):
            if self.capacity - len(instance) >= desired:
                self.instances.remove(instance)
                for unit in instance:
                    unit.leaving = True
        self.units = [unit for instance in self.instances for unit in instance]

    def snapshot(self) -> Snapshot:
        """What a tick sees."""
        told = World.snapshot(self)
        instances = tuple(
            Instance(
                units[0].name,
                Lifecycle.IN_SERVICE if units[0].ready_at <= self.t else Lifecycle.LAUNCHING,
                weight=float(len(units)),
            )
            for units in self.instances
        )
        return replace(told, group=replace(told.group, instances=instances))


def weighted(now, *weights, desired=None, bounds=(0, 100), launching=()):
    """A group with instances of such weights in service, and launches that began now."""
    instances = [Instance(f"i-{i}", Lifecycle.IN_SERVICE, weight=float(w)) for i, w in enumerate(weights)]
    instances += [
        Instance(f"i-new{i}", Lifecycle.LAUNCHING, launched_at=now, weight=float(w)) for i, w in enumerate(launching)
    ]
    total = sum(weights) + sum(launching)
    return GroupReading("orders", now, total if desired is None else desired, *bounds, tuple(instances))


# ------------------------------------------------------------------------------------------------ in a closed loop


@pytest.mark.parametrize("menu", MENUS)
@pytest.mark.parametrize("per_s", [1.5, 5.5, 11.0])
def test_capacity_when_load_is_constant_and_instances_are_heavy(menu, per_s):
    """A hundred ticks and more of constant load: no instance is launched, and none let go; nobody waits too long."""
    world = WeightedWorld(lambda _: per_s, menu=menu)
    fleet = a_fleet()
    world.live(fleet, 3600)
    world.waits.clear()  # the start from nothing is not what is judged here
    launched, capacities = world.launched, set()
    began = len(world.decisions)
    while len(world.decisions) - began < 150:
        world.live(fleet, 60)
        capacities.add(world.capacity)
    assert world.launched - launched <= 1
    assert max(capacities) - min(capacities) <= max(menu)
    assert max(capacities) < per_s + 2 + max(menu), "what is needed, and part of one instance"
    assert world.longest_wait_s() <= 120


@pytest.mark.parametrize("menu", MENUS)
def test_waits_when_a_burst_meets_heavy_instances(menu):
    """A burst is worked off in time for little more than with light ones: parts of instances; and it ends at zero."""
    world = WeightedWorld(lambda t: 800 if t == 600 else 0.0, menu=menu, bounds=(0, 30))
    world.live(a_fleet(target_wait_s=300), 3600)
    assert world.longest_wait_s() <= 300
    assert max(decision.want for decision in world.decisions) <= 30
    light = World(lambda t: 800 if t == 600 else 0.0, bounds=(0, 30))
    light.live(a_fleet(target_wait_s=300), 3600)
    assert world.unit_seconds <= 1.2 * light.unit_seconds + 300 * (max(menu) - 1)
    assert world.instances == []


# ------------------------------------------------------------------------------------------------ overshoot


def test_scale_out_when_an_overshoot_covers_it():
    """Five were desired and two of four are in service, since neither can go: eight do what five would not."""
    now = NINE
    queue = a_queue(now, 700, 8, oldest_s=0)
    decision = decide(seen(now, queue, weighted(now, 4, 4, desired=5)), a_fleet())
    assert decision.want == 5
    five = decide(seen(now, queue, weighted(now, 1, 4)), a_fleet())
    assert five.want > 5


def test_scale_out_when_a_heavy_launch_brings_more_than_is_missing():
    """One was missing and four are on their way: they are counted, all four."""
    now = NINE
    queue = a_queue(now, 600, 4, oldest_s=0)
    heavy = decide(seen(now, queue, weighted(now, 4, desired=5, launching=(4,))), a_fleet())
    light = decide(seen(now, queue, weighted(now, 4, desired=5, launching=(1,))), a_fleet())
    assert (heavy.want, light.want > 5) == (5, True)


def test_scale_out_when_a_surplus_is_about_to_go():
    """Two of one unit more than desired are about to be taken away: they are not counted on."""
    now = NINE
    queue = a_queue(now, 700, 7, oldest_s=0)
    assert decide(seen(now, queue, weighted(now, 1, 1, 1, 1, 1, 1, 1, desired=5)), a_fleet()).want > 5


@pytest.mark.parametrize(("bounds", "waiting", "want"), [((0, 6), 5000, 6), ((6, 20), 0, 6), ((0, 20), 0, 0)])
def test_want_when_bounds_are_in_units(bounds, waiting, want):
    """The group's minimum and maximum are units, too: want is within them, whatever an overshoot made of them."""
    now = NINE
    group = weighted(now, 4, 4, desired=bounds[1] if waiting else 8, bounds=bounds)
    decision = decide(
        seen(now, a_queue(now, waiting, 0, oldest_s=0), group), a_fleet(), watched(now, (90.0, 8), (10.0, 0))
    )
    assert decision.want == want


def test_scale_in_when_a_heavy_instance_is_protected():
    """What may not leave counts with all its units."""
    now = NINE
    group = weighted(now, 4, 2, 1)
    held = tuple(replace(each, protected=each.weight == 4) for each in group.instances)
    decision = decide(
        seen(now, a_queue(now), replace(group, instances=held)), a_fleet(), watched(now, (90.0, 7), (10.0, 0))
    )
    assert decision.want == 4


# ------------------------------------------------------------------------------------------------ units throughout


def test_budget_when_instances_are_heavy():
    """Hours are those of units: three instances of seven units for an hour are seven; of 24, 17 are left."""
    fleet = a_fleet(limits={"instance_hours_per_day": 24})
    memory = Memory()
    for t in range(0, 3601, 60):
        now = NINE + t
        memory = learn_from(memory, seen(now, a_queue(now, 5, 7), weighted(now, 4, 2, 1)), fleet, now)
    assert memory.spending.spent_s == pytest.approx(7 * 3600.0)
    decision = plan_for(seen(now, a_queue(now, 9000, 7, oldest_s=0), weighted(now, 4, 2, 1)), fleet, memory, now)
    assert decision.want == 17
    assert next(r for r in decision.reasons if r.code is ReasonCode.BUDGET).after == 17


def test_service_rate_when_instances_are_heavy():
    """It is of a unit: two instances of four and two complete six a second together."""
    fleet = a_fleet()
    memory = Memory()
    for t in range(0, 791, 10):
        now = NINE + t
        done = tuple((NINE + 60.0 * i, 360.0) for i in range(max(0, (t - 30) // 60)))
        queue = a_queue(now, 900, 6, per_minute=None)
        if done:
            queue = replace(queue, deleted=replace(a_queue(now, done_per_minute=(1.0,)).deleted, points=done))
        memory = learn_from(memory, seen(now, queue, weighted(now, 4, 2)), fleet, now)
    assert rate_of(memory, fleet, now).value == pytest.approx(1.0, rel=0.01)
    alike = saturated(fleet, lambda _: 360, working=6, minutes=12)
    assert rate_of(alike, fleet, now).value == pytest.approx(rate_of(memory, fleet, now).value)


def test_shadow_when_the_real_group_is_weighted():
    """Both sides are paid by units, and the score says so."""
    fleet = a_fleet(mode="shadow")
    memory, settled = Memory(), []
    for t in range(0, 1801, 10):
        now = NINE + t
        queue = a_queue(now, 0, 3, per_minute=(180.0,) * 10)
        snapshot = seen(now, queue, weighted(now, 4, 2, 1))
        before = memory
        memory = learn_from(memory, snapshot, fleet, now)
        followed = replay_for(before, memory, snapshot, fleet, now)
        memory = replace(memory, shadow=followed.shadow)
        settled += [followed.settled] if followed.settled else []
    seconds = sum(span.seconds for span in settled)
    assert seconds > 1200
    assert sum(span.acting.unit_s for span in settled) == pytest.approx(7.0 * seconds, rel=0.02)
    assert sum(span.shadow.unit_s for span in settled) < 6.0 * seconds, "three to four would do"
    assert memory.shadow.real.weighted
    assert "unit-hours" in score(memory.shadow).sentence
