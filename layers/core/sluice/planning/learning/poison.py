"""Messages that no consumer can complete: how many of those that wait are of that kind.

Poison is received more than three times and not completed while others are. SQS puts such messages behind all others
and leaves them out of the age of the oldest. So at the end of a period whose oldest age is a, no more than what arrived
within a (and a tick) has been received three times or less; the rest are suspects. The least number of suspects in five
periods in a row is poison if meanwhile

    - as many messages came back: all of them were tried again;
    - of what was sent at least half as much was completed, and something was: consumers work, so the fault is the
      messages'. In an outage downstream nothing completes, and its messages are not poison;
    - no more was completed than was sent and than there were others: the suspects are not worked off. After an outage
      its backlog is worked off, and is not poison.

With a FIFO queue SQS neither puts poison last nor leaves it out of the age; there nothing is called poison.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

from collections.abc import Sequence
from math import ceil

from sluice.model.frozen import replace
from sluice.model.observed import QueueReading, Series
from sluice.model.planning import History, QueueSample, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.learning.significance import COUNT_ERROR, FEW, RECENT, TWICE

POISON_PERIODS = 5  # longer than a crash lasts, and long enough for each message to be tried again


def known_s(timing: Timing) -> float:
    """For how long poison and failures are believed without new metrics, in seconds.

    It is as long as finding poison takes, and some periods in which metrics are missing.
    """
    return timing.metric_delay_s + timing.unread_s + (POISON_PERIODS + RECENT) * timing.metric_period_s


def learn_poison(
    memory: RedeliveryMemory, samples: tuple[QueueSample, ...], queue: QueueReading, timing: Timing
) -> RedeliveryMemory:
    """What is known with a new oldest age: how many messages were received too often, and how many are poison."""
    oldest, suspects, returns = queue.oldest_age, memory.suspects, memory.history
    nothing = replace(memory, poison=0.0, suspects=()) if suspects else memory
    if suspects and (oldest is None or oldest.at < suspects[-1][0] + 0.9 * returns.period_s):
        is_old = samples and samples[-1].at - suspects[-1][0] > known_s(timing)
        return nothing if is_old else memory  # each period is learned from once
    if oldest is None or not returns.counts:
        return memory
    count, others = _suspects(samples, oldest.at, oldest.value + timing.tick_s)
    if count < FEW:
        return nothing
    suspects = (*suspects, (oldest.at, count, others))[-POISON_PERIODS - 1 :]
    least = min(entry[1] for entry in suspects[-POISON_PERIODS:])
    others = max(entry[2] for entry in suspects)
    came, done = _sum_until(queue.sent, returns), _sum_until(queue.deleted, returns)
    able = done >= came / TWICE - FEW  # they complete half of what is sent
    undone = done <= came + others + max(FEW, COUNT_ERROR * least)
    known = min(memory.poison, count)
    tried = sum(returns.counts[-POISON_PERIODS:])
    if len(suspects) >= POISON_PERIODS and tried >= least and (done >= 1.0 or known > 0.0):
        known = max(known, least)
    return replace(memory, poison=known if able and undone else 0.0, suspects=suspects)


def _sum_until(series: Series | None, returns: History) -> float:
    """Messages that a series counts in the last periods for which it is known what came back."""
    if series is None:
        return 0.0
    since = returns.end_at - POISON_PERIODS * returns.period_s
    return sum(count for start_at, count in series.since(since) if start_at < returns.end_at)


def _suspects(samples: Sequence[QueueSample], at: float, fresh_s: float) -> tuple[float, float]:
    """Messages waiting or in flight at a moment: those that were there so many seconds before, and others."""
    there = None
    came = 0.0
    for index in range(len(samples) - 1, 0, -1):
        seen, before = samples[index], samples[index - 1]
        if before.at <= at <= seen.at:
            there = min(seen.visible + seen.in_flight, before.visible + before.in_flight)
        if there is not None:
            if seen.at <= at - fresh_s:
                break
            came += seen.arrived
    else:
        if there is not None and samples[0].at > at - fresh_s:
            return 0.0, there  # what was there before is not known
    if there is None:
        return 0.0, 0.0  # there is no sample of then
    return max(0.0, there - came), min(there, came)


def poison_alone(memory: RedeliveryMemory, arrivals: History, visible: float, in_flight: float, wait_s: float) -> float:
    """How many of the messages that wait are poison without a deadline: all of them, or none.

    More units would not finish poison, but what arrives meanwhile stands in line with it. So poison is left out only
    while nothing else waits, as far as counts show, and nothing was sent for a target wait. It may all be in flight: of
    the messages that wait, those beyond that number count.
    """
    waiting = memory.poison - in_flight
    if waiting <= 0.0 or visible > waiting + max(FEW, COUNT_ERROR * waiting):
        return 0.0
    periods = max(2, ceil(wait_s / arrivals.period_s))
    return visible if not any(arrivals.counts[-periods:]) else 0.0
