"""What ticks see, kept until the metrics of their minute are there: the memory's sightings, of all queues and of each.

A sighting tells what the queue's own counts were, who was at work, and what came since the one before: what waits more,
and what was completed meanwhile, as far as the service rate tells. What cannot be so is doubted once (`hygiene`).
"""

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.planning import History, Memory, QueueMemory, Sighting, Snapshot
from sluice.planning.learning import redeliveries, signal_quality
from sluice.planning.learning.forecasting import merge
from sluice.planning.learning.lead_time import lead_time
from sluice.planning.learning.service_rate import is_unproven, service_rate

SIGHTINGS_S = 420.0  # metrics of a period are at most about three minutes late; with the period itself and some slack
SIGHTINGS_COUNT = 64  # seven minutes of ten-second ticks and some; a bound on the ledger's record
QUEUE_PERIODS = 180  # of each queue of a shared fleet: three hours; what waits longer came before
BLIND_S = 120.0  # between ticks further apart, nothing can be told of what came and went
WAIT_SHARE = 0.9  # of the target wait: what plans keep back of it is less


def see(memory: Memory, queue: QueueReading, group: GroupReading, fleet: Fleet, at: float) -> tuple[Sighting, ...]:
    """The sightings with this tick's; without the queue's live figures there is nothing to see."""
    if queue.visible is None:
        return memory.sightings
    working = capacity(group.instances, Lifecycle.WORKING)
    # A guess would make up arrivals by the thousand: until it is proven, what comes is what the counts grow by.
    rate_per_s = 0.0 if is_unproven(memory, fleet) else service_rate(memory, fleet, at).value
    most = _most_to_come(memory, queue, group, fleet, at)
    sightings, visible, doubted = signal_quality.doubt(memory.sightings, queue, at, working * rate_per_s, most)
    before = sightings[-1] if sightings else None
    in_flight = queue.in_flight.value if queue.in_flight is not None else (before.in_flight if before else 0.0)
    steady = not any(instance.state is Lifecycle.DRAINING for instance in group.instances)
    arrived = excess = returned = 0.0
    if before is not None:
        gap_s = at - before.at
        completed = 0.0
        if gap_s <= BLIND_S:
            busy = (in_flight + before.in_flight) / 2 / fleet.hints.concurrency
            done = min(busy, (working + before.working) / 2) * rate_per_s * gap_s
            completed = done * (1.0 - memory.failing)
            returned = redeliveries.came_back(memory, before, queue, done, gap_s)
        # Completions are lumps and the estimate is not: what was counted too many is taken off what comes next, up to
        # what can complete at once.
        came = visible - before.visible + in_flight - before.in_flight + completed - before.excess
        arrived, excess = max(0.0, came), min(max(0.0, -came), before.in_flight)
    return _kept(sightings, Sighting(at, visible, in_flight, working, steady, arrived, excess, returned, doubted))


def _most_to_come(memory: Memory, queue: QueueReading, group: GroupReading, fleet: Fleet, at: float) -> float | None:
    """How many messages may have come since the last look without a doubt; None: any number.

    Growth may wait for another look only where that breaks no promise.
    """
    assert queue.visible is not None, "without it there is nothing to see"
    visible = queue.visible.value
    before = memory.sightings[-1] if memory.sightings else None
    if before is None or visible <= before.visible + signal_quality.RISE_LEAST or fleet.limits.max_step is not None:
        return None
    lead = lead_time(memory, fleet, at)
    seconds = at - before.at
    spare_s = signal_quality.spare_s(fleet.target_wait_s * WAIT_SHARE, lead.value + lead.deviation, seconds)
    if spare_s <= 0.0 or visible > (group.max_size - group.desired) * service_rate(memory, fleet, at).value * spare_s:
        return None
    in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
    return signal_quality.precedent(memory, visible + in_flight - before.visible - before.in_flight, seconds)


def through(memory: Memory, queue: str) -> Memory:
    """The memory as if the fleet had this one of its queues alone: for when what waits in it came."""
    kept = next((each for each in memory.queues if each.name == queue), QueueMemory(queue))
    return replace(
        memory,
        arrivals=kept.arrivals,
        sightings=kept.sightings,
        outlook=None,
        returns=History(),
        suspects=(),
        poison=0.0,
        queues=(),
    )


def see_each(
    memory: Memory, snapshot: Snapshot, group: GroupReading, fleet: Fleet, now: float
) -> tuple[QueueMemory, ...]:
    """What is remembered of each of a shared fleet's queues, with what this tick saw of it."""
    learned = []
    for source, reading in zip(fleet.sources, snapshot.queues, strict=True):
        alone = through(memory, source.name)
        sightings = see(alone, reading, group, fleet, snapshot.at)
        history = alone.arrivals if reading.sent is None else merge(alone.arrivals, reading.sent, now, QUEUE_PERIODS)
        learned.append(QueueMemory(source.name, history, sightings))
    return tuple(learned)


def see_together(
    memory: Memory, queues: tuple[QueueMemory, ...], snapshot: Snapshot, fleet: Fleet
) -> tuple[Sighting, ...]:
    """The sightings with this tick's of all queues; without the counts of every queue there is nothing to see.

    What came is what came to each, so that a queue that is no longer paused does not seem to come all at once.
    """
    seen = [queue.sightings[-1] for queue in queues if queue.sightings and queue.sightings[-1].at == snapshot.at]
    if len(seen) < len(fleet.sources):
        return memory.sightings
    sightings = memory.sightings
    if sightings and sightings[-1].doubted is not None:
        sightings = sightings[:-1]  # as it is struck out of its queue's
    since_at = sightings[-1].at if sightings else snapshot.at
    open_to = [place for place, source in enumerate(fleet.sources) if not source.paused]
    consumed = [seen[place] for place in open_to]
    # Since the last sighting of all, of which a queue may have had some of its own.
    came = [one for place in open_to for one in queues[place].sightings if one.at > since_at]
    counted = sum(one.visible if one.doubted is None else one.doubted for one in consumed)
    together = replace(
        seen[0],
        visible=sum(one.visible for one in consumed),
        in_flight=sum(one.in_flight for one in seen),
        arrived=sum(one.arrived for one in came),
        excess=0.0,
        returned=sum(one.returned for one in came),
        doubted=None if all(one.doubted is None for one in consumed) else counted,
    )
    return _kept(sightings, together)


def _kept(sightings: tuple[Sighting, ...], newest: Sighting) -> tuple[Sighting, ...]:
    """The sightings with a new one, and without those that no metric can speak of any more."""
    oldest_at = newest.at - SIGHTINGS_S
    first = max(0, len(sightings) - SIGHTINGS_COUNT + 1)
    while first < len(sightings) and sightings[first].at < oldest_at:
        first += 1
    return (*sightings[first:], newest)
