"""Batches that recur: told from the counts, awaited, and judged by whether they came.

Theory of operation
-------------------
A period whose count stands out of the half hour before it is a pulse; what it had above that half hour's median is its
size. But where others that had half as much came more than once in a horizon (target wait and lead time), it is none:
what a launch at its sight is for meets the next one as well, so a fleet is there, and levels see it. Pulses are kept
with the time from which on their absence means something. Whenever a period is settled, the one that is a horizon ahead
is asked about: is it a whole multiple of some interval after earlier pulses? For an interval that divides the day, or
is days, three repeats make it likely, for any other five; where nothing recurs to the minute, some minutes' jitter is
allowed for, with six. The sizes of all repeats, absent ones as zero, are what is known of the next.

What was awaited is judged when its time is over: the share that came, remembered over some twenty. Nothing is believed
to be likelier than that. So batches that stay away, or were none, silence this by themselves; and they are awaited on,
so that a silent forecaster can show that it is right again.

Whether to launch before a batch is there is a matter of cost (`worth`). Units that are ready when it comes have all of
its duration and the wait after it; those that are launched at its sight, a lead time less, so more of them are needed,
and each is paid for while it boots. Against that stands what is paid for units that wait in vain. So units are launched
ahead for as much of a batch as is likely enough to come; the rest can be launched for when it is seen. Units that are
there and idle have paid for their boot, and are kept for what is less likely. Where a launch at its sight comes too
late, cost alone does not say: there, what is as likely as not is launched for.

A batch asks for capacity as the messages that wait do, by deadlines, seen from the moment when it begins. It only ever
asks for more: what is awaited never shrinks a fleet.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, floor
from statistics import median
from typing import Any

from sluice.model.frozen import dataclass, replace
from sluice.model.planning import Awaited, Estimate, History, Memory
from sluice.planning.deadlines import SOONEST_S, TINY, need
from sluice.planning.demand import Knot
from sluice.planning.supply import Supply

USUAL_S = 1800.0  # the median of so long is what is usual
USUAL_PERIODS = 30  # of them, at most
PULSE_LEAST = 5.0  # messages above the usual: fewer are chance, and not worth a launch
PULSE_SPREADS = 5.0  # standard deviations of Poisson counts: chance has one in a million of these
ALIKE = 0.5  # of a pulse: a period that had so much of it is another such
PULSES_MAX = 256  # kept: a bound on the ledger's record; ten days of hourly ones
PULSES_S = 28 * 86_400.0  # and no longer than so
REPEATS = 3  # of an interval that people choose
REPEATS_ODD = 5  # of any other: there are so many
REPEATS_ABOUT = 6  # where some minutes' jitter is allowed for: chance hits three minutes more often than one
REPEATS_MAX = 12  # looked at
REPEATED = 0.7  # of the repeats that must have been there
INTERVAL_LEAST_S = 300.0  # what comes more often than so is no batch: levels see it
JITTER_PERIODS = 3  # a batch that does not come to the minute is awaited for so many
SETTLED_PERIODS = 3  # the newest counts may still grow
AHEAD_S = 240.0  # metrics are late by so much, and a launch is ordered before its lead time
AWAITED_MAX = 64  # a bound on the ledger's record
JUDGED_WEIGHT = 20.0  # awaited batches that the share that came is remembered over
TRUSTED_AT_FIRST = 3.0  # repeats that are believed to have come before any was awaited

LIKELY_ENOUGH = 0.5  # that a unit is used with: it suffices where a launch at sight is too late
DAY_S = 86_400


# --------------------------------------------------------------------------- learned


def learn_batches(memory: Memory, history: History, horizon_s: float) -> dict[str, Any]:
    """What of the memory changes with a history's newly settled periods, by field.

    Args:
        memory: what was known before.
        history: counts per period up to now.
        horizon_s: how far ahead batches are asked for, less the metrics' own lateness.
    """
    period_s = history.period_s
    settled_at = history.end_at - SETTLED_PERIODS * period_s
    if not history.start_at <= memory.pulses_until <= settled_at:
        # New, or counts of another time or length: absence means something from here on.
        # The first period has none before it to stand out of.
        since = history.start_at + period_s
        memory = replace(memory, pulses=(), pulses_since=since, pulses_until=since, awaited=(), awaited_until=0.0)
    until, since = memory.pulses_until, memory.pulses_since
    if settled_at <= until:
        return {}
    pulses, awaited, regular = dict(memory.pulses), list(memory.awaited), memory.regular
    first = round((until - history.start_at) / period_s)
    for index in range(first, round((settled_at - history.start_at) / period_s)):
        size = _stands_out(history, index, horizon_s)
        if size > 0.0:
            pulses[history.start_at + index * period_s] = size
    came_by = settled_at + period_s / 2
    while awaited and awaited[0].until <= came_by:
        over = awaited.pop(0)
        regular = _judged(over, _between(pulses, over.at, over.until, period_s), regular, settled_at)
    while pulses and (len(pulses) > PULSES_MAX or settled_at - next(iter(pulses)) > PULSES_S):
        oldest = next(iter(pulses))
        since = oldest + period_s
        del pulses[oldest]
    ahead = floor((horizon_s + AHEAD_S) / period_s)
    from_at = max(settled_at, memory.awaited_until)
    for step in range(round((from_at - settled_at) / period_s), SETTLED_PERIODS + ahead):
        at = settled_at + step * period_s
        if len(awaited) < AWAITED_MAX and (expected := _expected(pulses, at, since, period_s, awaited)) is not None:
            awaited.append(expected)
    return {
        "pulses": tuple(pulses.items()),
        "pulses_since": since,
        "pulses_until": settled_at,
        "awaited": tuple(awaited),
        "awaited_until": settled_at + (SETTLED_PERIODS + ahead) * period_s,
        "regular": regular,
    }


def _stands_out(history: History, index: int, horizon_s: float) -> float:
    """How many messages a period had above what is usual; zero where that may be chance, or nothing out of the way.

    What comes more than once in the time that a launch and its wait take is no batch: there is a fleet for it.
    """
    count = history.counts[index]
    if count <= PULSE_LEAST or index < 1:
        return 0.0
    periods = max(1, min(USUAL_PERIODS, round(USUAL_S / history.period_s)))
    before = history.counts[max(0, index - periods) : index]
    usual = median(before)
    above: float = count - usual
    if above <= PULSE_LEAST + PULSE_SPREADS * usual**0.5:
        return 0.0
    alike = sum([other - usual >= ALIKE * above for other in before])
    return above if alike * horizon_s <= USUAL_S else 0.0


def _judged(awaited: Awaited, came: float, regular: Estimate | None, at: float) -> Estimate:
    """The share that came of what was awaited, with one more batch's."""
    regular = regular or Estimate(1.0, TRUSTED_AT_FIRST, at)
    least = min((size for size in awaited.sizes if size > 0.0), default=1.0)
    gain = 1.0 / (regular.weight + 1.0)
    share = regular.mean + gain * (min(1.0, came / least) - regular.mean)
    return Estimate(share, min(regular.weight + 1.0, JUDGED_WEIGHT), at)


