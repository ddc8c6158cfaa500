"""The topic that operators get notices by."""

from typing import Protocol


class Topic(Protocol):
    """The stack's notices to operators."""

    def publish(self, subject: str, text: str) -> None:
        """Publish a notice; where the stack has no topic, nothing is done.

        Args:
            subject: one line of at most 100 ASCII characters, which begins with a letter or digit.
            text: the notice, at most 100 KB: subscribers get it in two forms, of which SNS takes 256 KB together.
        """
        ...
