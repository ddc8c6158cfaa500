"""Consumers: what each instance's consumer reported, and how it came into service."""

from typing import Protocol

from sluice.model.consumers import Consumer

# Counted from the last report. A day of launches is enough to learn the lead time from.
CONSUMERS_KEPT_S = 86_400.0


class Consumers(Protocol):
    """The consumers of a fleet's instances."""

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """The record of an instance's consumer, if it was updated in the last CONSUMERS_KEPT_S."""
        ...

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer's record that was updated in the last CONSUMERS_KEPT_S."""
        ...

    def fleets(self) -> frozenset[str]:
        """The names of the fleets that ever had a consumer on record, by one query: no other fleet need be asked for.

        A fleet that no consumer reports of, and that has no launch hook, costs nothing.
        """
        ...

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record, if the ledger still has the version that it was made from (0: none yet).

        Returns:
            The record as written, one version on.

        Raises:
            ConflictError: another writer changed it first.
        """
        ...
