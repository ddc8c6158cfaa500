"""How many instances of a fleet are replaced at a time for what EC2 has scheduled, by a table."""

from typing import Any

import pytest

from sluice.draining.scheduled import AHEAD_S, due
from sluice.model.draining import ScheduledEvent
from sluice.model.observed import GroupReading, Instance, Lifecycle

NOW, LONGEST_S, FAR = 1_800_000_000.0, 900.0, 1_800_900_000.0


def fleet_of(in_service: int, desired: int | None = None, weight: float = 1.0, **more: Any) -> GroupReading:
    """A group with so many instances in service, i-000 the first."""
    instances = tuple(
        Instance(f"i-{n:03}", Lifecycle.IN_SERVICE, "InService", weight=weight) for n in range(in_service)
    )
    return GroupReading("g", NOW, desired or int(in_service * weight), 0, 1_000, instances, **more)


@pytest.mark.parametrize(
    ("reading", "count"),
    [
        (fleet_of(1), 1),
        (fleet_of(9), 1),
        (fleet_of(50), 5),
        (fleet_of(47, desired=50), 2),
        (fleet_of(45, desired=50), 0),
        (fleet_of(3, desired=4), 0),
        (fleet_of(5, weight=4.0), 1),
        (fleet_of(20, weight=4.0), 2),
        (fleet_of(6, desired=4), 1),
        (fleet_of(4, suspended=frozenset({"Launch"})), 0),
    ],
)
def test_tenth_is_replaced_at_a_time_when_there_is_time(reading: GroupReading, count: int) -> None:
    """Or one instance; what is missing already counts, and nothing is ended that could not be replaced."""
    scheduled = {one.id: ScheduledEvent(one.id, "instance-stop", FAR) for one in reading.instances}
    assert [event.instance_id for event in due(reading, scheduled, LONGEST_S, NOW)] == [
        one.id for one in reading.instances[:count]
    ]


@pytest.mark.parametrize(("at", "count"), [(NOW + LONGEST_S + AHEAD_S, 1), (NOW + LONGEST_S, 3), (NOW - 60, 3)])
def test_all_are_ended_when_their_time_has_nearly_come(at: float, count: int) -> None:
    """A drain and ten minutes before it, the bound gives way."""
    scheduled = {f"i-{n:03}": ScheduledEvent(f"i-{n:03}", "system-reboot", at) for n in range(3)}
    assert len(due(fleet_of(4), scheduled, LONGEST_S, NOW)) == count


def test_earliest_comes_first_when_several_are_scheduled() -> None:
    """Those in other states, and in other groups, are left alone."""
    leaving = Instance("i-gone", Lifecycle.DRAINING, "Terminating:Wait")
    reading = fleet_of(3)
    reading = GroupReading("g", NOW, 3, 0, 9, (*reading.instances, leaving))
    times = {"i-000": FAR + 60, "i-002": FAR, "i-gone": NOW, "i-else": NOW}
    scheduled = {key: ScheduledEvent(key, "instance-reboot", at) for key, at in times.items()}
    assert [event.instance_id for event in due(reading, scheduled, LONGEST_S, NOW)] == ["i-002"]
