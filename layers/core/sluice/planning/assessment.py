"""One tick's input in the terms of the theory: what was observed and learned -> a Case to decide on."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, inf, sqrt
from statistics import NormalDist

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, Reading, capacity
from sluice.model.planning import Measure, Memory, Snapshot
from sluice.planning.deadlines import QUANTILE, Interval, ahead, backlog, due_by, need
from sluice.planning.demand import Knot
from sluice.planning.learning import poison as hygiene_poison
from sluice.planning.learning import redeliveries, signal_quality
from sluice.planning.learning.forecasting import (
    LEVEL_MEMORY_S,
    USUAL_LEAST_S,
    USUAL_MESSAGES,
    Forecast,
    forecast,
    lately,
    usual,
)
from sluice.planning.learning.lead_time import lead_time
from sluice.planning.learning.periodic_batches import Times, awaited_need
from sluice.planning.learning.samples import through
from sluice.planning.learning.service_rate import service_rate
from sluice.planning.multi_queue import Demand, needs
from sluice.planning.supply import AT_HAND, Supply

GUARD_SHARE = 0.06  # of the target wait, kept for what is coarse: ticks, counts and ages
GUARD_MAX_S = 20.0  # what is coarse does not grow with the target for ever
COLD_TICK_S = 60.0  # between ticks of a cold fleet
HOT_TICK_S = 10.0  # between those of a hot one, about
BACKLOG_KNOTS = 12  # intervals of the history that a target wait is divided into, at most
OVERDUE_DUE_S = 5.0  # a launch that should be there is expected after at least so long, or a quarter of a lead time
PATIENCE_S = 25.0  # two ticks and some: a launch for a message can wait until the message has been seen, and then more
PATIENCE_SHARE = 0.5  # of the target wait: who promises so little has launches and ticks that are shorter yet
WINDOW_SHARE = 0.25  # of a lead time: the stabilisation window of a fleet that can launch again in time
WINDOW_SHARE_LATE = 0.85  # of one that cannot: of bursts the last ticks' needs are the least like to come again
# https://aws.amazon.com/ec2/pricing/on-demand/: by the second, with a minimum of 60 seconds
MINIMUM_BILLING_S = 60.0
QUIET_SHARE = 0.5  # of what a launch costs: after so long without a message the rate of before is not believed
QUIET_LEAST_S = 15.0  # a tick and a half: ticks do not know better when the last message came
IDLE_SHARE = 0.5  # of a unit's time: one that is busy for less is better launched anew when a few messages wait
FEW_PER_S = USUAL_MESSAGES / USUAL_LEAST_S  # of fewer messages a second a level of minutes is chance
FEW_SPREADS = 2.0  # standard deviations, and a message: what minutes may be above the usual by chance
FEW_QUIET = 3.0  # times as long as they are apart, on average: by chance one gap in twenty is longer
SURE = 20.0  # messages while one unit boots: of so many a spare one is worth it for the unlikeliest twentieth
SURE_LEAST = 1.001  # of one message in a boot nothing is likely enough
ABSOLUTE = 1.2533  # mean absolute errors in a standard deviation of a normal distribution
GATHER_LEAST = 0.5  # messages that must be expected while a launch from zero can wait, or it does not wait for them
GATHER_DEVIATIONS = 2.0  # kept of that time: a tick until the next look, and so much, or a tick, for launches that vary


@dataclass(frozen=True, slots=True)
class Case:
    """One tick's input, and the need that follows from it. Capacity is in the group's own units."""

    snapshot: Snapshot
    fleet: Fleet
    memory: Memory
    now: float
    group: GroupReading
    rate: Measure  # messages per second and unit
    lead: Measure  # seconds from launch to first message
    lead_s: float  # planned with: the mean and its deviation
    wait_s: float  # planned with: the target less a guard
    patient: bool  # whether a launch can wait until the message that it is for has come: then nothing need be foreseen
    arrivals: Forecast
    supply: Supply
    need: int
    oldest_s: float | None  # how long the oldest waiting message has waited, as far as is known
    awaited: int  # of the need, what batches that recur ask for before they are there
    gaps: tuple[str, ...]  # what a shrink would have to know and cannot, in words
    idle: bool = False  # whether what comes would leave a unit idle for most of its time, and a launch can wait for it
    poison: float = 0.0  # messages that wait and have no deadline: no unit completes them
    asked: tuple[tuple[Demand, int], ...] = ()  # of a shared fleet: each queue that is consumed, and what it asks for

    @property
    def current(self) -> int:
        """The group's desired capacity."""
        return self.group.desired

    @property
    def gathering(self) -> bool:
        """Whether what waits can be launched for later, and more is expected until then."""
        return self.need == 0 and self.waiting > self.poison and self.current == 0

    @property
    def window_s(self) -> float:
        """The stabilisation window: by default most of the lead time, less where a mistake can be mended in time.

        Who is idle can be launched anew for less than it costs to stay.
        """
        configured = self.fleet.limits.shrink_window_s
        if configured is not None:
            return configured
        if not self.patient:
            return WINDOW_SHARE_LATE * self.lead_s
        return min(WINDOW_SHARE * self.lead_s, QUIET_LEAST_S) if self.idle else WINDOW_SHARE * self.lead_s

    @property
    def waiting(self) -> float:
        """Messages that wait; zero where unknown."""
        return value(self.snapshot.queue.visible)

    @property
    def only_just_empty(self) -> bool:
        """Whether nothing is left since this look, and it may be wrong."""
        return signal_quality.only_just_empty(self.memory, self.snapshot.at)

    @property
    def unfinished(self) -> float:
        """Messages waiting, in flight or delayed, as far as known."""
        queue = self.snapshot.queue
        return value(queue.visible) + value(queue.in_flight) + value(queue.delayed)

    @property
    def backlog_known(self) -> bool:
        """Whether how much waits is known, and not from long ago."""
        visible = self.snapshot.queue.visible
        return visible is not None and visible.age_s(self.now) <= self.fleet.limits.stale_after_s


