"""How soon a burst is decided on, by the shipped planner in virtual time."""

from __future__ import annotations

import pytest

from sluice_tools.bench_reaction import reactions


@pytest.mark.slow
def test_burst_is_decided_on_when_it_comes_to_idle_and_busy_fleets() -> None:
    """Half of them within 7 s and 99 of 100 within 15 s, at ten seconds a tick; never before the fleet's next step."""
    for load, found in reactions().items():
        (p50, floor), (p99, _) = found.of(0.5), found.of(0.99)
        assert floor <= p50 <= 0.7, load
        assert p99 <= 1.5, load
        assert all(decided >= step for decided, step in zip(found.decided, found.floor, strict=True)), load
