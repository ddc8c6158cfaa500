"""The stack's Run Command document: its script is run by a shell, with a systemctl and a docker made for the test."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_tools.cfn import Template

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
UNIT = "consumer.service"
PARAMETERS = {"unit": UNIT, "container": "", "executionTimeout": "900"}


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


CLOCK = """#!/bin/sh
now_s=$(cat {clock} 2>/dev/null || echo 0)
echo $((now_s + {pace_s})) > {clock}
echo "$now_s"
"""


def set_clock(directory: Path, pace_s: int) -> None:
    """Put a clock on the path that is so many seconds later each time it is read."""
    (directory / "date").write_text(CLOCK.format(clock=shlex.quote(str(directory / "clock")), pace_s=pace_s))
    (directory / "date").chmod(0o755)


def play(directory: Path, program: str, text: str) -> None:
    """Put a program of that name on the path; it writes down how it was called."""
    path = directory / program
    path.write_text(f'#!/bin/sh\necho "{program} $*" >> {shlex.quote(str(directory / "calls"))}\n{text}\n')
    path.chmod(0o755)


def begin(directory: Path, shell: str = "/bin/sh", **given_parameters: str) -> "subprocess.Popen[str]":
    """Begin the script as the SSM agent does, in a process group of its own; its /run/systemd is in the directory."""
    return subprocess.Popen(
        [shell, "-c", script(**given_parameters).replace("/run/systemd", f"{directory}/run/systemd")],
        env={"PATH": f"{directory}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(directory: Path, shell: str = "/bin/sh", **given_parameters: str) -> tuple[int, str, list[str]]:
    """Run the script: its exit code, what it printed, and the calls that it made. No time passes while it runs."""
    if not (directory / "date").exists():
        set_clock(directory, pace_s=0)
    with begin(directory, shell, **given_parameters) as process:
        out, err = process.communicate(timeout=20)
    calls = directory / "calls"
    return process.returncode, out + err, calls.read_text().splitlines() if calls.exists() else []


SYSTEMCTL = """
units={directory}/units
named() {{ # the units in memory that the names mean, or the names themselves
  for name; do
    case "$name" in
      *[*?]*) for file in "$units"/$name; do [ ! -e "$file" ] || printf '%s\\n' "${{file##*/}}"; done ;;
      *) printf '%s\\n' "$name" ;;
    esac
  done
}}
verb=$1
shift
case "$verb" in
  show)
    wanted=$(printf '%s' "${{1#--property=}}" | tr ',' '|')
    shift 2
    for unit in $(named "$@"); do
      {{ cat "$units/$unit" 2>/dev/null || echo LoadState=not-found; echo "Id=$unit"; }} | grep -E "^($wanted)="
      echo
    done
    ;;
  list-unit-files) cat {directory}/files 2>/dev/null ;;
  daemon-reload) exit {reload_code} ;;
  stop)
    cp -r {directory}/run {directory}/at-stop 2>/dev/null
    {stop}
    ;;
esac
"""
SERVICE = {
    "LoadState": "loaded", "ActiveState": "active", "Result": "success", "KillMode": "control-group",
    "KillSignal": "15", "MainPID": "999999999", "TimeoutStopUSec": "1min 30s", "ExecMainCode": "1",
    "ExecMainStatus": "0",
}  # fmt: skip


def instance(
    directory: Path, units: Mapping[str, Mapping[str, str]], stop: str = "exit 0", reload_code: int = 0
) -> None:
    """Put a systemd on the path that knows these units; what is not said of a unit is as SERVICE has it."""
    (directory / "units").mkdir()
    for name, has in units.items():
        (directory / "units" / name).write_text("".join(f"{key}={value}\n" for key, value in (SERVICE | has).items()))
    play(directory, "systemctl", SYSTEMCTL.format(directory=directory, stop=stop, reload_code=reload_code))


def drop_in(directory: Path, unit: str = UNIT) -> str | None:
    """The unit's runtime drop-in at the time of the stop; None if it had none."""
    path = directory / "at-stop/systemd/system" / f"{unit}.d" / "zzz-sluice-stop.conf"
    return path.read_text() if path.exists() else None


