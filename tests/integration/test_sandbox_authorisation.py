"""Authorisation in the sandbox: roles may do what AWS would let them do, and every check is on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

ACCOUNT = "000000000000"
REGION = "eu-central-1"


class Role:
    """A role and clients that act as it."""

    def __init__(self, sandbox: Sandbox, name: str, *statements: dict[str, Any]) -> None:
        """Make a role with one policy."""
        self.name = name
        self._sandbox = sandbox
        iam = sandbox.client("iam")
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        self.arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=_document(*statements))
        session = sandbox.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="test")["Credentials"]
        self._keys = {
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        }

    def client(self, service: str) -> Any:
        """A client that acts as the role."""
        return self._sandbox.client(service, **self._keys)

    def calls(self) -> list[tuple[str, str, bool]]:
        """Its recorded checks: action, resource, allowed."""
        mine = [call for call in self._sandbox.calls() if f"assumed-role/{self.name}/" in call["principal"]]
        return [(call["action"], call["resource"], call["allowed"]) for call in mine]


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: dict[str, Any]) -> dict[str, Any]:
    """An allowing statement."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


@pytest.fixture
def role(sandbox: Sandbox, unique: Callable[[str], str]) -> Callable[..., Role]:
    """Make roles."""
    return lambda *statements: Role(sandbox, unique("role"), *statements)


