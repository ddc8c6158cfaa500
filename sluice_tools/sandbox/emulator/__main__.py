"""Start the extended emulator and serve until it is asked to stop, or until the process that started it is gone."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import sys
import threading

from sluice_tools.sandbox.emulator import content_types, host, serving
from sluice_tools.sandbox.emulator.extensions import Extensions
from sluice_tools.sandbox.emulator.settings import SETTINGS_ENV, Settings

PINNED = "1.5.33"
"""The ministack version whose private names the extensions were written against."""

UNUSED = ("docker", "duckdb")
"""Libraries that ministack does without where they are missing: importing them is a fifth of the emulator's start."""

_app = host.Host("app", "main")

log = logging.getLogger("sandbox")


def _end_with_parent(extensions: Extensions) -> None:
    """Wait for the end of standard input, which the parent holds open, then end everything at once.

    Nothing here is worth an orderly shutdown, which would wait for functions that run for a minute.
    """
    while sys.stdin.buffer.read(4096):
        pass
    log.info("the process that started the emulator let go of it: ending")
    extensions.close()
    logging.shutdown()
    if os.getpgrp() == os.getpid():
        # Functions' processes are in the group; whoever of them is at work would go on.
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def main() -> None:
    """Check the host, install the extensions, serve, and end every instance at the end."""
    for library in UNUSED:
        sys.modules[library] = None  # type: ignore[assignment]  # as if it were missing
    host.check(PINNED, importlib.metadata.version("ministack"))
    # A shell lets what it starts in the background ignore these, and instances would inherit that. A unit of systemd
    # has the default signals, and by SIGQUIT the stop document tells what a shell runs in the background.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    settings = Settings.from_json(os.environ.get(SETTINGS_ENV, "{}"))
    extensions = Extensions(settings)
    extensions.install()
    serving.install()
    content_types.install()
    if "--with-parent" in sys.argv:
        sys.argv.remove("--with-parent")
        watch = threading.Thread(target=_end_with_parent, args=(extensions,), name="sandbox-parent", daemon=True)
        watch.start()
    try:
        _app["main"]()
    finally:
        extensions.close()


if __name__ == "__main__":
    main()
