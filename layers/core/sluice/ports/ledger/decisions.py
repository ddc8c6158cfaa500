"""Decisions with their outcomes: what the planner wanted, and what came of it."""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from sluice.model.decisions import Decision, Outcome
from sluice.ports.errors import PortError

DECISIONS_KEPT_S = 30 * 86_400.0  # a month of decisions answers "why was it so large last week"


class Decisions(Protocol):
    """The record of decisions."""

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Record decisions with their outcomes, for DECISIONS_KEPT_S; for each, in order, the error that it met.

        Recording one again replaces it.
        """
        ...

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """At most `limit` decisions made from `since` to `until` (epoch seconds, both included), latest first."""
        ...
