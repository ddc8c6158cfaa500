"""The sweep: each minute every fleet's drains are checked and then followed, since any event about them may be lost.

It needs nothing but the ledger and what AWS says now, so that it goes on from wherever an invocation died. One
invocation follows a fleet's drains: it takes a lease.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sluice.config.fleet import Fleet
from sluice.consumers.tracker import ConsumerTracker
from sluice.draining.deadlines import STATUS_CHECK_AFTER_S, needs_signs, needs_status_check
from sluice.draining.events import FoundPoolWaiting, FoundRetained, FoundWaiting, Tick
from sluice.draining.executor import DrainExecutor, DrainProgress
from sluice.draining.observations import Observation, events_for, group_events, urgency
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import UNDER_WAY, CommandStatus, Drain, DrainState
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle
from sluice.ports.errors import PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

# How often the stack's schedule sweeps; a sweep that follows drains ends before the next one comes, with time to spare.
SWEEP_PERIOD_S = 60.0
SWEEP_S = 55.0

# States in which nothing is to be done for a drain but to check it now and then.
AT_REST = frozenset({DrainState.RETAINED, DrainState.RELEASED})


@dataclass(frozen=True, slots=True)
class Invocation:
    """What an invocation is given: who it is, for how long it may follow drains, and how often it ticks them."""

    owner: str  # of leases: unique to the invocation
    until: float  # epoch seconds: no tick is begun after
    sleep: Callable[[float], None]
    tick_s: float


@dataclass(slots=True)
class Sweeper:
    """One invocation's sweep."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    invocation: Invocation
    executor: DrainExecutor
    telemetry: DrainTelemetry

    def sweep(self, fleets: Sequence[Fleet]) -> None:
        """Every fleet once; then, tick by tick, those with drains under way that no other invocation follows.

        Raises:
            ExceptionGroup: unexpected errors; every fleet has been swept all the same.
        """
        unexpected: list[Exception] = []
        self.follow(self._round(fleets, unexpected, sweeping=True), unexpected)
        if unexpected:
            raise ExceptionGroup("sweep finished with errors", unexpected)

    def follow(self, fleets: Iterable[Fleet], unexpected: list[Exception] | None = None) -> None:
        """Tick drains until the invocation's time is over or none is under way, each fleet under its lease."""
        unexpected = [] if unexpected is None else unexpected
        busy = [fleet for fleet in fleets if self._acquire(fleet)]
        while busy:
            pause_s = min(self.invocation.tick_s, *(fleet.drain.heartbeat_s for fleet in busy))
            if self.now() + pause_s > self.invocation.until:
                break
            self.invocation.sleep(pause_s)
            still = self._round(busy, unexpected)
            self._release(fleet for fleet in busy if fleet not in still)
            busy = still
        self._release(busy)

    def _acquire(self, fleet: Fleet) -> bool:
        """Take the lease on following a fleet's drains. Without it nothing is lost but time."""
        owner, until = self.invocation.owner, self.invocation.until
        try:
            return self.ports.ledger.leases.acquire(_lease(fleet), owner, until, self.now())
        except PortError as error:
            self.telemetry.log.warning(
                "the drains' lease could not be taken: they are not followed until the next sweep",
                fleet=fleet.name,
                problem=str(error),
            )
            return False

    def _release(self, fleets: Iterable[Fleet]) -> None:
        for fleet in fleets:
            try:
                self.ports.ledger.leases.release(_lease(fleet), self.invocation.owner)
            except PortError as error:
                self.telemetry.log.warning(
                    "the drains' lease could not be given back: it expires by itself",
                    fleet=fleet.name,
                    problem=str(error),
                )

    def _round(self, fleets: Sequence[Fleet], unexpected: list[Exception], *, sweeping: bool = False) -> list[Fleet]:
        """Check each fleet once: those with drains under way, or of which that could not be learned."""
        busy = []
        for fleet in fleets:
            try:
                under_way = self._check(fleet, sweeping=sweeping)
            except PortError as error:
                under_way = True
                self.telemetry.failed(fleet, "drains could not be swept", error)
            except Exception as error:
                # One fleet never stops the others, whatever is wrong with it; `sweep` raises it at the end.
                under_way = False
                self.telemetry.log.exception("unexpected error in sweep", fleet=fleet.name)
                unexpected.append(error)
            if under_way:
                busy.append(fleet)
        return busy

    def _check(self, fleet: Fleet, *, sweeping: bool) -> bool:
        """Advance every drain of a fleet by what was observed of it, and a tick. Whether any is still under way."""
        drains = {drain.instance_id: drain for drain in self.ports.ledger.drains.drains(fleet.name)}
        observed = self._observe(fleet, drains, sweeping=sweeping)
        found = group_events(fleet, drains, observed.reading)
        checked = []
        for instance_id in sorted({*drains, *found}, key=lambda key: (urgency(drains.get(key)), key)):
            drain, group_event = drains.get(instance_id), found.get(instance_id)
            over = drain is None or drain.state is DrainState.RELEASED
            if over and not isinstance(group_event, FoundWaiting | FoundPoolWaiting | FoundRetained):
                continue
            events = events_for(drain, group_event, observed)
            tick = Tick(observed.reading.retains if observed.reading else None)
            checked.append(DrainProgress(instance_id, drain, deque((*events, tick))))
        if sweeping:
            self.telemetry.retained(fleet, drains.values(), self.now())
        waiting = deque(checked)
        while waiting:
            if self.now() >= self.invocation.until:  # the next sweep begins with the most urgent
                return True
            self.executor.advance_together(fleet, waiting)
        return any(each.record is not None and each.record.state not in AT_REST for each in checked)

    def _observe(self, fleet: Fleet, drains: dict[str, Drain], *, sweeping: bool) -> Observation:
        """Ask for all that one round needs; what could not be read is missing, and costs no heartbeat.

        The group is read after the ledger: an instance on record that the group lacks has left since.
        """
        under_way = [drain for drain in drains.values() if drain.state in UNDER_WAY]
        reading = self._read(fleet, "the fleet's group", lambda: self.ports.group.read(fleet.group))
        commands = self._commands(fleet, under_way, sweeping=sweeping)
        online = self._online(fleet, under_way, commands)
        if not sweeping:
            return Observation(reading, commands=commands, online=online)
        ask = partial(self.ports.ledger.consumers.consumers, fleet.name)
        consumers = self._read(fleet, "consumers' records", ask) or ()
        if reading is not None:
            tracker = ConsumerTracker(self.ports, fleet, self.now)
            tracker.sweep(consumers, reading, frozenset(drain.instance_id for drain in under_way))
            self.telemetry.consumers_tracked(fleet, tracker.result)
        ended: frozenset[str] = frozenset()
        if old := [d.instance_id for d in under_way if self.now() >= d.started_at + STATUS_CHECK_AFTER_S]:
            ended = self._read(fleet, "the states of machines", lambda: self.ports.instances.ended(old)) or ended
        return Observation(
            reading,
            {consumer.instance_id: consumer for consumer in consumers},
            ended,
            self._in_flight(fleet, under_way, reading),
            commands,
            online,
        )

    def _commands(
        self, fleet: Fleet, under_way: Sequence[Drain], *, sweeping: bool
    ) -> dict[str, dict[str, CommandStatus]]:
        """The statuses of the stop commands whose events are overdue, by command and then by instance."""
        now = self.now()
        overdue = {d.stop.command_id for d in under_way if needs_status_check(d, now, sweeping=sweeping)}
        commands = {}
        for command_id in sorted(each for each in overdue if each is not None):
            statuses = self._read(fleet, "a command's status", partial(self.ports.instances.commands_of, command_id))
            if statuses is not None:
                commands[command_id] = dict(statuses)
        return commands

    def _online(
        self, fleet: Fleet, under_way: Sequence[Drain], commands: Mapping[str, Mapping[str, CommandStatus]]
    ) -> frozenset[str]:
        """The instances whose agents answer, of those on which a stop runs and whose drains need signs of life."""
        running = [
            drain.instance_id
            for drain in under_way
            if needs_signs(drain, fleet.drain)
            and commands.get(drain.stop.command_id or "", {}).get(drain.instance_id) is CommandStatus.RUNNING
        ]
        ask = partial(self.ports.instances.online, running)
        return (self._read(fleet, "the states of the instances' agents", ask) if running else None) or frozenset()

    def _in_flight(self, fleet: Fleet, under_way: Sequence[Drain], reading: GroupReading | None) -> float | None:
        """Messages in flight, where they are a sign: one is needed, and only draining instances work."""
        if reading is None or reading.count(Lifecycle.IN_SERVICE) + reading.count(Lifecycle.LAUNCHING):
            return None
        if not any(needs_signs(drain, fleet.drain) for drain in under_way):
            return None
        total = 0.0
        for source in fleet.sources:  # paused ones too: what was taken from one before is worked on still
            ask = partial(self.ports.queue.read, source.queue, self.now())
            queue = self._read(fleet, f"queue {source.name}", ask)
            if queue is None or queue.in_flight is None:
                return None
            total += queue.in_flight.value
        return total

    def _read[T](self, fleet: Fleet, what: str, ask: Callable[[], T]) -> T | None:
        """What AWS answers; None if it cannot be read now."""
        try:
            return ask()
        except PortError as error:
            self.telemetry.failed(fleet, f"{what} could not be read", error)
            return None


def may_time_out_before_sweep(fleet: Fleet) -> bool:
    """Whether the hook may time out before the next sweep has sent a heartbeat."""
    return fleet.drain.hook_timeout_s < SWEEP_PERIOD_S + fleet.drain.heartbeat_s


def _lease(fleet: Fleet) -> str:
    """The lease's name, which no fleet can have: the planner's lease has the fleet's own."""
    return f"{fleet.name}/drains"
