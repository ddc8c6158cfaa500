"""What holds for several queues in shadow mode whatever comes: nothing is lost, and none is served out of turn."""

from itertools import pairwise
from math import isclose

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.aws.ledger.forms import Form
from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY
from sluice.model.shadow import Shadow, ShadowFleet
from sluice.planning.shadow.scorecard import SHARES, TallyBuilder, score
from sluice.planning.shadow.simulated_fleet import BATCHES_MOST, FleetSpeed, SimulatedFleet
from tests.support.planner_world import NINE
from tests.support.shadow_world import ShadowedWorld
from tests.support.sharing_world import a_shared_fleet

loop = settings(derandomize=True, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
anything = settings(derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


class ByQueue(TallyBuilder):
    """A tally that knows how many of each queue were started as well."""

    def __init__(self, *targets_s: float) -> None:
        super().__init__(*targets_s)
        self.started = [0.0 for _ in targets_s]

    def note(self, first_s: float, last_s: float, messages: float, queue: int = 0) -> None:
        """Count them."""
        super().note(first_s, last_s, messages, queue)
        self.started[queue] += messages


@st.composite
def traffic(draw):
    """Queues of any priorities, and moves: seconds, what comes to each meanwhile, units wanted."""
    queues = draw(st.integers(1, 4))
    priorities = draw(st.lists(st.integers(-1, 1), min_size=queues, max_size=queues))
    some = st.just(0.0) | st.floats(0.01, 40.0) | st.floats(0.0, 3_000.0)
    came = st.lists(some, min_size=queues, max_size=queues)
    moves = draw(st.lists(st.tuples(st.floats(0.5, 120.0), came, st.integers(0, 30)), min_size=1, max_size=20))
    return priorities, moves


@anything
@given(traffic(), st.floats(0.005, 20.0), st.integers(1, 10), st.floats(0.0, 300.0), st.none() | st.floats(0.0, 60.0))
def test_counterfactual_when_anything_comes_to_several_queues_loses_nothing_in_any(
    drawn, rate_per_s, places, lead_s, leave_s
):
    """Messages into each are those started and those waiting; all together they are as those of one queue would be.

    Who is served first makes no unit work more or less.
    """
    priorities, moves = drawn
    pace = FleetSpeed(rate_per_s, float(places), lead_s, leave_s)
    nothing = ShadowFleet(0, 0.0, others=((),) * (len(priorities) - 1))
    fleet, one = SimulatedFleet(nothing, pace, priorities), SimulatedFleet(ShadowFleet(0, 0.0), pace)
    tally, whole, now = ByQueue(*[60.0 + 300.0 * n for n in range(len(priorities))]), TallyBuilder(60.0), NINE
    came = [0.0 for _ in priorities]
    for seconds, messages, want in moves:
        for each, its in ((fleet, tally), (one, whole)):
            each.order(now, want, its)
        fleet.advance(now, now + seconds, messages[0], tally, messages[1:])
        one.advance(now, now + seconds, sum(messages), whole)
        now += seconds
        came = [before + more for before, more in zip(came, messages, strict=True)]
        for line, started, so_many in zip(fleet.queues, tally.started, came, strict=True):
            assert isclose(so_many, started + line.count, rel_tol=1e-6, abs_tol=1e-3)
        assert isclose(sum(line.count for line in fleet.queues), one.queue.count, rel_tol=1e-6, abs_tol=0.01)
        assert isclose(fleet.in_flight, one.in_flight, rel_tol=1e-6, abs_tol=0.01)
    assert isclose(sum(tally.waits), sum(tally.started), rel_tol=1e-6, abs_tol=1e-3)
    assert isclose(tally.unit_s, whole.unit_s, rel_tol=1e-6, abs_tol=1e-3)
    kept = fleet.to_record()
    assert len(kept.others) == len(priorities) - 1
    for pieces, line in zip((kept.waiting, *kept.others), fleet.queues, strict=True):
        assert len(pieces) <= BATCHES_MOST
        assert isclose(sum(piece[2] for piece in pieces), line.count, abs_tol=0.1)


@anything
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.floats(0.0, 900.0), st.floats(0.0, 10.0)), min_size=2, max_size=4),
    st.integers(1, 20),
    st.floats(0.05, 5.0),
    st.integers(1, 4),
    st.floats(1.0, 60.0),
)
def test_lines_when_one_waits_throughout_are_served_in_their_turn(queues, units, rate_per_s, places, seconds):
    """Of a lower priority nothing is started, and of an equal one never more than of it."""
    lines = [((NINE - 60.0, NINE, waiting),) if waiting > 0.0 else () for _, waiting, _ in queues]
    priorities = [priority for priority, *_ in queues]
    there = ShadowFleet(units, float(units), (), (), 0.0, lines[0], tuple(lines[1:]))
    fleet = SimulatedFleet(there, FleetSpeed(rate_per_s, float(places), 60.0, None), priorities)
    tally = ByQueue(*[100.0 for _ in queues])
    came = [per_s * seconds for *_, per_s in queues]
    fleet.advance(NINE, NINE + seconds, came[0], tally, came[1:])
    able = units * places + units * rate_per_s * seconds  # started at most: what is free, and what becomes so
    for queue, (priority, waiting, _) in enumerate(queues):
        if waiting <= able:
            continue
        for other, its_priority in enumerate(priorities):
            if its_priority < priority:
                assert tally.started[other] <= 1e-3
            elif its_priority == priority:
                assert tally.started[other] <= tally.started[queue] + 1e-3
        if priority == max(priorities):
            assert isclose(sum(tally.started), able, rel_tol=1e-6, abs_tol=1e-3)


