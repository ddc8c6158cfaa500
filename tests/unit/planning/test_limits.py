"""Each limit of plan_for() by itself, its reason, and the order in which limits apply."""

from dataclasses import replace

import pytest

from sluice.model.decisions import Action, Decision, Reason, ReasonCode
from sluice.model.observed import Lifecycle, Series
from sluice.model.planning import Estimate, ExpectedBatch, History, Memory, QueueSample
from sluice.planning import limits
from sluice.planning.limits import LIMITS
from tests.support.planner_steps import a_memory, assess_for, changed, learn_from, plan_for, remember_need
from tests.support.planner_world import World, a_fleet, a_group, a_queue, clock, decide, seen, watched

NOW = clock("14:00")
CALM = watched(NOW, (500.0, 0))  # a memory in which little was ever needed


def reason(decision: Decision, code: ReasonCode) -> Reason:
    """The reason of that code; fails if the decision has none."""
    found = [each for each in decision.reasons if each.code is code]
    assert found, f"no {code} in {[str(each.code) for each in decision.reasons]}"
    return found[0]


def burst(working: int = 0, **group):
    """420 messages that just came: eight are needed from nothing, and six where two are in service.

    Planned are 112.8 s, so a launch works for 52.8: 420 / 52.8 = 7.95. Two in service do
    225.6 - 1.75 sqrt(2 x 35) = 211.0 almost surely; the other 209.0 / 52.8 = 3.96.
    """
    return seen(NOW, a_queue(NOW, 420, working, oldest_s=0), a_group(NOW, working, **group))


def idle(working: int = 6, **group):
    """Nothing to do, and nothing for a while."""
    return seen(NOW, a_queue(NOW), a_group(NOW, working, **group))


def test_limits_when_listed():
    """They stand in the order of ReasonCode, which is the order of the design."""
    order = list(ReasonCode)
    codes = [code for code, _ in LIMITS]
    assert codes == sorted(codes, key=order.index)
    no_limits = {ReasonCode.NEED, ReasonCode.NO_GROUP, ReasonCode.VISIBILITY_SHORT, ReasonCode.HIDDEN_LONG}
    assert set(order) - set(codes) == no_limits


def test_reasons_when_several_limits_bind():
    """Each reason starts where the one before it ended, from the raw need to the want."""
    decision = decide(burst(bounds=(0, 3)), a_fleet(limits={"max_step": 5}))
    assert [(str(r.code), r.before, r.after) for r in decision.reasons] == [
        ("need", 0, 8),
        ("step", 8, 5),
        ("group-max", 5, 3),
    ]
    assert decision.raw_need == 8
    assert "8 are needed to start every message within 120 s" in decision.sentence


# ------------------------------------------------------------------------------------------------ stale signals

LIVE = ["visible", "in_flight", "delayed"]


@pytest.mark.parametrize("missing", LIVE)
def test_scale_in_when_a_live_figure_is_missing(missing):
    """A figure that could not be read holds an idle fleet where it is."""
    snapshot = idle()
    blind = replace(snapshot, queue=replace(snapshot.queue, **{missing: None}))
    decision = decide(blind, a_fleet(), CALM)
    assert decision.want == 6
    assert "unknown" in reason(decision, ReasonCode.STALE).sentence


@pytest.mark.parametrize(("age_s", "want"), [(0, 0), (179, 0), (181, 6)])
def test_scale_in_when_the_queue_was_read_some_time_ago(age_s, want):
    """Figures older than stale_after_s (180 s) hold."""
    snapshot = seen(NOW, a_queue(NOW, age_s=age_s), a_group(NOW, 6))
    assert decide(snapshot, a_fleet(), CALM).want == want


def test_scale_in_when_the_groups_state_is_old():
    """So does the group's own state."""
    decision = decide(seen(NOW, a_queue(NOW), a_group(NOW, 6, age_s=200)), a_fleet(), CALM)
    assert decision.want == 6
    assert "the group's state is 3 min old (limit 3 min)" in reason(decision, ReasonCode.STALE).sentence


def test_scale_in_when_arrivals_are_unknown_and_work_is_left():
    """With work left, arrivals must be known to scale in; an unused queue without metrics may go to zero."""
    working = seen(NOW, a_queue(NOW, 0, 2, per_minute=None), a_group(NOW, 6))
    assert decide(working, a_fleet(), CALM).want == 6
    unused = seen(NOW, a_queue(NOW, per_minute=None), a_group(NOW, 6))
    assert decide(unused, a_fleet(), CALM).want == 0


