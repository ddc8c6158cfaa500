"""Serves the emulator by uvicorn, which reads requests in C, in the place of ministack's hypercorn.

Of the 0.84 ms of a processor that a small request takes in the emulator, hypercorn and its parser in Python take a
third. What a client gets is the same to the header: neither adds a `Server` or a `Date`, which ministack adds itself.
"""

from __future__ import annotations

import importlib
from typing import Any

import uvicorn

KEEP_ALIVE_S = 75
"""As ministack has it: longer than clients keep a connection that is not used."""
SHUTDOWN_S = 3
"""For requests under way once the emulator is asked to end, such as long polls; as hypercorn has it."""


async def serve(app: Any, config: Any) -> None:
    """What ministack calls instead of `hypercorn.asyncio.serve`, with the address in its configuration."""
    host, _, port = config.bind[0].rpartition(":")
    served = uvicorn.Config(
        app,
        host=host,
        port=int(port),
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # a client is who it is, whatever its headers say
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    await uvicorn.Server(served).serve()


def install() -> None:
    """Have ministack's `main` serve by `serve`: it looks the name up when it is called."""
    importlib.import_module("hypercorn.asyncio").serve = serve  # type: ignore[attr-defined]
