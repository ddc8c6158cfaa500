"""Fleets that less than half a unit could serve: when the last unit goes, and when the next one is launched."""

import random

import pytest

from sluice.model.planning import Estimate, Forecast, History, Memory, QueueSample
from sluice.planning import assessment, launch_cost
from sluice.planning.learning.forecasting import usual
from sluice.planning.learning.significance import MOST_ERRORS
from tests.support.planner_steps import TIMING, a_memory, assess_for, changed
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

MESSAGE_S = 6.0
FLEET = a_fleet(hints={"seconds_per_message": MESSAGE_S, "lead_time_s": 60})


def known(per_minute: float, quiet_s: float = 0.0, in_flight: float = 0.0, waited_s: float = 0.0) -> Memory:
    """An hour of so many messages a minute, of six seconds each, up to two minutes ago; and what ticks saw since.

    Args:
        per_minute: messages.
        quiet_s: since the last one came.
        in_flight: at the last tick.
        waited_s: how long one has been waiting.
    """
    counts = (per_minute,) * 59 + (0.0 if quiet_s else per_minute,)
    apart = max(1, round(6 / per_minute))  # ticks from message to message
    last = round(max(quiet_s, waited_s, 20.0) / 10.0)  # so many ticks ago the last one came
    samples = [
        QueueSample(
            at=NINE - 10.0 * back,
            visible=float(10 * back < waited_s),
            in_flight=in_flight if back == 1 else 0.0,
            working=1.0,
            steady=True,
            arrived=float(apart < 30 and back >= last and (back - last) % apart == 0)
            + (in_flight if back == 1 else 0.0),
        )
        for back in range(30, 0, -1)
    ]
    return a_memory(
        rate=Estimate(1 / MESSAGE_S, 500.0, NINE),
        completed=(500.0, 500.0 * MESSAGE_S),
        to_service=Estimate(60.0, 8.0, NINE),
        arrivals=History(60.0, NINE - 3720.0, counts),
        samples=tuple(samples),
        needs=((NINE - 300.0, 0),),
        needs_since=NINE - 600.0,
        needs_until=NINE - 10.0,
    )


def empty(per_minute: float, quiet_s: float, *, fleet=FLEET, in_flight: float = 0.0):
    """What is decided of one unit in service that finds nothing; what it had in flight ten seconds before."""
    snapshot = seen(NINE, a_queue(NINE, per_minute=None), a_group(NINE, 1))
    return decide(snapshot, fleet, known(per_minute, quiet_s, in_flight))


def gathered(per_minute: float, waited_s: float, fleet=FLEET, delayed: float = 0.0):
    """What is decided of an empty group for which a message has waited so long."""
    queue = a_queue(NINE, 1, delayed=delayed, oldest_s=waited_s, per_minute=(per_minute,) * 10)
    return decide(seen(NINE, queue, a_group(NINE, 0)), fleet, known(per_minute, waited_s=waited_s))


# ------------------------------------------------------------------------------------------------ leaving


def test_last_unit_when_what_comes_leaves_it_idle():
    """Four messages a minute keep it busy for 24 s of it: it goes once none came for as long as they are apart."""
    assert empty(4, quiet_s=0, in_flight=1).want == 1
    assert empty(4, quiet_s=30).want == 0


def test_last_unit_when_what_comes_keeps_it_busy():
    """Eight a minute are four fifths of its time: a gap is chance, and it stays."""
    assert empty(8, quiet_s=30).want == 1


def test_last_unit_when_no_launch_can_wait():
    """A target of half the lead time: an idle unit is what keeps the promise, and stays as any does."""
    assert empty(4, quiet_s=30, fleet=a_fleet(target_wait_s=30)).want == 1


def test_last_unit_when_it_is_idle_and_only_just_done():
    """No second look before it goes: that would cost more than a launch does, as seldom as a count is wrong."""
    assert empty(0.1, quiet_s=60, in_flight=1.0).want == 0
    busy = empty(6, quiet_s=60, in_flight=1.0)
    assert (busy.want, "the queue is empty for the first tick" in busy.sentence) == (1, True)


# ------------------------------------------------------------------------------------------------ coming back


