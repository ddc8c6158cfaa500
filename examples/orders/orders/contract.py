"""The names a consumer and Sluice agree on: message attributes that travel with a message it cannot process.

SQS keeps no record of why a message was dead-lettered, and a message cannot be changed in place. So a consumer
that *knows* why a message will never succeed does not wait for the redrive policy. It sends a copy to the
dead-letter queue itself, with the attributes below added, and deletes the original after that send was confirmed:
send first, then delete, so that at every instant the message is in at least one of the two queues.

A consumer that merely crashes on a message stamps nothing: the queue's redrive policy moves the message after
`maxReceiveCount` receives, and Sluice groups it by a fingerprint instead of by its stated cause.

======================  ========  ==========================================================================
attribute               type      means
======================  ========  ==========================================================================
`sluice.cause`          String    why, as `Kind: detail`, such as `UnknownItem: sku-13`; messages with the same
                                  cause make one failure group, so it holds nothing that differs each time
`sluice.source`         String    ARN of the queue the message was consumed from, where a redrive sends it back
`sluice.first_sent_at`  Number    epoch seconds of the first time it was enqueued, kept across redrives, since
                                  a copy has a SentTimestamp (and a retention) of its own
`sluice.attempts`       Number    how often Sluice has sent the message back; written by Sluice alone, and kept
                                  as it is by the consumer
======================  ========  ==========================================================================

A message has at most ten attributes (source: "Amazon SQS message metadata", Amazon SQS Developer Guide). Where the
stamps do not fit beside the message's own, nothing is stamped and the message is left to the redrive policy:
a message with a `sluice.cause` therefore always has a source and a first enqueue time as well.
"""

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict

CAUSE: Final = "sluice.cause"
SOURCE: Final = "sluice.source"
FIRST_SENT_AT: Final = "sluice.first_sent_at"
ATTEMPTS: Final = "sluice.attempts"

MAX_ATTRIBUTES: Final = 10
"""Attributes of one SQS message."""

MAX_CAUSE_LENGTH: Final = 256
"""Characters of a cause: it names a group on a page and is a key in the ledger, it is not a stack trace."""


class Attribute(TypedDict):
    """One message attribute as boto3 gives and takes it."""

    DataType: str
    StringValue: NotRequired[str]
    BinaryValue: NotRequired[bytes]


def stamp(
    attributes: Mapping[str, Attribute], *, cause: str, source: str, first_sent_at: float
) -> dict[str, Attribute] | None:
    """Add the cause of failure to a message's attributes.

    Args:
        attributes: What the message carries now; of any type, kept as they are.
        cause: Why it will never succeed, `Kind: detail`; shortened to `MAX_CAUSE_LENGTH`.
        source: ARN of the queue it was consumed from.
        first_sent_at: Epoch seconds of its enqueueing; an older time already on the message is kept.

    Returns:
        All attributes of the copy for the dead-letter queue, or None where they would be more than ten.
    """
    stamped = dict(attributes)
    stamped[CAUSE] = {"DataType": "String", "StringValue": printable(cause)[:MAX_CAUSE_LENGTH]}
    stamped[SOURCE] = {"DataType": "String", "StringValue": source}
    if first_sent_at_of(attributes) is None:
        stamped[FIRST_SENT_AT] = {"DataType": "Number", "StringValue": f"{first_sent_at:.3f}"}
    return stamped if len(stamped) <= MAX_ATTRIBUTES else None


def first_sent_at_of(attributes: Mapping[str, Attribute]) -> float | None:
    """The first enqueue time a message carries, in epoch seconds; None where it carries none that can be read."""
    return _number(attributes, FIRST_SENT_AT)


def attempts_of(attributes: Mapping[str, Attribute]) -> int:
    """How often Sluice has sent this message back; 0 where it carries no count that can be read."""
    return int(_number(attributes, ATTEMPTS) or 0)


def printable(text: str) -> str:
    """The text with everything that is not printable replaced by `?`: SQS refuses most control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _number(attributes: Mapping[str, Attribute], name: str) -> float | None:
    try:
        value = float(attributes[name]["StringValue"])
    except (KeyError, ValueError):
        return None
    return value if 0 <= value < float("inf") else None
