"""A deployment looks at the account first: what cannot work fails it, with the commands that mend it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sluice_tools.sandbox.packages import delete_stack, deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT, SandboxError
from tests.support import aws_commands

pytestmark = pytest.mark.sandbox


def test_fleet_is_deployed_only_after_its_account_was_mended(deployed: Any) -> None:
    """Two planted faults fail the stack; after the commands that it printed it is deployed, and no read was refused."""
    sandbox = deployed.sandbox
    sqs, autoscaling = sandbox.client("sqs"), sandbox.client("autoscaling")
    (first,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="refund-workers",
        MinSize=0,
        MaxSize=2,
        LaunchTemplate={key: first["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")},
        AvailabilityZones=["eu-central-1a"],
    )
    autoscaling.put_scaling_policy(
        AutoScalingGroupName="refund-workers", PolicyName="cpu", PolicyType="SimpleScaling",
        AdjustmentType="ChangeInCapacity", ScalingAdjustment=1,
    )  # fmt: skip
    parameters = {
        "QueueUrl": sqs.create_queue(QueueName="refunds")["QueueUrl"],
        "DeadLetterQueueUrl": sqs.create_queue(QueueName="refunds-dead")["QueueUrl"],
        "GroupName": "refund-workers",
        "TargetWaitSeconds": "300",
        "FleetName": "refunds",
        "Mode": "act",
    }

    with pytest.raises(SandboxError, match="ROLLBACK_COMPLETE"):
        deploy_package(sandbox, ROOT / "fleet.yaml", "sluice-refunds", parameters)

    events = sandbox.client("cloudformation").describe_stack_events(StackName="sluice-refunds")["StackEvents"]
    reason = next(
        one["ResourceStatusReason"]
        for one in events
        if one["LogicalResourceId"] == "Checked" and one["ResourceStatus"] == "CREATE_FAILED"
    )
    assert "2 problems: DeadLetterQueueUrl: queue refunds has no redrive policy" in reason
    assert "Scaling policy cpu (SimpleScaling) sets the size of group refund-workers." in reason
    commands = re.findall(rf"Run: (aws --region {REGION} .*?)(?= \| |$| \()", reason)
    assert len(commands) == 2, reason
    for command in commands:
        aws_commands.parse(command).run(sandbox.client)
    delete_stack(sandbox, "sluice-refunds")

    deploy_package(sandbox, ROOT / "fleet.yaml", "sluice-refunds", parameters)

    role = f":assumed-role/sluice-onboarding-{REGION}/"
    asked = [call for call in sandbox.calls() if role in call["principal"]]
    assert {"autoscaling:DescribePolicies", "ssm:GetParametersByPath"} <= {call["action"] for call in asked}
    assert [call for call in asked if not call["allowed"]] == []
    delete_stack(sandbox, "sluice-refunds")
