"""The work queue in memory."""

import math

from sluice.memory.clock import Clock
from sluice.model.chain import Step
from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message and the time from which it may be received, in epoch seconds."""

    at: float
    step: Step


class MemoryWorkQueue:
    """The WorkQueue port. `messages` are those that nobody has received; whoever tests may lose or double them.

    `handed` are the steps that were handed over, and that no function has begun.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: list[Delayed] = []
        self.handed: list[Step] = []

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step."""
        self.messages.append(Delayed(self._clock() + math.ceil(delay_s), step))

    def hand_over(self, step: Step) -> None:
        """Hand a step over."""
        self.handed.append(step)

    def receive(self, kind: str | None = None) -> tuple[Step, ...]:
        """Take what may be received now, the longest due first; of one kind of chains, or of all."""
        now = self._clock()
        due: list[Delayed] = []
        others: list[Delayed] = []
        for each in self.messages:
            (due if each.at <= now and kind in {None, each.step.kind} else others).append(each)
        self.messages = others
        return tuple(each.step for each in sorted(due, key=lambda each: each.at))
