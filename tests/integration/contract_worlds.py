"""The worlds that the contract tests run in: memory, moto and the emulator, each with the same few handles.

A test file names the worlds in which its port can be held to the contract, and opens each by `open_world`.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol, cast, override

import boto3
import moto
import pytest
import time_machine

from sluice.aws import connect
from sluice.aws.queue import SqsQueue
from sluice.memory import Hook, MemoryPorts, memory_ports
from sluice.memory import queue_url as memory_queue_url
from sluice.ports.stack import Ports
from sluice_tools.cfn import Template
from sluice_tools.sandbox.sandbox import ROOT, Sandbox
from tests.support.waiting import eventually

MEMORY = pytest.param("memory", id="memory")
MOTO = pytest.param("moto", id="moto")
EMULATOR = pytest.param("emulator", id="emulator", marks=pytest.mark.sandbox)
EVERYWHERE = (MEMORY, MOTO, EMULATOR)

START_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z, where the worlds with a clock of their own begin
REGION = "eu-central-1"
FAKE = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
KEEPING = {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}
# What ends after n seconds has surely ended a moment later, whichever side the boundary is on.
MARGIN_S = 0.3
EVENTUALLY_S = 30.0  # the emulator's groups act within a second; a loaded machine is far slower

_numbers = itertools.count(1)


class World(Protocol):
    """One implementation of the ports, and what a test must do around them."""

    kind: str
    ports: Ports
    metric_period_s: float

    def now(self) -> float:
        """Epoch seconds in this world."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let so much time go by, and a moment more; the emulator's goes by for real."""
        ...

    def make_queue(
        self,
        *,
        fifo: bool = False,
        visibility_s: int = 30,
        delay_s: int = 0,
        max_bytes: int = 1_048_576,
        dead_letter: str | None = None,
        max_receive_count: int = 3,
    ) -> str:
        """A new queue; its URL."""
        ...

    def make_group(
        self, *, min_size: int = 0, max_size: int = 5, hook_timeout_s: int | None = None, retains: bool = False
    ) -> str:
        """A new empty group, with a termination hook named "drain" where a timeout is given; its name."""
        ...

    def suspend(self, group: str, process: str) -> None:
        """Suspend one of a group's processes."""
        ...

    def protect(self, group: str, instance_id: str) -> None:
        """Protect an instance from being scaled in."""
        ...

    def fail_launch(self, group: str, message: str) -> None:
        """Let the group's next launch fail."""
        ...

    def put_document(self, name: str, document: Mapping[str, Any] | str) -> None:
        """Keep a fleet's document."""
        ...

    def set_alarm(self, name: str, *, on: bool) -> None:
        """An alarm of that name, in ALARM or in OK."""
        ...

    def publish(self, queue_url: str, **figures: float) -> None:
        """What CloudWatch is to know of a queue in the present minute, by metric, where SQS does not tell it itself."""
        ...

    def eventually[T](self, look: Callable[[], T]) -> T:
        """What `look` answers once that is truthful; here and now where nothing happens by itself."""
        ...


class MemoryWorld(World):
    """The ports in memory, on a clock that stands still until told otherwise."""

    kind = "memory"
    metric_period_s = 60.0

    def __init__(self) -> None:
        self._now = START_AT
        self.memory: MemoryPorts = memory_ports(self.now)
        self.ports: Ports = self.memory

    @override
    def now(self) -> float:
        return self._now

    @override
    def pass_time(self, seconds: float) -> None:
        self._now += seconds

    @override
    def make_queue(
        self,
        *,
        fifo: bool = False,
        visibility_s: int = 30,
        delay_s: int = 0,
        max_bytes: int = 1_048_576,
        dead_letter: str | None = None,
        max_receive_count: int = 3,
    ) -> str:
        return self.memory.queue.create(
            memory_queue_url(_unique("queue") + (".fifo" if fifo else "")),
            visibility_s=visibility_s,
            delay_s=delay_s,
            max_bytes=max_bytes,
            dead_letter=dead_letter,
            max_receive_count=max_receive_count,
        )

    @override
    def make_group(
        self, *, min_size: int = 0, max_size: int = 5, hook_timeout_s: int | None = None, retains: bool = False
    ) -> str:
        hooks = () if hook_timeout_s is None else (Hook("drain", timeout_s=hook_timeout_s),)
        return self.memory.group.create(
            _unique("group"), min_size=min_size, max_size=max_size, desired=min_size, hooks=hooks, retains=retains
        )

    @override
    def suspend(self, group: str, process: str) -> None:
        self.memory.group.suspend(group, process)

    @override
    def protect(self, group: str, instance_id: str) -> None:
        self.memory.group.protect(group, [instance_id], True)

    @override
    def fail_launch(self, group: str, message: str) -> None:
        self.memory.group.fail_launches(group, message)

    @override
    def put_document(self, name: str, document: Mapping[str, Any] | str) -> None:
        self.memory.fleets.put(name, document)

    @override
    def set_alarm(self, name: str, *, on: bool) -> None:
        self.memory.signals.set_alarm(name, on=on)

    @override
    def publish(self, queue_url: str, **figures: float) -> None:
        assert queue_url in self.memory.queue.urls()  # which MemorySignals looks at by itself

    @override
    def eventually[T](self, look: Callable[[], T]) -> T:
        answer = look()
        assert answer
        return answer


