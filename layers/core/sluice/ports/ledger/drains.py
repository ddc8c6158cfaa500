"""Drains: one record for each instance that is being taken out of service."""

from typing import Protocol

from sluice.model.draining import Drain

# Counted from the release of the instance: late events about it arrive within hours.
DRAINS_KEPT_S = 7 * 86_400.0


class Drains(Protocol):
    """The drains of a fleet's instances."""

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance, if there is one."""
        ...

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record, those that ended in the last DRAINS_KEPT_S included."""
        ...

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain, if the ledger still has the version that it was made from (0: none yet).

        Returns:
            The drain as written, one version on.

        Raises:
            ConflictError: another writer changed it first.
        """
        ...
