"""The index of quarantined messages. Their bodies are in the archive."""

from collections.abc import Sequence
from typing import Protocol

from sluice.model.redriving import QuarantineEntry


class Quarantine(Protocol):
    """A fleet's quarantined messages, and the FIFO message groups that they hold back."""

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine: one read, whatever their number."""
        ...

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Put a message into the index and count it in its failure group, all or nothing.

        Its FIFO message group, if it has one, is held in that failure group by the same write.

        Returns:
            False, and nothing is written, if the message was in the index already or was sent again since (its mark is
            SENT).
        """
        ...

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first.

        Args:
            fleet: the fleet's name.
            failure_group: only this group's messages; None: all.
            limit: the page's length.
            after: the cursor that the page before was answered with.

        Returns:
            The entries, and the next page's cursor (None: there are no more).
        """
        ...

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """The index entry of a message, if it is in quarantine."""
        ...

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index and out of the counts of its failure group and its FIFO message group.

        Returns:
            False if it was not in the index any more.
        """
        ...

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """The same for many, in few calls. Missing ones are skipped; after an error some may still be in the index."""
        ...

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The id of the failure group that holds messages of a FIFO message group; None if none is in quarantine."""
        ...
