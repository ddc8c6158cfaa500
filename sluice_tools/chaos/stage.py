"""The stage of every story: virtual time with an agenda, seeded chance, the story so far, and what was violated."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

START = 1_800_000_000.0  # epoch seconds: January 2027


class Stage:
    """Virtual time and chance.

    Args:
        rng: the seed's dice.
        quiet_at: from then on (epoch seconds) nothing bad happens any more.
    """

    def __init__(self, rng: Random, quiet_at: float) -> None:
        self.rng = rng
        self.quiet_at = quiet_at
        self.now = START
        self.story: list[str] = []
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.running: list[str] = []  # who is at it, innermost last
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        """The true time."""
        return self.now

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Put something on the agenda."""
        heapq.heappush(self._agenda, (self.now + delay_s, next(self._order), what))

    def pass_until(self, time: float) -> None:
        """Let time pass, and everything happen that falls due in it."""
        while self._agenda and self._agenda[0][0] <= time:
            at, _, what = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            what()
        self.now = max(self.now, time)

    def sleep(self, seconds: float) -> None:
        """Whoever runs waits; the others do not."""
        who = self.running.pop()
        self.pass_until(self.now + seconds)
        self.running.append(who)

    def planned_count(self) -> int:
        """How much is still on the agenda."""
        return len(self._agenda)

    def tell(self, line: str) -> None:
        """One line of the story."""
        who = f"[{self.running[-1]}] " if self.running else ""
        self.story.append(f"{self.now - START:9.2f} {who}{line}")

    def violate(self, what: str) -> None:
        """An invariant does not hold."""
        self.tell(f"VIOLATION {what}")
        self.violations.append(f"{what} (at {self.now - START:.2f} s)")

    def happens(self, chance: float) -> bool:
        """Roll the dice for something bad."""
        return self.now < self.quiet_at and self.rng.random() < chance
