"""Units in service that take nothing although messages wait for them.

A unit that works holds a message whenever one waits. So where messages wait, nothing is in flight at any look of a lead
time, and nothing was received or deleted meanwhile, consumers do not work at all: their queue, their permissions or
their code is wrong. More of them would do no more. Those in service stay as the probe, and a fresh unit is tried beside
them now and then: its code may be newer, or its machine well. The first message that any of them receives ends this.

Where a single unit receives nothing, it may be the only one that is broken, so a fresh one is tried at once. Each that
receives nothing makes it less likely that the next one does, so it is tried so much later, after half an hour at most.
"""

from sluice.model.observed import Lifecycle, Series
from sluice.model.planning import TAKEN_WITHIN_S
from sluice.planning.assessment import Assessment
from sluice.planning.learning.significance import RECENT_S
from sluice.planning.wish import Wish
from sluice.wording import count, duration, is_are


def nothing_received(tick: Assessment, wish: Wish) -> str | None:
    """Launch no more while the units in service take nothing, but a fresh unit now and then."""
    seconds, watched_s = _nothing_for_s(tick), max(tick.lead_s, TAKEN_WITHIN_S)
    if seconds < watched_s:
        return None
    waits = f"{count(tick.waiting, 'message')} {is_are(tick.waiting)} waiting"
    units = f"{tick.units(tick.supply.working)} in service"
    why = f"{units} received nothing for {duration(seconds)} while {waits}; see whether consumers run"
    trial_s, tried = tick.lead_s + TAKEN_WITHIN_S, tick.memory.needs.tried
    since, before = tick.memory.needs.fresh if tick.memory.needs.fresh[0] else (tick.now, tick.current)
    ago_s = tick.now - since
    is_over = not tried or (ago_s >= trial_s and not tick.supply.launches)  # the fresh one has had its time
    if is_over and ago_s >= min(RECENT_S, trial_s * (before + tried - 1) ** 2) and wish.want > tick.current:
        wish.cap(tick.current + 1)
        return f"trying one fresh {tick.unit}: {why}"
    wish.cap(max(1, min(tick.current, before) if is_over else tick.current))
    return f"not scaling out: {why}"


def is_protected_idle(tick: Assessment, held: int) -> bool:
    """Whether more units are protected from scale-in than messages were in flight at any look of a lead time.

    A consumer that reports work has a message in flight. Without earlier ticks the messages received show it.
    """
    if held == 0 or tick.group.protects_new:
        return held > 0
    if tick.snapshot.queue.in_flight is None or tick.snapshot.queue.in_flight.value >= held:
        return False
    since = tick.now - max(tick.lead_s, TAKEN_WITHIN_S)
    for sample in reversed(tick.memory.samples):
        if sample.in_flight >= held:
            return False
        if sample.at <= since:
            return True
    received = tick.snapshot.queue.received
    return received is not None and _is_zero(received, since)


def _is_zero(series: Series, since: float) -> bool:
    """Whether a series reaches back to `since` (epoch seconds) and counts nothing."""
    return bool(series.points) and series.points[0][0] <= since and _busy_until(series) == 0.0


def _nothing_for_s(tick: Assessment) -> float:
    """For how many seconds units in service have received nothing while messages waited; 0.0 where they do or may."""
    queue = tick.snapshot.queue
    if tick.waiting <= tick.required.poison or tick.supply.working <= 0.0:
        return 0.0
    if queue.in_flight is None or queue.in_flight.value > 0.0:
        return 0.0
    busy_until = max(_busy_until(queue.received), _busy_until(queue.deleted))
    return max(_by_samples(tick, busy_until), _by_metrics(tick, busy_until))


def _by_samples(tick: Assessment, busy_until: float) -> float:
    """As the last ticks saw it."""
    since = tick.now
    for sample in reversed(tick.memory.samples):
        if sample.visible <= 0.0 or sample.in_flight > 0.0 or sample.working <= 0.0 or sample.at < busy_until:
            break
        since = sample.at
    return tick.now - since


def _by_metrics(tick: Assessment, busy_until: float) -> float:
    """As the metric of messages received has it, for units that have been in service for a lead time."""
    received, oldest_s = tick.snapshot.queue.received, tick.required.oldest_s
    if received is None or not received.points or oldest_s is None:
        return 0.0
    launched = [
        0.0 if each.launched_at is None else each.launched_at
        for each in tick.group.instances
        if each.healthy and each.state is Lifecycle.IN_SERVICE
    ]
    known_from, known_until = received.points[0][0], received.points[-1][0] + received.period_s
    since = max(busy_until, known_from, tick.now - oldest_s, min(launched, default=tick.now) + tick.lead_s)
    return tick.now - since if known_until - since >= tick.lead_s else 0.0


def _busy_until(series: Series | None) -> float:
    """The end of the last period in which anything was counted, in epoch seconds; 0.0 without any."""
    for start_at, number in reversed(series.points if series is not None else ()):
        if number > 0.0:
            return start_at + (series.period_s if series is not None else 0.0)
    return 0.0
