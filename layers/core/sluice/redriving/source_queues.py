"""Which of a fleet's queues a dead letter came from, to which it goes back. It is never guessed.

SQS says it for what it moved itself (DeadLetterQueueSourceArn), a consumer that dead-letters by itself stamps it
(`sluice.source`); of the two, SQS is believed. Where a dead-letter queue serves one queue alone, that says it as well.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from collections.abc import Iterable, Sequence

from sluice.config.fleet import Fleet, RedrivePolicy
from sluice.model.frozen import dataclass
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.failure_groups import queue_name

WATCH_MAX_S = 900.0  # of the default; for a longer watch the fleet's document has `canary_wait_s`


@dataclass(frozen=True, slots=True)
class QueueRoute:
    """One of a fleet's queues: its dead letters come from it, and go back to it.

    Attributes:
        fleet: the fleet as if it had this queue alone.
        to: what the queue is.
        paused: nothing takes from it, so that what is sent there waits.
        others: names of the other queues that share its dead-letter queue.
    """

    fleet: Fleet
    to: QueueFacts
    paused: bool = False
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The queue's name."""
        return queue_name(self.to.url)


def route_for(source: str | None, routes: Sequence[QueueRoute]) -> QueueRoute | None:
    """The route by which a message came; None if nothing says it, or it is none of these.

    Args:
        source: ARN or URL of the queue it came from; "" where nothing says it, None where it was not read.
        routes: those that there are. One alone is it by itself, for what nobody has asked about.
    """
    if source is None:
        return routes[0] if len(routes) == 1 and not routes[0].others else None
    return next((route for route in routes if source in {route.to.arn, route.to.url}), None)


def watch_s(policy: RedrivePolicy, routes: Iterable[QueueRoute]) -> float:
    """How long what was sent to these queues must not fail again, in seconds.

    Unless the policy says it: what a message waits and is worked on at most.
    """
    if policy.canary_wait_s is not None:
        return policy.canary_wait_s
    return min(WATCH_MAX_S, max(route.fleet.target_wait_s + route.to.visibility_s for route in routes))


def by_dead_letter_queue(routes: Iterable[QueueRoute]) -> dict[str, tuple[QueueRoute, ...]]:
    """Queues by the URL of their dead-letter queue, those that have one."""
    found: dict[str, tuple[QueueRoute, ...]] = {}
    for route in routes:
        if url := route.fleet.dead_letter_queue:
            found[url] = (*found.get(url, ()), route)
    return found
