"""Evidence before belief: what units do shows whether more of them would help, and the fleet follows it.

Each world is one in which a count does not mean what it says. The figures in the docstrings are of the planner before
it asked for evidence.
"""

from dataclasses import replace
from itertools import count as count_from
from itertools import pairwise
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.model.decisions import Decision, ReasonCode
from sluice.model.observed import Series
from sluice.model.planning import Estimate, Memory
from sluice.model.usage import Enough, Throughput
from sluice.planning.learning.throughput import LEVELS_MOST, by_units_at_work, learn_completed, useful
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.worlds.catalogue import WORLDS
from tests.support.consumer_world import ConsumerWorld, Message
from tests.support.planner_steps import a_memory, rate_of
from tests.support.planner_world import NINE, World, a_fleet, a_group, a_queue, decide, seen

UNHINTED = a_fleet(hints={})
MEASURED = a_memory(rate=Estimate(0.1, 100.0, NINE - 3600), to_service=Estimate(60.0, 8.0, NINE - 3600))


def codes(decision: Decision) -> set[ReasonCode]:
    """The reasons of a decision."""
    return {reason.code for reason in decision.reasons}


def lived(world: ConsumerWorld, fleet, hours: float) -> ConsumerWorld:
    """The world after so many hours under the planner."""
    world.live(fleet, hours * 3600)
    return world


# ------------------------------------------------------------------------------------------------ idle units


@pytest.mark.parametrize("fleet", [a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60}), UNHINTED])
def test_cost_when_a_fifo_queue_has_two_groups(fleet):
    """Two units can work, whatever waits: no more than twice their cost (245 and 259 unit-hours for 6.0 of work)."""
    world = lived(ConsumerWorld(lambda _t: 0.25, service_s=10, groups=2, bounds=(0, 100)), fleet, 3)
    assert world.done > 2100
    assert world.unit_hours() <= 2.0 * world.done * 10 / 3600
    assert world.decisions[-1].want == 3
    assert rate_of(world.memory, fleet, world.now).value == pytest.approx(0.1, rel=0.1)


def test_decision_when_98_of_100_units_are_idle():
    """At a first look the metrics tell how many were at work: those and a probe stay, and the sentence says why."""
    fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
    queue = a_queue(NINE, 400, 2, oldest_s=1700, per_minute=(15.0,) * 60, done_per_minute=(12.0,) * 60)
    decision = decide(seen(NINE, queue, a_group(NINE, 100, bounds=(0, 500))), fleet, MEASURED)
    assert (decision.want, decision.current) == (3, 100)
    assert "98 instances of 100 take no message while 2 messages are in flight" in decision.sentence


def test_decision_when_as_many_are_in_flight_as_units():
    """Units that hold a message each are at work, and a backlog asks for more."""
    fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
    queue = a_queue(NINE, 4000, 100, oldest_s=1700, per_minute=(700.0,) * 60, done_per_minute=(600.0,) * 60)
    decision = decide(seen(NINE, queue, a_group(NINE, 100, bounds=(0, 500))), fleet, MEASURED)
    assert decision.want > 100


# what was known of enough units; units at work, units there; what is known then: (enough, open) or nothing
LOOKS = [
    (None, 2.0, 12.0, (2.0, False)),
    (None, 2.0, 10.0, (2.0, True)),  # so few may be at work if every second unit takes nothing: more are tried
    (None, 2.0, 6.0, (2.0, True)),
    (None, 2.0, 5.0, None),  # three idle ones beside two may be of those that take nothing
    (None, 6.0, 10.0, None),
    (None, 1.0, 4.0, (1.0, True)),
    (Enough(1.0, NINE - 60.0, 4.0, is_open=True), 1.0, 8.0, (1.0, False)),
    (None, 1.0, 3.0, None),  # two are few
    (Enough(2.0, NINE - 600.0, 10.0), 2.0, 3.0, (2.0, False)),  # one idle unit is enough to see it again
    (Enough(2.0, NINE - 600.0, 10.0), 3.0, 9.0, (3.0, True)),  # now three are at work, and more may be
    (Enough(4.0, NINE - 600.0, 13.0), 2.0, 5.0, (4.0, True)),  # five are not four at work: some take nothing
    (Enough(4.0, NINE - 600.0, 13.0, is_open=True), 1.0, 5.0, (4.0, True)),  # nor does one prove more then
    (Enough(4.0, NINE - 600.0, 13.0, is_open=True), 4.0, 12.0, (4.0, True)),
    (Enough(4.0, NINE - 600.0, 13.0, is_open=True), 4.0, 17.0, (4.0, False)),
    (Enough(4.0, NINE - 3700.0, 13.0), 2.0, 5.0, None),  # what was an hour ago may be tried again
]


