"""Which of a fleet's queues a dead letter came from, to which it goes back. It is never guessed.

SQS says it for what it moved itself (DeadLetterQueueSourceArn), in ReceiveMessage's answer and in the records of an
event source mapping alike. A consumer that dead-letters by itself stamps it (`sluice.source`), in any spelling of the
queue. Of the two, SQS is believed. That a dead-letter queue serves one queue alone says nothing: EventBridge, Lambda
and SNS may put their own letters there (`foreign_letters`).
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from collections.abc import Iterable, Sequence

from sluice.config.fleet import Fleet, RedrivePolicy
from sluice.model.frozen import dataclass
from sluice.model.queue_names import same_queue
from sluice.model.redriving import Message
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.failure_groups import queue_name, source_of
from sluice.redriving.foreign_letters import foreign_letter
from sluice.redriving.message_copy import known_source

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
        source: ARN, URL or name of the queue it came from; empty or None where nothing says it.
        routes: those that there are.
    """
    if not source:
        return None
    return next((route for route in routes if same_queue(source, route.to.arn)), None)


def route_of_letter(message: Message, routes: Sequence[QueueRoute]) -> QueueRoute | None:
    """The route by which a dead letter came, as far as it says it; None if it does not, or it is none of these."""
    sources = (known_source(message, route.to) for route in routes)
    return route_for(next(filter(None, sources), None), routes)


def route_asked_for(source: str | None, message: Message, routes: Sequence[QueueRoute]) -> QueueRoute | None:
    """The route of a message that an operator sends back; None if it has to be said (`to_queue`).

    Where nothing says which queue it came from, and there is but one, the operator means that one. Letters that have
    the form of another service never were in it, and stay.

    Args:
        source: the queue that it came from, by its record in quarantine; empty or None where that does not say it.
        message: the message.
        routes: those that there are.
    """
    if source:
        return route_for(source, routes)
    if route := route_of_letter(message, routes):
        return route
    one = len(routes) == 1 and not routes[0].others and not source_of(message)
    return routes[0] if one and foreign_letter(message) is None else None


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
