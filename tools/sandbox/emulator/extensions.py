"""Installs every extension, in the order they need one another."""

from __future__ import annotations

import os
from pathlib import Path

from tools.sandbox.emulator import autoscaling
from tools.sandbox.emulator.admin import Admin
from tools.sandbox.emulator.events import Bus
from tools.sandbox.emulator.groups import Groups
from tools.sandbox.emulator.launcher import Launcher
from tools.sandbox.emulator.machines import Machines
from tools.sandbox.emulator.run_command import RunCommand
from tools.sandbox.emulator.settings import INSTANCES_ENV, Settings


class Extensions:
    """Everything added to ministack, and what it started."""

    def __init__(self, settings: Settings) -> None:
        """Make the parts; nothing is attached or started yet."""
        endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
        directory = Path(os.environ[INSTANCES_ENV])
        self._settings = settings
        self._bus = Bus()
        self._machines = Machines(directory)
        self._launcher = Launcher(settings, self._bus, self._machines, endpoint)
        self._groups = Groups(settings, self._bus, self._launcher)
        self._run_command = RunCommand(
            settings, self._bus, self._machines, self._launcher, shim_directory=directory / "bin", endpoint=endpoint
        )

    def install(self) -> None:
        """Attach every extension to the imported ministack modules and start the clocks."""
        admin = Admin(self._groups, self._launcher, self._machines, self._bus)
        admin.install()
        self._run_command.install(admin)
        autoscaling.Api(self._settings, self._groups).install()
        self._groups.start()

    def close(self) -> None:
        """End every background thread and instance process."""
        self._groups.close()
        self._machines.close()
