"""Make the results in docs/planner.md anew: `python -m tools.backtest.docs`, or `make planner-docs`.

Sluice as it comes, and every peer in every setting of its grid, on every trace in every world. The peers take about two
hours on two cores, once: their runs are kept, and made again only where simulator, peer or grid have changed. Ended
before it is done, it goes on where it was. After a change of the planner it takes minutes.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from tools.backtest.conditions import Conditions
from tools.backtest.kept import CHECKOUT, Kept
from tools.backtest.pictures import Panel, averaged, draw_crowd, draw_world, point, save
from tools.backtest.policies import label
from tools.backtest.policies.clairvoyant import bound_hours
from tools.backtest.report import geometric_mean
from tools.backtest.shapes import SECONDS_PER_MESSAGE, shape
from tools.backtest.simulator import Run
from tools.backtest.study import GRIDS, TRACES, WORLDS, Task, beaten_by, best, run_tasks, settings, workloads
from tools.backtest.traces import Trace

PAGE = CHECKOUT / "docs" / "planner.md"
RUNS = CHECKOUT / "build" / "backtest-runs.jsonl"
BEGIN = "<!-- results -->"
END = "<!-- /results -->"
SEED = 1
# Where a target can be met at all, a boot and this much later work has begun.
SPARE_S = 30.0
LATE_PROMISED = 0.001
COST_PROMISED = 1.25
DAY = 1440  # minutes
CROWD = "flash-crowd"  # generated, so anybody's to look at
BEFORE, AFTER = 20, 130  # minutes shown of it

INTERRUPTED = 130  # exit status, as shells have it

type World = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A trace in a world, and what came of it."""

    trace: Trace
    conditions: Conditions
    ours: Run
    peers: Sequence[Run]  # those known of all settings
    clairvoyant: Run | None
    bound: float  # the least cost without lateness, in multiples of the work

    @property
    def world(self) -> World:
        """Target and boot, in seconds."""
        return self.conditions.target_wait_s, self.conditions.boot_s

    def cheapest(self) -> Run | None:
        """The cheapest setting of a peer that is no later than Sluice."""
        found = [run for run in self.peers if run.late_fraction <= self.ours.late_fraction]
        return min(found, key=lambda run: run.cost_ratio, default=None)

    def least_late(self) -> Run | None:
        """The least late setting of a peer that costs no more than Sluice."""
        found = [run for run in self.peers if run.cost_ratio <= self.ours.cost_ratio]
        return min(found, key=lambda run: (run.late_fraction, run.cost_ratio), default=None)

    def beaten(self) -> list[Run]:
        """Settings of peers that are both cheaper and less late."""
        return beaten_by(self.ours, self.peers)


# --------------------------------------------------------------------------- runs


def peer_tasks(folder: Path, days: int | None) -> list[Task]:
    """Every setting of every peer, and the clairvoyant, on every trace in every world; a policy's runs together."""
    cases = worlds(folder, days)
    return [
        Task(trace, spec, conditions, figures_only=True)
        for name in ("clairvoyant", *GRIDS)
        for trace, conditions in cases
        for spec in settings(name)
    ]


def worlds(folder: Path, days: int | None) -> list[tuple[Trace, Conditions]]:
    """Every trace in every world.

    Args:
        folder: of real traces.
        days: the first so many of each trace alone.
    """
    traffic = workloads(folder, SEED)
    if days is not None:
        traffic = [(Trace(trace.name, trace.counts[: days * DAY]), takes_s) for trace, takes_s in traffic]
    return [
        (trace, Conditions(seconds_per_message=takes_s, target_wait_s=target_s, boot_s=boot_s, seed=SEED))
        for target_s, boot_s in WORLDS
        for trace, takes_s in traffic
    ]


def cases(peers: Sequence[Task], kept: Kept, jobs: int | None) -> list[Case]:
    """What is known of the peers, beside Sluice's own runs, which are made where they are missing."""
    of: dict[tuple[str, World], list[Task]] = {}
    for task in peers:
        of.setdefault((task.trace.name, (task.conditions.target_wait_s, task.conditions.boot_s)), []).append(task)
    firsts = [tasks[0] for tasks in of.values()]
    ours = run_tasks([Task(task.trace, "sluice", task.conditions, figures_only=True) for task in firsts], jobs, kept)
    made = []
    for tasks, our in zip(of.values(), ours, strict=True):
        trace, conditions = tasks[0].trace, tasks[0].conditions
        runs = [run for run in (kept.find(task.trace, task.spec, conditions) for task in tasks) if run is not None]
        made.append(
            Case(
                trace,
                conditions,
                our,
                [run for run in runs if run.policy != "clairvoyant"],
                next((run for run in runs if run.policy == "clairvoyant"), None),
                bound_hours(trace, conditions) / our.work_hours,
            )
        )
    return made


