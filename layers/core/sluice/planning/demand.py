"""Demand: which messages must be started by when, from what waits and what is expected.

    D(t) = messages, waiting now or expected, that must be started within the next t seconds

A message that arrived at time u is due at u + W (W: target wait). A queue gives the oldest first, so those that wait
are the last that arrived. D is kept as knots (seconds from now, messages due by then), straight between them; negative
times are overdue.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, inf

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import QueueReading, Reading
from sluice.model.planning import Estimates, Forecast, Memory, QueueMemory, RedeliveryMemory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.launch_cost import (
    is_patient,
    planned_wait_s,
    quantile,
    soonest_lead_s,
    waits_of,
    worth_staying,
)
from sluice.planning.learning import redeliveries, signal_quality
from sluice.planning.learning.poison import poison_alone
from sluice.planning.learning.significance import MOST_ERRORS

type Knot = tuple[float, float]  # (seconds from now, messages due by then)
type Interval = tuple[float, float]  # (seconds ago that it began, messages that arrived in it)

BACKLOG_KNOTS = 12  # a target wait is divided into at most so many intervals of the history: more change no need
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html: at most 15 minutes
DELAY_MAX_S = 900.0


@dataclass(frozen=True, slots=True)
class QueueAtTick:
    """One queue at a tick: what was read of it, and what is remembered."""

    at: float  # epoch seconds of the snapshot
    reading: QueueReading
    memory: QueueMemory
    returned: RedeliveryMemory = RedeliveryMemory()


@dataclass(frozen=True, slots=True)
class Due:
    """What must be started by when, in one queue."""

    deadlines: Sequence[Knot]  # D(t), ascending
    oldest_s: float | None  # how long the oldest waiting message has waited; None where unknown
    poison: float = 0.0  # messages that wait and have no deadline: no unit completes them


@dataclass(frozen=True, slots=True)
class QueueDemand:
    """What one of several queues holds, and by when it must be started."""

    name: str
    priority: int
    deadlines: Sequence[Knot]  # D(t), ascending
    late_s: float  # within how many seconds what is late must be worked off
    waiting: float
    delayed: float = 0.0
    per_s: float = 0.0  # messages a second expected, at the mean
    oldest_s: float | None = None  # how long the oldest waiting message has waited; None where unknown

    def come_by(self, t: float) -> float:
        """Messages waiting now, or arriving within `t` seconds."""
        return self.waiting + self.delayed * min(1.0, t / DELAY_MAX_S) + self.per_s * t


def value(reading: Reading | None) -> float:
    """A count, zero where it is unknown; `Assessment.gaps` lists what is unknown."""
    return 0.0 if reading is None else reading.value


# --------------------------------------------------------------------------- deadlines


def due(
    queue: QueueAtTick,
    fleet: Fleet,
    arrivals: Forecast,
    estimates: Estimates,
    *,
    timing: Timing,
    wait_s: float,
    within_s: float,
    unbegun: float,
    now: float,
) -> Due:
    """The deadlines of what waits in a queue and is expected.

    Args:
        queue: what was read of it, and what is remembered.
        fleet: its target wait.
        arrivals: expected.
        estimates: the lead time to plan with.
        timing: the stack's ticks.
        wait_s: the wait to plan for, in seconds.
        within_s: the seconds within which messages must be received.
        unbegun: messages that units have received and not begun with: they go first, and wait like the others.
        now: epoch seconds.
    """
    lead_s = estimates.lead_s
    waiting, memory = value(queue.reading.visible), queue.memory
    known_s = _eldest(queue, now)
    first_seen_at = memory.samples[0].at if memory.samples else now
    eldest_s = now - first_seen_at if known_s is None else known_s  # of unknown age: it arrived just before
    poison = poison_alone(queue.returned, memory.arrivals, waiting, value(queue.reading.in_flight), wait_s)
    came = arrived_by_age(memory, queue.returned, timing, now, fleet.target_wait_s)
    knots = in_queue = backlog(waiting + unbegun - poison, came, eldest_s, wait_s)
    if unbegun > 0.0:
        came = arrived_by_age(memory, queue.returned, timing, now, fleet.target_wait_s)
        in_queue = backlog(waiting - poison, came, eldest_s, wait_s)
    oldest_s = max(0.0, wait_s - in_queue[0][0]) if waiting > poison and known_s is not None else None
    per_s = error_per_s = errors = 0.0
    if not is_patient(within_s, lead_s, timing) and worth_staying(arrivals, lead_s, timing):
        per_s, error_per_s, errors = arrivals.ahead_per_s, arrivals.error_per_s, quantile(arrivals, lead_s, timing)
    delayed = 0.0  # where a launch may be able to wait, it waits until they are visible
    if not is_patient(within_s, soonest_lead_s(estimates), timing):
        delayed = value(queue.reading.delayed)
    only_now_s = max(0.0, lead_s + timing.tick_s - within_s)
    deadlines = ahead(
        knots, per_s, error_per_s, delayed, wait_s=wait_s, lead_s=lead_s, only_now_s=only_now_s, errors=errors
    )
    return Due(deadlines, oldest_s, poison)


def demands_of(
    snapshot: Snapshot,
    fleet: Fleet,
    memory: Memory,
    estimates: Estimates,
    arrivals: Forecast,
    *,
    timing: Timing,
    unbegun: float,
    now: float,
) -> list[QueueDemand]:
    """What each queue of a shared fleet that is consumed holds, where that is known.

    Each has its share of the fleet's expected arrivals, by its share of what arrived lately. What units have received
    goes before the messages of every queue.
    """
    lead_s = estimates.lead_s
    seen = []
    for source, reading, own in zip(fleet.sources, snapshot.queues, estimates.queues, strict=True):
        if reading.visible is not None and not source.paused:
            alone = memory.of_queue(source.name)
            sure = signal_quality.believed(replace(snapshot, queue=reading), alone.samples).queue
            seen.append((source, sure, alone, own))
    total_per_s = sum(own.rate_per_s for *_, own in seen)
    demands = []
    for source, reading, alone, own in seen:
        share = own.rate_per_s / total_per_s if total_per_s > 0.0 else 0.0
        ahead_per_s = share * arrivals.ahead_per_s
        expected = replace(own, ahead_per_s=ahead_per_s, error_per_s=share * arrivals.error_per_s)
        single = fleet.with_only(source)
        wait_s = planned_wait_s(single.target_wait_s, lead_s, timing)
        wait_s, within_s = waits_of(wait_s, estimates, timing)
        state = QueueAtTick(snapshot.at, reading, alone)
        owed = due(
            state,
            single,
            expected,
            estimates,
            timing=timing,
            wait_s=wait_s,
            within_s=within_s,
            unbegun=unbegun,
            now=now,
        )
        demands.append(
            QueueDemand(
                source.name,
                source.priority,
                owed.deadlines,
                wait_s / fleet.limits.catch_up,
                value(reading.visible),
                value(reading.delayed),
                ahead_per_s,
                owed.oldest_s,
            )
        )
    return demands


def due_by(deadlines: Sequence[Knot], t: float) -> float:
    """D(t), straight between its knots."""
    place = bisect_left(deadlines, (t, -inf))
    if place == len(deadlines):
        return deadlines[-1][1]
    after_t, after = deadlines[place]
    if after_t == t:
        return after
    if place == 0:
        return 0.0
    before_t, before = deadlines[place - 1]
    return before + (after - before) * (t - before_t) / (after_t - before_t)


def backlog(waiting: float, came: Iterable[Interval], eldest_s: float, wait_s: float) -> list[Knot]:
    """D(t) of the messages that wait now: those that arrived last, since a queue gives the oldest first.

    Args:
        waiting: messages that wait.
        came: arrivals by interval, newest first, reaching back as far as is known.
        eldest_s: how long a waiting message can have waited at most, in seconds.
        wait_s: the wait to plan for, in seconds.

    Returns:
        Knots, ascending; negative times are overdue.
    """
    knots: list[Knot] = [(wait_s, waiting)]
    rest, newer_s = waiting, 0.0
    for older_s, count in came:
        if rest <= 0.0 or older_s >= eldest_s:
            break
        if count > rest:
            newer_s += (older_s - newer_s) * rest / count
            rest = 0.0
        else:
            newer_s, rest = older_s, rest - count
        knots.append((wait_s - newer_s, rest))
    if rest > 0.0:
        knots.append((wait_s - max(eldest_s, newer_s), 0.0))
    knots.reverse()
    return knots


def ahead(
    knots: Sequence[Knot],
    per_s: float,
    error_per_s: float,
    delayed: float,
    *,
    wait_s: float,
    lead_s: float,
    only_now_s: float,
    errors: float = MOST_ERRORS,
) -> Sequence[Knot]:
    """D(t) with what is still to arrive, as far ahead as a launch and the wait after it.

    What must be received before a later order could help is asked for at a quantile of the forecast's own error: this
    order alone can serve it. The rest is asked for at its mean, since there will be other ticks. Delayed messages
    arrive at some moment within SQS's longest delay.

    Args:
        knots: D(t) of what waits.
        per_s: messages a second expected.
        error_per_s: mean absolute error of that.
        delayed: messages that are delayed.
        wait_s: the wait to plan for, in seconds.
        lead_s: the lead time to plan with, in seconds.
        only_now_s: for how many seconds what arrives must be received before a later order could help.
        errors: the quantile, in mean absolute errors.
    """
    if per_s <= 0.0 and delayed <= 0.0:
        return knots
    waiting = knots[-1][1]
    added = list(knots)
    for seconds in sorted({only_now_s, lead_s, lead_s + wait_s} - {0.0}):
        messages = delayed * min(1.0, seconds / DELAY_MAX_S)
        messages += max(0.0, per_s * seconds + errors * error_per_s * min(seconds, only_now_s))
        added.append((wait_s + seconds, waiting + messages))
    return added


# --------------------------------------------------------------------------- what waits, by age


def _eldest(queue: QueueAtTick, now: float) -> float | None:
    """How long a waiting message can have waited at most, in seconds; None where that is unknown.

    The metric is late, but nothing that waits now is older than what was the oldest then; and it arrived after any tick
    that saw an empty queue.
    """
    eldest_s = None
    oldest, memory = queue.reading.oldest_age, queue.memory
    if oldest is not None:
        eldest_s = oldest.value + oldest.age_s(now)
    since_at = -inf if eldest_s is None else now - eldest_s  # earlier samples say no more
    for sample in reversed(memory.samples):
        sample_at = sample.at
        if sample_at <= since_at:
            break
        if sample.visible == 0 and sample_at < queue.at:
            return now - sample_at
    if eldest_s is None and memory.arrivals.counts:
        return now - memory.arrivals.start_at
    return eldest_s


def arrived_by_age(
    memory: QueueMemory, returned: RedeliveryMemory, timing: Timing, now: float, span_s: float
) -> Iterator[Interval]:
    """Arrivals by interval, newest first: as ticks saw them, scaled to the metric where it is there; then by metrics.

    Messages that came back count as arriving when they did. What arrived between two samples that are more than a tick
    apart may all have arrived right after the first.

    Args:
        memory: counts per period, and samples.
        returned: messages that came back.
        timing: the stack's ticks.
        now: epoch seconds.
        span_s: the target wait, in seconds: the history is divided no finer than a twelfth of it.
    """
    history, samples, tick_s = memory.arrivals, memory.samples, timing.tick_s
    counts, start_at, period_s = history.counts, history.start_at, history.period_s
    index, end_at = len(samples) - 1, history.end_at
    while index > 0:
        # The samples of one period (after the last metric: all), and by how much they saw too few arrive.
        until = samples[index].at
        since, first, scale = end_at, index, 1.0
        if until <= end_at:
            since = start_at + period_s * (ceil((until - start_at) / period_s) - 1)
            total = 0.0
            while first > 0 and samples[first].at > since:
                total += samples[first].arrived
                first -= 1
            if total > 0.0 and since >= start_at:
                scale = counts[round((since - start_at) / period_s)] / total
        sample, sample_at = samples[index], until
        while index > 0 and sample_at > since:
            index -= 1
            before = samples[index]
            before_at = before.at
            ago_s = now - before_at
            if sample_at - before_at > tick_s:
                yield ago_s - tick_s, 0.0
            yield ago_s, sample.arrived * scale + sample.returned
            sample, sample_at = before, before_at
    stride = max(1, ceil(span_s / period_s / BACKLOG_KNOTS))
    known = len(counts)
    if samples and counts:
        known = min(known, ceil((samples[0].at - start_at) / period_s) - 1)
    back = redeliveries.returned_by_period(returned, history) if returned.history.counts else {}
    for last in range(known, 0, -stride):
        after = max(0, last - stride)
        came: float = sum(counts[after:last])  # without the type the compiler takes it to be whole
        if back:
            came += sum(back.get(index, 0.0) for index in range(after, last))
        yield now - start_at - after * period_s, came
