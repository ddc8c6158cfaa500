"""The sandbox's own HTTP interface under ``/_sandbox/``: instance metadata, and what on AWS nobody asks for.

Unauthenticated, and bound to the loopback address like the rest of the emulator.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sluice_tools.sandbox.emulator.events import Bus, Scope
from sluice_tools.sandbox.emulator.groups import Groups
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.launcher import Launcher, imds
from sluice_tools.sandbox.emulator.machines import Machines

_app = Host("app", "_handle_post_body_shortcuts")

PREFIX = "/_sandbox/"
WAITING = 256
"""Threads for requests that wait, such as for a unit's exit: apart from those that Lambda invocations need."""

Answer = tuple[int, dict[str, str], bytes]
Route = Callable[[re.Match[str], Mapping[str, Any]], Any]

log = logging.getLogger("sandbox.admin")


class NotFoundError(Exception):
    """No such instance or group."""


class Admin:
    """Routes under ``/_sandbox/``: method and path to what is done."""

    def __init__(self, groups: Groups, launcher: Launcher, machines: Machines, bus: Bus) -> None:
        """Act on these."""
        self._groups = groups
        self._launcher = launcher
        self._machines = machines
        self._bus = bus
        self._pool = ThreadPoolExecutor(WAITING, "sandbox-admin")
        self._routes: list[tuple[str, re.Pattern[str], Route]] = []
        self._delays_s: dict[str, float] = {}
        for method, pattern, route in (
            ("GET", r"imds/(?P<id>[^/]+)/latest/meta-data/(?P<path>.+)", self._imds),
            ("PUT", r"imds/(?P<id>[^/]+)/latest/api/token", lambda _m, _b: "sandbox-token"),
            ("GET", r"instances", self._instances),
            ("GET", r"instances/(?P<id>[^/]+)", self._instance),
            ("POST", r"instances/(?P<id>[^/]+)/kill", self._kill),
            ("POST", r"instances/(?P<id>[^/]+)/spot-interruption", self._interrupt),
            ("POST", r"instances/(?P<id>[^/]+)/rebalance-recommendation", self._rebalance),
            ("POST", r"groups/(?P<name>[^/]+)/launch-failures", self._launch_failures),
            ("POST", r"events", self._emit),
            ("POST", r"delays/(?P<service>\w+)", self._delay),
        ):
            self.route(method, pattern, route)

    def route(self, method: str, pattern: str, route: Route) -> None:
        """Add a route; ``pattern`` is matched against the whole path after the prefix."""
        self._routes.append((method, re.compile(pattern), route))

    def install(self) -> None:
        """Answer before ministack looks at the request."""
        original = _app["_handle_post_body_shortcuts"]

        async def first(method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any) -> Any:
            if path.startswith(PREFIX):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, self._answer, method, path.removeprefix(PREFIX), body)
            if self._delays_s:
                await asyncio.sleep(self._delays_s.get(headers.get("x-amz-target", "").partition(".")[0], 0.0))
            return await original(method, path, headers, body, *rest)

        _app["_handle_post_body_shortcuts"] = first

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        for wanted, pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is None or wanted != method:
                continue
            try:
                result = route(match, json.loads(body or b"{}"))
            except NotFoundError as error:
                return _text(404, str(error))
            except (KeyError, TypeError, ValueError) as error:
                return _text(400, f"bad request: {error!r}")
            if isinstance(result, str):
                return _text(200, result)
            return 200, {"Content-Type": "application/json"}, json.dumps(result).encode()
        return _text(404, f"no such route: {method} {PREFIX}{path}")

    # --- instance metadata ---

    def _imds(self, match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        metadata = self._launcher.metadata.get(match["id"])
        entry = None if metadata is None else imds(metadata, match["id"], match["path"])
        if entry is None:
            raise NotFoundError("Not Found")
        return entry

    # --- instances and groups ---

    def _instances(self, _match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        return [self._describe(instance_id) for instance_id in self._machines.all()]

    def _instance(self, match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        return self._describe(match["id"])

    def _describe(self, instance_id: str) -> dict[str, Any]:
        machine = self._machines.get(instance_id)
        if machine is None:
            raise NotFoundError(f"no instance {instance_id}")
        member = self._groups.find(instance_id)
        return {
            "instance_id": instance_id,
            "group": None if member is None else member.group,
            "state": "Terminated" if member is None else member.state.value,
            "pid": machine.pid,
            "unit_active": machine.unit_active,
            "exit_code": machine.exit_code,
            "log": str(machine.log_path),
        }

    def _kill(self, match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        machine = self._machines.get(match["id"])
        if machine is None:
            raise NotFoundError(f"no instance {match['id']}")
        machine.kill()
        self._groups.wake()
        return self._describe(match["id"])

    def _interrupt(self, match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        self._require_live(match["id"])
        return {"ends_at": self._launcher.interrupt(match["id"], time.time())}

    def _rebalance(self, match: re.Match[str], _body: Mapping[str, Any]) -> Any:
        self._require_live(match["id"])
        self._launcher.recommend_rebalance(match["id"], time.time())
        return {}

    def _require_live(self, instance_id: str) -> None:
        if instance_id not in self._launcher.metadata:
            raise NotFoundError(f"no live instance {instance_id}")

    def _launch_failures(self, match: re.Match[str], body: Mapping[str, Any]) -> Any:
        """Body: ``{"messages": [...]}``: the group's next launches fail with these, one each."""
        self._groups.fail_launches(Scope.current(), match["name"], body["messages"])
        return {}

    def _delay(self, match: re.Match[str], body: Mapping[str, Any]) -> Any:
        """Body: ``{"seconds": ...}``: each call of a service, such as ``AmazonSQS``, takes so long more; 0: none."""
        self._delays_s[match["service"]] = float(body["seconds"])
        return {}

    def _emit(self, _match: re.Match[str], body: Mapping[str, Any]) -> Any:
        """Body: ``source``, ``detail-type``, ``detail``, ``resources``: any event of an AWS service."""
        self._bus.emit(
            Scope.current(), body["source"], body["detail-type"], body.get("detail", {}), body.get("resources", [])
        )
        return {}


def _text(status: int, text: str) -> Answer:
    return status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode()