def test_launch_when_more_is_expected_before_it_is_due():
    """Of 120 s a launch takes 60: a message that has just come can wait for the next ones, and the decision says so."""
    decision = gathered(4, waited_s=5)
    assert (decision.raw_need, decision.want) == (0, 0)
    assert "a launch can wait until more have arrived" in decision.reasons[0].sentence
    assert decision.sentence == (
        "Holding at 0: 1 message is waiting, the oldest for 5 s. A launch can wait until more have arrived."
    )
    assert gathered(4, waited_s=50).want == 1, "due at the next look"


@pytest.mark.parametrize(
    ("per_minute", "more"),
    [
        (0.03, {}),  # nothing else is expected meanwhile: waiting would gain nothing
        (8, {}),  # what gathers would need two units
        (4, {"delayed": 3}),  # how much becomes visible at once is not known
        (4, {"fleet": a_fleet(target_wait_s=60, hints={"seconds_per_message": MESSAGE_S, "lead_time_s": 60})}),
    ],
)
def test_launch_when_waiting_gains_nothing(per_minute, more):
    """It is ordered at once."""
    assert gathered(per_minute, 5, **more).want == 1


def test_window_when_a_unit_is_idle():
    """It goes a tick and a half after it was last needed: launched anew it costs less than for staying."""
    slow = a_fleet(target_wait_s=300, hints={"seconds_per_message": MESSAGE_S, "lead_time_s": 120})
    snapshot = seen(NINE, a_queue(NINE), a_group(NINE, 1))
    for per_minute, window_s in ((4, 15.0), (8, 30.0)):
        memory = changed(known(per_minute), to_service=Estimate(120.0, 8.0, NINE))
        assert assess_for(snapshot, snapshot.group, slow, memory, NINE).window_s == window_s


@pytest.mark.parametrize(("deviation", "waits"), [(2.0, True), (12.0, False)])
def test_launch_when_launches_vary(deviation, waits):
    """112.8 s less 30 waited, a launch of 60 s and a tick: it can wait if two deviations more fit in, not else."""
    memory = changed(known(4, waited_s=30), to_service=Estimate(60.0, 8.0, NINE, deviation))
    queue = a_queue(NINE, 1, oldest_s=30, per_minute=(4,) * 10)
    assert decide(seen(NINE, queue, a_group(NINE, 0)), FLEET, memory).want == (0 if waits else 1)


# ------------------------------------------------------------------------------------------------ a day of it


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cost_when_messages_are_few_all_day(seed, monkeypatch):
    """Two messages a minute by chance: for less than a unit that stays until it is clearly quiet; nobody is late."""

    def unit_seconds() -> float:
        rng = random.Random(seed)
        world = World(lambda _: float(rng.random() < 2 / 60), 1 / MESSAGE_S, bounds=(0, 20))
        world.live(FLEET, 6 * 3600)
        assert world.longest_wait_s() <= 120, f"seed {seed}"
        return world.unit_seconds

    leaving = unit_seconds()
    monkeypatch.setattr(assessment, "IDLE_SHARE", 0.0)
    staying = unit_seconds()
    assert leaving < 0.99 * staying, f"seed {seed}"


def test_case_when_it_is_idle_by_the_minute_and_not_by_what_is_usual():
    """A few quiet minutes of a fleet that is busy else: no reason to leave at each gap."""
    memory = known(8)
    quiet = History(60.0, NINE - 3600.0, (8.0,) * 57 + (0.0,) * 3)
    for history, idle in (
        (memory.arrivals.history, False),
        (quiet, False),
        (History(60.0, NINE - 3600.0, (4.0,) * 60), True),
    ):
        snapshot = seen(NINE, a_queue(NINE), a_group(NINE, 1))
        told = a_memory(rate=memory.service_rate.estimate, to_service=memory.launches.to_service, arrivals=history)
        assert assess_for(snapshot, snapshot.group, FLEET, told, NINE).waits.idle is idle


# ------------------------------------------------------------------------------------------- few, and never in time


