"""The world that drains are played in: a group of consumers, Run Command, Spot, EventBridge, and Lambda's drainer.

Each call of a port takes time, in which anything that falls due happens, other invocations of the drainer included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.config.fleet import DrainPolicy, DrainVia, Fleet, LaunchPolicy
from sluice.draining.deadlines import SPOT_NOTICE_S
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import DrainService
from sluice.draining.sweep import SWEEP_S as DRAINER_RUNS_S
from sluice.draining.sweep import Invocation
from sluice.memory import (
    Call,
    Change,
    Command,
    Crash,
    Fault,
    Hook,
    MemoryGroup,
    MemoryInstances,
    MemoryPorts,
    Transition,
    When,
    faulty_ports,
    memory_ports,
)
from sluice.model.consumers import ConsumerStatus
from sluice.model.draining import CommandStatus, HookAction, HookResult
from sluice.ports.errors import LostAnswerError, NeedsFixError, PortError, TryLaterError
from sluice.redriving.context import Invocation as RedriveInvocation
from tools.chaos._drain_events import command_event, lifecycle_event, report_event, spot_event, sweep_event
from tools.chaos._stage import Stage

SWEEP_S = 60.0
SKEW_S = 2.0  # between AWS's clocks and an invocation's
STALL_S = 20.0  # the longest that a call takes
TICK_S = 10.0
BOOT_HOOK_S = 200.0  # how long a boot may take until it is ready
REPEAT_S = 30.0  # how often a consumer repeats itself
TALK_S = 900.0  # how long after the faults consumers say anything
BEGIN_S = 30.0  # what is not begun by then on an instance never begins: the drainer's TimeoutSeconds
OTHER_HOOK = "log-collector"  # another tool's, on the same group
LAUNCH_HOOK = "sluice-ready"
# Lambda's own for an asynchronous invocation that failed:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
RETRIES_S = (60.0, 120.0)


@dataclass(slots=True)
class Consumer:
    """One instance's consumer: it finishes what it is at, or never stops."""

    work_s: float  # what it has to finish once it is asked to stop
    stubborn: bool = False  # its unit fails to stop
    hangs: bool = False  # it never finishes
    dies: bool = False  # (self) it stops, but never completes its action
    asked_at: float | None = None
    stopped_at: float | None = None
    dead_at: float | None = None  # its machine is gone
    talks: bool = False  # it says how it does, by the helper
    never_ready: bool = False
    gives_up: bool = False  # and says so
    ready_at: float | None = None
    status: ConsumerStatus | None = None  # the last it said
    status_since: float = 0.0
    in_service: bool = False

    @property
    def working(self) -> bool:
        """Whether a termination now would interrupt it."""
        return self.stopped_at is None and self.dead_at is None


