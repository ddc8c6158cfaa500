"""What a fleet needed and used, as records: of the real fleet, and of the simulated one of shadow mode."""

from math import inf

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class NeedWindow:
    """The needs of the last ticks, for the stabilization window.

    Kept as a falling sequence: a need that is not above a later one can never be the highest of a window.
    """

    needs: tuple[tuple[float, int], ...] = ()  # (epoch seconds, capacity units), ascending in time, falling in units
    since: float | None = None  # epoch seconds from which on needs were noted without a gap; None: never
    until: float = 0.0  # epoch seconds of the last
    # (epoch seconds, capacity units then) when a fresh unit was last tried beside those that receive nothing, at first
    # when these were noticed; (0.0, 0) where units receive messages
    fresh: tuple[float, int] = (0.0, 0)
    tried: int = 0  # fresh units since they were noticed


@dataclass(frozen=True, slots=True)
class Spending:
    """Unit-seconds of one UTC day, as the daily budget counts them."""

    day_at: float = 0.0  # epoch seconds of the day's start
    spent_s: float = 0.0  # unit-seconds


@dataclass(frozen=True, slots=True)
class Throughput:
    """What so many capacity units completed while messages waited for all of them."""

    units: float  # on average, or a message's time before where they were more then
    messages: float
    seconds: float
    at: float  # epoch seconds of the last period in it
    sure: float = 0.0  # the units that had been in service for a lead time
    least: float = inf  # of these, so many could have completed all of it for all that is known


@dataclass(frozen=True, slots=True)
class Enough:
    """How many capacity units are enough: more do no more work."""

    units: float
    at: float  # epoch seconds when that was last seen
    more: float  # so many did no more
    per_s: float | None = None  # messages a second that they complete; None: known by messages in flight
    is_least: bool = True  # whether fewer complete less; else fewer are tried
    is_open: bool = False  # whether work has shown since that more may do more
