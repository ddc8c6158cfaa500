"""An account of the sandbox for the smoke test, with other people's things whose names are near its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice_tools.sandbox import sandbox as sandbox_module
from sluice_tools.sandbox.packages import deploy_package, upload_package
from sluice_tools.sandbox.sandbox import ROOT, Sandbox
from sluice_tools.smoke.account import TAG, Account, Names
from sluice_tools.smoke.deployment import BASE, ORDERS, Deployment
from sluice_tools.smoke.places import sandbox_machines
from sluice_tools.smoke.run import Result, run
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.waiting import Deadline

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

        for template in (BASE, ORDERS / "template.yaml", ROOT / "template.yaml"):
            upload_package(self.sandbox, template)  # where `without_sam_cli` has it; not the smoke test's to delete

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

    def without_sam_cli(self, monkeypatch: pytest.MonkeyPatch, *, but: str = "") -> None:
        """Have stacks made by CloudFormation's API, but one: the same stacks, at a tenth of the cost."""
        by_sam_cli = Deployment._deploy

        def deploy(
            deployment: Deployment, template: Path, stack: str, parameters: Mapping[str, str], *, build: bool = True
        ) -> dict[str, str]:
            if stack == but:
                return by_sam_cli(deployment, template, stack, parameters, build=build)
            given = {name: value for name, value in parameters.items() if value}
            return deploy_package(self.sandbox, template, stack, given, {TAG: deployment.names.prefix})

        monkeypatch.setattr(Deployment, "_deploy", deploy)

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


@contextmanager
def planted_place(directory: Path) -> Iterator[Place]:
    """A sandbox with other people's things in it; the test is skipped where none can start."""
    if problem := sandbox_module.missing():
        pytest.skip(f"AWS SMOKE TEST NOT TESTED: {problem}")
    with Sandbox(SETTINGS.emulator()) as sandbox:
        made = Place(sandbox, directory)
        made.plant()
        yield made
