"""How many units are enough: n units complete min(n u, c) messages a second, and more than c / u complete no more.

Units may share something that does only so much: a database, an API, a FIFO queue's message groups. Each unit is then
slower the more there are, and a rate by unit asks for more and more of them. Two things show c, both while messages
wait for all units:

    in flight    A unit that has been in service for a lead time holds a message while there is one for it. Where twice
                 as many as hold one, and three at least, hold none, more would hold none either. Fewer idle units may
                 be some that take nothing: then each more brings its share. So may the idle ones of a few units by
                 chance: then twice as many are tried. Where more held one minutes ago, units that did have left.
                 Messages that take less than a second are seldom in flight when a tick looks, and show nothing here.
                 https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagegroupid-property.html
    completed    Clearly more units completed hardly more than fewer did, beyond chance. All periods with fewer units
                 are compared with all since that had more: few messages show it, too. How few are enough is then
                 tried: half of them at a time, or of the fewest that may have completed as much in any period, until
                 they complete less, which tells u.

What is enough bounds what a fleet wants (`planning.evidence`) and counts as busy for the service rate (`useful`). It is
believed for an hour after it was last seen. When work shows that it is wrong, it is *open*: more units complete more,
or as many complete less, or fewer are at work than were.
"""

from collections.abc import Sequence
from math import inf, sqrt

from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading
from sluice.model.planning import QueueSample
from sluice.model.usage import Enough, Throughput
from sluice.planning.learning.at_work import AT_WORK_SHARE, SEEN_FROM_S, at_work, units_at_work
from sluice.planning.learning.significance import (
    CLEAR,
    COUNT_ERROR,
    FEW,
    LIKELY,
    RECENT,
    REMEMBERED_S,
    TWICE,
)

TELLING = (TWICE * LIKELY / CLEAR) ** 2  # messages, 269: of so many a quarter more or less is no chance
LEVELS_MOST = 12  # a bound on the ledger's record: a fleet of 1,000 units is reached in as many steps


def known(enough: Enough | None, now: float) -> Enough | None:
    """What is believed of how many are enough; None an hour after it was last seen."""
    return enough if enough is not None and now - enough.at <= REMEMBERED_S else None


def useful(enough: Enough | None, at: float) -> float:
    """The most units that are of use at a moment: more than these were idle, or each slower. Infinite where unknown."""
    enough = known(enough, at)
    return inf if enough is None or enough.is_open else enough.units


# --------------------------------------------------------------------------- by messages in flight


def learn_in_flight(
    enough: Enough | None, samples: Sequence[QueueSample], long_s: float, message_s: float
) -> Enough | None:
    """What is known with one more look at messages in flight.

    Args:
        enough: what was known before.
        samples: of the last ticks, ascending.
        long_s: for how long units are looked at, in seconds.
        message_s: what a message takes, in seconds.
    """
    found = units_at_work(samples, long_s, message_s)
    enough = known(enough, samples[-1].at) if samples else enough
    if found is not None and found[0] > 0.0:
        is_sought = enough is None or (enough.per_s is None and enough.is_open)
        if is_sought and max(map(at_work, samples)) > (1.0 + CLEAR) * found[0]:
            return enough  # so many are not all that can be at work: others were, and have left
        return by_units_at_work(enough, *found, samples[-1].at, keeps_up=_keeps_up(samples))
    if enough is None or enough.per_s is not None or enough.is_open:
        return enough
    newest = samples[-1] if samples else None
    if newest is not None and newest.visible > 0 and at_work(newest) > (1.0 + CLEAR) * enough.units:
        return replace(enough, is_open=True)
    return enough


def _keeps_up(samples: Sequence[QueueSample]) -> bool:
    """Whether no more messages wait than did before, but for chance: what arrived was worked on."""
    before, now = samples[0].visible, samples[-1].visible
    return now <= before + max(FEW, COUNT_ERROR * before)


def by_units_at_work(
    enough: Enough | None, busy: float, there: float, at: float, *, keeps_up: bool = False
) -> Enough | None:
    """What is known once only `busy` of the units `there` hold a message although messages wait for all of them.

    Where they keep up with what arrives, that fewer are at work than were says nothing of those that idle.
    """
    enough = known(enough, at)
    if enough is not None and enough.per_s is None and not enough.is_open:
        if busy < (1.0 - CLEAR) * enough.units < there and not keeps_up:
            return replace(enough, is_open=True, at=at)  # so many are not always at work: some take nothing
        if busy <= (1.0 + CLEAR) * enough.units:
            return replace(enough, units=max(enough.units, busy), more=there, at=at)
    if there - busy < max(FEW, TWICE * busy) or (enough is not None and busy < (1.0 - CLEAR) * enough.units):
        return enough
    by_chance = busy > (there - LIKELY * sqrt(there)) / TWICE  # if every second unit takes nothing
    return Enough(busy, at, there, is_open=by_chance)


