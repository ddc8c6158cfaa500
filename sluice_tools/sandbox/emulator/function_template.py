"""A process that has imported what every function imports, and forks one process for each function to run in.

Importing botocore, pydantic and the core is most of a cold start. A fork has that behind it and then does what a fresh
process does: it runs the given script with its own environment, folder, module path and pipes, so that the function's
own code is imported, and its clients are made, in its own process. `function_processes` starts this file with the
emulator's interpreter, and starts a function without it where the fork could differ from a fresh process.

The protocol, over the Unix socket whose descriptor is the first argument, one packet each: first this process sends
what it has read, as JSON (`variables`: names of environment variables; `modules`: names of top-level modules). Then
each request (JSON with `script`, `cwd`, `environ`, and the ends of three pipes) is answered with a pidfd of the new
process. It ends when the other end closes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EVERY_FUNCTION = ("aws_lambda_powertools", "sluice.aws")
"""What the stack's functions import from their layers."""
CORE = "sluice"
"""Of this package each function imports a part besides, most of which others import as well."""
WITHOUT_LAYERS = ("boto3",)
"""What other functions import from the runtime."""
REQUEST_BYTES = 200_000
"""A packet's limit: Lambda allows 4 KB of variables, and the emulator's own are about as many."""


class _Recording(os._Environ[str]):  # noqa: SLF001 - it has no other name
    """The environment, which remembers the names that were looked up."""

    read: set[str] = set()  # noqa: RUF012 - of the process, which has one environment

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        value: str = super().__getitem__(name)
        return value

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("an import reads the whole environment: it cannot be shared between functions")


def _import(layers: list[str]) -> dict[str, list[str]]:
    """Import from the layers in the order in which a function's process finds them; what was read."""
    path, plain = list(sys.path), os.environ.__class__
    for layer in layers:
        sys.path[:0] = [layer, f"{layer}/python"]
    os.environ.__class__ = _Recording
    try:
        for name in EVERY_FUNCTION if layers else WITHOUT_LAYERS:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name.partition(".")[0]:
                    raise
        if (core := sys.modules.get(CORE)) is not None:
            for module in pkgutil.walk_packages(core.__path__, f"{CORE}."):
                importlib.import_module(module.name)
    finally:
        os.environ.__class__ = plain
        sys.path[:] = path
    if threading.active_count() > 1:
        raise RuntimeError("an import has started a thread, which a fork would not have")
    return {"variables": sorted(_Recording.read), "modules": sorted({name.partition(".")[0] for name in sys.modules})}


def _serve(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request. Returns in each fork, with its request and pipes; at the end None, in this process."""
    while True:
        packet, pipes, _, _ = socket.recv_fds(channel, REQUEST_BYTES, 3)
        if not packet:
            return None
        _reap()
        process = os.fork()
        if process == 0:
            return json.loads(packet), pipes
        for pipe in pipes:
            os.close(pipe)
        descriptor = os.pidfd_open(process)
        socket.send_fds(channel, [b"forked"], [descriptor])
        os.close(descriptor)


def _reap() -> None:
    """Let the system forget the forks that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become(request: dict[str, Any], pipes: list[int]) -> None:
    """Run the function's script as a fresh interpreter would: nothing of this file is within its reach."""
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    script = Path(request["script"])
    sys.argv[:] = [str(script)]
    sys.path.insert(0, str(script.parent))
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    sys.modules["__main__"] = main
    exec(compile(script.read_bytes(), script, "exec"), main.__dict__)  # noqa: S102 - what this process is for


def main() -> None:
    """Import, tell what was read, and serve."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.send(json.dumps(_import(sys.argv[2:])).encode())
    gc.collect()
    gc.freeze()  # a later collection in a fork would write to every page, and so copy it
    if (fork := _serve(channel)) is not None:
        channel.detach()
        _become(*fork)


if __name__ == "__main__":
    main()
