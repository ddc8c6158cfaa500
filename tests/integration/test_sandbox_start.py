"""The sandbox itself: it starts, answers, refuses strangers, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.emulator.settings import Settings, SettingsError
from sluice_tools.sandbox.sandbox import ROOT, Sandbox, SandboxError
from tests.support.processes import running, until_over

pytestmark = pytest.mark.sandbox


def test_client_works_when_root(sandbox: Sandbox) -> None:
    """A client of the sandbox sends and receives."""
    sqs = sandbox.client("sqs")
    url = sqs.create_queue(QueueName="start-basic")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")

    received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]

    assert [message["Body"] for message in received] == ["hello"]


def test_client_is_refused_when_its_key_is_unknown(sandbox: Sandbox) -> None:
    """Authorisation is on: a key nobody issued opens nothing."""
    stranger = sandbox.client("sqs", aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x")

    with pytest.raises(ClientError, match="security token"):
        stranger.list_queues()


START_AND_TELL = """
import sys, time
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.sandbox import Sandbox

sandbox = Sandbox(Settings(boot_s=0)).start()
ec2, autoscaling = sandbox.client("ec2"), sandbox.client("autoscaling")
tags = [{"Key": "sluice:sandbox-command", "Value": "exec sleep 1000"}]
ec2.create_launch_template(
    LaunchTemplateName="work", LaunchTemplateData={"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}
)
autoscaling.create_auto_scaling_group(
    AutoScalingGroupName="work", MinSize=1, MaxSize=1, LaunchTemplate={"LaunchTemplateName": "work"},
    AvailabilityZones=["eu-central-1a"],
)
while not (instances := [i for i in sandbox.instances() if i["pid"]]):
    time.sleep(0.05)
print(sandbox._process.pid, instances[0]["pid"], flush=True)
{then}
"""
"""A program that starts a sandbox with one instance and prints the process ids of both."""


@pytest.mark.parametrize(
    ("then", "number"),
    [
        pytest.param("sandbox.stop()", None, id="stopped"),
        pytest.param("time.sleep(1000)", signal.SIGKILL, id="parent-killed"),
        pytest.param("time.sleep(1000)", signal.SIGTERM, id="parent-terminated"),
    ],
)
def test_nothing_is_left_when_the_sandbox_ends(then: str, number: signal.Signals | None, tmp_path: Path) -> None:
    """However the sandbox's owner ends, the emulator and its instances end too."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_TELL.replace("{then}", then)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        if number is not None:
            assert all(running(pid) for pid in pids)
            owner.send_signal(number)
        owner.wait(30)

    assert until_over(pids) == []


def test_instances_end_when_the_emulator_is_killed(tmp_path: Path) -> None:
    """Even SIGKILL to the emulator leaves no instance behind."""
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_TELL.replace("{then}", "time.sleep(1000)")],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        emulator, instance = (int(pid) for pid in owner.stdout.readline().split())
        os.kill(emulator, signal.SIGKILL)

        assert until_over([instance]) == []
        owner.kill()


def test_stop_does_not_wait_when_a_function_is_at_work(tmp_path: Path) -> None:
    """A function in the middle of a minute is cut off, and its process ends as well."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(
            "app.py",
            "import os, pathlib, time\n"
            "def handler(event, context):\n"
            "    pathlib.Path(event['tell']).write_text(str(os.getpid()))\n"
            "    time.sleep(60)\n",
        )
    told = tmp_path / "pid"
    with Sandbox() as sandbox:
        role = sandbox.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument='{"Statement": []}')["Role"]
        functions = sandbox.client("lambda")
        functions.create_function(
            FunctionName="busy",
            Runtime="python3.13",
            Role=role["Arn"],
            Handler="app.handler",
            Code={"ZipFile": archive.getvalue()},
            Timeout=90,
        )
        functions.invoke(FunctionName="busy", InvocationType="Event", Payload=json.dumps({"tell": str(told)}))
        deadline = time.monotonic() + 30
        while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        began = time.monotonic()

    assert time.monotonic() - began < 15
    assert until_over([int(told.read_text())]) == []


def test_start_fails_with_the_reason_when_settings_are_unknown(tmp_path: Path) -> None:
    """What the emulator says on its way out is in the error."""

    class Odd(Sandbox):
        def _emulator_env(self) -> dict[str, str]:
            return super()._emulator_env() | {"SLUICE_SANDBOX_SETTINGS": '{"hour_s": 1}'}

    with pytest.raises(SandboxError, match="no such settings: hour_s"):
        Odd(directory=tmp_path).start()


def test_settings_are_refused_when_they_would_stop_the_clock() -> None:
    """Every problem is named at once."""
    with pytest.raises(SettingsError, match=r"minute_s must be more than 0 .*; boot_s must be at least 0"):
        Settings(minute_s=0, boot_s=-1)


def test_settings_survive_their_way_to_the_emulator() -> None:
    """JSON there and back is the same record."""
    settings = Settings(minute_s=6, metric_delay_s=1.5)

    assert Settings.from_json(settings.to_json()) == settings


def test_host_check_names_what_is_missing() -> None:
    """A changed ministack is one error that names every name, not a lack nobody notices."""
    program = (
        "from sluice_tools.sandbox.emulator import host\n"
        "host.Host('services.autoscaling', '_asgs', '_no_such_store')\n"
        "host.Host('services.no_such_service', 'anything')\n"
        "host.check('1.5.33', '1.5.33')\n"
    )
    done = subprocess.run(
        [ROOT / ".envs/emulator/bin/python", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "ministack.services.autoscaling._no_such_store, ministack.services.no_such_service" in done.stderr
