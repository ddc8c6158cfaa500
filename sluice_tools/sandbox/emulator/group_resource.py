"""The Auto Scaling group as a template's resource: what ministack's CloudFormation leaves out of it or gets wrong.

AWS page: AWSCloudFormation/latest/TemplateReference/aws-resource-autoscaling-autoscalinggroup.html (hooks in the
group's own list, metrics collection, mixed instances, and a desired capacity that updates leave alone);
AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html (stack-level tags reach the instances in any case).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.autoscaling import GROUP_METRICS, Api, check_bounds
from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.groups import Groups
from sluice_tools.sandbox.emulator.host import Host

_autoscaling = Host("services.autoscaling", "_asgs")
_provisioners = Host("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_cfn_bool")


class GroupResource:
    """AWS::AutoScaling::AutoScalingGroup."""

    def __init__(self, groups: Groups, api: Api) -> None:
        """Make and end groups with these."""
        self._groups = groups
        self._api = api

    def install(self) -> None:
        """Wrap ministack's handlers of the resource."""
        resource = _provisioners["_RESOURCE_HANDLERS"]["AWS::AutoScaling::AutoScalingGroup"]
        create, update, delete = resource["create"], resource["update"], resource["delete"]

        def created(logical_id: str, props: dict[str, Any], stack: str) -> Any:
            with self._groups.lock:
                answer = create(logical_id, _template_props(props), stack)
                self._complete(answer[0], props)
                return answer

        def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
            with self._groups.lock:
                before = dict(_autoscaling["_asgs"].get(physical_id) or {})
                answer = update(physical_id, _template_props(old), _template_props(new), *rest)
                group = _autoscaling["_asgs"][answer[0]]
                if "DesiredCapacity" not in new and before:
                    # A template that leaves the desired capacity out leaves it to whoever scales.
                    group["DesiredCapacity"] = min(max(before["DesiredCapacity"], group["MinSize"]), group["MaxSize"])
                self._complete(answer[0], new)
                self._groups.wake()
                return answer

        def deleted(physical_id: str, props: dict[str, Any]) -> None:
            with self._groups.lock:
                delete(physical_id, props)
                self._groups.forget_group(Scope.current(), physical_id)

        resource |= {"create": created, "update": updated, "delete": deleted}

    def _complete(self, name: str, props: Mapping[str, Any]) -> None:
        """What ministack leaves out of a group made by a template."""
        group = _autoscaling["_asgs"][name]
        check_bounds(group["MinSize"], group["MaxSize"], group["DesiredCapacity"])
        group["NewInstancesProtectedFromScaleIn"] = _provisioners["_cfn_bool"](
            props.get("NewInstancesProtectedFromScaleIn", False)
        )
        if policy := props.get("InstanceLifecyclePolicy"):
            group["InstanceLifecyclePolicy"] = policy
        enabled = {
            metric
            for collection in props.get("MetricsCollection") or []
            for metric in collection.get("Metrics") or GROUP_METRICS
        }
        group["EnabledMetrics"] = sorted(enabled)
        for hook in props.get("LifecycleHookSpecificationList") or []:
            self._api.store_hook(name, {key: str(value) for key, value in hook.items()})


def _template_props(props: dict[str, Any]) -> dict[str, Any]:
    """Properties with the launch template where ministack looks for it, and with stack-level tags for the instances."""
    # A template's own tag has to say PropagateAtLaunch: one that does not is the stack's.
    made = props | {"Tags": [{"PropagateAtLaunch": True, **tag} for tag in props.get("Tags") or []]}
    mixed = (props.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    specification = mixed.get("LaunchTemplateSpecification")
    return made | {"LaunchTemplate": specification} if specification and not props.get("LaunchTemplate") else made
