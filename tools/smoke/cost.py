"""What a run costs, before it begins: list prices of us-east-1 times the longest that each thing lives."""

from dataclasses import dataclass

HOURS_A_MONTH = 730
PRICED = "list prices in us-east-1, November 2026; other regions cost up to about twice as much; no free tier"

# Dollars an hour, instance on demand, Linux (source: https://aws.amazon.com/ec2/pricing/on-demand/).
INSTANCE_HOUR = {"t4g.micro": 0.0084, "t3.micro": 0.0104, "t4g.small": 0.0168, "t3.small": 0.0208}
ADDRESS_HOUR = 0.005  # a public IPv4 address (source: https://aws.amazon.com/vpc/pricing/)
DISK_HOUR = 8 * 0.08 / HOURS_A_MONTH  # 8 GB of gp3 (source: https://aws.amazon.com/ebs/pricing/)
LAMBDA_HOUR = 0.5 * 3_600 * 0.0000166667  # 512 MB that never rest (source: https://aws.amazon.com/lambda/pricing/)
# Source: https://aws.amazon.com/cloudwatch/pricing/; alarms, metrics and dashboards are charged by the hour.
ALARM_HOUR, METRIC_HOUR, DASHBOARD_HOUR = (price / HOURS_A_MONTH for price in (0.10, 0.30, 3.0))
METRIC_READ = 0.00001
ALARMS, METRICS, METRICS_READ_HOUR = 16, 30, 4 * 360  # of one fleet that is evaluated every ten seconds
REQUESTS = 0.02
"""SQS, DynamoDB, S3, Systems Manager and log requests and storage of a run, in all: some ten thousand requests."""


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
        Item("Lambda, two functions at work all the time", 2 * LAMBDA_HOUR * hours),
        Item(
            f"CloudWatch: {ALARMS} alarms, {METRICS} metrics, a dashboard, metrics that are read",
            (ALARMS * ALARM_HOUR + METRICS * METRIC_HOUR + DASHBOARD_HOUR + METRICS_READ_HOUR * METRIC_READ) * hours,
        ),
        Item("SQS, DynamoDB, S3, Systems Manager, logs", REQUESTS),
    ]


def total(items: list[Item]) -> float:
    """Dollars in all."""
    return sum(item.dollars for item in items)
