"""The machines behind instance ids: real processes, started, told to stop, killed, and watched.

A machine runs one unit, the instance's command. As with systemd, the unit may stop while the machine lives on;
what kills the process from outside is the end of the machine.
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

log = logging.getLogger("sandbox.machines")

POLL_S = 0.02
"""How often a wait looks at a process again; well under any duration that matters here."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """How stopping a unit went: ``exit_code`` is None while it still runs, negative for a signal."""

    exit_code: int | None
    seconds: float


class Machine:
    """One machine: its unit is absent, running, or over."""

    def __init__(self, instance_id: str, command: str, env: Mapping[str, str], log_path: Path) -> None:
        """Describe a machine that runs ``command`` in a shell; an empty one runs nothing."""
        self.instance_id = instance_id
        self.command = command
        self.log_path = log_path
        self._env = dict(env)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._powered = False
        self._stop_asked = False
        self._swept = False

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
    def reachable(self) -> bool:
        """Whether the machine is up: booted, not terminated, its end not noticed."""
        return self._powered and not self.died

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
                    env=self._env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        log.info("%s runs as process %s: %s", self.instance_id, self.pid, self.command)

    def stop_unit(self, timeout_s: float) -> Stopped:
        """SIGTERM to the unit, and wait for its end as ``systemctl stop`` does."""
        self.ask_to_stop()
        began = time.monotonic()
        while self.unit_active and time.monotonic() - began < timeout_s:
            time.sleep(POLL_S)
        return Stopped(self.exit_code, time.monotonic() - began)

    def ask_to_stop(self) -> None:
        """SIGTERM to the unit; returns at once."""
        self._stop_asked = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything on the machine, as a crash of the host would."""
        self._signal(signal.SIGKILL)

    def power_off(self) -> None:
        """Kill what is left and be gone for good."""
        self._stop_asked = True
        self._signal(signal.SIGKILL)
        self._powered = False

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

    def add(self, instance_id: str, command: str, env: Mapping[str, str]) -> Machine:
        """A new machine, not yet booted."""
        machine = Machine(instance_id, command, env, self._directory / f"{instance_id}.log")
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


def _die_with_parent() -> list[str]:
    """A prefix that ties a process to the thread that starts it, where the system can.

    ``Machine.boot`` runs on the engine's thread, which lives as long as the emulator; so a killed emulator takes its
    instances along.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
