"""What a tick teaches: learn(memory, snapshot, fleet, timing=, now=) -> the memory after it, and Estimates.

Everything is learned from what ticks read anyway, and kept in `Memory`; the same snapshot twice teaches nothing twice.
Metrics come late, so ticks leave samples behind: when the figures of a period arrive, the samples show what the fleet
was doing in it.

    samples          what each tick saw; counts that can hardly be right are doubted (`signal_quality`)
    arrivals         `forecasting`, and for what recurs `periodic_batches` and `schedules`
    launches         `lead_time`
    service rate     `service_rate`, its spread `service_spread`; how many units are enough `throughput`
    redeliveries     what comes back, and what no unit completes (`poison`)
    safety margin    what was late though the plan was followed
    spending         here: the unit-seconds of the day

Every period's length is the series' own (`Series.period_s`): nothing here assumes a minute.
"""

from math import inf

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.planning import (
    CountState,
    Estimates,
    Forecast,
    FromLedger,
    Memory,
    QueueSample,
    RateMemory,
    SafetyMargin,
    Snapshot,
)
from sluice.model.timing import Timing
from sluice.model.usage import Enough, Spending
from sluice.planning.control import learn_control
from sluice.planning.launch_cost import lived_s
from sluice.planning.learning import poison, redeliveries, safety_margin
from sluice.planning.learning.at_work import learn_held, looked_s, share_at_work, with_held
from sluice.planning.learning.count_filter import follow
from sluice.planning.learning.forecasting import DAY_S, forecast, lately, learn_arrivals, usual
from sluice.planning.learning.launch_lives import learn_failing, learn_lives
from sluice.planning.learning.lead_time import hang_s, lead_time, learn_lead_time, learn_reported
from sluice.planning.learning.periodic_batches import beside_batches, learn_batches
from sluice.planning.learning.prefetch import at_once, learn_prefetch, unbegun_s
from sluice.planning.learning.samples import Known, record, record_as_one, record_each, with_rate
from sluice.planning.learning.service_rate import (
    by_metrics,
    completing_per_s,
    is_founded,
    is_proven,
    learn_service_rate,
    service_rate,
)
from sluice.planning.learning.significance import CLEAR
from sluice.planning.learning.throughput import at_work_by_metrics, by_units_at_work, learn_in_flight, useful
from sluice.planning.learning.undone import hides_work
from sluice.planning.supply import SPREAD


def learn(memory: Memory, snapshot: Snapshot, fleet: Fleet, *, timing: Timing, now: float) -> tuple[Memory, Estimates]:
    """Learn from what a tick saw of the fleet.

    Args:
        memory: what was known before; empty at first.
        snapshot: what the tick saw; its `at` orders the samples.
        fleet: hints, and the horizon over which forecasts are judged.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.

    Returns:
        The memory after it, and what is estimated from that.
    """
    known = _known(memory, fleet, timing, snapshot.at)
    horizon_s = fleet.tightest_wait_s + known.lead_s
    arrivals, is_new = learn_arrivals(memory.arrivals, snapshot.queue.sent, horizon_s, now)
    batches = learn_batches(memory.batches, arrivals.history, horizon_s, timing) if is_new else memory.batches
    learned = replace(
        memory,
        arrivals=arrivals,
        batches=batches,
        launches=learn_reported(memory.launches, memory.from_ledger.timed),
        from_ledger=FromLedger(memory.from_ledger.timed),
    )
    if snapshot.group is not None and snapshot.at > memory.learned_at:
        learned = _learn_from_group(
            memory, learned, known, snapshot=snapshot, group=snapshot.group, fleet=fleet, timing=timing, now=now
        )
        learned = replace(learned, service_rate=_learn_enough(learned, known, snapshot, fleet, timing))
    oldest = snapshot.queue.oldest_age
    rate = learn_service_rate(
        learned.service_rate,
        learned.samples,
        snapshot.queue.deleted,
        fleet,
        now,
        returned=learned.redeliveries,
        poison=memory.redeliveries.poison,
        is_late=oldest is not None and oldest.value > fleet.tightest_wait_s,
        looked_s=looked_s(known.lead_s, timing),
        most=inf if snapshot.group is None else snapshot.group.max_size,
    )
    learned = replace(learned, counted=_learn_counts(memory, learned, rate, fleet, timing))
    if rate is not learned.service_rate:
        rate = learn_prefetch(
            rate,
            memory.service_rate.learned_until,
            learned.samples,
            snapshot.queue.deleted,
            returned=learned.redeliveries,
            places=fleet.hints.concurrency,
        )
        learned = replace(learned, service_rate=rate)
    after = _known(learned, fleet, timing, now)
    learned = _with_arrivals(learned, known, after, fleet, timing)
    return learned, _estimates(learned, after, fleet, timing, now)


