"""Auto Scaling in the sandbox: instances are processes that go through AWS's lifecycle, hooks and all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.sandbox

STUBBORN = "trap '' TERM; exec sleep 1000"
"""A command that ignores SIGTERM."""


@pytest.fixture
def autoscaling(sandbox: Sandbox) -> Any:
    """A client of the sandbox's Auto Scaling."""
    return sandbox.client("autoscaling")


def living_in_group(group: int) -> list[int]:
    """The processes of a process group; those that are over but not yet waited for do not count."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _parent, its_group = status.read_text().rsplit(")", 1)[1].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(status.parent.name))
    return found


def policy(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


# --- launching ---


def test_instance_runs_its_command_when_it_has_booted(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """Pending without a process for the boot time, then InService with one that knows its id and its AWS."""
    group = make_group('echo "$INSTANCE_ID at $AWS_ENDPOINT_URL"; exec sleep 1000', desired=1)
    early: list[int | None] = []

    def in_service() -> list[str]:
        for instance_id in group.in_state("Pending"):
            pid = sandbox.instance(instance_id)["pid"]
            if instance_id in group.in_state("Pending"):  # it may have booted between the two looks
                early.append(pid)
        return group.in_state("InService")

    instance_id = eventually(in_service)[0]

    machine = sandbox.instance(instance_id)
    assert machine["unit_active"]
    assert set(early) <= {None}
    launch = group.activities()[-1]
    assert (launch["EndTime"] - launch["StartTime"]).total_seconds() >= sandbox.settings.boot_s
    log = Path(machine["log"])
    assert eventually(log.read_text) == f"{instance_id} at {sandbox.url}\n"


def test_instance_gets_the_environment_its_tags_name(
    sandbox: Sandbox, autoscaling: Any, make_group: Any, eventually: Any
) -> None:
    """A tag of the group under the environment prefix is a variable of the process."""
    group = make_group("echo queue=$QUEUE; exec sleep 1000")
    tag = {"ResourceId": group.name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    autoscaling.create_or_update_tags(Tags=[tag | {"Key": "sluice:sandbox-env:QUEUE", "Value": "orders"}])

    group.desire(1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    assert eventually(Path(sandbox.instance(instance_id)["log"]).read_text) == "queue=orders\n"


def test_instance_boots_when_it_is_scaled_in_before(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """EC2 boots it on time, whatever its group does with it: a stop reaches it while a hook holds it."""
    group = make_group()
    group.hook("TERMINATING", 60)

    def scaled_in_while_pending() -> list[str]:
        known = group.states().keys()
        group.desire(1)
        eventually(lambda: group.states().keys() - known)
        group.desire(0)
        cancelled = [one["Description"] for one in group.activities() if one["StatusCode"] == "Cancelled"]
        return [instance_id for instance_id in group.states() if any(instance_id in text for text in cancelled)]

    instance_id = eventually(scaled_in_while_pending)[0]

    eventually(lambda: sandbox.instance(instance_id)["unit_active"])
    assert group.states()[instance_id] == "Terminating:Wait"


def test_instance_is_only_recorded_when_it_has_no_command(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """Without the sandbox's tag there is an instance, in EC2 as well, but no process."""
    group = make_group("", desired=1)

    instance_id = eventually(lambda: group.in_state("InService"))[0]

    assert sandbox.instance(instance_id)["pid"] is None
    found = sandbox.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    assert found["State"]["Name"] == "running"


