"""Hours of a queue that gets a batch at each full hour: who is there when it comes, and what waiting in vain costs."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sluice.model.planning import Memory
from tests.support.planner_steps import changed, plan_for
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

HOUR_S = 3600.0
TARGET_S, BOOT_S, MESSAGE_S = 300.0, 180.0, 30.0
BATCH = 200  # messages within the first seconds of the hour
FLEET = a_fleet(target_wait_s=TARGET_S, hints={"seconds_per_message": MESSAGE_S, "lead_time_s": BOOT_S})


@dataclass(frozen=True)
class Hour:
    """One hour of a world's life."""

    at_start: int  # units in service when it began
    most: int
    longest_wait_s: float
    unit_s: float


def hours(comes: Callable[[int], bool], count: int, *, fleet=FLEET, boot_s: float = BOOT_S) -> list[Hour]:
    """So many hours, of which `comes` says whether a batch comes at their beginning; a message a minute besides."""

    def arrivals(t: float) -> float:
        trickle = 1.0 if t % 60 == 30 else 0.0
        return trickle + (BATCH / 10.0 if t % HOUR_S < 10 and comes(int(t // HOUR_S)) else 0.0)

    world = World(arrivals, 1 / MESSAGE_S, boot_s)
    lived = []
    for _ in range(count):
        in_service = sum(1 for unit in world.units if unit.ready_at <= world.t)
        waits, unit_s, decided = len(world.waits), world.unit_seconds, len(world.decisions)
        world.live(fleet, HOUR_S)
        most = max(decision.want for decision in world.decisions[decided:])
        lived.append(Hour(in_service, most, max(world.waits[waits:]), world.unit_seconds - unit_s))
    return lived


def test_fleet_when_a_batch_comes_every_hour():
    """From the fifth on the units are there when it comes; it takes fewer of them, costs less, and keeps the target."""
    lived = hours(lambda _: True, 8)
    by_sight, ahead = lived[1:3], lived[5:]
    assert all(hour.at_start <= 2 for hour in by_sight)
    assert all(hour.at_start >= 15 for hour in ahead)
    assert max(hour.most for hour in ahead) < 0.8 * min(hour.most for hour in by_sight)
    assert max(hour.unit_s for hour in ahead) < 0.9 * min(hour.unit_s for hour in by_sight)
    assert max(hour.longest_wait_s for hour in lived[1:]) <= TARGET_S


@pytest.mark.slow
def test_fleet_when_a_batch_stays_away():
    """What waited in vain was paid for while it booted, and until the minute was over: some five minutes each."""
    lived = hours(lambda hour: hour != 6, 8)
    waited, quiet = lived[6], hours(lambda hour: hour < 3, 6)[5]
    assert waited.at_start >= 15
    boot_s, minute_s, window_s, ticks_s = BOOT_S, 60.0, BOOT_S / 4, 30.0  # the hour's end has the boots for the next
    assert waited.most <= waited.at_start + 1  # none is launched once it should have come
    assert waited.unit_s - quiet.unit_s <= waited.at_start * (boot_s + minute_s + window_s + ticks_s)
    assert waited.unit_s < 0.7 * lived[5].unit_s


def test_fleet_when_batches_come_no_more():
    """It waits for three at most; then the hour is as quiet as ever."""
    lived = hours(lambda hour: hour < 6, 10)
    assert lived[6].at_start >= 15
    assert [hour.at_start for hour in lived[9:]] == [1]


def test_fleet_when_a_batch_comes_at_no_certain_time():
    """Nobody is there beforehand, and all is in time by sight, where batches come at other minutes each hour."""
    minutes = [7, 31, 2, 48, 19, 40, 11, 25]

    def arrivals(t: float) -> float:
        at = minutes[int(t // HOUR_S)] * 60.0
        return (1.0 if t % 60 == 30 else 0.0) + (BATCH / 10.0 if 0 <= t % HOUR_S - at < 10 else 0.0)

    world = World(arrivals, 1 / MESSAGE_S, BOOT_S)
    world.live(FLEET, len(minutes) * HOUR_S)
    assert world.memory.batches.expected == ()
    assert world.longest_wait_s() <= TARGET_S


def test_waits_when_the_target_is_shorter_than_a_launch():
    """By sight all of a batch is late; once it is awaited, the last of it by half a minute."""
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": MESSAGE_S, "lead_time_s": BOOT_S})
    lived = hours(lambda _: True, 8, fleet=fleet)
    assert min(hour.longest_wait_s for hour in lived[:2]) > 150.0
    assert max(hour.longest_wait_s for hour in lived[5:]) < 90.0


# ------------------------------------------------------------------------------------------------ one tick


@pytest.fixture(scope="module")
def known() -> Memory:
    """What is known after eight hours of batches."""
    world = World(lambda t: BATCH / 10.0 if t % HOUR_S < 10 else 0.0, 1 / MESSAGE_S, BOOT_S)
    world.live(FLEET, 8 * HOUR_S - 240.0)
    return world.memory


def test_decision_when_a_batch_is_due(known):
    """It says what the capacity is for, in words and as a figure; a minute earlier it waits."""
    at = NINE + 8 * HOUR_S
    decision = decide(seen(at - 180.0, a_queue(at - 180.0), a_group(at - 180.0)), FLEET, known)
    assert decision.want == decision.raw_need > 15
    assert "for a batch that is due" in decision.reasons[0].sentence
    assert {figure.name: figure.value for figure in decision.figures}["need_of_batches"] == decision.want
    early = decide(seen(at - 235.0, a_queue(at - 235.0), a_group(at - 235.0)), FLEET, known)
    assert early.want == 0


@pytest.mark.parametrize("working", [0, 5, 40])
@pytest.mark.parametrize("seconds", [-200.0, -100.0, 5.0, 50.0, 100.0])
def test_need_when_a_batch_is_awaited_or_not(known, working, seconds):
    """What is awaited only ever asks for more: without it, the same tick never wants more."""
    at = NINE + 8 * HOUR_S + seconds
    snapshot = seen(at, a_queue(at, 30, working, oldest_s=20), a_group(at, working))
    foreseen = plan_for(snapshot, FLEET, known, at)
    unforeseen = plan_for(snapshot, FLEET, changed(known, batches=()), at)
    assert foreseen.raw_need >= unforeseen.raw_need
    assert foreseen.want >= unforeseen.want
