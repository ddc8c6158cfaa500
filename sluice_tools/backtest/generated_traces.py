"""Generated traffic, seeded: the shapes that queues are known for. Two days of minutes each, unless said otherwise."""

from collections.abc import Callable, Mapping

import numpy as np

from sluice_tools.backtest.conditions import MINUTE_S
from sluice_tools.backtest.traces import Counts, Times, Trace

DAY = 1440  # minutes

type Rng = np.random.Generator


def generated_trace(name: str, seed: int, days: int = 2) -> Trace:
    """A generated trace: Poisson counts about the shape's rate.

    Args:
        name: one of `SHAPES`.
        seed: the same seed gives the same trace.
        days: how long, from 1 on.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    per_minute = SHAPES[name](np.arange(days * DAY, dtype=np.float64), rng)
    counts: Counts = rng.poisson(np.maximum(0.0, per_minute)).astype(np.int64)
    return Trace(name, counts)


def diurnal(t: Times, rng: Rng) -> Times:  # noqa: ARG001 - nothing random but the counts
    """Quiet nights, busy afternoons."""
    return 40.0 - 30.0 * np.cos(2.0 * np.pi * (t - 180.0) / DAY)


def flash_crowd(t: Times, rng: Rng) -> Times:
    """A steady trickle; now and then thirty times as much within three minutes, fading over an hour."""
    rate = np.full(len(t), 10.0)
    for start in rng.choice(len(t) - 120, size=max(1, len(t) // DAY * 2), replace=False):
        since = t - start
        rate += np.where(since >= 0, 300.0 * np.clip(since / 3.0, 0.0, 1.0) * np.exp(-np.maximum(0.0, since) / 20.0), 0)
    return rate


def hourly_batch(t: Times, rng: Rng) -> Times:
    """A little all the time, and a batch of a few hundred at each full hour."""
    batches = rng.integers(200, 600, size=len(t) // 60 + 1)
    return 3.0 + np.where(t % 60 == 0, batches[(t // 60).astype(np.int64)], 0.0)


def on_off(t: Times, rng: Rng) -> Times:
    """Periods of work and of nothing in turn, each about forty minutes."""
    rate = np.zeros(len(t))
    at, on = 0, False
    while at < len(t):
        period = 5 + int(rng.exponential(35.0))
        rate[at : at + period] = 60.0 if on else 0.0
        at, on = at + period, not on
    return rate


def step(t: Times, rng: Rng) -> Times:  # noqa: ARG001 - nothing random but the counts
    """A level, after a day's half four times that level, and back."""
    return np.where((t % DAY >= DAY / 4) & (t % DAY < 3 * DAY / 4), 80.0, 20.0)


def slow_ramp(t: Times, rng: Rng) -> Times:  # noqa: ARG001 - nothing random but the counts
    """From next to nothing to a hundred a minute, over all of it."""
    return 2.0 + 98.0 * t / max(1.0, float(t[-1]))


def retry_storm(t: Times, rng: Rng) -> Times:
    """A steady load; three outages a day, after each of which all that failed comes again in waves that double."""
    rate = np.full(len(t), 30.0)
    for start in rng.choice(len(t) - 90, size=max(1, len(t) // DAY * 3), replace=False):
        rate[start : start + 10] = 0.0
        for wave, minute in enumerate((10, 11, 13, 17, 25, 41)):
            rate[start + minute : start + minute + 1] += 400.0 / 2.0**wave
    return rate


def bursts(t: Times, rng: Rng) -> Times:
    """Self-similar bursts: many sources, each on and off for heavy-tailed (Pareto 1.4) periods.

    Willinger et al., "Self-similarity through high-variability", IEEE/ACM Transactions on Networking 5 (1997).
    """
    rate = np.zeros(len(t))
    for _ in range(40):
        at, on = 0, bool(rng.random() < 0.2)
        while at < len(t):
            period = 1 + int(min(len(t), (rng.pareto(1.4) + 1.0) * (4.0 if on else 16.0)))
            if on:
                rate[at : at + period] += 5.0
            at, on = at + period, not on
    return rate


SHAPES: Mapping[str, Callable[[Times, Rng], Times]] = {
    "diurnal": diurnal,
    "flash-crowd": flash_crowd,
    "hourly-batch": hourly_batch,
    "on-off": on_off,
    "step": step,
    "slow-ramp": slow_ramp,
    "retry-storm": retry_storm,
    "bursts": bursts,
}

# Seconds per message that give each shape a mean load of about four to ten instances.
SECONDS_PER_MESSAGE: Mapping[str, float] = {
    "diurnal": 10.0,
    "flash-crowd": 15.0,
    "hourly-batch": 30.0,
    "on-off": 10.0,
    "step": 8.0,
    "slow-ramp": 8.0,
    "retry-storm": 12.0,
    "bursts": MINUTE_S / 10.0,
}
