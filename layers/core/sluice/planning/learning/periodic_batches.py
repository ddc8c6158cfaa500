"""Batches that recur: found in the counts, expected at their times, and judged by whether they arrive.

Theory of operation
-------------------
Find. A period whose count stands out of the half hour before it is a pulse; its size is what it has above the median of
that half hour. It is none where others of at least half its size came more than once in a horizon (target wait and lead
time): the capacity launched for one serves the next as well, and the level of arrivals shows them. Pulses are kept
with the time from which on their absence means something.

Expect. Whenever a period is settled, the one that is a horizon ahead is asked about: does a batch recur then, and how
sure is that (`schedules.expected`)? The sizes of all repeats, absent ones as zero, are the distribution of the next. So
batches that stay away stop this by themselves, and those of other schedules go on.

Launch. Whether to launch before a batch arrives is a matter of cost (`worth`). Units that are ready have all of the
batch's duration and the wait after it; those launched when it is seen have a lead time less, so more of them are
needed, and each is paid for while it boots. Against that stands the cost of units that wait in vain. So units are
launched ahead for as much of a batch as is likely enough to arrive; the rest can be launched for when it is seen. Units
that are there and idle have paid for their boot, and are kept for what is less likely. Where a launch after the batch
is seen comes too late, cost alone does not decide: there, what is as likely as not is launched for.

A batch asks for capacity as waiting messages do, by deadlines, seen from the moment when it begins. It only ever raises
the need: an expected batch never scales a fleet in.

Afterwards. A burst that nobody foresaw may go on, so the level of arrivals and the stabilization window keep capacity
for it. An expected batch is known to end. Once it is over, what it adds to the level is left out of the forecast
(`beside_batches`), and with it its share of what was needed in the window (`is_of_batch`).
"""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, exp, floor
from statistics import median

from sluice.model.frozen import dataclass, replace
from sluice.model.planning import BatchMemory, ExpectedBatch, Forecast, History, QueueSample
from sluice.model.timing import Timing
from sluice.planning.deadlines import TINY, need
from sluice.planning.demand import Knot
from sluice.planning.launch_cost import break_even
from sluice.planning.learning import schedules
from sluice.planning.learning.forecasting import LEVEL_MEMORY_S
from sluice.planning.learning.significance import RECENT_S, TWICE
from sluice.planning.supply import Supply

USUAL_PERIODS = 30  # a bound on the work where periods are short
PULSE_SPREADS = 5.0  # standard deviations of a Poisson count: one period in a million exceeds them by chance
PULSES_MAX = 256  # a bound on the ledger's record: ten days of hourly batches
PULSES_S = 28 * 86_400.0  # four weeks: a weekly batch has repeated often enough by then
SETTLED_PERIODS = 3  # the newest counts may still grow
EXPECTED_MAX = 64  # a bound on the ledger's record
INTERVALS_MAX = 16  # a bound on the ledger's record

LIKELY_ENOUGH = 0.5  # chance of being used that justifies a unit where a launch after the batch is seen is too late


# --------------------------------------------------------------------------- learned


def learn_batches(memory: BatchMemory, history: History, horizon_s: float, timing: Timing) -> BatchMemory:
    """What is known of batches with a history's newly settled periods.

    Args:
        memory: what was known before.
        history: counts per period up to now.
        horizon_s: how far ahead batches are asked for, in seconds, the metrics' own delay not included.
        timing: the metrics' delay.
    """
    before, period_s = memory, history.period_s
    settled_at = history.end_at - SETTLED_PERIODS * period_s
    if not history.start_at <= memory.pulses_until <= settled_at:
        # New, or counts of another time or length: absence means something from here on.
        # The first period has none before it to stand out of.
        since = history.start_at + period_s
        memory = replace(memory, pulses=(), pulses_since=since, pulses_until=since, expected=(), expected_until=0.0)
    until, since = memory.pulses_until, memory.pulses_since
    if settled_at <= until:
        return before
    pulses, expected = dict(memory.pulses), list(memory.expected)
    first = round((until - history.start_at) / period_s)
    for index in range(first, round((settled_at - history.start_at) / period_s)):
        size = _stands_out(history, index, horizon_s)
        if size > 0.0:
            pulses[history.start_at + index * period_s] = size
    intervals = memory.intervals
    while expected and expected[0].until <= settled_at:
        over = expected.pop(0).interval_s
        intervals = (over, *(each for each in intervals if each != over))[:INTERVALS_MAX]
    while pulses and (len(pulses) > PULSES_MAX or settled_at - next(iter(pulses)) > PULSES_S):
        oldest = next(iter(pulses))
        since = oldest + period_s
        del pulses[oldest]
    # A launch is ordered a lead time before, and the metrics show a batch no sooner than their delay after it.
    ahead = floor((horizon_s + 2.0 * timing.metric_delay_s + timing.unread_s) / period_s)
    from_at = max(settled_at, memory.expected_until)
    known = schedules.Pulses(pulses, since, settled_at, period_s, horizon_s)
    for step in range(round((from_at - settled_at) / period_s), SETTLED_PERIODS + ahead):
        at = settled_at + step * period_s
        if len(expected) < EXPECTED_MAX and (batch := schedules.expected(known, at, expected, intervals)):
            expected.append(batch)
    return replace(
        memory,
        pulses=tuple(pulses.items()),
        pulses_since=since,
        pulses_until=settled_at,
        expected=tuple(expected),
        expected_until=settled_at + (SETTLED_PERIODS + ahead) * period_s,
        intervals=intervals,
    )


