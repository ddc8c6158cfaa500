"""The work queue of redrive scenarios: steps of redrive jobs that are lost, doubled, late, out of order, or held up."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sluice.chains import event_of
from sluice.memory import MemoryWorkQueue
from sluice.model.chain import Step
from sluice.ports.errors import TryLaterError

LATE_S = 90.0  # more than a minute, so that a late step meets the next reseed's
QUICK_S = 0.4  # what a message takes to arrive


def step_event(step: Step) -> dict[str, Any]:
    """A step as the planner hands it over."""
    event: dict[str, Any] = json.loads(event_of(step))
    return event


@dataclass(frozen=True, slots=True)
class WorkChances:
    """How bad the work queue is, and when it is down; the default: it never is."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    down_from: float = 0.0  # epoch seconds
    down_until: float = 0.0


class FaultyWorkQueue(MemoryWorkQueue):
    """The work queue, and the planner that hands over what it takes from it, on a world's agenda.

    Args:
        clock: the time.
        chances: how bad it is.
        happens: rolls the dice for something bad.
        uniform: a random number between two.
        after: puts something on the agenda.
        invoke: one invocation of the function; None if it gave no answer.
        tell: takes a line of the story.
        counts: takes what happened.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        chances: WorkChances,
        *,
        happens: Callable[[float], bool],
        uniform: Callable[[float, float], float],
        after: Callable[[float, Callable[[], None]], None],
        invoke: Callable[[dict[str, Any], str], dict[str, Any] | None],
        tell: Callable[[str], None],
        counts: Counter[str],
    ) -> None:
        super().__init__(clock)
        self._now, self._chances = clock, chances
        self._happens, self._uniform, self._after, self._invoke, self._tell = happens, uniform, after, invoke, tell
        self._counts = counts

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step, which may be lost, doubled or late; while the queue is down it takes none."""
        if self._is_down():
            self._tell(f"the work queue is down: {step}")
            self._counts["steps refused"] += 1
            raise TryLaterError("the work queue is down")
        if self._happens(self._chances.lost):
            self._tell(f"{step} is lost")
            self._counts["steps lost"] += 1
            return
        self._counts["steps"] += 1
        copies = 2 if self._happens(self._chances.doubled) else 1
        self._counts["steps doubled"] += copies - 1
        for _ in range(copies):
            late = self._happens(self._chances.late)
            self._counts["steps late"] += late
            late_s = self._uniform(0, LATE_S if late else QUICK_S)
            self._after(math.ceil(delay_s) + late_s, partial(self._deliver, step))

    def _is_down(self) -> bool:
        return self._chances.down_from <= self._now() < self._chances.down_until

    def _deliver(self, step: Step) -> None:
        """The planner hands a step over; what its function does not finish is left to the next reseed."""
        if self._is_down():
            self._after(self._chances.down_until - self._now() + self._uniform(0, 1), partial(self._deliver, step))
        else:
            self._invoke(step_event(step), f"step {step.version}")
