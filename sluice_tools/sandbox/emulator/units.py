"""systemd on the sandbox's machines: units that are real processes, started, signalled and killed as systemd does it.

A unit's control group is what its main process has started, wherever that went. KillMode says whether SIGTERM goes to
all of it or to the main process alone. What outlives the main process, or TimeoutStopSec, is killed. daemon-reload
reads a unit's settings again, with the runtime drop-ins below ``/run/systemd/system``.

systemd's pages: systemctl(1), systemd.service(5) (TimeoutStopSec, Restart, exit codes), systemd.kill(5),
systemd.unit(5) (drop-ins), systemd.time(7).
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

CLEAN_SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE})
"""Ends by these are clean, and no failure (systemd.service(5), SuccessExitStatus)."""
STOP_TIMEOUT_S = 90.0
"""DefaultTimeoutStopSec of systemd (systemd-system.conf(5))."""
RESTART_S = 0.1
"""RestartSec of systemd (systemd.service(5))."""
POLL_S = 0.02
"""How often a wait looks at a process again; well under any duration that matters here."""
ENDED = ("Z", "X")
"""States of processes that have ended (proc_pid_stat(5))."""
KILL_MODES = ("control-group", "mixed", "process")
MARK = "SLUICE_SANDBOX_UNIT"
"""The variable by which the processes of a unit are known: they inherit it."""
SUFFIXES = (".service", ".target", ".socket", ".timer", ".path", ".scope", ".slice", ".mount", ".swap", ".device")
TIMES_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "": 1.0}
"""systemd.time(7)."""

log = logging.getLogger("sandbox.units")
_generations = itertools.count()


@dataclass(frozen=True, slots=True)
class UnitSettings:
    """What a unit's file says of how it ends."""

    kill_mode: str = "control-group"
    stop_timeout_s: float = STOP_TIMEOUT_S  # inf: none
    restart: str = "no"

    def with_drop_ins(self, directory: Path) -> UnitSettings:
        """These settings, and over them those of the drop-ins in a directory, in the order of their names."""
        settings = self
        for path in sorted(directory.glob("*.conf")) if directory.is_dir() else ():
            values = dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))
            settings = replace(
                settings,
                kill_mode=values.get("KillMode", settings.kill_mode),
                stop_timeout_s=seconds(values["TimeoutStopSec"]) if "TimeoutStopSec" in values else self.stop_timeout_s,
                restart=values.get("Restart", settings.restart),
            )
        return settings


