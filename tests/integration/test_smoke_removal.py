"""The AWS smoke test's removal on the emulator: its own goes, and nothing whose name is merely near."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.sandbox.sandbox import Sandbox
from sluice_tools.smoke.account import TAG, Account, Names
from sluice_tools.smoke.removal import Removal
from sluice_tools.smoke.settings import SmokeSettings

pytestmark = pytest.mark.sandbox

BASE = {"Queue": {"Type": "AWS::SQS::Queue"}}
SLUICE = {
    "Ledger": {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        },
    },
    "Archive": {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
    },
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
                ],
            }
        },
    },
    "Planner": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": {"Fn::Sub": "${AWS::StackName}-planner"},
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": "def handler(event, context):\n    return {}\n"},
        },
    },
}


class World:
    """What is in the account: stacks, and what no stack made, of one prefix."""

    def __init__(self, sandbox: Sandbox, prefix: str, tag: str | None) -> None:
        """Of ``prefix``, tagged as belonging to ``tag``."""
        self.sandbox = sandbox
        self.account = Account(sandbox.env())
        self.names = Names(prefix, *self.account.identity()[:1], self.account.region)
        self.tags = [{"Key": TAG, "Value": tag}] if tag else []
        self._client = sandbox.client

    def stack(self, name: str, resources: dict[str, Any], **outputs: str) -> dict[str, str]:
        """Make a stack; its resources' physical names."""
        cloudformation = self._client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps({"Resources": resources}),
            Tags=self.tags,
            Capabilities=["CAPABILITY_IAM"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        listed = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}

    def fill(self) -> dict[str, str]:
        """Make all that a smoke test makes, in small; the physical names of Sluice's stack."""
        s3, ssm, logs, ec2 = map(self._client, ("s3", "ssm", "logs", "ec2"))
        s3.create_bucket(
            Bucket=self.names.bucket, CreateBucketConfiguration={"LocationConstraint": self.account.region}
        )
        if self.tags:
            s3.put_bucket_tagging(Bucket=self.names.bucket, Tagging={"TagSet": self.tags})
        s3.put_object(Bucket=self.names.bucket, Key="work-log/i-1.jsonl", Body=b"{}")
        ssm.put_parameter(Name=self.names.database_parameter, Type="String", Value="x", Tags=self.tags)
        self.stack(self.names.base, BASE)
        self.stack(self.names.orders, BASE)
        made = self.stack(self.names.sluice, SLUICE)
        for body in (b"1", b"2"):
            s3.put_object(Bucket=made["Archive"], Key="a", Body=body)
        s3.delete_object(Bucket=made["Archive"], Key="a")
        s3.create_multipart_upload(Bucket=made["Archive"], Key="unfinished")
        logs.create_log_group(logGroupName=f"/aws/lambda/{made['Planner']}")
        tags = [{"ResourceType": "instance", "Tags": self.tags}] if self.tags else []
        ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags)
        return made

    def removal(self, directory: Path, **more: Any) -> Removal:
        """The removal of this prefix."""
        settings = SmokeSettings.sandbox(6.0)
        return Removal(self.account, self.names, settings, directory / "made.json", lambda _: None, **more)

    def _all(self, service: str, operation: str, key: str) -> list[Any]:
        """Every page of a list: the account has other tests' things as well."""
        pages = self._client(service).get_paginator(operation).paginate()
        return [one for page in pages for one in page.get(key, [])]

    def there(self, made: dict[str, str]) -> set[str]:
        """Which of the things that `fill` made are still there."""
        stacks = {stack["StackName"] for stack in self._all("cloudformation", "describe_stacks", "Stacks")}
        buckets = {bucket["Name"] for bucket in self._client("s3").list_buckets()["Buckets"]}
        tables = set(self._all("dynamodb", "list_tables", "TableNames"))
        parameters = {one["Name"] for one in self._all("ssm", "describe_parameters", "Parameters")}
        groups = {one["logGroupName"] for one in self._all("logs", "describe_log_groups", "logGroups")}
        mine = {*self.names.stacks, self.names.bucket, self.names.database_parameter, made["Archive"], made["Ledger"]}
        mine |= {f"/aws/lambda/{made['Planner']}"}
        return mine & (stacks | buckets | tables | parameters | groups)


ALL = 8
"""What `World.there` looks for."""


@pytest.fixture
def prefix(unique: Callable[[str], str]) -> str:
    """One that no other test uses."""
    return unique("smoke")


