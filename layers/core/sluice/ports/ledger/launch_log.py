"""The launches that Auto Scaling's events reported, so that no tick has to ask for a group's scaling activities."""

from typing import Protocol

from sluice.model.launches import Launch

# The planner scales out with care for an hour after a launch that failed (`sluice.planning.limits`), and no launch is
# timed for longer.
LAUNCHES_LOGGED_S = 3_600.0


class LaunchLog(Protocol):
    """Launches of every fleet's group, noted as their events arrive."""

    def note_launch_event(self, launch: Launch, now: float) -> None:
        """Note a launch that is over. No lease is needed; one that is noted twice is one launch."""
        ...

    def launches(self, now: float) -> tuple[Launch, ...]:
        """Every launch noted in the last LAUNCHES_LOGGED_S, of all groups, by one read for any number of them."""
        ...
