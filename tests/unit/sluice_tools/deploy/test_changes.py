"""A change set in words: what is added, changed, replaced and removed, and what would be lost."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_tools.deploy.changes import ADD, CHANGE, MAY_REPLACE, REMOVE, REPLACE, Change, changes_of, summary, warnings


def described(action: str, name: str, kind: str = "AWS::Lambda::Function", **more: Any) -> dict[str, Any]:
    """A change as DescribeChangeSet gives it."""
    return {
        "Type": "Resource",
        "ResourceChange": {"Action": action, "LogicalResourceId": name, "ResourceType": kind, **more},
    }


@pytest.mark.parametrize(
    ("action", "replacement", "expected"),
    [
        ("Add", None, ADD),
        ("Import", None, ADD),
        ("Remove", None, REMOVE),
        ("Modify", "False", CHANGE),
        ("Modify", "Conditional", MAY_REPLACE),
        ("Modify", "True", REPLACE),
        ("Dynamic", None, MAY_REPLACE),
    ],
)
def test_action_is_told_when_described(action: str, replacement: str | None, expected: str) -> None:
    """Each of CloudFormation's actions and replacements has its word."""
    more = {} if replacement is None else {"Replacement": replacement}
    (change,) = changes_of([described(action, "Planner", **more)])

    assert change.action == expected


def test_changes_are_in_order_when_some_lose_data() -> None:
    """What goes comes first, and each names its properties once."""
    target = {"Target": {"Attribute": "Properties", "Name": "Layers"}}
    tags = {"Target": {"Attribute": "Tags"}}
    found = changes_of(
        [
            described("Add", "Hook"),
            described("Modify", "Planner", Replacement="False", Details=[target, target, tags]),
            described("Remove", "Old"),
        ]
    )

    assert [one.logical_id for one in found] == ["Old", "Planner", "Hook"]
    assert found[1].properties == ("Layers", "Tags")
    assert summary(found) == "1 resource added, 1 resource changed in place, 1 resource removed."


TABLE = "AWS::DynamoDB::Table"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(REPLACE, "Ledger", TABLE, kept=True), ["is replaced by an empty one", "stays in the account"]),
        (Change(REPLACE, "Ledger", TABLE), ["is replaced by an empty one", "are lost"]),
        (Change(MAY_REPLACE, "Ledger", TABLE), ["may be replaced", "are lost"]),
        (Change(REMOVE, "Archive", "AWS::S3::Bucket", kept=True), ["is removed", "stays in the account"]),
        (Change(REMOVE, "WorkQueue", "AWS::SQS::Queue"), ["is removed", "the messages in it are lost"]),
    ],
)
def test_loss_is_pointed_out_when_data_would_go(change: Change, words: list[str]) -> None:
    """With what is in the resource, and whether the old one stays."""
    (warning,) = warnings([change])

    assert [word for word in words if word not in warning] == []


@pytest.mark.parametrize(
    "change",
    [
        Change(ADD, "Ledger", TABLE),
        Change(CHANGE, "Ledger", TABLE),
        Change(REPLACE, "Rule", "AWS::Events::Rule"),
        Change(REMOVE, "Rule", "AWS::Events::Rule"),
    ],
)
def test_nothing_is_pointed_out_when_no_data_would_go(change: Change) -> None:
    """What is new, changes in place, or holds nothing."""
    assert warnings([change]) == []


def test_policy_is_read_when_the_old_resource_is_kept() -> None:
    """CloudFormation says by its policy action what becomes of the old resource."""
    (kept,) = changes_of([described("Modify", "Ledger", TABLE, Replacement="True", PolicyAction="ReplaceAndRetain")])
    (lost,) = changes_of([described("Remove", "Ledger", TABLE, PolicyAction="Delete")])

    assert (kept.kept, lost.kept) == (True, False)
