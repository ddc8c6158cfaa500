"""Deploys the checkout's templates through CloudFormation's API, as SAM CLI packed them once for this checkout.

For deployments that are not about SAM CLI, which takes 3 to 7 s of a processor for each where this takes half a second.
What is uploaded, and what CloudFormation gets, are what `sam package` wrote; the change set is that of `sam deploy`.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from sluice_tools.cfn import Template
from sluice_tools.sam_cli import SAM_TIMEOUT_S, SamError, build_folder, digest_of_sources, sam
from sluice_tools.sandbox.archives import shared_archives
from sluice_tools.sandbox.sandbox import REGION, Sandbox, SandboxError

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
S3 = f"https://s3.{REGION}.amazonaws.com/"
WAITING = {"Delay": 0.1, "MaxAttempts": round(SAM_TIMEOUT_S / 0.1)}
"""For a stack that is being changed."""


def deploy_package(
    sandbox: Sandbox,
    template: Path,
    stack_name: str,
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Create or update a stack.

    Args:
        sandbox: where.
        template: one of the checkout's templates.
        stack_name: the stack.
        parameters: parameters' values; in an update the others keep theirs.
        tags: the stack's tags.

    Returns:
        The stack's outputs by key.

    Raises:
        SandboxError: SAM CLI could not build or pack, or CloudFormation refused it, failed, or had nothing to change.
    """
    cloudformation = sandbox.client("cloudformation")
    values, exists = parameters or {}, _exists(cloudformation, stack_name)
    given: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": values[name]}
        if name in values
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in Template.load(template).parameters
        if name in values or exists
    ]
    try:
        url = upload_package(sandbox, template)
        change = cloudformation.create_change_set(
            StackName=stack_name, ChangeSetName=f"packed-{uuid.uuid4()}", TemplateURL=url, Parameters=given,
            ChangeSetType="UPDATE" if exists else "CREATE", Capabilities=CAPABILITIES,
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        )["Id"]  # fmt: skip
        cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change, WaiterConfig=WAITING)
        cloudformation.execute_change_set(ChangeSetName=change)
        changed = cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
        changed.wait(StackName=stack_name, WaiterConfig=WAITING)
    except (SamError, ClientError, WaiterError) as error:
        raise SandboxError(f"stack {stack_name}: {error}") from error
    return sandbox.outputs(stack_name)


def delete_stack(sandbox: Sandbox, stack_name: str) -> None:
    """Delete a stack, and wait until it is gone.

    Raises:
        SandboxError: It could not be deleted.
    """
    cloudformation = sandbox.client("cloudformation")
    cloudformation.delete_stack(StackName=stack_name)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack_name, WaiterConfig=WAITING)
    except WaiterError as error:
        raise SandboxError(f"stack {stack_name}: {error}") from error


def _exists(cloudformation: Any, stack_name: str) -> bool:
    try:
        cloudformation.describe_stacks(StackName=stack_name)
    except ClientError:
        return False
    return True


def upload_package(sandbox: Sandbox, template: Path) -> str:
    """Put a template and all that it names into a bucket of its own in the sandbox; the template's URL."""
    bucket = f"packed-{build_folder(template).name}".replace("_", "-")  # a name that S3 takes
    s3 = sandbox.client("s3")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    # Without a transform nothing in it is to be packed: CloudFormation takes it as it stands.
    packed = _pack(sandbox, template, bucket) if "Transform" in Template.load(template).body else template
    present = {one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
    for path in [packed] if packed == template else packed.parent.iterdir():
        if path.name not in present:
            s3.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())
    return f"{S3}{bucket}/{packed.name}"


def _pack(sandbox: Sandbox, template: Path, bucket: str) -> Path:
    """What `sam package` makes of the template's archives: its output, beside the objects that it names."""
    folder, environ = build_folder(template), sandbox.sam_env()
    log = sandbox.directory / f"{folder.name}-package.log"
    with shared_archives(template, environ=environ, log=log) as built:
        packed = folder / f"packed-{digest_of_sources()}"
        if not packed.exists():
            for old in folder.glob("pack*"):
                shutil.rmtree(old)
            fresh = Path(tempfile.mkdtemp(dir=folder, prefix="packing-"))
            output = fresh / f"{folder.name}.json"
            sam(
                "package", "--template-file", str(built), "--s3-bucket", bucket, "--use-json", "--no-progressbar",
                "--output-template-file", str(output),
                environ=environ, log=log,
            )  # fmt: skip
            # The packed template serves other sandboxes too: what it nests is at S3's own host, as on AWS.
            output.write_text(output.read_text().replace(f"{sandbox.url}/", S3))
            s3 = sandbox.client("s3")
            for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.download_file(bucket, one["Key"], str(fresh / one["Key"]))
            fresh.rename(packed)
    return packed / f"{folder.name}.json"
