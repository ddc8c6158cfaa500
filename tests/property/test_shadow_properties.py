"""What holds for shadow mode's other fleet whatever comes: nothing is lost, nothing counts twice, all is bounded."""

from dataclasses import replace
from itertools import pairwise
from math import isclose

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.aws.ledger.forms import Form
from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY
from sluice.model.shadow import Shadow, ShadowFleet
from sluice.planning.shadow.arrivals import arrivals
from sluice.planning.shadow.scorecard import DAYS_KEPT, HOURS_KEPT, SHARES, TallyBuilder, score
from sluice.planning.shadow.simulated_fleet import (
    BATCHES_MOST,
    LEAVING_MOST,
    FleetSpeed,
    SimulatedFleet,
    WaitingMessages,
)
from tests.support.planner_steps import learn_from, plan_for, remember_need, replay_for
from tests.support.planner_world import NINE, World, a_fleet

loop = settings(derandomize=True, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
anything = settings(derandomize=True, max_examples=60)

steps = st.lists(st.tuples(st.floats(0.5, 120.0), st.floats(0.0, 5_000.0), st.integers(0, 60)), min_size=1, max_size=25)


@anything
@given(steps, st.floats(0.005, 50.0), st.integers(1, 20), st.floats(0.0, 400.0), st.none() | st.floats(0.0, 100.0))
def test_counterfactual_when_anything_comes_and_any_capacity_is_wanted_loses_nothing(
    moves, rate_per_s, places, lead_s, leave_s
):
    """Messages in are those started and those waiting; units there and on their way are what is desired."""
    fleet = SimulatedFleet(ShadowFleet(0, 0.0), FleetSpeed(rate_per_s, float(places), lead_s, leave_s))
    tally, now, came = TallyBuilder(120.0), NINE, 0.0
    for seconds, messages, want in moves:
        fleet.order(now, want, tally)
        fleet.advance(now, now + seconds, messages, tally)
        now, came = now + seconds, came + messages
        up = fleet.working(now)
        assert isclose(came, sum(tally.waits) + fleet.queue.count, rel_tol=1e-6, abs_tol=1e-3)
        assert -1e-6 <= fleet.in_flight <= up * places + 1e-6
        assert isclose(fleet.paid(now) - want, sum(u for g, u, _ in fleet.to_record().leaving if g > now), abs_tol=0.1)
        assert fleet.to_record().desired == want
    kept = fleet.to_record()
    assert len(kept.waiting) <= BATCHES_MOST
    assert len(kept.leaving) <= LEAVING_MOST
    assert isclose(sum(piece[2] for piece in kept.waiting), fleet.queue.count, abs_tol=0.1)
    assert tally.unit_s >= 0.0


@anything
@given(st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.01, 900.0)), max_size=60))
def test_line_when_it_is_kept_and_taken_has_every_message_once(adds):
    """However many pieces are drawn together, their messages and the time that they span stay."""
    line, at = WaitingMessages(), NINE
    for seconds, messages in adds:
        line.add(at, at + seconds, messages)
        at += seconds
    kept = WaitingMessages(line.to_record())
    assert isclose(kept.count, line.count, abs_tol=0.05)
    tally = TallyBuilder(60.0)
    kept.take(kept.count, at, at, tally)
    assert isclose(sum(tally.waits), line.count, abs_tol=0.05)
    assert kept.oldest_at is None


class Shadowed(World):
    """The small world, in which somebody holds a capacity and the shadow looks on."""

    def look(self, fleet, desired=None):
        """One tick in shadow mode; what it made of it. Without a held capacity, Sluice's own is set."""
        before, snapshot = self.memory, self.snapshot()
        memory = learn_from(before, snapshot, fleet, self.now)
        decision = plan_for(snapshot, fleet, memory, self.now)
        memory = remember_need(memory, decision)
        followed = replay_for(before, memory, snapshot, fleet, self.now)
        self.memory = replace(memory, shadow=followed.shadow)
        again = replay_for(before, self.memory, snapshot, fleet, self.now)
        assert again.shadow == followed.shadow  # a repeated tick changes nothing
        assert again.settled is None
        self.set_desired(decision.want if desired is None else desired)
        return followed

    def watch(self, fleet, seconds, desired=None):
        """Go on for so long, with a look every ten seconds; the looks."""
        looks = []
        until = self.t + seconds
        while self.t < until:
            if self.t % 10.0 == 0.0:
                looks.append(self.look(fleet, desired))
            self.step()
        return looks


