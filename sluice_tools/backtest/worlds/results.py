"""Runs the worlds and prints what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sluice.wording import count
from sluice_tools.backtest.policies import label
from sluice_tools.backtest.runs import Run, Said
from sluice_tools.backtest.study import Task, run_tasks
from sluice_tools.backtest.worlds.catalogue import WORLDS
from sluice_tools.backtest.worlds.world import World, bound_hours

SAID_SHOWN = 5  # sentences of a world


@dataclass(frozen=True, slots=True)
class WorldRun:
    """What came of a policy in a world."""

    world: World
    run: Run
    bound_hours: float  # the least unit-hours that are possible in it

    @property
    def cost(self) -> float:
        """Unit-hours over the bound."""
        return self.run.instance_hours / self.bound_hours

    def record(self) -> dict[str, Any]:
        """The run as one JSON object."""
        return {
            "world": self.world.name,
            **self.run.record(),
            "bound_hours": round(self.bound_hours, 3),
            "cost_of_bound": round(self.cost, 4),
            "in_time": not self.world.late_why,
            "said": [{"reason": each.code, "sentence": each.sentence, "ticks": each.ticks} for each in self.run.said],
        }


def chosen(names: Sequence[str]) -> list[World]:
    """Worlds by their names; all of them without any.

    Raises:
        ValueError: there is no such world.
    """
    unknown = [name for name in names if name not in WORLDS]
    if unknown:
        raise ValueError(f"--worlds: must be of {', '.join(WORLDS)} (got {', '.join(unknown)})")
    return [WORLDS[name] for name in names or WORLDS]


def run_worlds(
    worlds: Sequence[World], specs: Sequence[str], seeds: Sequence[int], jobs: int | None = None
) -> list[WorldRun]:
    """Every policy in every world with every seed."""
    cases = [(world, spec, seed) for world in worlds for spec in specs for seed in seeds]
    runs = run_tasks(
        [
            Task(world.trace(seed), world.spec(spec), world.conditions_of(seed), behaviour=world.behaviour)
            for world, spec, seed in cases
        ],
        jobs,
    )
    bounds = {(world.name, seed): bound_hours(world, seed) for world in worlds for seed in seeds}
    return [WorldRun(world, run, bounds[world.name, seed]) for (world, _, seed), run in zip(cases, runs, strict=True)]


def show_worlds(runs: Sequence[WorldRun], console: Console) -> None:
    """Print a table of the worlds, and then what was said in each."""
    by_case: dict[tuple[str, str], list[WorldRun]] = {}
    for each in runs:
        by_case.setdefault((each.world.name, label(each.run.policy, each.run.params)), []).append(each)
    seeds = sorted({each.run.conditions.seed for each in runs})
    title = f"Worlds: mean cost and most late of {count(len(seeds), 'seed')}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("world", overflow="fold")
    for name in ("cost", "hours", "bound", "late", "longest", "launches"):
        table.add_column(name, justify="right", no_wrap=True)
    for (name, policy), of in by_case.items():
        table.add_row(
            name if policy.startswith("sluice") else f"{name} {policy}",
            f"{_mean([each.cost for each in of]):.2f}",
            f"{_mean([each.run.instance_hours for each in of]):.1f}",
            f"{_mean([each.bound_hours for each in of]):.1f}",
            f"{max(each.run.late_fraction for each in of):.2%}" + ("*" if of[0].world.late_why else ""),
            f"{max(each.run.wait_max_s for each in of):.0f} s",
            f"{_mean([each.run.launches for each in of]):.0f}",
        )
    console.print(table)
    console.print("Cost is in multiples of the bound. * Not every message can be begun in time.", highlight=False)
    for (name, policy), of in by_case.items():
        _show_said(of, f"{name} {policy}", console)


def _show_said(of: Sequence[WorldRun], name: str, console: Console) -> None:
    world = of[0].world
    conditions = world.conditions
    console.print(f"\n{name}: {world.about}", highlight=False, markup=False)
    console.print(
        f"  Target wait {conditions.target_wait_s:g} s, boot {conditions.boot_s:g} s,"
        f" {conditions.seconds_per_message:g} s a message."
        + (f" Late: {world.late_why}." if world.late_why else "")
        + (f" The bound has {world.spare_hours:g} unit-hours for {world.spare_why}." if world.spare_hours else ""),
        highlight=False,
        markup=False,
    )
    said = of[0].run.said
    for each in said[:SAID_SHOWN]:
        console.print(f"  {_line(each, of[0].run.ticks)}", highlight=False, markup=False)
    if len(said) > SAID_SHOWN:
        others = count(len(said) - SAID_SHOWN, "other sentence")
        console.print(f"  and {others}: with --json, the list has them", highlight=False)


def _line(said: Said, ticks: int) -> str:
    return f"{said.ticks} of {count(ticks, 'tick')}: {said.code}: {said.sentence}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