@pytest.mark.parametrize(("enough", "busy", "there", "known"), LOOKS)
def test_enough_when_units_are_idle(enough, busy, there, known):
    """Most units must be idle, three at least, and none the fewer for being fewer: a third may take nothing at all."""
    found = by_units_at_work(enough, busy, there, NINE)
    assert (None if found is None else (found.units, found.is_open)) == known


def test_waits_when_a_third_of_the_units_takes_nothing():
    """Each more unit brings its share: the fleet grows as if units were slower (else waits grow to hours)."""
    numbers = count_from(1)
    world = ConsumerWorld(lambda _t: 0.55, service_s=10, is_deaf=lambda: next(numbers) % 3 == 0, bounds=(0, 100))
    lived(world, a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60}), 3)
    assert world.late_share(180) == 0.0
    assert world.unit_hours() <= 1.2 * world.done * 10 / 3600 / (2 / 3)


@pytest.mark.parametrize(
    ("enough", "in_flight", "want"),
    [
        (Enough(3.0, NINE - 60.0, 12.0), 3, 4),  # one more, to see whether that is still so
        (Enough(3.0, NINE - 1800.0, 12.0), 3, 5),  # the longer it was not seen, the more of them
        (Enough(3.0, NINE - 1800.0, 12.0, is_open=True), 3, 8),  # it is no longer so: twice as many as are there
        (Enough(3.0, NINE - 1800.0, 12.0, is_open=True), 4, 8),
    ],
)
def test_growth_when_units_were_idle_within_the_hour(enough, in_flight, want):
    """A fleet of which so many units were enough grows by steps that show whether more help."""
    queue = a_queue(NINE, 2000, in_flight, oldest_s=30, per_minute=(60.0,) * 10)
    known = a_memory(rate=Estimate(1.0, 100.0, NINE - 60), to_service=Estimate(60.0, 8.0, NINE - 60), enough=enough)
    assert decide(seen(NINE, queue, a_group(NINE, 4)), a_fleet(), known).want == want


def test_growth_when_units_were_idle_over_an_hour_ago():
    """Then it grows as before."""
    queue = a_queue(NINE, 2000, 4, oldest_s=30, per_minute=(60.0,) * 10)
    known = a_memory(
        rate=Estimate(1.0, 100.0, NINE - 60),
        to_service=Estimate(60.0, 8.0, NINE - 60),
        enough=Enough(3.0, NINE - 3700.0, 12.0),
    )
    assert decide(seen(NINE, queue, a_group(NINE, 4)), a_fleet(), known).want > 20


# ------------------------------------------------------------------------------------------------ no gain


def test_cost_when_a_database_completes_four_a_second():
    """More units complete no more: the fleet goes back to those that do (381 unit-hours for 14 of work)."""
    world = ConsumerWorld(lambda t: 5 if t % 3600 < 1800 else 2, most_per_s=4, bounds=(0, 200))
    lived(world, a_fleet(), 4)
    assert world.done > 50_000
    assert world.unit_hours() <= 2.0 * 16.0
    assert any(ReasonCode.NO_GAIN in codes(decision) for decision in world.decisions)


def test_cost_when_the_first_look_has_a_hundred_units():
    """Fewer at a time show how few are enough, though no number but this was ever seen (189 unit-hours for 7.5).

    Half of them are tried after three minutes: to try three quarters after six costs 32.
    """
    world = ConsumerWorld(lambda t: 5 if t < 5400 else 0, most_per_s=4, bounds=(0, 100))
    lived(world, UNHINTED, 2)
    assert world.done == 27_000
    assert world.unit_hours() <= 29.0


def test_growth_when_the_cap_is_lifted():
    """One unit more than is enough shows that it is gone, and the fleet grows until all are in time again."""
    world = ConsumerWorld(lambda _t: 8.0, most_per_s=4, bounds=(0, 60))
    fleet = a_fleet(hints={"seconds_per_message": 1, "lead_time_s": 60})
    lived(world, fleet, 1)
    assert world.memory.service_rate.enough is not None
    assert world.decisions[-1].want <= 6
    world.most_per_s = inf
    lived(world, fleet, 0.5)
    assert world.waiting < 10


