"""Write the results in docs/planner.md again: `make planner-docs`.

It simulates Sluice with its defaults, and every peer in every setting of its grid, on every trace in every world, with
two seeds; and with a third seed the settings that it decides on. The peers take about four hours on two cores, once:
their results are cached, and simulated again only where the simulator, a peer or a grid has changed. If it is
interrupted, the same command resumes. After a change of the planner it takes a quarter of an hour.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from tools.backtest.conditions import Conditions
from tools.backtest.docs_claim import claim
from tools.backtest.docs_failures import failing, failures
from tools.backtest.docs_pictures import Panel, averaged, draw_crowd, draw_world, point, save
from tools.backtest.docs_results import LATE_PROMISED, Case, World, picture, results, setting
from tools.backtest.generated_traces import SECONDS_PER_MESSAGE, generated_trace
from tools.backtest.report import geometric_mean
from tools.backtest.result_cache import ResultCache
from tools.backtest.runs import Run
from tools.backtest.study import GRIDS, TRACES, WORLDS, Task, best, bound_hours, run_tasks, settings, workloads
from tools.backtest.traces import Trace
from tools.backtest.verdicts import SEEDS, WHOLE, SeedRuns, Verdict
from tools.sources import CHECKOUT

PAGE = CHECKOUT / "docs" / "planner.md"
RUNS = CHECKOUT / "build" / "backtest-runs.jsonl"
BEGIN = "<!-- results -->"
END = "<!-- /results -->"
SEED = SEEDS[0]  # of tables and pictures
DAY = 1440  # minutes
CROWD = "flash-crowd"  # generated, so anybody's to look at
BEFORE, AFTER = 20, 130  # minutes shown of it
INTERRUPTED = 130  # exit status, as shells have it

type Place = tuple[Trace, Conditions]

# --------------------------------------------------------------------------- runs


def peer_tasks(folder: Path, days: int | None, seed: int = SEED) -> list[Task]:
    """Every setting of every peer on every trace in every world; a policy's runs together.

    The clairvoyant, which is in the tables only, has their seed.
    """
    traffic = worlds(folder, days, seed)
    return [
        Task(trace, spec, conditions, figures_only=True)
        for name in (*(("clairvoyant",) if seed == SEED else ()), *GRIDS)
        for trace, conditions in traffic
        for spec in settings(name)
    ]


def worlds(folder: Path, days: int | None, seed: int = SEED) -> list[Place]:
    """Every trace in every world.

    Args:
        folder: of real traces.
        days: the first so many of each trace alone.
        seed: of everything that is random.
    """
    traffic = workloads(folder, seed)
    if days is not None:
        traffic = [(Trace(trace.name, trace.counts[: days * DAY]), takes_s) for trace, takes_s in traffic]
    return [
        (trace, Conditions(seconds_per_message=takes_s, target_wait_s=target_s, boot_s=boot_s, seed=seed))
        for target_s, boot_s in WORLDS
        for trace, takes_s in traffic
    ]


def cases(peers: Sequence[Task], cache: ResultCache, jobs: int | None) -> list[Case]:
    """What is known of the peers, beside Sluice's own runs, which are made where they are missing."""
    of: dict[tuple[str, World], list[Task]] = {}
    for task in peers:
        of.setdefault((task.trace.name, (task.conditions.target_wait_s, task.conditions.boot_s)), []).append(task)
    firsts = [tasks[0] for tasks in of.values()]
    ours = run_tasks([Task(task.trace, "sluice", task.conditions, figures_only=True) for task in firsts], jobs, cache)
    bounds = bound_hours([(task.trace, task.conditions) for task in firsts], jobs, cache)
    made = []
    for tasks, our, hours in zip(of.values(), ours, bounds, strict=True):
        trace, conditions = tasks[0].trace, tasks[0].conditions
        runs = [run for run in (cache.find(task.trace, task.spec, conditions) for task in tasks) if run is not None]
        made.append(
            Case(
                trace,
                conditions,
                our,
                [run for run in runs if run.policy != "clairvoyant"],
                next((run for run in runs if run.policy == "clairvoyant"), None),
                hours / our.work_hours,
            )
        )
    return made


def verdicts(
    by_seed: Sequence[Sequence[Place]], cache: ResultCache, jobs: int | None, *, simulates: bool
) -> list[Verdict]:
    """What all seeds say of each trace in each world. Sluice's own runs are made where they are missing.

    Args:
        by_seed: every trace in every world with each of `SEEDS`, in the same order.
        cache: the runs so far; with all seeds but the last no peer is simulated here.
        jobs: processes.
        simulates: run the settings of peers that the last seed decides on.
    """
    ours = [
        run_tasks([Task(trace, "sluice", conditions, figures_only=True) for trace, conditions in places], jobs, cache)
        for places in by_seed
    ]
    specs = [spec for name in GRIDS for spec in settings(name)]
    found = [
        Verdict(
            trace.name,
            (conditions.target_wait_s, conditions.boot_s),
            [
                SeedRuns(runs[index], _known(places[index], specs, cache))
                for places, runs in zip(by_seed[: len(WHOLE)], ours, strict=False)
            ],
        )
        for index, (trace, conditions) in enumerate(by_seed[0])
    ]
    deciding = [each.undecided() for each in found]
    if simulates:
        decided = [
            Task(trace, spec, conditions, figures_only=True)
            for (trace, conditions), some in zip(by_seed[-1], deciding, strict=True)
            for spec in some
        ]
        run_tasks(decided, jobs, cache)
    made = []
    for each, our, place, some in zip(found, ours[-1], by_seed[-1], deciding, strict=True):
        seeds = [*each.seeds, SeedRuns(our, _known(place, some, cache))]
        wanted = len(WHOLE) * len(specs) + len(some)
        made.append(replace(each, seeds=seeds, missing=wanted - sum(len(runs.peers) for runs in seeds)))
    return made


