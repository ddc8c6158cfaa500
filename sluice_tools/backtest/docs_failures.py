"""What comes of launches that fail, in Markdown: of Sluice, and of the peers that are best where none fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sluice_tools.backtest.docs_results import LATE_PROMISED, SPARE_S, Case, World, markdown, setting, share
from sluice_tools.backtest.docs_study import Place, Study
from sluice_tools.backtest.report import geometric_mean
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import Task, best, run_tasks
from sluice_tools.backtest.verdicts import SEEDS_NAMED

# Shares of launches that fail, with the largest share of messages that may be late where a target can be met.
LATE_MOST: Mapping[float, float] = {0.01: 0.001, 0.05: 0.002, 0.2: 0.01}
COST_MOST = 1.1  # times the cost without failures

type Pair = tuple[Run, Run]  # without failures, and with them


@dataclass(frozen=True, slots=True)
class Failing:
    """A trace in a world in which a share of the launches fails."""

    world: World
    failure: float
    ours: Sequence[Pair]  # by seed
    peer: Pair | None  # the best peer without failures; None where its run is not known


def failing(found: Sequence[Case], study: Study, jobs: int | None, *, simulates: bool) -> list[Failing]:
    """Every case whose target can be met, with each share of failing launches. Sluice's own missing runs are made.

    Args:
        found: every case without failures, with the first seed.
        study: the same cases with each seed, with Sluice's runs.
        jobs: processes.
        simulates: make missing runs of peers too.
    """
    in_time = [place for place, case in enumerate(found) if case.world[0] >= case.world[1] + SPARE_S]
    wanted = [(place, failure) for failure in LATE_MOST for place in in_time]
    tasks = [_task(places[place], failure, "sluice") for place, failure in wanted for places in study.by_seed]
    runs = iter(run_tasks(tasks, jobs, study.cache))
    best_peers = {place: _best_peer(found[place]) for place in in_time}
    if simulates:
        peers = [(place, failure, best_peers[place]) for place, failure in wanted]
        tasks = [_task(study.by_seed[0][place], failure, setting(peer)) for place, failure, peer in peers if peer]
        run_tasks(tasks, jobs, study.cache)
    made = []
    for place, failure in wanted:
        ours = [(before[place], next(runs)) for before in study.ours]
        peer, after = best_peers[place], None
        if peer is not None:
            task = _task(study.by_seed[0][place], failure, setting(peer))
            after = study.cache.find(task.trace, task.spec, task.conditions)
        made.append(
            Failing(found[place].world, failure, ours, None if peer is None or after is None else (peer, after))
        )
    return made


def _task(place: Place, failure: float, spec: str) -> Task:
    trace, conditions = place
    return Task(trace, spec, replace(conditions, launch_failure=failure), figures_only=True)


def _best_peer(case: Case) -> Run | None:
    """The cheapest setting that is as punctual as Sluice or as is promised."""
    return best(case.peers, max(LATE_PROMISED, case.ours.late_fraction)) if case.peers else None


def failures(found: Sequence[Failing]) -> str:
    """The section: a table of worlds and shares, and whether the goals are met.

    Args:
        found: every case with each share.
    """
    rows: list[tuple[str, ...]] = [
        (
            "target wait, boot",
            "failing launches",
            "Sluice",
            "without failures",
            "late",
            "peers",
            "without failures",
            "late",
        )
    ]
    goals = []
    for world in dict.fromkeys(each.world for each in found):
        for failure in LATE_MOST:
            here = [each for each in found if (each.world, each.failure) == (world, failure)]
            ours, peers = [each.ours for each in here], [[each.peer] for each in here if each.peer is not None]
            rows.append((f"{world[0]:g} s, {world[1]:g} s", f"{failure:.0%}", *_figures(ours), *_figures(peers)))
            goals.append(_goal(world, failure, ours))
    text = (
        "*Sluice* and *peers* are costs with failures, as geometric means over the traces, *without failures* is the"
        " same without, and *late* is the share of late messages on the trace in which it is highest. Sluice's figures"
        f" are means of the seeds {SEEDS_NAMED}, the peers' are those of the first. For each trace the peer is the"
        " setting that is cheapest where no launch fails, of all that are no later than Sluice or at most"
        f" {LATE_PROMISED:.1%} late. A launch that fails is known to have failed after its boot, and the next takes"
        " another boot. Both take as long as the target wait at 120 s and 60 s, and longer at 300 s and 180 s. So where"
        " a message waits for a launch of its own and that launch fails, it is late unless another was launched beside"
        " it. In `flight_schedule` most do, since each message takes 300 s."
    )
    return "\n\n".join(["## Where launches fail", text, markdown(rows, "lrrrrrrr"), "\n".join(goals)])


def _figures(traces: Sequence[Sequence[Pair]]) -> tuple[str, str, str]:
    if not traces:
        return "", "", ""
    before, after = (geometric_mean(pair[place].cost_ratio for pairs in traces for pair in pairs) for place in (0, 1))
    return f"{after:.3f}", f"{before:.3f}", share(max(_late(pairs) for pairs in traces))


def _late(pairs: Sequence[Pair]) -> float:
    """The share of late messages with failures, as the mean of the seeds."""
    return fmean(after.late_fraction for _, after in pairs)


def _goal(world: World, failure: float, ours: Sequence[Sequence[Pair]]) -> str:
    late = max(_late(pairs) for pairs in ours)
    most = LATE_MOST[failure]
    later = [f"{pairs[0][1].trace} {share(_late(pairs))}" for pairs in ours if _late(pairs) > most]
    ratio = geometric_mean(after.cost_ratio / before.cost_ratio for pairs in ours for before, after in pairs)
    kept = late <= most and ratio <= COST_MOST
    return (
        f"* Goals at {world[0]:g} s and {world[1]:g} s with {failure:.0%} failing: at most {most:.1%}"
        f" late ({share(late)}), at no more than {COST_MOST:g} times the cost without failures ({ratio:.2f}):"
        f" {'met' if kept else 'not met'}{f' (later: {", ".join(later)})' if later else ''}."
    )
