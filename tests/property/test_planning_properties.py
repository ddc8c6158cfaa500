"""What holds for plan_for() whatever it sees, and for whole hours of its decisions in a closed loop."""

from dataclasses import replace
from itertools import pairwise
from math import floor, isclose

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.model.decisions import Action, ReasonCode
from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle, QueueReading, Reading, Series
from sluice.model.planning import ExpectedBatch, History, Memory, QueueSample, Snapshot
from sluice.planning.launch_cost import response_s
from sluice.planning.learning.periodic_batches import EXPECTED_MAX, PULSES_MAX, learn_batches
from sluice.planning.supply import Supply
from tests.support.planner_steps import (
    TIMING,
    a_memory,
    assess_for,
    changed,
    forecast_of,
    learn_from,
    plan_for,
    remember_need,
)
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

LIVE = ("visible", "in_flight", "delayed")

# Examples are wide, and the machine may be busy: neither is a fault. The same ones in every run: CI is no dice.
anything = settings(derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
loop = settings(derandomize=True, max_examples=8, suppress_health_check=[HealthCheck.too_slow])

counts = st.one_of(st.integers(0, 20), st.integers(0, 200_000)).map(float)


@st.composite
def fleets(draw):
    """Any fleet: short and long targets and launches, with and without limits."""
    limits = {
        "max_step": draw(st.none() | st.integers(1, 50)),
        "max_messages_per_s": draw(st.none() | st.floats(0.1, 1000)),
        "instance_hours_per_day": draw(st.none() | st.floats(0.1, 5000)),
        "stabilization_window_s": draw(st.none() | st.floats(0, 600)),
        "catch_up": draw(st.floats(0.5, 10)),
    }
    return a_fleet(
        target_wait_s=draw(st.floats(1, 100_000)),
        hints={
            "seconds_per_message": draw(st.floats(0.001, 3600)),
            "concurrency": draw(st.integers(1, 64)),
            "lead_time_s": draw(st.floats(0, 900)),
        },
        limits={key: value for key, value in limits.items() if value is not None},
    )


@st.composite
def readings(draw, now, *, fresh=False):
    """A count, fresh, old or missing."""
    if fresh:
        return Reading(draw(counts), now)
    return draw(st.none() | st.builds(Reading, counts, st.floats(now - 2000, now + 5)))


@st.composite
def groups(draw, now):
    """A group within its bounds, with any mix of instances."""
    low = draw(st.integers(0, 20))
    high = draw(st.integers(low, 500))
    states = draw(st.lists(st.sampled_from(list(Lifecycle)), max_size=15))
    return GroupReading(
        "orders",
        now - draw(st.sampled_from([0.0, 0.0, 0.0, 500.0])),
        desired=draw(st.integers(low, high)),
        min_size=low,
        max_size=high,
        instances=tuple(
            Instance(
                f"i-{i}", state, launched_at=draw(st.none() | st.floats(now - 5000, now)), healthy=draw(st.booleans())
            )
            for i, state in enumerate(states)
        ),
        suspended=frozenset(draw(st.sets(st.sampled_from(["Launch", "Terminate", "AZRebalance"])))),
        launch_failures=tuple(
            LaunchFailure(now - age, "no capacity") for age in draw(st.lists(st.floats(0, 5000), max_size=3))
        ),
    )


@st.composite
def snapshots(draw, now=NINE + 86_000, *, fresh=False):
    """What a tick may see."""
    sent = draw(st.none() | st.lists(counts, max_size=12))
    lag = draw(st.sampled_from([0.0, 60.0, 180.0, 4000.0]))
    queue = QueueReading(
        *(draw(readings(now, fresh=fresh)) for _ in LIVE),
        oldest_age=draw(st.none() | st.builds(Reading, st.floats(0, 1e6), st.just(now - lag))),
        sent=None
        if sent is None
        else Series(60.0, tuple((now - lag - 60.0 * (len(sent) - i), n) for i, n in enumerate(sent))),
    )
    return Snapshot("orders", now, queue, draw(groups(now)), veto=draw(st.none() | st.booleans()))


@st.composite
def memories(draw, now=NINE + 86_000):
    """What may have been learned: nothing, or a day."""
    seen_at = sorted(draw(st.lists(st.floats(now - 400, now - 1), max_size=8, unique=True)))
    needs = sorted(draw(st.lists(st.tuples(st.floats(now - 900, now - 1), st.integers(0, 100)), max_size=5)))
    return a_memory(
        arrivals=History(60.0, now - 120.0 - 60.0 * 30, tuple(draw(st.lists(counts, min_size=6, max_size=6))) * 5),
        samples=tuple(
            QueueSample(
                at, draw(counts), draw(counts), float(draw(st.integers(0, 50))), draw(st.booleans()), draw(counts)
            )
            for at in seen_at
        ),
        needs=tuple(needs),
        needs_since=draw(st.none() | st.floats(now - 5000, now - 1)),
        needs_until=now - draw(st.floats(1, 400)),
        learned_at=seen_at[-1] if seen_at else draw(st.sampled_from([0.0, now - 60])),
        day_at=now - now % 86_400,
        spent_s=draw(st.floats(0, 1e6)),
    )


@pytest.mark.slow
@anything
@given(fleets(), snapshots(), memories())
def test_want_when_anything_is_seen(fleet, snapshot, memory):
    """The want is within the group's bounds, the reasons lead from need to want, and the sentence ends."""
    now = snapshot.at
    decision = plan_for(snapshot, fleet, learn_from(memory, snapshot, fleet, now), now)
    assert snapshot.group.min_size <= decision.want <= snapshot.group.max_size
    assert decision.reasons[0].after == decision.raw_need
    assert decision.reasons[-1].after == decision.want
    steps = decision.reasons[1:]
    assert all(before.after == after.before for before, after in pairwise(steps))
    assert decision.sentence.endswith(".")
    assert (decision.action is Action.SCALE_OUT) == (decision.want > decision.current)
    assert (decision.action is Action.SCALE_IN) == (decision.want < decision.current)


@anything
@given(fleets(), snapshots(fresh=True), memories(), st.integers(1, 100_000))
def test_need_when_more_messages_wait(fleet, snapshot, memory, more):
    """More messages waiting never need less, all else being as it is."""
    now = snapshot.at
    learned = learn_from(memory, snapshot, fleet, now)
    fuller = replace(snapshot.queue, visible=Reading(snapshot.queue.visible.value + more, now))
    few = plan_for(snapshot, fleet, learned, now)
    many = plan_for(replace(snapshot, queue=fuller), fleet, learned, now)
    assert many.raw_need >= few.raw_need


@anything
@given(fleets(), snapshots(fresh=True), memories(), st.sampled_from(LIVE), st.booleans())
def test_want_when_a_live_figure_is_missing_or_stale(fleet, snapshot, memory, which, missing):
    """Nothing scales in on what is missing or old: not for a budget, a cap, or an empty queue."""
    now = snapshot.at
    old = Reading(0.0, now - fleet.limits.stale_after_s - 1)
    blind = replace(snapshot, queue=replace(snapshot.queue, **{which: None if missing else old}))
    decision = plan_for(blind, fleet, learn_from(memory, blind, fleet, now), now)
    assert decision.want >= decision.current
    if which == "visible":
        assert decision.want == decision.current


@anything
@given(fleets(), snapshots(), memories())
def test_tick_when_it_is_repeated(fleet, snapshot, memory):
    """The same snapshot again teaches nothing, decides the same, and is remembered once."""
    now = snapshot.at
    once = learn_from(memory, snapshot, fleet, now)
    first = plan_for(snapshot, fleet, once, now)
    kept = remember_need(once, first)
    assert learn_from(kept, snapshot, fleet, now) == kept
    assert plan_for(snapshot, fleet, kept, now).want == first.want
    assert remember_need(kept, plan_for(snapshot, fleet, kept, now)) == kept


@anything
@given(fleets(), snapshots(fresh=True), memories())
def test_zero_when_something_is_undone(fleet, snapshot, memory):
    """A fleet that has a unit keeps one until all is done, unless its budget is used up."""
    now = snapshot.at
    decision = plan_for(snapshot, fleet, learn_from(memory, snapshot, fleet, now), now)
    queue = snapshot.queue
    if decision.current > 0 and queue.visible.value + queue.in_flight.value + queue.delayed.value > 0:
        assert decision.want >= 1 or ReasonCode.BUDGET in {reason.code for reason in decision.reasons}


@anything
@given(fleets(), counts, counts, st.integers(1, 50))
def test_wake_when_a_message_waits_at_zero(fleet, visible, delayed, high):
    """From zero, one message waiting is enough, whatever the fleet's figures."""
    queue = QueueReading(Reading(visible + 1, NINE), Reading(0.0, NINE), Reading(delayed, NINE))
    unbudgeted = fleet.model_copy(update={"limits": fleet.limits.model_copy(update={"instance_hours_per_day": None})})
    snapshot = Snapshot("orders", NINE, queue, GroupReading("orders", NINE, 0, 0, high))
    assert plan_for(snapshot, unbudgeted, learn_from(Memory(), snapshot, fleet, NINE), NINE).want >= 1


@st.composite
def awaited(draw, now=NINE + 86_000):
    """Batches that may be expected: begun, due, or some time ahead; of any size, some of whose repeats stayed away."""
    batches = []
    for ahead_s in sorted(draw(st.lists(st.integers(-3, 15), max_size=4, unique=True))):
        at = now - now % 60.0 + 60.0 * ahead_s
        sizes = draw(st.lists(st.sampled_from([0.0, 6.0, 80.0, 900.0]), min_size=3, max_size=12))
        batches.append(ExpectedBatch(at, at + draw(st.sampled_from([60.0, 180.0])), tuple(sorted(sizes))))
    return tuple(batches)


@anything
@given(fleets(), snapshots(fresh=True), memories(), awaited(), st.integers(1, 100_000))
def test_need_when_batches_are_awaited(fleet, snapshot, memory, batches, more):
    """What is awaited only ever asks for more, and more messages waiting never need less beside it."""
    now = snapshot.at
    learned = learn_from(memory, snapshot, fleet, now)
    expecting = changed(learned, batches=batches)
    fuller = replace(snapshot.queue, visible=Reading(snapshot.queue.visible.value + more, now))
    without = plan_for(snapshot, fleet, changed(learned, batches=()), now)
    few = plan_for(snapshot, fleet, expecting, now)
    many = plan_for(replace(snapshot, queue=fuller), fleet, expecting, now)
    assert without.raw_need <= few.raw_need <= many.raw_need
    assert few.want >= without.want


@anything
@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([0.0, 3.0, 40.0, 700.0])), min_size=1, max_size=40))
def test_batches_when_any_counts_come(runs):
    """What is kept of batches is bounded, in order, and made of what came; chances are chances."""
    counts = [count for length, each in runs for count in (2.0,) * length + (each,)]
    memory = Memory()
    for until in range(1, len(counts) + 1):
        history = History(60.0, NINE - NINE % 60.0, tuple(counts[:until]))
        learned = learn_batches(memory.batches, history, 480.0, TIMING)
        memory = replace(changed(memory, arrivals=history), batches=learned)
    assert len(memory.batches.pulses) <= min(PULSES_MAX, len(runs))
    assert [at for at, _ in memory.batches.pulses] == sorted({at for at, _ in memory.batches.pulses})
    assert {size for _, size in memory.batches.pulses} <= {38.0, 698.0}
    assert len(memory.batches.expected) <= EXPECTED_MAX
    assert all(each.at < each.until and list(each.sizes) == sorted(each.sizes) for each in memory.batches.expected)
    assert all(0.5 < each.chance <= 1.0 for each in memory.batches.expected)


