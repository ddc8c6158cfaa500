"""Auto Scaling groups in memory, beyond the contract: time, launch hooks, failures, and what watchers are told."""

from __future__ import annotations

import pytest

from sluice.memory import Hook, InstanceChange, LifecycleTransition, MemoryGroup
from sluice.model.draining import HookAction, HookResult
from sluice.model.observed import Lifecycle
from sluice.ports.errors import NeedsFixError, RefusedError
from tests.support.still_clock import START_AT, Clock


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def groups(clock: Clock) -> MemoryGroup:
    """A world without groups."""
    return MemoryGroup(clock)


def history(groups: MemoryGroup) -> list[tuple[float, str, str]]:
    """What happened: seconds from the start, the instance's number, the state."""
    return [(change.at - START_AT, change.instance_id.lstrip("i-0"), change.aws_state) for change in groups.history]


def test_instance_works_when_it_has_booted(groups: MemoryGroup, clock: Clock) -> None:
    """Until then it is on its way, with the time at which its launch began."""
    group = groups.create("g", boot_s=90)
    groups.set_desired(group, 1)
    clock.now += 89
    (instance,) = groups.read(group).instances
    assert (instance.state, instance.launched_at) == (Lifecycle.LAUNCHING, START_AT)
    clock.now += 1
    assert groups.read(group).count(Lifecycle.IN_SERVICE) == 1


def test_what_falls_due_happens_in_its_own_time_and_order(groups: MemoryGroup, clock: Clock) -> None:
    """However long nobody looked: boot, then the lost instance's hook times out, then its replacement boots."""
    group = groups.create("g", boot_s=60, hooks=(Hook("drain", timeout_s=100),))
    groups.set_desired(group, 1)
    clock.now += 70
    groups.lose(group, groups.read(group).instances[0].id)
    clock.now += 1000
    groups.settle()
    assert history(groups) == [
        (0, "1", "Pending"),
        (60, "1", "InService"),
        (70, "1", "Terminating:Wait"),
        (70, "3", "Pending"),
        (130, "3", "InService"),
        (170, "1", "Terminated"),
    ]


def test_watcher_is_told_as_it_happens(clock: Clock) -> None:
    """With the action that waits, from which a test makes the event."""
    told: list[InstanceChange] = []
    groups = MemoryGroup(clock, told.append)
    group = groups.create("g", min_size=0, max_size=1, desired=1, hooks=(Hook("drain", timeout_s=60),))
    groups.set_desired(group, 0)
    assert [change.aws_state for change in told] == ["Pending", "InService", "Terminating:Wait"]
    assert told[-1].action == groups.waiting(group)[0]
    assert told[-1].action is not None
    assert told[-1].action.token


def test_launch_waits_at_its_hook(groups: MemoryGroup, clock: Clock) -> None:
    """Continued, it works."""
    group = groups.create("g", boot_s=10, hooks=(Hook("ready", LifecycleTransition.LAUNCHING, timeout_s=60),))
    groups.set_desired(group, 1)
    clock.now += 10
    assert groups.read(group).instances[0].aws_state == "Pending:Wait"
    assert groups.complete_hook(groups.waiting(group)[0], HookResult.CONTINUE)
    assert groups.read(group).instances[0].aws_state == "InService"


def test_launch_is_replaced_when_its_hook_is_abandoned(groups: MemoryGroup, clock: Clock) -> None:
    """As when nobody answers and the hook's default is to abandon."""
    group = groups.create("g", hooks=(Hook("ready", LifecycleTransition.LAUNCHING, timeout_s=60),))
    groups.set_desired(group, 1)
    (first,) = groups.read(group).instances
    clock.now += 60
    (second,) = groups.read(group).instances
    assert second.id != first.id
    assert second.aws_state == "Pending:Wait"


def test_heartbeats_end_at_a_hundred_timeouts(groups: MemoryGroup, clock: Clock) -> None:
    """No heartbeat holds an instance past min(48 h, 100 heartbeat timeouts)."""
    group = groups.create("g", max_size=1, desired=1, hooks=(Hook("drain", timeout_s=10),))
    groups.set_desired(group, 0)
    (action,) = groups.waiting(group)
    beats = 0
    while groups.heartbeat(action):
        beats += 1
        clock.now += 9
    assert groups.history[-1].aws_state == "Terminated"
    assert groups.history[-1].at == START_AT + 1000
    assert beats == 112


