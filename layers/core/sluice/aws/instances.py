"""Run Command, and EC2's own word on machines."""

import math
import shlex
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model import CommandStatus, StopOrder

if TYPE_CHECKING:
    from types_boto3_ssm.type_defs import CommandInvocationTypeDef, ListCommandInvocationsRequestPaginateTypeDef

# AWS's own document, which takes a script; any other is the user's, and takes `unit` and `executionTimeout`.
SHELL_SCRIPT = "AWS-RunShellScript"
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html: until it must have begun. An
# agent that lives takes it within seconds; what was not taken in two minutes is better asked again than waited for.
MIN_DELIVERY_S, MAX_DELIVERY_S = 30, 120
# The document's own bounds for `executionTimeout`: until it must have ended
MIN_EXECUTION_S, MAX_EXECUTION_S = 1, 172_800
# How long before the command's own end a container is killed that has not stopped: `docker stop` alone gives it 10 s.
CONTAINER_MARGIN_S = 5
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html: values of one filter
FILTERED_AT_ONCE = 200
# EC2's words for a machine on which nothing runs; one that is on its way there may still be at work.
ENDED = ("stopped", "terminated")


class SsmInstances:
    """The Instances port."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def stop(self, instance_ids: Sequence[str], order: StopOrder, timeout_s: float) -> str:
        """Run `systemctl stop <unit>`, or `docker stop <container>`, which wait for the end; the command's id."""
        seconds = math.ceil(timeout_s)
        execution_s = min(max(seconds, MIN_EXECUTION_S), MAX_EXECUTION_S)
        whom = instance_ids[0] if len(instance_ids) == 1 else f"{len(instance_ids)} instances"
        what = f"Run Command on {', '.join(instance_ids)}"
        with asking(Thing("ssm", what, f"check that the document {order.document} is there")):
            answer = self._clients.ssm.send_command(
                InstanceIds=list(instance_ids),
                DocumentName=order.document,
                Comment=f"Sluice drains {whom}",
                TimeoutSeconds=min(max(seconds, MIN_DELIVERY_S), MAX_DELIVERY_S),
                Parameters=_parameters(order, execution_s),
            )
        return answer["Command"]["CommandId"]

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """How that command stands; pending while it is not listed yet, which takes a moment."""
        found = self._invocations({"CommandId": command_id, "InstanceId": instance_id})
        return _status(found[0]) if found else CommandStatus.PENDING

    def commands_of(self, command_id: str) -> Mapping[str, CommandStatus]:
        """How that command stands, by instance."""
        return {
            invocation["InstanceId"]: _status(invocation) for invocation in self._invocations({"CommandId": command_id})
        }

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
                told = pages.paginate(**asked)
                return [invocation for page in told for invocation in page.get("CommandInvocations", [])]
            except ClientError as error:
                if code_of(error) == "InvalidCommandId":
                    return []
                raise


def _parameters(order: StopOrder, execution_s: int) -> dict[str, list[str]]:
    """What the document is given: AWS's own a script, the user's the name of what to stop."""
    if order.document != SHELL_SCRIPT:
        return {"unit": [order.container or order.unit], "executionTimeout": [str(execution_s)]}
    if order.container is None:
        script = f"systemctl stop {shlex.quote(order.unit)}"
    else:
        patience_s = max(1, execution_s - CONTAINER_MARGIN_S)
        script = f"docker stop --time {patience_s} {shlex.quote(order.container)}"
    return {"commands": [script], "executionTimeout": [str(execution_s)]}


def _status(invocation: "CommandInvocationTypeDef") -> CommandStatus:
    """The detail tells a command that failed from one that was never run.

    Such as "Access Denied" or "Undeliverable", where the status says Failed for all of them.
    """
    return CommandStatus.of(invocation.get("StatusDetails") or invocation.get("Status", ""))
