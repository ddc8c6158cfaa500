"""Demand hygiene: what a queue's counts say less what is no news of demand; counts -> counts to plan with.

Theory of operation
-------------------
SQS's counts are approximate, and not every message that waits is a message that came.

doubt      A count that cannot be so is looked at once more before it is believed. It cannot have fallen by more than
           what was in flight and what the units at work complete, twice over; it is doubted where it fell by half and
           more. It can have risen by anything; a rise is doubted where twice as much as ever came within a period of
           the last day came since the last look, and where looking again breaks no promise: a launch would still be in
           time, and the group has room for those that would be needed then. What is doubted counts as the edge of what
           is not, for one look. The next is believed, and the doubted one struck out: what came may have come right
           after the one before it.
returned   Received less deleted less what is in flight more: what was begun and came back. It is work, and it was begun
           in time once: so its deadline is a target wait after it came back. When many come back at once, ticks see it:
           more gone out of flight, with as many waiting again, than can have been done. What comes back by and by is
           begun again before all others, and those that wait are others; only what was received too often (below)
           is put behind them, and counts as come when it came back.
failing    A period in which more came back than was completed is no change of what the messages are: it counts as one
           period, however many there are in a row. Where the poison is known, what came back counts as done: units were
           at it, and it will be back. So it does while next to nothing is known. Units that fail are not kept for being
           busy, since what they do is not done.
poison     Messages received more than three times and not completed while others are. SQS puts these behind all others
           and leaves them out of the age of the oldest, so at the end of a period with an oldest age a, no more than
           what came within a (and some seconds) has been received three times or less: the rest has been more often.
           So many, at the least of five periods in a row, is poison, if meanwhile
             - as many came back as that: all of it was tried again;
             - of what was sent at least half as much was completed, and something: consumers can work, so that the
               fault is the messages'. In an outage downstream nothing completes: its messages are no poison;
             - no more was completed than was sent and than there were others: nobody works it off. Once an outage is
               over, what it left is worked off, and is no poison.
           More units would not finish poison. But what comes meanwhile stands in line with it: to be begun in time,
           what is before it must be, too. So poison is left out of the deadlines, and keeps but one unit, while nothing
           else waits, as far as counts tell, and nothing was sent for a target wait. It may all be in flight: of those
           waiting, what is more than is in flight is left out.

With a FIFO queue SQS neither puts poison last nor leaves it out of the age; there nothing is called poison.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from sluice.model import Figure, History, Memory, QueueReading, Series, Sighting, Snapshot
from sluice.values import replace

DIP_SHARE = 0.5  # of what waited before: a smaller fall is noise, or does no harm for one tick
DIP_TIMES = 2.0  # of what units at work complete in the meantime: rates are estimates
RISE_TIMES = 2.0  # of the most that came in a period of the last day
RISE_LEAST = 10.0  # messages: so few launch next to nothing
PRECEDENT_PERIODS = 15  # what came in less time than that says nothing of what may come
LOOK_S = 10.0  # until the next look, about: a tick
LOOKS_LEFT_S = 20.0  # from the next look on a launch must have so much time to spare: two ticks
LOOK_MAX_S = 120.0  # between looks further apart anything may have happened

RETURN_LEAST = 3.0  # messages, and
RETURN_SHARE = 0.05  # of those received: less is the coarseness of what is in flight at a period's ends
RETURNS_KEPT = 60  # periods
RETURNING_PERIODS = 3  # of which the mean goes on until metrics come

POISON_PERIODS = 5  # in a row: long against a crash, and long enough for each message to be tried again
POISON_KNOWN_S = 600.0  # without a metric for so long, nothing is known of it any more
POISON_AGE_SLACK_S = 10.0  # clocks and ticks are coarse
POISON_LEAST = 3.0  # messages: fewer need no more than the one unit that stays anyway
POISON_NOISE = 0.05  # of the poison that waits: counts are approximate
POISON_DONE_SHARE = 0.5  # of what was sent, completed: consumers can work
POISON_SLACK_SHARE = 0.02  # of the poison, completed beyond all others there were, at most: nobody works it off


# --------------------------------------------------------------------------- doubt


def doubt(
    sightings: tuple[Sighting, ...], queue: QueueReading, at: float, able_per_s: float, most: float | None
) -> tuple[tuple[Sighting, ...], float, float | None]:
    """The sightings before, without a doubted one; how many wait, to believe; and the count, where it is doubted.

    Args:
        sightings: up to the tick before.
        queue: as read now, with a count of those waiting.
        at: epoch seconds of that.
        able_per_s: messages a second that the units at work complete; 0 where nothing is known of that.
        most: how many can have come since without doubt; None: any number.
    """
    assert queue.visible is not None, "without it there is nothing to see"
    visible = queue.visible.value
    in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
    if not sightings or at - sightings[-1].at > LOOK_MAX_S:
        return sightings, visible, None
    before = sightings[-1]
    if before.doubted is not None:
        return sightings[:-1], visible, None
    believed = _believable(before, visible, in_flight, (at - before.at) * able_per_s, most)
    return sightings, believed, None if believed == visible else visible


def _believable(before: Sighting, visible: float, in_flight: float, done: float, most: float | None) -> float:
    """The count, within what can have become of the one before: more waiting is never believed to be less."""
    if done > 0.0:
        left = before.visible - in_flight - DIP_TIMES * done  # of those in flight before, any number may be done
        lowest = min(DIP_SHARE * before.visible, left)
        if visible < lowest:
            return lowest
    if most is not None:
        gone = before.in_flight - in_flight + DIP_TIMES * done
        return min(visible, before.visible + max(RISE_LEAST, gone + max(RISE_LEAST, most)))
    return visible


def precedent(memory: Memory, came: float, seconds: float) -> float | None:
    """How many messages may come without a doubt, by what came so far; None: as many as did, or any number.

    Args:
        memory: what came so far.
        came: by how many more wait or are in flight.
        seconds: within so long.
    """
    history = memory.arrivals
    if len(history.counts) < PRECEDENT_PERIODS:
        return None
    times = RISE_TIMES * max(1.0, seconds / history.period_s)
    busiest = max([seen.arrived for seen in memory.sightings])
    if times * busiest >= came:
        return None  # as a rule: the last minutes have one like it, and a day need not be looked through
    return times * max(busiest, *history.counts)


def spare_s(wait_s: float, lead_s: float, seconds: float) -> float:
    """For how long a launch ordered at the next look can work for what came up to so many seconds ago; 0: too short."""
    left_s = wait_s - lead_s - seconds - LOOK_S
    return left_s if left_s >= LOOKS_LEFT_S else 0.0


def believed(snapshot: Snapshot, memory: Memory) -> Snapshot:
    """The snapshot with the count to plan with, where its own is doubted."""
    seen = memory.sightings[-1] if memory.sightings else None
    visible = snapshot.queue.visible
    if seen is None or seen.doubted is None or visible is None or seen.at != snapshot.at:
        return snapshot
    return replace(snapshot, queue=replace(snapshot.queue, visible=replace(visible, value=seen.visible)))


def only_just_empty(memory: Memory, at: float) -> bool:
    """Whether the look before still saw something: one empty look may be wrong."""
    sightings = memory.sightings
    if len(sightings) < 2 or sightings[-1].at != at:
        return False
    now, before = sightings[-1], sightings[-2]
    return now.visible + now.in_flight == 0.0 < before.visible + before.in_flight and at - before.at <= LOOK_MAX_S


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


# --------------------------------------------------------------------------- poison


def learn_poison(
    memory: Memory, sightings: tuple[Sighting, ...], queue: QueueReading, returns: History
) -> dict[str, Any]:
    """What of the memory changes with a new oldest age: who was received too often, and what of it is poison."""
    oldest, suspects = queue.oldest_age, memory.suspects
    nothing: dict[str, Any] = {"poison": 0.0, "suspects": ()} if suspects else {}
    if suspects and (oldest is None or oldest.at < suspects[-1][0] + 0.9 * returns.period_s):
        forgotten = sightings and sightings[-1].at - suspects[-1][0] > POISON_KNOWN_S
        return nothing if forgotten else {}  # a period's own, one after the other
    if oldest is None or not returns.counts:
        return {}
    count, others = _suspects(sightings, oldest.at, oldest.value + POISON_AGE_SLACK_S)
    if count < POISON_LEAST:
        return nothing
    suspects = (*suspects, (oldest.at, count, others))[-POISON_PERIODS - 1 :]
    least = min(entry[1] for entry in suspects[-POISON_PERIODS:])
    others = max(entry[2] for entry in suspects)
    came, done = _sum_until(queue.sent, returns), _sum_until(queue.deleted, returns)
    able = done >= POISON_DONE_SHARE * came - POISON_LEAST
    undone = done <= came + others + max(POISON_LEAST, POISON_SLACK_SHARE * least)
    known = min(memory.poison, count)
    tried = sum(returns.counts[-POISON_PERIODS:])
    if len(suspects) >= POISON_PERIODS and tried >= least and (done >= 1.0 or known > 0.0):
        known = max(known, least)
    return {"poison": known if able and undone else 0.0, "suspects": suspects}


def _sum_until(series: Series | None, returns: History) -> float:
    """What a series counts in the last periods of which is known what came back."""
    if series is None:
        return 0.0
    since = returns.end_at - POISON_PERIODS * returns.period_s
    return sum(count for start_at, count in series.since(since) if start_at < returns.end_at)


def _suspects(sightings: Sequence[Sighting], at: float, fresh_s: float) -> tuple[float, float]:
    """Messages waiting or in flight at a moment: those that were there so many seconds before, and others."""
    there = None
    came = 0.0
    for index in range(len(sightings) - 1, 0, -1):
        seen, before = sightings[index], sightings[index - 1]
        if before.at <= at <= seen.at:
            there = min(seen.visible + seen.in_flight, before.visible + before.in_flight)
        if there is not None:
            if seen.at <= at - fresh_s:
                break
            came += seen.arrived
    else:
        if there is not None and sightings[0].at > at - fresh_s:
            return 0.0, there  # what was there before is not known
    if there is None:
        return 0.0, 0.0  # nobody looked
    return max(0.0, there - came), min(there, came)


def poison_alone(memory: Memory, visible: float, in_flight: float, wait_s: float) -> float:
    """How many of those that wait are poison without a deadline: all of them, or none."""
    waiting = memory.poison - in_flight
    if waiting <= 0.0 or visible > waiting + max(POISON_LEAST, POISON_NOISE * waiting):
        return 0.0
    periods = max(2, ceil(wait_s / memory.arrivals.period_s))
    return visible if not any(memory.arrivals.counts[-periods:]) else 0.0


# --------------------------------------------------------------------------- in figures


def figures(snapshot: Snapshot, memory: Memory) -> tuple[Figure, ...]:
    """What was left out of the counts, and why; none where nothing was."""
    seen = memory.sightings[-1] if memory.sightings else None
    if not memory.returns.counts and (seen is None or seen.doubted is None):
        return ()
    told = []
    if seen is not None and seen.doubted is not None and seen.at == snapshot.at:
        told.append(Figure("visible_doubted", seen.doubted, 0.0, "queue"))
    returning = returning_per_s(memory)
    if returning > 0.0:
        told.append(Figure("returned_per_s", returning, max(0.0, snapshot.at - memory.returns.end_at), "metric"))
    if memory.poison > 0.0:
        told.append(Figure("poison", memory.poison, max(0.0, snapshot.at - memory.suspects[-1][0]), "measured"))
    return tuple(told)
