"""The route of a dead letter back to one of several queues that share a dead-letter queue."""

import pytest

from sluice.memory import memory_ports, queue_url
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.failure_groups import SOURCE, queue_name, source_of
from sluice.redriving.source_queues import QueueRoute, by_dead_letter_queue, route_for
from tests.support.redrive_worlds import letter, text
from tests.support.several_queues import NIGHT, OTHER, URGENT, fleet


def route(name: str, *others: str) -> QueueRoute:
    """A route to the queue of that name."""
    url = queue_url(name)
    facts = QueueFacts(url, f"arn:aws:sqs:local:000000000000:{name}", name.endswith(".fifo"), 1.0, 1)
    source = next((one for one in fleet().sources if one.name == name), fleet().sources[0])
    return QueueRoute(fleet().with_only(source), facts, others=others)


@pytest.mark.parametrize(
    ("source", "names", "found"),
    [
        ("arn:aws:sqs:local:000000000000:orders", ("orders", "orders-night"), "orders"),
        (OTHER, ("orders", "orders-night"), "orders"),
        ("arn:aws:sqs:local:000000000000:orders", ("orders",), "orders"),
        ("arn:aws:sqs:elsewhere:000000000000:orders", ("orders",), None),
        ("orders", ("orders", "orders-night"), "orders"),
        ("order", ("orders", "orders-night"), None),
        ("https://orders", ("orders", "orders-night"), None),
        ("", ("orders", "orders-night"), None),
        ("", ("orders",), None),
        (None, ("orders", "orders-night"), None),
        (None, ("orders",), None),
    ],
)
def test_way_back_is_told_never_guessed(source: str | None, names: tuple[str, ...], found: str | None) -> None:
    """By the ARN, a URL or the name; that there is one way alone says nothing."""
    way_ = route_for(source, [route(name) for name in names])
    assert (way_.name if way_ else None) == found


def test_one_of_several_ways_is_none_by_itself() -> None:
    """A selection of one queue does not make that the queue of what shares its dead-letter queue."""
    assert route_for(None, [route("orders", "orders-night")]) is None


def test_sqs_is_believed_before_the_stamp() -> None:
    """DeadLetterQueueSourceArn is SQS's own; the attribute anybody may write."""
    stamped = letter(attributes={SOURCE: text(OTHER)})
    assert source_of(stamped) == OTHER
    assert source_of(letter(attributes={SOURCE: text(OTHER)}, source="arn:aws:sqs:local:0:x")).endswith(":x")
    assert source_of(letter()) == ""


def test_ways_are_told_apart_by_their_dead_letter_queue() -> None:
    """Two that share one, and one that has none."""
    routes = [route("orders"), route("orders-night"), route("orders-urgent")]
    assert {url: [one.name for one in some] for url, some in by_dead_letter_queue(routes).items()} == {
        queue_url("orders-dead"): ["orders", "orders-night"]
    }


@pytest.mark.parametrize("whole", ["orders", OTHER, "arn:aws:sqs:local:000000000000:orders", "http://h:40/0/orders"])
def test_queue_is_called_by_its_name(whole: str) -> None:
    """Whichever way it is given."""
    assert queue_name(whole) == "orders"


def test_ports_in_memory_have_every_queue_of_a_fleet() -> None:
    """With its dead-letter queue, which one or several have."""
    ports = memory_ports(lambda: 0.0, [fleet()])
    assert set(ports.queue.urls()) == {URGENT, OTHER, NIGHT, queue_url("orders-dead")}
    dead = ports.queue.facts(queue_url("orders-dead")).arn
    assert [ports.queue.facts(url).dead_letter_arn for url in (OTHER, NIGHT, URGENT)] == [dead, dead, None]