def at_work_by_metrics(
    queue: QueueReading, group: GroupReading, *, rate_per_s: float, message_s: float, long_s: float, now: float
) -> tuple[float, float] | None:
    """Units at work at most and all that were there, at a first look: by what the metrics say was completed.

    Args:
        queue: as read.
        group: as read.
        rate_per_s: messages a second that one unit completes.
        message_s: what a message takes, in seconds.
        long_s: units count that are in service for so long, in seconds; and messages wait for as long.
        now: epoch seconds.
    """
    oldest, deleted, visible, in_flight = queue.oldest_age, queue.deleted, queue.visible, queue.in_flight
    if oldest is None or deleted is None or visible is None or in_flight is None:
        return None
    if message_s < SEEN_FROM_S or oldest.value < long_s or len(deleted.points) < RECENT:
        return None
    newest = deleted.points[-RECENT:]
    by_metrics = sum(messages for _, messages in newest) / (RECENT * deleted.period_s) / rate_per_s
    busy = max(in_flight.value, by_metrics)
    there = sum(
        each.weight
        for each in group.instances
        if each.healthy
        and each.state is Lifecycle.IN_SERVICE
        and (each.launched_at is None or now - each.launched_at >= long_s)
    )
    is_idle = 0.0 < busy < AT_WORK_SHARE * there and visible.value >= there - busy
    return (busy, there) if is_idle else None


# --------------------------------------------------------------------------- by messages completed


def learn_completed(
    levels: tuple[Throughput, ...], enough: Enough | None, new: Throughput, *, is_all: bool = False
) -> tuple[tuple[Throughput, ...], Enough | None]:
    """What is known with one more period in which messages waited throughout.

    While it is open whether more help, evidence gathers for as long as it takes.

    Args:
        levels: what numbers of units completed while messages waited without a pause, ascending in time.
        enough: what was known before.
        new: what was completed in the period.
        is_all: whether the group may have no more units than these.
    """
    enough, several_s = known(enough, new.at), RECENT * new.seconds
    levels = _with(levels, new, max(several_s, _seen_s(enough)))
    newest = levels[-1]
    if enough is None:
        return levels, _found(levels, several_s, is_all=is_all)
    if enough.per_s is None:
        return levels, enough  # messages in flight show more
    believed = Throughput(enough.units, enough.per_s * REMEMBERED_S, REMEMBERED_S, enough.at, enough.units)
    if not enough.is_open:
        return levels, _judged(enough, believed, newest, levels)
    helps = _is_gain(believed, newest)
    if helps:
        return levels, replace(enough, units=newest.sure, per_s=_per_s(newest), at=newest.at)
    if helps is False and newest.seconds >= several_s:
        return levels, replace(enough, more=newest.units, at=newest.at, is_open=False, is_least=False)
    return levels, enough


def _seen_s(enough: Enough | None) -> float:
    """For how many seconds the same units are looked at: while they are tried, or until chance hides no quarter."""
    if enough is None or enough.is_open or not enough.is_least:
        return inf
    return TELLING / enough.per_s if enough.per_s else 0.0


def _found(levels: tuple[Throughput, ...], several_s: float, *, is_all: bool) -> Enough | None:
    """The fewest units that completed as much as clearly more did for `several_s`; None where more completed more.

    Where there can be no more and never were fewer, nothing tells how many are enough, and half of them are tried.
    """
    newest = levels[-1]
    per_s = _per_s(newest)
    before = [(each, place) for place in range(1, len(levels)) for each in (levels[place - 1], _as_one(levels[:place]))]
    as_much = [each for each, place in before if _is_as_much(each, levels[place:], several_s)]
    if not as_much:
        steady = [level.units for level in levels if _is_same(level.sure, level.units)]
        is_first = is_all and newest.seconds >= several_s and all(_is_same(units, newest.units) for units in steady)
        return Enough(newest.units, newest.at, newest.units, per_s, is_least=False) if is_first else None
    fewest = min(as_much, key=lambda level: level.units)
    fewer = [level for level in levels if level.units <= fewest.units and level.messages]
    less = [level for level in fewer if _beyond(newest, level, 2.0 * COUNT_ERROR) < 0.0]
    if less:  # what one of these completed tells how many complete as much
        units = min(newest.units, per_s / max(_per_s(level) / level.units for level in less))
        return Enough(units, newest.at, newest.units, per_s)
    units = min(fewest.units, fewest.least)
    return Enough(units, newest.at, newest.units, per_s, is_least=units <= 1.0)


def _is_as_much(fewer: Throughput, later: tuple[Throughput, ...], several_s: float) -> bool:
    """Whether clearly more units completed hardly more since then, in `several_s` seconds at least, and still do."""
    more = tuple([level for level in later if _is_more(fewer, level)])
    if not more or more[-1] is not later[-1] or sum([level.seconds for level in more]) < several_s:
        return False
    return _is_gain(fewer, _as_one(more)) is False and _is_gain(fewer, more[-1]) is not True


