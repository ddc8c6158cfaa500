"""What each function may do: a role of its own, exact resources, and `*` only where AWS knows no resource."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.cfn import Template

ROOT = Path(__file__).resolve().parents[3]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
QUEUE = Template.load(ROOT / "queue.yaml")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {
    "QueueUrl": URL,
    "DeadLetterQueueUrl": f"{URL}-dead-letters",
    "GroupName": "workers",
    "TargetWaitSeconds": "60",
}
FUNCTIONS = ("Planner", "Drainer", "Redriver", "Operator", "Console", "Onboarding")
READS = ("Get", "Describe", "List", "Query")

# Actions that may be granted on everything, each with the reason.
EVERYWHERE = {
    "autoscaling:DescribeAutoScalingGroups": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeAutoScalingInstances": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeInstanceRefreshes": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeScalingActivities": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeWarmPool": "no resources: AWS's service authorization reference",
    "autoscaling:DescribePolicies": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeScheduledActions": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeLifecycleHooks": "no resources: AWS's service authorization reference",
    "autoscaling:DescribeLaunchConfigurations": "no resources: AWS's service authorization reference",
    "ec2:DescribeTags": "no resources: AWS's service authorization reference",
    "ec2:DescribeLaunchTemplateVersions": "no resources: AWS's service authorization reference",
    "ssm:DescribeInstanceInformation": "no resources: AWS's service authorization reference",
    "ec2:DescribeInstanceStatus": "no resources: AWS's service authorization reference",
    "ec2:DescribeInstances": "no resources: AWS's service authorization reference",
    "ssm:ListCommandInvocations": "no resources: AWS's service authorization reference",
    "xray:PutTraceSegments": "no resources: AWS's service authorization reference",
    "xray:PutTelemetryRecords": "no resources: AWS's service authorization reference",
    "cloudwatch:GetMetricData": "its one resource, a dataset, is no metric; metrics have no ARNs",
    "cloudwatch:DescribeAlarms": "composite alarms are told only to those who may describe all: API reference",
}

Statement = Mapping[str, Any]


def listed(value: Any) -> list[Any]:
    """IAM's one-or-many, as many."""
    return value if isinstance(value, list) else [value]


def policies(role: str, **parameters: str) -> Iterator[tuple[str, Statement]]:
    """Every statement of a function's role: (policy, statement)."""
    found = STACK.resolve(ASKED | parameters).properties(f"{role}Role")
    for policy in found["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield policy["PolicyName"], statement


def granted(role: str) -> set[str]:
    """Every action of a role, but for what it may do with the stack's own work queues."""
    return {
        action
        for _, statement in policies(role)
        if statement.get("Sid") != "Steps"
        for action in listed(statement["Action"])
    }


def test_planner_alone_receives_steps_and_hands_them_over() -> None:
    """Who has chains, or starts some, may send to the work queue; the planner may invoke the two functions of steps."""
    own = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]

    def grants(sid: str) -> dict[str, list[tuple[Any, Any]]]:
        return {
            role: [(one["Action"], one["Resource"]) for _, one in policies(role) if one.get("Sid") == sid]
            for role in FUNCTIONS
        }

    nobody: dict[str, list[tuple[Any, Any]]] = {role: [] for role in FUNCTIONS}
    sends: list[tuple[Any, Any]] = [("sqs:SendMessage", "<WorkQueue.Arn>")]
    assert grants("Steps") == nobody | {
        "Planner": [(own, "<WorkQueue.Arn>")], "Drainer": sends, "Redriver": sends, "Operator": sends
    }  # fmt: skip
    functions = ["<Drainer.Arn>", "<RedriveJobs.Arn>"]
    assert grants("HandOver") == nobody | {"Planner": [("lambda:InvokeFunction", functions)]}


def authorization_reference() -> dict[str, Any]:
    """AWS's service authorization reference, as cfn-lint ships it: which action takes which resource."""
    spec = importlib.util.find_spec("cfnlint")
    assert spec is not None
    assert spec.origin is not None
    return dict(json.loads((Path(spec.origin).parent / "data/AdditionalSpecs/Policies.json").read_text()))


def test_role_is_the_functions_own_when_it_runs() -> None:
    """Six functions, six roles, each with its policies inline."""
    stack = STACK.resolve(ASKED)

    for name in FUNCTIONS:
        assert stack.properties(name)["Role"] == f"<{name}Role.Arn>"
        assert stack.properties(f"{name}Role")["RoleName"] == f"sluice-{name.lower()}-eu-west-1"
        assert "ManagedPolicyArns" not in stack.properties(f"{name}Role")
        trust = stack.properties(f"{name}Role")["AssumeRolePolicyDocument"]["Statement"]
        assert [one["Principal"] for one in trust] == [{"Service": "lambda.amazonaws.com"}]


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
                # A group's ARN holds an id that is not known beforehand; its name follows.
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


TAGS = ("aws:ResourceTag/sluice:stack", "ssm:resourceTag/sluice:stack")
# What is granted on what a stack does not make, without a condition on its tag: reading, and what is said beside.
UNTAGGED = {
    "autoscaling:CreateOrUpdateTags": "only where there is no such tag yet, or the stack's",
    "sqs:TagQueue": "only where there is no such tag yet, or the stack's",
    "ec2:CreateTags": "only where there is no such tag yet, or the stack's",
    "kms:Decrypt": "through SQS only, which uses the key of a queue that is called",
    "kms:GenerateDataKey": "through SQS only, which uses the key of a queue that is called",
}


