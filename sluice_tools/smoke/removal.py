"""Deletes what a smoke test made, and nothing else, and says what it could not delete.

A thing is this smoke test's when one of its own stacks made it, or when it has the prefix in its name and in its tag.
The first are kept in a file, since what outlives its stack can be known by it no longer, and Lambda gives no tags to
the log groups that it makes. The second are asked of AWS, so that what an earlier run left is found without that file.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sluice_tools.smoke.account import TAG, Account, Names, code_of, tagged
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.waiting import SmokeError, until

ALIVE = ["pending", "running", "stopping", "stopped"]
OBJECTS = 1000
"""The most that DeleteObjects takes."""
FUNCTION, TABLE, BUCKET = "AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::S3::Bucket"
OUTLIVING = (FUNCTION, TABLE, BUCKET)
"""Functions, whose log groups Lambda makes anew for a last line; ledger and archive, which are retained."""
ATTEMPTS = 2
"""For a stack: a deletion that failed on a dependency that was still going usually succeeds when asked again."""


@dataclass(frozen=True, slots=True)
class Left:
    """One thing that is still there, and how to delete it by hand."""

    what: str
    command: str


@dataclass(slots=True)
class Removal:
    """One removal.

    Attributes:
        account: whose.
        names: of what.
        settings: how long to wait.
        kept: file with the names of what outlives its stack, from run to run.
        say: called with each step.
        absent_before: whether this run found none of the names in use when it began, so that whatever has one now is
            this run's, even a stack that never came far enough to have tags.
        sleep: waits some seconds.
        problems: what went wrong so far, in words.
    """

    account: Account
    names: Names
    settings: SmokeSettings
    kept: Path
    say: Callable[[str], None]
    absent_before: bool = False
    sleep: Callable[[float], None] = time.sleep
    problems: list[str] = field(default_factory=list)

    def run(self) -> list[Left]:
        """Delete everything; what is left.

        Each step is tried whatever became of those before it.
        """
        for what, step in (
            ("names of what outlives its stack", self._keep_names),
            *((f"stack {name}", lambda name=name: self._delete_stack(name)) for name in self.names.stacks),
            ("instances", self._terminate),
            ("ledger", self._delete_tables),
            ("parameter", self._delete_parameter),
            ("buckets", self._delete_buckets),
            ("log groups", self._delete_logs),
        ):
            try:
                step()
            except (ClientError, BotoCoreError, SmokeError) as error:
                self.problems.append(f"{what}: {error}")
                self.say(f"Not deleted: {what}: {error}")
        left = self.left()
        if not left:
            self.kept.unlink(missing_ok=True)
        return left

    # --- what is left ---

    def left(self) -> list[Left]:
        """What is still there; a thing that cannot be looked for is named as well."""
        region = f"--region {self.account.region}"
        looks: tuple[tuple[str, Callable[[], list[str]], str], ...] = (
            ("stack", self._stacks, f"aws cloudformation delete-stack {region} --stack-name {{}}"),
            ("instance", self._instances, f"aws ec2 terminate-instances {region} --instance-ids {{}}"),
            ("table", self._tables, f"aws dynamodb delete-table {region} --table-name {{}}"),
            ("parameter", self._parameters, f"aws ssm delete-parameter {region} --name {{}}"),
            ("log group", self._log_groups, f"aws logs delete-log-group {region} --log-group-name {{}}"),
            # Not `aws s3 rb --force`, which leaves old versions: they keep the bucket from going.
            ("bucket", self._buckets, f"make aws-smoke REMOVE=1 PREFIX={self.names.prefix}  # {{}}"),
        )
        found: list[Left] = []
        for kind, look, command in looks:
            try:
                found += [Left(f"{kind} {name}", command.format(name)) for name in look()]
            except (ClientError, BotoCoreError) as error:
                again = f"make aws-smoke REMOVE=1 PREFIX={self.names.prefix}"
                found.append(Left(f"perhaps some {kind}, which cannot be looked for: {error}", again))
        return found

    # --- stacks ---

    def stack(self, name: str) -> dict[str, Any] | None:
        """A stack that is there, whoever made it; None where there is none."""
        try:
            answer = self.account.client("cloudformation").describe_stacks(StackName=name)
        except ClientError as error:
            if code_of(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise
        stacks: list[dict[str, Any]] = answer["Stacks"]
        return stacks[0] if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE" else None

    def _ours(self, stack: dict[str, Any] | None) -> bool:
        return stack is not None and (self.absent_before or tagged(stack.get("Tags", []), self.names.prefix))

    def _stacks(self) -> list[str]:
        return [name for name in self.names.stacks if self._ours(self.stack(name))]

    def _delete_stack(self, name: str) -> None:
        if not self._ours(self.stack(name)):
            return
        self._let_settle(name)
        self._keep_names()
        cloudformation = self.account.client("cloudformation")
        stack: dict[str, Any] | None = None
        for attempt in range(ATTEMPTS):
            self.say(f"Deleting stack {name}" + (", again" if attempt else ""))
            cloudformation.delete_stack(StackName=name)

            def settled() -> bool:
                stack = self.stack(name)
                return stack is None or stack["StackStatus"] == "DELETE_FAILED"

            until(
                f"stack {name} to be deleted",
                settled,
                patience_s=self.settings.stack_patience_s,
                pause_s=self.settings.look_s,
            )
            if (stack := self.stack(name)) is None:
                return
        reason = stack.get("StackStatusReason", "see its events") if stack else ""
        raise SmokeError(f"CloudFormation could not delete it: {reason}")

    def _let_settle(self, name: str) -> None:
        """Wait for a stack that is still being made, by a change set that outlives the SAM CLI that began it.

        What it makes after the deletion began would be nobody's.
        """

        def settled() -> bool:
            status = str((self.stack(name) or {}).get("StackStatus", ""))
            return not status.endswith("_IN_PROGRESS") or status.startswith(("REVIEW_", "DELETE_"))

        if not settled():
            self.say(f"Waiting for what is under way in stack {name}, to delete it then")
            with contextlib.suppress(SmokeError):  # then deleted as it is
                until(
                    f"stack {name} to come to rest",
                    settled,
                    patience_s=self.settings.stack_patience_s,
                    pause_s=self.settings.look_s,
                )

    def _resources(self, stack: str, kind: str) -> Iterator[str]:
        """Physical names of a stack's resources of one type, those of nested stacks included."""
        pages = self.account.client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=stack):
            for resource in page["StackResourceSummaries"]:
                physical = resource.get("PhysicalResourceId")
                if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
                    continue
                if resource["ResourceType"] == kind:
                    yield physical
                if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                    yield from self._resources(physical, kind)

    # --- what outlives a stack: known by the stacks that made it, as long as they are there ---

    def _kept(self, kind: str) -> list[str]:
        if not self.kept.exists():
            return []
        names: list[str] = json.loads(self.kept.read_text()).get(kind, [])
        return names

    def _keep_names(self) -> None:
        names = {kind: set(self._kept(kind)) for kind in OUTLIVING}
        for stack in self._stacks():
            for kind in OUTLIVING:
                names[kind] |= set(self._resources(stack, kind))
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text(json.dumps({kind: sorted(those) for kind, those in names.items()}))

    def _log_groups(self) -> list[str]:
        logs = self.account.client("logs")
        found = []
        for function in self._kept(FUNCTION):
            name = f"/aws/lambda/{function}"
            groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            found += [group["logGroupName"] for group in groups if group["logGroupName"] == name]
        return found

    def _delete_logs(self) -> None:
        """Delete log groups until none has come anew for `late_lines_s`.

        An invocation under way outlives the deletion of its function, and its last lines make the log group again.
        """
        if not self._kept(FUNCTION):
            return
        self.say(f"Watching for late log lines for {self.settings.late_lines_s:g} s")
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < self.settings.late_lines_s:
            for name in self._log_groups():
                self.say(f"Deleting log group {name}")
                self.account.client("logs").delete_log_group(logGroupName=name)
                quiet_since = time.monotonic()
            self.sleep(self.settings.look_s)

    # --- instances ---

    def _instances(self) -> list[str]:
        pages = self.account.client("ec2").get_paginator("describe_instances")
        filters = [
            {"Name": f"tag:{TAG}", "Values": [self.names.prefix]},
            {"Name": "instance-state-name", "Values": ALIVE},
        ]
        return [
            instance["InstanceId"]
            for page in pages.paginate(Filters=filters)
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]

    def _terminate(self) -> None:
        """Groups end their own instances: these are what a group that failed to be made may have left."""
        if instances := self._instances():
            self.say(f"Terminating {', '.join(instances)}")
            self.account.client("ec2").terminate_instances(InstanceIds=instances)
            until(
                "the instances to end",
                lambda: not self._instances(),
                patience_s=self.settings.stack_patience_s,
                pause_s=self.settings.look_s,
            )

    # --- what outlives its stack, and what no stack made ---

    def _tables(self) -> list[str]:
        dynamodb = self.account.client("dynamodb")
        found = []
        for page in dynamodb.get_paginator("list_tables").paginate():
            for name in page["TableNames"]:
                if not name.startswith(f"{self.names.sluice}-"):
                    continue
                try:
                    table = dynamodb.describe_table(TableName=name)["Table"]
                    tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
                except dynamodb.exceptions.ResourceNotFoundException:
                    continue
                ours = name in self._kept(TABLE) or tagged(tags, self.names.prefix)
                if ours and table["TableStatus"] != "DELETING":
                    found.append(name)
        return found

    def _delete_tables(self) -> None:
        for name in self._tables():
            self.say(f"Deleting table {name}")
            self.account.client("dynamodb").delete_table(TableName=name)

    def _parameters(self) -> list[str]:
        ssm = self.account.client("ssm")
        name = self.names.database_parameter
        try:
            ssm.get_parameter(Name=name)
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        except (ssm.exceptions.ParameterNotFound, ssm.exceptions.InvalidResourceId):
            return []
        return [name] if tagged(tags, self.names.prefix) else []

    def _delete_parameter(self) -> None:
        for name in self._parameters():
            self.say(f"Deleting parameter {name}")
            self.account.client("ssm").delete_parameter(Name=name)

    def _buckets(self) -> list[str]:
        s3 = self.account.client("s3")
        found = []
        for bucket in s3.list_buckets()["Buckets"]:
            name = bucket["Name"]
            if name != self.names.bucket and not name.startswith(f"{self.names.sluice}-"):
                continue
            if name in self._kept(BUCKET) or tagged(self._bucket_tags(name), self.names.prefix):
                found.append(name)
        return found

    def _bucket_tags(self, bucket: str) -> list[dict[str, str]]:
        try:
            tags: list[dict[str, str]] = self.account.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"]
        except ClientError as error:
            # Without tags, not for us to see, or gone since it was listed: not ours, or not any more.
            if code_of(error) in {"NoSuchTagSet", "AccessDenied", "NoSuchBucket"}:
                return []
            raise
        return tags

    def _delete_buckets(self) -> None:
        for name in self._buckets():
            self.say(f"Deleting bucket {name} with every version of every object")
            self._empty(name)
            self.account.client("s3").delete_bucket(Bucket=name)

    def _empty(self, bucket: str) -> None:
        s3 = self.account.client("s3")
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": OBJECTS}
        ):
            objects = [
                {"Key": version["Key"], "VersionId": version["VersionId"]}
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if objects:
                answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
                for error in answer.get("Errors", ()):
                    self.problems.append(f"bucket {bucket}: {error['Key']}: {error['Message']}")
