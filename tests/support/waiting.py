"""Waits for what other processes do. A look at the sandbox is a call, which takes some milliseconds on both sides."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_S, LONGEST_S = 0.05, 0.5
"""Between two looks."""
SHARE = 0.1
"""Of the time waited so far, until the next look: what takes long is seen a tenth later at most."""


def pause_s(waited_s: float) -> float:
    """How long to wait for the next look, after so many seconds of waiting."""
    return min(max(SHORTEST_S, SHARE * waited_s), LONGEST_S)


def eventually[T](look: Callable[[], T], within_s: float = 30.0) -> T:
    """Call something until it answers truthfully.

    Returns:
        That answer.

    Raises:
        AssertionError: It did not within `within_s` seconds.
    """
    began = time.monotonic()
    while not (answer := look()):
        waited_s = time.monotonic() - began
        assert waited_s <= within_s, f"not within {within_s} s: last answer {answer!r}"
        time.sleep(pause_s(waited_s))
    return answer
