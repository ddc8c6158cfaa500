"""What a fleet needed and used, as records: of the real fleet, and of the simulated one of shadow mode."""

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class NeedWindow:
    """The needs of the last ticks, for the stabilization window.

    Kept as a falling sequence: a need that is not above a later one can never be the highest of a window.
    """

    needs: tuple[tuple[float, int], ...] = ()  # (epoch seconds, capacity units), ascending in time, falling in units
    since: float | None = None  # epoch seconds from which on needs were noted without a gap; None: never
    until: float = 0.0  # epoch seconds of the last
    idle: tuple[float, float] | None = None  # (epoch seconds, units at work) when units were last idle beside messages


@dataclass(frozen=True, slots=True)
class Spending:
    """Unit-seconds of one UTC day, as the daily budget counts them."""

    day_at: float = 0.0  # epoch seconds of the day's start
    spent_s: float = 0.0  # unit-seconds


@dataclass(frozen=True, slots=True)
class Throughput:
    """What so many capacity units completed while messages waited for all of them."""

    units: float
    messages: float
    seconds: float
    at: float  # epoch seconds of the last period in it
