"""What does not have the stack's tag cannot be touched: the deployed roles' own policies, with authorisation on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import REGION, Sandbox

pytestmark = pytest.mark.sandbox

ACCOUNT = "000000000000"
TAG = {"sluice:stack": "sluice"}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@dataclass(frozen=True)
class Place:
    """A queue, its dead-letter queue, a group and one of its instances, all with the same tag or without."""

    url: str
    dead_url: str
    dead_arn: str
    group: str
    instance_id: str


@pytest.fixture(scope="module")
def places(deployed: Any) -> Iterator[Mapping[str, Place]]:
    """One that has the stack's tag, one without any, and one of another stack."""
    made = {name: place(deployed, name, tags) for name, tags in (
        ("ours", TAG), ("bare", {}), ("theirs", {"sluice:stack": "blue"}),
    )}  # fmt: skip
    yield made
    for one in made.values():
        deployed.sandbox.client("autoscaling").delete_auto_scaling_group(
            AutoScalingGroupName=one.group, ForceDelete=True
        )


def place(deployed: Any, name: str, tags: Mapping[str, str]) -> Place:
    """Make one, and wait for its instance."""
    sqs, autoscaling = deployed.sandbox.client("sqs"), deployed.sandbox.client("autoscaling")
    dead_url = sqs.create_queue(QueueName=f"tags-{name}-dead", tags=tags)["QueueUrl"]
    dead_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:tags-{name}-dead"
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
    url = sqs.create_queue(QueueName=f"tags-{name}", tags=tags, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    (first,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    group = f"tags-{name}"
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=group, MinSize=0, MaxSize=2, DesiredCapacity=1, AvailabilityZones=["eu-central-1a"],
        LaunchTemplate={key: first["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")},
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
    )  # fmt: skip
    until = time.monotonic() + 30
    while True:
        (found,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        running = [one["InstanceId"] for one in found["Instances"] if one["LifecycleState"] == "InService"]
        if running:
            return Place(url, dead_url, dead_arn, group, running[0])
        assert time.monotonic() < until, found
        time.sleep(0.2)


@pytest.fixture(scope="module")
def acting(deployed: Any) -> Callable[[str, str], Any]:
    """Clients that act with the very policies of a function's role: (function, service) -> client."""
    keys: dict[str, dict[str, str]] = {}

    def client(function: str, service: str) -> Any:
        if function not in keys:
            keys[function] = credentials(deployed.sandbox, function)
        return deployed.sandbox.client(service, **keys[function])

    return client


def credentials(sandbox: Sandbox, function: str) -> dict[str, str]:
    """Credentials of a role that anybody may assume and that has the policies of a function's role."""
    iam, role = sandbox.client("iam"), f"sluice-{function}-{REGION}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    copy = iam.create_role(
        RoleName=f"copy-of-{function}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        iam.put_role_policy(RoleName=f"copy-of-{function}", PolicyName=name, PolicyDocument=json.dumps(document))
    session = sandbox.client("sts").assume_role(RoleArn=copy, RoleSessionName="test")["Credentials"]
    return {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }


type Call = Callable[[Any, Place], Any]


def action(name: str, **more: Any) -> Call:
    """A lifecycle action of the place's instance."""
    return lambda client, there: getattr(client, name)(
        AutoScalingGroupName=there.group, InstanceId=there.instance_id, LifecycleHookName="sluice-drain", **more
    )


# (function, service, call): all that the functions change or take of a fleet's group, instances and queues.
CALLS: dict[str, tuple[str, str, Call]] = {
    "scale": ("planner", "autoscaling", lambda client, there: client.set_desired_capacity(
        AutoScalingGroupName=there.group, DesiredCapacity=1)),
    "count": ("planner", "sqs", lambda client, there: client.get_queue_attributes(
        QueueUrl=there.url, AttributeNames=["All"])),
    "sign of life": ("drainer", "sqs", lambda client, there: client.get_queue_attributes(
        QueueUrl=there.url, AttributeNames=["All"])),
    "protect": ("drainer", "autoscaling", lambda client, there: client.set_instance_protection(
        AutoScalingGroupName=there.group, InstanceIds=[there.instance_id], ProtectedFromScaleIn=False)),
    "heartbeat": ("drainer", "autoscaling", action("record_lifecycle_action_heartbeat")),
    "complete": ("drainer", "autoscaling", action("complete_lifecycle_action", LifecycleActionResult="CONTINUE")),
    "stop": ("drainer", "ssm", lambda client, there: client.send_command(
        InstanceIds=[there.instance_id], DocumentName="sluice-stop", Parameters={"unit": ["other.service"]})),
    "send back": ("redriver", "sqs", lambda client, there: client.send_message(
        QueueUrl=there.url, MessageBody="x")),
    "take": ("redriver", "sqs", lambda client, there: client.receive_message(QueueUrl=there.dead_url)),
    "move": ("redriver", "sqs", lambda client, there: client.start_message_move_task(SourceArn=there.dead_arn)),
    "list moves": ("redriver", "sqs", lambda client, there: client.list_message_move_tasks(SourceArn=there.dead_arn)),
    "operator sends": ("operator", "sqs", lambda client, there: client.send_message(
        QueueUrl=there.url, MessageBody="x")),
    "operator takes": ("operator", "sqs", lambda client, there: client.receive_message(QueueUrl=there.dead_url)),
    "release": ("operator", "autoscaling", action("complete_lifecycle_action", LifecycleActionResult="CONTINUE")),
    "end": ("operator", "autoscaling", lambda client, there: client.terminate_instance_in_auto_scaling_group(
        InstanceId=there.instance_id, ShouldDecrementDesiredCapacity=False)),
}  # fmt: skip


def refused(call: Callable[[], Any]) -> bool:
    """Whether IAM refuses a call; that there is no such lifecycle action is an answer of one who may ask."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] in DENIED
    return False


@pytest.mark.parametrize("name", CALLS)
def test_function_may_use_only_what_has_its_stacks_tag(
    places: Mapping[str, Place], acting: Callable[[str, str], Any], name: str
) -> None:
    """Neither what has no tag nor what has another stack's."""
    function, service, call = CALLS[name]
    client = acting(function, service)

    answers = {place: refused(lambda there=there: call(client, there)) for place, there in places.items()}  # type: ignore[misc]

    assert answers == {"ours": False, "bare": True, "theirs": True}


def test_tag_decides_when_it_is_set_and_removed(
    deployed: Any, places: Mapping[str, Place], acting: Callable[[str, str], Any]
) -> None:
    """The same queue, before, with and after the tag."""
    sqs, url = deployed.sandbox.client("sqs"), places["bare"].url
    redriver = acting("redriver", "sqs")

    def send() -> Any:
        return redriver.send_message(QueueUrl=url, MessageBody="x")

    assert refused(send)
    sqs.tag_queue(QueueUrl=url, Tags=TAG)
    assert not refused(send)
    sqs.untag_queue(QueueUrl=url, TagKeys=["sluice:stack"])
    assert refused(send)


def test_onboarding_tags_what_has_no_tag_and_nothing_else(
    places: Mapping[str, Place], acting: Callable[[str, str], Any]
) -> None:
    """Not what is another stack's; no other tag; and it takes none away."""
    sqs, autoscaling, ec2 = (acting("onboarding", service) for service in ("sqs", "autoscaling", "ec2"))

    def tag_group(name: str, key: str = "sluice:stack") -> Any:
        kind = "auto-scaling-group"
        tag = {"ResourceId": name, "ResourceType": kind, "Key": key, "Value": "sluice", "PropagateAtLaunch": True}
        return autoscaling.create_or_update_tags(Tags=[tag])

    def tag_instance(instance_id: str) -> Any:
        return ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "sluice:stack", "Value": "sluice"}])

    bare, theirs, ours = places["bare"], places["theirs"], places["ours"]
    assert refused(lambda: sqs.tag_queue(QueueUrl=theirs.url, Tags=TAG))
    assert refused(lambda: sqs.tag_queue(QueueUrl=bare.url, Tags=TAG | {"team": "a"}))
    assert refused(lambda: tag_group(theirs.group))
    assert refused(lambda: tag_group(bare.group, "team"))
    assert refused(lambda: tag_instance(theirs.instance_id))
    assert refused(lambda: sqs.untag_queue(QueueUrl=ours.url, TagKeys=["sluice:stack"]))
    assert not refused(lambda: sqs.tag_queue(QueueUrl=bare.dead_url, Tags=TAG))
    assert not refused(lambda: tag_group(bare.group))
    assert not refused(lambda: tag_instance(bare.instance_id))
