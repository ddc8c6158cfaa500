"""When the consumer stops asking a database, and when it asks again."""

from hypothesis import given
from hypothesis import strategies as st

from examples.orders.orders.breaker import FIRST_PAUSE_S, MAX_PAUSE_S, Breaker, State


def answering() -> Breaker:
    """A breaker whose database is there."""
    breaker = Breaker()
    breaker.probe_answered()
    return breaker


def test_breaker_is_open_with_a_probe_due_when_it_is_new() -> None:
    """Nothing is received before the database has answered once."""
    breaker = Breaker()
    assert breaker.state is State.OPEN
    assert breaker.probe_in(now=1e9) == 0


def test_breaker_closes_at_once_when_the_first_probe_answers() -> None:
    """A consumer that starts with a healthy database starts at full concurrency."""
    assert answering().state is State.CLOSED


def test_breaker_lets_one_through_when_the_database_comes_back() -> None:
    """After a failure a probe only half opens; a processed message closes."""
    breaker = answering()
    assert 0 < breaker.trip(now=100.0, jitter=1.0) <= FIRST_PAUSE_S
    states = [breaker.state]
    for happens in (breaker.probe_answered, breaker.succeed):
        happens()
        states.append(breaker.state)
    assert states == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_pause_grows_when_the_database_fails_again_and_again() -> None:
    """Answers to probes that are followed by failures do not reset the pause; success does."""
    breaker = answering()
    pauses = []
    for _ in range(8):
        pauses.append(breaker.trip(now=0.0, jitter=1.0))
        breaker.probe_answered()
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses[-1] == MAX_PAUSE_S
    breaker.succeed()
    assert breaker.trip(now=0.0, jitter=1.0) == FIRST_PAUSE_S


def test_pause_stays_when_work_begun_earlier_fails_too() -> None:
    """Four workers that meet one outage are one failure, not four."""
    breaker = answering()
    first = breaker.trip(now=0.0, jitter=1.0)
    assert [breaker.trip(now=0.0, jitter=1.0) for _ in range(3)] == [first] * 3


def test_breaker_stays_open_when_an_older_transaction_succeeds() -> None:
    """A commit that was under way says nothing about the database now: the probe does."""
    breaker = answering()
    breaker.trip(now=0.0, jitter=1.0)
    breaker.succeed()
    assert breaker.state is State.OPEN


@given(st.lists(st.sampled_from(["trip", "fail", "answer", "succeed"]), max_size=60), st.floats(0, 1))
def test_pause_is_bounded_when_anything_happens_in_any_order(events: list[str], jitter: float) -> None:
    """The breaker never waits for longer than its longest pause, nor hammers the database."""
    breaker = Breaker()
    for event in events:
        match event:
            case "trip":
                assert 0 < breaker.trip(7.0, jitter) <= MAX_PAUSE_S or breaker.probe_in(7.0) == 0
            case "fail":
                assert FIRST_PAUSE_S / 2 <= breaker.probe_failed(7.0, jitter) + 1e-9 <= MAX_PAUSE_S + 1e-9
            case "answer":
                breaker.probe_answered()
            case _:
                breaker.succeed()
        assert 0 <= breaker.probe_in(7.0) <= MAX_PAUSE_S
