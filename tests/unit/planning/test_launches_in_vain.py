"""Launches and units that bring nothing: they hang, end at once, or take no message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sluice.model.decisions import Decision, Reason, ReasonCode
from sluice.model.observed import GroupReading, Series
from sluice.model.planning import Estimate, LaunchMemory, QueueSample, Snapshot
from sluice.planning.learning.launch_lives import learn_lives
from tests.support.planner_steps import a_memory, learn_from
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen, watched

NOW = NINE
MEASURED = watched(NOW, (500.0, 0))
FLEET = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
LEAD = Estimate(60.0, 8.0, NOW - 3600.0, 3.0)  # launches, as measured


def reason(decision: Decision, code: ReasonCode) -> Reason:
    """The reason of that code; fails if the decision has none."""
    found = [each for each in decision.reasons if each.code is code]
    assert found, f"no {code} in {[str(each.code) for each in decision.reasons]}"
    return found[0]


@dataclass(slots=True)
class CountingWorld(World):
    """A world that counts launches; units of `lives_s` end by themselves after so long, and the group replaces them."""

    launches: int = 0
    lives_s: float | None = None
    takes: bool = True
    _seen: set[str] = field(default_factory=set)

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        World.set_desired(self, desired)
        self.launches += sum(1 for unit in self.units if unit.name not in self._seen)
        self._seen |= {unit.name for unit in self.units}
        if not self.takes:
            self._booting.clear()  # they never ask for a message

    def snapshot(self) -> Snapshot:
        """What a tick sees, with the beginning of each launch, as Auto Scaling's events tell it."""
        seen = World.snapshot(self)
        began = {unit.name: NINE + unit.launched_at for unit in self.units}
        timed = tuple(replace(each, launched_at=began[each.id]) for each in seen.group.instances)
        return replace(seen, group=replace(seen.group, instances=timed))

    def step(self) -> None:
        """One second; who has lived for so long ends, and the group launches another."""
        World.step(self)
        if self.lives_s is None:
            return
        ended = [unit for unit in self.units if unit.ready_at + self.lives_s <= self.t]
        for unit in ended:
            unit.leaving = True
            self.units.remove(unit)
        if ended:
            self.set_desired(self.desired)


# ------------------------------------------------------------------------------------------------ nothing is received


def test_capacity_when_consumers_never_take_a_message() -> None:
    """Nobody takes anything for hours: what was launched for the first messages stays, and one more each half hour."""
    world = CountingWorld(lambda _: 0.5, takes=False)
    world.live(FLEET, 3 * 3600.0)
    at_first = max(decision.want for decision in world.decisions if decision.at < NINE + 180.0)
    assert at_first < 40
    assert world.launches <= at_first + 6
    assert max(decision.want for decision in world.decisions) <= at_first + 1
    assert reason(world.decisions[-1], ReasonCode.NOTHING_RECEIVED)
    assert "received nothing for" in world.decisions[-1].sentence


def test_capacity_when_a_consumer_takes_its_first_message_late() -> None:
    """The first message that is received ends it: what is needed is launched."""
    world = CountingWorld(lambda _: 0.5, takes=False)
    world.live(FLEET, 1800.0)
    held = world.decisions[-1].want
    world.takes = True
    world._free.extend(world.units)
    world.live(FLEET, 600.0)
    assert max(decision.want for decision in world.decisions[-60:]) > held
    assert ReasonCode.NOTHING_RECEIVED not in {each.code for each in world.decisions[-1].reasons}


def received(*counts: float) -> Series:
    """Messages received by the minute, up to three minutes ago."""
    end = NOW - NOW % 60.0 - 180.0
    return Series(60.0, tuple((end - 60.0 * (len(counts) - index), number) for index, number in enumerate(counts)))


@pytest.mark.parametrize(
    ("counts", "in_flight", "launched_s", "oldest_s", "holds"),
    [
        ((0.0,) * 30, 0, 4000.0, 3000.0, True),
        ((0.0,) * 30, 0, None, 3000.0, True),
        ((0.0,) * 30, 1, 4000.0, 3000.0, False),  # one works
        ((0.0,) * 29 + (5.0,), 0, 4000.0, 3000.0, False),  # messages are received, and done before a tick looks
        ((0.0,) * 30, 0, 100.0, 3000.0, False),  # in service for less than a lead time
        ((0.0,) * 30, 0, 4000.0, 30.0, False),  # the messages have just come
        ((), 0, 4000.0, 3000.0, False),  # unknown
    ],
)
def test_first_look_when_nothing_was_received(counts, in_flight, launched_s, oldest_s, holds) -> None:
    """Without earlier ticks the metric of messages received shows it, for units that had the time to receive any."""
    queue = replace(a_queue(NOW, 300, in_flight, oldest_s=oldest_s, per_minute=(6.0,) * 30), received=received(*counts))
    group = a_group(NOW, 6)
    launched_at = None if launched_s is None else NOW - launched_s
    group = replace(group, instances=tuple(replace(each, launched_at=launched_at) for each in group.instances))
    decision = decide(seen(NOW, queue, group), FLEET, MEASURED)
    assert (decision.want == 6) is holds
    if holds:
        assert "6 instances in service received nothing" in reason(decision, ReasonCode.NOTHING_RECEIVED).sentence