def drop_ins_left(directory: Path) -> list[Path]:
    """What the script left below the instance's /run."""
    return [*(directory / "run/systemd/system").glob("*")]


TOLD = f"sluice-stop unit={UNIT} kill_mode=control-group stop_timeout_s=90\n"


@pytest.mark.parametrize(
    ("unit", "code", "said", "stops"),
    [
        ({}, 0, f"{TOLD}unit {UNIT} has stopped: success", True),
        ({"Result": "exit-code"}, 0, f"{TOLD}unit {UNIT} has stopped: exit-code", True),
        ({"Result": "timeout"}, 137, f"{TOLD}unit {UNIT} was killed before it had finished: timeout", True),
        ({"Result": "oom-kill"}, 137, f"{TOLD}unit {UNIT} was killed before it had finished: oom-kill", True),
        ({"Result": "signal"}, 137, f"{TOLD}unit {UNIT} was killed before it had finished: signal", True),
        (
            {"ExecMainCode": "2", "ExecMainStatus": "9"},
            137, f"{TOLD}unit {UNIT} was killed before it had finished: success", True,
        ),
        (
            {"Result": "exit-code", "ExecMainStatus": "137"},
            137, f"{TOLD}unit {UNIT} was killed before it had finished: exit-code", True,
        ),
        ({"ExecMainCode": "2", "ExecMainStatus": "15"}, 0, f"{TOLD}unit {UNIT} has stopped: success", True),
        ({"Result": "exit-code", "ExecMainStatus": "143"}, 0, f"{TOLD}unit {UNIT} has stopped: exit-code", True),
        ({"ActiveState": "inactive", "Result": "timeout"}, 0, f"unit {UNIT} was not running", False),
        ({"ActiveState": "failed", "Result": "signal"}, 0, f"unit {UNIT} was not running", False),
        ({"ActiveState": "deactivating"}, 0, f"{TOLD}unit {UNIT} has stopped: success", True),
        ({"LoadState": "not-found"}, 5, f"there is no unit {UNIT} on this instance", False),
        ({"LoadState": "masked"}, 0, f"{TOLD}unit {UNIT} has stopped: success", True),
    ],
)  # fmt: skip
def test_unit_is_stopped_and_its_end_told(
    tmp_path: Path, unit: dict[str, str], code: int, said: str, stops: bool
) -> None:
    """Stopped, killed, not running and not there are told apart, whatever systemctl stop itself says."""
    instance(tmp_path, {UNIT: unit}, f"sed -i s/^ActiveState=.*/ActiveState=inactive/ {tmp_path}/units/*")
    exit_code, printed, calls = run(tmp_path)
    assert (exit_code, printed.strip()) == (code, said)
    assert (f"systemctl stop -- {UNIT}" in calls) is stops
    assert drop_ins_left(tmp_path) == []


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
def test_script_runs_in_the_shells_that_instances_have_for_sh(tmp_path: Path, shell: str) -> None:
    """Amazon Linux has bash for it, and Debian has dash."""
    instance(tmp_path, {UNIT: {}})
    assert run(tmp_path, shell)[:2] == (0, f"{TOLD}unit {UNIT} has stopped: success\n")


def test_stop_that_systemd_refuses_has_failed(tmp_path: Path) -> None:
    """Its consumer runs on, as it was."""
    instance(tmp_path, {UNIT: {}}, "exit 4")
    assert run(tmp_path)[:2] == (1, TOLD)
    assert drop_ins_left(tmp_path) == []


