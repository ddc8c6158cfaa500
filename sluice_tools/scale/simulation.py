"""Thousands of fleets in virtual time: the shipped chains over a simulated SQS and Lambda, under AWS's quotas.

`sluice.chains` and the ledger in memory are the shipped code. What a round calls and how long it takes is what was
recorded of the shipped planner (sluice_tools/costs/recorded.json), give or take a seeded spread. Simulated are:

- the work queue: a message is hidden for whole seconds, and then takes some milliseconds to arrive;
- Lambda with the account's concurrency, of which others may leave less; steps of drains are handed over by events;
- processes: a new one begins with a cold start, and reads the copy of the fleets' documents in the ledger;
- quotas: a tick's read that is throttled is missing from its round, and the comparison of that copy with Parameter
  Store waits. Where it takes longer than the planner's timeout, the copy is not kept for long.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import ceil

from sluice.chains import ChainRunner, next_on_grid
from sluice.memory.ledger.chains import MemoryChains
from sluice.model.chain import Chain, Next, Step, kind_of
from sluice_tools.costs.usage import SHARD_SIZE, Recorded, Recording
from sluice_tools.scale.quotas import ACCOUNT_CONCURRENCY, PER_SECOND, buckets

COLD_START_S = 1.2  # of a process with 512 MB: the interpreter, botocore and clients
PAGE, PAGE_S = 10, 0.02  # documents that Parameter Store gives at once, and how long that takes
DOCUMENT_BYTES, COPY_BYTES_PER_S = 600, 5e6  # a fleet's document, and how fast a process reads the copy
CHECKED_S = 300.0  # between two comparisons of the documents
STALE_S = 0.02  # a message that finds another version
HAND_OVER_S = 0.05  # a message whose step is another function's
ARRIVES_S = (0.01, 0.15)  # after a message is visible, until the function has it
SPREAD = 0.25  # of a round's duration: the standard deviation of its logarithm
HEARTBEAT_S = 40.0  # a third of a hook's timeout of two minutes, the shortest that Sluice sets
DRAIN_STEP_S = 0.5  # a heartbeat and what the drain has to ask, for one fleet
FUNCTION_S = {"ticks": 30.0, "drains": 60.0}  # the functions' timeouts


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is simulated."""

    fleets: int
    hot: float = 0.2  # share of the fleets that have work
    draining: float = 0.02  # share of the fleets with a drain under way
    concurrency: int = ACCOUNT_CONCURRENCY  # how many planners others leave room for
    tick_s: float = 10.0
    minutes: int = 10
    seed: int = 1