# ------------------------------------------------------------------------------------------------ short lives


@pytest.mark.slow
@pytest.mark.parametrize("boot_s", [5.0, 60.0])
def test_launches_when_instances_end_at_once(boot_s: float) -> None:
    """Each ends 20 s after it came into service: after the first ones a handful an hour are launched."""
    fleet = a_fleet(hints={"seconds_per_message": 30, "lead_time_s": 60})
    world = CountingWorld(lambda _: 0.2, 1 / 30.0, boot_s, lives_s=20.0)
    world.live(fleet, 3600.0)
    first = world.launches
    world.live(fleet, 6 * 3600.0)
    assert world.launches - first <= 6 * 6
    assert reason(world.decisions[-1], ReasonCode.SHORT_LIVED)


def test_launches_when_instances_live_again() -> None:
    """Once one lives for a lead time, all that is needed is launched."""
    fleet = a_fleet(hints={"seconds_per_message": 30, "lead_time_s": 60})
    world = CountingWorld(lambda _: 0.2, 1 / 30.0, lives_s=20.0)
    world.live(fleet, 3600.0)
    world.lives_s = None
    world.live(fleet, 1800.0)
    assert world.decisions[-1].want >= 6
    assert ReasonCode.SHORT_LIVED not in {each.code for each in world.decisions[-1].reasons}


def lives(
    memory: LaunchMemory, group: GroupReading, under_way: tuple[str, ...] = (), working: float = 3.0
) -> LaunchMemory:
    """What a tick learns of a group, whose launches of the tick before are given."""
    before = QueueSample(NOW - 10.0, 1.0, 0.0, working, True, 0.0)
    return learn_lives(memory, tuple((name, NOW - 60.0) for name in under_way), before, group, alive_s=60.0, at=NOW)


def test_lives_when_the_group_takes_units_away() -> None:
    """Units above what is desired have not ended by themselves."""
    young = LaunchMemory(young=(("i-work2", NOW - 30.0), ("i-work3", NOW - 30.0)))
    assert lives(young, a_group(NOW, 2, desired=2), working=4.0).short_lived == (0, 0.0, 0.0)
    assert lives(young, a_group(NOW, 2, desired=4), working=4.0).short_lived == (2, NOW, 2.0)
    assert lives(young, a_group(NOW, 2, desired=3), working=4.0).short_lived[:2] == (1, NOW)


def test_lives_when_a_launch_failed() -> None:
    """A launch that Auto Scaling reports as failed is counted there, and one that is gone without a word here."""
    failed = a_group(NOW, 3, desired=4, failures=((5.0, "no capacity"),))
    assert lives(LaunchMemory(), failed, ("i-gone",)).short_lived == (0, 0.0, 0.0)
    assert lives(LaunchMemory(), a_group(NOW, 3, desired=4), ("i-gone",)).short_lived[:2] == (1, NOW)


def test_lives_when_a_unit_has_lived() -> None:
    """One that is in service for a lead time ends the run, and is remembered no longer."""
    memory = LaunchMemory(young=(("i-work0", NOW - 60.0), ("i-work1", NOW - 50.0)), short_lived=(5, NOW - 100.0, 3.0))
    after = lives(memory, a_group(NOW, 3))
    assert (after.short_lived, after.young) == ((0, 0.0, 0.0), (("i-work1", NOW - 50.0),))


@pytest.mark.parametrize(("ago_s", "most"), [(300.0, 2), (1801.0, 3), (9000.0, 3)])
def test_scale_out_when_the_last_launches_ended_at_once(ago_s: float, most: int) -> None:
    """None for half an hour, then one."""
    burst = seen(NOW, a_queue(NOW, 420, 2, oldest_s=0), a_group(NOW, 2))
    decision = decide(burst, a_fleet(), a_memory(short_lived=(4, NOW - ago_s, 2.0)))
    assert decision.want == min(most, decision.raw_need)


# ------------------------------------------------------------------------------------------------ launches that hang


def hanging(*ages_s: float, working: int = 0, waiting: float = 6) -> Decision:
    """A decision with launches that are under way for so long."""
    measured = a_memory(needs=((NOW - 500.0, 0),), needs_since=NOW - 600.0, needs_until=NOW - 10.0, to_service=LEAD)
    queue = a_queue(NOW, waiting, working, oldest_s=3000)
    return decide(seen(NOW, queue, a_group(NOW, working, launching=ages_s)), FLEET, measured)


