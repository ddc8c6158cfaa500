"""Instances that EC2 is going to reboot, stop or retire are replaced before, so that their consumers can finish.

EC2 itself says which instances those are, and that alone counts: an event of AWS Health makes Sluice look at once, and
the sweep looks each minute. So an event that is lost, late, repeated or forged changes nothing, and nothing has to be
remembered. Auto Scaling is asked to terminate the instance and to keep the desired capacity: it launches a replacement,
and the termination hook begins a drain like any other. Scale-in protection does not hold such an instance:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html

Left alone, Auto Scaling replaces the instance itself, but at the scheduled time, when the machine goes as well:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-checks-overview.html
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sluice.config.fleet import Fleet
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import ScheduledEvent
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle, Mode, capacity
from sluice.ports.errors import NeedsFixError, PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

# The share of a fleet's desired capacity that is replaced at a time, though always at least one instance.
SHARE = 0.1
# What is left for Auto Scaling and the hook between the end of an instance's longest drain and its time, in seconds.
AHEAD_S = 600.0


def due(
    reading: GroupReading, scheduled: Mapping[str, ScheduledEvent], longest_s: float, now: float
) -> tuple[ScheduledEvent, ...]:
    """The events of the instances to be ended now, the earliest first.

    At most a tenth of the fleet is missing at a time, or one instance: the next ones follow when replacements are in
    service. An instance whose time has nearly come is ended at once all the same, since it could not finish otherwise.

    Args:
        reading: the fleet's group.
        scheduled: EC2's scheduled events, by instance id.
        longest_s: how long a drain of the fleet may take at most, with all that progress puts its deadline off, in
            seconds.
        now: epoch seconds.
    """
    here = [each for each in reading.instances if each.state is Lifecycle.IN_SERVICE and each.id in scheduled]
    here.sort(key=lambda each: (scheduled[each.id].at, each.id))
    missing = max(0.0, reading.desired - capacity(reading.instances, Lifecycle.IN_SERVICE))
    room = 0.0 if "Launch" in reading.suspended else max(1.0, reading.desired * SHARE) - missing
    events = []
    for instance in here:
        event = scheduled[instance.id]
        if room > 0 or event.at - now < longest_s + AHEAD_S:
            events.append(event)
            room -= instance.weight
    return tuple(events)


class Ender(Protocol):
    """Terminates an instance of a group, which launches another."""

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate it; False if Auto Scaling knows of none."""
        ...


class ShadowEnder:
    """Ends nothing: the fleet is in shadow mode, or paused."""

    def end(self, group: str, instance_id: str) -> bool:  # noqa: ARG002
        """Leave it in service."""
        return False


@dataclass(slots=True)
class ScheduledReplacer:
    """Replaces the instances that have scheduled events; nothing more is begun past `until` (epoch seconds)."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float
    telemetry: DrainTelemetry

    def sweep(self, fleets: Sequence[Fleet], readings: Mapping[str, GroupReading]) -> None:
        """Replace what is due in these fleets; `readings` are their groups, by the fleet's name."""
        try:
            scheduled = self.ports.instances.scheduled()
        except PortError as error:
            log = self.telemetry.log.error if isinstance(error, NeedsFixError) else self.telemetry.log.warning
            log("EC2's scheduled events could not be read: the next sweep asks again", problem=str(error))
            return
        for fleet in fleets if scheduled else ():
            if fleet.name in readings:
                self._replace(fleet, readings[fleet.name], scheduled)

    def answer(self, instance_ids: Sequence[str], directory: FleetDirectory) -> dict[str, Any]:
        """Look at the fleets of the instances that an event of AWS Health names; what came of it, as JSON.

        What fails here, or is not shown by EC2 yet, is left to the sweep.
        """
        try:
            scheduled = self.ports.instances.scheduled()
            fleets: dict[str, Fleet] = {}
            for instance_id in sorted(scheduled.keys() & set(instance_ids)):
                if self.now() >= self.until:
                    break
                member = self.ports.group.membership(instance_id)
                if member and (fleet := directory.managing(member.group)):
                    fleets[fleet.name] = fleet
        except PortError as error:
            self.telemetry.log.warning("scheduled events are left to the sweep", problem=str(error))
            return {"left": str(error)}
        if not fleets:
            return {"ignored": "EC2 has no reboot, stop or retirement scheduled for an instance of a fleet"}
        ended: list[str] = []
        found = list(fleets.values())
        answers = self.ports.group.read_all([fleet.group for fleet in found], self.now())
        for fleet, reading in zip(found, answers, strict=True):
            if isinstance(reading, PortError):
                self.telemetry.failed(fleet, "the fleet's group could not be read", reading)
            else:
                ended += self._replace(fleet, reading, scheduled)
        return {"fleets": sorted(fleets), "replaced": ended}

    def _replace(self, fleet: Fleet, reading: GroupReading, scheduled: Mapping[str, ScheduledEvent]) -> list[str]:
        """Replace what is due in one fleet; the ids of the instances that are ended."""
        ender: Ender = self.ports.group if fleet.mode is Mode.ACT else ShadowEnder()
        longest_s = max(fleet.drain.deadline_s, fleet.drain.bound_s)
        ended = []
        for event in due(reading, scheduled, longest_s, self.now()):
            if self.now() >= self.until:
                break
            try:
                if ender.end(fleet.group, event.instance_id):
                    ended.append(event.instance_id)
                    self.telemetry.log.info(
                        "instance is replaced ahead of what EC2 has scheduled for it",
                        fleet=fleet.name,
                        instance_id=event.instance_id,
                        scheduled=event.code,
                        scheduled_at=datetime.fromtimestamp(event.at, UTC).isoformat(timespec="seconds"),
                    )
            except PortError as error:
                what = "an instance with a scheduled event could not be ended"
                self.telemetry.failed(fleet, what, error, instance_id=event.instance_id)
        return ended
