"""The filter of counts: a surprise goes to the figure that is known least, and a burst is seen at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.model.planning import QueueSample
from sluice.planning.learning.count_filter import begin, messages_known, step
from sluice.planning.learning.significance import KNOWN_WELL

STEADY = (3.0, 0.05, 0.0)  # three messages a second, as well known as ten minutes of them make it


def followed(counts, units, rate, arriving, tick_s=10.0):
    """What is known after so many counts of messages waiting, with so many units at work at each."""
    samples = [
        QueueSample(at * tick_s, float(count), float(busy), float(busy), True, 0.0)
        for at, (count, busy) in enumerate(zip(counts, units, strict=True))
    ]
    state = begin(samples[0], rate, arriving)
    for before, after in pairwise(samples):
        state = step(state, before, after, 1, 60.0)
    return state


@pytest.mark.parametrize("true_per_s", [0.25, 1.0, 2.5])
@pytest.mark.parametrize("guess_per_s", [0.5, 1.0, 8.0])
def test_rate_when_it_is_a_guess_and_arrivals_are_steady(true_per_s, guess_per_s):
    """Counts that rise by three a second without a unit, and by less with some, tell the rate within two minutes."""
    units = [0] * 6 + [2] * 13
    counts = [0.0]
    for before, after in pairwise(units):
        counts.append(counts[-1] + 10.0 * (3.0 - true_per_s * (before + after) / 2) + before - after)
    lowest = max(0.0, -min(counts)) + 100.0
    state = followed([count + lowest for count in counts], units, (guess_per_s, 1.0), (3.0, 0.5, 0.0))
    assert state.per_s == pytest.approx(true_per_s, rel=0.25)
    assert messages_known(state) > 1.0


def test_rate_when_a_burst_is_gone_between_two_looks():
    """Units that emptied the queue are idle when the next tick looks, and worked all the same until it was empty."""
    before, after = QueueSample(0.0, 300.0, 30.0, 30.0, True, 0.0), QueueSample(10.0, 0.0, 0.0, 30.0, True, 0.0)
    state = step(begin(before, (4.0, 1.0), (0.0, 0.0, 0.0)), before, after, 1, 60.0)
    assert state.per_s == pytest.approx(1.0, rel=0.25)


def test_arrivals_when_a_burst_meets_a_known_rate():
    """Five hundred more within a tick are arrivals at once: no unit that stops completing could hide so many."""
    state = followed([0, 0, 0, 500], [2] * 4, (0.5, 60.0), (1.0, 0.01, 0.0))
    assert state.arriving_per_s > 25.0
    assert state.per_s == pytest.approx(0.5, rel=0.1)


def test_rate_when_units_slow_down_and_arrivals_are_steady():
    """Of a rate that is less well known than the arrivals, a count that rises says that it fell."""
    state = followed([100 + 20 * at for at in range(13)], [6] * 13, (0.5, 20.0), STEADY)
    assert state.per_s < 0.35
    assert state.arriving_per_s == pytest.approx(3.0, rel=0.4)


def test_rate_when_counts_teach_it_nothing():
    """After an outage the rate stays as it was, whatever counts do."""
    state = followed([100 + 30 * at for at in range(13)], [6] * 13, (0.5, float("inf")), STEADY)
    assert state.per_s == 0.5


@given(
    counts=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 50)), min_size=2, max_size=30),
    per_s=st.floats(0.001, 100.0),
    messages=st.floats(0.5, 1000.0),
    arriving=st.floats(0.0, 100.0),
)
def test_state_when_counts_are_any(counts, per_s, messages, arriving):
    """Rate and arrivals stay possible, no variance is below zero, and what is known is bounded: messages change."""
    state = followed([c for c, _ in counts], [u for _, u in counts], (per_s, messages), (arriving, arriving, 0.0))
    assert state.per_s > 0.0
    assert state.arriving_per_s >= 0.0
    assert state.there >= 0.0
    assert state.there_var >= -1e-6 * (1.0 + state.there**2)
    assert state.arriving_var >= -1e-6 * (1.0 + state.arriving_per_s**2)
    assert 0.0 < messages_known(state) <= 1.01 * KNOWN_WELL