class AwsWorld(World):
    """The ports on AWS as `environ` finds it, and boto3 for what a test must make there first."""

    def __init__(
        self,
        kind: str,
        environ: Mapping[str, str],
        mover: time_machine.Traveller | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self._mover = mover
        name = _unique("sluice")
        self.environ = {
            **environ,
            "SLUICE_STACK": name,
            "SLUICE_TABLE": name,
            "SLUICE_BUCKET": name,
            "SLUICE_FLEETS_PATH": f"/sluice/{name}/fleets/",
        }
        self.metric_period_s = 60.0
        if sandbox is not None:
            self.metric_period_s = sandbox.settings.minute_s
            self.environ["SLUICE_MINUTE_S"] = f"{sandbox.settings.minute_s:.0f}"
        self.ports: Ports = connect(self.environ)
        if kind == "moto" and isinstance(self.ports.queue, SqsQueue):
            # Two threads in moto may both be given the same message, which no visibility timeout would explain.
            self.ports.queue.at_once = 1

    def client(self, service: str) -> Any:
        """A boto3 client of this world."""
        return _client(
            service,
            self.environ.get("AWS_ENDPOINT_URL"),
            self.environ["AWS_REGION"],
            self.environ["AWS_ACCESS_KEY_ID"],
            self.environ["AWS_SECRET_ACCESS_KEY"],
        )

    def make_stop_document(self) -> None:
        """The document by which the stack stops consumers, as its template has it."""
        asked = {"QueueUrl": "https://sqs.eu-central-1.amazonaws.com/000000000000/q", "GroupName": "g"}
        template = Template.load(ROOT / "template.yaml").resolve(asked | {"TargetWaitSeconds": "60"})
        document = template.properties("StopDocument")
        name = f"{self.environ['SLUICE_STACK']}-stop"
        self.client("ssm").create_document(
            Name=name, Content=json.dumps(document["Content"]), DocumentType="Command", DocumentFormat="JSON"
        )

    @override
    def now(self) -> float:
        return time.time()

    @override
    def pass_time(self, seconds: float) -> None:
        if self._mover is None:
            time.sleep(seconds + MARGIN_S)
        else:
            self._mover.shift(seconds + MARGIN_S)

    @override
    def make_queue(
        self,
        *,
        fifo: bool = False,
        visibility_s: int = 30,
        delay_s: int = 0,
        max_bytes: int = 1_048_576,
        dead_letter: str | None = None,
        max_receive_count: int = 3,
    ) -> str:
        attributes = {
            "VisibilityTimeout": str(visibility_s),
            "DelaySeconds": str(delay_s),
            "MaximumMessageSize": str(max_bytes),
        }
        if fifo:
            attributes["FifoQueue"] = "true"
        if dead_letter is not None:
            policy = {
                "deadLetterTargetArn": self.ports.queue.facts(dead_letter).arn,
                "maxReceiveCount": max_receive_count,
            }
            attributes["RedrivePolicy"] = json.dumps(policy)
        name = _unique("queue") + (".fifo" if fifo else "")
        url: str = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    @override
    def make_group(
        self, *, min_size: int = 0, max_size: int = 5, hook_timeout_s: int | None = None, retains: bool = False
    ) -> str:
        name = _unique("group")
        tags = [
            {"Key": "sluice:sandbox-command", "Value": "exec sleep 1000"},
            {"Key": "sluice:sandbox-unit", "Value": "consumer.service"},
        ]
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12c6146b",  # one that moto knows; the emulator takes any
                "InstanceType": "t3.nano",
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            },
        )
        autoscaling = self.client("autoscaling")
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=min_size,
            MaxSize=max_size,
            DesiredCapacity=min_size,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            AvailabilityZones=[f"{REGION}a"],
            **({"InstanceLifecyclePolicy": KEEPING} if retains else {}),
        )
        if hook_timeout_s is not None:
            autoscaling.put_lifecycle_hook(
                AutoScalingGroupName=name,
                LifecycleHookName="drain",
                LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
                HeartbeatTimeout=hook_timeout_s,
            )
        return name

    @override
    def suspend(self, group: str, process: str) -> None:
        self.client("autoscaling").suspend_processes(AutoScalingGroupName=group, ScalingProcesses=[process])

    @override
    def protect(self, group: str, instance_id: str) -> None:
        self.client("autoscaling").set_instance_protection(
            AutoScalingGroupName=group, InstanceIds=[instance_id], ProtectedFromScaleIn=True
        )

    @override
    def fail_launch(self, group: str, message: str) -> None:
        assert self.sandbox is not None, "moto's launches do not fail"
        self.sandbox.fail_launches(group, message)

    @override
    def put_document(self, name: str, document: Mapping[str, Any] | str) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        self.client("ssm").put_parameter(
            Name=self.environ["SLUICE_FLEETS_PATH"] + name, Value=text, Type="String", Overwrite=True
        )
        self.ports.fleets.refresh(name)  # as the planner does at Parameter Store's event

    @override
    def set_alarm(self, name: str, *, on: bool) -> None:
        cloudwatch = self.client("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Sluice/Test",
            MetricName=name,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",  # the state set below stays
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM" if on else "OK", StateReason="a test says so")

    @override
    def publish(self, queue_url: str, **figures: float) -> None:
        if self._mover is None:
            return  # the emulator's SQS publishes by itself
        self.client("cloudwatch").put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": "QueueName", "Value": queue_url.rpartition("/")[2]}],
                    "Timestamp": datetime.fromtimestamp(self.now(), UTC),
                    "Value": value,
                }
                for metric, value in figures.items()
            ],
        )

    @override
    def eventually[T](self, look: Callable[[], T]) -> T:
        if self._mover is None:
            return eventually(look, EVENTUALLY_S)
        answer = look()
        assert answer, f"{look} answered {answer!r}, and nothing happens by itself in moto"
        return answer

    def make_table(self) -> None:
        """The ledger's table, as the stack makes it."""
        self.client("dynamodb").create_table(
            TableName=self.environ["SLUICE_TABLE"],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def make_bucket(self) -> None:
        """The archive's bucket."""
        self.client("s3").create_bucket(
            Bucket=self.environ["SLUICE_BUCKET"], CreateBucketConfiguration={"LocationConstraint": REGION}
        )


def open_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The world that the fixture's parameter names, for one test."""
    if request.param == "memory":
        yield MemoryWorld()
    elif request.param == "moto":
        with _moto(request.getfixturevalue("monkeypatch")) as opened:
            yield opened
    else:
        sandbox: Sandbox = request.getfixturevalue("sandbox")
        yield AwsWorld("emulator", sandbox.env(), sandbox=sandbox)


@pytest.fixture
def moto_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsWorld]:
    """Moto alone, with the ledger's table and the archive's bucket."""
    with _moto(monkeypatch) as opened:
        opened.make_table()
        opened.make_bucket()
        yield opened


@contextmanager
def _moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsWorld]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with moto.mock_aws(), time_machine.travel(START_AT, tick=False) as mover:
        yield AwsWorld("moto", FAKE, mover)


@cache
def _client(service: str, endpoint: str | None, region: str, key_id: str, secret: str) -> Any:
    """A boto3 client, made once: moto and the emulator keep their state, clients have none."""
    session = boto3.session.Session(aws_access_key_id=key_id, aws_secret_access_key=secret, region_name=region)
    return session.client(cast("Any", service), endpoint_url=endpoint)


def _unique(prefix: str) -> str:
    """A name that no other test of any process uses: the emulator is shared within one, AWS-wide names are not."""
    return f"{prefix}-{next(_numbers)}-{time.monotonic_ns() % 1_000_000_000}"
