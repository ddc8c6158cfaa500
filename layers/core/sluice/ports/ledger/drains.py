"""Drains: one record for each instance that is being taken out of service, and two indexes over all fleets.

An event costs the same at one fleet and at a thousand: the drain of a command is found by the command's id, and the
fleets with drains under way by one query.
"""

from typing import Protocol

from sluice.model.draining import Drain, UnreleasedDrain

# Counted from the release of the instance: late events about it arrive within hours.
DRAINS_KEPT_S = 7 * 86_400.0


class Drains(Protocol):
    """The drains of the fleets' instances."""

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance, if there is one."""
        ...

    def all_of(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain of a fleet on record, those that ended in the last DRAINS_KEPT_S included."""
        ...

    def unreleased_of(self, fleet: str) -> tuple[Drain, ...]:
        """A fleet's drains whose instances are not released yet, by instance id; those that ended cost nothing."""
        ...

    def unreleased(self) -> tuple[UnreleasedDrain, ...]:
        """Every drain of every fleet whose instance is not released yet, by fleet and instance id, by one query."""
        ...

    def of_command(self, command_id: str, instance_id: str) -> Drain | None:
        """The drain that waits for the end of a command on an instance, if there is one."""
        ...

    def keep_drain(self, drain: Drain, before: Drain | None = None) -> Drain:
        """Write a drain and what the indexes have of it, if the ledger still has the version that it was made from.

        Args:
            drain: the drain, at the version that it was made from (0: none yet).
            before: the record that it was made from; None: not known, so that the indexes are written in any case.

        Returns:
            The drain as written, one version on.

        Raises:
            ConflictError: another writer changed it first.
        """
        ...
