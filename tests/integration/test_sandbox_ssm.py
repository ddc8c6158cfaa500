"""Run Command in the sandbox: scripts run on instances, stop their unit, and report as Systems Manager does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.sandbox import Sandbox
from tests.support.processes import orderly

pytestmark = pytest.mark.sandbox

DELIVERY_S = 1.0
"""How long a command may take to begin here: `command_delivery_s` of the tests' sandbox."""

ORDERLY = orderly(finishes_s=0.5)
"""A consumer that takes half a second to finish when told to stop."""


@pytest.fixture
def ssm(sandbox: Sandbox) -> Any:
    """A client of the sandbox's Systems Manager."""
    return sandbox.client("ssm")


@pytest.fixture
def send(ssm: Any) -> Any:
    """Send a shell script to one instance; the command's id."""

    def send(instance_id: str, *lines: str, **parameters: list[str]) -> str:
        command = ssm.send_command(
            DocumentName="AWS-RunShellScript",
            InstanceIds=[instance_id],
            Parameters={"commands": list(lines), **parameters},
        )
        return str(command["Command"]["CommandId"])

    return send


@pytest.fixture
def concluded(ssm: Any, eventually: Any) -> Any:
    """Wait for an invocation to conclude, and return it."""

    def wait(command_id: str, instance_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
            return None if found["Status"] in {"Pending", "InProgress", "Cancelling"} else found

        invocation: dict[str, Any] = eventually(look)
        return invocation

    return wait


def test_unit_stops_when_a_command_stops_it(
    sandbox: Sandbox, make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """Systemctl stop sends SIGTERM, waits for the exit, and leaves the instance in service."""
    group = make_group(ORDERLY, desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    invocation = concluded(send(instance_id, "systemctl stop consumer && echo stopped"), instance_id)

    assert (invocation["Status"], invocation["ResponseCode"]) == ("Success", 0)
    assert invocation["StandardOutputContent"] == "stopped\n"
    machine = sandbox.instance(instance_id)
    assert (machine["unit_active"], machine["exit_code"]) == (False, 0)
    assert "drained" in Path(machine["log"]).read_text()
    time.sleep(2 * sandbox.settings.health_period_s)
    assert group.in_state("InService") == [instance_id]


def test_command_is_in_progress_when_the_unit_takes_its_time(
    ssm: Any, make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """Between SIGTERM and exit the invocation is in progress, with response code -1."""
    group = make_group(orderly(finishes_s=3), desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    command_id = send(instance_id, "systemctl stop consumer")
    named = {"CommandId": command_id, "InstanceId": instance_id}
    progress = eventually(lambda: [i for i in [ssm.get_command_invocation(**named)] if i["Status"] == "InProgress"])[0]

    assert progress["ResponseCode"] == -1
    assert concluded(command_id, instance_id)["Status"] == "Success"


def test_status_changes_are_events(
    make_group: Any, send: Any, concluded: Any, eventually: Any, catch_events: Any
) -> None:
    """Each status of the invocation is an event that carries the instance's id; the command has its own."""
    group = make_group(desired=1)
    caught = catch_events({"source": ["aws.ssm"]})
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    command_id = send(instance_id, "true")
    concluded(command_id, instance_id)

    def told() -> list[tuple[str, str]] | None:
        mine = [event for event in caught() if event["detail"]["command-id"] == command_id]
        return [(e["detail-type"].split()[2], e["detail"]["status"]) for e in mine] if len(mine) == 4 else None

    assert eventually(told) == [
        ("Invocation", "InProgress"),
        ("Status-change", "InProgress"),
        ("Invocation", "Success"),
        ("Status-change", "Success"),
    ]
    event = next(e for e in caught() if e["detail"].get("instance-id"))
    assert event["detail"]["instance-id"] == instance_id
    assert event["detail"]["document-name"] == "AWS-RunShellScript"
    assert event["resources"] == [f"arn:aws:ec2:eu-central-1:000000000000:instance/{instance_id}"]


def test_command_fails_when_its_script_does(make_group: Any, send: Any, concluded: Any, eventually: Any) -> None:
    """Exit code and both outputs are reported."""
    group = make_group(desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    invocation = concluded(send(instance_id, "echo out", "echo err >&2", "exit 3"), instance_id)

    assert (invocation["Status"], invocation["StatusDetails"], invocation["ResponseCode"]) == ("Failed", "Failed", 3)
    assert (invocation["StandardOutputContent"], invocation["StandardErrorContent"]) == ("out\n", "err\n")


def test_command_times_out_when_its_script_runs_too_long(
    make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """ExecutionTimeout ends the script and the invocation."""
    group = make_group(desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    invocation = concluded(send(instance_id, "sleep 1000", executionTimeout=["1"]), instance_id)

    assert (invocation["Status"], invocation["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_command_stays_pending_when_the_instance_has_no_agent(
    ssm: Any, make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """What is not received is told as DeliveryTimedOut only after both timeouts together; it has no time of a start."""
    group = make_group("", desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    command_id = send(instance_id, "true", executionTimeout=["3"])
    time.sleep(2 * DELIVERY_S)  # past the time until which it might have begun
    (listed,) = ssm.list_command_invocations(CommandId=command_id, Details=True)["CommandInvocations"]
    assert listed["Status"] == "Pending"
    assert listed["CommandPlugins"][0]["ResponseStartDateTime"].timestamp() == 0

    invocation = concluded(command_id, instance_id)
    assert (invocation["Status"], invocation["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    assert invocation["ResponseCode"] == -1
    (command,) = ssm.list_commands(CommandId=command_id)["Commands"]
    assert command["DeliveryTimedOutCount"] == 1
    assert (command["ExpiresAfter"] - command["RequestedDateTime"]).total_seconds() == pytest.approx(DELIVERY_S + 3)


def test_command_stays_in_progress_when_the_instance_dies_under_it(
    sandbox: Sandbox, ssm: Any, autoscaling_suspended: Any, send: Any, eventually: Any
) -> None:
    """A dead agent reports nothing: the invocation is in progress until the command expires, not failed."""
    group = autoscaling_suspended
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    command_id = send(instance_id, "sleep 1000", executionTimeout=["4"])
    named = {"CommandId": command_id, "InstanceId": instance_id}
    eventually(lambda: ssm.get_command_invocation(**named)["Status"] == "InProgress")

    sandbox.kill(instance_id)
    time.sleep(0.5)

    assert ssm.get_command_invocation(**named)["Status"] == "InProgress"
    eventually(lambda: ssm.get_command_invocation(**named)["StatusDetails"] == "DeliveryTimedOut")


@pytest.fixture
def autoscaling_suspended(sandbox: Sandbox, make_group: Any) -> Any:
    """A group of one instance whose health nobody looks at."""
    group = make_group(desired=1)
    sandbox.client("autoscaling").suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["HealthCheck"])
    return group


def test_command_is_refused_when_the_instance_is_unknown_or_gone(
    ssm: Any, make_group: Any, send: Any, eventually: Any
) -> None:
    """InvalidInstanceId for an instance that never was, and for one that was terminated."""
    group = make_group(desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    group.desire(0)
    eventually(lambda: not group.states())

    for unknown in (instance_id, "i-00000000000000000"):
        with pytest.raises(ClientError, match="not in a valid state") as refused:
            send(unknown, "true")
        assert refused.value.response["Error"]["Code"] == "InvalidInstanceId"


def test_command_is_refused_when_it_names_more_than_fifty_instances(ssm: Any) -> None:
    """Fifty ids a command."""
    with pytest.raises(ClientError, match="50"):
        ssm.send_command(
            DocumentName="AWS-RunShellScript",
            InstanceIds=[f"i-{number:017x}" for number in range(51)],
            Parameters={"commands": ["true"]},
        )


def test_command_is_cancelled_when_asked(ssm: Any, make_group: Any, send: Any, concluded: Any, eventually: Any) -> None:
    """A running script is ended; the invocation is Cancelled."""
    group = make_group(desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]
    command_id = send(instance_id, "sleep 1000")
    named = {"CommandId": command_id, "InstanceId": instance_id}
    eventually(lambda: ssm.get_command_invocation(**named)["Status"] == "InProgress")

    ssm.cancel_command(CommandId=command_id)

    assert concluded(command_id, instance_id)["Status"] == "Cancelled"


def test_invocations_are_listed_with_details(
    ssm: Any, make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """ListCommandInvocations finds them by command and by instance, with the plugin's result on request."""
    group = make_group(desired=2)
    first, second = eventually(lambda: group.in_state("InService", 2))
    command_id = ssm.send_command(
        DocumentName="AWS-RunShellScript", InstanceIds=[first, second], Parameters={"commands": ["echo hello"]}
    )["Command"]["CommandId"]
    for instance_id in (first, second):
        concluded(command_id, instance_id)

    both = ssm.list_command_invocations(CommandId=command_id)["CommandInvocations"]
    one = ssm.list_command_invocations(CommandId=command_id, InstanceId=first, Details=True)["CommandInvocations"]

    assert {invocation["InstanceId"] for invocation in both} == {first, second}
    assert [plugin["Output"] for plugin in one[0]["CommandPlugins"]] == ["hello\n"]


def test_unit_is_refused_when_systemd_does_not_know_it(
    make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """The machine has the unit that its tag names, and no other."""
    group = make_group(ORDERLY, desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    wrong = concluded(send(instance_id, "systemctl stop order"), instance_id)
    shown = concluded(
        send(
            instance_id, *(f"systemctl show --property=LoadState --value -- {unit}" for unit in ("order", "consumer"))
        ),
        instance_id,
    )
    right = concluded(send(instance_id, "systemctl is-active consumer", "systemctl stop consumer"), instance_id)

    assert (wrong["Status"], wrong["ResponseCode"]) == ("Failed", 5)
    assert wrong["StandardErrorContent"] == "Failed to stop order.service: Unit order.service not loaded.\n"
    assert shown["StandardOutputContent"] == "not-found\nloaded\n"
    assert (right["Status"], right["StandardOutputContent"]) == ("Success", "active\n")


def test_unit_is_killed_and_told_when_it_outlives_its_stop_timeout(
    sandbox: Sandbox, make_group: Any, send: Any, concluded: Any, eventually: Any
) -> None:
    """Systemctl stop is content all the same: only Result tells, as systemd has it."""
    tags = [{"Key": "sluice:sandbox-stop-timeout", "Value": "1", "PropagateAtLaunch": True}]
    group = make_group("trap '' TERM; while :; do sleep 0.05; done", desired=1, Tags=tags)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    ended = concluded(
        send(instance_id, "systemctl stop consumer; echo $?", "systemctl show --property=Result --value -- consumer"),
        instance_id,
    )

    assert ended["StandardOutputContent"] == "0\ntimeout\n"
    assert sandbox.instance(instance_id)["unit_active"] is False


def test_document_runs_with_its_parameters_when_sent_by_name(
    ssm: Any, make_group: Any, concluded: Any, eventually: Any, unique: Any
) -> None:
    """A document of one's own: defaults, given values, and a refusal of parameters it has not."""
    name = unique("document")
    ssm.create_document(
        Name=name,
        DocumentType="Command",
        Content=json.dumps(
            {
                "schemaVersion": "2.2",
                "parameters": {
                    "unit": {"type": "String", "allowedPattern": "^[a-z]+$"},
                    "timeoutSeconds": {"type": "String", "default": "60"},
                },
                "mainSteps": [
                    {
                        "action": "aws:runShellScript",
                        "name": "stop",
                        "inputs": {
                            "timeoutSeconds": "{{ timeoutSeconds }}",
                            "runCommand": ["echo stopping {{ unit }}", "systemctl stop {{ unit }}"],
                        },
                    }
                ],
            }
        ),
    )
    group = make_group(ORDERLY, desired=1)
    instance_id = eventually(lambda: group.in_state("InService"))[0]

    named = {"DocumentName": name, "InstanceIds": [instance_id]}
    command = ssm.send_command(**named, Parameters={"unit": ["consumer"]})["Command"]
    invocation = concluded(command["CommandId"], instance_id)

    assert (invocation["Status"], invocation["StandardOutputContent"]) == ("Success", "stopping consumer\n")
    with pytest.raises(ClientError, match="not defined"):
        ssm.send_command(**named, Parameters={"unit": ["consumer"], "other": ["x"]})
    with pytest.raises(ClientError, match="must be given"):
        ssm.send_command(**named)
    with pytest.raises(ClientError, match="allowed pattern"):
        ssm.send_command(**named, Parameters={"unit": ["consumer; reboot"]})


# --- Parameter Store ---


def test_change_of_a_parameter_is_an_event(sandbox: Sandbox, unique: Any, catch_events: Any, eventually: Any) -> None:
    """Made, changed, deleted alone and with others: each with the parameter's name, and matched by its prefix."""
    ssm, path = sandbox.client("ssm"), f"/{unique('documents')}/"
    detail = {"name": [{"prefix": path}], "operation": ["Create", "Update", "Delete"]}
    caught = catch_events({"source": ["aws.ssm"], "detail-type": ["Parameter Store Change"], "detail": detail})
    for _ in range(2):
        ssm.put_parameter(Name=f"{path}one", Value="x", Type="String", Overwrite=True)
    ssm.put_parameter(Name=f"{path}two", Value="x", Type="String")
    ssm.put_parameter(Name=f"/another{path}", Value="x", Type="String")
    ssm.delete_parameter(Name=f"{path}one")
    ssm.delete_parameters(Names=[f"{path}two", f"{path}none"])
    eventually(lambda: len(caught()) >= 5)
    assert sorted((event["detail"]["operation"], event["detail"]["name"]) for event in caught()) == [
        ("Create", f"{path}one"),
        ("Create", f"{path}two"),
        ("Delete", f"{path}one"),
        ("Delete", f"{path}two"),
        ("Update", f"{path}one"),
    ]
    assert all(event["resources"][0].endswith(f":parameter{event['detail']['name']}") for event in caught())


def test_page_of_parameters_is_refused_when_it_is_of_more_than_ten(sandbox: Sandbox) -> None:
    """As Parameter Store does."""
    with pytest.raises(ClientError, match="maxResults"):
        sandbox.client("ssm").get_parameters_by_path(Path="/", MaxResults=11)