def _between(pulses: Mapping[float, float], since: float, until: float, period_s: float) -> float:
    """Messages of the pulses that began between two moments."""
    return sum(pulses.get(since + step * period_s, 0.0) for step in range(max(1, round((until - since) / period_s))))


def _expected(
    pulses: Mapping[float, float], at: float, since: float, period_s: float, awaited: Sequence[Awaited]
) -> Awaited | None:
    """The batch that recurs at that moment, if one does: to the period, or else within some of them."""
    best: Awaited | None = None
    for pulse_at in reversed(pulses):
        interval_s = at - pulse_at
        if interval_s < INTERVAL_LEAST_S:
            continue
        odd = DAY_S % interval_s and interval_s % DAY_S
        repeats = REPEATS_ODD if odd else REPEATS
        seen = min(REPEATS_MAX, floor((at - since) / interval_s))
        if seen < REPEATS:
            break  # all that follow are further away
        if seen < repeats:
            continue
        sizes = _repeats(pulses, at, interval_s, seen=seen, repeats=repeats, period_s=period_s)
        if sizes is not None and (best is None or len(sizes) > len(best.sizes)):
            best = Awaited(at, at + period_s, sizes)
    if best is not None or any(each.at <= at < each.until for each in awaited):
        return best
    return _expected_about(pulses, at, since, period_s)


def _expected_about(pulses: Mapping[float, float], at: float, since: float, period_s: float) -> Awaited | None:
    """The batch that recurs from that moment on, some periods sooner or later each time."""
    until = at + JITTER_PERIODS * period_s
    for pulse_at in reversed(pulses):
        interval_s = at - pulse_at
        if interval_s < INTERVAL_LEAST_S * JITTER_PERIODS or (DAY_S % interval_s and interval_s % DAY_S):
            continue
        seen = min(REPEATS_MAX, floor((at - since) / interval_s))
        if seen < REPEATS_ABOUT:
            break
        sizes = _repeats(
            pulses, at, interval_s, seen=seen, repeats=REPEATS_ABOUT, period_s=period_s, periods=JITTER_PERIODS
        )
        if sizes is not None:
            return Awaited(at, until, sizes)
    return None


