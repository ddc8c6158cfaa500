"""A consumer's half on the emulator: the helper in a real process, the systemd way, and the instance's own metadata."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.drainer import app
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import DrainService, Response
from sluice_tools.sandbox.emulator import systemctl
from sluice_tools.sandbox.sandbox import Sandbox
from tests.integration.contract_worlds import AwsWorld
from tests.support.processes import orderly

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).resolve().parents[2]
HOOK = "sluice-drain"
ORDERLY = orderly(finishes_s=0.5)
"""A consumer of which nothing was changed: it finishes on SIGTERM, as any unit should."""
CONSUMER = """
import sys, time
sys.path.insert(0, {examples!r})
import sluice_consumer
sluice_consumer.POLL_S, sluice_consumer.TELL_S, sluice_consumer.RETRY_S = 0.1, 0.05, 0.2
lifecycle = sluice_consumer.Lifecycle.watch(hook="sluice-drain", group={group!r})
print("ready", flush=True)
while not lifecycle.leaving:
    with lifecycle.working():
        time.sleep(1.5)
print("worked off", flush=True)
lifecycle.leave()
"""


@pytest.fixture
def profile(sandbox: Sandbox, unique: Callable[[str], str]) -> dict[str, Any]:
    """A launch template's part: a role with just the permissions that examples/consumer/README.md lists."""
    iam, name = sandbox.client("iam"), unique("consumer")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    only = {"StringEquals": {"events:source": "sluice.consumer"}}
    grants = [
        {"Effect": "Allow", "Action": "autoscaling:CompleteLifecycleAction", "Resource": "*"},
        {"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*", "Condition": only},
    ]
    iam.put_role_policy(RoleName=name, PolicyName="consume", PolicyDocument=document(*grants))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return {"IamInstanceProfile": {"Name": name}}


