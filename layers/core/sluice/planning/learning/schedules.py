"""When batches recur: every so many minutes, about then, each day of some weekdays, or each week.

Theory of operation
-------------------
A moment is asked about: is it a whole multiple of some interval after earlier pulses? For an interval that divides a
day, or is a number of days, three repeats make it likely, for any other five. Where nothing recurs to the minute, some
minutes of jitter are allowed for, with six repeats. The sizes of all repeats, absent ones as zero, are the distribution
of the next.

People plan daily and weekly batches by their own clock and calendar. Two things follow that no fixed interval shows:

* A daily batch may leave out some days of the week. A weekday on which it has never come is not one of its days, once
  that weekday, or that and the one beside it, has been without it twice. So a batch of working days is expected on the
  Monday after its first weekend, and on no Saturday after that. Which days are a weekend is learned, since a working
  day in Auckland is partly a Sunday in UTC.
* Where the clocks change by an hour, the batch moves by an hour in UTC. If it does not come at its time, it is expected
  an hour later on the same day. If it came an hour earlier or later, it is expected at the new time from then on.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor

from sluice.model.frozen import dataclass
from sluice.model.planning import ExpectedBatch
from sluice.planning.learning.forecasting import DAY_S, WEEK_S

REPEATS = 3  # people choose few intervals: three repeats of one are no chance
REPEATS_ODD = 5  # there are so many other intervals that some fit by chance
REPEATS_ABOUT = 6  # three minutes are hit by chance more often than one
REPEATS_MAX = 12  # more repeats hardly change the distribution
REPEATED = 0.7  # a batch may stay away three times in ten
INTERVAL_LEAST_S = 300.0  # the level of arrivals shows what comes more often than every five minutes
JITTER_PERIODS = 3  # a batch that does not come to the minute comes within three
WEEKDAYS = 7
CLOCK_CHANGE_S = 3600.0  # nearly all countries that change their clocks change them by an hour
ABSENCES = 2  # one may be an outage; two on one weekday, or on two weekdays in a row, are the calendar


@dataclass(frozen=True, slots=True)
class Pulses:
    """The batches there were.

    Args:
        sizes: a period's start, in epoch seconds -> messages above the usual, ascending by time.
        since: from when on a pulse that is not there was none.
        until: up to when.
        period_s: the periods' length.
    """

    sizes: Mapping[float, float]
    since: float
    until: float
    period_s: float


@dataclass(frozen=True, slots=True)
class Precision:
    """How exactly a batch keeps its time.

    Args:
        periods: it comes within so many from its earliest time on.
        repeats: the least that must have been there.
    """

    periods: int
    repeats: int


TO_THE_PERIOD = Precision(1, REPEATS)
TO_THE_PERIOD_ODD = Precision(1, REPEATS_ODD)
ABOUT = Precision(JITTER_PERIODS, REPEATS_ABOUT)


def expected(pulses: Pulses, at: float, others: Iterable[ExpectedBatch]) -> ExpectedBatch | None:
    """The batch that recurs at a moment, if one does: to the period, or else within some of them.

    Args:
        pulses: the batches before.
        at: when it may begin, in epoch seconds.
        others: what is expected already.
    """
    best = _most((_by_interval(pulses, at, TO_THE_PERIOD), _by_calendar(pulses, at, TO_THE_PERIOD)))
    if best is not None or any(each.at <= at < each.until for each in others):
        return best
    return _most((_by_interval(pulses, at, ABOUT), _by_calendar(pulses, at, ABOUT)))


def _most(found: Iterable[ExpectedBatch | None]) -> ExpectedBatch | None:
    """The batch with most repeats, the first of several."""
    return max((each for each in found if each is not None), key=lambda each: len(each.sizes), default=None)


def _may_miss(seen: int, needed: int) -> int:
    """How many of so many repeats may have stayed away; below zero where these are too few."""
    return seen - max(needed, ceil(REPEATED * seen))


def _size(pulses: Pulses, at: float, periods: int) -> float:
    """The messages of the batches that began within so many periods from a moment on."""
    size = pulses.sizes.get(at, 0.0)
    for period in range(1, periods):
        size += pulses.sizes.get(at + period * pulses.period_s, 0.0)
    return size


# --------------------------------------------------------------------------- by intervals of less than a day


def _by_interval(pulses: Pulses, at: float, precision: Precision) -> ExpectedBatch | None:
    """The batch of that moment by the interval that has most repeats; about the moment, by the shortest interval."""
    best: ExpectedBatch | None = None
    for pulse_at in reversed(pulses.sizes):
        interval_s = at - pulse_at
        if interval_s < INTERVAL_LEAST_S * precision.periods or interval_s % DAY_S == 0.0:
            continue
        seen = min(REPEATS_MAX, floor((at - pulses.since) / interval_s))
        if seen < precision.repeats:
            break  # all that follow are further away
        asked = precision
        if DAY_S % interval_s:
            if precision is ABOUT or seen < REPEATS_ODD:
                continue
            asked = TO_THE_PERIOD_ODD
        sizes = _repeats(pulses, at, interval_s, seen, asked)
        if sizes is not None and (best is None or len(sizes) > len(best.sizes)):
            best = ExpectedBatch(at, at + precision.periods * pulses.period_s, sizes, interval_s)
            if precision is ABOUT:
                break
    return best


def _repeats(pulses: Pulses, at: float, interval_s: float, seen: int, precision: Precision) -> tuple[float, ...] | None:
    """The sizes at so many multiples of an interval before, ascending, absent ones as zero; None of too few."""
    may_miss = _may_miss(seen, precision.repeats)
    sizes = []
    for times in range(1, seen + 1):
        size = _size(pulses, at - times * interval_s, precision.periods)
        if size <= 0.0:
            if may_miss <= 0:
                return None  # of most intervals soon: there are many to compare, each minute
            may_miss -= 1
        sizes.append(size)
    return tuple(sorted(sizes))


# --------------------------------------------------------------------------- by days


def _by_calendar(pulses: Pulses, at: float, precision: Precision) -> ExpectedBatch | None:
    """The batch of that moment by the day, or else by the number of days that has most repeats."""
    until = at + precision.periods * pulses.period_s
    found: list[ExpectedBatch] = []
    for interval_s in _numbers_of_days(pulses, at):
        sizes = _days_before(pulses, at, interval_s, precision)
        if sizes:
            found.append(ExpectedBatch(at, until, tuple(sorted(sizes)), interval_s))
        if sizes is not None and interval_s == DAY_S:
            break  # by what comes on working days, every fourth day has enough of them as well
    return _most(found)


def _numbers_of_days(pulses: Pulses, at: float) -> list[float]:
    """The intervals of whole days that are worth asking about: one, seven, and from each pulse of that time of day."""
    longest_s = (at - pulses.since) / REPEATS
    others = (at - each for each in reversed(pulses.sizes) if (at - each) % DAY_S == 0.0)
    return [each for each in dict.fromkeys((DAY_S, WEEK_S, *others)) if 0.0 < each <= longest_s]


def _days_before(pulses: Pulses, at: float, interval_s: float, precision: Precision) -> Sequence[float] | None:
    """The sizes of the last repeats, newest first, 0.0 of those that stayed away.

    Empty where the batch recurs and is not due at that moment; None where none recurs.
    """
    times = _times(pulses, at, interval_s)
    moved_at = _moved_away_at(pulses, at, times, precision)
    if moved_at is not None:
        return None if _at_clock(pulses, at, times[moved_at:], 0.0, precision) is None else ()
    clocks = (0.0, CLOCK_CHANGE_S, -CLOCK_CHANGE_S)
    recurring = [sizes for each in clocks if (sizes := _at_clock(pulses, at, times, each, precision)) is not None]
    if recurring:
        return max(recurring, key=len)
    usual_at = at - CLOCK_CHANGE_S
    is_known = usual_at + precision.periods * pulses.period_s <= pulses.until
    if is_known and not _size(pulses, usual_at, precision.periods):
        # It did not come at its time: the clocks may have been changed, and it comes an hour later.
        times = _times(pulses, usual_at, interval_s)
        if _moved_away_at(pulses, usual_at, times, precision) is None:
            return _at_clock(pulses, usual_at, times, 0.0, precision) or None
    return None


def _at_clock(
    pulses: Pulses, at: float, times: Sequence[float], moved_s: float, precision: Precision
) -> Sequence[float] | None:
    """As above, of a batch whose clock was changed by so many seconds some repeats ago, or was not.

    Args:
        pulses: the batches before.
        at: when it may begin.
        times: of its repeats, newest first.
        moved_s: by how much its clock was changed.
        precision: how exactly it keeps its time.
    """
    sizes = [_size(pulses, each, precision.periods) for each in times]
    if not any(each in pulses.sizes for each in times):
        return None  # it begins at none of these: the moment is not its own
    came = sizes
    if moved_s:
        came = [
            here or _size(pulses, each - moved_s, precision.periods) for each, here in zip(times, sizes, strict=True)
        ]
    off = _weekdays_off(times, came)
    due = [index for index, each in enumerate(times) if _weekday(each) not in off][:REPEATS_MAX]
    if not due or (moved_s and not sizes[due[0]]):
        return None
    repeated = [came[index] for index in due]
    if repeated.count(0.0) > _may_miss(len(repeated), precision.repeats):
        return None
    return () if _weekday(at) in off else repeated


def _moved_away_at(pulses: Pulses, at: float, times: Sequence[float], precision: Precision) -> int | None:
    """The first repeat before a batch moved: it has come an hour beside its time ever since, and never before."""
    last = next((index for index, each in enumerate(times) if _size(pulses, each, precision.periods)), None)
    if last is None:
        return None
    for change_s in (CLOCK_CHANGE_S, -CLOCK_CHANGE_S):
        beside = [_size(pulses, each + change_s, precision.periods) > 0.0 for each in times]
        today = _size(pulses, at + change_s, precision.periods) > 0.0
        if (today or any(beside[:last])) and not any(beside[last:]):
            return last
    return None


def _weekdays_off(times: Sequence[float], came: Sequence[float]) -> frozenset[int]:
    """The weekdays on which a daily batch does not come, as `_weekday` numbers them; none of a batch of each week."""
    known: list[list[float]] = [[] for _ in range(WEEKDAYS)]
    for at, size in zip(times, came, strict=True):
        known[_weekday(at)].append(size)
    absences = [0 if any(sizes) else len(sizes) for sizes in known]
    return frozenset(
        day
        for day, absent in enumerate(absences)
        if absent and absent + max(absences[day - 1], absences[(day + 1) % WEEKDAYS]) >= ABSENCES
    )


def _times(pulses: Pulses, at: float, interval_s: float) -> list[float]:
    """The moments whole intervals before one, newest first, as far back as is known."""
    return [at - times * interval_s for times in range(1, floor((at - pulses.since) / interval_s) + 1)]


def _weekday(at: float) -> int:
    return floor(at / DAY_S) % WEEKDAYS
