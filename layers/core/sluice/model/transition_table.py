"""Transition tables of state machines: rows of several states and events, as a mapping from pair to transition.

Shapes: a row is (states, events, move, to). A state of None stands for "there is no record yet".
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sluice.model.frozen import dataclass

type Row[State, Event] = tuple[frozenset[State], tuple[Event, ...], Callable[..., Any], frozenset[State]]
type Table[State, Event] = Mapping[tuple[State, Event], Transition[State]]


@dataclass(frozen=True, slots=True)
class Transition[State]:
    """What an event does to a record in some state, and the states that it can lead to (none: the state stays)."""

    move: Callable[..., Any]
    to: frozenset[State]


def table_of[State, Event](rows: Iterable[Row[State, Event]]) -> Table[State, Event]:
    """The transition of each pair of state and event; a pair that no row has is no transition.

    Raises:
        ValueError: two rows have the same pair.
    """
    table: dict[tuple[State, Event], Transition[State]] = {}
    for states, events, move, to in rows:
        for state in states:
            for event in events:
                if (state, event) in table:
                    raise ValueError(f"two rows for state {state} and event {event}")
                table[state, event] = Transition(move, to)
    return table
