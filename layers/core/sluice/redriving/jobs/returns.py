"""Searches dead-letter queues for copies that a redrive job has sent, where nothing else reports them (manual mode).

A count does not say whose messages a dead-letter queue holds: others fail meanwhile, for the same cause or another, and
whoever looks at the queue hides some. So a job is judged by its own copies alone, which carry its id. SQS finds nothing
by content: messages are received, read, and shown again together. Copies of canaries that a consumer made without their
stamps are known by the ledger, which is asked of the first UNSTAMPED_MAX that came since the job was asked for.

A queue that has a dead-letter queue of its own is not searched, since receiving would move its messages on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from sluice.model.frozen import dataclass
from sluice.model.redrive_jobs import RedriveJob
from sluice.model.redriving import Message
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.letter_pasts import LetterPasts
from sluice.redriving.message_copy import is_unstamped, origin_of
from sluice.redriving.receiving import RECEIVED_AT_ONCE, show_again
from sluice.redriving.source_queues import QueueRoute

SEARCHED_MAX = 10_000  # messages of one queue: a thousand calls, and far from the 120,000 that may be in flight
UNSTAMPED_MAX = 50  # a query each
SEARCH_S = 8.0  # of an invocation's time, for each queue
# Longer than a search, so that it receives no message twice. Whoever dies in it leaves them hidden for no longer.
HIDDEN_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    groups: tuple[str, ...] = ()  # the failure group of each copy that the job has sent
    possible_count: int = 0  # messages that a move task of the job may have moved before
    hidden_count: int = 0  # messages that other readers hide, so that nothing is known of them


def waiting_count(ports: Ports[object], urls: Iterable[str], now: float) -> int:
    """How many messages are in some queues, with those that somebody hides at the moment, by SQS's own counts.

    Raises:
        PortError: SQS does not say.
    """
    readings = [ports.queue.read(url, now) for url in urls]
    counts = [count for one in readings for count in (one.visible, one.in_flight, one.delayed)]
    return sum(int(count.value) for count in counts if count)


def search(
    ports: Ports[RedriverLedger],
    urls: Iterable[str],
    routes: Sequence[QueueRoute],
    job: RedriveJob,
    now: Callable[[], float],
) -> Found:
    """Search dead-letter queues for what came back of a job, and leave it there.

    Args:
        ports: SQS's, and the ledger's.
        urls: the dead-letter queues.
        routes: the queues that the job sends to.
        job: the job.
        now: the time, in epoch seconds.

    Raises:
        PortError: a queue could not be searched.
    """
    groups: list[str] = []
    unstamped: list[Message] = []
    possible_count = hidden_count = 0
    for url in urls:
        if ports.queue.facts(url).dead_letter_arn is not None:
            continue
        in_queue_count = waiting_count(ports, (url,), now())
        receipts: dict[str, str] = {}
        until = now() + SEARCH_S
        try:
            while len(receipts) < SEARCHED_MAX and now() < until:
                received = ports.queue.receive(url, RECEIVED_AT_ONCE, HIDDEN_S)
                new = [message for message in received if message.id not in receipts]
                if not new:
                    break
                receipts |= {message.id: message.receipt for message in new}
                for message in new:
                    origin = next(filter(None, (origin_of(message, route.to) for route in routes)), None)
                    if origin and origin.job_id == job.id and origin.failure_group:
                        groups.append(origin.failure_group)
                    elif _is_new(message, job, len(unstamped)):
                        unstamped.append(message)
                    else:
                        possible_count += _may_be_moved(message, job)
        except PortError:
            if not receipts:
                raise
        finally:
            show_again(ports.queue, url, list(receipts.values()))
        hidden_count += max(0, in_queue_count - len(receipts))
    groups += _of_canaries(ports, routes, job, unstamped, now)
    return Found(tuple(groups), possible_count, hidden_count)


def _of_canaries(
    ports: Ports[RedriverLedger],
    routes: Sequence[QueueRoute],
    job: RedriveJob,
    messages: Sequence[Message],
    now: Callable[[], float],
) -> Iterator[str]:
    """The failure groups of what a consumer copied of a job's canaries, by what the ledger has of their bodies."""
    for route in routes if messages else ():
        pasts = LetterPasts(ports, route.fleet, route.to, now)
        pasts.read(messages)
        for canary in (pasts.take(message).answers for message in messages):
            if canary and canary.job_id == job.id and canary.failure_group:
                yield canary.failure_group


def _may_be_moved(message: Message, job: RedriveJob) -> bool:
    """Whether a move task of a job may have moved a message before: SQS's own redrive gives what it moves a new time.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
    """
    if not job.progress.moved_count or message.first_sent_at is None:
        return False
    return message.first_sent_at >= (job.progress.moved_since or 0.0)


def _is_new(message: Message, job: RedriveJob, before_count: int) -> bool:
    """Whether somebody, and not SQS, put a message without stamps into the dead-letter queue since a job began."""
    is_later = message.first_sent_at is not None and message.first_sent_at >= job.requested_at
    return is_later and is_unstamped(message) and not job.progress.moved_count and before_count < UNSTAMPED_MAX
