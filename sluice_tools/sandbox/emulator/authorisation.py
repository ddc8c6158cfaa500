"""Authorisation where ministack reads a request otherwise than AWS does, and the record of what was asked and answered.

What is set right: the exact ARN of an Auto Scaling group and its tags as conditions; every group and instance that is
tagged; the tags of what a service uses in a role's name; Describe actions that know no resource; Run Command's check of
the document and of every instance, with ``ssm:resourceTag``; parameters by path and by list; the queues of a move task;
the key behind an alias; instance profiles; batches of SQS; ``cloudwatch:namespace``; ``events:source`` and
``events:detail-type`` of each event that is put; ``dynamodb:LeadingKeys``; ``aws:SecureTransport``.

AWS page: the Service Authorization Reference (service-authorization/latest/reference/: list_amazonec2autoscaling,
list_awssystemsmanager, list_amazonsqs, list_amazoncloudwatch, list_amazondynamodb); systems-manager/latest/userguide/
run-command-setting-up.html (restricting Run Command by tags); AWSEC2/latest/UserGuide/
supported-iam-actions-tagging.html; AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-abac-condition-keys.html and
sqs-configure-dead-letter-queue-redrive.html (permissions of a redrive); eventbridge/latest/userguide/
eb-use-conditions.html; amazondynamodb/latest/developerguide/
specifying-conditions.html.
"""

from __future__ import annotations

import base64
import contextvars
import importlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.host import Host

_actions = Host("core.iam_actions", "extract_resource_arn", "request_tag_context", "dynamodb_service_context")
_evaluator = Host(
    "core.iam_evaluator", "enforce", "caller_arn", "EvalContext", "evaluate", "_gather_role_policies", "AuthError"
)
_autoscaling = Host("services.autoscaling", "_asgs")
_tagging = Host("services.tagging", "_RESOURCE_TAG_COLLECTORS", "resource_tags")
_ec2 = Host("services.ec2", "_tags")
_dynamodb = Host("services.dynamodb", "_tables")
_kms = Host("services.kms", "_resolve_key")
_app = Host("app", "pin_request_origin")

