"""The copy of a message that is sent back: its attributes, stamps and counts."""

import hashlib
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Protocol

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Attribute, Message, attribute_bytes
from sluice.redriving.failure_groups import CAUSE, SOURCE, source_of

ATTEMPTS = "sluice.attempts"  # Number: redrives so far
FIRST_SENT_AT = "sluice.first_sent_at"  # Number: epoch seconds of the first sending
COPY_OF = "sluice.copy_of"  # String: `<message id>`, and from a redrive `/<job id>/<failure group>` as well

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MAX_ATTRIBUTES = 10
SEAL_DIGITS = 16  # hex digits of a stamp's seal
KEY_DIGITS = 32  # hex digits of a body's key in the ledger
# As SQS counts them, with as many digits as `_COUNT` reads.
ATTEMPTS_BYTES = len(ATTEMPTS) + len("Number.") + SEAL_DIGITS + 6
CONSUMER_STAMPS = 2  # cause and source: a consumer stamps both or none, and is left room for them where there is any
_GONE = frozenset({CAUSE, SOURCE, COPY_OF, ATTEMPTS})  # what a copy does not take over from its message
_GONE_WITH_TIME = _GONE | {FIRST_SENT_AT}
_COPY_OF = re.compile(r"([A-Za-z0-9-]{1,100})(?:/([A-Za-z0-9-]{1,64})/([a-z0-9-]{1,64}))?")
_COUNT = re.compile(r"[0-9]{1,6}")
_SEAL = re.compile(f"[0-9a-f]{{{SEAL_DIGITS}}}")


class Destination(Protocol):
    """What is asked of a queue to send to; `ports.QueueFacts` has it."""

    @property
    def arn(self) -> str:
        """The queue's ARN."""

    @property
    def url(self) -> str:
        """The queue's URL."""

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""

    @property
    def max_bytes(self) -> int:
        """The largest message it takes."""


# --------------------------------------------------------------------------- what a message carries


@dataclass(frozen=True, slots=True)
class CarriedCount:
    """The redrives that a message carries.

    Attributes:
        count: how many; None: it carries no count of its own.
        readable: False: it carries one that cannot be read.
        sealed: Sluice itself wrote it, for this body and this queue.
    """

    count: int | None = None
    readable: bool = True
    sealed: bool = False


def carried_count(message: Message, to: Destination) -> CarriedCount:
    """The redrives that a message carries, as far as they are its own."""
    stamp = message.named(ATTEMPTS)
    if stamp is None or _is_of_another(stamp, message, to):
        return CarriedCount()
    text = stamp.text or ""
    return CarriedCount(int(text), sealed=_is_sealed(stamp)) if _COUNT.fullmatch(text) else CarriedCount(readable=False)


def first_sent_at(message: Message, to: Destination | None) -> float | None:
    """When a message was first sent, across redrives; None where it is not known.

    Args:
        message: the message.
        to: the queue it came from, where that is known: what its stamps are checked for.
    """
    count = message.named(ATTEMPTS)
    if to is not None and count is not None and _is_of_another(count, message, to):
        return message.first_sent_at
    stamp = message.attribute(FIRST_SENT_AT)
    if not stamp:
        return message.first_sent_at
    try:
        stamped = float(stamp)
    except ValueError:
        return message.first_sent_at
    return stamped if 0 < stamped < float("inf") else message.first_sent_at


@dataclass(frozen=True, slots=True)
class Origin:
    """What a copy is a copy of, and the redrive job that sent it from a failure group, if it was one."""

    message_id: str
    job_id: str | None = None
    failure_group: str | None = None


def origin_of(message: Message, to: Destination) -> Origin | None:
    """Where a copy comes from that Sluice sent to this queue, as it carries it; None for any other message.

    A stamp without a seal counts: libraries that read and write attributes anew may drop the label of their type.
    """
    stamp, count = message.named(COPY_OF), message.named(ATTEMPTS)
    if stamp is None or any(one is not None and _is_of_another(one, message, to) for one in (stamp, count)):
        return None
    found = _COPY_OF.fullmatch(stamp.text or "")
    return Origin(found[1], found[2], found[3]) if found else None


def known_source(message: Message, to: Destination) -> str:
    """ARN, URL or name of the queue that a dead letter came from; empty where nothing says it.

    Args:
        message: the dead letter.
        to: the queue that it would go back to, which the stamps of a copy that Sluice has sent there name.
    """
    return source_of(message) or (to.arn if carried_count(message, to).sealed else "")


def _is_sealed(stamp: Attribute) -> bool:
    return _SEAL.fullmatch(stamp.type.partition(".")[2]) is not None


