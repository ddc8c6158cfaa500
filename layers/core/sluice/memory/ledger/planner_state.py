"""The PlannerState and Launches ports in memory, which share a record."""

from dataclasses import replace

from sluice.model.planning import Memory, TimedLaunch
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT


class MemoryPlannerState:
    """The PlannerState and Launches ports: both by fleet."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}
        self._launches: dict[str, tuple[TimedLaunch, ...]] = {}

    def memory(self, fleet: str) -> Memory:
        """The planner's memory, with the last launches noted."""
        return replace(self._memories.get(fleet, Memory()), timed=self._launches.get(fleet, ()))

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the planner's memory."""
        self._memories[fleet] = memory

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to those that the memory is read with."""
        noted = self._launches.get(fleet, ())
        number = noted[-1].number + 1 if noted else 1
        self._launches[fleet] = (*noted, replace(launch, number=number))[-LAUNCHES_KEPT:]
