"""plan_for() by tables that read like a day: what the queue asks for, from an empty morning to a late backlog."""

from dataclasses import replace

import pytest

from sluice.model.decisions import Action, Decision, ReasonCode
from sluice.model.observed import Mode
from sluice.model.planning import Memory
from tests.support.planner_steps import learn_from, plan_for, remember_need
from tests.support.planner_world import a_fleet, a_group, a_queue, clock, decide, seen, watched


def codes(decision: Decision) -> list[ReasonCode]:
    """The reasons that changed the wish."""
    return [reason.code for reason in decision.reasons if reason.before != reason.after]


# At, waiting, in flight, oldest, in service, launching (ages) -> want.
# Target 120 s, less a guard of 6%: 112.8 planned, and
# a launch (60 s) works for 52.8 s before what came just now is due. One message a second and unit. Units in service are
# counted on with 1.75 deviations less: n of them complete 112.8 n - 1.75 sqrt(n (60 + 10) / 2) within the planned wait.
A_DAY = [
    ("08:00", 0, 0, None, 0, (), 0),  # nobody is up
    ("08:10", 1, 0, 0, 0, (), 1),  # the first order wakes it
    ("08:10:10", 1, 0, 10, 0, (10,), 1),  # its launch is under way: no second one
    ("08:12", 0, 1, None, 1, (), 1),  # it works on it
    ("09:00", 30, 1, 30, 1, (), 1),  # thirty seconds of work, and seventy to do it in
    ("09:10", 420, 0, 0, 0, (), 8),  # all of it just came: 420 / 52.8 = 7.95
    ("09:20", 420, 4, 0, 4, (), 4),  # four do 451.2 on average, and 430.5 almost surely
    ("09:25", 440, 4, 0, 4, (), 5),  # that is not enough for 440: one more helps with the rest
    ("09:30", 440, 4, 0, 4, (50,), 5),  # and is under way already
    ("12:00", 5000, 10, 40, 10, (), 84),  # ten do 1095.2 almost surely; the rest, 3904.8 / 52.8 = 73.95, needs launches
    ("12:10", 9000, 10, 40, 10, (), 100),  # the group's maximum
]


@pytest.mark.parametrize("moment", A_DAY)
def test_capacity_when_a_day_goes_by(moment):
    """Each moment of the day gets the least capacity that meets its deadlines."""
    at, waiting, in_flight, oldest, working, launching, want = moment
    now = clock(at)
    queue = a_queue(now, waiting, in_flight, oldest_s=oldest)
    decision = decide(seen(now, queue, a_group(now, working, launching=launching)), a_fleet())
    assert decision.want == want, decision.sentence


def test_need_when_deadlines_are_the_same_but_target_wait_grows():
    """A longer target wait never needs more, and in the end one instance is enough.

    600 messages over what is left once launched: 84.6 - 60, 112.8 - 60, and, with a guard of a tick at most, 290 - 60,
    890 - 60 and 3590 - 60.
    """
    now = clock("09:00")
    needs = []
    for target_wait_s in (90, 120, 300, 900, 3600):
        queue = a_queue(now, 600, oldest_s=0)
        needs.append(decide(seen(now, queue, a_group(now)), a_fleet(target_wait_s=target_wait_s)).raw_need)
    assert needs == [25, 12, 3, 1, 1]


def test_need_when_the_target_is_hardly_above_the_lead_time():
    """The guard makes no lost cause of it: what can still be met is asked for, within what a tick can do."""
    now = clock("09:00")
    queue = a_queue(now, 600, oldest_s=0)
    assert 37 < decide(seen(now, queue, a_group(now)), a_fleet(target_wait_s=70)).raw_need <= 100


def test_need_when_the_backlog_is_late_already():
    """What is late is worked off within the planned wait, and twice as fast with catch_up 2.

    1020 / 112.8 = 9.04 and 1020 / 56.4 = 18.09.
    """
    now = clock("09:00")
    snapshot = seen(now, a_queue(now, 1020, oldest_s=4000, per_minute=(0,) * 80), a_group(now))
    assert decide(snapshot, a_fleet()).raw_need == 10
    assert decide(snapshot, a_fleet(limits={"catch_up": 2})).raw_need == 19


