"""Deployment into the sandbox by the real SAM CLI: what templates say is what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from sluice_tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

STACK = "deployed"

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Mapped: { Type: String, Default: "false", AllowedValues: ["true", "false"] }
  Image: { Type: String, Default: ami-12345678 }
Resources:
  Work:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1 }
  Dead: { Type: AWS::SQS::Queue }
  Failures: { Type: AWS::SQS::Queue }
  Seen: { Type: AWS::SQS::Queue }
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{ Effect: Allow, Action: sts:AssumeRole, Principal: { Service: lambda.amazonaws.com } }]
  Rights:
    Type: AWS::IAM::RolePolicy
    Properties:
      RoleName: !Ref Role
      PolicyName: rights
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: sqs:SendMessage
            Resource: [!GetAtt Seen.Arn, !GetAtt Failures.Arn]
          - Effect: Allow
            Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]
            Resource: !GetAtt Dead.Arn
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Role: !GetAtt Role.Arn
      DeadLetterQueue: { Type: SQS, TargetArn: !GetAtt Failures.Arn }
      ReservedConcurrentExecutions: 3
      Environment: { Variables: { SEEN: !Ref Seen } }
      InlineCode: |
        import boto3, json, os
        def handler(event, context):
            boto3.client("sqs").send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(event))
            return {"batchItemFailures": []}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    DependsOn: Rights
    Properties:
      FunctionName: !Ref Function
      EventSourceArn: !GetAtt Dead.Arn
      FunctionResponseTypes: [ReportBatchItemFailures]
      Enabled: !Ref Mapped
  Template:
    Type: AWS::EC2::LaunchTemplate
    Properties:
      LaunchTemplateData:
        ImageId: !Ref Image
        TagSpecifications:
          - ResourceType: instance
            Tags: [{ Key: "sluice:sandbox-command", Value: exec sleep 1000 }]
  Group:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties:
      MinSize: "0"
      MaxSize: "3"
      AvailabilityZones: !GetAZs ""
      LaunchTemplate: { LaunchTemplateId: !Ref Template, Version: !GetAtt Template.LatestVersionNumber }
      MetricsCollection: [{ Granularity: 1Minute }]
      LifecycleHookSpecificationList:
        - LifecycleHookName: inline
          LifecycleTransition: autoscaling:EC2_INSTANCE_TERMINATING
          HeartbeatTimeout: 600
  Hook:
    Type: AWS::AutoScaling::LifecycleHook
    Properties:
      AutoScalingGroupName: !Ref Group
      LifecycleTransition: autoscaling:EC2_INSTANCE_TERMINATING
      HeartbeatTimeout: 60
      DefaultResult: CONTINUE
  Document:
    Type: AWS::SSM::Document
    Properties:
      DocumentType: Command
      Content:
        schemaVersion: "2.2"
        mainSteps:
          - { action: "aws:runShellScript", name: stop, inputs: { runCommand: [systemctl stop work] } }
  Idle:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Metrics:
        - { Id: idle, Expression: "IF(visible > 0 AND FILL(desired, 0) < 1, 1, 0)", ReturnData: true }
        - Id: visible
          ReturnData: false
          MetricStat:
            Metric:
              Namespace: AWS/SQS
              MetricName: ApproximateNumberOfMessagesVisible
              Dimensions: [{ Name: QueueName, Value: !GetAtt Work.QueueName }]
            Period: 60
            Stat: Maximum
        - Id: desired
          ReturnData: false
          MetricStat:
            Metric:
              Namespace: AWS/AutoScaling
              MetricName: GroupDesiredCapacity
              Dimensions: [{ Name: AutoScalingGroupName, Value: !Ref Group }]
            Period: 60
            Stat: Maximum
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 hour)
      FlexibleTimeWindow: { Mode: "OFF" }
      Target: { Arn: !GetAtt Function.Arn, RoleArn: !GetAtt Role.Arn }
  Board:
    Type: AWS::CloudWatch::Dashboard
    Properties: { DashboardBody: '{"widgets": []}' }
Outputs:
  Work: { Value: !Ref Work }
  Dead: { Value: !Ref Dead }
  Seen: { Value: !Ref Seen }
  Group: { Value: !Ref Group }
  Function: { Value: !Ref Function }
  Mapping: { Value: !Ref Mapping }
  Document: { Value: !Ref Document }
  Idle: { Value: !Ref Idle }
"""

PARENT = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Note: { Type: String }
Resources:
  Child:
    Type: AWS::Serverless::Application
    Properties: { Location: child.yaml, Parameters: { Note: !Ref Note } }
