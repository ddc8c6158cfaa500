"""Traffic that steps up and down where no launch is in time: how late messages are after a step, and what it costs."""

from pathlib import Path

import pytest

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies.sluice import Sluice
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import workloads

LATE_MOST = 0.0060  # 0.0068 where the level alone is followed, and 0.0064 of the peer that was better
COST_MOST = 1.215


@pytest.mark.slow
def test_waits_after_steps_when_no_launch_is_in_time() -> None:
    """From 20 to 80 messages of 8 s a minute and back, for two days: a step is followed once two minutes prove it."""
    (trace,) = (trace for trace, _ in workloads(Path("none"), 2) if trace.name == "step")
    found = simulate(trace, Sluice(), Conditions(seconds_per_message=8.0, target_wait_s=60.0, boot_s=180.0, seed=2))
    assert found.late_fraction <= LATE_MOST
    assert found.cost_ratio <= COST_MOST
