"""Dead letters that wait in their queue: how long each has left, and quarantine before SQS deletes it.

A dead letter on a standard queue keeps the time of its first sending, and its retention runs from there, while
CloudWatch's age of the oldest message counts from the move. Only the messages themselves have the first time, so they
are read now and then: received, and shown again at once, but those near their end go into quarantine (stored,
indexed, and only then deleted). FIFO queues give a moved message a new time.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html

In manual mode they wait for an operator. In auto mode none waits while Lambda takes them. But the event source mapping
may be disabled, Lambda's recursion detection may have stopped the function, or the function may be throttled. So where
the queue shows some, they are read as well, by the function of the schedule, which none of that stops.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html

A dead-letter queue with a dead-letter queue of its own is not read, since receiving would push its messages on to that.

What cannot be checked in one go is checked the next time, since SQS gives in no order. A redrive out of the same
queue is not disturbed: while one runs, nothing is checked.
"""

from collections.abc import Callable, Sequence
from zlib import crc32

from sluice.config.fleet import Fleet, RedriveMode, RedrivePolicy
from sluice.model.frozen import dataclass
from sluice.model.redriving import Message
from sluice.ports.aws_services import QueueFacts
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.dead_letters import DeadLetterProcessor
from sluice.redriving.jobs.lifecycle import ACTIVE_STATES
from sluice.redriving.letter_results import DeadLetterResult
from sluice.redriving.receiving import RECEIVED_AT_ONCE, receive_many, show_again
from sluice.redriving.verdict import left_s, margin_s

CHECK_EVERY_S = 600.0  # unless the margin is not much longer than that
CHECKED_MAX = 400  # in one go: about a second's calls
# Long enough to read all of them in one check. Who dies in it leaves them hidden for no longer than that.
HIDDEN_S = 20.0


def is_turn(fleet: str, now: float, tick_s: float) -> bool:
    """Whether it is a fleet's turn, once in CHECK_EVERY_S: its name says when, so that not all have the same minute."""
    return (now + crc32(fleet.encode())) % CHECK_EVERY_S < tick_s


def is_due(policy: RedrivePolicy, retention_s: float) -> bool:
    """Whether to check each minute, since CHECK_EVERY_S are much of the margin."""
    return margin_s(policy, retention_s) < 2 * CHECK_EVERY_S


@dataclass(frozen=True, slots=True)
class RetentionCheck:
    """What one check of a dead-letter queue found."""

    checked_count: int
    least_left_s: float | None  # of those that stay
    used_fraction: float | None  # of its retention, by the one that has used most of it, before any was quarantined
    quarantined: tuple[DeadLetterResult, ...]


@dataclass(frozen=True, slots=True)
class RetentionGuard:
    """Guards a fleet's dead-letter queue, for one invocation; `dead` is that queue."""

    ports: Ports[RedriverLedger]
    fleet: Fleet
    dead: QueueFacts
    processor: DeadLetterProcessor
    now: Callable[[], float]

    def check(self) -> RetentionCheck | None:
        """Check what is there, and quarantine what is near its end.

        Returns:
            What was found; None where nothing was read: a redrive takes from there, the queue has a dead-letter queue
            of its own, or in auto mode nothing waits.

        Raises:
            PortError: nothing was checked.
        """
        if self.dead.dead_letter_arn is not None or not self._waits() or self._is_redriven():
            return None
        received = receive_many(self.ports.queue, self.dead.url, CHECKED_MAX, HIDDEN_S)
        now = self.now()
        margin = margin_s(self.fleet.redrive, self.dead.retention_s)
        left = [(message, left_s(message, self.dead.retention_s, now)) for message in received]
        known = [seconds for _, seconds in left if seconds is not None]
        ending = [message for message, seconds in left if seconds is not None and seconds <= margin]
        staying = [seconds for seconds in known if seconds > margin]
        stays = [message.receipt for message, seconds in left if seconds is None or seconds > margin]
        show_again(self.ports.queue, self.dead.url, stays)
        return RetentionCheck(
            len(received),
            min(staying, default=None),
            1.0 - min(known) / self.dead.retention_s if known else None,
            self._quarantine(ending, "Quarantined before SQS deletes it."),
        )

    def quarantine_all(self, until: float, by: str) -> tuple[DeadLetterResult, ...]:
        """Quarantine dead letters for an operator, until there are none or the time is over; the results."""
        done: list[DeadLetterResult] = []
        while self.now() < until:
            received = receive_many(self.ports.queue, self.dead.url, RECEIVED_AT_ONCE, HIDDEN_S)
            if not received:
                break
            done += self._quarantine(received, f"Quarantined at the request of {by}.")
        return tuple(done)

    def _waits(self) -> bool:
        """Whether dead letters may wait: in manual mode always, in auto mode where the queue shows some."""
        if self.fleet.redrive.mode is RedriveMode.MANUAL:
            return True
        visible = self.ports.queue.read(self.dead.url, self.now()).visible
        return visible is not None and visible.value > 0

    def _is_redriven(self) -> bool:
        jobs = self.ports.ledger.jobs.jobs(self.fleet.name)
        return any(job.selection.from_dead_letters and job.state in ACTIVE_STATES for job in jobs)

    def _quarantine(self, messages: Sequence[Message], why: str) -> tuple[DeadLetterResult, ...]:
        """Quarantine, then delete. What cannot be quarantined stays; what is not deleted is known when it returns."""
        if not messages:
            return ()
        results = self.processor.quarantine(messages, why)
        gone = [message.receipt for message, one in zip(messages, results, strict=True) if one.may_be_deleted]
        if gone:
            self.ports.queue.delete(self.dead.url, gone)
        return results
