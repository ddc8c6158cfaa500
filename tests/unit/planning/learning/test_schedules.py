"""When a batch recurs by the calendar: weekdays, days off, and clocks that change by an hour."""

from collections.abc import Callable

import pytest

from sluice.planning.learning.forecasting import DAY_S
from sluice.planning.learning.schedules import Pulses, expected

MONDAY = 1_795_392_000.0  # 2026-11-23 00:00 UTC
NINE_S = 9 * 3600.0
HOUR_S = 3600.0
MINUTE_S = 60.0
SIZE = 300.0
LEAST_S = 180.0


def is_expected(came: Callable[[int], bool], day: int, *, moved: Callable[[int], float] | None = None, at: float = 0.0):
    """Whether a batch is expected on a day (0 is the first Monday), at nine o'clock or so many hours beside it.

    `came` says on which days one came, and `moved` by how many hours it was moved then. All are known up to the last
    minute before.
    """
    moved = moved or (lambda _: 0.0)
    now = MONDAY + day * DAY_S + NINE_S + at * HOUR_S
    times = (MONDAY + each * DAY_S + NINE_S + moved(each) * HOUR_S for each in range(day + 1) if came(each))
    pulses = Pulses({each: SIZE for each in times if each < now}, MONDAY, now, MINUTE_S, LEAST_S)
    found = expected(pulses, now, ())
    return found is not None and max(found.sizes) == SIZE


def _working(day: int) -> bool:
    return day % 7 < 5


def _sunday_to_thursday(day: int) -> bool:
    return day % 7 not in {4, 5}


def _but_sundays(day: int) -> bool:
    return day % 7 != 6


# which days, a day, and whether one is expected then
WEEKDAYS = [
    (_working, 4, True),  # the first Friday
    (_working, 7, True),  # the Monday after the first weekend
    (_working, 11, True),
    (_working, 12, False),  # the second Saturday
    (_working, 13, False),
    (_working, 14, True),
    (_working, 19, False),
    (_working, 28, True),
    (_sunday_to_thursday, 9, True),
    (_sunday_to_thursday, 11, False),  # the second Friday
    (_sunday_to_thursday, 13, True),
    (_but_sundays, 6, True),  # the first Sunday
    (_but_sundays, 13, False),
    (_but_sundays, 20, False),
    (_but_sundays, 21, True),
]


@pytest.mark.parametrize(("came", "day", "is_due"), WEEKDAYS)
def test_daily_batch_when_some_weekdays_have_none(came, day, is_due):
    """A day that went by the weekday of the last week is no day of the schedule again; the other days stay."""
    assert is_expected(came, day) is is_due


def test_daily_batch_when_it_stayed_away_once():
    """One absence takes no weekday out of the schedule: it may have been an outage."""
    assert is_expected(lambda day: day != 2, 9)


def test_daily_batch_when_it_comes_on_a_weekday_that_had_none():
    """A weekday on which one comes after all is in the schedule again."""

    def came(day: int) -> bool:
        return day % 7 < 5 or day == 19

    assert not is_expected(came, 19)
    assert is_expected(came, 26)


# by how many hours, and the hours beside the old time at which one is expected on the day of the change
CHANGES = [(1.0, {0.0: True, 1.0: True, -1.0: False}), (-1.0, {0.0: False, 1.0: False, -1.0: False})]


@pytest.mark.parametrize(("hours", "on_the_day"), CHANGES)
@pytest.mark.parametrize("came", [lambda _: True, _working], ids=["daily", "working days"])
def test_daily_batch_when_the_clocks_change(came, hours, on_the_day):
    """One that does not come is tried an hour later; one that came at another hour is expected there from then on."""
    change = 14  # a Monday

    def moved(day: int) -> float:
        return hours if day >= change else 0.0

    assert {at: is_expected(came, change, moved=moved, at=at) for at in on_the_day} == on_the_day
    for day in range(change + 1, change + 5):
        at_hours = {at: is_expected(came, day, moved=moved, at=at) for at in (-1.0, 0.0, 1.0)}
        assert at_hours == {at: at == hours for at in (-1.0, 0.0, 1.0)}


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_weekly_batch_when_the_clocks_change(hours):
    """A weekly batch moves with the clocks as a daily one does."""

    def weekly(day: int) -> bool:
        return day % 7 == 0

    def moved(day: int) -> float:
        return hours if day >= 21 else 0.0

    assert is_expected(weekly, 21)
    assert is_expected(weekly, 28, moved=moved, at=hours)
    assert not is_expected(weekly, 28, moved=moved)


def test_absence_when_it_is_not_known_yet():
    """Nothing is tried an hour later before it is known that nothing came at its time."""
    now = MONDAY + 14 * DAY_S + NINE_S + HOUR_S
    sizes = {MONDAY + day * DAY_S + NINE_S: SIZE for day in range(14)}
    assert expected(Pulses(sizes, MONDAY, now - HOUR_S + MINUTE_S, MINUTE_S, LEAST_S), now, ()) is not None
    assert expected(Pulses(sizes, MONDAY, now - HOUR_S, MINUTE_S, LEAST_S), now, ()) is None


@pytest.mark.parametrize("missing", [0.0, 1.0])
def test_daily_batches_when_two_are_an_hour_apart(missing):
    """Two batches an hour apart are no change of clocks: where one stays away once, both are expected on."""
    times = sorted(MONDAY + day * DAY_S + NINE_S + hour * HOUR_S for day in range(14) for hour in (0.0, 1.0))
    sizes = dict.fromkeys(times, SIZE)
    del sizes[MONDAY + 13 * DAY_S + NINE_S + missing * HOUR_S]
    for hour in (0.0, 1.0):
        now = MONDAY + 14 * DAY_S + NINE_S + hour * HOUR_S
        assert expected(
            Pulses({at: size for at, size in sizes.items() if at < now}, MONDAY, now, MINUTE_S, LEAST_S), now, ()
        )


def test_hourly_batch_when_it_stays_away_once():
    """Of an hourly batch that missed an hour, the next and the same hour of the next day are expected all the same."""
    absent = MONDAY + 5 * DAY_S + NINE_S
    times = (MONDAY + hour * HOUR_S for hour in range(1, 24 * 7))
    sizes = {at: SIZE for at in times if at != absent}
    for now in (absent + HOUR_S, absent + DAY_S):
        before = {at: size for at, size in sizes.items() if at < now}
        assert expected(Pulses(before, MONDAY, now, MINUTE_S, LEAST_S), now, ()) is not None
