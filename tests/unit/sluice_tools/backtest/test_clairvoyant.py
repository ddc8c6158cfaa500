"""The bound's program in whole instances: what comes of it in the simulator, and how far that is from the bound."""

import numpy as np
import pytest

from sluice_tools.backtest.bound import Bound, Demand, bound_of, least
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, generated_trace
from sluice_tools.backtest.policies import clairvoyant
from sluice_tools.backtest.policies.clairvoyant import STEP_S, Clairvoyant, launched_ahead, levels_near, whole_sizes
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.traces import Trace

WORLDS = ((120.0, 60.0), (300.0, 180.0), (60.0, 180.0))
GAPS = {  # minutes of a shape; in each world, the most that the schedule costs in multiples of the bound
    "diurnal": (720, (1.02, 1.02, 1.06)),
    "flash-crowd": (360, (1.03, 1.04, 1.17)),
    "hourly-batch": (360, (1.20, 1.12, 1.55)),
    "retry-storm": (360, (1.02, 1.02, 1.05)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "minutes", "world", "gap"),
    [(name, minutes, *each) for name, (minutes, gaps) in GAPS.items() for each in zip(WORLDS, gaps, strict=True)],
)
def test_clairvoyant_when_simulated(
    monkeypatch: pytest.MonkeyPatch, name: str, minutes: int, world: tuple[float, float], gap: float
) -> None:
    """No message is late, and the cost is above the bound by little, so the bound is not far from the optimum."""
    trace = Trace(name, generated_trace(name, 1).counts[:minutes])
    conditions = Conditions(seconds_per_message=SECONDS_PER_MESSAGE[name], target_wait_s=world[0], boot_s=world[1])
    bound = bound_of(trace, conditions)

    def solved(asked: Trace, where: Conditions) -> Bound:
        assert asked is trace
        assert where == conditions
        return bound  # of the same program, which takes most of the time

    monkeypatch.setattr(clairvoyant, "bound_of", solved)
    run = simulate(trace, Clairvoyant(), conditions)
    assert run.late_fraction == 0.0
    assert run.instance_hours >= bound.hours - bound.boots_by_chance(run.launches)
    assert run.instance_hours < gap * bound.hours


def test_clairvoyant_when_the_trace_is_a_fluid() -> None:
    """It follows a fluid as well."""
    trace = Trace("made", np.random.default_rng(4).poisson(600.0, 120).astype(np.int64))
    conditions = Conditions(seconds_per_message=0.5, messages_max=1)
    run, bound = simulate(trace, Clairvoyant(), conditions), bound_of(trace, conditions)
    assert run.late_fraction == 0.0
    assert bound.hours < run.instance_hours < bound.hours * 1.05


@pytest.mark.parametrize(("gap_s", "idle"), [(60.0, 1.0), (900.0, 0.0)])
def test_whole_sizes_when_work_pauses(gap_s: float, idle: float) -> None:
    """An instance is kept over a pause that is shorter than a boot and a drain, and released before a longer one."""
    at = np.concatenate([np.arange(0.0, 1800.0, 30.0), np.arange(1800.0 + gap_s, 3600.0, 30.0)])
    demand = Demand(at, np.full(len(at), 30.0), 30.0, 3600.0)
    conditions = Conditions(target_wait_s=30.0, boot_s=180.0)
    sizes = whole_sizes(demand, least(demand, conditions), conditions, 30.0)
    middle = int((1800.0 + gap_s / 2.0) / STEP_S)
    assert sizes[int(900.0 / STEP_S)] == 1.0
    assert sizes[middle] == idle


def test_levels_when_the_mean_jumps() -> None:
    """They reach from below the lowest to above the highest of the neighbours, and are whole numbers."""
    levels = levels_near(np.array([0.0, 0.0, 0.0, 40.5, 40.5, 40.5, 40.5]))
    assert levels[0, 0] == 0.0
    assert (levels[2, 0], levels[2, -1]) == (0.0, 43.0)
    assert levels[6, 0] == 39.0
    assert np.all(levels == np.rint(levels))


def test_launched_ahead_when_sizes_rise() -> None:
    """Capacity is asked for a boot before it is needed, and a dip that is shorter than a boot is not followed."""
    sizes = np.array([1.0, 1.0, 1.0, 1.0, 4.0, 1.0, 4.0, 1.0])
    assert launched_ahead(sizes, 2 * STEP_S) == [1, 1, 4, 4, 4, 4, 4, 1]
