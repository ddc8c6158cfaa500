"""events/: a real payload for each trigger, which is what `sam local invoke` and the handlers' tests are fed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice.chains import event_of, read_step, records_of
from sluice.model.chain import Step
from sluice.redriving.failure_groups import failure_group
from sluice.redriving.payloads import (
    EditRequest,
    FailureReport,
    JobRequest,
    MuteRequest,
    QuarantineRequest,
    RedriveRequest,
    RestoreRequest,
    read_record,
    read_request,
)

EVENTS = Path(__file__).resolve().parents[3] / "events"
NAMES = sorted(path.stem for path in EVENTS.iterdir())
# Every trigger of every function, by what the stack wires to it or an operator may send.
TRIGGERS = {
    "planner-schedule-minute",
    "planner-step",
    "planner-alarm-direct-alarm",
    "planner-alarm-direct-ok",
    "planner-operator",
    "planner-launch-successful",
    "planner-launch-unsuccessful",
    "planner-document-changed",
    "drainer-terminating",
    "drainer-terminating-origin-destination",
    "drainer-terminating-warm-pool",
    "drainer-launching",
    "drainer-spot-interruption",
    "drainer-rebalance-recommendation",
    "drainer-health-retirement",
    "drainer-run-command-success",
    "drainer-run-command-failed",
    "drainer-run-command-timed-out",
    "drainer-test-notification",
    "drainer-sweep",
    "operator-release",
    "drainer-consumer-ready",
    "drainer-consumer-busy",
    "drainer-consumer-draining",
    "drainer-consumer-done",
    "redriver-dead-letters-text",
    "redriver-dead-letters-binary",
    "redriver-dead-letters-fifo",
    "operator-redrive-all",
    "operator-redrive-group",
    "operator-redrive-message",
    "operator-redrive-dry-run",
    "operator-widget-button",
    "operator-redrive-selected",
    "operator-redrive-queue",
    "operator-pause",
    "operator-resume",
    "operator-stop",
    "operator-status",
    "operator-mute",
    "operator-quarantine",
    "operator-peek",
    "operator-edit",
    "operator-restore",
    "redriver-message-failure",
    "redriver-minute",
    "redriver-job-step",
    "drainer-chain-step",
    "console-describe",
    "console-render",
    "console-messages",
    "console-fleets",
    "console-status",
    "onboarding-create",
    "onboarding-delete",
}


def event(name: str) -> dict[str, Any]:
    """One payload."""
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


BUS = [name for name in NAMES if "detail-type" in event(name)]
BATCHES = [name for name in NAMES if "Records" in event(name) and name.startswith("redriver-dead-letters")]


def test_every_trigger_has_a_payload_when_listed() -> None:
    """One file a trigger, and none that nobody asked for."""
    assert set(NAMES) == TRIGGERS


@pytest.mark.parametrize("name", NAMES)
def test_names_are_the_examples_when_a_payload_names_something(name: str) -> None:
    """All payloads tell of one account, region, fleet, queue and group, so that they can follow one another."""
    text = (EVENTS / f"{name}.json").read_text()

    assert text.endswith("}\n")
    assert "123456789012" not in text
    for key, values in collected(json.loads(text)).items():
        allowed = {
            "account": {"000000000000"},
            "accountId": {"000000000000"},
            "region": {"eu-central-1"},
            "awsRegion": {"eu-central-1"},
            "AutoScalingGroupName": {"orders-consumers"},
            "EC2InstanceId": {"i-0c0ffee1234567890"},
            "group": {"orders-consumers"},
            "instance_id": {"i-0c0ffee1234567890"},
            "instance-id": {"i-0c0ffee1234567890"},
            "fleet": {"orders"},
            "QueueName": {"orders"},
        }.get(key)
        assert allowed is None or values <= allowed, (key, values)


def collected(node: Any) -> dict[str, set[str]]:
    """Every text under each key, however deep."""
    found: dict[str, set[str]] = {}
    if isinstance(node, Mapping):
        for key, child in node.items():
            if isinstance(child, str):
                found.setdefault(key, set()).add(child)
            for deeper, values in collected(child).items():
                found.setdefault(deeper, set()).update(values)
    elif isinstance(node, list):
        for child in node:
            for deeper, values in collected(child).items():
                found.setdefault(deeper, set()).update(values)
    return found


@pytest.mark.parametrize("name", BUS)
def test_envelope_is_whole_when_from_the_event_bus(name: str) -> None:
    """EventBridge's own fields, all of them (https://docs.aws.amazon.com/eventbridge/latest/ref/events.html)."""
    found = event(name)

    assert set(found) == {
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    }  # fmt: skip
    assert found["version"] == "0"
    if found["source"] == "aws.health":  # it names resources as their services do
        assert found["resources"] == [entity["entityValue"] for entity in found["detail"]["affectedEntities"]]
    else:
        assert all(resource.startswith("arn:aws:") for resource in found["resources"])


