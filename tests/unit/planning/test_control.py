"""Another controller: what sets the group's capacity beside the planner, and what the planner does about it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sluice.model.decisions import Action, ReasonCode
from sluice.model.observed import GroupReading, Mode
from sluice.model.planning import ControlMemory, Snapshot
from sluice.planning.control import READ_WITHIN_S, learn_control
from tests.support.planner_steps import a_memory
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

THREE = ControlMemory((2, 2), (NINE - 900.0, NINE - 500.0, NINE - 20.0))


@dataclass(slots=True)
class SharedWorld(World):
    """A world in which something else sets the capacity each two minutes."""

    other: int = 30
    launches: int = 0

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        self.launches += max(0, desired - len(self.units))
        World.set_desired(self, desired)

    def step(self) -> None:
        """One second."""
        World.step(self)
        if self.t % 120.0 == 0.0:
            self.set_desired(self.other)


def test_capacity_when_another_controller_sets_it_each_two_minutes() -> None:
    """After three times in half an hour it is left as it is, and the decision says why."""
    world = SharedWorld(lambda _: 0.5)
    world.live(a_fleet(), 4 * 3600.0)
    assert world.launches <= 30 + 8 * 3 * 30, "three rounds each half hour at most"
    late = [decision for decision in world.decisions if decision.at > NINE + 600.0]
    held = [decision for decision in late if ReasonCode.OTHER_CONTROLLER in {each.code for each in decision.reasons}]
    assert len(held) > 0.6 * len(late)
    assert "something else has set the capacity" in held[-1].sentence
    fought = World(lambda _: 0.5)
    fought.live(a_fleet(), 600.0)
    assert fought.memory.decisions.control.others_at == ()


@pytest.mark.parametrize(
    ("memory", "mode", "holds"),
    [
        (THREE, "act", True),
        (THREE, "shadow", False),
        (ControlMemory((2, 2), THREE.others_at[1:]), "act", False),
        (ControlMemory((2, 2), (NINE - 1900.0, *THREE.others_at[1:])), "act", False),
    ],
)
def test_scale_out_when_something_else_set_the_capacity(memory: ControlMemory, mode: str, holds: bool) -> None:
    """Three times in half an hour hold a fleet that acts."""
    snapshot = seen(NINE, a_queue(NINE, 420, 2, oldest_s=0), a_group(NINE, 2))
    decision = decide(snapshot, a_fleet(mode=mode), a_memory(control=memory))
    assert (decision.want == 2) is holds
    if holds:
        assert decision.reasons[-1].sentence.startswith(
            "no change: something else has set the capacity 3 times in 15 min, the last 20 s ago; remove"
        )


@pytest.mark.parametrize(
    ("desired", "mode", "noted"), [(2, Mode.ACT, 0), (5, Mode.ACT, 0), (4, Mode.ACT, 1), (4, Mode.SHADOW, 0)]
)
def test_capacity_when_it_is_neither_of_the_two_that_it_may_be(desired: int, mode: Mode, noted: int) -> None:
    """Two as it was, five as asked for: any other was set by something else, where decisions are applied."""
    after = learn_control(ControlMemory((2, 5)), a_group(NINE, 1, desired=desired), mode, NINE)
    assert len(after.others_at) == noted
    assert learn_control(ControlMemory(), a_group(NINE, 1, desired=desired), mode, NINE) == ControlMemory()


def test_changes_by_others_when_there_are_many() -> None:
    """The last three are remembered."""
    memory = ControlMemory((1, 1))
    for at in range(5):
        memory = learn_control(memory, a_group(NINE, 2), Mode.ACT, float(at))
    assert memory.others_at == (2.0, 3.0, 4.0)


@pytest.mark.parametrize(("until", "noted"), [(NINE + 1.0, 0), (NINE, 1)])
def test_capacity_when_the_reading_is_some_seconds_old(until: float, noted: int) -> None:
    """A capacity of a decision before may be read for a minute; later it was set by something else."""
    memory = ControlMemory((5, 5), before=((until, 4),))
    assert len(learn_control(memory, a_group(NINE, 1, desired=4), Mode.ACT, NINE).others_at) == noted


@dataclass(slots=True)
class LateWorld(World):
    """A world whose group is read as it was twenty seconds ago."""

    groups: list[GroupReading] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        """With the group as it was two ticks ago."""
        now = World.snapshot(self)
        assert now.group is not None
        self.groups.append(now.group)
        return replace(now, group=replace(self.groups[max(0, len(self.groups) - 3)], at=now.at))

    def set_desired(self, desired: int) -> None:
        """What holds sets nothing."""
        if self.decisions[-1].action is not Action.HOLD:
            World.set_desired(self, desired)


def test_capacity_when_every_reading_is_old() -> None:
    """Readings twenty seconds old are no other controller, whatever was decided meanwhile."""
    world = LateWorld(lambda t: 4.0 if t % 600.0 < 300.0 else 0.2)
    world.live(a_fleet(), 2 * 3600.0)
    assert len({decision.want for decision in world.decisions}) > 3
    assert world.memory.decisions.control.others_at == ()
    assert all(until <= world.decisions[-1].at + READ_WITHIN_S for until, _ in world.memory.decisions.control.before)
