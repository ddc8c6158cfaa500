"""Limits for launches that come to nothing: they fail, hang, or do not live.

A launch is a trial whose result is known a lead time later. One that fails is launched again by the group. Where that
would be too late for a message, others are launched beside it: as many as fail or hang but for one case in 25.

Four in a row, with none that came into service since, mean that launching does not work, and are no reason to launch
more:

    failed         one unit more than is in service is asked for at a time, as a probe: what never was costs nothing
    short-lived    in service for less than a lead time (or a minute, which is paid for): one is tried each half hour
    hangs          one under way for several lead times is launched again, one at a time where more than four hang for
                   each unit in service; four in a row are not

Once a launch comes into service, or lives, all that is needed is asked for again.
"""

from math import ceil, exp, floor, log, log1p

from sluice.model.observed import LaunchFailure, Lifecycle, capacity
from sluice.planning.assessment import Assessment
from sluice.planning.deadlines import TINY
from sluice.planning.launch_cost import lived_s, patience_s
from sluice.planning.learning.significance import FOUNDED, RECENT_S, RISK
from sluice.planning.wish import Wish, ceiling
from sluice.wording import count, duration, seconds_or_longer

FAILED_RUN = 4  # with every fifth launch failing, four in a row are one case in 625
MESSAGE_MAX = 120  # characters of AWS's own message that a sentence has room for


def launch_hangs(tick: Assessment, wish: Wish) -> str | None:
    """Launch another in the stead of one that hangs, which is part of what is desired; not of four in a row."""
    hung = tick.supply.hung
    if not hung or tick.need == 0:
        return None
    wish.raise_to(wish.want + tick.supply.hung_units)
    several = len(hung) > 1
    under_way = (
        f"{count(len(hung), 'instance')} {'have been launching for up to' if several else 'has been launching for'}"
    )
    late = f"{under_way} {duration(max(hung)[0])}, and a launch takes {seconds_or_longer(tick.lead_s)}"
    newest_at = came_at(tick) - tick.lead_s  # when the newest of those that came was launched
    in_a_row = sum(1 for age_s, _ in hung if tick.now - age_s > newest_at)
    if in_a_row >= FAILED_RUN:
        wish.cap(tick.current)
        return f"not launching any more until one of them is in service or has ended: {late}"
    if len(hung) > FAILED_RUN * max(1.0, tick.supply.working):
        wish.cap(tick.current + (0 if tick.supply.launches else 1))
        return f"launching one at a time: {late}"
    if wish.want <= tick.current:
        return f"not counting on {'those that hang' if several else 'the one that hangs'}: {late}"
    return f"launching {'others' if several else 'another'} instead: {late}"


def spare_launches(tick: Assessment, wish: Wish) -> str | None:
    """Launch as many more as may fail, for messages for which what is launched later is too late.

    Each of these messages begins in the unit that is launched for it, or in the next that is done with another message.
    """
    failing, supply = tick.memory.launches.failing, tick.supply
    if failing is None or failing.mean <= 0.0:
        return None
    if supply.places <= tick.rate_per_s * (tick.waits.wait_s - tick.lead_s):
        return None  # a unit that comes is done with one message in time for another: it makes up for one that fails
    due = min(tick.waiting, tick.required.due_by(tick.lead_s + patience_s(tick.timing))) / supply.places
    launches = min(tick.need - floor(supply.working), ceil(due - TINY))
    if launches <= 0:
        return None
    share = failing.mean * failing.weight / (failing.weight + FOUNDED)
    none_done = exp(-supply.working * tick.rate_per_s * tick.lead_s)
    spares = _failing(launches, share, none_done)
    least = floor(supply.working) + launches + spares + supply.hung_units
    if due * supply.places <= tick.required.due_by(tick.lead_s) + TINY:
        least = min(least, tick.current)  # a launch helps none of them any more: only what is under way is kept
    before = wish.want
    if not spares or not wish.raise_to(least):
        return None
    does = "adding" if wish.want > tick.current else "keeping"
    failed = max(1, round(failing.mean * failing.weight))
    lately = f"{failed} of {failing.weight:.0f} failed or hung lately, and another launch would come too late"
    return f"{does} {tick.units(wish.want - before)} for launches that may fail: {lately}"


