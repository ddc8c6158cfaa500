"""What the drainer is invoked with: parse(event) -> payloads, or a PayloadError with every problem.

Payload shapes:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html (by SNS)
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html
    https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html

A consumer's report is an event that the consumer puts on the default bus: source `sluice.consumer`, detail-type
`Sluice Consumer Report`, detail `{"group": "...", "instance-id": "i-...", "consumer": "worker@1.service",
"state": "busy", "in-flight": 3}`. `consumer` is its name on its instance; an instance's only consumer needs none.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sluice.model.consumers import CONSUMER_NAME, UNNAMED, ConsumerStatus, Report
from sluice.model.draining import CommandStatus, HookAction
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TEST_NOTIFICATION = "autoscaling:TEST_NOTIFICATION"


@dataclass(frozen=True, slots=True)
class HookPayload:
    """An instance waits at a lifecycle hook: a new one if `launching`, else one that is to leave."""

    hook: HookAction
    at: float
    launching: bool
    destination: str


@dataclass(frozen=True, slots=True)
class SpotPayload:
    """EC2 will interrupt a Spot Instance in two minutes."""

    instance_id: str
    at: float


@dataclass(frozen=True, slots=True)
class RebalancePayload:
    """EC2 says that a Spot Instance runs an elevated risk of interruption."""

    instance_id: str
    at: float


@dataclass(frozen=True, slots=True)
class HealthPayload:
    """AWS Health says that EC2 has scheduled something for these instances; none for a public event."""

    instance_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandPayload:
    """A Run Command changed its status on one instance."""

    instance_id: str
    command_id: str
    status: CommandStatus
    aws_status: str  # as the event has it


@dataclass(frozen=True, slots=True)
class TestPayload:
    """Auto Scaling's test of whether its notifications arrive."""

    __test__ = False  # not a test for pytest to collect


@dataclass(frozen=True, slots=True)
class SweepPayload:
    """The schedule asks for a sweep."""


@dataclass(frozen=True, slots=True)
class ReportPayload:
    """A consumer reports its status."""

    group: str
    report: Report


type Payload = (
    HookPayload
    | SpotPayload
    | RebalancePayload
    | HealthPayload
    | CommandPayload
    | TestPayload
    | SweepPayload
    | ReportPayload
)


def parse(event: object, now: float) -> tuple[Payload, ...]:
    """The payloads in an invocation's event.

    Args:
        event: an EventBridge event, or an SNS batch of lifecycle notifications.
        now: epoch seconds; stands for an event's own time where that is missing or lies ahead.

    Returns:
        The payloads, mostly one. A batch's unreadable records are left out if others can be read.

    Raises:
        PayloadError: nothing in it can be read.
    """
    if not isinstance(event, Mapping):
        raise PayloadError(f"payload: must be a JSON object, not {type(event).__name__}")
    if "release" in event:
        raise PayloadError(
            "release: operators' requests go to the operator function (the stack's output OperatorFunction)"
        )
    if "Records" in event:
        return _batch(event["Records"], now)
    if "LifecycleTransition" in event or event.get("Event") == TEST_NOTIFICATION:
        return (_hook(event, event.get("Time"), now),)
    if event.get("sweep") is True:
        return (SweepPayload(),)
    return (_event(event, now),)


def _event(payload: Mapping[str, Any], now: float) -> Payload:
    """An EventBridge event, by its detail-type."""
    detail_type = payload.get("detail-type")
    found = _READERS.get(str(detail_type))
    if found is None:
        known = ", ".join(f"{known!r}" for known in _READERS)
        raise PayloadError(f"detail-type: {detail_type!r:.80} is none of {known}")
    source, reader = found
    if payload.get("source") != source:
        raise PayloadError(f"source: must be {source!r} for {detail_type!r} (got {payload.get('source')!r:.80})")
    detail = payload.get("detail")
    return reader(detail if isinstance(detail, Mapping) else {}, payload.get("time"), now)


def _batch(records: object, now: float) -> tuple[Payload, ...]:
    found: list[Payload] = []
    problems: list[str] = []
    for index, record in enumerate(records if isinstance(records, list) else ()):
        try:
            found.extend(parse(_message(record), now))
        except PayloadError as error:
            problems += [f"Records[{index}].{problem}" for problem in error.problems]
    if not found:
        raise PayloadError(*problems or ("Records: must be a list of SNS records",))
    return tuple(found)


def _message(record: object) -> object:
    """The notification in one SNS record."""
    sns = record.get("Sns") if isinstance(record, Mapping) else None
    message = _parsed(sns.get("Message") if isinstance(sns, Mapping) else None)
    if "Records" in message:
        raise PayloadError("Sns.Message: must be a lifecycle notification, not another batch")
    return message


def _parsed(text: object) -> Mapping[str, Any]:
    try:
        message = json.loads(text) if isinstance(text, str) else None
    except json.JSONDecodeError as error:
        raise PayloadError(f"Sns.Message: not JSON: {error}") from error
    if not isinstance(message, Mapping):
        raise PayloadError("Sns.Message: must be the JSON object of a lifecycle notification")
    return message


