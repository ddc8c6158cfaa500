"""The drainer on the emulator: real consumer processes, the real adapters, and a crash at every single call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.aws import connect
from sluice.chains import event_of
from sluice.draining import deadlines, following, rounds, stop_command
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.following import KIND
from sluice.draining.service import DrainService, Response
from sluice.memory import Crash, MemoryWorkQueue, When, at_call, faulty_ports
from sluice.model.draining import Drain, DrainOutcome, DrainState
from sluice.ports.stack import Ports
from sluice.redriving import context
from sluice_tools.sandbox.sandbox import Sandbox
from tests.integration.contract_worlds import AwsWorld
from tests.support.processes import orderly

pytestmark = pytest.mark.sandbox

ORDERLY = orderly(finishes_s=0.3)
"""A consumer that finishes what it is at when asked to stop."""
STUBBORN = "trap '' TERM; exec sleep 1000"
"""A consumer that ignores SIGTERM."""
SWEEP = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
CALLS_AT_THE_START, CALLS_AT_THE_END = 8, 6
"""Of the two invocations that a drain takes when its events come, the documents read anew in each."""


class Yard:
    """One fleet on the emulator, and a drainer over it."""

    def __init__(self, world: AwsWorld, group: Any, name: str) -> None:
        self.world = world
        self.group = group
        self.name = name
        self.work = MemoryWorkQueue(time.time)
        parts: dict[str, Any] = {field.name: getattr(world.ports, field.name) for field in fields(world.ports)}
        self.ports = Ports(**parts | {"work": self.work})

    def invoke(self, payload: Any, ports: Ports | None = None, then_s: float = 0.0) -> Response:
        """One invocation of the drainer; then its chain's steps for so long, while drains are under way."""
        response = self._service(ports).respond(payload)
        until = time.time() + then_s
        while time.time() < until and self.world.ports.ledger.chains.chains(KIND):
            for step in self.work.receive(KIND):
                self._service(None).take_step(json.loads(event_of(step)))
            time.sleep(0.2)
        return response

    def _service(self, ports: Ports | None) -> DrainService:
        ports = ports or self.ports
        return DrainService(
            ports, time.time, time.time() + 55, FleetDirectory(ports, time.time, app.logger), app.logger
        )

    def release(self, instance_id: str) -> Any:
        """What the operator function answers to the release of an instance."""
        now = time.time()
        limits = context.RedriveInvocation("request", now + 30, now + 25, time.sleep, lambda: 0.5)
        operator = operator_app.service(self.ports, time.time, limits)
        return operator.answer({"release": {"fleet": self.name, "instance_id": instance_id}})

    def drain(self) -> Drain:
        """The fleet's only drain."""
        (drain,) = self.world.ports.ledger.drains.all_of(self.name)
        return drain


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run Command's events are a matter of moments here, and so is what counts as overdue."""
    monkeypatch.setattr(deadlines, "STATUS_CHECK_AFTER_S", 0.5)
    monkeypatch.setattr(stop_command, "ASK_GRACE_S", 1.0)
    monkeypatch.setattr(deadlines, "RETRY_S", 0.2)
    monkeypatch.setattr(rounds, "SHORTEST_PAUSE_S", 0.5)
    for module in (rounds, following):
        monkeypatch.setattr(module, "FULL_CHECK_EVERY_S", 1.0)


