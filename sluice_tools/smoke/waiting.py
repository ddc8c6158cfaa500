"""Waiting that ends: by what was waited for, by its patience, or by the whole run's deadline."""

import time
from collections.abc import Callable


class SmokeError(RuntimeError):
    """The smoke test cannot begin or go on; the message says why, and what to do."""


class Deadline:
    """When the whole run must be over."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._at = clock() + seconds

    @property
    def left_s(self) -> float:
        """Seconds left; negative once it is over."""
        return self._at - self._clock()

    def check(self, what: str) -> None:
        """Let `what` go on.

        Raises:
            SmokeError: The deadline has passed.
        """
        if self.left_s <= 0:
            raise SmokeError(
                f"the deadline of {self._seconds / 60:g} min has passed while waiting for {what}; "
                "--deadline-minutes sets another"
            )


def until(
    what: str,
    condition: Callable[[], bool],
    *,
    patience_s: float,
    pause_s: float,
    deadline: Deadline | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until a condition holds.

    Args:
        what: what is waited for, in words, for the error.
        condition: asked again every `pause_s`.
        patience_s: the longest to wait for it.
        pause_s: between two looks.
        deadline: the whole run's, where it bounds this as well.
        clock: monotonic seconds.
        sleep: waits some seconds.

    Returns:
        How long it took, in seconds.

    Raises:
        SmokeError: It did not hold in time.
    """
    began = clock()
    while not condition():
        if deadline is not None:
            deadline.check(what)
        if clock() - began > patience_s:
            raise SmokeError(f"waited {patience_s:.0f} s in vain for {what}")
        sleep(pause_s)
    return clock() - began
