"""The stack's work queue: delayed messages to Sluice's own functions."""

from typing import Protocol

from sluice.model.chain import Step

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
LONGEST_DELAY_S = 900.0


class WorkQueue(Protocol):
    """The one queue of all chains, and the way from who takes its messages to the function of a step's kind."""

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step.

        It may arrive late, twice, or before one that was sent earlier, and in rare cases not at all.

        Args:
            step: the chain and its version.
            delay_s: how long it is held back, 0 to LONGEST_DELAY_S; rounded up to whole seconds.

        Raises:
            NeedsFixError: there is no queue, or it may not be sent to.
        """
        ...

    def hand_over(self, step: Step) -> None:
        """Hand a step that was received to the function of its kind, and do not wait for it.

        It may begin late, or twice, and in rare cases not at all.

        Args:
            step: the chain and its version.

        Raises:
            NeedsFixError: there is no function for the kind, or it may not be invoked.
        """
        ...