@dataclass(slots=True)
class Function:
    """A function: steps that wait for it, and those that it is at."""

    concurrency: int
    waiting: deque[Step] = field(default_factory=deque)
    at_work: int = 0
    most: int = 0  # at once so far, which is how many processes there are


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Times are in seconds."""

    fleets: int
    gaps: tuple[float, ...]  # between two rounds over a shard, for each shard and round, sorted
    heartbeat_gaps: tuple[float, ...]  # between two heartbeats of a drain, sorted
    unseen: int  # shards that no round was over in the last minute
    check_s: float  # how long it takes to compare the fleets' documents with Parameter Store
    at_once: int  # planner functions, at the most
    throttled: dict[str, float]  # share of the calls, by quota
    in_flight: int  # invocations of steps at once, at the most

    @property
    def p99(self) -> float:
        """The gap that 99 of 100 are not longer than; endless where a shard was not seen for a minute."""
        return float("inf") if self.unseen else quantile(self.gaps, 0.99)


def quantile(values: tuple[float, ...], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, ceil(share * len(values)) - 1)] if values else float("nan")


class Simulation:
    """One run."""

    def __init__(self, conditions: Conditions, recording: Recording) -> None:
        self.conditions = conditions
        self.recording = recording
        self.now = 0.0
        self._ahead_s = 0.0  # how far the step at work is past the event
        self._rng = random.Random(conditions.seed)  # noqa: S311 - the same in every run
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._quotas = buckets()
        self._functions = {"ticks": Function(conditions.concurrency), "drains": Function(ACCOUNT_CONCURRENCY)}
        self._runner = ChainRunner(MemoryChains(), self, lambda: self.now + self._ahead_s)
        self._seen: dict[str, float] = {}
        self._gaps: dict[str, list[float]] = {"ticks": [], "drains": []}
        self._owed: dict[str, dict[str, float]] = {}
        self._in_flight = 0
        self._check_s = 0.0  # how long the last comparison of the documents took

    # ----------------------------------------------------------------- SQS

    def send(self, step: Step, delay_s: float) -> None:
        """Take a message, as the port of the work queue does."""
        visible_at = self.now + self._ahead_s + ceil(delay_s)
        self._at(visible_at + self._rng.uniform(*ARRIVES_S), partial(self._arrive, "ticks", step))

    def hand_over(self, step: Step) -> None:
        """Take an event, as the port of the work queue does."""
        self._at(self.now + self._ahead_s + self._rng.uniform(*ARRIVES_S), partial(self._arrive, step.kind, step))

    def _arrive(self, function: str, step: Step) -> None:
        self._functions[function].waiting.append(step)
        self._dispatch(function)

    # ----------------------------------------------------------------- Lambda

    def _dispatch(self, name: str) -> None:
        function = self._functions[name]
        everywhere = sum(each.at_work for each in self._functions.values())
        while function.waiting and function.at_work < function.concurrency and everywhere < ACCOUNT_CONCURRENCY:
            step = function.waiting.popleft()
            function.at_work += 1
            is_new = function.at_work > function.most
            function.most = max(function.most, function.at_work)
            everywhere += 1
            self._in_flight = max(self._in_flight, everywhere)
            self._at(self.now + self._invoke(name, step, is_new=is_new), partial(self._end, name))

    def _end(self, name: str) -> None:
        self._functions[name].at_work -= 1
        for other in self._functions:  # the account's concurrency is all functions'
            self._dispatch(other)

    def _invoke(self, function: str, step: Step, *, is_new: bool) -> float:
        """Run a step to its end, or hand it over; how long it took, in seconds."""
        timeout_s = FUNCTION_S[function]
        self._ahead_s = COLD_START_S + self.conditions.fleets * DOCUMENT_BYTES / COPY_BYTES_PER_S if is_new else 0.0
        if function != step.kind:
            self._ahead_s += HAND_OVER_S
            self.hand_over(step)
            took_s, self._ahead_s = self._ahead_s, 0.0
            return took_s
        self._ahead_s = max(self._ahead_s, STALE_S)
        self._runner.run(step, self.now + timeout_s, self._round if step.kind == "ticks" else self._drain)
        took_s, self._ahead_s = self._ahead_s, 0.0
        return min(took_s, timeout_s)

    # ----------------------------------------------------------------- the work

    def _round(self, chain: Chain) -> Next:
        """A round over a shard: its calls under the quotas, and its duration."""
        used = self.recording.round_of(self._size(chain.id), self.conditions.hot)
        self._call(chain.id, used)
        self._ahead_s += used.seconds / max(1.0, used.invocations) * self._rng.lognormvariate(0.0, SPREAD)
        return Next(next_on_grid(self._note(chain), self.conditions.tick_s, self.now + self._ahead_s))

    def _drain(self, chain: Chain) -> Next:
        """A round over a fleet's drains."""
        self._ahead_s += DRAIN_STEP_S * self._rng.lognormvariate(0.0, SPREAD)
        return Next(next_on_grid(self._note(chain), HEARTBEAT_S, self.now + self._ahead_s))

    def _note(self, chain: Chain) -> float:
        now = self.now + self._ahead_s
        if chain.id in self._seen:
            self._gaps[kind_of(chain.id)].append(now - self._seen[chain.id])
        self._seen[chain.id] = now
        return chain.due_at

    def _call(self, shard: str, used: Recorded) -> None:
        """Take the calls of a round out of their quotas; what is not each round's adds up until it is a call."""
        owed = self._owed.setdefault(shard, {name: self._rng.random() for name in self._quotas})
        for name, bucket in self._quotas.items():
            if name == "ssm":
                continue
            owed[name] += used.calls.get(name, 0.0)
            while owed[name] >= 1.0:
                owed[name] -= 1.0
                bucket.take(self.now)

    def _size(self, shard: str) -> int:
        number = int(shard.rpartition("/")[2])
        return min(SHARD_SIZE, self.conditions.fleets - number * SHARD_SIZE)

    # ----------------------------------------------------------------- the run

    def _at(self, at: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, do))

    def _minute(self) -> None:
        """What the schedule brings: the steps of all chains again, in case they were lost."""
        for kind in self._functions:
            self._runner.reseed(self._runner.chains.chains(kind))
        if self.now % CHECKED_S < 60.0:
            pages = ceil(self.conditions.fleets / PAGE)
            self._check_s = PAGE_S * pages + self._quotas["ssm"].wait_s(self.now, pages)
        self._at(self.now + 60.0, self._minute)

    def run(self) -> Result:
        """Run to the end."""
        shards = ceil(self.conditions.fleets / SHARD_SIZE)
        for number in range(shards):
            self._runner.start(f"ticks/{number:04d}", number % 10 * self.conditions.tick_s / 10)
        for number in range(ceil(self.conditions.draining * self.conditions.fleets)):
            self._runner.start(f"drains/{number:05d}", self._rng.uniform(0.0, HEARTBEAT_S))
        self._at(60.0, self._minute)
        end = 60.0 * self.conditions.minutes
        while self._events and self._events[0][0] <= end:
            self.now, _, do = heapq.heappop(self._events)
            do()
        seen = [at for chain_id, at in self._seen.items() if kind_of(chain_id) == "ticks" and at > end - 60.0]
        return Result(
            self.conditions.fleets,
            tuple(sorted(self._gaps["ticks"])),
            tuple(sorted(self._gaps["drains"])),
            shards - len(seen),
            self._check_s,
            self._functions["ticks"].most,
            {n: each.refused / max(1, each.taken + each.refused) for n, each in self._quotas.items()},
            self._in_flight,
        )


def documents_wall() -> float:
    """How many fleets there may be until their documents cannot be compared within the planner's timeout."""
    return FUNCTION_S["ticks"] / (PAGE_S + 1.0 / PER_SECOND["ssm"]) * PAGE


def simulate(conditions: Conditions, recording: Recording) -> Result:
    """Simulate a stack for some minutes."""
    return Simulation(conditions, recording).run()
