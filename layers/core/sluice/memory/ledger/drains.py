"""The Drains port in memory."""

from sluice.memory.clock import Clock
from sluice.memory.ledger.versions import check
from sluice.model.draining import Drain, DrainState, UnreleasedDrain
from sluice.model.frozen import replace
from sluice.ports.ledger.drains import DRAINS_KEPT_S


class MemoryDrains:
    """The Drains port: records by fleet and instance, and the keys of those that are not released."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drains: dict[tuple[str, str], Drain] = {}
        self._unreleased: set[tuple[str, str]] = set()

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        drain = self._drains.get((fleet, instance_id))
        return drain if drain and self._is_kept(drain) else None

    def all_of(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain of a fleet on record."""
        drains = (self._drains[key] for key in sorted(key for key in self._drains if key[0] == fleet))
        return tuple(drain for drain in drains if self._is_kept(drain))

    def unreleased_of(self, fleet: str) -> tuple[Drain, ...]:
        """A fleet's drains whose instances are not released yet."""
        return tuple(self._drains[key] for key in sorted(key for key in self._unreleased if key[0] == fleet))

    def unreleased(self) -> tuple[UnreleasedDrain, ...]:
        """The same of every fleet, as the index has them."""
        entries = (UnreleasedDrain.of(self._drains[key]) for key in sorted(self._unreleased))
        return tuple(entry for entry in entries if entry is not None)

    def of_command(self, command_id: str, instance_id: str) -> Drain | None:
        """The drain that waits for the end of a command on an instance."""
        drains = (self._drains[key] for key in self._unreleased if key[1] == instance_id)
        return next((drain for drain in drains if drain.stop.command_id == command_id), None)

    def keep_drain(self, drain: Drain, before: Drain | None = None) -> Drain:  # noqa: ARG002
        """Write a drain if its version is still the ledger's."""
        there = self.drain(drain.fleet, drain.instance_id)
        check(drain.version, there.version if there else 0, f"drain of {drain.instance_id}")
        written = replace(drain, version=drain.version + 1)
        key = (drain.fleet, drain.instance_id)
        self._drains[key] = written
        if written.state is DrainState.RELEASED:
            self._unreleased.discard(key)
        else:
            self._unreleased.add(key)
        return written

    def _is_kept(self, drain: Drain) -> bool:
        """Whether a drain is still on record: for a while after its release."""
        return drain.state is not DrainState.RELEASED or drain.updated_at > self._clock() - DRAINS_KEPT_S
