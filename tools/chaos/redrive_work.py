"""The work queue of redrive scenarios: steps of redrive jobs that are lost, doubled, late, out of order, or held up."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sluice.chains import message_of
from sluice.memory import MemoryWorkQueue, queue_url
from sluice.model.chain import Step
from sluice.ports.errors import TryLaterError

JOBS_QUEUE = queue_url("sluice-jobs")
LATE_S = 90.0  # more than a minute, so that a late step meets the next reseed's
QUICK_S = 0.4  # what a message takes to arrive
HIDDEN_S = 360.0  # until a message comes again that its function did not finish
KEPT_S = 3_600.0


def step_event(step: Step) -> dict[str, Any]:
    """A step as Lambda hands it over: a batch of one record."""
    record = {
        "messageId": f"{step.chain_id}-{step.version}",
        "body": message_of(step),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:local:" + ":".join(JOBS_QUEUE.rsplit("/", 2)[1:]),
    }
    return {"Records": [record]}


@dataclass(frozen=True, slots=True)
class WorkChances:
    """How bad the work queue is, and when it is down; the default: it never is."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    down_from: float = 0.0  # epoch seconds
    down_until: float = 0.0


class FaultyWorkQueue(MemoryWorkQueue):
    """The work queue and its event source mapping, on a world's agenda.

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
            self._after(math.ceil(delay_s) + late_s, partial(self._hand_over, step, self._now() + KEPT_S))

    def _is_down(self) -> bool:
        return self._chances.down_from <= self._now() < self._chances.down_until

    def _hand_over(self, step: Step, gone_at: float) -> None:
        """The mapping invokes the function; what it does not finish comes again, until the queue deletes it."""
        if self._now() >= gone_at:
            return
        if self._is_down():
            self._after(
                self._chances.down_until - self._now() + self._uniform(0, 1), partial(self._hand_over, step, gone_at)
            )
            return
        answer = self._invoke(step_event(step), f"step {step.version}")
        if answer is None or answer["batchItemFailures"]:
            self._after(HIDDEN_S, partial(self._hand_over, step, gone_at))
