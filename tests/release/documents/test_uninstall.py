"""A further fleet and a further queue come, and they and the stack go, by the lines that the documents print.

The last file of this package by its name, since no stack is there afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from sluice_tools.sandbox.sandbox import ROOT
from tests.support.deployed_stacks import STACK
from tests.support.pasted import FOLLOWED, account_blocks, elsewhere
from tests.support.pasted_deployment import Clone, clone, with_names

pytestmark = pytest.mark.sandbox

QUEUES = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
HERE = "run by tests/release/documents/test_uninstall.py"
QUERIES = re.findall(
    r"^\| ([^|]+?) \|.*\?", (ROOT / "docs/grafana.md").read_text().partition("## Save the queries")[2], re.MULTILINE
)
"""The names in the page's table, whose other column asks what each answers."""
FURTHER = ("sluice-invoices", "sluice-orders-urgent")


def lines(word: str) -> list[str]:
    """The documents' lines with this word that are run here, in their order."""
    found = [line for document in FOLLOWED for block in account_blocks(document) for line in block.lines]
    return [line for line in found if elsewhere(line) == HERE and word in line]


@pytest.fixture(scope="module")
def names(deployed: Any) -> Mapping[str, str]:
    """What the documents name: the queues of the further fleet and the further queue, and the fleet's group."""
    sqs, autoscaling = deployed.sandbox.client("sqs"), deployed.sandbox.client("autoscaling")
    made = {}
    for name in ("invoices", "orders-urgent"):
        dead = made[f"{QUEUES}{name}-dead"] = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "3"})
        made[f"{QUEUES}{name}"] = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="invoices-workers",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate=group.get("LaunchTemplate")
        or group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"],
        VPCZoneIdentifier=group["VPCZoneIdentifier"],
    )
    return made | {
        f"{QUEUES}orders": deployed.orders["QueueUrl"],
        f"{QUEUES}orders-dead": deployed.orders["DeadLetterQueueUrl"],
        "orders-workers": deployed.orders["GroupName"],
    }


@pytest.fixture(scope="module")
def pasting(deployed: Any, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The folder of who deployed the stack."""
    return clone(deployed.sandbox, tmp_path_factory.mktemp("clone"))


def paste(pasting: Clone, line: str, names: Mapping[str, str], *, answers: int) -> None:
    """Paste a line that works, with yes to each of its questions."""
    done = pasting.paste(with_names(line, names), ["y"] * answers)
    assert done.returncode == 0, f"{line}\n{done.stdout[-4_000:]}"


def functions(client: Any) -> set[str]:
    """The names of the account's functions."""
    return {one["FunctionName"] for one in client.list_functions()["Functions"]}


def test_fleet_and_queue_come_and_all_goes_when_pasted(deployed: Any, pasting: Clone, names: Mapping[str, str]) -> None:
    """Both are there, then neither they nor the stack; ledger and archive stay, and the queues without a tag."""
    client = deployed.sandbox.client
    fleets = f"/sluice/{STACK}/fleets/"

    def documents() -> set[str]:
        found = client("ssm").get_parameters_by_path(Path=fleets, Recursive=True)["Parameters"]
        return {one["Name"].removeprefix(fleets) for one in found}

    for line in lines("sam deploy"):
        paste(pasting, line, names, answers=1)
    assert {"invoices", "orders/queues/orders-urgent"} <= documents()
    saved = client("logs").describe_query_definitions(queryDefinitionNamePrefix=f"sluice/{STACK}/")["queryDefinitions"]
    assert sorted(one["name"].rpartition("/")[2] for one in saved) == sorted(QUERIES)
    groups = {group for one in saved for group in one["logGroupNames"]}
    assert groups <= {f"/aws/lambda/{name}" for name in functions(client("lambda"))}

    for line in lines("sam delete"):
        paste(pasting, line, names, answers=3)
    gone = [one["StackName"] for one in client("cloudformation").list_stacks()["StackSummaries"]
            if one["StackStatus"] == "DELETE_COMPLETE"]  # fmt: skip
    assert {STACK, *FURTHER} <= set(gone)
    assert documents() == set()
    hooks = client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=deployed.orders["GroupName"])
    assert hooks["LifecycleHooks"] == []
    assert (
        client("dynamodb").describe_table(TableName=deployed.sluice["LedgerTable"])["Table"]["TableStatus"] == "ACTIVE"
    )
    assert client("s3").head_bucket(Bucket=deployed.sluice["ArchiveBucket"])

    queue = deployed.orders["QueueUrl"]
    assert client("sqs").list_queue_tags(QueueUrl=queue)["Tags"]["sluice:stack"] == STACK
    for line in lines("enroll --remove"):
        paste(pasting, line, names, answers=0)
    assert "sluice:stack" not in client("sqs").list_queue_tags(QueueUrl=queue).get("Tags", {})
