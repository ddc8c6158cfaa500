"""What the comparison with the peers rests on: Sluice's runs with each seed, and the settings of peers beside them.

With the first seed every setting runs as far as it may be better than Sluice, or the cheapest of its peer that is as
punctual; with the second, as far as it may be better. With all seeds run those that cost hardly more than the cheapest,
and with the last one those that it decides on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.docs_results import NEAR, Case, late_most, setting
from sluice_tools.backtest.hindsight import Asked, Search, known_of, search_all, undecided
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import GRIDS, WORLDS, Task, bound_hours, run_tasks, settings, workloads
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.verdicts import SEEDS, WHOLE, SeedRuns, Verdict

SEED = SEEDS[0]  # of tables and pictures
DAY = 1440  # minutes

type Place = tuple[Trace, Conditions]


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


def asked_of(ours: Run, *, cheapest: bool) -> Asked:
    """What is asked of the settings of a peer beside a run of Sluice.

    Args:
        ours: Sluice's run.
        cheapest: also what the cheapest punctual setting costs, not only which settings are better.
    """
    return Asked(late_most(ours) if cheapest else ours.late_fraction, ours.instance_hours, cheapest)


def searches(
    places: Sequence[Place],
    ours: Sequence[Run],
    wanted: Sequence[Sequence[str]],
    cache: ResultCache,
    *,
    cheapest: bool,
) -> list[Search]:
    """A search for each peer in each case, a trace's together.

    Args:
        places: every trace in every world.
        ours: Sluice's run in each.
        wanted: the settings to try in each.
        cache: what is known already.
        cheapest: as `asked_of` has it.
    """
    made = []
    for place in sorted(range(len(places)), key=lambda place: places[place][0].name):
        trace, conditions = places[place]
        by_peer: dict[str, list[str]] = {}
        for spec in wanted[place]:
            by_peer.setdefault(spec.partition(":")[0], []).append(spec)
        for specs in by_peer.values():
            known = known_of(trace, conditions, specs, cache)
            made.append(Search(trace, conditions, specs, known, asked_of(ours[place], cheapest=cheapest)))
    return made


def near_best(here: Sequence[Run], late_most: float) -> list[str]:
    """The punctual settings of a case that cost hardly more than the cheapest."""
    punctual = [run for run in here if run.late_fraction <= late_most]
    cheapest = min((run.cost_ratio for run in punctual), default=0.0)
    return [setting(run) for run in punctual if run.cost_ratio <= NEAR * cheapest]


@dataclass(frozen=True, slots=True)
class Study:
    """Every trace in every world with each seed, and Sluice's runs in them."""

    by_seed: Sequence[Sequence[Place]]  # in the order of `SEEDS`
    ours: Sequence[Sequence[Run]]
    cache: ResultCache
    specs: Sequence[str]  # every setting of every peer

    def peers(self, seed: int, specs: Sequence[Sequence[str]] | None = None) -> list[list[Run]]:
        """The runs of peers with a seed that are known to their end, by case."""
        wanted = [self.specs] * len(self.by_seed[seed]) if specs is None else specs
        return [
            [run for spec in some if (run := self.cache.find(trace, spec, conditions)) is not None]
            for (trace, conditions), some in zip(self.by_seed[seed], wanted, strict=True)
        ]

    def missing(self, seed: int, specs: Sequence[Sequence[str]] | None = None, *, cheapest: bool) -> list[int]:
        """How many settings are not decided with a seed, by case."""
        wanted = [self.specs] * len(self.by_seed[seed]) if specs is None else specs
        counts = dict.fromkeys(range(len(self.by_seed[seed])), 0)
        places = {(trace.name, conditions): place for place, (trace, conditions) in enumerate(self.by_seed[seed])}
        for each in searches(self.by_seed[seed], self.ours[seed], wanted, self.cache, cheapest=cheapest):
            open_ = undecided(each.specs, each.known, each.asked)
            counts[places[each.trace.name, each.conditions]] += len(open_)
        return list(counts.values())

    def near(self) -> list[list[str]]:
        """The settings, by case, of which every seed asks how much the cheapest costs."""
        firsts = zip(self.peers(0), self.ours[0], strict=True)
        return [near_best(runs, late_most(our)) for runs, our in firsts]


