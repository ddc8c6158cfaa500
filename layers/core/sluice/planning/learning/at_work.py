"""Who is at work: units that hold a message, and messages in flight that somebody holds. A count is not work.

idle     A unit that has been in service for a lead time holds a message while there is one for it: of `n` units
         with `f` messages in flight, and as many waiting as there are idle ones, no more than `f` are at work.
         What follows from that is in `throughput`.
held     A message is received before it is worked on. What is in flight beyond all that was received within several
         times as long as a message takes is held by nobody: its consumer died, or hid it until it tries again. Units
         that complete messages may have a batch each. Where consumers leave much of what they receive undone, more is
         held each second, which the metrics show minutes later (`undone`).
         https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from collections.abc import Sequence
from math import inf, sqrt

from sluice.model.frozen import replace
from sluice.model.observed import QueueReading, Series
from sluice.model.planning import TAKEN_WITHIN_S, History, Measure, QueueSample, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.learning.forecasting import merge
from sluice.planning.learning.redeliveries import RETURNS_KEPT, returning_per_s
from sluice.planning.learning.significance import CLEAR, GAPS, LIKELY, RECENT, REMEMBERED_S, TWICE
from sluice.planning.learning.undone import (
    RECEIVED_AT_ONCE,
    are_beyond_batches,
    at_most_per_s,
    beyond_work,
    left_undone,
    received_within,
)

AT_WORK_SHARE = 1.0 - CLEAR  # with messages for all, fewer at work are neither chance nor in between two messages
SEEN_FROM_S = 1.0  # between two messages a consumer needs a fraction of a second to delete and to receive
RECEIVED_PERIODS = 180  # three hours: messages that take an hour are bounded, those that take longer are believed


def at_work(sample: QueueSample) -> float:
    """Messages in flight that somebody may work on."""
    return sample.in_flight - sample.held


def is_emptied(before: QueueSample, after: QueueSample, places: int) -> bool:
    """Whether all units were at work at one look, and nothing waited at the next: what they did then is unseen.

    Units that came in between were at work as well. All are idle at the second look, however much they completed.
    """
    return before.visible > 0.0 >= after.visible and at_work(before) >= AT_WORK_SHARE * before.working * places


def looked_s(lead_s: float, timing: Timing) -> float:
    """For how long units are looked at before they are called idle, in seconds.

    One that has just come into service may still get ready, and one that asks may wait as long as a receive does.
    """
    return min(max(lead_s, TAKEN_WITHIN_S), timing.sample_window_s - 2.0 * timing.tick_s)


def units_at_work(samples: Sequence[QueueSample], long_s: float, message_s: float) -> tuple[float, float] | None:
    """Units at work at most, and all that were there, over the newest looks; None where none is idle for sure.

    Args:
        samples: of the last ticks, ascending.
        long_s: how far back to look, in seconds.
        message_s: what a message takes, in seconds.
    """
    if message_s < SEEN_FROM_S or not samples:
        return None
    since_at, most, there = samples[-1].at - long_s, 0.0, samples[-1].working
    for sample in reversed(samples):
        busy = at_work(sample)
        most = max(most, busy)
        there = min(there, sample.working)
        if most >= AT_WORK_SHARE * there or sample.visible < sample.working - busy:
            return None
        if sample.at <= since_at:
            return most, there
    return None


def are_some_idle(during: Sequence[QueueSample], message_s: float) -> bool:
    """Whether some units took no message in all of a period in which messages waited, or all units in a quarter of it.

    What is held hides who did. Messages that nobody can receive wait as well: then units are idle until others come.
    """
    if message_s < SEEN_FROM_S or any(sample.held > 0.0 for sample in during):
        return False
    idle = [at_work(sample) <= 0.0 < sample.working for sample in during]
    return sum(idle) >= CLEAR * len(idle) or all(at_work(each) < AT_WORK_SHARE * each.working for each in during)


def share_at_work(samples: Sequence[QueueSample], long_s: float, message_s: float) -> float:
    """The share of units that take messages, over the newest looks: all of them where none is idle for sure.

    Half of them at least: where fewer take any, or fewer and fewer, more units are not what is missing. What is held
    hides who takes some.
    """
    found = units_at_work(samples, long_s, message_s)
    if found is None or at_work(samples[-1]) < AT_WORK_SHARE * found[0] or found[0] <= 0.0 or samples[-1].held > 0.0:
        return 1.0
    return max(1.0 / TWICE, found[0] / found[1])


def learn_held(
    memory: RedeliveryMemory,
    samples: tuple[QueueSample, ...],
    queue: QueueReading,
    rate: Measure,
    *,
    places: float,
    each: float,
    timing: Timing,
    is_founded: bool,
) -> RedeliveryMemory:
    """The messages in flight that nobody works on, with the new periods of what was received and completed.

    Args:
        memory: what was known before.
        samples: of the last ticks, this one's included.
        queue: as read now.
        rate: messages a second that one unit completes.
        places: messages that one unit works on at once, as the fleet says.
        each: messages that one unit was seen to hold.
        timing: how late metrics are.
        is_founded: whether the rate is known well enough to tell how long a message takes at most.
    """
    if not samples:
        return memory
    at, known = samples[-1].at, memory
    if queue.received is not None and queue.received.points:
        memory = _with_metrics(memory, queue.received, queue.deleted, at)
    received = memory.received
    is_new = received is not known.received
    if at - received.end_at > timing.settled_s + received.period_s:
        return replace(memory, held=0.0, left_per_s=0.0) if is_new else _grown(memory, samples)
    is_known = memory.held > 0.0
    is_sure = is_known or are_beyond_batches(samples[-1], places)
    if rate.source == "measured" and (is_sure or are_beyond_batches(samples[-1], places, each)):
        message_s = places / rate.value
        undone = left_undone(received, memory.completed, samples[-1].in_flight, message_s, is_known=is_known)
        # Units give back what they hold beyond their work as they leave: then much came back of what was left.
        if undone[0] > 0.0 and (is_sure or returning_per_s(memory, RETURNS_KEPT) <= CLEAR * undone[1]):
            held = beyond_work(samples, received, message_s, undone, places)
            return replace(memory, held=held, left_per_s=undone[1])
    if not is_new:
        return _grown(memory, samples)
    return _with_held_lately(
        memory, known, samples, queue.deleted, rate, places=max(places, each), is_founded=is_founded
    )


def _with_metrics(memory: RedeliveryMemory, received: Series, deleted: Series | None, at: float) -> RedeliveryMemory:
    """The memory with the new periods of what was received and completed; the same object where nothing is new."""
    taken, completed = merge(memory.received, received, at, RECEIVED_PERIODS), memory.completed
    if deleted is not None and deleted.points:
        completed = merge(completed, deleted, at, RECEIVED_PERIODS)
    if taken is memory.received and completed is memory.completed:
        return memory
    return replace(memory, received=taken, completed=completed)


def _with_held_lately(
    memory: RedeliveryMemory,
    before: RedeliveryMemory,
    samples: tuple[QueueSample, ...],
    deleted: Series | None,
    rate: Measure,
    *,
    places: float,
    is_founded: bool,
) -> RedeliveryMemory:
    """The memory with what is held by what was received in the last messages' time, once new periods are in it."""
    received = memory.received
    since = [sample for sample in samples if sample.at >= received.end_at]
    there = min(sample.in_flight for sample in since)  # any number may have been received since the metrics' end
    working = max(sample.working for sample in since)
    message_s = places / rate.value
    done, span_s = _completed_lately(deleted, received)
    takes_s, left_per_s, in_batches = GAPS * message_s, 0.0, 0.0  # one message in 25 takes longer
    if is_founded and message_s <= received.period_s and AT_WORK_SHARE * there > places * working:
        left_per_s = _left_per_s(received, deleted)
    if left_per_s > 0.0:
        takes_s = message_s  # what is left undone is no chance of how long messages take
    else:
        busy = min(working, at_most_per_s(done, span_s) / rate.value)
        in_batches = max(0.0, RECEIVED_AT_ONCE - places) * busy
    if not is_founded:
        takes_s = min(REMEMBERED_S, takes_s) if rate.source == "measured" else REMEMBERED_S
    # What was held stays so until it comes back, whatever is received beside it; or somebody completes it.
    stays = min(before.held, there) - _came_back_since(memory.history, before.received.end_at)
    if stays > 0.0:
        stays = min(stays, _not_worked_on(since, before.held, done, message_s / span_s, most=places * working))
    held = max(stays, not_received(received, there - in_batches, takes_s))
    if held > 0.0:
        held = min(held + left_per_s * (samples[-1].at - received.end_at), samples[-1].in_flight)
    return replace(memory, held=held, left_per_s=left_per_s)


