"""Attempts: how often a message was sent again, for messages that cannot carry the count as an attribute."""

from typing import Protocol

ATTEMPTS_KEPT_S = 14 * 86_400.0  # SQS's longest retention: no message lives longer


class Attempts(Protocol):
    """Counts by message key (`sluice.redriving.message_copy.attempts_key`)."""

    def attempts(self, fleet: str, message_key: str) -> int:
        """How often the message was sent again so far; 0 if nothing is kept of it."""
        ...

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Keep the count for ATTEMPTS_KEPT_S; one that is lower than what is kept only keeps that longer."""
        ...
