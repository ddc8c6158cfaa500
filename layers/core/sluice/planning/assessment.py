"""One tick's input in the terms of the theory: assess(...) -> an Assessment, with the need that follows from it."""

from collections.abc import Iterable, Iterator, Sequence

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.planning import Estimates, Forecast, Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.deadlines import need
from sluice.planning.demand import Due, Knot, QueueAtTick, QueueDemand, demands_of, due, due_by, value
from sluice.planning.launch_cost import (
    MINIMUM_BILLING_S,
    apart_s,
    is_batch,
    is_patient,
    planned_wait_s,
    response_s,
    steadied,
    waits_of,
    worth_staying,
)
from sluice.planning.learning import signal_quality
from sluice.planning.learning.lead_time import hang_s
from sluice.planning.learning.periodic_batches import Times, need_of_batches
from sluice.planning.learning.significance import CLEAR, MOST_ERRORS, RISK, TWICE
from sluice.planning.multi_queue import needs
from sluice.planning.supply import Supply, supply_of
from sluice.wording import count, duration

WINDOW_SHARE = 0.25  # of a lead time: a mistake in scaling in can be mended in time; twice as much where it cannot
IDLE_SHARE = 0.5  # a unit that is busy for less of its time is better launched anew when a few messages wait


@dataclass(frozen=True, slots=True)
class Required:
    """The need, and what it comes from. Capacity is in the group's own units."""

    need: int
    oldest_s: float | None = None  # how long the oldest waiting message has waited, in seconds; None where unknown
    poison: float = 0.0  # messages that wait and have no deadline: no unit completes them
    of_batches: int = 0  # what expected batches ask for before they arrive
    by_queue: tuple[tuple[QueueDemand, int], ...] = ()  # of a shared fleet: each queue consumed, and what it asks for
    deadlines: Sequence[Knot] = ()  # D(t) of a single queue

    def due_by(self, t: float) -> float:
        """Messages that must be started within `t` seconds, of all queues together."""
        if self.by_queue:
            return sum([due_by(demand.deadlines, t) for demand, _ in self.by_queue])
        return due_by(self.deadlines, t) if self.deadlines else 0.0


@dataclass(frozen=True, slots=True)
class Waits:
    """How long messages and launches can wait, in seconds; `now` in epoch seconds."""

    wait_s: float  # the wait planned for: the target less a guard and the safety margin
    within_s: float  # in which messages must be received
    lead_s: float
    late_s: float  # within how long late work is worked off
    now: float
    patient: bool  # whether a launch can wait until its message has been seen: then no forecast is needed
    idle: bool  # whether expected messages leave a unit idle for most of its time, and a launch can wait for them


