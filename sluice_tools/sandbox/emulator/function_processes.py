"""Processes of Python functions, forked from one that has imported what all of them import.

ministack starts an interpreter for each process of a function: half a second of a processor, most of it for imports.
Here a `function_template` for each set of layers has them done. What a fork runs, its environment, folder, module path
and pipes are those of a fresh process, and the function's own code is imported in it. Where variables that the imports
read have other values, it is forked from another template. Where its code has modules of the same names, or an import
fails, it is started afresh. The forks of a template have one seed for the hashes of strings; fresh processes have one
each.

On AWS each execution environment initialises in its own process, after its variables were set
(lambda/latest/dg/lambda-runtime-environment.html). A function's update cuts off no invocation there, where ministack
ends all its processes: invocations go to the earlier code and configuration until the update is complete
(lambda/latest/dg/functions-states.html).
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_runtime = Host("core.lambda_runtime", "subprocess", "Worker", "invalidate_worker", "kill_workers")
_lambda = Host("services.lambda_svc", "invalidate_worker", "_functions")

TEMPLATE = Path(__file__).with_name("function_template.py")
READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OPENSSL_", "TZ")
"""What an interpreter and its libraries read of the environment before any code runs: how such variables begin."""
PACKET_BYTES = 200_000
"""More than the names of all modules and variables."""
TEMPLATES_MAX = 4
"""Of a set of layers, so that imports that read what each process has of its own do not fill the memory."""


log = logging.getLogger("sandbox.functions")


class ForkedProcess:
    """As much of `subprocess.Popen` as ministack needs of a function's process, which is not a child of this one."""

    def __init__(self, descriptor: int, pipes: tuple[int, int, int]) -> None:
        """Of the process with this pidfd, and our ends of its standard input, output and error."""
        self._descriptor = descriptor
        self.stdin = os.fdopen(pipes[0], "w", buffering=1)
        self.stdout = os.fdopen(pipes[1])
        self.stderr = os.fdopen(pipes[2])

    def __del__(self) -> None:
        """Nobody asks any more."""
        os.close(self._descriptor)

    def poll(self) -> int | None:
        """None while it runs, then 0: its exit code is its parent's to know."""
        return 0 if self._ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired([str(TEMPLATE)], timeout or 0)
        return 0

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def _ended(self, timeout_s: float | None) -> bool:
        ends = select.poll()
        ends.register(self._descriptor, select.POLLIN)
        return bool(ends.poll(None if timeout_s is None else timeout_s * 1000))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


