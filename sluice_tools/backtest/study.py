"""Many runs at once: policies by worlds on all cores, grids of settings, and which runs are better than others."""

import csv
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sluice_tools import compiled
from sluice_tools.backtest.bound import bound_of
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, SHAPES, generated_trace
from sluice_tools.backtest.policies import FORESEEING, label, make
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import NO_TIMELINE, Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.trace_files import read
from sluice_tools.backtest.traces import Trace, TraceError, roughened
from sluice_tools.backtest.workers import begin
from sluice_tools.backtest.worlds.behaviours import Behaviour

# Target wait and boot, in seconds: a target that leaves time after a boot, a longer one, and one that no launch meets.
WORLDS = ((120.0, 60.0), (300.0, 180.0), (60.0, 180.0))
# Folders for the recorded traces: what `make traces` fills, or one beside the checkout for several checkouts.
TRACES = (Path("build/traces"), Path(__file__).parents[3] / "shared/traces")
EXPERIMENTS = "experiments.csv"

type Grid = Mapping[str, Sequence[Any]]
type Case = tuple[Trace, Conditions]

# The settings that are tried for each peer. Sluice has no grid: it runs with its defaults. The strongest peers come
# first, so that a study that is ended early has them, and of a parameter's values those that were best most often,
# since a run ends once it is dearer than the best so far. Parameters that go together are one key: `a,b` with pairs.
# Shares above 1 give an instance more than it works off within the target wait: they bet on messages that are spread.
GRIDS: Mapping[str, Grid] = {
    "keda": {
        "queue_share": (0.75, 0.5, 0.9, 1.0, 0.25, 1.15, 1.25, 1.5, 0.1),
        "down_window_s": (60.0, 0.0, 30.0, 120.0, 300.0),
        "cooldown_s": (60.0, 300.0),
        "up_tolerance,down_tolerance": ((0.1, 0.1), (0.15, 0.15), (0.2, 0.2)),
    },
    "buildkite": {
        "each_share": (0.75, 0.5, 0.9, 1.0, 0.25, 1.15, 1.25, 1.5, 0.1),
        "buffer": (2, 1, 0),
        "in_cooldown_s": (60.0, 300.0, 120.0),
        "in_factor": (0.25, 0.5, 1.0),
    },
    "little": {
        "beta": (0.0, 0.5, 2.0),
        "backlog_share": (1.0, 0.5, 1.25),
        "window_minutes": (15, 2, 20),
        "down_after_s": (60.0, 0.0, 300.0),
    },
    "wpa": {
        "each_share": (0.75, 0.5, 0.9, 1.0, 0.25, 1.15, 1.25, 1.5, 0.1),
        "down_delay_s": (60.0, 600.0),
        "max_disruption": (25.0, 100.0),
    },
    "fixed": {"scale": (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)},
    "target-tracking": {
        "target_share": (0.05, 0.1, 0.25, 0.5),
        "in_share": (0.25, 1.0),
        "warmup_s": (60.0, 300.0),
        # SQS's own metrics; a live one with as many points; a live one that scales in after as long as SQS's own.
        "period_s,in_points": ((60.0, 15), (10.0, 15), (10.0, 90)),
    },
    "step-scaling": {
        "out_above": (0.25, 1.0),
        "in_below": (0.02, 0.1),
        "out_percent,second_percent,third_percent": ((10.0, 30.0, 100.0), (50.0, 100.0, 200.0)),
        "in_percent": (10.0, 30.0),
        "warmup_s": (60.0,),
    },
    "predictive": {
        "target_share": (0.1, 0.5),
        "utilisation": (0.6, 0.8, 0.95),
        "in_share": (0.5, 1.0),
        "warmup_s": (60.0,),
    },
}


