"""A cache of simulation results in a file: no run is simulated twice, and a study that was ended can be resumed.

The key of a run has everything that decides its result: traffic, world, setting, and the source code of simulator and
policy. Peers do not depend on the planner, so their results stay valid when the planner changes.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.floors import Floor
from sluice_tools.backtest.policies import POLICIES, label, make
from sluice_tools.backtest.runs import NO_TIMELINE, Run
from sluice_tools.backtest.simulator import params_of
from sluice_tools.backtest.traces import Trace
from sluice_tools.sources import CHECKOUT, CORE, digest

# The fields that are stored. Trace and conditions are in the key; timeline and notes would fill the disk.
FIGURES = (
    "policy",
    "params",
    "instance_hours",
    "work_hours",
    "late_fraction",
    "wait_p50_s",
    "wait_p99_s",
    "wait_max_s",
    "launches",
    "ticks",
    "cpu_s",
)
BOUND = "bound_hours"  # of a trace in a world, whatever the policy
FLOOR = "floor"  # of a run that was ended early


class ResultCache:
    """A file of results, one a line. Several processes may add to it; a line that a kill cut short is ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[str, dict[str, Any]] = {}
        self._bounds: dict[str, float] = {}
        self._floors: dict[str, Floor] = {}
        self._digests: dict[int, tuple[Trace, str]] = {}  # by identity, since traces are few and long
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                    if BOUND in record:
                        self._bounds[record["key"]] = record[BOUND]
                    elif FLOOR in record:
                        self._floors[record["key"]] = Floor(*record[FLOOR])
                    else:
                        self._runs[record["key"]] = {name: record[name] for name in FIGURES}
                except (ValueError, KeyError, TypeError):
                    continue

    def find(self, trace: Trace, spec: str, conditions: Conditions) -> Run | None:
        """The stored result; None if there is none."""
        figures = self._runs.get(self._key(trace, spec, conditions))
        if figures is None:
            return None
        return Run(trace=trace.name, conditions=conditions, timeline=NO_TIMELINE, **figures)

    def add(self, trace: Trace, spec: str, run: Run) -> None:
        """Store a result."""
        figures = {name: getattr(run, name) for name in FIGURES}
        key = self._key(trace, spec, run.conditions)
        self._runs[key] = figures
        self._append({"key": key, "trace": trace.name, **figures})

    def find_floor(self, trace: Trace, spec: str, conditions: Conditions) -> Floor | None:
        """The least that a run costs and is late which was ended early; None if there is none."""
        return self._floors.get(self._key(trace, spec, conditions))

    def add_floor(self, trace: Trace, spec: str, conditions: Conditions, floor: Floor) -> None:
        """Store the least that a run costs and is late which was ended early."""
        key = self._key(trace, spec, conditions)
        self._floors[key] = floor
        self._append({"key": key, "trace": trace.name, "setting": spec, FLOOR: list(floor)})

    def _append(self, record: Mapping[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record)
        with self._path.open("a+b") as file:
            # A line that was cut short must not run on into this one.
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())

    def find_bound(self, trace: Trace, conditions: Conditions) -> float | None:
        """The stored least instance-hours of a trace in a world; None if there are none."""
        return self._bounds.get(self._bound_key(trace, conditions))

    def add_bound(self, trace: Trace, conditions: Conditions, hours: float) -> None:
        """Store the least instance-hours of a trace in a world."""
        key = self._bound_key(trace, conditions)
        self._bounds[key] = hours
        self._append({"key": key, "trace": trace.name, BOUND: hours})

    def _bound_key(self, trace: Trace, conditions: Conditions) -> str:
        return self._key_of(trace, BOUND, conditions, f"{bound_source()} {scipy.__version__}")

    def _key(self, trace: Trace, spec: str, conditions: Conditions) -> str:
        policy = make(spec)
        setting = label(policy.name, params_of(policy))  # in one form, whichever way it was written
        return self._key_of(trace, setting, conditions, policy_source(policy.name))

    def _key_of(self, trace: Trace, what: str, conditions: Conditions, source: str) -> str:
        if id(trace) not in self._digests:
            self._digests[id(trace)] = trace, hashlib.sha256(trace.counts.tobytes()).hexdigest()
        traffic = self._digests[id(trace)][1]
        parts = [traffic, what, asdict(conditions), source, np.__version__, sys.version_info[:2]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def policy_source(name: str) -> str:
    """A digest of the source code that decides a policy's results; Sluice's own code counts only for Sluice."""
    return digest(POLICIES[name].__module__, (CHECKOUT, CORE) if name == "sluice" else (CHECKOUT,))


@cache
def bound_source() -> str:
    """A digest of the source code that decides a bound."""
    return digest("sluice_tools.backtest.bound", (CHECKOUT,))
