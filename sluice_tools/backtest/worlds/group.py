"""A group as Auto Scaling tells of it: launches are known by its events, by zone, and instances may die or hang.

An event is read by what the stack reads it with (`stack_events`), so that the planner sees of a launch what it would
see of one in AWS: that it began is known once it is over.
"""

from collections import deque
from datetime import UTC, datetime
from heapq import heappop, heappush
from math import inf
from random import Random

from sluice.model.frozen import replace
from sluice.model.launches import Launch, with_launches
from sluice.model.observed import GroupReading, Instance, Lifecycle
from sluice.planning.stack_events import LAUNCHED, NOT_LAUNCHED, LaunchEvent, read_event
from sluice.ports.ledger.launch_log import LAUNCHES_LOGGED_S
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.simulated_group import GROUP_NAME, Group, Unit
from sluice_tools.backtest.simulated_queue import Work
from sluice_tools.backtest.worlds.behaviours import ZONES, GroupFaults
from sluice_tools.backtest.worlds.queue import WorldQueue

SERVICE, WARM_POOL = "AutoScalingGroup", "WarmPool"  # destinations of a launch
REFUSED_AFTER_S = 3.0  # EC2 refuses a launch for which it has no capacity at once
NO_CAPACITY = (
    "We currently do not have sufficient c7g.large capacity in the Availability Zone you requested ({zone}). Our system"
    " will be working on provisioning additional capacity. Launching EC2 instance failed."
)
NOT_IN_SERVICE = "The instance did not come into service. Launching EC2 instance failed."


