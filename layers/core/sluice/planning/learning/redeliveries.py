"""Messages that come back to the queue because no consumer completed them: how many, and at what rate."""

from collections.abc import Sequence
from typing import Any

from sluice.model.frozen import replace
from sluice.model.observed import QueueReading
from sluice.model.planning import History, Memory, Sighting
from sluice.planning.learning.poison import POISON_KNOWN_S

RETURN_LEAST = 3.0  # messages, and
RETURN_SHARE = 0.05  # of those received: less is the coarseness of what is in flight at a period's ends
RETURNS_KEPT = 60  # periods
RETURNING_PERIODS = 3  # of which the mean goes on until metrics come


# --------------------------------------------------------------------------- what came back


def came_back(memory: Memory, before: Sighting, queue: QueueReading, done: float, gap_s: float) -> float:
    """Messages that came back between two looks, as far as can be told without metrics.

    Args:
        memory: what came back of late, by the metric.
        before: the look before.
        queue: as it is now.
        done: messages that can have been completed in between.
        gap_s: seconds in between.
    """
    going = returning_per_s(memory) * gap_s * behind(memory)
    if queue.visible is None or queue.in_flight is None:
        return going
    undone = before.in_flight - queue.in_flight.value - done - RETURN_LEAST
    return max(0.0, min(queue.visible.value - before.visible, undone), going)


def behind(memory: Memory) -> float:
    """The share of what comes back that is put behind all others: of what was there, those received too often."""
    if not memory.suspects:
        return 0.0
    _, count, others = memory.suspects[-1]
    return count / (count + others)


def returning_per_s(memory: Memory) -> float:
    """Messages a second that came back of late."""
    history = memory.returns
    newest = history.counts[-RETURNING_PERIODS:]
    return sum(newest) / (len(newest) * history.period_s) if newest else 0.0


def learn_returns(
    memory: Memory, sightings: tuple[Sighting, ...], queue: QueueReading
) -> tuple[dict[str, Any], tuple[Sighting, ...]]:
    """What of the memory changes with the received series' new periods; and the sightings, with what came back in each.

    Periods count once the ticks at both of their ends are there, and both series reach so far.
    """
    received, deleted = queue.received, queue.deleted
    stale = memory.failing > 0.0 and bool(sightings) and sightings[-1].at - memory.returns.end_at > POISON_KNOWN_S
    nothing: dict[str, Any] = {"failing": 0.0} if stale else {}
    if received is None or deleted is None or not received.points or not deleted.points or not sightings:
        return nothing, sightings
    period_s = received.period_s
    history = memory.returns if memory.returns.period_s == period_s else History(period_s)
    counts, end_at, carry = list(history.counts), history.end_at, memory.returns_carry
    known_until = min(received.points[-1][0], deleted.points[-1][0], sightings[-1].at - period_s)
    news = [point for point in received.since(end_at) if point[0] <= known_until]
    if not news:
        return nothing, sightings
    done = dict(deleted.since(news[0][0]))
    if counts and news[0][0] - end_at > RETURNS_KEPT * period_s:
        counts = []
    start = history.start_at if counts else news[0][0]
    failing = 0.0
    for start_at, count in news:
        carry += count - done.get(start_at, 0.0)
        ends = _in_flight(sightings, start_at), _in_flight(sightings, start_at + period_s)
        least = max(RETURN_LEAST, RETURN_SHARE * count)
        if ends[0] is None or ends[1] is None:
            back, carry = 0.0, 0.0
        else:
            carry -= ends[1] - ends[0]
            back, carry = (carry, 0.0) if carry > least else (0.0, max(carry, -least))
        counts.extend([0.0] * (round((start_at - start) / period_s) - len(counts)))
        counts.append(back)
        completed = done.get(start_at, 0.0)
        failing = back / (back + completed) if is_failing(back, completed) else 0.0
        sightings = _spread(sightings, (start_at, start_at + period_s), back, behind(memory) * back)
    surplus = max(0, len(counts) - RETURNS_KEPT)
    kept = History(period_s, start + surplus * period_s, tuple(counts[surplus:]))
    return {"returns": kept, "returns_carry": carry, "failing": failing}, sightings


def returned_by_period(memory: Memory) -> dict[int, float]:
    """What came back and is put behind all others, by the number of the period among arrivals."""
    returns, share = memory.returns, behind(memory)
    if share == 0.0:
        return {}
    offset = round((returns.start_at - memory.arrivals.start_at) / returns.period_s)
    return {offset + index: share * count for index, count in enumerate(returns.counts) if count > 0.0}


def came_back_in(returns: History, start_at: float) -> float:
    """What came back in a period; 0 where that is not known."""
    index = round((start_at - returns.start_at) / returns.period_s)
    return returns.counts[index] if 0 <= index < len(returns.counts) else 0.0


def is_failing(returned: float, completed: float) -> bool:
    """Whether more came back than was completed."""
    return returned > max(completed, RETURN_LEAST)


def _in_flight(sightings: Sequence[Sighting], at: float) -> float | None:
    """Messages in flight at a moment, between the looks around it; None where nobody looked."""
    for index in range(len(sightings) - 1, -1, -1):
        seen = sightings[index]
        if seen.at <= at:
            if seen.at == at or index + 1 == len(sightings):
                return seen.in_flight if seen.at == at else None
            after = sightings[index + 1]
            return seen.in_flight + (after.in_flight - seen.in_flight) * (at - seen.at) / (after.at - seen.at)
    return None


def _spread(
    sightings: tuple[Sighting, ...], period: tuple[float, float], most: float, least: float
) -> tuple[Sighting, ...]:
    """The sightings with what came back in a period: as ticks saw it come, within bounds; evenly where they did not."""
    start_at, end_at = period
    first = last = 0
    for index, seen in enumerate(sightings):
        if seen.at <= start_at:
            first = index + 1
        if seen.at <= end_at:
            last = index + 1
    inside = sightings[first:last]
    known = sum(seen.returned for seen in inside)
    back = min(max(known, least), most)
    if not inside or (back == 0.0 and known == 0.0):
        return sightings
    told = [seen.returned * back / known if known >= back / 2 > 0.0 else back / len(inside) for seen in inside]
    changed = tuple(replace(seen, returned=count) for seen, count in zip(inside, told, strict=True))
    return (*sightings[:first], *changed, *sightings[last:])
