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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.emulator.settings import Settings, SettingsError
from sluice_tools.sandbox.sandbox import ROOT, Sandbox, SandboxError
from tests.support.processes import running, until_over
from tests.support.waiting import eventually

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


def test_consumers_heed_the_signals_that_a_shell_lets_its_background_ignore(tmp_path: Path) -> None:
    """`make sandbox &`: systemd would start a unit with the default signals, and the stop document relies on it."""
    ignoring = "import signal; [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)]"
    with subprocess.Popen(
        [sys.executable, "-c", ignoring + START_AND_TELL.replace("{then}", "sys.stdin.read()")],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        _, instance = owner.stdout.readline().split()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{instance}/status").read_text().splitlines())

    ignored = int(status["SigIgn"], 16)
    assert [number for number in (signal.SIGINT, signal.SIGQUIT) if ignored >> (number - 1) & 1] == []


def make_busy(sandbox: Sandbox) -> Any:
    """A function that tells its process in one file, and ends when there is another; Lambda's client."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(
            "app.py",
            "import os, pathlib, time\n"
            "def handler(event, context):\n"
            "    pathlib.Path(event['tell']).write_text(str(os.getpid()))\n"
            "    while not pathlib.Path(event['until']).exists():\n"
            "        time.sleep(0.05)\n"
            "    return os.environ.get('VERSION', 'earlier')\n",
        )
    role = sandbox.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument='{"Statement": []}')["Role"]
    functions = sandbox.client("lambda")
    functions.create_function(
        FunctionName="busy",
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
        Timeout=300,
    )
    return functions


def test_stop_does_not_wait_when_a_function_is_at_work(tmp_path: Path) -> None:
    """A function in the middle of its work is cut off, and its process ends as well."""
    told = tmp_path / "pid"
    with Sandbox() as sandbox:
        event = {"tell": str(told), "until": str(tmp_path / "never")}
        make_busy(sandbox).invoke(FunctionName="busy", InvocationType="Event", Payload=json.dumps(event))
        pid = eventually(lambda: told.exists() and told.read_text())
        began = time.monotonic()

    assert time.monotonic() - began < 15
    assert until_over([int(pid)]) == []


def test_invocation_ends_by_itself_when_its_function_is_updated_meanwhile(tmp_path: Path) -> None:
    """It answers as the version that it began in; the next invocation is the new one's, and no process is left over."""
    told, until = tmp_path / "pid", tmp_path / "until"
    event = json.dumps({"tell": str(told), "until": str(until)})
    with Sandbox() as sandbox, ThreadPoolExecutor(1) as pool:
        functions = make_busy(sandbox)
        answer = pool.submit(functions.invoke, FunctionName="busy", Payload=event)
        earlier = int(eventually(lambda: told.exists() and told.read_text()))

        functions.update_function_configuration(FunctionName="busy", Environment={"Variables": {"VERSION": "later"}})
        until.touch()

        assert json.load(answer.result()["Payload"]) == "earlier"
        assert json.load(functions.invoke(FunctionName="busy", Payload=event)["Payload"]) == "later"
        assert until_over([earlier]) == []


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
