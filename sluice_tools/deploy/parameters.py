"""A stack's parameters: as typed and as files give them, checked against the template before AWS is asked."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice_tools.cfn import Template, refused


class ParametersError(Exception):
    """Parameters that cannot be used; each of `problems` begins with the option or the file."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def given(sets: Sequence[str], file: Path | None) -> dict[str, tuple[str, str]]:
    """Values by parameter, each with the option or file that gave it; `--set` wins over the file.

    Args:
        sets: what was given with --set, each Name=value.
        file: JSON: an object of values by name, or CloudFormation's list of ParameterKey and ParameterValue.

    Raises:
        ParametersError: one has another form.
    """
    values = {} if file is None else {name: (value, f"{file}: {name}") for name, value in _of_file(file).items()}
    problems = [f"--set {one}: must be Name=value, such as Mode=act" for one in sets if not one.partition("=")[1]]
    if problems:
        raise ParametersError(*problems)
    for one in sets:
        name, _, value = one.partition("=")
        values[name] = (value, f"--set {name}")
    return values


def _of_file(file: Path) -> dict[str, str]:
    try:
        read = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParametersError(f"--parameters: {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ParametersError(f"--parameters: {file} is no JSON: {error}") from error
    if isinstance(read, list):
        if not all(isinstance(one, dict) and {"ParameterKey", "ParameterValue"} <= one.keys() for one in read):
            raise ParametersError(f"--parameters: each entry of {file} must have ParameterKey and ParameterValue")
        read = {str(one["ParameterKey"]): one["ParameterValue"] for one in read}
    if not isinstance(read, dict):
        raise ParametersError(f'--parameters: {file} must be an object such as {{"Mode": "act"}}')
    return {name: _text(value) for name, value in read.items()}


def _text(value: Any) -> str:
    """A JSON value as CloudFormation takes it: an object, such as Settings, stays JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def for_change_set(
    template: Template, values: Mapping[str, tuple[str, str]], deployed: Iterable[str] | None
) -> list[dict[str, Any]]:
    """The parameters of a change set: those given, and of a deployed stack the others as they are.

    Args:
        template: what is to be deployed.
        values: from `given`.
        deployed: the names of the deployed stack's parameters; None if there is no stack.

    Raises:
        ParametersError: one is unknown, refused by the template, or missing.
    """
    known, kept = template.parameters, set(deployed or ())
    problems = []
    for name, (value, where) in values.items():
        if name not in known:
            problems.append(f"{where}: is no parameter of the template; it has {', '.join(known)}")
        elif wrong := refused(known[name], value):
            problems.append(f"{where}: {known[name].get('ConstraintDescription') or wrong} (got {value!r})")
    missing = [name for name, spec in known.items() if "Default" not in spec and name not in {*values, *kept}]
    problems += [f"--set {name}=...: must be given. {known[name].get('Description', '')}".strip() for name in missing]
    if problems:
        raise ParametersError(*problems)
    return [
        {"ParameterKey": name, "ParameterValue": values[name][0]}
        if name in values
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in known
        if name in values or name in kept
    ]
