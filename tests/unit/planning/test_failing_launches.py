"""A fleet whose launches fail now and then: simulated for half a day, against the same half day without failures."""

from functools import cache

import numpy as np
import pytest

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies.sluice import Sluice
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.traces import Trace

# Each minute has about 20 messages of 45 s, and every fourth one up to three times as many.
MINUTES = np.arange(12 * 60)
RNG = np.random.default_rng(5)
TRACE = Trace("swings", RNG.poisson(20.0 * np.where(MINUTES % 4 == 0, RNG.uniform(1.0, 3.0, len(MINUTES)), 1.0)))


@cache
def run(launch_failure: float) -> Run:
    """Eight hours with such a share of failing launches."""
    return simulate(
        Trace("swings", TRACE.counts[: 8 * 60]),
        Sluice(),
        Conditions(seconds_per_message=45.0, launch_failure=launch_failure),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("launch_failure", "late_most"), [(0.01, 0.001), (0.05, 0.002), (0.2, 0.01)])
def test_waits_when_launches_fail_now_and_then(launch_failure: float, late_most: float) -> None:
    """Hardly a message is late, at no more than 1.1 times the cost."""
    failing = run(launch_failure)
    assert failing.late_fraction <= late_most
    assert failing.cost_ratio <= 1.1 * run(0.0).cost_ratio


def test_launches_when_none_succeeds() -> None:
    """Hundreds are needed, and one is tried at a time: a boot is a minute, so 60 an hour and at most 60 at first."""
    none = simulate(Trace("none", TRACE.counts[:180]), Sluice(), Conditions(45.0, launch_failure=0.9999))
    assert none.launches <= 3 * 60 + 60