def test_need_when_messages_came_evenly_over_the_last_minutes():
    """Ages spread over the backlog: what came first is due first, and a steady stream needs its own rate."""
    now = clock("09:10")
    queue = a_queue(now, 300, 3, oldest_s=100, per_minute=(180.0,) * 10)
    decision = decide(seen(now, queue, a_group(now, 3)), a_fleet())
    assert decision.raw_need in {3, 4}


def test_new_capacity_when_work_is_due_before_it_could_help():
    """Messages due before a launch helps ask for no instances that could only come too late for them."""
    now = clock("09:00")
    fleet = a_fleet(hints={"seconds_per_message": 1, "lead_time_s": 100})
    due_soon = decide(seen(now, a_queue(now, 95, 5, oldest_s=80, per_minute=(0,) * 8), a_group(now, 5)), fleet)
    assert due_soon.raw_need <= 5
    assert due_soon.action is Action.HOLD


def test_launches_when_they_are_not_needed_after_all():
    """A launch under way that the work does not need is not counted as a need."""
    now = clock("09:00")
    queue = a_queue(now, 130, 1, oldest_s=5)
    needed = decide(seen(now, queue, a_group(now, 1, launching=(40.0,) * 9)), a_fleet())
    assert 2 <= needed.raw_need <= 4


def test_need_when_one_unit_works_on_many_messages_at_once():
    """Free places start messages at once, and messages longer than the target wait need a place each."""
    now = clock("09:00")
    fleet = a_fleet(hints={"seconds_per_message": 600, "concurrency": 5, "lead_time_s": 60})
    assert decide(seen(now, a_queue(now, 10, 0, oldest_s=1), a_group(now, 2)), fleet).raw_need == 2
    assert decide(seen(now, a_queue(now, 11, 0, oldest_s=1), a_group(now, 0)), fleet).raw_need == 3
    assert decide(seen(now, a_queue(now, 10, 10, oldest_s=1), a_group(now, 2)), fleet).raw_need > 2


def test_in_flight_messages_when_the_group_is_at_zero():
    """Messages in flight with nobody in service, such as an operator's look at the queue, wake nothing."""
    now = clock("09:00")
    assert decide(seen(now, a_queue(now, 0, 3), a_group(now)), a_fleet()).want == 0