def test_calls_are_recorded_with_their_answer(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """Action, resource and answer of each check, for roles; root leaves no trace."""
    name = unique("recorded")
    url = sandbox.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    caller = role(allow("sqs:SendMessage", arn))

    caller.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.client("sqs").receive_message(QueueUrl=url)

    assert caller.calls() == [("sqs:SendMessage", arn, True), ("sqs:ReceiveMessage", arn, False)]
    assert not [call for call in sandbox.calls() if call["principal"].endswith(":root")]


def test_group_is_checked_by_its_exact_arn(role: Any, make_group: Any) -> None:
    """A policy that names the group by its whole ARN allows it, and no other."""
    group, other = make_group(""), make_group("")
    caller = role(allow("autoscaling:SetDesiredCapacity", group.describe()["AutoScalingGroupARN"]))
    autoscaling = caller.client("autoscaling")

    autoscaling.set_desired_capacity(AutoScalingGroupName=group.name, DesiredCapacity=0)
    with pytest.raises(ClientError, match="AccessDenied"):
        autoscaling.set_desired_capacity(AutoScalingGroupName=other.name, DesiredCapacity=0)


def test_group_is_checked_by_its_tags(role: Any, make_group: Any, eventually: Any) -> None:
    """aws:ResourceTag and autoscaling:ResourceTag are the group's tags, also when an instance is named."""
    tags = [{"Key": "pool", "Value": "mine", "PropagateAtLaunch": False}]
    group, other = make_group("", desired=1, Tags=tags), make_group("", desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    foreign = eventually(lambda: other.in_state("InService"))[0]
    caller = role(
        allow("autoscaling:SetDesiredCapacity", StringEquals={"aws:ResourceTag/pool": "mine"}),
        allow("autoscaling:TerminateInstanceInAutoScalingGroup", StringEquals={"autoscaling:ResourceTag/pool": "mine"}),
    )
    autoscaling = caller.client("autoscaling")

    autoscaling.set_desired_capacity(AutoScalingGroupName=group.name, DesiredCapacity=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        autoscaling.set_desired_capacity(AutoScalingGroupName=other.name, DesiredCapacity=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=foreign, ShouldDecrementDesiredCapacity=True)
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance_id, ShouldDecrementDesiredCapacity=True)


def test_describing_groups_needs_every_resource(role: Any, make_group: Any) -> None:
    """Describe actions know no resource: a policy on one group does not allow them."""
    group = make_group("")
    arn = group.describe()["AutoScalingGroupARN"]
    actions = ["autoscaling:DescribeScalingActivities", "autoscaling:DescribeLifecycleHooks"]

    with pytest.raises(ClientError, match="AccessDenied"):
        role(allow(actions, arn)).client("autoscaling").describe_scaling_activities(AutoScalingGroupName=group.name)
    role(allow(actions)).client("autoscaling").describe_scaling_activities(AutoScalingGroupName=group.name)


def test_command_needs_its_document_and_every_instance(role: Any, make_group: Any, eventually: Any) -> None:
    """SendCommand is checked on the document and on each instance, whose tags are conditions."""
    group, other = make_group(desired=1), make_group(desired=1)
    mine = eventually(lambda: group.in_state("InService"))[0]
    foreign = eventually(lambda: other.in_state("InService"))[0]
    document = f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript"
    instances = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"
    tagged = {"ssm:resourceTag/aws:autoscaling:groupName": group.name}
    command = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    caller = role(allow("ssm:SendCommand", document), allow("ssm:SendCommand", instances, StringEquals=tagged))

    caller.client("ssm").send_command(InstanceIds=[mine], **command)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.client("ssm").send_command(InstanceIds=[mine, foreign], **command)
    with pytest.raises(ClientError, match="AccessDenied"):
        role(allow("ssm:SendCommand", instances)).client("ssm").send_command(InstanceIds=[mine], **command)

    assert caller.calls()[:2] == [
        ("ssm:SendCommand", document, True),
        ("ssm:SendCommand", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{mine}", True),
    ]


def test_parameters_are_checked_by_path_and_by_list(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """GetParametersByPath is checked on the path, GetParameters on every name."""
    root = unique("tree")
    ssm = sandbox.client("ssm")
    for name in ("fleets/a", "fleets/b", "secret"):
        ssm.put_parameter(Name=f"/{root}/{name}", Value="x", Type="String")
    prefix = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{root}/fleets"
    caller = role(allow(["ssm:GetParametersByPath", "ssm:GetParameters"], [prefix, prefix + "/*"])).client("ssm")

    found = caller.get_parameters_by_path(Path=f"/{root}/fleets/")["Parameters"]
    assert [parameter["Name"] for parameter in found] == [f"/{root}/fleets/a", f"/{root}/fleets/b"]
    caller.get_parameters(Names=[f"/{root}/fleets/a"])
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.get_parameters_by_path(Path=f"/{root}")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.get_parameters(Names=[f"/{root}/fleets/a", f"/{root}/secret"])


def test_move_task_needs_both_queues(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """Starting needs reading the source and sending to the destination; listing and cancelling the source."""
    sqs = sandbox.client("sqs")
    name = unique("moved")
    dead, source = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-dead", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    sqs.create_queue(QueueName=f"{name}-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})
    sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})
    reading = [
        "sqs:StartMessageMoveTask",
        "sqs:ListMessageMoveTasks",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    ]

    with pytest.raises(ClientError, match="AccessDenied"):
        role(allow(reading, dead)).client("sqs").start_message_move_task(SourceArn=dead, DestinationArn=source)
    caller = role(allow(reading, dead), allow("sqs:SendMessage", source))
    caller.client("sqs").start_message_move_task(SourceArn=dead, DestinationArn=source)
    assert caller.client("sqs").list_message_move_tasks(SourceArn=dead)["Results"]


def test_metric_namespace_is_a_condition(role: Any, unique: Any) -> None:
    """PutMetricData can be allowed for one namespace."""
    namespace = unique("namespace")
    caller = role(allow("cloudwatch:PutMetricData", StringEquals={"cloudwatch:namespace": namespace}))
    data = [{"MetricName": "m", "Value": 1}]

    caller.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.client("cloudwatch").put_metric_data(Namespace="other", MetricData=data)


@pytest.mark.parametrize("operator", ["StringEquals", "ForAllValues:StringEquals", "ForAnyValue:StringEquals"])
def test_source_of_every_event_is_a_condition(sandbox: Sandbox, role: Any, unique: Any, operator: str) -> None:
    """The permission that examples/consumer prescribes lets a consumer report, and speak for nobody else."""
    bus = sandbox.client("events").create_event_bus(Name=unique("bus"))["EventBusArn"]
    events = role(allow("events:PutEvents", **{operator: {"events:source": "sluice.consumer"}})).client("events")
    ours = {"Source": "sluice.consumer", "DetailType": "Sluice Consumer Report", "Detail": "{}"}
    foreign = ours | {"Source": "aws.autoscaling"}
    assert events.put_events(Entries=[ours])["FailedEntryCount"] == 0
    assert events.put_events(Entries=[ours, ours | {"EventBusName": bus}])["FailedEntryCount"] == 0
    for entries in ([foreign], [ours, foreign], [ours, foreign | {"EventBusName": bus}]):
        with pytest.raises(ClientError, match="not authorized to perform: events:PutEvents"):
            events.put_events(Entries=entries)


def test_bus_and_detail_type_of_an_event_are_checked(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """A permission for one bus is none for another, and a detail type is a condition as well."""
    bus = sandbox.client("events").create_event_bus(Name=unique("bus"))["EventBusArn"]
    report = {"Source": "sluice.consumer", "DetailType": "Sluice Consumer Report", "Detail": "{}"}
    of_bus = role(allow("events:PutEvents", bus)).client("events")
    of_type = role(allow("events:PutEvents", StringEquals={"events:detail-type": report["DetailType"]})).client(
        "events"
    )
    assert of_bus.put_events(Entries=[report | {"EventBusName": bus}])["FailedEntryCount"] == 0
    assert of_type.put_events(Entries=[report])["FailedEntryCount"] == 0
    for client, entry in ((of_bus, report), (of_type, report | {"DetailType": "another"})):
        with pytest.raises(ClientError, match="not authorized"):
            client.put_events(Entries=[entry])


def test_partition_keys_are_a_condition(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """dynamodb:LeadingKeys bounds items, queries and batches to the partitions it names."""
    table = unique("table")
    sandbox.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    leading = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["mine"]}}
    caller = role(allow("dynamodb:*", **leading)).client("dynamodb")
    condition = {"KeyConditionExpression": "#k = :v", "ExpressionAttributeNames": {"#k": "pk"}}

    caller.put_item(TableName=table, Item={"pk": {"S": "mine"}})
    caller.query(TableName=table, ExpressionAttributeValues={":v": {"S": "mine"}}, **condition)
    for refused in (
        lambda: caller.put_item(TableName=table, Item={"pk": {"S": "yours"}}),
        lambda: caller.get_item(TableName=table, Key={"pk": {"S": "yours"}}),
        lambda: caller.query(TableName=table, ExpressionAttributeValues={":v": {"S": "yours"}}, **condition),
        lambda: caller.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": {"pk": {"S": key}}}} for key in ("mine", "yours")]}
        ),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_mapping_is_refused_when_the_role_may_not_read_the_queue(
    sandbox: Sandbox, make_recorder: Any, unique: Any
) -> None:
    """Lambda tries the function's role before it maps a queue."""
    function = make_recorder()
    name = unique("mapped")
    sandbox.client("sqs").create_queue(QueueName=name)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage on SQS"):
        sandbox.client("lambda").create_event_source_mapping(FunctionName=function.name, EventSourceArn=arn)
    reading = allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], arn)
    sandbox.client("iam").put_role_policy(
        RoleName=function.name, PolicyName="reading", PolicyDocument=_document(reading)
    )
    mapping = sandbox.client("lambda").create_event_source_mapping(FunctionName=function.name, EventSourceArn=arn)

    assert mapping["State"] in {"Creating", "Enabled"}


