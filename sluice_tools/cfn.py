"""CloudFormation templates as plain values, and what they come to under given parameters.

For looking into the project's own templates without an account: parameters with their defaults and bounds, conditions,
and the intrinsic functions that the templates use. A reference to a resource becomes `<LogicalId>`, to an attribute
of one `<LogicalId.Attribute>`, since neither is known before deployment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "sluice",
    "AWS::StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice/0a1b2c3d",
}
ABSENT = object()  # AWS::NoValue: what carries it is left out

# Functions of their resolved argument.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "GetAtt": lambda name: f"<{name if isinstance(name, str) else '.'.join(name)}>",
    "Split": lambda argument: str(argument[1]).split(argument[0]),
    "Select": lambda argument: argument[1][int(argument[0])],
    "Join": lambda argument: argument[0].join(map(str, argument[1])),
    "Base64": str,  # as text: it is for reading
    "Equals": lambda argument: str(argument[0]) == str(argument[1]),
    "Not": lambda argument: not argument[0],
    "And": all,
    "Or": any,
}


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # it ships no types
    """YAML with CloudFormation's short forms."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """`!Sub x` -> `{"Fn::Sub": x}`; of a list or mapping likewise."""
    if isinstance(node, yaml.ScalarNode):
        argument = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        argument = loader.construct_sequence(node, deep=True)
    else:
        argument = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": argument}


_Loader.add_multi_constructor("!", _long_form)


class ParameterError(ValueError):
    """Parameters that CloudFormation would refuse; the message names each."""


@dataclass(frozen=True, slots=True)
class Template:
    """One template as written."""

    body: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> Template:
        """Read a YAML template; short forms such as `!Sub` become their long ones, merge keys are merged."""
        return cls(yaml.load(path.read_text(), _Loader))  # noqa: S506 - a SafeLoader's child

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The declared parameters, in order."""
        return dict(self.body.get("Parameters", {}))

    @property
    def bounds(self) -> list[tuple[str, str]]:
        """Each parameter at each of its bounds, or at each value that is allowed, as text."""
        return [
            (name, str(value))
            for name, spec in self.parameters.items()
            for value in spec.get("AllowedValues")
            or [spec[bound] for bound in ("MinValue", "MaxValue") if bound in spec]
        ]

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources as written."""
        return dict(self.body["Resources"])

    def resolve(self, given: Mapping[str, str] | None = None, **pseudo: str) -> Resolved:
        """The template under these parameters and its defaults; `pseudo` gives another AccountId, Region and so on.

        Raises:
            ParameterError: a value is missing, unknown or out of bounds.
        """
        values = {name: str(spec["Default"]) for name, spec in self.parameters.items() if "Default" in spec}
        values |= {name: str(value) for name, value in (given or {}).items()}
        problems = [f"{name}: is no parameter" for name in values if name not in self.parameters]
        for name, spec in self.parameters.items():
            if name not in values:
                problems.append(f"{name}: is required")
            elif problem := refused(spec, values[name]):
                problems.append(f"{name}: {problem}")
        if problems:
            raise ParameterError("; ".join(problems))
        return Resolved(self.body, values | PSEUDO | {f"AWS::{name}": value for name, value in pseudo.items()})


def refused(spec: Mapping[str, Any], value: str) -> str | None:
    """What CloudFormation would have against a parameter's value, or None."""
    if "AllowedValues" in spec and value not in map(str, spec["AllowedValues"]):
        return f"{value!r} is none of {spec['AllowedValues']}"
    if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], value):
        return f"{value!r} does not match {spec['AllowedPattern']}"
    if spec["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return f"{value!r} is no number"
        if not float(spec.get("MinValue", "-inf")) <= number <= float(spec.get("MaxValue", "inf")):
            return f"{value} is not within {spec.get('MinValue')} and {spec.get('MaxValue')}"
    return None


class Resolved:
    """A template under one set of parameters."""

    def __init__(self, body: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._body = body
        self._values = values
        self.conditions = {name: bool(self.value(node)) for name, node in body.get("Conditions", {}).items()}
        self.resources: dict[str, dict[str, Any]] = {
            name: self.value(resource)
            for name, resource in body["Resources"].items()
            if "Condition" not in resource or self.conditions[resource["Condition"]]
        }

    def properties(self, logical_id: str) -> dict[str, Any]:
        """A resource's properties."""
        return dict(self.resources[logical_id].get("Properties", {}))

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every resource of a type: logical id -> properties."""
        return {name: self.properties(name) for name, found in self.resources.items() if found["Type"] == kind}

    def value(self, node: Any) -> Any:
        """A node of the template, resolved; ABSENT for AWS::NoValue."""
        if isinstance(node, list):
            return [found for found in map(self.value, node) if found is not ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, argument), *_ = node.items()
            if key == "Ref":
                return self._ref(argument)
            if key == "Condition" and isinstance(argument, str) and argument in self._body.get("Conditions", {}):
                return self.value(self._body["Conditions"][argument])
            if key.startswith("Fn::"):
                return self._function(key.removeprefix("Fn::"), argument)
        return {key: found for key, child in node.items() if (found := self.value(child)) is not ABSENT}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        return self._values.get(name, f"<{name}>")

    def _function(self, name: str, argument: Any) -> Any:
        if name == "If":
            condition, yes, no = argument
            return self.value(yes if self.conditions[condition] else no)
        if name == "Sub":
            text, extra = (argument, {}) if isinstance(argument, str) else argument
            return self._sub(text, self.value(extra))
        if name == "FindInMap":
            mapping, key, second = self.value(argument)
            return self._body["Mappings"][mapping][key][second]
        if name in FUNCTIONS:
            return FUNCTIONS[name](self.value(argument))
        raise NotImplementedError(f"Fn::{name}: the project's templates did not use it so far")

    def _sub(self, text: str, extra: Mapping[str, Any]) -> str:
        def one(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            return str(extra[name] if name in extra else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", one, text)
