"""The custom resource's handler, put together with an account in memory: what it answers and what it logs."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sluice.memory.account import MemoryAccount
from sluice.onboarding.facts import CALL_S
from tests.support.account_world import DEAD, GROUP, INSTANCES, QUEUE, REGION, group, queue, sound

FUNCTION = Path(__file__).resolve().parents[3] / "functions/onboarding"
SHORT_S = 1.0


@dataclass
class Context:
    """Lambda's."""

    remaining_s: float = 120.0

    def get_remaining_time_in_millis(self) -> int:
        """What is left."""
        return int(1_000 * self.remaining_s)


class Stack:
    """The deployment's own reads: a stack without documents."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account

    def documents(self) -> dict[str, str]:
        """None yet."""
        return {}

    def retention_s(self, queue_url: str) -> float:
        """As the account has it."""
        record = self._account.queue(queue_url)
        assert record is not None
        return record.retention_s

    def once_granted(self, call: Callable[[], Any]) -> Any:
        """IAM is in force."""
        return call()


@pytest.fixture
def account() -> MemoryAccount:
    """An account where all is well."""
    return sound()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, account: MemoryAccount) -> ModuleType:
    """The handler's module as Lambda loads it, over that account; answers stay in `custom_resource.sent`."""
    monkeypatch.syspath_prepend(str(FUNCTION))
    for name in ("answer", "delivery", "custom_resource", "onboarding_app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("onboarding_app", FUNCTION / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys.modules["custom_resource"], "put_once", lambda _url, _body: None)
    monkeypatch.setattr("sluice.aws.account.AwsAccount", lambda _clients: account)
    monkeypatch.setattr("sluice.aws.deployment.AwsDeployment", lambda _clients, _path: Stack(account))
    monkeypatch.setattr("sluice.aws.tags.AwsTagWriter", lambda _clients: account)
    monkeypatch.setenv("SLUICE_SETS_TAGS", "true")
    monkeypatch.setenv("SLUICE_FLEETS_PATH", "/sluice/sluice/fleets/")
    monkeypatch.setenv("AWS_REGION", REGION)
    return module


def event(**properties: Any) -> dict[str, Any]:
    """CloudFormation's request for a new fleet."""
    document = {
        "queue": QUEUE, "dead_letter_queue": DEAD, "group": GROUP, "target_wait_s": "60", "mode": "act",
        "drain": {"unit": "consumer.service", "hook": "sluice-drain"}, "settings": "{}",
    }  # fmt: skip
    return {
        "RequestType": "Create",
        "ResponseURL": "https://example.com/answer",
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice/0a1b",
        "RequestId": "r",
        "LogicalResourceId": "Checked",
        "ResourceProperties": {"Name": "main", "Document": document, **properties},
    }


def test_stack_goes_on_when_the_account_is_sound(app: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    """With the values that the templates ask for, and nothing to warn of."""
    with caplog.at_level(logging.WARNING):
        answer = app.handler(event(), Context())

    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["RetentionSeconds"] == "345600"
    assert caplog.messages == []


def test_stack_fails_with_the_remedy_when_there_is_a_problem(app: ModuleType, account: MemoryAccount) -> None:
    """As `sam deploy` prints it."""
    group(max_size=0)(account)

    answer = app.handler(event(), Context())

    assert answer["Status"] == "FAILED"
    assert "Group workers has a maximum size of 0." in answer["Reason"]
    assert f"aws --region {REGION} autoscaling update-auto-scaling-group" in answer["Reason"]


@pytest.mark.parametrize("sets", [True, False])
def test_fleet_is_tagged_when_the_stack_may_tag(
    app: ModuleType, account: MemoryAccount, monkeypatch: pytest.MonkeyPatch, sets: bool
) -> None:
    """Queues, group and instances; where the user sets the tags, each that is missing is a problem with its remedy."""
    monkeypatch.setenv("SLUICE_SETS_TAGS", str(sets).lower())
    account.tags = {}
    group(tag=None, tags_instances=False)(account)

    answer = app.handler(event(), Context())

    assert answer["Status"] == ("SUCCESS" if sets else "FAILED")
    assert account.tags == (dict.fromkeys((QUEUE, DEAD, *INSTANCES), "sluice") if sets else {})
    assert account.groups[GROUP].tag == ("sluice" if sets else None)
    if not sets:
        assert "Queue orders does not have the tag sluice:stack=sluice." in answer["Reason"]
        assert f"sqs tag-queue --queue-url {QUEUE} --tags sluice:stack=sluice" in answer["Reason"]


def test_doubt_is_logged_when_it_fails_nothing(
    app: ModuleType, account: MemoryAccount, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an operator who looks for it finds it, with its remedy."""
    queue(DEAD, retention_s=86_400)(account)

    with caplog.at_level(logging.WARNING):
        answer = app.handler(event(), Context())

    assert answer["Status"] == "SUCCESS"
    (message,) = caplog.messages
    assert message.startswith("warning: Dead-letter queue orders-dead keeps a message for 1 day")
    assert "MessageRetentionPeriod=1209600" in message


def test_nothing_is_asked_when_no_call_would_end_in_time(
    app: ModuleType, account: MemoryAccount, caplog: pytest.LogCaptureFixture
) -> None:
    """The stack gets its answer instead; what was not checked is told."""
    group(max_size=0)(account)
    guard_s = sys.modules["custom_resource"].GUARD_S

    with caplog.at_level(logging.WARNING):
        answer = app.handler(event(), Context(guard_s + CALL_S - SHORT_S))

    assert answer["Status"] == "SUCCESS"
    assert json.dumps(caplog.messages).count("no time was left to ask AWS") > 3