def test_growth_when_messages_take_longer_than_they_did():
    """A fleet that is merely slower is not held back: it has enough units within the hour."""
    world = ConsumerWorld(lambda _t: 2.0, service_s=1, bounds=(0, 60))
    fleet = a_fleet(hints={"seconds_per_message": 1, "lead_time_s": 60})
    lived(world, fleet, 0.5)
    world.service_s = 5
    lived(world, fleet, 0.5)
    assert ReasonCode.NO_GAIN not in {code for decision in world.decisions for code in codes(decision)}
    assert world.decisions[-1].want >= 10


def learned(*minutes: tuple[float, float], enough: Enough | None = None, settled: bool = True) -> Enough | None:
    """What is known of enough units after minutes with so many units that completed so many messages."""
    levels: tuple[Throughput, ...] = ()
    for number, (units, count) in enumerate(minutes):
        end_at = NINE + 60.0 * (number + 1)
        levels, enough = learn_completed(levels, enough, Throughput(units, count, 60.0, end_at, units * settled))
    return enough


CAPPED = Enough(4.0, NINE, 10.0, 4.0)


def test_enough_when_more_units_complete_as_much():
    """Ten units that complete what four did are six too many, for an hour; whether fewer do is not known."""
    enough = learned((4, 240.0), (10, 245.0), (10, 240.0), (10, 238.0))
    assert enough is not None
    assert (enough.units, enough.more, enough.per_s) == (4.0, 10.0, pytest.approx(4.0, rel=0.05))
    assert not enough.is_least
    assert useful(enough, NINE + 300.0) == 4.0
    assert useful(enough, NINE + 4000.0) == inf


@pytest.mark.parametrize(
    "minutes",
    [
        ((4, 240.0), *((10, 590.0),) * 3),  # each completes as much
        ((4, 240.0), *((10, 400.0),) * 3),  # less than before, and still more in all
        ((4, 240.0), (10, 245.0), (10, 245.0)),  # two minutes may be chance
        ((4, 2.0), *((10, 3.0),) * 3),  # a few long messages: chance
        ((4, 240.0), (10, 600.0), *((10, 240.0),) * 3),  # the messages take longer since
        ((4, 240.0), *((10, 80.0),) * 3),  # as they do where more complete less than fewer did
        (
            (1 / 12, 1.0),
            (1, 1.0),
            (5, 5.0),
            (8, 12.0),
            (9, 8.0),
            (9, 11.0),
        ),  # one short message when a unit had just come
    ],
)
def test_enough_when_more_units_help_or_messages_changed(minutes):
    """Nothing holds the fleet back: units helped, or what is known is of other messages."""
    assert learned(*minutes) is None


def test_enough_when_units_have_only_just_come():
    """Units that may still get ready prove nothing."""
    assert learned((4, 240.0), *((10, 240.0),) * 9, settled=False) is None


# what is known; the next minutes of (units, messages); then: (enough units, whether fewer do less, open)
MINUTES = [
    (replace(CAPPED, is_least=False), ((2, 120.0),), (4.0, True, False)),  # two complete half of it: u is known
    (replace(CAPPED, is_least=False), ((3, 180.0),), (4.0, True, False)),
    (replace(CAPPED, units=8.0, is_least=False), ((4, 240.0),), (4.0, False, False)),  # fewer do as much
    (CAPPED, ((5, 240.0), (5, 240.0), (5, 240.0)), (4.0, True, False)),
    (CAPPED, ((8, 480.0),), (8.0, True, True)),  # the cap is gone
    (CAPPED, ((5, 100.0),), (5.0, True, True)),  # the cap is lower, or messages take longer: that is to be seen
    (replace(CAPPED, is_open=True), ((8, 480.0),), (8.0, True, True)),
    (replace(CAPPED, is_open=True), ((8, 240.0),) * 3, (4.0, False, False)),  # it is as it was
    (Enough(1.0, NINE, 8.0, 1 / 60, is_open=True), ((2, 2.7),) * 15, (2.0, True, True)),  # few messages show it later
    (Enough(4.0, NINE, 10.0), ((8, 480.0),), (4.0, True, False)),  # known by messages in flight
]


@pytest.mark.parametrize(("enough", "minutes", "known"), MINUTES)
def test_enough_when_another_number_of_units_works(enough, minutes, known):
    """What other numbers of units complete says how many are enough, or that it is no longer so."""
    found = learned(*minutes, enough=enough)
    assert found is not None
    assert (pytest.approx(found.units, rel=0.05), found.is_least, found.is_open) == known