@dataclass(frozen=True, slots=True)
class Assessment:
    """One tick's input, and the need that follows from it. Capacity is in the group's own units."""

    snapshot: Snapshot
    group: GroupReading
    fleet: Fleet
    timing: Timing
    memory: Memory
    estimates: Estimates
    now: float
    arrivals: Forecast  # as estimated; steadied where few messages arrive
    waits: Waits
    supply: Supply
    unbegun: float  # messages that units have received and not begun with
    required: Required
    gaps: tuple[str, ...]  # what scaling in would have to know and cannot, in sentences
    unit: str  # what capacity counts, for sentences: "instance", or "capacity unit" where instances have weights

    @property
    def current(self) -> int:
        """The group's desired capacity."""
        return self.group.desired

    @property
    def need(self) -> int:
        """Capacity units needed before any limit."""
        return self.required.need

    @property
    def lead_s(self) -> float:
        """The lead time planned with, in seconds."""
        return self.estimates.lead_s

    @property
    def hang_s(self) -> float:
        """A launch that is under way for longer hangs, in seconds."""
        return hang_s(self.estimates.lead_time, self.lead_s)

    @property
    def rate_per_s(self) -> float:
        """Messages a second that one unit completes."""
        return self.estimates.service_rate.value

    @property
    def gathering(self) -> bool:
        """Whether the messages that wait can be launched for later, together with more that are expected."""
        return self.need == 0 and self.waiting > self.required.poison and self.current == 0

    @property
    def window_s(self) -> float:
        """The stabilization window in seconds: by default half a lead time, half of that where a mistake can be mended.

        It is so as well where less is expected than came: what was needed then is no guide. An idle unit can be
        launched anew for less than it costs to keep.
        """
        configured = self.fleet.limits.stabilization_window_s
        if configured is not None:
            return configured
        if not self.waits.patient and self.arrivals.ahead_per_s >= self.arrivals.rate_per_s:
            return TWICE * WINDOW_SHARE * self.lead_s
        window_s = WINDOW_SHARE * self.lead_s
        return min(window_s, response_s(self.timing)) if self.waits.idle else window_s

    def units(self, number: float) -> str:
        """So much capacity, for sentences, such as "1 instance" or "6 instances"."""
        return count(number, self.unit)

    @property
    def waiting(self) -> float:
        """Messages that wait; zero where unknown."""
        return value(self.snapshot.queue.visible)

    @property
    def held(self) -> float:
        """Messages in flight that nobody works on."""
        return min(self.memory.redeliveries.held, value(self.snapshot.queue.in_flight))

    @property
    def in_flight(self) -> float:
        """Messages in flight that somebody may work on; zero where unknown."""
        return value(self.snapshot.queue.in_flight) - self.held

    @property
    def only_just_empty(self) -> bool:
        """Whether this tick is the first that sees nothing left: its counts may be wrong."""
        return signal_quality.only_just_empty(self.memory.samples, self.timing, self.snapshot.at)

    @property
    def unfinished(self) -> float:
        """Messages waiting, in flight or delayed, as far as known."""
        return self.waiting + value(self.snapshot.queue.in_flight) + value(self.snapshot.queue.delayed)

    @property
    def backlog_known(self) -> bool:
        """Whether it is known how many messages wait, and not from too long ago."""
        visible = self.snapshot.queue.visible
        return visible is not None and visible.age_s(self.now) <= self.fleet.limits.stale_after_s

    @property
    def stays(self) -> bool:
        """Whether a unit stays for the next message.

        An idle unit waits for as long as messages are apart on average, and no longer: a launch can wait for several.
        """
        if not worth_staying(self.arrivals, self.lead_s, self.timing):
            return False
        return not self.waits.idle or self.arrivals.quiet_s <= max(response_s(self.timing), apart_s(self.arrivals))


def assess(
    snapshot: Snapshot,
    group: GroupReading,
    fleet: Fleet,
    estimates: Estimates,
    memory: Memory,
    *,
    timing: Timing,
    now: float,
) -> Assessment:
    """Put a tick's input into the theory's terms.

    `group` is the snapshot's, which must be there; `estimates` and `memory` are as `learn` gave them for this snapshot;
    `timing` is the stack's; `now` is in epoch seconds.
    """
    snapshot = signal_quality.believed(snapshot, memory.samples)
    lead_s = estimates.lead_s
    wait_s = planned_wait_s(fleet.tightest_wait_s, lead_s, timing, memory.margin.share)
    wait_s, within_s = waits_of(wait_s, estimates, timing)
    patient = is_patient(within_s, lead_s, timing)
    arrivals = steadied(estimates.arrivals, estimates.usual_per_s, patient=patient)
    idle = patient and max(arrivals.rate_per_s, estimates.usual_per_s) <= IDLE_SHARE * estimates.service_rate.value
    supply = _supply(snapshot, group, fleet, estimates, memory, timing=timing, patient=patient, now=now)
    waits = Waits(wait_s, within_s, lead_s, wait_s / fleet.limits.catch_up, now, patient, idle)
    unbegun = _unbegun(snapshot, group, fleet, estimates, memory)
    required = _required(
        snapshot,
        group,
        fleet,
        estimates,
        memory,
        timing=timing,
        arrivals=arrivals,
        supply=supply,
        waits=waits,
        unbegun=unbegun if is_batch(estimates) else 0.0,
    )
    return Assessment(
        snapshot=snapshot,
        group=group,
        fleet=fleet,
        timing=timing,
        memory=memory,
        estimates=estimates,
        now=now,
        arrivals=arrivals,
        waits=waits,
        supply=supply,
        unbegun=unbegun,
        required=required,
        gaps=_gaps(snapshot, group, fleet, memory, timing=timing, now=now),
        unit="instance" if {each.weight for each in group.instances} <= {1.0} else "capacity unit",
    )


