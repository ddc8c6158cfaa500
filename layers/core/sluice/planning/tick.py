"""One tick of a fleet over the ports: read a snapshot, learn, decide, apply and record.

Acting, shadow mode and a dry run are the same tick with other actuators: what is set and kept is another adapter.

| mode | sets the capacity | keeps the memory | records the decision | takes the lease |
|---|---|---|---|---|
| act | yes | yes | yes | yes |
| shadow | no | yes | yes | yes |
| dry run | no | no | no | no |
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Mode, QueueReading
from sluice.model.planning import Decision, Memory, Outcome, OutcomeStatus, Snapshot
from sluice.model.timing import Timing
from sluice.planning.learning.learn import learn
from sluice.planning.multi_queue import pooled
from sluice.planning.planner import plan, remember
from sluice.planning.shadow.replay import ShadowTick, replay
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError, answer_of
from sluice.ports.ledger import PlannerLedger
from sluice.ports.stack import Ports

LEASE_S = 60.0  # a tick during which AWS does not answer ends sooner; a planner that died is replaced in a minute


class CapacitySetter(Protocol):
    """Where a tick sets the capacity."""

    def set_desired(self, group: str, desired: int) -> None:
        """Set a group's desired capacity."""


class MemoryWriter(Protocol):
    """Where a tick keeps what it learned."""

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the planner's memory."""


class DecisionRecorder(Protocol):
    """Where a tick records what it decided."""

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision."""


class ShadowGroup:
    """A group whose capacity stays as it is; what would have been set is in `wanted`."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, int]] = []

    def set_desired(self, group: str, desired: int) -> None:
        """Note it."""
        self.wanted.append((group, desired))


class ForgetfulLedger:
    """A ledger that keeps neither memory nor decision: a dry run's."""

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Forget it."""

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Actuators:
    """What a tick sets and keeps through, and the status of a change that it made."""

    group: CapacitySetter
    memories: MemoryWriter
    decisions: DecisionRecorder
    done: OutcomeStatus


def actuators_for(ports: Ports[PlannerLedger], fleet: Fleet, *, dry_run: bool) -> Actuators:
    """The actuators for a fleet's mode, or for a dry run."""
    if dry_run:
        nowhere = ForgetfulLedger()
        return Actuators(ShadowGroup(), nowhere, nowhere, OutcomeStatus.SHADOW)
    memories, decisions = ports.ledger.planner_state, ports.ledger.decisions
    if fleet.mode is Mode.SHADOW:
        return Actuators(ShadowGroup(), memories, decisions, OutcomeStatus.SHADOW)
    return Actuators(ports.group, memories, decisions, OutcomeStatus.APPLIED)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick saw, decided and did."""

    snapshot: Snapshot
    memory: Memory
    decision: Decision
    outcome: Outcome
    faults: tuple[PortError, ...] = ()  # what could not be read or done
    shadow: ShadowTick | None = None  # in shadow mode: the simulated fleet
    unread: tuple[str, ...] = ()  # what of the kept memory could not be read, in sentences

    @property
    def again(self) -> bool:
        """Whether to tick again within this minute: a real or simulated fleet needs it, or a retry may succeed."""
        simulated = self.shadow.decision if self.shadow is not None else None
        if simulated is not None and simulated.tick_again:
            return True
        return self.decision.tick_again or any(isinstance(fault, TryLaterError) for fault in self.faults)


def tick(ports: Ports[PlannerLedger], fleet: Fleet, actuators: Actuators, timing: Timing, now: float) -> TickResult:
    """Observe a fleet once, decide and act. The lease is the caller's.

    Args:
        ports: what is read.
        fleet: whose tick it is.
        actuators: what is set and kept through.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.

    Raises:
        PortError: the ledger could not be read or written; the capacity may be set.
    """
    snapshot, faults = observe(ports, fleet, now)

    before = ports.ledger.planner_state.memory(fleet.name)
    memory, estimates = learn(before, snapshot, fleet, timing=timing, now=now)
    decision = plan(snapshot, fleet, estimates, memory, timing=timing, now=now)
    memory = remember(memory, decision, timing)
    shadow: ShadowTick | None = None
    if fleet.mode is Mode.SHADOW:
        shadow = replay(before, memory, estimates, snapshot, fleet, timing=timing, now=now)
        memory = replace(memory, shadow=shadow.shadow)

    blind = snapshot.group is None or snapshot.queue.visible is None
    outcome, faults = _apply(actuators, fleet, decision, faults, blind=blind)
    actuators.decisions.record(decision, outcome)
    actuators.memories.keep_memory(fleet.name, memory)
    return TickResult(snapshot, memory, decision, outcome, faults, shadow, before.unread)


def observe(ports: Ports[object], fleet: Fleet, now: float) -> tuple[Snapshot, tuple[PortError, ...]]:
    """All that can be read of a fleet now, and what could not be read and is missing from it."""
    faults: list[PortError] = []
    group: GroupReading | None = None
    veto: bool | None = None
    queues, unread = _read_queues(ports, fleet, now)
    faults += unread
    try:
        group = ports.group.read(fleet.group)
    except PortError as fault:
        faults.append(fault)
    if fleet.limits.veto_alarm is not None:
        try:
            veto = ports.signals.alarm_is_on(fleet.limits.veto_alarm)
        except PortError as fault:
            faults.append(fault)
    problems = tuple(str(fault) for fault in faults)
    if fleet.shared:
        return Snapshot(fleet.name, now, pooled(fleet.sources, queues), group, problems, veto, queues), tuple(faults)
    return Snapshot(fleet.name, now, queues[0], group, problems, veto), tuple(faults)


def _read_queues(ports: Ports[object], fleet: Fleet, now: float) -> tuple[tuple[QueueReading, ...], list[PortError]]:
    """Each of the fleet's queues, in the order of its sources, as far as it could be read."""
    if fleet.shared:
        urls = [source.queue for source in fleet.sources]
        lives = _all_or_fault(lambda: ports.queue.read_all(urls, now), len(urls))
        metrics = _all_or_fault(lambda: ports.signals.read_all(urls, now), len(urls))
    else:
        url = fleet.sources[0].queue
        lives = (answer_of(lambda: ports.queue.read(url, now)),)
        metrics = (answer_of(lambda: ports.signals.read(url, now)),)
    # What is wrong with all of them, such as CloudWatch not answering, is listed once.
    faults = {str(each): each for each in (*lives, *metrics) if isinstance(each, PortError)}
    return tuple(merge(*map(_known, both)) for both in zip(lives, metrics, strict=True)), list(faults.values())


def _all_or_fault(
    read: Callable[[], Sequence[QueueReading | PortError]], count: int
) -> Sequence[QueueReading | PortError]:
    answers = answer_of(read)
    return [answers] * count if isinstance(answers, PortError) else answers


def _known(answer: QueueReading | PortError) -> QueueReading:
    return QueueReading() if isinstance(answer, PortError) else answer


def merge(live: QueueReading, metrics: QueueReading) -> QueueReading:
    """The queue's own counts where there are any, the metrics' otherwise."""
    return replace(
        metrics,
        visible=live.visible or metrics.visible,
        in_flight=live.in_flight or metrics.in_flight,
        delayed=live.delayed or metrics.delayed,
        oldest_age=live.oldest_age or metrics.oldest_age,
    )


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
