"""Send claims: a message is sent again by one invocation at a time, and what was sent is remembered.

A claim is written before a message is sent, and confirmed after. It is either a record of its own for each message, or
one record that claims many (a batch claim), for a caller that keeps the messages hidden in their queue, so that hardly
anyone else can have received them. Both are kept for SEND_CLAIM_KEPT_S after the claim.

A batch claim is written before the claims of others are read, and claims of single messages are written before batch
claims are read: of two that claim one message at the same moment, at least one sees the other.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sluice.model.redriving import BatchClaimRecord, Claim

# SQS keeps a message for 14 days at most, after a delay of 15 minutes at most: then no copy of it can be in a queue.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
SEND_CLAIM_KEPT_S = 14 * 86_400.0 + 900.0

# Ids have 36 characters: under 20 kB of a record's 400, and one write instead of 500.
BATCH_CLAIM_MAX = 500


class SendClaims(Protocol):
    """The claims on a fleet's messages, by message id."""

    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim messages, each by a record of its own.

        Args:
            fleet: the fleet's name.
            message_ids: the messages.
            until: when the claimant has ended for certain, in epoch seconds.
            now: epoch seconds.
            again: whether DOUBTFUL messages are granted too, as an operator may ask.

        Returns:
            For each message GRANTED (once: nobody had claimed it), or how it stands: BUSY, SENT or DOUBTFUL.
        """
        ...

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """Record that messages were sent: they are SENT from then on."""
        ...

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """Remove the claims of messages that were not sent for certain. A missing claim is no error."""
        ...

    def claims_of(self, fleet: str, message_ids: Sequence[str], now: float, besides: str = "") -> Mapping[str, Claim]:
        """How messages stand (BUSY, SENT or DOUBTFUL), without claiming them; those without a claim are left out.

        Args:
            fleet: the fleet's name.
            message_ids: the messages.
            now: epoch seconds.
            besides: the name of a batch claim that does not count, since it is the caller's own.
        """
        ...

    def record_batch_claim(self, batch: BatchClaimRecord) -> None:
        """Write what a batch claim claims, at most BATCH_CLAIM_MAX messages, and what was sent of it.

        What others have claimed is to be read afterwards, and is not granted. Messages that the record no longer names
        are released. A claim that names none is removed. Who confirms its messages (`confirm_sends`) says so beforehand
        (`gets_marks`).
        """
        ...
