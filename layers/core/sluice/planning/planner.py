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

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import Mode
from sluice.model.planning import Action, Decision, Memory, Reason, ReasonCode, Snapshot
from sluice.planning.assessment import COLD_TICK_S, GATHER_LEAST, HOT_TICK_S, Case, case_of, patience_s
from sluice.planning.explanation import _figures, _need_in_words, _sentence, _waiting
from sluice.planning.learning import safety_margin
from sluice.planning.learning.periodic_batches import is_due
from sluice.planning.limits import LIMITS, NEEDS_GAP_S, Wish, soonest_launch_s

NEEDS_COUNT = 200  # a bound on the ledger's record; a falling sequence of needs is rarely longer than ten
NEW_S = 86_400.0  # a fleet is new until so much is known of its queue


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
        **safety_margin.noted(memory, decision, patience_s),
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