def _learn_enough(learned: Memory, known: Known, snapshot: Snapshot, fleet: Fleet, timing: Timing) -> RateMemory:
    """What is known of the service rate, with how many units are enough by the messages in flight."""
    memory, samples, queue, group = learned.service_rate, learned.samples, snapshot.queue, snapshot.group
    long_s, message_s = looked_s(known.lead_s, timing), fleet.hints.concurrency / known.rate.value
    enough: Enough | None = learn_in_flight(memory.enough, samples, long_s, message_s)
    if enough is None and group is not None and samples and samples[0].at > snapshot.at - long_s:
        found = at_work_by_metrics(
            queue,
            group,
            rate_per_s=known.rate.value,
            message_s=message_s,
            long_s=known.lead_s + long_s,
            now=snapshot.at,
        )
        enough = None if found is None else by_units_at_work(enough, *found, snapshot.at)
    return memory if enough is memory.enough else replace(memory, enough=enough)


def _learn_counts(before: Memory, learned: Memory, rate: RateMemory, fleet: Fleet, timing: Timing) -> CountState | None:
    """What the counts say of a rate that metrics do not say well enough; None where they do, and of several queues."""
    newest, returned = learned.samples[-1:], learned.redeliveries
    if is_founded(rate) or fleet.shared:
        return None
    if rate.estimate is not None and hides_work(newest, rate.estimate, fleet.hints.concurrency, returned):
        return None
    return follow(
        before.counted if rate.estimate == before.service_rate.estimate else None,
        learned.samples,
        learned.arrivals.history,
        rate=by_metrics(rate, fleet),
        places=fleet.hints.concurrency,
        timing=timing,
        since_at=0.0 if rate.estimate is None else rate.estimate.at,
    )


def _with_arrivals(learned: Memory, before: Known, after: Known, fleet: Fleet, timing: Timing) -> Memory:
    """The memory with what arrived since the metrics' end worked out anew, where the rate turned out to be another."""
    history = learned.arrivals.history
    is_other = abs(after.completing_per_s - before.completing_per_s) > CLEAR * before.completing_per_s
    if not is_other or not after.is_proven or fleet.shared:
        return learned
    samples = with_rate(
        learned.samples,
        history.end_at if history.counts else 0.0,
        returned=learned.redeliveries,
        rate_per_s=after.completing_per_s,
        fleet=fleet,
        timing=timing,
    )
    return replace(learned, samples=samples)


def _known(memory: Memory, fleet: Fleet, timing: Timing, at: float) -> Known:
    """What a memory says of service rate and lead time: derived here alone, once before a tick and once after it."""
    rate = service_rate(memory.service_rate, memory.counted, fleet, timing, at)
    lead = lead_time(memory.launches, fleet, at)
    return Known(
        rate=rate,
        completing_per_s=completing_per_s(memory.service_rate, rate),
        is_proven=is_proven(memory.service_rate, memory.counted, fleet, timing),
        lead_time=lead,
        lead_s=lead.value + lead.deviation,
    )


def estimate(memory: Memory, fleet: Fleet, timing: Timing, now: float) -> Estimates:
    """The estimates that follow from what was learned of a fleet."""
    return _estimates(memory, _known(memory, fleet, timing, now), fleet, timing, now)


def _estimates(memory: Memory, known: Known, fleet: Fleet, timing: Timing, now: float) -> Estimates:
    """The estimates of a memory whose service rate and lead time are known."""
    arrivals, spread, rate = memory.arrivals, memory.service_rate.spread, known.rate
    begun = at_once(memory.service_rate, rate.value, fleet.hints.concurrency)
    expected = forecast(arrivals.history, memory.samples, arrivals.chosen, timing, now)
    lately_per_s = lately(memory.samples, timing)
    counted_per_s = rate.value
    if useful(memory.service_rate.enough, now) == inf:
        long_s = looked_s(known.lead_s, timing)
        counted_per_s *= share_at_work(memory.samples, long_s, fleet.hints.concurrency / rate.value)
    return Estimates(
        service_rate=rate,
        lead_time=known.lead_time,
        lead_s=known.lead_s,
        arrivals=beside_batches(expected, memory.batches, memory.samples, lately_per_s, now),
        usual_per_s=usual(arrivals.history),
        lately_per_s=lately_per_s,
        spread=SPREAD if spread is None else max(SPREAD, spread.mean),
        is_proven=known.is_proven,
        counted_per_s=counted_per_s,
        at_once=begun,
        unbegun_s=unbegun_s(memory.service_rate, memory.samples, rate.value, begun),
        queues=_forecast_each(memory, fleet, timing, now) if fleet.shared else (),
    )