def test_forecast_when_a_launch_takes_longer_than_the_target_wait():
    """Arrivals that only this order can serve are asked for at a quantile: a wrong forecast asks for more."""
    now = clock("10:00")
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": 10, "lead_time_s": 180})
    steady, wild = Memory(), Memory()
    for minute in range(60):
        at = clock("09:00") + 60.0 * minute + 5.0
        for_steady = a_queue(at, 0, 10, per_minute=(60.0,) * 15)
        for_wild = a_queue(
            at, 0, 10, per_minute=tuple(20.0 if (minute - i) // 3 % 2 else 100.0 for i in range(15, 0, -1))
        )
        steady = learn_from(steady, seen(at, for_steady, a_group(at, 10)), fleet, at)
        wild = learn_from(wild, seen(at, for_wild, a_group(at, 10)), fleet, at)
    snapshot = seen(now, a_queue(now, 0, 10, per_minute=(60.0,) * 15), a_group(now, 10))
    calm = plan_for(snapshot, fleet, learn_from(steady, snapshot, fleet, now), now)
    careful = plan_for(snapshot, fleet, learn_from(wild, snapshot, fleet, now), now)
    assert careful.raw_need > calm.raw_need


# at, waiting, in flight, delayed, in service, needs of (s ago, n) -> want
GOING_HOME = [
    ("17:00", 0, 3, 0, 3, ((10, 3),), 3),  # three were needed within the window: a quarter of 60 s
    ("17:01", 0, 3, 0, 3, ((20, 3), (16, 0)), 1),  # no longer: three messages of a second each keep nobody busy
    ("17:02", 0, 1, 0, 3, ((90, 3), (20, 0)), 1),  # no longer; one message is in flight
    ("17:03", 0, 0, 2, 3, ((90, 3), (20, 0)), 1),  # two are delayed
    ("17:04", 0, 0, 0, 3, ((90, 3), (20, 0)), 0),  # all is done
]


@pytest.mark.parametrize("moment", GOING_HOME)
def test_capacity_when_traffic_ends(moment):
    """The fleet goes down with the needs of the window, keeps one while anything is undone, and ends at zero."""
    at, waiting, in_flight, delayed, working, needs, want = moment
    now = clock(at)
    queue = a_queue(now, waiting, in_flight, delayed, per_minute=(0.0,) * 10)
    decision = decide(seen(now, queue, a_group(now, working)), a_fleet(), watched(now, *needs))
    assert decision.want == want, decision.sentence


def test_scale_in_when_the_planner_has_only_just_begun_to_watch():
    """The first tick never scales in: nothing is known of the window before it. Once the window was watched, it may.

    The window is a quarter of the lead time, 15 s, of which nine tenths suffice: two ticks.
    """
    now = clock("09:00")
    fleet, memory = a_fleet(), Memory()
    wants = []
    for tick in range(8):
        at = now + 10.0 * tick
        snapshot = seen(at, a_queue(at), a_group(at, 4))
        memory = learn_from(memory, snapshot, fleet, at)
        decision = plan_for(snapshot, fleet, memory, at)
        memory = remember_need(memory, decision)
        wants.append(decision.want)
    assert wants == [4, 4, 0, 0, 0, 0, 0, 0]


def test_decision_when_it_is_read_by_a_person():
    """One sentence says what is done, for how much work, how fast, and how soon.

    Two do 2 x 1.901 x 112.8 - 1.75 sqrt(2 x 1.901 x 70 / 2) = 408.7; the other 331.3 need 331.3 / (1.901 x 52.8) = 3.3.
    """
    now = clock("09:00")
    queue = a_queue(now, 740, 2, oldest_s=41, per_minute=(0,) * 6 + (500, 240))
    fleet = a_fleet(hints={"seconds_per_message": 0.526, "lead_time_s": 60})
    decision = decide(seen(now, queue, a_group(now, 2)), fleet)
    assert decision.sentence == (
        "Scaling out from 2 to 6: 740 messages are waiting, the oldest for 41 s. Each instance completes 1.9 messages"
        " a second and a new one takes 60 s to start, so 6 are needed to start every message within 120 s."
    )


def test_figures_when_some_are_measured_some_hinted_and_some_missing():
    """Every figure comes with its age and where it came from."""
    now = clock("09:00")
    queue = replace(a_queue(now, 5, None, 0, oldest_s=7, age_s=3), delayed=None)
    figures = {f.name: f for f in decide(seen(now, queue, a_group(now, 1)), a_fleet()).figures}
    assert (figures["visible"].value, figures["visible"].age_s, figures["visible"].source) == (5, 3, "queue")
    assert (figures["in_flight"].value, figures["in_flight"].source) == (None, "missing")
    assert (figures["oldest_age_s"].value, figures["oldest_age_s"].source) == (7, "metric")
    assert (figures["service_rate_per_s"].source, figures["service_rate_per_s"].age_s) == ("hint", None)
    assert (figures["lead_time_s"].value, figures["lead_time_s"].source) == (60, "hint")
    assert figures["target_wait_s"].source == "configured"
    assert figures["arrivals_per_s"].age_s == 60
    assert (figures["forecast_per_s"].source, figures["forecast_per_s"].age_s) == ("level", 60)


def test_decision_when_nothing_random_goes_in():
    """A decision's id is made of the fleet and the moment, so that a repeated record overwrites itself."""
    now = clock("09:00")
    snapshot = seen(now, a_queue(now, 5), a_group(now, 1))
    assert decide(snapshot, a_fleet()) == decide(snapshot, a_fleet())
    assert decide(snapshot, a_fleet()).id == "orders-1795510800000"


def test_decision_when_the_group_cannot_be_read():
    """Without its group a fleet is held, with the reason as AWS gave it."""
    now = clock("09:00")
    decision = decide(seen(now, a_queue(now, 5), None, problems=("group orders does not exist",)), a_fleet())
    assert (decision.action, decision.reasons[0].code) == (Action.HOLD, ReasonCode.NO_GROUP)
    assert "group orders does not exist" in decision.sentence


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.ACT])
def test_decision_when_a_fleet_is_in_shadow_mode(mode):
    """Shadow mode decides exactly what acting would: only the adapter differs."""
    now = clock("09:00")
    decision = decide(seen(now, a_queue(now, 420, oldest_s=0), a_group(now)), a_fleet(mode=mode))
    assert (decision.want, decision.mode, codes(decision)) == (8, mode, [ReasonCode.NEED])  # 420 / 52.8
