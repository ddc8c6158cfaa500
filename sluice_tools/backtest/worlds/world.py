"""A world: a composition of traffic, conditions and behaviour; and the least unit-hours that are possible in it."""

from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np

from sluice_tools.backtest.bound import Caps, Demand, least
from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulated_queue import Floats
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.behaviours import PLAIN, Behaviour
from sluice_tools.backtest.worlds.queue import attempts_of
from sluice_tools.backtest.worlds.traffic import Traffic

STEP_S = 120.0  # of the linear program: its optimum is lower by 1 to 3% than with a minute, and found in a second


@dataclass(frozen=True, slots=True)
class World:
    """What a policy meets: small enough that a run takes seconds."""

    name: str
    about: str  # what happens in it, in a sentence
    traffic: Traffic
    conditions: Conditions  # with any seed
    behaviour: Behaviour = PLAIN
    given: str = ""  # what Sluice is given beside the target wait, as parameters of the policy
    late_why: str = ""  # why not every message can be begun in time; empty where it can
    foreseen: bool = False  # but a policy that knows the traffic beforehand can
    spare_hours: float = 0.0  # unit-hours that the right behaviour costs beyond the work
    spare_why: str = ""  # what for

    def trace(self, seed: int) -> Trace:
        """Its traffic by the minute: the same for worlds of the same traffic."""
        return Trace(self.name, np.asarray(self.traffic(np.random.default_rng([seed, 11]))).astype(np.int64))

    def conditions_of(self, seed: int) -> Conditions:
        """Its conditions with a seed."""
        return replace(self.conditions, seed=seed)

    def spec(self, policy: str) -> str:
        """A policy as `make` reads it; Sluice with what it is given in this world."""
        return f"sluice:{self.given}" if self.given and policy == "sluice" else policy

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

    It is the higher of two bounds, and what the right behaviour costs beyond the work:

        work of every attempt + one boot
        the linear program of what is worked on at first (`sluice_tools.backtest.bound`)

    Where not every message can be begun in time, with foresight either, the first alone counts. Units that are
    protected from scale-in stay to the end. A unit that receives whole batches is at work for as long as the longest
    message of each takes.
    """
    work, conditions, consumers = work_of(world, seed), world.conditions_of(seed), world.behaviour.consumers
    in_time = world.foreseen or not world.late_why
    work_s = float(work.first_s.sum() + work.again_s.sum())
    if consumers.whole_batches:
        takes_s, wait_s = work.first_s * consumers.concurrency, conditions.target_wait_s if in_time else inf
        work_s = max(work_s, least_batches_s(work.visible_at, takes_s, consumers.concurrency, wait_s))
    hours = (work_s + conditions.boot_s) / 3600.0
    if in_time:
        hours = max(hours, _in_time_hours(world, work, conditions))
    return hours + world.spare_hours


def least_batches_s(visible_at: Floats, takes_s: Floats, most: int, wait_s: float) -> float:
    """Unit-seconds of the cheapest division of messages into batches, each of which lasts as long as its longest.

    Messages are received in the order of their coming, so a batch is a run of them. It begins when all of it is there,
    so in time only if the last comes no more than a wait after the first. The least for the first n messages is the
    least, over the last batch, of what those before it take and it takes itself.

    Args:
        visible_at: when each message can be received first, seconds, ascending.
        takes_s: seconds that each takes.
        most: messages in a batch at most.
        wait_s: seconds within which each must begin.
    """
    at, takes, least_s = visible_at.tolist(), takes_s.tolist(), [0.0]
    for last in range(len(at)):
        longest_s, best_s = 0.0, inf
        for first in range(last, max(-1, last - most), -1):
            if at[last] - at[first] > wait_s:
                break
            longest_s = max(longest_s, takes[first])
            best_s = min(best_s, least_s[first] + longest_s)
        least_s.append(best_s)
    return float(least_s[-1])


def _in_time_hours(world: World, work: WorldWork, conditions: Conditions) -> float:
    """The linear program's optimum: an instance that works on several messages at once is as many places."""
    places = world.behaviour.consumers.concurrency
    demand = Demand(work.visible_at, work.first_s * places, conditions.target_wait_s, work.end_s)
    caps = Caps(at_once=world.units_most * places)
    bound = least(demand, replace(conditions, max_size=conditions.max_size * places), caps, STEP_S)
    hours = bound.hours / places
    if world.behaviour.group.protected:
        hours = max(hours, _stays_s(demand, conditions.boot_s) / 3600.0 / places)
    return hours


def _stays_s(demand: Demand, boot_s: float) -> float:
    """Unit-seconds that are paid where no unit ever leaves: those of some stretch boot, and stay from its end on."""
    most_s, edges = 0.0, np.arange(0.0, demand.end_s, STEP_S)
    for length_s in demand.lengths_s(STEP_S):
        at = edges[edges <= demand.end_s - length_s]
        units = np.ceil(demand.least_work(at, length_s) / length_s - 1e-6)
        most_s = max(most_s, float((units * (demand.end_s - at - length_s + boot_s)).max(initial=0.0)))
    return most_s
