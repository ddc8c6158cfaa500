"""The consumers of the drains' world: how they begin, what they report, and how they stop by themselves."""

from functools import partial
from typing import TYPE_CHECKING

from sluice.model.consumers import ConsumerStatus
from sluice.model.draining import HookAction, HookResult
from sluice_tools.chaos.drain_events import report_event
from sluice_tools.chaos.drain_scene import REPEAT_S, TALK_S, Consumer

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World


class ConsumerBehaviour:
    """What the world's consumers do of their own."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def new_consumer(self, instance_id: str) -> Consumer:
        """A consumer with some work at hand, mostly well behaved."""
        world = self.world
        world.truth.instances.machines_ended.discard(instance_id)
        if world.happens(world.chances.instances.no_agent):
            world.truth.instances.without_agent.add(instance_id)
            if world.rng.random() < 0.5:
                back_s = world.rng.uniform(10, 200)
                world.after(back_s, lambda: world.truth.instances.without_agent.discard(instance_id))
        # Progress puts the deadline off only as long as consumers report.
        long_s = 0.8 * world.policy.deadline_s
        # One that comes out of a warm pool has booted before, so that Systems Manager knows its agent for good.
        first_life = instance_id not in world.consumers
        never_boots = world.happens(world.chances.instances.never_boots) and first_life
        never_ready = never_boots or world.happens(world.chances.instances.never_ready)
        if never_boots:
            world.truth.instances.never_registered.setdefault(instance_id, world.now)
        else:  # also one whose first boot failed, and that boots when it comes out of its warm pool
            world.truth.instances.never_registered.pop(instance_id, None)
        if world.scene.talking and world.policy.longest_s is not None:
            long_s = min(0.8 * world.policy.longest_s, TALK_S)
        names = (
            ("main", *(f"worker@{number}" for number in range(world.rng.randint(1, 2))))
            if world.scene.several and not never_boots
            else ()
        )
        return Consumer(
            name=names[0] if names else None,
            siblings=tuple(
                Consumer(
                    work_s=world.rng.choice((0.0, world.rng.uniform(0, 30), world.rng.uniform(0, long_s))),
                    dies=world.happens(world.chances.instances.hangs),
                    talks=True,
                    name=name,
                )
                for name in names[1:]
            ),
            work_s=world.rng.choice((0.0, world.rng.uniform(0, 30), world.rng.uniform(0, long_s))),
            stubborn=world.happens(world.chances.instances.stubborn),
            hangs=world.happens(world.chances.instances.hangs),
            dies=world.happens(world.chances.instances.hangs),
            talks=world.scene.talking and not never_boots,
            never_boots=never_boots,
            never_ready=never_ready,
            gives_up=never_ready and not never_boots and world.rng.random() < 0.5,
        )

    def say(self, instance_id: str, consumer: Consumer, status: ConsumerStatus) -> None:
        """A report on its way; the last status counts."""
        world = self.world
        consumer.status_first_at = world.now if consumer.status_first_at is None else consumer.status_first_at
        if consumer.status is not status:
            consumer.status, consumer.status_since = status, world.now
        event = report_event(world.fleet.group, instance_id, status, world.now, consumer.name)
        world.cloud.deliver(event, f"{instance_id} {consumer.name or ''} says {status}")

    def get_ready(self, instance_id: str, consumer: Consumer) -> None:
        """Ready, and said so until its instance is in service."""
        world = self.world
        if consumer.dead_at is not None or consumer.served or world.consumers.get(instance_id) is not consumer:
            return
        if consumer.siblings and consumer.asked_at is not None:
            return
        consumer.ready_at = world.now if consumer.ready_at is None else consumer.ready_at
        self.say(instance_id, consumer, ConsumerStatus.READY)
        world.after(REPEAT_S, lambda: self.get_ready(instance_id, consumer))

    def talk(self, instance_id: str, first: Consumer, consumer: Consumer) -> None:
        """Busy or idle, by chance; on its way out, at work until it has stopped, and then done where there are several.

        Args:
            instance_id: its instance.
            first: the first consumer there.
            consumer: the one that talks.
        """
        world = self.world
        current = world.consumers.get(instance_id) is first and first.dead_at is None
        if not current or (consumer.stopped_at is not None and (consumer.dies or not first.siblings)):
            return
        if consumer.stopped_at is not None:
            self.say(instance_id, consumer, ConsumerStatus.DONE)
        elif world.now > world.quiet_at + TALK_S:
            return
        elif consumer.asked_at is not None:
            self.say(instance_id, consumer, ConsumerStatus.DRAINING)
        elif consumer.status is None or world.rng.random() < 0.1:
            self.say(instance_id, consumer, world.rng.choice((ConsumerStatus.BUSY, ConsumerStatus.IDLE)))
        else:
            self.say(instance_id, consumer, consumer.status)
        world.after(REPEAT_S, lambda: self.talk(instance_id, first, consumer))

    def ask_all(self, instance_id: str, first: Consumer) -> None:
        """Each of an instance's several consumers is asked to stop: it finishes, and reports it unless it dies."""
        world = self.world

        def finish(consumer: Consumer) -> None:
            if first.dead_at is None and consumer.stopped_at is None:
                consumer.stopped_at = world.now
                world.tell(f"{instance_id}: its consumer {consumer.name} has stopped")
                self.talk(instance_id, first, consumer)  # from now on, if it was never in service

        for consumer in first.all:
            if consumer.asked_at is None:
                consumer.asked_at = world.now
                if not consumer.hangs and not consumer.stubborn:
                    world.after(consumer.work_s, partial(finish, consumer))

    def stop_by_itself(self, instance_id: str, consumer: Consumer) -> None:
        """A consumer that watches the instance metadata finishes, and completes its action."""
        world = self.world
        if consumer.siblings:
            self.ask_all(instance_id, consumer)
            return
        if not consumer.working or consumer.hangs or consumer.stubborn:
            return
        consumer.asked_at = world.now

        def finish() -> None:
            if not consumer.working:
                return
            consumer.stopped_at = world.now
            world.tell(f"{instance_id}: its consumer has stopped by itself")
            if consumer.talks:
                self.say(instance_id, consumer, ConsumerStatus.DONE)
            if not consumer.dies:
                action = HookAction(world.fleet.group, world.policy.hook, instance_id)
                world.truth.group.complete_hook(action, HookResult.CONTINUE)

        world.after(consumer.work_s, finish)