@dataclass(frozen=True, slots=True)
class Chances:
    """How bad this seed's world is; all zero: nothing ever fails."""

    fault: float = 0.0  # of a call of a port
    crash: float = 0.0  # of those
    lost: float = 0.0  # of an event
    doubled: float = 0.0
    late: float = 0.0
    sweep_lost: float = 0.0
    stall: float = 0.0  # of a call that takes long
    lost_command: float = 0.0
    no_agent: float = 0.0  # of an instance
    stubborn: float = 0.0
    hangs: float = 0.0
    spot: float = 0.0
    operator: float = 0.0
    breaks: float = 0.0  # of a machine that stops of its own
    never_ready: float = 0.0
    hook_removed: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What the group of this seed is like."""

    size: int = 2
    other_hook: bool = False  # another tool has a termination hook of its own
    warm_pool: bool = False
    retains: bool = False
    launch_hook: bool = False
    talking: bool = False  # its consumers report


class World(Stage):
    """All of one seed. `on_call` sees every call of a port before its effect, `on_end` every instance's end."""

    def __init__(self, rng: Random, policy: DrainPolicy, chances: Chances, quiet_at: float, scene: Scene) -> None:
        super().__init__(rng, quiet_at)
        self.policy = policy
        self.chances = chances
        self.scene = scene
        self.on_call: Callable[[Call], None] = lambda _: None
        self.on_end: Callable[[str, float], None] = lambda _, __: None
        self.consumers: dict[str, Consumer] = {}
        self.waiting_since: dict[str, float] = {}
        self.noticed_at: dict[str, float] = {}  # by Spot
        self.delivered_at: dict[str, float] = {}  # when a consumer last said something that was taken whole
        self.excused: set[str] = set()  # who ended because a person removed our hook
        self.hook_removed = False
        # Invocations that meet are stacked on one another, so that each waits for those above it, which on Lambda run
        # beside it: in a crowd a call takes no more than its share of the time.
        self.share = min(1.0, 4.0 / scene.size)
        self.let_go: set[str] = set()  # by an operator
        self.troubled_at = 0.0  # when something last failed that may cost a heartbeat
        self.fleet = Fleet(
            name="orders",
            queue="https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            group="consumers",
            target_wait_s=60,
            drain=policy,
            launch=LaunchPolicy(hook=LAUNCH_HOOK if scene.launch_hook else None),
        )
        made = memory_ports(self.clock, [self.fleet])
        self.truth = MemoryPorts(
            fleets=made.fleets,
            group=MemoryGroup(self.clock, self._watch),
            signals=made.signals,
            queue=made.queue,
            archive=made.archive,
            instances=MemoryInstances(self.clock, self._command_sent),
            ledger=made.ledger,
        )
        hooks = [Hook(policy.hook, timeout_s=policy.hook_timeout_s, default=HookResult.CONTINUE)]
        if scene.other_hook:
            hooks.append(Hook(OTHER_HOOK, timeout_s=300.0, default=HookResult.CONTINUE))
        if scene.launch_hook:
            hooks.append(Hook(LAUNCH_HOOK, Transition.LAUNCHING, BOOT_HOOK_S))
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
        self.ports = faulty_ports(self.truth, self._meet)

    def pass_until(self, time: float) -> None:
        """Let time pass in the group as well."""
        super().pass_until(time)
        self.truth.group.settle()

    def waiting(self, hook: str | None = None) -> tuple[HookAction, ...]:
        """Every lifecycle action of a hook, of our termination hook unless named, that waits for an answer."""
        name = hook or self.policy.hook
        return tuple(action for action in self.truth.group.waiting(self.fleet.group) if action.hook == name)

    # ----------------------------------------------------------------- the group and its consumers

    def _watch(self, change: Change) -> None:
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

    def _boot(self, change: Change, action: HookAction) -> None:
        """A new instance is held until its consumer is ready, which some never are."""
        instance_id = change.instance_id
        consumer = self.consumers[instance_id] = self._new_consumer(instance_id)
        self.deliver(lifecycle_event(action, change), f"launching {instance_id}")
        if not consumer.never_ready:
            self.after(self.rng.uniform(5, 40), lambda: self._get_ready(instance_id, consumer))
        elif consumer.gives_up:
            self.after(20.0, lambda: self.say(instance_id, consumer, ConsumerStatus.FAILED))

    def _serve(self, instance_id: str) -> None:
        """An instance counts from now on."""
        if instance_id not in self.consumers or not self.scene.launch_hook:
            self.consumers[instance_id] = self._new_consumer(instance_id)
        consumer = self.consumers[instance_id]
        consumer.in_service = True
        if consumer.talks:
            self.after(self.rng.uniform(0, REPEAT_S), lambda: self._talk(instance_id, consumer))

    def _begin_to_leave(self, change: Change, action: HookAction) -> None:
        """Our hook holds an instance on its way out."""
        instance_id = change.instance_id
        self.counts["drains"] += 1
        self.waiting_since[instance_id] = change.at
        consumer = self.consumers.setdefault(instance_id, Consumer(0.0))
        consumer.in_service = False
        self.deliver(lifecycle_event(action, change), f"terminating {instance_id}")
        if self.policy.via is DrainVia.SELF:
            self.after(self.rng.uniform(0, 10), lambda: self._stop_by_itself(instance_id, consumer))

    def _other_is_done(self, action: HookAction) -> None:
        """The other tool has collected what it came for."""
        self.truth.group.complete_hook(action, HookResult.CONTINUE)

    def _new_consumer(self, instance_id: str) -> Consumer:
        """A consumer with some work at hand, mostly well behaved."""
        self.truth.instances.machines_ended.discard(instance_id)
        if self.happens(self.chances.no_agent):
            self.truth.instances.without_agent.add(instance_id)
            if self.rng.random() < 0.5:
                back_s = self.rng.uniform(10, 200)
                self.after(back_s, lambda: self.truth.instances.without_agent.discard(instance_id))
        long_s = 0.8 * self.policy.deadline_s
        never_ready = self.happens(self.chances.never_ready)
        return Consumer(
            work_s=self.rng.choice((0.0, self.rng.uniform(0, 30), self.rng.uniform(0, long_s))),
            stubborn=self.happens(self.chances.stubborn),
            hangs=self.happens(self.chances.hangs),
            dies=self.happens(self.chances.hangs),
            talks=self.scene.talking,
            never_ready=never_ready,
            gives_up=never_ready and self.rng.random() < 0.5,
        )

    # ----------------------------------------------------------------- what consumers say

    def say(self, instance_id: str, consumer: Consumer, status: ConsumerStatus) -> None:
        """A report on its way; the last status counts."""
        if consumer.status is not status:
            consumer.status, consumer.status_since = status, self.now
        self.deliver(report_event(self.fleet.group, instance_id, status, self.now), f"{instance_id} says {status}")

    def _get_ready(self, instance_id: str, consumer: Consumer) -> None:
        """Ready, and said so until its instance is in service."""
        if consumer.dead_at is not None or consumer.in_service or self.consumers.get(instance_id) is not consumer:
            return
        consumer.ready_at = self.now if consumer.ready_at is None else consumer.ready_at
        self.say(instance_id, consumer, ConsumerStatus.READY)
        self.after(REPEAT_S, lambda: self._get_ready(instance_id, consumer))

    def _talk(self, instance_id: str, consumer: Consumer) -> None:
        """Busy or idle, by chance; on its way out, at work until it has stopped."""
        current = self.consumers.get(instance_id) is consumer
        if not consumer.working or not current or self.now > self.quiet_at + TALK_S:
            return
        if consumer.asked_at is not None:
            self.say(instance_id, consumer, ConsumerStatus.DRAINING)
        elif consumer.status is None or self.rng.random() < 0.1:
            self.say(instance_id, consumer, self.rng.choice((ConsumerStatus.BUSY, ConsumerStatus.IDLE)))
        else:
            self.say(instance_id, consumer, consumer.status)
        self.after(REPEAT_S, lambda: self._talk(instance_id, consumer))

    def _stop_by_itself(self, instance_id: str, consumer: Consumer) -> None:
        """A consumer that watches the instance metadata finishes, and completes its action."""
        if not consumer.working or consumer.hangs or consumer.stubborn:
            return
        consumer.asked_at = self.now

        def finish() -> None:
            if not consumer.working:
                return
            consumer.stopped_at = self.now
            self.tell(f"{instance_id}: its consumer has stopped by itself")
            if consumer.talks:
                self.say(instance_id, consumer, ConsumerStatus.DONE)
            if not consumer.dies:
                action = HookAction(self.fleet.group, self.policy.hook, instance_id)
                self.truth.group.complete_hook(action, HookResult.CONTINUE)

        self.after(consumer.work_s, finish)

    def scale_in(self) -> None:
        """The group loses an instance, by its size or by name; or Spot takes one."""
        reading = self.truth.group.read(self.fleet.group)
        staying = [instance.id for instance in reading.instances if instance.aws_state == "InService"]
        if not staying:
            return
        instance_id = self.rng.choice(staying)
        if self.happens(self.chances.breaks):
            self.tell(f"{instance_id}: its machine stops")
            self._end_machine(instance_id)
            self.after(self.rng.uniform(0, 60), lambda: self._lose(instance_id))
        elif instance_id not in self.noticed_at and self.happens(self.chances.spot):
            self.tell(f"Spot wants {instance_id} back")
            self.noticed_at[instance_id] = self.now
            self.truth.instances.spot.add(instance_id)
            self.deliver(spot_event(instance_id, self.now), f"spot {instance_id}")
            self.after(SPOT_NOTICE_S, lambda: self._take_back(instance_id))
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
        """A person removes our termination hook: Auto Scaling waits for us no more."""
        self.tell("our termination hook is removed by hand")
        self.troubled_at = self.now
        self.hook_removed = True
        self.excused |= {action.instance_id for action in self.waiting()}
        self.truth.group.delete_hook(self.fleet.group, self.policy.hook)

    def _take_back(self, instance_id: str) -> None:
        """The two minutes are over: the machine is gone, whatever holds its instance."""
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

    # ----------------------------------------------------------------- Run Command

    def _command_sent(self, command: Command) -> None:
        """Run Command has taken a stop: it reaches the instance soon, or never."""
        self.tell(f"command {command.id[:8]} to stop {command.instance_id}")
        if self.happens(self.chances.lost_command):
            # Never received: it stays pending until both of its timeouts are over.
            expired_s = BEGIN_S + command.timeout_s
            self.after(expired_s, lambda: self._end_command(command, CommandStatus.UNKNOWN, "TimedOut"))
        else:
            self.after(self.rng.uniform(0.05, 3.0), lambda: self._begin_stop(command))

    def _begin_stop(self, command: Command) -> None:
        """SIGTERM, or no answer from a machine that is gone."""
        consumer = self.consumers[command.instance_id]
        if consumer.dead_at is not None:
            return
        command.status = CommandStatus.RUNNING
        consumer.asked_at = self.now if consumer.asked_at is None else consumer.asked_at
        if consumer.stubborn:
            self.after(5.0, lambda: self._end_command(command, CommandStatus.FAILED, "Failed"))
            return
        ends_at = command.sent_at + command.timeout_s
        left_s = max(0.0, consumer.asked_at + consumer.work_s - self.now)
        if consumer.hangs or self.now + left_s > ends_at:
            late_s = max(0.0, ends_at - self.now)
            self.after(late_s, lambda: self._end_command(command, CommandStatus.UNKNOWN, "TimedOut"))
        if not consumer.hangs:
            self.after(left_s, lambda: self._end_command(command, CommandStatus.SUCCEEDED, "Success"))

    def _end_command(self, command: Command, status: CommandStatus, word: str) -> None:
        """A command ends, unless it had, or its machine is gone."""
        consumer = self.consumers[command.instance_id]
        if consumer.dead_at is not None:
            return
        if status is CommandStatus.SUCCEEDED and consumer.stopped_at is None:
            consumer.stopped_at = self.now
            self.tell(f"{command.instance_id}: its consumer has stopped")
        if command.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
            command.status = status
            self.deliver(command_event(command, word, self.now), f"command {command.id[:8]} {word}")

    # ----------------------------------------------------------------- EventBridge and Lambda

    def deliver(self, payload: dict[str, Any], label: str) -> None:
        """Send an event on its way to the drainer: once as a rule, soon as a rule."""
        if self.happens(self.chances.lost):
            self.tell(f"event lost: {label}")
            return
        for _ in range(2 if self.happens(self.chances.doubled) else 1):
            late = self.happens(self.chances.late)
            delay_s = self.rng.uniform(10, 400) if late else self.rng.uniform(0.1, 1.5)
            self.after(delay_s, lambda: self._invoke(payload, label))

    def sweep(self) -> None:
        """The schedule's minute, with a little jitter."""
        self.after(SWEEP_S + self.rng.uniform(-1, 1), self.sweep)
        if self.happens(self.chances.sweep_lost):
            self.troubled_at = self.now
            self.tell("sweep lost")
        else:
            self._invoke(sweep_event(), "sweep", ())

    def operate(self) -> None:
        """A person releases an instance that waits."""
        waiting = self.waiting()
        if waiting:
            self.release(self.rng.choice(waiting).instance_id)

    def release(self, instance_id: str) -> None:
        """A person releases just this instance."""
        self.let_go.add(instance_id)
        request = {"release": {"fleet": "orders", "instance_id": instance_id}}
        self._invoke(request, f"release {instance_id}", ())

    def _invoke(self, payload: dict[str, Any], label: str, retries_s: tuple[float, ...] = RETRIES_S) -> None:
        """One invocation of the drainer, or of the operator function for a release; again later if it fails."""
        self.counts["invocations"] += 1
        skew_s = self.rng.uniform(-SKEW_S, SKEW_S)

        def now() -> float:
            return self.now + skew_s

        name = f"invocation-{self.counts['invocations']}"
        self.running.append(label)
        failed = False
        faults = self.counts["faults"]
        try:
            if "release" in payload:
                lasts = RedriveInvocation.started(name, now(), 30.0, 60.0, sleep=self.sleep, uniform=self.rng.random)
                operator_app.service(self.ports, now, lasts).answer(payload)
            else:
                invocation = Invocation(name, now() + DRAINER_RUNS_S, self.sleep, TICK_S)
                directory = FleetDirectory(self.ports, now, app.logger)
                DrainService(self.ports, now, invocation, directory, app.logger).respond(payload)
        except Crash:
            failed = True
            self.tell("crashes")
        except PortError as error:
            failed = True
            self.tell(f"fails: {error}")
        except Exception as error:
            # Anything else is a finding, and the story must go on to tell it.
            self.violate(f"the drainer raised {error!r}")
        finally:
            self.running.pop()
        heard = payload.get("detail", {}).get("state") in {ConsumerStatus.BUSY, ConsumerStatus.DRAINING}
        if heard and not failed and faults == self.counts["faults"]:
            instance_id = payload["detail"]["instance-id"]
            said_at = datetime.fromisoformat(payload["time"]).timestamp()
            self.delivered_at[instance_id] = max(said_at, self.delivered_at.get(instance_id, 0.0))
        if failed and retries_s:
            self.after(retries_s[0], lambda: self._invoke(payload, label, retries_s[1:]))

    def _meet(self, call: Call) -> Fault | None:
        """Every call: time passes, `on_call` sees it, and it may fail before or after its effect."""
        self.counts["calls"] += 1
        stalled = self.happens(self.chances.stall * self.share)
        self.sleep(self.rng.uniform(2, STALL_S) if stalled else self.share * self.rng.uniform(0.005, 0.05))
        self.on_call(call)
        if stalled:
            self.troubled_at = self.now
        if not self.happens(self.chances.fault):
            self.tell(f"{call.method}{_short(call)}")
            return None
        self.counts["faults"] += 1
        self.troubled_at = self.now
        when = self.rng.choice((When.BEFORE, When.AFTER))
        error: BaseException
        if self.rng.random() < self.chances.crash:
            error = Crash()
        elif when is When.AFTER:
            error = LostAnswerError("answer lost")
        else:
            error = self.rng.choice((TryLaterError, NeedsFixError))("throttled, or not allowed")
        self.tell(f"{call.method}{_short(call)}: {type(error).__name__} {when.value} it took effect")
        return Fault(when, error)


def _short(call: Call) -> str:
    """A call's arguments, as far as a story needs them."""
    if call.method == "keep_drain":
        drain = call.args[0]
        return f"({drain.instance_id} {drain.state} v{drain.version}: {drain.note})"
    texts = [getattr(argument, "instance_id", argument) for argument in call.args]
    return f"({', '.join(str(text)[:40] for text in texts)})"