def test_instance_has_the_rights_of_its_profile_when_the_template_names_one(
    sandbox: Sandbox, make_group: Any, eventually: Any
) -> None:
    """The process calls AWS as the role of its instance profile: what the role may, and nothing else."""
    iam = sandbox.client("iam")
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    iam.create_role(RoleName="instance-role", AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName="instance-role", PolicyName="send", PolicyDocument=policy(allow))
    iam.create_instance_profile(InstanceProfileName="instance-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="instance-profile", RoleName="instance-role")
    sqs = sandbox.client("sqs")
    url = sqs.create_queue(QueueName="from-instance")["QueueUrl"]
    script = "\n".join(
        (
            "import boto3, botocore, time",
            "sqs = boto3.client('sqs')",
            f"sqs.send_message(QueueUrl='{url}', MessageBody='from instance')",
            f"try: sqs.purge_queue(QueueUrl='{url}')",
            "except botocore.exceptions.ClientError as error: print(error, flush=True)",
            "time.sleep(1000)",
        )
    )
    python = Path(__file__).resolve().parents[2] / ".venv/bin/python"
    group = make_group(
        f'exec {python} -c "{script}"', desired=1, template={"IamInstanceProfile": {"Name": "instance-profile"}}
    )

    messages = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))

    assert messages[0]["Body"] == "from instance"
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    text = eventually(Path(sandbox.instance(instance_id)["log"]).read_text)
    assert "AccessDenied" in text
    assert f"assumed-role/instance-role/{instance_id}" in text


def test_launch_waits_when_there_is_a_launch_hook(
    autoscaling: Any, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """Pending:Wait until the action named in the event is completed, then InService."""
    group = make_group()
    group.hook("LAUNCHING", 60)
    caught = catch_events({"source": ["aws.autoscaling"], "detail": {"AutoScalingGroupName": [group.name]}})

    group.desire(1)
    instance_id = eventually(lambda: group.in_state("Pending:Wait"))[0]
    event = eventually(caught)[0]
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=group.name,
        LifecycleHookName="hook",
        LifecycleActionToken=event["detail"]["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE",
    )
    eventually(lambda: group.in_state("InService"))

    assert event["detail-type"] == "EC2 Instance-launch Lifecycle Action"
    assert event["detail"]["EC2InstanceId"] == instance_id
    assert (event["detail"]["Origin"], event["detail"]["Destination"]) == ("EC2", "AutoScalingGroup")
    assert event["resources"] == [group.describe()["AutoScalingGroupARN"]]
    names = eventually(lambda: [e["detail-type"] for e in caught()] if len(caught()) > 1 else None)
    assert names[1:] == ["EC2 Instance Launch Successful"]


def test_instance_is_replaced_when_its_launch_hook_abandons(autoscaling: Any, make_group: Any, eventually: Any) -> None:
    """ABANDON ends the launch as failed; the group tries another instance."""
    group = make_group()
    group.hook("LAUNCHING", 60)
    group.desire(1)
    first = eventually(lambda: group.in_state("Pending:Wait"))[0]

    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=group.name,
        LifecycleHookName="hook",
        InstanceId=first,
        LifecycleActionResult="ABANDON",
    )
    second = eventually(lambda: [i for i in group.in_state("Pending:Wait") if i != first])[0]

    assert second != first
    assert [
        a["StatusCode"] for a in group.activities() if f"Launching a new EC2 instance: {first}" in a["Description"]
    ] == ["Failed"]