def test_batch_is_allowed_when_its_single_action_is(
    sandbox: Sandbox, role: Callable[..., Role], unique: Callable[[str], str]
) -> None:
    """SQS's batches have no action of their own: permission to send one message sends ten."""
    url = sandbox.client("sqs").create_queue(QueueName=unique("batch"))["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rpartition('/')[2]}"
    sender = role(allow("sqs:SendMessage", arn))
    answer = sender.client("sqs").send_message_batch(QueueUrl=url, Entries=[{"Id": "0", "MessageBody": "one"}])
    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    assert ("sqs:SendMessage", arn, True) in sender.calls()


def test_policy_that_asks_for_tls_is_met_when_the_endpoint_is_the_sandbox(
    sandbox: Sandbox, role: Callable[..., Role], unique: Callable[[str], str]
) -> None:
    """The loopback's plain HTTP stands for the HTTPS of AWS's endpoints."""
    bucket = unique("secure")
    root = sandbox.client("s3")
    root.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    insecure = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    root.put_bucket_policy(Bucket=bucket, Policy=_document(insecure))
    writer = role(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*")).client("s3")
    writer.put_object(Bucket=bucket, Key="kept", Body=b"whole")
    assert root.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"whole"


# --------------------------------------------------------------------------- tags


def queue_of(sandbox: Sandbox, name: str, **tags: str) -> tuple[str, str]:
    """A queue with tags: URL and ARN."""
    url = sandbox.client("sqs").create_queue(QueueName=name, tags=tags)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def test_queue_is_checked_by_its_tags(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """A queue without the tag, or with another value, does not match; a tag that is set later counts at once."""
    mine, _ = queue_of(sandbox, unique("mine"), **{"sluice:stack": "blue"})
    other, _ = queue_of(sandbox, unique("other"), **{"sluice:stack": "green"})
    bare, _ = queue_of(sandbox, unique("bare"))
    caller = role(allow("sqs:*", StringEquals={"aws:ResourceTag/sluice:stack": "blue"})).client("sqs")

    caller.send_message(QueueUrl=mine, MessageBody="x")
    assert caller.receive_message(QueueUrl=mine)["Messages"]
    for refused in (other, bare):
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.send_message(QueueUrl=refused, MessageBody="x")
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.get_queue_attributes(QueueUrl=refused, AttributeNames=["All"])
    sandbox.client("sqs").tag_queue(QueueUrl=bare, Tags={"sluice:stack": "blue"})
    caller.send_message(QueueUrl=bare, MessageBody="x")
    sandbox.client("sqs").untag_queue(QueueUrl=mine, TagKeys=["sluice:stack"])
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.send_message(QueueUrl=mine, MessageBody="x")


def test_move_task_is_checked_by_both_queues_tags(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """Each of the two has to have the tag."""
    tag, sqs = {"sluice:stack": "blue"}, sandbox.client("sqs")
    dead_url, dead = queue_of(sandbox, unique("dead"), **tag)
    url, source = queue_of(sandbox, unique("source"))
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": redrive})
    caller = role(allow("sqs:*", StringEquals={"aws:ResourceTag/sluice:stack": "blue"})).client("sqs")

    with pytest.raises(ClientError, match="AccessDenied"):
        caller.start_message_move_task(SourceArn=dead, DestinationArn=source)
    sqs.tag_queue(QueueUrl=url, Tags=tag)
    caller.start_message_move_task(SourceArn=dead, DestinationArn=source)
    sqs.untag_queue(QueueUrl=dead_url, TagKeys=["sluice:stack"])
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_message_move_tasks(SourceArn=dead)


def test_mapping_is_refused_when_the_queue_lacks_the_tag(sandbox: Sandbox, make_recorder: Any, unique: Any) -> None:
    """Lambda tries the role with its conditions."""
    function = make_recorder()
    url, arn = queue_of(sandbox, unique("mapped"))
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    reading = allow(actions, StringEquals={"aws:ResourceTag/sluice:stack": "blue"})
    sandbox.client("iam").put_role_policy(RoleName=function.name, PolicyName="tag", PolicyDocument=_document(reading))
    made = {"FunctionName": function.name, "EventSourceArn": arn}

    with pytest.raises(ClientError, match="does not have permissions"):
        sandbox.client("lambda").create_event_source_mapping(**made)
    sandbox.client("sqs").tag_queue(QueueUrl=url, Tags={"sluice:stack": "blue"})
    assert sandbox.client("lambda").create_event_source_mapping(**made)["UUID"]


def test_command_is_checked_by_a_tag_that_the_group_passes_on(
    sandbox: Sandbox, role: Any, make_group: Any, eventually: Any
) -> None:
    """An instance that started before has no tag until it is given one; those that start later have the group's."""
    group = make_group(desired=1)
    first = eventually(lambda: group.in_state("InService"))[0]
    admin = sandbox.client("autoscaling")
    tag = {"ResourceId": group.name, "ResourceType": "auto-scaling-group", "Key": "sluice:stack", "Value": "blue"}
    admin.create_or_update_tags(Tags=[tag | {"PropagateAtLaunch": True}])
    admin.set_desired_capacity(AutoScalingGroupName=group.name, DesiredCapacity=2)
    (second,) = set(eventually(lambda: group.in_state("InService", 2))) - {first}
    documents = f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript"
    instances = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*"
    command = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    caller = role(
        allow("ssm:SendCommand", documents),
        allow("ssm:SendCommand", instances, StringEquals={"ssm:resourceTag/sluice:stack": "blue"}),
    ).client("ssm")

    caller.send_command(InstanceIds=[second], **command)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.send_command(InstanceIds=[second, first], **command)
    sandbox.client("ec2").create_tags(Resources=[first], Tags=[{"Key": "sluice:stack", "Value": "blue"}])
    caller.send_command(InstanceIds=[second, first], **command)


TAGGING = {
    "StringEquals": {"aws:RequestTag/sluice:stack": "blue"},
    "StringEqualsIfExists": {"aws:ResourceTag/sluice:stack": "blue"},
    "ForAllValues:StringEquals": {"aws:TagKeys": ["sluice:stack"]},
}
"""The conditions under which template.yaml lets the onboarding function tag."""


def test_only_the_stacks_own_tag_can_be_set_on_a_queue(sandbox: Sandbox, role: Any, unique: Any) -> None:
    """No other key, no other value, nothing beside it, and not over another stack's; it may be set again."""
    bare, _ = queue_of(sandbox, unique("bare"))
    theirs, _ = queue_of(sandbox, unique("theirs"), **{"sluice:stack": "green"})
    caller = role(allow(["sqs:TagQueue", "sqs:UntagQueue"], **TAGGING)).client("sqs")

    for tags in ({"team": "a"}, {"sluice:stack": "green"}, {"sluice:stack": "blue", "team": "a"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.tag_queue(QueueUrl=bare, Tags=tags)
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.tag_queue(QueueUrl=theirs, Tags={"sluice:stack": "blue"})
    for _ in range(2):
        caller.tag_queue(QueueUrl=bare, Tags={"sluice:stack": "blue"})
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.untag_queue(QueueUrl=bare, TagKeys=["sluice:stack"])


def test_only_the_stacks_own_tag_can_be_set_on_a_group(role: Any, make_group: Any) -> None:
    """Every group that a call names is checked."""

    def tag(name: str, value: str = "blue", key: str = "sluice:stack") -> dict[str, Any]:
        kind = "auto-scaling-group"
        return {"ResourceId": name, "ResourceType": kind, "Key": key, "Value": value, "PropagateAtLaunch": True}

    bare = make_group("").name
    theirs = make_group("", Tags=[{"Key": "sluice:stack", "Value": "green", "PropagateAtLaunch": True}]).name
    caller = role(allow("autoscaling:CreateOrUpdateTags", **TAGGING)).client("autoscaling")

    for tags in ([tag(bare, "green")], [tag(bare, key="team")], [tag(theirs)], [tag(bare), tag(theirs)]):
        with pytest.raises(ClientError, match="AccessDenied"):
            caller.create_or_update_tags(Tags=tags)
    for _ in range(2):
        caller.create_or_update_tags(Tags=[tag(bare)])


def test_only_instances_of_groups_can_be_tagged(sandbox: Sandbox, role: Any, make_group: Any, eventually: Any) -> None:
    """Auto Scaling's own tag tells them; another stack's instance, or one of no group, is refused."""
    group, other = make_group(desired=1), make_group(desired=1)
    mine = eventually(lambda: group.in_state("InService"))[0]
    theirs = eventually(lambda: other.in_state("InService"))[0]
    ec2 = sandbox.client("ec2")
    ec2.create_tags(Resources=[theirs], Tags=[{"Key": "sluice:stack", "Value": "green"}])
    alone = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    of_groups = {"Null": {"aws:ResourceTag/aws:autoscaling:groupName": "false"}}
    caller = role(allow("ec2:CreateTags", **TAGGING, **of_groups)).client("ec2")
    tags = [{"Key": "sluice:stack", "Value": "blue"}]

    for refused in ([alone], [theirs], [mine, theirs]):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            caller.create_tags(Resources=refused, Tags=tags)
    caller.create_tags(Resources=[mine], Tags=tags)
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.create_tags(Resources=["i-0123456789abcdef0"], Tags=tags)
    ec2.terminate_instances(InstanceIds=[alone])


def test_tag_of_no_group_is_refused(sandbox: Sandbox, make_group: Any) -> None:
    """A group that does not exist, and a resource that is no group."""
    autoscaling = sandbox.client("autoscaling")
    tag = {"Key": "sluice:stack", "Value": "blue", "PropagateAtLaunch": True}

    with pytest.raises(ClientError, match="not found"):
        autoscaling.create_or_update_tags(Tags=[tag | {"ResourceId": "nobody", "ResourceType": "auto-scaling-group"}])
    with pytest.raises(ClientError, match="ResourceType"):
        autoscaling.create_or_update_tags(Tags=[tag | {"ResourceId": make_group("").name, "ResourceType": "group"}])


def test_tags_of_a_group_stay_when_one_is_added_and_removed(sandbox: Sandbox, make_group: Any) -> None:
    """A tag is set beside the others, and only the named one goes."""
    autoscaling = sandbox.client("autoscaling")
    group = make_group("", Tags=[{"Key": "team", "Value": "a", "PropagateAtLaunch": False}])
    tag = {"ResourceId": group.name, "ResourceType": "auto-scaling-group", "Key": "sluice:stack"}

    autoscaling.create_or_update_tags(Tags=[tag | {"Value": "blue", "PropagateAtLaunch": True}])
    assert {one["Key"]: one["PropagateAtLaunch"] for one in group.describe()["Tags"]} == {
        "team": False, "sluice:stack": True,
    }  # fmt: skip
    autoscaling.delete_tags(Tags=[tag])
    assert [one["Key"] for one in group.describe()["Tags"]] == ["team"]
