"""Who has the published policy alone deploys, changes and deletes a stack with `sluice deploy`, and no other one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sluice_tools.deployer_policy import policy
from sluice_tools.sandbox.packages import WAITING
from sluice_tools.sandbox.sandbox import ACCOUNT, REGION, ROOT
from tests.support.deployed_stacks import FLEET, STACK

pytestmark = pytest.mark.sandbox

QUEUE_STACK = f"{STACK}-deployer-queue"
BUCKET = f"sluice-deployments-{ACCOUNT}-{REGION}"
"""The bucket that `sluice deploy` makes for itself."""
TIMEOUT_S = 300.0


class Operator:
    """A user of the account with one policy, and what the user's calls were answered."""

    def __init__(self, deployed: Any, name: str, document: dict[str, Any]) -> None:
        """Make the user and a key."""
        iam = deployed.sandbox.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.name = name
        self._sandbox = deployed.sandbox
        self._env = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def client(self, service: str) -> Any:
        """A client with the user's key."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=self._sandbox.url,
            aws_access_key_id=self._env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._env["AWS_SECRET_ACCESS_KEY"],
        )

    def sluice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sluice` with the user's key; both streams in ``stdout``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [sys.executable, "-m", "sluice_tools.cli", *arguments],
            cwd=ROOT,
            env=environment | self._sandbox.env() | self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def calls(self, *, allowed: bool) -> set[str]:
        """The actions that were checked for this user, and allowed or refused."""
        return {
            call["action"]
            for call in self._sandbox.calls()
            if call["principal"].endswith(f"user/{self.name}") and call["allowed"] is allowed
        }


@pytest.fixture(scope="module")
def deployer(deployed: Any) -> Operator:
    """Who deploys: the policy as `python -m sluice_tools.deployer_policy --bucket` prints it."""
    return Operator(deployed, "deployer", policy(bucket=BUCKET))


@pytest.fixture(scope="module")
def queue(deployed: Any) -> Iterator[str]:
    """A further queue: its URL."""
    sqs = deployed.sandbox.client("sqs")
    url = sqs.create_queue(QueueName="deployer")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def test_deployer_when_a_stack_comes_changes_and_goes(deployer: Operator, queue: str) -> None:
    """The policy is enough for each call of `sluice deploy` and of the deletion; a stack of another name is refused."""
    given = ("deploy", "--template", "queue", "--stack", QUEUE_STACK, "--yes")
    first = [f"--set=FleetName={FLEET}", f"--set=QueueUrl={queue}", "--set=TargetWaitSeconds=30"]

    for more in (first, ["--set=TargetWaitSeconds=40"], ["--set=TargetWaitSeconds=50", "--dry-run"]):
        done = deployer.sluice(*given, *more)
        assert done.returncode == 0, done.stdout
    cloudformation = deployer.client("cloudformation")
    cloudformation.delete_stack(StackName=QUEUE_STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=QUEUE_STACK, WaiterConfig=WAITING)

    assert deployer.calls(allowed=False) == set()
    assert {"cloudformation:ExecuteChangeSet", "cloudformation:DeleteChangeSet", "s3:PutObject"} <= deployer.calls(
        allowed=True
    )
    with pytest.raises(ClientError, match="not authorized"):
        cloudformation.create_stack(StackName="somebody-elses", TemplateBody="{}")
    with pytest.raises(ClientError, match="not authorized"):
        cloudformation.list_stacks()


def needed(command: str) -> dict[str, Any]:
    """The policy that docs/deploying.md's table gives to a command."""
    page = (ROOT / "docs/deploying.md").read_text()
    (row,) = re.findall(rf"^\| `sluice {command}`.*\| (.+) \|$", page, re.MULTILINE)
    actions = re.findall(r"`(\w+:\w+)`", row)
    resource = f"arn:aws:lambda:*:*:function:{STACK}-console" if actions == ["lambda:InvokeFunction"] else "*"
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": resource}}


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_command_when_its_user_has_what_the_page_lists(deployed: Any, command: str) -> None:
    """No call is refused, and nothing was left unchecked."""
    document = needed(command)
    operator = Operator(deployed, f"asks-{command}", document)
    arguments = ["--fleet", FLEET] if command == "doctor" else []

    done = operator.sluice(command, *arguments)

    assert done.returncode in {0, 1}, done.stdout
    assert operator.calls(allowed=False) == set()
    assert operator.calls(allowed=True)
    assert "could not be" not in done.stdout
