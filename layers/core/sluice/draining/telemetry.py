"""The log lines and the metrics of drains, and of the consumers that a sweep tracks."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import field
from datetime import UTC, datetime

from sluice.config.fleet import Fleet
from sluice.consumers.tracker import TrackingResult
from sluice.draining.events import Event, OperatorRelease
from sluice.model.draining import Drain, DrainOutcome, DrainState
from sluice.model.frozen import dataclass
from sluice.ports.errors import NeedsFixError, PortError
from sluice.telemetry import Log, Record, Unit

# The metric that counts a drain when it is released, by its outcome. One that expired was counted then.
OUTCOMES = {
    DrainOutcome.COMPLETED: "DrainsCompleted",
    DrainOutcome.INTERRUPTED: "DrainsInterrupted",
    DrainOutcome.NOTHING: "DrainsNothing",
    DrainOutcome.LATE: "DrainsLate",
    DrainOutcome.GONE: "DrainsGone",
    DrainOutcome.CLOSED: "DrainsClosed",
    DrainOutcome.TERMINATED: "DrainsTerminated",
}


@dataclass(slots=True)
class DrainTelemetry:
    """The log and the metric records of one invocation."""

    log: Log
    records: list[Record] = field(default_factory=list)

    def about(self, fleet: Fleet, instance_id: str) -> AbstractContextManager[None]:
        """Log lines written within name this instance's drain."""
        return self.log.append_context_keys(fleet=fleet.name, instance_id=instance_id)

    def written(self, before: Drain | None, after: Drain, event: Event) -> None:
        """One log line, and the metrics, of a record that was written."""
        if before is not None and after.note == before.note and after.state is before.state:
            return  # a heartbeat or a sign of life
        self.log.info(after.note, drain=after.state, version=after.version, deadline_at=_utc(after.deadline.at))
        entered = before is None or before.state is not after.state
        if before is None or (before.state is DrainState.RELEASED and entered):
            self.records.append(Record(after.fleet, "DrainsStarted", Unit.COUNT, 1))
        if entered and after.state is DrainState.EXPIRED and not isinstance(event, OperatorRelease):
            self.records.append(Record(after.fleet, "DrainsExpired", Unit.COUNT, 1))
        if entered and after.state is DrainState.RETAINED:
            self.records.append(Record(after.fleet, "DrainsRetained", Unit.COUNT, 1))
        if entered and after.state is DrainState.RELEASED:
            self.records.append(Record(after.fleet, "DrainsReleased", Unit.COUNT, 1))
            if after.outcome is not None and (name := OUTCOMES.get(after.outcome)):
                self.records.append(Record(after.fleet, name, Unit.COUNT, 1))
            duration_s = max(0.0, after.updated_at - after.started_at)
            self.records.append(Record(after.fleet, "DrainDuration", Unit.SECONDS, duration_s))

    def heartbeat_sent(self, fleet: Fleet) -> None:
        """A hook's timeout was restarted."""
        self.records.append(Record(fleet.name, "HeartbeatsSent", Unit.COUNT, 1))

    def consumers_tracked(self, fleet: Fleet, result: TrackingResult) -> None:
        """What came of tracking a fleet's consumers."""
        for problem in result.problems:
            self.failed(fleet, "a consumer's record, launch hook or protection could not be updated", problem)
        for instance_id in result.admitted:
            self.log.info("consumer ready; launch hook completed", fleet=fleet.name, instance_id=instance_id)
        for instance_id in result.lost:
            self.log.warning("instance left before its consumer was ready", fleet=fleet.name, instance_id=instance_id)
        for launch in result.launches:
            self.records.append(Record(fleet.name, "LaunchToFirstMessage", Unit.SECONDS, launch.to_first_message_s))
            if launch.to_ready_s is not None:
                self.records.append(Record(fleet.name, "LaunchToReady", Unit.SECONDS, launch.to_ready_s))
        counts = {
            "BootsLost": len(result.lost),
            "InstancesProtected": result.protected_count,
            "ProtectionsLifted": result.lifted_count,
        }
        self.records += [Record(fleet.name, name, Unit.COUNT, count) for name, count in counts.items() if count]

    def retained(self, fleet: Fleet, since: Iterable[float], now: float) -> None:
        """Metrics of the instances that are kept for inspection: how many, how long (seconds), at what cost.

        Args:
            fleet: whose instances they are.
            since: from when each is kept, in epoch seconds.
            now: epoch seconds.
        """
        ages_s = [now - at for at in since]
        if not ages_s:
            return
        self.records.append(Record(fleet.name, "InstancesRetained", Unit.COUNT, len(ages_s)))
        self.records.append(Record(fleet.name, "RetainedAge", Unit.SECONDS, max(0.0, *ages_s)))
        if fleet.drain.hourly_cost is not None:
            cost = sum(ages_s) / 3_600 * fleet.drain.hourly_cost
            self.records.append(Record(fleet.name, "RetainedCost", Unit.NONE, cost))

    def failed(self, fleet: Fleet, what: str, error: PortError, **keys: str) -> None:
        """A failure that the next tick or sweep repairs, or that an operator must."""
        log = self.log.error if isinstance(error, NeedsFixError) else self.log.warning
        log(what, extra={"fleet": fleet.name, "problem": str(error), **keys})
        self.records.append(Record(fleet.name, "DrainCallsFailed", Unit.COUNT, 1))


def _utc(at: float) -> str:
    """A time in epoch seconds as ISO 8601, in whole seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
