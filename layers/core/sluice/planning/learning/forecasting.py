"""What will arrive: several forecasts of the arrivals, each judged by what came, and the best of them is used.

Theory of operation
-------------------
Arrivals are kept as counts per period, up to a day of them. Whenever a period is new, each forecaster predicts the
messages a second over the horizon that plans use:

    level   what came lately: a mean weighted by exp(-age / LEVEL_MEMORY_S)
    slow    the same with `SLOW_MEMORY_S`: steadier
    steady  the same with `RECENT_S`: for traffic whose changes are chance
    trend   level + slope (memory of the level + half the horizon); slope = (level - slow) / difference of memories
    hour    what came in the same minutes of the last hours: batches that recur

When the horizon has passed, each is compared with what came. The forecaster with the least error is used, and its error
is planned with. One that is not clearly better than the level is not used. The mean is taken of the square roots of
errors, so that no burst is expected for hours after a single one.

Between new counts, ticks see arrivals themselves: the level follows those, and the chosen forecaster moves by as much;
a slower forecaster follows with its own memory, unless the level is above it by more than `MOST_ERRORS`. Neither is
believed against what the last two periods prove (`_proven`): the level needs minutes to follow a step.
Every period's length is the series' own (`Series.period_s`): nothing here assumes a minute.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cache
from math import ceil, exp, inf, sqrt
from operator import attrgetter, mul

from sluice.model.frozen import dataclass, replace
from sluice.model.observed import Series
from sluice.model.planning import ArrivalMemory, Estimate, Forecast, History, QueueSample
from sluice.model.timing import Timing
from sluice.planning.learning.significance import (
    ALIKE_S,
    COUNT_ERROR,
    FOUNDED,
    KNOWN_WELL,
    LIKELY,
    MOST_ERRORS,
    RECENT,
    RECENT_S,
    REMEMBERED_S,
    TWICE,
)

HISTORY_PERIODS = 1440  # a day of minutes: its busiest minute tells what minimum size would be enough
REVISED_PERIODS = 3  # the newest counts of a series may still grow after they are first read

LEVEL_MEMORY_S = 150.0  # long against the noise of minutes, short against a ramp
SLOW_MEMORY_S = 450.0  # three times as steady; its distance from the level gives the trend
LEVEL_PERIODS = 24  # older periods have no weight left in the level
STEADY_PERIODS = 120  # older periods have no weight left in the steady mean
HOUR_S = 3600.0
DAY_S = 86_400.0
WEEK_S = 604_800.0

_AT = attrgetter("at")

# A queue that gets `KNOWN_WELL` messages within twice the memory of its level is known by its level.
USUAL_LEAST_S = TWICE * LEVEL_MEMORY_S

ROOTS = 1.18  # mean absolute error of a normal distribution, over the square of its mean root


def forecast(
    history: History,
    samples: tuple[QueueSample, ...],
    chosen: tuple[str, float, float] | None,
    timing: Timing,
    now: float,
) -> Forecast:
    """Arrivals expected from now on, by counts per period as far as they go and by samples since.

    Args:
        history: counts per period.
        samples: of the last ticks, ascending.
        chosen: the forecaster in use, what it adds to the level and its error, both in messages a second.
        timing: how late the metrics are.
        now: epoch seconds.
    """
    end_at = max(history.end_at if history.counts else 0.0, samples[0].at if samples else now)
    live, live_s = 0.0, max(0.0, now - end_at)
    last_at = history.start_at
    first = max(1, bisect_right(samples, end_at, key=_AT))
    for sample in samples[first:]:
        arrived = sample.arrived
        if arrived > 0.0:
            live += arrived
            if arrived >= 1.0 and last_at < sample.at:
                last_at = sample.at
    if first < len(samples) and samples[first - 1].at < end_at:
        sample, before_at = samples[first], samples[first - 1].at
        live -= sample.arrived * (end_at - before_at) / (sample.at - before_at)  # arrived before the history's end
    quiet_s = now - last_at
    if history.counts:
        # Ticks may miss what arrives and is done between them: the metric shows a quiet queue, once it must be there.
        late_s = timing.metric_delay_s + timing.unread_s + history.period_s
        quiet_s = min(quiet_s, _quiet_periods(history) * history.period_s + max(0.0, now - history.end_at - late_s))
    level = _level(history, LEVEL_MEMORY_S, live, live_s)
    name, above_per_s, error_per_s = chosen or ("level", 0.0, 0.0)
    age_s = max(0.0, now - history.end_at) if history.counts else None
    expected_per_s = level
    if name in SLOWER:
        slower = _level(history, SLOWER[name], live, live_s)
        expected_per_s = slower if level <= slower + MOST_ERRORS * error_per_s else level
        above_per_s = 0.0
    ahead_per_s = max(0.0, _proven(expected_per_s, error_per_s, samples, timing) + above_per_s)
    return Forecast(level, ahead_per_s, error_per_s, name, age_s, quiet_s)


def _proven(per_s: float, error_per_s: float, samples: tuple[QueueSample, ...], timing: Timing) -> float:
    """What is expected, within what both of the last two periods prove: a level follows a step too late.

    A single period may be a burst. Where both have more, or both less, than the forecast's error and chance explain,
    their mean less its own chance is the least, or the mean and its chance the most, that is expected.

    Args:
        per_s: messages a second expected.
        error_per_s: mean absolute error of that.
        samples: of the last ticks, ascending.
        timing: a period is the metrics'.
    """
    periods = _periods(samples, timing, 2)
    if len(periods) < 2:
        return per_s
    most_per_s, least_per_s = per_s + MOST_ERRORS * error_per_s, max(0.0, per_s - MOST_ERRORS * error_per_s)
    rises = falls = True
    total = seconds = 0.0
    for arrived, took_s in periods:
        most, least = most_per_s * took_s, least_per_s * took_s
        rises = rises and arrived - most > LIKELY * sqrt(max(1.0, most))
        falls = falls and least - arrived > LIKELY * sqrt(max(1.0, least))
        total += arrived
        seconds += took_s
    chance = LIKELY * sqrt(total + 1.0)
    if rises:
        return max(per_s, (total - chance) / seconds)
    return min(per_s, (total + chance) / seconds) if falls else per_s


def lately(samples: tuple[QueueSample, ...], timing: Timing) -> float:
    """Messages a second that may be arriving now: what ticks saw in the last minute, and two standard deviations more.

    Capacity is not kept for a burst that ended longer ago than a metric's period. Infinite where no tick was before.
    """
    for arrived, took_s in _periods(samples, timing, 1):
        return (arrived + 2.0 * sqrt(arrived + 1.0)) / took_s
    return inf


def _periods(samples: tuple[QueueSample, ...], timing: Timing, most: int) -> list[tuple[float, float]]:
    """What ticks saw arrive in each of the last periods of the metrics, and its seconds, the newest first."""
    found: list[tuple[float, float]] = []
    arrived, until = 0.0, samples[-1].at if samples else 0.0
    for sample in reversed(samples):
        took_s = until - sample.at
        if took_s >= timing.metric_period_s:
            found.append((arrived, took_s))
            if len(found) == most:
                break
            arrived, until = 0.0, sample.at
        arrived += sample.arrived
    return found


def usual(history: History) -> float:
    """Messages a second over as long as it took `KNOWN_WELL` to arrive: the level of minutes may be chance.

    A period counts no more than that number: a batch that is over is not what is usual. What came more than three hours
    ago, such as at night, is no guide to now.
    """
    period_s, total, seconds = history.period_s, 0.0, 0.0
    for count in reversed(history.counts):
        total += min(count, KNOWN_WELL)
        seconds += period_s
        if (total >= KNOWN_WELL and seconds >= USUAL_LEAST_S) or seconds >= RECENT * HOUR_S:
            break
    return total / seconds if seconds > 0.0 else 0.0


def learn_arrivals(
    memory: ArrivalMemory, sent: Series | None, horizon_s: float, now: float
) -> tuple[ArrivalMemory, bool]:
    """What is known of arrivals with the sent series' new periods, and whether any period is new.

    Args:
        memory: what was known before.
        sent: counts per period, ascending; the newest may still grow.
        horizon_s: how far ahead plans look, in seconds: forecasts are judged over it.
        now: epoch seconds.
    """
    if sent is None or not sent.points:
        return memory, False
    history = memory.history if memory.history.period_s == sent.period_s else History(sent.period_s)
    merged = merge(history, sent, now)
    if merged is history:
        return memory, False
    if merged.end_at <= history.end_at and history.counts:
        return replace(memory, history=merged), False  # revised counts only
    return _judge(memory, merged, min(ALIKE_S, horizon_s)), True


def blend(
    estimate: Estimate | None, sample: float, at: float, weight_max: float, first_deviation: float = 0.0
) -> Estimate:
    """A running mean that remembers about `weight_max` samples, with its mean absolute deviation."""
    if estimate is None:
        return Estimate(sample, 1.0, at, first_deviation * sample)
    gain = 1.0 / (estimate.weight + 1.0)
    off = sample - estimate.mean
    deviation = estimate.deviation + gain * (abs(off) - estimate.deviation)
    return Estimate(estimate.mean + gain * off, min(estimate.weight + 1.0, weight_max), at, deviation)


# --------------------------------------------------------------------------- counts


def merge(history: History, series: Series, now: float, periods_max: int = HISTORY_PERIODS) -> History:
    """The history with the series' whole periods in it, the newest of them; the same object where nothing is new."""
    period_s, points = series.period_s, series.points
    usable = len(points)
    while usable and points[usable - 1][0] + period_s > now:
        usable -= 1
    if not usable:
        return history
    if not history.counts or points[usable - 1][0] - history.end_at > HISTORY_PERIODS * period_s:
        history = History(period_s, points[0][0])
    settled_at = max(history.end_at - REVISED_PERIODS * period_s, history.start_at)
    first = usable
    while first and points[first - 1][0] >= settled_at:
        first -= 1
    counts: list[float] | None = None
    for start_at, count in points[first:usable]:
        index = round((start_at - history.start_at) / period_s)
        if counts is None:
            if index < len(history.counts) and history.counts[index] == count:
                continue
            counts = list(history.counts)
        if index < len(counts):
            counts[index] = count
        else:
            counts.extend([0.0] * (index - len(counts)))  # SQS leaves out the periods of an inactive queue
            counts.append(count)
    if counts is None:
        return history
    surplus = max(0, len(counts) - periods_max)
    return History(period_s, history.start_at + surplus * period_s, tuple(counts[surplus:]))


