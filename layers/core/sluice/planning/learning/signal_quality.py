"""Quality of the queue's counts: which of them to believe, since SQS's counts are approximate.

A count that can hardly be right is read once more before it is believed:

    fall   It cannot have fallen by more than what was in flight and `TWICE` what the units at work complete. It is
           doubted where it fell below that, and by half or more.
    rise   It can have risen by anything. A rise is doubted where more than `TWICE` as much arrived since the tick
           before as ever did within a period of the last day, and where reading again misses no target: a launch would
           still be in time, and the group has room for those that would be needed then.

For one tick a doubted count is taken to be the bound that it broke. The next count is believed, and the doubted sample
is removed: what arrived may have arrived right after the sample before it.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
"""

from sluice.model.decisions import Figure
from sluice.model.frozen import replace
from sluice.model.observed import QueueReading
from sluice.model.planning import History, Memory, QueueSample, Snapshot
from sluice.model.timing import Timing
from sluice.planning.launch_cost import patience_s
from sluice.planning.learning.redeliveries import returning_per_s
from sluice.planning.learning.significance import ALIKE_S, TWICE

RISE_LEAST = 10.0  # ten messages launch next to nothing


# --------------------------------------------------------------------------- doubt


def doubt(
    samples: tuple[QueueSample, ...],
    queue: QueueReading,
    timing: Timing,
    *,
    at: float,
    able_per_s: float,
    most: float | None,
) -> tuple[tuple[QueueSample, ...], float, float | None]:
    """Decide whether to believe a count.

    Args:
        samples: up to the tick before.
        queue: as read now, with a count of those waiting.
        timing: between samples too far apart anything may have happened.
        at: epoch seconds of the reading.
        able_per_s: messages a second that the units at work complete; 0 where nothing is known of that.
        most: how many messages can have arrived since without a doubt; None: any number.

    Returns:
        The samples before, without a doubted one; how many messages wait, as believed; the count where it is doubted.
    """
    assert queue.visible is not None, "without a count there is nothing to doubt"
    visible = queue.visible.value
    in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
    if not samples or at - samples[-1].at > timing.blind_s:
        return samples, visible, None
    before = samples[-1]
    if before.doubted is not None:
        return samples[:-1], visible, None
    believed = _believable(before, visible, in_flight, (at - before.at) * able_per_s, most)
    return samples, believed, None if believed == visible else visible


def _believable(before: QueueSample, visible: float, in_flight: float, done: float, most: float | None) -> float:
    """The count, within the bounds of what can have become of the one before."""
    if done > 0.0:
        left = before.visible - in_flight - TWICE * done  # of those in flight before, any number may be done
        lowest = min(before.visible / TWICE, left)  # a smaller fall is noise, or does no harm for one tick
        if visible < lowest:
            return lowest
    if most is not None:
        gone = before.in_flight - in_flight + TWICE * done
        return min(visible, before.visible + max(RISE_LEAST, gone + max(RISE_LEAST, most)))
    return visible


def precedent(history: History, samples: tuple[QueueSample, ...], came: float, seconds: float) -> float | None:
    """How many messages may arrive without a doubt, by what arrived so far; None: as many as did, or any number.

    Args:
        history: arrivals per period.
        samples: of the last ticks.
        came: by how many more messages wait or are in flight.
        seconds: in which they arrived.
    """
    if len(history.counts) * history.period_s < ALIKE_S:
        return None  # too short to know what may arrive
    times = TWICE * max(1.0, seconds / history.period_s)
    busiest = max([sample.arrived for sample in samples])
    if times * busiest >= came:
        return None  # usual case: the last minutes had as many, and the day need not be searched
    return times * max(busiest, *history.counts)


def spare_s(wait_s: float, lead_s: float, seconds: float, timing: Timing) -> float:
    """Seconds that a launch ordered at the next tick can work for what arrived `seconds` ago; 0 if too few."""
    left_s = wait_s - lead_s - seconds - timing.tick_s
    return left_s if left_s >= patience_s(timing) else 0.0


def believed(snapshot: Snapshot, samples: tuple[QueueSample, ...]) -> Snapshot:
    """The snapshot with the count to plan with, where its own is doubted."""
    sample = samples[-1] if samples else None
    visible = snapshot.queue.visible
    if sample is None or sample.doubted is None or visible is None or sample.at != snapshot.at:
        return snapshot
    return replace(snapshot, queue=replace(snapshot.queue, visible=replace(visible, value=sample.visible)))


def only_just_empty(samples: tuple[QueueSample, ...], timing: Timing, at: float) -> bool:
    """Whether the tick before still saw messages: a single empty count may be wrong."""
    if len(samples) < 2 or samples[-1].at != at:
        return False
    now, before = samples[-1], samples[-2]
    return now.visible + now.in_flight == 0.0 < before.visible + before.in_flight and at - before.at <= timing.blind_s


# --------------------------------------------------------------------------- in figures


def figures(snapshot: Snapshot, memory: Memory) -> tuple[Figure, ...]:
    """What was left out of the counts, and why; none where nothing was."""
    sample = memory.samples[-1] if memory.samples else None
    returns = memory.redeliveries
    if not returns.history.counts and (sample is None or sample.doubted is None):
        return ()
    found = []
    if sample is not None and sample.doubted is not None and sample.at == snapshot.at:
        found.append(Figure("visible_doubted", sample.doubted, 0.0, "queue"))
    returning = returning_per_s(returns)
    if returning > 0.0:
        found.append(Figure("returned_per_s", returning, max(0.0, snapshot.at - returns.history.end_at), "metric"))
    if returns.poison > 0.0:
        found.append(Figure("poison", returns.poison, max(0.0, snapshot.at - returns.suspects[-1][0]), "measured"))
    return tuple(found)
