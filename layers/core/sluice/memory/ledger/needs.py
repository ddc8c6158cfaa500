"""The Needs port in memory."""

from collections.abc import Sequence

from sluice.memory.clock import Clock
from sluice.model.need import OperatorNeed, ReportedNeed
from sluice.ports.ledger.needs import NEEDS_KEPT_S


class MemoryNeeds:
    """The Needs port: needs by reason and fleet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[tuple[str, str], OperatorNeed] = {}
        self._reported: tuple[ReportedNeed, ...] = ()

    def note(self, need: OperatorNeed) -> None:
        """Note what a function saw."""
        self._noted[need.reason, need.fleet] = need

    def noted(self) -> tuple[OperatorNeed, ...]:
        """Everything that was seen lately."""
        since = self._clock() - NEEDS_KEPT_S
        return tuple(self._noted[key] for key in sorted(self._noted) if self._noted[key].seen_at > since)

    def reported(self) -> tuple[ReportedNeed, ...]:
        """What notices reported last."""
        return self._reported

    def keep_reported(self, reported: Sequence[ReportedNeed]) -> None:
        """Keep what a notice reported."""
        self._reported = tuple(reported)
