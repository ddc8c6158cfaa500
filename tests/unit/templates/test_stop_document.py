"""The stack's Run Command document: its script is run by a shell, with a systemctl and a docker made for the test."""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.cfn import Template

ROOT = Path(__file__).resolve().parents[3]
PARAMETERS = {"unit": "consumer.service", "container": "", "executionTimeout": "900"}


@cache
def properties() -> dict[str, Any]:
    """The resource's properties."""
    asked = {"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "GroupName": "workers"}
    return Template.load(ROOT / "template.yaml").resolve(asked | {"TargetWaitSeconds": "60"}).properties("StopDocument")


def document() -> dict[str, Any]:
    """The document's content."""
    content: dict[str, Any] = properties()["Content"]
    return content


def script(**given_parameters: str) -> str:
    """The document's script with parameters put in as text, as Systems Manager puts them in."""
    (step,) = document()["mainSteps"]
    (text,) = step["inputs"]["runCommand"]
    for name, value in (PARAMETERS | given_parameters).items():
        text = text.replace("{{ " + name + " }}", value)
    assert "{{" not in text
    return str(text)


def play(directory: Path, program: str, text: str) -> None:
    """Put a program of that name on the path; it writes down how it was called."""
    path = directory / program
    path.write_text(f'#!/bin/sh\necho "{program} $*" >> {shlex.quote(str(directory / "calls"))}\n{text}\n')
    path.chmod(0o755)


def run(directory: Path, **given_parameters: str) -> tuple[int, str, list[str]]:
    """Run the script: its exit code, what it printed, and the calls that it made."""
    done = subprocess.run(
        ["/bin/sh", "-c", script(**given_parameters)],
        env={"PATH": f"{directory}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    calls = directory / "calls"
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []


def systemctl(load: str = "loaded", active: str = "active", result: str = "success", stop_code: int = 0) -> str:
    """A systemctl whose one unit is like that."""
    return f"""
case "$*" in
  *--property=LoadState*) echo {load} ;;
  *--property=ActiveState*) echo {active} ;;
  *--property=Result*) echo {result} ;;
  stop*) exit {stop_code} ;;
esac"""


@pytest.mark.parametrize(
    ("unit", "code", "said", "stops"),
    [
        ({}, 0, "unit consumer.service has stopped: success", True),
        ({"result": "exit-code"}, 0, "unit consumer.service has stopped: exit-code", True),
        ({"result": "timeout"}, 137, "unit consumer.service was killed before it had finished: timeout", True),
        ({"result": "oom-kill"}, 137, "unit consumer.service was killed before it had finished: oom-kill", True),
        ({"result": "signal"}, 137, "unit consumer.service was killed before it had finished: signal", True),
        ({"active": "inactive", "result": "timeout"}, 0, "unit consumer.service was not running", False),
        ({"active": "failed", "result": "signal"}, 0, "unit consumer.service was not running", False),
        ({"active": "deactivating"}, 0, "unit consumer.service has stopped: success", True),
        ({"load": "not-found"}, 5, "there is no unit consumer.service on this instance", False),
        ({"stop_code": 4}, 1, "", True),
    ],
)
def test_unit_is_stopped_and_its_end_told(
    tmp_path: Path, unit: dict[str, Any], code: int, said: str, stops: bool
) -> None:
    """Stopped, killed, not running and not there are told apart, whatever systemctl stop itself says."""
    play(tmp_path, "systemctl", systemctl(**unit))
    exit_code, printed, calls = run(tmp_path)
    assert (exit_code, printed.strip()) == (code, said)
    assert ("systemctl stop -- consumer.service" in calls) is stops


def docker(inspect: str = '"Running": true', inspect_code: int = 0, ended: str = "0", stop_code: int = 0) -> str:
    """A docker whose one container is like that."""
    return f"""
case "$1" in
  inspect) echo '[{{"State": {{{inspect}}}}}]'; exit {inspect_code} ;;
  wait) echo {ended} ;;
  stop) exit {stop_code} ;;
esac"""


@pytest.mark.parametrize(
    ("container", "code", "said", "stops"),
    [
        ({}, 0, "container worker has stopped: exit code 0", True),
        ({"ended": "143"}, 0, "container worker has stopped: exit code 143", True),
        ({"ended": "137"}, 137, "container worker was killed before it had finished", True),
        ({"inspect": '"Running": false'}, 0, "container worker was not running", False),
        ({"inspect_code": 1}, 5, "there is no container worker on this instance", False),
        ({"ended": "", "stop_code": 1}, 1, "", True),
    ],
)
def test_container_is_stopped_and_its_end_told(
    tmp_path: Path, container: dict[str, Any], code: int, said: str, stops: bool
) -> None:
    """It has all of the command's time but five seconds; Docker alone would kill it after ten."""
    play(tmp_path, "docker", docker(**container))
    exit_code, printed, calls = run(tmp_path, container="worker")
    assert (exit_code, printed.strip()) == (code, said)
    assert ("docker stop --time 895 worker" in calls) is stops


def test_container_has_a_second_when_the_command_has_less_than_six(tmp_path: Path) -> None:
    """A margin never takes all of the time."""
    play(tmp_path, "docker", docker())
    assert run(tmp_path, container="worker", executionTimeout="3")[2].count("docker stop --time 1 worker") == 1


# --------------------------------------------------------------------------- nothing else can be run by it


def allowed(name: str, value: str) -> bool:
    """Whether Systems Manager takes a value for a parameter."""
    return re.search(document()["parameters"][name]["allowedPattern"], value) is not None


HOSTILE = [
    "a'; reboot; '",
    "a b",
    "$(reboot)",
    "`reboot`",
    "a\nreboot",
    "a;b",
    "a|b",
    "a>b",
    'a"b',
    "-H.service",
    "{{ x }}",
]


@pytest.mark.parametrize("name", list(PARAMETERS))
@pytest.mark.parametrize("value", HOSTILE)
def test_value_is_refused_when_a_shell_could_read_it(name: str, value: str) -> None:
    """Values are put into the script as text: what could end the quotes, or be an option, never gets there."""
    assert not allowed(name, value)


@given(
    value=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40),
    name=st.sampled_from([*PARAMETERS]),
)
def test_allowed_value_is_one_word_in_quotes(name: str, value: str) -> None:
    """Whatever the patterns allow, a shell reads it between single quotes as itself."""
    if allowed(name, value):
        assert shlex.split(f"x='{value}'") == [f"x={value}"]
        assert not value.startswith("-")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit", "consumer.service"), ("unit", "worker@1.service"), ("unit", "dev-\\x2dsda.swap"),
        ("container", ""), ("container", "worker_1.a-b"), ("executionTimeout", "1"), ("executionTimeout", "172800"),
    ],
)  # fmt: skip
def test_value_is_allowed_when_a_fleet_may_have_it(name: str, value: str) -> None:
    """What the settings allow, the document takes."""
    assert allowed(name, value)


def test_document_is_the_stacks_own_and_keeps_its_name_when_it_changes() -> None:
    """By its name the drainer finds it and may run it; a document with a name can only get a new version."""
    assert (properties()["Name"], properties()["UpdateMethod"]) == ("sluice-stop", "NewVersion")
    assert properties()["TargetType"] == "/AWS::EC2::Instance"
