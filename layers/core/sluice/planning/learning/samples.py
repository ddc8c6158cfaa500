"""Samples: what each tick saw of a queue and its fleet, kept until the metrics of its minute are there.

    arrived = change of waiting + change of in flight + completed    since the sample before
    completed = units at work x service rate x seconds               without the share that fails

Counts that can hardly be right are doubted once (`signal_quality`). Of a shared fleet each queue has samples of its
own, and the fleet has those of all queues as one.
"""

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.planning import (
    History,
    Measure,
    Memory,
    QueueMemory,
    QueueSample,
    RedeliveryMemory,
    Snapshot,
)
from sluice.model.timing import Timing
from sluice.planning.learning import redeliveries, signal_quality
from sluice.planning.learning.at_work import at_work
from sluice.planning.learning.forecasting import merge

QUEUE_PERIODS = 180  # three hours of each queue of a shared fleet: what waits longer is planned with as overdue anyway
WAIT_SHARE = 0.9  # plans keep less than a tenth of the target wait as a margin


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of service rate and lead time; of these, what was known before a tick makes its sample."""

    rate: Measure  # messages a second that one unit completes
    completing_per_s: float  # the same, or less where the last periods showed less
    is_proven: bool  # whether that is more than a guess
    lead_time: Measure  # seconds from launch to first message
    lead_s: float  # the lead time to plan with, in seconds: the mean and its deviation


def record(
    queue_memory: QueueMemory,
    returned: RedeliveryMemory,
    known: Known,
    queue: QueueReading,
    *,
    group: GroupReading,
    fleet: Fleet,
    timing: Timing,
    at: float,
) -> tuple[QueueSample, ...]:
    """The samples with this tick's; as they were where the queue's live counts are missing.

    Args:
        queue_memory: arrivals and samples before.
        returned: messages that came back, as known before.
        known: service rate and lead time, as known before.
        queue: as read now.
        group: as read now.
        fleet: concurrency, target wait and limits.
        timing: which samples are too far apart, and how many are kept.
        at: epoch seconds of the reading.
    """
    if queue.visible is None:
        return queue_memory.samples
    working = capacity(group.instances, Lifecycle.IN_SERVICE)
    # A guessed rate would make up arrivals by the thousand: until it is proven, arrivals are what the counts rise by.
    rate_per_s = known.completing_per_s if known.is_proven else 0.0
    most = _most_to_come(queue_memory, known, queue, group, fleet=fleet, timing=timing, at=at)
    samples, visible, doubted = signal_quality.doubt(
        queue_memory.samples, queue, timing, at=at, able_per_s=working * rate_per_s, most=most
    )
    before = samples[-1] if samples else None
    in_flight = queue.in_flight.value if queue.in_flight is not None else (before.in_flight if before else 0.0)
    steady = not any(instance.state is Lifecycle.DRAINING for instance in group.instances)
    held = min(returned.held, in_flight)
    newest = QueueSample(at, visible, in_flight, working, steady, 0.0, doubted=doubted, held=held)
    if before is not None:
        back = 0.0
        gap_s = at - before.at
        done = _done(before, newest, rate_per_s, fleet.hints.concurrency, timing)
        if gap_s <= timing.blind_s:
            back = redeliveries.came_back(returned, before, queue, done, gap_s)
        newest = replace(_with_arrivals(before, newest, done * (1.0 - returned.failing_share)), returned=back)
    return _with_newest(samples, newest, timing)


def with_rate(
    samples: tuple[QueueSample, ...],
    since_at: float,
    *,
    returned: RedeliveryMemory,
    rate_per_s: float,
    fleet: Fleet,
    timing: Timing,
) -> tuple[QueueSample, ...]:
    """The samples with what arrived since a moment, which no metric tells, worked out with another service rate.

    Args:
        samples: ascending.
        since_at: up to then it is known how many arrived, in epoch seconds.
        returned: the share of messages that fails.
        rate_per_s: messages a second that one unit completes.
        fleet: concurrency.
        timing: which samples are too far apart.
    """
    changed = list(samples)
    for place in range(1, len(changed)):
        before, after = changed[place - 1], changed[place]
        if after.at > since_at:
            done = _done(before, after, rate_per_s, fleet.hints.concurrency, timing)
            changed[place] = _with_arrivals(before, after, done * (1.0 - returned.failing_share))
    return tuple(changed)


def _done(before: QueueSample, after: QueueSample, rate_per_s: float, places: int, timing: Timing) -> float:
    """Messages that the units at work can have completed between two samples; none that are too far apart."""
    gap_s = after.at - before.at
    if gap_s > timing.blind_s:
        return 0.0
    busy = (at_work(after) + at_work(before)) / 2 / places
    return min(busy, (after.working + before.working) / 2) * rate_per_s * gap_s


def _with_arrivals(before: QueueSample, after: QueueSample, completed: float) -> QueueSample:
    """A sample with what arrived since the one before.

    Messages complete in whole numbers and the estimate does not: what was counted too many is taken off what arrives
    next, up to what can complete at once.
    """
    came = after.visible - before.visible + after.in_flight - before.in_flight + completed - before.excess
    return replace(after, arrived=max(0.0, came), excess=min(max(0.0, -came), before.in_flight))


def _most_to_come(
    queue_memory: QueueMemory,
    known: Known,
    queue: QueueReading,
    group: GroupReading,
    *,
    fleet: Fleet,
    timing: Timing,
    at: float,
) -> float | None:
    """How many messages may have arrived since the sample before without a doubt; None: any number.

    Scaling out may wait for a second reading only where no target is missed by it.
    """
    assert queue.visible is not None, "without a count there is nothing to doubt"
    visible = queue.visible.value
    before = queue_memory.samples[-1] if queue_memory.samples else None
    if before is None or visible <= before.visible + signal_quality.RISE_LEAST or fleet.limits.max_step is not None:
        return None
    seconds = at - before.at
    spare_s = signal_quality.spare_s(fleet.target_wait_s * WAIT_SHARE, known.lead_s, seconds, timing)
    if spare_s <= 0.0 or visible > (group.max_size - group.desired) * known.rate.value * spare_s:
        return None
    in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
    came = visible + in_flight - before.visible - before.in_flight
    return signal_quality.precedent(queue_memory.arrivals, queue_memory.samples, came, seconds)


def record_each(
    memory: Memory, known: Known, snapshot: Snapshot, group: GroupReading, fleet: Fleet, *, timing: Timing, now: float
) -> tuple[QueueMemory, ...]:
    """What is remembered of each of a shared fleet's queues, with what this tick saw of it."""
    returned = RedeliveryMemory(failing_share=memory.redeliveries.failing_share)  # what came back is of all as one
    recorded = []
    for source, reading in zip(fleet.sources, snapshot.queues, strict=True):
        alone = memory.of_queue(source.name)
        samples = record(alone, returned, known, reading, group=group, fleet=fleet, timing=timing, at=snapshot.at)
        history: History = alone.arrivals
        if reading.sent is not None:
            history = merge(alone.arrivals, reading.sent, now, QUEUE_PERIODS)
        recorded.append(QueueMemory(source.name, history, samples))
    return tuple(recorded)