def _failing(launches: int, share: float, chance: float) -> int:
    """How many launches fail before so many succeed, but for one case in 25 in which it matters.

    Args:
        launches: how many must succeed, at least 1.
        share: the share of launches that fails, above 0 and below 1.
        chance: how likely a launch that is missing makes a message late.
    """
    failures, log_of_these = 0, launches * log1p(-share)
    more = 1.0 - exp(log_of_these)
    while chance * more > RISK:
        failures += 1
        log_of_these += log(share * (launches + failures - 1) / failures)
        more -= exp(log_of_these)
    return failures


def launch_failed(tick: Assessment, wish: Wish) -> str | None:
    """While launching does not work, ask for one unit more than is in service, and give back none that works."""
    run = _failed_in_a_row(tick)
    if len(run) < FAILED_RUN:
        return None
    working, under_way = tick.supply.working, capacity(tick.group.instances, Lifecycle.LAUNCHING)
    most, does = floor(working) + 1, f"asking for one {tick.unit} more than is in service until a launch succeeds"
    if under_way > 0.0 and tick.now - min(failure.at for failure in run) < tick.lead_s:
        # What was under way when the first of them failed may be in service soon: refusals come sooner than successes.
        most, does = floor(working + under_way), "launching no more until a launch that is under way succeeds"
    newest = max(run, key=lambda failure: failure.at)
    age_s = max(0.0, tick.now - newest.at)
    failed = f"the last {len(run)} launches failed, the newest {duration(age_s)} ago"
    if newest.message:
        failed = f"{failed} ({newest.message[:MESSAGE_MAX]})"
    if wish.cap(ceiling(tick, most)):
        return f"{does}: {failed}"
    if tick.unfinished > 0 and wish.raise_to(min(tick.current, ceil(working))):
        kept = f"keeping {tick.units(wish.want)} in service while messages are left"
        return f"{kept}: {failed}, and a new one may fail, too"
    return None


def short_lived(tick: Assessment, wish: Wish) -> str | None:
    """While units do not live, try one each half hour: each is paid for, and the group replaces it.

    It does so before a tick sees it, so that these are four launches an hour.
    """
    run, ended_at, left = tick.memory.launches.short_lived
    ago_s = tick.now - ended_at
    if run < FAILED_RUN:
        return None
    lived = f"within {seconds_or_longer(lived_s(tick.lead_s))} of coming into service"
    ended = f"the last {run} launches ended {lived}, the newest {duration(ago_s)} ago"
    working = floor(tick.supply.working)
    if ago_s < RECENT_S:
        wish.cap(ceiling(tick, working))
        return f"not launching for another {duration(RECENT_S - ago_s)}: {ended}"
    wish.cap(ceiling(tick, max(working, floor(left) + 1)))
    return f"trying one {tick.unit} more than lived: {ended}"


def _failed_in_a_row(tick: Assessment) -> list[LaunchFailure]:
    """The failures since a launch last came into service."""
    failures = tick.group.launch_failures
    if len(failures) < FAILED_RUN:
        return []
    since = max(came_at(tick), tick.now - RECENT_S)
    return [failure for failure in failures if failure.at > since]


def came_at(tick: Assessment) -> float:
    """When a launch last came into service, in epoch seconds: as ticks saw it, or a lead time after it began."""
    newest = tick.memory.launches.came_at
    for instance in tick.group.instances:
        if instance.state is Lifecycle.IN_SERVICE and instance.launched_at is not None:
            newest = max(newest, min(tick.now, instance.launched_at + tick.lead_s))
    return newest
