"""Tags of groups and instances: only what exists can be tagged, and a tag that is removed by its value has to have it.

ministack keeps tags of anything. Whether a group's tag reaches its instances is the launcher's business.

AWS pages: autoscaling/ec2/APIReference/API_CreateOrUpdateTags.html and API_Tag.html (the resource type is
auto-scaling-group), AWSEC2/latest/APIReference/errors-overview.html (InvalidInstanceID.NotFound),
AWSEC2/latest/APIReference/API_DeleteTags.html (with a value the tag is removed only if it has that value).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_autoscaling = Host("services.autoscaling", "_ACTION_MAP", "_asgs", "_tags", "_p", "_error")
_ec2 = Host("services.ec2", "_ACTION_MAP", "_instances", "_tags", "_parse_member_list", "_delete_tags", "_error")

GROUP = "auto-scaling-group"

type Handler = Callable[[Mapping[str, Any]], Any]


def install() -> None:
    """Take the place of ministack's handlers."""
    for action in ("CreateOrUpdateTags", "DeleteTags"):
        _autoscaling["_ACTION_MAP"][action] = _of_groups(_autoscaling["_ACTION_MAP"][action])
    _ec2["_ACTION_MAP"]["CreateTags"] = _of_instances(_ec2["_ACTION_MAP"]["CreateTags"])
    _ec2["_ACTION_MAP"]["DeleteTags"] = _of_instances(_delete_tags)


def _of_groups(original: Handler) -> Handler:
    def handler(params: Mapping[str, Any]) -> Any:
        number = 1
        while _autoscaling["_p"](params, f"Tags.member.{number}.Key"):
            name = _autoscaling["_p"](params, f"Tags.member.{number}.ResourceId")
            kind = _autoscaling["_p"](params, f"Tags.member.{number}.ResourceType")
            if kind != GROUP:
                return _autoscaling["_error"]("ValidationError", f"ResourceType must be {GROUP}, not {kind!r}", 400)
            group = _autoscaling["_asgs"].get(name)
            if group is None:
                return _autoscaling["_error"]("ValidationError", f"AutoScalingGroup name not found - {name}", 400)
            # ministack changes a copy, which a group out of a template is not in.
            _autoscaling["_tags"][name] = list(group.get("Tags") or [])
            number += 1
        return original(params)

    return handler


def _of_instances(original: Handler) -> Handler:
    def handler(params: Mapping[str, Any]) -> Any:
        for name in _ec2["_parse_member_list"](params, "ResourceId"):
            if name.startswith("i-") and name not in _ec2["_instances"]:
                code, text = "InvalidInstanceID.NotFound", f"The instance ID '{name}' does not exist"
                return _ec2["_error"](code, text, 400)
        return original(params)

    return handler


def _delete_tags(params: Mapping[str, Any]) -> Any:
    """Remove each named tag from each resource, if it has the named value or none is named."""
    named: dict[str, Any] = {}
    number = 1
    while key := _first(params, f"Tag.{number}.Key"):
        named[key] = _first(params, f"Tag.{number}.Value")
        number += 1
    answer = _ec2["_delete_tags"]({})  # of nothing
    for resource in _ec2["_parse_member_list"](params, "ResourceId"):
        tags = _ec2["_tags"].get(resource) or []
        _ec2["_tags"][resource] = [tag for tag in tags if named.get(tag["Key"], ...) not in (None, tag["Value"])]
    return answer


def _first(params: Mapping[str, Any], name: str) -> Any:
    """A query's member; None without it."""
    value = params.get(name)
    return value[0] if isinstance(value, list) and value else value
