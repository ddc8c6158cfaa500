"""The Group port's contract. moto answers only what concerns neither time nor hooks: it has no lifecycle actions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.model.draining import HookAction, HookResult
from sluice.model.launches import with_launches
from sluice.model.observed import GroupReading, Instance, Lifecycle, Membership
from sluice.ports.errors import NeedsFixError, RefusedError
from tests.integration.contract_worlds import EMULATOR, EVERYWHERE, MEMORY, World, open_world

WITH_HOOKS = pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)
"""moto knows neither CompleteLifecycleAction nor RecordLifecycleActionHeartbeat: its instances go at once."""


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    yield from open_world(request)


def working(world: World, group: str, count: int) -> GroupReading:
    """The group once `count` of its instances work and no other is on its way."""

    def look() -> GroupReading | None:
        reading = world.ports.group.read(group)
        there = reading.count(Lifecycle.IN_SERVICE) == count and len(reading.instances) == count
        return reading if there else None

    reading = world.eventually(look)
    assert reading is not None
    return reading


def draining(world: World, group: str) -> Instance:
    """The one instance that waits at the hook."""

    def look() -> Instance | None:
        instances = world.ports.group.read(group).instances
        return next((i for i in instances if i.aws_state == "Terminating:Wait"), None)

    instance = world.eventually(look)
    assert instance is not None
    return instance


def scaled_in(world: World, hook_timeout_s: int) -> HookAction:
    """A group of one that is to scale in to none, and the action that waits."""
    group = world.make_group(hook_timeout_s=hook_timeout_s)
    world.ports.group.set_desired(group, 1)
    working(world, group, 1)
    world.ports.group.set_desired(group, 0)
    return HookAction(group, "drain", draining(world, group).id)


def test_group_is_named_when_there_is_none(world: World) -> None:
    """A missing group is for an operator to fix."""
    with pytest.raises(NeedsFixError, match="group-none does not exist"):
        world.ports.group.read("group-none")
    if world.kind != "moto":  # which breaks on it
        with pytest.raises(NeedsFixError, match="group-none does not exist"):
            world.ports.group.set_desired("group-none", 1)


def test_read_tells_bounds_and_desired_when_empty(world: World) -> None:
    """A new group: nothing in it, and nothing that has failed."""
    group = world.make_group(max_size=7)
    reading = world.ports.group.read(group)
    assert (reading.name, reading.desired, reading.min_size, reading.max_size) == (group, 0, 0, 7)
    assert (reading.instances, reading.suspended, reading.launch_failures) == ((), frozenset(), ())
    assert reading.at == pytest.approx(world.now(), abs=5.0)


def test_groups_are_read_together_in_the_order_asked_for(world: World) -> None:
    """More than a call takes, one of them twice; one that does not exist is an error for itself alone."""
    groups = [world.make_group(max_size=size) for size in (3, 7)]
    asked = [groups[1], *(f"group-none-{number}" for number in range(120)), groups[0], groups[1]]
    read = world.ports.group.read_all(asked, world.now())
    found = [reading for reading in read if isinstance(reading, GroupReading)]
    assert [(reading.name, reading.max_size) for reading in found] == [(groups[1], 7), (groups[0], 3), (groups[1], 7)]
    assert (read[0], read[-2], read[-1]) == tuple(found)
    for number, error in enumerate(read[1:-2]):
        assert isinstance(error, NeedsFixError)
        assert f"group-none-{number} does not exist" in str(error)
    assert world.ports.group.read_all([], world.now()) == ()


def test_groups_read_together_have_their_launches_from_elsewhere(world: World) -> None:
    """A group's description tells of no launch; with its launches added, it is as one read alone."""
    group = world.make_group()
    world.ports.group.set_desired(group, 2)
    alone = working(world, group, 2)
    (together,) = world.ports.group.read_all([group], alone.at)
    assert isinstance(together, GroupReading)
    assert {instance.launched_at for instance in together.instances} == {None}
    assert with_launches(together, world.ports.group.launches(group)) == alone


