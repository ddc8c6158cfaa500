"""What each function may do: a role of its own, exact resources, and `*` only where AWS knows no resource."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.cfn import Template

ROOT = Path(__file__).resolve().parents[3]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {
    "QueueUrl": URL,
    "DeadLetterQueueUrl": f"{URL}-dead-letters",
    "GroupName": "workers",
    "TargetWaitSeconds": "60",
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
# Everything that adds a statement.
WHOLE = ASKED | {
    "FleetName": "orders",
    "QueueKmsKeyArn": KEY,
}
FUNCTIONS = ("Planner", "Drainer", "Redriver", "Operator", "Console", "Onboarding")
READS = ("Get", "Describe", "List", "Query")

# Actions that may be granted on everything, each with the reason.
EVERYWHERE = {
    "autoscaling:DescribeAutoScalingGroups": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeAutoScalingInstances": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeScalingActivities": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeWarmPool": "no resources: AWS's service authorization reference",
    "autoscaling:DescribePolicies": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeScheduledActions": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeLifecycleHooks": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeLaunchConfigurations": "no resources: AWS's service authorization reference",
    "ec2:DescribeLaunchTemplateVersions": "no resources: AWS's service authorization reference",
    "ssm:DescribeInstanceInformation": "no resources: AWS's service authorization reference",
    "ec2:DescribeInstances": "no resources: AWS's service authorization reference",
    "ssm:ListCommandInvocations": "no resources: AWS's service authorization reference",
    "xray:PutTraceSegments": "no resources: AWS's service authorization reference",
    "xray:PutTelemetryRecords": "no resources: AWS's service authorization reference",
    "cloudwatch:GetMetricData": "its one resource, a dataset, is no metric; metrics have no ARNs",
    "cloudwatch:DescribeAlarms": "composite alarms are told only to those who may describe all: API reference",
}

Statement = Mapping[str, Any]
MANAGED = "managed"  # beside a role's inline policies


def listed(value: Any) -> list[Any]:
    """IAM's one-or-many, as many."""
    return value if isinstance(value, list) else [value]