@pytest.mark.parametrize(
    ("unit", "time_s", "kill_mode", "stop_s"),
    [
        ({}, "900", "mixed", "895"),
        ({"KillMode": "mixed"}, "900", "mixed", "895"),
        ({"KillMode": "process"}, "900", "process", "895"),
        ({"TimeoutStopUSec": "20min"}, "900", "mixed", "1200"),
        ({"TimeoutStopUSec": "1h 1min 1.5s"}, "3", "mixed", "3661"),
        ({"TimeoutStopUSec": "1w 1d"}, "3", "mixed", "691200"),
        ({"TimeoutStopUSec": "infinity"}, "900", "mixed", "infinity"),
        ({"TimeoutStopUSec": "500ms"}, "3", "mixed", "1"),
        ({"MainPID": "0"}, "900", "control-group", "895"),
    ],
)
def test_service_has_the_commands_time_and_its_signal_for_the_main_process(
    tmp_path: Path, unit: dict[str, str], time_s: str, kill_mode: str, stop_s: str
) -> None:
    """A drop-in says so while the unit is stopped, and is read by systemd before the stop and after it."""
    instance(tmp_path, {UNIT: unit})
    calls = run(tmp_path, executionTimeout=time_s)[2]
    assert drop_in(tmp_path) == f"[Service]\nKillMode={kill_mode}\nTimeoutStopSec={stop_s}\nRestart=no\n"
    assert [call.split()[1] for call in calls if "show" not in call] == ["daemon-reload", "stop", "daemon-reload"]
    assert drop_ins_left(tmp_path) == []


@pytest.mark.parametrize(("time_s", "stop_s"), [("900", "795"), ("104", "1")])
def test_what_the_instance_took_to_begin_the_stop_is_not_given_to_the_service(
    tmp_path: Path, time_s: str, stop_s: str
) -> None:
    """So that a stop on a busy instance is reported before Run Command calls it late."""
    instance(tmp_path, {UNIT: {"TimeoutStopUSec": "500ms"}})
    set_clock(tmp_path, pace_s=100)
    run(tmp_path, executionTimeout=time_s)
    assert f"TimeoutStopSec={stop_s}\n" in drop_in(tmp_path)


HANDLES = "import signal, time; signal.signal(15, print); print(flush=True); time.sleep(60)"
IN_THE_BACKGROUND = "trap 'wait' TERM; sleep 60 & echo; wait"
SLEEPS = "import time; print(flush=True); time.sleep(60)"  # it tells once it is no longer the shell's fork
IN_THE_FOREGROUND = f"trap 'exit 0' TERM; {sys.executable} -c '{SLEEPS}'; :"


AS_A_SERVICE = ("env", "--default-signal=QUIT")  # whatever this process ignores: the tests may run in the background


@contextmanager
def main_process(directory: Path, command: Sequence[str]) -> Iterator[None]:
    """The unit's main process is a running command, which has printed a line."""
    with subprocess.Popen([*AS_A_SERVICE, *command], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        instance(directory, {UNIT: {"MainPID": str(process.pid)}})
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "kill_mode", "unchanged"),
    [
        ([sys.executable, "-c", HANDLES], "mixed", ""),
        (["/bin/sh", "-c", "echo; sleep 60; :"], "control-group", "not-handled"),
        (["/bin/dash", "-c", IN_THE_BACKGROUND], "mixed", ""),
        (["/bin/dash", "-c", IN_THE_FOREGROUND], "control-group", "shell"),
        (["/bin/bash", "-c", IN_THE_BACKGROUND], "mixed", ""),
        (["/bin/bash", "-c", IN_THE_FOREGROUND], "control-group", "shell"),
    ],
)
def test_signal_goes_to_all_processes_when_the_main_one_does_not_hand_it_on(
    tmp_path: Path, command: list[str], kill_mode: str, unchanged: str
) -> None:
    """Its end would have systemd kill the others, and a shell that waits for a program would wait for ever."""
    with main_process(tmp_path, command):
        printed = run(tmp_path)[1]
    assert f"KillMode={kill_mode}\n" in (drop_in(tmp_path) or "")
    assert printed.splitlines()[0] == TOLD.strip() + (f" unchanged={unchanged}" if unchanged else "")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
@pytest.mark.parametrize(
    ("text", "kill_mode", "unchanged"),
    [(IN_THE_BACKGROUND, "mixed", ""), (IN_THE_FOREGROUND, "control-group", " unchanged=shell")],
)
def test_shell_is_known_as_one_when_the_main_process_is_a_script(
    tmp_path: Path, shell: str, text: str, kill_mode: str, unchanged: str
) -> None:
    """`ExecStart=/opt/worker/run`: the process is then called by the script's name, and not by the shell's."""
    script_path = tmp_path / "worker"
    script_path.write_text(f"#!{shell}\n{text}\n")
    script_path.chmod(0o755)
    with main_process(tmp_path, [str(script_path)]):
        printed = run(tmp_path)[1]
    assert f"KillMode={kill_mode}\n" in (drop_in(tmp_path) or "")
    assert printed.splitlines()[0] == TOLD.strip() + unchanged


