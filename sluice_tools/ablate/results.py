"""Results of ablations in a file: a run of half an hour that was ended goes on where it stopped."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from sluice_tools import compiled
from sluice_tools.ablate.cases import Case, Result, result_of
from sluice_tools.backtest.workers import begin
from sluice_tools.sources import CHECKOUT, CORE, digest

RESULTS = CHECKOUT / "build" / "ablations.jsonl"

type Task = tuple[Case, str | None]  # a case, and the rule that is off; None for none


def results_of(tasks: Sequence[Task], jobs: int, path: Path) -> list[Result]:
    """The result of each task; those that are in the file already are not simulated again.

    Args:
        tasks: what to simulate.
        jobs: processes.
        path: the file, which is added to.
    """
    known = dict(_stored(path))
    keys = [_key(task) for task in tasks]
    left = {key: task for key, task in zip(keys, tasks, strict=True) if key not in known}
    if left:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")  # a line that was cut short must not run on
            for key, result in _simulated(left, jobs):
                known[key] = result
                file.write(json.dumps([key, result.cost, result.late, result.launches]) + "\n")
                file.flush()
    return [known[key] for key in keys]


def _simulated(left: dict[str, Task], jobs: int) -> Iterator[tuple[str, Result]]:
    if jobs == 1:
        yield from ((key, result_of(task)) for key, task in left.items())
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin, (compiled.in_use(),)) as pool:
        futures = {pool.submit(result_of, task): key for key, task in left.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _stored(path: Path) -> Iterator[tuple[str, Result]]:
    """What the file has; a line that was cut short is left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            key, cost, late, launches = json.loads(line)
        except ValueError:
            continue
        yield key, Result(cost, late, launches)


def _key(task: Task) -> str:
    """Everything that decides a result: the code, the case and the rule."""
    case, rule = task
    traffic = hashlib.sha256(case.trace.counts.tobytes()).hexdigest()
    parts = [case.name, traffic, repr(case.conditions), case.spec, rule, _source()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def _source() -> str:
    """The planner, the simulator and the rules as they are."""
    return digest("sluice_tools.ablate.cases", (CHECKOUT, CORE))
