"""Scaling policies and scheduled actions: refused where AWS refuses them. Nothing in the sandbox acts on them.

AWS pages (autoscaling/ec2/APIReference): API_PutScalingPolicy.html, API_PutScheduledUpdateGroupAction.html (at least
one of the three sizes), API_DescribePolicies.html (filters by name and type).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.groups import GroupError, Groups
from sluice_tools.sandbox.emulator.host import Host

_host = Host(
    "services.autoscaling", "_ACTION_MAP", "_policies", "_p", "_error", "_xml", "_member_xml", "_parse_member_list"
)

TYPES = ("SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling")
SIZES = ("MinSize", "MaxSize", "DesiredCapacity")

Params = Mapping[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[Params], Answer]


def install(groups: Groups) -> None:
    """Check what ministack takes unchecked, before it does."""
    actions = _host["_ACTION_MAP"]
    actions["PutScalingPolicy"] = _checked(groups, actions["PutScalingPolicy"], _check_policy)
    actions["PutScheduledUpdateGroupAction"] = _checked(groups, actions["PutScheduledUpdateGroupAction"], _check_action)
    actions["DescribePolicies"] = _describe_policies


def _checked(groups: Groups, handler: Handler, check: Callable[[Params], None]) -> Handler:
    def answer(params: Params) -> Answer:
        try:
            groups.group(_host["_p"](params, "AutoScalingGroupName"))
            check(params)
        except GroupError as error:
            refused: Answer = _host["_error"](error.code, str(error))
            return refused
        return handler(params)

    return answer


def _check_policy(params: Params) -> None:
    kind = _host["_p"](params, "PolicyType") or "SimpleScaling"
    if kind not in TYPES:
        raise GroupError(f"Policy type {kind} is not valid. Valid values are {', '.join(TYPES)}")


def _check_action(params: Params) -> None:
    if not any(_host["_p"](params, size) for size in SIZES):
        raise GroupError("At least one of MinSize, MaxSize and DesiredCapacity must be specified")


def _describe_policies(params: Params) -> Answer:
    group = _host["_p"](params, "AutoScalingGroupName")
    names = _host["_parse_member_list"](params, "PolicyNames")
    kinds = _host["_parse_member_list"](params, "PolicyTypes")
    found = [
        {"Enabled": True, "StepAdjustments": [], "Alarms": [], **policy}
        for policy in _host["_policies"].values()
        if (not group or policy["AutoScalingGroupName"] == group)
        and (not names or policy["PolicyName"] in names)
        and (not kinds or policy["PolicyType"] in kinds)
    ]
    members = _host["_member_xml"]({"ScalingPolicies": found})
    body = f"<DescribePoliciesResult>{members}</DescribePoliciesResult>"
    answer: Answer = _host["_xml"](200, "DescribePoliciesResponse", body)
    return answer