def _mean_per_s(history: History, since: float, until: float) -> float:
    """Messages a second between two moments within the history, by the periods that begin there."""
    first = ceil((since - history.start_at) / history.period_s - 1e-6)
    last = ceil((until - history.start_at) / history.period_s - 1e-6)
    return sum(history.counts[max(0, first) : last]) / max(1, last - first) / history.period_s


def _quiet_periods(history: History) -> int:
    """How many of the newest periods had no arrival, up to `LEVEL_PERIODS`."""
    for quiet, count in enumerate(history.counts[: -LEVEL_PERIODS - 1 : -1]):
        if count > 0:
            return quiet
    return LEVEL_PERIODS


# --------------------------------------------------------------------------- forecasters


@dataclass(frozen=True, slots=True)
class _View:
    """What a forecaster predicts from: the history to its end, and the horizon from there."""

    history: History
    horizon_s: float
    level: float  # messages a second
    slow: float

    def known(self, back_s: float) -> bool:
        """Whether the history reaches so far back."""
        return self.history.end_at - back_s >= self.history.start_at

    def mean(self, since_s: float, until_s: float) -> float:
        """Messages a second between two moments, in seconds from the history's end: both negative or zero."""
        return _mean_per_s(self.history, self.history.end_at + since_s, self.history.end_at + until_s)


