"""The PlannerState port in memory."""

from collections.abc import Mapping, Sequence

from sluice.model.frozen import replace
from sluice.model.planning import Memory, TimedLaunch
from sluice.ports.errors import PortError
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT, MemoryChange


class MemoryPlannerState:
    """The PlannerState port: memories and launches by fleet."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}
        self._launches: dict[str, tuple[TimedLaunch, ...]] = {}

    def memory(self, fleet: str) -> Memory:
        """The planner's memory, with the last launches noted."""
        memory = self._memories.get(fleet, Memory())
        return replace(memory, from_ledger=replace(memory.from_ledger, timed=self._launches.get(fleet, ())))

    def memories(self, fleets: Sequence[str]) -> tuple[Memory | PortError, ...]:
        """The memories of several fleets."""
        return tuple(self._memories.get(fleet, Memory()) for fleet in fleets)

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Keep memories."""
        for change in changes:
            self._memories[change.fleet] = replace(
                change.after, from_ledger=replace(change.after.from_ledger, timed=())
            )
        return (None,) * len(changes)

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to those that the memory is read with."""
        noted = self._launches.get(fleet, ())
        number = noted[-1].number + 1 if noted else 1
        self._launches[fleet] = (*noted, replace(launch, number=number))[-LAUNCHES_KEPT:]

    def timed(self, fleets: Sequence[str]) -> Mapping[str, tuple[TimedLaunch, ...]]:
        """The last launches noted of each fleet."""
        return {fleet: self._launches.get(fleet, ()) for fleet in fleets}
