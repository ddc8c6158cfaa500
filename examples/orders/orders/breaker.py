"""When to stop asking a database that does not answer, and when to ask again.

    closed --trip--> open --(probe due, and it answered)--> half open --succeed--> closed
                      ^                                        |
                      +------------------trip------------------+

While open, nothing is received: each receive of a message that cannot be processed counts against its
`maxReceiveCount`, and an outage must not push good orders into the dead-letter queue. Probes ask the database, not a
message. When the database answers, one message alone is tried first; its success closes the breaker.
"""

from enum import StrEnum
from typing import Final

FIRST_PAUSE_S: Final = 0.25
"""The first pause after a failure: a lost connection or a lock is over at once."""

MAX_PAUSE_S: Final = 10.0
"""The longest pause: after an outage, work resumes within this time."""


class State(StrEnum):
    """Where the breaker is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """A circuit breaker over one database. Not locked: its owner does that."""

    def __init__(self) -> None:
        # Begins open, with a probe due at once: the first message is received only once the database has answered.
        self._state = State.OPEN
        self._failures_count = 0
        self._probe_at = 0.0

    @property
    def state(self) -> State:
        """Where the breaker is now."""
        return self._state

    def trip(self, now: float, jitter: float) -> float:
        """The database could not be used.

        Failures of work that was begun before the breaker opened do not lengthen the pause.

        Args:
            now: Any clock's seconds, the same one as for `probe_in`.
            jitter: 0 to 1, so that a fleet does not come back in step.

        Returns:
            Seconds until the next probe.
        """
        if self._state is not State.OPEN:
            self._state = State.OPEN
            self._back_off(now, jitter)
        return self.probe_in(now)

    def probe_in(self, now: float) -> float:
        """Seconds until a probe is due; 0 where it is."""
        return max(0.0, self._probe_at - now)

    def probe_failed(self, now: float, jitter: float) -> float:
        """The database still does not answer; as `trip`."""
        self._back_off(now, jitter)
        return self.probe_in(now)

    def probe_answered(self) -> None:
        """The database answers: try one message, or all where nothing has failed yet."""
        self._state = State.HALF_OPEN if self._failures_count else State.CLOSED

    def succeed(self) -> None:
        """A message was processed: a database that processes is there."""
        if self._state is not State.OPEN:
            self._state = State.CLOSED
            self._failures_count = 0

    def _back_off(self, now: float, jitter: float) -> None:
        longest_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2**self._failures_count)
        # Half fixed, half by chance: never at once, never in step.
        self._probe_at = now + longest_s * (0.5 + 0.5 * jitter)
        self._failures_count = min(self._failures_count + 1, 16)
