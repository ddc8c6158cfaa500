"""AWS CLI command lines, read by botocore's service models as the CLI reads them: for what Sluice tells to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

GLOBAL = {"--region", "--profile", "--endpoint-url", "--query", "--output", "--cli-binary-format"}


@dataclass(frozen=True)
class Command:
    """One call: `operation` is its name in the API."""

    service: str
    operation: str
    parameters: dict[str, Any]
    options: dict[str, str]

    def run(self, client: Callable[[str], Any]) -> Any:
        """Make the call with a boto3 client of the service."""
        return getattr(client(self.service), xform_name(self.operation))(**self.parameters)


@cache
def _operations(service: str) -> dict[str, OperationModel]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


def parse(line: str) -> Command:
    """Read a command line.

    Raises:
        ValueError: the CLI would not take it; the message says why.
    """
    name, *words = shlex.split(line)
    if name != "aws":
        raise ValueError(f"{line!r} does not begin with aws")
    options: dict[str, str] = {}
    rest: list[str] = []
    while words:
        word = words.pop(0)
        if word in GLOBAL:
            options[word] = words.pop(0)
        else:
            rest.append(word)
    service, command, *arguments = rest
    if command not in _operations(service):
        raise ValueError(f"{service} has no command {command!r}")
    operation = _operations(service)[command]
    if (service, command) == ("lambda", "invoke"):
        arguments.pop()  # the file for the answer, which the CLI asks for
    given: dict[str, Any] = {}
    if operation.input_shape is not None:
        given = _parameters(arguments, operation.input_shape)
        report = ParamValidator().validate(given, operation.input_shape)
        if report.has_errors():
            raise ValueError(f"{line!r}: {report.generate_report()}")
    return Command(service, operation.name, given, options)


def _parameters(arguments: list[str], shape: Any) -> dict[str, Any]:
    flags = {f"--{xform_name(name, '-')}": (name, member) for name, member in shape.members.items()}
    given: dict[str, Any] = {}
    while arguments:
        flag = arguments.pop(0)
        if flag.startswith("--no-") and f"--{flag.removeprefix('--no-')}" in flags:
            name, member = flags[f"--{flag.removeprefix('--no-')}"]
            given[name] = False
            continue
        if flag not in flags:
            raise ValueError(f"there is no option {flag}")
        name, member = flags[flag]
        values: list[str] = []
        while arguments and not arguments[0].startswith("--"):
            values.append(arguments.pop(0))
        given[name] = _value(values, member)
    return given


def _value(values: list[str], shape: Shape) -> Any:
    kind = shape.type_name
    if kind == "boolean":
        return True
    if kind == "list":
        member: Any = shape.member  # type: ignore[attr-defined]
        return [_one(value, member) for value in values]
    if len(values) != 1:
        raise ValueError(f"{shape.name} takes one value, not {values}")
    return _one(values[0], shape)


def _one(text: str, shape: Shape) -> Any:
    kind = shape.type_name
    if kind in {"integer", "long"}:
        return int(text)
    if kind in {"map", "structure"}:
        return json.loads(text) if text.startswith("{") else _shorthand(text, shape)
    return text


def _shorthand(text: str, shape: Any) -> dict[str, Any]:
    """The CLI's shorthand: Key=a,Values=b,c."""
    found: dict[str, Any] = {}
    key = ""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            key = name
            kind = shape.members[key].type_name if shape.type_name == "structure" else ""
            found[key] = [value] if kind == "list" else value == "true" if kind == "boolean" else value
        else:
            found[key].append(part)
    return found
