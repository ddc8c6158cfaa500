"""Traffic: arrivals per minute, and when within its minute each message comes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sluice_tools.backtest.conditions import MINUTE_S

FLAT_MINUTES = 5  # the longest source interval that is looked for
FLAT_SHARE = 0.98  # of a coarse source's blocks are flat; a real minute-by-minute series is nowhere near

type Counts = npt.NDArray[np.int64]
type Times = npt.NDArray[np.float64]


class TraceError(ValueError):
    """A trace that cannot be used, in words that name the line."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals per minute."""

    name: str
    counts: Counts

    @property
    def minutes(self) -> int:
        """How long it is."""
        return len(self.counts)

    @property
    def total(self) -> int:
        """All its messages."""
        return int(self.counts.sum())


def is_flat(trace: Trace) -> bool:
    """Whether its source knew five minutes at a time: whole counts spread evenly differ by one at most."""
    whole = trace.minutes // FLAT_MINUTES * FLAT_MINUTES
    blocks = trace.counts[:whole].reshape(-1, FLAT_MINUTES)
    used = blocks[blocks.max(axis=1) > 1] if len(blocks) else blocks
    if len(used) < 12:
        return False
    return bool(np.mean(used.max(axis=1) - used.min(axis=1) <= 1) >= FLAT_SHARE)


def roughened(trace: Trace, seed: int) -> Trace:
    """The trace; where its source was flat over five minutes, Poisson counts per minute about each block's mean."""
    if not is_flat(trace):
        return trace
    padded = np.pad(trace.counts, (0, -trace.minutes % FLAT_MINUTES))
    means = padded.reshape(-1, FLAT_MINUTES).mean(axis=1).repeat(FLAT_MINUTES)[: trace.minutes]
    counts = np.random.default_rng([seed, 5]).poisson(means).astype(np.int64)
    return Trace(trace.name, counts)


def times(trace: Trace, seed: int) -> Times:
    """When each message comes, in seconds, ascending: at random within its minute."""
    starts = np.repeat(np.arange(trace.minutes) * MINUTE_S, trace.counts)
    within = np.random.default_rng([seed, 1]).random(len(starts)) * MINUTE_S
    return np.sort(starts + within)