def _stands_out(history: History, index: int, horizon_s: float) -> float:
    """How many messages a period had above what is usual; zero where that may be chance, or comes all the time.

    What arrives more than once in the time of a launch and a target wait is no batch: the fleet is there for it.
    """
    count = history.counts[index]
    if count <= PULSE_SPREADS or index < 1:
        return 0.0
    periods = max(1, min(USUAL_PERIODS, round(RECENT_S / history.period_s)))
    before = history.counts[max(0, index - periods) : index]
    usual = median(before)  # of half an hour: a batch within it does not move it
    above: float = count - usual
    if above <= PULSE_SPREADS * (1.0 + usual**0.5):
        return 0.0
    alike = sum([TWICE * (other - usual) >= above for other in before])
    return above if alike * horizon_s <= RECENT_S else 0.0


# --------------------------------------------------------------------------- planned with


type Batch = tuple[float, float, float]  # (begins at the earliest, at the latest, messages)


@dataclass(frozen=True, slots=True)
class Times:
    """The lengths of time that are planned with, in seconds; `now` in epoch seconds."""

    now: float
    wait_s: float
    lead_s: float
    late_s: float  # within how long late work is worked off
    tick_s: float
    unused_s: float  # how long a unit stays at least once it is found not to be needed


def need_of_batches(
    memory: BatchMemory,
    samples: Sequence[QueueSample],
    deadlines: Sequence[Knot],
    steady_per_s: float,
    *,
    supply: Supply,
    times: Times,
) -> int:
    """The capacity units that expected batches ask for now: those that a launch must be ordered for, or that are due.

    Once a batch should have begun, no more is launched for the part of it that has not arrived; what is there is kept.

    Args:
        memory: the batches expected.
        samples: what arrived so far.
        deadlines: D(t) of what waits.
        steady_per_s: messages a second that arrive beside them.
        supply: what is there and on its way.
        times: waits and lead times, and now.
    """
    now = times.now
    launch: list[Batch] = []
    keep: list[Batch] = []
    for each in memory.expected:
        if is_due(each, times.lead_s + times.tick_s, now):
            came = _arrived_since(samples, each.at, now)
            launched, kept = worth(each, supply, times)
            if launched > came and each.at > now:
                launch.append((each.at, each.until, launched))
            if (most := max(launched, kept)) > came:
                keep.append((max(each.at, now), each.until, most - came))
    steady = ceil(steady_per_s / supply.rate_per_s - TINY)
    units = _need(launch, deadlines, supply, times) + steady if launch else 0
    if keep and units < supply.total:
        units = max(units, min(floor(supply.total), _need(keep, deadlines, supply, times) + steady))
    return units


def is_due(batch: ExpectedBatch, within_s: float, now: float) -> bool:
    """Whether a batch may still arrive, and begins within so many seconds."""
    return now < batch.until and batch.at - now <= within_s