def study_of(folder: Path, days: int | None, cache: ResultCache, jobs: int | None) -> Study:
    """The study. Sluice's own runs are made where they are missing."""
    by_seed = [worlds(folder, days, seed) for seed in SEEDS]
    tasks = [Task(trace, "sluice", conditions, figures_only=True) for places in by_seed for trace, conditions in places]
    runs = iter(run_tasks(tasks, jobs, cache))
    ours = [[next(runs) for _ in places] for places in by_seed]
    return Study(by_seed, ours, cache, [spec for name in GRIDS for spec in settings(name)])


def try_peers(study: Study, jobs: int | None, until: float) -> bool:
    """Try every setting of every peer as far as it is of interest.

    Returns:
        Whether all are tried; not where there was no time left.
    """
    every = [study.specs] * len(study.by_seed[0])
    steps = [(0, every, True), (1, every, False)]
    for seed, wanted, cheapest in steps:
        asked = searches(study.by_seed[seed], study.ours[seed], wanted, study.cache, cheapest=cheapest)
        if not search_all(asked, study.cache, jobs, until):
            return False
    near = study.near()
    for seed in range(1, len(SEEDS)):
        asked = searches(study.by_seed[seed], study.ours[seed], near, study.cache, cheapest=True)
        if not search_all(asked, study.cache, jobs, until):
            return False
    last = len(SEEDS) - 1
    deciding = [each.undecided() for each in whole_verdicts(study)]
    asked = searches(study.by_seed[last], study.ours[last], deciding, study.cache, cheapest=False)
    return search_all(asked, study.cache, jobs, until)


def cases(study: Study, jobs: int | None, *, simulates: bool) -> list[Case]:
    """What is known with the first seed, which the tables have.

    Args:
        study: Sluice's runs, and those of peers.
        jobs: processes.
        simulates: run the clairvoyant where it is missing.
    """
    places, cache = study.by_seed[0], study.cache
    if simulates:
        run_tasks([Task(trace, "clairvoyant", world, figures_only=True) for trace, world in places], jobs, cache)
    bounds = bound_hours(places, jobs, cache)
    rows = zip(places, study.ours[0], study.peers(0), bounds, study.missing(0, cheapest=True), strict=True)
    return [
        Case(
            trace,
            conditions,
            our,
            peers,
            cache.find(trace, "clairvoyant", conditions),
            hours / our.work_hours,
            missing,
        )
        for (trace, conditions), our, peers, hours, missing in rows
    ]


def whole_verdicts(study: Study) -> list[Verdict]:
    """What the seeds say with which every setting is tried."""
    peers = [study.peers(seed) for seed in range(len(WHOLE))]
    return [
        Verdict(
            trace.name,
            (conditions.target_wait_s, conditions.boot_s),
            [SeedRuns(study.ours[seed][place], peers[seed][place]) for seed in range(len(WHOLE))],
        )
        for place, (trace, conditions) in enumerate(study.by_seed[0])
    ]


def verdicts(study: Study) -> list[Verdict]:
    """What all seeds say of each trace in each world."""
    found, last = whole_verdicts(study), len(SEEDS) - 1
    deciding = [each.undecided() for each in found]
    wanted = [list(dict.fromkeys([*near, *some])) for near, some in zip(study.near(), deciding, strict=True)]
    peers = study.peers(last, wanted)
    missing = [study.missing(seed, cheapest=False) for seed in range(len(WHOLE))]
    missing.append(study.missing(last, deciding, cheapest=False))
    return [
        replace(each, seeds=[*each.seeds, SeedRuns(our, runs)], missing=sum(counts))
        for each, our, runs, *counts in zip(found, study.ours[last], peers, *missing, strict=True)
    ]
