"""The table of costs in docs/operations.md: `python -m sluice_tools.costs.recording` writes it, a test compares it."""

from collections.abc import Iterator
from pathlib import Path

from sluice_tools.costs import prices, usage
from sluice_tools.costs.bill import bill
from sluice_tools.costs.usage import Stack

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"
BEGIN, END = "<!-- costs: written by sluice_tools/costs -->\n", "<!-- end of costs -->\n"
# 600 idle, 200 for four hours a day, 150 for 60% of it, 50 always.
MIX_HOURS = (200 * 4.0 + 150 * 0.6 * 24.0 + 50 * 24.0) / 1_000
STACKS = {
    "one idle fleet": Stack(1, 0.0),
    "one busy fleet": Stack(1, 24.0),
    "1,000 fleets, each of them": Stack(1_000, MIX_HOURS),
}


def lines() -> Iterator[str]:
    """The table's lines, in dollars of a fleet and month, by service."""
    recording, table = usage.load(), prices.load()
    bills = [
        {line.what: line.dollars / stack.fleets for line in bill(stack, recording, table)} for stack in STACKS.values()
    ]
    services = list(dict.fromkeys(what.partition(":")[0] for what in bills[0]))
    yield f"| what | {' | '.join(f'{name}, $' for name in STACKS)} |"
    yield f"|---|{'---|' * len(STACKS)}"
    for service in services:
        sums = [sum(dollars for what, dollars in each.items() if what.partition(":")[0] == service) for each in bills]
        if any(dollars >= 0.005 for dollars in sums):
            yield f"| {service} | {' | '.join(f'{dollars:.2f}' for dollars in sums)} |"
    yield f"| in all | {' | '.join(f'{sum(each.values()):.2f}' for each in bills)} |"


def write() -> None:
    """Put the table into the page."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(lines()) + "\n\n" + END + rest.partition(END)[2])
