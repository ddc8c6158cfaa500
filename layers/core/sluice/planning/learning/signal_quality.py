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

from sluice.model.frozen import replace
from sluice.model.observed import QueueReading
from sluice.model.planning import Figure, Memory, Sighting, Snapshot
from sluice.planning.learning.redeliveries import returning_per_s

DIP_SHARE = 0.5  # of what waited before: a smaller fall is noise, or does no harm for one tick
DIP_TIMES = 2.0  # of what units at work complete in the meantime: rates are estimates
RISE_TIMES = 2.0  # of the most that came in a period of the last day
RISE_LEAST = 10.0  # messages: so few launch next to nothing
PRECEDENT_PERIODS = 15  # what came in less time than that says nothing of what may come
LOOK_S = 10.0  # until the next look, about: a tick
LOOKS_LEFT_S = 20.0  # from the next look on a launch must have so much time to spare: two ticks
LOOK_MAX_S = 120.0  # between looks further apart anything may have happened


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
