"""One tick of a fleet: learn from what was observed, decide, and apply. What is kept of it is the round's to write.

Acting, shadow mode and a dry run are the same tick with other actuators.

| mode | sets the capacity | keeps the memory | records the decision |
|---|---|---|---|
| act | yes | yes | yes |
| shadow | no | yes | yes |
| dry run | no | no | no |
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision, Outcome, OutcomeStatus
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import Mode
from sluice.model.planning import Memory, OnRecord, Snapshot
from sluice.model.timing import Timing
from sluice.planning.learning.learn import learn
from sluice.planning.observing import Observed
from sluice.planning.planner import plan, remember
from sluice.planning.shadow.replay import ShadowTick, replay
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError
from sluice.ports.ledger import PlannerLedger
from sluice.ports.ledger.planner_state import MemoryChange

SILENT_S = 1.0  # a call that fails after so long has met a silent service: the next one would wait as long
RECORDED_S = 60.0  # a decision like the one before it is recorded again after so long
RECORDED_IDLE_S = 180.0  # that of an idle fleet, whose metrics are not read more often either


class CapacitySetter(Protocol):
    """Where a tick sets the capacity."""

    def set_desired(self, group: str, desired: int) -> None:
        """Set a group's desired capacity."""


class RoundLedger(Protocol):
    """Where a round writes what its ticks decided and learned."""

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Record decisions."""

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Keep memories."""


class ShadowGroup:
    """A group whose capacity stays as it is; what would have been set is in `wanted`."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, int]] = []

    def set_desired(self, group: str, desired: int) -> None:
        """Note it."""
        self.wanted.append((group, desired))


class ForgetfulLedger:
    """A ledger that keeps neither memory nor decision: a dry run's."""

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Forget them."""
        return (None,) * len(decided)

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Forget them."""
        return (None,) * len(changes)


class KeepingLedger:
    """The planner's own records."""

    def __init__(self, ledger: PlannerLedger) -> None:
        self._ledger = ledger

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Record decisions."""
        return self._ledger.decisions.record_all(decided)

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Keep memories."""
        return self._ledger.planner_state.keep_memories(changes)


class ImpatientGroup:
    """Groups whose capacity is set until Auto Scaling is silent once: then nobody else of the round waits for it."""

    def __init__(self, group: CapacitySetter, now: Callable[[], float]) -> None:
        self._group = group
        self._now = now
        self._silence: TryLaterError | None = None

    def set_desired(self, group: str, desired: int) -> None:
        """Set a group's desired capacity; after a silence raise the error of that."""
        if self._silence is not None:
            raise self._silence
        began_at = self._now()
        try:
            self._group.set_desired(group, desired)
        except TryLaterError as error:
            if self._now() - began_at >= SILENT_S:
                self._silence = error
            raise


