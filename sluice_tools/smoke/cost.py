"""What a run costs, before it begins: list prices of us-east-1 times the longest that each thing lives."""

from dataclasses import dataclass

from sluice_tools.costs import bill, prices, usage

HOURS_A_MONTH = 730
PRICED = "list prices in us-east-1, November 2026; other regions cost up to about twice as much; no free tier"

# Dollars an hour, instance on demand, Linux (source: https://aws.amazon.com/ec2/pricing/on-demand/).
INSTANCE_HOUR = {"t4g.micro": 0.0084, "t3.micro": 0.0104, "t4g.small": 0.0168, "t3.small": 0.0208}
ADDRESS_HOUR = 0.005  # a public IPv4 address (source: https://aws.amazon.com/vpc/pricing/)
DISK_HOUR = 8 * 0.08 / HOURS_A_MONTH  # 8 GB of gp3 (source: https://aws.amazon.com/ebs/pricing/)
REQUESTS = 0.02
"""S3, Systems Manager and the run's own requests, in all: some ten thousand."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the estimate, in dollars."""

    what: str
    dollars: float


def estimate(instance_type: str, consumers: int, hours: float) -> list[Item]:
    """The most that a run costs.

    Args:
        instance_type: of the database and the consumers; one that has no price here is taken for a small one.
        consumers: the most there are at once.
        hours: the longest that anything lives: the deadline, and the removal.
    """
    instances = consumers + 1
    price = INSTANCE_HOUR.get(instance_type, max(INSTANCE_HOUR.values()))
    return [
        Item(f"{instances} x {instance_type} for {hours:.2g} h", instances * price * hours),
        Item(f"{instances} public IPv4 addresses and disks", instances * (ADDRESS_HOUR + DISK_HOUR) * hours),
        Item("Sluice's stack with one busy fleet, as `sluice cost` has it", stack_hour() * hours),
        Item("S3, Systems Manager, and what the run itself asks for", REQUESTS),
    ]


def stack_hour() -> float:
    """What a stack with one busy fleet costs an hour, with its dashboard and the fleet's metrics."""
    stack = usage.Stack(fleets=1, detail="fleet")
    return bill.total(bill.bill(stack, usage.load(), prices.load(), dashboard=True)) / HOURS_A_MONTH


def total(items: list[Item]) -> float:
    """Dollars in all."""
    return sum(item.dollars for item in items)