def test_launch_failure_is_an_activity_when_ec2_has_no_capacity(
    sandbox: Sandbox, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """A launch that EC2 refuses is a failed activity with its words, an event, and is tried again."""
    group = make_group()
    caught = catch_events({"detail-type": ["EC2 Instance Launch Unsuccessful"]})
    sandbox.fail_launches(group.name, "We currently do not have sufficient t3.nano capacity.")

    group.desire(1)
    eventually(lambda: group.in_state("InService"))

    failed = [a for a in group.activities() if a["StatusCode"] == "Failed"]
    assert [a["StatusMessage"] for a in failed] == [
        "We currently do not have sufficient t3.nano capacity. Launching EC2 instance failed."
    ]
    assert eventually(caught)[0]["detail"]["StatusMessage"] == failed[0]["StatusMessage"]


# --- terminating ---


def test_instance_is_terminated_at_once_when_there_is_no_hook(
    sandbox: Sandbox, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """Scale-in without hooks: SIGTERM, and the process's exit ends the instance."""
    group = make_group("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", desired=1)
    caught = catch_events({"detail-type": ["EC2 Instance Terminate Successful"]})
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    # In service, the process may be too young for its trap: SIGTERM would end it unasked.
    eventually(lambda: "up" in Path(sandbox.instance(instance_id)["log"]).read_text())

    group.desire(0)
    eventually(lambda: not group.states())

    machine = sandbox.instance(instance_id)
    assert machine["exit_code"] == 0
    assert "bye" in Path(machine["log"]).read_text()
    assert instance_id in {event["detail"]["EC2InstanceId"] for event in eventually(caught)}
    ended = group.activities()[0]
    assert (ended["StatusCode"], ended["Description"]) == ("Successful", f"Terminating EC2 instance: {instance_id}")
    assert "shrinking the capacity from 1 to 0" in ended["Cause"]
    assert "explicitly set group desired capacity changing the desired capacity from 1 to 0" in ended["Cause"]


def test_instance_is_killed_when_it_ignores_sigterm(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """After the grace there is no more asking."""
    group = make_group(STUBBORN, desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    group.desire(0)
    eventually(lambda: not group.states())

    assert sandbox.instance(instance_id)["exit_code"] == -signal.SIGKILL


def test_termination_waits_when_there_is_a_hook(
    sandbox: Sandbox, autoscaling: Any, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """Terminating:Wait with the process still at work, its target state readable, until the action is completed."""
    group = make_group(desired=1)
    group.hook("TERMINATING", 60)
    caught = catch_events({"detail-type": ["EC2 Instance-terminate Lifecycle Action"]})
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    assert sandbox.metadata(instance_id, "autoscaling/target-lifecycle-state") == "InService"

    group.desire(0)
    eventually(lambda: group.in_state("Terminating:Wait"))
    event = next(e for e in eventually(caught) if e["detail"]["EC2InstanceId"] == instance_id)

    assert sandbox.instance(instance_id)["unit_active"]
    assert sandbox.metadata(instance_id, "autoscaling/target-lifecycle-state") == "Terminated"
    assert (event["detail"]["Origin"], event["detail"]["Destination"]) == ("AutoScalingGroup", "EC2")
    assert event["detail"]["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=group.name,
        LifecycleHookName="hook",
        LifecycleActionToken=event["detail"]["LifecycleActionToken"],
        LifecycleActionResult="CONTINUE",
    )
    eventually(lambda: not group.states())


def test_default_result_applies_when_the_heartbeat_times_out(make_group: Any, eventually: Any) -> None:
    """Nobody answers: the instance goes after the hook's timeout, and not before."""
    group = make_group(desired=1)
    group.hook("TERMINATING", 1)
    eventually(lambda: group.in_state("InService"))

    group.desire(0)
    eventually(lambda: not group.states())

    end = group.activities()[0]
    assert (end["EndTime"] - end["StartTime"]).total_seconds() >= 1


def test_wait_goes_on_when_heartbeats_are_recorded(autoscaling: Any, make_group: Any, eventually: Any) -> None:
    """Each heartbeat restarts the timeout; without them the instance would be gone."""
    group = make_group(desired=1)
    group.hook("TERMINATING", 3)
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    group.desire(0)
    eventually(lambda: group.in_state("Terminating:Wait"))
    began = time.monotonic()

    while time.monotonic() - began < 4:
        autoscaling.record_lifecycle_action_heartbeat(
            AutoScalingGroupName=group.name, LifecycleHookName="hook", InstanceId=instance_id
        )
        assert group.in_state("Terminating:Wait")

    eventually(lambda: not group.states())


def test_instance_is_kept_when_abandoned_and_the_group_retains(
    autoscaling: Any, make_group: Any, eventually: Any
) -> None:
    """With the retention trigger, an abandoned termination leaves Terminating:Retained; the group replaces nothing."""
    group = make_group(desired=1)
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group.name,
        InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
    )
    group.hook("TERMINATING", 60)
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    group.desire(0)
    eventually(lambda: group.in_state("Terminating:Wait"))

    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=group.name,
        LifecycleHookName="hook",
        InstanceId=instance_id,
        LifecycleActionResult="ABANDON",
    )

    assert eventually(lambda: group.in_state("Terminating:Retained")) == [instance_id]


def test_waiting_instance_goes_when_its_hook_is_deleted(autoscaling: Any, make_group: Any, eventually: Any) -> None:
    """Deleting a hook completes its outstanding terminations."""
    group = make_group(desired=1)
    group.hook("TERMINATING", 60)
    eventually(lambda: group.in_state("InService"))
    group.desire(0)
    eventually(lambda: group.in_state("Terminating:Wait"))

    autoscaling.delete_lifecycle_hook(AutoScalingGroupName=group.name, LifecycleHookName="hook")

    eventually(lambda: not group.states())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"InstanceId": "i-00000000000000000"},
            "No active Lifecycle Action found with instance ID i-00000000000000000",
        ),
        (
            {"LifecycleActionToken": "00000000-0000-0000-0000-000000000000"},
            "No active Lifecycle Action found with token 00000000-0000-0000-0000-000000000000",
        ),
    ],
)
def test_completion_is_refused_when_no_action_is_active(
    autoscaling: Any, make_group: Any, arguments: dict[str, str], message: str
) -> None:
    """A late or wrong completion, and a late heartbeat, are validation errors that say so."""
    group = make_group()
    group.hook("TERMINATING", 60)
    named = {"AutoScalingGroupName": group.name, "LifecycleHookName": "hook", **arguments}

    with pytest.raises(ClientError, match=message) as complete:
        autoscaling.complete_lifecycle_action(**named, LifecycleActionResult="CONTINUE")
    with pytest.raises(ClientError, match=message) as heartbeat:
        autoscaling.record_lifecycle_action_heartbeat(**named)

    assert complete.value.response["Error"]["Code"] == heartbeat.value.response["Error"]["Code"] == "ValidationError"


