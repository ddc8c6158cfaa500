"""The machines behind instance ids: their units are real processes, and scripts run on them as by an SSM agent.

The units of a machine run the instance's command. As with systemd, a unit may stop while the machine lives on; what
kills its process from outside is the end of the machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.sandbox.emulator.units import Systemd, Unit, UnitSettings

SCRIPT_POLL_S = 0.1
"""How often a running script is looked at for its timeout and cancellation."""

log = logging.getLogger("sandbox.machines")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script went: ``ended_by`` is empty, "cancelled" or "timeout"."""

    exit_code: int
    out: str
    err: str
    ended_by: str = ""


class Machine:
    """One machine: its units are absent, running, or over."""

    def __init__(
        self,
        instance_id: str,
        command: str,
        env: Mapping[str, str],
        log_path: Path,
        *,
        unit_names: Sequence[str] = (),
        settings: UnitSettings | None = None,
    ) -> None:
        """Describe a machine that runs ``command`` in a shell; an empty one runs nothing.

        It does so once for each unit that is named, and once under no name, unknown to systemd, if none is. Targets
        among the names consist of the units.
        """
        self.instance_id = instance_id
        self.command = command
        self.env = dict(env)
        self.log_path = log_path
        self._runtime = log_path.with_suffix(".run") / "systemd"
        settings = settings or UnitSettings()
        targets = [name for name in unit_names if name.endswith(".target")]
        names = [name if name.endswith(".service") else f"{name}.service" for name in unit_names if name not in targets]
        self._units = [Unit(name, command, self.env, log_path, settings) for name in names or [""]] if command else []
        self.systemd = Systemd(self._units, targets, self._runtime)
        self._lock = threading.Lock()
        self._powered = False
        self._crashed = False
        self._scripts: set[subprocess.Popen[bytes]] = set()

    # --- what it is ---

    @property
    def pid(self) -> int | None:
        """The first unit's main process, None before boot and for machines that run nothing."""
        return self._units[0].pid if self._units else None

    @property
    def unit_active(self) -> bool:
        """Whether a unit runs."""
        return any(unit.active for unit in self._units)

    @property
    def agent_online(self) -> bool:
        """Whether an SSM agent on it would answer: it runs something, is booted, and has not ended."""
        return self._powered and bool(self.command) and not self.died

    @property
    def died(self) -> bool:
        """Whether the machine ended by itself: its host crashed, or its units failed and nobody had asked them to stop.

        A unit that exits with 0 is done, and its machine idles.
        """
        if not self._powered or not self._units:
            return False
        return self._crashed or all(unit.failed_by_itself for unit in self._units)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the first unit that has one; None while there is none."""
        return next((unit.exit_code for unit in self._units if unit.exit_code is not None), None)

    # --- what can be done to it ---

    def boot(self) -> None:
        """Power it on and start its units.

        Raises:
            OSError: A process cannot be started.
        """
        with self._lock:
            if self._powered:
                return
            self._powered = True
            for unit in self._units:
                unit.start()
        log.info("%s runs as process %s: %s", self.instance_id, self.pid, self.command)

    def ask_to_stop(self) -> None:
        """Shut down, as systemd does: its units are asked to stop; returns at once."""
        for unit in self._units:
            unit.stop(wait=False)

    def kill(self) -> None:
        """SIGKILL to everything on the machine, as a crash of the host would, whatever a unit was asked to do."""
        self._crashed = True
        for unit in self._units:
            unit.kill()
        self._kill_scripts()

    def power_off(self) -> None:
        """Kill what is left and be gone for good. It is called at every tick; what is off is left alone."""
        if not self._powered and not self.unit_active:
            return
        self._powered = False
        self.kill()

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
                # The machine has no file system of its own, but its /run/systemd.
                ["/bin/sh", "-c", script.replace("/run/systemd", str(self._runtime))],
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


class Machines:
    """Every machine of the sandbox by instance id."""

    def __init__(self, directory: Path) -> None:
        """Keep the machines' output in ``directory``, one file a machine."""
        self._directory = directory
        self._machines: dict[str, Machine] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        instance_id: str,
        command: str,
        env: Mapping[str, str],
        *,
        unit_names: Sequence[str] = (),
        settings: UnitSettings | None = None,
    ) -> Machine:
        """A new machine, not yet booted; systemd on it knows the units that are named."""
        log_path = self._directory / f"{instance_id}.log"
        machine = Machine(instance_id, command, env, log_path, unit_names=unit_names, settings=settings)
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
