"""Dead letters, their verdicts and failure groups, quarantine, and redrive jobs, as records."""

from collections.abc import Mapping
from enum import StrEnum

from sluice.model.frozen import dataclass

# --------------------------------------------------------------------------- dead letters


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


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger is to remember of a dead letter, under the key of its body, and which record that replaces."""

    key: str
    letter: HandledLetter | None
    answered_id: str | None = None


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
    sample: str  # the beginning of the body, as data: escaped wherever it is shown
    message_group: str | None = None  # FIFO
    attributes: tuple[tuple[str, str], ...] = ()  # the producer's own texts, cut: to select by
    said: str = ""  # the cause of this very message as it was said, cut: data; empty in records of before
    payload: str = ""  # the object in S3 that the body only points to, which Sluice does not keep: data
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


class JobPhase(StrEnum):
    """How far a redrive job dares to go."""

    CANARY = "canary"  # the oldest few of each failure group, then a pause in which failures would come back
    RAMP = "ramp"  # the rest, at the job's rate
    MOVE = "move"  # the rest, by SQS's own message move task


class JobState(StrEnum):
    """Where a redrive job stands."""

    RUNNING = "running"  # it sends
    PAUSED = "paused"  # by an operator, until one resumes it
    WATCHING = "watching"  # all of it is sent, and whether a message comes back is watched until `next_at`
    DONE = "done"  # all of it is sent, and nothing of it came back
    CAME_BACK = "came-back"  # what could be sent is, and some of it failed again
    STOPPED = "stopped"  # by an operator, or by itself before all was sent: `note` says why

    @property
    def is_at_work(self) -> bool:
        """Whether a job in this state goes on by itself: the chain of its fleet has it."""
        return self in {JobState.RUNNING, JobState.WATCHING}


@dataclass(frozen=True, slots=True)
class JobAction:
    """What an operator did to a redrive job."""

    at: float  # epoch seconds
    by: str  # as the caller says; CloudTrail records who it was
    action: str  # such as "paused it"


@dataclass(frozen=True, slots=True)
class MoveTask:
    """SQS's own move of what is in a dead-letter queue."""

    started_at: float
    running: bool
    moved_count: int
    handle: str | None = None  # while it runs
    problem: str = ""  # why it failed
    cancelled: bool = False  # it was cancelled before its end


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages a redrive is about; without any choice, the fleet's whole quarantine but muted failure groups.

    `queue`, `failure_group`, `cause`, times and `attribute` narrow one another; ids stand for themselves.
    """

    failure_group: str | None = None
    message_id: str | None = None
    message_ids: tuple[str, ...] = ()  # several, in the order in which they are sent
    cause: str | None = None  # a pattern, as for file names, that the cause matches
    quarantined_from: float | None = None  # epoch seconds: quarantined at that time or later
    quarantined_to: float | None = None  # epoch seconds: quarantined before that time
    attribute: tuple[str, str] | None = None  # name and text of one of the producer's own attributes
    from_dead_letters: bool = False  # out of the dead-letter queue itself, not out of quarantine
    queue: str | None = None  # the name of the queue that the messages came from
    muted_groups: tuple[str, ...] = ()  # failure groups that were muted when it was asked for, and are left out
    again: bool = False  # also messages that may have been sent before

    @property
    def ids(self) -> frozenset[str]:
        """The messages that are named one by one."""
        return frozenset(self.message_ids if self.message_id is None else (self.message_id, *self.message_ids))

    @property
    def narrows(self) -> bool:
        """Whether each message must be read to know whether it is meant."""
        return self.queue is not None or self.searches

    @property
    def searches(self) -> bool:
        """Whether it chooses by what single messages are, beyond the queue that they came from."""
        return any(one is not None for one in (self.cause, self.quarantined_from, self.quarantined_to, self.attribute))


@dataclass(frozen=True, slots=True)
class JobTarget:
    """The one queue that all messages of a job go to; where both are None, each goes to the queue it came from."""

    fleet: str | None = None  # another fleet than the job's, to whose queue they go
    queue: str | None = None  # the queue's name

    @property
    def is_named(self) -> bool:
        """Whether the messages of all queues go to one."""
        return self.fleet is not None or self.queue is not None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is. Counts are of messages."""

    phase: JobPhase = JobPhase.CANARY
    cursor: str | None = None  # where the walk through the quarantine's index goes on
    selected_count: int = 0
    sent_count: int = 0
    failed_count: int = 0  # could not be sent, and are where they were
    doubtful_count: int = 0  # may have been sent before, and are where they were
    returned_count: int = 0  # sent, failed again and came back
    stopped_groups: tuple[str, ...] = ()  # failure groups of which a message came back
    looked: bool = False  # the dead-letter queue was searched for the canaries, where nothing else reports them
    hidden_since: float | None = None  # epoch seconds: since when other readers hide all that is left
    moved_count: int = 0  # of those sent: moved by SQS's own move task, which stamps nothing
    moved_since: float | None = None  # epoch seconds: when SQS was first asked for that
    sends_singly: bool = False  # no move task is started any more

    @property
    def processed_count(self) -> int:
        """Messages that the job has dealt with, one way or the other."""
        return self.sent_count + self.failed_count + self.doubtful_count


@dataclass(frozen=True, slots=True)
class JobPacing:
    """How fast a job sends."""

    rate_per_s: float = 10.0  # messages a second, at most
    next_at: float = 0.0  # epoch seconds: nothing is sent before
    measured_per_s: float | None = None  # messages a second, of the last full batch


@dataclass(frozen=True, slots=True)
class ActiveMove:
    """SQS's own move task that moves the rest of a job."""

    handle: str | None = None
    waiting_count: int | None = None  # in the dead-letter queue, when last read


@dataclass(frozen=True, slots=True)
class Release:
    """What makes a job Sluice's own automatic release of a held failure group. Times are epoch seconds."""

    wait_s: float  # before the present try
    due_at: float  # when it is tried: all that is in quarantine by then is part of it
    until: float  # when the last try is made, after which the group is an operator's
    more: bool = False  # more of the group was held after `due_at`


@dataclass(frozen=True, slots=True)
class RedriveJob:
    """One redrive of an operator, or an automatic release: watched, paused, stopped and resumed through the ledger."""

    id: str
    fleet: str
    state: JobState
    requested_at: float  # epoch seconds
    requested_by: str
    updated_at: float  # epoch seconds
    selection: Selection = Selection()
    target: JobTarget = JobTarget()
    progress: JobProgress = JobProgress()
    pacing: JobPacing = JobPacing()
    move: ActiveMove | None = None
    note: str = ""
    version: int = 0
    actions: tuple[JobAction, ...] = ()  # who did what, oldest first
    release: Release | None = None  # None: an operator asked for it

    @property
    def takes_until(self) -> float:
        """Epoch seconds: what is quarantined later is not part of it."""
        return self.release.due_at if self.release else self.requested_at

    def held_until(self, now: float) -> float | None:
        """When a release that waits is tried again, in epoch seconds; None for any other job."""
        waits = self.release is not None and self.state is JobState.RUNNING and now < self.release.due_at
        return self.release.due_at if self.release and waits else None
