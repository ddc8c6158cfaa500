"""Runs that were made before, in a file: thousands of them are not made twice, and a study that was ended goes on.

A run is found again by all that it follows from: traffic, world, setting, and the source of simulator and policy. Peers
do not depend on the planner, so a new planner leaves their runs as they are.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tools.backtest.conditions import Conditions
from tools.backtest.policies import POLICIES, label, make
from tools.backtest.runs import NO_TIMELINE, Run
from tools.backtest.simulator import params_of
from tools.backtest.traces import Trace
from tools.sources import CHECKOUT, CORE, digest

# What a run keeps: its figures. Trace and conditions are in its key, timeline and notes would fill the disk.
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
type Keys = dict[str, Any]


class ResultCache:
    """A file of runs, one a line. Several processes may add to it; a line that a kill cut short is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[str, dict[str, Any]] = {}
        self._digests: dict[int, tuple[Trace, str]] = {}  # by identity: there are few traces, and they are long
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    kept = json.loads(line)
                    self._runs[kept["key"]] = {name: kept[name] for name in FIGURES}
                except (ValueError, KeyError, TypeError):
                    continue

    def find(self, trace: Trace, spec: str, conditions: Conditions) -> Run | None:
        """The run's figures, if it was made before."""
        figures = self._runs.get(self._key(trace, spec, conditions))
        if figures is None:
            return None
        return Run(trace=trace.name, conditions=conditions, timeline=NO_TIMELINE, **figures)

    def add(self, trace: Trace, spec: str, run: Run) -> None:
        """Keep a run."""
        figures = {name: getattr(run, name) for name in FIGURES}
        key = self._key(trace, spec, run.conditions)
        self._runs[key] = figures
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": key, "trace": trace.name, **figures})
        with self._path.open("a+b") as file:
            # After a line that was cut short this one must not become its end.
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())

    def _key(self, trace: Trace, spec: str, conditions: Conditions) -> str:
        if id(trace) not in self._digests:
            self._digests[id(trace)] = trace, hashlib.sha256(trace.counts.tobytes()).hexdigest()
        policy = make(spec)
        setting = label(policy.name, params_of(policy))  # however it was written
        traffic, source = self._digests[id(trace)][1], policy_source(policy.name)
        parts = [traffic, setting, asdict(conditions), source, np.__version__, sys.version_info[:2]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def policy_source(name: str) -> str:
    """A digest of the code that a policy's runs follow from; of Sluice's own only where the policy is Sluice."""
    return digest(POLICIES[name].__module__, (CHECKOUT, CORE) if name == "sluice" else (CHECKOUT,))
