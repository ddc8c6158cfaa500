"""A decision in sentences and figures: what is needed and why, which limit decided, and the figures it rests on.

A reason's sentence is a clause without capital and full stop, so that reasons can be listed and joined; the decision's
is whole sentences. Limits write their own clauses, beside the branch that each explains.
"""

from collections.abc import Iterator, Sequence
from math import ceil

from sluice.model.decisions import Figure, Reason
from sluice.model.frozen import replace
from sluice.model.observed import Reading
from sluice.planning.assessment import Assessment
from sluice.planning.deadlines import TINY, lateness_s
from sluice.planning.demand import QueueDemand, value
from sluice.planning.launch_cost import apart_s
from sluice.planning.learning import signal_quality
from sluice.planning.learning.throughput import known
from sluice.wording import capitalised, count, duration, exactly, is_are, rate, seconds_or_longer

LIVE_SHARE = 0.5  # of a metric's period: a count younger than that came from the queue itself, not from its metric
NOTABLE_S = 1.0  # lateness below a second is within the arithmetic's rounding


# --------------------------------------------------------------------------- sentences


def need_sentence(tick: Assessment) -> str:
    """What is needed before any limit, and why."""
    waits = _waiting(tick)
    if tick.snapshot.queue.visible is None:
        return f"{waits}: keeping {tick.units(tick.current)}"
    if tick.gathering:
        return f"{waits}: a launch can wait until more have arrived"
    if tick.need == 0 and value(tick.snapshot.queue.delayed) >= 0.5:
        return f"{waits}: a launch can wait until delayed messages are visible"
    if tick.need == 0:
        is_soon = apart_s(tick.arrivals) + tick.arrivals.quiet_s <= tick.lead_s + tick.waits.wait_s
        expected = f"no {tick.unit} is needed yet for messages that are expected" if is_soon else ""
        return f"{waits}, and {expected or 'no more are expected soon'}"
    needed = f"{tick.units(tick.need)} {is_are(tick.need)} needed"
    if tick.need == tick.required.of_batches:
        return f"{waits}: {needed} for a batch that is due now, as one came at such times before"
    most = _asks_most(tick)
    by = f", most of all by queue {most.name}" if most is not None else ""
    each = rate(tick.rate_per_s) + (" each" if tick.need > 1 else "")
    return f"{waits}: {needed}, at {each}, to meet every deadline that can still be met{by}"


def sentence(tick: Assessment, want: int, reasons: Sequence[Reason]) -> str:
    """The decision for people: what is done, for what, and which limit decided."""
    current, waits = tick.current, _waiting(tick)
    limit = "".join(f" {capitalised(reason.sentence)}." for reason in _deciding(tick, reasons[1:]))
    if want > current:
        return f"Scaling out from {current} to {want}: {waits}. {_needed_for(tick)}.{limit}"
    if tick.gathering:
        needed = "A launch can wait until more have arrived"
    elif tick.snapshot.queue.visible is None:
        needed = ""
    else:
        needed = (
            f"No {tick.unit} is needed" if tick.need == 0 else f"{tick.units(tick.need)} {is_are(tick.need)} needed"
        )
    needed = f" {needed}." if needed else ""
    if want < current:
        return f"Scaling in from {current} to {want}: {waits}.{needed}{limit}"
    return f"Holding at {want}: {waits}.{needed}{limit}"


def _deciding(tick: Assessment, limits: Sequence[Reason]) -> list[Reason]:
    """The limit that decided; before it the one that asked for more than is needed, where the last lowered that."""
    changed = [reason for reason in limits if reason.before != reason.after]
    last = (changed or list(limits))[-1:]
    if last and tick.need < last[0].after < last[0].before:
        return [reason for reason in changed if reason.after > reason.before][-1:] + last
    return last


