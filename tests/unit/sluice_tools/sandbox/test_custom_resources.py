"""The sandbox's CloudFormation takes a custom resource's answer only where AWS would."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_tools.sandbox.emulator.custom_resources import refused

ANSWER = {
    "Status": "SUCCESS", "PhysicalResourceId": "p", "StackId": "s", "RequestId": "r", "LogicalResourceId": "Checked",
    "Data": {"A": "1"},
}  # fmt: skip


def test_answer_is_taken_when_it_is_whole() -> None:
    """Success with data, and failure with a reason."""
    assert refused(json.dumps(ANSWER).encode()) is None
    assert refused(json.dumps(ANSWER | {"Status": "FAILED", "Reason": "why"}).encode()) is None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (json.dumps(ANSWER | {"Data": {"A": "x" * 4_096}}).encode(), "too long"),
        (json.dumps(ANSWER | {"Status": "OK", "Reason": "x"}).encode(), "Invalid Status"),
        (json.dumps(ANSWER | {"Status": "FAILED"}).encode(), "doesn't contain Reason"),
        (json.dumps(ANSWER | {"PhysicalResourceId": "x" * 1_025}).encode(), "PhysicalResourceId"),
        *((json.dumps({**ANSWER, name: ""}).encode(), f"doesn't contain {name}") for name in list(ANSWER)[1:5]),
    ],
)
def test_answer_is_refused_when_aws_could_not_use_it(body: bytes, problem: str) -> None:
    """Too long, no JSON object, a field missing."""
    found: Any = refused(body)

    assert found is not None
    assert problem in found
