"""What holds for learn() whatever it sees."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.estimating import learn, service_rate
from sluice.model import Memory, QueueReading, Reading, Series
from tests.planner_world import NINE, a_fleet, a_group, seen

UNITS = 2
HINTED_PER_S = 1.0  # a_fleet's

# The same examples in every run: CI is no dice.
anything = settings(derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
        learned = learn(learned, seen(now, queue, a_group(now, UNITS)), fleet, now)
    return learned


@anything
@given(st.lists(st.one_of(st.integers(0, 30), st.integers(0, 6000)), min_size=1, max_size=25))
def test_service_rate_when_minutes_are_anything(counts):
    """It stays between the least and the most that any minute, or the hint, would say."""
    believed = service_rate(minutes_of(counts), a_fleet(), NINE).value
    said = [count / (60.0 * UNITS) for count in counts] + [HINTED_PER_S]
    assert min(said) - 1e-9 <= believed <= max(said) + 1e-9


@anything
@given(st.integers(20, 2000), st.integers(0, 1_000_000))
def test_service_rate_when_any_minute_follows_good_ones(usual, odd):
    """One minute, whatever it says, moves a well-founded rate by no more than an eighth."""
    fleet = a_fleet(hints={"seconds_per_message": 60.0 * UNITS / usual})
    before = minutes_of([usual] * 15)
    after = minutes_of([odd, usual], before, NINE + 1080.0)
    was, became = service_rate(before, fleet, NINE).value, service_rate(after, fleet, NINE).value
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
    assert abs(service_rate(memory, fleet, NINE).value / really - 1.0) <= 0.25