def record_as_one(
    memory: Memory, queues: tuple[QueueMemory, ...], snapshot: Snapshot, fleet: Fleet, timing: Timing
) -> tuple[QueueSample, ...]:
    """The samples with this tick's of all queues as one; as they were where the count of any queue is missing.

    What arrived is the sum of each queue's arrivals, so that the backlog of a queue that is no longer paused does not
    count as arriving at once.
    """
    newest = [queue.samples[-1] for queue in queues if queue.samples and queue.samples[-1].at == snapshot.at]
    if len(newest) < len(fleet.sources):
        return memory.samples
    samples = memory.samples
    if samples and samples[-1].doubted is not None:
        samples = samples[:-1]  # as it was removed from its queue's
    since_at = samples[-1].at if samples else snapshot.at
    consumed_at = [place for place, source in enumerate(fleet.sources) if not source.paused]
    consumed = [newest[place] for place in consumed_at]
    # Since the last sample of all, a queue may have had several of its own.
    since = [sample for place in consumed_at for sample in queues[place].samples if sample.at > since_at]
    counted = sum(sample.visible if sample.doubted is None else sample.doubted for sample in consumed)
    together = replace(
        newest[0],
        visible=sum(sample.visible for sample in consumed),
        in_flight=sum(sample.in_flight for sample in newest),
        held=min(memory.redeliveries.held, sum(sample.in_flight for sample in newest)),
        arrived=sum(sample.arrived for sample in since),
        excess=0.0,
        returned=sum(sample.returned for sample in since),
        doubted=None if all(sample.doubted is None for sample in consumed) else counted,
    )
    return _with_newest(samples, together, timing)


def _with_newest(samples: tuple[QueueSample, ...], newest: QueueSample, timing: Timing) -> tuple[QueueSample, ...]:
    """The samples with a new one, and without those too old to be matched with any metric."""
    oldest_at = newest.at - timing.sample_window_s
    first = max(0, len(samples) - timing.sample_count + 1)
    while first < len(samples) and samples[first].at < oldest_at:
        first += 1
    return (*samples[first:], newest)