@dataclass(frozen=True, slots=True)
class Actuators:
    """What a round sets and keeps through, and the status of a change that it made."""

    group: CapacitySetter
    ledger: RoundLedger
    done: OutcomeStatus

    def of(self, fleet: Fleet) -> "Actuators":
        """The actuators for a fleet's mode."""
        if fleet.mode is Mode.SHADOW:
            return replace(self, group=ShadowGroup(), done=OutcomeStatus.SHADOW)
        return self


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick saw, decided and did."""

    snapshot: Snapshot
    before: Memory
    memory: Memory
    decision: Decision
    outcome: Outcome
    faults: tuple[PortError, ...] = ()  # what could not be read or done
    shadow: ShadowTick | None = None  # in shadow mode: the simulated fleet

    @property
    def is_news(self) -> bool:
        """Whether the decision is to be recorded: it is not like the one on record, or that was a while ago."""
        was, again_s = self.before.decisions.on_record, RECORDED_IDLE_S if self._is_idle else RECORDED_S
        return gist_of(self.decision, self.outcome) != was.gist or self.decision.at - was.at >= again_s

    @property
    def jumped(self) -> bool:
        """Whether so many more messages wait than at the tick before that the count is read again soon."""
        visible = self.snapshot.queue.visible
        if visible is None or not self.before.samples or self.decision.mode is Mode.PAUSED:
            return False
        was = self.before.samples[-1]
        if was.visible == 0 and was.in_flight == 0 and was.working == 0:
            return visible.value > 0  # the first messages of an idle fleet
        return visible.value > max(2.0 * was.visible, float(self.decision.current))

    @property
    def is_quiet(self) -> bool:
        """Whether the memory need not be written yet: the fleet is idle, and its decision is not recorded either.

        What its metrics taught meanwhile is taught again should the process end: they are kept for longer.
        """
        return self._is_idle and not self.is_news

    @property
    def _is_idle(self) -> bool:
        """Whether the fleet was empty at both ticks, and nothing else happened."""
        newest, group = self.memory.samples[-2:], self.snapshot.group
        if len(newest) < 2 or group is None or self.faults or self.before.from_ledger.unread:
            return False
        is_empty = not any(sample.visible or sample.in_flight or sample.arrived for sample in newest)
        simulated = self.shadow.decision if self.shadow is not None else None
        return (
            is_empty
            and newest[0].working == newest[1].working == group.desired
            and self.decision.want == self.decision.current
            and (simulated is None or simulated.want == simulated.current)
        )


def tick(
    fleet: Fleet, before: Memory, seen: Observed, actuators: Actuators, *, timing: Timing, now: float
) -> TickResult:
    """Decide on what was observed of a fleet, and act.

    Args:
        fleet: whose tick it is.
        before: what was known of it.
        seen: what was observed.
        actuators: what is set through.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.
    """
    snapshot, faults = seen.snapshot, seen.faults
    memory, estimates = learn(before, snapshot, fleet, timing=timing, now=now)
    decision = plan(snapshot, fleet, estimates, memory, timing=timing, now=now)
    memory = remember(memory, decision, timing)
    shadow: ShadowTick | None = None
    if fleet.mode is Mode.SHADOW:
        shadow = replay(before, memory, estimates, snapshot, fleet, timing=timing, now=now)
        memory = replace(memory, shadow=shadow.shadow)
    blind = snapshot.group is None or snapshot.queue.visible is None
    outcome, faults = _apply(actuators, fleet, decision, faults, blind=blind)
    return TickResult(snapshot, before, memory, decision, outcome, faults, shadow)


def gist_of(decision: Decision, outcome: Outcome) -> str:
    """What is the same of decisions that differ in their figures alone."""
    codes = ",".join(reason.code for reason in decision.reasons)
    return f"{decision.mode} {decision.current} {decision.want} {codes} {outcome.status}"


def recorded(result: TickResult) -> Memory:
    """The memory after the tick's decision was recorded."""
    on_record = OnRecord(result.decision.at, gist_of(result.decision, result.outcome))
    return replace(result.memory, decisions=replace(result.memory.decisions, on_record=on_record))


def _apply(
    actuators: Actuators, fleet: Fleet, decision: Decision, faults: tuple[PortError, ...], *, blind: bool
) -> tuple[Outcome, tuple[PortError, ...]]:
    """Set what is wanted; the outcome, and all that went wrong."""
    status = OutcomeStatus.UNCHANGED
    if decision.want != decision.current:
        try:
            actuators.group.set_desired(fleet.group, decision.want)
            status = actuators.done
        except PortError as fault:
            faults, status = (*faults, fault), OutcomeStatus.FAILED
    if status is OutcomeStatus.UNCHANGED and (blind or any(isinstance(fault, NeedsFixError) for fault in faults)):
        status = OutcomeStatus.FAILED  # held because something is missing, not because nothing was to do
    answer = "; ".join(str(fault) for fault in faults)
    return Outcome(decision.at, status, answer), faults
