"""Heartbeats without the ledger: what waits at a hook is held, whether or not it can be read which drains there are.

A drain's own heartbeats come from its record. While the ledger cannot be read or written, no record says which
instances drain, and Auto Scaling would end each one when its hook times out, whatever it is at. So sweep and rounds
hold what the group itself shows waiting: a heartbeat for our hook, which needs Auto Scaling alone. Nothing is stopped,
expired or released meanwhile: the drains go on from their records once the ledger answers.

It does not hold for ever: Auto Scaling ends a lifecycle action after 48 hours or 100 heartbeat timeouts.
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RecordLifecycleActionHeartbeat.html
"""

from collections.abc import Callable, Sequence

from sluice.config.fleet import Fleet
from sluice.draining.events import FoundPoolWaiting, FoundWaiting
from sluice.draining.observations import group_events
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading
from sluice.ports.errors import PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

SWEEP_S = 60.0  # between two sweeps
FORGOTTEN_AFTER_S = 7_200.0  # the longest heartbeat timeout: by then an instance that waits has been held again


@dataclass(slots=True)
class WaitingHolder:
    """Holds the instances that wait at fleets' hooks; none is begun with past `until` (epoch seconds).

    `held_at` is kept between invocations: when each instance was last held so, in epoch seconds.
    """

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float
    telemetry: DrainTelemetry
    held_at: dict[str, float]

    def hold(self, fleets: Sequence[Fleet]) -> None:
        """Send a heartbeat for each instance that waits in these fleets' groups, unless it had one from here lately.

        Those that were held longest ago come first, so that none is left out where the time does not suffice for all.
        """
        if not fleets:
            return
        waiting = [(fleet, event) for fleet, reading in self._readings(fleets) for event in _waiting(fleet, reading)]
        waiting.sort(key=lambda pair: self.held_at.get(pair[1].hook.instance_id, 0.0))
        for instance_id in self.held_at.keys() - {event.hook.instance_id for _, event in waiting}:
            if self.now() >= self.held_at[instance_id] + FORGOTTEN_AFTER_S:
                del self.held_at[instance_id]
        for count, (fleet, event) in enumerate(waiting):
            now = self.now()
            if now >= self.until:
                self.telemetry.log.warning("no time was left to hold some instances", instances=len(waiting) - count)
                return
            # One that is due before the next sweep is not left to it: the sweep may be late.
            if now >= self.held_at.get(event.hook.instance_id, 0.0) + fleet.drain.heartbeat_interval_s - SWEEP_S:
                self._hold(fleet, event, now)

    def _readings(self, fleets: Sequence[Fleet]) -> list[tuple[Fleet, GroupReading]]:
        answers = self.ports.group.read_all([fleet.group for fleet in fleets], self.now(), warm_pools=True)
        readings = []
        for fleet, answer in zip(fleets, answers, strict=True):
            if isinstance(answer, PortError):
                self.telemetry.failed(fleet, "the fleet's group could not be read", answer)
            else:
                readings.append((fleet, answer))
        return readings

    def _hold(self, fleet: Fleet, event: FoundWaiting | FoundPoolWaiting, now: float) -> None:
        instance_id = event.hook.instance_id
        try:
            held = self.ports.group.heartbeat(event.hook)
        except PortError as error:
            self.telemetry.failed(fleet, "a heartbeat could not be sent", error, instance_id=instance_id)
            return
        self.held_at[instance_id] = now  # one that another hook holds is not asked for each minute either
        if held:
            self.telemetry.heartbeat_sent(fleet)
            self.telemetry.log.warning(
                "instance held at its lifecycle hook without the ledger",
                fleet=fleet.name,
                instance_id=instance_id,
            )


def _waiting(fleet: Fleet, reading: GroupReading) -> list[FoundWaiting | FoundPoolWaiting]:
    events = group_events(fleet, (), reading).values()
    return [event for event in events if isinstance(event, FoundWaiting | FoundPoolWaiting)]
