"""The consumer's helper for causes: what it stamps and what it tells is what the redriver reads."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from examples.consumer import sluice_failures
from sluice.model.redriving import Attribute, Message
from sluice.redriving.failure_groups import CAUSE, SOURCE, failure_group
from sluice.redriving.message_copy import first_sent_at
from sluice.redriving.payloads import FailureReport, read_request

ARN = "arn:aws:sqs:eu-central-1:000000000000:orders"


class Events:
    """EventBridge, as far as the helper knows it."""

    def __init__(self, problem: Exception | None = None, failed: int = 0) -> None:
        self.problem = problem
        self.failed = failed
        self.entries: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (AWS's names)
        """Take entries, or fail."""
        if self.problem:
            raise self.problem
        self.entries += Entries
        return {"FailedEntryCount": self.failed, "Entries": [{"ErrorMessage": "no"}]}


def test_cause_is_told_when_a_message_fails() -> None:
    """By the one event that the stack's rule lets through to the redriver, which can read it."""
    events = Events()
    assert sluice_failures.tell(events, queue=ARN, message_id="m-1", error=KeyError("street"))
    (entry,) = events.entries
    assert (entry["Source"], entry["DetailType"]) == ("sluice.consumer", "Sluice Message Failure")
    report = read_request(FailureReport, "detail", json.loads(entry["Detail"]))
    assert (report.queue, report.message_id, report.cause) == (ARN, "m-1", "KeyError: 'street'")


@pytest.mark.parametrize(
    "events",
    [
        Events(EndpointConnectionError(endpoint_url="https://events")),
        Events(ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")),
        Events(failed=1),
    ],
)
def test_nothing_is_raised_when_the_cause_cannot_be_told(events: Events) -> None:
    """The message fails all the same; only its failure group lacks a name."""
    assert not sluice_failures.tell(events, queue="orders", message_id="m-1", error="odd")


def test_message_is_stamped_so_that_the_redriver_knows_cause_source_and_age() -> None:
    """Its own attributes stay; a first sending that is known already stays too."""
    received = {
        "shop": {"DataType": "String", "StringValue": "Berlin", "StringListValues": []},
        "scan": {"DataType": "Binary", "BinaryValue": b"\x00"},
    }
    stamped = sluice_failures.stamped(received, ValueError("no item\n 7"), ARN, 1_795_510_800.5)
    attributes = {
        name: Attribute(value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
        for name, value in stamped.items()
    }
    message = Message("m", "{}", attributes=tuple(sorted(attributes.items())))
    assert (message.attribute(CAUSE), message.attribute(SOURCE)) == ("ValueError: no item 7", ARN)
    assert failure_group(message).words == "ValueError: no item <n>"
    assert first_sent_at(message, None) == 1_795_510_800.5
    assert stamped["shop"] == {"DataType": "String", "StringValue": "Berlin"}
    again = sluice_failures.stamped(stamped, "timeout", ARN, 1_795_599_999.0)
    assert again["sluice.first_sent_at"]["StringValue"] == "1795510800.500"
    assert again["sluice.cause"]["StringValue"] == "timeout"


def test_message_is_not_stamped_beyond_what_sqs_takes() -> None:
    """Ten attributes: the producer's go before ours, and the cause before the rest."""
    nine = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(9)}
    stamped = sluice_failures.stamped(nine, "odd", ARN, 1.0)
    assert len(stamped) == 10
    assert set(stamped) - set(nine) == {"sluice.cause"}
