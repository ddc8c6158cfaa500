"""A stack that is changed: what is refused before, what is told meanwhile, and how it ends."""

from __future__ import annotations

import pytest

from sluice_tools.deploy.stack import Event, Stack, StackError
from tests.support.fake_cloudformation import FakeCloudFormation

EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."


def stack(fake: FakeCloudFormation) -> Stack:
    """The stack, looked at without a pause."""
    return Stack(cloudformation=fake, name="sluice", pause=lambda _: None)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name sluice"),
        ("DELETE_FAILED", "aws cloudformation delete-stack --stack-name sluice"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name sluice"),
        ("UPDATE_IN_PROGRESS", "another deployment is under way"),
    ],
)
def test_change_is_refused_when_the_stack_cannot_take_it(status: str, words: str) -> None:
    """With what must be done first."""
    found = stack(FakeCloudFormation(status))

    with pytest.raises(StackError, match=status) as refused:
        found.refuse_unless_changeable(found.describe())
    assert words in str(refused.value)


@pytest.mark.parametrize("status", [None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"])
def test_stack_is_new_when_only_a_name_is_there(status: str | None) -> None:
    """A change set that was never carried out leaves a stack without resources."""
    assert stack(FakeCloudFormation(status)).describe() is None


def test_changes_are_read_to_the_last_page_when_prepared() -> None:
    """CloudFormation gives them in pages."""
    fake = FakeCloudFormation()
    fake.changes *= 3

    prepared = stack(fake).prepare("https://template", [], exists=False)

    assert prepared is not None
    assert len(prepared[1]) == 3
    assert fake.created[0]["ChangeSetType"] == "CREATE"


def test_nothing_is_left_when_nothing_would_change() -> None:
    """The empty change set is deleted, and the stack is left alone."""
    fake = FakeCloudFormation("UPDATE_COMPLETE")
    fake.refusal = EMPTY

    assert stack(fake).prepare("https://template", [], exists=True) is None
    assert fake.deleted == ["change set"]


def test_refusal_is_told_when_there_can_be_no_change_set() -> None:
    """With CloudFormation's reason; of a new stack not even the name is left."""
    fake = FakeCloudFormation()
    fake.refusal = "Parameters: [Colour] do not exist in the template"

    with pytest.raises(StackError, match=r"cannot change stack sluice: Parameters: .Colour. do not exist"):
        stack(fake).prepare("https://template", [], exists=False)
    assert fake.deleted == ["change set", "stack"]


def test_events_are_told_in_order_when_a_change_is_carried_out() -> None:
    """Those of the nested stack with its name before theirs; what only began is left out."""
    fake = FakeCloudFormation("UPDATE_COMPLETE")
    fake.end = "UPDATE_COMPLETE"
    fake.steps = [
        ("Planner", "UPDATE_IN_PROGRESS", ""),
        ("Planner", "UPDATE_COMPLETE", ""),
        ("Fleet", "UPDATE_IN_PROGRESS", ""),
        ("Fleet/Hook", "CREATE_COMPLETE", ""),
        ("Fleet", "UPDATE_COMPLETE", ""),
        ("Old", "DELETE_SKIPPED", ""),
    ]
    told: list[Event] = []

    stack(fake).carry_out("change-set", told.append)

    assert [one.sentence for one in told] == [
        "Planner (AWS::Lambda::Function) is changed.",
        "Fleet/Hook (AWS::Lambda::Function) is made.",
        "Fleet (AWS::CloudFormation::Stack) is changed.",
        "Old (AWS::Lambda::Function) stays in the account.",
    ]


def test_causes_alone_are_told_when_a_change_fails() -> None:
    """Neither what was cancelled for it, nor that the stack around it failed; and what became of the stack."""
    fake = FakeCloudFormation("UPDATE_COMPLETE")
    fake.end = "UPDATE_ROLLBACK_COMPLETE"
    fake.steps = [
        ("Fleet", "UPDATE_IN_PROGRESS", ""),
        ("Fleet/Hook", "UPDATE_FAILED", "The group does not exist"),
        ("Fleet", "UPDATE_FAILED", "Embedded stack was not successfully updated"),
        ("Planner", "UPDATE_FAILED", "Resource update cancelled"),
    ]

    with pytest.raises(StackError) as failed:
        stack(fake).carry_out("change-set", lambda _: None)

    assert failed.value.problems == (
        "Fleet/Hook (AWS::Lambda::Function) failed: The group does not exist",
        "Stack sluice is as it was before (UPDATE_ROLLBACK_COMPLETE).",
    )


def test_remains_are_named_when_a_first_deployment_fails() -> None:
    """The name is in the way of the next one."""
    fake = FakeCloudFormation("REVIEW_IN_PROGRESS")
    fake.end = "ROLLBACK_COMPLETE"
    fake.steps = [("Checked", "CREATE_FAILED", "1 problem: QueueUrl: queue nowhere does not exist")]

    with pytest.raises(StackError, match="QueueUrl: queue nowhere does not exist") as failed:
        stack(fake).carry_out("change-set", lambda _: None)
    assert "delete-stack --stack-name sluice" in failed.value.problems[-1]
