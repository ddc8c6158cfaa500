"""The sweep: every fleet's drains looked over each minute and ticked on, since whatever tells of them may be lost.

It needs nothing but the ledger and what AWS says now, so that it goes on from wherever an invocation died. One
invocation ticks a fleet's drains on: it takes a lease.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sluice.config.fleet import Fleet
from sluice.consumers.tracker import ConsumerTracker
from sluice.draining.events import FoundPoolWaiting, FoundRetained, FoundWaiting, Tick
from sluice.draining.executor import DrainExecutor, DrainProgress
from sluice.draining.observations import Observation, events_for, group_events, urgency
from sluice.draining.state_machine import STATUS_CHECK_AFTER_S, UNDER_WAY, needs_signs, needs_status_check
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import CommandStatus, Drain, DrainState
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle
from sluice.ports.errors import PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

# How often the stack's schedule sweeps; a sweep that ticks on ends before the next one comes, with time to spare.
SWEEP_PERIOD_S = 60.0
SWEEP_S = 55.0

# States in which nothing is to be done for a drain but to look now and then.
AT_REST = frozenset({DrainState.RETAINED, DrainState.RELEASED})


@dataclass(frozen=True, slots=True)
class Shift:
    """How long an invocation may go on ticking, and how."""

    until: float
    tick_s: float
    owner: str
    sleep: Callable[[float], None]


@dataclass(slots=True)
class Sweeper:
    """One invocation's sweep."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    shift: Shift
    runner: DrainExecutor
    telemetry: DrainTelemetry

    def sweep(self, fleets: Sequence[Fleet]) -> None:
        """Every fleet once; then on, tick by tick, those with drains under way that no other invocation ticks.

        Raises:
            ExceptionGroup: what never should have happened; every fleet has been swept all the same.
        """
        strange: list[Exception] = []
        self.tick_on(self._round(fleets, strange, sweeping=True), strange)
        if strange:
            raise ExceptionGroup("the sweep went through, but not well", strange)

    def tick_on(self, fleets: Iterable[Fleet], strange: list[Exception] | None = None) -> None:
        """Go on ticking until the shift is over or no drain is under way. One invocation a fleet: it takes a lease."""
        strange = [] if strange is None else strange
        busy = [fleet for fleet in fleets if self._take(fleet)]
        while busy:
            pause_s = min(self.shift.tick_s, *(fleet.drain.heartbeat_s for fleet in busy))
            if self.now() + pause_s > self.shift.until:
                break
            self.shift.sleep(pause_s)
            still = self._round(busy, strange)
            self._give_back(fleet for fleet in busy if fleet not in still)
            busy = still
        self._give_back(busy)

    def _take(self, fleet: Fleet) -> bool:
        """The lease on ticking a fleet's drains on. Without it nothing is lost but time."""
        try:
            return self.ports.ledger.leases.acquire(_lease(fleet), self.shift.owner, self.shift.until, self.now())
        except PortError as error:
            self.telemetry.log.warning("drains are not ticked on in this minute", fleet=fleet.name, problem=str(error))
            return False

    def _give_back(self, fleets: Iterable[Fleet]) -> None:
        for fleet in fleets:
            try:
                self.ports.ledger.leases.release(_lease(fleet), self.shift.owner)
            except PortError as error:  # it ends by itself
                self.telemetry.log.warning("a lease could not be given back", fleet=fleet.name, problem=str(error))

    def _round(self, fleets: Sequence[Fleet], strange: list[Exception], *, sweeping: bool = False) -> list[Fleet]:
        """One look at each fleet: those with drains under way, or of which we could not learn it."""
        busy = []
        for fleet in fleets:
            try:
                under_way = self._look_over(fleet, sweeping=sweeping)
            except PortError as error:
                under_way = True
                self.telemetry.failed(fleet, "drains could not be swept", error)
            except Exception as error:
                # One fleet never stops the others, whatever is wrong with it; `sweep` raises it at the end.
                under_way = False
                self.telemetry.log.exception("drains could not be swept", fleet=fleet.name)
                strange.append(error)
            if under_way:
                busy.append(fleet)
        return busy

    def _look_over(self, fleet: Fleet, *, sweeping: bool) -> bool:
        """Give every drain of a fleet what is said of it, and a tick. Whether any is under way still."""
        drains = {drain.instance_id: drain for drain in self.ports.ledger.drains.drains(fleet.name)}
        look = self._look(fleet, drains, sweeping=sweeping)
        sights = group_events(fleet, drains, look.reading)
        courses = []
        for instance_id in sorted({*drains, *sights}, key=lambda key: (urgency(drains.get(key)), key)):
            drain, sight = drains.get(instance_id), sights.get(instance_id)
            over = drain is None or drain.state is DrainState.RELEASED
            if over and not isinstance(sight, FoundWaiting | FoundPoolWaiting | FoundRetained):
                continue
            news = events_for(drain, sight, look)
            tick = Tick(look.reading.retains if look.reading else None)
            courses.append(DrainProgress(instance_id, drain, deque((*news, tick))))
        if sweeping:
            self.telemetry.retained(fleet, drains.values(), self.now())
        waiting = deque(courses)
        while waiting:
            if self.now() >= self.shift.until:  # the next sweep begins with the most urgent
                return True
            self.runner.advance_together(fleet, waiting)
        return any(course.record is not None and course.record.state not in AT_REST for course in courses)

    def _look(self, fleet: Fleet, drains: dict[str, Drain], *, sweeping: bool) -> Observation:
        """All that is to be asked for one round; what could not be learnt is missing, and costs no heartbeat.

        The group is read after the ledger: an instance on record that the group lacks has left since.
        """
        under_way = [drain for drain in drains.values() if drain.state in UNDER_WAY]
        reading = self._asked(fleet, "a fleet's group", lambda: self.ports.group.read(fleet.group))
        wanted = sorted(
            {d.command_id for d in under_way if d.command_id and needs_status_check(d, self.now(), sweeping=sweeping)}
        )
        commands = {}
        for command_id in wanted:
            told = self._asked(fleet, "a command's status", lambda: self.ports.instances.commands_of(command_id))  # noqa: B023 - it is called at once
            if told is not None:
                commands[command_id] = dict(told)
        online = self._online(fleet, under_way, commands)
        if not sweeping:
            return Observation(reading, commands=commands, online=online)
        told_by = (
            self._asked(fleet, "what consumers said", lambda: self.ports.ledger.consumers.consumers(fleet.name)) or ()
        )
        if reading is not None:
            tracker = ConsumerTracker(self.ports, fleet, self.now)
            tracker.sweep(told_by, reading, frozenset(drain.instance_id for drain in under_way))
            self.telemetry.tracked(fleet, tracker.result)
        ended: frozenset[str] = frozenset()
        if old := [d.instance_id for d in under_way if self.now() >= d.started_at + STATUS_CHECK_AFTER_S]:
            ended = self._asked(fleet, "machines' states", lambda: self.ports.instances.ended(old)) or ended
        return Observation(
            reading,
            {consumer.instance_id: consumer for consumer in told_by},
            ended,
            self._in_flight(fleet, under_way, reading),
            commands,
            online,
        )

    def _online(
        self, fleet: Fleet, under_way: Sequence[Drain], commands: Mapping[str, Mapping[str, CommandStatus]]
    ) -> frozenset[str]:
        """The instances whose agents answer, of those on which a stop runs and of which a sign of life is wanted."""
        running = [
            drain.instance_id
            for drain in under_way
            if needs_signs(drain, fleet.drain)
            and commands.get(drain.command_id or "", {}).get(drain.instance_id) is CommandStatus.RUNNING
        ]
        ask = partial(self.ports.instances.online, running)
        return (self._asked(fleet, "the instances' agents", ask) if running else None) or frozenset()

    def _in_flight(self, fleet: Fleet, under_way: Sequence[Drain], reading: GroupReading | None) -> float | None:
        """Messages in flight, where that tells something: signs are wanted, and only drains are at work."""
        if reading is None or reading.count(Lifecycle.IN_SERVICE) + reading.count(Lifecycle.LAUNCHING):
            return None
        if not any(needs_signs(drain, fleet.drain) for drain in under_way):
            return None
        total = 0.0
        for source in fleet.sources:  # paused ones too: what was taken from one before is worked on still
            ask = partial(self.ports.queue.read, source.queue, self.now())
            queue = self._asked(fleet, f"queue {source.name}", ask)
            if queue is None or queue.in_flight is None:
                return None
            total += queue.in_flight.value
        return total

    def _asked[T](self, fleet: Fleet, what: str, ask: Callable[[], T]) -> T | None:
        """What AWS answers; None if that cannot be learnt now."""
        try:
            return ask()
        except PortError as error:
            self.telemetry.failed(fleet, f"{what} could not be read", error)
            return None


def may_time_out_before_sweep(fleet: Fleet) -> bool:
    """Whether the hook may time out before the next sweep has sent a heartbeat."""
    return fleet.drain.hook_timeout_s < SWEEP_PERIOD_S + fleet.drain.heartbeat_s


def _lease(fleet: Fleet) -> str:
    """Beside the planner's lease, under a name that no fleet can have."""
    return f"{fleet.name}/drains"
