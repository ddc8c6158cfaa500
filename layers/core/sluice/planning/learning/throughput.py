"""Whether more units complete more: what was completed with how many units, while messages waited for all of them.

Units may share something that completes only so much: a database, an API, a lock. Each is then slower the more there
are, and a rate by unit asks for more and more of them. So the planner remembers, for an hour, what different numbers of
units completed. Where twice as many units completed hardly more, it goes back to the fewest that completed as much, and
tries one more than that.

A number of units that now completes clearly more or less than it did before, or less than fewer did, says that the
messages have changed, or what limits them. Then what was known of other numbers is dropped: nothing is held back by it.
"""

from collections.abc import Sequence
from math import sqrt

from sluice.model.frozen import dataclass
from sluice.model.planning import QueueSample
from sluice.model.usage import Throughput
from sluice.planning.learning.significance import CLEAR, COUNT_ERROR, LIKELY, REMEMBERED_S, TWICE

SHORT = 10.0  # what fewer units completed is compared within a tenth of the hour: messages change
LEVELS_MOST = 12  # a bound on the ledger's record: a fleet of 1,000 units is reached in as many steps


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where more units complete no more."""

    units: float  # the fewest that completed as much
    more: float  # so many did not complete more
    per_s: float  # messages a second that either completed


def learn_throughput(
    levels: tuple[Throughput, ...], during: Sequence[QueueSample], count: float, period_s: float, end_at: float
) -> tuple[Throughput, ...]:
    """What is known of numbers of units with one more period, in which messages waited throughout.

    Args:
        levels: by number of units, ascending.
        during: the period's samples, with those of a message's time before it.
        count: messages completed in the period.
        period_s: its seconds.
        end_at: its end in epoch seconds.
    """
    there = [sample.working for sample in during]
    fewest, most = min(there), max(there)
    if fewest <= 0.0 or not _is_same(fewest, most):
        return levels
    units = sum(there) / len(there)
    kept = [level for level in levels if end_at - level.at <= REMEMBERED_S]
    same = next((level for level in kept if _is_same(level.units, units)), None)
    new = Throughput(units, count, period_s, end_at)
    if same is not None:
        kept.remove(same)
        if abs(_beyond(same, count, period_s)) > 0.0:
            kept = []
        else:
            new = Throughput(min(units, same.units), same.messages + count, same.seconds + period_s, end_at)
    elif any(level.units < units and _beyond(level, count, period_s) < 0.0 for level in kept):
        kept = []
    kept.append(new)
    kept.sort(key=lambda level: level.units)
    return tuple(kept[-LEVELS_MOST:])


def saturation(levels: Sequence[Throughput], now: float) -> Saturation | None:
    """The fewest units that completed as much as the most did; None where more completed more, or nothing is known."""
    if len(levels) < 2:
        return None
    most = levels[-1]
    if now - most.at > REMEMBERED_S:
        return None
    for level in levels[:-1]:
        if most.at - level.at <= REMEMBERED_S / SHORT and _is_no_gain(level, most):
            return Saturation(level.units, most.units, most.messages / most.seconds)
    return None


def proven_units(levels: Sequence[Throughput], now: float) -> float:
    """The most units that completed as much more than fewer did as there were more of them; 0.0 where none is known."""
    for more in reversed(levels):
        if now - more.at <= REMEMBERED_S and any(_is_gain(fewer, more) for fewer in levels):
            return more.units
    return 0.0


def _is_same(one: float, other: float) -> bool:
    return max(one, other) <= (1.0 + 2.0 * COUNT_ERROR) * min(one, other)


def _beyond(level: Throughput, count: float, period_s: float) -> float:
    """How many messages a period's count is above (or below, where negative) what is as before; 0.0 by chance."""
    expected = level.messages / level.seconds * period_s
    chance = LIKELY * sqrt(expected * (1.0 + period_s / level.seconds) + 1.0)
    off = count - expected
    return off if abs(off) > max(chance, CLEAR * expected) else 0.0


def _is_no_gain(fewer: Throughput, more: Throughput) -> bool:
    """Whether at least twice as many units added hardly anything, and that is more than chance."""
    before, after = fewer.messages / fewer.seconds, more.messages / more.seconds
    if more.units < TWICE * fewer.units or before <= 0.0:
        return False
    should_add = before * (more.units / fewer.units - 1.0)
    chance = TWICE * LIKELY * sqrt((before + should_add) / more.seconds + before / fewer.seconds)
    return after - before < CLEAR * should_add and before + should_add - after > chance


def _is_gain(fewer: Throughput, more: Throughput) -> bool:
    """Whether clearly more units added about as much as they should, and more than chance."""
    before, after = fewer.messages / fewer.seconds, more.messages / more.seconds
    if (1.0 - CLEAR) * more.units < fewer.units:
        return False
    chance = LIKELY * sqrt(before / fewer.seconds + after / more.seconds)
    return after - before > max(chance, (1.0 - CLEAR) * before * (more.units / fewer.units - 1.0))
