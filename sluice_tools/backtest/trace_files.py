"""Traces from files: minutes, ISO timestamps or epoch seconds as CSV, and what CloudWatch's console and AWS CLI write.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Datapoint.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataResult.html have the two forms of JSON.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import gcd, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from sluice_tools.backtest.conditions import MINUTE_S
from sluice_tools.backtest.traces import FLAT_MINUTES, Counts, Trace, TraceError

MINUTES_MAX = 60 * 24 * 366  # a year
ARRIVALS_MAX = 10_000_000  # a minute: more than any fleet that is simulated works off
EPOCH_LEAST = 100_000_000.0  # seconds: smaller numbers are minutes, or nothing
EPOCH_MOST = 10_000_000_000.0  # seconds: greater numbers are milliseconds
TIME_FORMS = "an ISO timestamp such as 2026-11-30T09:00:00Z, or epoch seconds"
MINUTES = ["minute", "arrivals"]


@dataclass(frozen=True, slots=True)
class _Row:
    minute: int
    arrivals: int
    where: str


def read(path: Path) -> tuple[Trace, tuple[str, ...]]:
    """A file's arrivals per minute, from its first minute to its last. Minutes that it leaves out have none.

    A CSV file has whole arrivals in its second column. Its first column has minutes from 0 under the header
    `minute,arrivals`, or timestamps; lines above the first timestamp are skipped. A JSON file is what
    `aws cloudwatch get-metric-statistics` or `get-metric-data` printed. Timestamps may be in any order. If they are
    five minutes apart throughout, each count is spread over its five minutes.

    Returns:
        The trace, and what was taken for granted of its file, in sentences.

    Raises:
        TraceError: the file cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: must be UTF-8 text") from error
    by_number = False
    if text.lstrip()[:1] in ("{", "["):
        rows = _of_json(text, str(path))
    else:
        by_number, rows = _of_csv(text, str(path))
    if not any(row.arrivals for row in rows):
        raise TraceError(f"{path}: must have at least one arrival")
    first, step = (_first_minute(rows), 1) if by_number else _grid(rows, str(path))
    counts = _filled(rows, first, step)
    notes = []
    if missing := len(counts) - len(rows) * step:
        notes.append(f"{path}: {missing} of {len(counts)} minutes missing; taken as minutes without arrivals.")
    if step > 1:
        notes.append(f"{path}: one count for each {step} minutes; spread over them.")
    return Trace(path.stem, counts), tuple(notes)


# --------------------------------------------------------------------------- from rows to a trace


def _first_minute(rows: list[_Row]) -> int:
    """Numbered minutes begin at 0, whichever is the first in the file."""
    for before, row in pairwise(rows):
        if row.minute <= before.minute:
            raise TraceError(f"{row.where}: minutes must ascend (got {row.minute} after {before.minute})")
    return 0


def _grid(rows: list[_Row], path: str) -> tuple[int, int]:
    """The first minute of timestamps in any order, and how many minutes each count is of. Sorts the rows."""
    rows.sort(key=lambda row: row.minute)
    steps = [after.minute - before.minute for before, after in pairwise(rows)]
    if 0 in steps:
        raise TraceError(f"{rows[steps.index(0) + 1].where}: must be the only count of its minute")
    step = gcd(*steps) or 1
    if step not in (1, FLAT_MINUTES):
        raise TraceError(
            f"{path}: must have a count for each minute, or for each {FLAT_MINUTES} minutes"
            f" (got one for each {step}; write 0 for minutes without arrivals)"
        )
    return rows[0].minute, step


