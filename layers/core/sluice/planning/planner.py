"""How much capacity a fleet should have, and why: plan(snapshot, fleet, estimates, memory, timing, now) -> Decision.

Theory of operation
-------------------
    snapshot, estimates --assess--> demand, supply and the need that follows    (assessment, demand, supply, deadlines)
    need --LIMITS, in their order--> want, each change with its reason          (limits)
    Assessment, want, reasons --> Decision: figures and sentences               (explanation)
    Assessment --> what else an operator should know of it, beside the reasons  (visibility)

`learn` comes before, so that the estimates are of this snapshot, too; `remember` after, for the next tick.

Invariants
1. The same snapshot, fleet, estimates, memory, timing and time give the same decision; a tick repeated changes nothing.
2. More messages waiting never need less.
3. A fleet never scales in on figures that are missing or stale; to zero only when nothing waits, is in flight or is
   delayed (or when a day's budget is used up).
4. It never scales in below any need of the stabilization window, the present one included; what was needed for an
   expected batch that is over is no need of the window.
5. `want` is within the group's bounds, or what it is now.
6. From zero, one message waiting is enough to launch.
"""

from sluice.config.fleet import Fleet
from sluice.model.decisions import Action, Decision, Reason, ReasonCode
from sluice.model.frozen import replace
from sluice.model.planning import Estimates, Memory, Snapshot
from sluice.model.timing import Timing
from sluice.model.usage import NeedWindow
from sluice.planning import explanation, visibility
from sluice.planning.assessment import assess
from sluice.planning.control import asked
from sluice.planning.learning import safety_margin
from sluice.planning.limits import LIMITS
from sluice.planning.wish import Wish
from sluice.wording import capitalised

NEEDS_COUNT = 200  # a bound on the ledger's record; a falling sequence of needs is rarely longer than ten


def plan(
    snapshot: Snapshot, fleet: Fleet, estimates: Estimates, memory: Memory, *, timing: Timing, now: float
) -> Decision:
    """Decide what capacity a fleet should have.

    Args:
        snapshot: what was observed; anything in it may be missing.
        fleet: target wait, hints and limits.
        estimates: what is believed, as `learn` gave it with the memory.
        memory: what was learned, from this snapshot as well.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.
    """
    if snapshot.group is None:
        return _without_group(snapshot, fleet, now)
    tick = assess(snapshot, snapshot.group, fleet, estimates, memory, timing=timing, now=now)
    wish = Wish(tick.need)
    reasons = [Reason(ReasonCode.NEED, explanation.need_sentence(tick), tick.current, tick.need)]
    for code, limit in LIMITS:
        before = wish.want
        clause = limit(tick, wish)
        if clause is not None:
            reasons.append(Reason(code, clause, before, wish.want))
            if code is ReasonCode.PAUSED:
                break  # held, whatever the other limits would do
    current, want = tick.current, wish.want
    sentence = explanation.sentence(tick, want, reasons)
    for note in visibility.notes(tick, want):
        reasons.append(note)
        sentence = f"{sentence} {capitalised(note.sentence)}."
    return Decision(
        id=_id(fleet, now),
        fleet=fleet.name,
        at=now,
        mode=fleet.mode,
        action=Action.SCALE_OUT if want > current else Action.SCALE_IN if want < current else Action.HOLD,
        current=current,
        raw_need=tick.need,
        want=want,
        reasons=tuple(reasons),
        figures=explanation.figures(tick),
        sentence=sentence,
    )


def remember(memory: Memory, decision: Decision, timing: Timing) -> Memory:
    """The memory after a decision: its need, for the stabilization window, and whether its plan was followed."""
    if any(reason.code is ReasonCode.NO_GROUP for reason in decision.reasons):
        return memory
    return replace(
        memory,
        needs=with_need(memory.needs, decision, timing),
        margin=safety_margin.noted(memory.margin, decision, timing),
        decisions=replace(memory.decisions, control=asked(memory.decisions.control, decision)),
    )


def with_need(window: NeedWindow, decision: Decision, timing: Timing) -> NeedWindow:
    """The needs of the window with a decision's, and when a fresh unit was due; begun anew after a gap in the needs."""
    at, needs, since = decision.at, window.needs, window.since
    if since is None or at - window.until > timing.blind_s:
        needs, since = (), at
    higher = tuple(entry for entry in needs if entry[0] < at and entry[1] > decision.raw_need)
    fresh, tried = window.fresh, window.tried
    if not any(reason.code is ReasonCode.NOTHING_RECEIVED for reason in decision.reasons):
        fresh, tried = (0.0, 0), 0
    elif decision.want > decision.current or not fresh[0]:
        fresh, tried = (at, decision.current), tried + int(decision.want > decision.current)
    return NeedWindow((*higher[-NEEDS_COUNT:], (at, decision.raw_need)), since, max(at, window.until), fresh, tried)


def _without_group(snapshot: Snapshot, fleet: Fleet, now: float) -> Decision:
    """Without its group nothing can be decided."""
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
    """A decision's name: a fleet is decided on once a moment, by who has its shard."""
    return f"{fleet.name}-{round(now * 1000)}"
