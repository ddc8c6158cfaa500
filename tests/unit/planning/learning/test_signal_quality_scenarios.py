"""Failing messages in a closed loop: poison in quiet and in traffic, an outage, a crash; who is late, and the cost."""

import random
from dataclasses import replace

import pytest

from sluice.model.planning import Snapshot
from tests.support.failing_world import FailingWorld
from tests.support.planner_world import a_fleet

FLEET = a_fleet()  # a target wait of 120 s, one message a second and unit, a minute to launch


class BlindWorld(FailingWorld):
    """The same without the metric of messages received."""

    def snapshot(self) -> Snapshot:
        """What a tick sees."""
        seen = super().snapshot()
        return replace(seen, queue=replace(seen.queue, received=None))


def wants(world: FailingWorld, minutes: float) -> list[int]:
    """The capacities of the last minutes, ascending."""
    return sorted(decision.want for decision in world.decisions if decision.at >= world.now - 60 * minutes)


def test_fleet_when_only_poison_is_left():
    """Poison amid traffic, which then ends: all else is done in time, and one unit stays with what nobody can do."""
    world = FailingWorld(lambda t: 2.0 if t < 3000 else 0.0, lambda _t, poison: poison)
    world.live(FLEET, 1200)
    world.put(300, poison=True)
    world.live(FLEET, 3900)
    assert wants(world, 10) == [1] * len(wants(world, 10))
    assert world.longest_wait_s(since=1800) <= 120
    assert "received again and again" in world.decisions[-1].sentence
    assert world.waiting > 290


def test_fleet_when_traffic_stands_in_line_with_poison():
    """What comes waits behind what fails: it is begun in time, and what is needed is what cycling through both takes.

    500 in 112.8 s and one a second are 5.4 units. Told nothing of receives, the rate sinks with each failure, and units
    that fail count as busy: the fleet stays at twice as many and more.
    """
    worlds = []
    for kind in (FailingWorld, BlindWorld):
        world = kind(lambda _t: 1.0, lambda _t, poison: poison)
        world.live(FLEET, 1200)
        world.put(500, poison=True)
        world.live(FLEET, 2700)
        worlds.append(world)
    told, blind = worlds
    assert told.longest_wait_s(since=1800) <= 120
    assert 5 <= wants(told, 10)[-1] <= 8
    assert max(decision.want for decision in blind.decisions[-90:]) >= 12


def test_outage_when_the_messages_are_good():
    """Nothing completes for a quarter of an hour: it is no poison, and what comes after it is in time again soon."""
    world = FailingWorld(lambda _t: 3.0, lambda t, _poison: 1800 <= t < 2700, back_after_s=10.0)
    world.live(FLEET, 2700)
    assert all(figure.name != "poison" for decision in world.decisions for figure in decision.figures)
    assert wants(world, 1)[-1] >= 10, "the backlog is work, and the fleet is ready for it"
    world.live(FLEET, 1200)
    assert world.longest_wait_s(since=3000) <= 120
    assert world.waiting <= 15


def test_crash_when_messages_come_back_late():
    """For a minute everything fails and is hidden for two: nobody waits longer for it than that minute and before."""
    world = FailingWorld(lambda _t: 3.0, lambda t, _poison: 1800 <= t < 1860, back_after_s=120.0)
    world.live(FLEET, 3600)
    assert world.longest_wait_s(since=2400) <= 120
    assert world.longest_wait_s(since=1800) <= world.longest_wait_s(since=1000) <= 120 + 60
    assert all(figure.name != "poison" for decision in world.decisions for figure in decision.figures)
    assert wants(world, 10)[-1] <= 4
    assert len(world.waits) == pytest.approx(world.completed, abs=10)


def test_downstream_when_every_other_attempt_fails():
    """Each message takes two attempts: that is work, twice as much; the fleet scales out to it and is in time."""
    rng = random.Random(5)  # the same in every run
    world = FailingWorld(lambda _t: 3.0, lambda t, _poison: t >= 1500 and rng.random() < 0.5, back_after_s=10.0)
    world.live(FLEET, 5400)
    assert world.longest_wait_s(since=4200) <= 120
    assert 6 <= wants(world, 10)[-1] <= 9


def test_messages_when_each_fails_once():
    """Redelivered after half a minute, done the second time: no more units than the work of it takes."""
    tried: set[float] = set()

    def fails(t: float, _poison: bool) -> bool:
        return t >= 1500 and int(t) % 2 == 0 and t not in tried and not tried.add(t)

    world = FailingWorld(lambda _t: 2.0, fails, back_after_s=30.0)
    world.live(FLEET, 4200)
    assert world.longest_wait_s(since=2400) <= 120
    assert wants(world, 10)[-1] <= 5
