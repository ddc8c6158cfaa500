"""The copy of a message that is sent back: its attributes, stamps and counts."""

import hashlib
import re
from collections.abc import Sequence
from typing import Protocol

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Attribute, Message, attribute_bytes
from sluice.redriving.failure_groups import CAUSE, OWN_PREFIX, SOURCE, source_of

ATTEMPTS = "sluice.attempts"  # Number: redrives so far
FIRST_SENT_AT = "sluice.first_sent_at"  # Number: epoch seconds of the first sending
COPY_OF = "sluice.copy_of"  # String: `<message id>`, and from a redrive `/<job id>/<failure group>` as well

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MAX_ATTRIBUTES = 10
ATTEMPTS_BYTES = len(ATTEMPTS) + len("Number") + 6  # as SQS counts them, with as many digits as `_COUNT` reads
CONSUMER_STAMPS = 2  # cause and source: a consumer stamps both or none, and is left room for them where there is any
_COPY_OF = re.compile(r"([A-Za-z0-9-]{1,100})(?:/([A-Za-z0-9-]{1,64})/([a-z0-9-]{1,64}))?")
_COUNT = re.compile(r"\d{1,6}")


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


def attempts_of(message: Message) -> int | None:
    """The redrives a message carries; None where it carries none that can be read."""
    text = message.attribute(ATTEMPTS) or ""
    return int(text) if _COUNT.fullmatch(text) else None


def first_sent_at(message: Message) -> float | None:
    """When a message was first sent, across redrives; None where it is not known."""
    try:
        stamped = float(message.attribute(FIRST_SENT_AT) or "")
    except ValueError:
        return message.first_sent_at
    return stamped if 0 < stamped < float("inf") else message.first_sent_at


@dataclass(frozen=True, slots=True)
class Origin:
    """What a copy is a copy of, and the redrive job that sent it from a failure group, if it was one."""

    message_id: str
    job_id: str | None = None
    failure_group: str | None = None


def origin_of(message: Message) -> Origin | None:
    """Where a copy comes from, as it carries it; None for any other message."""
    stamp = _COPY_OF.fullmatch(message.attribute(COPY_OF) or "")
    return Origin(stamp[1], stamp[2], stamp[3]) if stamp else None


def known_source(message: Message, to: Destination, *, shared: bool) -> str:
    """ARN, URL or name of the queue that a dead letter came from; empty where nothing says it.

    Args:
        message: the dead letter.
        to: the queue that it would go back to, which a copy that Sluice has sent there names by itself.
        shared: whether the dead-letter queue serves other queues as well, which Sluice may have sent it to.
    """
    return source_of(message) or ("" if shared or origin_of(message) is None else to.arn)


def attempts_key(message: Message) -> str:
    """What the ledger remembers a message's redrives under, where it has no room to carry them."""
    said = hashlib.sha256()
    own = [(name, value) for name, value in message.attributes if not name.startswith(OWN_PREFIX)]
    for part in (message.body, message.message_group or "", *(f"{name}{value!r}" for name, value in own)):
        encoded = _encoded(part)
        said.update(len(encoded).to_bytes(8) + encoded)
    return said.hexdigest()


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
    first_at = first_sent_at(message)
    gone = {CAUSE, SOURCE, COPY_OF, ATTEMPTS} | (set() if first_at is None else {FIRST_SENT_AT})
    kept = tuple((name, value) for name, value in message.attributes if name not in gone)
    size_bytes = message.size_bytes - sum(attribute_bytes(one) for one in message.attributes if one[0] in gone)
    if len(kept) > MAX_ATTRIBUTES or size_bytes > to.max_bytes:
        return None
    stamps = {
        ATTEMPTS: Attribute("Number", str(attempt)),
        COPY_OF: Attribute("String", "/".join((message.id, *(job or ())))),
        FIRST_SENT_AT: Attribute("Number", f"{first_at or 0:.3f}"),
    }
    # A job must see what comes back of it; a retry is better known by its age.
    order = (ATTEMPTS, COPY_OF, FIRST_SENT_AT) if job else (ATTEMPTS, FIRST_SENT_AT, COPY_OF)
    carried: dict[str, Attribute] = {}
    for name in order:
        if name == FIRST_SENT_AT and first_at is None:
            continue
        stamp, count = stamps[name], len(kept) + len(carried)
        stamp_bytes = len(name) + len(stamp.type) + len(stamp.text or "")  # all of them ASCII
        fits = count < MAX_ATTRIBUTES and size_bytes + stamp_bytes <= to.max_bytes
        crowds = count == MAX_ATTRIBUTES - CONSUMER_STAMPS
        if fits and not (name == COPY_OF and job is None and crowds):
            carried[name] = stamp
            size_bytes += stamp_bytes
    return Copy(replace(message, attributes=tuple(sorted((*kept, *carried.items()), key=_name))), ATTEMPTS in carried)


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


def _name(named: tuple[str, Attribute]) -> str:
    return named[0]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