supplies = st.builds(
    lambda working, places, share, message_s, blind_s: Supply(
        working, float(places), share * places, places / message_s, 10.0, blind_s=blind_s
    ),
    st.floats(1, 1000),
    st.integers(1, 64),
    st.floats(0, 1),
    st.floats(0.01, 3600),
    st.floats(0, 1000),
)


@anything
@given(supplies, st.floats(1, 3600), st.floats(0.01, 1e6))
def test_units_when_they_are_solved_for(supply, t, messages):
    """units_for is the inverse of by_working: so many units start so many messages, hardly fewer start fewer."""
    units = supply.units_for([(t, messages)])
    assert isclose(replace(supply, working=units).by_working(t), messages, rel_tol=1e-6, abs_tol=1e-6)
    assert replace(supply, working=0.99 * units).by_working(t) < messages


@anything
@given(supplies, st.floats(1, 3600), st.floats(1, 2), st.floats(0.01, 1e6), st.sampled_from([0.0, 0.5]))
def test_launches_when_there_are_more_of_them_or_of_messages(supply, t, times, messages, at_hand):
    """More launches never start less, more messages never need fewer, and so many start so many."""
    fresh = replace(supply, working=0.0, at_hand=at_hand)
    units = fresh.launched_for(messages, t)
    assert isclose(replace(fresh, launches=((1.0, units),)).started(1.0 + t), messages, rel_tol=1e-6, abs_tol=1e-6)
    assert replace(fresh, launches=((1.0, units * times),)).started(1.0 + t) >= messages * (1 - 1e-6)
    assert fresh.launched_for(messages * times, t) >= units * (1 - 1e-9)


