"""What of a fleet needs an operator, and what to do: in the words of the notices, above everything else."""

import htpy

from sluice.model.need import OperatorNeed
from sluice.notices import REASONS, present
from sluice.telemetry import Detail
from sluice.widget.text import duration, safe_text
from sluice.widget.view import View
from sluice.wording import capitalised

_ORDER = {reason: place for place, reason in enumerate(REASONS)}  # what stops a fleet first


def needs_of(needs: tuple[OperatorNeed, ...], names: frozenset[str], now: float) -> dict[str, list[OperatorNeed]]:
    """The needs that are not over, by fleet, the most serious first.

    Args:
        needs: as the ledger has them.
        names: the fleets that exist.
        now: epoch seconds.
    """
    found: dict[str, list[OperatorNeed]] = {}
    for need in present(needs, names, Detail.STACK, now).values():
        found.setdefault(need.fleet, []).append(need)
    return {fleet: sorted(of_fleet, key=rank) for fleet, of_fleet in found.items()}


def rank(need: OperatorNeed) -> int:
    """The place of a need's reason among all, 0 for the most serious."""
    return _ORDER[need.reason]


def render_attention(view: View) -> htpy.Node:
    """A note for each thing that needs an operator, with what to do."""
    if view.fleet is None:
        return None
    now = view.period.now
    needs = needs_of(view.records.needs, frozenset({view.fleet.name}), now).get(view.fleet.name, [])
    return [
        htpy.div(".sl-note.sl-bad")[
            htpy.b["Needs an operator: "],
            f"{capitalised(REASONS[need.reason].began)}, last found {duration(max(0.0, now - need.seen_at))} ago. ",
            htpy.br,
            htpy.b["What to do: "],
            safe_text(REASONS[need.reason].to_do.format(stack=view.settings.stack), 600),
        ]
        for need in needs
    ]
