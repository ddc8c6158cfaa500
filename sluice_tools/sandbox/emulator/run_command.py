"""Systems Manager Run Command: scripts that really run on the sandbox's machines, and their status events.

A script runs in a shell with the machine's environment. ``systemctl`` on its path acts on the machine's own units
(``units.py``).

AWS pages (systems-manager/latest): userguide/monitor-commands.html (the statuses: a command that is not received stays
Pending, and turns Delivery Timed Out only after TimeoutSeconds plus the execution timeout; one whose agent died stays
In Progress as long), APIReference/API_SendCommand.html (at most 50 instance ids; an instance that is not managed is
InvalidInstanceId; what has not begun within TimeoutSeconds does not begin any more),
APIReference/API_CommandPlugin.html (the time at which a step began),
API_GetCommandInvocation.html (response code -1 until a result, output limits), API_CancelCommand.html;
eventbridge/latest/ref/events-ref-ssm.html (status-change events, best effort).
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice_tools.sandbox.emulator.admin import Admin, NotFoundError
from sluice_tools.sandbox.emulator.documents import Documents, SsmError, answering, paged, script_of
from sluice_tools.sandbox.emulator.events import Bus, Scope, iso, iso_ms
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.launcher import Launcher
from sluice_tools.sandbox.emulator.machines import Machine, Machines
from sluice_tools.sandbox.emulator.settings import Settings

_ssm = Host(
    "services.ssm", "handle_request", "_send_command", "_get_command_invocation", "_list_commands",
    "_describe_instance_information",
)  # fmt: skip
_ec2 = Host("services.ec2", "_tags", "_instances")

INSTANCES_PER_COMMAND = 50
"""Most instance ids in one SendCommand."""
STDOUT_LIMIT, STDERR_LIMIT = 24_000, 8_000
"""Characters of output that GetCommandInvocation keeps."""
DELIVERY_TIMEOUT_S = 3600
"""TimeoutSeconds of SendCommand unless given: how long a command may take to begin."""
POLL_S = 0.05
"""How often the delivery looks for an agent again."""
FINAL = frozenset({"Success", "Failed", "Cancelled", "TimedOut"})

log = logging.getLogger("sandbox.ssm")


@dataclass(slots=True)
class CommandInvocation:
    """One command on one instance."""

    instance_id: str
    status: str = "Pending"
    details: str = "Pending"
    exit_code: int = -1
    out: str = ""
    err: str = ""
    began_at: float | None = None
    ended_at: float | None = None


@dataclass(slots=True)
class Command:
    """One SendCommand."""

    id: str
    scope: Scope
    document: str
    script: str
    parameters: Mapping[str, Any]
    comment: str
    requested_at: float
    delivery_timeout_s: float
    execution_timeout_s: float
    reported: str = "Pending"  # the status of the last event about the whole command
    cancelled: threading.Event = field(default_factory=threading.Event)
    invocations: dict[str, CommandInvocation] = field(default_factory=dict)

    @property
    def expires_at(self) -> float:
        """When every invocation that has not ended is taken for undelivered."""
        return self.requested_at + self.delivery_timeout_s + self.execution_timeout_s

    @property
    def status(self) -> str:
        """The invocations' statuses rolled up."""
        statuses = {invocation.status for invocation in self.invocations.values()}
        if statuses == {"Pending"}:
            return "Pending"
        if not statuses <= FINAL:
            return "InProgress"
        for bad in ("Failed", "TimedOut", "Cancelled"):
            if bad in statuses:
                return bad
        return "Success"