def _forecast_each(memory: Memory, fleet: Fleet, timing: Timing, now: float) -> tuple[Forecast, ...]:
    """Arrivals of each of a shared fleet's queues, by the level of its own counts."""
    queues = [memory.of_queue(source.name) for source in fleet.sources]
    return tuple(forecast(queue.arrivals, queue.samples, None, timing, now) for queue in queues)


def _learn_from_group(
    before: Memory,
    learned: Memory,
    known: Known,
    *,
    snapshot: Snapshot,
    group: GroupReading,
    fleet: Fleet,
    timing: Timing,
    now: float,
) -> Memory:
    """The memory with what takes a reading of the group: launches, spending, samples, redeliveries, safety margin."""
    queue, at = snapshot.queue, snapshot.at
    queues = before.queues
    if fleet.shared:
        queues = record_each(before, known, snapshot, group, fleet, timing=timing, now=now)
        samples = record_as_one(before, queues, snapshot, fleet, timing)
    else:
        queues = ()  # any were of when it was shared
        samples = record(
            before.as_queue(), before.redeliveries, known, queue, group=group, fleet=fleet, timing=timing, at=at
        )
    returned, samples = redeliveries.learn_returns(before.redeliveries, samples, queue, timing)
    returned = poison.learn_poison(returned, samples, queue, timing)
    returned = learn_held(
        returned,
        samples,
        queue,
        known.rate,
        places=fleet.hints.concurrency,
        each=before.service_rate.in_flight_each,
        timing=timing,
        is_founded=is_founded(before.service_rate),
    )
    if returned.held != before.redeliveries.held:
        samples = with_held(samples, returned.held)
    launches = learn_lead_time(learned.launches, before.samples, queue, group, timing=timing, at=at)
    newest = before.samples[-1] if before.samples else None
    under_way = before.launches.under_way
    launches = learn_lives(launches, under_way, newest, group, alive_s=lived_s(known.lead_s), at=at)
    hangs_s = hang_s(known.lead_time, known.lead_s)
    launches = learn_failing(launches, under_way, newest, group, hang_s=hangs_s, at=at)
    return replace(
        learned,
        learned_at=at,
        launches=launches,
        spending=_learn_spending(before, group, timing, at),
        samples=samples,
        redeliveries=returned,
        margin=_learn_margin(before, samples, queue, fleet, timing, at=at),
        decisions=replace(before.decisions, control=learn_control(before.decisions.control, group, fleet.mode, at)),
        queues=queues,
    )


def _learn_margin(
    before: Memory, samples: tuple[QueueSample, ...], queue: QueueReading, fleet: Fleet, timing: Timing, *, at: float
) -> SafetyMargin:
    """The safety margin; of a shared fleet none: its oldest message may be of a queue whose messages may be old."""
    if fleet.shared:
        return SafetyMargin()
    return safety_margin.judged(
        before.margin,
        before.service_rate.estimate,
        samples,
        queue,
        target_wait_s=fleet.target_wait_s,
        timing=timing,
        learned_at=before.learned_at,
        at=at,
    )


def _learn_spending(memory: Memory, group: GroupReading, timing: Timing, at: float) -> Spending:
    """Add up the unit-seconds of the UTC day, as the budget counts them."""
    day_at = at - at % DAY_S
    spent_s = memory.spending.spent_s if memory.spending.day_at == day_at else 0.0
    if memory.learned_at:
        since = max(memory.learned_at, day_at, at - timing.sample_window_s)
        running = capacity(group.instances, Lifecycle.IN_SERVICE, Lifecycle.LAUNCHING, Lifecycle.DRAINING)
        spent_s += running * max(0.0, at - since)
    return Spending(day_at, spent_s)
