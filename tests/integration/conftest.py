"""One sandbox a file, with the seconds of its AWS made short, and what its tests share."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.drainer import app as drainer_app
from sluice_tools.sandbox.sandbox import Sandbox
from tests.support import aws_models, lean_moto, short_sandbox, waiting

Eventually = Callable[..., Any]

aws_models.share()
lean_moto.use()


@pytest.fixture
def drainer_log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The lines of the drainer's log so far, read back from their JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(drainer_app.logger.registered_handler, "stream", stream)
    drainer_app.logger.setLevel("INFO")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The running emulator, extended and with authorisation on; it ends with its file, and with it what goes on in it.

    A minute is a second there: schedules, alarms and functions that a file leaves behind take a third of a core.
    """
    yield from short_sandbox.running()


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Call something until it answers truthfully, and return that answer; fail after ``within_s``."""
    return waiting.eventually


_numbers = itertools.count()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses."""
    return lambda prefix: f"{prefix}-{next(_numbers)}"


class ProcessGroup:
    """A small Auto Scaling group of real processes."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        """Of the group called ``name``."""
        self.name = name
        self._autoscaling = sandbox.client("autoscaling")

    def describe(self) -> dict[str, Any]:
        """The group."""
        groups = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])
        group: dict[str, Any] = groups["AutoScalingGroups"][0]
        return group

    def states(self) -> dict[str, str]:
        """Lifecycle state by instance id."""
        return {i["InstanceId"]: i["LifecycleState"] for i in self.describe()["Instances"]}

    def in_state(self, state: str, count: int = 1) -> list[str]:
        """The ids in a state if they number ``count``, else none."""
        found = [instance_id for instance_id, now in self.states().items() if now == state]
        return found if len(found) == count else []

    def hook(self, transition: str, timeout_s: int, default: str = "CONTINUE", name: str = "hook") -> None:
        """Put a lifecycle hook; ``transition`` is LAUNCHING or TERMINATING."""
        self._autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=self.name,
            LifecycleHookName=name,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            HeartbeatTimeout=timeout_s,
            DefaultResult=default,
        )

    def desire(self, count: int) -> None:
        """Set the desired capacity."""
        self._autoscaling.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=count)

    def activities(self) -> list[dict[str, Any]]:
        """Scaling activities, newest first."""
        answer = self._autoscaling.describe_scaling_activities(AutoScalingGroupName=self.name)
        found: list[dict[str, Any]] = answer["Activities"]
        return found


MakeGroup = Callable[..., ProcessGroup]


@pytest.fixture
def make_group(sandbox: Sandbox, unique: Callable[[str], str]) -> Iterator[MakeGroup]:
    """Make groups whose instances run a command; all are deleted at the end of the test."""
    autoscaling, ec2 = sandbox.client("autoscaling"), sandbox.client("ec2")
    made: list[str] = []

    def make(
        command: str = "exec sleep 1000", *, desired: int = 0, low: int = 0, high: int = 5, **more: Any
    ) -> ProcessGroup:
        name = unique("group")
        tags = [{"Key": "sluice:sandbox-command", "Value": command}] if command else [{"Key": "of", "Value": name}]
        tags.append({"Key": "sluice:sandbox-unit", "Value": "consumer.service"})
        template = {"ImageId": "ami-12345678", "InstanceType": "t3.nano"}
        template |= more.pop("template", {})
        ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=template | {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]},
        )
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=low,
            MaxSize=high,
            DesiredCapacity=desired,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            AvailabilityZones=["eu-central-1a"],
            **more,
        )
        made.append(name)
        return ProcessGroup(sandbox, name)

    yield make
    for name in made:
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


def document(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Recorder:
    """A function that keeps the events it was invoked with."""

    def __init__(self, sandbox: Sandbox, name: str, fails: int) -> None:
        """Make it; its first ``fails`` invocations raise after they were recorded."""
        iam, functions = sandbox.client("iam"), sandbox.client("lambda")
        self._sqs = sandbox.client("sqs")
        self._seen: list[dict[str, Any]] = []
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue["Attributes"]["QueueArn"]}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="keep", PolicyDocument=document(allow))
        code = (
            "import boto3, json, os, pathlib, tempfile\n"
            "def handler(event, context):\n"
            "    boto3.client('sqs').send_message(QueueUrl=os.environ['URL'], MessageBody=json.dumps(event))\n"
            f"    tally = pathlib.Path(tempfile.gettempdir(), '{name}')\n"
            "    count = int(tally.read_text()) if tally.exists() else 0\n"
            "    tally.write_text(str(count + 1))\n"
            f"    assert count >= {fails}\n"
        )
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("app.py", code)
        self.name = name
        self.arn: str = functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role,
            Handler="app.handler",
            Code={"ZipFile": archive.getvalue()},
            Environment={"Variables": {"URL": self._url}},
            Timeout=10,
        )["FunctionArn"]
        self._functions = functions

    def permit(self, service: str, source_arn: str) -> None:
        """Let a service invoke it on behalf of a source."""
        self._functions.add_permission(
            FunctionName=self.name,
            StatementId=service.split(".", maxsplit=1)[0],
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source_arn,
        )

    def seen(self) -> list[dict[str, Any]]:
        """The events so far."""
        for message in self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", []):
            self._seen.append(json.loads(message["Body"]))
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self._seen


@pytest.fixture
def make_recorder(sandbox: Sandbox, unique: Callable[[str], str]) -> Callable[..., Recorder]:
    """Make functions that keep their events; ``fails`` of the first invocations raise."""
    return lambda fails=0: Recorder(sandbox, unique("recorder"), fails)


Caught = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def catch_events(sandbox: Sandbox, unique: Callable[[str], str]) -> Callable[[dict[str, Any]], Caught]:
    """Catch events that match a pattern: a rule with a queue as its target."""
    sqs, events = sandbox.client("sqs"), sandbox.client("events")

    def catch(pattern: dict[str, Any]) -> Caught:
        name = unique("events")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        caught: list[dict[str, Any]] = []

        def so_far() -> list[dict[str, Any]]:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                caught.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return caught

        return so_far

    return catch
