"""The world that drains are played in: one group, its consumers, Run Command, EventBridge and Lambda.

Each call of a port takes time, in which anything that falls due happens, other invocations of the drainer included.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from random import Random
from typing import Any

from sluice.config.fleet import DrainPolicy, DrainVia, Fleet, LaunchPolicy
from sluice.draining.deadlines import SPOT_NOTICE_S
from sluice.draining.fleet_directory import FleetDirectory
from sluice.memory import (
    Call,
    Hook,
    InstanceChange,
    LifecycleTransition,
    MemoryGroup,
    MemoryInstances,
    MemoryPorts,
    faulty_ports,
    memory_ports,
)
from sluice.model.consumers import ConsumerStatus
from sluice.model.draining import CommandStatus, HookAction, HookResult
from sluice.model.observed import Mode
from sluice.ports.stack import Ports
from sluice_tools.chaos.drain_away import Absence
from sluice_tools.chaos.drain_cloud import DrainCloud, StoryLog
from sluice_tools.chaos.drain_commands import StopCommands
from sluice_tools.chaos.drain_consumers import ConsumerBehaviour
from sluice_tools.chaos.drain_documents import DrainDocuments
from sluice_tools.chaos.drain_events import lifecycle_event, spot_event
from sluice_tools.chaos.drain_queue import DOWN_S, DrainQueue
from sluice_tools.chaos.drain_scene import (
    BOOT_HOOK_S,
    LAUNCH_HOOK,
    OTHER_HOOK,
    REPEAT_S,
    Chances,
    Consumer,
    Scene,
)
from sluice_tools.chaos.drain_scheduled import ScheduledEvents
from sluice_tools.chaos.stage import START, Stage


class World(Stage):
    """All of one seed. `on_call` sees every call of a port before its effect, `on_end` every instance's end."""

    def __init__(self, rng: Random, policy: DrainPolicy, chances: Chances, quiet_at: float, scene: Scene) -> None:
        super().__init__(rng, quiet_at)
        self.behaviour = ConsumerBehaviour(self)
        self.commands = StopCommands(self)
        self.cloud = DrainCloud(self)
        self.scheduled = ScheduledEvents(self)
        self.policy = policy
        self.chances = chances
        self.scene = scene
        self.on_call: Callable[[Call], None] = lambda _: None
        self.on_end: Callable[[str, float], None] = lambda _, __: None
        self.consumers: dict[str, Consumer] = {}
        self.served_at: dict[str, float] = {}  # when each was last taken into service
        self.waiting_since: dict[str, float] = {}
        self.noticed_at: dict[str, float] = {}  # by Spot
        self.delivered_at: dict[str, float] = {}  # when a consumer last said something that was taken whole
        self.progress_at: dict[str, float] = {}  # when one last said so that it was taken whole
        self.excused: set[str] = set()  # who ended because an operator removed our hook
        self.hook_removed = False
        # Invocations that meet are stacked on one another, so that each waits for those above it, which on Lambda run
        # beside it: in a crowd a call takes no more than its share of the time.
        self.share = min(1.0, 4.0 / scene.size)
        self.released_by_operator: set[str] = set()  # by an operator
        self.troubled_at = 0.0  # when something last failed that may cost a heartbeat
        down = self.happens(chances.queue_down)
        self.queue = DrainQueue(self, START + rng.uniform(30, 300) if down else None)
        if down:
            self.quiet_at = max(quiet_at, self.queue.down_at + DOWN_S)
        self.absence = Absence(self, scene.away, START + rng.uniform(30, 300))
        if scene.away:
            self.quiet_at = max(self.quiet_at, self.absence.until)
        self.fleet = Fleet(
            name="orders",
            queue="https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            group="consumers",
            target_wait_s=60,
            drain=policy,
            mode=Mode.ACT if scene.scheduled else Mode.SHADOW,
            launch=LaunchPolicy(hook=LAUNCH_HOOK if scene.launch_hook else None),
        )
        made = memory_ports(self.clock, [self.fleet])
        self.truth = MemoryPorts(
            fleets=made.fleets,
            group=MemoryGroup(self.clock, self._watch),
            signals=made.signals,
            queue=made.queue,
            archive=made.archive,
            instances=MemoryInstances(self.clock, self.commands.command_sent),
            work=made.work,
            topic=made.topic,
            ledger=made.ledger,
        )
        self.ledger_ports = {type(getattr(made.ledger, field.name)).__name__ for field in fields(made.ledger)}
        hooks = [Hook(policy.hook, timeout_s=policy.hook_timeout_s, default=HookResult.CONTINUE)]
        if scene.other_hook:
            hooks.append(Hook(OTHER_HOOK, timeout_s=300.0, default=HookResult.CONTINUE))
        if scene.launch_hook:
            hooks.append(Hook(LAUNCH_HOOK, LifecycleTransition.LAUNCHING, BOOT_HOOK_S))
        self.truth.group.create(
            self.fleet.group,
            max_size=max(10, scene.size),
            desired=scene.size,
            boot_s=rng.uniform(5, 30) if scene.launch_hook else 0.0,
            hooks=tuple(hooks),
            warm_pool=scene.warm_pool,
            retains=scene.retains,
        )
        self.truth.group.settle()
        seen: dict[str, Any] = {field.name: getattr(self.truth, field.name) for field in fields(self.truth)}
        seen["work"] = self.queue
        seen["fleets"] = self.documents = DrainDocuments(self, self.fleet)
        self.ports = faulty_ports(Ports(**seen), self.cloud.before_call)
        self.begin_process()

    def begin_process(self) -> None:
        """A process of the drainer begins: it remembers nothing."""
        self.documents.begin_process()
        self.directory = FleetDirectory(self.ports, self.clock, StoryLog(self))
        self.held_at: dict[str, float] = {}

    def crash(self) -> None:
        """The drainer's process crashes, and another begins."""
        self.absence.crashed()
        self.begin_process()

    def pass_until(self, time: float) -> None:
        """Let time pass in the group as well."""
        super().pass_until(time)
        self.truth.group.settle()

    def last_trouble_at(self, at: float) -> float:
        """When something had last failed, as of a time; both in epoch seconds."""
        return max(self.last_deadly_at(at), self.absence.last_at(at))

    def last_deadly_at(self, at: float) -> float:
        """When something had last failed that may cost an instance its heartbeats, as of a time; in epoch seconds."""
        down_until = min(at, self.queue.down_at + DOWN_S) if self.queue.down_at <= at else 0.0
        away_until = 0.0 if self.absence.must_be_survived() else self.absence.last_at(at)
        return max(self.troubled_at, down_until, away_until)

    def is_awaited(self, instance_id: str) -> bool:
        """Whether an instance must be held for a consumer at work that can be known.

        One at a launch hook, of which no report ever came through, is taken for one that never got ready: only a stop
        that runs on its instance tells otherwise.
        """
        consumer = self.consumers[instance_id]
        if self.scene.launch_hook and not consumer.served and consumer.known_at is None:
            commands = self.truth.instances.commands
            stops = (each.status for each in commands if each.instance_id == instance_id)
            return consumer.awaited(self.now) and CommandStatus.RUNNING in stops
        return consumer.awaited(self.now)

    def waiting(self, hook: str | None = None) -> tuple[HookAction, ...]:
        """Every lifecycle action of a hook, of our termination hook unless named, that waits for an answer."""
        name = hook or self.policy.hook
        return tuple(action for action in self.truth.group.waiting(self.fleet.group) if action.hook == name)

    # ----------------------------------------------------------------- the group and its consumers

    def _watch(self, change: InstanceChange) -> None:
        """What the group does to an instance, and what follows from it."""
        instance_id, action = change.instance_id, change.action
        self.tell(f"{instance_id} is {change.aws_state}")
        if action is not None and action.hook == LAUNCH_HOOK:
            self._boot(change, action)
        elif action is not None and action.hook == self.policy.hook:
            self._begin_to_leave(change, action)
        elif action is not None:
            self.after(self.rng.uniform(1, 200), lambda: self._other_is_done(action))
        elif change.aws_state == "InService":
            self._serve(instance_id)
        elif change.aws_state in {"Terminated", "Warmed:Stopped"}:
            self.on_end(instance_id, change.at)
            consumer = self.consumers.setdefault(instance_id, Consumer(0.0))
            consumer.dead_at = change.at if consumer.dead_at is None else consumer.dead_at
        elif change.aws_state.endswith(":Retained"):
            self.counts["retained"] += 1

    def _boot(self, change: InstanceChange, action: HookAction) -> None:
        """A new instance is held until its consumer is ready, which some never are."""
        instance_id = change.instance_id
        consumer = self.consumers[instance_id] = self.behaviour.new_consumer(instance_id)
        self.cloud.deliver(lifecycle_event(action, change), f"launching {instance_id}")
        if not consumer.never_ready:
            self.after(self.rng.uniform(5, 40), lambda: self.behaviour.get_ready(instance_id, consumer))
        elif consumer.gives_up:
            self.after(20.0, lambda: self.behaviour.say(instance_id, consumer, ConsumerStatus.FAILED))

    def _serve(self, instance_id: str) -> None:
        """An instance counts from now on."""
        if instance_id not in self.consumers or not self.scene.launch_hook:
            self.consumers[instance_id] = self.behaviour.new_consumer(instance_id)
        consumer = self.consumers[instance_id]
        consumer.served = True
        self.served_at[instance_id] = self.now
        if consumer.talks:
            for each in consumer.all:
                talk = partial(self.behaviour.talk, instance_id, consumer, each)
                self.after(self.rng.uniform(0, REPEAT_S), talk)

    def _begin_to_leave(self, change: InstanceChange, action: HookAction) -> None:
        """Our hook holds an instance on its way out."""
        instance_id = change.instance_id
        self.counts["drains"] += 1
        self.waiting_since[instance_id] = change.at
        consumer = self.consumers.setdefault(instance_id, Consumer(0.0))
        self.cloud.deliver(lifecycle_event(action, change), f"terminating {instance_id}")
        if self.policy.via is DrainVia.SELF:
            self.after(self.rng.uniform(0, 10), lambda: self.behaviour.stop_by_itself(instance_id, consumer))

    def _other_is_done(self, action: HookAction) -> None:
        """The other tool has collected what it came for."""
        self.truth.group.complete_hook(action, HookResult.CONTINUE)

    def scale_in(self) -> None:
        """The group loses an instance, by its size or by name; or Spot takes one."""
        reading = self.truth.group.read(self.fleet.group)
        staying = [instance.id for instance in reading.instances if instance.aws_state == "InService"]
        if not staying:
            return
        instance_id = self.rng.choice(staying)
        if self.happens(self.chances.instances.breaks):
            self.tell(f"{instance_id}: its machine stops")
            self._end_machine(instance_id)
            self.after(self.rng.uniform(0, 60), lambda: self._lose(instance_id))
        elif instance_id not in self.noticed_at and self.happens(self.chances.instances.spot):
            self.tell(f"Spot wants {instance_id} back")
            self.noticed_at[instance_id] = self.now
            self.truth.instances.spot.add(instance_id)
            self.cloud.deliver(spot_event(instance_id, self.now), f"spot {instance_id}")
            self.after(SPOT_NOTICE_S, lambda: self.take_back(instance_id))
        elif reading.desired and self.rng.random() < 0.5:
            self.truth.group.set_desired(self.fleet.group, reading.desired - 1)
        else:
            self.truth.group.terminate(self.fleet.group, instance_id, decrement=reading.desired > 0)

    def empty(self) -> None:
        """The whole group is to go at once."""
        self.tell("the group is scaled to zero")
        self.truth.group.set_desired(self.fleet.group, 0)

    def scale_out(self) -> None:
        """The group gains an instance, from its warm pool first."""
        reading = self.truth.group.read(self.fleet.group)
        if reading.desired < reading.max_size:
            self.truth.group.set_desired(self.fleet.group, reading.desired + 1)

    def remove_hook(self) -> None:
        """An operator removes our termination hook: Auto Scaling waits for us no more."""
        self.tell("our termination hook is removed by hand")
        self.troubled_at = self.now
        self.hook_removed = True
        self.excused |= {action.instance_id for action in self.waiting()}
        self.truth.group.delete_hook(self.fleet.group, self.policy.hook)

    def take_back(self, instance_id: str) -> None:
        """EC2's time is over: the machine is gone, whatever holds its instance."""
        self._end_machine(instance_id)
        self._lose(instance_id)

    def _end_machine(self, instance_id: str) -> None:
        consumer = self.consumers[instance_id]
        consumer.dead_at = self.now if consumer.dead_at is None else consumer.dead_at
        self.truth.instances.machines_ended.add(instance_id)

    def _lose(self, instance_id: str) -> None:
        """The group finds that an instance's machine has ended."""
        reading = self.truth.group.read(self.fleet.group)
        if any(instance.id == instance_id for instance in reading.instances):
            self.truth.group.lose(self.fleet.group, instance_id)
