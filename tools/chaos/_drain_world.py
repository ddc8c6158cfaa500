"""The world that drains are played in: a group of consumers, Run Command, Spot, EventBridge, and Lambda's drainer.

Each call of a port takes time, in which anything that falls due happens, other invocations of the drainer included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from functions.drainer import app
from sluice.config import DrainPolicy, DrainVia, Fleet
from sluice.draining import SPOT_NOTICE_S
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
    When,
    faulty_ports,
    memory_ports,
)
from sluice.model import CommandStatus, HookAction, HookResult
from sluice.ports import LostAnswerError, NeedsFixError, PortError, TryLaterError
from tools.chaos._stage import Stage

SWEEP_S = 60.0
SKEW_S = 2.0  # between AWS's clocks and an invocation's
STALL_S = 20.0  # the longest that a call takes
TICK_S = 10.0
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


class World(Stage):
    """All of one seed. `on_call` sees every call of a port before its effect, `on_end` every instance's end."""

    def __init__(self, rng: Random, policy: DrainPolicy, chances: Chances, quiet_at: float) -> None:
        super().__init__(rng, quiet_at)
        self.policy = policy
        self.chances = chances
        self.on_call: Callable[[Call], None] = lambda _: None
        self.on_end: Callable[[str, float], None] = lambda _, __: None
        self.consumers: dict[str, Consumer] = {}
        self.waiting_since: dict[str, float] = {}
        self.noticed_at: dict[str, float] = {}  # by Spot
        self.lost_commands: set[str] = set()
        self.let_go: set[str] = set()  # by an operator
        self.troubled_at = 0.0  # when something last failed that may cost a heartbeat
        self.fleet = Fleet(
            name="orders",
            queue="https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            group="consumers",
            target_wait_s=60,
            drain=policy,
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
        hook = Hook(policy.hook, timeout_s=policy.hook_timeout_s, default=HookResult.CONTINUE)
        self.truth.group.create(self.fleet.group, desired=rng.randint(1, 4), hooks=(hook,))
        self.truth.group.settle()
        self.ports = faulty_ports(self.truth, self._meet)

    def pass_until(self, time: float) -> None:
        """Let time pass in the group as well."""
        super().pass_until(time)
        self.truth.group.settle()

    def waiting(self) -> tuple[HookAction, ...]:
        """Every lifecycle action that waits for an answer."""
        return self.truth.group.waiting(self.fleet.group)

    # ----------------------------------------------------------------- the group and its consumers

    def _watch(self, change: Change) -> None:
        instance_id = change.instance_id
        self.tell(f"{instance_id} is {change.aws_state}")
        if change.aws_state == "InService":
            self.consumers[instance_id] = self._new_consumer(instance_id)
        elif change.action is not None:
            self.counts["drains"] += 1
            self.waiting_since[instance_id] = change.at
            self.deliver(_lifecycle_event(change.action, change.at), f"terminating {instance_id}")
            if self.policy.via is DrainVia.SELF:
                self.after(self.rng.uniform(0, 10), lambda: self._stop_by_itself(instance_id))
        elif change.aws_state == "Terminated":
            self.on_end(instance_id, change.at)
            consumer = self.consumers[instance_id]
            consumer.dead_at = change.at if consumer.dead_at is None else consumer.dead_at

    def _new_consumer(self, instance_id: str) -> Consumer:
        """A consumer with some work at hand, mostly well behaved."""
        if self.happens(self.chances.no_agent):
            self.truth.instances.without_agent.add(instance_id)
            if self.rng.random() < 0.5:
                back_s = self.rng.uniform(10, 200)
                self.after(back_s, lambda: self.truth.instances.without_agent.discard(instance_id))
        long_s = 0.8 * self.policy.deadline_s
        return Consumer(
            work_s=self.rng.choice((0.0, self.rng.uniform(0, 30), self.rng.uniform(0, long_s))),
            stubborn=self.happens(self.chances.stubborn),
            hangs=self.happens(self.chances.hangs),
            dies=self.happens(self.chances.hangs),
        )

    def _stop_by_itself(self, instance_id: str) -> None:
        """A consumer that watches the instance metadata finishes, and completes its action."""
        consumer = self.consumers[instance_id]
        if not consumer.working or consumer.hangs or consumer.stubborn:
            return

        def finish() -> None:
            if not consumer.working:
                return
            consumer.stopped_at = self.now
            self.tell(f"{instance_id}: its consumer has stopped by itself")
            if not consumer.dies:
                action = HookAction(self.fleet.group, self.policy.hook, instance_id)
                self.truth.group.complete_hook(action, HookResult.CONTINUE)

        self.after(consumer.work_s, finish)

    def shrink(self) -> None:
        """The group loses an instance, by its size or by name; or Spot takes one."""
        reading = self.truth.group.read(self.fleet.group)
        staying = [instance.id for instance in reading.instances if instance.aws_state == "InService"]
        if not staying:
            return
        instance_id = self.rng.choice(staying)
        if instance_id not in self.noticed_at and self.happens(self.chances.spot):
            self.tell(f"Spot wants {instance_id} back")
            self.noticed_at[instance_id] = self.now
            self.deliver(_spot_event(instance_id, self.now), f"spot {instance_id}")
            self.after(SPOT_NOTICE_S, lambda: self._take_back(instance_id))
        elif reading.desired and self.rng.random() < 0.5:
            self.truth.group.set_desired(self.fleet.group, reading.desired - 1)
        else:
            self.truth.group.terminate(self.fleet.group, instance_id, decrement=reading.desired > 0)

    def _take_back(self, instance_id: str) -> None:
        """The two minutes are over: the machine is gone, whatever holds its instance."""
        consumer = self.consumers[instance_id]
        consumer.dead_at = self.now if consumer.dead_at is None else consumer.dead_at
        self.truth.instances.without_agent.add(instance_id)
        reading = self.truth.group.read(self.fleet.group)
        if any(instance.id == instance_id for instance in reading.instances):
            self.truth.group.lose(self.fleet.group, instance_id)

    # ----------------------------------------------------------------- Run Command

    def _command_sent(self, command: Command) -> None:
        """Run Command has taken a stop: it reaches the instance soon, or never."""
        self.tell(f"command {command.id[:8]} to stop {command.instance_id}")
        if self.happens(self.chances.lost_command):
            self.lost_commands.add(command.id)
            self.after(command.timeout_s, lambda: self._end_command(command, CommandStatus.UNKNOWN, "TimedOut"))
        else:
            self.after(self.rng.uniform(0.05, 3.0), lambda: self._begin_stop(command))

    def _begin_stop(self, command: Command) -> None:
        """SIGTERM, or no answer from a machine that is gone."""
        consumer = self.consumers[command.instance_id]
        if consumer.dead_at is not None:
            return
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
        if command.status is CommandStatus.PENDING:
            command.status = status
            self.deliver(_command_event(command, word, self.now), f"command {command.id[:8]} {word}")

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
            self._invoke({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}, "sweep", ())

    def operate(self) -> None:
        """A person releases an instance that waits."""
        waiting = self.waiting()
        if waiting:
            instance_id = self.rng.choice(waiting).instance_id
            self.let_go.add(instance_id)
            self._invoke({"release": {"fleet": "orders", "instance_id": instance_id}}, f"release {instance_id}", ())

    def _invoke(self, payload: dict[str, Any], label: str, retries_s: tuple[float, ...] = RETRIES_S) -> None:
        """One invocation of the drainer, with a clock of its own; again later if it fails."""
        self.counts["invocations"] += 1
        skew_s = self.rng.uniform(-SKEW_S, SKEW_S)

        def now() -> float:
            return self.now + skew_s

        shift = app.Shift(now() + app.SWEEP_S, TICK_S, f"invocation-{self.counts['invocations']}", self.sleep)
        drainer = app.Drainer(self.ports, now, shift, app.FleetBook(self.ports, now))
        self.running.append(label)
        failed = False
        try:
            app.answer(payload, drainer)
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
        if failed and retries_s:
            self.after(retries_s[0], lambda: self._invoke(payload, label, retries_s[1:]))

    def _meet(self, call: Call) -> Fault | None:
        """Every call: time passes, `on_call` sees it, and it may fail before or after its effect."""
        self.counts["calls"] += 1
        stalled = self.happens(self.chances.stall)
        self.sleep(self.rng.uniform(2, STALL_S) if stalled else self.rng.uniform(0.005, 0.05))
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


def _lifecycle_event(action: HookAction, at: float) -> dict[str, Any]:
    return {
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "source": "aws.autoscaling",
        "time": _iso(at),
        "detail": {
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": action.group,
            "LifecycleHookName": action.hook,
            "EC2InstanceId": action.instance_id,
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "Origin": "AutoScalingGroup",
            "Destination": "EC2",
        },
    }


def _command_event(command: Command, word: str, at: float) -> dict[str, Any]:
    return {
        "detail-type": "EC2 Command Invocation Status-change Notification",
        "source": "aws.ssm",
        "time": _iso(at),
        "detail": {"command-id": command.id, "instance-id": command.instance_id, "status": word},
    }


def _spot_event(instance_id: str, at: float) -> dict[str, Any]:
    return {
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "time": _iso(at),
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    }


def _iso(at: float) -> str:
    """As AWS writes it: whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(call: Call) -> str:
    """A call's arguments, as far as a story needs them."""
    if call.method == "keep_drain":
        drain = call.args[0]
        return f"({drain.instance_id} {drain.state} v{drain.version}: {drain.note})"
    texts = [getattr(argument, "instance_id", argument) for argument in call.args]
    return f"({', '.join(str(text)[:40] for text in texts)})"
