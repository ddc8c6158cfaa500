"""Prefetched messages: those that a unit has received before it can begin with them.

    received     messages in flight per unit while messages wait: a unit takes as many as it may have
    at work      service rate x time in flight of a message that found units with room (Little's law), or what was given
    prefetched   the rest: it waits in its unit, where no other unit can take it, and its deadlines run

So while messages wait, one that is received begins (received - at work) / service rate seconds later. A launch helps it
only if it comes that much sooner than the target wait is over. Consumers that work on several messages at once have as
many in flight as they complete in a message's time, however few they hold; those that prefetch have them in flight for
longer, the more they hold. That is how they differ.

Consumers with a buffer of messages, for example: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
SQSDeveloperGuide/sqs-client-side-buffering-request-batching.html
"""

import math
from collections.abc import Sequence

from sluice.model.frozen import replace
from sluice.model.observed import Series
from sluice.model.planning import QueueSample, RateMemory, RedeliveryMemory
from sluice.planning.learning.at_work import at_work
from sluice.planning.learning.significance import CLEAR, REMEMBERED_S, TWICE
from sluice.planning.learning.undone import RECEIVED_AT_ONCE, are_beyond_batches, hides_work


def learn_prefetch(
    memory: RateMemory,
    since_at: float,
    samples: Sequence[QueueSample],
    deleted: Series | None,
    *,
    returned: RedeliveryMemory,
    places: int,
) -> RateMemory:
    """The memory with what units had in flight in each new period: where messages waited throughout, and where none.

    Args:
        memory: what was learned of the periods.
        since_at: periods before this moment were learned from before, in epoch seconds.
        samples: of the last ticks, ascending.
        deleted: completed messages per period.
        returned: what was received and completed. Where more is in flight than units receive at once, and much of what
            they receive is never completed, it is not theirs.
        places: messages that one unit works on at once, as the fleet says.
    """
    if deleted is None or memory.learned_until == since_at:
        return memory
    each, full, light = memory.in_flight_each, memory.in_flight_full, memory.in_flight_light
    for start_at, count in deleted.since(since_at):
        end_at = start_at + deleted.period_s
        if count <= 0.0 or end_at > memory.learned_until:
            continue
        during = [sample for sample in samples if start_at <= sample.at <= end_at]
        units = sum(sample.working for sample in during)
        if units <= 0.0 or not all(sample.steady for sample in during):  # units that leave hold messages as well
            continue
        is_beyond = any(are_beyond_batches(sample, places) for sample in during)
        if is_beyond and hides_work(during, memory.estimate, places, returned):
            continue
        busy = sum(map(at_work, during))
        flown_s = busy / len(during) * deleted.period_s
        if all(sample.visible > 0.0 for sample in during):
            each = busy / units if each == 0.0 else (each + busy / units) / 2.0
            full = full[0] / 2.0 + flown_s, full[1] / 2.0 + count
        elif not any(sample.visible > 0.0 for sample in during) and TWICE * busy <= max(each, RECEIVED_AT_ONCE) * units:
            # A message may wait in its unit: the shortest times in flight of the last hour tell how long work takes.
            share = min(0.5, deleted.period_s / REMEMBERED_S)
            if flown_s * light[1] <= light[0] * count:
                share = 0.5 if light[1] > 0.0 else 1.0
            light = light[0] + share * (flown_s - light[0]), light[1] + share * (count - light[1])
    return replace(memory, in_flight_each=each, in_flight_full=full, in_flight_light=light)


def at_once(memory: RateMemory, per_s: float, given: float) -> float:
    """Messages that one unit works on at once: as many as it completes while a message is in flight, or what was given.

    Args:
        memory: what was learned of past periods.
        per_s: messages that one unit completes a second.
        given: messages that one unit works on at once, as the fleet says.
    """
    (full_s, done), (light_s, landed) = memory.in_flight_full, memory.in_flight_light
    if landed <= 0.0:
        return given
    full_per_s = memory.in_flight_each * done / full_s if full_s > 0.0 else 0.0  # one that had room completes less
    return max(given, max(per_s, full_per_s) * light_s / landed)


def unbegun_s(memory: RateMemory, samples: Sequence[QueueSample], per_s: float, begun: float) -> float:
    """For how many seconds a message waits in its unit before work on it begins, while messages wait.

    Args:
        memory: what was learned of past periods.
        samples: of the last ticks, ascending: they show it before the metrics do.
        per_s: messages that one unit completes a second.
        begun: messages that one unit works on at once.
    """
    if samples and samples[-1].held > 0.0:
        return 0.0  # some wait in no unit
    unbegun = max(memory.in_flight_each, _seen(samples, begun)) - begun
    return unbegun / per_s if unbegun > CLEAR * begun else 0.0


def _seen(samples: Sequence[QueueSample], begun: float) -> float:
    """Messages in flight per unit at the last two ticks at which messages waited; 0.0 where units hold no more now."""
    if not samples or at_work(samples[-1]) <= begun * samples[-1].working:
        return 0.0
    after = math.inf
    for sample in reversed(samples):
        if sample.visible <= 0.0 or sample.working <= 0.0 or not sample.steady:
            after = math.inf
            continue
        now = at_work(sample) / sample.working
        if after < math.inf:
            return min(after, now)
        after = now
    return 0.0
