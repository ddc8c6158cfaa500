"""The planner learns and keeps the target at every tick the template allows, and however late the metrics are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.model.timing import Timing
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies.sluice import Sluice
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.traces import Trace
from sluice_tools.cfn import Template

MESSAGE_S = 4.0  # an instance completes one message in so long; the fleet is not told
BOOT_S = 45.0
SEEDS = (1, 2)
TICKS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
LATEST_S = 300.0  # metrics are believed to be no later


def a_trace(seed: int, minutes: int = 120) -> Trace:
    """Two hours of sixty messages a minute by chance, with half as many more from the 40th minute to the 80th."""
    per_minute = np.where((np.arange(minutes) // 40) == 1, 90.0, 60.0)
    return Trace("chance", np.random.default_rng(seed).poisson(per_minute))


def run(timing: Timing, seed: int, target_wait_s: float, latest_s: float):
    """A run of the planner without any hint, whose metrics are so late at most; and what it believes at the end."""
    conditions = Conditions(
        seconds_per_message=MESSAGE_S,
        target_wait_s=target_wait_s,
        boot_s=BOOT_S,
        metric_late_s=(latest_s / 2, latest_s),
        seed=seed,
    )
    planner = Sluice(tick_s=timing.tick_s, metric_delay_s=timing.metric_delay_s)
    return simulate(a_trace(seed), planner, conditions), planner._memory


def learns_and_keeps_the_target(timing: Timing, seed: int, latest_s: float) -> None:
    """It measures the rate and the lead time, and of the messages after the first half hour 99% are in time.

    The target leaves a launch three ticks: one until the message is seen, and two that it may wait.
    """
    target_wait_s = max(120.0, (BOOT_S + 4.0 * timing.tick_s) / 0.94)
    done, memory = run(timing, seed, target_wait_s, latest_s)
    rate = memory.service_rate.estimate
    assert rate is not None
    assert rate.weight > 100
    assert rate.mean == pytest.approx(1.0 / MESSAGE_S, rel=0.15)
    assert memory.launches.to_service is not None
    assert memory.launches.to_service.mean == pytest.approx(BOOT_S, abs=max(10.0, timing.tick_s))
    settled = done.timeline.wait_s[30:]
    assert np.quantile(settled, 0.99) <= target_wait_s
    assert done.late_fraction < 0.05, "the first minutes are for learning"


def test_ticks_when_they_are_held_to_the_template() -> None:
    """The shortest and the longest that the template allows are among those that are tried."""
    ticks = Template.load(Path(__file__).parents[2] / "template.yaml").parameters["TickSeconds"]
    assert (float(ticks["MinValue"]), float(ticks["MaxValue"])) == (min(TICKS_S), max(TICKS_S))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("metric_delay_s", [60.0, LATEST_S])
@pytest.mark.parametrize("tick_s", TICKS_S)
def test_planner_when_ticks_and_metrics_come_at_any_pace(tick_s: float, metric_delay_s: float, seed: int) -> None:
    """It learns, and keeps the target, where metrics are as late as the stack takes them to be."""
    learns_and_keeps_the_target(Timing(tick_s, metric_delay_s=metric_delay_s), seed, metric_delay_s)


@pytest.mark.slow
@pytest.mark.parametrize("tick_s", [1.0, 10.0, 60.0])
def test_planner_when_metrics_are_later_than_the_stack_takes_them_to_be(tick_s: float) -> None:
    """It learns, and keeps the target, by the usual delay of two minutes where they come after up to five."""
    learns_and_keeps_the_target(Timing(tick_s), SEEDS[0], LATEST_S)


@given(tick_s=st.floats(min(TICKS_S), max(TICKS_S)), metric_delay_s=st.floats(0.0, LATEST_S))
@example(tick_s=1.0, metric_delay_s=LATEST_S)
@example(tick_s=60.0, metric_delay_s=0.0)
def test_samples_when_ticks_and_metrics_come_at_any_pace(tick_s: float, metric_delay_s: float) -> None:
    """They reach back over a period whose metric is twice as late as usual, with one before its beginning."""
    timing = Timing(tick_s, metric_delay_s=metric_delay_s)
    assert timing.sample_window_s >= 2.0 * metric_delay_s + timing.metric_period_s + tick_s
    assert timing.sample_count * tick_s >= timing.sample_window_s
    assert timing.blind_s >= 2.0 * tick_s
