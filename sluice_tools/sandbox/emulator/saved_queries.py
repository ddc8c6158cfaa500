"""Saved queries of CloudWatch Logs Insights, as a template's resource and as a list: ministack has neither.

AWS pages: AWSCloudFormation/latest/TemplateReference/aws-resource-logs-querydefinition.html,
AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html (bounds of name and query),
AmazonCloudWatchLogs/latest/APIReference/API_DescribeQueryDefinitions.html.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.host import Host

_logs = Host("services.cloudwatch_logs", "handle_request")
_provisioners = Host("services.cloudformation.provisioners", "_RESOURCE_HANDLERS")
_responses = Host("core.responses", "json_response")

BOUNDS = {"Name": 255, "QueryString": 10_000}
"""The most characters of each property that must be there."""


class SavedQueries:
    """The definitions of each account and region, by id."""

    def __init__(self) -> None:
        """There are none."""
        self._definitions: defaultdict[Scope, dict[str, dict[str, Any]]] = defaultdict(dict)

    def install(self) -> None:
        """Add the resource, and answer the one call that ministack's service does not know."""
        handle = _logs["handle_request"]

        async def handling(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Any:
            if headers.get("x-amz-target", "").endswith(".DescribeQueryDefinitions"):
                return self._described(json.loads(body or b"{}"))
            return await handle(method, path, headers, body, query)

        _logs["handle_request"] = handling
        _provisioners["_RESOURCE_HANDLERS"]["AWS::Logs::QueryDefinition"] = {
            "create": lambda _logical_id, props, _stack: self._put(str(uuid.uuid4()), props),
            "update": lambda physical_id, _old, new, *_rest: self._put(physical_id, new),
            "delete": lambda physical_id, _props: self._definitions[Scope.current()].pop(physical_id, None),
        }

    def _put(self, definition_id: str, props: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Save a definition as PutQueryDefinition does; its id, which is what Ref returns, and its attributes."""
        for name, most in BOUNDS.items():
            if not 1 <= len(str(props.get(name, ""))) <= most:
                raise ValueError(f"AWS::Logs::QueryDefinition: {name} must have 1 to {most} characters")
        self._definitions[Scope.current()][definition_id] = {
            "queryDefinitionId": definition_id,
            "name": props["Name"],
            "queryString": props["QueryString"],
            "logGroupNames": list(props.get("LogGroupNames", ())),
            "lastModified": int(time.time() * 1000),
        }
        return definition_id, {"QueryDefinitionId": definition_id}

    def _described(self, asked: Mapping[str, Any]) -> Any:
        """The definitions whose names begin as asked."""
        begin = asked.get("queryDefinitionNamePrefix", "")
        found = [one for one in self._definitions[Scope.current()].values() if one["name"].startswith(begin)]
        return _responses["json_response"]({"queryDefinitions": found})
