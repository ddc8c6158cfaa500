"""Auto Scaling groups that really scale: every group's instances are moved through their lifecycle on a clock.

ministack stores groups and hooks; this engine reads them, keeps the group's ``Instances`` list true, boots and ends
the machines behind them, and says so by activities and events.

AWS pages (autoscaling/ec2/userguide): ec2-auto-scaling-lifecycle.html, lifecycle-hooks-overview.html,
ec2-auto-scaling-health-checks.html (a machine that is not running is replaced), as-suspend-resume-processes.html,
ec2-auto-scaling-event-reference.html (events).
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sluice_tools.sandbox.emulator import lifecycle
from sluice_tools.sandbox.emulator.activities import Activities, Activity
from sluice_tools.sandbox.emulator.events import Bus, Scope, Ticker, iso
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.launcher import Blueprint, Launcher, LaunchError
from sluice_tools.sandbox.emulator.lifecycle import ABANDON, CONTINUE, LEAVING, HookAction, State
from sluice_tools.sandbox.emulator.machines import Machine
from sluice_tools.sandbox.emulator.settings import Settings

_autoscaling = Host("services.autoscaling", "_asgs", "_hooks")

TICK_S = 0.05
"""How often the engine looks at every group; AWS takes seconds."""
LAUNCH_RETRY_S = 30.0
"""Pause after a failed launch, scaled like a minute's fraction: AWS tries again, ever more slowly."""

PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)
"""Every process type, in the order DescribeScalingProcessTypes lists them by weight."""
BOOTING = (State.PENDING, State.TERMINATING_WAIT)
"""In which states a machine may boot: EC2 boots it on time, also where its group lets go of it before."""

log = logging.getLogger("sandbox.groups")


class GroupError(Exception):
    """What a request asked for cannot be done; carries AWS's error code."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        """Keep AWS's error code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Member:
    """One instance of a group: the record ministack shows, and what moves it."""

    record: dict[str, Any]
    scope: Scope
    group: str
    group_arn: str
    machine: Machine
    launched_at: float
    template: str
    activity: Activity
    since: float
    waiting: lifecycle.Waiting = field(default_factory=lifecycle.Waiting)
    kill_at: float | None = None
    no_hooks: bool = False
    booted: bool = False
    launch_abandoned: bool = False
    health_seen_at: float = 0.0

    @property
    def id(self) -> str:
        """The instance id."""
        return str(self.record["InstanceId"])

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return State(self.record["LifecycleState"])

    def enter(self, state: State, now: float) -> None:
        """Move on."""
        log.info("%s of %s: %s -> %s", self.id, self.group, self.state, state)
        self.record["LifecycleState"] = state.value
        self.since = now


