"""The Chains port in memory."""

from sluice.model.chain import Chain, Step
from sluice.model.frozen import replace


class MemoryChains:
    """The Chains port: records by id."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}

    def start(self, chain_id: str, due_at: float, data: str, assignment: str = "{}") -> Chain | None:
        """Make a chain."""
        if chain_id in self._chains:
            return None
        return self._keep(Chain(chain_id, 1, due_at, data=data, assignment=assignment))

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """Begin a step."""
        there = self._chains.get(step.chain_id)
        if there is None or there.version != step.version or there.at_work_until > now:
            return None
        return self._keep(replace(there, version=there.version + 1, at_work_until=until))

    def rest(self, chain: Chain, due_at: float, data: str) -> Chain | None:
        """End a step."""
        if not self._is_still(chain):
            return None
        return self._keep(replace(chain, version=chain.version + 1, at_work_until=0.0, due_at=due_at, data=data))

    def end(self, chain: Chain) -> bool:
        """Delete a chain."""
        if not self._is_still(chain):
            return False
        del self._chains[chain.id]
        return True

    def ask(self, chain_id: str) -> Chain | None:
        """Note that a chain is asked for."""
        there = self._chains.get(chain_id)
        return None if there is None else self._keep(replace(there, asked=there.asked + 1))

    def assign(self, chain_id: str, assignment: str) -> Chain | None:
        """Set what a chain works on, and note that it is asked for."""
        there = self._chains.get(chain_id)
        if there is None:
            return None
        return self._keep(replace(there, asked=there.asked + 1, assignment=assignment))

    def chain(self, chain_id: str) -> Chain | None:
        """A chain's record."""
        return self._chains.get(chain_id)

    def chains(self, kind: str) -> tuple[Chain, ...]:
        """Every chain of a kind."""
        return tuple(
            self._chains[key] for key in sorted(key for key, chain in self._chains.items() if chain.kind == kind)
        )

    def restore(self, chain: Chain) -> None:
        """Put a record as it was at another time."""
        self._keep(chain)

    def _is_still(self, chain: Chain) -> bool:
        there = self._chains.get(chain.id)
        return there is not None and (there.version, there.asked) == (chain.version, chain.asked)

    def _keep(self, chain: Chain) -> Chain:
        self._chains[chain.id] = chain
        return chain
