"""The command that prints what each rule of the planner gains.

Each case is simulated with all rules, and then without each of them. A rule earns its place where the fleet costs at
least 0.5% more without it, or is late for at least 0.05% more of its messages, or launches more in a world that is
bounded in launches. Results are cached: if it is interrupted, the same command resumes.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sluice_tools.ablate.cases import Case, Result, cases
from sluice_tools.ablate.constants import constants, tuned
from sluice_tools.ablate.docs import PAGE, Measured, commit_of, page_of
from sluice_tools.ablate.results import RESULTS, results_of
from sluice_tools.ablate.rules import Rule, rules

MATTERS_COST = 0.005  # half of a percent of the cost
MATTERS_LATE = 0.0005  # of a case's messages


@dataclass(frozen=True, slots=True)
class Gain:
    """What a rule gains: the planner without it, compared with the whole one. Shares; above 0 where the rule helps."""

    rule: Rule
    cost: float  # of the geometric mean over all cases
    late: float  # of the mean over all cases
    most_cost: tuple[float, str]  # where it saves most, and the case
    most_late: tuple[float, str]
    least_cost: tuple[float, str]  # where it costs most, and the case
    launches: tuple[int, int] | None = None  # in the world that it holds: with the rule, and without

    @property
    def matters(self) -> bool:
        """Whether it gains enough in some case."""
        return self.most_cost[0] >= MATTERS_COST or self.most_late[0] >= MATTERS_LATE

    @property
    def note(self) -> str:
        """What is to be said of it beside its figures."""
        if self.launches is not None and self.launches[0] < self.launches[1]:
            return f"{self.launches[0]} launches in {self.rule.holds}, {self.launches[1]} without it"
        return "" if self.matters else "gains nothing"


def gain_of(rule: Rule, whole: Mapping[str, Result], off: Mapping[str, Result]) -> Gain:
    """What a rule gains, by the results of every case with and without it."""
    costs = [(off[name].cost / whole[name].cost - 1.0, name) for name in whole]
    lates = [(off[name].late - whole[name].late, name) for name in whole]
    mean = exp(sum(log(1.0 + cost) for cost, _ in costs) / len(costs)) - 1.0
    held = (whole[rule.holds].launches, off[rule.holds].launches) if rule.holds in whole else None
    return Gain(rule, mean, sum(late for late, _ in lates) / len(lates), max(costs), max(lates), min(costs), held)


def gains(chosen: Sequence[Rule], tried: Sequence[Case], jobs: int, path: Path = RESULTS) -> list[Gain]:
    """What each of the rules gains over the cases, on so many processes; `path` has earlier results."""
    tasks = [(case, name) for name in (None, *(rule.name for rule in chosen)) for case in tried]
    results = results_of(tasks, jobs, path)
    by_rule: dict[str | None, dict[str, Result]] = {}
    for (case, name), result in zip(tasks, results, strict=True):
        by_rule.setdefault(name, {})[case.name] = result
    return [gain_of(rule, by_rule[None], by_rule[rule.name]) for rule in chosen]


def table_of(found: Sequence[Gain]) -> Table:
    """The table of ablations."""
    table = Table(title="What the planner loses without each of its rules", title_justify="left")
    for heading in ("rule", "cost", "late", "most in cost", "most in late", "saves by its absence", ""):
        table.add_column(heading, justify="right" if heading in {"cost", "late"} else "left")
    for each in found:
        table.add_row(
            each.rule.name,
            f"{each.cost:+.2%}",
            f"{each.late:+.3%}",
            f"{each.most_cost[0]:+.1%} {each.most_cost[1]}",
            f"{each.most_late[0]:+.2%} {each.most_late[1]}",
            f"{each.least_cost[0]:+.1%} {each.least_cost[1]}",
            each.note,
        )
    return table


def print_constants() -> None:
    """Print how many named numbers the planner has, and which are tuned, module by module."""
    all_of_them, chosen = list(constants()), tuned()
    print(f"The planner has {len(all_of_them)} named numbers, of which {len(chosen)} are tuned:")
    for module in dict.fromkeys(module for module, _ in chosen):
        print(f"  {module}: {', '.join(name for where, name in chosen if where == module)}")


def record_of(gain: Gain) -> dict[str, Any]:
    """What a rule gains, as JSON."""
    keys = ("cost", "late", "most_cost", "most_late", "least_cost", "note")
    return {"rule": gain.rule.name, **{key: getattr(gain, key) for key in keys}}


def write_page(found: Sequence[Gain], tried: str, page: Path) -> None:
    """Write the page of ablations."""
    commit, date = commit_of()
    measured = Measured(commit, date, tried, len(list(constants())), len(tuned()))
    page.write_text(page_of([record_of(each) for each in found], measured), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, and print."""
    names = [rule.name for rule in rules()]
    parser = argparse.ArgumentParser(prog="make ablate ARGS=...", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--rule", action="append", choices=names, help="this rule alone; may be given again")
    parser.add_argument("--traces", type=Path, help="a folder of real traces, in the place of generated ones")
    parser.add_argument("--days", type=int, default=1, help="how many days of each trace (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of traffic and worlds (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--constants", action="store_true", help="count the planner's constants instead")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file in which results are cached")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that --docs writes")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON list on the last line")
    form.add_argument("--docs", action="store_true", help="write the page with the table")
    options = parser.parse_args(arguments)
    if options.constants:
        print_constants()
        return 0
    if options.days < 1:
        parser.error(f"--days: must be at least 1 (got {options.days})")
    if options.traces is not None and not options.traces.is_dir():
        parser.error(f"--traces: there is no folder {options.traces}")
    chosen = [rule for rule in rules() if not options.rule or rule.name in options.rule]
    if options.docs and options.rule:
        parser.error("--docs: must have all rules; leave out --rule")
    tried = list(cases(options.seed, options.traces, options.days))
    found = gains(chosen, tried, max(1, options.jobs), options.results)
    if options.json:
        print(json.dumps([record_of(each) for each in found]))
    elif options.docs:
        days = f"{options.days} {'day' if options.days == 1 else 'days'}"
        write_page(found, f"{len(tried)} cases, traces of {days}, seed {options.seed}", options.page)
    else:
        Console(width=max(120, Console().width)).print(table_of(found))
    return 0
