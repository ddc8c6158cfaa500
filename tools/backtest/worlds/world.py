"""A world: a composition of traffic, conditions and behaviour; and the least unit-hours that are possible in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from tools.backtest.conditions import MINUTE_S, Conditions
from tools.backtest.policies.clairvoyant import STEP_S, string_of
from tools.backtest.simulated_queue import Floats
from tools.backtest.traces import Trace
from tools.backtest.worlds.behaviours import PLAIN, Behaviour
from tools.backtest.worlds.queue import attempts_of

type Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class World:
    """What a policy meets: small enough that a run takes seconds."""

    name: str
    about: str  # what happens in it, in a sentence
    traffic: Callable[[Rng], Floats]  # messages in each minute
    conditions: Conditions  # with any seed
    behaviour: Behaviour = PLAIN
    hint_seconds: float | None = None  # the seconds per message that the fleet's hints say
    late_why: str = ""  # why not every message can be begun in time; empty where it can
    spare_hours: float = 0.0  # unit-hours that the right behaviour costs beyond the work
    spare_why: str = ""  # what for

    def trace(self, seed: int) -> Trace:
        """Its traffic by the minute: the same for worlds of the same traffic."""
        return Trace(self.name, np.asarray(self.traffic(np.random.default_rng([seed, 11]))).astype(np.int64))

    def conditions_of(self, seed: int) -> Conditions:
        """Its conditions with a seed."""
        return replace(self.conditions, seed=seed)

    def spec(self, policy: str) -> str:
        """A policy as `make` reads it; Sluice with what the fleet's hints say."""
        if self.hint_seconds is None or policy != "sluice":
            return policy
        return f"sluice:hint_seconds={self.hint_seconds:g}"

    @property
    def units_most(self) -> float:
        """Units that can be at work at once: more have nothing to take, or wait for what comes after them."""
        consumers = self.behaviour.consumers
        units = inf
        if consumers.message_groups:
            units = ceil(consumers.message_groups / consumers.concurrency)
        if consumers.most_per_s < inf:
            units = min(units, consumers.most_per_s * self.conditions.seconds_per_message / consumers.concurrency)
        return units


@dataclass(frozen=True, slots=True)
class WorldWork:
    """A world's work for one seed, message by message, in the order of their coming: what a bound is computed of."""

    visible_at: Floats  # when each can be received first, seconds
    first_s: Floats  # unit-seconds of its first attempt
    again_s: Floats  # unit-seconds of the attempt after one that fails; 0 where there is none before the end
    end_s: float  # of the run


def work_of(world: World, seed: int) -> WorldWork:
    """What has to be done, and from when on it can be."""
    consumers = world.behaviour.consumers
    trace = world.trace(seed)
    attempts = attempts_of(trace, world.conditions_of(seed), consumers)
    end_s = trace.minutes * MINUTE_S
    units_s = attempts.takes_s / consumers.concurrency
    hidden_s = np.where(attempts.dies, consumers.visibility_s, np.where(attempts.backs_off, consumers.backoff_s, inf))
    begins_again = attempts.visible_at + np.where(attempts.dies, hidden_s, hidden_s + attempts.takes_s)
    again_s = np.where(begins_again < end_s, units_s, 0.0)
    return WorldWork(attempts.visible_at, units_s, again_s, end_s)


def bound_hours(world: World, seed: int) -> float:
    """Unit-hours below which no policy is that begins at zero, is late with no message and leaves none at the end.

        work of every attempt + boot x the fewest units at the peak + what the right behaviour costs beyond the work

    The peak is the taut string's (`clairvoyant`), and no more than can be at work at once. Where not every message can
    be begun in time, one unit stands for the peak. Units that are protected from scale-in stay to the end.
    """
    work, conditions = work_of(world, seed), world.conditions
    step = np.minimum((work.visible_at / STEP_S).astype(np.int64), int(work.end_s / STEP_S) - 1)
    came = np.cumsum(np.bincount(step, weights=work.first_s, minlength=int(work.end_s / STEP_S))) / STEP_S
    longest_s = float(work.first_s.max(initial=0.0)) * world.behaviour.consumers.concurrency
    slopes = string_of(came, conditions.target_wait_s + longest_s + STEP_S)
    peak = max(1, ceil(min(world.units_most, 1.0 if world.late_why else float(slopes.max())) - 1e-6))
    needed_s = float(work.first_s.sum() + work.again_s.sum())
    if world.behaviour.group.protected:
        last = int(np.flatnonzero(slopes >= slopes.max() - 1e-9)[-1])
        needed_s = max(needed_s, peak * (work.end_s - (last + 1) * STEP_S))
    return (needed_s + conditions.boot_s * peak) / 3600.0 + world.spare_hours