def _is_of_another(stamp: Attribute, message: Message, to: Destination) -> bool:
    """Whether a stamp was written for another body, or for another queue: a message that inherited it."""
    if not _is_sealed(stamp):
        return False
    return stamp.type.partition(".")[2] != _seal(stamp.text or "", to, _digest(message.body))


def _seal(said: str, to: Destination, body_digest: bytes) -> str:
    """What binds a stamp to a message: the label of its attribute's type, which SQS keeps and leaves to the sender.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """
    return hashlib.sha256(f"{to.arn} {said} ".encode("utf-8", "surrogatepass") + body_digest).hexdigest()[:SEAL_DIGITS]


def _digest(body: str) -> bytes:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).digest()


def is_unstamped(message: Message) -> bool:
    """Whether somebody, and not SQS, put a message into the dead-letter queue without any stamp of Sluice's."""
    return message.source is None and message.named(ATTEMPTS) is None and message.named(COPY_OF) is None


def body_key(message: Message, to: Destination) -> str:
    """What the ledger remembers a message under: its body, its queue, and on FIFO queues its message group."""
    message_group = message.message_group if to.fifo else None
    said = f"{to.arn} {message_group or ''} ".encode("utf-8", "surrogatepass")
    return hashlib.sha256(said + _digest(message.body)).hexdigest()[:KEY_DIGITS]


# --------------------------------------------------------------------------- the copy that is sent


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as it is sent back. `carries_attempts` is False where the ledger has to remember them."""

    message: Message
    carries_attempts: bool


def copy_of(message: Message, attempt: int, to: Destination, job: tuple[str, str] | None = None) -> Copy | None:
    """The copy of a message that is sent back, whole; None if the queue would not take it.

    Args:
        message: as it was received; the copy keeps its id, which is what the adapter deduplicates FIFO copies by.
        attempt: redrives so far, this one included.
        to: the queue it is sent to.
        job: the redrive job's id and the failure group that the message is in.
    """
    first_at = first_sent_at(message, to)
    gone = _GONE if first_at is None else _GONE_WITH_TIME
    kept: list[tuple[str, Attribute]] = []
    size_bytes = message.size_bytes
    for named in message.attributes:
        if named[0] in gone:
            size_bytes -= attribute_bytes(named)
        else:
            kept.append(named)
    if len(kept) > MAX_ATTRIBUTES or size_bytes > to.max_bytes:
        return None
    digest = _digest(message.body)
    redrives, origin = str(attempt), "/".join((message.id, *(job or ())))
    stamps = [
        (ATTEMPTS, Attribute(f"Number.{_seal(redrives, to, digest)}", redrives)),
        (COPY_OF, Attribute(f"String.{_seal(origin, to, digest)}", origin)),
    ]
    if first_at is not None:
        # A job must see what comes back of it; a retry is better known by its age.
        stamps.insert(2 if job else 1, (FIRST_SENT_AT, Attribute("Number", f"{first_at:.3f}")))
    carries_attempts = False
    for named in stamps:
        stamp_bytes = attribute_bytes(named)
        fits = len(kept) < MAX_ATTRIBUTES and size_bytes + stamp_bytes <= to.max_bytes
        crowds = len(kept) == MAX_ATTRIBUTES - CONSUMER_STAMPS
        if fits and not (named[0] == COPY_OF and job is None and crowds):
            kept.append(named)
            size_bytes += stamp_bytes
            carries_attempts |= named[0] == ATTEMPTS
    kept.sort(key=itemgetter(0))
    return Copy(replace(message, attributes=tuple(kept)), carries_attempts)


def has_room(message: Message, to: Destination) -> bool:
    """Whether a copy of a message can carry its redrives; if not, the ledger remembers them."""
    if len(message.attributes) < MAX_ATTRIBUTES and message.size_bytes + ATTEMPTS_BYTES <= to.max_bytes:
        return True
    copy = copy_of(message, 1, to)
    return copy is None or copy.carries_attempts


def send_rounds(messages: Sequence[Message], to: Destination) -> tuple[tuple[int, ...], ...]:
    """Indexes of messages in the rounds in which they are sent: on FIFO queues of each message group one a round.

    On standard queues a message group orders nothing (it names the tenant of fair queueing): one round.
    """
    turn: dict[str, int] = {}
    sent_in: list[list[int]] = []
    for index, message in enumerate(messages):
        number = 0
        if to.fifo and message.message_group is not None:
            number = turn.get(message.message_group, 0)
            turn[message.message_group] = number + 1
        if number == len(sent_in):
            sent_in.append([])
        sent_in[number].append(index)
    return tuple(tuple(indexes) for indexes in sent_in)
