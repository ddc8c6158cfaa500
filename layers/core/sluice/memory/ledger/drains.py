"""The Drains port in memory."""

from dataclasses import replace

from sluice.memory.clock import Clock
from sluice.memory.ledger.versions import check
from sluice.model.draining import Drain, DrainState
from sluice.ports.ledger.drains import DRAINS_KEPT_S


class MemoryDrains:
    """The Drains port: records by fleet and instance."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drains: dict[tuple[str, str], Drain] = {}

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        drain = self._drains.get((fleet, instance_id))
        return drain if drain and self._is_kept(drain) else None

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record."""
        return tuple(drain for key, drain in sorted(self._drains.items()) if key[0] == fleet and self._is_kept(drain))

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's."""
        there = self.drain(drain.fleet, drain.instance_id)
        check(drain.version, there.version if there else 0, f"drain of {drain.instance_id}")
        written = replace(drain, version=drain.version + 1)
        self._drains[drain.fleet, drain.instance_id] = written
        return written

    def _is_kept(self, drain: Drain) -> bool:
        """Whether a drain is still on record: for a while after its release."""
        return drain.state is not DrainState.RELEASED or drain.updated_at > self._clock() - DRAINS_KEPT_S