def test_membership_is_told_when_an_instance_is_in_a_group(world: World) -> None:
    """By the instance alone: which group has it, and where it stands there; nothing of one that no group has."""
    group = world.make_group()
    world.ports.group.set_desired(group, 1)
    (instance,) = working(world, group, 1).instances
    assert world.ports.group.membership(instance.id) == Membership(group, "InService")
    assert world.ports.group.membership("i-0123456789abcdef0") is None


def test_group_scales_out_when_told(world: World) -> None:
    """The desired capacity holds at once; the instances work soon after, and tell when their launch began."""
    group = world.make_group()
    began_at = world.now()
    world.ports.group.set_desired(group, 2)
    assert world.ports.group.read(group).desired == 2
    for instance in working(world, group, 2).instances:
        assert (instance.state, instance.aws_state) == (Lifecycle.IN_SERVICE, "InService")
        assert (instance.healthy, instance.protected, instance.weight) == (True, False, 1.0)
        if world.kind == "moto":  # which has no scaling activities
            continue
        assert instance.launched_at is not None
        assert began_at - 2.0 <= instance.launched_at <= world.now() + 1.0


@pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)  # moto takes any number
@pytest.mark.parametrize("desired", [6, 0])
def test_desired_capacity_is_refused_when_out_of_bounds(world: World, desired: int) -> None:
    """The group's own minimum and maximum hold, and a refusal changes nothing."""
    group = world.make_group(min_size=1, max_size=5)
    with pytest.raises(RefusedError, match=group):
        world.ports.group.set_desired(group, desired)
    assert world.ports.group.read(group).desired == 1


def test_suspended_processes_are_told(world: World) -> None:
    """By their AWS names."""
    group = world.make_group()
    world.suspend(group, "Launch")
    assert world.ports.group.read(group).suspended == frozenset({"Launch"})


@pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)  # moto launches all the same
def test_nothing_is_launched_while_launch_is_suspended(world: World) -> None:
    """The desired capacity is taken, and nothing comes of it."""
    group = world.make_group()
    world.suspend(group, "Launch")
    world.ports.group.set_desired(group, 1)
    world.pass_time(1.0)
    reading = world.ports.group.read(group)
    assert (reading.desired, reading.instances) == (1, ())


def test_group_scales_in_when_told(world: World) -> None:
    """Without a hook an instance goes by itself."""
    group = world.make_group()
    world.ports.group.set_desired(group, 2)
    before = {instance.id for instance in working(world, group, 2).instances}
    world.ports.group.set_desired(group, 1)
    assert {instance.id for instance in working(world, group, 1).instances} < before


def test_protected_instance_stays_when_the_group_scales_in(world: World) -> None:
    """Scale-in protection is told, and holds."""
    group = world.make_group()
    world.ports.group.set_desired(group, 2)
    protected = working(world, group, 2).instances[0].id
    world.protect(group, protected)
    world.ports.group.set_desired(group, 1)
    (left,) = working(world, group, 1).instances
    assert (left.id, left.protected) == (protected, True)


@WITH_HOOKS
def test_failed_launch_is_told(world: World) -> None:
    """What the group tried in vain is told with the time and AWS's message, and is no instance."""
    group = world.make_group()
    began_at = world.now()
    world.fail_launch(group, "We currently do not have sufficient capacity")
    world.ports.group.set_desired(group, 1)
    failures = world.eventually(lambda: world.ports.group.read(group).launch_failures)
    assert "sufficient capacity" in failures[0].message
    assert began_at - 2.0 <= failures[0].at <= world.now() + 1.0


