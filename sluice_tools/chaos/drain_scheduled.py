"""Reboots, stops and retirements that EC2 schedules in the drains' world, and AWS Health's events of them.

About when EC2 begins to list such an event, AWS Health's event of it is sent, which may be lost, doubled or late. EC2
may cancel what it has scheduled. At the scheduled time the machine is gone, whatever its consumer is at: here a reboot
ends it as well.

What must hold, once nothing fails:

    an instance whose time comes within the longest drain and AHEAD_S is not in service any more
    no work is lost at the scheduled time that could have been finished before
"""

from functools import partial
from typing import TYPE_CHECKING

from sluice.draining.scheduled import AHEAD_S
from sluice.model.draining import ScheduledEvent
from sluice_tools.chaos.drain_events import health_event
from sluice_tools.chaos.drain_scene import PROMPT_S, STALL_S, SWEEP_S

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World

CODES = ("instance-retirement", "instance-stop", "instance-reboot", "system-reboot")
LISTED_WITHIN_S = 20.0  # the event of AWS Health may come before EC2 lists what it is about
# From when an instance is due until it leaves: the next sweep but one, however long its calls take.
BEGUN_S = 2 * SWEEP_S + STALL_S


class ScheduledEvents:
    """What EC2 schedules for the world's instances."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.listed_at: dict[str, float] = {}  # when EC2 began to list an instance's event, by instance id
        self.last_at = 0.0  # when the last of them is due, in epoch seconds

    @property
    def longest_s(self) -> float:
        """How long a drain may take at most."""
        return max(self._world.policy.deadline_s, self._world.policy.bound_s)

    def schedule(self) -> None:
        """EC2 schedules something for one or more instances: too soon, just in time, or well ahead."""
        world = self._world
        reading = world.truth.group.read(world.fleet.group)
        staying = sorted(each.id for each in reading.instances if each.aws_state == "InService")
        if not staying:
            return
        chosen = world.rng.sample(staying, world.rng.randint(1, len(staying)))
        just_s = self.longest_s + AHEAD_S
        lead_s = world.rng.choice(
            (
                world.rng.uniform(60, AHEAD_S),
                world.rng.uniform(AHEAD_S, world.policy.deadline_s + 2 * AHEAD_S),
                just_s + world.rng.uniform(-2 * SWEEP_S, 1_800),
            )
        )
        self.last_at = world.now + lead_s
        code = world.rng.choice(CODES)
        world.tell(f"EC2 schedules {code} of {', '.join(chosen)} in {lead_s:.0f} s")
        for instance_id in chosen:
            event = ScheduledEvent(instance_id, code, self.last_at)
            world.after(world.rng.uniform(0, LISTED_WITHIN_S), partial(self._list, event))
            if world.rng.random() < 0.1:
                world.after(world.rng.uniform(30, lead_s), partial(self._cancel, event))
            world.after(lead_s, partial(self._take, event))
        world.cloud.deliver(health_event(chosen, code, world.now), "AWS Health")

    def _list(self, event: ScheduledEvent) -> None:
        self._world.truth.instances.scheduled_events[event.instance_id] = event
        self.listed_at[event.instance_id] = self._world.now
        self._world.counts["scheduled"] += 1

    def _cancel(self, event: ScheduledEvent) -> None:
        self._world.tell(f"EC2 cancels {event.code} of {event.instance_id}")
        self._world.truth.instances.scheduled_events.pop(event.instance_id, None)

    def _take(self, event: ScheduledEvent) -> None:
        """The time has come: the machine is gone, unless the event was canceled or the instance has left before."""
        world, instance_id = self._world, event.instance_id
        reading = world.truth.group.read(world.fleet.group)
        here = any(each.id == instance_id for each in reading.instances)
        if world.truth.instances.scheduled_events.pop(instance_id, None) is None or not here:
            return
        self._check_lost(event)
        world.counts["taken by EC2"] += 1
        world.take_back(instance_id)

    # ----------------------------------------------------------------- what must hold

    def _due_at(self, event: ScheduledEvent) -> float:
        """From when an instance is to be ended at the latest, if nothing fails then, in epoch seconds."""
        world = self._world
        due_at = max(event.at - self.longest_s - AHEAD_S, self.listed_at[event.instance_id])
        served_at = world.served_at.get(event.instance_id, 0.0)  # what is in a warm pool has no work
        return max(due_at, served_at, world.last_trouble_at(world.now))

    def check(self) -> None:
        """Whoever's time has nearly come is leaving."""
        world = self._world
        scheduled = world.truth.instances.scheduled()
        if not scheduled:
            return
        for instance in world.truth.group.read(world.fleet.group).instances:
            event = scheduled.get(instance.id)
            if event and instance.aws_state == "InService" and world.now > self._due_at(event) + BEGUN_S:
                left_s = event.at - world.now
                world.violate(f"{instance.id}: its {event.code} is in {left_s:.0f} s, and it is still in service")

    def _check_lost(self, event: ScheduledEvent) -> None:
        """A consumer that stops when it is asked to has had the time for it, if there was that time."""
        world = self._world
        consumer = world.consumers[event.instance_id]
        willing = not any(each.hangs or each.stubborn for each in consumer.all)
        reachable = event.instance_id not in world.truth.instances.without_agent
        work_s = max(each.work_s for each in consumer.all)
        there_was_time = self._due_at(event) + BEGUN_S + PROMPT_S + work_s < event.at
        if willing and reachable and there_was_time and world.is_awaited(event.instance_id):
            world.violate(f"{event.instance_id}: its work is lost to its {event.code}, though there was time")
