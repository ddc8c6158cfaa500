"""Shadow mode: the fleet that Sluice would have had, beside the real one; replay(...) -> ShadowTick.

Theory of operation
-------------------
In shadow mode somebody else sets the group's capacity. What Sluice would do depends on what it would have done before,
so a simulated fleet is kept beside the real one. It begins equal to it. At each tick

    arrivals since --SimulatedFleet--> what would wait, be in flight, work, launch    (simulated_fleet) these as a
    snapshot --plan()--> what Sluice would want of that fleet              (simulated_view, the shipped planner) the
    want --SimulatedFleet--> launched, or drained

with needs, spending and the last empty queue of the simulated fleet's own. The estimates (rate, lead time, arrivals)
are facts of the real fleet, and are used for both.

Arrivals are first what ticks saw, then what the metric counts. So the state is kept as of some minutes ago
(`Shadow.at`), as far as the metric is final, with the wants of the ticks since; each tick runs from there anew. What is
settled is scored, once: both sides over the same time, by the same arrivals. The real queue's starts are what arrived
less what was seen waiting, and never fall; the simulated fleet's are a fluid's.

Of a shared fleet each queue that is consumed has its own waiting messages on both sides, its own arrivals and target
wait. Messages in flight and costs are the fleet's. A paused queue is left out on both sides. A tick that cannot read
one of the queues is left out.

Invariants
1. What waited at first and arrived is what was started and what waits, on both sides, in each queue.
2. A tick repeated changes nothing.
3. After a gap that nothing is known of, or with other queues, another target wait or priority of one of them, the
   simulated fleet begins again, equal to the real one; the score is kept after a gap alone.
"""

from collections.abc import Sequence
from math import ceil

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.planning import Estimates, Memory, QueueMemory, Snapshot
from sluice.model.shadow import Batch, RealGroup, ScoreHistory, Shadow, ShadowFleet, ShadowQueue, Span
from sluice.model.timing import Timing
from sluice.model.usage import Spending
from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.planner import plan, with_need
from sluice.planning.shadow.arrivals import arrivals, together
from sluice.planning.shadow.real_group import units_of, with_real_cost
from sluice.planning.shadow.scorecard import TallyBuilder, added
from sluice.planning.shadow.simulated_fleet import FleetSpeed, SimulatedFleet, WaitingMessages, queues_of
from sluice.planning.shadow.simulated_view import memory_of, snapshot_of

FINAL_PERIODS = 1  # the newest count may still grow, and is not settled by yet
SPARE_TICKS = 24  # an alarm or an operator asks for ticks between the regular ones
OVERDUE_SHARE = 0.25  # a launch that should be there is expected within a quarter of a lead time


@dataclass(frozen=True, slots=True)
class ShadowTick:
    """One tick of the simulated fleet."""

    shadow: Shadow
    decision: Decision | None = None  # on that fleet; None where nothing could be decided, or a tick was repeated
    settled: Span | None = None  # what was scored with this tick
    began: bool = False  # it is equal to the real fleet, and nothing before is of use


def replay(
    before: Memory,
    memory: Memory,
    estimates: Estimates,
    snapshot: Snapshot,
    fleet: Fleet,
    *,
    timing: Timing,
    now: float,
) -> ShadowTick:
    """Go on with the simulated fleet, decide for it, and score what is settled.

    Args:
        before: the memory that the tick found.
        memory: the same once the tick had learned.
        estimates: what is believed, as `learn` gave it with the memory.
        snapshot: what the tick saw of the real fleet.
        fleet: its queues' targets, hints and limits.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.
    """
    shadow, group, at = memory.shadow, snapshot.group, snapshot.at
    last_at = shadow.ticks[-1][0] if shadow.ticks else None
    if group is None or not _is_read(snapshot, fleet) or (last_at is not None and at <= last_at):
        return ShadowTick(shadow)
    speed = FleetSpeed(
        estimates.service_rate.value,
        float(fleet.hints.concurrency),
        estimates.lead_time.value,
        shadow.real.drain_s,
    )
    settled: Span | None = None
    began = last_at is None or at - last_at > timing.blind_s or not _is_same(shadow, fleet)
    queues = _memories(_consumed(fleet), before, memory)
    if began:
        shadow, settled = _ended(shadow, _memories(shadow.queues, before, memory), speed)
        shadow = _begun(shadow, memory, snapshot, fleet, speed, group=group)
    else:
        shadow = with_real_cost(shadow, before, memory, group, at)
        shadow, settled = _settled(shadow, queues, speed, _final_at(shadow, memory, timing, at))
    simulated = _run(shadow, queues, speed, at, None)[0]
    seen = snapshot_of(simulated, snapshot, group, fleet)
    decision = plan(seen, fleet, estimates, memory_of(memory, shadow), timing=timing, now=now)
    return ShadowTick(_noted(shadow, simulated, decision, timing, at), decision, settled, began)