def _judged(enough: Enough, believed: Throughput, newest: Throughput, levels: tuple[Throughput, ...]) -> Enough:
    """What is known after so many units completed so much."""
    is_fewer = newest.units < enough.units
    off = _beyond(believed, newest, 2.0 * COUNT_ERROR if is_fewer else CLEAR)
    helps = _is_gain(believed, newest)
    if off > 0.0 or helps or (off < 0.0 and not is_fewer):
        return replace(enough, units=newest.units, per_s=_per_s(newest), at=newest.at, is_open=True)
    if off < 0.0:
        units = min(enough.more, newest.units * _per_s(believed) / _per_s(newest)) if newest.messages else enough.units
        return replace(enough, units=units, at=newest.at, is_least=True)
    if is_fewer and _is_gain(newest, replace(believed, at=newest.at)) is False:
        as_much = (level.least for level in levels if _beyond(believed, level, 2.0 * COUNT_ERROR) >= 0.0)
        units = min(newest.units, *as_much)
        return replace(enough, units=units, at=newest.at, is_least=units <= 1.0)
    if helps is False:
        return replace(enough, at=newest.at, more=newest.units)
    return enough if enough.is_least else replace(enough, at=newest.at)


def _with(levels: tuple[Throughput, ...], new: Throughput, most_s: float) -> tuple[Throughput, ...]:
    """The levels with a period's, of which the newest counts for `most_s` seconds; without those of other messages.

    A number of units that completes clearly more or less than it did, or less than fewer did, says that the messages
    have changed. So may those be that came after a pause.
    """
    if levels and new.at - new.seconds - levels[-1].at > RECENT * new.seconds:
        levels = ()
    for level in levels:
        off = _beyond(level, new)
        if off and (_is_same(level.units, new.units) or (off < 0.0 and level.units < new.units)):
            return (new,)
    last = levels[-1] if levels else None
    if last is not None and _is_same(last.units, new.units) and _is_same(last.sure, new.sure):
        kept_s = min(last.seconds, most_s - new.seconds)
        last = replace(last, messages=last.messages * kept_s / last.seconds, seconds=kept_s)
        return (*levels[:-1], _as_one((last, new)))
    if len(levels) < LEVELS_MOST:
        return (*levels, new)
    alike = min(range(LEVELS_MOST - 1), key=lambda place: _apart(levels[place].units, levels[place + 1].units))
    return (*levels[:alike], _as_one(levels[alike : alike + 2]), *levels[alike + 2 :], new)


def _as_one(levels: tuple[Throughput, ...]) -> Throughput:
    """Several levels as one, by the seconds of each."""
    seconds = sum([level.seconds for level in levels])
    units = sum([level.units * level.seconds for level in levels]) / seconds
    sure = sum([level.sure * level.seconds for level in levels]) / seconds
    messages = sum([level.messages for level in levels])
    return Throughput(units, messages, seconds, levels[-1].at, sure, min([level.least for level in levels]))


def _apart(one: float, other: float) -> float:
    """How many times the one number of units is the other, at least 1."""
    return max(one, other) / min(one, other)


def _per_s(level: Throughput) -> float:
    return level.messages / level.seconds


def _is_same(one: float, other: float) -> bool:
    return max(one, other) <= (1.0 + 2.0 * COUNT_ERROR) * min(one, other)


def _beyond(level: Throughput, new: Throughput, least: float = CLEAR) -> float:
    """How many messages were completed above (or below, where negative) what is as at another level; 0.0 by chance.

    `least` is the share of them up to which a difference is none.
    """
    expected, share = _per_s(level) * new.seconds, new.seconds / level.seconds
    chance = max(LIKELY * sqrt(expected * (1.0 + share) + 1.0), new.units + level.units * share)
    off = new.messages - expected
    return off if abs(off) > max(chance, least * expected) else 0.0


def _is_more(fewer: Throughput, more: Throughput) -> bool:
    return more.sure >= (1.0 - COUNT_ERROR) * (1.0 + CLEAR) * fewer.units


def _is_gain(fewer: Throughput, more: Throughput) -> bool | None:
    """Whether clearly more units completed about as much more as they should, or hardly more; None where it is open.

    What is completed varies by chance; or little, and then units may be in phase: each has one message more or less.
    """
    if not _is_more(fewer, more):
        return None
    before, times = _per_s(fewer), more.sure / fewer.units
    should, gained = before * (times - 1.0), _per_s(more) - before
    in_phase, by_chance = fewer.units / fewer.seconds + more.units / more.seconds, before * times / more.seconds
    # What more units should complete is `times` as uncertain as what fewer did: that may have been one short message.
    unsure = TWICE * LIKELY * sqrt(times * times * before / fewer.seconds + by_chance)
    if gained < CLEAR * should and should - gained > max(unsure, in_phase):
        return False
    chance = max(TWICE * LIKELY * sqrt(before / fewer.seconds + by_chance), in_phase)
    return True if gained > max(chance, (1.0 - CLEAR) * should) else None
