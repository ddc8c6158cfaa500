"""What consumers leave undone: messages that they receive and never complete, in flight until these come back.

    left undone = received - completed, over hours

What is at work is received and not completed either, but no more of it with time. So over hours the difference is what
consumers that died or back off have left. Each of these messages is in flight until its visibility timeout is over: an
hour, or twelve. Who is at work shows no longer in the count in flight then; Little's law tells it:

    at work = completed a second x unit-seconds for each completed message
    held    = in flight - at work

That needs the service rate, and so the rate must not be learned of the count in flight, or each would follow the other.
While messages are held, or more are in flight than units work on, it is learned only while messages wait for all
units. Where none wait although units complete about all that they could, they may be faster than is believed: the rate
is believed to be higher, by degrees, until messages wait. Nor is it learned then what a unit holds (`prefetch`).

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from collections.abc import Sequence
from math import ceil, inf, sqrt

from sluice.model.planning import Estimate, History, QueueSample, RedeliveryMemory
from sluice.planning.learning.odd_periods import weighed
from sluice.planning.learning.significance import (
    CLEAR,
    COUNT_ERROR,
    FOUNDED,
    GAPS,
    LIKELY,
    RECENT,
    REMEMBERED_S,
)

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html: at most ten a receive
RECEIVED_AT_ONCE = 10.0


def are_beyond_batches(sample: QueueSample, places: float, each: float = RECEIVED_AT_ONCE) -> bool:
    """Whether clearly more are in flight than units work on, or hold that receive up to ten at once.

    Args:
        sample: of this tick.
        places: messages that one unit works on at once.
        each: messages that one unit was seen to hold while messages waited; 0.0 where none did.
    """
    return sample.in_flight > (1.0 + CLEAR) * max(min(each, RECEIVED_AT_ONCE), places) * sample.working


def left_undone(
    received: History, completed: History, in_flight: float, message_s: float, *, is_known: bool
) -> tuple[float, float]:
    """The share of what was received that is left undone, and how many a second that are; zeros where it is none.

    What is at work at the end is not completed yet, and what was at the beginning is completed since. So what was
    received is counted in the same time, and in one that is earlier by as long as a message is in flight: a burst at
    either end shows in one of both, and the fewer undone are believed. Units that begin to hold more do it once: so
    some must be undone in either half of the time.

    Args:
        received: messages received by the period.
        completed: messages completed by the period.
        in_flight: messages in flight now.
        message_s: unit-seconds for each completed message.
        is_known: whether some are known to be held: else more must be undone in either half of the time than chance
            makes of what is at work at its ends.
    """
    period_s, counts = received.period_s, received.counts
    hour = completed.counts[-round(REMEMBERED_S / period_s) :]
    landed = _sum(hour)
    if completed.period_s != period_s or landed <= 0.0:
        return 0.0, 0.0
    in_flight_s = min(REMEMBERED_S, in_flight * len(hour) * period_s / landed)  # as if all of them were at work
    lag, takes = ceil(max(GAPS * message_s, in_flight_s) / period_s), ceil(message_s / period_s)
    until = round((min(received.end_at, completed.end_at) - received.start_at) / period_s)
    offset = round((received.start_at - completed.start_at) / period_s)
    first = max(lag, -offset)
    if first >= until:
        return 0.0, 0.0

    def undone(start: int, end: int) -> tuple[float, float]:
        """What was left undone in some periods, and how many that may be by chance."""
        later = _sum(counts[end - lag : end]) - _sum(counts[start - lag : start])
        left = _sum(counts[start:end]) - max(0.0, later) - _sum(completed.counts[start + offset : end + offset])
        at_ends = _sum(counts[end - takes : end]) + _sum(counts[start - takes : start])
        return left, LIKELY * sqrt(at_ends)

    left, middle = undone(first, until)[0], (first + until) // 2
    halves = () if is_known else (undone(first, middle), undone(middle, until))
    if left <= 0.0 or any(half <= chance for half, chance in halves):
        return 0.0, 0.0
    return left / _sum(counts[first:until]), left / ((until - first) * period_s)


def beyond_work(
    samples: Sequence[QueueSample], received: History, message_s: float, undone: tuple[float, float], places: float
) -> float:
    """Messages in flight that nobody works on, where consumers leave some undone.

    Args:
        samples: of the last ticks, ascending.
        received: messages received by the period.
        message_s: unit-seconds for each completed message.
        undone: the share of what is received that is left undone, and how many a second that are.
        places: messages that one unit works on at once.
    """
    newest, (share, left_per_s) = samples[-1], undone
    at_work = received_within(received, (1.0 - share) * message_s)
    # Any number may have been received since the metrics' end: no more than the fewest in flight since are older.
    there = min(sample.in_flight for sample in samples if sample.at >= received.end_at)
    held = max(0.0, there - at_work) + left_per_s * (newest.at - received.end_at)
    if newest.visible > 0.0:  # a unit holds a message while there is one for it
        at_work = max(at_work, places * newest.working)
    return max(0.0, min(newest.in_flight - at_work, (1.0 + COUNT_ERROR) * held))


def received_within(received: History, seconds: float) -> float:
    """What was received in the last seconds that the metrics tell of, which are no more than they reach back."""
    counts, periods = received.counts, seconds / received.period_s
    if periods < 1.0:
        return max(counts[-RECENT:]) * periods
    whole = int(periods)
    taken = _sum(counts[-whole:])
    if whole < len(counts):
        taken += (periods - whole) * counts[-whole - 1]
    return taken


def at_most_per_s(done: float, seconds: float) -> float:
    """Messages a second at most where `done` were completed in so many seconds: by chance it was fewer than usual."""
    return (done + LIKELY * sqrt(done)) / seconds


def _sum(counts: Sequence[float]) -> float:
    total: float = sum(counts)  # without the type the compiler takes it to be whole
    return total


# --------------------------------------------------------------------------- what the service rate is learned of


def hides_work(
    during: Sequence[QueueSample], estimate: Estimate | None, places: int, returned: RedeliveryMemory
) -> bool:
    """Whether messages in flight tell nothing of who is at work: some are held, or may be.

    They may be where less was completed than received, and more are in flight than units work on: all of them, or, once
    more was left undone than these work on, so many as complete what is completed. Where nothing else is known of
    what units complete, the count in flight is all there is to begin with.
    """
    if any(sample.held > 0.0 for sample in during):
        return True
    if estimate is None or estimate.weight < FOUNDED:
        return False
    received, completed = returned.received, returned.completed
    taken, newest = _sum(received.counts), _sum(completed.counts[-RECENT:])
    undone = taken - _sum(completed.counts) - COUNT_ERROR * taken
    if undone <= 0.0:
        return False
    completing = at_most_per_s(newest, RECENT * received.period_s) / estimate.mean
    each = (1.0 + CLEAR) * places
    most = completing if undone > each * completing else inf
    return any(sample.steady and sample.in_flight > each * min(sample.working, most) for sample in during)


def may_be_faster(
    during: Sequence[QueueSample], received: History, start_at: float, count: float, estimate: Estimate
) -> bool:
    """Whether a period suggests that units are faster: some messages are held, and none that came waited.

    Where units could clearly have completed more at the rate that is believed, messages need not wait.

    Args:
        during: samples of the period.
        received: messages received by the period.
        start_at: when the period began, in epoch seconds.
        count: messages completed in it.
        estimate: the rate that is believed.
    """
    index = round((start_at - received.start_at) / received.period_s)
    if not 0 <= index < len(received.counts) or received.counts[index] <= 0.0 or count <= 0.0:
        return False
    could = estimate.mean * received.period_s * _sum([sample.working for sample in during]) / len(during)
    if count < (1.0 - CLEAR) * could or any(sample.visible > 0.0 for sample in during):
        return False
    return any(sample.held > 0.0 for sample in during)


def tried_faster(count: float, estimate: Estimate) -> tuple[float, float]:
    """Completed messages and their unit-seconds after one more such period: as if units were a quarter faster in it.

    What was known before counts as few messages: it was learned of messages in flight, while more were than at work.
    """
    return weighed(count, count / ((1.0 + CLEAR) * estimate.mean), (FOUNDED, FOUNDED / estimate.mean), None)
