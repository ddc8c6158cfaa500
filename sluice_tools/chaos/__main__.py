"""Run every scenario over a range of seeds.

`python -m sluice_tools.chaos --seeds 1000 [--first 0] [--only drain] [--json]`

A seed that violates an invariant prints its whole story, and `--first SEED --seeds 1 --only SCENARIO` plays it again.
Exits with 1 if any seed did.
"""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing import get_context

import sluice_tools.chaos
from sluice_tools.chaos.report import Report

STORIES_MAX = 3  # of each scenario: the first failing seeds tell enough
CHUNK = 25  # seeds a worker takes at once: large enough to make light of the hand-over

type Run = Callable[[int], Report]


def scenarios() -> dict[str, Run]:
    """Every scenario by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(sluice_tools.chaos.__path__))
    modules = {
        name: importlib.import_module(f"sluice_tools.chaos.{name}") for name in names if not name.startswith("_")
    }
    return {name: module.run for name, module in modules.items() if hasattr(module, "run")}


def _reports(run: Run, seeds: Iterable[int], jobs: int) -> Iterable[Report]:
    if jobs == 1:
        yield from map(run, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, seeds, chunksize=CHUNK)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and say by the exit code whether every invariant held."""
    parser = argparse.ArgumentParser(
        prog="python -m sluice_tools.chaos", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds of each scenario")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", help="run this scenario alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args(arguments)
    found = scenarios()
    if options.only and options.only not in found:
        parser.error(f"--only: no scenario {options.only!r}; there are {', '.join(found)}")
    chosen = {name: run for name, run in found.items() if options.only in {None, name}}
    seeds = range(options.first, options.first + options.seeds)
    summary = {
        name: _tell(name, run, seeds, min(options.jobs, 1 + len(seeds) // CHUNK)) for name, run in chosen.items()
    }
    if options.json:
        print(json.dumps(summary))
    return 1 if any(one["violations"] for one in summary.values()) else 0


def _tell(name: str, run: Run, seeds: range, jobs: int) -> dict[str, int]:
    """Run one scenario, print its failing stories and one line about all; the summary."""
    failed: list[int] = []
    counts: Counter[str] = Counter()
    for report in _reports(run, seeds, jobs):
        counts.update(report.counts)
        if not report.violations:
            continue
        failed.append(report.seed)
        if len(failed) <= STORIES_MAX:
            print(f"--- {name}, seed {report.seed}", *report.story, sep="\n")
            print(*(f"VIOLATION: {violation}" for violation in report.violations), sep="\n")
    summary = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
    print(f"{name}: {len(seeds):,} seeds, {len(failed)} with violations; {summary}")
    if failed:
        print(f"{name}: the seeds with violations are {', '.join(map(str, failed))}")
    return {"seeds": len(seeds), "violations": len(failed)}


if __name__ == "__main__":
    sys.exit(main())