def test_oldest_goes_first_and_the_unhealthy_before(groups: MemoryGroup, clock: Clock) -> None:
    """What scaling in takes is the same in every run."""
    group = groups.create("g")
    for desired in (1, 2, 3):
        groups.set_desired(group, desired)
        clock.now += 10
    groups.set_desired(group, 2)
    assert [instance.id[-1] for instance in groups.read(group).instances] == ["2", "3"]


def test_scale_in_waits_when_all_are_protected(groups: MemoryGroup) -> None:
    """The desired capacity is taken, the instances stay until one is released from protection."""
    group = groups.create("g", max_size=2, desired=2, protect_new=True)
    groups.set_desired(group, 1)
    reading = groups.read(group)
    assert (reading.desired, len(reading.instances)) == (1, 2)
    groups.protect(group, [reading.instances[1].id], False)
    assert [instance.id for instance in groups.read(group).instances] == [reading.instances[0].id]


def test_nothing_is_terminated_while_terminate_is_suspended(groups: MemoryGroup) -> None:
    """Resumed, it is."""
    group = groups.create("g", max_size=2, desired=2)
    groups.suspend(group, "Terminate")
    groups.set_desired(group, 0)
    assert len(groups.read(group).instances) == 2
    groups.resume(group, "Terminate")
    assert groups.read(group).instances == ()


def test_failed_launch_is_tried_again_after_a_minute(groups: MemoryGroup, clock: Clock) -> None:
    """Each failure is told, the most recent first, until capacity is there."""
    group = groups.create("g")
    groups.fail_launches(group, "no capacity")
    groups.set_desired(group, 1)
    clock.now += 59
    assert [failure.at - START_AT for failure in groups.read(group).launch_failures] == [0]
    clock.now += 1
    assert [failure.at - START_AT for failure in groups.read(group).launch_failures] == [60, 0]
    groups.fail_launches(group, None)
    assert groups.read(group).count(Lifecycle.IN_SERVICE) == 1


def test_terminated_instance_is_replaced_unless_capacity_is_lowered(groups: MemoryGroup) -> None:
    """As TerminateInstanceInAutoScalingGroup's decrement says; never below the minimum."""
    group = groups.create("g", min_size=1, max_size=3, desired=2)
    first, second = groups.read(group).instances
    groups.terminate(group, first.id)
    assert len(groups.read(group).instances) == 2
    groups.terminate(group, second.id, decrement=True)
    assert [instance.id for instance in groups.read(group).instances] != []
    assert groups.read(group).desired == 1
    with pytest.raises(RefusedError, match="minimum"):
        groups.terminate(group, groups.read(group).instances[0].id, decrement=True)


def test_lost_instance_waits_at_the_hook_like_any_other(groups: MemoryGroup) -> None:
    """Unhealthy, and draining until the hook is answered; losing it again changes nothing."""
    group = groups.create("g", max_size=1, desired=1, hooks=(Hook("drain", timeout_s=60),))
    lost = groups.read(group).instances[0].id
    groups.lose(group, lost)
    groups.lose(group, lost)
    instances = {instance.id: instance for instance in groups.read(group).instances}
    assert (instances[lost].healthy, instances[lost].aws_state) == (False, "Terminating:Wait")
    assert len(instances) == 2


def test_desired_capacity_follows_the_bounds(groups: MemoryGroup) -> None:
    """A lower maximum scales the group in, a higher minimum scales it out."""
    group = groups.create("g", max_size=5, desired=4)
    groups.resize(group, min_size=0, max_size=2)
    assert (groups.read(group).desired, len(groups.read(group).instances)) == (2, 2)
    groups.resize(group, min_size=3, max_size=5)
    assert (groups.read(group).desired, len(groups.read(group).instances)) == (3, 3)


def test_dropped_group_is_gone_with_its_actions(groups: MemoryGroup) -> None:
    """A late answer to one of its hooks completes nothing."""
    group = groups.create("g", max_size=1, desired=1, hooks=(Hook("drain", timeout_s=60),))
    groups.set_desired(group, 0)
    (action,) = groups.waiting(group)
    groups.drop(group)
    assert not groups.complete_hook(action, HookResult.CONTINUE)
    assert not groups.heartbeat(HookAction("g", "drain", "i-1"))
    with pytest.raises(NeedsFixError):
        groups.read(group)


def test_group_is_refused_when_its_bounds_contradict(groups: MemoryGroup) -> None:
    """A mistake in a test is found where it is made."""
    with pytest.raises(ValueError, match="must hold"):
        groups.create("g", min_size=2, max_size=1, desired=1)
