"""examples/orders and Sluice beside it, deployed into an emulator of their own."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice.aws import connect
from sluice.ports.stack import Ports
from sluice_tools.cfn import Template
from sluice_tools.sam_cli import SAM, SAM_TIMEOUT_S
from sluice_tools.sandbox import sandbox as sandbox_module
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.packages import deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT, Sandbox

SHORT = Settings(
    minute_s=6.0,  # shorter ones pile up on a loaded machine: each brings three invocations
    metric_delay_s=0.2,
    boot_s=0.3,
    stop_grace_s=2.0,
    health_period_s=0.5,
    spot_notice_s=2.0,
    command_delivery_s=2.0,
)
STACK, FLEET = "sluice", "orders"
SETTINGS = {
    "hints": {"lead_time_s": 2},
    "limits": {"stabilization_window_s": 1},
    "drain": {"heartbeat_s": 1},
    "redrive": {"max_retries": 0, "canary_wait_s": 1},
}
# What the sandbox starts as an instance: it does nothing, and takes long enough to stop for heartbeats to be due.
WORKER = """\
#!/bin/sh
trap 'sleep 5; exit 0' TERM
while :; do sleep 0.2; done
"""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is running, and how to reach it."""

    sandbox: Sandbox
    orders: Mapping[str, str]  # outputs of examples/orders
    sluice: Mapping[str, str]  # outputs of template.yaml
    notices: str  # the URL of a queue that has what is published to the stack's topic
    parameters: Mapping[str, str]  # template.yaml's

    def ports(self, **variables: str) -> Ports:
        """The stack's records, as root reads them; `variables` are further ones of a function's environment."""
        return connect(
            self.sandbox.env()
            | {
                "SLUICE_STACK": STACK,
                "SLUICE_FLEETS_PATH": f"/sluice/{STACK}/fleets/",
                "SLUICE_TABLE": self.sluice["LedgerTable"],
                "SLUICE_BUCKET": self.sluice["ArchiveBucket"],
            }
            | variables
        )

    def invoke(self, function: str, event: Any) -> Any:
        """A function's answer; the test fails if it raised."""
        answer = self.sandbox.client("lambda").invoke(
            FunctionName=f"{STACK}-{function}", Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, payload
        return payload


@contextmanager
def both_stacks(
    deploy_sluice: Callable[[Sandbox, Mapping[str, str]], None], settings: Settings = SHORT, worker: str = WORKER
) -> Iterator[Deployed]:
    """A sandbox with the example in it, and Sluice as somebody deploys it; instances run the script `worker`."""
    if problem := sandbox_module.missing():
        pytest.skip(f"DEPLOYMENT TESTS NOT RUN: {problem}")
    with Sandbox(settings) as sandbox:
        ec2 = sandbox.client("ec2")
        script = sandbox.directory / "worker"
        script.write_text(worker)
        script.chmod(0o755)
        orders = deploy_package(
            sandbox,
            ROOT / "examples/orders/template.yaml",
            "orders",
            {
                "SandboxCommand": f"exec {script}",
                "Subnets": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
                "SecurityGroups": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
                "MaxSize": "3",
            },
        )
        topic, notices = topic_with_queue(sandbox, f"{STACK}-notices")
        parameters = {
            "AlarmTopicArn": topic,
            "QueueUrl": orders["QueueUrl"],
            "DeadLetterQueueUrl": orders["DeadLetterQueueUrl"],
            "GroupName": orders["GroupName"],
            "DrainUnit": orders["DrainUnit"],
            "TargetWaitSeconds": "20",
            "FleetName": FLEET,
            "Mode": "act",
            "TickSeconds": "2",
            "Settings": json.dumps(SETTINGS),
            "Architecture": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
        }
        deploy_sluice(sandbox, parameters)
        yield Deployed(sandbox, orders, sandbox.outputs(STACK), notices, parameters)


def both_packages() -> AbstractContextManager[Deployed]:
    """The example and Sluice beside it, each a package. Instances are idle processes: it is the test that consumes."""

    def deploy_sluice(sandbox: Sandbox, parameters: Mapping[str, str]) -> None:
        deploy_package(sandbox, ROOT / "template.yaml", STACK, parameters)

    return both_stacks(deploy_sluice)


def consume(deployed: Deployed) -> list[str]:
    """Take what is in the queue, as a consumer would; the bodies."""
    sqs, url = deployed.sandbox.client("sqs"), deployed.orders["QueueUrl"]
    taken = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken.append(message["Body"])
    return taken


def topic_with_queue(sandbox: Sandbox, name: str) -> tuple[str, str]:
    """An SNS topic, and a queue that is subscribed to it: the ARN and the URL."""
    sns, sqs = sandbox.client("sns"), sandbox.client("sqs")
    topic, queue = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    return topic, queue


def deploy_guided(sandbox: Sandbox, parameters: Mapping[str, str]) -> None:
    """Deploy template.yaml as an operator does: `sam build`, `sam deploy --guided`, an answer to each question."""
    work = sandbox.directory / "sam" / STACK
    work.mkdir(parents=True)
    sandbox.build(ROOT / "template.yaml", work / "build", log=work / "build.log")
    answers = [
        STACK,
        REGION,
        *(parameters.get(name, "") for name in Template.load(ROOT / "template.yaml").parameters),
        "n",  # confirm changes before deploy
        "y",  # let SAM CLI make roles
        "n",  # disable rollback
        "n",  # save these answers
    ]
    options = ("--guided", "--config-file", str(ROOT / "samconfig.toml"))
    sam_deploy(sandbox, work / "build/template.yaml", *options, answers=answers, cwd=work)


def sam_deploy(sandbox: Sandbox, template: Path, *options: str, answers: Sequence[str], cwd: Path) -> str:
    """Run `sam deploy` at a terminal's other end: a line of `answers` to each question. What it printed."""
    done = subprocess.run(
        [SAM, "deploy", "--template-file", template, "--no-progressbar", *options],
        cwd=cwd,
        env=sandbox.sam_env(),
        input="".join(f"{answer}\n" for answer in answers),
        capture_output=True,
        text=True,
        timeout=SAM_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4_000:]}\n{done.stderr[-2_000:]}"
    return done.stdout
