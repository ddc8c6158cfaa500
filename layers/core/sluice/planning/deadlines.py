"""The least capacity that meets every deadline: demand, supply, and what is missing between them.

Theory of operation
-------------------
A queue is a list of deadlines: a message that came at time u must be started by u + W (W: target wait). Let D(t) be the
messages, waiting now or sure to come, that must be started within the next t seconds: the arrival curve moved by W. Let
S(t) be how many can be started within t seconds. Capacity suffices when S(t) >= D(t) for every t in sight. (Network
calculus: the least service curve with delay bound W; Le Boudec and Thiran, "Network Calculus", chapter 1.)

One unit that works on k messages at once and completes m a second, each taking s = k / m seconds, starts

    in service, f of its k places taken     m t + (k - f) max(0, 1 - t / s)     free places at once, taken ones in turn
    launched, useful from d on              max(k, m (t - d)) for t >= d        true even if every message takes s

Completions are chance. Within t seconds n units complete n m t messages on average, with a variance of about
n m t max(1 - t / s, c): a place that takes s seconds frees once with probability t / s, and over many messages the
spread of their times (c, its square) is what is left. S counts on `CAUTION` standard deviations less, as far ahead as
nothing can be mended: a lead time. So a hundred short messages are counted on nearly whole, three long ones hardly.

What falls due before further units could help and cannot be started by then is late whatever is decided. It is left
out of the deadlines until it must be worked off with the rest, a set time after. `need` asks three times:

    1  from nothing, useful now: what is needed at all, and so what a shrink may leave
    2  on top of what is in service, useful when the last launch under way is: how many of those launches are needed
    3  on top of all of these, useful after a lead time: how many more to launch

Where a fleet has several queues, each asks for itself: of its own messages that fall due by t, and of those of the
others that go before them (`First`; `sharing` says which). Both must be started by then, S(t) >= D(t) + first(t, D(t)),
wherever D rises; only its own can be late. The fleet's need is the most that any queue asks for.

Needs rise with every message more, and fall with every unit more. Nothing here knows of clocks or of limits.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from math import ceil, inf

from sluice.planning.demand import Knot
from sluice.planning.supply import Supply

SOONEST_S = 10.0  # one tick: capacity is not asked to do in less what falls due just after it can help
SOONEST_SHARE = 0.1  # of the time in which late work is worked off, where that is less
QUANTILE = 2.06  # mean absolute errors up to the 95th percentile of a normal distribution (1.645 x 1.2533)
DELAY_MAX_S = 900.0  # SQS: DelaySeconds is at most 15 minutes; a delayed message comes at some moment within
TINY = 1e-6  # rounding of the arithmetic, in units of capacity
type Interval = tuple[float, float]  # (seconds ago that it began, messages that came in it)
type First = Callable[[float, float], float]  # (seconds from now, own messages due by then) -> others' that go first


# --------------------------------------------------------------------------- demand


def backlog(waiting: float, came: Iterable[Interval], eldest_s: float, wait_s: float) -> list[Knot]:
    """D(t) of the messages that wait now: those that came last, since a queue gives the oldest first.

    Args:
        waiting: messages that wait.
        came: arrivals by interval, newest first, reaching back as far as is known.
        eldest_s: how long a waiting message can have waited at most.
        wait_s: the wait to plan for.

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
    quantile: float = QUANTILE,
) -> Sequence[Knot]:
    """D(t) with what is still to come, as far ahead as a launch and the wait after it.

    What falls due before a later order could help is asked for at a quantile of the forecast's own error, in mean
    absolute errors: this order alone can serve it. The rest is asked for at its mean: there will be other ticks.
    Delayed messages come at some moment within SQS's longest delay.
    """
    if per_s <= 0.0 and delayed <= 0.0:
        return knots
    waiting = knots[-1][1]
    only_now_s = max(0.0, lead_s + SOONEST_S - wait_s)
    added = list(knots)
    for seconds in sorted({only_now_s, lead_s, lead_s + wait_s} - {0.0}):
        messages = delayed * min(1.0, seconds / DELAY_MAX_S)
        messages += max(0.0, per_s * seconds + quantile * error_per_s * min(seconds, only_now_s))
        added.append((wait_s + seconds, waiting + messages))
    return added


