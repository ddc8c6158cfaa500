"""Another controller: what sets the group's capacity beside the planner, and what the planner does about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from sluice.model.decisions import Action, ReasonCode
from sluice.model.observed import GroupReading, Mode
from sluice.model.planning import ControlMemory, Snapshot
from sluice.planning.control import READ_WITHIN_S, asked, learn_control
from sluice.planning.learning.significance import RECENT_S
from tests.support.planner_steps import a_memory
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

TIMES = (NINE - 900.0, NINE - 500.0, NINE - 20.0)
THREE = ControlMemory((2, 2), TIMES, left_to_other=(TIMES[-1], 2))


@dataclass(slots=True)
class SharedWorld(World):
    """A world in which something else sets the capacity each two minutes."""

    other: int | None = 30
    launches: int = 0

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        self.launches += max(0, desired - len(self.units))
        World.set_desired(self, desired)

    def step(self) -> None:
        """One second."""
        World.step(self)
        if self.other is not None and self.t % 120.0 == 0.0:
            self.set_desired(self.other)


def test_capacity_when_another_controller_sets_it_each_two_minutes() -> None:
    """After three times in half an hour it is left as it is, and the decision says why."""
    world = SharedWorld(lambda _: 0.5)
    world.live(a_fleet(), 4 * 3600.0)
    assert world.launches <= 30 + 3 * 30 + 2 * 4, "three rounds at first, and then one instance each half hour"
    late = [decision for decision in world.decisions if decision.at > NINE + 600.0]
    held = [decision for decision in late if ReasonCode.OTHER_CONTROLLER in {each.code for each in decision.reasons}]
    assert len(held) == len(late)
    assert "something else has set the capacity 3 times within" in held[-1].sentence
    fought = World(lambda _: 0.5)
    fought.live(a_fleet(), 600.0)
    assert fought.memory.decisions.control == replace(fought.memory.decisions.control, others_at=(), left_to_other=None)


@pytest.mark.parametrize("other", [0, 1, 90])
@pytest.mark.parametrize(
    "rate", [lambda _: 8.0, lambda t: 40.0 if t % 3600.0 < 300.0 else 0.1], ids=["steady", "batches"]
)
def test_launches_when_another_controller_sets_the_capacity_for_hours(
    other: int, rate: Callable[[float], float]
) -> None:
    """Each hour costs a handful of launches at most, whatever the other controller sets and whatever arrives."""
    world = SharedWorld(rate, other=other)
    world.live(a_fleet(), 1200.0)
    first = world.launches
    world.live(a_fleet(), 4 * 3600.0)
    assert world.launches - first <= 4 * 5


def test_capacity_when_the_other_controller_has_gone() -> None:
    """It is the planner's again after half an hour and a trial as long as the three changes took."""
    world = SharedWorld(lambda _: 8.0, other=0)
    world.live(a_fleet(), 1200.0)
    assert world.memory.decisions.control.left_to_other is not None
    world.other = None
    world.live(a_fleet(), RECENT_S + 900.0)
    assert world.memory.decisions.control.left_to_other is None
    assert world.decisions[-1].want > 2
    assert ReasonCode.OTHER_CONTROLLER not in {each.code for each in world.decisions[-1].reasons}


@pytest.mark.parametrize(
    ("control", "mode", "want"),
    [
        (THREE, "act", 2),
        (replace(THREE, left_to_other=(NINE - RECENT_S - 1.0, 2)), "act", 3),
        (replace(THREE, left_to_other=(NINE - RECENT_S - 1.0, 1)), "act", 2),
        (replace(THREE, left_to_other=(NINE - RECENT_S - 881.0, 2)), "act", None),
        (replace(THREE, left_to_other=None), "act", None),
        (THREE, "shadow", None),
    ],
)
def test_scale_out_when_something_else_set_the_capacity(control: ControlMemory, mode: str, want: int | None) -> None:
    """It waits for half an hour; then one more is tried, for as long as the three changes took."""
    snapshot = seen(NINE, a_queue(NINE, 420, 2, oldest_s=0), a_group(NINE, 2))
    decision = decide(snapshot, a_fleet(mode=mode), a_memory(control=control))
    assert decision.want > 3 if want is None else decision.want == want
    if control == THREE and mode == "act":
        assert decision.reasons[-1].sentence.startswith(
            "no change: something else has set the capacity 3 times within 15 min, and last 20 s ago; remove"
        )


@pytest.mark.parametrize(("want", "left_at"), [(0, NINE - RECENT_S), (1, NINE - RECENT_S - 100.0)])
def test_trial_when_no_other_capacity_is_wanted(want: int, left_at: float) -> None:
    """It has not begun: a time in which the planner wants what the other has set proves nothing."""
    decision = replace(decide(seen(NINE, a_queue(NINE), a_group(NINE)), a_fleet()), want=want)
    control = ControlMemory((0, 0), TIMES, left_to_other=(NINE - RECENT_S - 100.0, 0))
    assert asked(control, decision).left_to_other == (left_at, 0)


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
    for hour in range(5):
        memory = learn_control(memory, a_group(NINE, 2), Mode.ACT, 3600.0 * hour)
    assert memory.others_at == (7200.0, 10800.0, 14400.0)
    assert memory.left_to_other is None


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
