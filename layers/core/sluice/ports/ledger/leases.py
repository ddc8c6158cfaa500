"""Leases: only one invocation does something at a time, such as assigning fleets to shards."""

from typing import Protocol


class Leases(Protocol):
    """Locks by name, each held by one owner until a time."""

    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take a lease, or extend one that the owner holds.

        Args:
            fleet: the lease's name: that of a fleet, or one derived from it.
            owner: who takes it; unique to an invocation.
            until: when it ends by itself, in epoch seconds.
            now: epoch seconds.

        Returns:
            Whether it was taken: False while another owner holds it.
        """
        ...

    def release(self, fleet: str, owner: str) -> None:
        """Give a lease back. Nothing happens if another owner holds it, or nobody does."""
        ...