SLOW_GROWTH = tuple((8.0 * step, 8.0) for step in range(1, 13))  # eight messages a minute, however many units


def test_enough_when_few_messages_are_completed_a_minute():
    """What fewer units did for minutes is compared with all that more did since: by the minute each was chance."""
    enough = learned(*SLOW_GROWTH, *((100, 8.0),) * 6)
    assert enough is not None
    assert (enough.units, enough.is_least) == (24.0, False)
    assert learned(*((units, units) for units, _ in SLOW_GROWTH), *((100, 100.0),) * 6) is None


def test_levels_when_there_are_more_than_are_kept():
    """Those that are most alike become one: nothing that was seen is forgotten."""
    levels: tuple[Throughput, ...] = ()
    for number, (units, count) in enumerate((*SLOW_GROWTH, *((100.0 + 20.0 * step, 8.0) for step in range(8)))):
        new = Throughput(units, count, 60.0, NINE + 60.0 * number, units, units)
        levels, _ = learn_completed(levels, None, new)
    assert len(levels) == LEVELS_MOST
    assert (sum(each.messages for each in levels), sum(each.seconds for each in levels)) == (160.0, 1200.0)
    assert (levels[0].units, levels[-1].units) == (8.0, 240.0)
    assert all(before.units < after.units for before, after in pairwise(levels))


@pytest.mark.parametrize(
    ("is_least", "tried", "units"),
    [
        (False, 10.0, 10.0),  # as many as were tried for ten minutes: fewer may do
        (True, 30.0, 20.0),  # half as many more completed no more
    ],
)
def test_enough_when_few_messages_show_it_again(is_least, tried, units):
    """It was forgotten within the hour, since three minutes at a time were looked at: 11 units became 200 at once."""
    enough = learned(*((tried, 8.0),) * 70, enough=Enough(20.0, NINE, 200.0, 8.0 / 60.0, is_least=is_least))
    assert enough is not None
    assert (enough.units, enough.is_least, enough.is_open) == (units, is_least, False)
    assert enough.at == NINE + 70 * 60.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hours_most"),
    [
        ("capped-downstream-long", 90.0),  # 357: the group had all that it may have, for as long as messages waited
        ("ghost-counts-in-batches", 5.0),  # 8 to 22: idle units made the rate low, and what they waited for the launch
    ],
)
def test_cost_when_a_count_tells_nothing_of_more_units(name, hours_most):
    """Beside the bounds are the instance-hours before."""
    world = WORLDS[name]
    for seed in (1, 2, 3):
        run = simulate(world.trace(seed), make("sluice"), world.conditions_of(seed), world.behaviour)
        assert run.instance_hours <= hours_most, seed


@given(
    per_unit=st.floats(5.0, 20.0),  # of fewer messages a fifth less may be chance
    cap=st.floats(20.0, 2000.0),
    sizes=st.lists(st.integers(1, 200), min_size=2, max_size=30),
)
@example(per_unit=5.0, cap=6.7, sizes=[1, 3, 3, 4])
def test_enough_when_throughput_is_as_the_theory_says(per_unit, cap, sizes):
    """Of n units that complete min(n u, c), never clearly fewer than c / u are taken for enough."""
    enough = learned(*((n, min(n * per_unit, cap) * 60.0) for n in sizes))
    if enough is not None and not enough.is_open:
        assert enough.units >= 0.8 * min(cap / per_unit, max(sizes))


@given(per_unit=st.floats(0.05, 20.0), sizes=st.lists(st.integers(1, 200), min_size=2, max_size=12))
def test_enough_when_each_unit_completes_as_much(per_unit, sizes):
    """Without a cap nothing is held back."""
    assert learned(*((n, n * per_unit * 60.0) for n in sizes)) is None


# ------------------------------------------------------------------------------------------------ held messages


@pytest.mark.slow
def test_cost_when_consumers_died_with_their_messages():
    """Five of ten first messages are in flight for twelve hours: after one, one unit stays (60 unit-hours for 0.1)."""
    world = ConsumerWorld(lambda t: 10 if t == 100 else 0, service_s=60, lost_at_once=lambda m: m.number % 2 == 0)
    lived(world, UNHINTED, 10)
    assert world.unit_hours() <= 15.0
    assert world.decisions[-1].want == 1
    assert "5 messages in flight were received longer ago than a message takes" in world.decisions[-1].sentence
    assert ReasonCode.HELD_MESSAGES in codes(world.decisions[-1])


