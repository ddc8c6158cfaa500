"""The Auto Scaling API over the engine: requests are validated as AWS does, then handed to ``groups``.

AWS pages: autoscaling/ec2/APIReference/ (API_SetDesiredCapacity, API_TerminateInstanceInAutoScalingGroup,
API_CompleteLifecycleAction, API_RecordLifecycleActionHeartbeat, API_PutLifecycleHook, API_SetInstanceProtection,
API_SuspendProcesses, API_DescribeScalingActivities, API_DeleteAutoScalingGroup, API_UpdateAutoScalingGroup);
autoscaling/ec2/userguide/instance-lifecycle-policy.html (retention).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.groups import PROCESSES, GroupError, Groups, Member
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.lifecycle import ABANDON, CONTINUE, LAUNCHING, LEAVING, TERMINATING, State
from sluice_tools.sandbox.emulator.settings import Settings

_host = Host(
    "services.autoscaling", "_asgs", "_hooks", "_tags", "_ACTION_MAP", "_reconcile_instances", "_p", "_xml", "_error",
    "_parse_member_list", "_parse_nested", "_member_xml", "_hook_record", "_create_asg", "_delete_group_hooks",
    "_delete_group_policies",
)  # fmt: skip
_provisioners = Host("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_asg_launch_template", "_cfn_bool")

HOOKS_PER_GROUP = 50
"""AWS's quota of lifecycle hooks for each group."""
HOOK_MAX_S = 7200
"""Longest heartbeat timeout that AWS accepts."""
PROTECTION_BATCH = 50
"""Most instance ids in one SetInstanceProtection."""
PAGE = 100
"""Most records in one page of a describe call."""
PAGE_DEFAULT = 50
"""Records in one page of DescribeAutoScalingGroups and DescribeAutoScalingInstances unless asked otherwise."""

Params = Mapping[str, Any]
Handler = Callable[[Params], str]


