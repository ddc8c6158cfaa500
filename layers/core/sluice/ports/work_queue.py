"""The stack's work queues: delayed messages to Sluice's own functions."""

from typing import Protocol

from sluice.model.chain import Step

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
LONGEST_DELAY_S = 900.0


class WorkQueue(Protocol):
    """The queues of all kinds of chains; a step's kind says which."""

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step to the function of its kind.

        It may arrive late, twice, or before one that was sent earlier, and in rare cases not at all.

        Args:
            step: the chain and its version.
            delay_s: how long it is held back, 0 to LONGEST_DELAY_S; rounded up to whole seconds.

        Raises:
            NeedsFixError: there is no queue for the kind, or it may not be sent to.
        """
        ...
