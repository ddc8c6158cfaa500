"""Evidence before belief: what units do shows whether more of them would help, and the fleet follows it.

Each world is one in which a count does not mean what it says. The figures in the docstrings are of the planner before
it asked for evidence.
"""

from dataclasses import replace

import pytest

from sluice.model.observed import Series
from sluice.model.planning import Decision, Estimate, Memory, QueueSample, ReasonCode
from sluice.model.usage import Throughput
from sluice.planning.learning.throughput import Saturation, learn_throughput, proven_units, saturation
from tests.support.consumer_world import ConsumerWorld, Message
from tests.support.planner_steps import a_memory, changed, rate_of
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


@pytest.mark.parametrize(("lately", "want"), [(None, 3), (5.0, 6), (1.0, 3)])
def test_decision_when_more_units_were_at_work_lately(lately, want):
    """Where some units take nothing, fewer units are fewer at work: what was at work within the hour stays wanted."""
    fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
    queue = a_queue(NINE, 400, 2, oldest_s=1700, per_minute=(15.0,) * 60, done_per_minute=(12.0,) * 60)
    known = MEASURED if lately is None else changed(MEASURED, idle=(NINE - 1800.0, lately))
    assert decide(seen(NINE, queue, a_group(NINE, 9, bounds=(0, 500))), fleet, known).want == want


def test_decision_when_a_part_of_the_units_takes_nothing():
    """Eight units completed twice what four did, though a third of each took nothing: each more brings its share."""
    fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60})
    queue = a_queue(NINE, 400, 5, oldest_s=1700, per_minute=(40.0,) * 60, done_per_minute=(30.0,) * 60)
    snapshot = seen(NINE, queue, a_group(NINE, 8, bounds=(0, 500)))
    levels = (Throughput(4.0, 80.0, 300.0, NINE - 600.0), Throughput(8.0, 160.0, 300.0, NINE - 300.0))
    known = replace(MEASURED, service_rate=replace(MEASURED.service_rate, throughput=levels))
    assert [decide(snapshot, fleet, memory).want for memory in (MEASURED, known)] == [6, 9]
    assert "but 8 instances completed more than fewer did" in decide(snapshot, fleet, known).sentence


# messages and seconds of four units and of eight, and the units that are known to complete more
PROOFS = [
    ((80.0, 300.0), (160.0, 300.0), 8.0),
    ((80.0, 300.0), (90.0, 300.0), 0.0),  # hardly more
    ((4.0, 60.0), (8.0, 60.0), 0.0),  # chance
]


@pytest.mark.parametrize(("four", "eight", "proven"), PROOFS)
def test_proof_when_more_units_complete_more(four, eight, proven):
    """It takes about as much more as there are more units, beyond chance, within the hour."""
    levels = (Throughput(4.0, *four, NINE), Throughput(8.0, *eight, NINE))
    assert proven_units(levels, NINE) == proven
    assert proven_units(levels, NINE + 3700.0) == 0.0


def test_growth_when_units_were_idle_within_the_hour():
    """A fleet whose units were idle grows to twice what is at work, and as before an hour later."""
    fleet = a_fleet()
    snapshot = seen(NINE, a_queue(NINE, 2000, 4, oldest_s=30, per_minute=(60.0,) * 10), a_group(NINE, 4))
    known = a_memory(rate=Estimate(1.0, 100.0, NINE - 60), to_service=Estimate(60.0, 8.0, NINE - 60))
    assert decide(snapshot, fleet, changed(known, idle=(NINE - 1800.0, 3.0))).want == 8
    assert decide(snapshot, fleet, changed(known, idle=(NINE - 3700.0, 3.0))).want > 20


# ------------------------------------------------------------------------------------------------ no gain


def test_cost_when_a_database_completes_four_a_second():
    """More units complete no more: the fleet goes back to those that do (381 unit-hours for 14 of work).

    It still tries too many for some minutes, each time that what it knew is an hour old.
    """
    world = ConsumerWorld(lambda t: 5 if t % 3600 < 1800 else 2, most_per_s=4, bounds=(0, 200))
    lived(world, a_fleet(), 4)
    assert world.done > 50_000
    assert world.unit_hours() <= 110
    assert any(ReasonCode.NO_GAIN in codes(decision) for decision in world.decisions)


def levels_of(*minutes: tuple[int, float]) -> tuple[Throughput, ...]:
    """What is known after minutes with so many units that completed so many messages."""
    levels: tuple[Throughput, ...] = ()
    for number, (units, count) in enumerate(minutes):
        end_at = NINE + 60.0 * (number + 1)
        during = tuple(QueueSample(end_at - 60.0 + 10.0 * i, 50.0, units, units, True, 0.0) for i in range(7))
        levels = learn_throughput(levels, during, count, 60.0, end_at)
    return levels


def test_saturation_when_more_units_complete_as_much():
    """Ten units that complete what four did are six too many, for an hour."""
    levels = levels_of((4, 240.0), (10, 245.0))
    assert saturation(levels, NINE + 180.0) == Saturation(4.0, 10.0, pytest.approx(245.0 / 60.0))
    assert saturation(levels, NINE + 4000.0) is None


@pytest.mark.parametrize(
    "minutes",
    [
        ((4, 240.0), (10, 590.0)),  # each completes as much
        ((4, 240.0), (10, 400.0)),  # less than before, and still more in all
        ((4, 2.0), (10, 3.0)),  # a few long messages: chance
        ((4, 240.0), (10, 600.0), (10, 240.0)),  # the messages take longer since
        ((4, 240.0), (10, 245.0), (4, 480.0)),  # what limited them is gone
    ],
)
def test_saturation_when_more_units_help_or_messages_changed(minutes):
    """Nothing holds the fleet back: units helped, or what is known is of other messages."""
    assert saturation(levels_of(*minutes), NINE + 600.0) is None


# ------------------------------------------------------------------------------------------------ held messages


def test_cost_when_consumers_died_with_their_messages():
    """Five of ten first messages are in flight for twelve hours: after one, one unit stays (60 unit-hours for 0.1)."""
    world = ConsumerWorld(lambda t: 10 if t == 100 else 0, service_s=60, lost_at_once=lambda m: m.number % 2 == 0)
    lived(world, UNHINTED, 10)
    assert world.unit_hours() <= 15.0
    assert world.decisions[-1].want == 1
    assert "5 messages in flight were received longer ago than a message takes" in world.decisions[-1].sentence
    assert ReasonCode.HELD_MESSAGES in codes(world.decisions[-1])


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
