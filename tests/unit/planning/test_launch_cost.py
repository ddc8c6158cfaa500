"""The break-even between a unit that is there before it is needed and one that is launched when it is."""

from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.model.planning import Forecast
from sluice.planning.launch_cost import break_even, worth_staying
from sluice.planning.learning.significance import GAPS, LIKELY, MOST, MOST_ERRORS, RISK
from tests.support.planner_steps import TIMING

SECONDS = st.floats(0.01, 1e6)


@pytest.mark.parametrize(
    ("gain_s", "loss_s", "chance"),
    [
        (60.0, 60.0, 0.5),
        (180.0, 20.0, 0.1),  # a launch of 200 s is saved for 20 s of waiting
        (20.0, 180.0, 0.9),
        (60.0, 0.0, 0.0),  # what costs nothing is worth it at any chance
        (0.0, 60.0, 1.0),  # what gains nothing is never worth more than it costs
        (-10.0, 60.0, 1.0),
    ],
)
def test_break_even_when_it_is_worked_out(gain_s, loss_s, chance):
    """The loss as a share of what is at stake."""
    assert break_even(gain_s, loss_s) == pytest.approx(chance)


@given(SECONDS, SECONDS)
def test_break_even_when_a_unit_is_used_as_often(gain_s, loss_s):
    """At that chance the gain and the loss are equal, so that having the unit costs what not having it costs."""
    chance = break_even(gain_s, loss_s)
    assert chance * gain_s == pytest.approx((1.0 - chance) * loss_s)
    assert break_even(2.0 * gain_s, loss_s) < chance < break_even(gain_s, 2.0 * loss_s)


def test_risk_when_it_is_told_in_other_units():
    """One case in 25: to either side, above the mean in deviations and in mean errors, and as a gap by chance."""
    normal = NormalDist()
    assert 2.0 * (1.0 - normal.cdf(LIKELY)) == pytest.approx(RISK)
    assert 1.0 - normal.cdf(MOST) == pytest.approx(RISK)
    assert pytest.approx(2.1942, abs=0.0001) == MOST_ERRORS
    assert pytest.approx(3.2189, abs=0.0001) == GAPS


@pytest.mark.parametrize(
    ("apart_s", "quiet_s", "stays"),
    [
        (5.0, 60.0, True),  # a launch of 60 s costs 70 with the tick until it is ordered
        (5.0, 70.0, False),  # so long without one that they are not as frequent as before
        (35.0, 30.0, True),
        (35.0, 40.0, False),
        (80.0, 0.0, False),  # a launch for each costs less
    ],
)
def test_stay_when_messages_are_so_far_apart(apart_s, quiet_s, stays):
    """A unit stays while the mean gap and the present one together are shorter than what a launch costs."""
    assert worth_staying(Forecast(1.0 / apart_s, 0.0, 0.0, quiet_s=quiet_s), 60.0, TIMING) is stays


@given(st.floats(0.0, 10.0), st.floats(0.0, 3600.0), st.floats(1.0, 900.0))
def test_stay_when_more_messages_come_or_none_for_longer(per_s, quiet_s, lead_s):
    """More messages never let a unit go, and neither does one that came later; without any it goes."""
    stays = worth_staying(Forecast(per_s, 0.0, 0.0, quiet_s=quiet_s), lead_s, TIMING)
    assert worth_staying(Forecast(per_s, 0.0, 0.0, quiet_s=quiet_s / 2.0), lead_s, TIMING) >= stays
    assert worth_staying(Forecast(per_s, 0.0, 0.0, quiet_s=quiet_s), 2.0 * lead_s, TIMING) >= stays
    assert worth_staying(Forecast(2.0 * per_s, 0.0, 0.0, quiet_s=quiet_s), lead_s, TIMING) >= stays
    assert not worth_staying(Forecast(0.0, 0.0, 0.0, quiet_s=quiet_s), lead_s, TIMING)
