"""What the drainer is invoked with: every payload shape, and clear errors for what is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.draining import payloads
from sluice.draining.payloads import (
    CommandPayload,
    HealthPayload,
    HookPayload,
    RebalancePayload,
    ReportPayload,
    SpotPayload,
    SweepPayload,
    TestPayload,
)
from sluice.model.consumers import ConsumerStatus, Report
from sluice.model.draining import CommandStatus, HookAction
from sluice.model.payload_error import PayloadError

EVENTS = Path(__file__).parents[3] / "events"
NOW = 1_795_600_000.0  # some minutes after the times in events/
LIFECYCLE = {
    "LifecycleActionToken": "token",
    "AutoScalingGroupName": "consumers",
    "LifecycleHookName": "sluice-drain",
    "EC2InstanceId": "i-1",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
}


def one(payload: Any) -> payloads.Payload:
    """The only payload of an event."""
    (found,) = payloads.parse(payload, NOW)
    return found


def test_every_drainer_event_is_read_when_it_comes_from_events() -> None:
    """Each real payload in events/ is one of the kind its name says."""
    kinds = {
        "health": HealthPayload,
        "launching": HookPayload,
        "rebalance": RebalancePayload,
        "run-command": CommandPayload,
        "spot": SpotPayload,
        "sweep": SweepPayload,
        "terminating": HookPayload,
        "test-notification": TestPayload,
        "consumer": ReportPayload,
    }
    files = sorted(file for file in EVENTS.glob("drainer-*.json") if file.stem != "drainer-chain-step")
    assert len(files) >= 10
    for file in files:
        kind = next(kind for name, kind in kinds.items() if file.stem.startswith(f"drainer-{name}"))
        assert isinstance(one(json.loads(file.read_text())), kind), file.name


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, ("i-0c0ffee1234567890",)),
        ({"affectedEntities": [{"entityValue": one} for one in ("i-0a", "arn:aws:ec2:x:0:instance/i-0b", "i-0a")]},
         ("i-0a", "i-0b")),
        ({"affectedEntities": [{"entityValue": "vol-0a"}, {"status": "PENDING"}]}, ()),
        ({"affectedEntities": []}, ()),
        ({"service": "RDS"}, ()),
        ({"eventTypeCategory": "issue"}, ()),
    ],
)  # fmt: skip
def test_health_event_names_instances_when_ec2_has_scheduled_something(
    changes: dict[str, Any], ids: tuple[str, ...]
) -> None:
    """Each once, by id or ARN; other services, issues and public events name none."""
    event = json.loads((EVENTS / "drainer-health-retirement.json").read_text())
    event["detail"] |= changes
    assert one(event) == HealthPayload(ids)


def test_health_event_is_refused_when_its_entities_are_none() -> None:
    """The problem names the field."""
    event = json.loads((EVENTS / "drainer-health-retirement.json").read_text())
    event["detail"]["affectedEntities"] = "i-0a"
    with pytest.raises(PayloadError, match="affectedEntities: must be a list of objects"):
        one(event)


def test_report_is_read_when_a_consumer_speaks() -> None:
    """The group, the instance, its status, the time, and how many messages it has in flight."""
    event = json.loads((EVENTS / "drainer-consumer-busy.json").read_text())
    found = one(event)
    at = 1_795_511_550.0
    assert found == ReportPayload("orders-consumers", Report("i-0c0ffee1234567890", ConsumerStatus.BUSY, at, 3))


def test_report_names_its_consumer_when_its_instance_runs_several() -> None:
    """Its name on its instance, such as its unit's."""
    found = one(json.loads((EVENTS / "drainer-consumer-draining.json").read_text()))
    assert isinstance(found, ReportPayload)
    assert (found.report.consumer, found.report.status) == ("worker@1.service", ConsumerStatus.DRAINING)


@pytest.mark.parametrize("name", ["", "*", "a b", "a" * 129, 7, ["a"], "-a", "a\n"])
def test_report_is_refused_when_its_consumers_name_cannot_be_one(name: object) -> None:
    """A name is bounded, and none can stand for others."""
    detail = {"group": "consumers", "instance-id": "i-1", "state": "busy", "consumer": name}
    with pytest.raises(PayloadError, match="consumer: must be a name that matches"):
        one({"detail-type": "Sluice Consumer Report", "source": "sluice.consumer", "detail": detail})


def test_report_is_refused_when_it_says_nothing_known() -> None:
    """Every wrong field by name, with what would be right."""
    detail = {"group": "consumers", "instance-id": "i-1", "state": "tired", "in-flight": -1}
    with pytest.raises(PayloadError) as caught:
        one({"detail-type": "Sluice Consumer Report", "source": "sluice.consumer", "detail": detail})
    assert caught.value.problems == (
        "state: must be one of ready, failed, busy, idle, draining, done (got 'tired')",
        "in-flight: must be a number of messages, 0 or more (got -1)",
    )


def test_terminating_event_is_read_when_it_names_its_destination() -> None:
    """All of a lifecycle event that a drain needs, its own time included."""
    detail = {**LIFECYCLE, "Origin": "AutoScalingGroup", "Destination": "WarmPool"}
    payload = {
        "detail-type": "EC2 Instance-terminate Lifecycle Action",
        "source": "aws.autoscaling",
        "time": "2026-11-24T09:10:05Z",
        "detail": detail,
    }
    assert one(payload) == HookPayload(
        HookAction("consumers", "sluice-drain", "i-1", "token"), 1_795_511_405.0, False, "WarmPool"
    )