# --------------------------------------------------------------------------- queues


def _consumed(fleet: Fleet) -> tuple[ShadowQueue, ...]:
    """The queues of a shared fleet that are consumed; none of another fleet, which is known by its target wait."""
    if not fleet.shared:
        return ()
    return tuple(
        ShadowQueue(source.name, source.target_wait_s or fleet.target_wait_s, source.priority)
        for source in fleet.sources
        if not source.paused
    )


def _readings(snapshot: Snapshot, fleet: Fleet) -> list[QueueReading]:
    """What was read of each queue that is consumed."""
    if not fleet.shared:
        return [snapshot.queue]
    return [read for source, read in zip(fleet.sources, snapshot.queues, strict=True) if not source.paused]


def _is_read(snapshot: Snapshot, fleet: Fleet) -> bool:
    """Whether there is a queue that is consumed, and the count of waiting messages is known of each."""
    readings = _readings(snapshot, fleet)
    return bool(readings) and all(reading.visible is not None for reading in readings)


def _is_same(shadow: Shadow, fleet: Fleet) -> bool:
    """Whether the score is of these queues, by these targets and priorities."""
    queues = tuple(replace(queue, empty_at=0.0) for queue in shadow.queues)
    return queues == _consumed(fleet) and shadow.target_wait_s == fleet.tightest_wait_s


def _memories(queues: Sequence[ShadowQueue], before: Memory, memory: Memory) -> Sequence[QueueMemory]:
    """What is remembered of each queue that is consumed; of queues the fleet no longer has, what the tick found."""
    if not queues:
        return ((before if memory.queues else memory).as_queue(),)
    known = {queue.name: queue for queue in (*before.queues, *memory.queues)}
    return [known.get(queue.name, QueueMemory(queue.name)) for queue in queues]


def _simulated(shadow: Shadow, speed: FleetSpeed) -> SimulatedFleet:
    """The simulated fleet where it is settled."""
    assert shadow.fleet is not None, "it has begun"
    return SimulatedFleet(shadow.fleet, speed, [queue.priority for queue in shadow.queues] or [0])


# --------------------------------------------------------------------------- begin and end


def _begun(
    shadow: Shadow, memory: Memory, snapshot: Snapshot, fleet: Fleet, speed: FleetSpeed, *, group: GroupReading
) -> Shadow:
    """Equal to the real fleet. The score stays, unless it was by another target, or of other queues."""
    at, queue, queues = snapshot.at, snapshot.queue, _consumed(fleet)
    working = capacity(group.instances, Lifecycle.IN_SERVICE)
    known = dict(memory.launches.under_way)
    launches = []
    for instance in group.instances:
        if instance.state is Lifecycle.LAUNCHING:
            ordered_at = known.get(instance.id, instance.launched_at)
            ordered_at = at if ordered_at is None else ordered_at
            due_at = max(ordered_at + speed.lead_s, at + OVERDUE_SHARE * speed.lead_s)
            launches.append((ordered_at, due_at, instance.weight))
    in_flight = 0.0 if queue.in_flight is None else min(queue.in_flight.value, working * speed.places)
    same = _is_same(shadow, fleet)
    last_at = shadow.ticks[-1][0] if shadow.ticks else None
    read = zip(_memories(queues, memory, memory), _readings(snapshot, fleet), strict=True)
    waiting, *others = [_by_age(queue_memory, reading, at) for queue_memory, reading in read]
    there = ShadowFleet(group.desired, working, tuple(launches), (), in_flight, waiting, tuple(others))
    begun = Shadow(
        target_wait_s=fleet.tightest_wait_s,
        at=at,
        fleet=there,
        waiting=waiting,
        others=tuple(others),
        ticks=((at, group.desired, 0.0, 0.0),),
        real=_with_drains(units_of(group), shadow.real),
        restarted=None if last_at is None or not same else (at, at - last_at),
        score=shadow.score if same else ScoreHistory(),
        queues=queues,
    )
    equal = _simulated(begun, speed)
    equal.order(at, group.desired, None)
    return replace(begun, fleet=equal.to_record())


