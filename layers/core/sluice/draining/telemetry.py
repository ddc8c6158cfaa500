"""What is told of drains, and of consumers that are tracked: lines of the log, and a tally that becomes metrics."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.consumers.tracker import TrackingResult
from sluice.draining.events import Event, OperatorRelease
from sluice.model.draining import Drain, DrainState
from sluice.model.frozen import dataclass
from sluice.ports.errors import NeedsFixError, PortError
from sluice.telemetry import Log, Record, Unit


@dataclass(slots=True)
class DrainTelemetry:
    """Who tells, for one invocation."""

    log: Log
    tally: list[Record] = field(default_factory=list)

    def about(self, fleet: Fleet, instance_id: str) -> AbstractContextManager[None]:
        """What the log tells within is of this instance's drain."""
        return self.log.append_context_keys(fleet=fleet.name, instance_id=instance_id)

    def written(self, before: Drain | None, after: Drain, event: Event) -> None:
        """One log line and the metrics of a record that was written."""
        if before is not None and after.note == before.note and after.state is before.state:
            return  # a heartbeat or a sign of life
        self.log.info(after.note, drain=after.state, version=after.version, deadline_at=after.deadline_at)
        entered = before is None or before.state is not after.state
        if before is None or (before.state is DrainState.RELEASED and entered):
            self.tally.append(Record(after.fleet, "DrainsStarted", Unit.COUNT, 1))
        if entered and after.state is DrainState.EXPIRED and not isinstance(event, OperatorRelease):
            self.tally.append(Record(after.fleet, "DrainsExpired", Unit.COUNT, 1))
        if entered and after.state is DrainState.RETAINED:
            self.tally.append(Record(after.fleet, "DrainsRetained", Unit.COUNT, 1))
        if entered and after.state is DrainState.RELEASED:
            self.tally.append(Record(after.fleet, "DrainsReleased", Unit.COUNT, 1))
            if after.outcome is not None:
                self.tally.append(Record(after.fleet, f"Drains{after.outcome.title()}", Unit.COUNT, 1))
            duration_s = max(0.0, after.updated_at - after.started_at)
            self.tally.append(Record(after.fleet, "DrainDuration", Unit.SECONDS, duration_s))

    def heartbeat_sent(self, fleet: Fleet) -> None:
        """A hook's timeout was restarted."""
        self.tally.append(Record(fleet.name, "HeartbeatsSent", Unit.COUNT, 1))

    def tracked(self, fleet: Fleet, result: TrackingResult) -> None:
        """What came of minding a fleet's consumers."""
        for problem in result.problems:
            self.failed(fleet, "a consumer could not be tracked", problem)
        for instance_id in result.admitted:
            self.log.info("its consumer is ready: it counts", fleet=fleet.name, instance_id=instance_id)
        for instance_id in result.lost:
            self.log.warning("it left before its consumer was ready", fleet=fleet.name, instance_id=instance_id)
        for launch in result.launches:
            self.tally.append(Record(fleet.name, "LaunchToFirstMessage", Unit.SECONDS, launch.to_first_message_s))
            if launch.to_ready_s is not None:
                self.tally.append(Record(fleet.name, "LaunchToReady", Unit.SECONDS, launch.to_ready_s))
        counts = {
            "BootsLost": len(result.lost),
            "InstancesProtected": result.protected_count,
            "ProtectionsLifted": result.lifted_count,
        }
        self.tally += [Record(fleet.name, name, Unit.COUNT, count) for name, count in counts.items() if count]

    def retained(self, fleet: Fleet, drains: Iterable[Drain], now: float) -> None:
        """What is kept for inspection: how many, how long, at what cost. An alarm keeps them from being forgotten."""
        ages_s = [now - d.retained_at for d in drains if d.state is DrainState.RETAINED and d.retained_at]
        if not ages_s:
            return
        self.tally.append(Record(fleet.name, "InstancesRetained", Unit.COUNT, len(ages_s)))
        self.tally.append(Record(fleet.name, "RetainedAge", Unit.SECONDS, max(0.0, *ages_s)))
        if fleet.drain.hourly_cost is not None:
            cost = sum(ages_s) / 3_600 * fleet.drain.hourly_cost
            self.tally.append(Record(fleet.name, "RetainedCost", Unit.NONE, cost))

    def failed(self, fleet: Fleet, what: str, error: PortError, **keys: str) -> None:
        """A failure that the next tick or sweep makes good, or that a person must."""
        log = self.log.error if isinstance(error, NeedsFixError) else self.log.warning
        log(what, extra={"fleet": fleet.name, "problem": str(error), **keys})
        self.tally.append(Record(fleet.name, "DrainCallsFailed", Unit.COUNT, 1))
