"""Instance refreshes and maximum lifetimes over ports in memory: busy instances are drained for them, not blocked."""

from sluice.memory import Fault, When
from sluice.model.draining import CommandStatus, DrainState
from sluice.ports.errors import TryLaterError
from tests.support.drainer_day import Day, a_fleet, report


def busy_minutes(day: Day, count: int) -> None:
    """Minutes in which every instance in service reports that it is busy, and one sweep each."""
    for _ in range(count):
        for instance in day.ports.group.read(day.fleet.group).instances:
            if instance.aws_state == "InService":
                day.invoke(report(instance.id, "busy", day.now))
        day.sweep(60)


def protected(day: Day) -> set[str]:
    """The ids of the instances that are protected from scale-in."""
    return {instance.id for instance in day.ports.group.read(day.fleet.group).instances if instance.protected}


def test_always_busy_instance_is_replaced_when_its_group_is_in_refresh() -> None:
    """Scenario: it was refreshable in 0 of 240 minutes. Now its protection is lifted, and its drain lets it finish."""
    day = Day(size=1)
    (old,) = day.instances()
    busy_minutes(day, 3)
    assert protected(day) == {old}
    day.ports.group.begin_refresh(day.fleet.group)
    busy_minutes(day, 1)
    for _ in range(10):
        assert protected(day) == set(), "it stays so while the refresh goes on, however busy it is"
        busy_minutes(day, 1)
    day.ports.group.terminate(day.fleet.group, old)  # as the refresh does, now that it may
    (action,) = day.ports.group.waiting(day.fleet.group)
    day.sweep(10)
    day.ports.instances.answer(old, CommandStatus.RUNNING)
    busy_minutes(day, 5)
    assert (action.instance_id, day.state(old)) == (old, DrainState.STOPPING), "its consumer finishes"
    (new,) = [i.id for i in day.ports.group.read(day.fleet.group).instances if i.aws_state == "InService"]
    assert protected(day) == {new}, "what was launched after the refresh began is not to be replaced"
    day.ports.instances.commands[-1].status = CommandStatus.SUCCEEDED
    day.sweep(65)
    assert day.state(old) is DrainState.RELEASED


def test_busy_instances_are_protected_again_when_the_refresh_is_over() -> None:
    """It was cancelled before it came to them."""
    day = Day(size=2)
    day.wait(60)
    day.ports.group.begin_refresh(day.fleet.group)
    busy_minutes(day, 3)
    assert protected(day) == set()
    day.ports.group.end_refresh(day.fleet.group)
    busy_minutes(day, 2)
    assert protected(day) == set(day.instances())


def test_always_busy_instance_is_replaced_when_it_is_past_the_maximum_lifetime() -> None:
    """The group's reading has the lifetime: no call is made for it."""
    day = Day(size=1)
    day.ports.group.limit_lifetime(day.fleet.group, 86_400)
    busy_minutes(day, 2)
    assert protected(day) == set(day.instances())
    for _ in range(2):
        day.wait(43_200)
        busy_minutes(day, 2)
    assert protected(day) == set()


def test_protection_stays_when_the_group_cannot_be_asked_for_its_refresh() -> None:
    """Nothing is known of one: it fails as any call, and busy instances are protected as before."""
    failing = {"on": True}

    def decide(call: object) -> Fault | None:
        refused = failing["on"] and getattr(call, "method", "") == "refresh_began_at"
        return Fault(When.BEFORE, TryLaterError("throttled")) if refused else None

    day = Day(size=1, decide=decide)
    busy_minutes(day, 2)
    assert protected(day) == set(day.instances())
    day.ports.group.begin_refresh(day.fleet.group)
    failing["on"] = False
    busy_minutes(day, 2)
    assert protected(day) == set()
    failing["on"] = True
    busy_minutes(day, 2)
    assert protected(day) == set(), "what was seen of it is trusted for two hours"


def test_groups_are_asked_for_refreshes_at_a_constant_rate_when_there_are_many() -> None:
    """Only those with busy consumers, and 40 in a minute at most."""
    day = Day(*(a_fleet(f"fleet-{number}") for number in range(100)))
    day.sweep(60)
    assert day.calls["MemoryGroup.refresh_began_at"] == 0, "nothing is protected"
    for fleet in day.fleets:
        (instance,) = day.ports.group.read(fleet.group).instances
        day.invoke(report(instance.id, "busy", day.now, fleet.group))
    for _ in range(3):
        before = day.calls["MemoryGroup.refresh_began_at"]
        day.sweep(60)
        assert 0 < day.calls["MemoryGroup.refresh_began_at"] - before <= 40
