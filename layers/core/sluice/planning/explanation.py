"""A decision in words: what is needed and why, and the figures it rests on."""

from collections.abc import Iterator, Sequence

from sluice.model.observed import Reading
from sluice.model.planning import Figure, Reason
from sluice.planning.assessment import Case
from sluice.planning.learning import signal_quality
from sluice.planning.multi_queue import Demand

LIVE_WITHIN_S = 30.0  # a queue's count younger than this came from the queue itself, an older one from its metric


# --------------------------------------------------------------------------- in words and figures


def _need_in_words(case: Case, waits: str) -> str:
    if case.snapshot.queue.visible is None:
        return f"how much waits is unknown: {case.current}, as it is"
    if case.gathering:
        return f"{waits}: a launch can wait for more to come"
    if case.need == 0:
        return "nothing waits, and nothing is expected soon"
    if case.need == case.awaited:
        return f"{_waiting(case)}: {case.need} for a batch that is due, as it was at such times before"
    most = _asks_most(case)
    which = f", as {most.name} asks for most" if most is not None else ""
    return f"{waits}: {case.need} at {_speed(case)} meet the deadlines that can be met{which}"


def _asks_most(case: Case) -> Demand | None:
    """The queue of several that the need comes from."""
    return max(case.asked, key=lambda asked: asked[1])[0] if len(case.asked) > 1 else None


def _sentence(case: Case, want: int, reasons: Sequence[Reason], waiting: str) -> str:
    """One sentence for a person: what is done, for what, and what had the last word."""
    current = case.current
    changed = [reason for reason in reasons[1:] if reason.before != reason.after]
    last = (changed or reasons[1:])[-1:]
    but = f"; {last[0].sentence}" if last else ""
    if want > current and case.waiting > 0:
        target = f"within {case.fleet.tightest_wait_s:g} s" if len(case.asked) < 2 else "in time"
        if want >= case.need:
            serves = f"{want} finish them {target}"
        else:
            serves = f"{case.need} would be needed to finish them {target}"
        means = f"at {_speed(case)} and {case.lead_s:.0f} s to launch"
        return f"Grow from {current} to {want}: {waiting}; {means}, {serves}{but}."
    if want > current:
        return f"Grow from {current} to {want}: {waiting}; {case.need} are needed for what is to come{but}."
    needed = "none is needed" if case.need == 0 else f"{case.need} needed" if case.need != 1 else "one needed"
    if case.gathering:
        needed = "none is needed yet"
    if want < current:
        return f"Shrink from {current} to {want}: {waiting}; {needed}{but}."
    return f"Hold at {want}: {waiting}; {needed}{but}."


def _waiting(case: Case) -> str:
    """Such as "340 messages wait, the oldest 41 s"."""
    queue = case.snapshot.queue
    if queue.visible is None:
        return "how much waits is unknown"
    if case.waiting < 0.5:
        rest = case.unfinished
        return f"nothing waits, {rest:.0f} in flight or delayed" if rest else "nothing waits"
    words = "1 message waits" if round(case.waiting) == 1 else f"{case.waiting:.0f} messages wait"
    if case.oldest_s is not None:
        words = f"{words}, the oldest {case.oldest_s:.0f} s"
    return words + _left_out(case)


def _left_out(case: Case) -> str:
    """What of the backlog no deadline is planned for, and what was counted and is not believed yet."""
    seen = case.memory.sightings[-1] if case.memory.sightings else None
    if seen is not None and seen.doubted is not None and seen.at == case.snapshot.at:
        return f" (counted {seen.doubted:.0f}: looked at once more before it is believed)"
    if case.poison >= 0.5:
        return f" ({case.poison:.0f} of them received again and again while others are completed: more would not help)"
    return ""


def _speed(case: Case) -> str:
    """Such as "1.9 a second per instance"; by the minute where that reads better."""
    per_s = case.rate.value
    return f"{per_s:.2g} a second per instance" if per_s >= 0.5 else f"{per_s * 60.0:.2g} a minute per instance"


def _figures(case: Case) -> tuple[Figure, ...]:
    """Every figure that the decision used, with its age and where it came from."""
    queue, now, supply, arrivals = case.snapshot.queue, case.now, case.supply, case.arrivals
    group_age_s = max(0.0, now - case.group.at)
    came = "metric" if case.memory.arrivals.counts else "queue"
    window = "configured" if case.fleet.limits.shrink_window_s is not None else case.lead.source
    working, oldest_s = supply.working, case.oldest_s
    return (
        _figure("visible", queue.visible, now),
        _figure("in_flight", queue.in_flight, now),
        _figure("delayed", queue.delayed, now),
        _figure("oldest_age_s", queue.oldest_age, now, live="metric"),
        Figure("oldest_wait_s", oldest_s, None, "missing" if oldest_s is None else "estimated"),
        Figure("arrivals_per_s", arrivals.rate_per_s, arrivals.age_s, came),
        Figure("forecast_per_s", arrivals.ahead_per_s, arrivals.age_s, arrivals.by),
        Figure("forecast_error_per_s", arrivals.error_per_s, arrivals.age_s, "measured"),
        Figure("service_rate_per_s", case.rate.value, case.rate.age_s, case.rate.source),
        Figure("lead_time_s", case.lead_s, case.lead.age_s, case.lead.source),
        Figure("target_wait_s", case.fleet.tightest_wait_s, None, "configured"),
        Figure("planned_wait_s", case.wait_s, None, "measured" if case.memory.kept_back else "configured"),
        Figure("window_s", case.window_s, None, window),
        Figure("working", working, group_age_s, "group"),
        Figure("launching", supply.total - working, group_age_s, "group"),
        *((Figure("need_of_batches", case.awaited, arrivals.age_s, "estimated"),) if case.awaited else ()),
        *signal_quality.figures(case.snapshot, case.memory),
        *(_figures_by_queue(case) if case.fleet.shared else ()),
    )


def _figures_by_queue(case: Case) -> Iterator[Figure]:
    """Of several queues: what waits in each and what it asks for."""
    asked = {demand.name: (demand, units) for demand, units in case.asked}
    for source, reading in zip(case.fleet.sources, case.snapshot.queues, strict=True):
        yield _figure(f"visible in {source.name}", reading.visible, case.now)
        if source.name in asked:
            demand, units = asked[source.name]
            yield Figure(f"need of {source.name}", units, None, "estimated")
            if demand.oldest_s is not None:
                yield Figure(f"oldest_wait_s in {source.name}", demand.oldest_s, None, "estimated")


def _figure(name: str, reading: Reading | None, now: float, live: str = "queue") -> Figure:
    if reading is None:
        return Figure(name, None, None, "missing")
    age_s = reading.age_s(now)
    return Figure(name, reading.value, age_s, live if age_s <= LIVE_WITHIN_S else "metric")