def test_scale_in_when_metrics_cannot_be_read():
    """A side call that fails for hours blinds nobody: what ticks saw arrive is enough to scale in, work left or not."""
    world = World(lambda t: 5.0 if t < 1200 else 0.5, 1.0, 60.0, metric_lag_s=1e9)
    world.live(a_fleet(target_wait_s=180), 2400.0)
    assert max(decision.want for decision in world.decisions) >= 5
    assert world.decisions[-1].want == 1
    assert world.longest_wait_s() <= 180.0


def test_scale_out_when_only_the_backlog_is_fresh():
    """Scaling out on a fresh backlog is allowed, whatever else is missing."""
    snapshot = seen(NOW, a_queue(NOW, 420, None, None, per_minute=None), a_group(NOW, 1))
    decision = decide(snapshot, a_fleet())
    assert decision.action is Action.SCALE_OUT


def test_scale_out_when_the_backlog_is_unknown_or_old():
    """Without a backlog nothing is decided, and the reason says so."""
    unknown = decide(seen(NOW, a_queue(NOW, None, 2), a_group(NOW, 2)), a_fleet())
    assert (unknown.want, unknown.raw_need) == (2, 2)
    assert reason(unknown, ReasonCode.STALE).sentence.startswith("no change: the count of messages waiting is unknown")
    old = decide(seen(NOW, a_queue(NOW, 5000, age_s=900), a_group(NOW, 2)), a_fleet())
    assert old.want == 2


# ------------------------------------------------------------------------------------------------ pause and guards


def test_paused_fleet_when_much_waits():
    """Paused holds, and no later limit says anything."""
    decision = decide(burst(2, bounds=(5, 100)), a_fleet(mode="paused"))
    assert decision.want == 2
    assert decision.reasons[-1].code is ReasonCode.PAUSED


def test_scale_out_when_the_downstream_cap_is_reached():
    """Messages a second are capped by capacity: 3.5 a second at 1 a second each is three instances."""
    decision = decide(burst(), a_fleet(limits={"max_messages_per_s": 3.5}))
    assert decision.want == 3
    assert (reason(decision, ReasonCode.DOWNSTREAM).before, reason(decision, ReasonCode.DOWNSTREAM).after) == (8, 3)


def test_downstream_cap_when_one_instance_is_already_too_fast():
    """One instance is always allowed: less would stop the queue for good."""
    assert decide(burst(), a_fleet(limits={"max_messages_per_s": 0.1})).want == 1


@pytest.mark.parametrize(("veto", "want"), [(True, 2), (False, 6), (None, 2)])
def test_scale_out_when_the_veto_alarm_is_on(veto, want):
    """The downstream alarm forbids scaling out while it is on or cannot be read; one that is off does not."""
    snapshot = replace(burst(2), veto=veto)
    decision = decide(snapshot, a_fleet(limits={"veto_alarm": "db-cpu"}))
    assert decision.want == want
    if veto is not False:
        state = "the alarm db-cpu is on" if veto else "whether the alarm db-cpu is on could not be read"
        assert reason(decision, ReasonCode.DOWNSTREAM).sentence == f"not scaling out: {state}"


def test_scale_in_when_the_veto_alarm_cannot_be_read():
    """It forbids only growth."""
    assert decide(idle(), a_fleet(limits={"veto_alarm": "db-cpu"}), CALM).want == 0


def test_downstream_cap_when_the_fleet_is_above_it_and_much_waits():
    """A cap comes before the floors of the backlog: it scales in a fleet that is too large for what comes after."""
    decision = decide(burst(8), a_fleet(limits={"max_messages_per_s": 3}), watched(NOW, (5.0, 8)))
    assert decision.want == 3


# ------------------------------------------------------------------------------------------------ budget


@pytest.mark.parametrize(
    ("spent_h", "want"),
    [(0.0, 8), (17.0, 7), (21.0, 3), (23.9, 0)],
)
def test_scale_out_when_the_days_budget_runs_out(spent_h, want):
    """What is left of 24 instance-hours must last for an hour."""
    day = NOW - NOW % 86_400
    memory = a_memory(day_at=day, spent_s=spent_h * 3600)
    decision = decide(burst(), a_fleet(limits={"instance_hours_per_day": 24}), memory)
    assert decision.want == want


