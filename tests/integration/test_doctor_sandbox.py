"""`sluice doctor` as it is typed, on an account with planted faults, and after each remedy was pasted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sluice_tools.commands.frame import ExitCode
from sluice_tools.sandbox.sandbox import REGION, ROOT, Sandbox
from tests.support import aws_commands

pytestmark = pytest.mark.sandbox

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


def doctor(sandbox: Sandbox, *arguments: str) -> tuple[int, str]:
    """What the command answers in a process of its own: its exit status and output."""
    return sluice(sandbox, "doctor", *arguments)


def sluice(sandbox: Sandbox, *arguments: str) -> tuple[int, str]:
    """The same of any command."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | sandbox.env()
    command = [sys.executable, "-m", "sluice_tools.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def findings(output: str) -> dict[str, dict[str, str]]:
    """The findings of `--json` by code, each once."""
    found: list[dict[str, str]] = json.loads(output)["findings"]
    assert len({one["code"] for one in found}) == len(found)
    return {one["code"]: one for one in found}


def test_planted_faults_are_named_and_mended_when_their_remedies_are_pasted(
    sandbox: Sandbox, make_group: Any, unique: Callable[[str], str]
) -> None:
    """Eleven faults: each is named, with a command that mends it; after the commands nothing is wrong any more."""
    sqs, autoscaling, kms = sandbox.client("sqs"), sandbox.client("autoscaling"), sandbox.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=key["KeyId"])
    orders, dead = unique("orders"), unique("dead")
    attributes = {"VisibilityTimeout": "5", "MessageRetentionPeriod": "3600"}
    dead_url = sqs.create_queue(QueueName=dead, Attributes=attributes)["QueueUrl"]
    url = sqs.create_queue(QueueName=orders)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key["KeyId"]})
    group = make_group(desired=0, high=0, NewInstancesProtectedFromScaleIn=True).name
    autoscaling.put_scaling_policy(
        AutoScalingGroupName=group, PolicyName="by cpu", PolicyType="SimpleScaling",
        AdjustmentType="ChangeInCapacity", ScalingAdjustment=1,
    )  # fmt: skip
    autoscaling.put_scheduled_update_group_action(
        AutoScalingGroupName=group, ScheduledActionName="night", Recurrence="0 22 * * *", DesiredCapacity=0
    )
    autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch"])
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=group, LifecycleHookName="old-drain", LifecycleTransition=TERMINATING
    )
    asked = (
        "--queue-url", url, "--dead-letter-queue-url", dead_url, "--group-name", group, "--mode", "act",
    )  # fmt: skip

    status, output = doctor(sandbox, *asked, "--json")

    found = findings(output)
    planted = {
        "redrive-policy-missing": ("problem", orders),
        "dead-letter-visibility-short": ("problem", "5 seconds"),
        "key-unusable": ("problem", "Disabled"),
        "group-cannot-scale-out": ("problem", group),
        "scaling-policy": ("problem", "by cpu"),
        "scheduled-action": ("problem", "night (0 22 * * *)"),
        "retention-short": ("warning", "1 hour"),
        "process-suspended": ("warning", "Launch"),
        "new-instances-protected": ("warning", group),
        "other-hook": ("warning", "old-drain"),
        "profile-missing": ("warning", group),
    }
    assert status == 1
    assert {code: one["severity"] for code, one in found.items()} == {
        c: severity for c, (severity, _) in planted.items()
    }
    for code, (_, said) in planted.items():
        assert said in found[code]["what"], code
        assert found[code]["remedy"].startswith(f"aws --region {REGION} "), code

    for code in sorted(found.keys() - {"profile-missing"}):  # its remedy tells about the account, and changes nothing
        aws_commands.parse(found[code]["remedy"]).run(sandbox.client)
    status, output = doctor(sandbox, *asked, "--json")
    assert (status, set(findings(output))) == (0, {"profile-missing"})

    status, output = doctor(sandbox, *asked, "--strict", "--settings", '{"drain": {"via": "self"}}')
    assert status == 0
    assert output.startswith("Fleet main (mode act) has no problems and no warnings.")


def test_deployed_fleet_is_checked_when_only_its_stack_is_named(
    sandbox: Sandbox, make_group: Any, unique: Callable[[str], str]
) -> None:
    """By its document in Parameter Store; another stack's fleet on the same group is found there, too."""
    sqs, ssm = sandbox.client("sqs"), sandbox.client("ssm")
    url, group = sqs.create_queue(QueueName=unique("orders"))["QueueUrl"], make_group(low=1, desired=1).name
    document = {"queue": url, "group": group, "target_wait_s": 60, "mode": "act", "drain": {"via": "self"}}
    blue, green = unique("blue"), unique("green")
    for stack in (blue, green):
        ssm.put_parameter(Name=f"/sluice/{stack}/fleets/shop", Value=json.dumps(document), Type="String")

    status, output = sluice(sandbox, "enroll", "--stack", blue, "--fleet", "shop")
    assert status == 0
    name = url.rpartition("/")[2]
    assert output.splitlines()[:2] == [
        f"Set the tag sluice:stack={blue} on {one}." for one in (f"queue {name}", f"group {group}")
    ]
    assert sluice(sandbox, "enroll", "--stack", blue, "--fleet", "shop")[1].startswith("Everything has the tag")

    status, output = doctor(sandbox, "--stack", blue, "--fleet", "shop", "--json")

    assert status == 1
    (finding,) = findings(output).values()
    assert finding["code"] == "other-fleet"
    assert finding["what"].startswith(f"Fleet shop of Sluice stack {green} (mode act) has the same group {group}")
    assert aws_commands.parse(finding["remedy"]).run(sandbox.client)["Parameter"]["Value"] == json.dumps(document)

    assert sluice(sandbox, "enroll", "--stack", blue, "--fleet", "shop", "--remove")[0] == 0
    _, output = doctor(sandbox, "--stack", blue, "--fleet", "shop", "--json")
    missing = [one for one in json.loads(output)["findings"] if one["code"] == "untagged"]
    for one in missing:
        aws_commands.parse(one["remedy"]).run(sandbox.client)
    _, output = doctor(sandbox, "--stack", blue, "--fleet", "shop", "--json")
    assert (len(missing) >= 2, set(findings(output))) == (True, {"other-fleet"})

    status, output = doctor(sandbox, "--stack", blue, "--fleet", "other")
    assert status == 2
    assert f"--fleet: stack '{blue}' has no fleet 'other' (it has: shop)" in output


def test_command_says_so_when_aws_does_not_answer(sandbox: Sandbox) -> None:
    """An endpoint where nobody listens is told by what could not be read, and not by a traceback."""
    queue = f"https://sqs.{REGION}.amazonaws.com/123456789012/orders"

    status, output = doctor(
        sandbox, "--queue-url", queue, "--group-name", "workers", "--endpoint-url", "http://127.0.0.1:9"
    )

    assert status == ExitCode.UNREACHABLE
    assert "queue orders could not be read" in output
