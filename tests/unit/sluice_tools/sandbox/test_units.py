"""The sandbox's systemd: real processes, signalled and killed by its rules."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice_tools.sandbox.emulator import units
from sluice_tools.sandbox.emulator.machines import Machine
from sluice_tools.sandbox.emulator.units import UnitSettings, seconds, timespan
from tests.support.waiting import eventually

NAME = "consumer.service"
LOOP = "while :; do sleep 0.02; done"
FAMILY = f"""
trap 'echo main; exit 0' TERM
setsid sh -c 'trap "echo child; exit 0" TERM; echo begun; {LOOP}' &
{LOOP}
"""
"""A main process, and a child in a session of its own."""
STUBBORN = f"trap '' TERM; echo begun; {LOOP}"
type Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make machines that are booted, and end them."""
    machines: list[Machine] = []

    def make_one(command: str, *names: str, **settings: object) -> Machine:
        env = {"PATH": os.environ["PATH"]}
        unit_settings = UnitSettings(**settings)  # type: ignore[arg-type]
        machine = Machine(
            "i-1", command, env, tmp_path / "i-1.log", unit_names=names or (NAME,), settings=unit_settings
        )
        machine.boot()
        machines.append(machine)
        return machine

    yield make_one
    for machine in machines:
        machine.power_off()


def lines(machine: Machine) -> list[str]:
    """What the machine's units have printed, without the shell's own words on a program of its that was ended."""
    return [line for line in machine.log_path.read_text().split() if line not in {"Terminated", "Killed"}]


def shown(machine: Machine, *names: str, unit: str = NAME) -> list[str]:
    """Properties of a unit."""
    return machine.systemd.systemctl(["show", f"--property={','.join(names)}", "--value", "--", unit])[1].split("\n")