def _supply(
    snapshot: Snapshot,
    group: GroupReading,
    fleet: Fleet,
    estimates: Estimates,
    memory: Memory,
    *,
    timing: Timing,
    patient: bool,
    now: float,
) -> Supply:
    """The capacity that is there and due, at the fleet's lead time and the rate that a unit is counted on for."""
    queue, held = snapshot.queue, memory.redeliveries.held
    if held > 0.0 and queue.in_flight is not None:  # what nobody works on takes no unit's place
        queue = replace(queue, in_flight=replace(queue.in_flight, value=max(0.0, queue.in_flight.value - held)))
    return supply_of(
        queue,
        group,
        memory.launches.under_way,
        float(fleet.hints.concurrency),
        estimates.counted_per_s,
        spread=estimates.spread,
        timing=timing,
        patient=patient,
        lead_s=estimates.lead_s,
        hang_s=hang_s(estimates.lead_time, estimates.lead_s),
        now=now,
    )


def _unbegun(snapshot: Snapshot, group: GroupReading, fleet: Fleet, estimates: Estimates, memory: Memory) -> float:
    """Messages that units have received and not begun with: they wait again where their unit leaves.

    Of those that hold no more than a batch it is no more than they hold while messages wait: the rest may be hidden.
    """
    if estimates.unbegun_s <= 0.0:
        return 0.0
    units = capacity(group.instances, Lifecycle.IN_SERVICE, Lifecycle.DRAINING)
    begun = max(float(fleet.hints.concurrency), estimates.at_once) * units
    in_flight = value(snapshot.queue.in_flight) - memory.redeliveries.held
    if in_flight <= (1.0 + CLEAR) * begun:
        return 0.0
    most = estimates.unbegun_s * estimates.service_rate.value * units
    return min(in_flight - begun, most) if is_batch(estimates) else in_flight - begun


def _required(
    snapshot: Snapshot,
    group: GroupReading,
    fleet: Fleet,
    estimates: Estimates,
    memory: Memory,
    *,
    timing: Timing,
    arrivals: Forecast,
    supply: Supply,
    waits: Waits,
    unbegun: float,
) -> Required:
    """The need, and what it comes from; the present capacity where nothing is known of the backlog."""
    wait_s, lead_s, now = waits.wait_s, waits.lead_s, waits.now
    if snapshot.queue.visible is None:
        return Required(group.desired)
    if fleet.shared:
        demands = demands_of(snapshot, fleet, memory, estimates, arrivals, timing=timing, unbegun=unbegun, now=now)
        by_queue = tuple(zip(demands, needs(demands, supply, lead_s), strict=True))
        needed = max((units for _, units in by_queue), default=0)
        oldest_s = max((demand.oldest_s for demand in demands if demand.oldest_s is not None), default=None)
        required = Required(needed, oldest_s, by_queue=by_queue)
    else:
        state = QueueAtTick(snapshot.at, snapshot.queue, memory.as_queue(), memory.redeliveries)
        owed = due(
            state,
            fleet,
            arrivals,
            estimates,
            timing=timing,
            wait_s=wait_s,
            within_s=waits.within_s,
            unbegun=unbegun,
            now=now,
        )
        needed = need(owed.deadlines, supply, lead_s, waits.late_s)
        if (
            waits.idle
            and supply.total <= 0.0
            and not value(snapshot.queue.delayed)
            and arrivals.rate_per_s * (wait_s - lead_s) > RISK  # else no other is likely to come meanwhile
            and _can_wait(owed, estimates, supply, waits, timing=timing, needed=needed)
        ):
            needed = 0
        if owed.poison > 0.0:
            needed = max(1, needed)
        batches = 0
        if memory.batches.expected:
            steady_per_s = min(arrivals.rate_per_s, estimates.lately_per_s)
            batches = _batches(memory, owed, steady_per_s, supply, waits, timing=timing)
        required = Required(max(needed, batches), owed.oldest_s, owed.poison, batches, deadlines=owed.deadlines)
    if group.desired < required.need <= supply.total:
        return replace(required, need=group.desired)  # its instances count for more than was asked for
    return required