def policies(role: str, fleet_parameters: Mapping[str, str] | None = None) -> Iterator[tuple[str, Statement]]:
    """Every statement of a function's role, the fleet's own included: (policy, statement)."""
    found = STACK.resolve(ASKED).properties(f"{role}Role")
    for policy in found["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield policy["PolicyName"], statement
    fleet = FLEET.resolve(WHOLE if fleet_parameters is None else fleet_parameters)
    for properties in fleet.of_type("AWS::IAM::Policy").values():
        if f"sluice-{role.lower()}-eu-west-1" in properties["Roles"]:
            for statement in properties["PolicyDocument"]["Statement"]:
                yield properties["PolicyName"], statement
    for properties in fleet.of_type("AWS::IAM::ManagedPolicy").values():
        if f"sluice-{role.lower()}-eu-west-1" in properties["Roles"]:
            for statement in properties["PolicyDocument"]["Statement"]:
                yield MANAGED, statement


def granted(role: str) -> set[str]:
    """Every action of a role, but for what it may do with the stack's own work queues."""
    return {
        action
        for _, statement in policies(role)
        if statement.get("Sid") != "Steps"
        for action in listed(statement["Action"])
    }


def test_work_queues_are_their_functions_own_when_steps_are_granted() -> None:
    """Each function has its own; the operator function sends to two, so that a request begins at once."""
    own = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    steps = {
        role: [(one["Action"], one["Resource"]) for _, one in policies(role) if one.get("Sid") == "Steps"]
        for role in FUNCTIONS
    }
    assert steps == {role: [] for role in FUNCTIONS} | {
        "Planner": [(own, "<TicksQueue.Arn>")],
        "Drainer": [(own, "<DrainsQueue.Arn>")],
        "Redriver": [(own, "<JobsQueue.Arn>")],
        "Operator": [("sqs:SendMessage", ["<DrainsQueue.Arn>", "<JobsQueue.Arn>"])],
    }


def authorization_reference() -> dict[str, Any]:
    """AWS's service authorization reference, as cfn-lint ships it: which action takes which resource."""
    spec = importlib.util.find_spec("cfnlint")
    assert spec is not None
    assert spec.origin is not None
    return dict(json.loads((Path(spec.origin).parent / "data/AdditionalSpecs/Policies.json").read_text()))


def test_role_is_the_functions_own_when_it_runs() -> None:
    """Six functions, six roles, found by the names that fleet.yaml goes by."""
    stack = STACK.resolve(ASKED)

    for name in FUNCTIONS:
        assert stack.properties(name)["Role"] == f"<{name}Role.Arn>"
        assert stack.properties(f"{name}Role")["RoleName"] == f"sluice-{name.lower()}-eu-west-1"
        assert "ManagedPolicyArns" not in stack.properties(f"{name}Role")
        trust = stack.properties(f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
        assert [one["Principal"] for one in trust] == [{"Service": "lambda.amazonaws.com"}]
    roles = {role for policy in FLEET.resolve(WHOLE).of_type("AWS::IAM::Policy").values() for role in policy["Roles"]}
    assert roles == {
        f"sluice-{name}-eu-west-1" for name in ("planner", "drainer", "redriver", "operator", "onboarding")
    }


@pytest.mark.parametrize("role", FUNCTIONS)
def test_grant_is_exact_when_aws_knows_resources(role: str) -> None:
    """No action is a pattern, none is on everything but those listed, and no ARN is open in its middle."""
    for policy, statement in policies(role):
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            assert "*" not in action, (policy, action)
            for resource in listed(statement["Resource"]):
                if resource == "*":
                    assert action in EVERYWHERE, (policy, action)
                    continue
                ends_open = resource.endswith(("/*", ":*"))
                inner = resource.removesuffix("*") if ends_open else resource
                # A group's ARN holds an id that is not known beforehand; its name, which is unique, follows.
                inner = inner.replace("autoScalingGroup:*:", "autoScalingGroup:")
                # A Run Command document of one's own is called after the stack.
                inner = inner.replace(":document/sluice-*", ":document/sluice-")
                assert "*" not in inner, (policy, action, resource)


def test_actions_have_no_resources_when_granted_on_everything() -> None:
    """The reasons above are AWS's own, action by action, which parliament's excuses of whole policies do not tell.

    And nothing is listed that nobody is granted.
    """
    reference = authorization_reference()
    for action, reason in EVERYWHERE.items():
        service, name = action.split(":")
        known = reference[service]["Actions"][name.lower()]
        assert reason
        assert not known.get("Resources") or action.startswith("cloudwatch:"), action
    assert {
        action
        for role in FUNCTIONS
        for _, statement in policies(role)
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    } == set(EVERYWHERE)


@pytest.mark.parametrize("role", FUNCTIONS)
def test_action_exists_when_granted(role: str) -> None:
    """A misspelt action would grant nothing, and be found out in the night."""
    reference = authorization_reference()

    for action in granted(role):
        service, name = action.split(":")
        assert name.lower() in reference[service]["Actions"], action


def test_fleet_grants_nothing_beyond_its_own_when_added() -> None:
    """Every statement of fleet.yaml names its group, one of its queues, its key, or instances of its group."""
    found = FLEET.resolve(WHOLE)
    for policy in [*found.of_type("AWS::IAM::Policy").values(), *found.of_type("AWS::IAM::ManagedPolicy").values()]:
        for statement in policy["PolicyDocument"]["Statement"]:
            for resource in listed(statement["Resource"]):
                own = resource.endswith(
                    (":autoScalingGroupName/workers", ":123456789012:orders", ":orders-dead-letters", KEY)
                )
                by_tag = statement.get("Condition", {}).get("StringEquals", {}) == {
                    "ssm:resourceTag/aws:autoscaling:groupName": "workers"
                }
                assert own or by_tag, statement


def test_key_is_used_only_through_queues_when_queues_are_encrypted() -> None:
    """The queues' key opens nothing but queues, and nothing is granted where there is no key."""
    grants = [one for _, one in policies("Redriver") if "kms:Decrypt" in listed(one["Action"])]

    assert [one["Condition"] for one in grants] == [{"StringEquals": {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}}]
    plain = [one for _, one in policies("Redriver", ASKED | {"FleetName": "orders"})]
    assert not any("kms:" in action for one in plain for action in listed(one["Action"]))


def test_grants_name_the_queues_own_account_when_it_is_another() -> None:
    """By its URL: the queue's policy in that account has to allow the rest. Another region is another stack's."""
    elsewhere = WHOLE | {"DeadLetterQueueUrl": "https://sqs.eu-west-1.amazonaws.com/210987654321/dead"}
    (grant,) = [one for _, one in policies("Redriver", elsewhere) if one.get("Sid") == "TakeDeadLetters"]

    assert grant["Resource"] == "arn:aws:sqs:eu-west-1:210987654321:dead"


def test_documents_are_the_stacks_own_when_commands_are_run() -> None:
    """Those that are called after the stack, so that one grant serves; none of them is AWS's, which run any script."""
    (grant,) = [one["Resource"] for _, one in policies("Drainer") if ":document/" in str(one["Resource"])]

    assert grant == "arn:aws:ssm:eu-west-1:123456789012:document/sluice-*"
    templates = [(ROOT / name).read_text() for name in ("template.yaml", "fleet.yaml", "queue.yaml")]
    assert not any("RunShellScript" in text.replace("aws:runShellScript", "") for text in templates)


def test_policies_are_another_stacks_own_when_a_fleets_name_is_taken() -> None:
    """IAM keeps a role's inline policies by name: with the fleet's, two stacks would delete one another's."""
    names = {
        stack: {
            policy["PolicyName"]
            for policy in FLEET.resolve(WHOLE, StackName=stack).of_type("AWS::IAM::Policy").values()
        }
        for stack in ("sluice-Fleet-1ABC", "sluice-orders")
    }

    assert names == {stack: {f"fleet-{stack}"} for stack in names}


def test_console_only_reads_when_shown() -> None:
    """Reading and acting are separate functions: besides its logs and traces the console's role changes nothing."""
    work = {action for policy, one in policies("Console") if policy != "run" for action in listed(one["Action"])}

    assert work
    assert all(action.split(":")[1].startswith(READS) for action in work), work


def test_earlier_versions_are_read_only_by_those_that_drain_or_show() -> None:
    """An invalid document's last usable version is for draining: planner and redriver cannot even read it."""
    power = "ssm:GetParameterHistory"
    assert [role for role in FUNCTIONS if power in granted(role)] == ["Drainer", "Operator", "Console"]


def test_power_is_where_it_belongs_when_shared_out() -> None:
    """Only the planner scales, only the drainer commands; what an operator asks for, the operator function does."""
    owners = {
        "autoscaling:SetDesiredCapacity": ["Planner"],
        "autoscaling:CompleteLifecycleAction": ["Drainer", "Operator"],
        "ssm:SendCommand": ["Drainer"],
        "autoscaling:SetInstanceProtection": ["Drainer"],
        "autoscaling:TerminateInstanceInAutoScalingGroup": ["Operator"],
        "sqs:ReceiveMessage": ["Redriver", "Operator"],
        "sqs:DeleteMessage": ["Redriver", "Operator"],
        "s3:PutObject": ["Redriver", "Operator"],
        "s3:DeleteObject": ["Redriver", "Operator"],
        "s3:GetObjectVersion": ["Operator"],
    }
    for action, owned_by in owners.items():
        assert [role for role in FUNCTIONS if action in granted(role)] == owned_by, action


def test_nothing_in_the_stack_invokes_the_operator_function() -> None:
    """People alone do, by their own lambda:InvokeFunction; of the others each trigger is AWS's, from this account."""
    stack = STACK.resolve(ASKED)
    assert "Events" not in stack.properties("Operator")
    permissions = stack.of_type("AWS::Lambda::Permission")
    assert permissions
    for name, permission in permissions.items():
        assert "Operator" not in permission["FunctionName"], name
        assert permission["Principal"].endswith(".amazonaws.com"), name
    console = stack.properties("Console")["Environment"]["Variables"]
    assert console["SLUICE_OPERATOR_ARN"] == "<Operator.Arn>"
    assert not {"SLUICE_REDRIVER_ARN", "SLUICE_DRAINER_ARN"} & set(console), "buttons call the operator function alone"


@pytest.mark.parametrize("role", FUNCTIONS)
def test_action_is_documented_when_granted(role: str) -> None:
    """Who reviews the stack finds every action in the table of docs/operations.md, in the function's row."""
    (row,) = [
        line
        for line in (ROOT / "docs/operations.md").read_text().splitlines()
        if line.startswith(f"| {role.lower()} |") and "ledger" in line
    ]
    for policy, statement in policies(role):
        for action in listed(statement["Action"]):
            name = action.split(":")[1]
            assert policy == "run" or name in row or ("the same" in row and name == "GetParametersByPath"), action


@pytest.mark.parametrize("role", FUNCTIONS)
def test_ten_fleets_fit_when_added_to_a_role(role: str) -> None:
    """IAM allows 10,240 characters of inline policies a role; docs/operations.md promises ten fleets a stack."""
    name = "n" * 40
    fleet = WHOLE | {"QueueUrl": URL + name, "DeadLetterQueueUrl": f"{URL}-dead-letters{name}", "GroupName": name}
    arns = 6 * 100  # the stack's own, which are placeholders here
    document = len('{"Version":"2012-10-17","Statement":[]}')
    size = {"stack": arns + 2 * document, "fleet": document}
    for policy, statement in policies(role, fleet):
        text = json.dumps(statement, separators=(",", ":"))
        if policy != MANAGED:
            size["fleet" if policy.startswith("fleet-") else "stack"] += len(text) + 1

    assert size["stack"] + 10 * size["fleet"] < 10_240, size
    # A role takes ten managed policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    managed = FLEET.resolve(fleet).of_type("AWS::IAM::ManagedPolicy").values()
    assert sum(f"sluice-{role.lower()}-eu-west-1" in one["Roles"] for one in managed) <= 1