# --- capacity ---


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        (6, "New SetDesiredCapacity value 6 is above max value 5 for the AutoScalingGroup."),
        (0, "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup."),
    ],
)
def test_desired_capacity_is_refused_when_out_of_bounds(make_group: Any, desired: int, message: str) -> None:
    """The group's own bounds hold."""
    group = make_group("", desired=1, low=1, high=5)

    with pytest.raises(ClientError, match=message) as refused:
        group.desire(desired)

    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert group.describe()["DesiredCapacity"] == 1


def test_oldest_unprotected_instances_go_when_capacity_is_lowered(
    autoscaling: Any, make_group: Any, eventually: Any
) -> None:
    """Scale-in takes the oldest that is not protected, and none when all are protected."""
    group = make_group("", desired=1)
    oldest = eventually(lambda: group.in_state("InService"))[0]
    group.desire(2)
    second = next(i for i in eventually(lambda: group.in_state("InService", 2)) if i != oldest)
    group.desire(3)
    third = next(i for i in eventually(lambda: group.in_state("InService", 3)) if i not in {oldest, second})
    protect = {"AutoScalingGroupName": group.name, "ProtectedFromScaleIn": True}
    autoscaling.set_instance_protection(InstanceIds=[oldest], **protect)

    group.desire(2)
    remaining = eventually(lambda: group.in_state("InService", 2))
    assert set(remaining) == {oldest, third}

    autoscaling.set_instance_protection(InstanceIds=[third], **protect)
    group.desire(0)
    told = eventually(
        lambda: [a for a in group.activities() if "protected from scale-in" in a.get("StatusMessage", "")]
    )
    assert len(told) == 1
    assert set(group.in_state("InService", 2)) == {oldest, third}


def test_protection_is_refused_when_more_than_fifty_instances_are_named(autoscaling: Any, make_group: Any) -> None:
    """Fifty ids a call."""
    group = make_group()

    with pytest.raises(ClientError, match="50"):
        autoscaling.set_instance_protection(
            AutoScalingGroupName=group.name,
            InstanceIds=[f"i-{number:017x}" for number in range(51)],
            ProtectedFromScaleIn=True,
        )


