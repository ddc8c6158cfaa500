"""What comes of launches that fail, in Markdown: of Sluice, and of the peers that are best where none fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluice_tools.backtest.docs_results import LATE_PROMISED, SPARE_S, Case, World, markdown, setting, share
from sluice_tools.backtest.report import geometric_mean
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import Task, best, run_tasks

# Shares of launches that fail, with the largest share of messages that may be late where a target can be met.
LATE_MOST: Mapping[float, float] = {0.01: 0.001, 0.05: 0.002, 0.2: 0.01}
COST_MOST = 1.1  # times the cost without failures

type Pair = tuple[Run, Run]  # without failures, and with them


@dataclass(frozen=True, slots=True)
class Failing:
    """A trace in a world in which a share of the launches fails."""

    world: World
    failure: float
    ours: Pair
    peer: Pair | None  # the best peer without failures; None where its run is not known


def failing(found: Sequence[Case], cache: ResultCache, jobs: int | None, *, simulates: bool) -> list[Failing]:
    """Every case whose target can be met, with each share of failing launches. Sluice's own missing runs are made.

    Args:
        found: every case without failures.
        cache: the runs so far.
        jobs: processes.
        simulates: make missing runs of peers too.
    """
    in_time = [case for case in found if case.world[0] >= case.world[1] + SPARE_S]
    wanted = [(case, failure) for failure in LATE_MOST for case in in_time]
    ours = run_tasks([_task(case, failure, "sluice") for case, failure in wanted], jobs, cache)
    best_peers = {id(case): _best_peer(case) for case in in_time}
    tasks = [
        _task(case, failure, setting(peer)) for case, failure in wanted if (peer := best_peers[id(case)]) is not None
    ]
    if simulates:
        run_tasks(tasks, jobs, cache)
    made = []
    for (case, failure), our in zip(wanted, ours, strict=True):
        before, after = best_peers[id(case)], None
        if before is not None:
            task = _task(case, failure, setting(before))
            after = cache.find(task.trace, task.spec, task.conditions)
        pair = None if before is None or after is None else (before, after)
        made.append(Failing(case.world, failure, (case.ours, our), pair))
    return made


def _task(case: Case, failure: float, spec: str) -> Task:
    return Task(case.trace, spec, replace(case.conditions, launch_failure=failure), figures_only=True)


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
            ours, peers = [each.ours for each in here], [each.peer for each in here if each.peer is not None]
            rows.append((f"{world[0]:g} s, {world[1]:g} s", f"{failure:.0%}", *_figures(ours), *_figures(peers)))
            goals.append(_goal(world, failure, ours))
    text = (
        "*Sluice* and *peers* are costs with failures, as geometric means over the traces, *without failures* is the"
        " same without, and *late* is the worst share of late messages on a trace. For each trace the peer is the"
        " setting that is cheapest where no launch fails, of all that are no later than Sluice or at most"
        f" {LATE_PROMISED:.1%} late. A launch that fails is known to have failed after its boot, and the next takes"
        " another boot. Both take as long as the target wait at 120 s and 60 s, and longer at 300 s and 180 s. So where"
        " a message waits for a launch of its own and that launch fails, the target cannot be met: in `flight_schedule`"
        " most do, since each message takes 300 s."
    )
    return "\n\n".join(["## Where launches fail", text, markdown(rows, "lrrrrrrr"), "\n".join(goals)])


def _figures(pairs: Sequence[Pair]) -> tuple[str, str, str]:
    if not pairs:
        return "", "", ""
    before, after = (geometric_mean(pair[place].cost_ratio for pair in pairs) for place in (0, 1))
    return f"{after:.3f}", f"{before:.3f}", share(max(after.late_fraction for _, after in pairs))


def _goal(world: World, failure: float, ours: Sequence[Pair]) -> str:
    late = max(after.late_fraction for _, after in ours)
    most = LATE_MOST[failure]
    later = [f"{run.trace} {share(run.late_fraction)}" for _, run in ours if run.late_fraction > most]
    ratio = geometric_mean(after.cost_ratio / before.cost_ratio for before, after in ours)
    kept = late <= most and ratio <= COST_MOST
    return (
        f"* Goals at {world[0]:g} s and {world[1]:g} s with {failure:.0%} failing: at most {most:.1%}"
        f" late ({share(late)}), at no more than {COST_MOST:g} times the cost without failures ({ratio:.2f}):"
        f" {'met' if kept else 'not met'}{f' (later: {", ".join(later)})' if later else ''}."
    )