class Api:
    """Every Auto Scaling action that differs from ministack's own."""

    def __init__(self, settings: Settings, groups: Groups) -> None:
        """Serve requests from ``groups``."""
        self._settings = settings
        self._groups = groups

    def install(self) -> None:
        """Take the place of ministack's handlers."""
        _host["_reconcile_instances"] = lambda _group: self._groups.wake()
        for action, (handler, has_result) in self._actions().items():
            _host["_ACTION_MAP"][action] = self._answering(action, handler, has_result=has_result)

    def _actions(self) -> dict[str, tuple[Handler, bool]]:
        """Handlers by action, and whether their answer has a result element."""
        return {
            "CreateAutoScalingGroup": (self._create_group, False),
            "DescribeAutoScalingGroups": (self._describe_groups, True),
            "UpdateAutoScalingGroup": (self._update_group, False),
            "DeleteAutoScalingGroup": (self._delete_group, False),
            "SetDesiredCapacity": (self._set_desired, False),
            "DescribeAutoScalingInstances": (self._describe_instances, True),
            "DescribeScalingActivities": (self._describe_activities, True),
            "TerminateInstanceInAutoScalingGroup": (self._terminate_instance, True),
            "SetInstanceProtection": (self._protect, True),
            "SetInstanceHealth": (self._set_health, False),
            "SuspendProcesses": (self._suspend, False),
            "ResumeProcesses": (self._resume, False),
            "DescribeScalingProcessTypes": (self._process_types, True),
            "PutLifecycleHook": (self._put_hook, True),
            "DeleteLifecycleHook": (self._delete_hook, True),
            "DescribeLifecycleHooks": (self._describe_hooks, True),
            "CompleteLifecycleAction": (self._complete, True),
            "RecordLifecycleActionHeartbeat": (self._heartbeat, True),
            "EnableMetricsCollection": (self._enable_metrics, False),
            "DisableMetricsCollection": (self._disable_metrics, False),
        }

    def _answering(
        self, action: str, handler: Handler, *, has_result: bool
    ) -> Callable[[Params], tuple[int, dict[str, str], bytes]]:
        def answer(params: Params) -> tuple[int, dict[str, str], bytes]:
            try:
                with self._groups.lock:
                    inner = handler(params)
            except GroupError as error:
                refused: tuple[int, dict[str, str], bytes] = _host["_error"](error.code, escape(str(error)))
                return refused
            finally:
                self._groups.wake()
            body = f"<{action}Result>{inner}</{action}Result>" if has_result else ""
            done: tuple[int, dict[str, str], bytes] = _host["_xml"](200, f"{action}Response", body)
            return done

        return answer

    # --- groups ---

    def _create_group(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        if name in _host["_asgs"]:
            raise GroupError(
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
                "AlreadyExists",
            )
        low, high = int(_required(params, "MinSize")), int(_required(params, "MaxSize"))
        check_bounds(low, high, _number(params, "DesiredCapacity", low))
        nested = _host["_parse_nested"]
        template = nested(params, "LaunchTemplate") or (
            nested(params, "MixedInstancesPolicy").get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
        )
        status, _, body = _host["_create_asg"](params)
        if status != 200:
            raise GroupError(body.decode())
        group = _host["_asgs"][name]
        if template:
            group["LaunchTemplate"] = _provisioners["_asg_launch_template"](template)
        if policy := nested(params, "InstanceLifecyclePolicy"):
            group["InstanceLifecyclePolicy"] = policy
        for hook in nested(params, "LifecycleHookSpecificationList") or []:
            self.store_hook(name, hook)
        self._groups.note_cause(
            name, f"a user request created an AutoScalingGroup changing the desired capacity from 0 to "
            f"{group['DesiredCapacity']}",
        )  # fmt: skip
        return ""

    def _describe_groups(self, params: Params) -> str:
        names = _host["_parse_member_list"](params, "AutoScalingGroupNames")
        most = min(_number(params, "MaxRecords", PAGE_DEFAULT), PAGE)
        if len(names) > most:  # as the API reference says of AutoScalingGroupNames: 50, or MaxRecords
            raise GroupError(f"Number of AutoScalingGroupNames specified exceeds the maximum allowed ({most}).")
        filters = _host["_parse_nested"](params, "Filters") or []
        with_instances = _host["_p"](params, "IncludeInstances") != "false"
        records = [
            group
            for name, group in sorted(_host["_asgs"].items())
            if (not names or name in names) and all(_passes(group, condition) for condition in filters)
        ]
        page, token = _page(params, records, PAGE_DEFAULT)
        members = [self._public_group(group, with_instances=with_instances) for group in page]
        return _xml({"AutoScalingGroups": members, **token})

    def _public_group(self, group: Mapping[str, Any], *, with_instances: bool) -> dict[str, Any]:
        name = group["AutoScalingGroupName"]
        shown = {
            key: group[key]
            for key in (
                "AutoScalingGroupName", "AutoScalingGroupARN", "MinSize", "MaxSize", "DesiredCapacity",
                "DefaultCooldown", "AvailabilityZones", "HealthCheckType", "HealthCheckGracePeriod", "CreatedTime",
                "VPCZoneIdentifier", "TerminationPolicies", "NewInstancesProtectedFromScaleIn",
                "InstanceLifecyclePolicy",
            )
            if key in group
        }  # fmt: skip
        shown["NewInstancesProtectedFromScaleIn"] = bool(shown["NewInstancesProtectedFromScaleIn"])
        for key in ("LaunchTemplate", "LaunchConfigurationName", "Status"):
            if group.get(key):
                shown[key] = group[key]
        shown["Tags"] = [
            {**tag, "PropagateAtLaunch": bool(tag.get("PropagateAtLaunch"))} for tag in group.get("Tags", [])
        ]
        shown["SuspendedProcesses"] = [
            {"ProcessName": process, "SuspensionReason": reason}
            for process, reason in self._groups.suspended(name).items()
        ]
        shown["EnabledMetrics"] = [
            {"Metric": metric, "Granularity": "1Minute"} for metric in group.get("EnabledMetrics", ())
        ]
        if with_instances:
            shown["Instances"] = [_public_instance(record) for record in group["Instances"]]
        return shown

    def _update_group(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        group = self._groups.group(name)
        low, high = _number(params, "MinSize", group["MinSize"]), _number(params, "MaxSize", group["MaxSize"])
        before = group["DesiredCapacity"]
        # Without a desired capacity of its own, an update moves it only as far as the new bounds ask.
        desired = _number(params, "DesiredCapacity", min(max(before, low), high))
        check_bounds(low, high, desired)
        group |= {"MinSize": low, "MaxSize": high, "DesiredCapacity": desired}
        for key in ("DefaultCooldown", "HealthCheckGracePeriod"):
            group[key] = _number(params, key, group[key])
        for key in ("HealthCheckType", "VPCZoneIdentifier"):
            group[key] = _host["_p"](params, key) or group[key]
        for key in ("AvailabilityZones", "TerminationPolicies"):
            group[key] = _host["_parse_member_list"](params, key) or group[key]
        if protect := _host["_p"](params, "NewInstancesProtectedFromScaleIn"):
            group["NewInstancesProtectedFromScaleIn"] = protect == "true"
        if template := _host["_parse_nested"](params, "LaunchTemplate"):
            group["LaunchTemplate"] = _provisioners["_asg_launch_template"](template)
        if policy := _host["_parse_nested"](params, "InstanceLifecyclePolicy"):
            group["InstanceLifecyclePolicy"] = policy
        self._groups.note_cause(
            name, f"a user request update of AutoScalingGroup constraints to min: {low}, max: {high}, desired: "
            f"{desired} changing the desired capacity from {before} to {desired}",
        )  # fmt: skip
        return ""

    def _delete_group(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        group = self._groups.group(name)
        if group["Instances"] and _host["_p"](params, "ForceDelete") != "true":
            raise GroupError(
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
                "ResourceInUse",
            )
        self._remove(name)
        return ""

    def _remove(self, name: str) -> None:
        """Drop a group: the engine ends what is left of it."""
        _host["_asgs"].pop(name, None)
        _host["_tags"].pop(name, None)
        _host["_delete_group_hooks"](name)
        _host["_delete_group_policies"](name)
        self._groups.forget_group(Scope.current(), name)

    def _set_desired(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        group = self._groups.group(name)
        desired, before = int(_required(params, "DesiredCapacity")), group["DesiredCapacity"]
        if desired > group["MaxSize"]:
            raise GroupError(
                f"New SetDesiredCapacity value {desired} is above max value {group['MaxSize']} for the "
                "AutoScalingGroup."
            )
        if desired < group["MinSize"]:
            raise GroupError(
                f"New SetDesiredCapacity value {desired} is below min value {group['MinSize']} for the "
                "AutoScalingGroup."
            )
        if _host["_p"](params, "HonorCooldown") == "true" and self._cooling_down(name, group):
            raise GroupError(
                f"A scaling activity is in progress or the cooldown of {group['DefaultCooldown']} s is not over",
                "ScalingActivityInProgress",
            )
        group["DesiredCapacity"] = desired
        self._groups.note_cause(
            name, f"a user request explicitly set group desired capacity changing the desired capacity from {before} "
            f"to {desired}",
        )  # fmt: skip
        return ""

    def _cooling_down(self, name: str, group: Mapping[str, Any]) -> bool:
        last = next(iter(self._groups.activities(name)), None)
        if last is None:
            return False
        return last.ended_at is None or time.time() < last.ended_at + self._settings.scaled(group["DefaultCooldown"])

    # --- instances ---

    def _describe_instances(self, params: Params) -> str:
        wanted = _host["_parse_member_list"](params, "InstanceIds")
        records = [
            _public_instance(record) | {"AutoScalingGroupName": name}
            for name, group in sorted(_host["_asgs"].items())
            for record in group["Instances"]
            if not wanted or record["InstanceId"] in wanted
        ]
        page, token = _page(params, records, PAGE_DEFAULT)
        return _xml({"AutoScalingInstances": page, **token})

    def _describe_activities(self, params: Params) -> str:
        name = _host["_p"](params, "AutoScalingGroupName") or None
        if name is not None and _host["_p"](params, "IncludeDeletedGroups") != "true":
            self._groups.group(name)
        wanted = _host["_parse_member_list"](params, "ActivityIds")
        found = [a.public() for a in self._groups.activities(name) if not wanted or a.id in wanted]
        page, token = _page(params, found, PAGE)
        return _xml({"Activities": page, **token})

    def _terminate_instance(self, params: Params) -> str:
        member = self._groups.member(_required(params, "InstanceId"))
        group = self._groups.group(member.group)
        decrement = _required(params, "ShouldDecrementDesiredCapacity") == "true"
        before = group["DesiredCapacity"]
        cause = f"instance {member.id} was taken out of service in response to a user request"
        if decrement and member.state not in LEAVING:
            if before <= group["MinSize"]:
                raise GroupError(
                    f"Currently, desiredSize equals minSize ({group['MinSize']}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                    "flag to false or lower group's min size."
                )
            group["DesiredCapacity"] = before - 1
            cause += f", shrinking the capacity from {before} to {before - 1}"
        activity = self._groups.terminate(member, cause, time.time())
        return _xml({"Activity": activity.public()})

    def _protect(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        self._groups.group(name)
        ids = _host["_parse_member_list"](params, "InstanceIds")
        if len(ids) > PROTECTION_BATCH:
            raise GroupError(f"The number of instance IDs must not exceed {PROTECTION_BATCH}.")
        protect = _required(params, "ProtectedFromScaleIn") == "true"
        members = [self._in_service(name, instance_id) for instance_id in ids]
        for member in members:
            member.record["ProtectedFromScaleIn"] = protect
        return ""

    def _in_service(self, group: str, instance_id: str) -> Member:
        member = self._groups.find(instance_id)
        if member is None or member.group != group or member.scope != Scope.current():
            raise GroupError(f"The instance {instance_id} is not part of Auto Scaling group {group}.")
        if member.state is not State.IN_SERVICE:
            raise GroupError(f"The instance {instance_id} is not in InService.")
        return member

    def _set_health(self, params: Params) -> str:
        member = self._groups.member(_required(params, "InstanceId"))
        status = _required(params, "HealthStatus")
        if status not in {"Healthy", "Unhealthy"}:
            raise GroupError("HealthStatus must be Healthy or Unhealthy")
        member.record["HealthStatus"] = status
        return ""

    # --- processes and metrics ---

    def _suspend(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        self._groups.group(name)
        for process in self._processes(params):
            self._groups.suspended(name).setdefault(process, f"User suspended at {_now()}")
        return ""

    def _resume(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        self._groups.group(name)
        for process in self._processes(params):
            self._groups.suspended(name).pop(process, None)
        return ""

    @staticmethod
    def _processes(params: Params) -> list[str]:
        """The processes a request names; none named means all."""
        named: list[str] = _host["_parse_member_list"](params, "ScalingProcesses")
        if unknown := [process for process in named if process not in PROCESSES]:
            raise GroupError(f"Unknown process types: {', '.join(unknown)}")
        return named or list(PROCESSES)

    @staticmethod
    def _process_types(_params: Params) -> str:
        return _xml({"Processes": [{"ProcessName": process} for process in PROCESSES]})

    def _enable_metrics(self, params: Params) -> str:
        group = self._groups.group(_required(params, "AutoScalingGroupName"))
        named = _host["_parse_member_list"](params, "Metrics")
        group["EnabledMetrics"] = sorted({*group.get("EnabledMetrics", ()), *(named or GROUP_METRICS)})
        return ""

    def _disable_metrics(self, params: Params) -> str:
        group = self._groups.group(_required(params, "AutoScalingGroupName"))
        named = _host["_parse_member_list"](params, "Metrics") or GROUP_METRICS
        group["EnabledMetrics"] = sorted(set(group.get("EnabledMetrics", ())) - set(named))
        return ""

    # --- hooks ---

    def _put_hook(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        self._groups.group(name)
        members = (
            "LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout", "DefaultResult", "NotificationTargetARN",
            "RoleARN", "NotificationMetadata",
        )  # fmt: skip
        self.store_hook(name, {member: _host["_p"](params, member) for member in members})
        return ""

    def store_hook(self, group: str, members: Mapping[str, str]) -> None:
        """Store a hook, or change one; raises GroupError for members that AWS refuses."""
        hook = members.get("LifecycleHookName") or ""
        key = f"{group}/{hook}"
        known: dict[str, Any] = _host["_hooks"].get(key) or {}
        if not hook:
            raise GroupError("LifecycleHookName is required")
        transition = members.get("LifecycleTransition") or known.get("LifecycleTransition")
        if transition not in {LAUNCHING, TERMINATING}:
            raise GroupError(f"LifecycleTransition must be {LAUNCHING} or {TERMINATING}, not {transition or 'absent'}")
        timeout = int(members.get("HeartbeatTimeout") or known.get("HeartbeatTimeout") or 3600)
        if not self._settings.hook_min_s <= timeout <= HOOK_MAX_S:
            raise GroupError(
                f"HeartbeatTimeout must be between {self._settings.hook_min_s} and {HOOK_MAX_S} seconds, not {timeout}"
            )
        if (members.get("DefaultResult") or ABANDON) not in {ABANDON, CONTINUE}:
            raise GroupError(f"DefaultResult must be {CONTINUE} or {ABANDON}")
        count = sum(1 for other in _host["_hooks"].values() if other["AutoScalingGroupName"] == group)
        if not known and count >= HOOKS_PER_GROUP:
            raise GroupError(f"Lifecycle hook limit exceeded: {HOOKS_PER_GROUP} per group", "LimitExceeded")
        given = {member: value for member, value in members.items() if value not in ("", None)}
        _host["_hooks"][key] = _host["_hook_record"](group, hook, {**known, **given})

    def _delete_hook(self, params: Params) -> str:
        name, hook = _required(params, "AutoScalingGroupName"), _required(params, "LifecycleHookName")
        self._groups.group(name)
        if _host["_hooks"].pop(f"{name}/{hook}", None) is None:
            raise GroupError(f"No Lifecycle Hook found with name {hook} in group {name}")
        self._groups.hook_deleted(name, hook)
        return ""

    def _describe_hooks(self, params: Params) -> str:
        name = _required(params, "AutoScalingGroupName")
        self._groups.group(name)
        wanted = _host["_parse_member_list"](params, "LifecycleHookNames")
        hooks = []
        for hook in _host["_hooks"].values():
            if hook["AutoScalingGroupName"] != name or (wanted and hook["LifecycleHookName"] not in wanted):
                continue
            timeout = hook["HeartbeatTimeout"]
            shown = {key: value for key, value in hook.items() if value != ""}
            hooks.append(shown | {"GlobalTimeout": min(172800, 100 * timeout)})
        return _xml({"LifecycleHooks": hooks})

    def _complete(self, params: Params) -> str:
        result = _required(params, "LifecycleActionResult")
        if result not in {CONTINUE, ABANDON}:
            raise GroupError(f"LifecycleActionResult must be {CONTINUE} or {ABANDON}, not {result}")
        self._action(params).complete(result)
        return ""

    def _heartbeat(self, params: Params) -> str:
        self._action(params).heartbeat(time.time())
        return ""

    def _action(self, params: Params) -> Any:
        name, hook = _required(params, "AutoScalingGroupName"), _required(params, "LifecycleHookName")
        token = _host["_p"](params, "LifecycleActionToken") or None
        instance_id = _host["_p"](params, "InstanceId") or None
        self._groups.group(name)
        if f"{name}/{hook}" not in _host["_hooks"]:
            raise GroupError(f"No Lifecycle Hook found with name {hook} in group {name}")
        if token is None and instance_id is None:
            raise GroupError("Either LifecycleActionToken or InstanceId must be given")
        return self._groups.action(name, hook, token, instance_id)


GROUP_METRICS = (
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
)
"""Group metrics that EnableMetricsCollection turns on when none is named (those of warm pools left out)."""


def check_bounds(low: int, high: int, desired: int) -> None:
    """Hold a group's sizes against one another, in AWS's words."""
    if low > high:
        raise GroupError(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if not low <= desired <= high:
        raise GroupError(f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}")


def _public_instance(record: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in record.items() if value not in ("", {})}
    return shown | {"ProtectedFromScaleIn": bool(record["ProtectedFromScaleIn"])}


def _passes(group: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether a group passes one filter: tag-key, tag-value or tag:<key>."""
    name, values = condition.get("Name", ""), condition.get("Values") or []
    tags = {tag["Key"]: str(tag["Value"]) for tag in group.get("Tags", [])}
    if name == "tag-key":
        return any(key in values for key in tags)
    if name == "tag-value":
        return any(value in values for value in tags.values())
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    raise GroupError(f"Filter type {name} is not correct. Allowed: tag-key, tag-value, tag:<key>")


def _required(params: Params, name: str) -> str:
    value: str = _host["_p"](params, name)
    if value == "":
        raise GroupError(f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' failed to satisfy "
                         "constraint: Member must not be null")  # fmt: skip
    return value


def _number(params: Params, name: str, default: int) -> int:
    value = _host["_p"](params, name)
    return default if value == "" else int(value)


def _page(params: Params, records: list[Any], default: int) -> tuple[list[Any], dict[str, str]]:
    """One page of records and the token of the next, where there is one."""
    size = min(_number(params, "MaxRecords", default), PAGE)
    start = _number(params, "NextToken", 0)
    more = start + size < len(records)
    return records[start : start + size], {"NextToken": str(start + size)} if more else {}


def _xml(members: Mapping[str, Any]) -> str:
    text: str = _host["_member_xml"](members)
    return text


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
