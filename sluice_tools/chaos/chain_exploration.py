"""Every interleaving of a chain's protocol: `python -m sluice_tools.chaos.chain_exploration`.

The code that is explored is `sluice.chains.ChainRunner` itself. Two workers and a third party (the reseed, or whoever
asks for a step or assigns work) run it call by call, in every order. Messages are lost, doubled, late and early,
workers crash before and after every call, and Lambda ends those that are too slow. A worker is resumed by running it
again with the answers that it had, which is why `ChainRunner` must do nothing that its ports and its clock do not tell
it. The steps of another function's chains are handed over by events, which are lost, doubled and late as messages are.

Checked in every state:

1. At most one worker is at the chain, no version is begun twice, and no stale message begins a step.
2. Once nothing fails any more, one reseed makes a chain go on within a worker's life.
3. What was asked for begins afterwards, without a reseed where nothing failed.
4. The record has what was assigned last, and so has each step that begins.

The time is in ticks: a step is due one tick after the last, and a worker lives for two.
"""

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import field
from functools import cache
from typing import Any

from sluice.chains import CLOCKS_DIFFER_S, ChainRunner
from sluice.memory.ledger.chains import MemoryChains
from sluice.model.chain import Chain, Next, Step
from sluice.model.frozen import dataclass, replace

ID = "ticks/0001"
WORK = '{"fleets":["orders"]}'  # what is assigned
LIFE = 2  # of a worker, in ticks
CLOSING_CALLS = 500  # a run without faults that takes more of them goes round in circles

type Call = tuple[str, tuple[Any, ...]]
type Task = tuple[str, Step | None, float]  # what it runs, with which step, until when


@dataclass(frozen=True, slots=True)
class Budget:
    """How often what goes wrong, or is asked, may still happen."""

    faults: int = 1  # messages lost, doubled or early, workers that crash
    reseeds: int = 1
    asks: int = 1
    ticks: int = 1


@dataclass(slots=True)
class Worker:
    """A process at a task, by the answers that it had so far. Its hash is asked for more often than all else."""

    task: Task
    answers: tuple[Any, ...] = ()
    hashed: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Neither the task nor the answers change."""
        self.hashed = hash((self.task, self.answers))

    def __hash__(self) -> int:
        """As a frozen value's."""
        return self.hashed


@dataclass(frozen=True, slots=True)
class State:
    """The whole world at one moment."""

    budget: Budget
    ledger: type[MemoryChains] = MemoryChains
    now: int = 0
    record: Chain | None = None
    messages: tuple[tuple[float, Step], ...] = ()  # from when each may be received; sorted
    is_handed_over: bool = False  # whether who receives a step hands it to another function
    events: tuple[Step, ...] = ()  # steps that are handed over, and that no worker has begun; sorted
    workers: tuple[Worker | None, ...] = (None, None, None)  # the third does not run steps
    begun: int = 0  # the last version that a step was begun at
    asked: bool = False  # a step was asked for, and none has begun since
    troubled: bool = False  # something was lost, or a worker died
    assigned: str = Chain("", 0, 0.0).assignment  # the last assignment
    stale_begun: bool = False  # a message of another version than the record's began a step


@dataclass(slots=True)
class Outcome:
    """What an exploration came to."""

    states: int = 0
    transitions: int = 0
    closings: int = 0
    violations: list[str] = field(default_factory=list)


class _Suspended(BaseException):
    """A worker is at its next call."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Replay:
    """Every port and the clock of a worker: what was answered before is answered again."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            for answer in self._answers:
                return answer
            raise _Suspended((name, args))

        return call


@cache
def next_call(worker: Worker) -> Call | None:
    """The call that a worker makes next; None if it is through."""
    place = _Replay(worker.answers)
    runner = ChainRunner(place, place, place.now)
    kind, step, until = worker.task
    try:
        if kind == "run" and step is not None:
            runner.run(step, until, place.do)
        elif kind == "wake":
            runner.wake(ID)
        elif kind == "assign":
            runner.assign(ID, WORK, until - LIFE)
        else:
            runner.reseed(place.chains("ticks"))
    except _Suspended as suspended:
        return suspended.call
    return None