def test_launch_when_it_hangs() -> None:
    """After three lead times it is not counted on: another is launched in its stead, and the decision says why."""
    assert hanging(180.0).want == 1
    hung = hanging(3000.0)
    assert (hung.raw_need, hung.want) == (1, 2)
    assert "1 instance has been launching for 50 min, and a launch takes 63 s" in hung.sentence
    assert hanging(3000.0, 30.0).want == 2, "the other is under way"
    assert hanging(3000.0, waiting=0).want == 0


@pytest.mark.parametrize(
    ("working", "hangs", "in_flight", "needed_ago", "want"),
    [
        (1, 1, 0, (12.0, 1), 2),  # needed within the window
        (1, 1, 1, (500.0, 0), 2),  # its message is not completed yet
        (1, 1, 0, (500.0, 0), 0),  # nothing is left to do: all go
        (5, 2, 3, (500.0, 0), 5),  # three are busy
        (5, 2, 0, (12.0, 4), 6),
    ],
)
def test_scale_in_while_launches_hang(working: int, hangs: int, in_flight: int, needed_ago, want: int) -> None:
    """A group takes what is in service first: of what stays, launches that hang are no part.

    Taken for one, a launch that hangs for 50 minutes had the only instance that works taken away after each message.
    """
    memory = a_memory(
        rate=Estimate(0.02, 100.0, NOW - 60.0),
        needs=((NOW - needed_ago[0], needed_ago[1]),),
        needs_since=NOW - 600.0,
        needs_until=NOW - 10.0,
        to_service=LEAD,
    )
    group = a_group(NOW, working, launching=tuple(600.0 + 60.0 * place for place in range(hangs)))
    decision = decide(seen(NOW, a_queue(NOW, 0, in_flight), group), FLEET, memory)
    assert decision.want == want


def test_launches_when_all_hang() -> None:
    """Four that hang are no reason to launch a fifth; one that came into service since is."""
    stuck = hanging(3000.0, 2000.0, 1000.0, 900.0)
    assert stuck.want == 4
    assert reason(stuck, ReasonCode.LAUNCH_HANGS).sentence.startswith("not launching any more until one of them")
    group = a_group(NOW, 1, launching=(3000.0, 2000.0, 1000.0, 900.0))
    came = tuple(replace(each, launched_at=NOW - 300.0) if each.id == "i-work0" else each for each in group.instances)
    snapshot = seen(NOW, a_queue(NOW, 60, 1, oldest_s=0), replace(group, instances=came))
    assert decide(snapshot, FLEET, a_memory(to_service=LEAD)).want > 5


@pytest.mark.parametrize(
    ("working", "hangs", "under_way", "more"), [(45, 5, 0, 2), (7, 9, 0, 2), (2, 9, 0, 1), (2, 9, 1, 0)]
)
def test_launches_when_some_of_one_order_hang(working: int, hangs: int, under_way: int, more: int) -> None:
    """Of launches that began together most came: those that hang are no four in a row, and others replace them.

    Held, a fleet waits for the hanging ones, 50 minutes in the world `hanging-launches`. Where more than four hang for
    each unit in service, others are launched one at a time.
    """
    began_s = 600.0
    group = a_group(NOW, working, launching=(*(began_s,) * hangs, *(30.0,) * under_way))
    came = [
        replace(each, launched_at=NOW - began_s) if each.id.startswith("i-work") else each for each in group.instances
    ]
    memory = a_memory(to_service=LEAD, came_at=NOW - began_s + 70.0)
    queue = a_queue(NOW, 600, working, oldest_s=0)
    decision = decide(seen(NOW, queue, replace(group, instances=tuple(came))), FLEET, memory)
    further = decision.want - decision.current
    assert further == more if more < 2 else further >= more


def test_launch_when_its_time_was_never_measured() -> None:
    """A hint may be half of the truth: a launch is given twice the time."""
    for age_s, want in ((350.0, 1), (370.0, 2)):
        group = a_group(NOW, 0, launching=(age_s,))
        assert decide(seen(NOW, a_queue(NOW, 6, 0, oldest_s=3000), group), FLEET, MEASURED).want == want


def test_lead_time_when_a_launch_hung() -> None:
    """One that came after 50 minutes counts as three times the usual time at most."""
    memory = a_memory(
        to_service=LEAD,
        under_way=(("i-work0", NOW - 3000.0),),
        samples=(QueueSample(NOW - 10.0, 6.0, 0.0, 0.0, True, 0.0),),
        learned_at=NOW - 10.0,
    )
    after = learn_from(memory, seen(NOW, a_queue(NOW, 6, 0), a_group(NOW, 1)), FLEET, NOW)
    assert after.launches.to_service.mean == pytest.approx(60.0 + 120.0 / 9.0, abs=2.0)
    assert after.launches.came_at == NOW - 5.0
