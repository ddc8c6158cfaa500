"""Deadlines and Supply by themselves: what units start in time, how much of it is chance, and what is missing."""

from dataclasses import replace

import pytest

from sluice.planning.deadlines import at_all, need
from sluice.planning.demand import DELAY_MAX_S, ahead, backlog, due_by
from sluice.planning.learning.significance import MOST, MOST_ERRORS
from sluice.planning.supply import Supply


def a_supply(working: float, *, message_s: float = 1.0, busy: float = 1.0, blind_s: float = 70.0) -> Supply:
    """Units that work on one message at once."""
    return Supply(working, 1.0, busy, 1.0 / message_s, 10.0, blind_s=blind_s)


def test_supply_when_many_short_messages_are_due():
    """Four units of one a second, 100 s: 400 on average, less 1.75 sqrt(4 x 70 / 2) = 20.7."""
    assert a_supply(4).by_working(100.0) == pytest.approx(400 - MOST * 140**0.5)


def test_chance_when_messages_are_short_or_long():
    """A hundred short messages are counted on nearly whole, three long ones hardly at all."""
    short = a_supply(3, message_s=1.0).by_working(60.0) / 180.0
    long = a_supply(3, message_s=60.0).by_working(60.0) / 3.0
    assert short > 0.9
    assert long < 0.3


def test_chance_when_it_can_still_be_mended():
    """Only as far ahead as no launch could help: later disappointments are seen in time."""
    near, far = a_supply(4, blind_s=70.0), a_supply(4, blind_s=1000.0)
    assert near.by_working(60.0) == far.by_working(60.0)
    assert near.by_working(600.0) == pytest.approx(2400 - MOST * 140**0.5)
    assert far.by_working(600.0) == pytest.approx(2400 - MOST * 1200**0.5)


@pytest.mark.parametrize("t", [1.0, 60.0, 112.8, 600.0])
def test_free_places_when_units_are_idle(t):
    """A free place starts its message at once: no chance is in that, however long the messages take."""
    assert a_supply(2, message_s=600.0, busy=0.0).by_working(t) >= 2.0 - 1e-9


def test_launched_units_when_they_have_just_come():
    """A launch takes as many messages as it has places the moment it is useful, and none before.

    Then it starts one whenever it has completed one, and half a message a place is on top of what it completes.
    """
    supply = Supply(0.0, 5.0, 0.0, 0.1, 10.0, ((60.0, 2.0),))
    assert [supply.started(t) for t in (59.0, 60.0, 61.0, 110.0, 160.0)] == [0.0, 0.0, 10.0, 15.0, 25.0]
    surely = replace(supply, at_hand=0.0)
    assert [surely.started(t) for t in (59.0, 60.0, 61.0, 110.0, 160.0)] == [0.0, 0.0, 10.0, 10.0, 20.0]


def test_launched_units_when_chance_may_take_what_they_complete():
    """Forty start 3.5 x 40 messages of 30 s in 90 s, less 1.75 sqrt(40 x 3 / 2); one starts the three it completes."""
    forty = Supply(0.0, 1.0, 0.0, 1 / 30.0, 10.0, ((10.0, 40.0),), 200.0)
    assert forty.started(100.0) == pytest.approx(140.0 - MOST * 60.0**0.5)
    assert replace(forty, launches=((10.0, 1.0),)).started(100.0) == pytest.approx(3.0)
    in_two = replace(forty, launches=((10.0, 20.0), (10.0, 20.0)))
    assert in_two.started(100.0) == pytest.approx(forty.started(100.0))  # chance evens out over all


@pytest.mark.parametrize("messages", [0.0, 1.0, 3.0, 40.0, 1000.0])
@pytest.mark.parametrize("t", [5.0, 30.0, 90.0, 600.0])
def test_launched_units_when_they_are_solved_for(messages, t):
    """So many launches start so many messages."""
    supply = Supply(0.0, 1.0, 0.0, 1 / 30.0, 10.0, blind_s=200.0)
    launches = ((10.0, supply.launched_for(messages, t)),)
    assert replace(supply, launches=launches).started(10.0 + t) == pytest.approx(messages)


def test_backlog_when_it_came_over_some_minutes():
    """A queue gives the oldest first: what waits is what came last, due one planned wait after it came."""
    knots = backlog(150.0, [(60.0, 100.0), (120.0, 100.0)], 1000.0, 100.0)
    assert knots == [(100.0 - 90.0, 0.0), (100.0 - 60.0, 50.0), (100.0, 150.0)]
    assert due_by(knots, 25.0) == pytest.approx(50.0 * 15 / 30)


def test_ahead_when_a_launch_takes_longer_than_the_wait():
    """What only this order can serve, 180 + 10 - 60 s of it, is asked for with 2.19 mean errors more; no more is."""
    knots = ahead([(60.0, 0.0)], 2.0, 0.5, 0.0, wait_s=60.0, lead_s=180.0, only_now_s=130.0)
    assert knots[1] == (60.0 + 130.0, pytest.approx(260 + MOST_ERRORS * 0.5 * 130))
    assert knots[-1] == (60.0 + 240.0, pytest.approx(480 + MOST_ERRORS * 0.5 * 130))


@pytest.mark.parametrize(("quantile", "messages"), [(0.0, 260.0), (-1.0, 195.0), (-8.0, 0.0)])
def test_ahead_when_less_than_the_mean_is_worth_a_unit(quantile, messages):
    """What only this order can serve is asked for at the quantile that is given, and never at less than nothing."""
    knots = ahead([(60.0, 0.0)], 2.0, 0.5, 0.0, wait_s=60.0, lead_s=180.0, only_now_s=130.0, errors=quantile)
    assert knots[1] == (60.0 + 130.0, pytest.approx(messages))


def test_ahead_when_a_launch_can_wait():
    """Where later orders can serve it, the mean is enough; delayed messages come at some moment of 15 minutes."""
    knots = ahead([(120.0, 0.0)], 2.0, 0.5, 90.0, wait_s=120.0, lead_s=60.0, only_now_s=0.0)
    assert knots[-1] == (300.0, pytest.approx(2.0 * 180 + 90.0 * 180 / DELAY_MAX_S))


def test_need_when_a_launch_under_way_is_not_wanted_any_more():
    """Five in service are enough for 100 messages in 100 s, whatever else was launched."""
    supply = Supply(5.0, 1.0, 0.0, 1.0, 10.0, ((30.0, 20.0),), 70.0)
    assert need([(100.0, 100.0)], supply, 60.0, 100.0) < 5
    assert need([(100.0, 0.0)], supply, 60.0, 100.0) == 0


def test_need_when_nothing_could_be_in_time():
    """What is late whatever is decided is worked off within the time for that: 300 in 100 s are three units."""
    assert need([(-50.0, 300.0)], a_supply(0), 60.0, 100.0) == 3
    assert at_all([(-50.0, 300.0)], a_supply(0, blind_s=0.0), 100.0) == pytest.approx(3.0)