@pytest.mark.parametrize(
    ("writable", "told"),
    [
        (False, f"{TOLD.strip()} unchanged=no-drop-in"),
        (True, f"{TOLD}sluice-stop unit={UNIT} unchanged=no-reload"),
    ],
)
def test_script_says_so_when_it_cannot_change_how_systemd_stops(tmp_path: Path, writable: bool, told: str) -> None:
    """The unit is stopped all the same."""
    instance(tmp_path, {UNIT: {}}, reload_code=1)
    if not writable:
        (tmp_path / "run").write_text("this is no directory")
    code, printed, calls = run(tmp_path)
    assert (code, printed.strip()) == (0, f"{told}\nunit {UNIT} has stopped: success")
    assert f"systemctl stop -- {UNIT}" in calls


@pytest.mark.slow
def test_drop_in_is_taken_away_when_the_script_is_killed(tmp_path: Path) -> None:
    """Run Command kills a command that is cancelled, with its process group; the unit's stop goes on as it began."""
    instance(
        tmp_path,
        {UNIT: {}},
        f"sed -i s/^ActiveState=.*/ActiveState=deactivating/ {tmp_path}/units/*\necho > {tmp_path}/stopping; sleep 60",
    )
    with begin(tmp_path) as process:
        while not (tmp_path / "stopping").exists():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    time.sleep(1.5)
    assert len(drop_ins_left(tmp_path)) == 1
    unit = tmp_path / "units" / UNIT
    unit.write_text(unit.read_text().replace("deactivating", "inactive"))
    until = time.monotonic() + 10
    while drop_ins_left(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert drop_ins_left(tmp_path) == []


# --------------------------------------------------------------------------- several units


WORKERS: dict[str, dict[str, str]] = {
    "worker@1.service": {},
    "worker@2.service": {},
    "web.service": {},
    "amazon-ssm-agent.service": {},
    "snap.amazon-ssm-agent.amazon-ssm-agent.service": {},
    "workers.target": {"ConsistsOf": "worker@1.service", "Wants": "worker@2.service log.socket basic.target"},
}


@pytest.mark.parametrize(
    ("unit", "stopped"),
    [
        ("worker@1", ["worker@1.service"]),
        ("worker@1.service worker@2.service", ["worker@1.service", "worker@2.service"]),
        ("worker@1.service,worker@2.service", ["worker@1.service", "worker@2.service"]),
        ("worker@1, web", ["worker@1.service", "web.service"]),
        ("worker@*.service", ["worker@1.service", "worker@2.service"]),
        ("worker@?.service web.service", ["worker@1.service", "worker@2.service", "web.service"]),
        ("worker@1.service worker@*.service", ["worker@1.service", "worker@2.service"]),
        ("workers.target", ["workers.target", "worker@1.service", "worker@2.service"]),
        ("web.service *", ["web.service", "worker@1.service", "worker@2.service", "workers.target"]),
        ("gone.service worker@1.service", ["worker@1.service"]),
        ("gone@*.service worker@1.service", ["worker@1.service"]),
    ],
)
def test_units_are_stopped_together(tmp_path: Path, unit: str, stopped: list[str]) -> None:
    """By one systemctl stop, which stops them at the same time; each once, and never the agent that runs the script."""
    instance(tmp_path, WORKERS)
    code, printed, calls = run(tmp_path, unit=unit)
    (stop,) = [call.split()[3:] for call in calls if call.startswith("systemctl stop")]
    assert (code, stop) == (0, stopped), printed
    assert all(drop_in(tmp_path, one) for one in stopped if one.endswith(".service"))
    assert [line for line in printed.splitlines() if "has stopped" in line] == [
        f"unit {one} has stopped: success" for one in stop
    ]


@pytest.mark.parametrize(
    ("unit", "units", "files", "ends"),
    [
        (
            "worker@*.service", {"worker@1.service": {}, "worker@2.service": {"Result": "timeout"}},
            "", (137, "worker@2.service was killed"),
        ),
        ("worker@1 gone", {"worker@1.service": {}}, "", (0, "there is no unit gone.service on this instance")),
        ("gone.service lost@*.service", {}, "", (5, "there is no unit lost@*.service on this instance")),
        ("worker@*.service", {}, "worker@.service enabled", (0, "no unit worker@*.service was running")),
        ("worker@1 gone", {"worker@1.service": {"ActiveState": "failed"}}, "", (0, "worker@1.service was not running")),
    ],
)  # fmt: skip
def test_result_of_several_units_is_the_worst(
    tmp_path: Path, unit: str, units: dict[str, dict[str, str]], files: str, ends: tuple[int, str]
) -> None:
    """One that was killed, and missing only if none of them is there."""
    (tmp_path / "files").write_text(files)
    instance(tmp_path, units)
    code, printed, _ = run(tmp_path, unit=unit)
    assert (code, ends[1] in printed) == (ends[0], True), printed


def test_instance_without_systemd_is_told_from_one_without_the_unit(tmp_path: Path) -> None:
    """Then nobody knows whether a consumer runs, and the stop has failed."""
    for program in ("tr", "date"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    done = subprocess.run(
        ["/bin/sh", "-c", script()], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "there is no systemctl on this instance, so no unit can be stopped\n")


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
        *(
            ({"inspect": said, "inspect_code": 1}, 5, "there is no container worker on this instance", False)
            for said in (
                "Error: No such container: worker",
                "Error response from daemon: No such container: worker",
                "error: no such object: worker",
                "Error: No such image or container: worker",
            )
        ),
        ({"ended": "", "stop_code": 1}, 1, "", True),
    ],
)  # fmt: skip
def test_container_is_stopped_and_its_end_told(
    tmp_path: Path, container: dict[str, Any], code: int, said: str, stops: bool
) -> None:
    """It has all of the command's time but five seconds; Docker alone would kill it after ten."""
    play(tmp_path, "docker", docker(**container))
    exit_code, printed, calls = run(tmp_path, container="worker")
    assert (exit_code, printed.strip()) == (code, said)
    assert ("docker stop --time 895 worker" in calls) is stops