@pytest.mark.parametrize(
    ("per_minute", "quiet_s", "target_s", "steady"),
    [
        (0.5, 30, 30, True),
        (10, 20, 30, True),
        (15, 20, 30, False),  # more than sixty in five minutes: each minute tells enough
    ],
)
def test_forecast_when_messages_are_few(per_minute, quiet_s, target_s, steady):
    """Where no launch is in time, units for few messages go by the last sixty, not by whether two came together."""
    fleet = a_fleet(target_wait_s=target_s)
    memory = known(per_minute, quiet_s)
    snapshot = seen(NINE, a_queue(NINE, per_minute=None), a_group(NINE, 1))
    arrivals = assess_for(snapshot, snapshot.group, fleet, memory, NINE).arrivals
    assert (arrivals.rate_per_s == usual(memory.arrivals.history)) is steady
    assert (arrivals.ahead_per_s == usual(memory.arrivals.history)) is steady


def test_forecast_when_messages_are_few_and_a_launch_can_wait():
    """What is expected is steadied, so that a unit does not stay for two that came together; nothing is foreseen."""
    memory = known(0.5, 30)
    snapshot = seen(NINE, a_queue(NINE, per_minute=None), a_group(NINE, 1))
    arrivals = assess_for(snapshot, snapshot.group, FLEET, memory, NINE).arrivals
    assert (arrivals.rate_per_s, arrivals.quiet_s) == (usual(memory.arrivals.history), 30.0)


def test_forecast_when_few_messages_become_many():
    """Beyond two standard deviations and one message, minutes are believed: 5 a minute where there was one in two."""
    history = History(60.0, NINE - 3720.0, (0.5,) * 57 + (5.0,) * 3)
    memory = changed(known(5), arrivals=history)
    snapshot = seen(NINE, a_queue(NINE, per_minute=None), a_group(NINE, 1))
    arrivals = assess_for(snapshot, snapshot.group, FLEET, memory, NINE).arrivals
    assert arrivals.rate_per_s > 4 * usual(memory.arrivals.history)


def test_forecast_when_few_messages_become_none():
    """Three times as long without one as they are apart: it is over, and minutes say so before three hours do."""
    for silent, steady in ((3, True), (9, False)):
        history = History(60.0, NINE - 3720.0, (0.5,) * (60 - silent) + (0.0,) * silent)
        memory = changed(known(0.01, quiet_s=600), arrivals=history)
        snapshot = seen(NINE, a_queue(NINE, per_minute=None), a_group(NINE, 1))
        arrivals = assess_for(snapshot, snapshot.group, a_fleet(target_wait_s=30), memory, NINE).arrivals
        assert (arrivals.rate_per_s == usual(memory.arrivals.history)) is steady


@pytest.mark.parametrize(
    ("counts", "per_minute"),
    [
        ((60.0,) * 30, 60),  # five minutes at least
        ((600.0,) + (60.0,) * 5, 60),
        ((100.0,) * 5 + (2.0,) * 30, 2),  # the last sixty messages
        ((100.0,) * 200 + (0.1,) * 180, 0.1),  # three hours at most
        ((400.0,) * 5 + (0.0,) * 59, 1),  # a batch an hour ago counts as sixty
        ((3.0,), 3),
        ((), 0),
    ],
)
def test_usual_when_it_took_long_or_not(counts, per_minute):
    """The mean over as long as sixty messages took to come."""
    assert usual(History(60.0, NINE, counts)) == pytest.approx(per_minute / 60)


@pytest.mark.parametrize(
    ("in_a_boot", "quantile"),
    [(25, MOST_ERRORS), (400, MOST_ERRORS), (10, 1.606), (3, 0.540), (2, 0.0), (1.2, -1.212), (0.5, -MOST_ERRORS)],
)
def test_quantile_when_a_spare_unit_would_serve_so_many(in_a_boot, quantile):
    """Of n messages in the time that a launch costs, it is worth having one for what happens once in n such times."""
    assert launch_cost.quantile(Forecast(in_a_boot / 190, 0.0, 0.0), 180.0, TIMING) == pytest.approx(quantile, abs=0.01)


@pytest.mark.slow
def test_launches_when_jobs_are_long_and_few():
    """A job of ten minutes every three, by chance, and a target that no launch meets: half a launch a job at most."""
    rng = random.Random(5)
    world = World(lambda _: float(rng.random() < 1 / 180), 1 / 600, boot_s=180.0, bounds=(0, 50))
    world.live(a_fleet(target_wait_s=60, hints={"seconds_per_message": 600, "lead_time_s": 180}), 12 * 3600)
    launches = sum(max(0, decision.want - decision.current) for decision in world.decisions)
    assert launches < 0.6 * len(world.waits)
