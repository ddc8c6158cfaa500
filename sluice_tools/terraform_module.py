"""The Terraform modules in terraform/, made from the templates' own parameters and outputs: `make terraform`.

A module is one aws_cloudformation_stack over a template of a release, so that Terraform deploys what `sam deploy` does.
Its variables are the template's parameters in Terraform's spelling, with the same types, defaults and bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_tools.cfn import Template

ROOT = Path(__file__).resolve().parents[1]
MADE = "# Made from {template} by `make terraform`: change the template and not this file.\n"
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
"""Named roles, and the nested fleet behind a transform. A template without these needs none, and none does harm."""
SWITCH = ["false", "true"]


@dataclass(frozen=True, slots=True)
class Module:
    """One module.

    Attributes:
        folder: where it is, from the repository's root.
        template: the template that it deploys.
        stack_name: the default of `stack_name`, or None where each stack needs a name of its own.
    """

    folder: str
    template: str
    stack_name: str | None


MODULES = (
    Module("terraform", "template.yaml", "sluice"),
    Module("terraform/modules/fleet", "fleet.yaml", None),
    Module("terraform/modules/queue", "queue.yaml", None),
)


def snake(name: str) -> str:
    """`TargetWaitSeconds` as a Terraform name: `target_wait_seconds`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def is_switch(parameter: Mapping[str, Any]) -> bool:
    """Whether a parameter is `true` or `false`."""
    return sorted(map(str, parameter.get("AllowedValues", []))) == SWITCH


def type_of(name: str, parameter: Mapping[str, Any]) -> str:
    """A parameter's type in Terraform. `Settings` is an object there, which the module writes as JSON."""
    if name == "Settings":
        return "any"
    if is_switch(parameter):
        return "bool"
    return "number" if parameter["Type"] == "Number" else "string"


def default_of(name: str, parameter: Mapping[str, Any]) -> str | None:
    """A parameter's default as a Terraform expression, or None where it must be given."""
    if "Default" not in parameter:
        return None
    if name == "Settings":
        return str(parameter["Default"])
    if is_switch(parameter) or parameter["Type"] == "Number":
        return str(parameter["Default"])
    return quoted(str(parameter["Default"]))


def value_of(name: str, parameter: Mapping[str, Any]) -> str:
    """What the module passes to CloudFormation, whose parameters are texts."""
    variable = f"var.{snake(name)}"
    if name == "Settings":
        return f"jsonencode({variable})"
    return variable if type_of(name, parameter) == "string" else f"tostring({variable})"