def _repeats(
    pulses: Mapping[float, float],
    at: float,
    interval_s: float,
    *,
    seen: int,
    repeats: int,
    period_s: float,
    periods: int = 1,
) -> tuple[float, ...] | None:
    """The sizes of what came at all multiples of an interval before, ascending, absent ones as zero; None of too few.

    Args:
        pulses: all of them.
        at: what the multiples are before.
        interval_s: the interval.
        seen: how many multiples are looked at.
        repeats: the least that must have been there.
        period_s: of the pulses.
        periods: within so many from each multiple on.
    """
    may_miss = seen - max(repeats, ceil(REPEATED * seen))
    sizes = []
    for times in range(1, seen + 1):
        begin_at = at - times * interval_s
        size = pulses.get(begin_at, 0.0)
        for period in range(1, periods):
            size += pulses.get(begin_at + period * period_s, 0.0)
        if size <= 0.0:
            if may_miss <= 0:
                return None  # of most intervals soon: there are many to look at, each minute
            may_miss -= 1
        sizes.append(size)
    return tuple(sorted(sizes))


# --------------------------------------------------------------------------- planned with


type Batch = tuple[float, float, float]  # (begins at the earliest, at the latest, messages)


@dataclass(frozen=True, slots=True)
class Times:
    """What is planned with, in seconds; and the moment."""

    now: float
    wait_s: float
    lead_s: float
    late_s: float  # within how long late work is worked off
    tick_s: float
    unused_s: float  # that a unit stays at least, when it is found not to be needed


def awaited_need(memory: Memory, deadlines: Sequence[Knot], steady_per_s: float, supply: Supply, times: Times) -> int:
    """The capacity that awaited batches ask for now: those that a launch must be ordered for, or that are due.

    Once a batch should have begun, nothing more is launched for what of it is not there; what is there is kept.

    Args:
        memory: what is awaited, and how much of it came of late.
        deadlines: D(t) of what waits.
        steady_per_s: messages that come beside them, a second.
        supply: what is there and on its way.
        times: waits and leads, and now.
    """
    now = times.now
    launch: list[Batch] = []
    keep: list[Batch] = []
    for each in memory.awaited:
        if is_due(each, times.lead_s + times.tick_s, now):
            came = _come(memory, each.at, now)
            launched, kept = worth(each, supply, times, memory.regular)
            if launched > came and each.at > now:
                launch.append((each.at, each.until, launched))
            if (most := max(launched, kept)) > came:
                keep.append((max(each.at, now), each.until, most - came))
    steady = ceil(steady_per_s / supply.rate_per_s - TINY)
    units = _need(launch, deadlines, supply, times) + steady if launch else 0
    if keep and units < supply.total:
        units = max(units, min(floor(supply.total), _need(keep, deadlines, supply, times) + steady))
    return units


def is_due(awaited: Awaited, within_s: float, now: float) -> bool:
    """Whether a batch may still come, and begins within so long."""
    return now < awaited.until and awaited.at - now <= within_s


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


def worth(awaited: Awaited, supply: Supply, times: Times, regular: Estimate | None) -> tuple[float, float]:
    """How many of a batch's messages are worth launching for before they are there, and worth keeping units for.

    A unit that is ready and used saves the boots of those that would be launched in its stead at sight, and costs its
    own; one that is not used is paid for until that is known.
    """
    lasts_s = awaited.until - awaited.at
    median_size = awaited.sizes[len(awaited.sizes) // 2]
    if median_size <= 0.0:
        return 0.0, 0.0
    if times.wait_s <= times.lead_s + times.tick_s:
        return _as_likely_as(LIKELY_ENOUGH, awaited.sizes, regular), 0.0
    spare_s = times.wait_s + lasts_s - times.lead_s - times.tick_s
    ready = supply.launched_for(median_size, times.wait_s + lasts_s)
    idle_s, ahead_s = times.tick_s + lasts_s / 4, max(0.0, awaited.at - times.now)
    saved_s = supply.launched_for(median_size, max(SOONEST_S, spare_s)) / ready * times.lead_s - idle_s
    loss_s = times.tick_s + lasts_s + times.unused_s
    launched = _break_even(saved_s - times.lead_s, loss_s + times.lead_s)
    kept = _break_even(saved_s - ahead_s, loss_s + ahead_s)  # what is there already has paid for its boot
    sizes = awaited.sizes
    return _as_likely_as(launched, sizes, regular), _as_likely_as(kept, sizes, regular)


def _break_even(gain_s: float, loss_s: float) -> float:
    """How likely a unit must be to be used, if its use gains so much and its idling loses so much."""
    return loss_s / (loss_s + gain_s) if gain_s > 0.0 else 1.0


def _as_likely_as(chance: float, sizes: Sequence[float], regular: Estimate | None) -> float:
    """The size that the next batch exceeds with that chance; zero where it is not so likely to come at all.

    Of n sizes and one more of their kind, the next exceeds the k-th largest with a chance of k / (n + 1).
    """
    if regular is not None and regular.mean < chance:
        return 0.0
    rank = ceil(chance * (len(sizes) + 1) - 1e-9)
    return sizes[-rank] if rank <= len(sizes) else 0.0


def _come(memory: Memory, since: float, now: float) -> float:
    """Messages that ticks saw come since a moment."""
    if since >= now:
        return 0.0
    came = 0.0
    for seen in reversed(memory.sightings):
        if seen.at <= since:
            break
        came += seen.arrived
    return came