class RunCommand:
    """Commands, documents, and the agents that run them."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        machines: Machines,
        launcher: Launcher,
        *,
        shim_directory: Path,
        endpoint: str,
    ) -> None:
        """Scripts find ``systemctl`` in ``shim_directory``; it calls back to ``endpoint``."""
        self._settings = settings
        self._bus = bus
        self._machines = machines
        self._launcher = launcher
        self._shims = shim_directory
        self._endpoint = endpoint
        self._commands: dict[str, Command] = {}
        self._documents = Documents()
        self._lock = threading.RLock()

    def install(self, admin: Admin) -> None:
        """Take the place of ministack's handlers; add those it has not, and the document resource."""
        self._write_shim()
        admin.route("POST", r"instances/(?P<id>[^/]+)/systemctl", self._systemctl)
        for name, handler in (
            ("_send_command", self._send),
            ("_get_command_invocation", self._get_invocation),
            ("_list_commands", self._list_commands),
            ("_describe_instance_information", self._instance_information),
        ):
            _ssm[name] = answering(handler)
        added = {
            "ListCommandInvocations": answering(self._list_invocations),
            "CancelCommand": answering(self._cancel),
            **self._documents.handlers(),
        }
        original = _ssm["handle_request"]

        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
            handler = added.get(headers.get("x-amz-target", "").split(".")[-1])
            if handler is None:
                return await original(method, path, headers, body, query)
            return handler(json.loads(body or b"{}"))

        _ssm["handle_request"] = handle
        self._documents.install_resource()

    # --- commands ---

    def _send(self, data: Mapping[str, Any]) -> dict[str, Any]:
        content = self._documents.content(data.get("DocumentName") or "", data.get("DocumentVersion") or "")
        instance_ids = list(dict.fromkeys([*(data.get("InstanceIds") or []), *self._targeted(data)]))
        if len(data.get("InstanceIds") or []) > INSTANCES_PER_COMMAND:
            raise SsmError(
                "ValidationException",
                f"1 validation error detected: Value at 'instanceIds' failed to satisfy constraint: Member must have "
                f"length less than or equal to {INSTANCES_PER_COMMAND}",
            )
        if not instance_ids and not data.get("Targets"):
            raise SsmError("InvalidInstanceId", "No instances are named, by InstanceIds or by Targets")
        scope = Scope.current()
        if unknown := [instance_id for instance_id in instance_ids if not self._managed(instance_id)]:
            raise SsmError(
                "InvalidInstanceId",
                f"Instances [[{', '.join(unknown)}]] not in a valid state for account {scope.account}",
            )
        script, execution_timeout_s = script_of(content, data.get("Parameters") or {})
        timeout_s = float(data.get("TimeoutSeconds", DELIVERY_TIMEOUT_S))
        if self._settings.command_delivery_s is not None:
            timeout_s = min(timeout_s, self._settings.command_delivery_s)
        command = Command(
            id=str(uuid.uuid4()),
            scope=scope,
            document=data["DocumentName"],
            script=script,
            parameters=data.get("Parameters") or {},
            comment=data.get("Comment") or "",
            requested_at=time.time(),
            delivery_timeout_s=timeout_s,
            execution_timeout_s=execution_timeout_s,
            invocations={instance_id: CommandInvocation(instance_id) for instance_id in instance_ids},
        )
        self._commands[command.id] = command
        answer = {"Command": _public_command(command)}
        for invocation in command.invocations.values():
            threading.Thread(
                target=self._carry_out, args=(command, invocation), name=f"sandbox-ssm-{command.id[:8]}", daemon=True
            ).start()
        return answer

    def _managed(self, instance_id: str) -> bool:
        """Whether Systems Manager knows the instance: launched, and not terminated as far as EC2 knows."""
        return instance_id in self._launcher.metadata and not self._launcher.ended_by_ec2(instance_id)

    def _targeted(self, data: Mapping[str, Any]) -> list[str]:
        """Instances that the request's Targets name, by id or by tag; those that are not managed are passed over."""
        found: list[str] = []
        for target in data.get("Targets") or []:
            key, values = target["Key"], target["Values"]
            if key.lower() == "instanceids":
                found += values
            elif key.startswith("tag:"):
                found += [
                    instance_id
                    for instance_id in _ec2["_instances"]
                    for tag in _ec2["_tags"].get(instance_id) or []
                    if tag["Key"] == key.removeprefix("tag:") and tag["Value"] in values
                ]
        return [instance_id for instance_id in found if self._managed(instance_id)]

    def _carry_out(self, command: Command, invocation: CommandInvocation) -> None:
        """Deliver one invocation, run it and report; on a thread of its own."""
        machine = self._machines.get(invocation.instance_id)
        if machine is None or not self._deliver(command, machine):
            self._expire(command, invocation)
            return
        with self._lock:
            invocation.began_at = time.time()
            invocation.status = invocation.details = "InProgress"
        self._tell(command, invocation)
        ran = machine.run(command.script, command.execution_timeout_s, self._script_env(machine), command.cancelled)
        if ran is None:
            # The agent is gone with its machine and reports nothing: the invocation stays in progress.
            self._expire(command, invocation)
            return
        invocation.exit_code, invocation.out, invocation.err = ran.exit_code, ran.out, ran.err
        if ran.ended_by == "cancelled":
            self._conclude(command, invocation, "Cancelled", "Cancelled")
        elif ran.ended_by == "timeout":
            self._conclude(command, invocation, "TimedOut", "ExecutionTimedOut")
        elif ran.exit_code == 0:
            self._conclude(command, invocation, "Success", "Success")
        else:
            self._conclude(command, invocation, "Failed", "Failed")

    def _expire(self, command: Command, invocation: CommandInvocation) -> None:
        """Nobody answers for it: it ends when it is cancelled, or when both of its timeouts are over."""
        if command.cancelled.wait(max(0.0, command.expires_at - time.time())):
            self._conclude(command, invocation, "Cancelled", "Cancelled")
        else:
            self._conclude(command, invocation, "TimedOut", "DeliveryTimedOut")

    @staticmethod
    def _deliver(command: Command, machine: Machine) -> bool:
        """Wait for the machine's agent to take the command; whether it did while it may still begin."""
        deadline = command.requested_at + command.delivery_timeout_s
        while not machine.agent_online:
            if command.cancelled.wait(POLL_S) or time.time() > deadline:
                return False
        return not command.cancelled.is_set()

    def _conclude(self, command: Command, invocation: CommandInvocation, status: str, details: str) -> None:
        with self._lock:
            invocation.ended_at = time.time()
            invocation.status, invocation.details = status, details
        self._tell(command, invocation)

    def _tell(self, command: Command, invocation: CommandInvocation) -> None:
        """Emit the invocation's status, and the command's where it changed with it."""
        common = {
            "command-id": command.id,
            "document-name": command.document,
            "requested-date-time": iso_ms(command.requested_at),
        }
        self._bus.emit(
            command.scope,
            "aws.ssm",
            "EC2 Command Invocation Status-change Notification",
            {**common, "instance-id": invocation.instance_id, "status": invocation.status},
            [command.scope.arn("ec2", f"instance/{invocation.instance_id}")],
        )
        with self._lock:
            status = command.status
            changed, command.reported = status != command.reported, status
        if changed:
            detail = {
                **common,
                "expire-after": iso_ms(command.expires_at),
                "parameters": command.parameters,
                "status": status,
            }
            resource = command.scope.arn("ssm", f"command/{command.id}")
            self._bus.emit(command.scope, "aws.ssm", "EC2 Command Status-change Notification", detail, [resource])

    def _cancel(self, data: Mapping[str, Any]) -> dict[str, Any]:
        command = self._command(data.get("CommandId") or "")
        wanted = data.get("InstanceIds") or list(command.invocations)
        for instance_id in wanted:
            if instance_id not in command.invocations:
                raise SsmError("InvalidInstanceId", f"Command {command.id} has no invocation on {instance_id}")
        command.cancelled.set()
        with self._lock:
            for invocation in command.invocations.values():
                if invocation.status == "InProgress":
                    invocation.status = invocation.details = "Cancelling"
        return {}

    def _command(self, command_id: str) -> Command:
        command = self._commands.get(command_id)
        if command is None or command.scope != Scope.current():
            raise SsmError("InvalidCommandId", f"Command {command_id} was not found")
        return command

    # --- reading ---

    def _get_invocation(self, data: Mapping[str, Any]) -> dict[str, Any]:
        command_id, instance_id = data.get("CommandId") or "", data.get("InstanceId") or ""
        command = self._commands.get(command_id)
        if command is None or command.scope != Scope.current() or instance_id not in command.invocations:
            raise SsmError("InvocationDoesNotExist", f"Invocation not found for {command_id}, {instance_id}")
        with self._lock:
            invocation = command.invocations[instance_id]
            elapsed_s = (invocation.ended_at or time.time()) - invocation.began_at if invocation.began_at else 0.0
            return {
                "CommandId": command.id,
                "InstanceId": instance_id,
                "Comment": command.comment,
                "DocumentName": command.document,
                "DocumentVersion": "$DEFAULT",
                "PluginName": "aws:runShellScript",
                "ResponseCode": invocation.exit_code,
                "ExecutionStartDateTime": iso_ms(invocation.began_at) if invocation.began_at else "",
                "ExecutionElapsedTime": f"PT{elapsed_s:.3f}S",
                "ExecutionEndDateTime": iso_ms(invocation.ended_at) if invocation.ended_at else "",
                "Status": invocation.status,
                "StatusDetails": invocation.details,
                "StandardOutputContent": invocation.out[:STDOUT_LIMIT],
                "StandardOutputUrl": "",
                "StandardErrorContent": invocation.err[:STDERR_LIMIT],
                "StandardErrorUrl": "",
            }

    def _list_commands(self, data: Mapping[str, Any]) -> dict[str, Any]:
        commands = [
            _public_command(command)
            for command in self._listed(data)
            if not data.get("InstanceId") or data["InstanceId"] in command.invocations
        ]
        return paged(data, "Commands", commands)

    def _list_invocations(self, data: Mapping[str, Any]) -> dict[str, Any]:
        with_details = bool(data.get("Details"))
        invocations = [
            _public_invocation(command, invocation, with_details=with_details)
            for command in self._listed(data)
            for invocation in command.invocations.values()
            if data.get("InstanceId") in {None, invocation.instance_id}
        ]
        return paged(data, "CommandInvocations", invocations)

    def _listed(self, data: Mapping[str, Any]) -> list[Command]:
        """Commands of the present scope that pass the request's CommandId and Filters, newest first."""
        scope = Scope.current()
        found = [
            command
            for command in self._commands.values()
            if command.scope == scope
            and data.get("CommandId") in {None, "", command.id}
            and all(_passes(command, condition) for condition in data.get("Filters") or [])
        ]
        return sorted(found, key=lambda command: command.requested_at, reverse=True)

    def _instance_information(self, data: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {
            value
            for condition in [*(data.get("Filters") or []), *(data.get("InstanceInformationFilterList") or [])]
            if condition.get("Key", condition.get("key")) == "InstanceIds"
            for value in condition.get("Values", condition.get("valueSet")) or []
        }
        entries = [
            {
                "InstanceId": instance_id,
                "PingStatus": "Online" if machine.agent_online else "ConnectionLost",
                "LastPingDateTime": time.time(),
                "AgentVersion": "3.3.0.0",
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "ResourceType": "EC2Instance",
            }
            for instance_id, machine in self._machines.all().items()
            if self._managed(instance_id) and machine.command and (not wanted or instance_id in wanted)
        ]
        return paged(data, "InstanceInformationList", entries)

    # --- systemctl on a machine ---

    def _script_env(self, machine: Machine) -> dict[str, str]:
        path = machine.env.get("PATH", "/usr/bin:/bin")
        return {"PATH": f"{self._shims}:{path}", "SLUICE_SANDBOX_MACHINE": machine.instance_id}

    def _write_shim(self) -> None:
        """Put a ``systemctl`` on the scripts' path that asks the emulator to act."""
        self._shims.mkdir(parents=True, exist_ok=True)
        shim = self._shims / "systemctl"
        program = str(Path(__file__).with_name("systemctl.py"))
        shim.write_text(
            f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(program)} {shlex.quote(self._endpoint)} "
            '"$SLUICE_SANDBOX_MACHINE" "$@"\n'
        )
        shim.chmod(0o755)

    def _systemctl(self, match: re.Match[str], body: Mapping[str, Any]) -> str:
        """Body: ``{"arguments": ...}``, in hexadecimal; answers the exit code, and what to print. NUL parts them."""
        machine = self._machines.get(match["id"])
        if machine is None:
            raise NotFoundError(f"no instance {match['id']}")
        exit_code, text, error = machine.systemd.systemctl(bytes.fromhex(body["arguments"]).decode().split("\0"))
        return f"{exit_code}\0{text}\0{error}"


