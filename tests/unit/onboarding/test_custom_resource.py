"""CloudFormation's question to onboarding: it is answered on every path, once, and within what CloudFormation takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from sluice_tools.sandbox.emulator.custom_resources import refused
from tests.support.onboarding_function import STACK, load, request

answer, delivery, custom_resource = map(load, ("answer", "delivery", "custom_resource"))
Answer, respond = answer.Answer, custom_resource.respond


class Bucket:
    """Where answers are put; the first `failures` attempts do not go through."""

    def __init__(self, failures: int = 0) -> None:
        """Nothing was put yet."""
        self.failures = failures
        self.attempts = 0
        self.bodies: list[bytes] = []

    def __call__(self, _url: str, body: bytes) -> None:
        """Take a body, or fail."""
        self.attempts += 1
        if self.attempts <= self.failures:
            raise OSError(f"no route to {_url}")
        self.bodies.append(body)

    @property
    def answer(self) -> dict[str, Any]:
        """The one answer; CloudFormation takes it."""
        (body,) = self.bodies
        assert refused(body) is None
        return dict(json.loads(body))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    monkeypatch.setattr(delivery, "PUT_PAUSE_S", 0.0)


def fine(_properties: Mapping[str, Any], _before: Mapping[str, Any] | None) -> Any:
    """A check that finds nothing."""
    return Answer(data={"HookTimeoutSeconds": "120"})


def test_data_is_told_when_nothing_is_wrong() -> None:
    """The ids as they were asked, and a physical id that names stack and resource."""
    bucket = Bucket()

    respond(request(), 100.0, fine, bucket)

    assert bucket.answer == {
        "Status": "SUCCESS", "StackId": STACK, "RequestId": "r-1", "LogicalResourceId": "Checked",
        "PhysicalResourceId": "sluice-Fleet-1ABC-Checked", "Data": {"HookTimeoutSeconds": "120"},
    }  # fmt: skip


@pytest.mark.parametrize("problems", [(), ("Mode: is wrong",)])
def test_physical_id_stays_when_updated(problems: tuple[str, ...]) -> None:
    """Another one would be a replacement, and CloudFormation would delete what it had before."""
    bucket = Bucket()

    respond(request("Update", PhysicalResourceId="as-it-was"), 100.0, lambda *_: Answer(problems), bucket)

    assert bucket.answer["PhysicalResourceId"] == "as-it-was"


def test_check_is_told_what_was_there_before_when_updated() -> None:
    """Nothing, where a resource is made."""
    asked: list[Any] = []

    def check(*properties: Any) -> Any:
        asked.append(properties)
        return Answer()

    respond(request(ResourceProperties={"a": "1"}), 100.0, check, Bucket())
    respond(request("Update", ResourceProperties={"a": "2"}, OldResourceProperties={"a": "1"}), 100.0, check, Bucket())

    assert asked == [({"a": "1"}, None), ({"a": "2"}, {"a": "1"})]


def test_every_problem_is_told_when_several_are_found() -> None:
    """In one reason, which a user reads in the stack's events."""
    bucket = Bucket()

    respond(request(), 100.0, lambda *_: Answer(("a: one", "b: two")), bucket)

    assert (bucket.answer["Status"], bucket.answer["Reason"]) == ("FAILED", "2 problems: a: one | b: two")


@pytest.mark.parametrize("text", ["x" * 90, "Größe \U0001f600 " * 8, '"quoted" \\ ' * 9])
def test_reason_is_cut_when_it_is_too_long(text: str) -> None:
    """4,096 bytes are all that CloudFormation takes; what is left says where the rest is."""
    bucket = Bucket()

    respond(request(), 100.0, lambda *_: Answer((text,) * 100), bucket)

    assert len(bucket.bodies[0]) > 4_000
    assert bucket.answer["Reason"].startswith(f"100 problems: {text}")
    assert bucket.answer["Reason"].endswith("(cut here; the onboarding function's log has the whole text)")


def test_deletion_succeeds_at_once_whatever_was_deployed() -> None:
    """Nothing is looked at: what is going away can hang no stack."""
    bucket = Bucket()

    def never(*_: Any) -> Any:
        raise AssertionError("a deletion is not checked")

    respond(request("Delete", PhysicalResourceId="p", ResourceProperties={"junk": [1]}), 0.0, never, bucket)

    assert (bucket.answer["Status"], bucket.answer["PhysicalResourceId"]) == ("SUCCESS", "p")


@pytest.mark.parametrize("error", [ImportError("No module named 'sluice'"), SystemExit(1), MemoryError()])
def test_failure_is_told_when_the_check_itself_fails(error: BaseException) -> None:
    """A layer that is missing, or anything else: the stack fails at once and says why."""
    bucket = Bucket()

    def broken(*_: Any) -> Any:
        raise error

    respond(request(), 100.0, broken, bucket)

    assert bucket.answer["Status"] == "FAILED"
    assert type(error).__name__ in bucket.answer["Reason"]


@pytest.mark.parametrize(
    "change", [{"RequestType": "Replace"}, {"RequestType": None}, {"ResourceProperties": "text"}, {"StackId": None}]
)
def test_malformed_request_is_answered_when_there_is_somewhere_to_answer(change: dict[str, Any]) -> None:
    """Whatever CloudFormation might send one day."""
    bucket = Bucket()

    sent = respond(request(**change), 100.0, fine, bucket)

    assert sent["Status"] in ("SUCCESS", "FAILED")
    assert len(bucket.bodies) == 1


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (None, "FAILED"), ([], "FAILED"), ("x", "FAILED"), ({}, "FAILED"), ({"RequestType": "Delete"}, "SUCCESS"),
        ({"RequestType": "Create", "ResourceProperties": {}}, "SUCCESS"), ({"ResponseURL": "file:///x"}, "FAILED"),
    ],
)  # fmt: skip
def test_nothing_is_sent_when_nobody_asked(event: Any, status: str) -> None:
    """A user's test event, or one that names no web address: the answer is told to whoever invoked the function."""
    bucket = Bucket()

    assert respond(event, 100.0, fine, bucket)["Status"] == status
    assert bucket.attempts == 0


def test_answer_is_sent_in_time_when_the_check_takes_too_long() -> None:
    """The function would be stopped and the stack would hang; and what comes later is not sent a second time."""
    bucket = Bucket()
    answered = threading.Event()

    def put(url: str, body: bytes) -> None:
        bucket(url, body)
        answered.set()

    def slow(*_: Any) -> Any:
        assert answered.wait(10.0)
        return Answer(data={"late": "true"})

    sent = respond(request(), custom_resource.GUARD_S + 0.01, slow, put)

    assert bucket.answer["Status"] == "FAILED"
    assert "did not answer in time" in bucket.answer["Reason"]
    assert sent == bucket.answer


def test_answer_is_sent_again_when_it_does_not_go_through(caplog: pytest.LogCaptureFixture) -> None:
    """A few times; and no log holds the URL, by which anybody could answer in its place."""
    bucket = Bucket(failures=delivery.PUT_ATTEMPTS - 1)

    with caplog.at_level("INFO"):
        respond(request(), 100.0, fine, bucket)

    assert bucket.answer["Status"] == "SUCCESS"
    assert "failed with OSError" in caplog.text
    assert "secret" not in caplog.text


def test_error_is_raised_when_no_attempt_goes_through() -> None:
    """So that Lambda asks the function again."""
    with pytest.raises(delivery.UnansweredError):
        respond(request(), 100.0, fine, Bucket(failures=99))
