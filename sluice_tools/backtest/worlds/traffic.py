"""Traffic of worlds: messages in each minute, by a generator of random numbers."""

from collections.abc import Callable

import numpy as np

from sluice_tools.backtest.generated_traces import DAY, bursts
from sluice_tools.backtest.simulated_queue import Floats

HOUR = 60  # minutes

type Rng = np.random.Generator
type Traffic = Callable[[Rng], Floats]


def steady(hours: float, per_minute: float) -> Traffic:
    """A level."""
    return lambda rng: rng.poisson(per_minute, size=round(hours * HOUR)).astype(float)


def at_first(hours: float, minutes: int, per_minute: float) -> Traffic:
    """So many messages a minute at first, then none."""
    return lambda _: np.repeat([per_minute, 0.0], [minutes, round(hours * HOUR) - minutes])


def pulses(hours: float, every: int, minutes: int, per_minute: float, base_per_minute: float = 0.0) -> Traffic:
    """Busy for so many minutes, every so many minutes, from the tenth on."""

    def traffic(rng: Rng) -> Floats:
        minute = np.arange(round(hours * HOUR))
        busy = (minute - 10) % every < minutes
        return rng.poisson(np.where(busy, per_minute, base_per_minute)).astype(float)

    return traffic


def on_and_off(hours: float, per_minute: float, mean_minutes: float = 20.0) -> Traffic:
    """Levels that change by chance, each for about twenty minutes."""

    def traffic(rng: Rng) -> Floats:
        levels: list[float] = []
        while len(levels) < hours * HOUR:
            levels += [rng.uniform(0.0, 2.0 * per_minute)] * (5 + int(rng.exponential(mean_minutes)))
        return rng.poisson(levels[: round(hours * HOUR)]).astype(float)

    return traffic


def self_similar(hours: float) -> Traffic:
    """Bursts of every length."""
    return lambda rng: rng.poisson(bursts(np.arange(hours * HOUR), rng)).astype(float)


def heavy_tailed_batches(hours: float, most: int = 700) -> Traffic:
    """Nothing but one or two batches an hour, each within a minute, of 1 to `most` messages: small ones are common."""

    def traffic(rng: Rng) -> Floats:
        counts = np.zeros(round(hours * HOUR))
        for hour in range(round(hours)):
            for minute in rng.choice(HOUR, size=rng.integers(1, 3), replace=False):
                counts[hour * HOUR + minute] += np.floor(np.exp(rng.uniform(0.0, np.log(most + 1.0))))
        return counts

    return traffic


def growing_plateaus(hours: int, last_per_minute: float) -> Traffic:
    """Each hour a level of its own; they grow over the day, not each of them."""

    def traffic(rng: Rng) -> Floats:
        levels = last_per_minute * np.linspace(0.05, 1.0, hours) * rng.uniform(0.6, 1.4, hours)
        return rng.poisson(np.repeat(levels, HOUR)).astype(float)

    return traffic


def daily_batch(days: int, messages: float, *, weekdays_only: bool = False, shifted_from_day: int = 0) -> Traffic:
    """A batch at nine; on Mondays to Fridays only; an hour earlier from the day on which the clocks change."""

    def traffic(rng: Rng) -> Floats:
        counts = np.zeros(days * DAY)
        for day in range(days):
            if weekdays_only and day % 7 >= 5:
                continue  # a run begins on a Monday
            hour = 8 if shifted_from_day and day >= shifted_from_day else 9
            counts[day * DAY + hour * HOUR] = rng.poisson(messages)
        return counts

    return traffic
