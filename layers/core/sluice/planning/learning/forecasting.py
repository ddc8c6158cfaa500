"""What will come: several forecasts of the arrivals, each judged by what came, and the one that was best of late.

Theory of operation
-------------------
Arrivals are kept as counts per period, up to a day of them, and as the mean rate of each quarter of an hour of the
week. Whenever a period is new, each forecaster says how many a second will come over the horizon that plans use:

    level   what came lately, forgetting with `LEVEL_MEMORY_S`
    slow    the same with `SLOW_MEMORY_S`: steadier
    steady  the same with `STEADY_MEMORY_S`: for traffic that only seems to change
    trend   the level, going on as the distance of the two says
    hour    what came in the same minutes of the last hours: batches that recur
    day     the level, changed as yesterday changed at this time
    week    the level, changed as this quarter of an hour usually changes

When the horizon has passed, each is compared with what really came. The one whose error was least is used, and carries
that error; one that goes wrong demotes itself. A forecaster that is not clearly better than the level is not used. Of
errors the roots are averaged, so that after a single burst no other is expected for hours.

Between new counts, ticks see arrivals themselves: the level follows those, and the chosen forecaster with it; of the
slower ones each as slowly as it does anyway, unless the level is beyond what their error explains.
Every period's length is the series' own (`Series.period_s`): nothing here takes a minute for granted.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cache
from math import ceil, exp, inf, sqrt
from operator import attrgetter, mul
from typing import Any

from sluice.model.frozen import dataclass
from sluice.model.observed import Series
from sluice.model.planning import Estimate, History, Memory
from sluice.planning.learning.periodic_batches import learn_batches

HISTORY_PERIODS = 1450  # a day of minutes, and the ten before it: yesterday's change at this time
REVISED_PERIODS = 3  # the newest counts of a series may still grow when they are first read
METRIC_LATE_S = 120.0  # a period's count is there so long after its end, nearly always

LEVEL_MEMORY_S = 150.0  # how long the level remembers: long against noise, short against a ramp
SLOW_MEMORY_S = 450.0
LEVEL_PERIODS = 24  # periods looked at; older ones weigh nothing
STEADY_MEMORY_S = 1800.0
STEADY_PERIODS = 120
LIKELY = 2.0  # mean absolute errors that arrivals are allowed to exceed a forecast by: nineteen times in twenty
HOUR_S = 3600.0
HOURS = 3  # of which the same minutes are averaged
DAY_S = 86_400.0
AROUND_S = 600.0  # yesterday's rate at this time is a mean over so long: minutes are noise
WEEK_S = 604_800.0
SLOT_S = 900.0  # a quarter of an hour
SLOTS = round(WEEK_S / SLOT_S)
SLOT_GAIN = 0.5  # of what was known of a slot, the newest week counts for half
UNKNOWN = -1.0  # a slot of the week that was never seen whole

_AT = attrgetter("at")

USUAL_MESSAGES = 60.0  # what so many came in is usual: by chance an eighth more or less
USUAL_LEAST_S = 300.0  # ... but no less than that; who gets more in it is known by the minute
USUAL_MOST_S = 10_800.0  # ... and no more: a night says little of the day
LATELY_S = 60.0  # a burst that is over is over: what came before is not kept busy with

HORIZON_MAX_S = 900.0  # a level says nothing useful of a time further ahead
ERROR_WEIGHT_MAX = 60.0  # judged forecasts remembered: an hour of minutes
JUDGED_LEAST = 10.0  # forecasts of another forecaster than the level that must have been judged before it is used
CLEARLY = 0.95  # of the level's error: the most that a better forecaster's may be
ROOTS = 1.18  # mean absolute error of a normal distribution, over the square of the mean root


@dataclass(frozen=True, slots=True)
class Forecast:
    """Arrivals expected: `rate_per_s` now, `ahead_per_s` over the horizon, wrong by `error_per_s` on average."""

    rate_per_s: float
    ahead_per_s: float
    error_per_s: float
    by: str = "level"
    age_s: float | None = None  # of the newest metric in it; None without any
    quiet_s: float = 0.0  # since the last message came


def forecast(memory: Memory, now: float) -> Forecast:
    """Arrivals expected from now on, of counts per period as far as they go and of sightings since."""
    history, sightings = memory.arrivals, memory.sightings
    end_at = max(history.end_at if history.counts else 0.0, sightings[0].at if sightings else now)
    live, live_s = 0.0, max(0.0, now - end_at)
    last_at = history.start_at
    first = max(1, bisect_right(sightings, end_at, key=_AT))
    for seen in sightings[first:]:
        arrived = seen.arrived
        if arrived > 0.0:
            live += arrived
            if arrived >= 1.0 and last_at < seen.at:
                last_at = seen.at
    if first < len(sightings) and sightings[first - 1].at < end_at:
        seen, before_at = sightings[first], sightings[first - 1].at
        live -= seen.arrived * (end_at - before_at) / (seen.at - before_at)  # came before
    quiet_s = now - last_at
    if history.counts:
        # Ticks may miss what comes and is done between them: the metric tells of quiet, once it must be there.
        late_s = METRIC_LATE_S + history.period_s
        quiet_s = min(quiet_s, _quiet_periods(history) * history.period_s + max(0.0, now - history.end_at - late_s))
    level = _level(history, LEVEL_MEMORY_S, live, live_s)
    name, above_per_s, error_per_s = memory.outlook or ("level", 0.0, 0.0)
    age_s = max(0.0, now - history.end_at) if history.counts else None
    ahead_per_s = max(0.0, level + above_per_s)
    if name in SLOWER:
        slower = _level(history, SLOWER[name], live, live_s)
        ahead_per_s = slower if level <= slower + LIKELY * error_per_s else level
    return Forecast(level, ahead_per_s, error_per_s, name, age_s, quiet_s)


def lately(memory: Memory) -> float:
    """Messages a second that may be coming now: what ticks saw in the last minute, and two standard deviations more.

    Infinite where they did not look for so long.
    """
    sightings = memory.sightings
    if not sightings:
        return inf
    newest_at, arrived = sightings[-1].at, 0.0
    for seen in reversed(sightings):
        if newest_at - seen.at >= LATELY_S:
            return (arrived + 2.0 * sqrt(arrived + 1.0)) / (newest_at - seen.at)
        arrived += seen.arrived
    return inf


def usual(memory: Memory) -> float:
    """Messages a second over as long as it took a number of them to come: of few a level of minutes is chance.

    A period counts no more than that number: a batch that is over is not what is usual.
    """
    history = memory.arrivals
    period_s, total, seconds = history.period_s, 0.0, 0.0
    for count in reversed(history.counts):
        total += min(count, USUAL_MESSAGES)
        seconds += period_s
        if (total >= USUAL_MESSAGES and seconds >= USUAL_LEAST_S) or seconds >= USUAL_MOST_S:
            break
    return total / seconds if seconds > 0.0 else 0.0


def learn_arrivals(memory: Memory, sent: Series | None, horizon_s: float, now: float) -> dict[str, Any]:
    """What of the memory changes with the sent series' new periods, by field.

    Args:
        memory: what was known before.
        sent: counts per period, ascending; the newest may still grow.
        horizon_s: how far ahead plans look: what forecasts are judged over.
        now: epoch seconds.
    """
    if sent is None or not sent.points:
        return {}
    history = memory.arrivals if memory.arrivals.period_s == sent.period_s else History(sent.period_s)
    merged = merge(history, sent, now)
    if merged is history:
        return {}
    if merged.end_at <= history.end_at and history.counts:
        return {"arrivals": merged}  # revised counts only
    week = _learn_week(memory.week, merged, history.end_at if history.counts else merged.start_at)
    return {
        "arrivals": merged,
        "week": week,
        **_judge(memory, merged, week, min(HORIZON_MAX_S, horizon_s)),
        **learn_batches(memory, merged, horizon_s),
    }


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


def _learn_week(week: tuple[float, ...], history: History, known_at: float) -> tuple[float, ...]:
    """Each slot that ended since `known_at` and was seen whole, averaged into the week."""
    slot_at = known_at - known_at % SLOT_S
    learned: list[float] | None = None
    while slot_at + SLOT_S <= history.end_at:
        if slot_at >= history.start_at:
            per_s = _mean_per_s(history, slot_at, slot_at + SLOT_S)
            learned = learned or list(week or (UNKNOWN,) * SLOTS)
            slot = round(slot_at % WEEK_S / SLOT_S) % SLOTS
            before = learned[slot]
            learned[slot] = round(per_s if before < 0.0 else before + SLOT_GAIN * (per_s - before), 6)
        slot_at += SLOT_S
    return week if learned is None else tuple(learned)


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
    """What a forecaster looks at: the history to its end, and the horizon from there."""

    history: History
    week: tuple[float, ...]
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
    return _level(view.history, STEADY_MEMORY_S)


def _by_trend(view: _View) -> float:
    """Levels lag a ramp by their memory, so the two of them give its slope."""
    slope_per_s2 = (view.level - view.slow) / (SLOW_MEMORY_S - LEVEL_MEMORY_S)
    return max(0.0, view.level + slope_per_s2 * (LEVEL_MEMORY_S + view.horizon_s / 2))


def _by_hour(view: _View) -> float | None:
    hours = [hour for hour in range(1, HOURS + 1) if view.known(hour * HOUR_S)]
    if not hours:
        return None
    return sum(view.mean(-hour * HOUR_S, -hour * HOUR_S + view.horizon_s) for hour in hours) / len(hours)


def _by_day(view: _View) -> float | None:
    if not view.known(DAY_S + AROUND_S):
        return None
    ahead = view.mean(-DAY_S, -DAY_S + max(view.horizon_s, AROUND_S))
    return max(0.0, view.level + ahead - view.mean(-DAY_S - AROUND_S, -DAY_S))


def _by_week(view: _View) -> float | None:
    if not view.week:
        return None
    at = view.history.end_at
    now, ahead = _usual(view.week, at - LEVEL_MEMORY_S), _usual(view.week, at + view.horizon_s / 2)
    if now is None or ahead is None:
        return None
    return max(0.0, view.level + ahead - now)


def _usual(week: tuple[float, ...], at: float) -> float | None:
    """The week's rate at a moment: straight between the middles of its slots."""
    place = (at % WEEK_S) / SLOT_S - 0.5
    before = int(place // 1)
    share = place - before
    low, high = week[before % SLOTS], week[(before + 1) % SLOTS]
    return None if low < 0.0 or high < 0.0 else low + share * (high - low)


FORECASTERS: Mapping[str, Callable[[_View], float | None]] = {
    "level": _by_level,
    "slow": _by_slow,
    "steady": _by_steady,
    "trend": _by_trend,
    "hour": _by_hour,
    "day": _by_day,
    "week": _by_week,
}
NAMES = tuple(FORECASTERS)
SLOWER: Mapping[str, float] = {"slow": SLOW_MEMORY_S, "steady": STEADY_MEMORY_S}


def _judge(memory: Memory, history: History, week: tuple[float, ...], horizon_s: float) -> dict[str, Any]:
    """Compare what was expected earlier with what came; note what is expected now; choose."""
    periods = max(1, ceil(horizon_s / history.period_s))
    errors = dict(memory.errors)
    waiting = []
    for made_at, expected in memory.expected:
        first = round((made_at - history.start_at) / history.period_s)
        if first + periods > len(history.counts):
            waiting.append((made_at, expected))
        elif first >= 0:
            came_per_s = sum(history.counts[first : first + periods]) / (periods * history.period_s)
            for name, per_s in expected:
                root = sqrt(abs(came_per_s - per_s))
                errors[name] = blend(errors.get(name), root, history.end_at, ERROR_WEIGHT_MAX)
    level, slow = _level(history, LEVEL_MEMORY_S), _level(history, SLOW_MEMORY_S)
    view = _View(history, week, periods * history.period_s, level, slow)
    said = {name: told for name, of in FORECASTERS.items() if (told := of(view)) is not None}
    by_name = {name: ROOTS * error.mean * error.mean for name, error in errors.items()}
    best, error_per_s = "level", by_name.get("level", 0.0)
    for name, error in errors.items():
        allowed = CLEARLY * error_per_s if best == "level" else error_per_s
        if name in said and error.weight >= JUDGED_LEAST and by_name[name] < allowed:
            best, error_per_s = name, by_name[name]
    return {
        "expected": (*waiting[-2 * periods :], (history.end_at, tuple(said.items()))),
        "errors": tuple(errors.items()),
        "outlook": (best, said[best] - level, error_per_s),
    }


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
    known = STEADY_PERIODS if memory_s >= STEADY_MEMORY_S else LEVEL_PERIODS
    return tuple(exp(-period_s * periods / memory_s) for periods in range(known + 1))
