"""The example deployed by its template: an instance consumes under its own role, and drains by itself."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.orders.orders.order import Order
from examples.orders.orders.store import Store
from examples.orders.orders.worklog import read_worklog
from sluice_tools.sandbox.packages import deploy_package
from sluice_tools.sandbox.sandbox import Sandbox
from tests.support.orders_fakes import make_order, new_store
from tests.support.orders_services import EXAMPLE

pytestmark = pytest.mark.sandbox

HOOK, DATABASE_PARAMETER = "drain", "/orders-deployed/database-url"


class Deployed:
    """The deployed stack, its database, and what its instances do."""

    def __init__(self, sandbox: Sandbox, outputs: dict[str, str], directory: Path) -> None:
        self.sqs = sandbox.client("sqs")
        self.autoscaling = sandbox.client("autoscaling")
        self.outputs = outputs
        self.work_log = directory / "work.jsonl"
        self.store: Store = new_store(directory)

    def instances(self) -> list[dict[str, Any]]:
        """Of the group."""
        answer = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.outputs["GroupName"]])
        found: list[dict[str, Any]] = answer["AutoScalingGroups"][0]["Instances"]
        return found

    def send(self, order: Order) -> None:
        """Enqueue one order."""
        self.sqs.send_message(QueueUrl=self.outputs["QueueUrl"], MessageBody=order.body())

    def desire(self, count: int) -> None:
        """Set the desired capacity."""
        self.autoscaling.set_desired_capacity(AutoScalingGroupName=self.outputs["GroupName"], DesiredCapacity=count)


@pytest.fixture(scope="module")
def deployed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The stack, deployed as SAM CLI packs it; an instance is a process that reads its settings from a script."""
    directory = tmp_path_factory.mktemp("deployed")
    script = directory / "consumer"
    outputs = deploy_package(
        sandbox,
        EXAMPLE / "template.yaml",
        "orders-deployed",
        {
            "SandboxCommand": str(script),
            "Subnets": "subnet-12345678",
            "SecurityGroups": "sg-12345678",
            "DatabaseUrlParameter": DATABASE_PARAMETER,
            "VisibilityTimeout": "6",
            "MaxReceiveCount": "3",
            "DrainVia": "self",
            "LifecycleHook": HOOK,
        },
    )
    made = Deployed(sandbox, outputs, directory)
    sandbox.client("ssm").put_parameter(
        Name=DATABASE_PARAMETER, Type="SecureString", Value=f"sqlite:///{directory}/orders.db"
    )
    variables = {
        "PYTHONPATH": EXAMPLE,
        "QUEUE_URL": outputs["QueueUrl"],
        "DEAD_LETTER_QUEUE_URL": outputs["DeadLetterQueueUrl"],
        "DATABASE_URL_PARAMETER": DATABASE_PARAMETER,
        "WORK_LOG": made.work_log,
        "WORK_S": "3",  # long enough for an extension of the visibility
        "VISIBILITY_S": "6",
        "RECEIVE_WAIT_S": "1",
        "DRAIN_VIA": "self",
        "GROUP_NAME": outputs["GroupName"],
        "LIFECYCLE_HOOK": HOOK,
    }
    exports = [f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()]
    script.write_text("\n".join(["#!/bin/sh", *exports, f"exec {shlex.quote(sys.executable)} -m orders.consumer\n"]))
    script.chmod(0o755)
    made.autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=outputs["GroupName"],
        LifecycleHookName=HOOK,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=300,
        DefaultResult="CONTINUE",
    )
    yield made
    made.store.close()
    made.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=outputs["GroupName"], ForceDelete=True)


@pytest.fixture(scope="module")
def story(deployed: Deployed, eventually: Callable[..., Any]) -> tuple[Order, Order]:
    """From zero to one, two orders and a poison one, and back to zero in the middle of the second.

    The hook would wait for 300 s: that the instance is gone in seconds shows that the consumer completed the action.
    """
    assert deployed.instances() == []
    first, poison, last = make_order(), make_order(sku="sku-13"), make_order()
    deployed.send(first)
    deployed.send(poison)
    deployed.desire(1)
    eventually(lambda: deployed.store.stored_ids() == {first.order_id}, within_s=60)
    deployed.send(last)
    begun = f'"order_id": "{last.order_id}"'
    eventually(lambda: begun in deployed.work_log.read_text(), within_s=30)
    deployed.desire(0)
    eventually(lambda: deployed.instances() == [], within_s=60)
    return first, last


def test_instance_works_and_drains_itself_when_the_group_asks(deployed: Deployed, story: tuple[Order, Order]) -> None:
    """Nothing was lost, repeated or interrupted."""
    assert deployed.store.stored_ids() == {order.order_id for order in story}
    assert deployed.store.audit().holds
    work = read_worklog(deployed.work_log.read_text().splitlines())
    assert (work.interrupted, work.drains) == ((), 1)
    assert work.outcomes == {"stored": 2, "dead_lettered": 1}


def test_consumers_role_allows_what_it_did_and_nothing_else(
    sandbox: Sandbox, deployed: Deployed, story: tuple[Order, Order]
) -> None:
    """Every call of the instance was allowed, and each granted action was needed."""
    calls = [call for call in sandbox.calls() if "orders-deployed-ConsumerRole" in json.dumps(call)]
    assert [call for call in calls if not call["allowed"]] == []
    assert {call["action"] for call in calls} == {
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
        "ssm:GetParameter",
        "autoscaling:CompleteLifecycleAction",
    }


def test_front_end_policy_allows_enqueueing_and_counting_only(sandbox: Sandbox, deployed: Deployed) -> None:
    """What the output FrontEndPolicyArn grants, and that it reads or deletes nothing."""
    iam = sandbox.client("iam")
    policy = iam.get_policy(PolicyArn=deployed.outputs["FrontEndPolicyArn"])["Policy"]
    document = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
    statements = document["PolicyVersion"]["Document"]["Statement"]
    granted = {
        (action, statement["Resource"])
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert granted == {
        ("sqs:SendMessage", deployed.outputs["QueueArn"]),
        ("sqs:GetQueueAttributes", deployed.outputs["QueueArn"]),
        ("sqs:GetQueueAttributes", deployed.outputs["DeadLetterQueueArn"]),
    }


def test_redrive_policy_is_the_templates(deployed: Deployed) -> None:
    """What merely crashes a consumer ends in the dead-letter queue as well."""
    answer = deployed.sqs.get_queue_attributes(QueueUrl=deployed.outputs["QueueUrl"], AttributeNames=["All"])
    policy = json.loads(answer["Attributes"]["RedrivePolicy"])
    assert policy["deadLetterTargetArn"] == deployed.outputs["DeadLetterQueueArn"]
    assert int(policy["maxReceiveCount"]) == 3
