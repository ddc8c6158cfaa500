"""The planner's memory of a fleet, and the measured launches that the drainer adds beside it.

A memory is kept in two parts. What changes at each tick (samples, needs, spending) is small. What was learned of
metrics is large, and changes when they are read: about every third minute. A part that did not change is not written.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sluice.model.frozen import dataclass, replace
from sluice.model.planning import Memory, QueueMemory, TimedLaunch
from sluice.model.shadow import Shadow
from sluice.ports.errors import PortError

# A group rarely has more launches in some minutes; of more at once, the last ones are enough.
LAUNCHES_KEPT = 16
LEARNED_PARTS = frozenset({"service_rate", "arrivals", "batches", "redeliveries"})  # whole in the learned part


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """A fleet's memory before and after a tick."""

    fleet: str
    before: Memory
    after: Memory


class Launches(Protocol):
    """How long launches took."""

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Append a launch to those that memories are read with, with the next number. No lease is needed.

        At least the last LAUNCHES_KEPT stay. A call whose answer was lost may be repeated by the AWS client, and the
        launch is then noted twice.
        """
        ...

    def timed(self, fleets: Sequence[str]) -> Mapping[str, tuple[TimedLaunch, ...]]:
        """The last launches noted of each of several fleets, oldest first."""
        ...


class PlannerState(Launches, Protocol):
    """What the planner learned."""

    def memory(self, fleet: str) -> Memory:
        """The planner's memory, for display; an empty one if nothing was kept yet.

        `from_ledger` has the last launches noted, and what of the record could not be read.
        """
        ...

    def memories(self, fleets: Sequence[str]) -> tuple[Memory | PortError, ...]:
        """The memories of several fleets, in their order, without launches noted: for each the memory, or its error.

        Raises:
            PortError: none could be read.
        """
        ...

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Write memories, all but `from_ledger`; for each, in order, the error that it met.

        Only who ticks the fleets' shard may call it.
        """
        ...


def learned_of(memory: Memory) -> Memory:
    """The part of a memory that changes when metrics are read, the rest at its default."""
    return Memory(
        service_rate=memory.service_rate,
        arrivals=memory.arrivals,
        batches=memory.batches,
        redeliveries=memory.redeliveries,
        shadow=Shadow(score=memory.shadow.score),
        queues=tuple(QueueMemory(queue.name, queue.arrivals) for queue in memory.queues),
    )


def recent_of(memory: Memory) -> Memory:
    """The part of a memory that changes at each tick, the rest at its default."""
    return Memory(
        learned_at=memory.learned_at,
        launches=memory.launches,
        samples=memory.samples,
        margin=memory.margin,
        needs=memory.needs,
        spending=memory.spending,
        shadow=replace(memory.shadow, score=Shadow().score),
        queues=tuple(QueueMemory(queue.name, samples=queue.samples) for queue in memory.queues),
        counted=memory.counted,
        decisions=memory.decisions,
    )


def joined(learned: Memory, recent: Memory) -> Memory:
    """The memory of its two parts. Of several queues those stay that the recent part names."""
    return replace(
        recent,
        service_rate=learned.service_rate,
        arrivals=learned.arrivals,
        batches=learned.batches,
        redeliveries=learned.redeliveries,
        shadow=replace(recent.shadow, score=learned.shadow.score),
        queues=tuple(replace(queue, arrivals=learned.of_queue(queue.name).arrivals) for queue in recent.queues),
        from_ledger=replace(recent.from_ledger, unread=(*learned.from_ledger.unread, *recent.from_ledger.unread)),
    )
