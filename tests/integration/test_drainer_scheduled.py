"""Reboots, stops and retirements that EC2 has scheduled, over ports in memory: consumers finish before them."""

import json
from typing import Any

import pytest

from sluice.draining.scheduled import AHEAD_S
from sluice.memory import Decide, Fault, When
from sluice.model.draining import CommandStatus, DrainState, ScheduledEvent
from sluice.model.observed import Mode
from sluice.ports.errors import NeedsFixError, TryLaterError
from tests.support.drainer_day import EVENTS, START, Day, a_fleet, report

DAY_S = 86_400.0


def acting(size: int = 1, mode: Mode = Mode.ACT, decide: Decide = lambda _: None, **drain: Any) -> Day:
    """A day of a fleet in mode act, with what its settings say of drains."""
    return Day(a_fleet(**drain).model_copy(update={"mode": mode}), size=size, decide=decide)


def schedule(day: Day, *instance_ids: str, at: float = START + 14 * DAY_S, code: str = "instance-retirement") -> None:
    """EC2 schedules something for these instances."""
    for instance_id in instance_ids:
        day.ports.instances.scheduled_events[instance_id] = ScheduledEvent(instance_id, code, at)


def health(*instance_ids: str) -> dict[str, Any]:
    """EventBridge's event of AWS Health about these instances."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-health-retirement.json").read_text())
    event["detail"]["affectedEntities"] = [{"entityValue": one, "status": "PENDING"} for one in instance_ids]
    return event


def leaving(day: Day) -> set[str]:
    """The ids of the instances that the group is terminating."""
    return {one.id for one in day.ports.group.read(day.fleet.group).instances if one.aws_state == "Terminating:Wait"}


@pytest.mark.parametrize("code", ["instance-retirement", "instance-stop", "instance-reboot", "system-reboot"])
def test_consumer_finishes_when_its_instance_is_to_be_retired(code: str) -> None:
    """The event comes weeks ahead: the group launches a replacement, and the drain waits for the consumer."""
    day = acting()
    (old,) = day.instances()
    schedule(day, old, code=code)
    assert day.invoke(health(old)) == {"fleets": ["orders"], "replaced": [old]}
    day.sweep(5)
    assert (leaving(day), day.state(old)) == ({old}, DrainState.STOPPING)
    assert day.ports.group.read(day.fleet.group).desired == 1, "the capacity is kept"
    day.ports.instances.answer(old, CommandStatus.SUCCEEDED)
    day.sweep(65)
    assert day.state(old) is DrainState.RELEASED
    (new,) = day.instances()
    assert new != old


def test_consumer_finishes_when_the_event_was_lost() -> None:
    """The sweep asks EC2 itself each minute, by one call for all fleets."""
    day = acting()
    (old,) = day.instances()
    schedule(day, old)
    day.sweep(65)
    assert leaving(day) == {old}
    assert day.calls["MemoryInstances.scheduled"] == 1


def test_protected_instance_is_replaced_when_it_is_to_be_retired() -> None:
    """Scale-in protection is no obstacle to TerminateInstanceInAutoScalingGroup."""
    day = acting()
    day.ports.group.protect(day.fleet.group, day.instances(), True)
    schedule(day, *day.instances())
    (old,) = day.instances()
    day.sweep()
    assert leaving(day) == {old}


def test_fleet_is_replaced_one_by_one_when_all_of_it_is_to_be_retired() -> None:
    """Each next instance follows when the former's replacement is in service; repeated events do not hasten it."""
    day = acting(size=4)
    old = day.instances()
    schedule(day, *old)
    seen: set[str] = set()
    for _ in range(40):
        day.invoke(health(*old))
        day.sweep(60)
        reading = day.ports.group.read(day.fleet.group)
        assert sum(one.aws_state == "InService" for one in reading.instances) >= 3
        seen |= leaving(day)
        for instance_id in leaving(day):
            day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED)
    assert seen == set(old)
    assert not set(day.instances()) & set(old)


def test_all_are_drained_at_once_when_their_time_has_nearly_come() -> None:
    """They could not finish otherwise."""
    day = acting(size=4)
    schedule(day, *day.instances(), at=START + day.fleet.drain.deadline_s)
    old = set(day.instances())
    day.sweep()
    assert leaving(day) == old


def test_long_job_has_its_longest_time_when_its_instance_is_to_be_retired() -> None:
    """Progress puts a drain's deadline off, so that instances are ended by the bound on that before the event."""
    day = acting(size=4, longest_s=7_200.0)
    event_at = START + 7_200.0 + AHEAD_S - 60.0
    schedule(day, *day.instances(), at=event_at)
    old = set(day.instances())
    day.sweep()
    assert leaving(day) == old, "no turn is waited for: a job that reports progress may take two hours"
    (first, *_) = sorted(old)
    while day.now < START + 7_000.0:
        day.invoke(report(first, "draining", day.now))
        day.sweep(60)
    assert leaving(day) == {first}, "the others said nothing, and reached their deadline"
    day.invoke(report(first, "done", day.now))
    day.sweep(65)
    assert day.state(first) is DrainState.RELEASED
    assert day.now < event_at


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.PAUSED])
def test_nothing_is_ended_when_the_fleet_does_not_act(mode: Mode) -> None:
    """In shadow mode and while it is paused."""
    day = acting(mode=mode)
    schedule(day, *day.instances())
    assert day.invoke(health(*day.instances()))["replaced"] == []
    day.sweep()
    assert leaving(day) == set()


def test_forged_event_ends_nothing_when_ec2_has_scheduled_nothing() -> None:
    """EC2's own word alone counts; nor does anything happen to instances of other groups."""
    day = acting()
    assert "EC2 has no reboot" in day.invoke(health(*day.instances()))["ignored"]
    schedule(day, "i-0000000000000dead")
    assert "EC2 has no reboot" in day.invoke(health("i-0000000000000dead"))["ignored"]
    day.sweep()
    assert leaving(day) == set()


def test_instance_is_kept_when_its_event_was_canceled() -> None:
    """What EC2 no longer lists is not done."""
    day = acting(size=2)
    schedule(day, *day.instances())
    day.sweep()
    day.ports.instances.scheduled_events.clear()
    gone = leaving(day)
    for _ in range(5):
        day.sweep(60)
    assert leaving(day) == gone
    assert len(gone) == 1


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("scheduled", TryLaterError("throttled")),
        ("scheduled", NeedsFixError("not allowed")),
        ("membership", TryLaterError("throttled")),
        ("end", TryLaterError("throttled")),
    ],
)
def test_sweep_replaces_when_the_event_met_an_error(method: str, error: Exception) -> None:
    """Neither the event nor a sweep fails by it, and a later sweep ends the instance."""
    failing = True
    day = acting(decide=lambda call: Fault(When.BEFORE, error) if failing and call.method == method else None)
    (old,) = day.instances()
    schedule(day, old)
    day.invoke(health(old))
    if method != "membership":
        day.sweep(60)
    assert leaving(day) == set()
    failing = False
    day.sweep()
    assert leaving(day) == {old}