@anything
@given(supplies, st.booleans(), st.lists(st.tuples(st.floats(1, 3600), st.floats(0.01, 1e6)), min_size=1, max_size=8))
def test_units_when_many_moments_ask(supply, idle, due):
    """The most that any moment asks for: what is passed over could not have asked for more."""
    supply = supply if idle else replace(supply, busy=supply.places)
    each = max(supply.units_for([moment]) for moment in due)
    assert isclose(supply.units_for(sorted(due)), each, rel_tol=1e-9)


@anything
@given(supplies, st.floats(1, 3600), st.floats(1, 2))
def test_units_when_there_are_more_of_them(supply, t, times):
    """More units never start less."""
    more = replace(supply, working=supply.working * times)
    assert more.by_working(t) >= supply.by_working(t) - 1e-6


@anything
@given(supplies, st.floats(1, 3600), st.floats(1, 2))
def test_units_when_there_is_more_time(supply, t, times):
    """With more time the same units never start less, where all places are busy: chance takes less than time gives."""
    busy = replace(supply, busy=supply.places)
    assert busy.by_working(t * times) >= busy.by_working(t) - 1e-6


@anything
@given(
    st.tuples(st.floats(30, 900), st.floats(1, 600), st.integers(2, 64)),
    st.integers(0, 20),
    st.floats(0, 1),
    st.integers(0, 3000),
    st.integers(1, 3000),
)
def test_need_when_units_have_many_places(figures, working, share, waiting, more):
    """More messages waiting never need less, of units that work on many at once and are busy in part."""
    target_s, message_s, places = figures
    fleet = a_fleet(
        target_wait_s=target_s, hints={"seconds_per_message": message_s, "concurrency": places, "lead_time_s": 60}
    )

    def needed(count: int) -> int:
        queue = a_queue(NINE, count, round(share * places * working), oldest_s=10)
        return decide(seen(NINE, queue, a_group(NINE, working)), fleet).raw_need

    assert needed(waiting + more) >= needed(waiting)