@pytest.mark.parametrize(
    ("name", "source", "kind", "detail"),
    [
        ("planner-schedule-minute", "aws.events", "Scheduled Event", set()),
        ("drainer-sweep", "aws.events", "Scheduled Event", set()),
        ("redriver-minute", "aws.events", "Scheduled Event", set()),
        (
            "drainer-terminating",
            "aws.autoscaling",
            "EC2 Instance-terminate Lifecycle Action",
            {
                "LifecycleActionToken", "AutoScalingGroupName", "LifecycleHookName", "EC2InstanceId",
                "LifecycleTransition",
            },
        ),
        (
            "drainer-spot-interruption",
            "aws.ec2",
            "EC2 Spot Instance Interruption Warning",
            {"instance-id", "instance-action"},
        ),
        ("drainer-rebalance-recommendation", "aws.ec2", "EC2 Instance Rebalance Recommendation", {"instance-id"}),
        (
            "drainer-health-retirement",
            "aws.health",
            "AWS Health Event",
            {
                "eventArn", "service", "eventTypeCode", "eventTypeCategory", "eventScopeCode", "communicationId",
                "startTime", "endTime", "lastUpdatedTime", "statusCode", "eventRegion", "eventDescription",
                "affectedEntities", "affectedAccount", "page", "totalPages", "backupEvent",
            },
        ),
        (
            "drainer-run-command-success",
            "aws.ssm",
            "EC2 Command Invocation Status-change Notification",
            {"command-id", "document-name", "instance-id", "requested-date-time", "status"},
        ),
        ("drainer-consumer-ready", "sluice.consumer", "Sluice Consumer Report", {"group", "instance-id", "state"}),
        (
            "drainer-consumer-busy",
            "sluice.consumer",
            "Sluice Consumer Report",
            {"group", "instance-id", "state", "in-flight"},
        ),
        (
            "drainer-consumer-draining",
            "sluice.consumer",
            "Sluice Consumer Report",
            {"group", "instance-id", "consumer", "state", "in-flight"},
        ),
    ],
)  # fmt: skip
def test_detail_is_as_documented_when_from_the_event_bus(name: str, source: str, kind: str, detail: set[str]) -> None:
    """Source, type and the detail's fields of each kind of event."""
    found = event(name)

    assert (found["source"], found["detail-type"], set(found["detail"])) == (source, kind, detail)


