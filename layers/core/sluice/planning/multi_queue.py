"""Several queues on one fleet: their readings as one, and what each asks for beside the others.

Theory of operation ------------------- Service rate, lead time and spending are the fleet's, so they are learned from
the queues as one (`pooled`). Deadlines are each queue's own (`demand`): from its own backlog, arrivals and target wait.
Before its messages that are due by t go

    of a queue of higher priority   all that will have arrived by t: what waits, and what is expected at the mean
    of one of the same priority     as many as its own, at most all that will have arrived: they are served in turn
    of one of lower priority        none

The fleet's need is that of the queue that asks for most. What a lower queue asks for includes all that arrives at the
higher ones, so it is enough for all of them; an endless backlog above starves what is below, as priorities do.

A paused queue asks for nothing. Its messages in flight are still worked on, and count.
"""

from collections.abc import Iterable, Sequence

from sluice.config.fleet import QueuePolicy
from sluice.model.observed import QueueReading, Reading, Series
from sluice.planning.deadlines import First, need
from sluice.planning.demand import QueueDemand
from sluice.planning.supply import Supply

ACTIVE_PERIODS = 3  # SQS sends no metrics of an unused queue: one without counts for so long is not waited for


def needs(demands: Sequence[QueueDemand], supply: Supply, lead_s: float) -> tuple[int, ...]:
    """What each queue asks for, in capacity units: enough for it and for what goes before it.

    Args:
        demands: one for each queue that is consumed.
        supply: what is there and on its way, for all of them.
        lead_s: seconds until a launch ordered now is useful.
    """
    return tuple(need(one.deadlines, supply, lead_s, one.late_s, _first(one, demands)) for one in demands)


def _first(demand: QueueDemand, demands: Sequence[QueueDemand]) -> First | None:
    """Messages of other queues that go before a queue's own, as a function; None where there are no such queues."""
    higher = [other for other in demands if other.priority > demand.priority]
    equal = [other for other in demands if other is not demand and other.priority == demand.priority]
    if not higher and not equal:
        return None

    def first(t: float, due: float) -> float:
        before: float = sum(other.come_by(t) for other in higher)  # without the type the compiler takes it to be whole
        return before + sum(min(other.come_by(t), due) for other in equal)

    return first


# --------------------------------------------------------------------------- readings


def pooled(sources: Sequence[QueuePolicy], readings: Sequence[QueueReading]) -> QueueReading:
    """The queues' readings as one: waiting and arriving messages of those consumed, messages in flight of all.

    What is unknown of one queue is left out of the sum, which is None where nothing is known; the caller must check
    each. A sum is as old as the oldest figure in it.

    Args:
        sources: a fleet's queues.
        readings: of each, in the same order.
    """
    read = list(zip(sources, readings, strict=True))
    consumed = [reading for source, reading in read if not source.paused]
    oldest = [reading.oldest_age for reading in consumed if reading.oldest_age is not None]
    visibility_s = [reading.visibility_s for reading in readings if reading.visibility_s is not None]
    return QueueReading(
        visible=_sum(_consumed(source, reading.visible) for source, reading in read),
        in_flight=_sum(reading.in_flight for reading in readings),
        delayed=_sum(_consumed(source, reading.delayed) for source, reading in read),
        oldest_age=max(oldest, key=lambda age: age.value, default=None),
        sent=_total([reading.sent for reading in consumed if reading.sent is not None]),
        deleted=_total([reading.deleted for reading in readings if reading.deleted is not None]),
        received=_total([reading.received for reading in readings if reading.received is not None]),
        # It is not known which queue a message is of: what the longest timeout is too short for, all are.
        visibility_s=max(visibility_s) if len(visibility_s) == len(readings) else None,
    )


def _consumed(source: QueuePolicy, figure: Reading | None) -> Reading | None:
    """The figure; zero of a paused queue, since nothing in it waits for the fleet."""
    return Reading(0.0, figure.at) if source.paused and figure is not None else figure


def _sum(figures: Iterable[Reading | None]) -> Reading | None:
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    return Reading(sum(figure.value for figure in known), min(figure.at for figure in known))


def _total(series: Sequence[Series]) -> Series | None:
    """The series' sum, up to the last period for which every queue in use has counts: they are not equally late."""
    used = [one for one in series if one.points]
    if not used:
        return None
    period_s = used[0].period_s
    newest_at = max(one.points[-1][0] for one in used)
    until = min(one.points[-1][0] for one in used if newest_at - one.points[-1][0] <= ACTIVE_PERIODS * period_s)
    counts: dict[float, float] = {}
    for one in used:
        for start_at, count in one.points:
            if start_at <= until:
                counts[start_at] = counts.get(start_at, 0.0) + count
    return Series(period_s, tuple(sorted(counts.items())))
