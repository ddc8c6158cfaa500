"""Consumers' reports and launches over ports in memory, with and without a warm pool."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sluice.config.fleet import LaunchPolicy
from sluice.consumers.tracker import ConsumerTracker
from sluice.memory import (
    Hook,
    LifecycleTransition,
)
from sluice.model.consumers import BootState
from sluice.model.draining import (
    CommandStatus,
    DrainState,
    HookAction,
    HookResult,
)
from sluice.model.observed import GroupReading, Instance, Lifecycle
from sluice.model.planning import TimedLaunch
from tests.support.drainer_day import EVENTS, START, Day, a_fleet, report, terminating, with_launch_hook

# --------------------------------------------------------------------------- what consumers say


def test_instance_counts_when_its_consumer_is_ready() -> None:
    """Held, ready, in service; launch to first message is measured and stays in the ledger."""
    day = with_launch_hook()
    (instance_id,) = day.instances()
    event = json.loads((EVENTS / "drainer-launching.json").read_text())
    action = day.ports.group.waiting(day.fleet.group)[0]
    event["detail"] |= {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": action.group,
        "LifecycleHookName": action.hook,
        "EC2InstanceId": instance_id,
    }
    assert day.invoke(event)["boot"] == "booting"
    day.sweep()
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Pending:Wait"
    day.wait(20)
    assert day.invoke(report(instance_id, "ready", day.now))["boot"] == "ready"
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "InService"
    day.wait(5)
    day.invoke(report(instance_id, "busy", day.now))
    assert day.metrics()["LaunchToFirstMessage"] == 65
    assert day.metrics()["LaunchToReady"] == 60
    known = day.ports.ledger.consumers.consumer("orders", instance_id)
    assert known is not None
    assert (known.launched_at, known.first_message_at) == (START, START + 65)
    day.invoke(report(instance_id, "busy", day.now))
    noted = TimedLaunch(instance_id, START, START + 60, START + 65, START + 65, number=1)
    assert day.ports.ledger.planner_state.memory("orders").from_ledger.timed == (noted,), "for the planner, once"


def test_boot_is_replaced_when_its_consumer_gives_up_or_says_nothing() -> None:
    """Given up: at once. Silent: by the hook's own timeout, with nobody's help; and the loss is counted."""
    day = with_launch_hook()
    (first,) = day.instances()
    day.invoke(report(first, "failed", day.now))
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Terminating:Wait"
    day.wait(60)
    second = next(key for key in day.instances() if key != first)
    day.sweep(1)
    day.wait(300)
    day.sweep(1)
    states = {i.id: i.aws_state for i in day.ports.group.read(day.fleet.group).instances}
    assert states[second] == "Terminating:Wait"
    assert day.metrics()["BootsLost"] == 2


def test_busy_instances_are_protected_and_the_group_takes_an_idle_one() -> None:
    """A hundred and twenty busy consumers, one idle: three calls; the scale-in takes the idle one."""
    day = Day(size=121)
    *busy, idle = day.instances()
    for instance_id in busy:
        day.invoke(report(instance_id, "busy", day.now))
    day.invoke(report(idle, "idle", day.now))
    day.sweep(55)
    assert day.calls["MemoryGroup.protect"] == 3
    day.ports.group.set_desired(day.fleet.group, 120)
    assert [action.instance_id for action in day.ports.group.waiting(day.fleet.group)] == [idle]
    day.wait(10)
    day.invoke(report(busy[0], "idle", day.now))
    day.sweep(1)
    free = [i.id for i in day.ports.group.read(day.fleet.group).instances if not i.protected]
    assert set(free) == {busy[0], idle}
    day.wait(180)
    day.sweep(1)
    assert not any(i.protected for i in day.ports.group.read(day.fleet.group).instances), "all others have crashed"
    assert day.metrics()["InstancesProtected"] == 120
    assert day.metrics()["ProtectionsLifted"] == 120


def test_others_are_protected_when_one_has_just_left_service() -> None:
    """Auto Scaling refuses the whole request for one id: narrowed down."""
    day = Day(size=20)
    for instance_id in day.instances():
        day.invoke(report(instance_id, "busy", day.now))
    left = day.instances()[3]
    truth = day.ports.group.read(day.fleet.group)
    day.ports.group.terminate(day.fleet.group, left, decrement=True)
    late = ConsumerTracker(day.ports, day.fleet, day.clock)
    late.sweep(day.ports.ledger.consumers.consumers("orders"), truth)
    protected = {i.id for i in day.ports.group.read(day.fleet.group).instances if i.protected}
    assert protected == {*day.instances()} - {left}


def test_drain_is_done_when_its_consumer_says_so() -> None:
    """No agent is needed: its own report releases it."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(20)
    assert day.invoke(report(instance_id, "draining", day.now))["state"] == "stopping"
    day.wait(20)
    assert day.invoke(report(instance_id, "done", day.now))["state"] == "released"
    assert day.instances() == []