def _grown(memory: RedeliveryMemory, samples: tuple[QueueSample, ...]) -> RedeliveryMemory:
    """What is held until metrics come: so much more as consumers left undone in each second of the last ones."""
    if memory.left_per_s <= 0.0 or memory.held <= 0.0 or len(samples) < 2:
        return memory
    grown = memory.held + memory.left_per_s * (samples[-1].at - samples[-2].at)
    return replace(memory, held=min(grown, samples[-1].in_flight))


def _came_back_since(returns: History, at: float) -> float:
    """Messages that came back after a moment."""
    first = max(0, round((at - returns.start_at) / returns.period_s))
    return sum(returns.counts[first:])


def _left_per_s(received: History, deleted: Series | None) -> float:
    """Messages a second that consumers receive and do not complete, where that is much of them; 0.0 where it is not.

    Before the newest periods as well: units that begin to prefetch hold more than before once, and leave none undone.
    """
    start_at, period_s, counts = received.start_at, received.period_s, received.counts
    completed = {} if deleted is None else {round((at - start_at) / period_s): count for at, count in deleted.points}
    both = [place for place in range(len(counts)) if place in completed][-2 * RECENT :]
    taken = [counts[place] for place in both]
    undone = [counts[place] - completed[place] for place in both]
    newest = undone[-RECENT:]
    if sum(undone) <= CLEAR * sum(taken) + LIKELY * sqrt(sum(taken)):
        return 0.0
    if sum(undone[:-RECENT]) <= CLEAR * sum(taken[:-RECENT]):
        return 0.0
    return max(0.0, sum(newest) / (len(newest) * period_s))


