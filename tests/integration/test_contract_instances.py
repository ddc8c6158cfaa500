"""The Instances port's contract. Not on moto, which runs nothing and calls every command a success."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.memory import Command
from sluice.model.draining import CommandStatus, ScheduledEvent, StopOrder
from sluice.model.observed import Lifecycle
from sluice.ports.errors import RefusedError
from tests.integration.contract_worlds import EMULATOR, MEMORY, AwsWorld, MemoryWorld, World, open_world

UNIT = "consumer.service"


def answer_as_systemd(command: Command) -> None:
    """In memory nobody runs the command: the unit stops, and another is not there."""
    command.status = CommandStatus.SUCCEEDED if command.order.unit == UNIT else CommandStatus.MISSING


@pytest.fixture(params=[MEMORY, EMULATOR])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    for opened in open_world(request):
        if isinstance(opened, MemoryWorld):
            opened.memory.instances.on_stop = answer_as_systemd
        elif isinstance(opened, AwsWorld):
            opened.make_stop_document()
        yield opened


@pytest.fixture
def instance_id(world: World) -> str:
    """An instance that works."""
    group = world.make_group()
    world.ports.group.set_desired(group, 1)

    def look() -> str | None:
        instances = world.ports.group.read(group).instances
        return next((i.id for i in instances if i.state is Lifecycle.IN_SERVICE), None)

    found = world.eventually(look)
    assert found is not None
    return found


def outcome(world: World, command_id: str, instance_id: str) -> CommandStatus:
    """How a command ended."""

    def look() -> CommandStatus | None:
        status = world.ports.instances.command(command_id, instance_id)
        return None if status in {CommandStatus.PENDING, CommandStatus.RUNNING} else status

    status = world.eventually(look)
    assert status is not None
    return status


def test_unit_is_stopped_when_asked(world: World, instance_id: str) -> None:
    """The command succeeds once the unit has stopped."""
    command_id = world.ports.instances.stop([instance_id], StopOrder(UNIT), 60.0)
    assert outcome(world, command_id, instance_id) is CommandStatus.SUCCEEDED


def test_unit_is_missing_when_the_instance_has_none_of_that_name(world: World, instance_id: str) -> None:
    """Told apart from a command that failed, and from one that nobody knows of."""
    command_id = world.ports.instances.stop([instance_id], StopOrder("no-such.service"), 60.0)
    assert outcome(world, command_id, instance_id) is CommandStatus.MISSING


def test_agent_is_online_when_it_answers(world: World, instance_id: str) -> None:
    """An instance without an agent, or whose machine has ended, is not online; an unknown id is nothing."""
    unknown = "i-0123456789abcdef0"
    if isinstance(world, MemoryWorld):
        world.memory.instances.without_agent.add(unknown)
    assert world.eventually(lambda: world.ports.instances.online([instance_id, unknown]) == {instance_id})
    if isinstance(world, MemoryWorld):
        world.memory.instances.agents_lost.add(instance_id)
    elif isinstance(world, AwsWorld):
        world.client("ec2").stop_instances(InstanceIds=[instance_id])
    assert world.eventually(lambda: world.ports.instances.online([instance_id]) == frozenset())


def test_agent_that_is_silent_is_told_from_one_that_never_was(world: World, instance_id: str) -> None:
    """Only an instance that runs, and of which Systems Manager has no record, never had an agent."""
    unknown = "i-0123456789abcdef0"
    assert world.eventually(lambda: world.ports.instances.online([instance_id]) == {instance_id})
    assert world.ports.instances.unregistered([instance_id, unknown]) == {}
    if isinstance(world, MemoryWorld):
        world.memory.instances.agents_lost.add(instance_id)
        world.memory.instances.never_registered["i-2"] = 1_000.0
        assert world.ports.instances.unregistered([instance_id, "i-2"]) == {"i-2": 1_000.0}
    assert world.ports.instances.unregistered([instance_id]) == {}


def test_stop_is_refused_when_the_instance_has_no_agent(world: World) -> None:
    """Systems Manager does not know the instance: asking again is of no use."""
    if isinstance(world, MemoryWorld):
        world.memory.instances.without_agent.add("i-0123456789abcdef0")
    with pytest.raises(RefusedError, match="i-0123456789abcdef0"):
        world.ports.instances.stop(["i-0123456789abcdef0"], StopOrder(UNIT), 60.0)


def test_command_is_told_of_each_when_several_were_asked(world: World) -> None:
    """One command for several instances, and one look at all of them."""
    group = world.make_group()
    world.ports.group.set_desired(group, 2)

    def both() -> list[str] | None:
        found = [i.id for i in world.ports.group.read(group).instances if i.state is Lifecycle.IN_SERVICE]
        return found if len(found) == 2 else None

    ids = world.eventually(both)
    assert ids is not None
    command_id = world.ports.instances.stop(ids, StopOrder(UNIT), 60.0)
    done = dict.fromkeys(ids, CommandStatus.SUCCEEDED)
    assert world.eventually(lambda: world.ports.instances.commands_of(command_id) == done)


def test_machine_has_ended_when_ec2_says_so(world: World, instance_id: str) -> None:
    """Stopped or terminated, whatever its group says; an id that EC2 does not know is nothing."""
    unknown = "i-0123456789abcdef0"
    assert world.ports.instances.ended([instance_id, unknown]) == frozenset()
    if isinstance(world, MemoryWorld):
        world.memory.instances.machines_ended.add(instance_id)
    elif isinstance(world, AwsWorld):
        world.client("ec2").stop_instances(InstanceIds=[instance_id])
    assert world.eventually(lambda: world.ports.instances.ended([instance_id, unknown]) == {instance_id})


def test_instance_is_no_spot_instance_when_it_is_on_demand(world: World, instance_id: str) -> None:
    """EC2 says of each instance how it was bought; an id that EC2 does not know is nothing."""
    assert not world.ports.instances.is_spot(instance_id)
    assert not world.ports.instances.is_spot("i-0123456789abcdef0")
    if isinstance(world, MemoryWorld):
        world.memory.instances.spot.add(instance_id)
        assert world.ports.instances.is_spot(instance_id)


def test_nothing_is_scheduled_when_ec2_says_nothing(world: World, instance_id: str) -> None:
    """Instances without an event are not among those that EC2 is to reboot, stop or retire."""
    assert world.ports.instances.scheduled() == {}
    if isinstance(world, MemoryWorld):
        event = ScheduledEvent(instance_id, "instance-stop", 1.0)
        world.memory.instances.scheduled_events[instance_id] = event
        assert world.ports.instances.scheduled() == {instance_id: event}


def test_command_is_pending_when_not_listed_yet(world: World, instance_id: str) -> None:
    """What Run Command does not list, it may list in a moment: unknown is not dead."""
    assert world.ports.instances.commands_of("5c1d0a6e-0000-4000-8000-000000000001") == {}
    assert world.ports.instances.command("5c1d0a6e-0000-4000-8000-000000000001", instance_id) is CommandStatus.PENDING