def test_budget_when_it_is_of_yesterday():
    """A new UTC day has a new budget."""
    memory = a_memory(day_at=NOW - NOW % 86_400 - 86_400, spent_s=24 * 3600)
    assert decide(burst(), a_fleet(limits={"instance_hours_per_day": 24}), memory).want == 8


def test_budget_when_signals_are_stale():
    """A spent budget does not scale a fleet in about which something is unknown."""
    memory = changed(CALM, day_at=NOW - NOW % 86_400, spent_s=24 * 3600)
    snapshot = seen(NOW, a_queue(NOW, 420, None), a_group(NOW, 4))
    assert decide(snapshot, a_fleet(limits={"instance_hours_per_day": 24}), memory).want == 4


# ------------------------------------------------------------------------------------------------ steps and launches


def test_change_when_the_largest_step_is_smaller():
    """A step bounds both directions."""
    fleet = a_fleet(limits={"max_step": 2})
    assert decide(burst(1), fleet).want == 3
    assert decide(idle(6), fleet, CALM).want == 4


DRY = "We currently do not have sufficient c5.large capacity in the Availability Zone you requested (eu-central-1a)."


@pytest.mark.parametrize(
    ("ages_s", "want"),
    [
        ((10.0,), 6),
        ((10.0, 20.0, 30.0), 6),
        ((1.0, 10.0, 20.0, 30.0), 3),
        ((5.0, 9.0, 20.0, 4e3), 6),
        ((5e2, 6e2, 9e2, 17e2), 3),
    ],
)
def test_scale_out_when_launches_failed_in_a_row(ages_s, want):
    """One that fails now and then is chance; after four in a row within half an hour one at a time is tried."""
    decision = decide(burst(2, failures=tuple((age_s, DRY) for age_s in ages_s)), a_fleet())
    assert decision.want == want
    if want == 3:
        sentence = reason(decision, ReasonCode.LAUNCH_FAILED).sentence
        assert sentence.startswith(
            "asking for one instance more than is in service until a launch succeeds: the last 4"
        )
        assert DRY in sentence


@pytest.mark.parametrize(("launched_s", "want"), [(20.0, 6), (3000.0, 3), (None, 3)])
def test_scale_out_when_one_zone_has_no_capacity(launched_s, want):
    """Five launches failed in one zone, and others came into service since: launching works."""
    snapshot = burst(2, failures=tuple((55.0 + 5.0 * age, DRY) for age in range(5)))
    launched_at = None if launched_s is None else NOW - launched_s
    came = tuple(replace(each, launched_at=launched_at) for each in snapshot.group.instances)
    assert decide(replace(snapshot, group=replace(snapshot.group, instances=came)), a_fleet()).want == want


@pytest.mark.parametrize(("first_s", "want"), [(50.0, 5), (70.0, 3)])
def test_scale_out_when_refusals_come_sooner_than_successes(first_s, want):
    """Three launches are under way, and others were refused at once: these three are not given up in a lead time."""
    failures = tuple((age_s, DRY) for age_s in (5.0, 9.0, 20.0, first_s))
    group = a_group(NOW, 2, desired=9, launching=(40.0, 40.0, 40.0), failures=failures)
    decision = decide(replace(burst(2), group=group), a_fleet())
    assert decision.want == want
    assert "the last 4 launches failed" in reason(decision, ReasonCode.LAUNCH_FAILED).sentence


def test_scale_out_when_a_launch_came_that_auto_scaling_did_not_time():
    """What ticks saw come into service after the failures counts as well."""
    failures = tuple((age_s, DRY) for age_s in (30.0, 40.0, 50.0, 60.0))
    snapshot = burst(2, failures=failures)
    assert decide(snapshot, a_fleet(), a_memory(came_at=NOW - 20.0)).want == 6
    assert decide(snapshot, a_fleet(), a_memory(came_at=NOW - 55.0)).want == 6, "three in a row are chance"
    assert decide(snapshot, a_fleet(), a_memory(came_at=NOW - 70.0)).want == 3


def test_desired_when_launches_never_came():
    """What was asked for and never came is no capacity to keep: of 59 three are there, and two work."""
    fleet = a_fleet(target_wait_s=300, hints={"seconds_per_message": 30, "lead_time_s": 60})
    for failures in ((50.0,), (20.0, 30.0, 40.0, 50.0)):
        group = a_group(NOW, 3, desired=59, failures=tuple((age_s, DRY) for age_s in failures))
        queue = a_queue(NOW, 0, 2, per_minute=(4.0,) * 10)
        assert decide(seen(NOW, queue, group), fleet, CALM).want == (2 if len(failures) == 1 else 3)
        waiting = decide(seen(NOW, a_queue(NOW, 1, 2, per_minute=(4.0,) * 10), group), fleet, CALM)
        assert waiting.want <= 4