@dataclass(frozen=True, slots=True)
class Task:
    """One simulation to run."""

    trace: Trace
    spec: str
    conditions: Conditions
    figures_only: bool = False  # leave timeline and notes out: of thousands of runs they would fill the memory
    behaviour: Behaviour | None = None  # of a world, whose runs are never of figures alone, and are not cached


def settings(name: str) -> list[str]:
    """Every setting of a policy's grid, as `make` reads it; the policy as it comes where it has none."""
    grid = GRIDS.get(name, {})
    specs = []
    for values in product(*grid.values()):
        pairs = [
            f"{key}={value}"
            for keys, together in zip(grid, values, strict=True)
            for key, value in zip(
                keys.split(","), together if isinstance(together, tuple) else (together,), strict=True
            )
        ]
        specs.append(f"{name}:{','.join(pairs)}" if pairs else name)
    return specs


def run_tasks(tasks: Sequence[Task], jobs: int | None = None, cache: ResultCache | None = None) -> list[Run]:
    """Simulate every task, on all cores and with a progress bar.

    Args:
        tasks: the runs.
        jobs: the number of processes, by default as many as there are cores; 1 runs in this process.
        cache: earlier runs; used and added to for tasks of figures alone.
    """
    for spec in {task.spec for task in tasks}:
        make(spec)  # a spec that cannot be read fails before the first simulation
    runs: dict[int, Run] = {}
    if cache is not None:
        found = {
            i: cache.find(task.trace, task.spec, task.conditions) for i, task in enumerate(tasks) if task.figures_only
        }
        runs = {index: run for index, run in found.items() if run is not None}
    left = [index for index in range(len(tasks)) if index not in runs]
    for place, run in done("simulating", run_task, [tasks[index] for index in left], jobs):
        task = tasks[left[place]]
        if cache is not None and task.figures_only:
            cache.add(task.trace, task.spec, run)
        runs[left[place]] = run
    return [runs[index] for index in range(len(tasks))]


def bound_hours(cases: Sequence[Case], jobs: int | None = None, cache: ResultCache | None = None) -> list[float]:
    """The least instance-hours of each case that a policy without late messages can take, on all cores.

    Args:
        cases: traces, each with its world.
        jobs: the number of processes, by default as many as there are cores; 1 runs in this process.
        cache: bounds that were computed earlier; added to.
    """
    hours: dict[int, float] = {}
    if cache is not None:
        known = {index: cache.find_bound(*case) for index, case in enumerate(cases)}
        hours = {index: found for index, found in known.items() if found is not None}
    left = [index for index in range(len(cases)) if index not in hours]
    for place, found in done("computing bounds", _bound_hours, [cases[index] for index in left], jobs):
        if cache is not None:
            cache.add_bound(*cases[left[place]], found)
        hours[left[place]] = found
    return [hours[index] for index in range(len(cases))]


def _bound_hours(case: Case) -> float:
    return bound_of(*case).hours


def with_bounds(runs: Sequence[Run], cases: Sequence[Case], jobs: int | None = None) -> list[Run]:
    """The runs, each with the bound of its case."""
    hours = dict(zip(((trace.name, conditions) for trace, conditions in cases), bound_hours(cases, jobs), strict=True))
    return [replace(run, bound_hours=hours[run.trace, run.conditions]) for run in runs]


def done[T, R](name: str, work: Callable[[T], R], things: Sequence[T], jobs: int | None) -> Generator[tuple[int, R]]:
    """Each thing's place and what came of it, as they are done."""
    processes = min(jobs or os.cpu_count() or 1, len(things))
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        shown = bar.add_task(name, total=len(things))
        if processes <= 1:
            for index, thing in enumerate(things):
                yield index, work(thing)
                bar.advance(shown)
            return
        # Spawned: the bar has a thread of its own, which must not be forked.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, context, initializer=begin, initargs=(compiled.in_use(),))
        try:
            futures = {pool.submit(work, thing): index for index, thing in enumerate(things)}
            for future in as_completed(futures):
                yield futures[future], future.result()
                bar.advance(shown)
        finally:
            pool.shutdown(cancel_futures=True)  # ended early, it waits only for the runs that have begun


