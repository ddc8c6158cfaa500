"""A relay that lets containers reach a server on this machine's loopback, through Docker's own bridge alone."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import subprocess
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

DOCKER_TIMEOUT_S = 30.0
"""Docker answers questions about itself at once, or not at all."""
START_TIMEOUT_S = 10.0
"""To bind a port takes no time; a loaded machine may be slow to start a thread."""
CHUNK = 64 * 1024
DESKTOP_HOST = "host.docker.internal"
"""How Docker Desktop's containers call the machine, whose loopback it lets them reach; Linux has the bridge instead."""


@contextlib.contextmanager
def container_url(url: str) -> Iterator[str]:
    """The URL by which containers reach a server of this machine, as long as the context lasts.

    Args:
        url: as processes of this machine reach it, such as http://127.0.0.1:4566.

    Yields:
        The same server under the bridge's address on Linux, under Docker Desktop's name for the host elsewhere.
    """
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url}: must name a port")
    relay = _Relay(bridge_address(), port)
    try:
        relay.start()
    except OSError:  # the bridge is in a virtual machine of Docker's own, not here
        yield f"http://{DESKTOP_HOST}:{port}"
        return
    try:
        yield f"http://{relay.address}:{relay.port}"
    finally:
        relay.stop()


def bridge_address() -> str:
    """The machine's own address on Docker's default bridge.

    Raises:
        subprocess.SubprocessError: Docker does not answer.
    """
    shown = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"],
        capture_output=True,
        text=True,
        timeout=DOCKER_TIMEOUT_S,
        check=True,
    )
    (config, *_) = json.loads(shown.stdout)
    # Docker takes the subnet's first address where it is given no other.
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


class _Relay:
    """Takes connections on one address and passes them on to a port of the loopback, in a thread of its own."""

    def __init__(self, address: str, to_port: int) -> None:
        self.address = address
        self.port = 0
        self._to_port = to_port
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._started = threading.Event()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Listen. OSError if the address is not this machine's."""
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise TimeoutError("the relay did not start")
        if self._problem is not None:
            raise self._problem

    def stop(self) -> None:
        """End every connection."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(START_TIMEOUT_S)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        try:
            server = await asyncio.start_server(self._pass_on, self.address, 0)
        except OSError as error:
            self._problem = error
            self._started.set()
            return
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stopped.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            await asyncio.gather(_copy(reader, to_writer), _copy(to_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