def test_scale_in_when_capacity_is_scarce():
    """What is hard to get is not given back while there is work, and is when there is none."""
    failures = tuple((age_s, "no capacity") for age_s in (10.0, 20.0, 30.0, 40.0))
    some = seen(NOW, a_queue(NOW, 0, 1), a_group(NOW, 6, failures=failures))
    assert decide(some, a_fleet(), CALM).want == 6
    assert decide(idle(6, failures=failures), a_fleet(), CALM).want == 0


def test_launch_under_way_when_it_is_overdue():
    """A launch that should be there is not counted on at once, and not for ever: more are asked for in time."""
    fresh = decide(burst(launching=(30.0,) * 5), a_fleet()).raw_need
    overdue = decide(burst(launching=(110.0,) * 5), a_fleet()).raw_need
    assert fresh < overdue <= 10


def test_instances_when_they_are_draining_or_unhealthy():
    """Neither drains nor sick instances are counted on: what replaces them has yet to launch."""
    healthy = decide(burst(4), a_fleet()).raw_need
    draining = decide(burst(0, draining=4), a_fleet()).raw_need
    snapshot = burst(4)
    sick = tuple(replace(i, healthy=False) for i in snapshot.group.instances)
    sick_need = decide(replace(snapshot, group=replace(snapshot.group, instances=sick)), a_fleet()).raw_need
    assert healthy < draining
    assert healthy < sick_need


# ------------------------------------------------------------------------------------------------ scaling in


def test_scale_in_when_more_was_needed_within_the_window():
    """Scaling in goes to the highest need of the window, not to the last: of a quarter of the lead time, if patient."""
    memory = watched(NOW, (20.0, 6), (12.0, 4), (5.0, 2))
    decision = decide(idle(), a_fleet(), memory)
    assert decision.want == 4
    assert reason(decision, ReasonCode.STABILIZATION_WINDOW).sentence == (
        "4 instances were needed within the stabilization window of 15 s"
    )


def test_scale_in_when_a_mistake_could_not_be_mended_in_time():
    """Where 75.2 s are planned and a launch takes 60, the window is half of a lead time."""
    memory = watched(NOW, (60.0, 6), (26.0, 4), (20.0, 2))
    decision = decide(idle(), a_fleet(target_wait_s=80), memory)
    assert decision.want == 4
    assert reason(decision, ReasonCode.STABILIZATION_WINDOW).sentence == (
        "4 instances were needed within the stabilization window of 30 s"
    )


@pytest.mark.parametrize(("per_tick", "window_s"), [(80.0 / 6.0, 30.0), (10.0 / 6.0, 15.0), (160.0 / 6.0, 30.0)])
def test_window_when_less_is_expected(per_tick, window_s):
    """After two minutes of a fall it is half as long: what was needed before is no guide."""
    samples = tuple(QueueSample(NOW - 130.0 + 10.0 * tick, 0.0, 0.0, 9.0, True, per_tick) for tick in range(14))
    history = History(60.0, NOW - 3730.0, (80.0,) * 60)
    memory = a_memory(arrivals=history, samples=samples)
    snapshot = idle(9)
    assert assess_for(snapshot, snapshot.group, a_fleet(target_wait_s=80), memory, NOW).window_s == window_s


def test_scale_in_when_a_window_is_configured():
    """The fleet's own window counts, where it has one."""
    memory = watched(NOW, (70.0, 6), (50.0, 4))
    assert decide(idle(), a_fleet(limits={"stabilization_window_s": 90}), memory).want == 6
    assert decide(idle(), a_fleet(limits={"stabilization_window_s": 0}), memory).want == 0


@pytest.mark.parametrize(("over_s", "want"), [(10.0, 0), (-10.0, 6), (400.0, 6)])
def test_scale_in_when_the_need_was_of_an_expected_batch(over_s, want):
    """No more like it follow: what was needed for it does not count once it is over; other needs do."""
    batch = ExpectedBatch(NOW - over_s - 60.0, NOW - over_s, (400.0,) * 8)
    memory = changed(watched(NOW, (12.0, 6)), batches=(batch,))
    assert plan_for(idle(), a_fleet(), memory, NOW).want == want
    assert plan_for(idle(), a_fleet(limits={"stabilization_window_s": 15}), memory, NOW).want == 6


