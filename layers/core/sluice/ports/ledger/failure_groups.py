"""Failure groups: dead letters with the same cause, with their counts, trend and last redrive, and whether muted."""

from typing import Protocol

from sluice.model.redriving import FailureGroup

# How much of a failure group's trend is kept: three days by the hour, and by the minute the longest window of a burst.
TREND_HOURS = 72
TREND_MINUTES = 11
# Counted from its last dead letter, of a group without messages in quarantine. Until then one of its messages that was
# sent back may fail again (SQS's longest retention), and is then known as failed again.
EMPTY_GROUPS_KEPT_S = 14 * 86_400.0


class FailureGroups(Protocol):
    """A fleet's failure groups."""

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group, if there is one."""
        ...

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, the last seen first.

        A group without messages in quarantine is forgotten EMPTY_GROUPS_KEPT_S after its last dead letter.
        """
        ...

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether dead letters may be counted in a failure group.

        It may be used if it exists; else it is made, if the fleet has fewer than GROUPS_MAX. `note_failure` and
        `Quarantine.quarantine` make a missing group whatever their number: ask here first.
        """
        ...

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group, in total and in the hour and the minute of `now`.

        Args:
            fleet: the fleet's name.
            group_id: the group, which is made if it is missing.
            cause: the cause, as a line of text.
            sample: the beginning of the message's body.
            now: epoch seconds.
            again: whether the message had been sent back to its queue before.
        """
        ...

    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back. The first count of another job starts again from zero."""
        ...

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one message that failed again after this job sent it; nothing if a later job has sent some since."""
        ...

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group at a time (epoch seconds), or unmute it (None).

        Returns:
            The group as it is now; None if there is none.
        """
        ...
