"""Tags of groups and instances: only what exists can be tagged.

ministack keeps tags of anything. Whether a group's tag reaches its instances is the launcher's business.

AWS pages: autoscaling/ec2/APIReference/API_CreateOrUpdateTags.html and API_Tag.html (the resource type is
auto-scaling-group), AWSEC2/latest/APIReference/errors-overview.html (InvalidInstanceID.NotFound).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.sandbox.emulator.host import Host

_autoscaling = Host("services.autoscaling", "_ACTION_MAP", "_asgs", "_tags", "_p", "_error")
_ec2 = Host("services.ec2", "_ACTION_MAP", "_instances", "_parse_member_list", "_error")

GROUP = "auto-scaling-group"

type Handler = Callable[[Mapping[str, Any]], Any]


def install() -> None:
    """Take the place of ministack's handlers."""
    for action in ("CreateOrUpdateTags", "DeleteTags"):
        _autoscaling["_ACTION_MAP"][action] = _of_groups(_autoscaling["_ACTION_MAP"][action])
    for action in ("CreateTags", "DeleteTags"):
        _ec2["_ACTION_MAP"][action] = _of_instances(_ec2["_ACTION_MAP"][action])


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
