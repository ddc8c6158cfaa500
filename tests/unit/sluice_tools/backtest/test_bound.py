"""The least cost of a trace: cases whose optimum is reckoned by hand, finer grids, and policies that are in time."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_tools.backtest.bound import (
    Bound,
    CannotBeInTimeError,
    Caps,
    Demand,
    FluidDemand,
    bound_of,
    demand_of,
    least,
)
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, generated_trace
from sluice_tools.backtest.policies import DEFAULT, make
from sluice_tools.backtest.simulator import Sight, Step, simulate
from sluice_tools.backtest.traces import Trace

# One that comes into service costs 60 s of boot and 5 s of drain beside its work.
WORLD = Conditions(target_wait_s=120.0, boot_s=60.0, boot_spread=0.0, drain_s=5.0)


def messages(*each: tuple[float, float], wait_s: float, end_s: float = 7200.0) -> Demand:
    """Messages as (when it comes, what it takes), in seconds."""
    return Demand(np.array([at for at, _ in each]), np.array([takes for _, takes in each]), wait_s, end_s)


def seconds(bound: Bound) -> float:
    """Its instance-seconds."""
    return bound.hours * 3600.0


@pytest.mark.parametrize(
    ("demand", "cost_s"),
    [
        pytest.param(messages((1810.0, 5.0), wait_s=120.0), 60 + 5 + 5, id="one message takes a whole instance"),
        pytest.param(
            messages((1810.0, 5.0), (5410.0, 7.0), wait_s=120.0), 2 * 65 + 12, id="an hour apart: two launches"
        ),
        pytest.param(messages((1810.0, 5.0), (1860.0, 5.0), wait_s=120.0), 65 + 10, id="within a wait: one launch"),
        pytest.param(messages(*[(1800.0, 30.0)] * 100, wait_s=120.0), 20 * 65 + 3000, id="five in turn on each of 20"),
        pytest.param(messages(*[(1800.0, 600.0)] * 7, wait_s=120.0), 7 * 65 + 4200, id="long ones: one instance each"),
        pytest.param(messages((0.0, 30.0), wait_s=60.0), 30 + 5, id="one that is there already"),
        # The first ends at 1860 at the latest, the second comes at 1920: a minute idle is cheaper than another launch.
        pytest.param(messages((1800.0, 30.0), (1920.0, 30.0), wait_s=30.0), 65 + 60 + 60, id="kept for the next"),
        # 200 s idle are dearer than 65.
        pytest.param(messages((1800.0, 30.0), (2060.0, 30.0), wait_s=30.0), 2 * 65 + 60, id="not kept for the next"),
    ],
)
def test_least_when_reckoned_by_hand(demand: Demand, cost_s: float) -> None:
    """On a grid that has the moments of the case, the bound is the optimum, not merely below it."""
    assert seconds(least(demand, WORLD, step_s=30.0)) == pytest.approx(cost_s, abs=0.1)


@pytest.mark.slow
def test_least_when_a_launch_is_billed_for_a_minute() -> None:
    """Without a boot, a message of 5 s costs the shortest bill, as far as the grid sees it."""
    demand = messages((1810.0, 5.0), wait_s=120.0)
    world = replace(WORLD, boot_s=0.0, drain_s=0.0)
    assert 50.0 <= seconds(least(demand, world, step_s=5.0)) <= 60.0
    assert seconds(least(demand, replace(world, minimum_billing_s=0.0), step_s=5.0)) == pytest.approx(5.0, abs=0.1)


def test_least_when_launches_fail() -> None:
    """At every second launch failing, each that comes has one boot of a failed one beside its own."""
    demand = messages((1810.0, 5.0), wait_s=120.0)
    assert seconds(least(demand, replace(WORLD, launch_failure=0.5))) == pytest.approx(60 + 60 + 5 + 5, abs=0.1)


@pytest.mark.parametrize(
    ("caps", "max_size", "cost_s"),
    [
        pytest.param(Caps(), 10, 2 * 65 + 200, id="two at once"),
        pytest.param(Caps(at_once=1.0), 10, None, id="one group"),
        pytest.param(Caps(per_s=0.01), 10, None, id="a downstream that takes one in 100 s"),
        pytest.param(Caps(), 1, None, id="one instance"),
    ],
)
def test_least_when_the_world_is_capped(caps: Caps, max_size: int, cost_s: float | None) -> None:
    """Two messages of 100 s that must begin within 60 s need two that work at once."""
    demand = messages((1800.0, 100.0), (1800.0, 100.0), wait_s=60.0)
    world = replace(WORLD, max_size=max_size, seconds_per_message=100.0)
    if cost_s is None:
        with pytest.raises(CannotBeInTimeError, match="within the target wait"):
            least(demand, world, caps, step_s=20.0)
    else:
        assert seconds(least(demand, world, caps, step_s=20.0)) == pytest.approx(cost_s, abs=0.1)


def test_least_when_a_cap_can_be_met() -> None:
    """A slow downstream has instances wait, not work more: the cost is the same where deadlines allow it."""
    demand = messages(*[(1800.0, 10.0)] * 10, wait_s=120.0)
    world = replace(WORLD, seconds_per_message=10.0)
    assert seconds(least(demand, world, Caps(per_s=0.1), step_s=10.0)) == pytest.approx(65 + 100, abs=0.1)


def least_work_by_search(demand: Demand, at: float, length_s: float) -> float:
    """What a stretch uses at least, by trying each message's beginnings."""
    total = 0.0
    for came_at, takes_s in zip(demand.came_at, demand.takes_s, strict=True):
        begins = came_at + np.linspace(0.0, demand.wait_s, 241)
        overlaps = np.minimum(begins + takes_s, at + length_s) - np.maximum(begins, at)
        total += max(0.0, float(overlaps.min()))
    return total


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 900), st.floats(1, 400)), min_size=1, max_size=6),
    st.floats(0, 300),
    st.floats(0, 1000),
    st.floats(1, 600),
)
def test_least_work_when_every_beginning_is_tried(
    each: list[tuple[float, float]], wait_s: float, at: float, length_s: float
) -> None:
    """The sum of ramps is the search's minimum."""
    demand = messages(*each, wait_s=wait_s)
    found = float(demand.least_work(np.array([at]), length_s)[0])
    assert found == pytest.approx(least_work_by_search(demand, at, length_s), abs=1e-6)