@pytest.fixture
def make_yard(
    sandbox: Sandbox, make_group: Any, unique: Callable[[str], str], eventually: Any
) -> Callable[..., tuple[Yard, list[str]]]:
    """Make a fleet whose consumers are at work; the yard and the instances' ids."""

    def make(
        command: str = ORDERLY, size: int = 1, *, group_has: dict[str, Any] | None = None, **drain: Any
    ) -> tuple[Yard, list[str]]:
        world = AwsWorld("emulator", sandbox.env(), sandbox=sandbox)
        world.make_table()
        world.make_stop_document()
        group = make_group(command, high=size, **(group_has or {}))
        policy = {"hook_timeout_s": 60, "heartbeat_s": 20, "deadline_s": 300} | drain
        group.hook("TERMINATING", int(policy["hook_timeout_s"]), name="sluice-drain")
        name = unique("yard")
        world.put_document(
            name,
            {
                "queue": "https://sqs.eu-central-1.amazonaws.com/000000000000/orders",
                "group": group.name,
                "target_wait_s": 60,
                "drain": policy,
            },
        )
        group.desire(size)
        instance_ids = eventually(lambda: group.in_state("InService", size))
        eventually(lambda: all(sandbox.instance(instance_id)["unit_active"] for instance_id in instance_ids))
        return Yard(world, group, name), instance_ids

    return make


def test_consumer_finishes_and_its_instance_goes_when_events_come(
    sandbox: Sandbox, make_yard: Any, catch_events: Any, eventually: Any
) -> None:
    """Auto Scaling's own event, Run Command's own event, and between them a consumer that ends its work."""
    yard, (instance_id,) = make_yard()
    log = Path(sandbox.instance(instance_id)["log"])
    ending = catch_events({"source": ["aws.autoscaling"], "detail": {"EC2InstanceId": [instance_id]}})
    stopped = catch_events(
        {"source": ["aws.ssm"], "detail": {"instance-id": [instance_id], "status": ["Success", "Failed", "TimedOut"]}}
    )
    yard.group.desire(0)
    assert yard.invoke(eventually(ending)[0])["state"] == "stopping"
    assert yard.group.states()[instance_id] == "Terminating:Wait"
    assert yard.invoke(eventually(stopped)[0])["state"] == "released"
    assert "drained" in log.read_text()
    assert eventually(lambda: instance_id not in yard.group.states())
    drain = yard.drain()
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.COMPLETED)


def test_drain_says_what_is_missing_when_the_unit_is_called_otherwise(
    sandbox: Sandbox, make_yard: Any, catch_events: Any, eventually: Any
) -> None:
    """The instance is held, its consumer works on, and the note names the unit and the setting."""
    yard, (instance_id,) = make_yard(unit="worker.service")
    ending = catch_events({"source": ["aws.autoscaling"], "detail": {"EC2InstanceId": [instance_id]}})
    stopped = catch_events({"source": ["aws.ssm"], "detail": {"instance-id": [instance_id], "status": ["Failed"]}})
    yard.group.desire(0)
    assert yard.invoke(eventually(ending)[0])["state"] == "stopping"
    assert yard.invoke(eventually(stopped)[0])["note"] == (
        "the instance has no unit worker.service, so nothing was stopped (set DrainUnit to what runs the consumer);"
        " asking again in 10 s"
    )
    assert sandbox.instance(instance_id)["unit_active"]
    assert yard.group.states()[instance_id] == "Terminating:Wait"