# --------------------------------------------------------------------------- the page


def results(found: Sequence[Case], known: int, wanted: int) -> str:
    """The page's part between the marks, in Markdown.

    Args:
        found: every case.
        known: runs of peers that are in it.
        wanted: runs of peers that belong in it.
    """
    parts = [_opening(found, known, wanted)]
    for world in dict.fromkeys(case.world for case in found):
        here = [case for case in found if case.world == world]
        parts += [
            f"### Target wait {world[0]:g} s, boot {world[1]:g} s",
            _promise(here),
            f"![Cost against lateness at a target of {world[0]:g} s and a boot of {world[1]:g} s]({picture(world)})",
            _table(here),
            _peers_table(here),
        ]
    return "\n\n".join(parts)


def picture(world: World) -> str:
    """Where a world's picture is, from the page."""
    return f"img/cost-{world[0]:g}-{world[1]:g}.png"


def _opening(found: Sequence[Case], known: int, wanted: int) -> str:
    settings_each = sum(len(settings(name)) for name in GRIDS)
    seed = found[0].conditions.seed
    part = "" if known == wanted else f" **Not all peers' runs are in yet: {known} of {wanted}.**"
    return (
        "Made by `make planner-docs`: Sluice as it comes, told the target wait and nothing else, against eight peers in"
        f" {settings_each} settings, of which each trace's best are picked in hindsight. Peers are told how long a"
        " message takes. *Cost* is instance-hours in multiples of what the work alone takes; *late* the share of"
        " messages that waited longer than the target, first hours of learning included. The world is"
        f" [the backtest's](backtest.md), seed {seed}. *Bound* is proven: nobody who is never late pays less."
        f" *Clairvoyant* knows the trace.{part}\n\n![A flash crowd as it was met](img/crowd.png)"
    )


def _promise(here: Sequence[Case]) -> str:
    """The summary of a world: what is promised of it, and whether it holds."""
    cost = geometric_mean(case.ours.cost_ratio for case in here)
    worst = max(here, key=lambda case: case.ours.late_fraction)
    beaten = [case.trace.name for case in here if case.beaten()]
    where = f" ({', '.join(beaten)})" if beaten else ""
    lines = [
        f"* Sluice's cost, geometric mean over {len(here)} traces: **{cost:.3f}**.",
        f"* Late at worst: **{_share(worst.ours.late_fraction)}** ({worst.trace.name}).",
        f"* Traces on which a peer's setting is cheaper and no later: **{len(beaten)}**{where}.",
    ]
    if _can_be_met(here[0]):
        later = [case.trace.name for case in here if case.ours.late_fraction > LATE_PROMISED]
        lines.append(
            f"* Promised here: at most {LATE_PROMISED:.1%} late on every trace "
            + ("(held)" if not later else f"(not held on {', '.join(later)})")
            + f", at a mean cost of at most {COST_PROMISED:g} ({'held' if cost <= COST_PROMISED else 'not held'})."
        )
    else:
        lines.append("* No launch helps in time here: what is not forecast is late, whoever scales.")
    return "\n".join(lines)


def _table(here: Sequence[Case]) -> str:
    rows = [
        (
            "trace",
            "Sluice",
            "late",
            "cheapest peer that is no later",
            "least late peer for no more",
            "clairvoyant",
            "bound",
        )
    ]
    rows += [
        (
            f"{case.trace.name}{' (beaten)' if case.beaten() else ''}",
            f"{case.ours.cost_ratio:.3f}",
            _share(case.ours.late_fraction),
            _peer(case.cheapest(), lambda run: f"{run.cost_ratio:.3f}"),
            _peer(case.least_late(), lambda run: _share(run.late_fraction)),
            "" if case.clairvoyant is None else f"{case.clairvoyant.cost_ratio:.3f}",
            f"{case.bound:.3f}",
        )
        for case in here
    ]
    return _markdown(rows, "lrrllrr")


def _peer(run: Run | None, figure: Callable[[Run], str]) -> str:
    return "none" if run is None else f"{figure(run)} `{_setting(run)}`"


def _setting(run: Run) -> str:
    return label(run.policy, run.params)


