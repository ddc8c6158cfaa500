"""The work queue in the drains' world: it loses, doubles, delays and reorders steps, and is down for ten minutes."""

import math
from typing import TYPE_CHECKING

from sluice.model.chain import Step
from sluice.ports.errors import TryLaterError
from sluice_tools.chaos.drain_scene import RETRIES_S

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World

DOWN_S = 600.0


class DrainQueue:
    """The WorkQueue port, which invokes the drainer: what may happen on the way, by the planner, is in its chances.

    Args:
        world: what happens in it.
        down_at: from when the queue takes no message and delivers none for DOWN_S, in epoch seconds; None: never.
    """

    def __init__(self, world: "World", down_at: float | None) -> None:
        self._world = world
        self.down_at = math.inf if down_at is None else down_at

    def is_down(self, at: float) -> bool:
        """Whether the queue is down at a time (epoch seconds)."""
        return self.down_at <= at < self.down_at + DOWN_S

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step, which arrives once, when it is due, as a rule."""
        world, label = self._world, f"step {step.chain_id} v{step.version}"
        if self.is_down(world.now):
            raise TryLaterError("the work queue is down")
        if world.happens(world.chances.step_lost):
            world.troubled_at = world.now
            world.tell(f"{label} is lost")
            return
        for _ in range(2 if world.happens(world.chances.doubled) else 1):
            late_s = 0.0
            if world.happens(world.chances.late):
                world.troubled_at = world.now
                late_s = world.rng.uniform(2, 400)
            arrives_s = math.ceil(delay_s) + world.rng.uniform(0.02, 0.5) + late_s
            world.after(arrives_s, lambda: self._deliver(step, label))

    def hand_over(self, step: Step) -> None:
        """Nobody asks the drainer to hand over."""
        raise NotImplementedError(step)

    def _deliver(self, step: Step, label: str, retries_s: tuple[float, ...] = RETRIES_S) -> None:
        """Hand a step over to the drainer; Lambda does so again where it crashed."""
        world = self._world
        if self.is_down(world.now):
            up_again_s = self.down_at + DOWN_S - world.now
            world.after(up_again_s + world.rng.uniform(0.02, 5), lambda: self._deliver(step, label))
        elif not world.cloud.take(step, label) and retries_s:
            world.after(retries_s[0], lambda: self._deliver(step, label, retries_s[1:]))
