"""The planner's steps as tests take them: with the default timing, and memories made from single figures."""

from dataclasses import replace
from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.observed import GroupReading
from sluice.model.planning import Estimates, Forecast, Measure, Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.assessment import Assessment, assess
from sluice.planning.learning import learn as learning
from sluice.planning.learning.forecasting import forecast
from sluice.planning.learning.lead_time import lead_time
from sluice.planning.learning.service_rate import service_rate
from sluice.planning.planner import plan, remember
from sluice.planning.shadow.replay import ShadowTick, replay
from sluice.ports.ledger import PlannerLedger
from sluice.ports.ledger.planner_state import MemoryChange

TIMING = Timing()

# Where a memory has each single figure; one that is not here is a field of its own.
PLACES = {
    "rate": ("service_rate", "estimate"),
    "completed": ("service_rate", "completed"),
    "outlier_run": ("service_rate", "outlier_run"),
    "to_service": ("launches", "to_service"),
    "to_first_message": ("launches", "to_first_message"),
    "reported": ("launches", "reported"),
    "arrivals": ("arrivals", "history"),
    "forecasts": ("arrivals", "forecasts"),
    "errors": ("arrivals", "errors"),
    "chosen": ("arrivals", "chosen"),
    "first_unit": ("launches", "first_unit"),
    "under_way": ("launches", "under_way"),
    "came_at": ("launches", "came_at"),
    "short_lived": ("launches", "short_lived"),
    "failing": ("launches", "failing"),
    "batches": ("batches", "expected"),
    "returned": ("redeliveries", "history"),
    "carry": ("redeliveries", "carry"),
    "failing_share": ("redeliveries", "failing_share"),
    "suspects": ("redeliveries", "suspects"),
    "poison": ("redeliveries", "poison"),
    "held": ("redeliveries", "held"),
    "enough": ("service_rate", "enough"),
    "spread": ("service_rate", "spread"),
    "margin_share": ("margin", "share"),
    "held_since": ("margin", "held_since"),
    "late": ("margin", "late"),
    "needs": ("needs", "needs"),
    "needs_since": ("needs", "since"),
    "needs_until": ("needs", "until"),
    "day_at": ("spending", "day_at"),
    "spent_s": ("spending", "spent_s"),
    "control": ("decisions", "control"),
    "timed": ("from_ledger", "timed"),
    "unread": ("from_ledger", "unread"),
}


def a_memory(**figures: Any) -> Memory:
    """A memory of single figures, by their names in `PLACES`."""
    return changed(Memory(), **figures)


def changed(memory: Memory, **figures: Any) -> Memory:
    """The memory with other figures, by their names in `PLACES`."""
    for name, value in figures.items():
        part, *field = PLACES.get(name, (name,))
        memory = replace(memory, **{part: replace(getattr(memory, part), **{field[0]: value}) if field else value})
    return memory


def learn_from(memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float, timing: Timing = TIMING) -> Memory:
    """The memory after a tick has seen a snapshot."""
    return learning.learn(memory, snapshot, fleet, timing=timing, now=now)[0]


def tick_of(
    memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float, timing: Timing = TIMING
) -> tuple[Memory, Estimates, Decision]:
    """A whole tick: what is known after it, with its own decision, what is believed by it, and what is decided."""
    learned, believed = learning.learn(memory, snapshot, fleet, timing=timing, now=now)
    decision = plan(snapshot, fleet, believed, learned, timing=timing, now=now)
    return remember(learned, decision, timing), believed, decision


def estimates_of(memory: Memory, fleet: Fleet, now: float, timing: Timing = TIMING) -> Estimates:
    """What is believed by a memory."""
    return learning.estimate(memory, fleet, timing, now)


def plan_for(snapshot: Snapshot, fleet: Fleet, memory: Memory, now: float, timing: Timing = TIMING) -> Decision:
    """The decision by what a memory knows."""
    return plan(snapshot, fleet, estimates_of(memory, fleet, now, timing), memory, timing=timing, now=now)


def remember_need(memory: Memory, decision: Decision, timing: Timing = TIMING) -> Memory:
    """The memory after a decision."""
    return remember(memory, decision, timing)


def replay_for(
    before: Memory, memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float, *, timing: Timing = TIMING
) -> ShadowTick:
    """One tick of the simulated fleet."""
    estimates = estimates_of(memory, fleet, now, timing)
    return replay(before, memory, estimates, snapshot, fleet, timing=timing, now=now)


def assess_for(
    snapshot: Snapshot, group: GroupReading, fleet: Fleet, memory: Memory, now: float, *, timing: Timing = TIMING
) -> Assessment:
    """A tick's input in the theory's terms, by what a memory knows."""
    estimates = estimates_of(memory, fleet, now, timing)
    return assess(snapshot, group, fleet, estimates, memory, timing=timing, now=now)


def rate_of(memory: Memory, fleet: Fleet, now: float, timing: Timing = TIMING) -> Measure:
    """The service rate by what a memory knows."""
    return service_rate(memory.service_rate, memory.counted, fleet, timing, now)


def lead_of(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """The lead time by what a memory knows."""
    return lead_time(memory.launches, fleet, now)


def forecast_of(memory: Memory, now: float, timing: Timing = TIMING) -> Forecast:
    """The forecast by what a memory knows."""
    return forecast(memory.arrivals.history, memory.samples, memory.arrivals.chosen, timing, now)


def keep_memory(ledger: PlannerLedger, fleet: str, memory: Memory) -> None:
    """Keep a fleet's memory, whatever was kept before."""
    (before,) = ledger.planner_state.memories([fleet])
    assert isinstance(before, Memory)
    assert ledger.planner_state.keep_memories([MemoryChange(fleet, before, memory)]) == (None,)
