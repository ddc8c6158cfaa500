"""Run Command, and the states of machines that EC2 reports."""

import math
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model.draining import CommandStatus, ScheduledEvent, StopOrder

if TYPE_CHECKING:
    from types_boto3_ssm.type_defs import (
        CommandInvocationTypeDef,
        CommandPluginTypeDef,
        ListCommandInvocationsRequestPaginateTypeDef,
    )

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html: a command that has not begun by
# then does not begin any more. The least that AWS takes: an agent that lives begins within seconds, and what is asked
# again must not run twice as often when an agent comes back. The status tells of it only after this and the execution
# timeout together: https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
BEGIN_WITHIN_S = 30
# The stop document's own bounds for `executionTimeout`: until it must have ended.
MIN_EXECUTION_S, MAX_EXECUTION_S = 1, 172_800
# The stop document's own exit codes: the consumer is gone, but was killed; there is no unit or container of that name.
KILLED_CODE, MISSING_CODE = 137, 5
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html: a page, and the
# values of one filter
INFORMATION_AT_ONCE = 50
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html: values of one filter
FILTERED_AT_ONCE = 200
# EC2's states of a machine on which nothing runs; on one that is stopping or shutting down something may still run.
ENDED = ("stopped", "terminated")

# What interrupts a consumer; `system-maintenance` does not end the machine. Events that are over are listed for a week.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceStatusEvent.html
SCHEDULED = ("instance-reboot", "system-reboot", "instance-stop", "instance-retirement")
OVER = ("[Completed]", "[Canceled]")


