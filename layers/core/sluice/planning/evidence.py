"""Evidence before belief: what units do shows whether more of them would help, and bounds what is asked for.

A backlog asks for units by what one of them is believed to complete. Where the units that are there show how many are
enough (`learning.throughput`), no more than these are wanted, and one more to see whether that is still so; the longer
that was not seen, the more of them, up to twice as many after an hour:

    idle units       messages wait for units in service, and these take none of them
    no gain          more units completed no more than fewer did; while it is not known how few are enough, half of them
                     are tried
    held messages    nobody works on what is in flight: one unit stays for it (`learning.at_work`)

Where work has shown since that more may help, a fleet grows to twice as many at a time, so that each step shows whether
it did.
"""

from math import ceil, floor

from sluice.model.usage import Enough
from sluice.planning.assessment import Assessment
from sluice.planning.deadlines import TINY
from sluice.planning.learning.significance import COUNT_ERROR, REMEMBERED_S, TWICE
from sluice.planning.learning.throughput import known
from sluice.planning.wish import Wish, ceiling
from sluice.wording import count, duration, is_are, rate


def idle_units(tick: Assessment, wish: Wish) -> str | None:
    """Want no more than the units at work and one, where others are idle although messages wait for them."""
    enough = known(tick.memory.service_rate.enough, tick.now)
    if enough is None or enough.per_s is not None or not wish.cap(ceiling(tick, _most(tick, enough))):
        return None
    idle = floor(enough.more - enough.units + TINY)
    ago_s = tick.now - enough.at
    if ago_s <= 0.0 and not enough.is_open:
        takes, held = "takes" if idle == 1 else "take", count(enough.units, "message")
        why = (
            f"{tick.units(idle)} of {enough.more:,.0f} {takes} no message while {held} {is_are(enough.units)} in flight"
        )
    else:
        why = f"{tick.units(idle)} of {enough.more:,.0f} took no message {duration(ago_s)} ago while messages waited"
    return f"{_no_more(tick, wish, enough)}: {why}"


def no_gain(tick: Assessment, wish: Wish) -> str | None:
    """Want no more than the fewest units that completed as much as more did, and one."""
    enough = known(tick.memory.service_rate.enough, tick.now)
    if enough is None or enough.per_s is None or not wish.cap(ceiling(tick, _most(tick, enough))):
        return None
    if enough.is_open:
        ago = duration(tick.now - enough.at)
        return f"{_no_more(tick, wish, enough)}: {tick.units(enough.units)} completed {rate(enough.per_s)} {ago} ago"
    fewest = tick.units(ceil((1.0 - COUNT_ERROR) * enough.units))
    if not enough.is_least and enough.more <= enough.units:
        return f"{_no_more(tick, wish, enough)} for some minutes: the group has no more than {fewest}, and fewer may do"
    than = f"{enough.more:,.0f} completed no more than {fewest}, {rate(enough.per_s)} in all"
    return f"{_no_more(tick, wish, enough)}: {than}; something else limits them"


def _most(tick: Assessment, enough: Enough) -> int:
    """The most units that are wanted. A group takes those in service before those that launch: enough of them stay."""
    most, launching = _most_in_service(tick, enough), floor(tick.supply.total - tick.supply.working + TINY)
    return max(most, min(tick.current, most + launching))


def _most_in_service(tick: Assessment, enough: Enough) -> int:
    """The most units in service that may be of use."""
    if enough.is_open:
        there = tick.supply.working if enough.per_s is None else 0.0  # some of them may take nothing: more are at work
        return ceil(TWICE * max(enough.units, there) - TINY)
    if not enough.is_least:
        return max(1, ceil(enough.units / TWICE - TINY))
    more = floor(enough.units * (1.0 + (tick.now - enough.at) / REMEMBERED_S))
    return max(ceil((1.0 - COUNT_ERROR) * enough.units), more) + 1


def _no_more(tick: Assessment, wish: Wish, enough: Enough) -> str:
    """What is wanted, for sentences."""
    if enough.is_open:
        return f"not more than {tick.units(wish.want)} at first, to see whether more help"
    return f"trying {tick.units(wish.want)}" if not enough.is_least else f"not more than {tick.units(wish.want)}"


def held_messages(tick: Assessment, wish: Wish) -> str | None:
    """Keep one unit for messages that nobody works on: their consumers are gone, or wait to try again."""
    if wish.want >= 1 or tick.held < 1.0 or tick.unfinished - tick.held >= 1.0 or not wish.keep(tick, 1):
        return None
    were = "was" if round(tick.held) == 1 else "were"
    held = f"{count(tick.held, 'message')} in flight {were} received longer ago than a message takes"
    return f"keeping one {tick.unit}: {held}, so no consumer works on {'it' if were == 'was' else 'them'}"
