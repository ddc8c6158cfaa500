"""What became of a dead letter, and its record in quarantine."""

from enum import StrEnum

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Excerpt, Message, QuarantineEntry, Verdict, VerdictKind
from sluice.redriving.causes.payload_pointers import payload_pointer
from sluice.redriving.message_copy import Destination, first_sent_at, known_source
from sluice.redriving.verdict import sample_of, selectable_attributes

# Without the object's address: that is what a message says, and no log repeats it.
POINTER_ONLY = "Its body is an object in S3, which Sluice does not keep: the widget names it."


class LetterOutcome(StrEnum):
    """What became of a dead letter: metric and log key."""

    RETRIED = "retried"
    QUARANTINED = "quarantined"
    GONE = "gone"  # it was sent back or quarantined before, and delivered once more
    KEPT = "kept"  # it stays in the dead-letter queue


@dataclass(frozen=True, slots=True)
class DeadLetterResult:
    """What became of one dead letter, and why."""

    message_id: str
    outcome: LetterOutcome
    reason: str
    verdict: Verdict | None = None
    is_held: bool = False  # it stays hidden, and its FIFO message group with it, until its copy has settled

    @property
    def may_be_deleted(self) -> bool:
        """Whether the message may be deleted from the dead-letter queue."""
        return self.outcome is not LetterOutcome.KEPT and not self.is_held


def quarantined_instead(verdict: Verdict, reason: str) -> Verdict:
    """A retry that does not come to pass: the quarantine in its place, for a reason."""
    return replace(
        verdict,
        kind=VerdictKind.QUARANTINE,
        sentence=f"Quarantined: {reason}.",
        attempt=verdict.attempt - 1,
        delay_s=0.0,
    )


def excerpt_of(message: Message) -> Excerpt:
    """What the index of the quarantine shows of a message itself."""
    pointer = payload_pointer(message)
    return Excerpt(sample_of(message), selectable_attributes(message), pointer.uri if pointer else "")


def quarantine_entry(
    fleet: str, message: Message, verdict: Verdict, to: Destination, *, key: str, at: float, retention_s: float | None
) -> QuarantineEntry:
    """A dead letter's record in quarantine.

    Args:
        fleet: the fleet's name.
        message: the dead letter.
        verdict: why it is quarantined.
        to: the queue that it would go back to.
        key: where the archive keeps it.
        at: its place in the index, in epoch seconds: now, or just behind what it follows.
        retention_s: how long its dead-letter queue would have kept it, where that is known.
    """
    sent_at = message.first_sent_at
    return QuarantineEntry(
        fleet=fleet,
        failure_group=verdict.failure_group,
        message_id=message.id,
        key=key,
        cause=verdict.cause,
        said=verdict.said,
        at=at,
        first_sent_at=first_sent_at(message, to),
        attempt=verdict.attempt,
        source=known_source(message, to),
        size_bytes=message.size_bytes,
        excerpt=excerpt_of(message),
        message_group=message.message_group if to.fifo else None,
        expires_at=None if retention_s is None or sent_at is None else sent_at + retention_s,
    )