@pytest.mark.parametrize(
    "said",
    [
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "Got permission denied while trying to connect to the Docker daemon socket",
        "Error response from daemon: client version 1.52 is too new. Maximum supported API version is 1.43",
        "Error response from daemon: context deadline exceeded",
    ],
)
def test_container_may_be_at_work_when_docker_does_not_say_that_there_is_none(tmp_path: Path, said: str) -> None:
    """The stop has failed: an instance that has no such container would be released as one with nothing to finish."""
    play(tmp_path, "docker", docker(inspect=said, inspect_code=1))
    exit_code, printed, calls = run(tmp_path, container="worker")
    assert exit_code == 1
    assert said in printed
    assert "docker stop" not in calls


def test_instance_without_docker_is_told_from_one_without_the_container(tmp_path: Path) -> None:
    """Another program may run the consumer's container."""
    for program in ("tr", "date"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    done = subprocess.run(
        ["/bin/sh", "-c", script(container="worker")],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "docker" in done.stderr


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
    "a -H",
    "a, -H",
    " a",
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
        assert not any(word.startswith("-") for word in value.replace(",", " ").split())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit", "consumer.service"), ("unit", "worker@1.service"), ("unit", "dev-\\x2dsda.swap"),
        ("unit", "worker@1.service worker@2.service"), ("unit", "worker@1,worker@2, web"), ("unit", "worker@*.service"),
        ("unit", "workers.target"), ("container", ""), ("container", "worker_1.a-b"),
        ("executionTimeout", "1"), ("executionTimeout", "172800"),
    ],
)  # fmt: skip
def test_value_is_allowed_when_a_fleet_may_have_it(name: str, value: str) -> None:
    """What the settings allow, the document takes."""
    assert allowed(name, value)


def test_document_is_the_stacks_own_and_keeps_its_name_when_it_changes() -> None:
    """By its name the drainer finds it and may run it; a document with a name can only get a new version."""
    assert (properties()["Name"], properties()["UpdateMethod"]) == ("sluice-stop", "NewVersion")
    assert properties()["TargetType"] == "/AWS::EC2::Instance"