@pytest.mark.slow
@loop
@given(st.integers(0, 12), st.integers(0, 10), st.integers(60, 900), st.integers(2, 9))
def test_follow_when_somebody_holds_any_capacity_scores_what_came(desired, quiet_per_s, period_s, burst_per_s):
    """Both sides have the messages that came, all settled spans add up, the record is bounded and comes back whole."""
    fleet = a_fleet(mode="shadow")
    world = Shadowed(lambda t: burst_per_s if t % period_s < 40 else quiet_per_s / 10)
    looks = world.watch(fleet, 1500.0, desired)
    shadow = world.memory.shadow
    came = sum(look.settled.came for look in looks if look.settled)
    scored = score(shadow)
    assert scored is not None
    assert scored.restarted is None
    assert isclose(scored.came, came, abs_tol=0.5)
    assert isclose(scored.shadow.messages, came, rel_tol=1e-3, abs_tol=1.0)
    assert isclose(scored.acting.messages, came, rel_tol=1e-3, abs_tol=1.0)
    assert isclose(sum(span.seconds for span in shadow.score.hours), shadow.at - NINE, abs_tol=0.1)
    assert shadow.at >= world.now - 370.0
    assert len(shadow.ticks) <= 61
    assert len(shadow.score.hours) <= HOURS_KEPT
    assert len(shadow.score.days) <= DAYS_KEPT
    assert all(len(span.shadow.waits) <= len(SHARES) + 1 for span in shadow.score.hours)
    text = MEMORY.to_text(world.memory)
    assert read_memory(text) == world.memory
    assert len(Form(Shadow, "the shadow").to_text(shadow)) < 12_000


@pytest.mark.slow
@loop
@given(st.integers(1, 12), st.integers(120, 900))
def test_follow_when_sluice_itself_acts_has_the_same_figures(burst_per_s, period_s):
    """On bursts the two part by ticks and whole messages, and the other's launches are billed a minute at least."""
    fleet = a_fleet(mode="shadow")
    world = Shadowed(lambda t: burst_per_s if t % period_s < 60 else 0.5)
    world.watch(fleet, 1800.0)
    scored = score(world.memory.shadow)
    assert scored is not None
    assert isclose(scored.shadow.late_fraction, scored.acting.late_fraction, abs_tol=0.02)
    assert isclose(scored.shadow.unit_hours, scored.acting.unit_hours, rel_tol=0.2, abs_tol=0.1)
    assert isclose(scored.shadow.longest_s, scored.acting.longest_s, abs_tol=40.0)


@pytest.mark.slow
def test_follow_when_sluice_itself_acts_on_a_constant_load_is_the_same():
    """Nothing parts them: hours within six hundredths, the longest wait within a tick and a half."""
    world = Shadowed(lambda t: 4.0)
    world.watch(a_fleet(mode="shadow"), 3600.0)
    scored = score(world.memory.shadow)
    assert scored is not None
    assert scored.shadow.late_fraction == scored.acting.late_fraction == 0.0
    assert isclose(scored.shadow.unit_hours, scored.acting.unit_hours, rel_tol=0.06)
    assert isclose(scored.shadow.longest_s, scored.acting.longest_s, abs_tol=15.0)
    assert world.memory.shadow.fleet.desired == world.desired


def test_arrivals_when_metrics_are_there_are_what_they_say():
    """A period's count is spread as ticks saw it come; the sum over whole periods is the metric's."""
    fleet = a_fleet(mode="shadow")
    world = Shadowed(lambda t: 5.0 if t % 100 < 20 else 0.2)
    world.watch(fleet, 900.0, 3)
    history = world.memory.arrivals.history
    since = history.end_at - 240.0
    came = arrivals(world.memory.as_queue(), since, history.end_at)
    assert isclose(sum(each[2] for each in came), sum(history.counts[-4:]), abs_tol=1e-6)
    assert came[0][0] == since
    assert came[-1][1] == history.end_at
    assert all(one[1] == other[0] for one, other in pairwise(came))


def test_follow_when_ticks_were_missed_begins_anew_and_keeps_the_score():
    """After a gap the fleet is the real one again, what was scored stays, and it says so."""
    fleet = a_fleet(mode="shadow")
    world = Shadowed(lambda t: 4.0)
    world.watch(fleet, 1200.0, 1)
    before = score(world.memory.shadow)
    for _ in range(300):
        world.step()
    followed = world.look(fleet, 1)
    assert followed.began
    assert followed.shadow.restarted == (world.now, 310.0)
    assert followed.shadow.fleet.desired == 1
    assert isclose(sum(p[2] for p in followed.shadow.fleet.waiting), world.waiting, abs_tol=0.5)
    after = score(followed.shadow)
    assert before is not None
    assert after is not None
    assert after.seconds > before.seconds
    assert after.acting.late_fraction > 0.5
    assert after.acting.messages >= before.acting.messages


def test_follow_when_the_target_changes_scores_from_the_beginning():
    """Shares of another target wait mean nothing: the score begins anew."""
    world = Shadowed(lambda t: 1.0)
    world.watch(a_fleet(mode="shadow"), 900.0, 2)
    assert score(world.memory.shadow) is not None
    followed = world.look(a_fleet(mode="shadow", target_wait_s=300), 2)
    assert followed.began
    assert followed.shadow.score.hours == ()
    assert score(followed.shadow) is None


def test_memory_when_it_is_of_before_shadow_scores_is_read():
    """A record without the field is valid."""
    assert read_memory('{"learned_at": 5.0}').shadow == Shadow()
