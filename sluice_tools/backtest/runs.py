"""What came of a policy on a trace. Runs go from process to process, so this is never compiled."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sluice.model.decisions import Reason
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.simulated_queue import Floats

FIGURES = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run minute by minute."""

    arrivals: Floats
    working: Floats
    launching: Floats
    visible: Floats
    wait_s: Floats  # the longest of those that came in the minute; 0 where none came


NO_TIMELINE = Timeline(*(np.zeros(0) for _ in range(5)))  # of a run whose figures alone were kept


@dataclass(frozen=True, slots=True)
class Said:
    """A reason that a policy gave, in one of its forms: sentences that differ in figures alone are of one form."""

    code: str
    sentence: str  # the first of its form
    ticks: int


class Tally:
    """What a policy said, tick by tick."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[str, int]] = {}  # (code, form): the first sentence, ticks

    def add(self, reasons: Iterable[Reason]) -> None:
        """A tick's reasons."""
        for reason in reasons:
            key = reason.code.value, FIGURES.sub("#", reason.sentence)
            first, ticks = self._found.get(key, (reason.sentence, 0))
            self._found[key] = first, ticks + 1

    def said(self) -> tuple[Said, ...]:
        """All of it, what was said most often first."""
        said = [Said(code, sentence, ticks) for (code, _), (sentence, ticks) in self._found.items()]
        return tuple(sorted(said, key=lambda each: -each.ticks))


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a policy on a trace."""

    trace: str
    policy: str
    params: Mapping[str, Any]
    conditions: Conditions
    instance_hours: float
    work_hours: float  # the work bound: what the work alone takes
    late_fraction: float
    wait_p50_s: float
    wait_p99_s: float
    wait_max_s: float
    launches: int
    ticks: int
    cpu_s: float
    timeline: Timeline
    notes: tuple[tuple[float, str], ...] = field(default=())  # (seconds, what was decided), where anything changed
    said: tuple[Said, ...] = ()  # in a world; else nothing is counted
    bound_hours: float | None = None  # the least of a policy without late messages; None: not computed

    @property
    def cost_ratio(self) -> float:
        """Instance-hours over the work bound."""
        return self.instance_hours / self.work_hours

    @property
    def cost_of_bound(self) -> float | None:
        """Instance-hours over the least that a policy without late messages can take; None where that is unknown."""
        return None if self.bound_hours is None else self.instance_hours / self.bound_hours

    def record(self) -> dict[str, Any]:
        """The run as one JSON object."""
        conditions = self.conditions
        of_bound = self.cost_of_bound
        bound = (
            {}
            if of_bound is None
            else {"bound_hours": round(self.bound_hours or 0.0, 3), "cost_of_bound": round(of_bound, 4)}
        )
        world = {"target_wait_s": conditions.target_wait_s, "boot_s": conditions.boot_s, "seed": conditions.seed}
        return {
            "trace": self.trace,
            "policy": self.policy,
            "params": {**world, **self.params},
            "instance_hours": round(self.instance_hours, 3),
            "cost_ratio": round(self.cost_ratio, 4),
            **bound,
            "late_fraction": round(self.late_fraction, 6),
            "wait_p50_s": round(self.wait_p50_s, 2),
            "wait_p99_s": round(self.wait_p99_s, 2),
            "wait_max_s": round(self.wait_max_s, 2),
            "launches": self.launches,
        }
