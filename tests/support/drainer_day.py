"""A day at the drainer over ports in memory: fleets, their groups, invocations, and the events that AWS sends."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.chains import event_of
from sluice.config.fleet import DrainPolicy, Fleet, LaunchPolicy
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import DrainService, Response
from sluice.memory import (
    Call,
    Command,
    Decide,
    Fault,
    Hook,
    LifecycleTransition,
    MemoryPorts,
    faulty_ports,
    memory_ports,
)
from sluice.model.chain import Step
from sluice.model.draining import (
    CommandStatus,
    DrainState,
    HookAction,
)
from sluice.redriving import context
from sluice.telemetry import Record

EVENTS = Path(__file__).parents[2] / "events"
START = 1_800_000_000.0
SWEEP = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


def a_fleet(name: str = "orders", **drain: Any) -> Fleet:
    """A fleet whose group is <name>-consumers."""
    return Fleet(
        name=name,
        queue=f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}",
        group=f"{name}-consumers",
        target_wait_s=60,
        drain=DrainPolicy(**{"hook_timeout_s": 120, "heartbeat_s": 45} | drain),
    )


class Day:
    """A day at the drainer: a clock, the ports, and invocations; steps of chains arrive while time passes."""

    def __init__(self, *fleets: Fleet, size: int = 1, decide: Decide = lambda _: None) -> None:
        self.now = START
        self.fleets = fleets or (a_fleet(),)
        self.fleet = self.fleets[0]
        self.ports: MemoryPorts = memory_ports(self.clock, self.fleets)
        for fleet in self.fleets:
            hooks = (Hook(fleet.drain.hook, timeout_s=fleet.drain.hook_timeout_s),)
            self.ports.group.create(fleet.group, max_size=1_000, desired=size, hooks=hooks)
        self.calls: Counter[str] = Counter()
        self.decide = decide
        self.seen = faulty_ports(self.ports, self._count)
        self.directory = FleetDirectory(self.seen, self.clock, app.logger)
        self.held_at: dict[str, float] = {}
        self.records: list[Record] = []
        self.agenda: list[tuple[float, Callable[[], object]]] = []
        self.invocations = 0

    def clock(self) -> float:
        """Epoch seconds."""
        return self.now

    def _count(self, call: Call) -> Fault | None:
        self.calls[f"{call.port}.{call.method}"] += 1
        return self.decide(call)

    def at(self, later_s: float, what: Callable[[], object]) -> None:
        """Let something happen so long after the start, while `wait` lets time pass."""
        self.agenda = sorted([*self.agenda, (START + later_s, what)], key=lambda entry: entry[0])

    def wait(self, seconds: float) -> None:
        """Let time pass, in which chains' steps arrive when they are due."""
        end_at = self.now + seconds
        while True:
            work = self.ports.work
            next_at = min([message.at for message in work.messages] + [at for at, _ in self.agenda[:1]], default=end_at)
            self.now = max(self.now, min(next_at, end_at))
            if self.agenda and self.agenda[0][0] <= self.now:
                self.agenda.pop(0)[1]()
            elif steps := work.receive("drains"):
                for step in steps:
                    self.take(step)
            elif self.now >= end_at:
                return

    def take(self, step: Step, lasts_s: float = 55.0) -> None:
        """One invocation with a step that is handed over."""
        service = self._service(lasts_s)
        try:
            service.take_step(json.loads(event_of(step)))
        finally:
            self.records += service.records

    def invoke(self, payload: object, *, lasts_s: float = 55.0) -> Response:
        """One invocation of the drainer."""
        service = self._service(lasts_s)
        try:
            return service.respond(payload)
        finally:
            self.records += service.records

    def sweep(self, then_s: float = 0.0) -> None:
        """The minute's sweep, and some time in which what it found is worked on."""
        self.invoke(SWEEP)
        self.wait(then_s)

    def _service(self, lasts_s: float) -> DrainService:
        self.invocations += 1
        return DrainService(self.seen, self.clock, self.now + lasts_s, self.directory, app.logger, self.held_at)

    def release(self, instance_id: str, fleet: str = "orders") -> Any:
        """An operator releases an instance."""
        self.invocations += 1
        limits = context.RedriveInvocation(f"request-{self.invocations}", self.now + 30, self.now + 25, lambda: 0.5)
        operator = operator_app.service(self.seen, self.clock, limits)
        try:
            return operator.answer({"release": {"fleet": fleet, "instance_id": instance_id}})
        finally:
            self.records += operator.records

    def instances(self, fleet: Fleet | None = None) -> list[str]:
        """The ids of a group's instances."""
        return [instance.id for instance in self.ports.group.read((fleet or self.fleet).group).instances]

    def terminate(self, instance_id: str, fleet: Fleet | None = None) -> dict[str, Any]:
        """The group ends an instance; the event of it."""
        group = (fleet or self.fleet).group
        self.ports.group.terminate(group, instance_id, decrement=True)
        action = next(action for action in self.ports.group.waiting(group) if action.instance_id == instance_id)
        return terminating(action, self.now)

    def state(self, instance_id: str) -> DrainState | None:
        """Where an instance's drain stands."""
        drain = self.ports.ledger.drains.drain(self.fleet.name, instance_id)
        return drain.state if drain else None

    def metrics(self) -> Counter[str]:
        """What was counted, by metric."""
        sums: Counter[str] = Counter()
        for _, name, _, value in self.records:
            sums[name] += int(value)
        return sums


def terminating(action: HookAction, at: float) -> dict[str, Any]:
    """EventBridge's event of a lifecycle action."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-terminating.json").read_text())
    event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    event["detail"] |= {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": action.group,
        "LifecycleHookName": action.hook,
        "EC2InstanceId": action.instance_id,
    }
    return event


def commanded(command: Command, aws_status: str) -> dict[str, Any]:
    """EventBridge's event of a command's end."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-run-command-success.json").read_text())
    event["detail"] |= {"command-id": command.id, "instance-id": command.instance_id, "status": aws_status}
    return event


def spot(instance_id: str, at: float) -> dict[str, Any]:
    """EventBridge's event of a Spot interruption."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-spot-interruption.json").read_text())
    event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    event["detail"]["instance-id"] = instance_id
    return event


def finish(
    day: Day, command: Command, status: CommandStatus = CommandStatus.SUCCEEDED, aws_status: str = "Success"
) -> Response:
    """A command ends, and its event comes."""
    command.status = status
    return day.invoke(commanded(command, aws_status))


def report(
    instance_id: str, state: str, at: float, group: str = "orders-consumers", consumer: str | None = None
) -> dict[str, Any]:
    """A consumer's own event; without a name, of the instance's only one."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-consumer-busy.json").read_text())
    event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    event["detail"] |= {"group": group, "instance-id": instance_id, "state": state}
    if consumer is not None:
        event["detail"]["consumer"] = consumer
    return event


def with_launch_hook() -> Day:
    """A fleet whose instances count once their consumers are ready; the first is on its way."""
    day = Day(a_fleet().model_copy(update={"launch": LaunchPolicy(hook="sluice-ready")}), size=0)
    ready = Hook("sluice-ready", LifecycleTransition.LAUNCHING, timeout_s=300)
    day.ports.group.create(day.fleet.group, boot_s=40, hooks=(Hook(day.fleet.drain.hook), ready))
    day.ports.group.set_desired(day.fleet.group, 1)
    day.wait(40)
    return day
