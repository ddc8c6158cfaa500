"""What the counts that ticks see say of arrivals and of the service rate at once: a Kalman filter of three figures.

    there     messages waiting or in flight
    arriving  messages a second that arrive
    rate      messages a second that one busy unit completes

Between two ticks `there` is expected to change by arriving x seconds - rate x busy unit-seconds. What it changes by
otherwise is split between the three by their variances, so that the figure that is known least learns most: a rate that
is a guess learns from a burst that rises by less once units work, and a known rate makes a surprise an arrival.

Arrivals may jump, and rates hardly do. So a surprise beyond chance is one of arrivals: a burst is seen at once. What
has jumped may end as soon, and units that complete more would look the same. So arrivals are known less from then on.

The filter goes on from the last metrics by the ticks since, until metrics say enough (`service_rate`). Where none come
it is all that is known, and keeps what it has learned. Until they should have come, the counts only rule rates out:
those above what is likely by the filter, and above what so little change of the counts allows.

Source: R. E. Kalman, A New Approach to Linear Filtering and Prediction Problems, 1960. The variance of a rate is that
of a Gamma of so many messages: rate² / messages.
"""

from itertools import pairwise
from math import floor, inf, sqrt

from sluice.model.frozen import replace
from sluice.model.planning import TAKEN_WITHIN_S, CountState, History, QueueSample
from sluice.model.timing import Timing
from sluice.planning.learning.at_work import at_work, is_emptied
from sluice.planning.learning.significance import (
    CLEAR,
    COUNT_ERROR,
    KNOWN_WELL,
    LIKELY,
    RECENT,
    REMEMBERED_S,
    TWICE,
)

DEFAULT_WEIGHT = 0.5  # messages that the default rate counts for: the user did not set how long they take


def follow(
    state: CountState | None,
    samples: tuple[QueueSample, ...],
    arrivals: History,
    *,
    rate: tuple[float, float],
    places: int,
    timing: Timing,
    since_at: float,
) -> CountState | None:
    """What the counts say with the newest ones.

    Args:
        state: what they said before; None to begin with what metrics say.
        samples: of the last ticks, ascending.
        arrivals: messages sent per period, by the metric.
        rate: by metrics and hint, and the messages that it is known by.
        places: messages that one unit works on at once.
        timing: between samples too far apart anything may have happened.
        since_at: end of the last period that metrics tell of.
    """
    if not samples or (state is not None and state.at >= samples[-1].at):
        return state
    first = len(samples) - 1
    while first > 0 and samples[first].at > (since_at if state is None else state.at):
        first -= 1
    if state is None:
        state = begin(samples[first], rate, _arriving(arrivals, samples[first].at))
    for before, after in pairwise(samples[first:]):
        if after.at - before.at > timing.blind_s:
            kept = state.per_s, messages_known(state)
            state = begin(after, kept, (state.arriving_per_s, state.arriving_per_s**2, state.drift))
        else:
            state = step(state, before, after, places, timing.metric_period_s)
    newest = samples[-1]
    busy_since = newest.at if state.busy_since is None and at_work(newest) > 0.0 else state.busy_since
    return replace(state, busy_since=busy_since, most_per_s=_most_per_s(samples, places, rate[0], timing))


def _most_per_s(samples: tuple[QueueSample, ...], places: int, believed_per_s: float, timing: Timing) -> float | None:
    """Messages a second that one unit can complete at most, by how little the counts change while messages wait.

    Messages waiting and in flight change by one with each that arrives or is completed, so between ticks by the square
    root of their number at least: the sum of the squared changes is no less than the number completed. And a message
    takes at most twice what it has taken so far.
    """
    moved = busy_s = watched_s = 0.0
    for after, before in zip(reversed(samples), reversed(samples[:-1]), strict=False):
        gap_s = after.at - before.at
        saturated = before.visible > 0 < after.visible and before.in_flight > 0 < after.in_flight
        if gap_s > timing.blind_s or watched_s >= timing.metric_delay_s or not saturated:
            break
        change = after.visible + after.in_flight - before.visible - before.in_flight
        moved += change * change
        watched_s += gap_s
        busy_s += gap_s * min(before.working, (before.in_flight + after.in_flight) / 2 / places)
    if busy_s < TAKEN_WITHIN_S:
        return None
    return max((moved + 1.0) / busy_s, places / (places / believed_per_s + TWICE * watched_s))


def _arriving(arrivals: History, at: float) -> tuple[float, float, float]:
    """Messages a second that arrived in the last periods up to a moment, the variance of that, and how it grows.

    It grows by as much as periods of the last hour differed from those before them beyond chance.
    """
    period_s = arrivals.period_s
    last = max(0, min(len(arrivals.counts), floor((at - arrivals.start_at) / period_s + 0.5)))
    hour = arrivals.counts[max(0, last - round(REMEMBERED_S / period_s)) : last]
    if not hour:
        return 0.0, 0.0, 0.0
    recent = hour[-RECENT:]
    mean = sum(recent) / len(recent)
    changes = sum((after - before) ** 2 for before, after in pairwise(hour)) / len(hour)
    drift = max(0.0, changes - 2.0 * sum(hour) / len(hour))
    return mean / period_s, (mean / len(recent) + drift) / period_s**2, drift / period_s**3


