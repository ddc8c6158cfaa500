"""The LaunchLog port in memory."""

from sluice.model.launches import Launch
from sluice.ports.ledger.launch_log import LAUNCHES_LOGGED_S


class MemoryLaunchLog:
    """The LaunchLog port: launches by activity, with the time when each was noted first."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[float, Launch]] = {}

    def note_launch_event(self, launch: Launch, now: float) -> None:
        """Note a launch."""
        self._noted[launch.activity] = (now, launch)

    def launches(self, now: float) -> tuple[Launch, ...]:
        """Every launch noted lately."""
        self._noted = {key: kept for key, kept in self._noted.items() if kept[0] > now - LAUNCHES_LOGGED_S}
        return tuple(launch for _, launch in self._noted.values())
