"""Limits for launches that come to nothing.

A launch is a trial whose result is known a lead time later. One that fails now and then is launched again by the group
and means nothing. Three in a row, with none that came into service since, mean that launching does not work: then one
more unit than is in service is asked for at a time, as a probe. Once a launch comes into service, all that is needed is
asked for again.
"""

from math import ceil, floor

from sluice.model.observed import LaunchFailure, Lifecycle
from sluice.planning.assessment import Assessment
from sluice.planning.wish import Wish, ceiling
from sluice.wording import duration

FAILED_RUN = 3  # with every fifth launch failing, three in a row are one case in 125
RECENT_S = 3600.0  # what failed longer ago says nothing about the next launch
MESSAGE_MAX = 120  # characters of AWS's own message that a sentence has room for


def launch_failed(tick: Assessment, wish: Wish) -> str | None:
    """While launching does not work, ask for one unit more than is in service, and give back none that works."""
    run = _failed_in_a_row(tick)
    if len(run) < FAILED_RUN:
        return None
    newest = max(run, key=lambda failure: failure.at)
    age_s = max(0.0, tick.now - newest.at)
    failed = f"the last {len(run)} launches failed, the newest {duration(age_s)} ago"
    if newest.message:
        failed = f"{failed} ({newest.message[:MESSAGE_MAX]})"
    if wish.cap(ceiling(tick, floor(tick.supply.working) + 1)):
        return f"asking for one {tick.unit} more than is in service until a launch succeeds: {failed}"
    if tick.unfinished > 0 and wish.raise_to(min(tick.current, ceil(tick.supply.working))):
        return f"not scaling in while messages are left: {failed}, and a new one may fail, too"
    return None


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