def _known(place: Place, specs: Sequence[str], cache: ResultCache) -> list[Run]:
    trace, conditions = place
    runs = (cache.find(trace, spec, conditions) for spec in specs)
    return [run for run in runs if run is not None]


# --------------------------------------------------------------------------- the page and its pictures


def rewritten(page: str, text: str) -> str:
    """The page with its results made anew.

    Raises:
        ValueError: the page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have {BEGIN!r} and, below it, {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def world_panels(here: Sequence[Case]) -> Iterator[Panel]:
    """All traces together, a setting by its means; then each trace."""
    by_setting: dict[str, list[Run]] = {}
    for case in here:
        for run in case.peers:
            by_setting.setdefault(setting(run), []).append(run)
    everywhere = [averaged(runs) for runs in by_setting.values() if len(runs) == len(here)]
    seen = [case.clairvoyant for case in here if case.clairvoyant is not None]
    yield Panel(
        f"all {len(here)}, one setting for all",
        averaged([case.ours for case in here]),
        everywhere,
        averaged(seen) if len(seen) == len(here) else None,
        geometric_mean(case.bound for case in here),
    )
    for case in here:
        clairvoyant = None if case.clairvoyant is None else point(case.clairvoyant)
        yield Panel(case.trace.name, point(case.ours), [point(run) for run in case.peers], clairvoyant, case.bound)


def draw(found: Sequence[Case], images: Path, jobs: int | None) -> None:
    """Write every picture of the page.

    Args:
        found: every case.
        images: the folder.
        jobs: processes.
    """
    for world in dict.fromkeys(case.world for case in found):
        here = [case for case in found if case.world == world]
        title = f"Cost and lateness: target wait {world[0]:g} s, boot {world[1]:g} s"
        save(draw_world(title, list(world_panels(here))), images / Path(picture(world)).name)
    trace = generated_trace(CROWD, SEED)
    conditions = Conditions(seconds_per_message=SECONDS_PER_MESSAGE[CROWD], seed=SEED)
    world = conditions.target_wait_s, conditions.boot_s
    tried = [run for case in found if (case.trace.name, case.world) == (CROWD, world) for run in case.peers]
    name = setting(best(tried, LATE_PROMISED)) if tried else next(iter(GRIDS))
    ours, other = run_tasks([Task(trace, spec, conditions) for spec in ("sluice", name)], jobs)
    first = max(DAY // 4, int(np.argmax(trace.counts)) - BEFORE)
    minutes = range(first, min(trace.minutes, first + BEFORE + AFTER))
    save(draw_crowd(ours, other, f"best peer in hindsight: {name}", minutes), images / "crowd.png")


# --------------------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> int:
    """Simulate what is missing, and write the page and its pictures."""
    parser = argparse.ArgumentParser(prog="python -m tools.backtest", description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--traces", type=Path, default=TRACES, help="a folder of real traces with an experiments.csv")
    parser.add_argument("--days", type=int, help="use only the first days of each trace, for a trial")
    parser.add_argument(
        "--jobs", type=int, help="the number of parallel processes; by default as many as there are cores"
    )
    parser.add_argument("--runs", type=Path, default=RUNS, help="the file in which results are cached")
    parser.add_argument(
        "--page",
        type=Path,
        default=PAGE,
        help="the page to write; its pictures are written to the folder img next to it",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--peers", action="store_true", help="only simulate the peers; write no page")
    part.add_argument("--partial", action="store_true", help="simulate no peers; use the cached results")
    options = parser.parse_args(arguments)
    if options.days is not None and options.page == PAGE and not options.peers:
        parser.error("--days: docs/planner.md has whole traces; give another --page")
    console = Console(stderr=True)
    cache = ResultCache(options.runs)
    tasks, *others = [peer_tasks(options.traces, options.days, seed) for seed in WHOLE]
    try:
        if not options.partial:
            run_tasks([*tasks, *(task for some in others for task in some)], options.jobs, cache)
        if options.peers:
            return 0
        found = cases(tasks, cache, options.jobs)
        by_seed = [worlds(options.traces, options.days, seed) for seed in SEEDS]
        judged = verdicts(by_seed, cache, options.jobs, simulates=not options.partial)
        with_failures = failing(found, cache, options.jobs, simulates=not options.partial)
    except KeyboardInterrupt:
        console.print(f"Interrupted. The results so far are in {options.runs}; the same command resumes.")
        return INTERRUPTED
    known = sum(len(case.peers) + (case.clairvoyant is not None) for case in found)
    text = f"{results(found, claim(judged), known, len(tasks))}\n\n{failures(with_failures)}"
    text = rewritten(options.page.read_text(encoding="utf-8"), text)
    draw(found, options.page.parent / "img", options.jobs)
    options.page.write_text(text, encoding="utf-8")
    console.print(f"{options.page} is written, with {known:,} of {len(tasks):,} results of peers.", highlight=False)
    return 0