def _filled(rows: list[_Row], first: int, step: int) -> Counts:
    """Whole counts by the minute. Those of one step differ by one at most."""
    length = rows[-1].minute + step - first
    if length > MINUTES_MAX:
        raise TraceError(f"{rows[-1].where}: must be within a year of the first minute, {MINUTES_MAX} minutes")
    totals = np.zeros(length // step, dtype=np.int64)
    totals[[(row.minute - first) // step for row in rows]] = [row.arrivals for row in rows]
    each, left = np.divmod(totals, step)
    counts = each[:, None] + (np.arange(step) < left[:, None])
    return counts.reshape(-1).astype(np.int64)


# --------------------------------------------------------------------------- rows


def _of_csv(text: str, path: str) -> tuple[bool, list[_Row]]:
    """Whether the first column has numbers of minutes, and the rows."""
    rows = csv.reader(text.splitlines())
    found: list[_Row] = []
    by_number = False
    head = ""
    try:
        for line, fields in enumerate(([field.strip() for field in row] for row in rows), 1):
            where = f"{path}: line {line}"
            if not any(fields):
                continue
            if line == 1 and fields == MINUTES:
                by_number = True
            elif by_number:
                found.append(_numbered(fields, where))
            elif not found and _time(fields[0]) is None:
                if _number(fields[0]) is not None:  # a count whose time cannot be read, rather than a line of a head
                    raise TraceError(_neither(fields, where))
                head = head or _neither(fields, where)
            else:
                found.extend(_timed(fields, where))
    except csv.Error as error:
        raise TraceError(f"{path}: cannot be read as CSV: {error}") from error
    if not found:
        raise TraceError(head or f"{path}: must have at least one arrival")
    return by_number, found


def _numbered(fields: list[str], where: str) -> _Row:
    minute, arrivals = (_number(field) for field in fields) if len(fields) == len(MINUTES) else (None, None)
    if minute is None or arrivals is None or minute % 1 or arrivals % 1:
        raise TraceError(f"{where}: must be two whole numbers (got {_cut(fields)})")
    if not 0 <= minute < MINUTES_MAX:
        raise TraceError(f"{where}: minutes must ascend from 0, to {MINUTES_MAX - 1} at most (got {fields[0][:40]})")
    return _Row(int(minute), _arrivals(arrivals, where), where)


def _timed(fields: list[str], where: str) -> Iterator[_Row]:
    at = _time(fields[0])
    if at is None:
        raise TraceError(f"{where}: must begin with {TIME_FORMS} (got {_cut(fields)})")
    if len(fields) != len(MINUTES):
        raise TraceError(
            f"{where}: must be a timestamp and one count (got {_cut(fields)}); export one metric, with Sum"
        )
    if not fields[1]:
        return  # CloudWatch has no value there
    arrivals = _number(fields[1])
    if arrivals is None:
        raise TraceError(f"{where}: arrivals must be a whole number (got {fields[1][:60]})")
    yield _Row(int(at // MINUTE_S), _arrivals(arrivals, where), where)


def _of_json(text: str, path: str) -> list[_Row]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: cannot be read as JSON: {error}") from error
    if isinstance(answer, dict) and isinstance(answer.get("Datapoints"), list):
        pairs = [_of_datapoint(each, f"{path}: Datapoints[{index}]") for index, each in enumerate(answer["Datapoints"])]
        where = "Datapoints"
    elif isinstance(answer, dict) and isinstance(answer.get("MetricDataResults"), list):
        if answer.get("NextToken"):
            raise TraceError(f"{path}: must be the whole answer (got one page, with a NextToken)")
        pairs = _of_results(answer["MetricDataResults"], f"{path}: MetricDataResults")
        where = "Values"
    else:
        raise TraceError(
            f"{path}: must be what aws cloudwatch get-metric-statistics or get-metric-data printed,"
            " with Datapoints or MetricDataResults"
        )
    return [_of_pair(at, value, f"{path}: {where}[{index}]") for index, (at, value) in enumerate(pairs)]


def _of_datapoint(point: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(point, dict) or "Timestamp" not in point or "Sum" not in point:
        raise TraceError(f"{where}: must have Timestamp and Sum; ask for --statistics Sum")
    return point["Timestamp"], point["Sum"]


def _of_results(results: list[Any], where: str) -> list[tuple[Any, Any]]:
    """AWS CLI joins pages, so that one metric may come in several parts."""
    pairs: list[tuple[Any, Any]] = []
    for result in results:
        times, values = (result.get(key) if isinstance(result, dict) else None for key in ("Timestamps", "Values"))
        if not isinstance(times, list) or not isinstance(values, list) or len(times) != len(values):
            raise TraceError(f"{where}: each must have as many Timestamps as Values")
        pairs.extend(zip(times, values, strict=True))
    if len({str(result.get("Id")) for result in results}) > 1:
        raise TraceError(f"{where}: must be of one metric, with Sum (got {len(results)})")
    return pairs


def _of_pair(at: Any, value: Any, where: str) -> _Row:
    seconds, arrivals = _time(str(at)), _number(str(value))
    if seconds is None:
        raise TraceError(f"{where}: must have {TIME_FORMS} (got {str(at)[:60]})")
    if arrivals is None:
        raise TraceError(f"{where}: arrivals must be a whole number (got {str(value)[:60]})")
    return _Row(int(seconds // MINUTE_S), _arrivals(arrivals, where), where)


# --------------------------------------------------------------------------- fields


def _arrivals(value: float, where: str) -> int:
    if value < 0:
        raise TraceError(f"{where}: arrivals must be at least 0 (got {value:g})")
    if value > ARRIVALS_MAX:
        raise TraceError(f"{where}: arrivals must be at most {ARRIVALS_MAX} a minute (got {value:g})")
    if value % 1:
        raise TraceError(f"{where}: arrivals must be a whole number (got {value:g}); is the statistic Sum?")
    return int(value)


def _number(text: str) -> float | None:
    """A finite number, written in digits; None for what is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and "_" not in text else None


def _time(text: str) -> float | None:
    """Epoch seconds of a timestamp; without an offset it is UTC."""
    number = _number(text)
    if number is not None:
        return number if EPOCH_LEAST <= number < EPOCH_MOST else None
    try:
        moment = datetime.fromisoformat(text.replace("/", "-"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _neither(fields: list[str], where: str) -> str:
    return f"{where}: must be the header {','.join(MINUTES)}, or begin with {TIME_FORMS} (got {_cut(fields)})"


def _cut(fields: list[str]) -> str:
    return ",".join(fields)[:60]
