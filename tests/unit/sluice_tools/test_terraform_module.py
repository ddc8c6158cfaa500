"""The Terraform modules agree with the templates that they deploy, as a parser of Terraform's language reads them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest

from sluice_tools.cfn import Template
from sluice_tools.terraform_module import MODULES, ROOT, Module, files, snake
from tests.support.pasted import blocks

EXAMPLE = ROOT / "terraform/examples/orders/main.tf"
OWN = {"template_url", "stack_name", "deployer_role_arn", "tags"}
NOTES = {"__is_block__", "__comments__", "__inline_comments__"}
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.template)


def bare(value: Any) -> Any:
    """What the parser reads, with names and texts without their quotes."""
    if isinstance(value, dict):
        return {bare(key): bare(each) for key, each in value.items() if key not in NOTES}
    if isinstance(value, list):
        return [bare(each) for each in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return json.loads(value.replace("$${", "${"))
    return value


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A file's blocks by their kind."""
    return dict(bare(hcl2.loads(path.read_text())))


def named(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    """A file's blocks of one kind, by their name."""
    return {name: body for block in read(path).get(kind, []) for name, body in block.items()}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_when_it_is_made_anew(path: Path) -> None:
    """It is what `make terraform` writes now: a changed template changes it."""
    assert path.read_text() == files()[path]


@each_module
def test_variables_when_they_are_compared_with_the_parameters(module: Module) -> None:
    """One for each parameter and none besides the module's own, with its type, default and text."""
    variables = named(ROOT / module.folder / "variables.tf", "variable")
    parameters = Template.load(ROOT / module.template).parameters
    given = {"bool": lambda value: str(value).lower(), "number": str, "string": str, "any": lambda _: "{}"}

    assert set(variables) == OWN | {snake(name) for name in parameters}
    for name, parameter in parameters.items():
        variable = variables[snake(name)]
        kind = variable["type"].strip("${}")
        assert kind == ("any" if name == "Settings" else kind)
        assert (kind == "number") == (parameter["Type"] == "Number")
        assert ("default" in variable) == ("Default" in parameter)
        if "Default" in parameter:
            assert given[kind](variable["default"]) == str(parameter["Default"]).lower().replace("info", "INFO")
        assert variable["description"]
        bound = {"AllowedPattern", "AllowedValues", "MinValue", "MaxValue"} & set(parameter)
        assert ("validation" in variable) == (bool(bound) and kind not in {"bool", "any"})


@each_module
def test_stack_when_its_parameters_are_compared(module: Module) -> None:
    """Each parameter gets its own variable, as a text, and the capabilities are those of samconfig.toml."""
    (resource,) = read(ROOT / module.folder / "main.tf")["resource"]
    stack = resource["aws_cloudformation_stack"]["this"]
    parameters = Template.load(ROOT / module.template).parameters

    assert set(stack["parameters"]) == set(parameters)
    for name, value in stack["parameters"].items():
        assert re.findall(r"var\.(\w+)", value) == [snake(name)]
    assert stack["template_url"] == "${var.template_url}"
    for capability in stack["capabilities"]:
        assert capability in (ROOT / "samconfig.toml").read_text()


@each_module
def test_outputs_when_they_are_compared_with_the_templates(module: Module) -> None:
    """Each output of the template is one of the module."""
    outputs = named(ROOT / module.folder / "outputs.tf", "output")
    there = Template.load(ROOT / module.template).body["Outputs"]

    assert set(outputs) == {"stack_name"} | {snake(name) for name in there}
    for name in there:
        assert f'"{name}"' in outputs[snake(name)]["value"]


def test_example_when_its_modules_are_called() -> None:
    """It gives every variable that must be given and none that is not there, and uses outputs that are."""
    folders = {str((EXAMPLE.parent / body["source"]).resolve()): body for body in named(EXAMPLE, "module").values()}
    text = EXAMPLE.read_text()

    assert set(folders) == {str(ROOT / module.folder) for module in MODULES}
    for folder, body in folders.items():
        variables = named(Path(folder) / "variables.tf", "variable")
        assert set(body) - {"source"} <= set(variables)
        assert {name for name, each in variables.items() if "default" not in each} <= set(body)
    outputs = named(ROOT / "terraform/outputs.tf", "output")
    assert set(re.findall(r"module\.sluice\.(\w+)", text)) <= set(outputs)
    assert set(re.findall(r"var\.(\w+)", text)) == set(named(EXAMPLE, "variable"))


def test_example_when_sluice_sets_the_capacity() -> None:
    """Each of its groups leaves the desired capacity to Sluice, and keeps the tag by which Sluice may use it."""
    groups = [
        body
        for resource in read(EXAMPLE)["resource"]
        for kind, named_bodies in resource.items()
        for body in named_bodies.values()
        if kind == "aws_autoscaling_group"
    ]

    assert len(groups) == 2
    for group in groups:
        (lifecycle,) = group["lifecycle"]
        (tag,) = group["tag"]
        assert "${desired_capacity}" in lifecycle["ignore_changes"] or "desired_capacity" in lifecycle["ignore_changes"]
        assert (tag["key"], tag["propagate_at_launch"]) == ("sluice:stack", True)
        assert "desired_capacity" not in group


def test_cdk_example_when_it_is_read() -> None:
    """It is Python, and each parameter that it gives is one of the template; those without a default are given."""
    (block,) = [each for each in blocks(ROOT / "docs/deploying.md") if each.language == "python"]
    calls = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]
    (stack,) = [call for call in calls if ast.unparse(call.func).endswith("CfnStack")]
    (given,) = [each.value for each in stack.keywords if each.arg == "parameters"]
    assert isinstance(given, ast.Dict)
    names = {ast.literal_eval(key) for key in given.keys if key is not None}
    parameters = Template.load(ROOT / "template.yaml").parameters

    assert names <= set(parameters)
    assert {name for name, each in parameters.items() if "Default" not in each} <= names


def test_quick_create_link_when_it_is_read() -> None:
    """Its parameters are the template's, and the template's URL is the reader's own."""
    text = (ROOT / "docs/deploying.md").read_text()
    names = set(re.findall(r"param_(\w+)=", text))

    assert names
    assert names <= set(Template.load(ROOT / "template.yaml").parameters)


def test_publishing_metadata_when_it_is_checked() -> None:
    """The fields that the Serverless Application Repository asks for, within its bounds.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/
    serverless-sam-template-publishing-applications-metadata-properties.html
    """
    metadata = Template.load(ROOT / "template.yaml").body["Metadata"]["AWS::ServerlessRepo::Application"]

    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", metadata["Name"])
    assert 1 <= len(metadata["Description"]) <= 256
    assert re.fullmatch(r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", metadata["Author"])
    assert metadata["SpdxLicenseId"] == "Apache-2.0"
    assert len(metadata["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+\-_:/@]{1,127}", label) for label in metadata["Labels"])