def of_fleets(role: str) -> Iterator[Statement]:
    """The statements on groups, instances, queues and keys that are not the stack's own."""
    for _, statement in policies(role):
        for resource in listed(statement["Resource"]):
            if any(part in resource for part in (":autoScalingGroup:", ":instance/", ":sqs:", ":kms:")):
                yield statement


def test_templates_of_fleets_grant_nothing() -> None:
    """What the stack's roles may do with a fleet is said once, in template.yaml."""
    asked = ASKED | {"FleetName": "orders"}
    kinds = {
        found["Type"]
        for resolved in (FLEET.resolve(asked), QUEUE.resolve({k: v for k, v in asked.items() if k != "GroupName"}))
        for found in resolved.resources.values()
    }

    assert not {kind for kind in kinds if kind.startswith("AWS::IAM::") or kind == "AWS::Lambda::Permission"}


@pytest.mark.parametrize("role", FUNCTIONS)
def test_only_tagged_resources_may_be_used(role: str) -> None:
    """The tag has this stack's name. StringEquals does not match a resource without the tag."""
    for statement in of_fleets(role):
        conditions = statement.get("Condition", {}).get("StringEquals", {})
        if any(conditions.get(tag) == "sluice" for tag in TAGS):
            continue
        for action in listed(statement["Action"]):
            assert action in UNTAGGED or action.split(":")[1].startswith(READS), (role, action)
            assert action.split(":")[1].startswith(READS) is (role == "Onboarding" and "Condition" not in statement)


@pytest.mark.parametrize("role", FUNCTIONS)
def test_action_knows_the_tag_when_it_is_a_condition(role: str) -> None:
    """By AWS's own reference: a condition that a service does not know would never hold.

    https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
    """
    reference = authorization_reference()
    for statement in of_fleets(role):
        keys = {
            key.partition("/")[0]
            for operator in statement.get("Condition", {}).values()
            for key in operator
            if "esourceTag/" in key
        }
        for action in listed(statement["Action"]) if keys else ():
            service, name = action.split(":")
            kinds = {"autoscaling": "autoScalingGroup", "sqs": "queue", "ssm": "instance", "ec2": "instance"}
            assert kinds[service] in reference[service]["Actions"][name.lower()]["Resources"]
            known = reference[service]["Resources"][kinds[service].lower()]["ConditionKeys"]
            assert {f"{key}/${{TagKey}}" for key in keys} <= set(known), action


def test_onboarding_sets_no_other_tag_and_takes_over_no_resource() -> None:
    """One key, one value, and only where the tag is missing or the stack's already; instances are those of groups."""
    tagging = {
        action: statement["Condition"]
        for policy, statement in policies("Onboarding")
        if policy == "tag"
        for action in listed(statement["Action"])
    }

    assert set(tagging) == {"autoscaling:CreateOrUpdateTags", "sqs:TagQueue", "ec2:CreateTags"}
    for action, condition in tagging.items():
        assert condition["StringEquals"] == {"aws:RequestTag/sluice:stack": "sluice"}
        assert condition["StringEqualsIfExists"] == {TAGS[0]: "sluice"}
        assert condition["ForAllValues:StringEquals"] == {"aws:TagKeys": ["sluice:stack"]}
        of_groups = {"aws:ResourceTag/aws:autoscaling:groupName": "false"}
        assert condition.get("Null") == (of_groups if action == "ec2:CreateTags" else None)


def test_nothing_may_be_tagged_when_the_user_does_it() -> None:
    """SetsTags=false takes the rights away, and tells the function."""
    actions = {action for _, one in policies("Onboarding", SetsTags="false") for action in listed(one["Action"])}

    assert not {action for action in actions if "Tag" in action and not action.split(":")[1].startswith(READS)}
    variables = STACK.resolve(ASKED | {"SetsTags": "false"}).properties("Onboarding")["Environment"]["Variables"]
    assert variables["SLUICE_SETS_TAGS"] == "false"


def test_keys_are_used_only_through_queues() -> None:
    """SQS uses a queue's key in the name of whoever calls it, and only tagged queues may be called."""
    for role in ("Redriver", "Operator"):
        (grant,) = [one for _, one in policies(role) if "kms:Decrypt" in listed(one["Action"])]
        assert set(grant["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
        assert grant["Resource"] == "arn:aws:kms:eu-west-1:123456789012:key/*"
        assert grant["Condition"] == {"StringEquals": {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}}
    others = ("Planner", "Drainer", "Console")
    assert not [one for role in others for _, one in policies(role) if "kms:Decrypt" in listed(one["Action"])]


def test_documents_are_the_stacks_own_when_commands_are_run() -> None:
    """Those that are called after the stack, so that one grant serves; none of them is AWS's, which run any script."""
    (grant,) = [one["Resource"] for _, one in policies("Drainer") if ":document/" in str(one["Resource"])]

    assert grant == "arn:aws:ssm:eu-west-1:123456789012:document/sluice-*"
    templates = [(ROOT / name).read_text() for name in ("template.yaml", "fleet.yaml", "queue.yaml")]
    assert not any("RunShellScript" in text.replace("aws:runShellScript", "") for text in templates)


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
        "autoscaling:TerminateInstanceInAutoScalingGroup": ["Drainer", "Operator"],
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