def run_task(task: Task) -> Run:
    """One run."""
    run = simulate(task.trace, make(task.spec), task.conditions, task.behaviour)
    return replace(run, timeline=NO_TIMELINE, notes=()) if task.figures_only else run


# --------------------------------------------------------------------------- the matrix


def recorded_traces() -> Path:
    """The folder with the recorded traces: the first of TRACES that has some."""
    return next((folder for folder in TRACES if (folder / EXPERIMENTS).exists()), TRACES[0])


def workloads(folder: Path, seed: int) -> list[tuple[Trace, float]]:
    """Traces with their seconds per message: a folder's, as its experiments.csv says, and the generated ones.

    Raises:
        TraceError: the folder's files cannot be used.
    """
    found = [(generated_trace(name, seed), SECONDS_PER_MESSAGE[name]) for name in SHAPES]
    path = folder / EXPERIMENTS
    if not path.exists():
        return found
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    real = []
    for line, row in enumerate(rows, 2):
        try:
            name, takes_s = row["trace"], float(row["seconds_per_message"])
        except (KeyError, ValueError, TypeError) as error:
            raise TraceError(f"{path}: line {line}: must be trace,seconds_per_message") from error
        if not 0 < takes_s < inf:
            raise TraceError(f"{path}: line {line}: seconds_per_message must be above 0 (got {takes_s:g})")
        trace, _ = read(folder / f"{name}.csv")
        real.append((roughened(trace, seed), takes_s))
    return real + found


# --------------------------------------------------------------------------- tuning


def tuned(
    cases: Sequence[Case], specs: Sequence[str], late_most: float, jobs: int | None = None
) -> tuple[list[Run], list[Run]]:
    """The best setting of each policy in each case, in hindsight; and the figures of every run that was tried.

    Args:
        cases: traces, each with its world.
        specs: policies; those with parameters stay as given.
        late_most: the largest share of late messages, from 0 to 1.
        jobs: processes.
    """
    choices = [[spec] if ":" in spec else settings(spec) for spec in specs]
    tried = run_tasks(
        [
            Task(trace, spec, conditions, figures_only=len(choice) > 1)
            for trace, conditions in cases
            for choice in choices
            for spec in choice
        ],
        jobs,
    )
    runs = iter(tried)
    chosen = [best([next(runs) for _ in choice], late_most) for _ in cases for choice in choices]
    again = [
        Task(trace, label(run.policy, run.params), conditions)
        for (trace, conditions), run in zip(_repeated(cases, len(choices)), chosen, strict=True)
        if not len(run.timeline.arrivals)
    ]
    whole = iter(run_tasks(again, jobs) if again else ())
    return [run if len(run.timeline.arrivals) else next(whole) for run in chosen], tried


def _repeated[T](things: Sequence[T], times: int) -> Iterator[T]:
    return (thing for thing in things for _ in range(times))


def best(runs: Iterable[Run], late_most: float) -> Run:
    """The cheapest run with at most that share of late messages; without one, the least late run."""
    return min(runs, key=lambda run: (max(0.0, run.late_fraction - late_most), run.cost_ratio))


def better_than(ours: Run, others: Iterable[Run]) -> list[Run]:
    """The runs that are cheaper and less late than ours, or better in one and equal in the other; the cheapest first.

    Policies that know the trace beforehand are references only, and are left out.
    """
    found = [
        run
        for run in others
        if run.policy not in FORESEEING
        and run.cost_ratio <= ours.cost_ratio
        and run.late_fraction <= ours.late_fraction
        and (run.cost_ratio, run.late_fraction) != (ours.cost_ratio, ours.late_fraction)
    ]
    return sorted(found, key=lambda run: (run.cost_ratio, label(run.policy, run.params)))
