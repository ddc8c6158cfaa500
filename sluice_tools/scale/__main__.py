"""Simulates stacks of some fleets to thirty thousand, prints the table of docs/scale.md and draws its picture.

python -m sluice_tools.scale        a minute
"""

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sluice_tools.costs import usage
from sluice_tools.scale.picture import draw
from sluice_tools.scale.quotas import ACCOUNT_CONCURRENCY
from sluice_tools.scale.simulation import FUNCTION_S, Conditions, Result, quantile, simulate

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/img/scale.svg"
SIZES = (50, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000)
CONCURRENCY = (ACCOUNT_CONCURRENCY, 20)
GROUPS = "autoscaling.DescribeAutoScalingGroups"
COLUMNS = (
    "fleets",
    "p50, s",
    "p99, s",
    "longest, s",
    "planners at once",
    "heartbeats, s",
    "groups throttled",
    "documents, s",
)


def simulate_all(recording: usage.Recording, minutes: int = 10) -> dict[int, list[Result]]:
    """A result for each size, by how many planners there may be at once."""
    return {
        concurrency: [
            simulate(replace(Conditions(fleets, minutes=minutes), concurrency=concurrency), recording)
            for fleets in SIZES
        ]
        for concurrency in CONCURRENCY
    }


def row(result: Result) -> tuple[str, ...]:
    """A result as a row of the table."""
    late = "" if result.check_s < FUNCTION_S["ticks"] else " (too long)"
    return (
        f"{result.fleets:,}",
        f"{quantile(result.gaps, 0.5):.1f}",
        f"{result.p99:.1f}",
        f"{result.gaps[-1]:.1f}",
        f"{result.at_once}",
        f"{quantile(result.heartbeat_gaps, 1.0):.0f}",
        f"{100 * result.throttled[GROUPS]:.1f}%",
        f"{result.check_s:.0f}{late}",
    )


def main() -> None:
    """Print and draw."""
    results = simulate_all(usage.load())
    for concurrency, found in results.items():
        title = f"Gap between two ticks of a fleet, with at most {concurrency:,} planners at once"
        table = Table(*COLUMNS, title=title, title_justify="left")
        for result in found:
            table.add_row(*row(result))
        Console().print(table)
    draw(results, PICTURE)
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