MOVE_SOURCE_ACTIONS = ("sqs:StartMessageMoveTask", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""What a caller of StartMessageMoveTask needs on the source."""

BATCH_ACTIONS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
"""Calls that have no action of their own: the permission for one message is the permission for ten."""


@dataclass(slots=True)
class Check:
    """One thing that must be allowed for a request: an action on a resource, with conditions of its own."""

    action: str
    resource: str
    context: dict[str, Any] = field(default_factory=dict)


_checks: contextvars.ContextVar[list[Check]] = contextvars.ContextVar("sandbox_checks")
"""The checks of the request being authorised, where they differ from the one that ministack makes."""


class Calls:
    """The record of checked calls: one JSON line each."""

    def __init__(self, path: Path | None) -> None:
        """Append to ``path``, or keep no record."""
        self._lock = threading.Lock()
        self._file = None if path is None else path.open("a", buffering=1)

    def note(self, principal: str, action: str, resource: str, *, allowed: bool) -> None:
        """Record one check of a role or user; root's are of no interest."""
        if self._file is None or principal.endswith(":root"):
            return
        line = {"at": time.time(), "principal": principal, "action": action, "resource": resource, "allowed": allowed}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")


class Authorisation:
    """The corrected checks."""

    def __init__(self, calls: Calls) -> None:
        """Record what is checked in ``calls``."""
        self._calls = calls

    def install(self) -> None:
        """Take the place of ministack's reading of requests, and listen to its answers."""
        extract, enforce = _actions["extract_resource_arn"], _evaluator["enforce"]

        def extract_resource_arn(service: str, method: str, path: str, headers: Any, *rest: Any) -> str:
            arn: str = extract(service, method, path, headers, *rest)
            reader = READERS.get(service)
            checks: list[Check] = []
            # Only a body that is read is parsed: an archive for S3, taken for a query, costs a second of a processor.
            if reader is not None:
                body, params = rest[:2]
                action = headers.get("x-amz-target", "").split(".")[-1] or _first(params, "Action")
                checks = reader(action or path.rpartition("/operation/")[2], _members(body, params))
            _checks.set(checks)
            return checks[0].resource if checks else arn

        def enforcing(access_key: str, action: str, service: str, region: str, **given: Any) -> Any:
            action = BATCH_ACTIONS.get(action, action)
            checks = _checks.get([])
            if service != "events":  # ministack asks once for each bus, and the checks are of all of them
                _checks.set([])
            if not checks or checks[0].action != action:
                checks = [Check(action, given.get("resource_arn", "*"))]
            for check in checks:
                context = {**(given.get("service_context") or {}), **check.context}
                denied = enforce(
                    access_key, check.action, service, region, resource_arn=check.resource, service_context=context
                )
                if not isinstance(denied, _evaluator["AuthError"]):
                    self._calls.note(_evaluator["caller_arn"](), check.action, check.resource, allowed=denied is None)
                if denied is not None:
                    return denied
            return None

        pin = _app["pin_request_origin"]
        # Plain HTTP on the loopback stands for the HTTPS of AWS's endpoints: a policy that asks for TLS is met.
        _app["pin_request_origin"] = lambda source_ip, _secure: pin(source_ip, True)
        _actions["extract_resource_arn"] = extract_resource_arn
        _evaluator["enforce"] = enforcing
        _tagging["_RESOURCE_TAG_COLLECTORS"]["autoscaling"] = _group_tags
        self._add_leading_keys()

    def role_may(self, role_arn: str, action: str, resource: str) -> bool:
        """Whether a role may do what a service is about to do in its name; recorded like any call."""
        scope = Scope.current()
        name = role_arn.rsplit("/", 1)[-1]
        principal = f"arn:aws:sts::{scope.account}:assumed-role/{name}/service"
        context = _evaluator["EvalContext"](
            principal_arn=principal,
            principal_type="AssumedRole",
            principal_account=scope.account,
            action=action,
            resource_arn=resource,
            region=scope.region,
            service_context=_with_prefix("aws:resourcetag", _tagging["resource_tags"](resource) or {}),
        )
        policies = _evaluator["_gather_role_policies"](name, scope.account)
        allowed = bool(_evaluator["evaluate"](context, policies).decision == "Allow")
        self._calls.note(principal, action, resource, allowed=allowed)
        return allowed

    @staticmethod
    def _add_leading_keys() -> None:
        original = _actions["dynamodb_service_context"]

        def with_leading_keys(body: bytes) -> dict[str, Any]:
            context: dict[str, Any] = original(body)
            keys = _leading_keys(json.loads(body or b"{}"))
            return context | ({"dynamodb:LeadingKeys": keys} if keys else {})

        _actions["dynamodb_service_context"] = with_leading_keys


def _autoscaling_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    if action.startswith("Describe"):
        return [Check(f"autoscaling:{action}", "*")]
    name = _first(data, "AutoScalingGroupName") or _group_of(_first(data, "InstanceId"))
    names = [name, *_numbered(data, r"Tags\.member\.\d+\.ResourceId")]
    groups = [group for name in names if (group := _autoscaling["_asgs"].get(name)) is not None]
    return [
        Check(
            f"autoscaling:{action}",
            group["AutoScalingGroupARN"],
            _with_prefix("autoscaling:ResourceTag", {tag["Key"]: str(tag["Value"]) for tag in group.get("Tags", [])}),
        )
        for group in groups
    ]


def _ec2_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    """CreateTags and DeleteTags are checked on every resource that they name; only instances are read here."""
    if action not in {"CreateTags", "DeleteTags"}:
        return []
    scope = Scope.current()
    return [
        Check(f"ec2:{action}", scope.arn("ec2", f"instance/{name}"), _instance_tags(name))
        for name in _numbered(data, r"ResourceId\.\d+")
        if name.startswith("i-")
    ]


def _with_prefix(prefix: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as condition keys, which are not case-sensitive."""
    return {f"{prefix}/{key}".lower(): value for key, value in tags.items()}


def _group_of(instance_id: str) -> str:
    for name, group in _autoscaling["_asgs"].items():
        if any(record["InstanceId"] == instance_id for record in group["Instances"]):
            return str(name)
    return ""


def _group_tags() -> list[tuple[str, list[dict[str, str]]]]:
    return [
        (group["AutoScalingGroupARN"], [{"Key": tag["Key"], "Value": str(tag["Value"])} for tag in group["Tags"]])
        for group in _autoscaling["_asgs"].values()
    ]


def _ssm_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    scope = Scope.current()
    if action == "SendCommand":
        document = str(data.get("DocumentName") or "")
        if not document.startswith("arn:"):
            # Documents that AWS owns are in no account.
            owner = "" if document.startswith("AWS-") else scope.account
            document = f"arn:aws:ssm:{scope.region}:{owner}:document/{document}"
        instances = [str(instance_id) for instance_id in data.get("InstanceIds") or []]
        return [
            Check("ssm:SendCommand", document),
            *(
                Check("ssm:SendCommand", scope.arn("ec2", f"instance/{instance_id}"), _instance_tags(instance_id))
                for instance_id in instances
            ),
        ]
    if action == "GetParametersByPath":
        return [Check("ssm:GetParametersByPath", _parameter(scope, str(data.get("Path") or "/")))]
    if action in {"GetParameters", "DeleteParameters"}:
        return [Check(f"ssm:{action}", _parameter(scope, str(name))) for name in data.get("Names") or []]
    return []


def _instance_tags(instance_id: str) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in _ec2["_tags"].get(instance_id) or []}
    prefixes = ("ssm:resourceTag", "aws:ResourceTag", "ec2:ResourceTag")
    return {key: value for prefix in prefixes for key, value in _with_prefix(prefix, tags).items()}


def _parameter(scope: Scope, name: str) -> str:
    return name if name.startswith("arn:") else scope.arn("ssm", f"parameter/{name.strip('/')}")


def _sqs_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    source, destination = str(data.get("SourceArn") or ""), str(data.get("DestinationArn") or "")
    if action == "StartMessageMoveTask":
        checks = [Check(needed, source) for needed in MOVE_SOURCE_ACTIONS]
        return [*checks, *([Check("sqs:SendMessage", destination)] if destination else [])]
    if action == "ListMessageMoveTasks":
        return [Check("sqs:ListMessageMoveTasks", source)]
    if action == "CancelMessageMoveTask":
        try:
            source = json.loads(base64.b64decode(data.get("TaskHandle") or ""))["sourceArn"]
        except (ValueError, KeyError):
            return []
        return [Check("sqs:CancelMessageMoveTask", source)]
    return []


def _kms_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    """A key that is named by an alias is checked as the key itself: an alias is no resource of these actions."""
    key_id = str(data.get("KeyId") or "")
    record = _kms["_resolve_key"](key_id) if "alias/" in key_id else None
    return [] if record is None else [Check(f"kms:{action}", record["Arn"])]


def _iam_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    profile = _first(data, "InstanceProfileName")
    if not profile:
        return []
    return [Check(f"iam:{action}", f"arn:aws:iam::{Scope.current().account}:instance-profile/{profile}")]


def _cloudwatch_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    if action != "PutMetricData":
        return []
    return [Check("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": _first(data, "Namespace")})]


def _events_checks(action: str, data: Mapping[str, Any]) -> list[Check]:
    """PutEvents is checked for each event, on its bus, by its own source and detail type."""
    if action != "PutEvents":
        return []
    scope = Scope.current()
    checks: list[Check] = []
    for entry in data.get("Entries") or []:
        bus = entry.get("EventBusName") or "default"
        resource = bus if bus.startswith("arn:") else scope.arn("events", f"event-bus/{bus}")
        keys = {"events:source": entry.get("Source"), "events:detail-type": entry.get("DetailType")}
        check = Check("events:PutEvents", resource, {key: value for key, value in keys.items() if value is not None})
        if check not in checks:
            checks.append(check)
    return checks


READERS: Mapping[str, Callable[[str, Mapping[str, Any]], list[Check]]] = {
    "autoscaling": _autoscaling_checks,
    "ec2": _ec2_checks,
    "ssm": _ssm_checks,
    "sqs": _sqs_checks,
    "monitoring": _cloudwatch_checks,
    "events": _events_checks,
    "kms": _kms_checks,
    "iam": _iam_checks,
}
"""By service: the checks of a request, of its action and members; none where ministack itself reads it right."""


# --- DynamoDB's partition keys ---


def _leading_keys(data: Mapping[str, Any]) -> list[str]:
    """Values of the partition keys that a request names, as text."""
    table = data.get("TableName")
    if isinstance(table, str):
        name = _partition_key(table)
        item = data.get("Key") or data.get("Item") or {}
        if name in item:
            return [_text(item[name])]
        value = _queried(data, name)
        return [] if value is None else [value]
    found: list[str] = []
    for requested, request in (data.get("RequestItems") or {}).items():
        name = _partition_key(requested)
        items = request.get("Keys") or [] if isinstance(request, dict) else [_written(entry) for entry in request]
        found += [_text(item[name]) for item in items if name in item]
    return found


def _written(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item or key of one entry of BatchWriteItem."""
    item: Mapping[str, Any] = (
        (entry.get("PutRequest") or {}).get("Item") or (entry.get("DeleteRequest") or {}).get("Key") or {}
    )
    return item


def _partition_key(table: str) -> str:
    record = _dynamodb["_tables"].get(table.rsplit("/", 1)[-1]) or {}
    for element in record.get("KeySchema") or []:
        if element["KeyType"] == "HASH":
            return str(element["AttributeName"])
    return ""


def _queried(data: Mapping[str, Any], name: str) -> str | None:
    """The partition key's value in a key condition."""
    names, values = data.get("ExpressionAttributeNames") or {}, data.get("ExpressionAttributeValues") or {}
    for left, right in re.findall(r"([#\w.-]+)\s*=\s*(:\w+)", data.get("KeyConditionExpression") or ""):
        if names.get(left, left) == name and right in values:
            return _text(values[right])
    return None


def _text(value: Mapping[str, Any]) -> str:
    """An attribute value as a condition sees it."""
    return str(next(iter(value.values())))


# --- requests ---


def _members(body: bytes, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request's members, whether it speaks JSON, CBOR or the query protocol."""
    if body[:1] == b"{":
        try:
            parsed = json.loads(body)
        except ValueError:
            return params
        return parsed if isinstance(parsed, dict) else params
    if body and body[0] >> 5 == CBOR_MAP:
        return _cbor(body)
    return {**parse_qs(body.decode(errors="replace")), **params} if body else params


CBOR_MAP = 5
"""CBOR's major type of a map, in the first three bits."""


def _cbor(body: bytes) -> Mapping[str, Any]:
    """A CBOR body, decoded by the library that ministack itself decodes it with."""
    try:
        parsed = importlib.import_module("cbor2").loads(body)
    except (ImportError, ValueError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _first(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)


def _numbered(members: Mapping[str, Any], pattern: str) -> list[str]:
    """The values of a query's numbered members."""
    return [_first(members, name) for name in sorted(members) if re.fullmatch(pattern, name)]