def _public_command(command: Command) -> dict[str, Any]:
    statuses = [invocation.status for invocation in command.invocations.values()]
    details = [invocation.details for invocation in command.invocations.values()]
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": command.expires_at,
        "Parameters": command.parameters,
        "InstanceIds": list(command.invocations),
        "RequestedDateTime": command.requested_at,
        "Status": command.status,
        "StatusDetails": command.status,
        "TargetCount": len(statuses),
        "CompletedCount": sum(status in FINAL for status in statuses),
        "ErrorCount": statuses.count("Failed"),
        "DeliveryTimedOutCount": details.count("DeliveryTimedOut"),
        "TimeoutSeconds": int(command.delivery_timeout_s),
    }


def _public_invocation(command: Command, invocation: CommandInvocation, *, with_details: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": command.requested_at,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [],
    }
    if with_details:
        shown["CommandPlugins"] = [
            {
                "Name": "aws:runShellScript",
                "Status": invocation.status,
                "StatusDetails": invocation.details,
                "ResponseCode": invocation.exit_code,
                "ResponseStartDateTime": invocation.began_at or 0.0,
                "ResponseFinishDateTime": invocation.ended_at or 0.0,
                "Output": invocation.out[:2500],
            }
        ]
    return shown


def _passes(command: Command, condition: Mapping[str, str]) -> bool:
    """Whether a command passes one filter of ListCommands or ListCommandInvocations."""
    key, value = condition["key"], condition["value"]
    tests: dict[str, Callable[[], bool]] = {
        "Status": lambda: command.status == value,
        "DocumentName": lambda: command.document == value,
        "InvokedAfter": lambda: iso(command.requested_at) > value,
        "InvokedBefore": lambda: iso(command.requested_at) < value,
    }
    if key not in tests:
        raise SsmError("InvalidFilterKey", f"{key} is not one of {', '.join(tests)}")
    return tests[key]()
