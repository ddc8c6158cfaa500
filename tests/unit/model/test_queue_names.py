"""Which queue a URL, an ARN or a name means."""

import pytest

from sluice.model.queue_names import QueueIdentity, identify, same_queue

ORDERS = "arn:aws:sqs:eu-west-1:123456789012:orders"
ALIKE = (
    ORDERS,
    "orders",
    "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "https://sqs.eu-west-1.amazonaws.com/123456789012/orders/",
    "https://SQS.eu-west-1.amazonaws.com/123456789012/orders",
    "http://sqs.eu-west-1.amazonaws.com:80/123456789012/orders",
    "https://sqs-fips.eu-west-1.amazonaws.com/123456789012/orders",
    "https://sqs.eu-west-1.api.aws/123456789012/orders",
    "https://eu-west-1.queue.amazonaws.com/123456789012/orders",
    "https://vpce-0f1-abc.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders",
    "https://vpce-0f1-abc-eu-west-1a.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders",
    "http://localhost:4566/123456789012/orders",
    "sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "HTTPS://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "sqs://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "https://sqs.amazonaws.com/123456789012/orders",
    "https://vpce-0f1-abc.sqs-fips.eu-west-1.vpce.api.aws/123456789012/orders",
    f" {ORDERS}\n",
)


@pytest.mark.parametrize("one", ALIKE)
def test_queue_is_one_in_every_spelling(one: str) -> None:
    """Legacy hosts, VPC endpoints, FIPS, both versions of IP, ARNs and bare names, with a scheme or without."""
    assert [other for other in ALIKE if not same_queue(one, other)] == []


@pytest.mark.parametrize(
    "other",
    [
        "arn:aws:sqs:us-east-1:123456789012:orders",
        "arn:aws:sqs:eu-west-1:210987654321:orders",
        "arn:aws:sqs:eu-west-1:123456789012:orders.fifo",
        "https://queue.amazonaws.com/123456789012/orders",  # us-east-1's
        "https://us-east-1.queue.amazonaws.com/123456789012/orders",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/Orders",
        "arn:aws:sns:eu-west-1:123456789012:orders",
        "order",
        "the orders",
        "",
    ],
)
def test_queues_differ_by_name_account_or_region(other: str) -> None:
    """A namesake elsewhere is another queue, and a text that names no queue is none."""
    assert not same_queue(ORDERS, other)
    assert not same_queue(other, ORDERS)


def test_oldest_host_is_of_the_oldest_region() -> None:
    """It is the one whose host names no region."""
    assert identify("https://queue.amazonaws.com/123456789012/a.fifo") == QueueIdentity(
        "a.fifo", "123456789012", "us-east-1"
    )
    assert identify("https://queue.amazonaws.com/123456789012/a b") is None