class Template:
    """A running `function_template`."""

    def __init__(self, layers: tuple[str, ...], environ: Mapping[str, str]) -> None:
        """Start it with the environment of a function, and wait until it has imported.

        Raises:
            RuntimeError: An import failed, or cannot be shared; the emulator's log has the trace.
        """
        self._environ = dict(environ)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                # Without the folder of the script among those of modules, as for the script of a function.
                [sys.executable, "-P", TEMPLATE, str(theirs.fileno()), *layers],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        first = self._channel.recv(PACKET_BYTES)
        if not first:
            self.close()
            raise RuntimeError(f"imports from {', '.join(layers) or 'the runtime'} cannot be shared")
        self._read = json.loads(first)

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Whether an interpreter and the imports would read in this environment what they have read here."""
        names = {*self._read["variables"]}
        names |= {name for name in {*environ, *self._environ} if name.startswith(READ_AT_START)}
        return all(environ.get(name) == self._environ.get(name) for name in names)

    def hides(self, code: Path) -> bool:
        """Whether code brings along modules, or libraries, that its process would not find in a fork."""
        own = {path.name for path in code.iterdir()}
        names = {name.partition(".")[0] for name in own}
        return any(name.endswith(".dist-info") for name in own) or not names.isdisjoint(self._read["modules"])

    def fork(self, script: str, cwd: str, environ: Mapping[str, str]) -> ForkedProcess:
        """Have a process run a script.

        Raises:
            RuntimeError: The template has ended.
        """
        ours, theirs = [-1, -1, -1], [-1, -1, -1]
        theirs[0], ours[0] = os.pipe()
        ours[1], theirs[1] = os.pipe()
        ours[2], theirs[2] = os.pipe()
        request = {"script": script, "cwd": cwd, "environ": dict(environ)}
        socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
        for pipe in theirs:
            os.close(pipe)
        answer, descriptors, _, _ = socket.recv_fds(self._channel, PACKET_BYTES, 1)
        if not answer:
            raise RuntimeError(f"the template of functions has ended with code {self._process.wait()}")
        return ForkedProcess(descriptors[0], (ours[0], ours[1], ours[2]))

    def close(self) -> None:
        """Let it end; its forks go on."""
        self._channel.close()
        self._process.wait()


class FunctionProcesses:
    """Starts functions' processes, with a template for each set of layers."""

    def __init__(self) -> None:
        """With no template yet."""
        self._templates: dict[tuple[str, ...], list[Template]] = {}
        self._unshared: set[tuple[str, ...]] = set()
        self._starting = threading.Lock()

    def install(self) -> None:
        """Let ministack's Lambda runtime start processes by `start`."""
        _runtime["subprocess"] = SimpleNamespace(
            Popen=self.start,
            PIPE=subprocess.PIPE,
            STDOUT=subprocess.STDOUT,
            DEVNULL=subprocess.DEVNULL,
            TimeoutExpired=subprocess.TimeoutExpired,
        )
        _let_invocations_end()

    def start(self, arguments: list[str], **options: Any) -> Any:
        """`subprocess.Popen`, but that a Python function's process is forked where that makes no difference."""
        if arguments[0] != sys.executable:
            return subprocess.Popen(arguments, **options)
        cwd, environ = options["cwd"], options["env"]
        links = environ.get("_LAMBDA_LAYERS_DIRS", "")
        layers = tuple(str(Path(link).resolve()) for link in links.split(os.pathsep) if link)
        # Such a folder's own settings of the module path take part as well.
        if not any(Path(layer, "python/lib").exists() for layer in layers):
            with self._starting:
                template = self._fitting(layers, environ)
                if template is not None and not template.hides(Path(cwd)):
                    return template.fork(arguments[1], cwd, environ)
        return subprocess.Popen(arguments, **options)

    def _fitting(self, layers: tuple[str, ...], environ: Mapping[str, str]) -> Template | None:
        templates = self._templates.setdefault(layers, [])
        found = next((template for template in templates if template.fits(environ)), None)
        if found is None and len(templates) < TEMPLATES_MAX and layers not in self._unshared:
            try:
                found = Template(layers, environ)
            except RuntimeError as error:
                self._unshared.add(layers)
                log.warning("%s: its functions are started afresh, and say themselves what is wrong", error)
            else:
                templates.append(found)
        return found

    def close(self) -> None:
        """End the templates."""
        with self._starting:
            for template in itertools.chain(*self._templates.values()):
                template.close()
            self._templates.clear()


_updating: contextvars.ContextVar[bool] = contextvars.ContextVar("sandbox_updating", default=False)


def _let_invocations_end() -> None:
    """When a function changes, let its processes end that are at work once they have answered."""
    invalidate, kill = _runtime["invalidate_worker"], _runtime["kill_workers"]

    def invalidate_worker(name: str, *arguments: Any, **named: Any) -> None:
        token = _updating.set(name in _lambda["_functions"])  # nothing is known of one that was deleted: it is cut off
        try:
            invalidate(name, *arguments, **named)
        finally:
            _updating.reset(token)

    def kill_workers(workers: Sequence[Any]) -> None:
        at_work = [worker for worker in workers if worker is not None and worker.in_use] if _updating.get() else []
        kill([worker for worker in workers if worker not in at_work])
        for worker in at_work:
            threading.Thread(target=kill_after_work, args=(worker,), daemon=True).start()

    def kill_after_work(worker: Any) -> None:
        with worker._lock:  # noqa: SLF001 - ministack holds it for as long as the invocation takes
            pass
        kill([worker])

    _runtime["kill_workers"] = kill_workers
    _runtime["invalidate_worker"] = _lambda["invalidate_worker"] = invalidate_worker