def _needed_for(tick: Assessment) -> str:
    """Why more capacity is needed, and what one unit less would do where that can be worked out."""
    needed = f"{tick.units(tick.need)} {is_are(tick.need)} needed"
    if tick.waiting <= 0:
        return f"{needed} for messages that are expected"
    if tick.need == tick.required.of_batches:
        return f"{needed} for a batch that is due now"
    is_guess = tick.estimates.lead_time.source == "hint" and not tick.fleet.hints.has_lead_hint
    completes = "completes" if tick.estimates.is_proven else "is taken to complete"
    takes = "is taken to need" if is_guess else "takes"
    start = f"a new one {takes} {seconds_or_longer(tick.lead_s)} to start"
    each = f"Each {tick.unit} {completes} {rate(tick.rate_per_s)} and {start}"
    if is_guess and tick.lead_s >= tick.fleet.tightest_wait_s:
        return f"{each}, which was not measured yet, so {needed} to start every message as soon as possible"
    if tick.lead_s >= tick.fleet.tightest_wait_s:
        soon = f"{tick.need:,} {is_are(tick.need)} needed to start every message as soon as possible"
        return f"{each}, so {soon}. {_no_launch_keeps_it(tick)}"
    several = len(tick.required.by_queue) > 1
    target = "within its queue's target wait" if several else f"within {exactly(tick.fleet.tightest_wait_s)}"
    verb = is_are(tick.need)
    return f"{each}, so {tick.need:,} {verb} needed to start every message {target}{_with_one_less(tick)}"


def _no_launch_keeps_it(tick: Assessment) -> str:
    """A target wait that is shorter than a launch, and the minimum size that would keep it."""
    target_s = tick.fleet.tightest_wait_s
    counts = tick.memory.arrivals.history.counts
    busiest = max(counts, default=0.0)
    most = max(tick.waiting, 1.0, busiest)
    when = "as many as are waiting now" if most > max(busiest, 1.0) else "the most of the last day"
    at_once = replace(tick.supply, busy=0.0).units_for(((target_s, most),))
    steady = busiest / tick.memory.arrivals.history.period_s / tick.rate_per_s
    size = f"a minimum size of {ceil(max(at_once, steady) - TINY):,} would, for {count(most, 'message')} in a minute"
    return f"No launch can keep a target wait of {exactly(target_s)}; {size}, {when}"


def _with_one_less(tick: Assessment) -> str:
    """Such as "; with 5, the last may start 12 s late"; empty where one unit less would cost no target."""
    deadlines, fewer = tick.required.deadlines, tick.need - 1
    guard_s = tick.fleet.tightest_wait_s - tick.waits.wait_s  # deadlines are planned that much before the target
    late_s = lateness_s(deadlines, tick.supply, tick.need, tick.lead_s) - guard_s
    if max(late_s, _oldest_late_s(tick)) >= NOTABLE_S:
        return ", as far as that can still be done"
    if not deadlines or fewer < 1 or fewer < tick.supply.total:
        return ""
    late_s = lateness_s(deadlines, tick.supply, fewer, tick.lead_s) - guard_s
    return f"; with {fewer:,}, the last may start {duration(late_s)} late" if late_s >= NOTABLE_S else ""


def _oldest_late_s(tick: Assessment) -> float:
    """By how many seconds the oldest message would start late: no plan has a deadline that nothing can meet."""
    oldest_s = tick.required.oldest_s
    if oldest_s is None or tick.fleet.shared:
        return 0.0
    left_s = tick.fleet.tightest_wait_s - oldest_s
    return max(-left_s, lateness_s(((left_s, 1.0),), tick.supply, tick.need, tick.lead_s))


def _asks_most(tick: Assessment) -> QueueDemand | None:
    """The queue of several that the need comes from."""
    by_queue = tick.required.by_queue
    return max(by_queue, key=lambda asked: asked[1])[0] if len(by_queue) > 1 else None


def _waiting(tick: Assessment) -> str:
    """Such as "340 messages are waiting, the oldest for 41 s"."""
    if tick.snapshot.queue.visible is None:
        return "the number of waiting messages is unknown"
    if tick.waiting < 0.5:
        rest = tick.unfinished
        if rest < 0.5:
            return "no message is waiting"
        return f"no message is waiting, {rest:,.0f} {is_are(rest)} in flight or delayed"
    text = f"{count(tick.waiting, 'message')} {is_are(tick.waiting)} waiting"
    if tick.required.oldest_s is not None:
        text = f"{text}, the oldest for {duration(tick.required.oldest_s)}"
    return text + _left_out(tick)


