"""A notice is published by the planner's own role, with authorisation on, and names the fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.sandbox

BROKEN = "broken"


@pytest.fixture
def broken_fleet(deployed: Any) -> Iterator[str]:
    """A fleet whose document somebody wrote by hand, with everything missing: its name."""
    ssm = deployed.sandbox.client("ssm")
    document = f"/sluice/sluice/fleets/{BROKEN}"
    ssm.put_parameter(Name=document, Value="{}", Type="String")
    yield BROKEN
    ssm.delete_parameter(Name=document)


def test_notice_when_a_fleet_begins_to_need_an_operator(
    deployed: Any, broken_fleet: str, eventually: Callable[..., Any]
) -> None:
    """Whoever is subscribed to the stack's topic gets one text: which fleet, what is wrong, and what to do."""
    sqs = deployed.sandbox.client("sqs")

    def noticed() -> list[str]:
        received = sqs.receive_message(QueueUrl=deployed.notices, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return [one["Body"] for one in received.get("Messages", ()) if broken_fleet in one["Body"]]

    (text,) = eventually(noticed)
    assert f"The fleet's document is invalid, so the fleet is not scaled: fleet {broken_fleet} (since" in text
    assert "Then deploy the document again." in text
