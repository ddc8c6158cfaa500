"""`make aws-smoke` on the sandbox: the whole of it beside other people's things, and its end in the midst of a step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.sandbox import sandbox as sandbox_module
from tools.sandbox.sandbox import Sandbox
from tools.smoke.account import TAG, Account, Names
from tools.smoke.places import sandbox_machines
from tools.smoke.run import Result, run
from tools.smoke.settings import SmokeSettings
from tools.smoke.waiting import Deadline, SmokeError

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("smoke")]

SETTINGS = SmokeSettings.sandbox(6.0)
PREFIX = "smoke-ab12"


class Place:
    """An account with things of other people in it, whose names are near ours."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        """In this sandbox."""
        self.sandbox, self.directory = sandbox, directory
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.account = Account(inherited | sandbox.env())
        self.names = Names(PREFIX, self.account.identity()[0], self.account.region)
        self.steps: list[str] = []

    def plant(self) -> None:
        """Somebody's stack, bucket, queue, table, parameter, log group and Auto Scaling group."""
        client = self.sandbox.client
        client("cloudformation").create_stack(
            StackName=f"{PREFIX}-sluice-prod",
            TemplateBody='{"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "of-prod"}}}}',
        )
        client("s3").create_bucket(
            Bucket=f"{PREFIX}-sluice-archive-of-mine",
            CreateBucketConfiguration={"LocationConstraint": self.account.region},
        )
        client("sqs").create_queue(QueueName=f"{PREFIX}-orders-mine")
        client("dynamodb").create_table(
            TableName=f"{PREFIX}-sluice-Ledger-mine",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            Tags=[{"Key": TAG, "Value": "another-run"}],
        )
        client("ssm").put_parameter(Name=f"/{PREFIX}/mine", Type="String", Value="x")
        client("logs").create_log_group(logGroupName=f"/aws/lambda/{PREFIX}-sluice-planner-mine")
        client("ec2").create_launch_template(LaunchTemplateName="mine", LaunchTemplateData={"ImageId": "ami-12345678"})
        client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=f"{PREFIX}-orders-mine",
            MinSize=0,
            MaxSize=1,
            LaunchTemplate={"LaunchTemplateName": "mine", "Version": "1"},
            AvailabilityZones=[f"{self.account.region}a"],
        )

    def everything(self) -> dict[str, set[str]]:
        """Names of all that there is, by kind."""
        client = self.sandbox.client
        stacks = client("cloudformation").describe_stacks()["Stacks"]
        groups = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        functions = client("lambda").list_functions()["Functions"]
        instances = [
            instance["InstanceId"]
            for reservation in client("ec2").describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in {"terminated", "shutting-down"}
        ]
        return {
            "stacks": {stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"},
            "buckets": {bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]},
            "queues": set(client("sqs").list_queues().get("QueueUrls", ())),
            "tables": set(client("dynamodb").list_tables()["TableNames"]),
            "parameters": {one["Name"] for one in client("ssm").describe_parameters()["Parameters"]},
            "log groups": {one["logGroupName"] for one in client("logs").describe_log_groups()["logGroups"]},
            "groups": {group["AutoScalingGroupName"] for group in groups},
            "functions": {function["FunctionName"] for function in functions},
            "roles": {role["RoleName"] for role in client("iam").list_roles()["Roles"]},
            "instances": set(instances),
            "vpcs": {vpc["VpcId"] for vpc in client("ec2").describe_vpcs()["Vpcs"]},
        }

    def run(self, step: Callable[[str], None]) -> Result:
        """A run in this place."""

        def told(text: str) -> None:
            self.steps.append(text)
            step(text)

        return run(
            self.account,
            self.names,
            SETTINGS,
            sandbox_machines(self.sandbox, self.names),
            deadline=Deadline(600),
            directory=self.directory,
            say=lambda _: None,
            step=told,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The account, with other people's things in it."""
    if problem := sandbox_module.missing():
        pytest.skip(f"AWS SMOKE TEST NOT TESTED: {problem}")
    with Sandbox(SETTINGS.emulator()) as sandbox:
        made = Place(sandbox, tmp_path_factory.mktemp("smoke"))
        made.plant()
        yield made


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, set[str]]:
    """What is in the account before any run."""
    return place.everything()


def test_story_holds_and_other_people_s_things_alone_are_left_when_it_runs_through(
    place: Place, before: dict[str, set[str]]
) -> None:
    """Burst, drains, poison, redrive and audit; then the account is as it was."""
    result = place.run(lambda _: None)

    assert result.failures == []
    assert result.exit_code == 0
    assert result.audit is not None
    assert result.audit.failures(SETTINGS.poison) == []
    assert result.audit.sent > SETTINGS.burst
    assert {timing.what for timing in result.timings if not timing.seconds} == set()
    assert (place.directory / "audit.json").exists()
    assert place.everything() == before


def stop_at(number: int) -> Callable[[str], None]:
    """Fail as step `number` begins, counted from 0."""
    seen: list[str] = []

    def step(text: str) -> None:
        seen.append(text)
        if len(seen) == number + 1:
            raise SmokeError(f"injected before {text}")

    return step


# bucket, application, base, database, orders, Sluice, and the story with all of them there
@pytest.mark.parametrize("number", range(7))
def test_everything_is_deleted_when_a_step_fails(place: Place, before: dict[str, set[str]], number: int) -> None:
    """Whichever step it is; the failure is told, and nothing but it."""
    result = place.run(stop_at(number))

    assert len(result.failures) == 1
    assert result.failures[0].startswith("injected before ")
    assert (result.exit_code, result.left) == (1, [])
    assert place.everything() == before


def interrupt_once_there(place: Place, number: int) -> None:
    """Send this process a signal as soon as CloudFormation knows the orders stack."""
    cloudformation = place.sandbox.client("cloudformation")
    while place.names.orders not in {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}:
        time.sleep(0.02)
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_is_deleted_when_a_signal_comes_while_a_stack_is_made(
    place: Place, before: dict[str, set[str]], number: int
) -> None:
    """SAM CLI is ended with it, and the half-made stack is deleted."""

    def step(text: str) -> None:
        if text.startswith(f"stack {place.names.orders}"):
            threading.Thread(target=interrupt_once_there, args=(place, number), daemon=True).start()

    result = place.run(step)

    assert result.exit_code == 128 + number
    assert result.failures == [f"interrupted by {signal.Signals(number).name}"]
    assert result.left == []
    assert place.everything() == before
