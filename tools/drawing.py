"""Draws the drain's diagram from its table, so that the two cannot differ: `python -m tools.drawing`."""

import sys
from collections import defaultdict
from pathlib import Path

from sluice.draining import TABLE, EventKind, Place
from sluice.model import DrainState

PAGE = Path(__file__).parents[1] / "docs" / "draining.md"
BEGIN = "<!-- drawn from sluice.draining.TABLE by `python -m tools.drawing`: do not edit -->"
END = "<!-- drawn -->"


def diagram() -> str:
    """A Mermaid state diagram: an arrow for each pair of states, labelled with the events that lead there."""
    arrows: dict[tuple[Place, Place], list[EventKind]] = defaultdict(list)
    for (place, kind), transition in TABLE.items():
        for target in transition.to - {place}:
            arrows[place, target].append(kind)
    lines = ["```mermaid", "stateDiagram-v2"]
    order: list[Place] = [None, *DrainState]
    for place, target in sorted(arrows, key=lambda arrow: (order.index(arrow[0]), order.index(arrow[1]))):
        kinds = sorted(arrows[place, target], key=list(EventKind).index)
        label = ", ".join(kind.value.replace(":", "") for kind in kinds)
        lines.append(f"    {_name(place)} --> {_name(target)}: {label}")
    return "\n".join([*lines, f"    {_name(DrainState.RELEASED)} --> [*]", "```"])


def table() -> str:
    """A Markdown table: what each event does in each state; a dot where nothing changes."""
    places: list[Place] = [None, *DrainState]
    rows = ["| event | " + " | ".join("none" if place is None else place.value for place in places) + " |"]
    rows.append("|---" * (len(places) + 1) + "|")
    for kind in EventKind:
        cells = [_cell(place, kind) for place in places]
        rows.append(f"| {kind.value} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(place: Place, kind: EventKind) -> str:
    transition = TABLE.get((place, kind))
    if transition is None:
        return "·"
    return " or ".join(state.value for state in DrainState if state in transition.to) or "stays"


def _name(place: Place) -> str:
    return "[*]" if place is None else place.value


def drawn(page: str) -> str:
    """The page with its drawn part made anew.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: must have {BEGIN!r} and, below it, {END!r}")
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(drawn(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
