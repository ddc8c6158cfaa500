"""Auto Scaling groups."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model.draining import HookAction, HookResult
from sluice.model.launches import Launch, with_launches
from sluice.model.observed import GroupReading, Instance, Lifecycle, Membership
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError, answer_of

if TYPE_CHECKING:
    from types_boto3_autoscaling.type_defs import ActivityTypeDef, AutoScalingGroupTypeDef, InstanceTypeDef

# The most recent activities: enough to find the launches under way and the failures of the last minutes.
ACTIVITIES = 50
GROUPS_AT_ONCE = 100  # names in a call of DescribeAutoScalingGroups
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html has one code, ValidationError, for all of
# these; the texts are what Auto Scaling has answered for years.
NOTHING_WAITS = re.compile("no active lifecycle action|no lifecycle hook|not found", re.IGNORECASE)
NO_GROUP = re.compile("not found", re.IGNORECASE)
# A launch into the group's warm pool is none into service.
LAUNCH = re.compile("Launching(?!.* into warm pool)")
# While a refresh is Pending it has no StartTime; one that is Baking has replaced all it was to replace.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html
REPLACING = frozenset({"InProgress", "RollbackInProgress"})
NOT_MANAGED = re.compile("not found|no managed instance", re.IGNORECASE)


class AsgGroup:
    """The Group port.

    Args:
        clients: where the client comes from.
        now: epoch seconds.
    """

    def __init__(self, clients: Clients, now: Callable[[], float] = time) -> None:
        self._clients = clients
        self._now = now

    def read(self, group: str) -> GroupReading:
        """The group, its instances, those of its warm pool, and its last launches."""
        (reading,) = self._read_all(self._clients, (group,), self._now(), warm_pools=True)
        if isinstance(reading, PortError):
            raise reading
        return with_launches(reading, _launches(self._clients, group))

    def read_all(
        self, groups: Sequence[str], now: float, *, warm_pools: bool = False
    ) -> tuple[GroupReading | PortError, ...]:
        """Each group or its error, by one call for each hundred of them."""
        return self._read_all(self._clients.of_ticks, groups, now, warm_pools=warm_pools)

    def _read_all(
        self, clients: Clients, groups: Sequence[str], now: float, *, warm_pools: bool
    ) -> tuple[GroupReading | PortError, ...]:
        found: dict[str, GroupReading | PortError] = {}
        names = list(dict.fromkeys(groups))
        for start in range(0, len(names), GROUPS_AT_ONCE):
            described = _describe(clients, names[start : start + GROUPS_AT_ONCE])
            if isinstance(described, TryLaterError):  # silent, or throttled: those not yet asked for would wait as well
                found |= dict.fromkeys(names[start:], described)
                break
            for name in names[start : start + GROUPS_AT_ONCE]:
                group = described if isinstance(described, PortError) else described.get(name)
                if group is None:
                    found[name] = NeedsFixError(f"{_thing(name).name} does not exist: {_thing(name).fix}")
                elif isinstance(group, PortError):
                    found[name] = group
                else:
                    found[name] = answer_of(partial(self._reading, clients, group, now, warm_pool=warm_pools))
        return tuple(found[name] for name in groups)

    def _reading(
        self, clients: Clients, group: "AutoScalingGroupTypeDef", now: float, *, warm_pool: bool
    ) -> GroupReading:
        members = list(group.get("Instances", ()))
        if warm_pool:
            members += _warm(clients, group)
        return GroupReading(
            name=group["AutoScalingGroupName"],
            at=now,
            desired=group["DesiredCapacity"],
            min_size=group["MinSize"],
            max_size=group["MaxSize"],
            instances=tuple(_instance(instance) for instance in {one["InstanceId"]: one for one in members}.values()),
            suspended=frozenset(process.get("ProcessName", "") for process in group.get("SuspendedProcesses", [])),
            # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html
            protects_new=bool(group.get("NewInstancesProtectedFromScaleIn")),
            retains=_retains(group),
            max_lifetime_s=float(group.get("MaxInstanceLifetime", 0)) or None,
        )

    def launches(self, group: str) -> tuple[Launch, ...]:
        """Of the group's last activities those that launch."""
        return _launches(self._clients.of_ticks, group)

    def membership(self, instance_id: str) -> Membership | None:
        """Ask of one instance alone, those of warm pools included.

        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
        """
        with asking(Thing("autoscaling", f"instance {instance_id}", "try again")):
            answer = self._clients.autoscaling.describe_auto_scaling_instances(InstanceIds=[instance_id])
        found = [one for one in answer["AutoScalingInstances"] if one["InstanceId"] == instance_id]
        return Membership(found[0]["AutoScalingGroupName"], found[0]["LifecycleState"]) if found else None

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity, by one attempt: the next tick makes another."""
        with asking(_thing(group)):
            try:
                self._clients.of_ticks.autoscaling.set_desired_capacity(
                    AutoScalingGroupName=group, DesiredCapacity=desired, HonorCooldown=False
                )
            except ClientError as error:
                # A missing group is a plain ValidationError here, as a capacity out of bounds is.
                if code_of(error) == "ValidationError" and NO_GROUP.search(str(error)):
                    raise NeedsFixError(f"{_thing(group).name} does not exist: {_thing(group).fix}") from error
                raise

    def complete_hook(self, action: HookAction, result: HookResult) -> bool:
        """Complete a lifecycle action; False if none is active."""
        with asking(_thing(action.group)):
            complete = self._clients.autoscaling.complete_lifecycle_action
            return _answers(action, complete, LifecycleActionResult=result.value)

    def heartbeat(self, action: HookAction) -> bool:
        """Restart the hook's timeout; False if no action is active."""
        with asking(_thing(action.group)):
            return _answers(action, self._clients.autoscaling.record_lifecycle_action_heartbeat)

    def protect(self, group: str, instance_ids: Sequence[str], protected: bool) -> None:
        """Set or lift the scale-in protection of instances in service."""
        with asking(_thing(group)):
            self._clients.autoscaling.set_instance_protection(
                AutoScalingGroupName=group, InstanceIds=list(instance_ids), ProtectedFromScaleIn=protected
            )

    def refresh_began_at(self, group: str) -> float | None:
        """When the instance refresh began that is replacing the group's instances."""
        with asking(_thing(group)):
            answer = self._clients.autoscaling.describe_instance_refreshes(AutoScalingGroupName=group)
        began = [one["StartTime"] for one in answer["InstanceRefreshes"] if one["Status"] in REPLACING]
        return max(began).timestamp() if began else None

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance, and keep the desired capacity; False if Auto Scaling knows of none."""
        with asking(_thing(group)):
            try:
                self._clients.autoscaling.terminate_instance_in_auto_scaling_group(
                    InstanceId=instance_id, ShouldDecrementDesiredCapacity=False
                )
            except ClientError as error:
                if code_of(error) == "ValidationError" and NOT_MANAGED.search(str(error)):
                    return False
                raise
        return True


def _answers(action: HookAction, call: Callable[..., object], **more: str) -> bool:
    """Answer a lifecycle action by a call; False if none is active, which is no error."""
    token = {} if action.token is None else {"LifecycleActionToken": action.token}
    try:
        call(
            AutoScalingGroupName=action.group,
            LifecycleHookName=action.hook,
            InstanceId=action.instance_id,
            **token,
            **more,
        )
    except ClientError as error:
        if _no_action(error):
            return False
        raise
    return True


def _thing(group: str) -> Thing:
    return Thing("autoscaling", f"Auto Scaling group {group}", "create it, or correct the fleet's document")


def _no_action(error: ClientError) -> bool:
    """Whether AWS answers that no action is active: it was completed or timed out, or its hook or group is gone."""
    return code_of(error) == "ValidationError" and NOTHING_WAITS.search(str(error)) is not None


def _retains(group: "AutoScalingGroupTypeDef") -> bool:
    """Whether an abandoned termination hook makes the group keep the instance.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-lifecycle-policy.html
    """
    triggers = group.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {})
    return triggers.get("TerminateHookAbandon") == "retain"


def _describe(clients: Clients, names: Sequence[str]) -> "dict[str, AutoScalingGroupTypeDef] | PortError":
    """Groups by name, as far as they exist; or why none could be read.

    Without MaxRecords a call takes 50 names; with it, as many as there may be in an answer.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html
    """
    name = _thing(names[0]).name if len(names) == 1 else f"{len(names)} Auto Scaling groups"
    try:
        with asking(Thing("autoscaling", name, _thing(name).fix)):
            pages = clients.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
                AutoScalingGroupNames=list(names), PaginationConfig={"PageSize": GROUPS_AT_ONCE}
            )
            return {group["AutoScalingGroupName"]: group for page in pages for group in page["AutoScalingGroups"]}
    except PortError as error:
        return error


def _warm(clients: Clients, group: "AutoScalingGroupTypeDef") -> "list[InstanceTypeDef]":
    """The instances of a group's warm pool, which the group's own description leaves out; none if it has no pool.

    An instance that is drained while it returns to the pool is there already.
    """
    if "WarmPoolConfiguration" not in group:
        return []
    name = group["AutoScalingGroupName"]
    with asking(_thing(name)):
        pages = clients.autoscaling.get_paginator("describe_warm_pool").paginate(AutoScalingGroupName=name)
        return [instance for page in pages for instance in page["Instances"]]


def _launches(clients: Clients, group: str) -> tuple[Launch, ...]:
    with asking(_thing(group)):
        activities = clients.autoscaling.describe_scaling_activities(AutoScalingGroupName=group, MaxRecords=ACTIVITIES)[
            "Activities"
        ]
    return tuple(_launch(one) for one in activities if LAUNCH.match(one.get("Description", "")))


def _instance(instance: "InstanceTypeDef") -> Instance:
    return Instance(
        id=instance["InstanceId"],
        state=Lifecycle.of(instance["LifecycleState"]),
        aws_state=instance["LifecycleState"],
        healthy=instance["HealthStatus"].upper() == "HEALTHY",
        protected=instance["ProtectedFromScaleIn"],
        weight=float(instance.get("WeightedCapacity") or 1),
    )


def _launch(activity: "ActivityTypeDef") -> Launch:
    """A launch by its scaling activity, whose description alone names the instance."""
    instance_id = re.search(r"\bi-[0-9a-f]+\b", activity.get("Description", ""))
    return Launch(
        group=activity["AutoScalingGroupName"],
        activity=activity["ActivityId"],
        started_at=activity["StartTime"].timestamp(),
        ended_at=activity["EndTime"].timestamp() if "EndTime" in activity else None,
        instance_id=instance_id[0] if instance_id else "",
        failure=activity.get("StatusMessage", "") if activity["StatusCode"] == "Failed" else None,
    )
