"""What a stack costs a month, line by line: its usage times the price table."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_tools.costs.prices import PriceTable
from sluice_tools.costs.usage import Recording, Stack, usage


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill."""

    what: str
    count: float
    dollars: float
    page: str  # where AWS states the price


def bill(stack: Stack, recording: Recording, prices: PriceTable, *, dashboard: bool = False) -> tuple[Line, ...]:
    """What a stack costs a month, in dollars, by service.

    Args:
        stack: the stack.
        recording: the calls of a round.
        prices: what they cost.
        dashboard: whether its dashboard is counted.
    """
    used = usage(stack, recording)
    work = used.work
    log_gb = work.log_bytes / 1e9
    counts = [
        ("Lambda: invocations", "lambda_request", work.invocations),
        ("Lambda: GB-seconds", "lambda_gb_second", used.gb_seconds),
        ("SQS: polls of empty queues", "sqs_request", used.polls),
        ("SQS: steps received and deleted", "sqs_request", 2.0 * used.steps),
        ("SQS: steps sent, queues counted", "sqs_request", work.of_service("sqs")),
        ("CloudWatch: metrics read", "metric_read", work.metrics_read),
        ("CloudWatch: custom metrics", "custom_metric", used.series),
        ("CloudWatch: metrics of alarms", "alarm_metric", used.alarm_metrics),
        ("CloudWatch: log lines, GB", "log_gb", log_gb),
        ("CloudWatch: log lines kept, GB", "log_gb_month", log_gb),
        ("DynamoDB: write units", "write_unit", work.write_units),
        ("DynamoDB: read units", "read_unit", work.read_units),
        ("DynamoDB: storage, GB", "table_gb_month", used.ledger_gb),
        ("Auto Scaling: calls", "group_read", work.of_service("autoscaling")),
        ("Parameter Store: calls", "parameter_read", work.of_service("ssm")),
    ]
    if dashboard:
        counts.append(("CloudWatch: dashboard", "dashboard", 1.0))
    return tuple(Line(what, count, prices[name].of_units(count), prices[name].page) for what, name, count in counts)


def total(lines: Sequence[Line]) -> float:
    """Dollars in all."""
    return sum(line.dollars for line in lines)
