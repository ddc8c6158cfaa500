"""A fleet gets another group or another hook while an instance drains: its drain goes on as it began."""

import pytest

from sluice.config.fleet import DrainPolicy
from sluice.memory import Hook
from sluice.model.draining import CommandStatus, DrainOutcome, DrainState, HookAction, HookResult
from tests.support.drainer_day import Day, a_fleet, report


def moved(change: str) -> tuple[Day, str]:
    """An instance drains at the stop of its consumer, and then the fleet's document names another group or hook."""
    day = Day(a_fleet(deadline_s=1_800))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
    policy = DrainPolicy(**{**day.fleet.drain.model_dump(), "hook": "another" if change == "hook" else "sluice-drain"})
    group = "another-group" if change == "group" else day.fleet.group
    day.ports.group.create("another-group", hooks=(Hook(policy.hook, timeout_s=policy.hook_timeout_s),))
    day.ports.fleets.put("orders", day.fleet.model_copy(update={"group": group, "drain": policy}))
    for _ in range(10):  # longer than the hook's timeout
        day.sweep()
        day.wait(60)
    return day, instance_id


@pytest.mark.parametrize("change", ["group", "hook"])
def test_drain_goes_on_when_its_fleet_gets_another(change: str) -> None:
    """It is held by its own hook, and completed by its own hook."""
    day, instance_id = moved(change)
    assert day.state(instance_id) is DrainState.STOPPING
    (one,) = day.ports.group.read("orders-consumers").instances
    assert one.aws_state == "Terminating:Wait"
    for command in day.ports.instances.commands:
        command.status = CommandStatus.SUCCEEDED
    day.wait(120)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.COMPLETED)
    assert day.ports.group.read("orders-consumers").instances == ()


@pytest.mark.parametrize("change", ["group", "hook"])
def test_operator_releases_when_its_fleet_got_another(change: str) -> None:
    """The release completes the action of the hook that holds the instance."""
    day, instance_id = moved(change)
    day.release(instance_id)
    day.wait(60)
    assert day.ports.group.read("orders-consumers").instances == ()


def test_report_counts_when_its_fleet_got_another_group() -> None:
    """A consumer names the group that it knows: the one in which it was launched."""
    day, instance_id = moved("group")
    answer = day.invoke(report(instance_id, "draining", day.now))
    assert answer["fleet"] == "orders"


def test_drain_ends_when_its_instance_left_the_earlier_group() -> None:
    """The earlier group is asked of it, and no longer has it."""
    day, instance_id = moved("group")
    day.ports.group.complete_hook(HookAction("orders-consumers", "sluice-drain", instance_id), HookResult.CONTINUE)
    day.wait(120)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert drain.state is DrainState.RELEASED
