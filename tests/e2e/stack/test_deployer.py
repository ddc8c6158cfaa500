"""Who has the published policy and nothing else deploys, changes and deletes a fleet's queue, and no other stack."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sluice_tools.deployer_policy import policy
from sluice_tools.sandbox.packages import CAPABILITIES, WAITING, upload_package
from sluice_tools.sandbox.sandbox import REGION, ROOT
from tests.support.deployed_stacks import FLEET

pytestmark = pytest.mark.sandbox

STACK = "sluice-deployer-queue"


@pytest.fixture(scope="module")
def cloudformation(deployed: Any) -> Any:
    """CloudFormation as a user reaches it who has the policy alone."""
    iam = deployed.sandbox.client("iam")
    iam.create_user(UserName="deployer")
    iam.put_user_policy(UserName="deployer", PolicyName="deploy", PolicyDocument=json.dumps(policy()))
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    return boto3.client(
        "cloudformation",
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{deployed.sandbox.port}",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )


def change(cloudformation: Any, url: str, kind: str, values: dict[str, str]) -> None:
    """A change set made, waited for, executed and waited for, as SAM CLI does it."""
    name = f"d-{uuid.uuid4()}"
    which = {"StackName": STACK, "ChangeSetName": name}
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    cloudformation.create_change_set(
        **which, TemplateURL=url, ChangeSetType=kind, Capabilities=CAPABILITIES, Parameters=parameters
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**which, WaiterConfig=WAITING)
    cloudformation.execute_change_set(**which)
    cloudformation.get_waiter(f"stack_{kind.lower()}_complete").wait(StackName=STACK, WaiterConfig=WAITING)
    assert cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]


def test_deployer_when_a_stack_comes_changes_and_goes(deployed: Any, cloudformation: Any) -> None:
    """The policy is enough for each call of a deployment, and a stack of another name is refused."""
    url = upload_package(deployed.sandbox, ROOT / "queue.yaml")
    queue = deployed.sandbox.client("sqs").create_queue(QueueName="deployer")["QueueUrl"]
    values = {"FleetName": FLEET, "QueueUrl": queue, "TargetWaitSeconds": "30"}

    change(cloudformation, url, "CREATE", values)
    change(cloudformation, url, "UPDATE", values | {"TargetWaitSeconds": "40"})
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=WAITING)

    with pytest.raises(ClientError, match="not authorized"):
        cloudformation.create_stack(StackName="somebody-elses", TemplateURL=url)
    with pytest.raises(ClientError, match="not authorized"):
        cloudformation.list_stacks()