def test_no_process_is_looked_at_when_a_machine_that_is_off_is_switched_off_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox with many instances that have ended takes no longer for each of them."""
    machine = make("exec sleep 1000")
    machine.power_off()
    assert not machine.unit_active
    monkeypatch.setattr(units, "_family", lambda *_: pytest.fail("processes were looked at"))

    machine.power_off()


@pytest.mark.parametrize(
    ("kill_mode", "heard", "left"),
    [("control-group", ["child", "main"], False), ("mixed", ["main"], False), ("process", ["main"], True)],
)
def test_stop_signals_whom_the_kill_mode_names(make: Make, kill_mode: str, heard: list[str], left: bool) -> None:
    """All of the control group, or the main process alone; what is left is killed at once, or left alone."""
    machine = make(FAMILY, kill_mode=kill_mode)
    eventually(lambda: lines(machine) == ["begun"])
    (unit,) = machine.systemd.units.values()
    assert len(unit.control_group()) >= 2
    assert machine.systemd.systemctl(["stop", "--", NAME]) == (0, "", "")
    assert sorted(lines(machine)[1:]) == heard
    assert bool(unit.control_group()) is left
    assert shown(machine, "ActiveState", "Result", "MainPID") == ["inactive", "success", "0"]


def test_unit_is_killed_when_its_stop_timeout_is_over(make: Make) -> None:
    """Systemctl stop is content all the same."""
    machine = make(STUBBORN, stop_timeout_s=0.1)
    eventually(lambda: lines(machine) == ["begun"])
    assert machine.systemd.systemctl(["stop", "consumer"])[0] == 0
    names = ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
    assert sorted(shown(machine, *names)) == sorted(["failed", "timeout", "2", "9"])


def test_machine_has_died_when_its_host_crashes_amid_a_stop(make: Make) -> None:
    """What ended its units was not the stop that they were asked for; nothing answers on it any more."""
    machine = make(STUBBORN)
    eventually(lambda: lines(machine) == ["begun"])
    assert machine.systemd.systemctl(["stop", "--no-block", "--", NAME])[0] == 0
    assert (machine.died, machine.agent_online) == (False, True)
    machine.kill()
    assert (machine.died, machine.agent_online) == (True, False)


def test_unit_stops_by_a_drop_in_once_systemd_has_read_it(make: Make) -> None:
    """A runtime drop-in changes nothing before daemon-reload, and nothing after the one that follows its removal."""
    machine = make(LOOP, stop_timeout_s=90.0)
    directory = machine.log_path.with_suffix(".run") / "systemd/system" / f"{NAME}.d"
    directory.mkdir(parents=True)
    (directory / "a.conf").write_text("[Service]\nKillMode=process\nTimeoutStopSec=1min 30s\n")
    (directory / "zzz.conf").write_text("[Service]\nKillMode=mixed\nTimeoutStopSec=900\nRestart=no\n")
    asked = ("KillMode", "TimeoutStopUSec")
    seen = [shown(machine, *asked)]
    machine.systemd.systemctl(["daemon-reload"])
    seen.append(shown(machine, *asked))
    for path in directory.iterdir():
        path.unlink()
    seen.append(shown(machine, *asked))
    machine.systemd.systemctl(["daemon-reload"])
    seen.append(shown(machine, *asked))
    assert seen == [["control-group", "1min 30s"], *[["mixed", "15min"]] * 2, ["control-group", "1min 30s"]]


@pytest.mark.parametrize(
    ("restart", "command", "again"),
    [
        ("no", "echo ran; exit 1", False),
        ("on-failure", "echo ran; exit 1", True),
        ("on-failure", "echo ran; exit 0", False),
        ("always", "echo ran; exit 0", True),
    ],
)
def test_unit_is_started_again_when_its_file_says_so(make: Make, restart: str, command: str, again: bool) -> None:
    """A stop ends that; a unit that failed and is not started again ends the machine."""
    machine = make(command, restart=restart)
    if again:
        eventually(lambda: len(lines(machine)) > 1)
        assert machine.agent_online
        machine.systemd.systemctl(["stop", NAME])
    eventually(lambda: not machine.unit_active)
    ran = len(lines(machine))
    assert (ran > 1) is again
    assert machine.died is (not again and command.endswith("1"))


def test_rest_of_a_unit_ends_with_its_main_process(make: Make) -> None:
    """Also when nobody has asked it to stop."""
    machine = make(FAMILY)
    eventually(lambda: lines(machine) == ["begun"])
    os.kill(machine.pid or 0, signal.SIGKILL)
    eventually(lambda: lines(machine) == ["begun", "child"])
    eventually(lambda: machine.died)


def test_machine_has_the_units_that_its_tag_names(make: Make) -> None:
    """Each runs the command; a target consists of them, and a pattern stands for those that run."""
    machine = make(f"trap 'exit 0' TERM; {LOOP}", "worker@1.service", "worker@2.service", "workers.target")
    systemctl = machine.systemd.systemctl
    assert systemctl(["stop", "worker@3"]) == (
        5,
        "",
        "Failed to stop worker@3.service: Unit worker@3.service not loaded.",
    )
    assert shown(machine, "LoadState", unit="worker@3.service") == ["not-found"]
    assert systemctl(["list-unit-files", "--no-legend", "--", "worker@*.service"])[1] == "worker@.service enabled"
    assert shown(machine, "ConsistsOf", unit="workers.target") == ["worker@1.service worker@2.service"]
    assert shown(machine, "Id", unit="worker@*.service") == ["worker@1.service", "", "worker@2.service"]
    systemctl(["stop", "worker@1"])
    assert shown(machine, "Id", unit="worker@*.service") == ["worker@2.service"]
    assert machine.unit_active
    systemctl(["stop", "workers.target"])
    assert not machine.unit_active
    assert machine.agent_online


def test_machine_that_is_killed_is_gone_with_all_of_its_units(make: Make) -> None:
    """A crash of its host: nothing is started again, and it has died."""
    machine = make(f"echo begun; {LOOP}", "a.service", "b.service", restart="always")
    eventually(lambda: len(lines(machine)) == 2)
    groups = [unit.control_group() for unit in machine.systemd.units.values()]
    machine.kill()
    assert machine.died
    assert not any(unit.control_group() for unit in machine.systemd.units.values())
    assert all(groups)


@pytest.mark.parametrize(
    ("text", "value_s"), [("1min 30s", 90), ("900", 900), ("infinity", float("inf")), ("1h", 3600), ("1.5s", 1.5)]
)
def test_times_are_systemds(text: str, value_s: float) -> None:
    """Read and printed."""
    assert seconds(text) == value_s
    assert seconds(timespan(value_s)) == value_s
