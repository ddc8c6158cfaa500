"""The policy of who deploys agrees with the templates and CloudFormation's registry, and is no wider than it says."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from sluice_tools import deployer_policy
from sluice_tools.deployer_policy import (
    FURTHER,
    MANAGED_POLICY_MAX,
    POLICY_PATH,
    REACH,
    UNUSED,
    actions,
    handlers,
    named,
    policy,
    reach_of,
    size_of,
    types,
)


def test_policy_when_the_published_one_is_compared() -> None:
    """It is what `make deployer-policy` writes now: a new resource type in a template changes it."""
    assert json.loads(POLICY_PATH.read_text()) == policy()


def test_policy_when_it_is_measured() -> None:
    """It fits into one managed policy, with a key as well."""
    assert size_of(policy()) <= MANAGED_POLICY_MAX
    assert size_of(policy(key="arn:aws:kms:eu-west-1:123456789012:key/" + "0" * 36)) <= MANAGED_POLICY_MAX


@pytest.mark.parametrize("kind", sorted(types()))
def test_type_when_it_is_looked_up(kind: str) -> None:
    """CloudFormation's registry knows it, and says what it takes to make and to delete one."""
    assert {"create", "delete"} <= set(handlers()[kind])
    assert any(set(names) & actions() for names in handlers()[kind].values())


@pytest.mark.parametrize("pattern", UNUSED)
def test_unused_action_when_its_reason_is_read(pattern: str) -> None:
    """Some handler still names such an action, and the reason says why none needs it."""
    assert any(fnmatchcase(action, pattern) for action in named())
    assert len(UNUSED[pattern]) > 10


@pytest.mark.parametrize(("pattern", "reach"), REACH)
def test_reach_when_it_is_looked_up(pattern: str, reach: tuple[str, ...]) -> None:
    """Some action has it, and what can be limited to the stack's names is."""
    mine = [action for action in actions() if next(each for each, _ in REACH if fnmatchcase(action, each)) == pattern]

    assert mine
    if reach == ("*",):
        assert all(
            action.split(":")[1].startswith(("Describe", "Get", "List")) or "EventSourceMapping" in action
            for action in mine
        )


def test_reach_when_an_action_is_new() -> None:
    """It is refused with what to do, and does not get the whole account."""
    with pytest.raises(LookupError, match="ec2:RunInstances: name in REACH"):
        reach_of("ec2:RunInstances")


def test_policy_when_it_names_roles() -> None:
    """Only the stack's own roles are made, and they are passed to Lambda alone."""
    of_iam = [each for each in policy("blue")["Statement"] if each["Action"][0].startswith("iam:")]

    assert {each["Resource"] for each in of_iam} == {"arn:aws:iam::*:role/blue-*"}
    (passing,) = [each for each in of_iam if each["Action"] == ["iam:PassRole"]]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    assert not any("Condition" not in each and "iam:PassRole" in each["Action"] for each in of_iam)


def test_policy_when_it_is_for_a_stack_and_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    """The names and the key are filled in, and nothing else is."""
    deployer_policy.main(["--stack", "blue", "--bucket", "built", "--kms-key", "arn:aws:kms:eu-west-1:1:key/k"])

    text = capsys.readouterr().out
    assert json.loads(text) == policy("blue", "built", "arn:aws:kms:eu-west-1:1:key/k")
    assert "sluice-" not in text
    assert "arn:aws:s3:::built/*" in text
    assert "kms:Decrypt" in text
    assert not any(each.startswith("kms:") for each in actions())


def test_further_actions_when_they_are_listed() -> None:
    """No handler names them, and each has its reason."""
    assert not set(FURTHER) & named() - {"s3:PutObject"}
    assert all(len(reason) > 7 for reason in FURTHER.values())
