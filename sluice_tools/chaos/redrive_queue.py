"""The queue of redrive scenarios: SQS, a batch of which may fail in part; and orders, as the producer knows them."""

import base64
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sluice.memory import Call, MemoryQueue
from sluice.model.redrive_jobs import RedriveJob
from sluice.model.redriving import Attribute, Message
from sluice.ports.aws_services import BatchAnswer
from sluice.ports.errors import NeedsFixError, RefusedError, TryLaterError

if TYPE_CHECKING:
    from sluice_tools.chaos.redrive_scene import Scene

ROUNDS_MAX = 5  # of a batch
PARTS_MAX = 4  # of a round, which are moved side by side


@dataclass(frozen=True, slots=True)
class Chances:
    """How bad this seed's world is; all zero: nothing ever fails."""

    fault: float = 0.0  # of a call of a port
    crash: float = 0.0  # of those
    stall: float = 0.0  # of a call that takes long
    partial: float = 0.0  # of an entry of a batch that fails
    unspoken: float = 0.0  # of an entry of a batch that is sent, or not, and that the answer does not speak of
    undeleted: float = 0.0  # of a dead letter that Lambda was to delete
    doubled: float = 0.0  # of a batch that is delivered twice
    tick_lost: float = 0.0
    onlooker: bool = False  # somebody looks at dead letters now and then, which hides them from all others
    move_refused: bool = False  # SQS's own move task would be worth it, and is refused


class PartialQueue(MemoryQueue):
    """SQS, a batch of which may fail in part."""

    def __init__(
        self,
        clock: Callable[[], float],
        fails: Callable[[], bool],
        unspoken: Callable[[], bool],
        sent: Callable[[Message], None],
        world: "Scene",
    ) -> None:
        super().__init__(clock)
        self.redriving = False
        self._world = world
        self._fails = fails
        self._unspoken = unspoken
        self._sent = sent

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send those entries that do not fail."""
        failing = {index for index in range(len(messages)) if self._fails()}
        sent = [index for index in range(len(messages)) if index not in failing]
        answer = super().send(queue_url, [messages[i] for i in sent], [delay_s[i] for i in sent])
        for i in answer.done:
            self._sent(messages[sent[i]])
        failed = dict.fromkeys(failing, "InternalError: this entry failed")
        failed |= {sent[i]: reason for i, reason in answer.failed.items()}
        # On FIFO queues nothing of a message group is sent behind one of which nothing is known.
        silent = {i for i in range(len(messages)) if self._unspoken()} if not queue_url.endswith(".fifo") else set()
        return BatchAnswer(
            frozenset(sent[i] for i in answer.done) - silent,
            {i: reason for i, reason in failed.items() if i not in silent},
            frozenset(sent[i] for i in answer.refused) - silent,
        )

    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Refuse a move task, or do not answer: a task stamps nothing, so that no message of it could be followed."""
        self._world.counts["moves refused"] += 1
        kind = self._world.rng.choice((RefusedError, NeedsFixError, TryLaterError))
        raise kind(f"no move task from {queue_url} to {to_arn} at {rate_per_s} a second")

    def rounds(self, count: int) -> Sequence[Sequence[int]]:
        """Rounds of any size, each of parts of any size, and as many as there are messages at most."""
        rounds = [self._divided(some, PARTS_MAX) for some in self._divided(count, ROUNDS_MAX)]
        self._world.counts["rounds"] += len(rounds)
        return rounds

    def _divided(self, count: int, most: int) -> list[int]:
        rng = self._world.rng
        cuts = sorted(rng.sample(range(1, count), min(rng.randrange(most), count - 1))) if count > 1 else []
        return [end - start for start, end in itertools.pairwise((0, *cuts, count))]

    def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
        """It goes on in turns that the dice deal out among all that the invocation has begun, and itself."""
        self._world.counts["parts"] += 1
        return self._world.turns[-1].begin(work)

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete those entries that do not fail: where it is the redriver that deletes."""
        failing = {index for index in range(len(receipts)) if self.redriving and self._fails()}
        given = [index for index in range(len(receipts)) if index not in failing]
        answer = super().delete(queue_url, [receipts[i] for i in given])
        failed = dict.fromkeys(failing, "InternalError: this entry failed")
        return BatchAnswer(
            frozenset(given[i] for i in answer.done),
            failed | {given[i]: reason for i, reason in answer.failed.items()},
            frozenset(given[i] for i in answer.refused),
        )


class Habit(StrEnum):
    """What the consumer does with a copy of Sluice's that it fails on."""

    KEEPS = "keeps its stamps"
    DROPS = "sends it to the dead-letter queue without its stamps"
    RESENDS = "sends it to its own queue again, without its stamps"


@dataclass(slots=True)
class Order:
    """One message as it was produced, and what the world knows of it. Its body names it."""

    body: str
    attributes: tuple[tuple[str, Attribute], ...]
    message_group: str | None
    poison: bool
    stamps: bool  # the consumer says why it fails on it
    home: str  # the URL of the queue that it was sent to
    says_source: bool = True  # a stamp says which queue it was consumed from
    habit: Habit = Habit.KEEPS
    foreign: bool = False  # another service's letter, which never was in the queue
    done_count: int = 0
    again_count: int = 0  # how often an operator said to send it even if it was sent


def message_name(body: str) -> str:
    """An order's name, by its message's body."""
    return body[:9]


def call_summary(call: Call) -> str:
    """A call's arguments, as far as a story needs them."""
    texts: list[str] = []
    for argument in call.args:
        if isinstance(argument, Message):
            texts.append(message_name(argument.body))
        elif isinstance(argument, list | tuple) and argument and isinstance(argument[0], Message):
            texts.append("+".join(message_name(message.body) for message in argument))
        elif isinstance(argument, RedriveJob):
            progress = argument.progress
            texts.append(f"{argument.state} {progress.phase} {progress.sent_count} sent v{argument.version}")
        elif hasattr(argument, "message_id"):
            texts.append(f"{argument.message_id[:8]} {argument.failure_group}")
        else:
            texts.append(str(argument)[:60])
    return f"({', '.join(texts)})"


def as_record(message: Message, queue_arn: str) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    system = {
        "ApproximateReceiveCount": str(message.receive_count),
        "SentTimestamp": str(round(1_000 * (message.first_sent_at or 0))),
        "DeadLetterQueueSourceArn": message.source,
        "MessageGroupId": message.message_group,
        "MessageDeduplicationId": message.deduplication,
    }
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {name: value for name, value in system.items() if value is not None},
        "messageAttributes": {
            name: {
                "dataType": value.type,
                "stringValue": value.text,
                "binaryValue": None if value.binary is None else base64.b64encode(value.binary).decode(),
            }
            for name, value in message.attributes
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
    }
