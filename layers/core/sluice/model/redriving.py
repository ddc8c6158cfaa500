"""Dead letters, their verdicts and failure groups, quarantine, and claims to send again, as records."""

from collections.abc import Mapping
from enum import StrEnum

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Attribute:
    """One message attribute, whole: `type` as sent (String, Number, Binary, with any custom suffix)."""

    type: str
    text: str | None = None
    binary: bytes | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received from a queue."""

    id: str
    body: str
    receipt: str = ""
    attributes: tuple[tuple[str, Attribute], ...] = ()  # ascending by name
    first_sent_at: float | None = None  # SentTimestamp: kept when SQS itself dead-letters a message
    receive_count: int = 1
    source: str | None = None  # ARN of the queue it was dead-lettered from, where SQS says it
    message_group: str | None = None  # FIFO
    deduplication: str | None = None  # FIFO
    trace: str | None = None  # AWSTraceHeader: the X-Ray trace that it belongs to

    @classmethod
    def received(
        cls, id_: str, body: str, receipt: str, attributes: Mapping[str, Attribute], system: Mapping[str, str]
    ) -> "Message":
        """A message as SQS gives it; `system` are its own attributes, such as SentTimestamp (milliseconds).

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html

        Raises:
            ValueError: a system attribute that is a number is none.
        """
        sent_ms = system.get("SentTimestamp")
        return cls(
            id=id_,
            body=body,
            receipt=receipt,
            attributes=tuple(sorted(attributes.items())),
            first_sent_at=None if sent_ms is None else int(sent_ms) / 1000,
            receive_count=int(system.get("ApproximateReceiveCount", 1)),
            source=system.get("DeadLetterQueueSourceArn"),
            message_group=system.get("MessageGroupId"),
            deduplication=system.get("MessageDeduplicationId"),
            trace=system.get("AWSTraceHeader"),
        )

    def attribute(self, name: str) -> str | None:
        """The text of a message attribute, or None."""
        found = self.named(name)
        return found.text if found else None

    def named(self, name: str) -> Attribute | None:
        """A message attribute, or None."""
        for key, value in self.attributes:  # a generator would cost as much again, many times a message
            if key == name:
                return value
        return None

    @property
    def size_bytes(self) -> int:
        """What SQS counts against the queue's limit: the body, and every attribute's name, type and value."""
        texts, raw_bytes = [self.body], 0
        for name, value in self.attributes:
            texts += (name, value.type, value.text or "")
            raw_bytes += len(value.binary or b"")
        return _text_bytes("".join(texts)) + raw_bytes  # one text: it is asked for several times of each message


def attribute_bytes(named: tuple[str, Attribute]) -> int:
    """What SQS counts of one message attribute: name, type and value."""
    name, value = named
    return _text_bytes(f"{name}{value.type}{value.text or ''}") + len(value.binary or b"")


def _text_bytes(text: str) -> int:
    # Python knows whether a text is ASCII without looking: a megabyte is not encoded to be counted.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


class VerdictKind(StrEnum):
    """What becomes of a dead-lettered message."""

    RETRY = "retry"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgment of one dead-lettered message, with its reason."""

    kind: VerdictKind
    failure_group: str  # stable id of its cause
    cause: str  # in words, at most a line
    sentence: str
    attempt: int  # redrives so far, this one included when it is a retry
    delay_s: float = 0.0
    said: str = ""  # the cause as it was said, cut; empty where none is known
    held: bool = False  # in quarantine for its group's burst, for a cause that passes: an automatic release is due


