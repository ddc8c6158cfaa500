"""A deployment looks at the account: problems fail it with their remedies, warnings are told, and nothing hangs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from typing import Any

import pytest

from sluice.memory.account import MemoryAccount
from sluice.onboarding import deployment
from sluice.onboarding.account import ScalingPolicy
from sluice.onboarding.cached_account import cached
from sluice.onboarding.checks import inspect
from sluice.onboarding.deployment import CheckResult
from sluice.ports.errors import NeedsFixError
from tests.support.account_world import DEAD, GROUP, HOST, QUEUE, REGION, group, queue, setting, sound

POLICY = setting("policies", (ScalingPolicy("cpu", "StepScaling"),))


class Stack:
    """A stack without any fleet so far, and the queues of an account."""

    def __init__(self, account: MemoryAccount, documents: Mapping[str, str] | None = None) -> None:
        self._account = account
        self._documents = documents or {}

    def documents(self) -> Mapping[str, str]:
        """Those that are there."""
        return self._documents

    def retention_s(self, queue_url: str) -> float:
        """As the account has it."""
        record = self._account.queue(queue_url)
        if record is None:
            raise NeedsFixError(f"queue {queue_url} does not exist: create it")
        return record.retention_s


def document(**fields: Any) -> dict[str, Any]:
    """A fleet's document as fleet.yaml gives it."""
    return {
        "queue": QUEUE, "dead_letter_queue": DEAD, "group": GROUP, "target_wait_s": "60", "mode": "act",
        "drain": {"unit": "consumer.service", "hook": "sluice-drain"}, "settings": "{}", **fields,
    }  # fmt: skip


def deployed(
    account: MemoryAccount,
    asked: Mapping[str, Any] | None = None,
    *,
    name: str = "main",
    before: Mapping[str, Any] | None = None,
    documents: Mapping[str, str] | None = None,
    will_tag: bool = False,
    enroll: deployment.Enroll = lambda _fleet, _queues_alone: (),
    left_s: float = inf,
) -> CheckResult:
    """What is said of a deployment into an account."""
    return deployment.check(
        name,
        asked or document(),
        Stack(account, documents),
        before=before,
        inspect=inspect(
            cached(account),
            lambda: left_s,
            stack="sluice",
            region=REGION,
            will_tag=will_tag,
            fields=deployment.PARAMETERS,
        ),
        enroll=enroll,
    )


def test_values_are_given_when_the_account_is_sound() -> None:
    """No problem, no doubt, and what the templates ask for."""
    verdict = deployed(sound())

    assert (verdict.problems, verdict.known_problems, verdict.warnings) == ((), (), ())
    assert verdict.data is not None
    assert verdict.data["DeadLetterRetentionSeconds"] == "1209600"


def test_deployment_fails_with_every_problem_when_the_account_has_some() -> None:
    """Each with the parameter as typed, why it matters, and the command that mends it."""
    account = sound()
    POLICY(account)
    queue(QUEUE, dead_letter_arn=None)(account)

    verdict = deployed(account)

    redrive, policy = verdict.problems
    assert redrive.startswith("DeadLetterQueueUrl: queue orders has no redrive policy")
    assert policy.endswith(
        "Run: aws --region eu-west-1 autoscaling delete-policy --auto-scaling-group-name workers --policy-name cpu"
    )


def test_queue_is_told_once_when_it_does_not_exist() -> None:
    """By the check that has a remedy."""
    account = sound()
    del account.queues[QUEUE]

    (problem,) = deployed(account).problems

    assert problem.startswith(f"QueueUrl: queue {QUEUE} does not exist.")
    assert "create-queue" in problem


def test_deployment_goes_on_when_there_are_warnings_or_missing_permissions() -> None:
    """Told, and no reason to fail."""
    account = sound()
    queue(DEAD, retention_s=86_400)(account)
    account.refuses = frozenset({"scaling_policies", "fleets"})

    verdict = deployed(account)

    assert verdict.problems == ()
    assert len(verdict.warnings) == 3
    assert sum("could not be checked" in warning for warning in verdict.warnings) == 2


@pytest.mark.parametrize(("mode", "fails"), [("act", True), ("shadow", False), ("paused", False)])
def test_scaling_policy_fails_a_deployment_when_sluice_would_scale_too(mode: str, fails: bool) -> None:
    """Shadow mode beside what scales today is how one begins."""
    account = sound()
    POLICY(account)

    verdict = deployed(account, document(mode=mode))

    assert bool(verdict.problems) is fails
    assert bool(verdict.warnings) is not fails


def test_update_goes_on_when_the_problem_was_there_before() -> None:
    """A stack must not get stuck on what came up in the account meanwhile."""
    account = sound()
    group(max_size=0)(account)

    verdict = deployed(account, document(target_wait_s="90"), before=document())

    assert verdict.problems == ()
    assert len(verdict.known_problems) == 1
    assert "maximum size of 0" in verdict.known_problems[0]


def test_update_fails_when_it_turns_a_doubt_into_a_problem() -> None:
    """From shadow to act: now the policy is in the way."""
    account = sound()
    POLICY(account)

    verdict = deployed(account, document(), before=document(mode="shadow"))

    assert len(verdict.problems) == 1
    assert "Scaling policy cpu" in verdict.problems[0]


def test_further_queue_is_judged_alone_when_it_is_added() -> None:
    """The group was looked at with its fleet; the new queue's faults are its own deployment's."""
    account = sound()
    POLICY(account)
    mails, dead = f"{HOST}mails", f"{HOST}mails-dead"
    account.queues[mails] = account.queues[QUEUE].__class__(mails, "arn:aws:sqs:eu-west-1:123456789012:mails", 60, 60)
    account.queues[dead] = account.queues[QUEUE].__class__(dead, "arn:aws:sqs:eu-west-1:123456789012:mails-dead", 5, 60)
    own = json.dumps({"queue": QUEUE, "group": GROUP, "target_wait_s": 60})

    verdict = deployed(
        account,
        {"queue": mails, "dead_letter_queue": dead},
        name="main/queues/mails",
        documents={"main": own},
        will_tag=True,
    )

    redrive, visibility = verdict.problems
    assert "queue mails has no redrive policy" in redrive
    assert "Dead-letter queue mails-dead has a visibility timeout of 5 seconds" in visibility


def test_answer_comes_in_time_when_there_is_none_left_to_look() -> None:
    """Everything is told as not checked; the deployment goes on."""
    verdict = deployed(sound(), left_s=1.0)

    assert verdict.problems == ()
    assert verdict.warnings
    assert all("no time was left to ask AWS" in warning for warning in verdict.warnings)


def test_account_is_asked_once_when_two_documents_are_judged() -> None:
    """An update compares two documents by the same facts, and a refusal is remembered as well."""
    account = sound()
    account.refuses = frozenset({"group"})
    asked = cached(account)

    with pytest.raises(NeedsFixError):
        asked.group(GROUP)
    account.refuses = frozenset()
    with pytest.raises(NeedsFixError):
        asked.group(GROUP)
    first = asked.queue(QUEUE)
    account.queues.clear()
    assert asked.queue(QUEUE) is first
