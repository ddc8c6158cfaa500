"""The machines behind instance ids: real processes that are started, asked to stop, killed, and watched.

A machine runs one unit, the instance's command. As with systemd, the unit may stop while the machine lives on;
what kills the process from outside is the end of the machine. A stop that takes longer than the unit's TimeoutStopSec
ends with SIGKILL (systemd.service(5)).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT_POLL_S = 0.1
"""How often a running script is looked at for its timeout and cancellation."""

CLEAN_SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE})
"""Ends by these are clean, and no failure (systemd.service(5), SuccessExitStatus)."""

log = logging.getLogger("sandbox.machines")

STOP_TIMEOUT_S = 90.0
"""DefaultTimeoutStopSec of systemd (systemd-system.conf(5))."""

POLL_S = 0.02
"""How often a wait looks at a process again; well under any duration that matters here."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script went: ``ended_by`` is empty, "cancelled" or "timeout"."""

    exit_code: int
    out: str
    err: str
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit that systemd on a machine knows: its name, none if empty, and its TimeoutStopSec."""

    name: str = ""
    stop_timeout_s: float = STOP_TIMEOUT_S

    def is_called(self, name: str) -> bool:
        """Whether systemctl means this unit; without a suffix it means a service (systemctl(1))."""
        return bool(self.name) and name.removesuffix(".service") == self.name.removesuffix(".service")


class Machine:
    """One machine: its unit is absent, running, or over."""

    def __init__(self, instance_id: str, command: str, env: Mapping[str, str], log_path: Path, unit: Unit) -> None:
        """Describe a machine that runs ``command`` in a shell; an empty one runs nothing."""
        self.instance_id = instance_id
        self.command = command
        self.env = dict(env)
        self.log_path = log_path
        self.unit = unit
        self._stop_timed_out = False
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._powered = False
        self._stop_asked = False
        self._swept = False
        self._scripts: set[subprocess.Popen[bytes]] = set()

    # --- what it is ---

    @property
    def pid(self) -> int | None:
        """The process id (and group) of the unit, None before boot and for machines that run nothing."""
        return None if self._process is None else self._process.pid

    @property
    def unit_active(self) -> bool:
        """Whether the unit's process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def agent_online(self) -> bool:
        """Whether an SSM agent on it would answer: it runs something, is booted, and has not ended."""
        return self._powered and bool(self.command) and not self.died

    @property
    def died(self) -> bool:
        """Whether the machine ended by itself: its process was killed or failed, and nobody had asked it to stop.

        A unit that exits with 0 is done, and its machine idles.
        """
        if not self._powered or self._process is None or self._stop_asked:
            return False
        return self._process.poll() not in (None, 0)

    @property
    def exit_code(self) -> int | None:
        """The unit's exit code, None while there is none."""
        return None if self._process is None else self._process.poll()

    # --- what can be done to it ---

    def boot(self) -> None:
        """Power it on and start its unit.

        Raises:
            OSError: The process cannot be started.
        """
        with self._lock:
            if self._powered:
                return
            self._powered = True
            if not self.command:
                return
            with self.log_path.open("ab") as output:
                self._process = subprocess.Popen(
                    [*_die_with_parent(), "/bin/sh", "-c", self.command],
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        log.info("%s runs as process %s: %s", self.instance_id, self.pid, self.command)

    @property
    def unit_result(self) -> str:
        """The unit's Result, as ``systemctl show`` tells it: success, timeout, exit-code or signal."""
        code = self.exit_code
        if self._stop_timed_out:
            return "timeout"
        if code is None or code == 0 or -code in CLEAN_SIGNALS:
            return "success"
        return "signal" if code < 0 else "exit-code"

    def stop_unit(self, *, wait: bool = True) -> None:
        """SIGTERM to the unit, and SIGKILL once its TimeoutStopSec is over; returns when it is gone, or at once."""
        if not self.unit_active:
            return
        self.ask_to_stop()
        ending = threading.Thread(target=self._end_stop, name=f"sandbox-stop-{self.instance_id}", daemon=True)
        ending.start()
        if wait:
            ending.join()

    def _end_stop(self) -> None:
        deadline = time.monotonic() + self.unit.stop_timeout_s
        while self.unit_active:
            if time.monotonic() > deadline:
                self._stop_timed_out = True
                self._signal(signal.SIGKILL)
                return
            time.sleep(POLL_S)

    def ask_to_stop(self) -> None:
        """SIGTERM to the unit; returns at once."""
        self._stop_asked = not self.died  # who has died hears nothing, and stays dead
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything on the machine, as a crash of the host would."""
        self._signal(signal.SIGKILL)
        self._kill_scripts()

    def power_off(self) -> None:
        """Kill what is left and be gone for good."""
        self._stop_asked = True
        self._signal(signal.SIGKILL)
        self._powered = False
        self._kill_scripts()

    def run(
        self, script: str, timeout_s: float, extra_env: Mapping[str, str], cancelled: threading.Event
    ) -> Ran | None:
        """Run a shell script on the machine, as its SSM agent does.

        Returns:
            How it went, or None if the machine ended before the script did.
        """
        with self._lock:
            if not self.agent_online:
                return None
            process = subprocess.Popen(
                ["/bin/sh", "-c", script],
                env={**self.env, **extra_env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._scripts.add(process)
        ended_by = ""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=SCRIPT_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    if not ended_by and cancelled.is_set():
                        ended_by = "cancelled"
                    elif not ended_by and time.monotonic() > deadline:
                        ended_by = "timeout"
                    if ended_by:
                        _kill_group(process)
        finally:
            self._scripts.discard(process)
        if not self.agent_online:
            return None
        return Ran(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), ended_by)

    def _kill_scripts(self) -> None:
        for process in list(self._scripts):
            _kill_group(process)

    def _signal(self, number: int) -> None:
        with self._lock:
            process = self._process
            if process is None or self._swept:
                return
            # The group outlives its leader when the command left children behind: they are the machine's as well.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            if number == signal.SIGKILL:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
                    # Nothing of the group is left, and its number may be another's from now on.
                    self._swept = True


class Machines:
    """Every machine of the sandbox by instance id."""

    def __init__(self, directory: Path) -> None:
        """Keep the machines' output in ``directory``, one file a machine."""
        self._directory = directory
        self._machines: dict[str, Machine] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def add(self, instance_id: str, command: str, env: Mapping[str, str], unit: Unit | None = None) -> Machine:
        """A new machine, not yet booted; without a unit systemd knows none on it."""
        machine = Machine(instance_id, command, env, self._directory / f"{instance_id}.log", unit or Unit())
        self._machines[instance_id] = machine
        return machine

    def get(self, instance_id: str) -> Machine | None:
        """The machine of that id, gone ones included."""
        return self._machines.get(instance_id)

    def all(self) -> dict[str, Machine]:
        """Every machine by id, gone ones included."""
        return dict(self._machines)

    def close(self) -> None:
        """Power all of them off."""
        for machine in self.all().values():
            machine.power_off()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a script and all it started; its leader has not been waited for, so the number is still its own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> list[str]:
    """A prefix that ties a process to the thread that starts it, where the system can.

    ``Machine.boot`` runs on the engine's thread, which lives as long as the emulator; so a killed emulator takes its
    instances along.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