@anything
@given(fleets(), snapshots(fresh=True), memories(), st.floats(0, 1000), st.floats(0, 100))
def test_want_when_the_forecast_is_nothing(fleet, snapshot, memory, above_per_s, error_per_s):
    """A forecast is never what scales a fleet in: with nothing foreseen, it wants no less than what is there needs.

    The same tick with a forecast of zero and without an error, and with any forecast on top of the level: the latter
    never wants less, and the former keeps what the messages that wait need by themselves.
    """
    now = snapshot.at
    learned = learn_from(memory, snapshot, fleet, now)
    level_per_s = forecast_of(learned, now).rate_per_s
    nothing = changed(learned, chosen=("trend", -level_per_s, 0.0))
    wanted = plan_for(snapshot, fleet, nothing, now)
    more = plan_for(snapshot, fleet, changed(learned, chosen=("trend", above_per_s, error_per_s)), now)
    level = plan_for(snapshot, fleet, changed(learned, chosen=("level", 0.0, 0.0)), now)
    assert wanted.raw_need <= level.raw_need <= more.raw_need
    hard = {ReasonCode.DOWNSTREAM, ReasonCode.BUDGET, ReasonCode.GROUP_MAX, ReasonCode.STEP, ReasonCode.STALE}
    if not hard & {reason.code for reason in wanted.reasons}:
        group = assess_for(snapshot, snapshot.group, fleet, nothing, now)
        assert wanted.want >= min(wanted.current, group.need)
        if wanted.want < wanted.current and group.supply.places / group.rate_per_s > response_s(TIMING):
            busy = min(snapshot.queue.in_flight.value, group.supply.places * group.supply.working)
            assert wanted.want >= min(wanted.current, floor(busy / group.supply.places))


