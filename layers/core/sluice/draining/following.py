"""The chain of a fleet's drains: it is woken by whatever begins a drain, or makes one due sooner."""

from sluice.chains import ChainRunner
from sluice.config.fleet import Fleet
from sluice.draining.deadlines import FULL_CHECK_EVERY_S, next_check_at
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import Drain
from sluice.model.frozen import dataclass
from sluice.ports.errors import PortError

KIND = "drains"  # of these chains: there is one for each fleet with drains under way


def chain_id(fleet: str) -> str:
    """The chain of a fleet's drains."""
    return f"{KIND}/{fleet}"


@dataclass(frozen=True, slots=True)
class DrainFollower:
    """Sees to it that a fleet's drains are checked in time."""

    runner: ChainRunner
    telemetry: DrainTelemetry

    def follow(self, fleet: Fleet, drain: Drain | None, before: Drain | None = None) -> None:
        """Have a drain checked when it next needs it, if that is sooner than it was; a minute from now at the latest.

        Args:
            fleet: whose drain it is.
            drain: as it is now.
            before: as it was when its chain last knew of it; None: the chain may not know of it.
        """
        now = self.runner.now()
        at = None if drain is None else next_check_at(drain, fleet.drain, now)
        was_at = None if before is None else next_check_at(before, fleet.drain, now)
        if at is not None and (was_at is None or at < was_at):
            self.check_by(fleet, min(at, now + FULL_CHECK_EVERY_S))

    def check_by(self, fleet: Fleet, at: float) -> bool:
        """Have the fleet's drains checked by that time (epoch seconds); False: that is left to the sweep."""
        try:
            self.runner.wake(chain_id(fleet.name), at=at)
        except PortError as error:
            self.telemetry.failed(fleet, "the fleet's drains could not be brought forward: left to the sweep", error)
            return False
        return True
