"""What holds for learn_from() whatever it sees."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.planning import Memory, QueueSample
from sluice.planning.learning.signal_quality import doubt
from tests.support.planner_steps import TIMING, learn_from, rate_of
from tests.support.planner_world import NINE, a_fleet, a_group, seen

UNITS = 2
HINTED_PER_S = 1.0  # a_fleet's

# The same examples in every run: CI is no dice.
anything = settings(derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def minutes_of(counts: list[int], memory: Memory | None = None, began_at: float = NINE) -> Memory:
    """The memory after minutes in which two units were busy throughout and completed so many."""
    fleet, learned = a_fleet(), memory or Memory()
    for t in range(0, 60 * len(counts) + 91, 10):
        now = began_at + t
        over = min(len(counts), max(0, (t - 30) // 60))
        done = tuple((began_at + 60.0 * i, float(counts[i])) for i in range(over))
        queue = QueueReading(
            Reading(50.0, now), Reading(float(UNITS), now), Reading(0.0, now), deleted=Series(60.0, done)
        )
        learned = learn_from(learned, seen(now, queue, a_group(now, UNITS)), fleet, now)
    return learned


@anything
@given(st.lists(st.one_of(st.integers(0, 30), st.integers(0, 6000)), min_size=1, max_size=25))
def test_service_rate_when_minutes_are_anything(counts):
    """It stays between the least and the most that any minute, the hint, or the queue's counts would say.

    The counts do not move here: a message may be completed and another arrive, but hardly more while metrics are late.
    """
    believed = rate_of(minutes_of(counts), a_fleet(), NINE).value
    by_counts = 1.0 / (TIMING.metric_delay_s * UNITS)
    said = [*(count / (60.0 * UNITS) for count in counts), HINTED_PER_S, by_counts]
    assert min(said) - 1e-9 <= believed <= max(said) + 1e-9


@anything
@given(st.integers(20, 2000), st.integers(0, 1_000_000))
def test_service_rate_when_any_minute_follows_good_ones(usual, odd):
    """One minute, whatever it says, moves a well-founded rate by no more than an eighth."""
    fleet = a_fleet(hints={"seconds_per_message": 60.0 * UNITS / usual})
    before = minutes_of([usual] * 15)
    after = minutes_of([odd, usual], before, NINE + 1080.0)
    was, became = rate_of(before, fleet, NINE).value, rate_of(after, fleet, NINE).value
    assert abs(became - was) <= 0.125 * was


@anything
@given(
    st.integers(60, 600), st.sampled_from([0.05, 0.1, 0.3, 3.5, 10.0, 50.0]), st.lists(st.integers(-9, 9), min_size=4)
)
def test_service_rate_when_a_change_lasts(usual, times, jitter):
    """Whatever it was and becomes, four minutes suffice to be within a quarter of it."""
    later = [max(1, round(usual * times * (1 + some / 100))) for some in jitter]
    fleet = a_fleet()
    memory = minutes_of(later, minutes_of([usual] * 20), NINE + 1380.0)
    really = sum(later) / len(later) / (60.0 * UNITS)
    assert abs(rate_of(memory, fleet, NINE).value / really - 1.0) <= 0.25


# ------------------------------------------------------------------------------------------------ signal quality

counts = st.one_of(st.integers(0, 30), st.integers(0, 100_000)).map(float)


def looked(before: QueueSample, visible: float, in_flight: float, able_per_s: float, most: float | None) -> float:
    """What is believed of a count ten seconds later."""
    queue = QueueReading(Reading(visible, before.at + 10.0), Reading(in_flight, before.at + 10.0))
    return doubt((before,), queue, TIMING, at=before.at + 10.0, able_per_s=able_per_s, most=most)[1]


@anything
@given(st.tuples(counts, counts), st.tuples(counts, counts), counts, st.floats(0, 1000), st.none() | counts)
def test_count_when_it_is_doubted(was, now, in_flight, able_per_s, most):
    """More waiting is never believed to be less; what is believed lies between the count and the one before."""
    before = QueueSample(NINE, was[0], was[1], 4.0, True, 0.0)
    fewer, more = sorted(now)
    low = looked(before, fewer, in_flight, able_per_s, most)
    high = looked(before, more, in_flight, able_per_s, most)
    assert low <= high
    for count, believed in ((fewer, low), (more, high)):
        assert min(count, was[0]) <= believed <= max(count, was[0])


@anything
@given(st.lists(counts, min_size=2, max_size=12), st.floats(0, 1000), st.none() | counts)
def test_counts_when_a_second_look_says_the_same(counts_seen, able_per_s, most):
    """Whatever is counted twice in a row is believed."""
    samples: tuple[QueueSample, ...] = ()
    for index, count in enumerate([one for one in counts_seen for _ in range(2)]):
        at = NINE + 10.0 * index
        queue = QueueReading(Reading(count, at), Reading(4.0, at))
        samples, believed, doubted = doubt(samples, queue, TIMING, at=at, able_per_s=able_per_s, most=most)
        if index % 2:
            assert believed == count
        samples = (*samples, QueueSample(at, believed, 4.0, 4.0, True, 0.0, doubted=doubted))


@anything
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=12))
def test_poison_when_nothing_comes_back(minutes):
    """As many received as deleted, whatever waits: no poison, no returns, and nothing fails."""
    fleet, memory = a_fleet(), Memory()
    for t in range(0, 60 * len(minutes) + 91, 10):
        now = NINE + t
        over = min(len(minutes), max(0, (t - 30) // 60))
        done = tuple((NINE + 60.0 * i, float(minutes[i][0])) for i in range(over))
        sent = tuple((NINE + 60.0 * i, float(minutes[i][1])) for i in range(over))
        queue = QueueReading(
            Reading(50.0, now),
            Reading(float(UNITS), now),
            Reading(0.0, now),
            oldest_age=Reading(0.0, NINE + 60.0 * over),
            sent=Series(60.0, sent),
            deleted=Series(60.0, done),
            received=Series(60.0, done),
        )
        memory = learn_from(memory, seen(now, queue, a_group(now, UNITS)), fleet, now)
    assert (memory.redeliveries.poison, memory.redeliveries.failing_share, sum(memory.redeliveries.history.counts)) == (
        0.0,
        0.0,
        0.0,
    )
