"""Traffic: arrivals per minute from a file, and when within its minute each message comes."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sluice_tools.backtest.conditions import MINUTE_S

MINUTES_MAX = 60 * 24 * 366  # a year
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


def read(path: Path) -> Trace:
    """A CSV file: header `minute,arrivals`; whole arrivals of each minute from 0 on. Minutes left out have none.

    Raises:
        TraceError: the file cannot be used.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if header != ["minute", "arrivals"]:
                raise TraceError(f"{path}: line 1: must be minute,arrivals (got {','.join(header)[:60]})")
            counts: list[int] = []
            for line, row in enumerate(rows, 2):
                _take(counts, row, f"{path}: line {line}")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: must be UTF-8 text") from error
    if not any(counts):
        raise TraceError(f"{path}: must have at least one arrival")
    return Trace(path.stem, np.array(counts, dtype=np.int64))


def _take(counts: list[int], row: list[str], where: str) -> None:
    if not row:
        return
    try:
        minute, arrivals = (int(field) for field in row)
    except ValueError as error:
        raise TraceError(f"{where}: must be two whole numbers (got {','.join(row)[:60]})") from error
    if not len(counts) <= minute < MINUTES_MAX:
        raise TraceError(f"{where}: minutes must ascend, to {MINUTES_MAX - 1} at most (got {minute})")
    if arrivals < 0:
        raise TraceError(f"{where}: arrivals must be at least 0 (got {arrivals})")
    counts.extend([0] * (minute - len(counts)))
    counts.append(arrivals)


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
