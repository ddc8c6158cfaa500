"""What an instance costs an hour by the instances that a group has."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from sluice_tools.backtest.hourly_cost import HourlyCost, of_group


def priced(answer: dict[str, Any] | None) -> HourlyCost | str:
    """What becomes of an answer of DescribeAutoScalingGroups; of None it is a refusal."""
    client = boto3.client(
        "autoscaling", region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    with Stubber(client) as stub:
        asked = {"AutoScalingGroupNames": ["workers"]}
        if answer is None:
            stub.add_client_error("describe_auto_scaling_groups", "AccessDenied", "no", expected_params=asked)
        else:
            stub.add_response("describe_auto_scaling_groups", answer, asked)
        return of_group(client, "workers")


def a_group(*types: str) -> dict[str, Any]:
    """A group with an instance of each type."""
    instances = [
        {
            "InstanceId": f"i-{number}",
            "InstanceType": each,
            "AvailabilityZone": "eu-central-1a",
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
        }
        for number, each in enumerate(types)
    ]
    group = {
        "AutoScalingGroupName": "workers",
        "MinSize": 0,
        "MaxSize": 9,
        "DesiredCapacity": len(types),
        "DefaultCooldown": 300,
        "AvailabilityZones": ["eu-central-1a"],
        "HealthCheckType": "EC2",
        "CreatedTime": 1_795_510_800,
        "Instances": instances,
    }
    return {"AutoScalingGroups": [group]}


def test_price_when_all_instances_are_of_one_type() -> None:
    """It is the table's, and names the type, the region and the day."""
    found = priced(a_group("m7g.large", "m7g.large"))
    assert isinstance(found, HourlyCost)
    assert found.dollars == 0.0816
    assert found.of(1_000.0) == 81.6
    assert "m7g.large with Linux in us-east-1 on 20" in found.sentence


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (a_group("m7g.large", "c7g.large"), "the group workers has instances of the types c7g.large and m7g.large"),
        (a_group(), "the group workers has no instance whose type could be read"),
        (a_group("mac1.metal"), "there is no price of the group's mac1.metal in the table"),
        ({"AutoScalingGroups": []}, "there is no group workers in this region"),
        (None, "the group workers could not be read: An error occurred (AccessDenied)"),
    ],
)
def test_price_when_the_group_does_not_say_it(answer: dict[str, Any] | None, why: str) -> None:
    """It is unknown, which fails nothing, and the reason is said."""
    found = priced(answer)
    assert isinstance(found, str)
    assert found.startswith(why)
