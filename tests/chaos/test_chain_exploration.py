"""Every interleaving of a chain's protocol keeps its invariants, and the exploration finds what would break them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.memory.ledger.chains import MemoryChains
from sluice.model.chain import Chain, Step
from sluice_tools.chaos.chain_exploration import Budget, explore

SMALL = Budget(faults=1, reseeds=1, asks=1, ticks=0)


@pytest.mark.slow
@pytest.mark.parametrize(("ends", "handed"), [(False, False), (True, False), (True, True)])
def test_invariants_hold_in_every_state_of_a_small_world(ends: bool, handed: bool) -> None:
    """`make chaos` explores a larger one; here are two faults and no time, and one fault and a reseed."""
    for budget in (SMALL, Budget(faults=2, reseeds=0, asks=1, ticks=0), Budget(faults=1, reseeds=0, asks=0, ticks=2)):
        outcome = explore(budget, ends=ends, handed=handed)
        assert outcome.violations == []
        assert outcome.closings > 10


class Forgetful(MemoryChains):
    """A ledger whose claims ask for no version."""

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """As the ledger, but for that."""
        there = self.chain(step.chain_id)
        return None if there is None else super().claim(replace(step, version=there.version), until, now)


class Crowded(MemoryChains):
    """A ledger that lets a second worker in."""

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """As the ledger, but for that."""
        there = self.chain(step.chain_id)
        if there is not None and there.version == step.version:
            self.restore(replace(there, at_work_until=0.0))
        return super().claim(step, until, now)


class Deaf(MemoryChains):
    """A ledger that ends and rests chains although they were asked for meanwhile."""

    def rest(self, chain: Chain, due_at: float, data: str) -> Chain | None:
        """As the ledger, but for that."""
        there = self.chain(chain.id)
        return super().rest(chain if there is None else replace(chain, asked=there.asked), due_at, data)

    def end(self, chain: Chain) -> bool:
        """As the ledger, but for that."""
        there = self.chain(chain.id)
        return super().end(chain if there is None else replace(chain, asked=there.asked))


class Overwriting(MemoryChains):
    """A ledger whose workers put back the assignment that they began with."""

    def rest(self, chain: Chain, due_at: float, data: str) -> Chain | None:
        """As the ledger, but for that."""
        there = self.chain(chain.id)
        if there is not None and there.version == chain.version:
            self.restore(chain)
        return super().rest(chain, due_at, data)


class Stuck(MemoryChains):
    """A ledger whose workers never end."""

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """As the ledger, but for that."""
        return super().claim(step, until + 1_000.0, now)


@pytest.mark.parametrize("handed", [False, True])
@pytest.mark.parametrize(
    ("ledger", "violation"),
    [
        (Forgetful, "a stale message began a step"),
        (Crowded, "two workers are at the chain"),
        (Deaf, "what was asked for does not begin"),
        (Overwriting, "an assignment is lost"),
        (Stuck, "a reseed does not make the chain go on"),
    ],
)
def test_violation_is_found_when_the_ledger_breaks_the_protocol(
    ledger: type[MemoryChains], violation: str, handed: bool
) -> None:
    """An exploration that finds nothing in a broken protocol would show nothing of the right one."""
    outcome = explore(SMALL, ends=True, handed=handed, ledger=ledger, sought=violation)
    assert any(each.startswith(violation) for each in outcome.violations)