def quoted(text: str) -> str:
    """A text as a Terraform literal."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def condition_of(name: str, parameter: Mapping[str, Any]) -> str | None:
    """What a variable must meet, as an expression, or None."""
    variable, kind = f"var.{snake(name)}", type_of(name, parameter)
    if kind in {"any", "bool"}:
        return None
    if allowed := parameter.get("AllowedValues"):
        listed = ", ".join(str(each) if kind == "number" else quoted(str(each)) for each in allowed)
        return f"contains([{listed}], {variable})"
    if pattern := parameter.get("AllowedPattern"):
        return f"can(regex({quoted(pattern)}, {variable}))"
    bounds = [
        f"{variable} {sign} {parameter[key]}"
        for key, sign in (("MinValue", ">="), ("MaxValue", "<="))
        if key in parameter
    ]
    return " && ".join(bounds) or None


def message_of(name: str, parameter: Mapping[str, Any]) -> str:
    """The text that refuses a value. Terraform asks for a sentence with a capital and a full stop."""
    words = parameter.get("ConstraintDescription") or "must be one of: " + ", ".join(
        str(each) or '""' for each in parameter["AllowedValues"]
    )
    return f"The {snake(name)} {words}."


def variables_text(module: Module) -> str:
    """variables.tf."""
    parts = [MADE.format(template=module.template), *_own_variables(module)]
    for name, parameter in _template(module).parameters.items():
        lines = [f'variable "{snake(name)}" {{', f"  type        = {type_of(name, parameter)}"]
        if (default := default_of(name, parameter)) is not None:
            lines.append(f"  default     = {default}")
        lines.append(f"  description = {quoted(_described(name, parameter))}")
        if condition := condition_of(name, parameter):
            lines += [
                "",
                "  validation {",
                f"    condition     = {condition}",
                f"    error_message = {quoted(message_of(name, parameter))}",
                "  }",
            ]
        parts.append("\n".join([*lines, "}"]) + "\n")
    return "\n".join(parts)


def _described(name: str, parameter: Mapping[str, Any]) -> str:
    text = str(parameter["Description"]).strip()
    if name == "Settings":
        return (
            "The fleet's other options, such as { drain = { deadline_s = 600 } }. docs/settings.md lists all options."
        )
    return text


OWN_VARIABLES = {
    "template_url": (
        "string",
        None,
        (
            "URL in S3 of {template} of a release. It must change with each release: Terraform compares the URL, and"
            " not the text behind it."
        ),
    ),
    "stack_name": ("string", None, "Name of the CloudFormation stack, at most 40 characters."),
    "deployer_role_arn": (
        "string",
        "null",
        (
            "ARN of a role that CloudFormation takes for the deployment, such as one with docs/deployer-policy.json. By"
            " default it acts as who runs Terraform."
        ),
    ),
    "tags": ("map(string)", "{}", "Tags of the stack, which CloudFormation sets on the resources that it makes."),
}
"""The variables that are no parameter of a template: type, default and description."""


def _own_variables(module: Module) -> Iterator[str]:
    for name, (kind, default, text) in OWN_VARIABLES.items():
        value = quoted(module.stack_name) if name == "stack_name" and module.stack_name else default
        lines = [f'variable "{name}" {{', f"  type        = {kind}"]
        lines += [f"  default     = {value}"] if value is not None else []
        yield "\n".join([*lines, f"  description = {quoted(text.format(template=module.template))}", "}"]) + "\n"


def main_text(module: Module) -> str:
    """main.tf."""
    parameters = _template(module).parameters
    longest = max(map(len, parameters))
    given = "\n".join(f"    {name.ljust(longest)} = {value_of(name, each)}" for name, each in parameters.items())
    listed = ", ".join(map(quoted, CAPABILITIES))
    return f"""\
{MADE.format(template=module.template)}
resource "aws_cloudformation_stack" "this" {{
  name         = var.stack_name
  template_url = var.template_url
  capabilities = [{listed}]
  iam_role_arn = var.deployer_role_arn
  tags         = var.tags

  parameters = {{
{given}
  }}

  # A fleet's checks wait for up to five minutes, and the stack makes about sixty resources.
  timeouts {{
    create = "30m"
    update = "30m"
    delete = "30m"
  }}
}}
"""


def outputs_text(module: Module) -> str:
    """outputs.tf: the template's outputs, and the stack's name for modules that build on it."""
    resource = "aws_cloudformation_stack.this"
    found = {"stack_name": (f"{resource}.name", "Name of the CloudFormation stack.")}
    for name, output in _template(module).body["Outputs"].items():
        value = f"lookup({resource}.outputs, {quoted(name)}, null)"
        found[snake(name)] = (value, str(output["Description"]).strip())
    parts = [
        f'output "{name}" {{\n  value       = {value}\n  description = {quoted(text)}\n}}\n'
        for name, (value, text) in found.items()
    ]
    return "\n".join([MADE.format(template=module.template), *parts])


def _template(module: Module) -> Template:
    return Template.load(ROOT / module.template)


def files() -> dict[Path, str]:
    """Every file that is made, with its text."""
    made = {}
    for module in MODULES:
        folder = ROOT / module.folder
        made[folder / "variables.tf"] = variables_text(module)
        made[folder / "main.tf"] = main_text(module)
        made[folder / "outputs.tf"] = outputs_text(module)
    return made


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