def document(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def words(caught: Callable[[], list[dict[str, Any]]]) -> list[str]:
    """What a consumer has said so far."""
    return [event["detail"]["state"] for event in caught()]


@pytest.fixture
def group(make_group: Any, profile: dict[str, Any], tmp_path: Path) -> Any:
    """A group of consumers with three lines of the helper."""
    program = tmp_path / "consumer.py"
    group = make_group(f"exec {shlex.quote(sys.executable)} {shlex.quote(str(program))}", high=1, template=profile)
    program.write_text(CONSUMER.format(examples=str(ROOT / "examples/consumer"), group=group.name))
    return group


def test_consumer_of_three_lines_finishes_and_lets_go(
    sandbox: Sandbox, group: Any, catch_events: Any, eventually: Any
) -> None:
    """Scale-in: it finishes what it is at, says so, completes its own action; the group waits exactly as long."""
    group.hook("TERMINATING", 60, name=HOOK)
    said = catch_events({"source": ["sluice.consumer"], "detail": {"group": [group.name]}})
    group.desire(1)
    (instance_id,) = eventually(lambda: group.in_state("InService"))
    log = Path(sandbox.instance(instance_id)["log"])
    eventually(lambda: "ready" in log.read_text())
    eventually(lambda: "busy" in words(said))

    group.desire(0)
    eventually(lambda: instance_id not in group.states())

    assert "worked off" in log.read_text()
    eventually(lambda: words(said)[-1] == "done")
    assert set(words(said)) == {"busy", "draining", "done"} | ({"ready"} & set(words(said)))
    assert all(event["detail"]["instance-id"] == instance_id for event in said())


SWEEP = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
WORKS_ONCE = CONSUMER.replace(
    "while not lifecycle.leaving:\n    with lifecycle.working():\n        time.sleep(1.5)",
    "sluice_consumer.IDLE_AFTER_S = 0.1\nwith lifecycle.working():\n    time.sleep(6)\nlifecycle.wait(60)",
)
"""A consumer that works on one thing for some seconds, and then waits for more."""


def test_instance_counts_when_ready_and_stays_while_busy(
    sandbox: Sandbox, group: Any, catch_events: Any, eventually: Any, tmp_path: Path
) -> None:
    """Held until its consumer is ready, protected while that works, let go once it is idle; measured all the way."""
    works_once = WORKS_ONCE.format(examples=str(ROOT / "examples/consumer"), group=group.name)
    (tmp_path / "consumer.py").write_text(works_once)
    group.hook("TERMINATING", 60, name=HOOK)
    group.hook("LAUNCHING", 60, name="sluice-ready", default="ABANDON")
    world = AwsWorld("emulator", sandbox.env(), sandbox=sandbox)
    world.make_table()
    fleet = {
        "queue": "https://sqs.eu-central-1.amazonaws.com/000000000000/orders",
        "group": group.name,
        "target_wait_s": 60,
        "drain": {"via": "self", "hook": HOOK, "hook_timeout_s": 60, "heartbeat_s": 20, "deadline_s": 300},
        "launch": {"hook": "sluice-ready"},
    }
    world.put_document("crew", fleet)
    said = catch_events({"source": ["sluice.consumer"], "detail": {"group": [group.name]}})

    def invoke(payload: Any) -> Response:
        directory = FleetDirectory(world.ports, time.time, app.logger)
        return DrainService(world.ports, time.time, time.time() + 5.0, directory, app.logger).respond(payload)

    def spoken(word: str) -> dict[str, Any] | None:
        return next((event for event in said() if event["detail"]["state"] == word), None)

    group.desire(1)
    (instance_id,) = eventually(lambda: group.in_state("Pending:Wait"))
    invoke(eventually(lambda: spoken("ready") or spoken("busy")))
    eventually(lambda: group.in_state("InService"))

    invoke(eventually(lambda: spoken("busy")))
    invoke(SWEEP)
    assert world.ports.group.read(group.name).instances[0].protected
    group.desire(0)
    time.sleep(0.5)
    assert group.states() == {instance_id: "InService"}, "busy: the group takes no instance"

    invoke(eventually(lambda: spoken("idle")))
    invoke(SWEEP)
    eventually(lambda: instance_id not in group.states())
    (known,) = world.ports.ledger.consumers.consumers("crew")
    assert known.launched_at is not None
    assert known.ready_at is not None
    assert known.first_message_at is not None
    assert known.launched_at <= known.ready_at <= known.first_message_at


class Host:
    """What the systemd way finds on an instance: systemctl, and the AWS CLI."""

    def __init__(self, directory: Path, sandbox: Sandbox, instance_id: str) -> None:
        self.log = directory / "calls"
        self.directory = directory
        self.env = {
            **os.environ,
            **sandbox.env(),
            "PATH": f"{directory}:{os.environ['PATH']}",
            "SLUICE_IMDS": f"{sandbox.url}/_sandbox/imds/{instance_id}",
            "UNIT": "consumer.service",
            "HOOK": HOOK,
            "POLL_S": "0.1",
            "RETRY_S": "0.2",
        }
        self._program(
            "systemctl",
            f"""import runpy, sys
sys.argv = ["systemctl", {sandbox.url!r}, {instance_id!r}, *sys.argv[1:]]
runpy.run_path({systemctl.__file__!r}, run_name="__main__")""",
        )
        self._program(
            "aws",
            """import boto3, sys
names = iter(sys.argv[3:])
asked = {"".join(word.title() for word in name.strip("-").split("-")): next(names) for name in names}
asked.pop("LifecycleActionResult")
boto3.client("autoscaling").complete_lifecycle_action(
    **{{"AutoScalingGroupName": "AutoScalingGroupName"}.get(k, k): v for k, v in asked.items()},
    LifecycleActionResult="CONTINUE",
)""",
        )

    def _program(self, name: str, code: str) -> None:
        """A program on the host's path, which notes how it was called."""
        path = self.directory / name
        noted = f"import sys; open({str(self.log)!r}, 'a').write(' '.join([{name!r}, *sys.argv[1:]]) + chr(10))"
        path.write_text(f"#!{sys.executable}\n{noted}\n{code}\n")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """How its programs were called."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of the test, ended with it."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(10)


def test_unit_without_a_line_of_code_finishes_and_is_let_go(
    sandbox: Sandbox, make_group: Any, eventually: Any, tmp_path: Path, running: list[subprocess.Popen[bytes]]
) -> None:
    """The shell script beside the unit: it sees the end, stops the unit, waits for it, completes the action."""
    group = make_group(ORDERLY, high=1)
    group.hook("TERMINATING", 60, name=HOOK)
    group.desire(1)
    (instance_id,) = eventually(lambda: group.in_state("InService"))
    eventually(lambda: sandbox.instance(instance_id)["unit_active"])
    log = Path(sandbox.instance(instance_id)["log"])
    host = Host(tmp_path, sandbox, instance_id)
    script = ROOT / "examples/consumer/sluice-drain"
    running.append(subprocess.Popen(["/bin/bash", str(script)], env={**host.env, "GROUP": group.name}))
    time.sleep(0.5)
    assert host.calls() == [], "in service nothing is done"

    group.desire(0)
    eventually(lambda: instance_id not in group.states())

    assert "drained" in log.read_text()
    calls = host.calls()
    assert calls[0] == "systemctl stop consumer.service"
    assert calls[1].startswith(f"aws autoscaling complete-lifecycle-action --auto-scaling-group-name {group.name}")


def test_script_says_what_it_lacks_when_its_settings_are_missing() -> None:
    """The variable, and where to set it."""
    script = ROOT / "examples/consumer/sluice-drain"
    ran = subprocess.run(
        ["/bin/bash", str(script)],
        check=False,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ran.returncode != 0
    assert "name the Auto Scaling group in /etc/sluice/drain.env" in ran.stderr


def test_unit_file_keeps_the_script_running() -> None:
    """It must outlive the consumer that it stops, and come back if it fails."""
    lines = (ROOT / "examples/consumer/sluice-drain.service").read_text().splitlines()
    assert {"Restart=always", "KillMode=process", "EnvironmentFile=/etc/sluice/drain.env"} <= set(lines)
    assert json.dumps(lines).count("sluice-drain") == 1, "it runs the one script"
