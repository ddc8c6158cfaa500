"""How a process that simulates for another begins. Imports nothing that may be compiled: `begin` decides on that."""

import multiprocessing
import os
import signal
import threading

from sluice_tools import compiled


def begin(as_compiled: bool) -> None:
    """Simulate with what the parent does; leave an interrupt to it, and do not outlive it, however it ends."""
    if as_compiled:
        compiled.use()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
