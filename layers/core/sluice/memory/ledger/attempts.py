"""The Attempts port in memory."""

from collections.abc import Mapping, Sequence

from sluice.memory.clock import Clock
from sluice.model.redriving import HandledLetter, Remembered
from sluice.ports.ledger.attempts import HANDLED_MAX, kept_s


class MemoryAttempts:
    """The Attempts port."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._letters: dict[tuple[str, str], dict[str, HandledLetter]] = {}

    def handled(self, fleet: str, keys: Sequence[str], now: float) -> Mapping[str, tuple[HandledLetter, ...]]:
        """What is remembered of each body."""
        return {
            key: tuple(
                letter
                for _, letter in sorted(self._letters.get((fleet, key), {}).items())
                if letter.at + kept_s(letter) > now
            )[:HANDLED_MAX]
            for key in keys
        }

    def remember(self, fleet: str, remembered: Sequence[Remembered]) -> None:
        """Write records, and remove those that they answer."""
        for one in remembered:
            letters = self._letters.setdefault((fleet, one.key), {})
            if one.letter is not None:
                letters[one.letter.letter_id] = one.letter
            if one.answered_id is not None:
                letters.pop(one.answered_id, None)
