"""The page docs/ablations.md: what each rule of the planner gains, when and with which code that was measured."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice_tools.ablate.rules import rules
from sluice_tools.backtest.docs_results import markdown
from sluice_tools.sources import CHECKOUT

PAGE = CHECKOUT / "docs" / "ablations.md"
# Counted before rules that gain nothing were taken out, with this list of what is not tuned.
CONSTANTS_BEFORE, TUNED_BEFORE = 147, 119


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, with which code, and when."""

    commit: str
    date: str  # of the commit, ISO
    cases: str  # such as "59 cases, traces of 1 day, seed 1"
    constants: int
    tuned: int


def commit_of() -> tuple[str, str]:
    """The checkout's commit and its date; a name that ends in -dirty has changes beside it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return git("describe", "--always", "--dirty", "--exclude=*"), git("show", "-s", "--format=%cs", "HEAD")


def page_of(records: Sequence[Mapping[str, Any]], measured: Measured) -> str:
    """The page.

    Args:
        records: a rule each, as `python -m sluice_tools.ablate --json` prints them.
        measured: what was measured.
    """
    says = {rule.name: rule.says for rule in rules()}
    head = ("rule", "what it does", "cost", "late", "most in cost", "most in late", "costs most", "")
    rows = [
        (
            f"`{each['rule']}`",
            says[each["rule"]],
            f"{each['cost']:+.2%}",
            f"{each['late']:+.3%}",
            _where(each["most_cost"], ".1%"),
            _where(each["most_late"], ".2%"),
            _where(each["least_cost"], ".1%"),
            each["note"],
        )
        for each in sorted(records, key=lambda each: -each["most_cost"][0])
    ]
    table = markdown([head, *rows], "llrrllll")
    return f"""# What each rule of the planner gains

`make ablate ARGS=--docs` writes this page. Each case is simulated with all rules, and then without each of them. A
figure above 0 is what the fleet loses without the rule. A rule earns its place where the fleet costs at least 0.5% more
without it, or is late for at least 0.05% more of its messages. [planner.md](planner.md) explains the planner.

Measured with commit `{measured.commit}` of {measured.date}: {measured.cases}. *Cost* and *late* are of all cases
together; the next columns have the case in which the rule gains most, and the last the one in which it costs most.
Cases that are neither generated traffic nor [worlds](backtest.md#worlds) are `MORE` of `sluice_tools/ablate/cases.py`.

{table}

## Constants

| | named numbers | of which tuned |
|---|---:|---:|
| before rules were taken out | {CONSTANTS_BEFORE} | {TUNED_BEFORE} |
| with commit `{measured.commit}` | {measured.constants} | {measured.tuned} |

A number is tuned where another value would be as right, and only results speak for the one it has. The others are
units, facts of AWS, bounds of records, and the arithmetic's own (`sluice_tools/ablate/constants.py`).
`make ablate ARGS=--constants` lists them.
"""


def _where(found: Sequence[Any], digits: str) -> str:
    """A figure and its case."""
    figure, case = found
    return f"{figure:+{digits}} {case}"