def case_of(snapshot: Snapshot, group: GroupReading, fleet: Fleet, memory: Memory, now: float) -> Case:
    """Put a tick's input into the theory's terms."""
    snapshot = signal_quality.believed(snapshot, memory)
    rate = service_rate(memory, fleet, now)
    lead = lead_time(memory, fleet, now)
    lead_s = lead.value + lead.deviation
    wait_s = _planned_wait(fleet.tightest_wait_s, lead_s, memory.kept_back)
    usual_per_s = usual(memory)
    patient = _is_patient(fleet, wait_s, lead_s)
    arrivals = _steadied(forecast(memory, now), usual_per_s, patient=patient)
    idle = patient and max(arrivals.rate_per_s, usual_per_s) <= IDLE_SHARE * rate.value
    supply = _supply(
        snapshot.queue,
        group,
        memory,
        float(fleet.hints.concurrency),
        rate.value,
        patient=patient,
        lead_s=lead_s,
        now=now,
    )
    needed, oldest_s, poison, awaited = group.desired, None, 0.0, 0
    asked: tuple[tuple[Demand, int], ...] = ()
    if snapshot.queue.visible is None:
        pass  # nothing can be asked for
    elif fleet.shared:
        demands = _demands(snapshot, fleet, memory, arrivals, lead_s=lead_s, now=now)
        asked = tuple(zip(demands, needs(demands, supply, lead_s), strict=True))
        needed = max((units for _, units in asked), default=0)
        oldest_s = max((demand.oldest_s for demand in demands if demand.oldest_s is not None), default=None)
    else:
        deadlines, oldest_s, poison = _deadlines(
            snapshot, fleet, memory, arrivals, wait_s=wait_s, lead_s=lead_s, now=now
        )
        late_s = wait_s / fleet.limits.catch_up
        needed = need(deadlines, supply, lead_s, late_s)
        more = arrivals.rate_per_s * (wait_s - lead_s) >= GATHER_LEAST and not value(snapshot.queue.delayed)
        if idle and supply.total <= 0.0 and more:
            later_s = lead_s + HOT_TICK_S + max(HOT_TICK_S, GATHER_DEVIATIONS * lead.deviation)
            if due_by(deadlines, later_s) <= 0.0 and need(deadlines, supply, later_s, late_s) <= needed:
                needed = 0
        if poison > 0.0:
            needed = max(1, needed)
        if memory.awaited:
            unused_s = max(MINIMUM_BILLING_S - lead_s, WINDOW_SHARE * lead_s)
            times = Times(now, wait_s, lead_s, late_s, HOT_TICK_S, unused_s)
            awaited = awaited_need(memory, deadlines, min(arrivals.rate_per_s, lately(memory)), supply, times)
            needed = max(needed, awaited)
    if group.desired < needed <= supply.total:
        needed = group.desired  # its instances count for more than was asked for
    return Case(
        snapshot=snapshot,
        fleet=fleet,
        memory=memory,
        now=now,
        group=group,
        rate=rate,
        lead=lead,
        lead_s=lead_s,
        wait_s=wait_s,
        patient=patient,
        arrivals=arrivals,
        supply=supply,
        need=needed,
        oldest_s=oldest_s,
        awaited=awaited,
        gaps=_gaps(snapshot, group, fleet, memory, now),
        idle=idle,
        poison=poison,
        asked=asked,
    )