class Groups:
    """The engine. Requests and ticks take the same lock; nothing under it waits for a process or a delivery."""

    def __init__(self, settings: Settings, bus: Bus, launcher: Launcher) -> None:
        """Prepare the engine; ``start`` sets it going."""
        self._settings = settings
        self._bus = bus
        self._launcher = launcher
        self._members: dict[str, Member] = {}
        self._activities = Activities()
        self._suspended: dict[tuple[Scope, str], dict[str, str]] = {}
        self._causes: dict[tuple[Scope, str], str] = {}
        self._launch_failures: dict[tuple[Scope, str], list[str]] = {}
        self._retry_at: dict[tuple[Scope, str], float] = {}
        self.lock = threading.RLock()
        self._ticker = Ticker("sandbox-groups", TICK_S, self.tick)

    def start(self) -> None:
        """Begin to move instances."""
        self._ticker.start()

    def wake(self) -> None:
        """Look at every group now."""
        self._ticker.wake()

    def close(self) -> None:
        """Move nothing more."""
        self._ticker.close()

    # --- what requests ask ---

    def group(self, name: str) -> dict[str, Any]:
        """The record of a group of the present scope.

        Raises:
            GroupError: There is none.
        """
        record: dict[str, Any] | None = _autoscaling["_asgs"].get(name)
        if record is None:
            raise GroupError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return record

    def member(self, instance_id: str) -> Member:
        """A managed instance of the present scope.

        Raises:
            GroupError: There is none.
        """
        member = self._members.get(instance_id)
        if member is None or member.scope != Scope.current():
            raise GroupError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
        return member

    def find(self, instance_id: str) -> Member | None:
        """A managed instance of any scope."""
        return self._members.get(instance_id)

    def members(self, group: dict[str, Any]) -> list[Member]:
        """The group's instances, oldest first."""
        return [self._members[record["InstanceId"]] for record in group["Instances"]
                if record["InstanceId"] in self._members]  # fmt: skip

    def note_cause(self, name: str, cause: str) -> None:
        """Remember why the group's capacity changes, for the activities that follow."""
        self._causes[Scope.current(), name] = f"At {iso(time.time())} {cause}."

    def suspended(self, name: str) -> dict[str, str]:
        """The group's suspended processes and why, by name."""
        return self._suspended.setdefault((Scope.current(), name), {})

    def activities(self, name: str | None) -> list[Activity]:
        """Activities of one group or of all in the present scope, newest first."""
        return self._activities.listed(Scope.current(), name)

    def fail_launches(self, scope: Scope, name: str, messages: Iterable[str]) -> None:
        """Let the group's next launches fail, one for each message, as AWS out of capacity does."""
        self._launch_failures[scope, name] = list(messages)

    def terminate(self, member: Member, cause: str, now: float, *, hooks: bool = True) -> Activity:
        """Begin to terminate an instance; one that was retained is past its hooks."""
        retained = member.state is State.TERMINATING_RETAINED
        if member.state in LEAVING and not retained:
            return member.activity
        if member.activity.ended_at is None:
            member.activity.end("Cancelled", now, "The instance is being terminated.")
        member.no_hooks = retained or not hooks
        member.waiting = lifecycle.Waiting()
        member.activity = self._activities.begin(
            member.scope, member.group, member.group_arn, f"Terminating EC2 instance: {member.id}",
            cause=f"At {iso(now)} {cause}.", now=now, zone=member.record["AvailabilityZone"],
        )  # fmt: skip
        member.enter(State.TERMINATING, now)
        self._launcher.target_state(member.id, State.TERMINATED)
        self.wake()
        return member.activity

    def forget_group(self, scope: Scope, name: str) -> None:
        """The group is deleted: what is left of it goes at once, hooks do not hold it."""
        now = time.time()
        for member in [m for m in self._members.values() if (m.scope, m.group) == (scope, name)]:
            self.terminate(member, "the group was deleted", now, hooks=False)
            for action in member.waiting.actions:
                action.complete(CONTINUE)
        self._suspended.pop((scope, name), None)

    def hook_deleted(self, group: str, hook: str) -> None:
        """Outstanding actions of a deleted hook end: launches abandoned, terminations continued."""
        scope = Scope.current()
        for member in self._members.values():
            if (member.scope, member.group) != (scope, group):
                continue
            action = member.waiting.find(hook, None)
            if action is not None:
                action.complete(ABANDON if action.transition == lifecycle.LAUNCHING else CONTINUE)
        self.wake()

    def action(self, group: str, hook: str, token: str | None, instance_id: str | None) -> HookAction:
        """The open lifecycle action that a token or an instance id names.

        Raises:
            GroupError: There is none.
        """
        scope = Scope.current()
        for member in self._members.values():
            if (member.scope, member.group) != (scope, group) or (instance_id and member.id != instance_id):
                continue
            found = member.waiting.find(hook, token)
            if found is not None:
                return found
        what = f"token {token}" if token else f"instance ID {instance_id}"
        raise GroupError(f"No active Lifecycle Action found with {what}")

    # --- the clock ---

    def tick(self, now: float) -> None:
        """Move every instance and reconcile every group once."""
        with self.lock:
            self._launcher.settle(now)
            groups = {
                (Scope(account, region), name): record
                for (account, region, name), record in _autoscaling["_asgs"].all_items()
            }
            for scope, name in {(m.scope, m.group) for m in self._members.values()} - groups.keys():
                self.forget_group(scope, name)
            for member in list(self._members.values()):
                with member.scope.entered():
                    self._move(member, now)
            for (scope, name), record in groups.items():
                with scope.entered():
                    self._check_health(record, now)
                    self._reconcile(scope, name, record, now)

    def _move(self, member: Member, now: float) -> None:
        """One step of one instance, if it is due."""
        if member.state in BOOTING and not member.booted and now >= member.launched_at + self._settings.boot_s:
            self._launcher.boot(member.machine)
            member.booted = True
        step = {
            State.PENDING: self._end_launch,
            State.PENDING_WAIT: self._await_hooks,
            State.PENDING_PROCEED: self._put_in_service,
            State.TERMINATING: self._begin_leaving,
            State.TERMINATING_WAIT: self._await_hooks,
            State.TERMINATING_PROCEED: self._shut_down,
        }.get(member.state)
        if step is not None:
            step(member, now)

    def _end_launch(self, member: Member, now: float) -> None:
        if not member.booted:
            return
        if self._hold(member, lifecycle.LAUNCHING, now):
            member.activity.status = "MidLifecycleAction"
            member.activity.progress = 30
            member.enter(State.PENDING_WAIT, now)
        else:
            self._put_in_service(member, now)

    def _await_hooks(self, member: Member, now: float) -> None:
        for action in member.waiting.actions:
            action.expire(now)
        result = lifecycle.outcome(member.waiting.actions)
        if result is None:
            return
        member.waiting = lifecycle.Waiting()
        if member.state is State.TERMINATING_WAIT:
            if result == ABANDON and self._retains(member):
                member.enter(State.TERMINATING_RETAINED, now)
                member.activity.end("Cancelled", now, "The lifecycle action was abandoned: the instance is retained.")
            else:
                member.enter(State.TERMINATING_PROCEED, now)
        elif result == CONTINUE:
            member.enter(State.PENDING_PROCEED, now)
        else:
            member.activity.end("Failed", now, "Launch abandoned by a lifecycle hook.")
            self._emit_outcome(member, "launch", succeeded=False)
            member.launch_abandoned = True
            self.terminate(member, "an instance was taken out of service as its launch was abandoned", now)

    def _put_in_service(self, member: Member, now: float) -> None:
        member.enter(State.IN_SERVICE, now)
        member.activity.end("Successful", now)
        self._emit_outcome(member, "launch", succeeded=True)

    def _begin_leaving(self, member: Member, now: float) -> None:
        if not member.no_hooks and self._hold(member, lifecycle.TERMINATING, now):
            member.activity.status = "MidLifecycleAction"
            member.activity.progress = 60
            member.enter(State.TERMINATING_WAIT, now)
        else:
            member.enter(State.TERMINATING_PROCEED, now)
            self._shut_down(member, now)

    def _shut_down(self, member: Member, now: float) -> None:
        """EC2 terminates the machine: its services are asked to stop, and then it is switched off."""
        if member.kill_at is None:
            member.kill_at = now + self._settings.stop_grace_s
            self._launcher.shutting_down(member.id)
            member.machine.ask_to_stop()
        if member.machine.unit_active and now < member.kill_at:
            return
        member.machine.power_off()
        self._launcher.terminated(member.id)
        member.enter(State.TERMINATED, now)
        member.activity.end("Successful", now)
        self._emit_outcome(member, "terminate", succeeded=True)
        del self._members[member.id]
        group = _autoscaling["_asgs"].get(member.group)
        if group is not None:
            group["Instances"] = [r for r in group["Instances"] if r["InstanceId"] != member.id]

    # --- hooks ---

    def _hold(self, member: Member, transition: str, now: float) -> bool:
        """Open an action for each of the group's hooks of that transition; whether there is any."""
        hooks = [
            hook
            for hook in _autoscaling["_hooks"].values()
            if hook["AutoScalingGroupName"] == member.group and hook["LifecycleTransition"] == transition
        ]
        member.waiting = lifecycle.Waiting(
            [
                HookAction(
                    hook=hook["LifecycleHookName"],
                    token=str(uuid.uuid4()),
                    transition=transition,
                    heartbeat_timeout_s=hook["HeartbeatTimeout"],
                    default_result=hook["DefaultResult"],
                    began_at=now,
                    heartbeat_at=now,
                )
                for hook in hooks
            ]
        )
        launching = transition == lifecycle.LAUNCHING
        for hook, action in zip(hooks, member.waiting.actions, strict=True):
            detail = {
                "LifecycleActionToken": action.token,
                "AutoScalingGroupName": member.group,
                "LifecycleHookName": action.hook,
                "EC2InstanceId": member.id,
                "LifecycleTransition": transition,
                **({"NotificationMetadata": hook["NotificationMetadata"]} if hook["NotificationMetadata"] else {}),
                "Origin": "EC2" if launching else "AutoScalingGroup",
                "Destination": "AutoScalingGroup" if launching else "EC2",
            }
            name = f"EC2 Instance-{'launch' if launching else 'terminate'} Lifecycle Action"
            self._bus.emit(member.scope, "aws.autoscaling", name, detail, [member.group_arn])
        return bool(hooks)

    @staticmethod
    def _retains(member: Member) -> bool:
        """Whether the group keeps instances whose termination hook was abandoned."""
        group = _autoscaling["_asgs"].get(member.group) or {}
        triggers = (group.get("InstanceLifecyclePolicy") or {}).get("RetentionTriggers") or {}
        return not member.launch_abandoned and triggers.get("TerminateHookAbandon") == "retain"

    # --- capacity and health ---

    def _check_health(self, group: dict[str, Any], now: float) -> None:
        suspended = self.suspended(group["AutoScalingGroupName"])
        for member in self.members(group):
            if member.state in LEAVING or member.state is State.PENDING:
                continue
            if "HealthCheck" not in suspended and now - member.health_seen_at >= self._settings.health_period_s:
                member.health_seen_at = now
                if member.machine.died or self._launcher.ended_by_ec2(member.id):
                    member.record["HealthStatus"] = "Unhealthy"
            if member.record["HealthStatus"] == "Unhealthy" and not {"ReplaceUnhealthy", "Terminate"} & set(suspended):
                self.terminate(
                    member,
                    "an instance was taken out of service in response to an EC2 health check indicating it has been "
                    "terminated or stopped",
                    now,
                )

    def _reconcile(self, scope: Scope, name: str, group: dict[str, Any], now: float) -> None:
        """Launch or terminate until the instances that are not leaving number what is desired."""
        staying = [member for member in self.members(group) if member.state not in LEAVING]
        lack = group["DesiredCapacity"] - len(staying)
        suspended = self.suspended(name)
        if lack > 0 and "Launch" not in suspended and now >= self._retry_at.get((scope, name), 0.0):
            for number in range(lack):
                if not self._launch(scope, name, group, len(staying) + number, now):
                    break
        if lack < 0 and "Terminate" not in suspended:
            self._scale_in(scope, group, staying, count=-lack, now=now)

    def _launch(self, scope: Scope, name: str, group: dict[str, Any], present: int, now: float) -> bool:
        cause = self._causes.get((scope, name), f"At {iso(now)} the group was below its desired capacity.") + (
            f"  At {iso(now)} an instance was started in response to a difference between desired and actual "
            f"capacity, increasing the capacity from {present} to {present + 1}."
        )
        zones = group["AvailabilityZones"] or [f"{scope.region}a"]
        zone = min(zones, key=lambda z: sum(r["AvailabilityZone"] == z for r in group["Instances"]))
        arn = group["AutoScalingGroupARN"]
        try:
            blueprint = self._blueprint(scope, name, group)
        except LaunchError as error:
            activity = self._activities.begin(
                scope, name, arn, "Launching a new EC2 instance", cause=cause, now=now, zone=zone
            )
            activity.end("Failed", now, f"{error} Launching EC2 instance failed.")
            self._emit_failed_launch(scope, activity)
            self._retry_at[scope, name] = now + self._settings.scaled(LAUNCH_RETRY_S)
            return False
        machine = self._launcher.launch(scope, group, blueprint, zone)
        record = {
            "InstanceId": machine.instance_id,
            "InstanceType": blueprint.instance_type,
            "AvailabilityZone": zone,
            "LifecycleState": State.PENDING.value,
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": bool(group["NewInstancesProtectedFromScaleIn"]),
            "LaunchTemplate": blueprint.template,
            "LaunchConfigurationName": group.get("LaunchConfigurationName", ""),
        }
        activity = self._activities.begin(
            scope, name, arn, f"Launching a new EC2 instance: {machine.instance_id}", cause=cause, now=now, zone=zone
        )
        member = Member(
            record=record,
            scope=scope,
            group=name,
            group_arn=arn,
            machine=machine,
            launched_at=now,
            template=blueprint.version,
            activity=activity,
            since=now,
        )
        self._members[member.id] = member
        group["Instances"].append(record)
        self._launcher.target_state(member.id, State.IN_SERVICE)
        log.info("%s launches into %s", member.id, name)
        return True

    def _blueprint(self, scope: Scope, name: str, group: dict[str, Any]) -> Blueprint:
        """What to launch; raises LaunchError where AWS could not, or is asked here to be unable to."""
        if failures := self._launch_failures.get((scope, name)):
            raise LaunchError(failures.pop(0))
        return Blueprint.of(group)

    def _scale_in(self, scope: Scope, group: dict[str, Any], staying: list[Member], *, count: int, now: float) -> None:
        name = group["AutoScalingGroupName"]
        try:
            newest = Blueprint.of(group).version
        except LaunchError:
            newest = ""
        choice = lifecycle.choose_for_scale_in(
            [
                lifecycle.Candidate(
                    instance_id=member.id,
                    state=member.state,
                    zone=member.record["AvailabilityZone"],
                    launched_at=member.launched_at,
                    template=member.template,
                    protected=member.record["ProtectedFromScaleIn"],
                    unhealthy=member.record["HealthStatus"] == "Unhealthy",
                )
                for member in staying
            ],
            count,
            group["TerminationPolicies"],
            newest,
        )
        before = self._causes.get((scope, name), f"At {iso(now)} the group was above its desired capacity.")
        for number, instance_id in enumerate(choice.chosen):
            present = len(staying) - number
            self.terminate(
                self._members[instance_id],
                f"an instance was taken out of service in response to a difference between desired and actual "
                f"capacity, shrinking the capacity from {present} to {present - 1}",
                now,
            ).cause = (
                f"{before}  At {iso(now)} an instance was taken out of service in response to a difference between "
                f"desired and actual capacity, shrinking the capacity from {present} to {present - 1}."
            )
        if choice.held_by_protection and not choice.chosen:
            self._note_protection(scope, name, group, before, now)

    def _note_protection(self, scope: Scope, name: str, group: dict[str, Any], cause: str, now: float) -> None:
        """One failed activity, not one a tick, tells that protection holds the group above its desired capacity."""
        text = "Could not scale to desired capacity because all remaining instances are protected from scale-in."
        last = self._activities.last(scope, name)
        if last is not None and last.message == text:
            return
        activity = self._activities.begin(
            scope,
            name,
            group["AutoScalingGroupARN"],
            text,
            cause=cause,
            now=now,
            zone=(group["AvailabilityZones"] or [""])[0],
        )
        activity.end("Cancelled", now, text)

    # --- telling ---

    def _emit_outcome(self, member: Member, what: str, *, succeeded: bool) -> None:
        name = f"EC2 Instance {what.title()} {'Successful' if succeeded else 'Unsuccessful'}"
        self._emit_activity(member.scope, name, member.activity, member.id)

    def _emit_failed_launch(self, scope: Scope, activity: Activity) -> None:
        self._emit_activity(scope, "EC2 Instance Launch Unsuccessful", activity, "")

    def _emit_activity(self, scope: Scope, name: str, activity: Activity, instance_id: str) -> None:
        terminating = "Terminate" in name
        detail = {
            "StatusCode": activity.status,
            "Description": activity.description,
            "AutoScalingGroupName": activity.group,
            "ActivityId": activity.id,
            "Details": {"Availability Zone": activity.zone},
            "RequestId": activity.id,
            "StatusMessage": activity.message,
            "EndTime": iso(activity.ended_at or activity.started_at),
            "EC2InstanceId": instance_id,
            "StartTime": iso(activity.started_at),
            "Cause": activity.cause,
            "Origin": "AutoScalingGroup" if terminating else "EC2",
            "Destination": "EC2" if terminating else "AutoScalingGroup",
        }
        resources = [activity.arn, *([scope.arn("ec2", f"instance/{instance_id}")] if instance_id else [])]
        self._bus.emit(scope, "aws.autoscaling", name, detail, resources)
