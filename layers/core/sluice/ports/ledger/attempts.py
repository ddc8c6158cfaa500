"""Attempts: what was done with dead letters, by their bodies, so that no copy of one is retried without bound."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sluice.model.redriving import HandledLetter, Remembered

# SQS's longest retention: a copy that carries no count may come back as long as that.
ATTEMPTS_KEPT_S = 14 * 86_400.0
# A copy that carries its count speaks for itself. What its consumer makes of it comes within its window of return.
STAMPED_KEPT_S = 86_400.0
# Of one body that are read: with more, equal bodies are what the producer sends.
HANDLED_MAX = 100


def kept_s(letter: HandledLetter) -> float:
    """How long a record is kept, in seconds."""
    return STAMPED_KEPT_S if letter.stamped else ATTEMPTS_KEPT_S


class Attempts(Protocol):
    """Handled dead letters by the key of their body (`sluice.redriving.letter_history.body_key`)."""

    def handled(self, fleet: str, keys: Sequence[str], now: float) -> Mapping[str, tuple[HandledLetter, ...]]:
        """What is remembered of each body, at most HANDLED_MAX records."""
        ...

    def remember(self, fleet: str, remembered: Sequence[Remembered]) -> None:
        """Write records, each over an earlier one of its dead letter, and then remove those that they answer."""
        ...
