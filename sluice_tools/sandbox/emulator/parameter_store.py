"""Parameter Store as it is on AWS: each change of a parameter is an event, whoever makes it, and a page holds ten.

AWS pages: systems-manager/latest/userguide/sysman-paramstore-cwe.html (event "Parameter Store Change", with name and
operation; best effort), systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html (its fields);
systems-manager/latest/APIReference/API_GetParametersByPath.html (MaxResults: 1 to 10).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.events import Bus, Scope
from sluice_tools.sandbox.emulator.host import Host

_ssm = Host(
    "services.ssm", "_parameters", "_put_parameter", "_delete_parameter", "_delete_parameters",
    "_get_parameters_by_path", "_param_arn",
)  # fmt: skip
_responses = Host("core.responses", "error_response_json")

PAGE = 10
"""Most parameters in one page of GetParametersByPath."""

type Answer = tuple[int, dict[str, str], bytes]
type Handler = Callable[[Mapping[str, Any]], Answer]


class ParameterStore:
    """Emits the events after ministack has done what was asked, for CloudFormation's parameters as well."""

    def __init__(self, bus: Bus) -> None:
        """Keep the bus."""
        self._bus = bus

    def install(self) -> None:
        """Stand before ministack's handlers, which CloudFormation's provisioners call, too."""
        put: Handler = _ssm["_put_parameter"]
        delete: Handler = _ssm["_delete_parameter"]
        delete_many: Handler = _ssm["_delete_parameters"]
        list_path: Handler = _ssm["_get_parameters_by_path"]

        def putting(data: Mapping[str, Any]) -> Answer:
            answer = put(data)
            if answer[0] == 200:
                version = json.loads(answer[2]).get("Version", 1)
                self._emit(str(data.get("Name", "")), "Create" if version == 1 else "Update")
            return answer

        def deleting(data: Mapping[str, Any]) -> Answer:
            answer = delete(data)
            if answer[0] == 200:
                self._emit(str(data.get("Name", "")), "Delete")
            return answer

        def deleting_many(data: Mapping[str, Any]) -> Answer:
            answer = delete_many(data)
            if answer[0] == 200:
                for name in json.loads(answer[2]).get("DeletedParameters", ()):
                    self._emit(str(name), "Delete")
            return answer

        def listing(data: Mapping[str, Any]) -> Answer:
            asked = int(data.get("MaxResults", PAGE))
            if not 1 <= asked <= PAGE:
                text = f"1 validation error detected: Value '{asked}' at 'maxResults' must be between 1 and {PAGE}"
                refused: Answer = _responses["error_response_json"]("ValidationException", text, 400)
                return refused
            return list_path(data)

        _ssm["_get_parameters_by_path"] = listing
        _ssm["_put_parameter"] = putting
        _ssm["_delete_parameter"] = deleting
        _ssm["_delete_parameters"] = deleting_many

    def _emit(self, name: str, operation: str) -> None:
        kind = (_ssm["_parameters"].get(name) or {}).get("Type", "String")
        detail = {"operation": operation, "name": name, "type": kind, "description": ""}
        self._bus.emit(Scope.current(), "aws.ssm", "Parameter Store Change", detail, [_ssm["_param_arn"](name)])
