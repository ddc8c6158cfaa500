"""The audit of what functions may do against what they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sluice_tools.iam_audit import FUNCTIONS, Call, Grant, audit, audit_stack, calls, grants, matches

QUEUE = "arn:aws:sqs:eu-central-1:000000000000:orders"
GROUP = "arn:aws:autoscaling:eu-central-1:000000000000:autoScalingGroup:6f1c:autoScalingGroupName/orders"
ANY_GROUP = GROUP.replace("6f1c", "*")
ROLE = "arn:aws:sts::000000000000:assumed-role/sluice-planner-eu-central-1/sluice-planner"


class Roles:
    """IAM with the policies of roles in memory."""

    def __init__(self, policies: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> None:
        """Role -> policy -> statements; other roles have none."""
        self._policies = policies

    def list_role_policies(self, *, RoleName: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own name
        """As boto3."""
        return {"PolicyNames": list(self._policies.get(RoleName, {}))}

    def get_role_policy(self, *, RoleName: str, PolicyName: str) -> Mapping[str, Any]:  # noqa: N803 - the same
        """As boto3."""
        return {"PolicyDocument": {"Statement": self._policies[RoleName][PolicyName]}}

    def list_attached_role_policies(self, *, RoleName: str) -> Mapping[str, Any]:  # noqa: N803 - the same
        """As boto3: one policy that may release, attached to the operator."""
        attached = [{"PolicyArn": "arn:release"}] if "-operator-" in RoleName and self._policies.get(RoleName) else []
        return {"AttachedPolicies": attached}

    def get_policy(self, *, PolicyArn: str) -> Mapping[str, Any]:  # noqa: N803 - the same
        """As boto3."""
        return {"Policy": {"DefaultVersionId": "v3"}}

    def get_policy_version(self, *, PolicyArn: str, VersionId: str) -> Mapping[str, Any]:  # noqa: N803 - the same
        """As boto3."""
        assert (PolicyArn, VersionId) == ("arn:release", "v3")
        allow = {"Effect": "Allow", "Action": "autoscaling:CompleteLifecycleAction", "Resource": "group"}
        return {"PolicyVersion": {"Document": {"Statement": [allow]}}}


def every_function_calls(granted: Grant) -> tuple[Call, ...]:
    """One allowed call of each function, so that none is silent."""
    return tuple(Call(name, granted.action, granted.resource, allowed=True) for name in FUNCTIONS)


def test_grants_are_single_when_policies_list_many() -> None:
    """One action on one resource each, over all policies of the role."""
    roles = Roles(
        {
            "sluice-planner-eu-central-1": {
                "work": [{"Effect": "Allow", "Action": ["a:One", "a:Two"], "Resource": "*"}],
                "fleet-orders": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": [QUEUE, f"{QUEUE}-2"]}],
            }
        }
    )

    assert grants(roles, "sluice", "eu-central-1") == (
        Grant("planner", "a:One", "*"),
        Grant("planner", "a:Two", "*"),
        Grant("planner", "sqs:SendMessage", QUEUE),
        Grant("planner", "sqs:SendMessage", f"{QUEUE}-2"),
    )


def test_statement_is_refused_when_it_cannot_be_audited() -> None:
    """A Deny or a NotAction would make the comparison wrong without a word."""
    roles = Roles({"sluice-planner-eu-central-1": {"odd": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}})

    with pytest.raises(ValueError, match="policy odd"):
        grants(roles, "sluice", "eu-central-1")


def test_calls_are_the_functions_when_others_call_too() -> None:
    """Sessions of the stack's roles alone: not the operator's, not another stack's with a like name."""
    record = {"action": "sqs:SendMessage", "resource": QUEUE, "allowed": True}

    found = calls(
        [
            record | {"principal": ROLE},
            record | {"principal": ROLE.replace("sts", "iam").removesuffix("/sluice-planner")},
            record | {"principal": "arn:aws:iam::000000000000:root"},
            record | {"principal": ROLE.replace("/sluice-planner-eu", "/blue-sluice-planner-eu")},
            record | {"principal": ROLE.replace("eu-central-1", "eu-central-12")},
        ],
        "sluice",
        "eu-central-1",
    )

    assert found == (Call("planner", "sqs:SendMessage", QUEUE, allowed=True),) * 2


