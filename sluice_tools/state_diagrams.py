"""Writes docs/draining.md's diagrams from their tables, so that both agree: `python -m sluice_tools.state_diagrams`."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sluice.consumers.state_machine import BOOT_TABLE, BootEventKind
from sluice.draining.events import EventKind
from sluice.draining.state_machine import TABLE
from sluice.model.consumers import BootState
from sluice.model.draining import DrainState

PAGE = Path(__file__).parents[1] / "docs" / "draining.md"


@dataclass(frozen=True, slots=True)
class StateDiagram:
    """A table to be drawn, and what is drawn of it.

    Args:
        source: the table's name, as the page's markers have it.
        table: (state, None where there is no record; kind of event) -> a transition, which has `to`.
        states: in the order of the columns.
        kinds: in the order of the rows.
        ends: states in which a story can end.
    """

    source: str
    table: Mapping[tuple[Any, Any], Any]
    states: tuple[StrEnum, ...]
    kinds: tuple[StrEnum, ...]
    ends: tuple[StrEnum, ...]

    @property
    def begin(self) -> str:
        """The marker before it."""
        return f"<!-- drawn from {self.source} by `python -m sluice_tools.state_diagrams`: do not edit -->"

    @property
    def end(self) -> str:
        """The marker after it."""
        return f"<!-- end of {self.source} -->"

    def diagram(self) -> str:
        """A Mermaid state diagram: an arrow for each pair of states, labelled with the events that lead there."""
        arrows: dict[tuple[StrEnum | None, StrEnum], list[StrEnum]] = defaultdict(list)
        for (place, kind), transition in self.table.items():
            for target in transition.to - {place}:
                arrows[place, target].append(kind)
        lines = ["```mermaid", "stateDiagram-v2"]
        order: list[StrEnum | None] = [None, *self.states]
        for place, target in sorted(arrows, key=lambda arrow: (order.index(arrow[0]), order.index(arrow[1]))):
            labels = [kind.value.replace(":", "") for kind in sorted(arrows[place, target], key=self.kinds.index)]
            lines.append(f"    {_name(place)} --> {_name(target)}: {', '.join(labels)}")
        lines += [f"    {_name(state)} --> [*]" for state in self.ends]
        return "\n".join([*lines, "```"])

    def rows(self) -> str:
        """A Markdown table: what each event does in each state; a dot where nothing changes."""
        places: list[StrEnum | None] = [None, *self.states]
        rows = ["| event | " + " | ".join("none" if place is None else place.value for place in places) + " |"]
        rows.append("|---" * (len(places) + 1) + "|")
        rows += [
            f"| {kind.value} | " + " | ".join(self._cell(place, kind) for place in places) + " |" for kind in self.kinds
        ]
        return "\n".join(rows)

    def _cell(self, place: StrEnum | None, kind: StrEnum) -> str:
        transition = self.table.get((place, kind))
        if transition is None:
            return "·"
        if transition.to <= {place}:
            return "stays"
        return " or ".join(state.value for state in self.states if state in transition.to)


DIAGRAMS = (
    StateDiagram(
        "sluice.draining.state_machine.TABLE", TABLE, tuple(DrainState), tuple(EventKind), (DrainState.RELEASED,)
    ),
    StateDiagram(
        "sluice.consumers.state_machine.BOOT_TABLE",
        BOOT_TABLE,
        tuple(BootState),
        tuple(BootEventKind),
        (BootState.LOST, BootState.LEFT),
    ),
)


def _name(place: StrEnum | None) -> str:
    return "[*]" if place is None else place.value


def with_diagrams(page: str, drawings: Iterable[StateDiagram] = DIAGRAMS) -> str:
    """The page with its drawn parts made anew.

    Raises:
        ValueError: the page has no place for one.
    """
    for drawing in drawings:
        before, begin, rest = page.partition(drawing.begin)
        _, end, after = rest.partition(drawing.end)
        if not begin or not end:
            raise ValueError(f"{PAGE.name}: must have {drawing.begin!r} and, below it, {drawing.end!r}")
        page = f"{before}{drawing.begin}\n\n{drawing.diagram()}\n\n{drawing.rows()}\n\n{drawing.end}{after}"
    return page


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(with_diagrams(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
