"""How much capacity a fleet should have, and why: plan(snapshot, fleet, memory, now) -> Decision.

Theory of operation
-------------------
    snapshot, memory --case_of--> Case: supply, deadlines and the need that follows from them    (case, deadlines)
    need --LIMITS, in their order--> want, each change with its reason                           (limits)
    Case, want, reasons --> Decision: figures with their age and source, one sentence            (here)

`estimating.learn` comes before, so that the memory has seen this snapshot; `remember` after, for the next tick.

Invariants
1. The same snapshot, fleet, memory and time give the same decision; a tick repeated changes nothing.
2. More messages waiting never need less.
3. Nothing shrinks on figures that are missing or stale; to zero only when nothing waits, is in flight or is delayed
   (or when a day's budget is used up).
4. A shrink never goes below any need of the stabilisation window, the present one included.
5. `want` is within the group's bounds, or what it is now.
6. From zero, one message waiting is enough to wake.
"""

from collections.abc import Iterator, Sequence

from sluice import feedback, hygiene
from sluice.case import COLD_TICK_S, GATHER_LEAST, HOT_TICK_S, Case, case_of, patience_s
from sluice.config import Fleet
from sluice.limits import LIMITS, NEEDS_GAP_S, Wish, soonest_launch_s
from sluice.model import Action, Decision, Figure, Memory, Mode, Reading, Reason, ReasonCode, Snapshot
from sluice.recurring import is_due
from sluice.sharing import Demand
from sluice.values import replace

NEEDS_COUNT = 200  # a bound on the ledger's record; a falling sequence of needs is rarely longer than ten
NEW_S = 86_400.0  # a fleet is new until so much is known of its queue
LIVE_WITHIN_S = 30.0  # a queue's count younger than this came from the queue itself, an older one from its metric


def plan(snapshot: Snapshot, fleet: Fleet, memory: Memory, now: float) -> Decision:
    """Decide what capacity a fleet should have.

    Args:
        snapshot: what was observed; anything in it may be missing.
        fleet: target wait, hints and limits.
        memory: what was learned, from this snapshot as well.
        now: epoch seconds.
    """
    if snapshot.group is None:
        return _without_group(snapshot, fleet, now)
    case = case_of(snapshot, snapshot.group, fleet, memory, now)
    wish = Wish(case.need)
    waits = _waiting(case)
    reasons = [Reason(ReasonCode.NEED, _need_in_words(case, waits), case.current, case.need)]
    for code, limit in LIMITS:
        before = wish.want
        sentence = limit(case, wish)
        if sentence is not None:
            reasons.append(Reason(code, sentence, before, wish.want))
            if code is ReasonCode.PAUSED:
                break  # held, whatever the rest would say
    current, want = case.current, wish.want
    return Decision(
        id=_id(fleet, now),
        fleet=fleet.name,
        at=now,
        mode=fleet.mode,
        action=Action.GROW if want > current else Action.SHRINK if want < current else Action.HOLD,
        current=current,
        raw_need=case.need,
        want=want,
        reasons=tuple(reasons),
        figures=_figures(case),
        sentence=_sentence(case, want, reasons, waits),
        hot=fleet.mode is not Mode.PAUSED and _is_hot(case, want),
    )


def remember(memory: Memory, decision: Decision) -> Memory:
    """The memory after a decision: its need, for the stabilisation window, and when the fleet last grew or shrank.

    Needs are kept as a falling sequence: one that is not above a later one can never be the highest of a window.
    """
    if any(reason.code is ReasonCode.NO_GROUP for reason in decision.reasons):
        return memory
    at, needs, since = decision.at, memory.needs, memory.needs_since
    if since is None or at - memory.needs_until > NEEDS_GAP_S:
        needs, since = (), at
    kept = tuple(entry for entry in needs if entry[0] < at and entry[1] > decision.raw_need)
    return replace(
        memory,
        needs=(*kept[-NEEDS_COUNT:], (at, decision.raw_need)),
        needs_since=since,
        needs_until=max(at, memory.needs_until),
        grown_at=at if decision.action is Action.GROW else memory.grown_at,
        shrunk_at=at if decision.action is Action.SHRINK else memory.shrunk_at,
        **feedback.noted(memory, decision, patience_s),
    )


def _without_group(snapshot: Snapshot, fleet: Fleet, now: float) -> Decision:
    """Without its group nothing can be decided; the backlog may wait, so look again soon."""
    reason = "; ".join(snapshot.problems) or "the group could not be read"
    return Decision(
        id=_id(fleet, now),
        fleet=fleet.name,
        at=now,
        mode=fleet.mode,
        action=Action.HOLD,
        current=0,
        raw_need=0,
        want=0,
        reasons=(Reason(ReasonCode.NO_GROUP, reason, 0, 0),),
        figures=(),
        sentence=f"Nothing can be decided: {reason}.",
    )


def _id(fleet: Fleet, now: float) -> str:
    """A decision's name: a fleet is decided on once a moment, under its lease."""
    return f"{fleet.name}-{round(now * 1000)}"


def _is_hot(case: Case, want: int) -> bool:
    """Whether a minute until the next look is too long.

    It is while something waits, launches or changes, a batch is due, an idle unit may go, or more than one message is
    expected that its launch could wait for; and where what came just after a look would be seen too late to launch for,
    as long as the fleet is in use. Where looking often keeps the promise, a day without a message ends that use, and a
    new fleet is in use from its first tick on; where no launch can keep it, an empty fleet from which nothing is
    expected is looked at by the minute.
    """
    if want != case.current or case.supply.launches or case.waiting > 0:
        return True
    awaited = case.memory.awaited
    due = bool(awaited) and any(is_due(each, case.lead_s + COLD_TICK_S, case.now) for each in awaited)
    gathers = case.idle and case.arrivals.rate_per_s * COLD_TICK_S >= GATHER_LEAST
    if due or gathers or (want > 0 and (case.only_just_empty or case.idle)):
        return True
    if case.wait_s >= case.lead_s + COLD_TICK_S + HOT_TICK_S:
        return False
    if case.current > 0 or case.unfinished > 0 or case.arrivals.rate_per_s * case.lead_s >= 1.0:
        return True
    if case.wait_s <= soonest_launch_s(case):
        return False
    history = case.memory.arrivals
    return any(history.counts) or len(history.counts) * history.period_s < NEW_S


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
        *hygiene.figures(case.snapshot, case.memory),
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
