"""The last decisions as sentences, each with its reasons and the figures it is based on."""

from collections.abc import Iterable
from dataclasses import dataclass

import htpy

from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus
from sluice.widget.elements import fold_mark, for_screen_readers
from sluice.widget.figures import labelled
from sluice.widget.text import UNKNOWN, counted, duration, safe_text
from sluice.widget.view import View

DECISIONS_SHOWN = 6  # unfolded
DECISIONS_FOLDED = 24  # behind one more fold; the ledger has the older ones
SENTENCE_MAX_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision, and how many of the same were made in a row up to it."""

    decision: Decision
    outcome: Outcome
    repeats: int  # itself included
    first_at: float  # epoch seconds, of the earliest of them


def merge_repeated(decisions: Iterable[tuple[Decision, Outcome]]) -> list[DecisionRow]:
    """Rows of decisions, most recent first. Holds in a row with equal size, reasons and outcome become one row."""
    rows: list[DecisionRow] = []
    for decision, outcome in decisions:
        last = rows[-1] if rows else None
        if last is not None and decision.action is Action.HOLD and _is_repeat(last, decision, outcome):
            rows[-1] = DecisionRow(last.decision, last.outcome, last.repeats + 1, decision.at)
        else:
            rows.append(DecisionRow(decision, outcome, 1, decision.at))
    return rows


def _is_repeat(last: DecisionRow, decision: Decision, outcome: Outcome) -> bool:
    return (
        last.decision.action is decision.action
        and last.decision.current == decision.current
        and [reason.code for reason in last.decision.reasons] == [reason.code for reason in decision.reasons]
        and (last.outcome.status, last.outcome.answer) == (outcome.status, outcome.answer)
    )


def render_decisions(view: View) -> htpy.Node:
    """The last decisions, most recent first. Each unfolds; the older ones are behind one more fold."""
    if not view.records.decisions:
        return None
    rows = [
        _decision(row, view) for row in merge_repeated(view.records.decisions)[: DECISIONS_SHOWN + DECISIONS_FOLDED]
    ]
    folded = rows[DECISIONS_SHOWN:]
    return htpy.section[
        htpy.h3["Decisions"],
        htpy.ul(".sl-rows")[rows[:DECISIONS_SHOWN]],
        htpy.details[
            htpy.summary[htpy.span(".sl-facts")[counted(len(folded), "earlier decision")], fold_mark()],
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
}


def _decision(row: DecisionRow, view: View) -> htpy.Node:
    decision, outcome = row.decision, row.outcome
    pill = _STATUS.get(outcome.status)
    return htpy.li[
        htpy.details[
            htpy.summary[
                htpy.span(".sl-time")[view.period.second(decision.at)],
                htpy.span(f".sl-move.sl-{decision.action}")[_move(decision)],
                htpy.span(".sl-say")[
                    safe_text(decision.sentence, SENTENCE_MAX_CHARACTERS),
                    [" ", htpy.span(f".sl-pill{pill[0]}")[pill[1]]] if pill else None,
                    _repeats(row, view) if row.repeats > 1 else None,
                ],
                fold_mark(),
            ],
            htpy.div(".sl-more")[
                htpy.p[
                    "Capacity ", htpy.b[f"{decision.current:,}"], ", need ", htpy.b[f"{decision.raw_need:,}"],
                    ", wanted ", htpy.b[f"{decision.want:,}"], f". Outcome: {outcome.status}",
                    [": ", safe_text(outcome.answer)] if outcome.answer else None,
                ],
                _reasons(decision),
                _figures(decision),
            ],
        ]
    ]  # fmt: skip


def _repeats(row: DecisionRow, view: View) -> htpy.Node:
    return [" ", htpy.span(".sl-facts")[f"{row.repeats:,} times since {view.period.minute(row.first_at)}"]]


def _move(decision: Decision) -> htpy.Node:
    if decision.action is Action.HOLD:
        return f"holding {decision.current:,}"
    words = "scale out from" if decision.action is Action.SCALE_OUT else "scale in from"
    return [
        for_screen_readers(f"{words} {decision.current:,} to {decision.want:,}"),
        htpy.span(aria_hidden="true")[
            f"{_ARROWS[decision.action]} {decision.current:,} \N{RIGHTWARDS ARROW} {decision.want:,}"
        ],
    ]


def _reasons(decision: Decision) -> htpy.Node:
    return htpy.ol(".sl-steps")[
        [
            htpy.li[
                htpy.span(".sl-pill")[str(reason.code)],
                htpy.span(".sl-say")[safe_text(reason.sentence, SENTENCE_MAX_CHARACTERS)],
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
            htpy.tr[
                htpy.th(scope="col")["figure"],
                htpy.th(".sl-figure", scope="col")["value"],
                htpy.th(".sl-figure", scope="col")["read before"],
                htpy.th(scope="col")["source"],
            ]
        ],
        htpy.tbody[
            [
                htpy.tr[
                    htpy.td[safe_text(shown.label)],
                    htpy.td(".sl-figure")[shown.value],
                    htpy.td(".sl-figure")[duration(entry.age_s) if entry.age_s is not None else UNKNOWN],
                    htpy.td[safe_text(entry.source)],
                ]
                for entry in decision.figures
                for shown in [labelled(entry)]
            ]
        ],
    ]
