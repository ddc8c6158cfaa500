"""Is each function's IAM enough, and nothing spare? Calls recorded on the emulator against the roles' policies.

A call that was refused is a fault: something is missing (or something calls what it should not). A grant, one action on
one resource, that no call needed is spare, unless EXCUSED says why it is there all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

FUNCTIONS = ("planner", "drainer", "redriver", "operator", "console", "onboarding")

# (function or *, action, resource pattern) -> why it is granted although the emulator never sees it used.
EXCUSED: Mapping[tuple[str, str, str], str] = {
    ("*", "logs:CreateLogStream", "*"): "Lambda itself writes the log, with the function's role",
    ("*", "logs:PutLogEvents", "*"): "Lambda itself writes the log, with the function's role",
    ("*", "xray:PutTraceSegments", "*"): "Lambda's own daemon sends traces; the emulator has none",
    ("*", "xray:PutTelemetryRecords", "*"): "Lambda's own daemon sends traces; the emulator has none",
    ("*", "sqs:SendMessage", "*-failures"): "Lambda itself puts aside what a function failed on for good",
    ("*", "ssm:GetParametersByPath", "*/fleets*"): "only while the ledger has no copy of the documents that is kept",
    ("*", "ssm:GetParameterHistory", "*/fleets*"): "only where a fleet's document is invalid",
    ("*", "autoscaling:DescribeWarmPool", "*"): "only for a group with a warm pool",
    ("planner", "cloudwatch:DescribeAlarms", "*"): "only for a fleet with an alarm that forbids scaling out",
    ("drainer", "ssm:ListCommandInvocations", "*"): "only when a command's event was lost or says Failed",
    ("drainer", "ec2:DescribeInstances", "*"): "only for a drain that is under way for longer than its event takes",
    ("drainer", "autoscaling:DescribeScalingActivities", "*"): "only for a launch that no event has reported",
    ("drainer", "autoscaling:DescribeInstanceRefreshes", "*"): "only for consumers that say that they are busy",
    ("drainer", "autoscaling:SetInstanceProtection", "*"): "only for consumers that say that they are busy",
    ("drainer", "autoscaling:TerminateInstanceInAutoScalingGroup", "*"): "only for what EC2 has scheduled",
    ("drainer", "sqs:GetQueueAttributes", "*"): "only for a fleet with drain.silence_s",
    ("drainer", "ssm:DescribeInstanceInformation", "*"): "only for a fleet with drain.silence_s",
    ("redriver", "dynamodb:BatchGetItem", "*"): "only for a redrive that goes on after its request was answered",
    ("redriver", "dynamodb:BatchWriteItem", "*"): "only for a redrive that goes on after its request was answered",
    ("redriver", "s3:ListBucket", "*"): "no call: it lets S3 say that a key is not there",
    ("redriver", "kms:*", "*"): "SQS itself uses the queues' key, on the function's behalf",
    ("redriver", "dynamodb:DeleteItem", "*"): "only for a redrive that goes on after its request was answered",
    ("redriver", "sqs:SendMessage", "*"): "only for dead letters that are retried, and such a redrive",
    ("redriver", "s3:GetObject", "*"): "only for a redrive that goes on after its request was answered",
    ("redriver", "s3:DeleteObject", "*"): "only for a redrive that goes on after its request was answered",
    ("redriver", "sqs:*MessageMoveTask*", "*"): "only for a redrive out of a dead-letter queue with thousands of them",
    ("operator", "dynamodb:GetItem", "*"): "only where an operator names a message, a job or an instance",
    ("operator", "dynamodb:ConditionCheckItem", "*"): "only to put into quarantine, and to restore",
    ("operator", "sqs:GetQueueAttributes", "*"): "of the dead-letter queue only with redrive.mode manual",
    ("operator", "s3:ListBucket", "*"): "no call: it lets S3 say that a key is not there",
    ("operator", "kms:*", "*"): "SQS itself uses the queues' key, on the function's behalf",
    ("operator", "s3:ListBucketVersions", "*"): "only to restore what was let go of",
    ("operator", "s3:GetObjectVersion", "*"): "only to restore what was let go of",
    ("operator", "s3:PutObject", "*"): "only to put into quarantine, with redrive.mode manual, and to restore",
    ("operator", "sqs:ReceiveMessage", "*"): "only for dead letters that wait in their queue, with redrive.mode manual",
    ("operator", "sqs:DeleteMessage", "*"): "only for dead letters that wait in their queue, with redrive.mode manual",
    (
        "operator",
        "sqs:ChangeMessageVisibility",
        "*",
    ): "only for dead letters that wait in their queue, with redrive.mode manual",
    ("operator", "sqs:*MessageMoveTask*", "*"): "only for a redrive out of a dead-letter queue with thousands of them",
    ("operator", "autoscaling:DescribeAutoScalingInstances", "*"): "only to release an instance",
    ("planner", "lambda:InvokeFunction", "*-redrive-jobs"): "only for a redrive that goes on after its request",
    ("operator", "sqs:SendMessage", "*-work"): "only for a redrive or a release that goes on after its request",
    ("operator", "autoscaling:CompleteLifecycleAction", "*"): "only to release an instance",
    ("operator", "autoscaling:TerminateInstanceInAutoScalingGroup", "*"): "only to release what a group has retained",
    ("onboarding", "autoscaling:DescribeLaunchConfigurations", "*"): "only for a group without a launch template",
    ("onboarding", "ssm:DescribeInstanceInformation", "*"): "only for a group with instances in service",
    ("onboarding", "iam:*", "*"): "only for a launch template with an instance profile, and drain.via ssm",
    ("onboarding", "ec2:DescribeLaunchTemplateVersions", "*"): "only for drain.via ssm",
    ("onboarding", "ec2:DescribeTags", "*"): "only for a group with instances",
    ("onboarding", "ec2:CreateTags", "*"): "only for a group whose instances started before it was tagged",
    ("onboarding", "cloudwatch:DescribeAlarms", "*"): "only for a fleet with an alarm that forbids scaling out",
    ("onboarding", "kms:*", "*"): "only for queues that are encrypted with a key",
    ("console", "dynamodb:GetItem", "*"): "only where an operator looks at one message",
    ("console", "s3:GetObject", "*"): "only where an operator looks at one message",
}


class Iam(Protocol):
    """What is used of boto3's IAM client."""

    def list_role_policies(self, *, RoleName: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own names
        """Names of a role's inline policies."""
        ...

    def get_role_policy(self, *, RoleName: str, PolicyName: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own
        """One of them."""
        ...

    def list_attached_role_policies(self, *, RoleName: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own names
        """Managed policies of a role."""
        ...

    def get_policy(self, *, PolicyArn: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own names
        """Which version of a managed policy is in force."""
        ...

    def get_policy_version(self, *, PolicyArn: str, VersionId: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's own
        """One version of it."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action that a function's role allows on one resource or pattern of resources."""

    function: str
    action: str
    resource: str

    def covers(self, call: Call) -> bool:
        """Whether the call is allowed by this grant, as far as action and resource go."""
        return (
            self.function == call.function
            and matches(self.action.lower(), call.action.lower())
            and (matches(self.resource, call.resource) or call.resource == "*")
        )

    @property
    def excuse(self) -> str | None:
        """Why it may go unused, if EXCUSED says so."""
        for (function, action, resource), reason in EXCUSED.items():
            if (
                function in ("*", self.function)
                and matches(action, self.action)
                and (resource == "*" or matches(resource, self.resource))
            ):
                return reason
        return None


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One AWS call of a function, as authorisation saw it."""

    function: str
    action: str
    resource: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found; each tuple is sorted and without repetition."""

    refused: tuple[Call, ...]  # calls that authorisation refused
    spare: tuple[Grant, ...]  # grants without use and without excuse
    idle: tuple[Grant, ...]  # grants without use that are excused
    silent: tuple[str, ...]  # functions without a single call: nothing can be said of them

    @property
    def holds(self) -> bool:
        """Whether IAM was enough and nothing was spare."""
        return not (self.refused or self.spare or self.silent)

    def __str__(self) -> str:
        """One line for each finding."""
        lines = [f"{one.function}: refused {one.action} on {one.resource}" for one in self.refused]
        lines += [f"{one.function}: never used {one.action} on {one.resource}" for one in self.spare]
        lines += [f"{name}: made no call at all" for name in self.silent]
        return "\n".join(lines) or "every call was allowed, and every grant was used or has its reason"


def matches(pattern: str, text: str) -> bool:
    """IAM's own wildcards: * for any characters, ? for one; brackets are plain characters."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def grants(iam: Iam, stack: str, region: str) -> tuple[Grant, ...]:
    """Every grant of the policies of a stack's functions.

    Raises:
        ValueError: a statement that this audit cannot read, such as a Deny or a NotAction.
    """
    return tuple(
        sorted(
            {
                Grant(function, action, resource)
                for function in FUNCTIONS
                for statement in _statements(iam, f"{stack}-{function}-{region}")
                for action in _listed(statement["Action"])
                for resource in _listed(statement["Resource"])
            }
        )
    )


def _statements(iam: Iam, role: str) -> Iterator[Mapping[str, Any]]:
    documents = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents[arn] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    for policy, document in documents.items():
        for statement in _listed(document["Statement"]):
            if statement["Effect"] != "Allow" or not {"Action", "Resource"} <= set(statement):
                raise ValueError(f"{role}, policy {policy}: cannot be audited: {statement}")
            yield statement


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def calls(records: Iterable[Mapping[str, Any]], stack: str, region: str) -> tuple[Call, ...]:
    """The calls of a stack's functions among the emulator's records; other principals' are left out.

    Args:
        records: with `principal` (the ARN of a role or of its session), `action`, `resource` and `allowed`.
        stack: whose functions.
        region: part of the roles' names.
    """
    role = re.compile(rf"[:/]{re.escape(stack)}-({'|'.join(FUNCTIONS)})-{re.escape(region)}(?:/|$)")
    return tuple(
        Call(found[1], record["action"], record["resource"], bool(record["allowed"]))
        for record in records
        if (found := role.search(record["principal"]))
    )


def audit(granted: Sequence[Grant], made: Sequence[Call]) -> Report:
    """Compare what may be done with what was done."""
    distinct = sorted(set(made))
    allowed = [call for call in distinct if call.allowed]
    unused = [grant for grant in granted if not any(grant.covers(call) for call in allowed)]
    return Report(
        refused=tuple(call for call in distinct if not call.allowed),
        spare=tuple(grant for grant in unused if grant.excuse is None),
        idle=tuple(grant for grant in unused if grant.excuse is not None),
        silent=tuple(name for name in FUNCTIONS if not any(call.function == name for call in distinct)),
    )


def audit_stack(iam: Iam, records: Iterable[Mapping[str, Any]], stack: str, region: str) -> Report:
    """Audit a deployed stack by the calls that were recorded since."""
    return audit(grants(iam, stack, region), calls(records, stack, region))