def _deadlines(
    snapshot: Snapshot, fleet: Fleet, memory: Memory, arrivals: Forecast, *, wait_s: float, lead_s: float, now: float
) -> tuple[Sequence[Knot], float | None, float]:
    """D(t) of what waits in a queue and is to come; how long its oldest has waited, if known; and its poison."""
    waiting = value(snapshot.queue.visible)
    known_s = _eldest(snapshot, memory, now)
    first_seen_at = memory.sightings[0].at if memory.sightings else now
    eldest_s = now - first_seen_at if known_s is None else known_s  # what nothing tells of came just before
    poison = hygiene_poison.poison_alone(memory, waiting, value(snapshot.queue.in_flight), wait_s)
    knots = backlog(waiting - poison, _came(memory, now, fleet.target_wait_s), eldest_s, wait_s)
    oldest_s = max(0.0, wait_s - knots[0][0]) if waiting > poison and known_s is not None else None
    per_s = error_per_s = quantile = 0.0
    if not _is_patient(fleet, wait_s, lead_s) and worth_staying(arrivals, lead_s):
        per_s, error_per_s, quantile = arrivals.ahead_per_s, arrivals.error_per_s, _quantile(arrivals, lead_s)
    deadlines = ahead(
        knots,
        per_s,
        error_per_s,
        value(snapshot.queue.delayed),
        wait_s=wait_s,
        lead_s=lead_s,
        quantile=quantile,
    )
    return deadlines, oldest_s, poison


def _demands(
    snapshot: Snapshot, fleet: Fleet, memory: Memory, arrivals: Forecast, *, lead_s: float, now: float
) -> list[Demand]:
    """What each queue that is consumed holds, where that is known. Each has its share of the arrivals, as of late."""
    seen = []
    for source, reading in zip(fleet.sources, snapshot.queues, strict=True):
        if reading.visible is not None and not source.paused:
            alone = through(memory, source.name)
            sure = signal_quality.believed(replace(snapshot, queue=reading), alone).queue
            seen.append((source, sure, alone, forecast(alone, now)))
    total_per_s = sum(own.rate_per_s for *_, own in seen)
    demands = []
    for source, reading, alone, own in seen:
        share = own.rate_per_s / total_per_s if total_per_s > 0.0 else 0.0
        ahead_per_s = share * arrivals.ahead_per_s
        expected = replace(own, ahead_per_s=ahead_per_s, error_per_s=share * arrivals.error_per_s)
        single = fleet.through(source)
        wait_s = _planned_wait(single.target_wait_s, lead_s)
        deadlines, oldest_s, _ = _deadlines(
            replace(snapshot, queue=reading), single, alone, expected, wait_s=wait_s, lead_s=lead_s, now=now
        )
        demands.append(
            Demand(
                source.name,
                source.priority,
                deadlines,
                wait_s / fleet.limits.catch_up,
                value(reading.visible),
                value(reading.delayed),
                ahead_per_s,
                oldest_s,
            )
        )
    return demands


def _is_patient(fleet: Fleet, wait_s: float, lead_s: float) -> bool:
    return wait_s - lead_s >= patience_s(fleet.tightest_wait_s)


def _steadied(arrivals: Forecast, usual_per_s: float, *, patient: bool) -> Forecast:
    """Of few messages what is usual, not what minutes say, unless it is clearly over or clearly more.

    Units that come and go by minutes are not there in need. Where a launch can wait for its message, only what a unit
    in service expects is steadied: whether it leaves is told by what came last.
    """
    if not 0.0 < usual_per_s <= FEW_PER_S or arrivals.quiet_s * usual_per_s >= FEW_QUIET:
        return arrivals
    expected = usual_per_s * LEVEL_MEMORY_S
    if arrivals.rate_per_s * LEVEL_MEMORY_S > expected + FEW_SPREADS * sqrt(expected) + 1.0:
        return arrivals
    if patient:
        return replace(arrivals, rate_per_s=usual_per_s)
    return replace(arrivals, rate_per_s=usual_per_s, ahead_per_s=usual_per_s, quiet_s=0.0)