# --------------------------------------------------------------------------- need


def need(deadlines: Sequence[Knot], supply: Supply, lead_s: float, late_s: float, first: First | None = None) -> int:
    """The least capacity, in whole units, that meets every deadline that can still be met.

    Args:
        deadlines: D(t), ascending.
        supply: what is there and on its way.
        lead_s: when a launch ordered now is useful.
        late_s: within how long after that what is late by then must be worked off.
        first: what of other queues goes before; it must rise with both of its arguments.
    """
    if deadlines[-1][1] <= 0.0:
        return 0
    return max(1, ceil(_units(deadlines, supply, lead_s, late_s, first) - TINY))


def _units(deadlines: Sequence[Knot], supply: Supply, lead_s: float, late_s: float, first: First | None) -> float:
    needed = at_all(deadlines, supply, late_s, first)
    if needed <= supply.working + TINY:
        return needed
    total = supply.total
    more = further(deadlines, supply, supply.started, lead_s, late_s, first=first)
    if more > TINY or not supply.launches:
        return total + more
    last_s = supply.launches[-1][0]
    for t, messages in deadlines:
        if 0.0 < t <= last_s:
            owed = messages if first is None else messages + first(t, messages)
            if supply.by_working(t) < owed - TINY:
                return total  # every launch is needed as soon as it comes
    return min(total, supply.working + further(deadlines, supply, supply.by_working, last_s, late_s, first=first))


def at_all(deadlines: Sequence[Knot], supply: Supply, late_s: float, first: First | None = None) -> float:
    """The fewest units that would meet the deadlines if they were all in service now.

    Between knots D is a straight line and S nearly one, so the worst moment is at a knot.

    Args:
        deadlines: D(t), ascending.
        supply: how units in service do.
        late_s: within how long what is overdue must be worked off.
        first: what of other queues goes before.
    """
    soonest_s = min(SOONEST_S, SOONEST_SHARE * late_s)
    overdue = due_by(deadlines, 0.0)
    due = []
    for t, messages in deadlines:
        if t > 0.0 and messages > overdue:
            owed = messages if t >= late_s else messages - overdue
            if first is not None:
                owed += first(t, messages)
            due.append((max(soonest_s, t), owed))
    fewest = supply.units_for(due)
    if overdue > 0.0:
        owed = due_by(deadlines, late_s)
        if first is not None:
            owed += first(late_s, owed)
        fewest = max(fewest, supply.units_for(((late_s, owed),)))
    return fewest


def further(
    deadlines: Sequence[Knot],
    supply: Supply,
    base: Callable[[float], float],
    due_s: float,
    late_s: float,
    *,
    first: First | None = None,
) -> float:
    """The fewest further units, useful from `due_s` on, that meet the deadlines together with what is there.

    Args:
        deadlines: D(t), ascending.
        supply: how units that are launched do.
        base: S(t) of what is there.
        due_s: when further units are useful.
        late_s: within how long after that what is late by then must be worked off.
        first: what of other queues goes before.
    """
    soonest_s = min(SOONEST_S, SOONEST_SHARE * late_s)
    due = due_by(deadlines, due_s)
    # What others have that goes first takes its part of what is there, and is no lateness of this queue's own.
    own = base(due_s) if first is None else max(0.0, base(due_s) - first(due_s, due))
    late = max(0.0, due - own)
    worked_off_s = due_s + late_s
    fewest = 0.0
    for t, messages in deadlines:
        if t > due_s and messages > due:
            owed = messages - base(t) - (late if t < worked_off_s else 0.0)
            if first is not None:
                owed += first(t, messages)
            if owed > 0.0:
                fewest = max(fewest, supply.launched_for(owed, max(t - due_s, soonest_s)))
    if late > 0.0:
        due = due_by(deadlines, worked_off_s)
        owed = due - base(worked_off_s)
        if first is not None:
            owed += first(worked_off_s, due)
        fewest = max(fewest, supply.launched_for(owed, late_s))
    return fewest


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