def test_drain_says_so_when_systemd_killed_its_consumer(
    make_yard: Any, catch_events: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemctl stop exits with 0 all the same: the document reads Result, and the drain's note has it."""
    monkeypatch.setattr(stop_command, "STOP_TIMEOUT_MIN_S", 1.0)
    tags = [{"Key": "sluice:sandbox-stop-timeout", "Value": "1", "PropagateAtLaunch": True}]
    yard, (instance_id,) = make_yard(STUBBORN, group_has={"Tags": tags}, stop_timeout_s=15)
    ending = catch_events({"source": ["aws.autoscaling"], "detail": {"EC2InstanceId": [instance_id]}})
    stopped = catch_events({"source": ["aws.ssm"], "detail": {"instance-id": [instance_id], "status": ["Failed"]}})
    yard.group.desire(0)
    yard.invoke(eventually(ending)[0])
    yard.invoke(eventually(stopped, 90.0)[0])
    note = yard.drain().note
    assert note.startswith(
        "instance released: unit consumer.service was killed before it had finished: it did not stop within its own"
        " stop timeout. The main process of unit consumer.service does not handle the signal to stop."
    )
    assert "a TimeoutStopSec of 1 s, which is shorter than drain.deadline_s (300 s)" in note
    assert yard.drain().outcome is DrainOutcome.INTERRUPTED
    eventually(lambda: instance_id not in yard.group.states())


FORKED = """
export ASKED=$(mktemp -u)
trap 'echo main asked; : > "$ASKED"; wait; rm "$ASKED"; exit 0' TERM
for child in 1 2; do
  sh -c 'trap "echo child asked; exit 0" TERM; echo begun
         until [ -e "$ASKED" ]; do sleep 0.2; done; sleep 1; echo worked' &
done
wait
"""
"""A consumer that forks: its children work, and a child that is asked to stop loses what it works on."""


def test_consumer_that_forks_loses_nothing_when_systemd_would_signal_all_of_it(
    sandbox: Sandbox, make_yard: Any, catch_events: Any, eventually: Any
) -> None:
    """Its unit has systemd's defaults: for the stop alone the signal goes to its main process, and there is time."""
    tags = [{"Key": "sluice:sandbox-stop-timeout", "Value": "1", "PropagateAtLaunch": True}]
    yard, (instance_id,) = make_yard(FORKED, group_has={"Tags": tags})
    log = Path(sandbox.instance(instance_id)["log"])
    ending = catch_events({"source": ["aws.autoscaling"], "detail": {"EC2InstanceId": [instance_id]}})
    stopped = catch_events({"source": ["aws.ssm"], "detail": {"instance-id": [instance_id], "status": ["Success"]}})
    eventually(lambda: log.read_text().count("begun") == 2)
    yard.group.desire(0)
    yard.invoke(eventually(ending)[0])
    yard.invoke(eventually(stopped, 90.0)[0])
    assert log.read_text().split("\n") == ["begun", "begun", "main asked", "worked", "worked", ""]
    assert not [*log.with_suffix(".run").rglob("*.conf")]


def test_consumer_finishes_when_every_event_is_lost(sandbox: Sandbox, make_yard: Any, eventually: Any) -> None:
    """Sweeps alone: the group's list, the ledger, and Run Command's status once its event is overdue."""
    yard, (instance_id,) = make_yard()
    log = Path(sandbox.instance(instance_id)["log"])
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    yard.invoke(SWEEP, then_s=1.0)
    drain = yard.drain()
    assert (drain.state, drain.hook and drain.hook.token) == (DrainState.STOPPING, None)
    yard.invoke(SWEEP, then_s=20.0)
    assert eventually(lambda: instance_id not in yard.group.states())
    assert "drained" in log.read_text()


def test_instance_goes_at_its_deadline_when_its_consumer_ignores_sigterm(make_yard: Any, eventually: Any) -> None:
    """Held by heartbeats past the hook's own timeout, and not longer than the deadline."""
    yard, _ = make_yard(STUBBORN, hook_timeout_s=5, heartbeat_s=1, deadline_s=8)
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    began_at = time.time()
    yard.invoke(SWEEP, then_s=20.0)
    drain = yard.drain()
    assert drain.state is DrainState.RELEASED
    assert drain.outcome in {DrainOutcome.EXPIRED, DrainOutcome.INTERRUPTED}  # systemd kills it at that time as well
    assert 7.5 < time.time() - began_at < 13
    assert drain.heartbeats.count >= 4


def test_many_share_one_command_when_a_sweep_finds_them(sandbox: Sandbox, make_yard: Any, eventually: Any) -> None:
    """A dozen at once, every event lost: one Run Command stops them all, each consumer finishes, all are let go."""
    yard, instance_ids = make_yard(size=12)
    logs = [Path(sandbox.instance(instance_id)["log"]) for instance_id in instance_ids]
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait", 12))
    yard.invoke(SWEEP, then_s=1.0)
    commands = {drain.stop.command_id for drain in yard.world.ports.ledger.drains.all_of(yard.name)}
    assert len(commands) == 1
    yard.invoke(SWEEP, then_s=40.0)
    eventually(lambda: not yard.group.states())
    assert all("drained" in log.read_text() for log in logs)
    assert {drain.outcome for drain in yard.world.ports.ledger.drains.all_of(yard.name)} <= {
        DrainOutcome.COMPLETED,
        DrainOutcome.GONE,
    }


def test_instance_is_kept_when_its_drain_failed_and_goes_when_a_person_says_so(make_yard: Any, eventually: Any) -> None:
    """A consumer that ignores SIGTERM: abandoned at its deadline, retained by its group, ended by a release."""
    policy = {"InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}}
    yard, (instance_id,) = make_yard(
        STUBBORN, group_has=policy, hook_timeout_s=4, heartbeat_s=1, deadline_s=2, keep_failed=True
    )
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    yard.invoke(SWEEP, then_s=10.0)
    eventually(lambda: yard.group.in_state("Terminating:Retained"))
    assert yard.drain().state is DrainState.RETAINED
    assert "error" not in yard.release(instance_id)
    eventually(lambda: not yard.group.states())
    yard.invoke(SWEEP, then_s=1.0)
    assert (yard.drain().state, yard.drain().outcome) == (DrainState.RELEASED, DrainOutcome.TERMINATED)


def test_instance_goes_at_once_when_its_machine_died_under_drain(
    sandbox: Sandbox, make_yard: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No deadline is waited for: EC2 says that nothing runs there any more."""
    monkeypatch.setattr(rounds, "STATUS_CHECK_AFTER_S", 0.0)
    yard, (instance_id,) = make_yard(STUBBORN)
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    yard.invoke(SWEEP, then_s=0.01)  # the chain's first step; the machine dies before its agent begins the stop
    assert yard.drain().state is DrainState.STOPPING
    sandbox.admin("POST", f"instances/{instance_id}/kill")
    eventually(lambda: yard.world.ports.instances.ended([instance_id]))
    yard.invoke(SWEEP, then_s=1.0)
    assert (yard.drain().state, yard.drain().outcome) == (DrainState.RELEASED, DrainOutcome.COMPLETED)


def test_drain_ends_when_its_hook_is_removed_by_hand(sandbox: Sandbox, make_yard: Any, eventually: Any) -> None:
    """The group waits for nobody any more: the drain takes note, and is no failure."""
    yard, (instance_id,) = make_yard(STUBBORN)
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    yard.invoke(SWEEP, then_s=1.0)
    autoscaling = sandbox.client("autoscaling")
    autoscaling.delete_lifecycle_hook(AutoScalingGroupName=yard.group.name, LifecycleHookName="sluice-drain")
    eventually(lambda: instance_id not in yard.group.states())
    yard.invoke(SWEEP, then_s=1.0)
    assert yard.drain().outcome in {DrainOutcome.GONE, DrainOutcome.LATE}


def test_instance_waits_for_the_other_hook_when_there_are_two(
    sandbox: Sandbox, make_yard: Any, eventually: Any
) -> None:
    """Ours is completed; another tool's holds the instance on, and is neither renewed nor completed by us."""
    yard, (instance_id,) = make_yard()
    yard.group.hook("TERMINATING", 60, name="log-collector")
    yard.group.desire(0)
    eventually(lambda: yard.group.in_state("Terminating:Wait"))
    yard.invoke(SWEEP, then_s=20.0)
    assert yard.drain().outcome is DrainOutcome.COMPLETED
    assert yard.group.states()[instance_id] == "Terminating:Wait"
    yard.invoke(SWEEP, then_s=1.0)
    assert yard.drain().state is DrainState.RELEASED
    sandbox.client("autoscaling").complete_lifecycle_action(
        AutoScalingGroupName=yard.group.name,
        LifecycleHookName="log-collector",
        InstanceId=instance_id,
        LifecycleActionResult="CONTINUE",
    )
    eventually(lambda: instance_id not in yard.group.states())


@pytest.mark.parametrize("when", When)
def test_drains_go_on_when_the_drainer_died_at_any_call(
    when: When, sandbox: Sandbox, make_yard: Any, catch_events: Any, eventually: Any
) -> None:
    """One instance for each call that a drain takes: the drainer dies before, or just after, that call.

    Sweeps finish what it began, and no consumer is cut off.
    """
    yard, instance_ids = make_yard(size=CALLS_AT_THE_START + CALLS_AT_THE_END)
    logs = [Path(sandbox.instance(instance_id)["log"]) for instance_id in instance_ids]
    ending = catch_events({"source": ["aws.autoscaling"], "detail": {"AutoScalingGroupName": [yard.group.name]}})
    stopped = catch_events(
        {"source": ["aws.ssm"], "detail": {"instance-id": instance_ids, "status": ["Success", "Failed", "TimedOut"]}}
    )
    yard.group.desire(0)
    starts = eventually(lambda: ending() if len(ending()) == len(instance_ids) else None)
    for index, event in enumerate(starts[:CALLS_AT_THE_START]):
        for chain in yard.ports.ledger.chains.chains(KIND):
            yard.ports.ledger.chains.end(chain)  # each drain is the fleet's first
        with pytest.raises(Crash):
            yard.invoke(event, faulty_ports(yard.ports, at_call(index, when, Crash())))
    for event in starts[CALLS_AT_THE_START:]:
        yard.invoke(event)
    mine = [event["detail"]["EC2InstanceId"] for event in starts[CALLS_AT_THE_START:]]

    def ends() -> list[dict[str, Any]] | None:
        found = [event for event in stopped() if event["detail"]["instance-id"] in mine]
        return found if len(found) == CALLS_AT_THE_END else None

    for index, event in enumerate(eventually(ends)):
        with pytest.raises(Crash):
            yard.invoke(event, faulty_ports(yard.ports, at_call(index, when, Crash())))
    yard.invoke(SWEEP, then_s=30.0)
    assert eventually(lambda: not yard.group.states())
    yard.invoke(SWEEP, then_s=1.0)
    assert {drain.state for drain in yard.world.ports.ledger.drains.all_of(yard.name)} == {DrainState.RELEASED}
    assert all("drained" in log.read_text() for log in logs)


def test_consumer_finishes_when_its_fleets_document_is_broken_by_hand_while_it_ends(
    sandbox: Sandbox, make_yard: Any, catch_events: Any, eventually: Any
) -> None:
    """Broken before a drainer has heard of the instance, and between its two events: drained both times, not killed."""
    yard, (first, second) = make_yard(size=2)
    usable = yard.world.client("ssm").get_parameter(Name=yard.world.environ["SLUICE_FLEETS_PATH"] + yard.name)
    for instance_id, breaks in ((first, "{not JSON"), (second, '{"group": ""}')):
        log = Path(sandbox.instance(instance_id)["log"])
        ending = catch_events({"source": ["aws.autoscaling"], "detail": {"EC2InstanceId": [instance_id]}})
        stopped = catch_events(
            {
                "source": ["aws.ssm"],
                "detail": {"instance-id": [instance_id], "status": ["Success", "Failed", "TimedOut"]},
            }
        )
        yard.world.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
        )
        if instance_id == first:
            yard.world.put_document(yard.name, breaks)
        ports = connect(yard.world.environ)  # nothing is remembered, as in a new process
        assert yard.invoke(eventually(ending)[0], ports)["state"] == "stopping"
        yard.world.put_document(yard.name, breaks)
        ports = connect(yard.world.environ)
        assert [bad.name for bad in ports.fleets.load().invalid] == [yard.name]
        assert yard.invoke(eventually(stopped)[0], ports)["state"] == "released"
        assert "drained" in log.read_text()
        assert eventually(lambda gone=instance_id: gone not in yard.group.states())
        yard.world.put_document(yard.name, usable["Parameter"]["Value"])
    drains = yard.world.ports.ledger.drains.all_of(yard.name)
    assert {drain.outcome for drain in drains} == {DrainOutcome.COMPLETED}
