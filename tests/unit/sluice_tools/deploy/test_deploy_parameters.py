"""Parameters of a deployment: as typed, of a file, and as the template takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice_tools.cfn import Template
from sluice_tools.deploy.build import template_file
from sluice_tools.deploy.parameters import ParametersError, for_change_set, given

TEMPLATE = Template.load(template_file("template.yaml"))
NEEDED = {
    "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "GroupName": "workers",
    "TargetWaitSeconds": "60",
}
SETS = [f"{name}={value}" for name, value in NEEDED.items()]


@pytest.mark.parametrize("form", ["object", "list"])
def test_values_are_read_when_a_file_gives_them(form: str, tmp_path: Path) -> None:
    """An object or CloudFormation's own list, with a byte-order mark; --set wins, and settings stay JSON."""
    values = {"Mode": "act", "TickSeconds": 5, "Settings": {"drain": {"deadline_s": 600}}}
    pairs = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps(values if form == "object" else pairs), encoding="utf-8-sig")

    found = {name: value for name, (value, _) in given(["Mode=shadow", "GroupName=a=b"], file).items()}

    assert found == {
        "Mode": "shadow", "TickSeconds": "5", "Settings": '{"drain": {"deadline_s": 600}}', "GroupName": "a=b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "each entry"),
        ("3", "must be an object"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_file_is_named_when_it_cannot_be_used(text: str, words: str, tmp_path: Path) -> None:
    """With what is wrong."""
    file = tmp_path / "parameters.json"
    file.write_text(text)

    with pytest.raises(ParametersError, match=words) as refused:
        given([], file)
    assert refused.value.problems[0].startswith("--parameters: ")


def test_option_is_named_when_it_has_no_value() -> None:
    """And a file that is missing."""
    with pytest.raises(ParametersError, match="--set Mode: must be Name=value"):
        given(["Mode"], None)
    with pytest.raises(ParametersError, match="cannot be read: No such file"):
        given([], Path("nowhere.json"))


def test_change_set_keeps_parameters_when_the_stack_has_them() -> None:
    """Those given are new, the stack's others stay, and what the stack does not know yet has its default."""
    chosen = for_change_set(TEMPLATE, given(["Mode=act"], None), [*NEEDED, "Mode", "LogLevel", "RemovedSince"])

    assert {one["ParameterKey"]: one.get("ParameterValue") for one in chosen} == {
        **dict.fromkeys(NEEDED), "Mode": "act", "LogLevel": None,
    }  # fmt: skip
    assert all(one.get("UsePreviousValue") for one in chosen if one["ParameterKey"] != "Mode")


def test_problems_are_all_named_when_a_new_stack_lacks_parameters() -> None:
    """Each with the option that gives it, and what would be right."""
    with pytest.raises(ParametersError) as refused:
        for_change_set(TEMPLATE, given(["Mode=active", "Colour=red", *SETS[:1]], None), None)

    text = "\n".join(refused.value.problems)
    assert "--set Mode: 'active' is none of ['shadow', 'act', 'paused']" in text
    assert "--set Colour: is no parameter of the template; it has QueueUrl, " in text
    assert "--set GroupName=...: must be given. Name of the Auto Scaling group" in text
    assert "--set TargetWaitSeconds=...: must be given." in text
    assert "QueueUrl=" not in text


def test_change_set_has_what_was_given_when_the_stack_is_new() -> None:
    """The defaults are CloudFormation's to fill in."""
    chosen = for_change_set(TEMPLATE, given(SETS, None), None)

    assert {one["ParameterKey"]: one["ParameterValue"] for one in chosen} == NEEDED
