"""Chains keep their invariants whatever fails, and the scenario finds what would break them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.chains import ChainRunner
from sluice.memory.ledger.chains import MemoryChains
from sluice.model.chain import Chain, Step
from sluice_tools.chaos.chains import HandingOver, run

SEEDS = range(25)  # `make chaos` runs more


@pytest.mark.slow
def test_invariants_hold_whatever_fails() -> None:
    """Every fleet is looked at again within a minute and a worker's life, and by one worker at a time."""
    failed = {seed: report.violations for seed in SEEDS if (report := run(seed)).violations}
    assert failed == {}


@pytest.mark.slow
def test_violation_is_found_when_nothing_is_reseeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain whose message was lost is then lost as well."""
    monkeypatch.setattr(ChainRunner, "reseed", lambda *_: None)
    violations = [violation for seed in SEEDS for violation in run(seed).violations]
    assert any("was not looked at since faults ended" in violation for violation in violations)


@pytest.mark.slow
def test_violation_is_found_when_nothing_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chains of another function then stand still."""
    monkeypatch.setattr(HandingOver, "hand_over", lambda *_: None)
    violations = [violation for seed in SEEDS for violation in run(seed).violations]
    assert any("did not go on since faults ended" in violation for violation in violations)


@pytest.mark.slow
def test_violation_is_found_when_two_workers_may_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes twice then begins two rounds."""
    claim = MemoryChains.claim

    def loose(chains: MemoryChains, step: Step, until: float, now: float) -> Chain | None:
        there = chains.chain(step.chain_id)
        if there is None:
            return None
        chains.restore(replace(there, at_work_until=0.0))
        return claim(chains, replace(step, version=there.version), until, now)

    monkeypatch.setattr(MemoryChains, "claim", loose)
    violations = [violation for seed in SEEDS for violation in run(seed).violations]
    assert any(" looks at " in violation for violation in violations)