def test_scale_in_when_the_window_was_not_watched_whole():
    """A gap in the ticks starts the window anew: what was needed meanwhile is unknown."""
    short = watched(NOW, (12.0, 0), since_s=12.0)  # of 15 s, nine tenths suffice
    assert decide(idle(), a_fleet(), short).want == 6
    gap = changed(watched(NOW, (400.0, 0)), needs_until=NOW - 400.0)
    decision = decide(idle(), a_fleet(), gap)
    assert decision.want == 6
    sentence = reason(decision, ReasonCode.STABILIZATION_WINDOW).sentence
    assert "the need is known for 0 s of the stabilization window's 15 s" in sentence


@pytest.mark.parametrize(
    ("target_wait_s", "want", "code", "sentence"),
    [
        (
            120,
            3,
            ReasonCode.BUSY_CAPACITY,
            "keeping 3 instances: there is work for so many, 4 messages in flight, 3.8 messages a second expected",
        ),
        (80, 4, ReasonCode.SCALE_IN_FLOOR, "keeping 4 instances: so much may be busy before a new launch could help"),
    ],
)
def test_scale_in_when_arrivals_are_steady(target_wait_s, want, code, sentence):
    """230 a minute are 3.83 a second: three are always busy. Where a fourth would come too late again, it stays."""
    queue = a_queue(NOW, 0, 4, per_minute=(230.0,) * 15)
    decision = decide(seen(NOW, queue, a_group(NOW, 6)), a_fleet(target_wait_s=target_wait_s), CALM)
    assert decision.want == want
    assert decision.raw_need <= want
    assert reason(decision, code).sentence == sentence


def test_scale_in_when_what_may_come_takes_long():
    """Three a minute of ten minutes would keep 30 busy one day; in three minutes they add a quarter of what is missing.

    1 - exp(-180 / 600) is 0.26: of 2 busy and the 30 that may be, 9.3.
    """
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": 600, "lead_time_s": 180})
    snapshot = seen(NOW, a_queue(NOW, 0, 2, per_minute=(3.0,) * 15), a_group(NOW, 20))
    memory = learn_from(CALM, snapshot, fleet, NOW)
    assert limits._may_be_busy(assess_for(snapshot, snapshot.group, fleet, memory, NOW)) == pytest.approx(
        9.26, abs=0.01
    )


@pytest.mark.parametrize(("working", "waiting", "want"), [(1, 1, 2), (1, 0, 1), (3, 1, 2)])
def test_scale_in_when_only_a_launch_would_be_left(working, waiting, want):
    """A group takes who is in service before who is launched: one that works stays until the other has come."""
    fleet = a_fleet(hints={"seconds_per_message": 5, "lead_time_s": 60})
    group = a_group(NOW, working, launching=(50.0,), desired=working + 1)
    decision = decide(seen(NOW, a_queue(NOW, waiting, 1, oldest_s=0), group), fleet, CALM)
    assert decision.want == want
    held = [each.sentence for each in decision.reasons if "the next launch is not in service yet" in each.sentence]
    assert bool(held) is (waiting > 0)


def test_scale_in_when_long_messages_are_in_flight():
    """Work costs the same whoever does it: five who work on messages of 100 s stay, an idle sixth goes."""
    fleet = a_fleet(target_wait_s=600, hints={"seconds_per_message": 100, "lead_time_s": 60})
    decision = decide(seen(NOW, a_queue(NOW, 0, 5), a_group(NOW, 6)), fleet, CALM)
    assert (decision.want, reason(decision, ReasonCode.BUSY_CAPACITY).sentence) == (
        5,
        "keeping 5 instances: there is work for so many, 5 messages in flight",
    )
    assert decide(seen(NOW, a_queue(NOW, 0, 1), a_group(NOW, 6)), fleet, CALM).want == 1
    assert decide(seen(NOW, a_queue(NOW, 0, 0), a_group(NOW, 6)), fleet, CALM).want == 0