def _can_wait(owed: Due, estimates: Estimates, supply: Supply, waits: Waits, *, timing: Timing, needed: int) -> bool:
    """Whether a launch from zero can wait for more messages: nothing is due before, and no more is needed then."""
    # Until the next tick; and launches vary, by a tick at least.
    lead = estimates.lead_time
    later_s = timing.tick_s + max(waits.lead_s + timing.tick_s, lead.value + MOST_ERRORS * lead.deviation)
    return due_by(owed.deadlines, later_s) <= 0.0 and need(owed.deadlines, supply, later_s, waits.late_s) <= needed


def _batches(memory: Memory, owed: Due, steady_per_s: float, supply: Supply, waits: Waits, *, timing: Timing) -> int:
    """Capacity units that expected batches need."""
    unused_s = max(MINIMUM_BILLING_S - waits.lead_s, WINDOW_SHARE * waits.lead_s)
    times = Times(waits.now, waits.wait_s, waits.lead_s, waits.late_s, timing.tick_s, unused_s)
    return need_of_batches(memory.batches, memory.samples, owed.deadlines, steady_per_s, supply=supply, times=times)


# --------------------------------------------------------------------------- what is unknown


def _gaps(
    snapshot: Snapshot, group: GroupReading, fleet: Fleet, memory: Memory, *, timing: Timing, now: float
) -> tuple[str, ...]:
    """What scaling in would have to know and cannot: figures that are missing or older than the fleet allows."""
    limit_s = fleet.limits.stale_after_s
    queue = snapshot.queue
    gaps: list[str] = []
    read: Iterable[tuple[str, QueueReading]] = (("", queue),)
    if fleet.shared:
        read = zip((f" in {source.name}" for source in fleet.sources), snapshot.queues, strict=True)
    for where, each in read:
        gaps += _gaps_of(each, where, limit_s, now)
    if now - group.at > limit_s:
        gaps.append(f"the group's state is {_too_old(now - group.at, limit_s)}")
    if not gaps and not (value(queue.visible) or value(queue.in_flight) or value(queue.delayed)):
        return ()  # nothing is left to do, whatever arrived lately; and an unused queue has no metrics
    samples = memory.samples
    if samples and samples[-1].at == snapshot.at and samples[0].at <= now - timing.settled_s:
        return tuple(gaps)  # ticks saw what arrived, for longer than the metric takes to come
    history = memory.arrivals.history
    if queue.sent is None or not history.counts:
        gaps.append("the count of arrivals is unknown")
    elif now - history.end_at > (arrivals_limit_s := limit_s + timing.metric_delay_s + timing.unread_s):
        gaps.append(f"the count of arrivals is {_too_old(now - history.end_at, arrivals_limit_s)}")
    return tuple(gaps)


def _gaps_of(queue: QueueReading, where: str, limit_s: float, now: float) -> Iterator[str]:
    """The counts of one queue that are missing or too old; `where` names it among several."""
    figures = (("waiting", queue.visible), ("in flight", queue.in_flight), ("delayed", queue.delayed))
    known = [reading for _, reading in figures if reading is not None]
    if not known:
        yield f"the counts of messages{where} are unknown"
    elif len(known) == len(figures) and now - max(reading.at for reading in known) > limit_s:
        age_s = max(reading.age_s(now) for reading in known)
        yield f"the counts of messages{where} are {_too_old(age_s, limit_s)}"
    else:
        for name, reading in figures:
            if reading is None:
                yield f"the count of messages {name}{where} is unknown"
            elif now - reading.at > limit_s:
                yield f"the count of messages {name}{where} is {_too_old(reading.age_s(now), limit_s)}"


def _too_old(age_s: float, limit_s: float) -> str:
    return f"{duration(age_s)} old (limit {duration(limit_s)})"
