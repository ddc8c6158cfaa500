"""Real services for the tests of the orders example: a PostgreSQL server, and the example's own processes."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.support.waiting import pause_s

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "orders"

START_TIMEOUT_S = 60.0
"""Python or PostgreSQL start in about a second; on a busy machine in many more."""

STOP_TIMEOUT_S = 30.0
"""A consumer's drain with its long poll, or PostgreSQL's shutdown checkpoint."""


class PostgresMissing(Exception):  # noqa: N818 - an answer, not an error
    """This machine cannot run a PostgreSQL server; the text says what is missing."""


def postgres_programs() -> Path:
    """Where `initdb` and `postgres` are.

    Raises:
        PostgresMissing: Nowhere, or they cannot be run.
    """
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = Path(on_path) if on_path else (debian[-1] if debian else None)
    if found is None:
        raise PostgresMissing("POSTGRESQL TESTS NOT RUN: initdb not found; install Debian's package postgresql")
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise PostgresMissing("POSTGRESQL TESTS NOT RUN: root needs a user 'postgres' to run it as") from None
    return found.parent


class PostgresServer:
    """A PostgreSQL server of its own, with an empty database, that can be stopped, killed, frozen and started again."""

    def __init__(self) -> None:
        self._programs = postgres_programs()
        self._home = Path(tempfile.mkdtemp(prefix="orders-postgres-"))
        self._data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def __enter__(self) -> Self:
        """Make it and start it."""
        if os.getuid() == 0:
            shutil.chown(self._home, "postgres", "postgres")
        initdb = ["initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(self._as_postgres(initdb), cwd="/", capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and remove it."""
        self.thaw()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    def _as_postgres(self, command: list[str]) -> list[str]:
        command = [str(self._programs / command[0]), *command[1:]]
        # Root may not run a server; and none may outlive these tests.
        become = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []
        setpriv = shutil.which("setpriv")
        return [setpriv, *become, "--pdeathsig", "QUIT", "--", *command] if setpriv else command

    def url(self, database: str = "postgres") -> str:
        """A database's URL."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make an empty database, and return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def start(self, *, standby: bool = False) -> None:
        """Start it, as a standby where it is asked for, and wait until it answers."""
        # Source: "Standby Server Operation", PostgreSQL documentation; one that has no primary just stays as it is.
        mark = self._data / "standby.signal"
        mark.touch() if standby else mark.unlink(missing_ok=True)
        settings = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=60"]
        options = [part for setting in settings for part in ("-c", setting)]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_postgres(["postgres", "-D", str(self._data), "-p", str(self.port), *options]),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                log_text = (self._home / "log").read_text(errors="replace")[-2000:]
                assert self._process.poll() is None, log_text
                assert time.monotonic() < deadline, log_text
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT disconnects everyone and ends in order, SIGQUIT ends at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def freeze(self) -> None:
        """Stop it from running at all, connections open: a server that hangs."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run again."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The server first: once it is frozen, it starts no more of the others.
        os.kill(self._process.pid, number)
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = status.read_text().partition(" (")
                if int(rest.rpartition(") ")[2].split()[1]) == self._process.pid:
                    os.kill(int(pid), number)


class OrdersProcess:
    """One of the example's programs, started as an operator starts it."""

    def __init__(self, module: str, environment: Mapping[str, str], directory: Path, name: str) -> None:
        """Start `python -m orders.<module>`; its output goes to `<name>.out` and `<name>.err` in the directory."""
        self.out = directory / f"{name}.out"
        self.err = directory / f"{name}.err"
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"orders.{module}"],
                cwd=directory,
                env=kept | {"PYTHONPATH": str(EXAMPLE), "INSTANCE_ID": name, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it wrote of one event, on standard output."""
        lines = (json.loads(line) for line in self.out.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def began(self, count: int) -> bool:
        """Whether work on at least so many orders has begun."""
        return len(self.lines("started")) >= count

    def complained(self, text: str) -> bool:
        """Whether it wrote something on standard error."""
        return text in self.err.read_text()

    def until(self, holds: Callable[[], Any], within_s: float = START_TIMEOUT_S) -> Any:
        """Wait for something that this process does; fail with its errors where it dies or does not do it."""
        began = time.monotonic()
        while not (answer := holds()):
            ended, waited_s = self.process.poll(), time.monotonic() - began
            assert ended is None, f"it ended with {ended}: {self.err.read_text()[-3000:]}"
            assert waited_s < within_s, f"not within {within_s} s: {self.err.read_text()[-3000:]}"
            time.sleep(pause_s(waited_s))
        return answer

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)

    def exit_code(self, within_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s: {self.err.read_text()[-3000:]}") from None


@contextlib.contextmanager
def orders_processes(directory: Path, environment: Mapping[str, str]) -> Iterator[Callable[..., OrdersProcess]]:
    """Start the example's programs; whatever is left at the end is killed.

    Yields:
        A function of the module (`web`, `consumer`), and by keyword of variables of its own; names are numbered.
    """
    started: list[OrdersProcess] = []

    def start(module: str, **variables: object) -> OrdersProcess:
        texts = {name: str(value) for name, value in variables.items()}
        process = OrdersProcess(module, dict(environment) | texts, directory, f"{module}-{len(started) + 1}")
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()


def run_admin(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m orders.admin` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "orders.admin", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(EXAMPLE), **environment},
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