def _with_drains(real: RealGroup, before: RealGroup) -> RealGroup:
    """The units of now, with what was learned of drains before."""
    return replace(real, drained_s=before.drained_s, drained=before.drained)


def _ended(shadow: Shadow, queues: Sequence[QueueMemory], speed: FleetSpeed) -> tuple[Shadow, Span | None]:
    """Settled by what is known; what waits then has waited until then."""
    if not shadow.ticks or shadow.fleet is None:
        return shadow, None
    last_at = shadow.ticks[-1][0]
    shadow, settled = _settled(shadow, queues, speed, last_at)
    assert shadow.fleet is not None, "settling keeps it"
    sides = []
    for side in (shadow, shadow.fleet):
        tally = TallyBuilder(*shadow.targets_s)
        for queue in queues_of(side.waiting, side.others):
            queue.take(queue.count, last_at, last_at, tally)
        sides.append(tally.to_record())
    return added(shadow, Span(max(0.0, last_at - 1.0), acting=sides[0], shadow=sides[1])), settled


def _by_age(memory: QueueMemory, reading: QueueReading, at: float) -> tuple[Batch, ...]:
    """What waits, by when it arrived: the last that arrived, as far back as is known; the rest as old as the oldest."""
    visible, oldest = reading.visible, reading.oldest_age
    left = 0.0 if visible is None else visible.value
    eldest_at = at if oldest is None else min(at, oldest.at - oldest.value)
    since = max(eldest_at, memory.arrivals.start_at if memory.arrivals.counts else at)
    pieces = []
    for came_from, came_until, messages in reversed(arrivals(memory, since, at) if since < at else []):
        some = min(left, messages)
        if some > 0.0:
            pieces.append((came_until - (came_until - came_from) * some / messages, came_until, some))
        left -= some
    if left > 0.0:
        pieces.append((since, since, left))
    return WaitingMessages(reversed(pieces)).to_record()


# --------------------------------------------------------------------------- go on, and settle


def _run(
    shadow: Shadow, queues: Sequence[QueueMemory], speed: FleetSpeed, until: float, tally: TallyBuilder | None
) -> tuple[SimulatedFleet, float]:
    """The simulated fleet, from where it is settled up to a moment before that tick's order; and what arrived."""
    fleet, came = _simulated(shadow, speed), 0.0
    orders = [(tick[0], tick[1]) for tick in shadow.ticks if tick[0] < until]
    pieces = together(queues, shadow.at, until, [order[0] for order in orders])
    piece = next(pieces, None)
    for index, (at, want) in enumerate(orders):
        fleet.order(at, want, tally)
        end = orders[index + 1][0] if index + 1 < len(orders) else until
        while piece is not None and piece[0] < end:
            first, *others = piece[2]
            fleet.advance(piece[0], piece[1], first, tally, others)
            came += sum(piece[2])
            piece = next(pieces, None)
    return fleet, came


