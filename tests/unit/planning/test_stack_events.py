"""The stack's events: launches and documents that changed, as the planner hears of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.config.fleet import parse
from sluice.memory import memory_ports, queue_url
from sluice.model.launches import Launch
from sluice.model.payload_error import PayloadError
from sluice.planning.stack_events import DocumentChange, LaunchEvent, note_event, read_event
from tests.support.still_clock import Clock

EVENTS = Path(__file__).resolve().parents[3] / "events"
ENDED_AT = 1_795_510_863.0  # 2026-11-24T09:01:03Z
ORDERS = parse("orders", {"queue": queue_url("orders"), "group": "orders-consumers", "target_wait_s": 60})


def event(kind: str, /, **detail: Any) -> dict[str, Any]:
    """A payload of the repository, with other fields in its detail."""
    payload: dict[str, Any] = json.loads((EVENTS / f"planner-{kind}.json").read_text())
    payload["detail"] |= detail
    return payload


def test_launch_is_read_with_its_instance_and_times() -> None:
    """As its event has them."""
    activity = "5f3641a2-0b0e-4d3c-9c0b-3c1f6d1f2a91"
    launch = Launch("orders-consumers", activity, ENDED_AT - 41.0, ENDED_AT, "i-0c0ffee1234567890")
    assert read_event(event("launch-successful")) == LaunchEvent(launch)


def test_failed_launch_is_read_with_its_message() -> None:
    """And with no instance, even where the event names one that is gone."""
    read = read_event(event("launch-unsuccessful", EC2InstanceId="i-0c0ffee1234567890"))
    assert isinstance(read, LaunchEvent)
    assert (read.launch.instance_id, read.launch.ended_at) == ("", ENDED_AT)
    assert read.launch.failure is not None
    assert read.launch.failure.startswith("We currently do not have sufficient")
    bare = read_event(event("launch-unsuccessful", StatusMessage="", Description=""))
    assert isinstance(bare, LaunchEvent)
    assert bare.launch.failure == "the launch failed"


def test_problems_are_listed_together_when_fields_are_missing() -> None:
    """By the names that AWS gives them."""
    with pytest.raises(PayloadError) as caught:
        read_event(event("launch-successful", AutoScalingGroupName=None, ActivityId=7, StartTime="soon", EndTime=None))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "detail.AutoScalingGroupName",
        "detail.ActivityId",
        "detail.StartTime",
        "detail.EndTime",
    ]
    with pytest.raises(PayloadError, match="AutoScalingGroupName"):
        read_event(event("launch-successful") | {"detail": None})


@pytest.mark.parametrize(
    ("path", "name"),
    [("/sluice/sluice/fleets/orders", "orders"), ("/sluice/a/fleets/orders/queues/more", "orders/queues/more")],
)
def test_document_is_named_by_the_rest_of_its_path(path: str, name: str) -> None:
    """As the documents' port names it."""
    assert read_event(event("document-changed", name=path)) == DocumentChange(name)


@pytest.mark.parametrize(
    "path", [None, 7, "", "orders", "/sluice/a/fleets/", "/sluice/a/secrets/b", "/other/a/fleets/b"]
)
def test_change_of_another_parameter_is_refused(path: object) -> None:
    """With what it was."""
    with pytest.raises(PayloadError, match=r"detail\.name: must be a parameter /sluice/<stack>/fleets/<name>"):
        read_event(event("document-changed", name=path))


@pytest.mark.parametrize(
    ("name", "detail", "noted"),
    [
        ("launch-successful", {}, True),
        ("launch-unsuccessful", {}, True),
        ("launch-unsuccessful", {"Destination": "WarmPool"}, False),
        ("launch-successful", {"Destination": "WarmPool"}, False),
        ("launch-successful", {"AutoScalingGroupName": "strangers"}, False),
    ],
)
def test_launch_is_noted_of_a_fleets_own_group(name: str, detail: dict[str, str], noted: bool) -> None:
    """Not of a stranger's, and not one into a warm pool, which is no launch into service."""
    clock = Clock()
    ports = memory_ports(clock, [ORDERS])
    read = read_event(event(name, **detail))
    assert isinstance(read, LaunchEvent)
    assert note_event(read, ports, clock.now) == {"group": read.launch.group, "noted": noted}
    assert ports.ledger.launch_log.launches(clock.now) == ((read.launch,) if noted else ())