"""
CHILD = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Note: { Type: String }
Resources:
  Queue: { Type: AWS::SQS::Queue, Properties: { QueueName: of-the-child } }
  Told:
    Type: AWS::SSM::Parameter
    Properties: { Name: /of/the/child, Type: String, Value: !Sub "${Note} ${Queue.Arn}" }
"""

COMPARED = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Idle:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: of-the-test
      MetricName: depth
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
  Board:
    Type: AWS::CloudWatch::Dashboard
    Properties: { DashboardBody: '{"widgets": []}' }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template's folder."""
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "template.yaml").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def outputs(sandbox: Sandbox, folder: Path) -> Iterator[dict[str, str]]:
    """The stack, deployed once for this module."""
    yield sandbox.deploy(folder, STACK, {"Mapped": "false"}, build=False)
    sandbox.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=sandbox.outputs(STACK)["Group"], ForceDelete=True
    )


def test_function_is_as_the_template_says(sandbox: Sandbox, outputs: dict[str, str]) -> None:
    """Dead-letter target and reserved concurrency are kept."""
    functions = sandbox.client("lambda")

    found = functions.get_function(FunctionName=outputs["Function"])

    assert found["Configuration"]["DeadLetterConfig"]["TargetArn"].startswith("arn:aws:sqs:")
    assert found["Concurrency"]["ReservedConcurrentExecutions"] == 3


def test_group_has_its_hooks_and_metrics(sandbox: Sandbox, outputs: dict[str, str]) -> None:
    """A hook of its own resource and one in the group's list, and metrics collection."""
    autoscaling = sandbox.client("autoscaling")

    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=outputs["Group"])["LifecycleHooks"]
    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[outputs["Group"]])["AutoScalingGroups"][0]

    assert sorted(hook["HeartbeatTimeout"] for hook in hooks) == [60, 600]
    assert "GroupDesiredCapacity" in {metric["Metric"] for metric in group["EnabledMetrics"]}


def test_alarm_on_metrics_rings(sandbox: Sandbox, outputs: dict[str, str], eventually: Any) -> None:
    """Messages visible while the group is at zero: queue and group metrics meet in the alarm's expression."""
    cloudwatch, sqs = sandbox.client("cloudwatch"), sandbox.client("sqs")

    def state() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=[outputs["Idle"]])["MetricAlarms"][0]["StateValue"])

    eventually(lambda: state() == "OK")
    sqs.send_message(QueueUrl=outputs["Work"], MessageBody="x")
    eventually(lambda: state() == "ALARM")
    sqs.purge_queue(QueueUrl=outputs["Work"])
    eventually(lambda: state() == "OK")


def test_change_set_tells_what_is_replaced(sandbox: Sandbox) -> None:
    """By AWS's reference: an alarm's threshold replaces nothing, a dashboard's name does."""
    cloudformation, wait = sandbox.client("cloudformation"), {"Delay": 1}
    cloudformation.create_stack(StackName="compared", TemplateBody=COMPARED)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="compared", WaiterConfig=wait)
    changed = COMPARED.replace("Threshold: 1", "Threshold: 2").replace("Body:", "Name: new, DashboardBody:")
    change = cloudformation.create_change_set(StackName="compared", ChangeSetName="what", TemplateBody=changed)["Id"]
    cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change, WaiterConfig=wait)
    found = [one["ResourceChange"] for one in cloudformation.describe_change_set(ChangeSetName=change)["Changes"]]
    cloudformation.delete_stack(StackName="compared")
    assert {one["LogicalResourceId"]: one["Replacement"] for one in found} == {"Idle": "False", "Board": "True"}


