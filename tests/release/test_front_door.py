"""The README's deployment, pasted: what arrives at AWS is what was built, and every function of it answers."""

from __future__ import annotations

import io
import json
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.cfn import Template
from sluice_tools.local_invoke import events
from sluice_tools.sandbox import sandbox as sandbox_module
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.sandbox import REGION, ROOT, Sandbox
from tests.support.pasted import blocks, fresh_copy
from tests.support.pasted_deployment import paste

pytestmark = pytest.mark.sandbox

STACK = "sluice"
ENTER = ""
HINT = "sam deploy --template-file .aws-sam/build/template.yaml"
"""How SAM CLI itself says to deploy a built template (samcli/commands/build/build_context.py)."""
TIMEOUT_S = 540.0
"""Build and deployment take a minute on an idle machine with a warm cache of packages."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A deployment by the README's lines."""

    sandbox: Sandbox
    copy: Path
    printed: str

    def run(self, script: str, answers: list[str]) -> subprocess.CompletedProcess[str]:
        """Lines in a shell whose account is the sandbox, with answers typed ahead."""
        return paste(self.sandbox, self.copy, script, answers, within_s=TIMEOUT_S)


def made(sandbox: Sandbox) -> dict[str, str]:
    """What a user has before Sluice: a queue, its dead-letter queue, a group; the answers to the four questions."""
    sqs, ec2, autoscaling = (sandbox.client(name) for name in ("sqs", "ec2", "autoscaling"))
    dead = sqs.create_queue(QueueName="orders-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "3"})
    queue = sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    template = ec2.create_launch_template(
        LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t4g.nano", "ImageId": "ami-12345678"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="workers",
        MinSize=0,
        MaxSize=2,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        AvailabilityZones=[f"{REGION}a"],
    )
    return {"QueueUrl": queue, "DeadLetterQueueUrl": dead, "GroupName": "workers", "TargetWaitSeconds": "120"}


@pytest.fixture(scope="module")
def pasted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pasted]:
    """The fenced lines of the README's "Deploy it", word for word; four answers, and enter for the rest."""
    if problem := sandbox_module.missing():
        pytest.skip(f"FRONT DOOR NOT TESTED: {problem}")
    (block,) = [one for one in blocks(ROOT / "README.md") if one.section == "Deploy it" and one.language == "sh"]
    copy = fresh_copy(tmp_path_factory.mktemp("front-door"))
    with Sandbox(Settings(minute_s=6.0)) as sandbox:
        four = made(sandbox)
        answers = [
            ENTER,  # stack name
            REGION,
            *(four.get(name, ENTER) for name in Template.load(ROOT / "template.yaml").parameters),
            *[ENTER] * 6,  # confirm changes, roles, rollback, save, file, environment: as SAM CLI proposes
            "y",  # deploy this change set
        ]
        done = paste(sandbox, copy, block.text, answers, within_s=TIMEOUT_S)
        assert done.returncode == 0, done.stdout[-6_000:]
        yield Pasted(sandbox, copy, done.stdout)


def functions(pasted: Pasted) -> list[str]:
    """Names of all functions of the stack, its nested stacks' included."""
    cloudformation = pasted.sandbox.client("cloudformation")
    found, stacks = [], [STACK]
    while stacks:
        for one in cloudformation.describe_stack_resources(StackName=stacks.pop())["StackResources"]:
            if one["ResourceType"] == "AWS::CloudFormation::Stack":
                stacks.append(one["PhysicalResourceId"])
            elif one["ResourceType"] == "AWS::Lambda::Function":
                found.append(one["PhysicalResourceId"])
    return sorted(found)


def archives(pasted: Pasted) -> list[set[str]]:
    """The files in each archive that SAM CLI uploaded."""
    s3 = pasted.sandbox.client("s3")
    found = []
    for bucket in s3.list_buckets()["Buckets"]:
        for one in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            body = s3.get_object(Bucket=bucket["Name"], Key=one["Key"])["Body"].read()
            if zipfile.is_zipfile(io.BytesIO(body)):
                found.append(set(zipfile.ZipFile(io.BytesIO(body)).namelist()))
    return found


def test_uploaded_layers_are_built_when_deployed_as_the_readme_says(pasted: Pasted) -> None:
    """The libraries of both architectures, and the package, stand where Lambda looks for them."""
    uploaded = archives(pasted)

    for wanted in ("python/sluice/__init__.py", "python/aws_lambda_powertools/__init__.py"):
        assert any(wanted in names for names in uploaded), wanted
    (libraries,) = [names for names in uploaded if "python/aws_lambda_powertools/__init__.py" in names]
    for machine in ("aarch64", "x86_64"):
        assert any(name.endswith(f"-{machine}-linux-gnu.so") for name in libraries), machine


def test_every_function_answers_when_deployed_as_the_readme_says(pasted: Pasted) -> None:
    """With a payload of its own from events/: none is without its libraries, and none raises."""
    names = functions(pasted)
    payloads = {path.stem.partition("-")[0]: json.loads(path.read_text()) for path in reversed(events())}
    client = pasted.sandbox.client("lambda")

    assert len(names) >= 6
    for name in names:
        kind = name.removeprefix(f"{STACK}-")
        payload: Any = payloads.get(kind, {"Records": []})
        answer = client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
        assert "FunctionError" not in answer, f"{name}: {answer['Payload'].read().decode()}"


def test_answers_are_kept_when_the_readme_was_followed(pasted: Pasted) -> None:
    """Under `default`, where the next `sam deploy` finds them."""
    kept = tomllib.loads((pasted.copy / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]

    assert 'GroupName="workers"' in kept["parameter_overrides"]
    assert "CAPABILITY_NAMED_IAM" in kept["capabilities"]


@pytest.mark.parametrize("line", ["sam deploy", HINT])
def test_deployment_goes_through_when_by_a_hint_of_sam_cli(pasted: Pasted, line: str) -> None:
    """After a change and a build: the samconfig.toml that has the capabilities and the answers is found."""
    source = pasted.copy / "functions/console/app.py"
    source.write_text(f"{source.read_text()}\n# deployed by: {line}\n")

    done = pasted.run(f'make build\nexport PATH="$PWD/.envs/sam/bin:$PATH"\n{line}', ["y"])

    assert done.returncode == 0, done.stdout[-4_000:]
    assert f"Successfully created/updated stack - {STACK} in {REGION}" in done.stdout
    (stack,) = pasted.sandbox.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert (stack["StackStatus"], given["GroupName"]) == ("UPDATE_COMPLETE", "workers")
