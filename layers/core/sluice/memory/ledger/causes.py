"""The Causes port in memory."""

from collections.abc import Sequence

from sluice.memory.clock import Clock
from sluice.ports.ledger.causes import CAUSES_KEPT_S


class MemoryCauses:
    """The Causes port: causes, each with the time that it was kept at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._causes: dict[tuple[str, str], tuple[str, float]] = {}

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed."""
        self._causes[fleet, message_id] = (cause, now)

    def causes(self, fleet: str, message_ids: Sequence[str]) -> dict[str, str]:
        """The causes that consumers reported for these messages."""
        now = self._clock()
        found = {message_id: self._causes.get((fleet, message_id)) for message_id in message_ids}
        return {m: report[0] for m, report in found.items() if report and report[1] + CAUSES_KEPT_S > now}