def test_lifecycle_events_differ_only_where_they_should_when_compared() -> None:
    """Plain, with its origin and destination, on its way to a warm pool, and of a launch."""
    plain, told, warm, launch = (
        event(f"drainer-{name}")["detail"]
        for name in ("terminating", "terminating-origin-destination", "terminating-warm-pool", "launching")
    )

    assert set(told) - set(plain) == {"Origin", "Destination"}
    assert (told["Origin"], told["Destination"]) == ("AutoScalingGroup", "EC2")
    assert (warm["Origin"], warm["Destination"]) == ("AutoScalingGroup", "WarmPool")
    assert launch["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
    assert plain["LifecycleHookName"] == "sluice-drain" != launch["LifecycleHookName"]
    assert len({detail["LifecycleActionToken"] for detail in (plain, told, warm, launch)}) == 4


@pytest.mark.parametrize(("word", "status"), [("success", "Success"), ("failed", "Failed"), ("timed-out", "TimedOut")])
def test_command_tells_its_end_when_over(word: str, status: str) -> None:
    """The three ends of a command that the drainer tells apart."""
    assert event(f"drainer-run-command-{word}")["detail"]["status"] == status


@pytest.mark.parametrize(("word", "state"), [("alarm", "ALARM"), ("ok", "OK")])
def test_alarm_is_as_documented_when_a_direct_action(word: str, state: str) -> None:
    """Not EventBridge's envelope: see "Invoke a Lambda function from an alarm" in CloudWatch's guide."""
    found = event(f"planner-alarm-direct-{word}")
    data = found["alarmData"]

    assert set(found) == {"source", "alarmArn", "accountId", "time", "region", "alarmData"}
    assert found["source"] == "aws.cloudwatch"
    assert found["alarmArn"].endswith(f":alarm:{data['alarmName']}")
    assert data["state"]["value"] == state != data["previousState"]["value"]
    assert json.loads(data["state"]["reasonData"])["version"] == "1.0"


@pytest.mark.parametrize("name", BATCHES)
def test_batch_is_what_sqs_hands_over_when_from_the_dead_letter_queue(name: str) -> None:
    """Checksums hold, so that nobody edits a body and leaves a payload that could not be."""
    for record in event(name)["Records"]:
        assert record["eventSource"] == "aws:sqs"
        queue = record["eventSourceARN"].split(":")[5]
        assert queue.startswith("orders-dead-letters")
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
        assert ("md5OfMessageAttributes" in record) == bool(record["messageAttributes"])
        assert {"ApproximateReceiveCount", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId"} <= set(
            record["attributes"]
        )
        assert read_record(record).id == record["messageId"]


def test_step_is_what_sqs_hands_over_when_from_the_work_queue() -> None:
    """A chain's step, of the work queue."""
    (record,) = records_of(event("planner-step"))
    assert record["eventSourceARN"].endswith(":sluice-work")
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
    assert read_step(record["body"]) == Step("ticks/0000", 1)


@pytest.mark.parametrize(
    ("name", "chain"), [("drainer-chain-step", "drains/orders"), ("redriver-job-step", "jobs/orders")]
)
def test_step_is_what_the_planner_hands_over(name: str, chain: str) -> None:
    """An event with the step, and nothing else."""
    assert event(name) == json.loads(event_of(Step(chain, 3)))


def test_batch_carries_bytes_when_attributes_are_binary() -> None:
    """Custom types and bytes that are no text."""
    (record,) = event("redriver-dead-letters-binary")["Records"]
    attributes = record["messageAttributes"]

    assert base64.b64decode(attributes["invoice"]["binaryValue"]) == bytes(range(16))
    assert attributes["invoice"]["dataType"] == "Binary.pdf"
    assert attributes["weight"]["dataType"] == "Number.kg"


def test_batch_keeps_its_order_when_fifo() -> None:
    """One message group, ascending sequence numbers."""
    records = event("redriver-dead-letters-fifo")["Records"]

    assert len({record["attributes"]["MessageGroupId"] for record in records}) == 1
    numbers = [record["attributes"]["SequenceNumber"] for record in records]
    assert numbers == sorted(numbers)
    assert all(record["eventSourceARN"].endswith(".fifo") for record in records)


def test_requests_point_at_the_batch_when_they_name_a_message_or_group() -> None:
    """A redrive can follow the dead letters: the message and the failure group are those of the text batch."""
    first = event("redriver-dead-letters-text")["Records"][0]

    assert event("operator-redrive-message")["redrive"]["message_id"] == first["messageId"]
    group = failure_group(read_record(first)).id
    assert event("operator-redrive-group")["redrive"]["failure_group"] == group
    assert event("operator-widget-button")["redrive"]["failure_group"] == group
    assert event("operator-redrive-dry-run")["redrive"]["dry_run"] is True
    assert event("operator-redrive-all")["redrive"]["all"] is True


def test_widget_sends_its_context_when_rendering() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html."""
    assert event("console-describe") == {"describe": True}
    context = event("console-render")["widgetContext"]

    assert {"dashboardName", "timeRange", "theme", "forms", "params", "width", "height", "timezone"} <= set(context)
    assert context["timeRange"]["start"] < context["timeRange"]["zoom"]["start"] < context["timeRange"]["zoom"]["end"]
    assert event("operator-widget-button")["widgetContext"] == context


REQUESTS = {
    "redrive": RedriveRequest,
    "pause": JobRequest,
    "resume": JobRequest,
    "stop": JobRequest,
    "status": JobRequest,
    "mute": MuteRequest,
    "quarantine": QuarantineRequest,
    "edit": EditRequest,
    "restore": RestoreRequest,
}


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith("operator") and set(event(name)) & set(REQUESTS)]
)
def test_request_can_be_read_when_a_person_sends_it(name: str) -> None:
    """Every request of the redriver's is one as it stands, and all kinds are there."""
    ((kind, asked),) = [(kind, asked) for kind, asked in event(name).items() if kind in REQUESTS]

    assert read_request(REQUESTS[kind], kind, asked)
    assert {kind for name in NAMES for kind in event(name)} >= set(REQUESTS)


def test_failure_report_names_its_queue_when_a_consumer_sends_it() -> None:
    """The detail of the event that docs/redriving.md describes."""
    report = read_request(FailureReport, "detail", event("redriver-message-failure")["detail"])

    assert report.is_of("https://sqs.eu-central-1.amazonaws.com/000000000000/orders")
    assert not report.is_of("https://sqs.eu-central-1.amazonaws.com/000000000000/invoices")