def beside_batches(
    arrivals: Forecast, memory: BatchMemory, samples: Sequence[QueueSample], lately_per_s: float, now: float
) -> Forecast:
    """The forecast without expected batches that are over: what they add to the level does not go on.

    Args:
        arrivals: as forecast.
        memory: the batches expected.
        samples: what arrived so far.
        lately_per_s: messages a second that may be arriving now: so many go on, whatever the batches explain.
        now: epoch seconds.
    """
    over = [each for each in memory.expected if each.until <= now]
    if not over:
        return arrivals
    of_batches = 0.0
    for each in over:
        came = min(each.sizes[-1], _arrived_since(samples, each.at, now))
        of_batches += came * exp(((each.at + each.until) / 2 - now) / LEVEL_MEMORY_S) / LEVEL_MEMORY_S
    rest_per_s = max(arrivals.rate_per_s - of_batches, min(arrivals.rate_per_s, lately_per_s))
    rest = rest_per_s / arrivals.rate_per_s if arrivals.rate_per_s > 0.0 else 0.0
    return replace(
        arrivals,
        rate_per_s=rest_per_s,
        ahead_per_s=rest * arrivals.ahead_per_s,
        error_per_s=rest * arrivals.error_per_s,
        of_batches=1.0 - rest,
    )


def is_of_batch(memory: BatchMemory, at: float, now: float, wait_s: float, ahead_s: float) -> bool:
    """Whether what was needed at a moment was for an expected batch that is over.

    It may be from when units are launched for it, `ahead_s` before, until its last messages have to be begun.
    """
    return any(each.at - ahead_s <= at <= each.until + wait_s and each.until <= now for each in memory.expected)


def _need(batches: Sequence[Batch], deadlines: Sequence[Knot], supply: Supply, times: Times) -> int:
    """The capacity that batches ask for, seen from when the first of them begins: until then it serves none of them."""
    begin_at = batches[0][0]
    ahead_s = begin_at - times.now
    knots = [knot for knot in deadlines if knot[0] <= times.wait_s] if ahead_s <= 0.0 else []
    due = knots[-1][1] if knots else 0.0
    for at, until, size in batches:
        knots.append((at - begin_at + times.wait_s, due))
        due += size
        knots.append((until - begin_at + times.wait_s, due))
    knots.sort()
    by_then = accumulate((messages for _, messages in knots), max)  # batches may overlap
    knots = [(t, messages) for (t, _), messages in zip(knots, by_then, strict=True)]
    launches = tuple((max(0.0, due_s - ahead_s), units) for due_s, units in supply.launches)
    return need(knots, replace(supply, launches=launches), max(0.0, times.lead_s - ahead_s), times.late_s)


def worth(batch: ExpectedBatch, supply: Supply, times: Times) -> tuple[float, float]:
    """How many of a batch's messages are worth launching for before they are there, and worth keeping units for.

    A unit that is ready and used saves the boots of those that would be launched in its stead once the batch is seen,
    and costs its own; one that is not used is paid for until that is known.
    """
    lasts_s = batch.until - batch.at
    median_size = batch.sizes[len(batch.sizes) // 2]
    if median_size <= 0.0:
        return 0.0, 0.0
    if times.wait_s <= times.lead_s + times.tick_s:
        return _as_likely_as(LIKELY_ENOUGH, batch), 0.0
    spare_s = times.wait_s + lasts_s - times.lead_s - times.tick_s
    ready = supply.launched_for(median_size, times.wait_s + lasts_s)
    idle_s, ahead_s = times.tick_s + lasts_s / 4, max(0.0, batch.at - times.now)
    saved_s = supply.launched_for(median_size, max(times.tick_s, spare_s)) / ready * times.lead_s - idle_s
    loss_s = times.tick_s + lasts_s + times.unused_s
    launched = break_even(saved_s - times.lead_s, loss_s + times.lead_s)
    kept = break_even(saved_s - ahead_s, loss_s + ahead_s)  # what is there already has paid for its boot
    return _as_likely_as(launched, batch), _as_likely_as(kept, batch)


def _as_likely_as(chance: float, batch: ExpectedBatch) -> float:
    """The size that the next batch exceeds with that chance; zero where it is not so likely to come at all.

    Of n sizes and one more of their kind, the next exceeds the k-th largest with a chance of k / (n + 1).
    """
    sizes = batch.sizes
    rank = ceil(chance / batch.chance * (len(sizes) + 1) - TINY)
    return sizes[-rank] if rank <= len(sizes) else 0.0


def _arrived_since(samples: Sequence[QueueSample], since: float, now: float) -> float:
    """Messages that ticks saw arrive since a moment."""
    if since >= now:
        return 0.0
    came = 0.0
    for sample in reversed(samples):
        if sample.at <= since:
            break
        came += sample.arrived
    return came
