"""Instances with nothing to finish, over ports in memory: two minutes each, and no expiry."""

from collections.abc import Callable

import pytest

from sluice.config.fleet import LaunchPolicy
from sluice.memory import Command, Hook, LifecycleTransition
from sluice.model.draining import CommandStatus, DrainOutcome, DrainState
from tests.support.drainer_day import START, Day, a_fleet, report

LIMIT_S = 240.0  # a sweep, two full checks, and a minute of grace


def never_booted(day: Day, instance_id: str) -> None:
    """Its machine runs, and nothing on it ever registered."""
    day.ports.instances.never_registered[instance_id] = START - 900


def no_unit(day: Day, _instance_id: str) -> None:
    """The stop document exits with 5."""

    def end(command: Command) -> None:
        command.status = CommandStatus.MISSING

    day.ports.instances.on_stop = end


def gave_up(day: Day, instance_id: str) -> None:
    """Its consumer reported so, and its agent is silent."""
    day.ports.instances.without_agent.add(instance_id)
    day.invoke(report(instance_id, "failed", day.now))


def drained(day: Day, instance_id: str) -> tuple[DrainState, DrainOutcome | None, float]:
    """How its drain ended, and after how many seconds."""
    day.invoke(day.terminate(instance_id))
    began_at = day.now
    while day.state(instance_id) is not DrainState.RELEASED and day.now < began_at + 2_000:
        day.wait(60)
        day.sweep()
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    return drain.state, drain.outcome, drain.updated_at - began_at


@pytest.mark.parametrize("happens", [never_booted, no_unit, gave_up])
def test_instance_is_not_waited_for_when_it_has_nothing_to_finish(happens: Callable[[Day, str], None]) -> None:
    """Each cost fifteen minutes and an alarm."""
    day = Day()
    (instance_id,) = day.instances()
    happens(day, instance_id)
    state, outcome, lasted_s = drained(day, instance_id)
    assert (state, outcome) == (DrainState.RELEASED, DrainOutcome.NOTHING)
    assert lasted_s <= LIMIT_S
    metrics = {record.name for record in day.records}
    assert "DrainsNothing" in metrics
    assert "DrainsExpired" not in metrics


def test_instance_is_waited_for_when_its_agent_is_offline() -> None:
    """It was registered once: that it does not answer now says nothing of its consumer."""
    day = Day()
    (instance_id,) = day.instances()
    day.ports.instances.without_agent.add(instance_id)
    state, outcome, lasted_s = drained(day, instance_id)
    assert (state, outcome) == (DrainState.RELEASED, DrainOutcome.EXPIRED)
    assert lasted_s >= day.fleet.drain.deadline_s


def test_no_zombies_wait_when_every_launch_is_abandoned() -> None:
    """A boot that never succeeds: the group launches again and again, and what failed goes soon."""
    fleet = a_fleet().model_copy(update={"launch": LaunchPolicy(hook="sluice-ready")})
    day = Day(fleet, size=0)
    group, hook = day.ports.group, fleet.drain
    group.drop(fleet.group)
    hooks = (Hook(hook.hook, timeout_s=hook.hook_timeout_s), Hook("sluice-ready", LifecycleTransition.LAUNCHING, 180.0))
    group.create(fleet.group, max_size=10, desired=1, hooks=hooks)
    most = 0
    for _ in range(60):
        for one in group.read(fleet.group).instances:
            day.ports.instances.never_registered.setdefault(one.id, day.now)
        day.sweep()
        day.wait(60)
        group.settle()
        most = max(most, len(group.read(fleet.group).instances))
    assert most <= 3, "one that boots, and at most two whose grace is not over"