@pytest.mark.parametrize(("decrement", "desired"), [(True, 1), (False, 2)])
def test_named_instance_goes_when_terminated_through_its_group(
    autoscaling: Any, make_group: Any, eventually: Any, decrement: bool, desired: int
) -> None:
    """The instance named goes; with the decrement it is not replaced."""
    group = make_group("", desired=2)
    victim, other = eventually(lambda: group.in_state("InService", 2))

    answer = autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=victim, ShouldDecrementDesiredCapacity=decrement
    )
    remaining = eventually(lambda: group.in_state("InService", desired) if victim not in group.states() else None)

    assert answer["Activity"]["Description"] == f"Terminating EC2 instance: {victim}"
    assert group.describe()["DesiredCapacity"] == desired
    assert other in remaining


def test_termination_is_refused_when_it_would_pass_the_minimum(
    autoscaling: Any, make_group: Any, eventually: Any
) -> None:
    """A decrement below the group's minimum is refused in AWS's words."""
    group = make_group("", desired=1, low=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    with pytest.raises(ClientError, match=r"desiredSize equals minSize \(1\)"):
        autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
        )


def test_nothing_launches_when_the_process_is_suspended(autoscaling: Any, make_group: Any, eventually: Any) -> None:
    """A suspended Launch leaves the group short until it is resumed, and the group says so."""
    group = make_group("")
    autoscaling.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    group.desire(1)

    suspended = group.describe()["SuspendedProcesses"]
    assert [process["ProcessName"] for process in suspended] == ["Launch"]
    time.sleep(0.5)
    assert group.states() == {}
    autoscaling.resume_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    eventually(lambda: group.in_state("InService"))


def test_desired_follows_the_bounds_when_the_group_is_updated(autoscaling: Any, make_group: Any) -> None:
    """Without a desired capacity, new bounds move it just inside; one outside of them is refused."""
    group = make_group("")

    autoscaling.update_auto_scaling_group(AutoScalingGroupName=group.name, MinSize=2)
    assert group.describe()["DesiredCapacity"] == 2

    with pytest.raises(ClientError, match="Desired capacity:9 must be between"):
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=group.name, DesiredCapacity=9)


def test_group_is_kept_when_it_has_instances_and_deletion_is_not_forced(
    autoscaling: Any, make_group: Any, eventually: Any, sandbox: Sandbox
) -> None:
    """ResourceInUse first; a forced deletion ends the instances, and no hook holds them."""
    group = make_group(desired=1)
    group.hook("TERMINATING", 60)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    with pytest.raises(ClientError, match="ResourceInUse"):
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName=group.name)
    pid = sandbox.instance(instance_id)["pid"]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=group.name, ForceDelete=True)

    eventually(lambda: not living_in_group(pid))
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=group.name,
        MinSize=0,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateName": group.name},
        AvailabilityZones=["eu-central-1a"],
    )


# --- health ---


