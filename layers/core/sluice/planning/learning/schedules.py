"""When batches recur: every so many minutes, about then, each day of some weekdays, or each week.

Theory of operation
-------------------
A moment is asked about: is it a whole number of some interval after earlier pulses? Two explanations are compared. By
the one, a schedule has pulses at these moments with a probability that nobody knows (any is as likely, Beta(1, 1)); by
the other they are chance, and any period has such a pulse with their density: that of all that are at least half as
large. Of n repeats k came:

    schedule : chance  =  1 / ((n + 1) (n over k))  :  density^k (1 - density)^(n - k)

That is multiplied by the odds before any repeat was seen. The schedule is due in one period of its interval, and began
with one of the repeats (those before the first that came are no absences). Its interval is one of those that the pulses
suggest, if it divides a day or is a number of days, as people choose them; any other is one of all lengths up to it.
So two hourly batches in an otherwise quiet queue are enough; among many bursts it takes four or more. The interval with
the best odds explains the pulses. Where nothing recurs to the minute, some minutes of jitter are allowed for, in which
chance has as many times the density. The sizes of all repeats, absent ones as zero, are the distribution of the next.

People plan daily and weekly batches by their own clock and calendar. Two things follow that no fixed interval shows:

* A daily batch may leave out some days of the week. That the same weekday of the last week tells whether it comes is
  believed as soon as that was right more often than "it comes each day". So a batch of working days is expected on the
  Monday after its first weekend, and on no Saturday after that. Which days are a weekend is learned, since a working
  day in Auckland is partly a Sunday in UTC.
* Where the clocks change by an hour, the batch moves by an hour in UTC. If it does not come at its time, it is expected
  an hour later on the same day. If it came an hour earlier or later, it is expected at the new time from then on.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import comb, floor

from sluice.model.frozen import dataclass
from sluice.model.planning import ExpectedBatch
from sluice.planning.learning.forecasting import DAY_S, WEEK_S
from sluice.planning.learning.significance import RECENT, TWICE

REPEATS_MAX = 12  # a bound on the record: more repeats hardly change the distribution
WEEKDAYS = 7
CLOCK_CHANGE_S = 3600.0  # nearly all countries that change their clocks change them by an hour


@dataclass(frozen=True, slots=True)
class Pulses:
    """The batches there were.

    Args:
        sizes: a period's start, in epoch seconds -> messages above the usual, ascending by time.
        since: from when on a pulse that is not there was none.
        until: up to when.
        period_s: the periods' length.
        least_s: what recurs sooner is no batch.
    """

    sizes: Mapping[float, float]
    since: float
    until: float
    period_s: float
    least_s: float

    def size(self, at: float, periods: int) -> float:
        """The messages of the batches that began within so many periods from a moment on."""
        size = self.sizes.get(at, 0.0)
        for period in range(1, periods):
            size += self.sizes.get(at + period * self.period_s, 0.0)
        return size


def expected(
    pulses: Pulses, at: float, others: Iterable[ExpectedBatch], known: Iterable[float] = ()
) -> ExpectedBatch | None:
    """The batch that recurs at a moment, if one does: to the period, or else within some of them.

    Args:
        pulses: the batches before.
        at: when it may begin, in epoch seconds.
        others: what is expected already.
        known: intervals of earlier batches, in seconds: the last of them may have stayed away.
    """
    best = _expected(pulses, at, 1, known)
    if best is not None or any(each.at <= at < each.until for each in others):
        return best
    about = _expected(pulses, at, RECENT, known)
    if about is None:
        return None
    to_the_period = (_expected(pulses, at + more * pulses.period_s, 1, known) for more in range(1, RECENT))
    return about if not any(to_the_period) else None


def _expected(pulses: Pulses, at: float, periods: int, known: Iterable[float]) -> ExpectedBatch | None:
    """The batch of the interval that explains most; None where chance does, or where by that interval none is due."""
    best, best_odds, ranked = None, 1.0, sorted(pulses.sizes.values())
    by_pulses = [at - each for each in reversed(pulses.sizes)]
    longest_s = (at - pulses.since) / 2
    for interval_s in dict.fromkeys((DAY_S, WEEK_S, *known, *by_pulses)):
        if not max(pulses.least_s, periods * pulses.period_s) <= interval_s <= longest_s:
            continue
        is_usual = DAY_S % interval_s == 0.0 or interval_s % DAY_S == 0.0
        if periods > 1 and not is_usual:
            continue  # so many intervals are a little longer or shorter than the batch's own
        sizes, is_due = _repeats(pulses, at, interval_s, periods)
        seen = len(sizes)
        came = seen - sizes.count(0.0)
        if came < 2:
            continue
        alike = max(came, len(ranked) - bisect_left(ranked, min(filter(None, sizes)) / TWICE))
        density = min(0.5, alike * pulses.period_s / (pulses.until - pulses.since))
        chance = 1.0 - (1.0 - density) ** periods
        odds = 1.0 / ((seen + 1) * comb(seen, came)) / (chance**came * (1.0 - chance) ** (seen - came))
        lengths = len(ranked) if is_usual else max(len(ranked), interval_s / pulses.period_s)
        begins = min(REPEATS_MAX, floor((at - pulses.since) / interval_s))
        odds *= periods * pulses.period_s / interval_s / lengths / begins
        if odds > best_odds:
            best_odds, share = odds, odds / (1.0 + odds)
            until = at + periods * pulses.period_s
            # Twice a day explains what comes once a day, too, and that every other one stays away.
            is_due = is_due and came > TWICE * (seen - came)
            best = ExpectedBatch(at, until, tuple(sorted(sizes)), interval_s, share) if is_due else None
    return best


def _repeats(pulses: Pulses, at: float, interval_s: float, periods: int) -> tuple[list[float], bool]:
    """The sizes of the last repeats, newest first, 0.0 of those that stayed away; and whether another is due."""
    times = [at - each * interval_s for each in range(1, floor((at - pulses.since) / interval_s) + 1)]
    if interval_s % DAY_S == 0.0:
        sizes, is_due = _by_clock(pulses, at, times, periods)
        if interval_s == DAY_S:
            sizes, comes = _by_weekday(_since_first(sizes))
            is_due = is_due and comes
    else:
        sizes, is_due, came = [], True, 0
        for each in times[:REPEATS_MAX]:
            size = pulses.size(each, periods)
            came += size > 0.0
            if 2 * came + 2 < len(sizes):
                return [], False  # of most intervals soon: there are many to compare, each minute
            sizes.append(size)
    if periods > 1 and not any(each in pulses.sizes for each in times):
        return [], False  # it begins at none of these: the moment is not its own
    return _since_first(sizes[:REPEATS_MAX]), is_due


def _since_first(sizes: list[float]) -> list[float]:
    """The sizes, newest first, without those before the first that came: there was no schedule then."""
    while sizes and sizes[-1] <= 0.0:
        sizes = sizes[:-1]
    return sizes


def _by_clock(pulses: Pulses, at: float, times: Sequence[float], periods: int) -> tuple[list[float], bool]:
    """As above, of a batch whose clock may have been changed by an hour.

    An hour beside it may be another batch's time: where a day had both, these are two batches.
    """
    here = [pulses.size(each, periods) for each in times]
    newest = next((index for index, size in enumerate(here) if size), len(here))
    sizes, is_due = here, True
    for change_s in (CLOCK_CHANGE_S, -CLOCK_CHANGE_S):
        beside = [pulses.size(each + change_s, periods) for each in times]
        if any(size and other for size, other in zip(here, beside, strict=True)):
            continue
        sizes = [size or other for size, other in zip(sizes, beside, strict=True)]
        if pulses.size(at + change_s, periods):
            is_due = False  # it came an hour ago
        elif any(beside[:newest]):
            # It has moved away; but if it was due an hour ago and did not come, the clocks may have been changed today.
            was_due, at_usual = at + change_s, [each + change_s for each in times]
            is_due = change_s < 0.0 and was_due + periods * pulses.period_s <= pulses.until
            is_due = is_due and _by_clock(pulses, was_due, at_usual, periods)[1]
    return sizes, is_due


def _by_weekday(sizes: list[float]) -> tuple[list[float], bool]:
    """The sizes of the days on which a daily batch was due, newest first; and whether the next is such a day."""
    weeks = [bool(size) == bool(before) for size, before in zip(sizes, sizes[WEEKDAYS:], strict=False)]
    by_week = (sum(weeks) + 1) / (len(weeks) + 2)
    by_day = (len(sizes) - sizes.count(0.0) + 1) / (len(sizes) + 2)
    if len(sizes) < WEEKDAYS or by_week <= by_day:
        return sizes, True
    due = [size for index, size in enumerate(sizes) if size or any(sizes[index + WEEKDAYS : index + WEEKDAYS + 1])]
    return due, sizes[WEEKDAYS - 1] > 0.0