def test_everything_goes_when_it_is_the_smoke_test_s_own(sandbox: Sandbox, prefix: str, tmp_path: Path) -> None:
    """Stacks, retained table and bucket with every version, log group, parameter, instance; and the file of names."""
    world = World(sandbox, prefix, prefix)
    made = world.fill()
    assert len(world.there(made)) == ALL
    removal = world.removal(tmp_path)

    assert removal.run() == []

    assert removal.problems == []
    assert world.there(made) == set()
    assert not removal.kept.exists()


def test_log_group_goes_when_a_late_line_makes_it_anew(sandbox: Sandbox, prefix: str, tmp_path: Path) -> None:
    """An invocation that outlived its function writes its last lines after the log group was deleted."""
    world = World(sandbox, prefix, prefix)
    made = world.fill()
    group = f"/aws/lambda/{made['Planner']}"
    logs, late = world.account.client("logs"), [group]

    def write_late_line(seconds: float) -> None:
        if late:
            logs.create_log_group(logGroupName=late.pop())
        time.sleep(seconds)

    removal = world.removal(tmp_path, sleep=write_late_line)

    assert removal.run() == []
    assert late == []
    assert world.there(made) == set()


def test_nothing_goes_when_names_are_near_and_tags_are_not_ours(sandbox: Sandbox, prefix: str, tmp_path: Path) -> None:
    """The very names without the tag, and longer names with another run's tag: all of them stay."""
    same_names = World(sandbox, prefix, None)
    longer = World(sandbox, f"{prefix}-x", f"{prefix}-x")
    made, made_longer = same_names.fill(), longer.fill()
    near = same_names.stack(f"{prefix}-sluicer", SLUICE)

    removal = same_names.removal(tmp_path)
    assert removal.run() == []

    assert len(same_names.there(made)) == ALL
    assert len(longer.there(made_longer)) == ALL
    tables = sandbox.client("dynamodb").get_paginator("list_tables").paginate()
    assert any(near["Ledger"] in page["TableNames"] for page in tables)


def test_retained_table_and_bucket_go_when_only_an_earlier_run_s_file_or_tag_tells(
    sandbox: Sandbox, prefix: str, tmp_path: Path
) -> None:
    """The stacks are gone already: the tag tells without the file."""
    world = World(sandbox, prefix, prefix)
    made = world.fill()
    cloudformation = sandbox.client("cloudformation")
    for stack in world.names.stacks:
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    assert {made["Archive"], made["Ledger"]} <= world.there(made)

    assert world.removal(tmp_path).run() == []

    # Of a function that is gone nobody can tell whose log group it was: its own stack's deletion takes it in practice.
    assert world.there(made) <= {f"/aws/lambda/{made['Planner']}"}


def test_rest_goes_and_the_command_is_given_when_one_thing_cannot_be_deleted(
    sandbox: Sandbox, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails keeps none of the others from being tried, and what is left is named with what deletes it."""
    world = World(sandbox, prefix, prefix)
    made = world.fill()
    removal = world.removal(tmp_path)
    dynamodb = removal.account.client("dynamodb")
    refused = dynamodb.exceptions.ResourceInUseException({"Error": {"Code": "ResourceInUseException"}}, "DeleteTable")

    def refuse(**_: Any) -> None:
        raise refused

    monkeypatch.setattr(dynamodb, "delete_table", refuse)

    (left,) = removal.run()

    assert left.what == f"table {made['Ledger']}"
    assert left.command == f"aws dynamodb delete-table --region {world.account.region} --table-name {made['Ledger']}"
    assert [problem for problem in removal.problems if "ResourceInUseException" in problem]
    assert world.there(made) == {made["Ledger"]}
    assert removal.kept.exists()
    sandbox.client("dynamodb").delete_table(TableName=made["Ledger"])


def test_stack_goes_without_its_tag_when_none_had_its_name_before(
    sandbox: Sandbox, prefix: str, tmp_path: Path
) -> None:
    """A stack that a signal left in review has no tags yet; this run found its name free, so it is this run's."""
    world = World(sandbox, prefix, None)
    world.stack(world.names.base, BASE)
    assert world.removal(tmp_path).left() == []

    removal = world.removal(tmp_path, absent_before=True)
    assert [left.what for left in removal.left()] == [f"stack {world.names.base}"]
    assert removal.run() == []
    assert removal.left() == []
