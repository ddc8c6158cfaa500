"""Events by which the planner hears of launches and of changed documents, so that no tick has to ask for them.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html

Both are best effort. A launch that no event reported is timed from when a tick saw it first, and a failure that none
reported is followed by the next. A document's change that none reported is found within minutes (`Fleets.refresh`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sluice.model.frozen import dataclass
from sluice.model.launches import Launch
from sluice.model.payload_error import PayloadError
from sluice.ports.ledger import PlannerLedger
from sluice.ports.stack import Ports

LAUNCHED = "EC2 Instance Launch Successful"
NOT_LAUNCHED = "EC2 Instance Launch Unsuccessful"
DOCUMENT_CHANGED = "Parameter Store Change"
DETAIL_TYPES = frozenset({LAUNCHED, NOT_LAUNCHED, DOCUMENT_CHANGED})


@dataclass(frozen=True, slots=True)
class LaunchEvent:
    """A launch is over."""

    launch: Launch
    into_pool: bool = False  # into the group's warm pool: a launch into service is yet to come


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A fleet's document was made, changed or deleted."""

    name: str  # of the document, as `Fleets` names it


type StackEvent = LaunchEvent | DocumentChange


def read_event(payload: Mapping[str, Any]) -> StackEvent:
    """Read an event of one of DETAIL_TYPES.

    Raises:
        PayloadError: it has not the fields of its kind.
    """
    detail = payload.get("detail")
    fields: Mapping[str, Any] = detail if isinstance(detail, Mapping) else {}
    if payload["detail-type"] == DOCUMENT_CHANGED:
        return DocumentChange(_document(fields))
    problems: list[str] = []
    group, activity = (_text(fields, name, problems) for name in ("AutoScalingGroupName", "ActivityId"))
    started_at, ended_at = (_time(fields, name, problems) for name in ("StartTime", "EndTime"))
    if problems:
        raise PayloadError(*problems)
    failure = None
    if payload["detail-type"] == NOT_LAUNCHED:
        failure = str(fields.get("StatusMessage") or fields.get("Description") or "the launch failed")
    launch = Launch(
        group=group,
        activity=activity,
        started_at=started_at,
        ended_at=ended_at,
        instance_id="" if failure is not None else str(fields.get("EC2InstanceId") or ""),
        failure=failure,
    )
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
    return LaunchEvent(launch, into_pool=fields.get("Destination") == "WarmPool")


def note_event(event: StackEvent, ports: Ports[PlannerLedger], now: float) -> dict[str, Any]:
    """Keep what an event reported; what came of it. Repeating it is harmless.

    The rules name no group: an event about a group that is no fleet's is left out, by one look at the documents.

    Raises:
        PortError: it could not be kept. Lambda brings it again.
    """
    if isinstance(event, DocumentChange):
        ports.fleets.refresh(event.name)
        return {"document": event.name}
    group = event.launch.group
    if event.into_pool or group not in {fleet.group for fleet in ports.fleets.load().fleets}:
        return {"group": group, "noted": False}
    ports.ledger.launch_log.note_launch_event(event.launch, now)
    return {"group": group, "noted": True}


def _document(detail: Mapping[str, Any]) -> str:
    """A document's name by its parameter's, /sluice/<stack>/fleets/<name>: the rule lets no other parameter pass."""
    path = detail.get("name")
    parts = path.split("/", 4) if isinstance(path, str) else []
    if len(parts) != 5 or parts[:2] != ["", "sluice"] or parts[3] != "fleets" or not parts[4]:
        raise PayloadError(f"detail.name: must be a parameter /sluice/<stack>/fleets/<name> (got {path!r})")
    return parts[4]


def _text(fields: Mapping[str, Any], name: str, problems: list[str]) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    problems.append(f"detail.{name}: must be a text (got {value!r})")
    return ""


def _time(fields: Mapping[str, Any], name: str, problems: list[str]) -> float:
    value = fields.get(name)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        problems.append(f"detail.{name}: must be a time, such as 2026-11-29T06:00:00Z (got {value!r})")
        return 0.0