def test_sentence_when_units_take_none_of_the_messages_that_wait():
    """Units that received nothing for an hour are not called busy: the sentence says what there is to do."""
    fleet = a_fleet(target_wait_s=600, hints={"seconds_per_message": 100, "lead_time_s": 60})
    queue = a_queue(NOW, 4, 0, oldest_s=30, per_minute=(0.0,) * 15)
    nothing = Series(60.0, tuple((NOW - 3720.0 + 60.0 * minute, 0.0) for minute in range(60)))
    decision = decide(seen(NOW, replace(queue, received=nothing), a_group(NOW, 6)), fleet, CALM)
    sentence = reason(decision, ReasonCode.BUSY_CAPACITY).sentence
    assert (decision.want, sentence) == (3, "keeping 3 instances: there is work for so many, 4 messages waiting")


# Half of the group's maximum, but no less than 50 and no more than 200; or twice as many as have begun.
GUESSED = [(0, 1000, 200), (3, 1000, 200), (120, 1000, 240), (0, 300, 150), (0, 60, 50), (40, 100, 80)]


@pytest.mark.parametrize(("working", "maximum", "most"), GUESSED)
def test_scale_out_when_nothing_is_known_to_have_been_completed(working, maximum, most):
    """Without a hint and without a completion a guess is not multiplied, and leaves half of the maximum unused."""
    unhinted = a_fleet(hints={"lead_time_s": 60})
    queue = a_queue(NOW, 50_000, working, oldest_s=0)
    decision = decide(seen(NOW, queue, a_group(NOW, working, bounds=(0, maximum))), unhinted)
    assert decision.raw_need > most
    assert decision.want == most
    assert reason(decision, ReasonCode.COLD_START).after == most


def test_sentence_when_the_maximum_cuts_what_a_start_asks_for():
    """More than is needed is explained by what asks for it, and then by the limit that cuts it."""
    unhinted = a_fleet(hints={"lead_time_s": 120}, target_wait_s=120)
    decision = decide(seen(NOW, a_queue(NOW, 492, 0, oldest_s=10), a_group(NOW, 0, bounds=(0, 40))), unhinted)
    assert decision.raw_need < decision.want == 40
    assert decision.sentence.endswith(
        " No message is known to have been completed yet: starting with 50 instances. The group's maximum size is 40."
    )


def test_scale_out_when_what_was_ordered_has_not_begun():
    """The planner's own last order is no evidence: 200 that launch are followed by none until they have begun."""
    unhinted = a_fleet(hints={"lead_time_s": 60})
    launching = a_group(NOW, 0, launching=(30.0,) * 200, desired=200, bounds=(0, 1000))
    assert decide(seen(NOW, a_queue(NOW, 50_000, 0, oldest_s=0), launching), unhinted).want == 200
    begun = a_group(NOW, 150, launching=(30.0,) * 50, desired=200, bounds=(0, 1000))
    assert decide(seen(NOW, a_queue(NOW, 50_000, 150, oldest_s=0), begun), unhinted).want == 300


# A launch may come within half of the 120 s that are guessed: 290 - 60 s are left, 4.8 messages of a minute each.
TRIED = [(1, 0, 1), (7, 0, 7), (40, 0, 10), (480, 0, 100), (5000, 0, 200), (40, 10, 20), (5, 10, 15)]


@pytest.mark.parametrize(("waiting", "working", "tried"), TRIED)
def test_scale_out_when_messages_wait_for_consumers_of_unknown_speed(waiting, working, tried):
    """A unit for each message, up to ten or twice what is at work, at once: a deadline leaves no time to find out.

    Of more, so many that messages of a minute are started in time, up to 200.
    """
    queue = a_queue(NOW, waiting, working, oldest_s=0)
    group = a_group(NOW, working, bounds=(0, 1000))
    decision = decide(seen(NOW, queue, group), a_fleet(target_wait_s=300, hints={}))
    assert decision.raw_need < tried or decision.raw_need == tried == 1
    assert decision.want == tried
    hinted = decide(seen(NOW, queue, group), a_fleet(target_wait_s=300))
    assert hinted.want == max(hinted.raw_need, working)


def test_scale_out_when_a_target_cannot_be_met_with_consumers_of_unknown_speed():
    """Where no launch comes in time, what waits is late whatever is tried: ten at most."""
    queue = a_queue(NOW, 50, 0, oldest_s=0)
    assert decide(seen(NOW, queue, a_group(NOW)), a_fleet(target_wait_s=60, hints={"lead_time_s": 180})).want == 10
    assert decide(seen(NOW, queue, a_group(NOW)), a_fleet(target_wait_s=120, hints={"lead_time_s": 180})).want > 10


