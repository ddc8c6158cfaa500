"""What the planner is given of the simulated fleet: its snapshot, and the memory that is its own."""

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading
from sluice.model.planning import LaunchMemory, Memory, QueueSample, RedeliveryMemory, Snapshot
from sluice.model.shadow import Shadow
from sluice.planning.multi_queue import pooled
from sluice.planning.shadow.simulated_fleet import SimulatedFleet, WaitingMessages


def snapshot_of(simulated: SimulatedFleet, snapshot: Snapshot, group: GroupReading, fleet: Fleet) -> Snapshot:
    """What a tick would have seen of the simulated fleet. Counts are whole, as a queue's are."""
    at, real = snapshot.at, snapshot.queue
    instances = (Instance("shadow", Lifecycle.IN_SERVICE),) * round(simulated.working(at))
    for ordered_at, due_at, units in simulated.launches:
        if due_at > at:
            launching = Instance("shadow-launching", Lifecycle.LAUNCHING, launched_at=ordered_at)
            instances += (launching,) * round(units)
    lines, own, queues = iter(simulated.queues), real, snapshot.queues
    if fleet.shared:
        read = zip(fleet.sources, queues, strict=True)
        queues = tuple(each if source.paused else _queue_of(next(lines), each, at) for source, each in read)
        own = pooled(fleet.sources, queues)
    else:
        own = _queue_of(simulated.queue, real, at)
    # Messages in flight are the fleet's; where they are unknown of one of several queues, its own reading has None.
    in_flight = (
        None if real.in_flight is None else Reading(float(round(simulated.messages_in_flight(at))), real.in_flight.at)
    )
    return replace(
        snapshot,
        queue=replace(own, in_flight=in_flight),
        queues=queues,
        group=replace(group, desired=simulated.desired, instances=instances),
    )


def _queue_of(waiting: WaitingMessages, real: QueueReading, at: float) -> QueueReading:
    """What a tick would have seen of one queue."""
    assert real.visible is not None, "a tick without it is left out"
    count, oldest_at = float(round(waiting.count)), waiting.oldest_at
    return QueueReading(
        visible=Reading(count, real.visible.at),
        in_flight=real.in_flight,
        delayed=real.delayed,
        oldest_age=Reading(at - oldest_at, at) if oldest_at is not None and count > 0.0 else None,
        sent=real.sent,
        deleted=real.deleted,
    )


def memory_of(memory: Memory, shadow: Shadow) -> Memory:
    """The memory for a decision on the simulated fleet: its own needs and spending, and when it was empty last.

    Launches and redeliveries are the real fleet's alone. Rates, lead time and arrivals are facts of the real fleet, and
    the estimates made of them are used for both.
    """
    empty_at = {queue.name: queue.empty_at for queue in shadow.queues}
    launches = memory.launches
    return replace(
        memory,
        launches=LaunchMemory(
            launches.to_service, launches.to_first_message, launches.reported, launches.reported_number
        ),
        redeliveries=RedeliveryMemory(
            carry=memory.redeliveries.carry,
            failing_share=memory.redeliveries.failing_share,
            suspects=memory.redeliveries.suspects,
        ),
        samples=_own_samples(memory.samples, shadow.empty_at),
        queues=tuple(
            replace(queue, samples=_own_samples(queue.samples, empty_at.get(queue.name, 0.0)))
            for queue in memory.queues
        ),
        needs=shadow.needs,
        spending=shadow.spending,
    )


def _own_samples(samples: tuple[QueueSample, ...], empty_at: float) -> tuple[QueueSample, ...]:
    """The samples' arrivals, which are both fleets'; waiting as at one tick that would have seen an empty queue."""
    return tuple(
        QueueSample(each.at, 0.0 if each.at == empty_at else 1.0, 0.0, 0.0, each.steady, each.arrived, each.excess)
        for each in samples
    )
