"""What the planner is invoked with: parse(payload) -> a Request, or a PayloadError with every problem.

Payload shapes:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html (its action)
    {"fleet": "orders", "dry_run": true}: an operator; every fleet where none is named
    launches that are over and documents that changed: `sluice.planning.stack_events`
    steps of shards come by SQS: `sluice.chains` reads those
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.planning.stack_events import DETAIL_TYPES, StackEvent, read_event

SCHEDULED = "Scheduled Event"
OPERATOR_FIELDS = frozenset({"fleet", "dry_run"})


@dataclass(frozen=True, slots=True)
class Minute:
    """The schedule's minute: fleets are assigned to shards, and lost chains go on."""


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm changed its state: a tick of the fleets it is about."""

    alarm: str
    state: str  # "ALARM", "OK", "INSUFFICIENT_DATA"
    queues: frozenset[str]  # names of the queues whose metrics it watches


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """An operator asks for a tick of a fleet, or of every fleet; a dry run changes and keeps nothing."""

    fleet: str | None
    dry_run: bool


type Request = Minute | AlarmChange | OperatorRequest | StackEvent


def parse(payload: object) -> Request:
    """Parse an invocation's payload.

    Raises:
        PayloadError: it is not one of the shapes above.
    """
    if not isinstance(payload, Mapping):
        raise PayloadError(f"payload: must be a JSON object, not {type(payload).__name__}")
    if "alarmData" in payload:
        return _alarm(payload["alarmData"], "alarmData")
    if payload.get("detail-type") in DETAIL_TYPES:
        return read_event(payload)
    if payload.get("detail-type") == SCHEDULED:
        return Minute()
    if payload and payload.keys() <= OPERATOR_FIELDS:
        return _operator(payload)
    raise PayloadError(
        'payload: must be a scheduled event, a CloudWatch alarm\'s action, or {"fleet": "...", "dry_run": true}'
    )


def fleet_named(alarm: str, names: Iterable[str], stack: str) -> str | None:
    """The fleet that an alarm is about by its own name, `<stack>-<fleet>-...`: orders-eu before orders."""
    found = [name for name in names if alarm.startswith(f"{stack}-{name}-")]
    return max(found, key=len, default=None)


def fleets_watched(change: AlarmChange, fleets: Iterable[Fleet]) -> tuple[str, ...]:
    """The fleets whose queues an alarm watches."""
    return tuple(fleet.name for fleet in fleets if any(source.name in change.queues for source in fleet.sources))


def _operator(payload: Mapping[str, Any]) -> OperatorRequest:
    fleet, dry_run = payload.get("fleet"), payload.get("dry_run", False)
    problems = []
    if fleet is not None and not (isinstance(fleet, str) and fleet):
        problems.append(f"fleet: must be a fleet's name (got {fleet!r})")
    if not isinstance(dry_run, bool):
        problems.append(f"dry_run: must be true or false (got {dry_run!r})")
    if problems:
        raise PayloadError(*problems)
    return OperatorRequest(fleet, dry_run)


def _alarm(detail: object, where: str) -> AlarmChange:
    fields = _mapping(detail)
    name, state = fields.get("alarmName"), _mapping(fields.get("state")).get("value")
    problems = []
    if not (isinstance(name, str) and name):
        problems.append(f"{where}.alarmName: must be the alarm's name (got {name!r})")
    if not isinstance(state, str):
        problems.append(f"{where}.state.value: must be the alarm's state (got {state!r})")
    if problems:
        raise PayloadError(*problems)
    return AlarmChange(str(name), str(state), frozenset(_queues(_mapping(fields.get("configuration")))))


def _queues(configuration: Mapping[str, Any]) -> Iterator[str]:
    metrics = configuration.get("metrics")
    for metric in metrics if isinstance(metrics, list) else ():
        found = _mapping(_mapping(_mapping(metric).get("metricStat")).get("metric"))
        queue = _mapping(found.get("dimensions")).get("QueueName")
        if found.get("namespace") == "AWS/SQS" and isinstance(queue, str):
            yield queue


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
