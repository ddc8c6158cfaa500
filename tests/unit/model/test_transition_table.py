"""Transition tables: rows of several states and events become one transition for each pair."""

import pytest

from sluice.model.transition_table import Transition, table_of


def stay(record: str) -> str:
    """A move."""
    return record


def test_table_has_each_pair_when_a_row_names_several_states_and_events() -> None:
    """Each pair of a row, with the row's move and targets; no other pair."""
    table = table_of([(frozenset({"open", None}), ("push", "pull"), stay, frozenset({"closed"}))])
    assert set(table) == {(state, event) for state in ("open", None) for event in ("push", "pull")}
    assert set(table.values()) == {Transition(stay, frozenset({"closed"}))}


def test_table_is_refused_when_two_rows_have_the_same_pair() -> None:
    """The error names the pair: else the later row would silently win."""
    open_door = frozenset({"open"})
    rows = [(open_door, ("push", "pull"), stay, open_door), (open_door, ("pull",), stay, open_door)]
    with pytest.raises(ValueError, match="two rows for state open and event pull"):
        table_of(rows)
