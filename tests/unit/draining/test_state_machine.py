"""The drain's table: every pair of state and event, and the diagram that is drawn of it."""

import itertools

import pytest

from sluice.draining.events import (
    EventKind,
)
from sluice.draining.state_machine import TABLE, StateOrNone, advance, kind_of
from sluice.model.draining import (
    DrainStep,
)
from sluice_tools import state_diagrams
from tests.support.drains import EVENTS, POLICIES, STATES, TIMES, drains_in


def test_table_covers_every_kind_when_listed() -> None:
    """The cases below hold at least one event of each kind, so that no row goes untried."""
    tried = {
        kind_of(drain, event, policy, now)
        for policy in POLICIES
        for place in STATES
        for drain in drains_in(place)
        for event in EVENTS
        for now in TIMES
    }
    assert tried == set(EventKind)


@pytest.mark.parametrize("place", STATES)
def test_advance_keeps_to_the_table_when_any_event_comes(place: StateOrNone) -> None:
    """A row leads where it says or leaves the drain where it is; no row changes nothing at all."""
    for drain, event, now, policy in itertools.product(drains_in(place), EVENTS, TIMES, POLICIES):
        transition = TABLE.get((place, kind_of(drain, event, policy, now)))
        step = advance(drain, event, policy, now)
        if transition is None:
            assert step == DrainStep(drain), event
            continue
        after = step.drain.state if step.drain else None
        assert after == place or after in transition.to, event
        if step.drain is not None:
            assert step.drain.version == (drain.version if drain else 0), f"only the ledger raises it: {event}"


def test_every_target_is_reached_when_all_cases_are_played() -> None:
    """What a row says it can lead to, it does lead to: the diagram shows no arrow that never happens."""
    reached: dict[tuple[StateOrNone, EventKind], set[StateOrNone]] = {key: set() for key in TABLE}
    for place in STATES:
        for drain in drains_in(place):
            for event in EVENTS:
                for now in TIMES:
                    for policy in POLICIES:
                        key = (place, kind_of(drain, event, policy, now))
                        after = advance(drain, event, policy, now).drain
                        if key in reached and after is not None:
                            reached[key].add(after.state)
    missing = {key: row.to - reached[key] - {key[0]} for key, row in TABLE.items()}
    assert {key: states for key, states in missing.items() if states} == {}


# --------------------------------------------------------------------------- the docs


def test_docs_show_the_table_as_it_is_when_drawn_anew() -> None:
    """docs/draining.md is drawn from the tables: `python -m sluice_tools.state_diagrams` after a change."""
    page = state_diagrams.PAGE.read_text()
    assert state_diagrams.with_diagrams(page) == page


def test_drawing_refuses_a_page_without_a_place_for_it() -> None:
    """The markers are named."""
    with pytest.raises(ValueError, match="must have"):
        state_diagrams.with_diagrams("# A page")