def successors(state: State, *, ends: bool) -> Iterator[State]:
    """Every state that one event makes of a state.

    Args:
        state: the world.
        ends: whether the chain's work may be over after any of its steps.
    """
    budget = state.budget
    yield from _deliveries(state)
    for place, worker in enumerate(state.workers):
        if worker is None:
            continue
        yield from _resumed(state, place, worker, ends=ends)
        if budget.faults:
            yield _with_worker(_faulty(state), place, None)
    if state.workers[2] is None:
        if budget.reseeds:
            task: Task = ("reseed", None, state.now + LIFE)
            yield _with_worker(replace(state, budget=replace(budget, reseeds=budget.reseeds - 1)), 2, Worker(task))
        if budget.asks:
            asking = replace(state, budget=replace(budget, asks=budget.asks - 1))
            for kind in ("wake", "assign"):
                yield _with_worker(asking, 2, Worker((kind, None, state.now + LIFE)))
    if budget.ticks:
        yield _tick(replace(state, budget=replace(budget, ticks=budget.ticks - 1)))


def _deliveries(state: State) -> Iterator[State]:
    """Each message that may be received is received, received and kept, or lost; one that may not is early."""
    free = next((place for place in (0, 1) if state.workers[place] is None), None)
    yield from _begun(state, free)
    for index, (at, step) in enumerate(state.messages):
        rest = state.messages[:index] + state.messages[index + 1 :]
        if state.budget.faults:
            yield replace(_faulty(state), messages=rest)
        if state.is_handed_over:
            taken = replace(state, events=tuple(sorted([*state.events, step], key=lambda each: each.version)))
        elif free is not None:
            taken = _with_worker(state, free, Worker(("run", step, state.now + LIFE)))
        else:
            continue
        if at > state.now:
            if state.budget.faults:
                yield replace(_faulty(taken), messages=rest)  # early: the clocks of two hosts differ
            continue
        yield replace(taken, messages=rest)
        if state.budget.faults:
            yield replace(_faulty(taken), troubled=state.troubled)


def _begun(state: State, free: int | None) -> Iterator[State]:
    """Each event is begun by a worker, begun and kept, or lost."""
    for index, step in enumerate(state.events):
        rest = state.events[:index] + state.events[index + 1 :]
        if state.budget.faults:
            yield replace(_faulty(state), events=rest)
        if free is None:
            continue
        taken = _with_worker(state, free, Worker(("run", step, state.now + LIFE)))
        yield replace(taken, events=rest)
        if state.budget.faults:
            yield replace(_faulty(taken), troubled=state.troubled)


def _resumed(state: State, place: int, worker: Worker, *, ends: bool) -> Iterator[State]:
    """A worker makes its next call; it makes those that no other can see at once."""
    while (call := next_call(worker)) is not None and call[0] == "now":
        worker = replace(worker, answers=(*worker.answers, float(state.now)))
    if call is None:
        yield _with_worker(state, place, None)
        return
    name, args = call
    if name == "do":
        answers: list[Next | None] = [Next(state.now + 1.0)]
        if ends:
            answers.append(None)
        for answer in answers:
            yield _with_worker(state, place, replace(worker, answers=(*worker.answers, answer)))
        return
    after, answer = _perform(state, name, args)
    yield _with_worker(after, place, replace(worker, answers=(*worker.answers, answer)))


def _perform(state: State, name: str, args: tuple[Any, ...]) -> tuple[State, Any]:
    """What a call of a port does, and answers: the shipped port in memory, put into the state that it is called in."""
    if name == "send":
        step, delay = args
        return replace(state, messages=tuple(sorted([*state.messages, (state.now + delay, step)], key=_order))), None
    chains = state.ledger()
    if state.record is not None:
        chains.restore(state.record)
    answer = getattr(chains, name)(*args)
    after = replace(state, record=chains.chain(ID))
    if name == "claim" and answer is not None:
        stale = answer.version != args[0].version + 1
        after = replace(after, begun=answer.version, asked=False, stale_begun=stale)
    if name in {"ask", "assign"} and answer is not None:
        after = replace(after, asked=True)
    if name in {"start", "assign"} and answer is not None:
        after = replace(after, assigned=args[-1])
    if name == "start" and answer is not None:
        after = replace(after, begun=0)  # a chain that is made anew has versions of its own
    return after, answer


def _order(message: tuple[float, Step]) -> tuple[float, int]:
    at, step = message
    return at, step.version


def _tick(state: State) -> State:
    """A tick goes by. Lambda ends workers whose time is over: that is no fault of theirs that a budget limits."""
    now = state.now + 1
    alive: tuple[Worker | None, ...] = tuple(
        worker if worker is not None and worker.task[2] > now else None for worker in state.workers
    )
    return replace(state, now=now, workers=alive, troubled=state.troubled or alive != state.workers)


def _faulty(state: State) -> State:
    """One thing has gone wrong."""
    return replace(state, troubled=True, budget=replace(state.budget, faults=state.budget.faults - 1))