def _by_level(view: _View) -> float:
    return view.level


def _by_slow(view: _View) -> float:
    return view.slow


def _by_steady(view: _View) -> float:
    return _level(view.history, RECENT_S)


def _by_trend(view: _View) -> float:
    """Levels lag a ramp by their memory, so the two of them give its slope."""
    slope_per_s2 = (view.level - view.slow) / (SLOW_MEMORY_S - LEVEL_MEMORY_S)
    return max(0.0, view.level + slope_per_s2 * (LEVEL_MEMORY_S + view.horizon_s / 2))


def _by_hour(view: _View) -> float | None:
    """One hour's batch may be missing; three hours have it twice at least."""
    hours = [hour for hour in range(1, RECENT + 1) if view.known(hour * HOUR_S)]
    if not hours:
        return None
    return sum(view.mean(-hour * HOUR_S, -hour * HOUR_S + view.horizon_s) for hour in hours) / len(hours)


FORECASTERS: Mapping[str, Callable[[_View], float | None]] = {
    "level": _by_level,
    "slow": _by_slow,
    "steady": _by_steady,
    "trend": _by_trend,
    "hour": _by_hour,
}
SLOWER: Mapping[str, float] = {"slow": SLOW_MEMORY_S, "steady": RECENT_S}


def _judge(memory: ArrivalMemory, history: History, horizon_s: float) -> ArrivalMemory:
    """Compare earlier forecasts with what came, note what each forecaster predicts now, and choose one."""
    periods = max(1, ceil(horizon_s / history.period_s))
    errors = {name: error for name, error in memory.errors if name in FORECASTERS}  # an earlier version had others
    waiting = []
    for made_at, predicted in memory.forecasts:
        first = round((made_at - history.start_at) / history.period_s)
        if first + periods > len(history.counts):
            waiting.append((made_at, predicted))
        elif first >= 0:
            came_per_s = sum(history.counts[first : first + periods]) / (periods * history.period_s)
            for name, per_s in predicted:
                root = sqrt(abs(came_per_s - per_s))
                errors[name] = blend(errors.get(name), root, history.end_at, REMEMBERED_S / history.period_s)
    level, slow = _level(history, LEVEL_MEMORY_S), _level(history, SLOW_MEMORY_S)
    view = _View(history, periods * history.period_s, level, slow)
    predictions = {name: rate_per_s for name, of in FORECASTERS.items() if (rate_per_s := of(view)) is not None}
    by_name = {name: ROOTS * error.mean * error.mean for name, error in errors.items()}
    best, error_per_s = "level", by_name.get("level", 0.0)
    for name, error in errors.items():
        allowed = (1.0 - COUNT_ERROR) * error_per_s if best == "level" else error_per_s  # each change costs launches
        if name in predictions and error.weight >= FOUNDED and by_name[name] < allowed:
            best, error_per_s = name, by_name[name]
    return ArrivalMemory(
        history=history,
        forecasts=(*waiting[-2 * periods :], (history.end_at, tuple(predictions.items()))),
        errors=tuple(errors.items()),
        chosen=(best, predictions[best] - level, error_per_s),
    )


def _level(history: History, memory_s: float, live: float = 0.0, live_s: float = 0.0) -> float:
    """Messages a second from the newest counts and `live` messages in the `live_s` seconds since them.

    A mean weighted by exp(-age / memory), the weight of an interval being its integral.
    """
    newest = exp(-live_s / memory_s)
    total = live / live_s * (1.0 - newest) if live_s > 0.0 else 0.0
    fades = _fades(history.period_s, memory_s)
    counts = history.counts[: -len(fades) : -1]
    total += sum(map(mul, counts, fades)) / history.period_s * newest * (1.0 - fades[1])
    weights = 1.0 - newest * fades[len(counts)]
    return total / weights if weights > 0.0 else 0.0


@cache
def _fades(period_s: float, memory_s: float) -> tuple[float, ...]:
    """What is left of a weight after 0, 1, ... periods."""
    known = STEADY_PERIODS if memory_s >= RECENT_S else LEVEL_PERIODS
    return tuple(exp(-period_s * periods / memory_s) for periods in range(known + 1))