@WITH_HOOKS
def test_instance_waits_at_the_hook_until_its_action_is_completed(world: World) -> None:
    """Completing lets it go; the second completion is late, and no error."""
    action = scaled_in(world, hook_timeout_s=60)
    instance = draining(world, action.group)
    assert instance.state is Lifecycle.DRAINING
    assert world.ports.group.complete_hook(action, HookResult.CONTINUE)
    assert not world.ports.group.complete_hook(action, HookResult.CONTINUE)
    assert not world.ports.group.heartbeat(action)
    working(world, action.group, 0)


@WITH_HOOKS
def test_instance_goes_by_itself_when_the_hook_times_out(world: World) -> None:
    """What nobody answers ends, and an answer after that is late."""
    action = scaled_in(world, hook_timeout_s=1)
    world.pass_time(1.0)
    working(world, action.group, 0)
    assert not world.ports.group.complete_hook(action, HookResult.CONTINUE)


@WITH_HOOKS
def test_instance_stays_when_heartbeats_come(world: World) -> None:
    """Each heartbeat starts the hook's timeout anew."""
    action = scaled_in(world, hook_timeout_s=4)
    for _ in range(2):
        world.pass_time(2.0)
        assert world.ports.group.heartbeat(action)
    assert draining(world, action.group).id == action.instance_id


@WITH_HOOKS
@pytest.mark.parametrize("what", ["instance", "hook", "token", "group"])
def test_action_is_not_active_when_it_names_another(world: World, what: str) -> None:
    """An answer for another instance, hook, token or group completes nothing."""
    action = scaled_in(world, hook_timeout_s=60)
    wrong = {
        "instance": HookAction(action.group, action.hook, "i-0123456789abcdef0"),
        "hook": HookAction(action.group, "another", action.instance_id),
        "token": HookAction(action.group, action.hook, action.instance_id, "00000000-0000-4000-8000-00000000dead"),
        "group": HookAction("group-none", action.hook, action.instance_id),
    }[what]
    assert not world.ports.group.heartbeat(wrong)
    assert not world.ports.group.complete_hook(wrong, HookResult.CONTINUE)
    assert draining(world, action.group).id == action.instance_id


def test_protection_is_set_and_lifted_by_the_port(world: World) -> None:
    """Several at once; told by the next reading."""
    group = world.make_group()
    world.ports.group.set_desired(group, 2)
    ids = [instance.id for instance in working(world, group, 2).instances]
    for protected in (True, False):
        world.ports.group.protect(group, ids, protected)
        assert {instance.protected for instance in world.ports.group.read(group).instances} == {protected}


@pytest.mark.parametrize("world", [MEMORY, EMULATOR], indirect=True)  # moto protects what is not there
def test_protection_is_refused_when_one_is_not_in_service(world: World) -> None:
    """All or none: the caller narrows it down."""
    group = world.make_group()
    world.ports.group.set_desired(group, 1)
    (instance,) = working(world, group, 1).instances
    with pytest.raises(RefusedError):
        world.ports.group.protect(group, [instance.id, "i-0123456789abcdef0"], True)
    assert not world.ports.group.read(group).instances[0].protected


@WITH_HOOKS
def test_abandoned_instance_is_retained_until_it_is_ended(world: World) -> None:
    """The group says that it keeps what is abandoned, keeps it, and lets it go when told; twice is no error."""
    group = world.make_group(hook_timeout_s=60, retains=True)
    assert world.ports.group.read(group).retains
    assert not world.ports.group.read(world.make_group()).retains
    world.ports.group.set_desired(group, 1)
    instance_id = working(world, group, 1).instances[0].id
    world.ports.group.set_desired(group, 0)
    draining(world, group)
    assert world.ports.group.complete_hook(HookAction(group, "drain", instance_id), HookResult.ABANDON)

    def states() -> dict[str, str]:
        return {instance.id: instance.aws_state for instance in world.ports.group.read(group).instances}

    assert world.eventually(lambda: states().get(instance_id) == "Terminating:Retained")
    assert world.ports.group.end(group, instance_id)
    assert world.eventually(lambda: not states())
    assert not world.ports.group.end(group, instance_id)
