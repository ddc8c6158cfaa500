"""Launches: how a group's reading gets them."""

from __future__ import annotations

import pytest

from sluice.model.frozen import replace
from sluice.model.launches import Launch, with_launches
from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle

WORKING = Instance("i-1", Lifecycle.IN_SERVICE)
LAUNCHING = Instance("i-1", Lifecycle.LAUNCHING)
GROUP = GroupReading("one", 100.0, 1, 0, 5)


@pytest.mark.parametrize(
    ("instance", "ended_at", "launched_at"),
    [(WORKING, 90.0, 50.0), (WORKING, None, 50.0), (LAUNCHING, None, 50.0), (LAUNCHING, 90.0, None)],
)
def test_launch_that_is_over_is_none_of_an_instance_that_is_launching(
    instance: Instance, ended_at: float | None, launched_at: float | None
) -> None:
    """It came out of a warm pool, and its last launch was an earlier one."""
    reading = replace(GROUP, instances=(instance,))
    launch = Launch("one", "a", 50.0, ended_at, "i-1")
    (found,) = with_launches(reading, [launch]).instances
    assert found.launched_at == launched_at


def test_launches_are_added_to_their_own_group_latest_first() -> None:
    """The last launch of an instance counts, and each failure once."""
    launches = [
        Launch("one", "a", 10.0, 20.0, "i-1"),
        Launch("one", "b", 30.0, 40.0, "i-1"),
        Launch("one", "c", 50.0, 51.0, failure="early"),
        Launch("one", "d", 60.0, 61.0, failure="late"),
        Launch("one", "c", 50.0, 51.0, failure="early"),
        Launch("two", "e", 70.0, 71.0, failure="another's"),
        Launch("two", "f", 70.0, 71.0, "i-1"),
    ]
    read = with_launches(replace(GROUP, instances=(WORKING,)), launches)
    assert read.instances[0].launched_at == 30.0
    assert read.launch_failures == (LaunchFailure(61.0, "late"), LaunchFailure(51.0, "early"))
    assert with_launches(GROUP, launches[-2:]) is GROUP