class SsmInstances:
    """The Instances port."""

    def __init__(self, clients: Clients, stack: str) -> None:
        self._clients = clients
        self._document = f"{stack}-stop"

    def stop(self, instance_ids: Sequence[str], order: StopOrder, timeout_s: float) -> str:
        """Run the document that stops a unit, or a container, and waits for its end; the command's id."""
        seconds = math.ceil(timeout_s)
        execution_s = min(max(seconds, MIN_EXECUTION_S), MAX_EXECUTION_S)
        whom = instance_ids[0] if len(instance_ids) == 1 else f"{len(instance_ids)} instances"
        what = f"Run Command on {', '.join(instance_ids)}"
        document = order.document or self._document
        with asking(Thing("ssm", what, f"check that the document {document} is there")):
            answer = self._clients.ssm.send_command(
                InstanceIds=list(instance_ids),
                DocumentName=document,
                Comment=f"Sluice drains {whom}",
                TimeoutSeconds=BEGIN_WITHIN_S,
                Parameters=_parameters(order, execution_s),
            )
        return answer["Command"]["CommandId"]

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """How that command stands; pending while it is not listed yet, which takes a moment."""
        found = self._invocations({"CommandId": command_id, "InstanceId": instance_id, "Details": True})
        return _status(found[0]) if found else CommandStatus.PENDING

    def commands_of(self, command_id: str) -> Mapping[str, CommandStatus]:
        """How that command stands, by instance."""
        return {
            invocation["InstanceId"]: _status(invocation)
            for invocation in self._invocations({"CommandId": command_id, "Details": True})
        }

    def stop_output(self, command_id: str, instance_id: str) -> str:
        """The first 2,500 characters of its output.

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CommandPlugin.html
        """
        found = self._invocations({"CommandId": command_id, "InstanceId": instance_id, "Details": True})
        return "".join(step.get("Output", "") for one in found[:1] for step in one.get("CommandPlugins", []))

    def online(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose agents Systems Manager calls online."""
        return frozenset(key for key, ping in self._agents(instance_ids).items() if ping == "Online")

    def _agents(self, instance_ids: Sequence[str]) -> dict[str, str]:
        """The ping status of each instance's agent; an instance that never registered has none."""
        found: dict[str, str] = {}
        pages = self._clients.ssm.get_paginator("describe_instance_information")
        with asking(Thing("ssm", "the instances' agents", "try again")):
            for some in batched(instance_ids, INFORMATION_AT_ONCE, strict=False):
                for page in pages.paginate(Filters=[{"Key": "InstanceIds", "Values": list(some)}]):
                    found |= {one["InstanceId"]: one.get("PingStatus", "") for one in page["InstanceInformationList"]}
        return {key: ping for key, ping in found.items() if key in instance_ids}

    def unregistered(self, instance_ids: Sequence[str]) -> Mapping[str, float]:
        """Those that run and have no agent on Systems Manager's list, with their launch's time.

        An agent that fell silent stays on the list, as ConnectionLost or Inactive:
        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_InstanceInformation.html
        """
        agents = self._agents(instance_ids)
        missing = [one for one in instance_ids if one not in agents]
        found: dict[str, float] = {}
        pages = self._clients.ec2.get_paginator("describe_instances")
        with asking(Thing("ec2", "the instances' launches", "try again")):
            for some in batched(missing, FILTERED_AT_ONCE, strict=False):
                filters = [
                    {"Name": "instance-id", "Values": list(some)},
                    {"Name": "instance-state-name", "Values": ["running"]},
                ]
                for page in pages.paginate(Filters=filters):
                    for reservation in page["Reservations"]:
                        for instance in reservation.get("Instances", []):
                            found[instance["InstanceId"]] = instance["LaunchTime"].timestamp()
        return {key: at for key, at in found.items() if key in missing}

    def ended(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those that EC2 has stopped or terminated; by a filter, in which an id that EC2 has forgotten is no error."""
        found: set[str] = set()
        pages = self._clients.ec2.get_paginator("describe_instances")
        with asking(Thing("ec2", "the instances' states", "try again")):
            for some in batched(instance_ids, FILTERED_AT_ONCE, strict=False):
                filters = [
                    {"Name": "instance-id", "Values": list(some)},
                    {"Name": "instance-state-name", "Values": list(ENDED)},
                ]
                for page in pages.paginate(Filters=filters):
                    for reservation in page["Reservations"]:
                        found |= {instance["InstanceId"] for instance in reservation.get("Instances", [])}
        return frozenset(found.intersection(instance_ids))

    def scheduled(self) -> Mapping[str, ScheduledEvent]:
        """The instances that EC2 is to reboot, stop or retire; by a filter, so that others cost nothing."""
        found: dict[str, ScheduledEvent] = {}
        pages = self._clients.ec2.get_paginator("describe_instance_status")
        with asking(Thing("ec2", "the instances' scheduled events", "try again")):
            for page in pages.paginate(Filters=[{"Name": "event.code", "Values": list(SCHEDULED)}]):
                for status in page["InstanceStatuses"]:
                    events = [
                        ScheduledEvent(status["InstanceId"], event["Code"], event["NotBefore"].timestamp())
                        for event in status.get("Events", [])
                        if event["Code"] in SCHEDULED and not event.get("Description", "").startswith(OVER)
                    ]
                    found |= {event.instance_id: event for event in sorted(events, key=lambda one: -one.at)}
        return found

    def is_spot(self, instance_id: str) -> bool:
        """Whether the instance is a Spot Instance; by a filter, in which an id that EC2 does not know is no error.

        `InstanceLifecycle` is missing of an On-Demand Instance:
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Instance.html
        """
        with asking(Thing("ec2", f"instance {instance_id}", "try again")):
            answer = self._clients.ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [instance_id]}])
        return any(
            instance.get("InstanceLifecycle") == "spot"
            for reservation in answer["Reservations"]
            for instance in reservation.get("Instances", [])
        )

    def _invocations(self, asked: "ListCommandInvocationsRequestPaginateTypeDef") -> "list[CommandInvocationTypeDef]":
        """How a command stands on each instance, or on one; nothing while it is not listed yet."""
        pages = self._clients.ssm.get_paginator("list_command_invocations")
        with asking(Thing("ssm", f"command {asked.get('CommandId')}", "wait, or send it again")):
            try:
                answers = pages.paginate(**asked)
                return [invocation for page in answers for invocation in page.get("CommandInvocations", [])]
            except ClientError as error:
                if code_of(error) == "InvalidCommandId":
                    return []
                raise


def _parameters(order: StopOrder, execution_s: int) -> dict[str, list[str]]:
    """What the document is given: the unit, the container in its place or an empty text, and the time it has."""
    return {"unit": [order.unit], "container": [order.container or ""], "executionTimeout": [str(execution_s)]}


def _status(invocation: "CommandInvocationTypeDef") -> CommandStatus:
    """The status of a command, by its details and its step.

    The status alone is Failed for a command that failed and for one that never ran, such as "Access Denied" or
    "Undeliverable". The step has whether the command began, and its exit code.
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CommandPlugin.html
    """
    word = invocation.get("StatusDetails") or invocation.get("Status", "")
    steps = invocation.get("CommandPlugins", [])
    if word.replace(" ", "") == "InProgress" and any(_began(step) for step in steps):
        return CommandStatus.RUNNING
    status = CommandStatus.of(word)
    if status is CommandStatus.FAILED:
        codes = {step.get("ResponseCode") for step in steps}
        if KILLED_CODE in codes:
            return CommandStatus.KILLED
        if MISSING_CODE in codes:
            return CommandStatus.MISSING
    return status


def _began(step: "CommandPluginTypeDef") -> bool:
    """Whether a step has begun on the instance: only then has it a time of its start."""
    began_at = step.get("ResponseStartDateTime")
    return began_at is not None and began_at.timestamp() > 0