def begin(sample: QueueSample, rate: tuple[float, float], arriving: tuple[float, float, float]) -> CountState:
    """What is known at a tick before counts say more.

    Args:
        sample: of the tick.
        rate: messages a second that one unit completes, and the messages that it is known by;
            infinitely many where counts teach it nothing.
        arriving: messages a second, the variance of that, and by how much it grows each second.
    """
    there = sample.visible + at_work(sample)
    per_s, messages = rate
    return CountState(
        at=sample.at,
        there=there,
        arriving_per_s=arriving[0],
        per_s=per_s,
        drift=arriving[2],
        there_var=_count_var(there),
        arriving_var=arriving[1],
        per_var=0.0 if messages == inf else per_s * per_s / min(messages, KNOWN_WELL),
    )


def step(state: CountState, before: QueueSample, after: QueueSample, places: int, period_s: float) -> CountState:
    """What is known at the next tick.

    Args:
        state: at the tick before.
        before: the sample of the tick before.
        after: the sample of the next tick.
        places: messages that one unit works on at once.
        period_s: of a metric, in seconds: arrivals that jumped may change by half of that within one.
    """
    seconds = after.at - before.at
    units = _busy(before, after, places)
    busy_s = units * seconds
    arriving, per_s = state.arriving_per_s, state.per_s
    came, done = arriving * seconds, per_s * busy_s
    chance = came + done
    if min(before.visible, after.visible) <= 0.0:
        chance += (per_s * seconds) ** 2 * units  # where nothing waits, those in flight are a sample of who is busy
    # The covariances a tick later.
    by_there = state.there_var + seconds * state.there_arriving - busy_s * state.there_per
    by_arriving = state.there_arriving + seconds * state.arriving_var - busy_s * state.arriving_per
    by_per = state.there_per + seconds * state.arriving_per - busy_s * state.per_var
    arriving_var = state.arriving_var + state.drift * seconds
    there_var = by_there + seconds * by_arriving - busy_s * by_per + chance
    seen = after.visible + at_work(after)
    surprise = seen - (state.there + came - done)
    error = there_var + _count_var(seen)
    if error <= 0.0:
        return replace(state, at=after.at)  # nothing was there, and nothing was expected
    drift = state.drift
    if abs(surprise) > LIKELY * sqrt(error):  # arrivals jumped
        jump = surprise / seconds
        arriving_var += jump * jump
        drift = max(drift, CLEAR * jump * jump / period_s)  # and may fall or rise again within minutes
        by_arriving += jump * jump * seconds
        by_chance = surprise * surprise + abs(surprise)  # so many more or fewer have come, by a Poisson process
        there_var += by_chance
        error += by_chance
    gain, gain_arriving, gain_per = there_var / error, by_arriving / error, by_per / error
    # As if nothing was completed: no surprise says more of a rate than that.
    least = per_s / (1.0 + busy_s * per_s / max(DEFAULT_WEIGHT, messages_known(state)))
    new_per_s = max(least, per_s + gain_per * surprise)
    per_var = 0.0  # a rate that is not to be learned stays as it is
    if state.per_var > 0.0:
        per_var = max(state.per_var - gain_per * by_per, new_per_s * new_per_s / KNOWN_WELL)
    return replace(
        state,
        at=after.at,
        there=max(0.0, state.there + came - done + gain * surprise),
        arriving_per_s=max(0.0, arriving + gain_arriving * surprise),
        per_s=new_per_s,
        drift=drift,
        there_var=there_var * (1.0 - gain),
        there_arriving=by_arriving * (1.0 - gain),
        there_per=by_per * (1.0 - gain),
        arriving_var=arriving_var - gain_arriving * by_arriving,
        arriving_per=state.arriving_per - gain_arriving * by_per,
        per_var=per_var,
    )


def is_overdue(state: CountState, timing: Timing) -> bool:
    """Whether units have been at work for so long that metrics should have said so."""
    return state.busy_since is not None and state.at - state.busy_since > timing.settled_s


def messages_known(state: CountState) -> float:
    """The completed messages that a rate as well known is worth."""
    return state.per_s * state.per_s / state.per_var if state.per_var > 0.0 else inf


def _busy(before: QueueSample, after: QueueSample, places: int) -> float:
    """Units at work between two ticks: those with messages in flight, no more than there are."""
    working = (before.working + after.working) / 2
    if is_emptied(before, after, places):
        return working
    return min((at_work(before) + at_work(after)) / 2 / places, working)


def _count_var(count: float) -> float:
    """The variance of a count that is approximate."""
    return (COUNT_ERROR * count) ** 2
