"""The Attempts port in memory."""

from sluice.memory.clock import Clock
from sluice.ports.ledger.attempts import ATTEMPTS_KEPT_S


class MemoryAttempts:
    """The Attempts port: counts, each with the time that it was kept at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: dict[tuple[str, str], tuple[int, float]] = {}

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far."""
        attempts, at = self._attempts.get((fleet, message_key), (0, 0.0))
        return attempts if at + ATTEMPTS_KEPT_S > self._clock() else 0

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives, unless more are remembered."""
        self._attempts[fleet, message_key] = (max(attempts, self.attempts(fleet, message_key)), now)
