"""Which of a fleet's queues a dead letter belongs to: the one that it goes back to. Told, never guessed.

SQS tells it of what it moved itself (DeadLetterQueueSourceArn), a consumer that dead-letters by itself stamps it
(`sluice.source`); of the two, SQS is believed. Where a dead-letter queue serves one queue alone, that says it as well.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from collections.abc import Iterable, Sequence

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.failure_groups import queue_name


@dataclass(frozen=True, slots=True)
class Way:
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


def way_back(source: str | None, ways: Sequence[Way]) -> Way | None:
    """The one of some ways that a message came by; None if that is not told, or it is none of them.

    Args:
        source: ARN or URL of the queue it came from; "" where nothing tells, None where nobody has asked.
        ways: those that there are. One alone is it by itself, for what nobody has asked about.
    """
    if source is None:
        return ways[0] if len(ways) == 1 and not ways[0].others else None
    return next((way for way in ways if source in {way.to.arn, way.to.url}), None)


def by_dead_letter_queue(ways: Iterable[Way]) -> dict[str, tuple[Way, ...]]:
    """Ways by the URL of their dead-letter queue, those that have one."""
    found: dict[str, tuple[Way, ...]] = {}
    for way in ways:
        if url := way.fleet.dead_letter_queue:
            found[url] = (*found.get(url, ()), way)
    return found