# --------------------------------------------------------------------------- closed loop


def fleet_for(seconds_per_message: float, boot_s: float, target_wait_s: float):
    """A fleet whose hints are right."""
    return a_fleet(
        target_wait_s=target_wait_s, hints={"seconds_per_message": seconds_per_message, "lead_time_s": boot_s}
    )


@pytest.mark.slow
@loop
@given(st.floats(0.05, 6), st.sampled_from([0.5, 2.0, 15.0]), st.sampled_from([(20, 120), (60, 120), (180, 300)]))
def test_capacity_when_load_is_constant(load, seconds_per_message, boot_and_target):
    """Under constant load capacity settles: it then moves by one unit or a hundredth at most, and seldom."""
    boot_s, target_s = boot_and_target
    world = World(lambda _: load, 1 / seconds_per_message, boot_s)
    world.live(fleet_for(seconds_per_message, boot_s, target_s), 2 * 3600)
    settled = [decision.want for decision in world.decisions if decision.at >= NINE + 3600]
    assert max(settled) - min(settled) <= max(1, 0.01 * max(settled))
    turns = sum(1 for before, after in pairwise(settled) if before != after)
    assert turns <= 3600 / (2 * (boot_s + 60))


@pytest.mark.slow
@loop
@given(
    st.floats(0.3, 2),
    st.floats(2, 12),
    st.sampled_from([1.0, 5.0]),
    st.sampled_from([(20, 60), (60, 90), (60, 120), (180, 300)]),
    st.sampled_from(["step", "ramp"]),
)
def test_waits_when_load_steps_or_climbs(base, times, seconds_per_message, boot_and_target, shape):
    """Where the target is at least boot and 30 s, no message of a step or a ramp waits longer than it."""
    boot_s, target_s = boot_and_target
    top = base * times

    def arrivals(t: float) -> float:
        if t < 1800:
            return base
        return top if shape == "step" else min(top, base + (top - base) * (t - 1800) / 900)

    world = World(arrivals, 1 / seconds_per_message, boot_s)
    fleet = fleet_for(seconds_per_message, boot_s, target_s)
    world.live(fleet, 900)  # the start from nothing is not what is judged here
    world.waits.clear()
    world.live(fleet, 4500)
    assert world.longest_wait_s() <= target_s
    work_s = sum(arrivals(t) for t in range(900, 5400)) * seconds_per_message
    assert world.unit_seconds < 2.0 * work_s + 3600


@pytest.mark.slow
@loop
@given(st.integers(1, 500), st.sampled_from([0.2, 1.0, 20.0]), st.sampled_from([5.0, 60.0, 180.0]))
def test_group_when_it_starts_from_zero_and_traffic_ends(burst, seconds_per_message, boot_s):
    """A burst wakes a group from zero unaided; all of it is worked off, and the group is back at zero."""
    world = World(lambda t: burst if t == 120 else 0.0, 1 / seconds_per_message, boot_s)
    world.live(fleet_for(seconds_per_message, boot_s, 300), 7200)
    assert len(world.waits) == burst
    assert world.waiting == 0
    assert (world.desired, world.units) == (0, [])
    assert world.longest_wait_s() <= 300


def test_capacity_when_hints_are_far_off():
    """With hints wrong by ten both ways, the fleet still settles at what the load needs."""
    for factor in (0.1, 10):
        world = World(lambda _: 4.5, 0.5, 60.0)
        world.live(a_fleet(hints={"seconds_per_message": 2 * factor, "lead_time_s": 60 * factor}), 3 * 3600)
        settled = [decision.want for decision in world.decisions if decision.at >= NINE + 2 * 3600]
        assert 9 <= min(settled) <= max(settled) <= 11


def test_capacity_when_metrics_never_come():
    """Without any metric the live counts alone keep the target; nothing scales in while work is left."""
    world = World(lambda t: 5.0 if t < 3600 else 0.0, 1.0, 60.0, metric_lag_s=1e9)
    world.live(fleet_for(1.0, 60.0, 180.0), 7200)
    assert world.longest_wait_s() <= 180
    assert world.desired == 0
