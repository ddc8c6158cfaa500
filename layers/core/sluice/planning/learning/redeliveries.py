"""Messages that come back to the queue because no consumer completed them: how many, and at what rate.

    returned = received - deleted - change of in flight     over one period of the metrics

Between two ticks they show by the queue's own counts: more messages gone out of flight, with as many waiting again,
than can have been completed. Messages that come back one by one are received again before all others, and only
the metrics show them.
"""

from collections.abc import Sequence

from sluice.model.frozen import replace
from sluice.model.observed import QueueReading
from sluice.model.planning import History, QueueSample, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.learning.poison import known_s
from sluice.planning.learning.significance import COUNT_ERROR, FEW, RECENT

RETURNS_KEPT = 60  # an hour of minutes: a bound on the ledger's record


# --------------------------------------------------------------------------- what came back


def came_back(memory: RedeliveryMemory, before: QueueSample, queue: QueueReading, done: float, gap_s: float) -> float:
    """Messages that came back between two ticks, as far as can be known without metrics.

    Args:
        memory: what came back lately, by the metric.
        before: the sample before.
        queue: as it is now.
        done: messages that can have been completed in between.
        gap_s: seconds in between.
    """
    going = returning_per_s(memory) * gap_s * behind(memory)
    if queue.visible is None or queue.in_flight is None:
        return going
    undone = before.in_flight - queue.in_flight.value - done - FEW
    return max(0.0, min(queue.visible.value - before.visible, undone), going)


def behind(memory: RedeliveryMemory) -> float:
    """The share of what comes back that SQS puts behind all others: messages received more than three times."""
    if not memory.suspects:
        return 0.0
    _, count, others = memory.suspects[-1]
    return count / (count + others)


def returning_per_s(memory: RedeliveryMemory, periods: int = RECENT) -> float:
    """Messages a second that came back in the last periods."""
    history = memory.history
    newest = history.counts[-periods:]
    return sum(newest) / (len(newest) * history.period_s) if newest else 0.0


def learn_returns(
    memory: RedeliveryMemory, samples: tuple[QueueSample, ...], queue: QueueReading, timing: Timing
) -> tuple[RedeliveryMemory, tuple[QueueSample, ...]]:
    """What came back in the received series' new periods; and the samples, with what came back in each.

    A period counts once the ticks at both of its ends are there, and both series reach so far.
    """
    received, deleted = queue.received, queue.deleted
    is_old = bool(samples) and samples[-1].at - memory.history.end_at > known_s(timing)
    unchanged = replace(memory, failing_share=0.0) if memory.failing_share > 0.0 and is_old else memory
    if received is None or deleted is None or not received.points or not deleted.points or not samples:
        return unchanged, samples
    period_s = received.period_s
    history = memory.history if memory.history.period_s == period_s else History(period_s)
    counts, end_at, carry = list(history.counts), history.end_at, memory.carry
    known_until = min(received.points[-1][0], deleted.points[-1][0], samples[-1].at - period_s)
    news = [point for point in received.since(end_at) if point[0] <= known_until]
    if not news:
        return unchanged, samples
    done = dict(deleted.since(news[0][0]))
    if counts and news[0][0] - end_at > RETURNS_KEPT * period_s:
        counts = []
    start = history.start_at if counts else news[0][0]
    failing = 0.0
    for start_at, count in news:
        carry += count - done.get(start_at, 0.0)
        ends = _in_flight(samples, start_at), _in_flight(samples, start_at + period_s)
        least = max(FEW, COUNT_ERROR * count)
        if ends[0] is None or ends[1] is None:
            back, carry = 0.0, 0.0
        else:
            carry -= ends[1] - ends[0]
            back, carry = (carry, 0.0) if carry > least else (0.0, max(carry, -least))
        counts.extend([0.0] * (round((start_at - start) / period_s) - len(counts)))
        counts.append(back)
        completed = done.get(start_at, 0.0)
        failing = back / (back + completed) if is_failing(back, completed) else 0.0
        samples = _spread(samples, (start_at, start_at + period_s), back, behind(memory) * back)
    surplus = max(0, len(counts) - RETURNS_KEPT)
    recent = History(period_s, start + surplus * period_s, tuple(counts[surplus:]))
    return replace(memory, history=recent, carry=carry, failing_share=failing), samples


def returned_by_period(memory: RedeliveryMemory, arrivals: History) -> dict[int, float]:
    """What came back and is put behind all others, by the number of the period among arrivals."""
    returns, share = memory.history, behind(memory)
    if share == 0.0:
        return {}
    offset = round((returns.start_at - arrivals.start_at) / returns.period_s)
    return {offset + index: share * count for index, count in enumerate(returns.counts) if count > 0.0}


def came_back_in(returns: History, start_at: float) -> float:
    """What came back in a period; 0 where that is not known."""
    index = round((start_at - returns.start_at) / returns.period_s)
    return returns.counts[index] if 0 <= index < len(returns.counts) else 0.0


def is_failing(returned: float, completed: float) -> bool:
    """Whether more came back than was completed."""
    return returned > max(completed, FEW)


def _in_flight(samples: Sequence[QueueSample], at: float) -> float | None:
    """Messages in flight at a moment, between the samples around it; None where there are none."""
    for index in range(len(samples) - 1, -1, -1):
        seen = samples[index]
        if seen.at <= at:
            if seen.at == at or index + 1 == len(samples):
                return seen.in_flight if seen.at == at else None
            after = samples[index + 1]
            return seen.in_flight + (after.in_flight - seen.in_flight) * (at - seen.at) / (after.at - seen.at)
    return None


def _spread(
    samples: tuple[QueueSample, ...], period: tuple[float, float], most: float, least: float
) -> tuple[QueueSample, ...]:
    """The samples with what came back in a period: as ticks saw it, within bounds; evenly where they did not."""
    start_at, end_at = period
    first = last = 0
    for index, seen in enumerate(samples):
        if seen.at <= start_at:
            first = index + 1
        if seen.at <= end_at:
            last = index + 1
    inside = samples[first:last]
    known = sum(seen.returned for seen in inside)
    back = min(max(known, least), most)
    if not inside or (back == 0.0 and known == 0.0):
        return samples
    spread = [seen.returned * back / known if known >= back / 2 > 0.0 else back / len(inside) for seen in inside]
    changed = tuple(replace(seen, returned=count) for seen, count in zip(inside, spread, strict=True))
    return (*samples[:first], *changed, *samples[last:])
