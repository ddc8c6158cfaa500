"""Run Command."""

import math
import shlex

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.model import CommandStatus

DOCUMENT = "AWS-RunShellScript"
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html: until it must have begun
MIN_DELIVERY_S, MAX_DELIVERY_S = 30, 2_592_000
# The document's own bounds for `executionTimeout`: until it must have ended
MIN_EXECUTION_S, MAX_EXECUTION_S = 1, 172_800


class SsmInstances:
    """The Instances port."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def stop(self, instance_id: str, unit: str, timeout_s: float) -> str:
        """Run `systemctl stop <unit>`, which waits until the unit has stopped; the command's id."""
        seconds = math.ceil(timeout_s)
        with asking(Thing("ssm", f"Run Command on {instance_id}", f"check that the document {DOCUMENT} is there")):
            answer = self._clients.ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName=DOCUMENT,
                Comment=f"Sluice drains {instance_id}",
                TimeoutSeconds=min(max(seconds, MIN_DELIVERY_S), MAX_DELIVERY_S),
                Parameters={
                    "commands": [f"systemctl stop {shlex.quote(unit)}"],
                    "executionTimeout": [str(min(max(seconds, MIN_EXECUTION_S), MAX_EXECUTION_S))],
                },
            )
        return answer["Command"]["CommandId"]

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """How that command stands; pending while it is not listed yet, which takes a moment."""
        with asking(Thing("ssm", f"command {command_id}", "wait, or send it again")):
            try:
                found = self._clients.ssm.list_command_invocations(CommandId=command_id, InstanceId=instance_id)
            except ClientError as error:
                if code_of(error) == "InvalidCommandId":
                    return CommandStatus.PENDING
                raise
        invocations = found.get("CommandInvocations", [])
        if not invocations:
            return CommandStatus.PENDING
        # The detail tells a command that failed from one that was never run, such as "Access Denied" or
        # "Undeliverable", where the status says Failed for all of them.
        return CommandStatus.of(invocations[0].get("StatusDetails") or invocations[0].get("Status", ""))
