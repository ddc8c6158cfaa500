"""Shadow mode against the simulator: another policy acts, and the score is what separate simulations come to."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from sluice.model.observed import Mode
from sluice.model.planning import Memory, Snapshot
from sluice.planning.shadow.scorecard import Score, score
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies.aws import TargetTracking
from sluice_tools.backtest.policies.sluice import Sluice
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import BEGAN_AT, Policy, Sight, Step, simulate
from sluice_tools.backtest.traces import Trace
from tests.support.shadow_world import looked

CONDITIONS = Conditions(seconds_per_message=6.0)
HOURS = 4


def bursty(seed: int) -> Trace:
    """Four hours of a steady load with a burst of four times as much every fifty minutes."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(HOURS * 60)
    rate = 30.0 + 150.0 * ((minutes % 50) < 6)
    return Trace("bursty", rng.poisson(rate).astype(np.int64))


@dataclass
class Shadowed:
    """A policy that acts, with the planner in shadow mode beside it, ticking as it is deployed."""

    acting: Policy
    name: str = field(default="shadowed", init=False)
    _planner: Sluice = field(default_factory=lambda: Sluice(hinted=True), init=False)
    _memory: Memory = field(default_factory=Memory, init=False)
    _act_at: float = field(default=0.0, init=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """As the acting policy begins."""
        self._planner.begin(conditions, trace)
        assert self._planner._fleet is not None
        self._fleet = self._planner._fleet.model_copy(update={"mode": Mode.SHADOW})
        return self.acting.begin(conditions, trace)

    def decide(self, sight: Sight) -> Step:
        """The shadow looks; the acting policy decides when it is its turn."""
        fleet, now = self._fleet, BEGAN_AT + sight.now
        snapshot = Snapshot(fleet.name, now, self._planner._queue(sight, now), sight.group())
        self._memory, *_ = looked(self._memory, snapshot, fleet)
        looks_at = sight.now + 10.0
        desired = sight.desired
        if sight.now >= self._act_at:
            step = self.acting.decide(sight)
            desired, self._act_at = step.desired, step.next_s
        return Step(desired, min(looks_at, self._act_at))

    @property
    def score(self) -> Score:
        """What the shadow scored."""
        scored = score(self._memory.shadow)
        assert scored is not None
        return scored


def run(acting: Policy, trace: Trace) -> tuple[Run, Score]:
    """The acting policy's own run, and the shadow's score of it."""
    shadowed = Shadowed(acting)
    ran = simulate(trace, shadowed, CONDITIONS)
    return ran, shadowed.score


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_score_when_target_tracking_acts_on_bursts(seed: int) -> None:
    """Both sides agree with what the same policies come to by themselves on the same traffic.

    Tolerances: late shares within three hundredths, instance-hours within a tenth, p99 within a fifth of the target
    (a tick, a bin, counts that are 3% off, and the last six minutes, which are not settled).
    """
    trace = bursty(seed)
    acted, scored = run(TargetTracking(), trace)
    alone = simulate(trace, Sluice(hinted=True), CONDITIONS)
    assert acted.late_fraction > 0.05  # the acting policy is late, or nothing would be shown
    for side, real in ((scored.acting, acted), (scored.shadow, alone)):
        assert side.late_fraction == pytest.approx(real.late_fraction, abs=0.03)
        assert side.unit_hours == pytest.approx(real.instance_hours, rel=0.10)
        assert side.p99_s == pytest.approx(real.wait_p99_s, abs=0.2 * CONDITIONS.target_wait_s)
    assert scored.came == pytest.approx(float(trace.counts.sum()), rel=0.02)


@pytest.mark.slow
def test_score_when_sluice_itself_acts() -> None:
    """The fleet as it would be comes to what the acting one does."""
    acted, scored = run(Sluice(hinted=True), bursty(3))
    assert scored.shadow.late_fraction == pytest.approx(scored.acting.late_fraction, abs=0.01)
    assert scored.shadow.unit_hours == pytest.approx(scored.acting.unit_hours, rel=0.05)
    assert scored.acting.unit_hours == pytest.approx(acted.instance_hours, rel=0.05)
