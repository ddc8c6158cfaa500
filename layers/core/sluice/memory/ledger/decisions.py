"""The Decisions port in memory."""

from collections.abc import Sequence
from math import inf

from sluice.memory.clock import Clock
from sluice.model.decisions import Decision, Outcome
from sluice.ports.errors import PortError
from sluice.ports.ledger.decisions import DECISIONS_KEPT_S


class MemoryDecisions:
    """The Decisions port: records by fleet, time and id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._decisions: dict[tuple[str, float, str], tuple[Decision, Outcome]] = {}

    def record_all(self, decided: Sequence[tuple[Decision, Outcome]]) -> tuple[PortError | None, ...]:
        """Record decisions with their outcomes."""
        for decision, outcome in decided:
            self._decisions[decision.fleet, decision.at, decision.id] = (decision, outcome)
        return (None,) * len(decided)

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions of a span of time, most recent first."""
        since = max(since, self._clock() - DECISIONS_KEPT_S)
        keys = sorted((key for key in self._decisions if key[0] == fleet and since <= key[1] <= until), reverse=True)
        return tuple(self._decisions[key] for key in keys[:limit])
