"""Write the results in docs/comparison.md again: `make planner-docs`.

It simulates Sluice with its defaults, and every peer in every setting of its grid, on every trace in every world, as
far as the setting may be of interest. The results of the peers are cached, and simulated again only where the
simulator, a peer or a grid has changed. If it is interrupted, the same command resumes. After a change of the planner
it takes half an hour.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import numpy as np
from rich.console import Console

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.docs_claim import claim
from sluice_tools.backtest.docs_failures import failing, failures
from sluice_tools.backtest.docs_pictures import Panel, draw_crowd, draw_world, point, save
from sluice_tools.backtest.docs_results import LATE_PROMISED, Case, picture, results, setting
from sluice_tools.backtest.docs_study import DAY, SEED, cases, study_of, try_peers, verdicts
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, generated_trace
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.study import GRIDS, Task, best, recorded_traces, run_tasks
from sluice_tools.sources import CHECKOUT

PAGE = CHECKOUT / "docs" / "comparison.md"
RUNS = CHECKOUT / "build" / "backtest-runs.jsonl"
BEGIN = "<!-- results -->"
END = "<!-- /results -->"
CROWD = "flash-crowd"  # generated, so anybody's to look at
BEFORE, AFTER = 20, 130  # minutes shown of it
INTERRUPTED = 130  # exit status, as shells have it

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
    """Each trace: Sluice, and the settings of peers that ran to the end."""
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
    parser = argparse.ArgumentParser(
        prog="python -m sluice_tools.backtest", description=(__doc__ or "").split("\n\n", 1)[1]
    )
    parser.add_argument(
        "--traces", type=Path, default=recorded_traces(), help="a folder of real traces with an experiments.csv"
    )
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
    parser.add_argument("--hours", type=float, default=inf, help="begin no further settings of peers after this time")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--peers", action="store_true", help="only simulate the peers; write no page")
    part.add_argument("--partial", action="store_true", help="simulate no peers; use the cached results")
    options = parser.parse_args(arguments)
    if options.days is not None and options.page == PAGE and not options.peers:
        parser.error("--days: docs/comparison.md has whole traces; give another --page")
    console = Console(stderr=True)
    cache = ResultCache(options.runs)
    until = time.monotonic() + options.hours * 3600.0
    try:
        study = study_of(options.traces, options.days, cache, options.jobs)
        whole = not options.partial and try_peers(study, options.jobs, until)
        if options.peers:
            console.print("All settings are tried." if whole else "Out of time; the same command resumes.")
            return 0
        found = cases(study, options.jobs, simulates=whole)
        judged = verdicts(study)
        with_failures = failing(found, study, options.jobs, simulates=whole)
    except KeyboardInterrupt:
        console.print(f"Interrupted. The results so far are in {options.runs}; the same command resumes.")
        return INTERRUPTED
    text = f"{results(found, claim(judged))}\n\n{failures(with_failures)}"
    text = rewritten(options.page.read_text(encoding="utf-8"), text)
    draw(found, options.page.parent / "img", options.jobs)
    options.page.write_text(text, encoding="utf-8")
    undecided = sum(case.undecided for case in found)
    console.print(f"{options.page} is written; {undecided:,} settings of peers are not decided.", highlight=False)
    return 0
