"""The least capacity that meets every deadline: demand, supply, and what is missing between them.

Theory of operation
-------------------
A queue is a list of deadlines: a message that arrived at time u must be started by u + W (W: target wait). Let D(t) be
the messages, waiting now or expected, that must be started within the next t seconds: the arrival curve moved by W
(`demand`). Let S(t) be how many can be started within t seconds (`supply`).

    capacity suffices if  S(t) >= D(t)  for every t from now to the horizon

That is the least service curve with delay bound W of network calculus (Le Boudec and Thiran, "Network Calculus",
Springer 2001, chapter 1).

What falls due before further units could help and cannot be started by then is late whatever is decided. It is left
out of the deadlines until it must be worked off with the rest, `late_s` after. `need` asks three times:

    1  from nothing, useful now: what is needed at all, and so what scaling in may leave
    2  on top of what is in service, useful when the last launch under way is: how many of those launches are needed
    3  on top of all of these, useful after a lead time: how many more to launch

Where a fleet has several queues, each asks for itself: for its own messages that fall due by t, and for those of the
others that go before them (`First`; see `multi_queue`). Both must be started by then, S(t) >= D(t) + first(t,
D(t)), wherever D rises; only its own can be late. The fleet's need is the most that any queue asks for.

Needs rise with every message more, and fall with every unit more. Nothing here knows of clocks or of limits.
"""

from collections.abc import Callable, Sequence
from math import ceil

from sluice.planning.demand import Knot, due_by
from sluice.planning.supply import Supply

SOONEST_SHARE = 0.1  # within a tenth of the time in which late work is worked off, where a tick is longer
LATENESS_MAX_S = 3600.0  # how much later than an hour a message starts makes no difference
TINY = 1e-6  # rounding of the arithmetic, in units of capacity
type First = Callable[[float, float], float]  # (seconds from now, own messages due by then) -> others' that go first


def need(deadlines: Sequence[Knot], supply: Supply, lead_s: float, late_s: float, first: First | None = None) -> int:
    """The least capacity, in whole units, that meets every deadline that can still be met.

    Args:
        deadlines: D(t) as (seconds, messages), ascending.
        supply: what is there and on its way.
        lead_s: seconds until a launch ordered now is useful.
        late_s: within how many seconds after that what is late by then must be worked off.
        first: messages of other queues that go before; it must rise with both of its arguments.
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
    soonest_s = min(supply.tick_s, SOONEST_SHARE * late_s)
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
    soonest_s = min(supply.tick_s, SOONEST_SHARE * late_s)
    due = due_by(deadlines, due_s)
    # Messages of other queues that go first use a part of what is there; that is no lateness of this queue.
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


def lateness_s(deadlines: Sequence[Knot], supply: Supply, units: int, lead_s: float) -> float:
    """By how many seconds the latest message would start after its deadline with so many units in all.

    What is missing to them is launched now. Exact to a hundredth of a second, and never above `LATENESS_MAX_S`.

    Args:
        deadlines: D(t), ascending.
        supply: what is there and on its way.
        units: capacity in all, no less than the supply's.
        lead_s: seconds until a launch ordered now is useful.
    """
    more = max(0.0, units - supply.total)

    def started(t: float) -> float:
        launched = more * max(supply.places, supply.rate_per_s * (t - lead_s)) if t > lead_s else 0.0
        return supply.started(t) + launched

    latest_s = 0.0
    for t, messages in deadlines:
        low, high = max(0.0, t) + latest_s, max(0.0, t) + LATENESS_MAX_S
        if messages <= 0.0 or started(low) >= messages:
            continue
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (low, middle) if started(middle) >= messages else (middle, high)
        latest_s = max(latest_s, high - max(0.0, t))
    return latest_s
