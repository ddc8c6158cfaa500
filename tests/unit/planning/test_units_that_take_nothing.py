"""Units that take no message: why is not known, and no more than they are may be what can be at work.

The figures in the docstrings are of the planner before it told the two apart.
"""

import pytest

from sluice.model.decisions import ReasonCode
from sluice.model.frozen import replace
from sluice.model.planning import Estimate, QueueSample
from sluice.model.usage import Enough
from sluice.planning.learning.at_work import share_at_work
from sluice.planning.learning.throughput import learn_in_flight
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.worlds.catalogue import WORLDS
from tests.support.planner_steps import a_memory
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen

LONG_S, MESSAGE_S = 60.0, 10.0


def looks(*of_units: tuple[int, int]) -> tuple[QueueSample, ...]:
    """Ticks up to now with so many units in service, so many of them at work, and messages for all."""
    first_at = NINE - 10.0 * (len(of_units) - 1)
    return tuple(
        QueueSample(first_at + 10.0 * place, 50.0, float(busy), float(working), steady=True, arrived=0.0)
        for place, (working, busy) in enumerate(of_units)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed", "late_most"),
    [
        ("some-take-nothing", 6, 0.01),  # 61%: two of six at work by chance were taken for all that can be
        ("some-take-nothing", 9, 0.01),  # 63%
        ("some-take-nothing-of-one", 2, 0.03),  # 54%: beside the only one another was tried half an hour later
        ("some-take-nothing-of-one", 4, 0.03),  # 29%
    ],
)
def test_late_when_a_third_of_the_instances_takes_nothing(name, seed, late_most):
    """The shares beside the bounds were late, of four hours' messages."""
    world = WORLDS[name]
    run = simulate(world.trace(seed), make("sluice"), world.conditions_of(seed), world.behaviour)
    assert run.late_fraction <= late_most


def test_enough_when_units_that_keep_up_are_fewer_than_were_at_work():
    """What waits then is nothing that a unit can take: 2 units became 22 within ten minutes, again and again."""
    ghosts = tuple(replace(look, visible=20.0) for look in looks(*((6, 1),) * 9))
    found = Enough(3.0, NINE - 600.0, 13.0)
    assert learn_in_flight(found, ghosts, LONG_S, MESSAGE_S) == replace(found, at=NINE, more=6.0)
    grows = tuple(replace(look, visible=20.0 + place) for place, look in enumerate(ghosts))
    opened = learn_in_flight(found, grows, LONG_S, MESSAGE_S)
    assert opened is not None
    assert opened.is_open


def test_enough_when_more_units_were_at_work_minutes_ago():
    """Units that took messages have left: those that idle show nothing of how many more would take some."""
    idle = ((20, 2),) * 9
    found = learn_in_flight(None, looks(*idle), LONG_S, MESSAGE_S)
    assert found is not None
    assert (found.units, found.is_open) == (2.0, False)
    assert learn_in_flight(None, looks(*((24, 9),) * 3, *idle), LONG_S, MESSAGE_S) is None


def test_enough_when_it_is_sought_and_fewer_are_at_work_than_minutes_ago():
    """Nor does that close the question while it is open."""
    sought = Enough(3.0, NINE - 600.0, 13.0, is_open=True)
    assert learn_in_flight(sought, looks(*((24, 9),) * 3, *((24, 3),) * 9), LONG_S, MESSAGE_S) == sought


def test_scale_in_when_units_idle_and_others_launch():
    """A group takes those in service first: enough of them stay. All six were given away for three that launch."""
    queue = a_queue(NINE, 200, 2, oldest_s=100, per_minute=(15.0,) * 60, done_per_minute=(12.0,) * 60)
    known = a_memory(
        rate=Estimate(0.1, 100.0, NINE - 60),
        to_service=Estimate(60.0, 8.0, NINE - 60),
        enough=Enough(2.0, NINE - 60.0, 12.0),
    )
    decision = decide(seen(NINE, queue, a_group(NINE, 6, launching=(20.0,) * 6)), a_fleet(), known)
    assert ReasonCode.IDLE_UNITS in {reason.code for reason in decision.reasons}
    assert decision.want == 3 + 6


@pytest.mark.parametrize(
    ("of_units", "share"),
    [
        (((6, 4),) * 9, 4 / 6),
        (((6, 6),) * 9, 1.0),
        (((6, 5),) * 9, 1.0),  # between two messages
        (((6, 4),) * 3, 1.0),  # they may still get ready
        (((12, 2),) * 9, 0.5),  # more units are not what is missing
        ((*((12, 8),) * 6, (12, 6), (12, 4), (12, 2)), 1.0),  # all of them may soon take none
        (((6, 0),) * 9, 1.0),
    ],
)
def test_share_of_units_that_take_messages(of_units, share):
    """As many of the units to come are counted on to take none."""
    assert share_at_work(looks(*of_units), LONG_S, MESSAGE_S) == pytest.approx(share)