def test_drain_is_done_when_the_word_of_it_came_before_its_record() -> None:
    """An idle consumer sees its end before the drainer does: the first round puts the two together."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    day.wait(2)
    day.invoke(report(instance_id, "done", day.now))
    day.invoke(event)
    assert day.state(instance_id) is DrainState.STOPPING
    day.wait(day.fleet.drain.heartbeat_interval_s + 1)
    assert day.state(instance_id) is DrainState.RELEASED


def test_report_is_ignored_when_the_group_is_no_fleets() -> None:
    """Any consumer of the account may speak."""
    assert "is no fleet's" in Day().invoke(report("i-1", "busy", START, "others"))["ignored"]


# --------------------------------------------------------------------------- warm pools


def with_warm_pool(*hooks: Hook, **launch: Any) -> Day:
    """A fleet whose instances go back to a warm pool, one of them in service."""
    day = Day(a_fleet().model_copy(update={"launch": LaunchPolicy(**launch)}), size=0)
    drain = Hook(day.fleet.drain.hook, timeout_s=day.fleet.drain.hook_timeout_s)
    day.ports.group.create(day.fleet.group, desired=1, hooks=(drain, *hooks), warm_pool=True)
    return day


def state_of(day: Day, instance_id: str) -> str:
    """Auto Scaling's name of an instance's state."""
    instances = day.ports.group.read(day.fleet.group).instances
    return next(instance.aws_state for instance in instances if instance.id == instance_id)


@pytest.mark.parametrize("arrives", [True, False], ids=["event arrives", "event lost"])
def test_consumer_finishes_when_its_instance_goes_back_to_its_warm_pool(arrives: bool) -> None:
    """Scenario: AWS holds it in Warmed:Pending:Wait, among the pool's states; it is at work and must not be let go."""
    day = with_warm_pool()
    (instance_id,) = day.instances()
    day.ports.group.set_desired(day.fleet.group, 0)
    (action,) = day.ports.group.waiting(day.fleet.group)
    if arrives:
        event = terminating(action, day.now)
        event["detail"] |= {"Origin": "AutoScalingGroup", "Destination": "WarmPool"}
        day.invoke(event)
    for _ in range(4):  # longer than the hook's timeout: heartbeats alone hold it
        day.sweep(10)
        day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
        day.wait(50)
        assert state_of(day, instance_id) == "Warmed:Pending:Wait"
        assert day.state(instance_id) is DrainState.STOPPING
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert drain.stop.command_id is not None
    day.ports.instances.commands[-1].status = CommandStatus.SUCCEEDED
    day.sweep(65)
    assert state_of(day, instance_id) == "Warmed:Stopped"
    assert day.state(instance_id) is DrainState.RELEASED

    day.wait(600)
    day.ports.group.set_desired(day.fleet.group, 1)
    day.sweep(55)
    assert (state_of(day, instance_id), day.state(instance_id)) == ("InService", DrainState.RELEASED)
    day.ports.group.set_desired(day.fleet.group, 0)
    day.invoke(terminating(day.ports.group.waiting(day.fleet.group)[0], day.now))
    assert day.state(instance_id) is DrainState.STOPPING, "it leaves a second time"


def test_new_instance_is_left_alone_when_a_launch_hook_holds_it_before_the_warm_pool() -> None:
    """It waits in the same state as one that goes back: our hook does not hold it, so nothing is stopped on it."""
    day = with_warm_pool(Hook("theirs", timeout_s=3_600))
    (instance_id,) = day.instances()
    day.ports.group.set_desired(day.fleet.group, 0)
    (ours,) = [action for action in day.ports.group.waiting(day.fleet.group) if action.hook != "theirs"]
    day.ports.group.complete_hook(ours, HookResult.CONTINUE)
    day.wait(100)
    day.sweep(1)
    assert state_of(day, instance_id) == "Warmed:Pending:Wait"
    assert day.state(instance_id) is None
    assert day.calls["Instances.stop"] == 0


def test_boot_is_let_into_the_warm_pool_when_its_consumer_is_ready() -> None:
    """The sweep tells a new instance from one that goes back: it is not lost, and its launch hook is completed."""
    day = with_warm_pool(
        launch_hook := Hook("sluice-ready", LifecycleTransition.LAUNCHING, timeout_s=600), hook="sluice-ready"
    )
    (instance_id,) = day.instances()
    tracker = ConsumerTracker(day.ports, day.fleet, day.clock)
    held = Instance(instance_id, Lifecycle.OUT_OF_SERVICE, "Warmed:Pending:Wait", launched_at=START)
    reading = GroupReading(day.fleet.group, day.now + 1, 1, 0, 10, (held,))
    tracker.sweep((), reading)
    (known,) = day.ports.ledger.consumers.consumers("orders")
    assert (known.boot, known.hook) == (BootState.BOOTING, HookAction(day.fleet.group, launch_hook.name, instance_id))
    tracker.sweep((known,), replace(reading, at=day.now + 60))
    assert tracker.result.lost == []
    tracker.sweep((known,), replace(reading, at=day.now + 60), frozenset({instance_id}))
    assert tracker.result.lost == [instance_id], "one that has a drain is on its way out"