def test_done_by_when_messages_are_a_fluid() -> None:
    """Work comes evenly in each minute; a part has what a wait before it brought as well."""
    fluid = FluidDemand(np.array([60.0, 120.0, 0.0]), 30.0, 180.0)
    assert fluid.done_by(np.array([0.0, 30.0, 90.0, 180.0])) == pytest.approx([0.0, 30.0, 120.0, 180.0])
    assert fluid.part(60.0, 180.0).done_by(np.array([-30.0, 0.0, 60.0])) == pytest.approx([0.0, 30.0, 150.0])


def test_bound_when_the_trace_is_a_fluid() -> None:
    """Message by message and as a fluid, short messages cost nearly the same."""
    trace = Trace("made", np.random.default_rng(4).poisson(600.0, 120).astype(np.int64))
    world = replace(WORLD, seconds_per_message=0.5)
    assert bound_of(trace, replace(world, messages_max=1)).hours == pytest.approx(
        bound_of(trace, world).hours, rel=0.02
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "minutes"), [("hourly-batch", slice(180)), ("flash-crowd", slice(600, 780))])
def test_least_when_the_grid_is_finer(name: str, minutes: slice) -> None:
    """A finer grid that has the coarser one's edges only adds constraints: the bound rises, and little."""
    trace = Trace(name, generated_trace(name, 1).counts[minutes])
    world = replace(WORLD, seconds_per_message=SECONDS_PER_MESSAGE[name])
    demand = demand_of(trace, world)
    coarse, usual, fine = (least(demand, world, step_s=step_s).hours for step_s in (120.0, 60.0, 20.0))
    assert coarse <= usual * (1.0 + 1e-6)
    assert usual <= fine * (1.0 + 1e-6)
    assert fine < usual * 1.05


@dataclass
class Scripted:
    """So many instances in each minute, whatever happens."""

    sizes: tuple[int, ...]
    name: str = field(default="scripted", init=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """The first minute's."""
        return self.sizes[0]

    def decide(self, sight: Sight) -> Step:
        """This minute's."""
        minute = int(sight.now // 60.0)
        return Step(self.sizes[min(minute, len(self.sizes) - 1)], sight.now + 60.0)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_bound_when_any_schedule_is_in_time(data: st.DataObject) -> None:
    """Whatever the sizes minute by minute: without a late message it costs no less than the bound."""
    minutes = data.draw(st.integers(5, 25))
    counts = data.draw(st.lists(st.integers(0, 5), min_size=minutes, max_size=minutes).filter(any))
    base = data.draw(st.integers(1, 12))
    sizes = data.draw(st.lists(st.integers(max(0, base - 2), base), min_size=minutes, max_size=minutes))
    world = replace(
        WORLD,
        seconds_per_message=data.draw(st.sampled_from([4.0, 20.0, 90.0])),
        target_wait_s=data.draw(st.sampled_from([30.0, 120.0, 300.0])),
        boot_s=data.draw(st.sampled_from([0.0, 20.0, 60.0])),
        service_cv=data.draw(st.sampled_from([0.0, 0.5, 2.0])),
        seed=data.draw(st.integers(1, 5)),
    )
    trace = Trace("made", np.array(counts, dtype=np.int64))
    run = simulate(trace, Scripted(tuple(sizes)), world)
    if run.late_fraction == 0.0:
        assert run.instance_hours >= bound_of(trace, world).hours * (1.0 - 1e-6)


MORNING = Trace("morning", generated_trace("flash-crowd", 3).counts[:360])


@pytest.fixture(scope="module", params=[0.0, 0.1])
def of_morning(request: pytest.FixtureRequest) -> tuple[Conditions, Bound]:
    """Conditions by how far boots spread, and the bound of the morning in them."""
    world = replace(WORLD, seconds_per_message=15.0, target_wait_s=300.0, boot_spread=request.param)
    return world, bound_of(MORNING, world)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*DEFAULT, "fixed:scale=0.6", "keda:queue_share=0.25", "little:beta=2.0"])
def test_bound_when_policies_run_on_a_morning(spec: str, of_morning: tuple[Conditions, Bound]) -> None:
    """Six hours with a flash crowd: no policy without a late message costs less than the bound."""
    world, bound = of_morning
    run = simulate(MORNING, make(spec), world)
    assert run.late_fraction > 0.0 or run.instance_hours >= bound.hours - bound.boots_by_chance(run.launches)
