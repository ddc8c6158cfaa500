"""Systems Manager command documents: stored, versioned, and turned into the script they say.

AWS pages (systems-manager/latest): userguide/documents-schemas-features.html (schema 2.2),
userguide/documents-syntax-data-elements-parameters.html (parameters, their defaults and allowedPattern),
userguide/documents-command-ssm-plugin-reference.html (aws:runShellScript),
APIReference/API_CreateDocument.html and its neighbours;
AWSCloudFormation/latest/TemplateReference/aws-resource-ssm-document.html.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope
from sluice_tools.sandbox.emulator.host import Host

_responses = Host("core.responses", "json_response", "error_response_json")
_provisioners = Host("services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_physical_name")

PAGE = 50
"""Most records in one page of a list call."""
EXECUTION_TIMEOUT_S = 3600
"""executionTimeout of AWS-RunShellScript unless given."""

SHELL_SCRIPT = {
    "schemaVersion": "1.2",
    "parameters": {
        "commands": {"type": "StringList"},
        "workingDirectory": {"type": "String", "default": ""},
        "executionTimeout": {"type": "String", "default": str(EXECUTION_TIMEOUT_S)},
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "runShellScript",
            "inputs": {
                "runCommand": "{{ commands }}",
                "workingDirectory": "{{ workingDirectory }}",
                "timeoutSeconds": "{{ executionTimeout }}",
            },
        }
    ],
}
"""AWS-RunShellScript, as far as it matters here."""


Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[Mapping[str, Any]], Answer]


class SsmError(Exception):
    """A refused request; carries AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.code = code


