"""`sluice cost`: what a stack costs a month."""

import json
from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.table import Table

from sluice_tools.commands.output import console
from sluice_tools.costs import prices, usage
from sluice_tools.costs.bill import bill, total

Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))]
Hours = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=24))]
Seconds = Annotated[float, Parameter(validator=validators.Number(gte=1, lte=60))]


def cost(
    *,
    fleets: Count = 1,
    hot_hours: Hours = 24.0,
    detail: Literal["stack", "fleet"] = "stack",
    tick_seconds: Seconds = 10.0,
    dead_letters: bool = True,
    slow_launches: Annotated[bool, Parameter(negative="")] = False,
    dashboard: bool = True,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Print what a stack costs a month, by service, at list prices of us-east-1 without free tiers.

    The calls are those that were recorded of the shipped code. Your instances are not in it, nor what happens now and
    then: drains, dead letters, redrives, and people at the dashboard.

    Args:
        fleets: how many fleets the stack has.
        hot_hours: how many hours a day each of them has messages.
        detail: as the stack's parameter Detail: the stack's metrics and alarms, or each fleet's as well.
        tick_seconds: as the stack's parameter TickSeconds.
        dead_letters: whether each fleet has a dead-letter queue.
        slow_launches: whether launches take longer than the target wait. Metrics are then read each minute, not each
            third one.
        dashboard: whether to count the stack's dashboard.
        as_json: print one JSON object instead of the table.
    """
    table = prices.load()
    stack = usage.Stack(fleets, hot_hours, detail, tick_seconds, dead_letters, slow_launches)
    lines = bill(stack, usage.load(), table, dashboard=dashboard)
    if as_json:
        print(
            json.dumps(
                {
                    "stack": asdict(stack),
                    "prices": f"{table.region}, {table.checked_on.isoformat()}",
                    "dollars": round(total(lines), 4),
                    "dollars_a_fleet": round(total(lines) / fleets, 4),
                    "lines": [asdict(line) for line in lines],
                }
            )
        )
        return
    shown = Table(
        "what", "a month", "$", "price", title=f"{fleets} fleet{'s' if fleets > 1 else ''}", title_justify="left"
    )
    for column in (1, 2):
        shown.columns[column].justify = "right"
    for line in lines:
        shown.add_row(
            line.what,
            f"{line.count:,.6g}" if line.count < 1e6 else f"{line.count:,.0f}",
            f"{line.dollars:,.2f}",
            line.page,
        )
    shown.add_section()
    shown.add_row("in all", "", f"{total(lines):,.2f}", f"{total(lines) / fleets:,.2f} a fleet")
    console().print(shown)
    print(f"List prices of {table.region}, checked on {table.checked_on.isoformat()}, without free tiers.")