def _planned_wait(target_wait_s: float, lead_s: float, kept_back: float = 0.0) -> float:
    """The target less a guard; of a target barely above the lead time no guard makes a lost cause.

    What was late keeps a further share back, as far as that leaves a launch the time to wait for its message.
    """
    wait_s = target_wait_s - min(GUARD_SHARE * target_wait_s, GUARD_MAX_S, max(0.0, target_wait_s - lead_s) / 2)
    if kept_back > 0.0:
        wait_s -= min(kept_back * target_wait_s, max(0.0, wait_s - lead_s - patience_s(target_wait_s)))
    return wait_s


def patience_s(target_wait_s: float) -> float:
    """For how long a launch must be able to wait for its message, so that nothing need be foreseen."""
    return min(PATIENCE_S, PATIENCE_SHARE * target_wait_s)


def _spell_s(lead_s: float) -> float:
    """What a launch costs in unit-seconds: its boot, a minute at least, and a tick."""
    return max(MINIMUM_BILLING_S, lead_s) + HOT_TICK_S


def _quantile(arrivals: Forecast, lead_s: float) -> float:
    """How unlikely may be what is launched for ahead of time, in mean absolute errors of the forecast.

    A spare unit costs a spell in every spell. It is worth that while it has a message to serve in each, one that would
    have to wait for a launch otherwise: so of n messages a spell the likelier ones, down to one chance in n.
    """
    expected = arrivals.rate_per_s * _spell_s(lead_s)
    if expected >= SURE:
        return QUANTILE
    return ABSOLUTE * NormalDist().inv_cdf(1.0 - 1.0 / max(SURE_LEAST, expected))


def worth_staying(arrivals: Forecast, lead_s: float, *, idle: bool = False) -> bool:
    """Whether the next arrival is near enough to wait for it: leaving costs a launch, billed for a minute at least.

    An idle unit waits for as long as messages are apart on average, and no longer: while it boots anew it is paid for
    as it would be here, and until then it is not.
    """
    spell_s = _spell_s(lead_s)
    come_per_s = arrivals.rate_per_s
    if come_per_s * spell_s < 1.0:
        return False
    quiet_s = QUIET_SHARE * spell_s
    return arrivals.quiet_s <= (min(quiet_s, max(QUIET_LEAST_S, 1.0 / come_per_s)) if idle else quiet_s)


def value(reading: Reading | None) -> float:
    """A count, zero where it is unknown; `Case.gaps` tells the difference."""
    return 0.0 if reading is None else reading.value


def _gaps(snapshot: Snapshot, group: GroupReading, fleet: Fleet, memory: Memory, now: float) -> tuple[str, ...]:
    """What a shrink would have to know and cannot: figures that are missing or older than the fleet allows."""
    limit_s = fleet.limits.stale_after_s
    queue = snapshot.queue
    gaps: list[str] = []
    seen: Iterable[tuple[str, QueueReading]] = (("", queue),)
    if fleet.shared:
        seen = zip((f" in {source.name}" for source in fleet.sources), snapshot.queues, strict=True)
    for where, each in seen:
        for name, reading in (("waiting", each.visible), ("in flight", each.in_flight), ("delayed", each.delayed)):
            if reading is None:
                gaps.append(f"messages {name}{where} are unknown")
            elif now - reading.at > limit_s:
                gaps.append(f"messages {name}{where} are of {reading.age_s(now):.0f} s ago")
    if now - group.at > limit_s:
        gaps.append(f"the group's state is of {now - group.at:.0f} s ago")
    if not gaps and not (value(queue.visible) or value(queue.in_flight) or value(queue.delayed)):
        return ()  # nothing is left to do, whatever came of late; and a queue that is not used has no metrics
    history = memory.arrivals
    if queue.sent is None or not history.counts:
        gaps.append("arrivals are unknown")
    elif now - history.end_at > limit_s + 2.0 * history.period_s:
        gaps.append(f"arrivals are of {now - history.end_at:.0f} s ago")
    return tuple(gaps)