def test_scale_in_when_messages_wait_for_consumers_of_unknown_speed():
    """Who was launched to be tried with stays while messages wait, whatever a guess makes of the need."""
    fleet = a_fleet(target_wait_s=300, hints={})
    waits = decide(seen(NOW, a_queue(NOW, 200, 90, oldest_s=30), a_group(NOW, 90, bounds=(0, 90))), fleet, CALM)
    done = decide(seen(NOW, a_queue(NOW, 0, 5), a_group(NOW, 90)), fleet, CALM)
    assert waits.raw_need < 10
    assert (waits.want, waits.action) == (90, Action.HOLD)
    assert done.want < 90


def test_scale_out_when_a_hint_or_a_completion_is_there():
    """An operator's hint, or one message seen to be completed, lifts that limit."""
    snapshot = seen(NOW, a_queue(NOW, 20_000, 0, oldest_s=0), a_group(NOW, bounds=(0, 1000)))
    assert 350 < decide(snapshot, a_fleet()).want < 400  # 20000 / 52.8 = 379
    unhinted = a_fleet(hints={"lead_time_s": 60})
    nearly = a_memory(rate=Estimate(1.0, 0.9, NOW - 60))
    proven = a_memory(rate=Estimate(1.0, 1.0, NOW - 60))
    assert decide(snapshot, unhinted, nearly).want == 200
    assert decide(snapshot, unhinted, proven).want > 350


def test_scale_in_when_a_single_spike_is_over():
    """A spike that is over keeps nobody."""
    queue = a_queue(NOW, 0, 1, per_minute=(6.0,) * 3 + (3000.0,) + (6.0,) * 6)
    decision = decide(seen(NOW, queue, a_group(NOW, 6)), a_fleet(), CALM)
    assert decision.want <= 2


def test_scale_in_when_the_tail_is_nearly_done():
    """A rest that is done before a relaunch is repaid is finished at full strength."""
    queue = a_queue(NOW, 120, 6, oldest_s=40, per_minute=(0.0,) * 9 + (120.0,))
    decision = decide(seen(NOW, queue, a_group(NOW, 6)), a_fleet(), CALM)
    assert decision.raw_need < 6
    assert decision.want == 6
    assert reason(decision, ReasonCode.BUSY_CAPACITY).after == 6


@pytest.mark.parametrize(("target_wait_s", "lead_s", "by_forecast"), [(30, 5, 1), (20, 5, 4), (30, 15, 4)])
def test_scale_in_when_target_and_launches_are_both_short(target_wait_s, lead_s, by_forecast):
    """A target of 30 s over launches of 5 s leaves 23 s to see a message in, which are two ticks: nothing is foreseen.

    A shorter target or a longer launch leaves no such time, and what the forecast may ask for, four a second, stays.
    """
    fleet = a_fleet(target_wait_s=target_wait_s, hints={"seconds_per_message": 1, "lead_time_s": lead_s})
    decision = decide(seen(NOW, a_queue(NOW, 0, 1, per_minute=(240.0,) * 10), a_group(NOW, 9)), fleet, CALM)
    assert reason(decision, ReasonCode.SCALE_IN_FLOOR).after == by_forecast


def test_scale_in_when_busy_instances_are_protected():
    """What may not leave is not asked to: of six of which four are protected, two go."""
    snapshot = idle()
    held = tuple(replace(each, protected=index < 4) for index, each in enumerate(snapshot.group.instances))
    decision = decide(replace(snapshot, group=replace(snapshot.group, instances=held)), a_fleet(), CALM)
    assert (decision.want, reason(decision, ReasonCode.PROTECTED).after) == (4, 4)
    assert "4 instances are protected" in decision.sentence


def protected_idle(held=6, in_flight=0, *, protects_new=False, received=None):
    """Six in service of which some are protected, with so many messages in flight."""
    snapshot = seen(NOW, replace(a_queue(NOW, 0, in_flight), received=received), a_group(NOW, 6))
    instances = tuple(replace(each, protected=index < held) for index, each in enumerate(snapshot.group.instances))
    return replace(snapshot, group=replace(snapshot.group, instances=instances, protects_new=protects_new))


ZEROS = Series(60.0, tuple((NOW - 1800.0 + 60.0 * minute, 0.0) for minute in range(28)))