def _left_out(tick: Assessment) -> str:
    """The part of the backlog that no deadline is planned for, and a count that is not believed yet."""
    newest = tick.memory.samples[-1] if tick.memory.samples else None
    if newest is not None and newest.doubted is not None and newest.at == tick.snapshot.at:
        return f" (SQS counts {newest.doubted:,.0f}, which is read again before it is believed)"
    poison = tick.required.poison
    if poison >= 0.5:
        verb = "is" if round(poison) == 1 else "are"
        return (
            f" ({poison:,.0f} of them {verb} received again and again while others are completed: more would not help)"
        )
    return ""


# --------------------------------------------------------------------------- figures


def figures(tick: Assessment) -> tuple[Figure, ...]:
    """Every figure that the decision used, with its age and where it came from."""
    queue, now, supply, arrivals = tick.snapshot.queue, tick.now, tick.supply, tick.arrivals
    live_s = LIVE_SHARE * tick.timing.metric_period_s
    group_age_s = max(0.0, now - tick.group.at)
    service_rate, lead_time = tick.estimates.service_rate, tick.estimates.lead_time
    came = "metric" if tick.memory.arrivals.history.counts else "queue"
    window = "configured" if tick.fleet.limits.stabilization_window_s is not None else lead_time.source
    working, oldest_s, batches = supply.working, tick.required.oldest_s, tick.required.of_batches
    return (
        _figure("visible", queue.visible, now, live_s),
        _figure("in_flight", queue.in_flight, now, live_s),
        _figure("delayed", queue.delayed, now, live_s),
        _figure("oldest_age_s", queue.oldest_age, now, live_s, live="metric"),
        Figure("oldest_wait_s", oldest_s, None, "missing" if oldest_s is None else "estimated"),
        Figure("arrivals_per_s", arrivals.rate_per_s, arrivals.age_s, came),
        Figure("forecast_per_s", arrivals.ahead_per_s, arrivals.age_s, arrivals.by),
        Figure("forecast_error_per_s", arrivals.error_per_s, arrivals.age_s, "measured"),
        Figure("service_rate_per_s", service_rate.value, service_rate.age_s, service_rate.source),
        Figure("lead_time_s", tick.lead_s, lead_time.age_s, lead_time.source),
        Figure("target_wait_s", tick.fleet.tightest_wait_s, None, "configured"),
        Figure("planned_wait_s", tick.waits.wait_s, None, "measured" if tick.memory.margin.share else "configured"),
        Figure("window_s", tick.window_s, None, window),
        Figure("working", working, group_age_s, "group"),
        Figure("launching", supply.total - working, group_age_s, "group"),
        *_figures_of_evidence(tick),
        *((Figure("need_of_batches", batches, arrivals.age_s, "estimated"),) if batches else ()),
        *signal_quality.figures(tick.snapshot, tick.memory),
        *(_figures_by_queue(tick, live_s) if tick.fleet.shared else ()),
    )


def _figures_of_evidence(tick: Assessment) -> Iterator[Figure]:
    """What units show: how many of them are at work, where others are idle, and what in flight nobody works on."""
    enough = known(tick.memory.service_rate.enough, tick.now)
    if enough is not None:
        yield Figure("units_enough", enough.units, max(0.0, tick.now - enough.at), "measured")
    if tick.held > 0.0:
        received = tick.memory.redeliveries.received
        yield Figure("held", tick.held, max(0.0, tick.now - received.end_at), "measured")


def _figures_by_queue(tick: Assessment, live_s: float) -> Iterator[Figure]:
    """Of several queues: what waits in each and what it asks for."""
    asked = {demand.name: (demand, units) for demand, units in tick.required.by_queue}
    for source, reading in zip(tick.fleet.sources, tick.snapshot.queues, strict=True):
        yield _figure(f"visible in {source.name}", reading.visible, tick.now, live_s)
        if source.name in asked:
            demand, units = asked[source.name]
            yield Figure(f"need of {source.name}", units, None, "estimated")
            if demand.oldest_s is not None:
                yield Figure(f"oldest_wait_s in {source.name}", demand.oldest_s, None, "estimated")


def _figure(name: str, reading: Reading | None, now: float, live_s: float, live: str = "queue") -> Figure:
    """A reading as a figure; `live` names the source of one that is younger than `live_s`."""
    if reading is None:
        return Figure(name, None, None, "missing")
    age_s = reading.age_s(now)
    return Figure(name, reading.value, age_s, live if age_s <= live_s else "metric")