class Unit:
    """One service: its main process, its control group, and how it ended."""

    def __init__(self, name: str, command: str, env: Mapping[str, str], log_path: Path, settings: UnitSettings) -> None:
        """Describe a service that runs ``command`` in a shell."""
        self.name = name
        self.settings = self.file = settings
        self._command = command
        self._env = dict(env)
        self._log_path = log_path
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = ""
        self._stopping = False  # systemctl stop, or the machine shuts down: nothing is restarted
        self._killed_by_systemd = False
        self._over = threading.Event()  # nothing of it is left, and it is not started again
        self._over.set()

    # --- what it is ---

    @property
    def pid(self) -> int | None:
        """Its main process, or its last one; None before it was started."""
        return None if self._process is None else self._process.pid

    @property
    def main(self) -> int:
        """The main process; 0 while there is none."""
        return self._process.pid if self._process is not None and self.main_runs else 0

    @property
    def main_runs(self) -> bool:
        """Whether the main process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def active(self) -> bool:
        """Whether any of it runs, or will be started again."""
        return not self._over.is_set()

    @property
    def active_state(self) -> str:
        """As ``systemctl show`` has it."""
        if not self.active:
            return "inactive" if self.result == "success" else "failed"
        if self._stopping:
            return "deactivating"
        return "active" if self.main_runs else "activating"

    @property
    def exit_code(self) -> int | None:
        """The main process's exit code, negative if a signal ended it; None while there is none."""
        return None if self._process is None else self._process.poll()

    @property
    def result(self) -> str:
        """As ``systemctl show`` has it: success, timeout, exit-code or signal."""
        code = self.exit_code
        if self._killed_by_systemd:
            return "timeout"
        if code is None or code == 0 or -code in CLEAN_SIGNALS:
            return "success"
        return "signal" if code < 0 else "exit-code"

    @property
    def failed_by_itself(self) -> bool:
        """Whether its main process ended with a failure that nobody asked for, and is not started again."""
        return not self.active and not self._stopping and self.exit_code not in {None, 0}

    def shown(self) -> dict[str, str]:
        """Its properties, as ``systemctl show`` has them."""
        code = self.exit_code
        return {
            "Id": self.name,
            "LoadState": "loaded",
            "ActiveState": self.active_state,
            "Result": self.result,
            "KillMode": self.settings.kill_mode,
            "KillSignal": "15",
            "MainPID": str(self.main),
            "TimeoutStopUSec": timespan(self.settings.stop_timeout_s),
            "Restart": self.settings.restart,
            # CLD_EXITED is 1 and CLD_KILLED is 2 (sigaction(2))
            "ExecMainCode": "0" if code is None else "1" if code >= 0 else "2",
            "ExecMainStatus": str(abs(code or 0)),
        }

    # --- what can be done to it ---

    def start(self) -> None:
        """Start its main process; what follows from its end is seen to.

        Raises:
            OSError: The process cannot be started.
        """
        with self._lock:
            if self.active:
                return
            self._stopping = self._killed_by_systemd = False
            self._spawn()
            self._over.clear()
        threading.Thread(target=self._watch, name=f"sandbox-unit-{self.main}", daemon=True).start()

    def reload(self, directory: Path) -> None:
        """Read its settings again, with the drop-ins in a directory."""
        self.settings = self.file.with_drop_ins(directory)

    def stop(self, *, wait: bool = True) -> None:
        """Ask it to stop, and kill it after TimeoutStopSec; returns when all of it is gone, or at once."""
        with self._lock:
            if self.active and not self._stopping:
                self._stopping = True
                self._signal(signal.SIGTERM)
                limit = threading.Thread(target=self._limit, name=f"sandbox-stop-{self.main}", daemon=True)
                limit.start()
        if wait:
            self._over.wait()

    def kill(self) -> None:
        """SIGKILL to all of it, and no restart: its machine has crashed, or is switched off."""
        with self._lock:
            self.settings = self.file = UnitSettings(stop_timeout_s=0.0)
            self._signal(signal.SIGKILL)
        self._over.wait(1.0)

    def control_group(self) -> set[int]:
        """The processes of the unit that live, the main process included."""
        return set() if self._process is None else _family(self._mark, self._process.pid)

    # --- inside ---

    def _spawn(self) -> None:
        self._mark = f"{os.getpid()}-{next(_generations)}-{self.name}"
        with self._log_path.open("ab") as output:
            self._process = subprocess.Popen(
                [*_die_with_parent(), "/bin/sh", "-c", self._command],
                env={**self._env, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _signal(self, number: int) -> None:
        """Signal whom the kill mode names."""
        mode = self.settings.kill_mode
        everybody = mode == "control-group" or (mode == "mixed" and number == signal.SIGKILL)
        for pid in self.control_group() if everybody else {self.main} - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _watch(self) -> None:
        """Wait for the main process's end, end what it left behind, and start it again where that is wanted."""
        while self._process is not None:
            self._process.wait()
            self._end_the_rest()
            if self._restarts():
                time.sleep(RESTART_S)
            with self._lock:
                if not self._restarts():
                    self._over.set()
                    return
                self._spawn()

    def _restarts(self) -> bool:
        wanted = {"always": True, "on-failure": self.result != "success"}
        return not self._stopping and wanted.get(self.settings.restart, False)

    def _end_the_rest(self) -> None:
        """The main process is gone: SIGTERM to the rest and then SIGKILL, or SIGKILL at once, or nothing."""
        mode = self.settings.kill_mode
        left = set() if mode == "process" else self.control_group()
        self._signal(signal.SIGTERM if mode == "control-group" else signal.SIGKILL)
        began_at = time.monotonic()
        while left := {pid for pid in left if _runs(pid)} or (self.control_group() if left else set()):
            self._kill_after(began_at)
            time.sleep(POLL_S)

    def _limit(self) -> None:
        """Keep a stop to TimeoutStopSec."""
        began_at = time.monotonic()
        while self.main_runs:
            self._kill_after(began_at)
            time.sleep(POLL_S)

    def _kill_after(self, began_at: float) -> None:
        if time.monotonic() > began_at + self.settings.stop_timeout_s:
            self._killed_by_systemd = True
            self._signal(signal.SIGKILL)


class Systemd:
    """The units of one machine, and what ``systemctl`` on it answers."""

    def __init__(self, units: Iterable[Unit], targets: Iterable[str], runtime: Path) -> None:
        """Targets consist of all the units; ``runtime`` stands for the machine's ``/run/systemd``."""
        self.units = {unit.name: unit for unit in units if unit.name}
        self.targets = tuple(targets)
        self._runtime = runtime

    def systemctl(self, arguments: Sequence[str]) -> tuple[int, str, str]:
        """The exit code of one call, and what it prints to standard output and standard error."""
        options = [one for one in arguments if one.startswith("-") and one != "--"]
        verb, *names = [one for one in arguments if not one.startswith("-")] or [""]
        match verb:
            case "show":
                return 0, self._show(names, options), ""
            case "is-active":
                states = [self._properties(name)["ActiveState"] for name in self._named(names)]
                return 0 if "active" in states else 3, "\n".join(states or ["inactive"]), ""
            case "list-unit-files":
                files = {re.sub(r"@.*\.", "@.", name) for name in (*self.units, *self.targets)}
                found = [file for file in sorted(files) if any(fnmatch.fnmatch(file, name) for name in names or ["*"])]
                return 0, "\n".join(f"{file} enabled" for file in found), ""
            case "daemon-reload":
                for name, unit in self.units.items():
                    unit.reload(self._runtime / "system" / f"{name}.d")
                return 0, "", ""
            case "stop" | "start":
                return self._do(verb, names, wait="--no-block" not in options)
        return 1, "", f"the sandbox's systemctl knows show, stop, start, daemon-reload and is-active, not {verb!r}"

    def _do(self, verb: str, names: Sequence[str], *, wait: bool) -> tuple[int, str, str]:
        named = self._named(names)
        known = dict.fromkeys(itertools.chain.from_iterable(self._meant(name) for name in named))
        for name in known:
            if verb == "stop":
                self.units[name].stop(wait=False)
            else:
                self.units[name].start()
        for name in known if verb == "stop" and wait else ():
            self.units[name].stop()
        missing = [name for name in named if name not in self.units and name not in self.targets]
        return 5 if missing else 0, "", "\n".join(f"Failed to {verb} {one}: Unit {one} not loaded." for one in missing)

    def _meant(self, name: str) -> tuple[str, ...]:
        """The units that are stopped or started with a name."""
        return tuple(self.units) if name in self.targets else (name,) if name in self.units else ()

    def _named(self, names: Sequence[str]) -> list[str]:
        """Full names; a pattern stands for the units in memory that match it, which are those that run or failed."""
        found: list[str] = []
        for name in names:
            if not re.search(r"[*?\[]", name):
                found.append(name if name.endswith(SUFFIXES) else f"{name}.service")
                continue
            loaded = (*self.units, *self.targets)
            found += [
                one
                for one in loaded
                if fnmatch.fnmatchcase(one, name) and self._properties(one)["ActiveState"] != "inactive"
            ]
        return found

    def _properties(self, name: str) -> dict[str, str]:
        if name in self.units:
            return self.units[name].shown()
        if name in self.targets:
            active = any(unit.active for unit in self.units.values())
            members = " ".join(self.units)
            state = "active" if active else "inactive"
            return {"Id": name, "LoadState": "loaded", "ActiveState": state, "ConsistsOf": members}
        unknown = {"Id": name, "LoadState": "not-found", "ActiveState": "inactive", "Result": "success"}
        return unknown if name.endswith(".service") else {key: unknown[key] for key in unknown if key != "Result"}

    def _show(self, names: Sequence[str], options: Sequence[str]) -> str:
        """It also answers for a unit that does not exist, and a property that a unit has not is left out."""
        asked = [one.partition("=")[2].split(",") for one in options if one.startswith("--property=")]
        wanted = set(itertools.chain.from_iterable(asked))
        shown = []
        for name in self._named(names):
            found = {key: value for key, value in self._properties(name).items() if not wanted or key in wanted}
            shown.append("\n".join(v if "--value" in options else f"{key}={v}" for key, v in found.items()))
        return "\n\n".join(shown)


def seconds(text: str) -> float:
    """A time of systemd, such as "1min 30s", in seconds; inf for "infinity"."""
    if text.strip() == "infinity":
        return float("inf")
    return sum(float(number) * TIMES_S[unit] for number, unit in re.findall(r"([\d.]+)\s*([a-z]*)", text))


def timespan(value_s: float) -> str:
    """A time as systemctl prints it, such as "1min 30s"."""
    if value_s == float("inf"):
        return "infinity"
    parts, left_s = [], value_s
    for unit in ("w", "d", "h", "min"):
        number, left_s = divmod(left_s, TIMES_S[unit])
        parts += [f"{number:.0f}{unit}"] if number else []
    return " ".join([*parts, *([f"{left_s:g}s"] if left_s or not parts else [])])


def _runs(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ENDED
    except OSError:
        return False


def _family(mark: str, session: int) -> set[int]:
    """The live processes that have inherited a mark or a session, and all that these have started.

    A process that calls itself otherwise (setproctitle) has overwritten its environment, but not its session.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    wanted = f"{MARK}={mark}\0".encode()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.name)
            state, parent, _group, its_session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if state in ENDED:
                continue
            parents[pid] = int(parent)
            if int(its_session) == session or wanted in (path / "environ").read_bytes():
                found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _die_with_parent() -> list[str]:
    """A prefix that ties a process to the thread that starts it, where the system can.

    Units are started by the engine's thread, and again by the thread that watches them: both live as long as the
    emulator. So a killed emulator takes its instances along.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