@pytest.mark.slow
@loop
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([60, 120, 900]), st.integers(1, 12), st.integers(120, 900)),
        min_size=2,
        max_size=3,
    ),
    st.none() | st.integers(0, 12),
)
def test_follow_when_somebody_holds_any_capacity_scores_what_came_to_each_queue(queues, desired):
    """Both sides have the messages that came; each real line is what was seen waiting; the record is bounded."""
    fleet = a_shared_fleet(
        *(
            {"queue": f"q{n}", "priority": priority, "target_wait_s": target_s}
            for n, (priority, target_s, *_) in enumerate(queues)
        ),
        mode="shadow",
    )
    world = ShadowedWorld.of(
        fleet,
        {
            f"q{n}": lambda t, burst=burst, every_s=every_s: burst if t % every_s < 40.0 else 0.2
            for n, (*_, burst, every_s) in enumerate(queues)
        },
        bounds=(0, 100),
    )
    world.watch(1500.0, None if desired is None else lambda _: desired)
    shadow, scored = world.memory.shadow, world.score
    came = sum(look.settled.came for look in world.looks if look.settled)
    assert isclose(scored.came, came, abs_tol=0.5)
    assert isclose(scored.shadow.messages, came, rel_tol=1e-3, abs_tol=1.0)
    assert isclose(scored.acting.messages, came, rel_tol=1e-3, abs_tol=1.0)
    for pieces, seen in zip((shadow.waiting, *shadow.others), world.seen_waiting[shadow.at], strict=True):
        assert isclose(sum(piece[2] for piece in pieces), seen, rel_tol=0.01, abs_tol=2.0)
    assert isclose(sum(span.seconds for span in shadow.score.hours), shadow.at - NINE, abs_tol=0.1)
    assert len(shadow.ticks) <= 60 + 1
    assert all(len(span.shadow.waits) <= len(SHARES) + 1 for span in shadow.score.hours)
    assert all(one.came >= 0.0 and one.at < other.at for one, other in pairwise(shadow.score.hours))
    assert read_memory(MEMORY.to_text(world.memory)) == world.memory
    assert len(Form(Shadow, "the shadow").to_text(shadow)) < 12_000 + 2 * len(queues) * BATCHES_MOST * 50


@pytest.mark.slow
@loop
@given(st.integers(0, 1), st.integers(1, 8), st.integers(200, 900))
def test_follow_when_sluice_itself_acts_on_several_queues_has_the_same_figures(priority, burst_per_s, period_s):
    """The two part by ticks and whole messages, as those of one queue do."""
    fleet = a_shared_fleet(
        {"queue": "urgent", "target_wait_s": 120, "priority": priority},
        {"queue": "bulk", "target_wait_s": 900},
        mode="shadow",
    )
    traffic = {"urgent": lambda t: burst_per_s if t % period_s < 60.0 else 0.5, "bulk": lambda t: 1.0}
    world = ShadowedWorld.of(fleet, traffic)
    world.watch(1800.0)
    scored = score(world.memory.shadow)
    assert scored is not None
    assert isclose(scored.shadow.late_fraction, scored.acting.late_fraction, abs_tol=0.02)
    assert isclose(scored.shadow.unit_hours, scored.acting.unit_hours, rel_tol=0.2, abs_tol=0.1)
