"""The last decisions in words, each with its reasons and the figures it used."""

from collections.abc import Iterable
from dataclasses import dataclass

import htpy

from sluice.model.planning import Action, Decision, Outcome, OutcomeStatus
from sluice.widget.parts import turn
from sluice.widget.text import counted, duration, number, shown
from sluice.widget.view import View

DECISIONS_SHOWN = 6  # at once; the others are folded away
DECISIONS_FOLDED = 24  # more than an operator reads; the ledger keeps them
SENTENCE_LIMIT = 600


@dataclass(frozen=True, slots=True)
class _Told:
    """A decision as told, with how often it was repeated in a row just before."""

    decision: Decision
    outcome: Outcome
    repeats: int
    first_at: float


def told(decisions: Iterable[tuple[Decision, Outcome]]) -> list[_Told]:
    """Decisions, most recent first, with repeated holds drawn together: same size, same reasons, same outcome."""
    rows: list[_Told] = []
    for decision, outcome in decisions:
        last = rows[-1] if rows else None
        if last is not None and decision.action is Action.HOLD and _alike(last, decision, outcome):
            rows[-1] = _Told(last.decision, last.outcome, last.repeats + 1, decision.at)
        else:
            rows.append(_Told(decision, outcome, 1, decision.at))
    return rows


def _alike(last: _Told, decision: Decision, outcome: Outcome) -> bool:
    return (
        last.decision.action is decision.action
        and last.decision.current == decision.current
        and [reason.code for reason in last.decision.reasons] == [reason.code for reason in decision.reasons]
        and (last.outcome.status, last.outcome.answer) == (outcome.status, outcome.answer)
    )


def render_decisions(view: View) -> htpy.Node:
    """The last decisions, the most recent first, each of which unfolds; older ones behind one more fold."""
    if not view.decisions:
        return None
    rows = [_decision(row, view) for row in told(view.decisions)[: DECISIONS_SHOWN + DECISIONS_FOLDED]]
    folded = rows[DECISIONS_SHOWN:]
    return htpy.section[
        htpy.h3["Decisions"],
        htpy.ul(".sl-rows")[rows[:DECISIONS_SHOWN]],
        htpy.details[
            htpy.summary[htpy.span(".sl-facts")[counted(len(folded), "earlier decision")], turn()],
            htpy.ul(".sl-rows")[folded],
        ]
        if folded
        else None,
    ]


_ARROWS = {
    Action.SCALE_OUT: "\N{BLACK UP-POINTING SMALL TRIANGLE}",
    Action.SCALE_IN: "\N{BLACK DOWN-POINTING SMALL TRIANGLE}",
}
_STATUS = {
    OutcomeStatus.SHADOW: (".sl-warn", "shadow"),
    OutcomeStatus.FAILED: (".sl-bad", "failed"),
    OutcomeStatus.BUSY: ("", "busy"),
}


def _decision(row: _Told, view: View) -> htpy.Node:
    decision, outcome = row.decision, row.outcome
    pill = _STATUS.get(outcome.status)
    return htpy.li[
        htpy.details[
            htpy.summary[
                htpy.span(".sl-time")[view.clock.second(decision.at, view.now)],
                htpy.span(f".sl-move.sl-{decision.action}")[_move(decision)],
                htpy.span(".sl-say")[
                    shown(decision.sentence, SENTENCE_LIMIT),
                    [" ", htpy.span(f".sl-pill{pill[0]}")[pill[1]]] if pill else None,
                    _repeats(row, view) if row.repeats > 1 else None,
                ],
                turn(),
            ],
            htpy.div(".sl-more")[
                htpy.p[
                    "Raw need ", htpy.b[f"{decision.raw_need:,}"], ", wanted ", htpy.b[f"{decision.want:,}"],
                    " of ", htpy.b[f"{decision.current:,}"], f". Outcome: {outcome.status}",
                    [": ", shown(outcome.answer)] if outcome.answer else None,
                ],
                _reasons(decision),
                _figures(decision),
            ],
        ]
    ]  # fmt: skip


def _repeats(row: _Told, view: View) -> htpy.Node:
    return [" ", htpy.span(".sl-facts")[f"{row.repeats:,} times since {view.clock.minute(row.first_at, view.now)}"]]


def _move(decision: Decision) -> str:
    if decision.action is Action.HOLD:
        return f"{decision.current:,} held"
    return f"{_ARROWS[decision.action]} {decision.current:,} \N{RIGHTWARDS ARROW} {decision.want:,}"


def _reasons(decision: Decision) -> htpy.Node:
    return htpy.ol(".sl-steps")[
        [
            htpy.li[
                htpy.span(".sl-pill")[str(reason.code)],
                htpy.span(".sl-say")[shown(reason.sentence, SENTENCE_LIMIT)],
                htpy.span(".sl-from")[f"{reason.before:,} \N{RIGHTWARDS ARROW} {reason.after:,}"]
                if reason.before != reason.after
                else None,
            ]
            for reason in decision.reasons
        ]
    ]


def _figures(decision: Decision) -> htpy.Node:
    if not decision.figures:
        return None
    return htpy.table[
        htpy.thead[
            htpy.tr[htpy.th["figure"], htpy.th(".sl-figure")["value"], htpy.th(".sl-figure")["age"], htpy.th["source"]]
        ],
        htpy.tbody[
            [
                htpy.tr[
                    htpy.td[shown(entry.name)],
                    htpy.td(".sl-figure")[number(entry.value)],
                    htpy.td(".sl-figure")[duration(entry.age_s) if entry.age_s is not None else ""],
                    htpy.td[shown(entry.source)],
                ]
                for entry in decision.figures
            ]
        ],
    ]