@pytest.mark.slow
def test_cost_when_consumers_of_a_known_speed_die_again_and_again():
    """Each hour's batch leaves five messages in flight: its units go as soon as the others are done (65 for 1.2)."""
    lost = lambda m: m.number > 30 and m.number % 2 == 0  # noqa: E731 - as the world takes it
    world = ConsumerWorld(lambda t: 10 if t % 3600 == 100 else 0, service_s=60, lost_at_once=lost)
    lived(world, UNHINTED, 12)
    assert world.in_flight > 30
    assert world.unit_hours() <= 20.0
    assert 1 / rate_of(world.memory, UNHINTED, world.now).value == pytest.approx(60, rel=0.25)


def failing(message: Message) -> float | None:
    """Every third message is hidden for half an hour, five times."""
    return 1800.0 if message.number % 3 == 0 and message.received < 6 else None


def test_rate_when_consumers_back_off_for_half_an_hour():
    """Hidden messages are in flight and nobody works on them: they keep no unit, and teach no speed.

    A message takes two seconds; told so, the fleet costs what one or two units do, and never believes a tenth of it.
    """
    fleet = a_fleet(hints={"seconds_per_message": 2, "lead_time_s": 60})
    world = lived(ConsumerWorld(lambda _t: 0.25, service_s=2, fate=failing), fleet, 3)
    assert world.in_flight > 200
    assert world.unit_hours() <= 6.0
    assert all(decision.want <= 5 for decision in world.decisions)
    assert rate_of(world.memory, fleet, world.now).value > 0.1


def test_cost_when_consumers_of_unknown_speed_hide_every_second_message_for_an_hour():
    """Hidden messages are no work that a new unit could take: 30 units are asked for at most, not 63 (13.5 hours)."""
    hidden = lambda m: 3600.0 if m.number % 2 == 0 and m.received < 2 else None  # noqa: E731 - as the world takes it
    world = lived(ConsumerWorld(lambda t: 0.6 if t < 600 else 0, service_s=10, fate=hidden), UNHINTED, 2)
    assert world.unit_hours() <= 7.0
    assert max(decision.want for decision in world.decisions) <= 35
    assert world.late_share(120) == 0.0
    assert 1 / rate_of(world.memory, UNHINTED, world.now).value == pytest.approx(15, rel=0.25)  # some fail


def test_messages_in_flight_when_units_work_on_ten_long_ones_at_once():
    """None of them is held, however few were completed by then; the fleet does not know how many a unit takes."""
    world = lived(ConsumerWorld(lambda _t: 1 / 3, service_s=300, places=10), UNHINTED, 1)
    assert all(sample.held == 0.0 for sample in world.memory.samples)
    assert world.memory.redeliveries.held == 0.0
    assert world.late_share(120) == 0.0


def test_units_when_jobs_are_long_and_consumers_well():
    """Jobs of a quarter of an hour, one each minute and a half: those at work stay, and all start in time."""
    world = lived(ConsumerWorld(lambda _t: 0.01, service_s=900), UNHINTED, 4)
    assert world.late_share(120) == 0.0
    assert world.memory.redeliveries.held == 0.0


def test_decision_when_nobody_received_for_an_hour():
    """Ten messages in flight that nobody received for an hour get one unit, and the sentence says so."""
    fleet = a_fleet(target_wait_s=300, hints={"seconds_per_message": 300, "lead_time_s": 60})
    nothing = Series(60.0, tuple((NINE - 3720.0 + 60.0 * minute, 0.0) for minute in range(60)))
    queue = replace(a_queue(NINE, 0, 10), received=nothing, deleted=nothing)
    memory = a_memory(rate=Estimate(1 / 300, 100.0, NINE - 3600), needs_since=NINE - 3600.0, needs_until=NINE - 10.0)
    decision = decide(seen(NINE, queue, a_group(NINE, 10)), fleet, memory)
    assert decision.want == 1
    assert "10 messages in flight were received longer ago than a message takes" in decision.sentence


# ------------------------------------------------------------------------------------------------ nothing received


def silent(deaf: int, hours: float) -> ConsumerWorld:
    """A world whose first units receive nothing, after so many hours."""
    numbers = count_from(1)
    world = ConsumerWorld(lambda _t: 0.1, service_s=10, is_deaf=lambda: next(numbers) <= deaf, bounds=(0, 100))
    return lived(world, a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60}), hours)