def test_update_keeps_what_the_template_leaves_out(
    sandbox: Sandbox, folder: Path, outputs: dict[str, str], eventually: Any
) -> None:
    """A stack update leaves the desired capacity to whoever set it, and maps the queue when it says so."""
    autoscaling, sqs = sandbox.client("autoscaling"), sandbox.client("sqs")
    functions = sandbox.client("lambda")
    assert functions.get_event_source_mapping(UUID=outputs["Mapping"])["State"] == "Disabled"
    autoscaling.set_desired_capacity(AutoScalingGroupName=outputs["Group"], DesiredCapacity=2)

    sandbox.deploy(folder, STACK, {"Mapped": "true", "Image": "ami-87654321"}, build=False)

    group = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[outputs["Group"]])["AutoScalingGroups"][0]
    assert (group["DesiredCapacity"], group["LaunchTemplate"]["Version"]) == (2, "2")
    assert functions.get_event_source_mapping(UUID=outputs["Mapping"])["State"] == "Enabled"
    autoscaling.set_desired_capacity(AutoScalingGroupName=outputs["Group"], DesiredCapacity=0)

    sqs.send_message(QueueUrl=outputs["Work"], MessageBody="poison")
    eventually(lambda: sqs.receive_message(QueueUrl=outputs["Work"], VisibilityTimeout=0).get("Messages"))
    sqs.receive_message(QueueUrl=outputs["Work"])
    seen = eventually(lambda: sqs.receive_message(QueueUrl=outputs["Seen"]).get("Messages"))
    record = json.loads(seen[0]["Body"])["Records"][0]
    assert record["body"] == "poison"
    work = sqs.get_queue_attributes(QueueUrl=outputs["Work"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert record["attributes"]["DeadLetterQueueSourceArn"] == work


def test_stack_fails_when_an_alarm_s_expression_is_wrong(sandbox: Sandbox) -> None:
    """A wrong expression stops the stack and is told."""
    cloudformation = sandbox.client("cloudformation")
    metric = {"Namespace": "n", "MetricName": "m"}
    alarm = {
        "Metrics": [
            {"Id": "e", "Expression": "m +", "ReturnData": True},
            {"Id": "m", "ReturnData": False, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        ],
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    template = {"Resources": {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm}}}
    cloudformation.create_stack(StackName="wrong", TemplateBody=json.dumps(template))

    with pytest.raises(WaiterError):
        cloudformation.get_waiter("stack_create_complete").wait(StackName="wrong", WaiterConfig={"Delay": 1})

    events = cloudformation.describe_stack_events(StackName="wrong")["StackEvents"]
    assert any("unexpected 'the end' in 'm +'" in event.get("ResourceStatusReason", "") for event in events)


def test_nested_stack_is_deployed_updated_and_deleted(sandbox: Sandbox, tmp_path: Path) -> None:
    """A packaged application is a stack of its own: updated in part, and found by sam delete."""
    (tmp_path / "template.yaml").write_text(PARENT)
    (tmp_path / "child.yaml").write_text(CHILD)
    sqs, ssm = sandbox.client("sqs"), sandbox.client("ssm")

    def told() -> str:
        return str(ssm.get_parameter(Name="/of/the/child")["Parameter"]["Value"])

    sandbox.deploy(tmp_path, "parent", {"Note": "first"}, build=False)
    assert told() == "first arn:aws:sqs:eu-central-1:000000000000:of-the-child"
    sandbox.deploy(tmp_path, "parent", {"Note": "second"}, build=False)
    assert told() == "second arn:aws:sqs:eu-central-1:000000000000:of-the-child"
    sandbox.sam("delete", "--stack-name", "parent", "--no-prompts", log=tmp_path / "delete.log")

    assert not sqs.list_queues(QueueNamePrefix="of-the-child").get("QueueUrls")


def test_stack_tags_reach_bucket_and_instances_when_the_template_has_none(sandbox: Sandbox, eventually: Any) -> None:
    """CloudFormation hands a stack's tags on, to a group's instances too, whatever PropagateAtLaunch says."""
    group = {"MinSize": "1", "MaxSize": "1", "AvailabilityZones": {"Fn::GetAZs": ""}}
    own = {"Key": "own", "Value": "kept", "PropagateAtLaunch": False}
    template = {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"Tags": [{"Key": "own", "Value": "kept"}]}},
            "Launch": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": {"ImageId": "ami-1"}}},
            "Group": {
                "Type": "AWS::AutoScaling::AutoScalingGroup",
                "Properties": group
                | {"LaunchTemplate": {"LaunchTemplateId": {"Ref": "Launch"}, "Version": "1"}, "Tags": [own]},
            },
        },
        "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}, "Group": {"Value": {"Ref": "Group"}}},
    }
    cloudformation, ec2 = sandbox.client("cloudformation"), sandbox.client("ec2")
    cloudformation.create_stack(
        StackName="tagged", TemplateBody=json.dumps(template), Tags=[{"Key": "of", "Value": "stack"}]
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="tagged", WaiterConfig={"Delay": 1})
    outputs = sandbox.outputs("tagged")

    tags = sandbox.client("s3").get_bucket_tagging(Bucket=outputs["Bucket"])["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags}.items() >= {"own": "kept", "of": "stack"}.items()

    def reservations() -> list[dict[str, Any]]:
        filters = [{"Name": "tag:of", "Values": ["stack"]}]
        found: list[dict[str, Any]] = ec2.describe_instances(Filters=filters)["Reservations"]
        return found

    (instance,) = eventually(reservations)[0]["Instances"]
    assert "own" not in {tag["Key"] for tag in instance["Tags"]}
    cloudformation.delete_stack(StackName="tagged")