class Documents:
    """Every document of the sandbox."""

    def __init__(self) -> None:
        """None but AWS-RunShellScript, which is everyone's."""
        self._documents: dict[tuple[Scope, str], list[dict[str, Any]]] = {}

    def handlers(self) -> dict[str, Handler]:
        """Request handlers by action."""
        return {
            "CreateDocument": answering(self._create_document),
            "UpdateDocument": answering(self._update_document),
            "GetDocument": answering(self._get_document),
            "DescribeDocument": answering(self._describe_document),
            "ListDocuments": answering(self._list_documents),
            "DeleteDocument": answering(self._delete_document),
        }

    def install_resource(self) -> None:
        """Let templates make documents."""
        _provisioners["_RESOURCE_HANDLERS"]["AWS::SSM::Document"] = {
            "create": self._resource_created,
            "update": self._resource_updated,
            "delete": self._resource_deleted,
        }

    def content(self, name: str, version: str) -> Mapping[str, Any]:
        """A document's content; AWS-RunShellScript is everyone's."""
        if name.rsplit("/", 1)[-1] == "AWS-RunShellScript":
            return SHELL_SCRIPT
        return dict(json.loads(self._version(name, version)["Content"]))

    def _version(self, name: str, version: str = "") -> dict[str, Any]:
        versions = self._documents.get((Scope.current(), name.rsplit("/", 1)[-1]))
        if not versions:
            raise SsmError("InvalidDocument", f"Document with name {name} does not exist.")
        if version in {"", "$DEFAULT", "$LATEST"}:
            return versions[-1]
        for stored in versions:
            if stored["DocumentVersion"] == version:
                return stored
        raise SsmError("InvalidDocumentVersion", f"Document {name} has no version {version}.")

    def _create_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        key = Scope.current(), data["Name"]
        if key in self._documents:
            raise SsmError("DocumentAlreadyExists", f"Document with same name {data['Name']} already exists")
        return {
            "DocumentDescription": self._store(data["Name"], data["Content"], data.get("DocumentType") or "Command")
        }

    def _store(self, name: str, content: str | Mapping[str, Any], kind: str) -> dict[str, Any]:
        text = content if isinstance(content, str) else json.dumps(content)
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise SsmError("InvalidDocumentContent", f"The sandbox reads documents in JSON: {error}") from error
        if kind == "Command" and not any(s.get("action") == "aws:runShellScript" for s in parsed.get("mainSteps", [])):
            raise SsmError("InvalidDocumentContent", "mainSteps must have an aws:runShellScript step")
        versions = self._documents.setdefault((Scope.current(), name), [])
        stored = {
            "Name": name,
            "DocumentVersion": str(len(versions) + 1),
            "Content": text,
            "DocumentType": kind,
            "DocumentFormat": "JSON",
            "Status": "Active",
            "CreatedDate": time.time(),
            "Owner": Scope.current().account,
            "SchemaVersion": str(parsed.get("schemaVersion", "2.2")),
        }
        versions.append(stored)
        return {key: value for key, value in stored.items() if key != "Content"}

    def _update_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        kind = self._version(data["Name"])["DocumentType"]
        return {"DocumentDescription": self._store(data["Name"], data["Content"], kind)}

    def _get_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return self._version(data["Name"], data.get("DocumentVersion") or "")

    def _describe_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        stored = self._version(data["Name"], data.get("DocumentVersion") or "")
        return {"Document": {key: value for key, value in stored.items() if key != "Content"}}

    def _list_documents(self, data: Mapping[str, Any]) -> dict[str, Any]:
        scope = Scope.current()
        names = [
            {key: value for key, value in versions[-1].items() if key not in {"Content", "Status"}}
            for (owner, _), versions in self._documents.items()
            if owner == scope
        ]
        return paged(data, "DocumentIdentifiers", names)

    def _delete_document(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self._version(data["Name"])
        del self._documents[Scope.current(), data["Name"]]
        return {}

    def _resource_created(self, logical_id: str, props: Mapping[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        name = props.get("Name") or _provisioners["_physical_name"](stack, logical_id)
        self._store(name, props["Content"], props.get("DocumentType") or "Command")
        return name, {}

    def _resource_updated(
        self, physical_id: str, _old: Mapping[str, Any], new: Mapping[str, Any], _stack: str
    ) -> tuple[str, dict[str, str]]:
        self._store(physical_id, new["Content"], new.get("DocumentType") or "Command")
        return physical_id, {}

    def _resource_deleted(self, physical_id: str, _props: Mapping[str, Any]) -> None:
        self._documents.pop((Scope.current(), physical_id), None)


def answering(handler: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Handler:
    """Turn a handler's dict or SsmError into an HTTP answer."""

    def answer(data: Mapping[str, Any]) -> Answer:
        try:
            done: Answer = _responses["json_response"](handler(data))
        except SsmError as error:
            done = _responses["error_response_json"](error.code, str(error), 400)
        return done

    return answer


def script_of(content: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, float]:
    """The shell script of a document with its parameters filled in, and its execution timeout in seconds."""
    declared = content.get("parameters") or {}
    if unknown := sorted(set(given) - set(declared)):
        raise SsmError("InvalidParameters", f"Parameters {unknown} are not defined in the document")
    values: dict[str, list[str]] = {}
    for name, declaration in declared.items():
        value = given.get(name, declaration.get("default"))
        if value is None:
            raise SsmError("InvalidParameters", f"Parameter {name} has no default and must be given")
        values[name] = [str(line) for line in value] if isinstance(value, list) else [str(value)]
        pattern = declaration.get("allowedPattern")
        if pattern and not all(re.search(pattern, line) for line in values[name]):
            raise SsmError("InvalidParameters", f"Parameter {name} does not match the allowed pattern {pattern}")
    lines: list[str] = []
    timeout_s = float(EXECUTION_TIMEOUT_S)
    for step in content.get("mainSteps") or []:
        inputs = step.get("inputs") or {}
        directory = " ".join(_filled(inputs.get("workingDirectory", ""), values))
        if directory:
            lines.append(f"cd {shlex.quote(directory)}")
        lines += _filled(inputs.get("runCommand", ""), values)
        timeout_s = float(" ".join(_filled(inputs.get("timeoutSeconds", EXECUTION_TIMEOUT_S), values)))
    return "\n".join(lines), timeout_s


def _filled(template: Any, values: Mapping[str, list[str]]) -> list[str]:
    """Lines with ``{{ name }}`` filled in; a line that is one parameter becomes all its lines."""
    lines: list[str] = []
    for line in template if isinstance(template, list) else [str(template)]:
        whole = re.fullmatch(r"\s*\{\{\s*([\w:]+)\s*\}\}\s*", line)
        if whole and whole[1] in values:
            lines += values[whole[1]]
        else:
            lines.append(re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: " ".join(values.get(m[1], [m[0]])), line))
    return [line for line in lines if line]


def paged(data: Mapping[str, Any], name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of records under ``name``, and the next one's token where there is one."""
    start, size = int(data.get("NextToken") or 0), min(int(data.get("MaxResults") or PAGE), PAGE)
    answer: dict[str, Any] = {name: records[start : start + size]}
    if start + size < len(records):
        answer["NextToken"] = str(start + size)
    return answer