def _final_at(shadow: Shadow, memory: Memory, timing: Timing, at: float) -> float:
    """The last tick up to which arrivals are final: by the metric, or since they are too old to wait for it."""
    history = memory.arrivals.history
    wait_most_s = timing.sample_window_s - timing.metric_period_s  # later the samples are gone
    ticks_most = ceil(wait_most_s / timing.tick_s) + SPARE_TICKS
    final_at = history.end_at - FINAL_PERIODS * history.period_s if history.counts else shadow.at
    oldest_at = memory.samples[0].at if memory.samples else shadow.at
    final_at = max(min(final_at, at), at - wait_most_s, oldest_at)
    if len(shadow.ticks) > ticks_most:
        final_at = max(final_at, shadow.ticks[-ticks_most][0])
    return max((tick[0] for tick in shadow.ticks[:-1] if tick[0] <= final_at), default=shadow.at)


def _settled(
    shadow: Shadow, queues: Sequence[QueueMemory], speed: FleetSpeed, until: float
) -> tuple[Shadow, Span | None]:
    """Both sides up to the tick at a moment, and what was scored on the way."""
    since = shadow.at
    if until <= since:
        return shadow, None
    ours, theirs = TallyBuilder(*shadow.targets_s), TallyBuilder(*shadow.targets_s)
    fleet, came = _run(shadow, queues, speed, until, ours)
    real = queues_of(shadow.waiting, shadow.others)
    for waiting, memory in zip(real, queues, strict=True):
        _start_as_seen(waiting, memory, since, until, theirs)
    over = [tick for tick in shadow.ticks if since < tick[0] <= until]
    theirs.unit_s = sum(tick[2] for tick in over)
    theirs.launches = sum(tick[3] for tick in over)
    span = Span(since, until - since, came, theirs.to_record(), ours.to_record())
    ticks = tuple(tick for tick in shadow.ticks if tick[0] >= until)
    first, *others = [waiting.to_record() for waiting in real]
    shadow = replace(shadow, at=until, fleet=fleet.to_record(), waiting=first, others=tuple(others), ticks=ticks)
    return added(shadow, span), span


def _start_as_seen(
    waiting: WaitingMessages, memory: QueueMemory, since: float, until: float, tally: TallyBuilder
) -> None:
    """The real queue between two moments: what was started is what arrived less what was seen waiting."""
    came, place = arrivals(memory, since, until), 0
    counts = [(sample.at, sample.visible) for sample in memory.samples if since < sample.at <= until]
    for at, visible in counts:
        first = place
        while place < len(came) and came[place][1] <= at:
            place += 1
        some = came[first:place]
        starts = max(0.0, waiting.count + sum(messages for *_, messages in some) - visible)
        owed = 0.0
        for start, end, messages in some:
            waiting.add(start, end, messages)
            owed += starts * (end - start) / (at - since)
            taken = min(owed, waiting.count)
            waiting.take(taken, start, end, tally)
            owed -= taken
        since = at
    for start, end, messages in came[place:]:
        waiting.add(start, end, messages)


def _noted(shadow: Shadow, simulated: SimulatedFleet, decision: Decision, timing: Timing, at: float) -> Shadow:
    """The want as this tick's order, and what its next decision needs to know."""
    day_at = at - at % DAY_S
    seconds = at - max(day_at, shadow.ticks[-2][0]) if len(shadow.ticks) > 1 else 0.0
    spent_s = shadow.spending.spent_s if shadow.spending.day_at == day_at else 0.0
    spent_s += simulated.paid(at) * max(0.0, seconds)
    last = shadow.ticks[-1]
    empty = [round(queue.count) == 0 for queue in simulated.queues]
    return replace(
        shadow,
        ticks=(*shadow.ticks[:-1], (at, decision.want, last[2], last[3])),
        empty_at=at if all(empty) else shadow.empty_at,
        queues=tuple(
            replace(queue, empty_at=at) if emptied else queue
            for queue, emptied in zip(shadow.queues, empty, strict=False)  # of another fleet than a shared one: none
        ),
        needs=with_need(shadow.needs, decision, timing),
        spending=Spending(day_at, round(spent_s, 3)),
    )