def test_capacity_when_no_unit_ever_receives_anything():
    """Fresh units are tried one by one, ever later up to each half hour, and given back, whatever waits."""
    world = silent(10_000, 4)
    held = [decision for decision in world.decisions if ReasonCode.NOTHING_RECEIVED in codes(decision)]
    tried = [decision for decision in held if decision.want > decision.current]
    apart_s = [after.at - before.at for before, after in pairwise(tried)]
    assert apart_s == sorted(apart_s)
    assert apart_s[-1] == pytest.approx(1800.0, abs=20.0)
    assert len(tried) == 10
    assert all("Trying one fresh instance: 2 instances" in decision.sentence for decision in tried)
    fewest = min(decision.current for decision in held)
    assert {decision.want for decision in held} == {fewest, fewest + 1}
    assert world.unit_hours() <= 1.2 * 4 * fewest


def test_messages_when_a_fresh_unit_receives_them():
    """A fleet all of whose units take nothing is not stuck with them."""
    assert silent(3, 2.5).waiting < 20  # of 900


# ------------------------------------------------------------------------------------------------ invented arrivals


def invented(true_per_s: float, arrivals_per_s: float) -> World:
    """A burst of 134 s for a fleet that is told eight messages a second, under a target of a minute."""
    world = World(lambda t: arrivals_per_s if t < 134 else 0, unit_per_s=true_per_s, boot_s=20.0)
    world.live(a_fleet(target_wait_s=60, hints={"seconds_per_message": 1 / 8, "lead_time_s": 20}), 600)
    return world


@pytest.mark.parametrize(
    ("true_per_s", "arrivals_per_s", "longest_s"),
    [(2.5, 5.0, 60.0), (4.0, 5.0, 60.0), (2.5, 10.0, 75.0), (4.0, 10.0, 66.0)],
)
def test_waits_when_work_is_slower_than_believed(true_per_s, arrivals_per_s, longest_s):
    """The counts show the rate a tick or two after a unit has begun: waits were 101, 64, 106 and 79 s."""
    assert invented(true_per_s, arrivals_per_s).longest_wait_s() <= longest_s


def test_oldest_when_work_is_slower_than_believed():
    """What arrived is worked out with the rate that counts show, so that old messages do not look new."""
    world = World(lambda t: 10 if t < 134 else 0, unit_per_s=2.5, boot_s=30.0)
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": 1 / 8, "lead_time_s": 30})
    world.live(fleet, 181)
    decision = world.decisions[-1]
    (said,) = (figure for figure in decision.figures if figure.name == "oldest_wait_s")
    really_s = 180.0 - len(world.waits) / 10.0  # ten a second arrived, and so many were begun
    assert (said.source, said.value) == ("estimated", pytest.approx(really_s, abs=20))


def test_rate_when_a_late_fleet_is_slower_than_it_was():
    """One minute at a third of the rate is believed where the oldest message is late; else it takes three."""
    world = World(lambda _t: 20.0, unit_per_s=8.0, boot_s=30.0)
    fleet = a_fleet(target_wait_s=60, hints={"seconds_per_message": 1 / 8, "lead_time_s": 30})
    world.live(fleet, 1800)
    world.unit_per_s = 2.5
    world.live(fleet, 1200)
    assert world.longest_wait_s() <= 130  # 150 before
    assert rate_of(world.memory, fleet, world.now).value == pytest.approx(2.5, rel=0.1)


def test_memory_when_it_is_new():
    """A fleet of which nothing is known is bound by no evidence."""
    snapshot = seen(NINE, a_queue(NINE, 2000, 1, oldest_s=30, per_minute=(60.0,) * 10), a_group(NINE, 1))
    assert not codes(decide(snapshot, a_fleet(), Memory())) & {ReasonCode.IDLE_UNITS, ReasonCode.NO_GAIN}


# ------------------------------------------------------------------------------------------------ late metrics


def test_rate_when_no_metric_comes():
    """The counts alone teach the rate: later bursts get the units that their work needs, and all start in time."""
    world = lived(ConsumerWorld(lambda t: 1.0 if t % 1800 < 600 else 0.2, service_s=10, metric_lag_s=1e9), UNHINTED, 3)
    assert world.memory.service_rate.estimate is None
    assert 1 / rate_of(world.memory, UNHINTED, world.now).value == pytest.approx(10, rel=0.1)
    assert world.late_share(120) == 0.0
    assert max(decision.want for decision in world.decisions[-900:]) <= 12, "ten are at work"
    assert world.unit_hours() <= 1.3 * world.done * 10 / 3600
