"""Several queues on one fleet: their readings as one, and what each asks for beside the others.

Theory of operation
-------------------
Rates, lead time and spending are the fleet's, so they are learned from the queues as one (`pooled`). Promises are each
queue's own: it has its deadlines, D(t) of `deadlines`, from its own backlog, arrivals and target wait. Before its
messages that are due by t go

    of a queue of higher priority   all that will have come by t: what waits, and what is to come at the mean
    of one of the same priority     as many as its own, at most all that will have come: each is taken from in turn
    of one of lower priority        none

A fleet is as large as the queue asks that asks for most. What a lower queue asks for holds all that comes to the higher
ones, so that this is enough for all of them: a backlog without end above starves what is below, as priorities do.

A paused queue asks for nothing. What of it is in flight is still worked on, and is counted as that.
"""

from collections.abc import Iterable, Sequence

from sluice.config.fleet import QueuePolicy
from sluice.model.frozen import dataclass
from sluice.model.observed import QueueReading, Reading, Series
from sluice.planning.deadlines import DELAY_MAX_S, First, need
from sluice.planning.demand import Knot
from sluice.planning.supply import Supply

ACTIVE_PERIODS = 3  # a series without a count for so long is of a queue that is not used: CloudWatch has no zeros of it


@dataclass(frozen=True, slots=True)
class Demand:
    """What one queue holds, and is promised."""

    name: str
    priority: int
    deadlines: Sequence[Knot]  # D(t), ascending
    late_s: float  # within how long what is late must be worked off
    waiting: float
    delayed: float = 0.0
    per_s: float = 0.0  # messages to come, at the mean
    oldest_s: float | None = None  # how long the oldest waiting message has waited, as far as is known

    def come_by(self, t: float) -> float:
        """Messages waiting now, or come within `t` seconds."""
        return self.waiting + self.delayed * min(1.0, t / DELAY_MAX_S) + self.per_s * t


def needs(demands: Sequence[Demand], supply: Supply, lead_s: float) -> tuple[int, ...]:
    """What each queue asks for, in units: enough for it and for what goes before it.

    Args:
        demands: one for each queue that is consumed.
        supply: what is there and on its way, for all of them.
        lead_s: when a launch ordered now is useful.
    """
    return tuple(need(one.deadlines, supply, lead_s, one.late_s, _first(one, demands)) for one in demands)


def _first(demand: Demand, demands: Sequence[Demand]) -> First | None:
    """What of the other queues goes before a queue's own messages; None where there is none that could."""
    higher = [other for other in demands if other.priority > demand.priority]
    equal = [other for other in demands if other is not demand and other.priority == demand.priority]
    if not higher and not equal:
        return None

    def first(t: float, due: float) -> float:
        return sum(other.come_by(t) for other in higher) + sum(min(other.come_by(t), due) for other in equal)

    return first


# --------------------------------------------------------------------------- readings


def pooled(sources: Sequence[QueuePolicy], readings: Sequence[QueueReading]) -> QueueReading:
    """The queues' readings as one: what waits and comes where it is consumed, what is worked on wherever it is.

    What is unknown of one queue is left out of the sum, which is None where nothing is known; the caller must look at
    each. A sum is as old as the oldest figure in it.

    Args:
        sources: a fleet's queues.
        readings: of each, in the same order.
    """
    read = list(zip(sources, readings, strict=True))
    consumed = [reading for source, reading in read if not source.paused]
    oldest = [reading.oldest_age for reading in consumed if reading.oldest_age is not None]
    return QueueReading(
        visible=_sum(_consumed(source, reading.visible) for source, reading in read),
        in_flight=_sum(reading.in_flight for reading in readings),
        delayed=_sum(_consumed(source, reading.delayed) for source, reading in read),
        oldest_age=max(oldest, key=lambda age: age.value, default=None),
        sent=_total([reading.sent for reading in consumed if reading.sent is not None]),
        deleted=_total([reading.deleted for reading in readings if reading.deleted is not None]),
        received=_total([reading.received for reading in readings if reading.received is not None]),
    )


def _consumed(source: QueuePolicy, figure: Reading | None) -> Reading | None:
    """Of a paused queue nothing waits for the fleet."""
    return Reading(0.0, figure.at) if source.paused and figure is not None else figure


def _sum(figures: Iterable[Reading | None]) -> Reading | None:
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    return Reading(sum(figure.value for figure in known), min(figure.at for figure in known))


def _total(series: Sequence[Series]) -> Series | None:
    """The series' sum, as far as every queue in use has told its counts: they are not all equally late."""
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
