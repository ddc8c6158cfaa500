"""Installs every extension, in the order they need one another."""

from __future__ import annotations

import os
from pathlib import Path

from sluice_tools.sandbox.emulator import (
    archives,
    change_sets,
    custom_resources,
    embedded_metrics,
    expressions,
    keys,
    long_queues,
    nested_stacks,
    scaling_policies,
    schedules,
    sqs_answers,
    tags,
    templates,
)
from sluice_tools.sandbox.emulator.admin import Admin
from sluice_tools.sandbox.emulator.alarms import Alarms
from sluice_tools.sandbox.emulator.authorisation import Authorisation, Calls
from sluice_tools.sandbox.emulator.autoscaling import Api
from sluice_tools.sandbox.emulator.events import Bus
from sluice_tools.sandbox.emulator.function_processes import FunctionProcesses
from sluice_tools.sandbox.emulator.group_resource import GroupResource
from sluice_tools.sandbox.emulator.groups import Groups
from sluice_tools.sandbox.emulator.lambdas import Lambdas
from sluice_tools.sandbox.emulator.launcher import Launcher
from sluice_tools.sandbox.emulator.machines import Machines
from sluice_tools.sandbox.emulator.metric_data import MetricData
from sluice_tools.sandbox.emulator.move_tasks import MoveTasks
from sluice_tools.sandbox.emulator.parameter_store import ParameterStore
from sluice_tools.sandbox.emulator.queues import Queues
from sluice_tools.sandbox.emulator.run_command import RunCommand
from sluice_tools.sandbox.emulator.saved_queries import SavedQueries
from sluice_tools.sandbox.emulator.service_metrics import ServiceMetrics
from sluice_tools.sandbox.emulator.settings import CALLS_ENV, INSTANCES_ENV, Settings


class Extensions:
    """Everything added to ministack, and what it started."""

    def __init__(self, settings: Settings) -> None:
        """Make the parts; nothing is attached or started yet."""
        endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
        directory = Path(os.environ[INSTANCES_ENV])
        self._settings = settings
        self._calls_path = Path(os.environ[CALLS_ENV]) if os.environ.get(CALLS_ENV) else None
        self._bus = Bus()
        self._machines = Machines(directory)
        self._launcher = Launcher(settings, self._bus, self._machines, endpoint)
        self._groups = Groups(settings, self._bus, self._launcher)
        self._run_command = RunCommand(
            settings, self._bus, self._machines, self._launcher, shim_directory=directory / "bin", endpoint=endpoint
        )
        self._queues = Queues()
        self._move_tasks = MoveTasks(self._queues)
        self._service_metrics = ServiceMetrics(settings, self._queues)
        self._alarms = Alarms(settings, self._bus)
        self._function_processes = FunctionProcesses()

    def install(self) -> None:
        """Attach every extension to the imported ministack modules and start the clocks."""
        admin = Admin(self._groups, self._launcher, self._machines, self._bus)
        admin.install()
        authorisation = Authorisation(Calls(self._calls_path))
        authorisation.install()
        self._run_command.install(admin)
        ParameterStore(self._bus).install()
        api = Api(self._settings, self._groups)
        api.install()
        scaling_policies.install(self._groups)
        tags.install()
        keys.install()
        expressions.install()
        GroupResource(self._groups, api).install()
        archives.install()
        self._function_processes.install()
        Lambdas(authorisation).install()
        schedules.install(self._settings)
        long_queues.install()
        sqs_answers.install()
        self._queues.install()
        self._move_tasks.install()
        MetricData().install()
        SavedQueries().install()
        embedded_metrics.install()
        templates.install(self._settings)
        custom_resources.install()
        nested_stacks.install()
        change_sets.install()
        self._service_metrics.install()
        self._alarms.install()
        self._groups.start()

    def close(self) -> None:
        """End every background thread and instance process."""
        for clock in (self._groups, self._move_tasks, self._service_metrics, self._alarms):
            clock.close()
        self._function_processes.close()
        self._machines.close()
