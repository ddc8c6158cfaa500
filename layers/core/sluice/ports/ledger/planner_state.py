"""The planner's memory of a fleet, and the measured launches that the drainer adds to the same record."""

from typing import Protocol

from sluice.model.planning import Memory, TimedLaunch

# Every tick reads the launches. A group rarely has more in a minute; of more at once, the last ones are enough.
LAUNCHES_KEPT = 16


class PlannerState(Protocol):
    """What the planner learned."""

    def memory(self, fleet: str) -> Memory:
        """The planner's memory; an empty one if nothing was kept yet.

        `timed` holds the last launches noted, oldest first. `unread` lists, in sentences, what of the record could not
        be read.
        """
        ...

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Write the memory, all but `timed` and `unread`. Only the holder of the fleet's lease may call it."""
        ...


class Launches(Protocol):
    """Where the drainer notes how long launches took."""

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Append a launch to `Memory.timed`, with the next number. No lease is needed.

        At least the last LAUNCHES_KEPT stay. A call whose answer was lost may be repeated by the AWS client, and the
        launch is then noted twice.
        """
        ...