@pytest.mark.parametrize(
    ("snapshot", "held", "words"),
    [
        (protected_idle(received=ZEROS), 6, "not by work: 0 messages are in flight. Lift their protection to scale in"),
        (
            protected_idle(1, protects_new=True),
            1,
            "by group orders itself. Turn off its NewInstancesProtectedFromScale",
        ),
    ],
)
def test_scale_in_when_the_group_protects_idle_instances(snapshot, held, words):
    """Protection that no work explains is told as that, by name, with how to lift it."""
    decision = decide(snapshot, a_fleet(), CALM)
    assert decision.want == held
    assert words in reason(decision, ReasonCode.GROUP_PROTECTED).sentence


@pytest.mark.parametrize(
    "snapshot",
    [
        protected_idle(2, 2, received=ZEROS),  # each may hold a message
        protected_idle(2, 0),  # one look: they may just have finished
        protected_idle(2, 0, received=replace(ZEROS, points=(*ZEROS.points[:-1], (NOW - 180.0, 3.0)))),
    ],
)
def test_scale_in_when_work_may_protect_instances(snapshot):
    """As many messages in flight, now or at a look before, explain the protection."""
    assert reason(decide(snapshot, a_fleet(), CALM), ReasonCode.PROTECTED)


@pytest.mark.parametrize(("before", "code"), [(0.0, ReasonCode.GROUP_PROTECTED), (2.0, ReasonCode.PROTECTED)])
def test_scale_in_when_protected_instances_were_looked_at_before(before, code):
    """Two held a message within the last lead time, or nobody did."""
    samples = tuple(QueueSample(NOW - ago_s, 0.0, before, 6.0, True, 0.0) for ago_s in (80.0, 60.0, 40.0, 20.0))
    memory = changed(CALM, samples=samples, learned_at=NOW - 20.0)
    assert reason(decide(protected_idle(2), a_fleet(), memory), code)


# ------------------------------------------------------------------------------------------------ the group's own word


def test_bounds_when_they_are_the_groups_own():
    """The group's minimum and maximum have the last word over the backlog."""
    assert decide(burst(bounds=(0, 4)), a_fleet()).want == 4
    low = decide(idle(3, bounds=(2, 9)), a_fleet(), CALM)
    assert low.want == 2
    assert reason(low, ReasonCode.GROUP_MIN).after == 2


def test_wake_when_the_groups_maximum_is_zero():
    """A group that may have no instance is not woken, and the decision says why."""
    decision = decide(burst(bounds=(0, 0)), a_fleet())
    assert (decision.want, decision.action) == (0, Action.HOLD)
    assert "maximum size is 0" in decision.sentence


def test_scale_out_when_launch_is_suspended():
    """What the group cannot do is not asked for; the decision says what to resume."""
    decision = decide(burst(1, suspended=("Launch",)), a_fleet())
    assert decision.want == 1
    assert "Launch process is suspended" in decision.sentence


def test_scale_in_when_terminate_is_suspended():
    """The same for Terminate; other processes do not matter."""
    assert decide(idle(suspended=("Terminate",)), a_fleet(), CALM).want == 6
    assert decide(idle(suspended=("AZRebalance", "Launch")), a_fleet(), CALM).want == 0


# ------------------------------------------------------------------------------------------------ remembering


def test_needs_when_they_are_remembered():
    """A need is kept until a later one is as high; a repeated decision is not kept twice."""
    memory = Memory()
    for seconds, waiting in ((0, 420), (10, 200), (20, 60), (30, 210)):
        at = NOW + seconds
        decision = decide(seen(at, a_queue(at, waiting, oldest_s=0), a_group(at)), a_fleet(), memory)
        memory = remember_need(memory, decision)
        assert remember_need(memory, decision) == memory
    assert [needed for _, needed in memory.needs.needs] == [8, 4]  # 420 / 52.8 and 210 / 52.8
    assert (memory.needs.since, memory.needs.until) == (NOW, NOW + 30)


def test_memory_when_the_group_was_not_there():
    """A decision without a group teaches nothing."""
    decision = plan_for(seen(NOW, a_queue(NOW), None), a_fleet(), CALM, NOW)
    assert remember_need(CALM, decision) is CALM


def test_weights_when_instances_count_for_several_units():
    """A weighted instance counts for its units of capacity."""
    snapshot = burst(2)
    heavy = tuple(replace(i, weight=4.0) for i in snapshot.group.instances)
    group = replace(snapshot.group, instances=heavy, desired=8)
    assert sum(i.weight for i in heavy if i.state is Lifecycle.IN_SERVICE) == 8
    assert decide(replace(snapshot, group=group), a_fleet(), watched(NOW, (5.0, 8))).raw_need <= 8