def _with_worker(state: State, place: int, worker: Worker | None) -> State:
    """A worker's place in the world; which of the two that run steps is which makes no difference."""
    workers = list(state.workers)
    workers[place] = worker
    one, two, third = workers
    if one is not None and (two is None or hash(two) < hash(one)):
        one, two = two, one
    return replace(state, workers=(one, two, third))


def at_chain(state: State) -> int:
    """How many workers have claimed the chain, and are neither through nor dead."""
    return sum(
        worker is not None
        and worker.task[0] == "run"
        and any(isinstance(answer, Chain) and answer.at_work_until == worker.task[2] for answer in worker.answers)
        and (call := next_call(worker)) is not None
        and call[0] not in {"send", "now"}
        for worker in state.workers[:2]
    )


def closed(state: State, *, reseeds: bool) -> State | None:
    """The world some ticks later if nothing fails any more, as soon as a step has begun; None if none does.

    Args:
        state: where it begins.
        reseeds: whether the schedule reseeds in it.
    """
    calm = replace(state, budget=Budget(0, 0, 0, 0))
    if reseeds:
        calm = _with_worker(calm, 2, Worker(("reseed", None, calm.now + LIFE)))
    for _ in range(CLOSING_CALLS):
        if calm.begun != state.begun:
            return calm
        place = next((place for place, worker in enumerate(calm.workers) if worker is not None), None)
        if place is not None:
            calm = next(_resumed(calm, place, calm.workers[place] or Worker(("", None, 0)), ends=False))
        elif (received := next(_deliveries(calm), None)) is not None:
            calm = received
        elif calm.messages and calm.now < state.now + LIFE + CLOCKS_DIFFER_S:
            calm = _tick(calm)
        else:
            return None
    return None


def explore(
    budget: Budget,
    *,
    ends: bool,
    handed: bool = False,
    ledger: type[MemoryChains] = MemoryChains,
    sought: str | None = None,
) -> Outcome:
    """Visit every state that can be reached.

    Args:
        budget: how often what may go wrong.
        ends: whether the chain's work may be over after any of its steps.
        handed: whether its steps are handed to another function.
        ledger: where the chain's record is kept.
        sought: how the violation begins that is looked for: once it is found, no more states are visited.
    """
    step, record = Step(ID, 1), Chain(ID, 1, 0.0)
    first = State(budget, ledger, record=record, messages=((0.0, step),), is_handed_over=handed)
    seen, waiting, outcome = {first}, deque([first]), Outcome()
    while waiting and not (sought and any(each.startswith(sought) for each in outcome.violations)):
        state = waiting.popleft()
        outcome.states += 1
        _check(state, outcome)
        for after in successors(state, ends=ends):
            outcome.transitions += 1
            if after.begun != state.begun and 0 < after.begun <= state.begun:
                outcome.violations.append(f"version {after.begun} was begun twice: {after}")
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return outcome


def _check(state: State, outcome: Outcome) -> None:
    if at_chain(state) > 1:
        outcome.violations.append(f"two workers are at the chain: {state}")
    if state.record is not None and state.record.assignment != state.assigned:
        outcome.violations.append(f"an assignment is lost: {state}")
    if state.stale_begun:
        outcome.violations.append(f"a stale message began a step: {state}")
    if any(state.workers):
        return  # what follows is checked where they are through
    outcome.closings += 1
    if state.record is not None and closed(state, reseeds=True) is None:
        outcome.violations.append(f"a reseed does not make the chain go on: {state}")
    if state.asked and not state.troubled and (state.record is None or closed(state, reseeds=False) is None):
        outcome.violations.append(f"what was asked for does not begin: {state}")


def main(arguments: list[str] | None = None) -> int:
    """Explore chains that go on for ever, that may end, and that are handed over; 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m sluice_tools.chaos.chain_exploration", description=(__doc__ or "")[:80]
    )
    parser.add_argument("--faults", type=int, default=Budget().faults, help="how much may go wrong")
    parser.add_argument("--ticks", type=int, default=Budget().ticks, help="how many ticks may go by")
    options = parser.parse_args(arguments)
    failed = False
    kinds = (("goes on for ever", False, False), ("may end", True, False), ("is handed over, and may end", True, True))
    for name, ends, handed in kinds:
        outcome = explore(Budget(faults=options.faults, ticks=options.ticks), ends=ends, handed=handed)
        failed |= bool(outcome.violations)
        print(
            f"a chain that {name}: {outcome.states:,} states, {outcome.transitions:,} transitions,"
            f" {outcome.closings:,} runs to a close, {len(outcome.violations)} violations"
        )
        print(*outcome.violations[:3], sep="\n", end="\n" if outcome.violations else "")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