def test_terminating_event_defaults_when_it_is_of_the_plain_shape() -> None:
    """Events of groups without a warm pool may carry no destination."""
    found = one(
        {"detail-type": "EC2 Instance-terminate Lifecycle Action", "source": "aws.autoscaling", "detail": LIFECYCLE}
    )
    assert isinstance(found, HookPayload)
    assert (found.destination, found.at) == ("EC2", NOW)


@pytest.mark.parametrize("time", ["2099-01-01T00:00:00Z", "yyyy-mm-ddThh:mm:ssZ", None, 5])
def test_time_is_now_when_the_events_own_is_ahead_or_unreadable(time: object) -> None:
    """A time that cannot be used is no reason to lose the event."""
    found = one(
        {
            "detail-type": "EC2 Spot Instance Interruption Warning",
            "source": "aws.ec2",
            "time": time,
            "detail": {"instance-id": "i-1"},
        }
    )
    assert found == SpotPayload("i-1", NOW)


@pytest.mark.parametrize(
    ("aws_status", "status"),
    [
        ("Success", CommandStatus.SUCCEEDED),
        ("Failed", CommandStatus.FAILED),
        ("InProgress", CommandStatus.PENDING),
        ("In Progress", CommandStatus.PENDING),
        ("TimedOut", CommandStatus.UNKNOWN),
        ("Delivery Timed Out", CommandStatus.UNKNOWN),
        ("Cancelled", CommandStatus.UNKNOWN),
        ("Undeliverable", CommandStatus.UNKNOWN),
        ("a status of tomorrow", CommandStatus.UNKNOWN),
    ],
)
def test_command_status_is_reduced_when_read(aws_status: str, status: CommandStatus) -> None:
    """Only Success says that the consumer has stopped, and only Failed that it did not."""
    detail = {"instance-id": "i-1", "command-id": "c-1", "status": aws_status}
    payload = {
        "detail-type": "EC2 Command Invocation Status-change Notification",
        "source": "aws.ssm",
        "detail": detail,
    }
    assert one(payload) == CommandPayload("i-1", "c-1", status, aws_status)


def test_lifecycle_notification_is_read_when_it_comes_by_sns() -> None:
    """A hook may notify a topic instead: bare, and by SNS."""
    text = json.dumps({**LIFECYCLE, "Time": "2026-11-24T09:10:05Z", "Service": "AWS Auto Scaling"})
    for payload in (
        json.loads(text),
        {"Records": [{"Sns": {"Message": text}}]},
    ):
        assert one(payload) == HookPayload(
            HookAction("consumers", "sluice-drain", "i-1", "token"), 1_795_511_405.0, False, "EC2"
        )


def test_test_notification_is_swallowed_when_it_comes_in_any_shape() -> None:
    """Auto Scaling tries each target once, and means nothing by it."""
    trial = {
        "Event": "autoscaling:TEST_NOTIFICATION",
        "Service": "AWS Auto Scaling",
        "AutoScalingGroupName": "consumers",
    }
    for payload in (
        trial,
        {"Records": [{"Sns": {"Message": json.dumps(trial)}}]},
        {"detail-type": "EC2 Instance-terminate Lifecycle Action", "source": "aws.autoscaling", "detail": trial},
    ):
        assert one(payload) == TestPayload()


def test_batch_is_read_as_far_as_it_goes_when_some_records_are_broken() -> None:
    """One unreadable record does not cost the others."""
    texts = ["not JSON", json.dumps(LIFECYCLE), "[]"]
    records = [{"Sns": {"Message": text}} for text in texts]
    assert [type(found) for found in payloads.parse({"Records": records}, NOW)] == [HookPayload]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ([], "payload: must be a JSON object, not list"),
        ({}, "detail-type: None is none of"),
        (
            {"detail-type": "EC2 Instance State-change Notification"},
            "'EC2 Instance State-change Notification' is none of",
        ),
        ({"detail-type": ["list"]}, "detail-type: ['list'] is none of"),
        (
            {
                "detail-type": "EC2 Instance-terminate Lifecycle Action",
                "source": "aws.autoscaling",
                "detail": {"EC2InstanceId": 5},
            },
            "EC2InstanceId: must be a text (got 5); AutoScalingGroupName: must be a text (got None)",
        ),
        (
            {**LIFECYCLE, "LifecycleTransition": "sideways"},
            "LifecycleTransition: must be autoscaling:EC2_INSTANCE_TERM",
        ),
        (
            {"detail-type": "EC2 Spot Instance Interruption Warning", "source": "aws.ec2", "detail": None},
            "instance-id: must be a text (got None)",
        ),
        ({"release": {"fleet": "orders", "instance_id": "i-1"}}, "release: operators' requests go to the operator"),
        (
            {"detail-type": "EC2 Spot Instance Interruption Warning", "source": "sluice.consumer"},
            "source: must be 'aws.ec2' for 'EC2 Spot Instance Interruption Warning' (got 'sluice.consumer')",
        ),
        ({"Records": "none"}, "Records: must be a list"),
        ({"Records": [{"Sns": {"Message": "{"}}, {}]}, "Records[0].Sns.Message: not JSON"),
        ({"Records": [{"body": "{}"}]}, "Records[0].Sns.Message: must be the JSON object"),
        (
            {"Records": [{"Sns": {"Message": json.dumps({"Records": []})}}]},
            "must be a lifecycle notification, not another batch",
        ),
    ],
)
def test_payload_is_refused_in_words_when_nothing_can_be_read(payload: object, words: str) -> None:
    """What is wrong is named field by field, with what would be right."""
    with pytest.raises(PayloadError) as caught:
        payloads.parse(payload, NOW)
    assert words in str(caught.value)


def test_person_can_sweep_when_asking_by_hand() -> None:
    """`{"sweep": true}` does what the schedule does."""
    assert one({"sweep": True}) == SweepPayload()