def _hook(detail: Mapping[str, Any], time: object, now: float) -> Payload:
    if detail.get("Event") == TEST_NOTIFICATION or detail.get("LifecycleTransition") == TEST_NOTIFICATION:
        return TestPayload()
    instance_id, group, hook, transition = _texts(
        detail, "EC2InstanceId", "AutoScalingGroupName", "LifecycleHookName", "LifecycleTransition"
    )
    if transition not in {TERMINATING, LAUNCHING}:
        raise PayloadError(f"LifecycleTransition: must be {TERMINATING} or {LAUNCHING} (got {transition!r})")
    token = detail.get("LifecycleActionToken")
    return HookPayload(
        hook=HookAction(group, hook, instance_id, token if isinstance(token, str) and token else None),
        at=_time(time, now),
        launching=transition == LAUNCHING,
        destination=str(detail.get("Destination", "EC2")),
    )


def _spot(detail: Mapping[str, Any], time: object, now: float) -> Payload:
    (instance_id,) = _texts(detail, "instance-id")
    return SpotPayload(instance_id, _time(time, now))


def _rebalance(detail: Mapping[str, Any], time: object, now: float) -> Payload:
    (instance_id,) = _texts(detail, "instance-id")
    return RebalancePayload(instance_id, _time(time, now))


def _health(detail: Mapping[str, Any], _time: object, _now: float) -> Payload:
    """What EC2 has scheduled; other events of AWS Health name no instance that is to be looked at."""
    service, category = _texts(detail, "service", "eventTypeCategory")
    entities = detail.get("affectedEntities", [])
    if not isinstance(entities, list) or not all(isinstance(one, Mapping) for one in entities):
        raise PayloadError(f"affectedEntities: must be a list of objects (got {entities!r:.80})")
    if (service, category) != ("EC2", "scheduledChange"):
        return HealthPayload(())
    named = (re.search(r"(?:^|/)(i-[0-9a-f]+)$", str(one.get("entityValue"))) for one in entities)
    return HealthPayload(tuple(dict.fromkeys(found[1] for found in named if found)))


def _command(detail: Mapping[str, Any], _time: object, _now: float) -> Payload:
    instance_id, command_id, status = _texts(detail, "instance-id", "command-id", "status")
    return CommandPayload(instance_id, command_id, CommandStatus.of(status), status)


def _report(detail: Mapping[str, Any], time: object, now: float) -> Payload:
    group, instance_id, status = _texts(detail, "group", "instance-id", "state")
    in_flight, consumer = detail.get("in-flight"), detail.get("consumer")
    problems = []
    if consumer is not None and not (isinstance(consumer, str) and re.fullmatch(CONSUMER_NAME, consumer)):
        problems.append(f"consumer: must be a name that matches {CONSUMER_NAME} (got {consumer!r:.160})")
    if status not in set(ConsumerStatus):
        problems.append(f"state: must be one of {', '.join(ConsumerStatus)} (got {status!r:.80})")
    if in_flight is not None and (isinstance(in_flight, bool) or not isinstance(in_flight, int) or in_flight < 0):
        problems.append(f"in-flight: must be a number of messages, 0 or more (got {in_flight!r:.80})")
    if problems:
        raise PayloadError(*problems)
    name = UNNAMED if consumer is None else consumer
    return ReportPayload(group, Report(instance_id, ConsumerStatus(status), _time(time, now), in_flight, name))


def _sweep(_detail: Mapping[str, Any], _time: object, _now: float) -> Payload:
    return SweepPayload()


# By detail-type: the source that alone sends such events, and how they are read.
_READERS: Mapping[str, tuple[str, Callable[[Mapping[str, Any], object, float], Payload]]] = {
    "EC2 Instance-terminate Lifecycle Action": ("aws.autoscaling", _hook),
    "EC2 Instance-launch Lifecycle Action": ("aws.autoscaling", _hook),
    "EC2 Spot Instance Interruption Warning": ("aws.ec2", _spot),
    "EC2 Instance Rebalance Recommendation": ("aws.ec2", _rebalance),
    "AWS Health Event": ("aws.health", _health),
    "EC2 Command Invocation Status-change Notification": ("aws.ssm", _command),
    "Sluice Consumer Report": ("sluice.consumer", _report),
    "Scheduled Event": ("aws.events", _sweep),
}


def _texts(detail: Mapping[str, Any], *names: str) -> list[str]:
    """The named fields; PayloadError naming every one that is missing, empty or no text."""
    wrong = [name for name in names if not (isinstance(detail.get(name), str) and detail[name])]
    if wrong:
        raise PayloadError(*(f"{name}: must be a text (got {detail.get(name)!r:.80})" for name in wrong))
    return [detail[name] for name in names]


def _time(value: object, now: float) -> float:
    """An ISO 8601 time (UTC where it names no zone) as epoch seconds, but never ahead of now."""
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return now
    return min((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp(), now)
