"""What holds for a shared fleet whatever its queues hold: enough for each promise, and never less for more work."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.model.observed import Reading
from sluice.model.planning import Memory, Snapshot
from sluice.planning.deadlines import need
from sluice.planning.demand import QueueDemand, due_by
from sluice.planning.multi_queue import needs, pooled
from sluice.planning.supply import Supply
from tests.support.planner_steps import plan_for
from tests.support.planner_world import NINE, a_group, a_queue
from tests.support.sharing_world import a_shared_fleet

anything = settings(derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def demands(draw, *, most=4):
    """A few queues of any priority: what waits came over some time, the oldest of it perhaps overdue."""
    made = []
    for number in range(draw(st.integers(1, most))):
        times = sorted(draw(st.lists(st.floats(-60.0, 600.0), min_size=1, max_size=4, unique=True)))
        # Less than a millionth of a message is none: beside some messages it would vanish in their sum.
        some = st.floats(0.0, 200.0).map(lambda messages: round(messages, 6))
        steps = draw(st.lists(some, min_size=len(times), max_size=len(times)))
        knots = tuple(zip(times, [sum(steps[: i + 1]) for i in range(len(steps))], strict=True))
        knots = ((times[0] - 1.0, 0.0), *knots)
        made.append(
            QueueDemand(
                f"q{number}",
                draw(st.integers(-1, 1)),
                knots,
                draw(st.floats(20.0, 300.0)),
                knots[-1][1],
                per_s=draw(st.sampled_from([0.0, 0.0, 0.5, 3.0])),
            )
        )
    return made


@st.composite
def supplies(draw):
    """Units at work, and launches on their way."""
    places = float(draw(st.integers(1, 4)))
    launches = sorted(draw(st.lists(st.tuples(st.floats(1.0, 90.0), st.floats(1.0, 20.0)), max_size=2)))
    rate_per_s = draw(st.floats(0.05, 5.0))
    busy = draw(st.floats(0.0, places))
    return Supply(draw(st.floats(0.0, 30.0)), places, busy, rate_per_s, 10.0, tuple(launches), 70.0)


def served(demands_: list[QueueDemand], supply: Supply, until: float) -> dict[str, list[float]]:
    """How many of each queue's messages were started by each tenth of a second: by priority, else in turn."""
    step_s = 0.1
    started = {demand.name: 0.0 for demand in demands_}
    told: dict[str, list[float]] = {demand.name: [0.0] for demand in demands_}
    ranks = sorted({demand.priority for demand in demands_}, reverse=True)
    by_rank = [[demand for demand in demands_ if demand.priority == rank] for rank in ranks]
    before = supply.started(0.0)
    for step in range(round(until / step_s)):
        t = (step + 1) * step_s
        by_now = supply.started(t)
        left, before = by_now - before, by_now
        for equals in by_rank:
            equal = [*equals]
            while left > 1e-9 and equal:
                turn = left / len(equal)
                for demand in list(equal):
                    some = min(turn, demand.come_by(t) - started[demand.name])
                    started[demand.name] += max(0.0, some)
                    left -= max(0.0, some)
                    if some < turn:
                        equal.remove(demand)
        for name, count in started.items():
            told[name].append(count)
    return told


@pytest.mark.slow
@anything
@given(demands(), st.floats(0.2, 5.0))
def test_what_is_asked_for_keeps_every_promise(asked: list[QueueDemand], rate_per_s: float) -> None:
    """So many units, in service now, start each queue's messages by their deadlines, however the others do.

    What is overdue at first is late whatever is done, and may be until it must be worked off.
    """
    empty = Supply(0.0, 1.0, 1.0, rate_per_s, 10.0)
    units = max(needs(asked, empty, 0.0))
    # Useful from now on, one message at a time and nothing by chance: what the need was asked for.
    there = Supply(0.0, 1.0, 1.0, rate_per_s, 10.0, ((0.0, float(units)),))
    started = served(asked, there, 700.0)
    for demand in asked:
        overdue = due_by(demand.deadlines, 0.0)
        for t, messages in demand.deadlines:
            if t >= 10.0 and messages > overdue:
                due = messages - (overdue if t < demand.late_s else 0.0)
                assert started[demand.name][round(t * 10)] >= due - 0.5 * units * rate_per_s - 1.0


@anything
@given(demands(), supplies(), st.floats(0.0, 120.0), st.data())
def test_need_never_falls_when_more_waits_in_any_queue(
    asked: list[QueueDemand], supply: Supply, lead_s: float, data: st.DataObject
) -> None:
    """Nor when more is to come to one: neither its own need nor what any other asks for."""
    which = data.draw(st.integers(0, len(asked) - 1))
    more, at = data.draw(st.floats(0.0, 300.0)), data.draw(st.floats(-60.0, 600.0))
    before = asked[which]
    knots = tuple((t, messages + (more if t >= at else 0.0)) for t, messages in before.deadlines)
    fuller = replace(
        before, deadlines=knots, waiting=knots[-1][1], per_s=before.per_s + data.draw(st.sampled_from([0.0, 1.0]))
    )
    less = needs(asked, supply, lead_s)
    greater = needs([*asked[:which], fuller, *asked[which + 1 :]], supply, lead_s)
    assert all(one <= other for one, other in zip(less, greater, strict=True))


@anything
@given(demands(most=1), supplies(), st.floats(0.0, 120.0))
def test_queue_alone_needs_what_it_needs_unshared(asked: list[QueueDemand], supply: Supply, lead_s: float) -> None:
    """A list of one is no other theory."""
    (one,) = asked
    assert needs(asked, supply, lead_s) == (need(one.deadlines, supply, lead_s, one.late_s),)


@anything
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(-2, 2), st.integers(30, 7200)), min_size=2, max_size=5),
    st.integers(0, 30),
    st.data(),
)
def test_decision_never_wants_less_when_more_waits_anywhere(
    queues: list[tuple[int, int, int]], working: int, data: st.DataObject
) -> None:
    """Whatever priorities and targets: and a pause of a queue never wants more."""
    which = data.draw(st.integers(0, len(queues) - 1))
    more = data.draw(st.integers(1, 5000))

    def want(counts: list[int], paused: int | None = None) -> int:
        fleet = a_shared_fleet(
            *(
                {"queue": f"q{n}", "priority": priority, "target_wait_s": target_s, "paused": n == paused}
                for n, (_, priority, target_s) in enumerate(queues)
            )
        )
        readings = tuple(a_queue(NINE, count, min(count, working), per_minute=(float(count),)) for count in counts)
        whole = Reading(float(min(sum(counts), working)), NINE)
        pool = replace(pooled(fleet.sources, readings), in_flight=whole)
        snapshot = Snapshot("orders", NINE, pool, a_group(NINE, working, bounds=(0, 100_000)), queues=readings)
        decision = plan_for(snapshot, fleet, Memory(), NINE)
        return decision.raw_need

    counts = [count for count, _, _ in queues]
    fuller = [count + (more if n == which else 0) for n, count in enumerate(counts)]
    assert want(counts) <= want(fuller) < inf
    assert want(fuller, paused=which) <= want(fuller)