class WorldGroup(Group):
    """A group with faults. Moments never go back."""

    def __init__(self, work: Work, conditions: Conditions, began_at: float, faults: GroupFaults | None = None) -> None:
        super().__init__(work, conditions, began_at)
        self._faults = faults = faults or GroupFaults()
        self._queue = work
        self._dice = Random(conditions.seed + 3)  # noqa: S311 - a simulation; the boots draw from their own
        self._zone_of: dict[int, str] = {}
        self._dying: list[tuple[float, int, Unit]] = []  # a heap: (dies at, -, unit)
        self._launch_log: list[Launch] = []  # ascending in when they ended
        self._events_count = 0
        self._others_s = faults.other_every_s if faults.other_desired is not None else inf
        self._pool_s = faults.pool_failure_every_s
        self._readings: deque[GroupReading] = deque()

    # ----------------------------------------------------------------------- what can be seen

    def reading(self, now: float) -> GroupReading:
        """The group in the model's words, as it was when it was read; some seconds ago, where readings are late."""
        newest = with_launches(super().reading(now), self._lately(self._began_at + now))
        if self._faults.read_late_s <= 0.0:
            return newest
        readings = self._readings
        readings.append(newest)
        while len(readings) > 1 and readings[1].at <= newest.at - self._faults.read_late_s:
            readings.popleft()
        return replace(readings[0], at=newest.at)  # nothing tells how old it is

    def _lately(self, now: float) -> list[Launch]:
        """The launches in the stack's log."""
        log = self._launch_log
        while log and (log[0].ended_at or 0.0) < now - LAUNCHES_LOGGED_S:
            del log[0]
        return log

    def _look_at(self, unit: Unit) -> Instance:
        """When it was launched is known by its event alone."""
        protected = self._faults.protected and unit.state is Lifecycle.IN_SERVICE
        unit.seen = Instance(_id(unit), unit.state, protected=protected)
        return unit.seen

    def _tell(
        self,
        began: float,
        ended: float,
        zone: str,
        *,
        instance: str = "",
        failure: str = "",
        into: str = "AutoScalingGroup",
    ) -> None:
        """Auto Scaling's event about a launch that is over, read and kept as the stack does.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
        """
        self._events_count += 1
        detail = {
            "AutoScalingGroupName": GROUP_NAME,
            "ActivityId": f"activity-{self._events_count}",
            "StartTime": self._clock(began),
            "EndTime": self._clock(ended),
            "EC2InstanceId": instance,
            "StatusMessage": failure,
            "Details": {"Availability Zone": zone},
            "Origin": "EC2",
            "Destination": into,
        }
        event = read_event({"detail-type": NOT_LAUNCHED if failure else LAUNCHED, "detail": detail})
        if isinstance(event, LaunchEvent) and not event.into_pool:
            self._launch_log.append(event.launch)

    def _clock(self, at: float) -> str:
        return datetime.fromtimestamp(self._began_at + at, UTC).isoformat()

    # ----------------------------------------------------------------------- what happens

    def set_desired(self, desired: int, now: float) -> None:
        """Launch what is missing, take away what is too much."""
        super().set_desired(desired, now)
        self._look_ahead()

    def advance(self, until: float) -> None:
        """Let boots, drains, deaths and what others do up to that moment happen, in their order."""
        while True:
            boots_s = self._booting[0][0] if self._booting else inf
            dies_s = self._dying[0][0] if self._dying else inf
            at = min(boots_s, dies_s, self._others_s, self._pool_s)
            if at > until:
                break
            super().advance(at)
            if dies_s <= at:
                self._dies(heappop(self._dying)[2], at)
            if self._others_s <= at:
                self._others_s += self._faults.other_every_s
                self.set_desired(self._faults.other_desired or 0, at)
            if self._pool_s <= at:
                self._pool_s += self._faults.pool_failure_every_s
                zone = self._dice.choice(ZONES)
                self._tell(at - REFUSED_AFTER_S, at, zone, failure=NO_CAPACITY.format(zone=zone), into=WARM_POOL)
        super().advance(until)

    def _look_ahead(self) -> None:
        super()._look_ahead()
        self.next_s = min(self.next_s, self._others_s, self._pool_s, self._dying[0][0] if self._dying else inf)

    def _dies(self, unit: Unit, at: float) -> None:
        """The group sees that an instance is dead and launches another."""
        if unit.gone:
            return
        assert isinstance(self._queue, WorldQueue), "instances die in worlds only"
        self._queue.lose(unit.number, at)
        self._working -= 1
        self._leaves(unit, at)
        if len(self._units) < self.desired:
            self._launch(at)
        self._look_ahead()

    def _boots(self, unit: Unit, now: float) -> tuple[float, bool]:
        """How long the launch takes, in which zone; and whether it fails."""
        boot_s, fails = super()._boots(unit, now)
        if self._faults.hanging_share > 0.0 and self._dice.random() < self._faults.hanging_share:
            boot_s = self._faults.hangs_s
        dry = ZONES[len(ZONES) - self._faults.dry_zones :] if self._faults.dry.holds(now) else ()
        for zone in self._emptiest():
            if zone not in dry:
                break
            # The group tries another zone, unless it is set to keep its zones balanced (balanced-only):
            # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AvailabilityZoneDistribution.html
            self._tell(now, now + REFUSED_AFTER_S, zone, failure=NO_CAPACITY.format(zone=zone))
            boot_s += REFUSED_AFTER_S
        self._zone_of[unit.number] = zone
        return boot_s, fails

    def _emptiest(self) -> list[str]:
        """The zones, that with the fewest instances first."""
        count = dict.fromkeys(ZONES, 0)
        for unit in self._units:
            if unit.number in self._zone_of:
                count[self._zone_of[unit.number]] += 1
        return sorted(ZONES, key=lambda zone: count[zone])

    def _fails(self, unit: Unit, at: float) -> None:
        """A launch comes to nothing."""
        self._leaves(unit, at)
        self._tell(unit.launched_at, at, self._zone_of[unit.number], instance=_id(unit), failure=NOT_IN_SERVICE)

    def _take_in(self, unit: Unit, at: float) -> None:
        super()._take_in(unit, at)
        self._tell(unit.launched_at, at, self._zone_of.setdefault(unit.number, ZONES[0]), instance=_id(unit))
        if self._faults.lives_s < inf and self._faults.dying.holds(at):
            heappush(self._dying, (at + self._faults.lives_s, unit.number, unit))

    def _scale_in(self, count: int, now: float) -> None:
        """What is protected from scale-in stays, though desired capacity is lowered: all that is in service.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html
        """
        if not self._faults.protected:
            super()._scale_in(count, now)
            return
        launching = [unit for unit in reversed(self._units) if unit.state is Lifecycle.LAUNCHING]
        for unit in launching[:count]:
            self._leaves(unit, now)


def _id(unit: Unit) -> str:
    return f"i-{unit.number:08x}"