def test_report_holds_when_every_grant_was_used() -> None:
    """Wildcards in ARNs, and actions that AWS asks about without a resource, count as used."""
    granted = (
        Grant("planner", "autoscaling:SetDesiredCapacity", ANY_GROUP),
        Grant("planner", "sqs:GetQueueAttributes", QUEUE),
    )
    made = (
        *every_function_calls(Grant("", "sqs:GetQueueAttributes", QUEUE)),
        Call("planner", "autoscaling:SetDesiredCapacity", GROUP, allowed=True),
    )

    report = audit(granted, made)

    assert report.holds
    assert "every call was allowed" in str(report)


def test_report_names_the_call_when_one_was_refused() -> None:
    """Once, however often it was tried."""
    refused = Call("drainer", "ssm:SendCommand", "*", allowed=False)

    report = audit((), (refused, refused, *every_function_calls(Grant("", "a:b", "*"))))

    assert not report.holds
    assert report.refused == (refused,)
    assert str(report) == "drainer: refused ssm:SendCommand on *"


def test_report_names_the_grant_when_it_was_never_used() -> None:
    """By resource too: one of two queues is spare. Another function's call, or a refused one, is no use of it."""
    granted = (
        Grant("planner", "sqs:GetQueueAttributes", QUEUE),
        Grant("planner", "sqs:GetQueueAttributes", f"{QUEUE}-2"),
    )
    made = (
        *every_function_calls(Grant("", "sqs:GetQueueAttributes", QUEUE)),
        Call("redriver", "sqs:GetQueueAttributes", f"{QUEUE}-2", allowed=True),
        Call("planner", "sqs:GetQueueAttributes", f"{QUEUE}-2", allowed=False),
    )

    report = audit(granted, made)

    assert report.spare == (granted[1],)
    assert not report.holds


def test_grant_is_idle_when_excused() -> None:
    """What the emulator never sees is told apart from what is spare."""
    logs = Grant("console", "logs:PutLogEvents", "arn:aws:logs:eu-central-1:000000000000:log-group:/aws/lambda/x:*")
    odd = Grant("planner", "sqs:SendMessage", QUEUE)

    report = audit((logs, odd), every_function_calls(Grant("", "a:b", "*")))

    assert report.idle == (logs,)
    assert report.spare == (odd,)


def test_report_says_so_when_a_function_was_silent() -> None:
    """A function that made no call was not exercised, so nothing is shown of its role."""
    report = audit((), (Call("planner", "a:b", "*", allowed=True),))

    assert report.silent == ("drainer", "redriver", "operator", "console", "onboarding")
    assert not report.holds


def test_stack_is_audited_when_deployed() -> None:
    """From IAM's policies and the emulator's records to a report."""
    allow = [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE}]
    roles = Roles({f"sluice-{name}-eu-central-1": {"work": allow} for name in FUNCTIONS})
    records = [
        {
            "principal": ROLE.replace("planner", name),
            "action": "sqs:SendMessage",
            "resource": QUEUE,
            "allowed": True,
        }
        for name in FUNCTIONS
    ]

    assert audit_stack(roles, records, "sluice", "eu-central-1").holds
    assert audit_stack(roles, records[1:], "sluice", "eu-central-1").silent == ("planner",)


@pytest.mark.parametrize(
    ("pattern", "text", "is_so"),
    [("a:*", "a:Get", True), ("a?c", "abc", True), ("a[b]", "ab", False), ("a[b]", "a[b]", True), ("A", "a", False)],
)
def test_wildcards_match_when_iam_would(pattern: str, text: str, is_so: bool) -> None:
    """* and ? only."""
    assert matches(pattern, text) is is_so


def test_grants_hold_managed_policies_when_a_role_has_them() -> None:
    """What a fleet's stack attaches counts as what is inline."""
    name = "sluice-operator-eu-central-1"
    roles = Roles({name: {"work": [{"Effect": "Allow", "Action": "a:One", "Resource": "*"}]}})
    assert grants(roles, "sluice", "eu-central-1") == (
        Grant("operator", "a:One", "*"),
        Grant("operator", "autoscaling:CompleteLifecycleAction", "group"),
    )