def test_instance_is_replaced_when_its_process_is_killed(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """SIGKILL from outside is the end of the machine: unhealthy, terminated, replaced."""
    group = make_group(desired=1)
    first = eventually(lambda: group.in_state("InService"))[0]

    os.kill(sandbox.instance(first)["pid"], signal.SIGKILL)
    second = eventually(lambda: [i for i in group.in_state("InService") if i != first])[0]

    assert second != first
    assert any("health check" in activity["Cause"] for activity in group.activities())


def test_instance_is_replaced_when_the_sandbox_kills_it(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """The admin call kills everything on the machine, children included."""
    group = make_group("sleep 1000 & sleep 1000", desired=1)
    first = eventually(lambda: group.in_state("InService"))[0]
    pid = sandbox.instance(first)["pid"]

    sandbox.kill(first)
    eventually(lambda: [i for i in group.in_state("InService") if i != first])

    assert living_in_group(pid) == []


def test_instance_is_replaced_when_ec2_terminates_it(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """Terminated behind the group's back: found by the health check, replaced."""
    group = make_group(desired=1)
    first = eventually(lambda: group.in_state("InService"))[0]

    sandbox.client("ec2").terminate_instances(InstanceIds=[first])

    eventually(lambda: [i for i in group.in_state("InService") if i != first])
    assert not sandbox.instance(first)["unit_active"]


def test_instance_stays_when_its_unit_ends_well(sandbox: Sandbox, make_group: Any, eventually: Any) -> None:
    """A program that is done leaves its machine idle and healthy, as a finished systemd unit does."""
    group = make_group("exit 0", desired=1)
    first = eventually(lambda: group.in_state("InService"))[0]
    eventually(lambda: sandbox.instance(first)["exit_code"] == 0)

    time.sleep(3 * sandbox.settings.health_period_s)

    assert group.in_state("InService") == [first]


# --- Spot ---


def test_instance_is_warned_and_ended_when_spot_takes_it_back(
    sandbox: Sandbox, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """Notice by event and metadata first; after the notice the machine is gone, hook or not, and is replaced."""
    group = make_group(desired=1, template={"InstanceMarketOptions": {"MarketType": "spot"}})
    caught = catch_events({"detail-type": ["EC2 Spot Instance Interruption Warning"]})
    first = eventually(lambda: group.in_state("InService"))[0]
    (told,) = sandbox.client("ec2").describe_instances(InstanceIds=[first])["Reservations"][0]["Instances"]
    assert told["InstanceLifecycle"] == "spot"
    group.hook("TERMINATING", 60)
    assert sandbox.metadata(first, "spot/instance-action") is None

    ends_at = sandbox.interrupt(first)

    event = eventually(caught)[0]
    assert event["detail"] == {"instance-id": first, "instance-action": "terminate"}
    assert event["source"] == "aws.ec2"
    assert '"action": "terminate"' in (sandbox.metadata(first, "spot/instance-action") or "")
    eventually(lambda: not sandbox.instance(first)["unit_active"])
    assert time.time() >= ends_at
    assert eventually(lambda: group.in_state("Terminating:Wait")) == [first]
    eventually(lambda: group.in_state("InService"))


def test_rebalance_recommendation_is_an_event_and_metadata(
    sandbox: Sandbox, make_group: Any, eventually: Any, catch_events: Any
) -> None:
    """EC2's recommendation reaches rules and the instance; nothing else happens."""
    group = make_group("", desired=1)
    caught = catch_events({"detail-type": ["EC2 Instance Rebalance Recommendation"]})
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    sandbox.recommend_rebalance(instance_id)

    assert eventually(caught)[0]["detail"] == {"instance-id": instance_id}
    assert "noticeTime" in (sandbox.metadata(instance_id, "events/recommendations/rebalance") or "")


# --- order and pages ---


def test_groups_are_paged_and_filtered_by_tag(autoscaling: Any, make_group: Any, unique: Callable[[str], str]) -> None:
    """MaxRecords, NextToken and tag filters work as a paginator expects."""
    value = unique("tagged")
    names = {make_group("", Tags=[{"Key": "pool", "Value": value}]).name for _ in range(3)}
    make_group("")

    pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
        Filters=[{"Name": "tag:pool", "Values": [value]}], PaginationConfig={"PageSize": 2}
    )
    found = [[group["AutoScalingGroupName"] for group in page["AutoScalingGroups"]] for page in pages]

    assert [len(page) for page in found] == [2, 1]
    assert {name for page in found for name in page} == names


@pytest.mark.parametrize(("names", "more"), [(51, {}), (101, {"MaxRecords": 100}), (11, {"MaxRecords": 10})])
def test_groups_are_refused_when_more_are_named_than_a_call_takes(
    autoscaling: Any, names: int, more: dict[str, int]
) -> None:
    """Fifty, or as many as MaxRecords says, of which 100 is the most."""
    with pytest.raises(ClientError, match="ValidationError"):
        autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[f"g-{n}" for n in range(names)], **more)