def _peers_table(here: Sequence[Case]) -> str:
    """Each peer, tuned for each trace to be no later than Sluice, or than is promised."""
    rows = [("peer, tuned for each trace", "as punctual on", "its cost there, in Sluice's")]
    for name in GRIDS:
        ratios, tried = [], 0
        for case in here:
            late_most = max(case.ours.late_fraction, LATE_PROMISED if _can_be_met(case) else 0.0)
            of = [run for run in case.peers if run.policy == name]
            tried += bool(of)
            chosen = best(of, late_most) if of else None
            if chosen is not None and chosen.late_fraction <= late_most:
                ratios.append(chosen.cost_ratio / case.ours.cost_ratio)
        rows.append((f"`{name}`", f"{len(ratios)} of {tried}", f"{geometric_mean(ratios):.2f}" if ratios else ""))
    as_punctual = (
        f"*As punctual*: no later than Sluice on that trace, or than {LATE_PROMISED:.1%}."
        if _can_be_met(here[0])
        else "*As punctual*: no later than Sluice on that trace."
    )
    return f"{_markdown(rows, 'lrr')}\n\n{as_punctual}"


def _can_be_met(case: Case) -> bool:
    target_s, boot_s = case.world
    return target_s >= boot_s + SPARE_S


def _markdown(rows: Sequence[tuple[str, ...]], align: str) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    marks = "|" + "|".join("---:" if each == "r" else "---" for each in align) + "|"
    return "\n".join([head, marks, *body])


def _share(late: float) -> str:
    """A share in percent; none at all is told from next to none."""
    return "0%" if late == 0.0 else f"{late:.3%}" if late < 0.01 else f"{late:.1%}"


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


# --------------------------------------------------------------------------- its pictures


def world_panels(here: Sequence[Case]) -> Iterator[Panel]:
    """All traces together, a setting by its means; then each trace."""
    by_setting: dict[str, list[Run]] = {}
    for case in here:
        for run in case.peers:
            by_setting.setdefault(_setting(run), []).append(run)
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
    trace = shape(CROWD, SEED)
    conditions = Conditions(seconds_per_message=SECONDS_PER_MESSAGE[CROWD], seed=SEED)
    world = conditions.target_wait_s, conditions.boot_s
    tried = [run for case in found if (case.trace.name, case.world) == (CROWD, world) for run in case.peers]
    name = _setting(best(tried, LATE_PROMISED)) if tried else next(iter(GRIDS))
    ours, other = run_tasks([Task(trace, spec, conditions) for spec in ("sluice", name)], jobs)
    first = max(DAY // 4, int(np.argmax(trace.counts)) - BEFORE)
    minutes = range(first, min(trace.minutes, first + BEFORE + AFTER))
    save(draw_crowd(ours, other, f"best peer in hindsight: {name}", minutes), images / "crowd.png")


# --------------------------------------------------------------------------- the command


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing, and write page and pictures."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.backtest.docs", description=(__doc__ or "").split("\n\n", 1)[1]
    )
    parser.add_argument("--traces", type=Path, default=TRACES, help="a folder of real traces with an experiments.csv")
    parser.add_argument("--days", type=int, help="the first so many days of each trace alone, to try it out")
    parser.add_argument("--jobs", type=int, help="processes at once; as many as there are cores, by default")
    parser.add_argument("--runs", type=Path, default=RUNS, help="where runs are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; pictures go into img beside it")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--peers", action="store_true", help="only make the peers' runs; write nothing")
    part.add_argument("--partial", action="store_true", help="make no peers' runs, go by those that are there")
    options = parser.parse_args(arguments)
    if options.days is not None and options.page == PAGE and not options.peers:
        parser.error("--days: the shipped page is of whole traces; give another --page")
    console = Console(stderr=True)
    kept = Kept(options.runs)
    tasks = peer_tasks(options.traces, options.days)
    try:
        if not options.partial:
            run_tasks(tasks, options.jobs, kept)
        if options.peers:
            return 0
        found = cases(tasks, kept, options.jobs)
    except KeyboardInterrupt:
        console.print(f"Ended early. What was made is kept in {options.runs}: run it again, and it goes on.")
        return INTERRUPTED
    known = sum(len(case.peers) + (case.clairvoyant is not None) for case in found)
    text = rewritten(options.page.read_text(encoding="utf-8"), results(found, known, len(tasks)))
    draw(found, options.page.parent / "img", options.jobs)
    options.page.write_text(text, encoding="utf-8")
    console.print(f"Written: {options.page}, {known} of {len(tasks)} runs of peers", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