@dataclass(frozen=True, slots=True)
class HandledLetter:
    """What Sluice did with a dead letter, kept for what comes with the same body. Times are epoch seconds.

    Attributes:
        letter_id: the dead letter's message id.
        attempts: its redrives so far, this one included.
        at: when it was handled.
        due_at: when its copy could be received; None: it was quarantined.
        stamped: its copy carries the count, so that a return without one is a copy that its consumer made.
        moved: SQS itself had moved the dead letter; otherwise somebody sent it to the dead-letter queue.
        sent_at: when the dead letter was sent (SentTimestamp), where that is known.
        first_sent_at: the same across redrives, or as its consumer stamped it.
        answers: the dead letter that it was the copy of, if it was one.
        job_id: the redrive job that sent its copy, if one did.
        failure_group: the failure group from which that job sent it.
    """

    letter_id: str
    attempts: int
    at: float
    due_at: float | None
    stamped: bool
    moved: bool
    sent_at: float | None
    first_sent_at: float | None
    answers: str | None = None
    job_id: str | None = None
    failure_group: str | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger is to remember of a dead letter, under the key of its body, and which record that replaces."""

    key: str
    letter: HandledLetter | None
    answered_id: str | None = None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What the index shows of a quarantined message itself: data, and escaped wherever it is shown."""

    sample: str  # the beginning of the body
    attributes: tuple[tuple[str, str], ...] = ()  # the producer's own texts, cut: to select by
    payload: str = ""  # the object in S3 that the body only points to, which Sluice does not keep


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """The index entry of one quarantined message; its body and attributes are in the archive under `key`."""

    fleet: str
    failure_group: str
    message_id: str
    key: str
    cause: str
    at: float
    first_sent_at: float | None
    attempt: int
    source: str | None  # ARN, URL or name of the queue it came from; "" where nothing says it
    size_bytes: int
    excerpt: Excerpt
    message_group: str | None = None  # FIFO
    said: str = ""  # the cause of this very message as it was said, cut: data; empty in records of before
    expires_at: float | None = None  # when SQS would have deleted it from its dead-letter queue; here nothing does


@dataclass(frozen=True, slots=True)
class LastRedrive:
    """The last redrive job that sent messages of a failure group back, and how that went."""

    job_id: str
    at: float  # epoch seconds: when it began to send them
    sent_count: int
    returned_count: int = 0  # of those sent: failed again, and back in the dead-letter queue


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead-lettered messages with the same cause."""

    fleet: str
    id: str
    cause: str
    count: int  # now in quarantine
    seen_count: int  # ever seen, retried ones included
    first_seen_at: float
    last_seen_at: float
    sample: str = ""
    version: int = 0
    hours: tuple[tuple[int, int], ...] = ()  # (whole hours since the epoch, dead letters seen in it), ascending
    minutes: tuple[tuple[int, int], ...] = ()  # the same by the minute: the last few alone
    muted_at: float | None = None  # when an operator muted it
    last_redrive: LastRedrive | None = None
    failed_retry_count: int = 0  # of `seen_count`: dead letters that had been sent back before, and failed again

    @property
    def is_muted(self) -> bool:
        """Whether it is muted: a dead letter of it that is seen later unmutes it."""
        return self.muted_at is not None and self.last_seen_at <= self.muted_at

    def seen_within(self, window_s: float, now: float) -> int:
        """Dead letters seen in about the last `window_s` seconds: by whole minutes, the present one included."""
        return sum(count for minute, count in self.minutes if minute > (now - window_s) / 60.0 - 1.0)


class Claim(StrEnum):
    """How a claim to send a message again went. A message is sent only on GRANTED, which is given once."""

    GRANTED = "granted"
    BUSY = "busy"  # another is at it
    SENT = "sent"  # it was sent, and that is confirmed: only its removal from where it was is due
    DOUBTFUL = "doubtful"  # another began and is gone: it may have been sent


@dataclass(frozen=True, slots=True)
class BatchClaimRecord:
    """Messages whose sending is claimed by one record, for who holds them hidden in their queue."""

    fleet: str
    name: str  # unique
    claimed_at: float
    until: float  # when the claimant is surely gone
    claimed: tuple[str, ...]  # message ids, not known to be sent
    sent: tuple[str, ...] = ()
    gets_marks: bool = False  # whether what was sent of it gets a claim of its own
