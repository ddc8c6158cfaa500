"""Auto Scaling groups."""

import re
from collections.abc import Callable, Iterator, Sequence
from time import time
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model.draining import HookAction, HookResult
from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle, Membership
from sluice.ports.errors import NeedsFixError

if TYPE_CHECKING:
    from types_boto3_autoscaling.type_defs import ActivityTypeDef, AutoScalingGroupTypeDef, InstanceTypeDef

# The most recent activities: enough to find the launches under way and the failures of the last minutes.
ACTIVITIES = 50
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html has one code, ValidationError, for all of
# these; the texts are what Auto Scaling has answered for years.
NOTHING_WAITS = re.compile("no active lifecycle action|no lifecycle hook|not found", re.IGNORECASE)
NO_GROUP = re.compile("not found", re.IGNORECASE)
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
        """The group, its instances, and of its last activities the launches that failed."""
        with asking(_thing(group)):
            answer = self._clients.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])
            found = answer["AutoScalingGroups"]
            if not found:
                raise NeedsFixError(f"{_thing(group).name} does not exist: {_thing(group).fix}")
            members = [*found[0].get("Instances", ()), *self._warm(group, found[0])]
            activities = self._clients.autoscaling.describe_scaling_activities(
                AutoScalingGroupName=group, MaxRecords=ACTIVITIES
            )["Activities"]
        launches = [activity for activity in activities if activity.get("Description", "").startswith("Launching")]
        launched_at = _launched_at(launches)
        return GroupReading(
            name=group,
            at=self._now(),
            desired=found[0]["DesiredCapacity"],
            min_size=found[0]["MinSize"],
            max_size=found[0]["MaxSize"],
            instances=tuple(
                _instance(instance, launched_at) for instance in {one["InstanceId"]: one for one in members}.values()
            ),
            suspended=frozenset(process.get("ProcessName", "") for process in found[0].get("SuspendedProcesses", [])),
            retains=_retains(found[0]),
            launch_failures=tuple(
                LaunchFailure(
                    activity.get("EndTime", activity["StartTime"]).timestamp(), activity.get("StatusMessage", "")
                )
                for activity in launches
                if activity["StatusCode"] == "Failed"
            ),
        )

    def _warm(self, group: str, found: "AutoScalingGroupTypeDef") -> "Iterator[InstanceTypeDef]":
        """The instances of a group's warm pool, which the group's own description leaves out; none if it has no pool.

        An instance that is drained while it returns to the pool is there already.
        """
        if "WarmPoolConfiguration" not in found:
            return
        pages = self._clients.autoscaling.get_paginator("describe_warm_pool").paginate(AutoScalingGroupName=group)
        for page in pages:
            yield from page["Instances"]

    def membership(self, instance_id: str) -> Membership | None:
        """Ask of one instance alone, those of warm pools included.

        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
        """
        with asking(Thing("autoscaling", f"instance {instance_id}", "try again")):
            answer = self._clients.autoscaling.describe_auto_scaling_instances(InstanceIds=[instance_id])
        found = [one for one in answer["AutoScalingInstances"] if one["InstanceId"] == instance_id]
        return Membership(found[0]["AutoScalingGroupName"], found[0]["LifecycleState"]) if found else None

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity."""
        with asking(_thing(group)):
            try:
                self._clients.autoscaling.set_desired_capacity(
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

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance that its group has retained; False if Auto Scaling knows of none."""
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


def _instance(instance: "InstanceTypeDef", launched_at: dict[str, float]) -> Instance:
    return Instance(
        id=instance["InstanceId"],
        state=Lifecycle.of(instance["LifecycleState"]),
        aws_state=instance["LifecycleState"],
        healthy=instance["HealthStatus"].upper() == "HEALTHY",
        protected=instance["ProtectedFromScaleIn"],
        launched_at=launched_at.get(instance["InstanceId"]),
        weight=float(instance.get("WeightedCapacity") or 1),
    )


def _launched_at(launches: list["ActivityTypeDef"]) -> dict[str, float]:
    """When the last launch of each instance began. Only a group's activities have that, latest first."""
    began: dict[str, float] = {}
    for activity in launches:
        if instance_id := re.search(r"\bi-[0-9a-f]+\b", activity.get("Description", "")):
            began.setdefault(instance_id[0], activity["StartTime"].timestamp())
    return began