def _supply(
    queue: QueueReading,
    group: GroupReading,
    memory: Memory,
    places: float,
    rate_per_s: float,
    *,
    patient: bool,
    lead_s: float,
    now: float,
) -> Supply:
    """What serves: units in service, and launches, due a lead time after they began.

    What is desired and not there yet is about to be launched. Where less is desired than is in service, the group is
    about to take the surplus away; but an instance that counts for several units stays if only a part of it is surplus,
    as one is launched of which only a part is missing.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups-instance-weighting.html

    Of launches what is likely is counted on only where it can be mended.
    """
    at_hand = AT_HAND if patient else 0.0
    working = capacity(group.instances, Lifecycle.WORKING)
    busy = places  # where it is unknown
    if queue.in_flight is not None:
        busy = min(places, queue.in_flight.value / working) if working > 0 else 0.0
    left = group.desired - working
    if left <= 0:
        units = float(group.desired) if left == 0 or -left >= _lightest(group) else working
        return Supply(units, places, busy, rate_per_s, (), lead_s + HOT_TICK_S, at_hand)
    known = dict(memory.launches)
    dues: dict[float, float] = {}
    for instance in group.instances:
        if instance.state is Lifecycle.LAUNCHING and left > 0:
            begun_at = known.get(instance.id, instance.launched_at)
            due_s = _due(lead_s, 0.0 if begun_at is None else now - begun_at)
            dues[due_s] = dues.get(due_s, 0.0) + instance.weight
            left -= instance.weight
    if left > 0:
        dues[lead_s] = dues.get(lead_s, 0.0) + left
    return Supply(working, places, busy, rate_per_s, tuple(sorted(dues.items())), lead_s + HOT_TICK_S, at_hand)


def _lightest(group: GroupReading) -> float:
    """The units of the smallest instance in service."""
    return min(each.weight for each in group.instances if each.state is Lifecycle.WORKING and each.healthy)


def _due(lead_s: float, age_s: float) -> float:
    """When a launch of that age is useful: the longer one is overdue, the longer it is expected to be."""
    return min(lead_s, max(min(OVERDUE_DUE_S, lead_s / 4), abs(age_s - lead_s)))


def _eldest(snapshot: Snapshot, memory: Memory, now: float) -> float | None:
    """How long a waiting message can have waited at most; None if nothing tells.

    The metric is late, but nothing that waits now is older than what was the oldest then; and it came after any tick
    that saw an empty queue.
    """
    eldest_s = None
    oldest = snapshot.queue.oldest_age
    if oldest is not None:
        eldest_s = oldest.value + oldest.age_s(now)
    since_at = -inf if eldest_s is None else now - eldest_s  # nothing that was seen before says more
    for seen in reversed(memory.sightings):
        seen_at = seen.at
        if seen_at <= since_at:
            break
        if seen.visible == 0 and seen_at < snapshot.at:
            return now - seen_at
    if eldest_s is None and memory.arrivals.counts:
        return now - memory.arrivals.start_at
    return eldest_s


def _came(memory: Memory, now: float, span_s: float) -> Iterator[Interval]:
    """What came when, newest first: as ticks saw it, scaled to the metric where there is one; then by the metric alone.

    What came back counts as come when it did. What came between two ticks far apart may all have come right after the
    first.
    """
    history, sightings = memory.arrivals, memory.sightings
    counts, start_at, period_s = history.counts, history.start_at, history.period_s
    index, end_at = len(sightings) - 1, history.end_at
    while index > 0:
        # The sightings of one period (of what no metric tells of yet: all), and how much too few they saw come.
        until = sightings[index].at
        since, first, scale = end_at, index, 1.0
        if until <= end_at:
            since = start_at + period_s * (ceil((until - start_at) / period_s) - 1)
            total = 0.0
            while first > 0 and sightings[first].at > since:
                total += sightings[first].arrived
                first -= 1
            if total > 0.0 and since >= start_at:
                scale = counts[round((since - start_at) / period_s)] / total
        seen, seen_at = sightings[index], until
        while index > 0 and seen_at > since:
            index -= 1
            before = sightings[index]
            before_at = before.at
            ago_s = now - before_at
            if seen_at - before_at > HOT_TICK_S:
                yield ago_s - HOT_TICK_S, 0.0
            yield ago_s, seen.arrived * scale + seen.returned
            seen, seen_at = before, before_at
    stride = max(1, ceil(span_s / period_s / BACKLOG_KNOTS))
    known = len(counts)
    if sightings and counts:
        known = min(known, ceil((sightings[0].at - start_at) / period_s) - 1)
    back = redeliveries.returned_by_period(memory) if memory.returns.counts else {}
    for last in range(known, 0, -stride):
        after = max(0, last - stride)
        came = sum(counts[after:last])
        if back:
            came += sum(back.get(index, 0.0) for index in range(after, last))
        yield now - start_at - after * period_s, came
