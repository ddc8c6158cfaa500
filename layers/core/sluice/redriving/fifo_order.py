"""Keeps the order of a FIFO message group while one of its dead letters is retried: rules, and how the group waits.

Theory of operation. FIFO queues know no delay per message, and SQS goes on with a message group once it has moved a
message of it to the dead-letter queue. So what follows waits in the dead-letter queue, and the queue's own lock holds
it there: while a message is in flight, SQS delivers no other message of its message group.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
https://repost.aws/knowledge-center/sqs-fifo-messages-not-returned

    waits for its time --> its copy is sent --> stays hidden until that copy has settled --> deleted; the next one

* The wait before a retry counts from when the message came into the dead-letter queue, which SQS's own time says. Its
  jitter comes from its id. So whoever looks at it again, after a crash or twice, finds the same end.
* A message whose copy was sent stays in the dead-letter queue, hidden, for as long as the copy takes to be worked on
  or to come back (`settles_within_s`). Its mark *sent* in the ledger keeps it from being sent twice (`sender`). So no
  record of its own says that the message group waits, and no crash can lose that.
* A copy that comes back lies behind what waited for it. It is received with that, and goes first (`arranged`): it is
  retried again before anything behind it, or is quarantined, and what follows joins it there.
* Lambda hands over ten messages at most. Where these are all of one message group, its copy may lie behind them
  unseen: the message group goes to quarantine together. Where only the last is of it, another look shows more.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import field
from math import inf

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass
from sluice.model.redriving import Message
from sluice.ports.aws_services import Queue, QueueFacts
from sluice.ports.errors import PortError
from sluice.ports.ledger.attempts import Attempts
from sluice.redriving.letter_history import LetterPast, past_of, return_window_s
from sluice.redriving.message_copy import Destination, body_key, origin_of
from sluice.redriving.source_queues import QueueRoute

# Lambda's largest batch of a FIFO queue.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
BATCH_MAX = 10
MANY_WAIT = "so many dead letters of its message group wait that a batch does not show all, and order is kept"
LOOK_AGAIN_S = 30.0  # at the rest of a message group that a batch may not show
# A message is in flight for 12 hours at most, counted from when it was received; an hour of that is left for that.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
HIDDEN_MAX_S = 39_600.0
RETRIED, CAME_BACK, WAITS = range(3)  # in which order the dead letters of a message group are worked on
# By so much a message shows later than those that follow it, so that all of them are received together.
LAST_BY_S = 1.0


def uniform_of(message_id: str) -> float:
    """The same number for each look at a message, 0 <= uniform < 1, spread evenly over messages."""
    return int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:4]) / 2.0**32


def waited_s(message: Message, now: float) -> float:
    """How long a message has been in the FIFO dead-letter queue, in seconds; infinitely where that is not known.

    Of a message that SQS moves between FIFO queues it sets the time of sending anew.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    """
    return inf if message.first_sent_at is None else max(0.0, now - message.first_sent_at)


def settles_within_s(fleet: Fleet, to: QueueFacts) -> float:
    """How long a copy takes at most until it is worked on or is a dead letter again: it waits, and fails each time."""
    return fleet.target_wait_s + (to.max_receive_count or 1) * to.visibility_s


def arranged(messages: Sequence[Message], to: Destination, known: Callable[[Message], LetterPast]) -> list[int]:
    """Indexes of a batch's messages in the order of their message groups: what was retried, what came back, the rest.

    Args:
        messages: as SQS gave them.
        to: the queue that they came from.
        known: what is known of one: whether it was sent back, so that its copy is under way or settled, and whether
            it is a copy that came back. One without room for a stamp of Sluice's is known for that by its body alone.
    """
    indexes = list(range(len(messages)))
    if not to.fifo:
        return indexes
    ranks = [_rank(known(message), came_back=origin_of(message, to) is not None) for message in messages]
    return sorted(indexes, key=lambda i: (ranks[i], i))


def arranged_of_queues(
    letters: Sequence[tuple[QueueRoute, Message]], attempts: Attempts, now: float
) -> list[tuple[QueueRoute, Message]]:
    """Dead letters of several queues in the order of their message groups, as `arranged` has it; now: epoch seconds.

    Raises:
        PortError: the ledger does not say what was retried.
    """
    keys = [body_key(message, route.to) for route, message in letters]
    handled = attempts.handled(letters[0][0].fleet.name, list(dict.fromkeys(keys)), now) if letters else {}

    def rank_of(i: int) -> int:
        (route, message), key = letters[i], keys[i]
        window_s = return_window_s(route.fleet, route.to.visibility_s)
        past = past_of(message, route.to, handled[key], window_s=window_s, limit=route.fleet.redrive.max_retries)
        return _rank(past, came_back=origin_of(message, route.to) is not None)

    return [letters[i] for i in sorted(range(len(letters)), key=rank_of)]


def _rank(past: LetterPast, *, came_back: bool) -> int:
    if past.is_retried:
        return RETRIED
    return CAME_BACK if came_back or (past.is_copy and past.twin is None) else WAITS


@dataclass(frozen=True, slots=True)
class Cut:
    """The message group of which a batch may not show all, if there is one; `is_all`: the batch shows no other."""

    message_group: str | None = None
    is_all: bool = False


def cut_of(messages: Sequence[Message]) -> Cut:
    """Where a batch ends within a message group: SQS gives as many of one as it can before it gives of the next.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
    """
    if len(messages) < BATCH_MAX:
        return Cut()
    groups = {message.message_group for message in messages}
    return Cut(messages[-1].message_group, len(groups) == 1)


@dataclass(slots=True)
class GroupWaits:
    """The message groups of one batch that wait, each behind one of its messages."""

    heads: dict[str, tuple[Message, float]] = field(default_factory=dict)

    def add(self, head: Message, wait_s: float) -> None:
        """A message group waits behind one of its messages for so many seconds."""
        if head.message_group is not None:
            self.heads[head.message_group] = (head, min(wait_s, HIDDEN_MAX_S))

    def hide(self, queue: Queue, url: str, batch: Sequence[Message], gone: Collection[str]) -> None:
        """Hide what waits, and what is kept behind it. What fails shows earlier, is looked at again, and waits on.

        Args:
            queue: SQS.
            url: the dead-letter queue's URL.
            batch: all that was received of it, also of other queues than the head's.
            gone: the ids of those that are deleted.
        """
        for group, (head, wait_s) in self.heads.items():
            kept = (one for one in batch if one.message_group == group and one.id not in gone and one != head)
            behind = [message.receipt for message in kept]
            with suppress(PortError):
                if behind:
                    queue.hold(url, behind, wait_s)
                queue.hold(url, [head.receipt], wait_s + (LAST_BY_S if behind else 0.0))
