"""The runner of `sam local invoke`: what it writes, what it runs, and what it makes of the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from sluice_tools import local_invoke
from sluice_tools.local_invoke import (
    EVENTS,
    FUNCTIONS,
    LocalInvokeError,
    command,
    events,
    read_result,
    sam_env,
    write_template,
)

BUILT = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  CoreLayer:
    Type: L
    Properties: {ContentUri: CoreLayer, CompatibleRuntimes: [python3.13], LayerName: !Sub "${AWS::StackName}-core"}
  DepsLayer: {Type: L, Properties: {ContentUri: DepsLayer, CompatibleRuntimes: [python3.13]}}
  Planner: {Type: F, Properties: {CodeUri: Planner}}
  Drainer: {Type: F, Properties: {CodeUri: Drainer}}
  Redriver: {Type: F, Properties: {CodeUri: Redriver}}
  Operator: {Type: F, Properties: {CodeUri: Operator}}
  Console: {Type: F, Properties: {CodeUri: Console}}
  Onboarding: {Type: F, Properties: {CodeUri: Onboarding}}
"""


class Deployed:
    """Lambda with a stack's functions."""

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's own name
        """As boto3."""
        return {
            "FunctionName": FunctionName,
            "Handler": "app.handler",
            "Runtime": "python3.13",
            "Timeout": 30,
            "MemorySize": 512,
            "Environment": {"Variables": {"SLUICE_TABLE": "table-of-" + FunctionName}},
        }


def test_template_has_the_deployed_environment_when_written(tmp_path: Path) -> None:
    """Functions of the build, with what the deployed ones have in their environment, and the endpoint."""
    (tmp_path / "template.yaml").write_text(BUILT)

    path = write_template(tmp_path, "blue", "http://127.0.0.1:1", Deployed())

    found = yaml.safe_load(path.read_text())["Resources"]
    assert set(found) == {"CoreLayer", "DepsLayer", *FUNCTIONS.values()}
    assert path.parent == tmp_path
    for function, name in FUNCTIONS.items():
        properties = found[name]["Properties"]
        assert properties["CodeUri"] == name
        assert properties["Layers"] == [{"Ref": "CoreLayer"}, {"Ref": "DepsLayer"}]
        assert properties["Environment"]["Variables"] == {
            "SLUICE_TABLE": f"table-of-blue-{function}",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        }


def test_every_payload_has_a_function_when_invoked() -> None:
    """The first word of a payload's name says whose it is."""
    for event in events():
        line = command(Path("t.yaml"), event)
        assert line[3] == FUNCTIONS[event.stem.partition("-")[0]]
        assert "--skip-pull-image" in line
    assert len(events()) > 20
    console = {path.stem for path in EVENTS.glob("console-*.json")}
    assert len(console) > 3
    assert {path.stem for path in events(("console",))} == console


def test_template_decides_when_the_shell_has_the_same_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """SAM CLI lets the shell go before the template, but the host's endpoint is none in a container."""
    for name in ("AWS_ENDPOINT_URL", "SLUICE_TABLE", "POWERTOOLS_SERVICE_NAME", "TICK_SECONDS", "LOG_LEVEL"):
        monkeypatch.setenv(name, "the shell's")

    env = sam_env("http://127.0.0.1:1")

    assert "the shell's" not in env.values()
    assert env["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:1"
    assert "PATH" in env


@pytest.mark.parametrize(
    ("output", "answer", "error"),
    [
        ('some print\n{"a": 1}\n', {"a": 1}, None),
        ('"<div>html</div>"', "<div>html</div>", None),
        ("null", None, None),
        ('{"errorType": "KeyError", "errorMessage": "x", "stackTrace": []}', ..., "KeyError: x"),
        ('{"error": "event: must be ..."}', {"error": "event: must be ..."}, None),
    ],
)
def test_answer_is_read_when_printed(output: str, answer: Any, error: str | None) -> None:
    """The last line is the answer; only Lambda's own error shape is a failure."""
    result = read_result("planner-operator", 0, output, "", 1.0)

    assert result.error == error
    assert answer is ... or result.answer == answer


@pytest.mark.parametrize("output", ["", "no json at all"])
def test_invocation_fails_when_nothing_was_answered(output: str) -> None:
    """The end of SAM CLI's log says why."""
    with pytest.raises(LocalInvokeError, match=r"(?s)planner-operator.*exit code 1.*the image is gone"):
        read_result("planner-operator", 1, output, "lines\nthe image is gone", 1.0)


def test_lack_is_named_when_docker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Docker gets a sentence rather than a stack trace."""
    monkeypatch.setenv("PATH", "/nonexistent")

    assert local_invoke.missing() == "no Docker engine is running"
