"""The Leases port in memory."""


class MemoryLeases:
    """The Leases port: owner and end, in epoch seconds, by name."""

    def __init__(self) -> None:
        self._leases: dict[str, tuple[str, float]] = {}

    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease."""
        holder = self._leases.get(fleet)
        if holder and holder[0] != owner and holder[1] > now:
            return False
        self._leases[fleet] = (owner, until)
        return True

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back if it is ours."""
        if self._leases.get(fleet, ("", 0.0))[0] == owner:
            del self._leases[fleet]
