"""Evidence before belief: what units do shows whether more of them would help, and bounds what is asked for.

A backlog asks for units by what one of them is believed to complete. Where the units that are there show that more do
nothing, no more than they show is wanted, and one unit more to see whether that is still so:

    idle units       messages wait for units in service, and these take none of them (`learning.at_work`)
    no gain          more units completed no more than fewer did (`learning.throughput`)
    held messages    nobody works on what is in flight: one unit stays for it (`learning.at_work`)

For an hour after units were idle a fleet grows to twice what is at work at a time, so that each step shows whether it
helped.
"""

from math import ceil, floor

from sluice.model.observed import Lifecycle
from sluice.model.usage import NeedWindow
from sluice.planning.assessment import Assessment
from sluice.planning.deadlines import TINY
from sluice.planning.learning.at_work import AT_WORK_SHARE, SEEN_FROM_S, looked_s, units_at_work
from sluice.planning.learning.significance import RECENT_PERIODS, REMEMBERED_S
from sluice.planning.learning.throughput import proven_units, saturation
from sluice.planning.wish import Wish, ceiling
from sluice.wording import count, duration, is_are, rate


def idle_now(tick: Assessment) -> tuple[float, float] | None:
    """Units at work at most, and all that are there, where some are idle although messages wait for them; else None."""
    if tick.waiting <= 0:
        return None
    samples, long_s = tick.memory.samples, looked_s(tick.lead_s, tick.timing)
    message_s = tick.supply.places / tick.rate_per_s
    found = units_at_work(samples, long_s, message_s)
    if found is None and samples and samples[0].at > tick.now - long_s:
        found = _by_metrics(tick, message_s, long_s)
    return None if found is None or found[0] <= 0.0 else found


def was_idle(window: NeedWindow, now: float) -> tuple[float, float] | None:
    """When units were idle beside messages within the hour, and how many were at work at most then; None if never."""
    return window.idle if window.idle is not None and now - window.idle[0] <= REMEMBERED_S else None


def idle_units(tick: Assessment, wish: Wish) -> str | None:
    """Want no more than the units at work and one, while others are idle although messages wait for them.

    For an hour after that, no more than twice as many as are at work.
    """
    found, was = idle_now(tick), was_idle(tick.memory.needs, tick.now)
    if found is not None:
        busy, there = found
        # Where some units take nothing, fewer units are fewer at work: what was at work lately is wanted again.
        busiest = busy if was is None else max(busy, was[1])
        idle, most = floor(there - busy + TINY), ceil(busiest - TINY) + 1
        takes = "takes" if idle == 1 else "take"
        held = f"{count(busy, 'message')} {is_are(busy)} in flight"
        why, so = f"{tick.units(idle)} of {there:,.0f} {takes} no message while {held}", ""
    else:
        if was is None or wish.want <= max(tick.current, tick.supply.total):
            return None
        at_work = max(1, ceil(max(was[1], min(tick.in_flight, tick.supply.working)) - TINY))
        most = 2 * at_work
        ago = duration(tick.now - was[0])
        why, so = f"units were idle {ago} ago while messages waited", f", so at most twice the {at_work:,} at work"
    proven = ceil(proven_units(tick.memory.service_rate.throughput, tick.now) - TINY)
    if proven >= most:
        # Some of them may take nothing, and each more brings its share.
        most, so = proven + 1, f", but {tick.units(proven)} completed more than fewer did"
    if not wish.cap(ceiling(tick, most)):
        return None
    return f"not more than {tick.units(most)}: {why}{so}"


def _by_metrics(tick: Assessment, message_s: float, long_s: float) -> tuple[float, float] | None:
    """Units at work at most and all that were there, at a first look: by what the metrics say was completed."""
    queue, group = tick.snapshot.queue, tick.group
    oldest, deleted = tick.required.oldest_s, queue.deleted
    if (
        message_s < SEEN_FROM_S
        or oldest is None
        or oldest < long_s
        or deleted is None
        or len(deleted.points) < RECENT_PERIODS
    ):
        return None
    newest = deleted.points[-RECENT_PERIODS:]
    by_metrics = sum(messages for _, messages in newest) / (RECENT_PERIODS * deleted.period_s) / tick.rate_per_s
    busy = max(tick.in_flight, by_metrics)
    there = sum(
        each.weight
        for each in group.instances
        if each.healthy
        and each.state is Lifecycle.IN_SERVICE
        and (each.launched_at is None or tick.now - each.launched_at >= tick.lead_s + long_s)
    )
    return (busy, there) if busy < AT_WORK_SHARE * there and tick.waiting >= there - busy else None


def no_gain(tick: Assessment, wish: Wish) -> str | None:
    """Want no more than the fewest units that completed as much as more did, and one."""
    found = saturation(tick.memory.service_rate.throughput, tick.now)
    if found is None:
        return None
    fewest = ceil(found.units - TINY)
    if not wish.cap(ceiling(tick, fewest + 1)):
        return None
    than = f"{found.more:,.0f} completed no more than {tick.units(fewest)}, {rate(found.per_s)} in all"
    return f"not more than {tick.units(fewest + 1)}: {than}; something else limits them"


def held_messages(tick: Assessment, wish: Wish) -> str | None:
    """Keep one unit for messages that nobody works on: their consumers are gone, or wait to try again."""
    if wish.want >= 1 or tick.held < 1.0 or tick.unfinished - tick.held >= 1.0 or not wish.raise_to(1):
        return None
    were = "was" if round(tick.held) == 1 else "were"
    held = f"{count(tick.held, 'message')} in flight {were} received longer ago than a message takes"
    return f"keeping one {tick.unit}: {held}, so no consumer works on {'it' if were == 'was' else 'them'}"
