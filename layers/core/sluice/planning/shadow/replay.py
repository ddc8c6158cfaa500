"""Shadow mode's other fleet: what Sluice would have had, and how both would compare; follow(...) -> Followed.

Theory of operation
-------------------
In shadow mode another sets the group. What Sluice would do depends on what it would have done before, so a fleet as it
would be is kept beside the real one. It begins equal to it. At each tick

    arrivals since --Counterfactual--> what would wait, be in flight, work, launch      (counterfactual)
    these as a snapshot --plan()--> what Sluice would want of that fleet                 (the shipped planner)
    the want --Counterfactual--> launched, or let go

with the needs, the spending and the last empty queue of that fleet's own; rates, lead time and arrivals are facts of
the real one, and are the same for both.

Arrivals are first what ticks saw, then what the metric says. So the state is kept as of some minutes ago (`Shadow.at`),
as far as the metric is final, with the wants of the ticks since; each tick runs from there anew. What is settled is
scored, once: both sides over the same stretch, by the same arrivals. The real queue's starts are what came less what
was seen waiting, and never fall; the other's are the fluid's.

Of a shared fleet each queue that is consumed has a line of its own on both sides, its own arrivals and target wait;
without others a queue is the one line of the same fleet. What is in flight and what it costs are the fleet's. A paused
queue has no line: nobody takes from it, on either side. A tick that cannot read one of the queues is left out.

Invariants
1. What waited at first and came is what was started and what waits, on both sides, in each queue.
2. A tick repeated changes nothing.
3. After a gap that nothing is known of, or with other queues, another target wait or priority of one of them, it begins
   again, equal to the real fleet; the score is kept after a gap alone.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading, capacity
from sluice.model.planning import Decision, Estimate, History, Memory, QueueMemory, Sighting, Snapshot
from sluice.model.shadow import Shadow, ShadowFleet, ShadowQueue, Span
from sluice.planning.assessment import MINIMUM_BILLING_S
from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.learning.lead_time import lead_time
from sluice.planning.learning.samples import BLIND_S
from sluice.planning.learning.service_rate import service_rate
from sluice.planning.multi_queue import pooled
from sluice.planning.planner import plan, remember
from sluice.planning.shadow.scorecard import Tallying, added
from sluice.planning.shadow.simulated_fleet import Counterfactual, Line, Pace, Piece, lines_of

FINAL_PERIODS = 1  # of the newest counts that may still grow, and are not settled by yet
SETTLE_MAX_S = 360.0  # what is older is settled by what ticks saw; sightings reach back seven minutes
TICKS_KEPT = 60  # ticks not settled yet: six minutes of ten-second ticks, and some
GOING_KEPT = 50.0  # units whose leaving is remembered
OVERDUE_SHARE = 0.25  # of a lead time: in so much a launch that should be there is expected

type Arrivals = list[tuple[float, float, float]]  # (from, until, messages), contiguous
type Told = Memory | QueueMemory  # what is known of when the messages of one queue came


@dataclass(frozen=True, slots=True)
class Followed:
    """One tick of the fleet as it would be."""

    shadow: Shadow
    decision: Decision | None = None  # on that fleet; None where nothing could be decided, or a tick was repeated
    settled: Span | None = None  # what was scored with this tick
    began: bool = False  # it is equal to the real fleet, and nothing before is of use


def follow(before: Memory, memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float) -> Followed:
    """Go on with the fleet as it would be, decide for it, and score what is settled.

    Args:
        before: the memory that the tick found.
        memory: the same once the tick had learned.
        snapshot: what the tick saw of the real fleet.
        fleet: its queues' targets, hints and limits.
        now: epoch seconds.
    """
    shadow, group, at = memory.shadow, snapshot.group, snapshot.at
    last_at = shadow.ticks[-1][0] if shadow.ticks else None
    if group is None or not _is_seen(snapshot, fleet) or (last_at is not None and at <= last_at):
        return Followed(shadow)
    pace = Pace(
        service_rate(memory, fleet, now).value,
        float(fleet.hints.concurrency),
        lead_time(memory, fleet, now).value,
        shadow.going[0] / shadow.going[1] if shadow.going[1] >= 1.0 else None,
    )
    settled: Span | None = None
    began = last_at is None or at - last_at > BLIND_S or not _is_same(shadow, fleet)
    told = _told(_consumed(fleet), before, memory)
    if began:
        shadow, settled = _ended(shadow, _told(shadow.queues, before, memory), pace)
        shadow = _begun(shadow, memory, snapshot, fleet, pace, group=group)
    else:
        assert last_at is not None, "else it would have begun"
        shadow = _watched(shadow, before, memory, group, at)
        shadow, settled = _settled(shadow, told, pace, _final_at(shadow, memory, at))
    live = _run(shadow, told, pace, at, None)[0]
    decision = plan(_as_seen(live, snapshot, group, fleet), fleet, _own(memory, shadow, fleet, now), now)
    return Followed(_noted(shadow, memory, live, decision, at), decision, settled, began)


# --------------------------------------------------------------------------- queues


def _consumed(fleet: Fleet) -> tuple[ShadowQueue, ...]:
    """The queues of a shared fleet that have a line; none of another fleet, which is known by its target wait."""
    if not fleet.shared:
        return ()
    return tuple(
        ShadowQueue(source.name, source.target_wait_s or fleet.target_wait_s, source.priority)
        for source in fleet.sources
        if not source.paused
    )


def _readings(snapshot: Snapshot, fleet: Fleet) -> list[QueueReading]:
    """What was read of each queue that has a line."""
    if not fleet.shared:
        return [snapshot.queue]
    return [read for source, read in zip(fleet.sources, snapshot.queues, strict=True) if not source.paused]


def _is_seen(snapshot: Snapshot, fleet: Fleet) -> bool:
    """Whether there is a queue that is consumed, and how much waits is known of each."""
    readings = _readings(snapshot, fleet)
    return bool(readings) and all(reading.visible is not None for reading in readings)


def _is_same(shadow: Shadow, fleet: Fleet) -> bool:
    """Whether the score is of these queues, by these targets and priorities."""
    queues = tuple(replace(queue, empty_at=0.0) for queue in shadow.queues)
    return queues == _consumed(fleet) and shadow.target_wait_s == fleet.tightest_wait_s


def _told(queues: Sequence[ShadowQueue], before: Memory, memory: Memory) -> Sequence[Told]:
    """What is known of each queue that has a line; of those of another fleet than it is now, what the tick found."""
    if not queues:
        return (before if memory.queues else memory,)
    known = {queue.name: queue for queue in (*before.queues, *memory.queues)}
    return [known.get(queue.name, QueueMemory(queue.name)) for queue in queues]


def _as_it_would_be(shadow: Shadow, pace: Pace) -> Counterfactual:
    """The fleet as it would be, where it is settled."""
    assert shadow.fleet is not None, "it has begun"
    return Counterfactual(shadow.fleet, pace, [queue.priority for queue in shadow.queues] or [0])


# --------------------------------------------------------------------------- begin and end


def _begun(
    shadow: Shadow, memory: Memory, snapshot: Snapshot, fleet: Fleet, pace: Pace, *, group: GroupReading
) -> Shadow:
    """Equal to the real fleet. The score of before stays, unless it was by another target, or of other queues."""
    at, queue, queues = snapshot.at, snapshot.queue, _consumed(fleet)
    working = capacity(group.instances, Lifecycle.WORKING)
    known = dict(memory.launches)
    launches = []
    for instance in group.instances:
        if instance.state is Lifecycle.LAUNCHING:
            ordered_at = known.get(instance.id, instance.launched_at)
            ordered_at = at if ordered_at is None else ordered_at
            due_at = max(ordered_at + pace.lead_s, at + OVERDUE_SHARE * pace.lead_s)
            launches.append((ordered_at, due_at, instance.weight))
    in_flight = 0.0 if queue.in_flight is None else min(queue.in_flight.value, working * pace.places)
    same = _is_same(shadow, fleet)
    last_at = shadow.ticks[-1][0] if shadow.ticks else None
    seen = zip(_told(queues, memory, memory), _readings(snapshot, fleet), strict=True)
    waiting, *others = [_ages(told, reading, at) for told, reading in seen]
    there = ShadowFleet(group.desired, working, tuple(launches), (), in_flight, waiting, tuple(others))
    begun = Shadow(
        target_wait_s=fleet.tightest_wait_s,
        at=at,
        fleet=there,
        waiting=waiting,
        others=tuple(others),
        ticks=((at, group.desired, 0.0, 0.0),),
        real=_real(group),
        going=shadow.going,
        weighted=_is_weighted(group),
        restarted=None if last_at is None or not same else (at, at - last_at),
        hours=shadow.hours if same else (),
        days=shadow.days if same else (),
        queues=queues,
    )
    equal = _as_it_would_be(begun, pace)
    equal.order(at, group.desired, None)
    return replace(begun, fleet=equal.kept())


def _ended(shadow: Shadow, told: Sequence[Told], pace: Pace) -> tuple[Shadow, Span | None]:
    """Settled by what is known; what waits then has waited until then."""
    if not shadow.ticks or shadow.fleet is None:
        return shadow, None
    last_at = shadow.ticks[-1][0]
    shadow, settled = _settled(shadow, told, pace, last_at)
    assert shadow.fleet is not None, "settling keeps it"
    sides = []
    for side in (shadow, shadow.fleet):
        tallying = Tallying(*shadow.targets_s)
        for line in lines_of(side.waiting, side.others):
            line.take(line.count, last_at, last_at, tallying)
        sides.append(tallying.kept())
    return added(shadow, Span(max(0.0, last_at - 1.0), acting=sides[0], shadow=sides[1])), settled


def _ages(told: Told, reading: QueueReading, at: float) -> tuple[Piece, ...]:
    """What waits, by when it came: the last that came, as far back as is known; the rest as old as the oldest."""
    visible, oldest = reading.visible, reading.oldest_age
    left = 0.0 if visible is None else visible.value
    eldest_at = at if oldest is None else min(at, oldest.at - oldest.value)
    since = max(eldest_at, told.arrivals.start_at if told.arrivals.counts else at)
    pieces = []
    for came_from, came_until, messages in reversed(arrivals(told, since, at) if since < at else []):
        some = min(left, messages)
        if some > 0.0:
            pieces.append((came_until - (came_until - came_from) * some / messages, came_until, some))
        left -= some
    if left > 0.0:
        pieces.append((since, since, left))
    return Line(reversed(pieces)).kept()


# --------------------------------------------------------------------------- what came


def arrivals(told: Told, since: float, until: float) -> Arrivals:
    """What came between two moments: a period's count, spread as ticks saw it come; or what they saw, without one."""
    history, seen = told.arrivals, told.sightings
    start_at, period_s, end_at = history.start_at, history.period_s, history.end_at
    low = since
    if history.counts and start_at <= since < end_at:
        low = start_at + period_s * ((since - start_at) // period_s)
    spells = [(one.at, other.at, other.arrived) for one, other in pairwise(seen) if other.at > low and one.at < until]
    edges = {since, until, low} | {at for spell in spells for at in spell[:2] if low < at < until}
    if history.counts:
        edge = start_at + period_s * max(0.0, (low - start_at) // period_s)
        while edge <= min(until, end_at):
            if edge > low:
                edges.add(edge)
            edge += period_s
    ends = [spell[1] for spell in spells]
    cuts: list[tuple[float, float, float, bool]] = []  # (from, until, seen to come, whether anybody looked)
    for start, end in pairwise(sorted(edges)):
        place = bisect_right(ends, start)
        looked = place < len(spells) and spells[place][0] <= start
        raw = spells[place][2] * (end - start) / (spells[place][1] - spells[place][0]) if looked else 0.0
        cuts.append((start, end, raw, looked))
    came: Arrivals = []
    first = 0
    while first < len(cuts):
        start = cuts[first][0]
        known = bool(history.counts) and start_at <= start < end_at
        period_end = start_at + period_s * ((start - start_at) // period_s + 1.0) if known else start
        last = first + 1
        while last < len(cuts) and (cuts[last][0] < period_end - 1e-6):
            last += 1
        count = history.counts[int((start - start_at) // period_s)] if known else None
        came += _spread(cuts[first:last], count, period_s)
        first = last
    return [entry for entry in came if entry[0] >= since and entry[1] > entry[0]]


def _spread(cuts: Sequence[tuple[float, float, float, bool]], count: float | None, period_s: float) -> Arrivals:
    """One period's count over its cuts, as they were seen to come; evenly, where nobody looked or nothing was seen.

    Of a period in which looking began, what was seen is believed: most of the count may be of before.
    """
    if count is None:
        return [(start, end, raw) for start, end, raw, _ in cuts]
    total = sum(raw for _, _, raw, _ in cuts)
    unseen_s = sum(end - start for start, end, _, looked in cuts if not looked)
    if unseen_s <= 0.0 < total:
        share = min(1.0, (cuts[-1][1] - cuts[0][0]) / period_s)
        return [(start, end, count * share * raw / total) for start, end, raw, _ in cuts]
    if unseen_s <= 0.0 or not any(looked for *_, looked in cuts):
        return [(start, end, count * (end - start) / period_s) for start, end, _, _ in cuts]
    rest = max(0.0, count - total)
    return [(start, end, raw if looked else rest * (end - start) / unseen_s) for start, end, raw, looked in cuts]


# --------------------------------------------------------------------------- go on, and settle


def _run(
    shadow: Shadow, told: Sequence[Told], pace: Pace, until: float, tally: Tallying | None
) -> tuple[Counterfactual, float]:
    """The fleet as it would be, from where it is settled up to a moment before that tick's order; and what came."""
    fleet, came = _as_it_would_be(shadow, pace), 0.0
    orders = [(tick[0], tick[1]) for tick in shadow.ticks if tick[0] < until]
    pieces = _together(told, shadow.at, until, [order[0] for order in orders])
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


def _together(
    told: Sequence[Told], since: float, until: float, edges: Sequence[float]
) -> Iterator[tuple[float, float, tuple[float, ...]]]:
    """What came to each queue between two moments, in the same pieces, cut at these moments as well."""
    if since >= until:
        return
    came = [arrivals(one, since, until) for one in told]
    cuts = sorted({*edges, *(end for each in came for _, end, _ in each)})
    for pieces in zip(*(_by(each, cuts) for each in came), strict=True):
        yield pieces[0][0], pieces[0][1], tuple(messages for *_, messages in pieces)


def _by(came: Arrivals, cuts: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """The same arrivals, cut at these moments as well, which ascend."""
    for start, end, messages in came:
        inner = cuts[bisect_right(cuts, start) : bisect_left(cuts, end)]
        for low, high in pairwise([start, *inner, end]):
            yield low, high, messages * (high - low) / (end - start)


def _final_at(shadow: Shadow, memory: Memory, at: float) -> float:
    """The last tick up to which arrivals are final: by the metric, or since they are too old to wait for it."""
    history = memory.arrivals
    final_at = history.end_at - FINAL_PERIODS * history.period_s if history.counts else shadow.at
    oldest_at = memory.sightings[0].at if memory.sightings else shadow.at
    final_at = max(min(final_at, at), at - SETTLE_MAX_S, oldest_at)
    if len(shadow.ticks) > TICKS_KEPT:
        final_at = max(final_at, shadow.ticks[-TICKS_KEPT][0])
    return max((tick[0] for tick in shadow.ticks[:-1] if tick[0] <= final_at), default=shadow.at)


def _settled(shadow: Shadow, told: Sequence[Told], pace: Pace, until: float) -> tuple[Shadow, Span | None]:
    """Both sides up to the tick at a moment, and what was scored on the way."""
    since = shadow.at
    if until <= since:
        return shadow, None
    ours, theirs = Tallying(*shadow.targets_s), Tallying(*shadow.targets_s)
    fleet, came = _run(shadow, told, pace, until, ours)
    lines = lines_of(shadow.waiting, shadow.others)
    for line, one in zip(lines, told, strict=True):
        _work(line, one, since, until, theirs)
    over = [tick for tick in shadow.ticks if since < tick[0] <= until]
    theirs.unit_s = sum(tick[2] for tick in over)
    theirs.launches = sum(tick[3] for tick in over)
    span = Span(since, until - since, came, theirs.kept(), ours.kept())
    ticks = tuple(tick for tick in shadow.ticks if tick[0] >= until)
    waiting, *others = [line.kept() for line in lines]
    shadow = replace(shadow, at=until, fleet=fleet.kept(), waiting=waiting, others=tuple(others), ticks=ticks)
    return added(shadow, span), span


def _work(line: Line, told: Told, since: float, until: float, tally: Tallying) -> None:
    """The real queue between two moments: what was started is what came less what was seen waiting."""
    came, place = arrivals(told, since, until), 0
    looks = [(seen.at, seen.visible) for seen in told.sightings if since < seen.at <= until]
    for at, visible in looks:
        first = place
        while place < len(came) and came[place][1] <= at:
            place += 1
        some = came[first:place]
        starts = max(0.0, line.count + sum(messages for *_, messages in some) - visible)
        owed = 0.0
        for start, end, messages in some:
            line.add(start, end, messages)
            owed += starts * (end - start) / (at - since)
            taken = min(owed, line.count)
            line.take(taken, start, end, tally)
            owed -= taken
        since = at
    for start, end, messages in came[place:]:
        line.add(start, end, messages)


# --------------------------------------------------------------------------- one tick


def _watched(shadow: Shadow, before: Memory, memory: Memory, group: GroupReading, at: float) -> Shadow:
    """What the real group cost since the last tick, and what it launched."""
    last_at = shadow.ticks[-1][0]
    seconds = at - last_at
    real = _real(group)
    known, there = dict(before.launches), {instance.id for instance in group.instances}
    fresh = sum(1 for id_, _ in memory.launches if id_ not in known)
    launches = max(float(fresh), real[0] - shadow.real[0], 0.0)
    gone = max(0.0, launches - (real[0] - shadow.real[0]))
    # A launch that was given up costs its minute all the same.
    minimum_s = sum(max(0.0, MINIMUM_BILLING_S - (at - began)) for id_, began in known.items() if id_ not in there)
    unit_s = (sum(real) + sum(shadow.real)) / 2 * seconds + minimum_s
    drained_s, units = shadow.going[0] + (real[1] + shadow.real[1]) / 2 * seconds, shadow.going[1] + gone
    fade = min(1.0, GOING_KEPT / units) if units > 0.0 else 1.0
    return replace(
        shadow,
        ticks=(*shadow.ticks, (at, 0, round(unit_s, 3), launches)),
        real=real,
        going=(round(drained_s * fade, 3), round(units * fade, 3)),
        weighted=_is_weighted(group),
    )


def _real(group: GroupReading) -> tuple[float, float]:
    """Units launching or in service, and draining: healthy or not, they are paid for."""
    serving = draining = 0.0
    for instance in group.instances:
        if instance.state in {Lifecycle.LAUNCHING, Lifecycle.WORKING}:
            serving += instance.weight
        elif instance.state is Lifecycle.DRAINING:
            draining += instance.weight
    return serving, draining


def _is_weighted(group: GroupReading) -> bool:
    return any(instance.weight != 1.0 for instance in group.instances)


def _as_seen(live: Counterfactual, snapshot: Snapshot, group: GroupReading, fleet: Fleet) -> Snapshot:
    """What Sluice would have seen of the fleet as it would be. Counts are whole, as a queue's are."""
    at, real = snapshot.at, snapshot.queue
    instances = (Instance("shadow", Lifecycle.WORKING),) * round(live.working(at))
    for ordered_at, due_at, units in live.launches:
        if due_at > at:
            launching = Instance("shadow-launching", Lifecycle.LAUNCHING, launched_at=ordered_at)
            instances += (launching,) * round(units)
    lines, own, queues = iter(live.lines), real, snapshot.queues
    if fleet.shared:
        seen = zip(fleet.sources, queues, strict=True)
        queues = tuple(read if source.paused else _queue_as_seen(next(lines), read, at) for source, read in seen)
        own = pooled(fleet.sources, queues)
    else:
        own = _queue_as_seen(live.line, real, at)
    # Of which of several queues they are nobody needs to know; that they are unknown of one is told by its own reading.
    in_flight = None if real.in_flight is None else Reading(float(round(live.in_hand(at))), real.in_flight.at)
    return replace(
        snapshot,
        queue=replace(own, in_flight=in_flight),
        queues=queues,
        group=replace(group, desired=live.desired, instances=instances),
    )


def _queue_as_seen(line: Line, real: QueueReading, at: float) -> QueueReading:
    """The same of one queue."""
    assert real.visible is not None, "else there was nothing to follow"
    waiting, oldest_at = float(round(line.count)), line.oldest_at
    return QueueReading(
        visible=Reading(waiting, real.visible.at),
        in_flight=real.in_flight,
        delayed=real.delayed,
        oldest_age=Reading(at - oldest_at, at) if oldest_at is not None and waiting > 0.0 else None,
        sent=real.sent,
        deleted=real.deleted,
    )


def _own(memory: Memory, shadow: Shadow, fleet: Fleet, now: float) -> Memory:
    """The memory for a decision on the fleet as it would be: its own needs and spending, and when it was empty last.

    Its counts say nothing of how fast consumers are, since they follow from just that: only the real ones do.
    """
    rate, measure = memory.service_rate, service_rate(memory, fleet, now)
    empty_at = {queue.name: queue.empty_at for queue in shadow.queues}
    if measure.source == "bounded":
        rate = Estimate(measure.value, 0.0 if rate is None else rate.weight, now)
    return replace(
        memory,
        service_rate=rate,
        launches=(),
        starting=None,
        returns=History(),
        poison=0.0,
        sightings=_own_sightings(memory.sightings, shadow.empty_at),
        queues=tuple(
            replace(queue, sightings=_own_sightings(queue.sightings, empty_at.get(queue.name, 0.0)))
            for queue in memory.queues
        ),
        needs=shadow.needs,
        needs_since=shadow.needs_since,
        needs_until=shadow.needs_until,
        spent_day=shadow.spent_day,
        spent_s=shadow.spent_s,
        grown_at=None,
        shrunk_at=None,
    )


def _own_sightings(sightings: tuple[Sighting, ...], empty_at: float) -> tuple[Sighting, ...]:
    """What came as it was seen to come; and that all was taken at one tick."""
    return tuple(
        Sighting(seen.at, 0.0 if seen.at == empty_at else 1.0, 0.0, 0.0, seen.steady, seen.arrived, seen.excess)
        for seen in sightings
    )


def _noted(shadow: Shadow, memory: Memory, live: Counterfactual, decision: Decision, at: float) -> Shadow:
    """The want as this tick's order, and what its next decision needs to know."""
    own = remember(
        replace(memory, needs=shadow.needs, needs_since=shadow.needs_since, needs_until=shadow.needs_until), decision
    )
    day = at - at % DAY_S
    seconds = at - max(day, shadow.ticks[-2][0]) if len(shadow.ticks) > 1 else 0.0
    spent_s = (shadow.spent_s if shadow.spent_day == day else 0.0) + live.paid(at) * max(0.0, seconds)
    last = shadow.ticks[-1]
    empty = [round(line.count) == 0 for line in live.lines]
    return replace(
        shadow,
        ticks=(*shadow.ticks[:-1], (at, decision.want, last[2], last[3])),
        empty_at=at if all(empty) else shadow.empty_at,
        queues=tuple(
            replace(queue, empty_at=at) if emptied else queue
            for queue, emptied in zip(shadow.queues, empty, strict=False)  # of another fleet than a shared one: none
        ),
        needs=own.needs,
        needs_since=own.needs_since,
        needs_until=own.needs_until,
        spent_day=day,
        spent_s=round(spent_s, 3),
    )
