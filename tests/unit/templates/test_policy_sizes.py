"""Policies that do not grow: a stack with 1,000 fleets has the very policies of a stack with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.cfn import Resolved, Template

ROOT = Path(__file__).resolve().parents[3]
STACK, FLEET, QUEUE = (Template.load(ROOT / f"{name}.yaml") for name in ("template", "fleet", "queue"))
# The longest names that the templates allow: a stack's, a queue's, a group's, a fleet's.
LONGEST = {"stack": "s" * 40, "queue": "q" * 80, "group": "g" * 255, "fleet": "f" * 63}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/"
ROLES = ("Planner", "Drainer", "Redriver", "Operator", "Console", "Onboarding")
FUNCTIONS = (*ROLES, "RedriveJobs")
INLINE_MAX = 10_240  # characters: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
FUNCTION_MAX = 20 * 1024  # bytes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


def queue_url(number: int, kind: str = "") -> str:
    """A queue's URL with the longest name that SQS allows."""
    name = f"{kind}{number}-{LONGEST['queue']}"[:80]
    return f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}"


def numbered(kind: str, number: int) -> str:
    """The longest name of this kind, with a number in it."""
    return f"{kind[0]}{number}-{LONGEST[kind]}"[: len(LONGEST[kind])]


def asked(number: int) -> dict[str, str]:
    """The parameters of one fleet."""
    return {
        "QueueUrl": queue_url(number),
        "DeadLetterQueueUrl": queue_url(number, "dead-"),
        "GroupName": numbered("group", number),
        "FleetName": numbered("fleet", number),
        "TargetWaitSeconds": "60",
    }


def templates(fleets: int) -> Iterator[Resolved]:
    """A stack with so many fleets, each with a further queue: every template as CloudFormation resolves it."""
    stack = {"StackName": LONGEST["stack"]}
    yield STACK.resolve(asked(0) | {"DataKmsKeyArn": KEY}, **stack)
    for number in range(fleets):
        mine = {"SluiceStack": LONGEST["stack"]}
        yield FLEET.resolve(asked(number) | mine, StackName=f"fleet-{number}")
        further = {key: value for key, value in asked(number).items() if key != "GroupName"}
        urgent = {"QueueUrl": queue_url(number, "urgent-"), "DeadLetterQueueUrl": queue_url(number, "urgent-dead-")}
        yield QUEUE.resolve(further | urgent | mine, StackName=f"queue-{number}")


def text(document: Any) -> str:
    """A policy's text as AWS counts it: no spaces. A reference to a resource counts as a long ARN."""
    found = json.dumps(document, separators=(",", ":"))
    return found.replace("<", ARN).replace(".Arn>", "x" * 60)


def function_policy(function: str, resolved: list[Resolved]) -> list[dict[str, Any]]:
    """The statements of a function's own policy: one for each permission, and for each rule and schedule of SAM's."""
    name = f"{LONGEST['stack']}-{function.lower()}"
    found = [
        {"who": one["Principal"], "of": one["SourceArn"], "account": one.get("SourceAccount")}
        for template in resolved
        for one in template.of_type("AWS::Lambda::Permission").values()
        if one["FunctionName"] in {f"<{function}>", name}
    ]
    events = resolved[0].of_type("AWS::Serverless::Function")[function].get("Events", {})
    found += [
        {"who": "events.amazonaws.com", "of": f"arn:aws:events:eu-west-1:123456789012:rule/{name}-{event}-{'x' * 12}"}
        for event in events
    ]
    # https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
    return [
        {
            "Sid": f"{name}-{number}-{'x' * 30}", "Effect": "Allow", "Principal": {"Service": one["who"]},
            "Action": "lambda:InvokeFunction", "Resource": f"arn:aws:lambda:eu-west-1:123456789012:function:{name}",
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": one.get("account")}, "ArnLike": {"AWS:SourceArn": one["of"]},
            },
        }
        for number, one in enumerate(found)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def worlds() -> Mapping[int, list[Resolved]]:
    """Stacks with one fleet, and with a thousand."""
    return {fleets: list(templates(fleets)) for fleets in (1, 1_000)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_policy_has_one_size_when_fleets_are_added(
    function: str, worlds: Mapping[int, list[Resolved]]
) -> None:
    """What may invoke a function is said once for the stack."""
    sizes = {fleets: len(text(function_policy(function, resolved))) for fleets, resolved in worlds.items()}
    sys.stdout.write(f"{function}: resource policy {sizes} bytes of {FUNCTION_MAX}\n")

    assert sizes[1] == sizes[1_000]
    assert sizes[1] < FUNCTION_MAX / 2


def inline_policies(role: str, resolved: list[Resolved]) -> list[Any]:
    """A role's inline policies: those in template.yaml, and those that any template adds to it by its name."""
    name = f"{LONGEST['stack']}-{role.lower()}-eu-west-1"
    return [
        *(one["PolicyDocument"] for one in resolved[0].properties(f"{role}Role")["Policies"]),
        *(
            one["PolicyDocument"]
            for template in resolved
            for kind in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy")
            for one in template.of_type(kind).values()
            if name in (one.get("Roles") or [one.get("RoleName")])
        ),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_roles_inline_policies_have_one_size_when_fleets_are_added(
    role: str, worlds: Mapping[int, list[Resolved]]
) -> None:
    """What a role may do with fleets is said once for the stack, and no template attaches managed policies to it."""
    sizes = {
        fleets: sum(len(text(document)) for document in inline_policies(role, resolved))
        for fleets, resolved in worlds.items()
    }
    sys.stdout.write(f"{role}: inline policies {sizes} characters of {INLINE_MAX}\n")

    assert sizes[1] == sizes[1_000]
    assert sizes[1] < INLINE_MAX * 3 / 4
    assert not [one for template in worlds[1] for one in template.of_type("AWS::IAM::ManagedPolicy")]