def _not_worked_on(since: Sequence[QueueSample], held: float, done: float, share: float, *, most: float) -> float:
    """The most that may be held, where units complete clearly more than what is not held allows; infinite elsewhere.

    Args:
        since: the samples since the metrics' end.
        held: messages in flight that are believed to be held.
        done: messages that were completed lately.
        share: what a message takes, of the time in which they were.
        most: messages that all units work on at once.
    """
    in_flight = sum([sample.in_flight for sample in since]) / len(since)
    if in_flight - held >= AT_WORK_SHARE * min(most, (done - LIKELY * sqrt(done)) * share):
        return inf
    return max(0.0, in_flight - min(most, done * share))


def _completed_lately(deleted: Series | None, received: History) -> tuple[float, float]:
    """Messages that were completed in the last periods, and how long these are, in seconds."""
    span_s = RECENT * received.period_s
    since = () if deleted is None else deleted.since(received.end_at - span_s)
    return sum(count for at, count in since if at < received.end_at), span_s


def not_received(received: History, there: float, takes_s: float) -> float:
    """What is in flight beyond all that was received in the time that messages take, and beyond chance."""
    if takes_s > len(received.counts) * received.period_s:
        return 0.0
    taken = received_within(received, takes_s)
    return max(0.0, there - taken - LIKELY * sqrt(taken))


def with_held(samples: tuple[QueueSample, ...], held: float) -> tuple[QueueSample, ...]:
    """The samples with what is now known to be held by nobody: it was so before the metrics showed it.

    No more were at work before than are now.
    """
    busy = max(0.0, samples[-1].in_flight - held) if samples else 0.0
    return tuple(replace(sample, held=min(held, max(0.0, sample.in_flight - busy))) for sample in samples)


def covering(samples: tuple[QueueSample, ...], start_at: float, end_at: float) -> tuple[QueueSample, ...]:
    """The samples of a period, with the last before it and the first after it; none if they do not cover it."""
    first = last = None
    for index, sample in enumerate(samples):
        if sample.at <= start_at:
            first = index
        if sample.at >= end_at:
            last = index
            break
    if first is None or last is None:
        return ()
    return samples[first : last + 1]
