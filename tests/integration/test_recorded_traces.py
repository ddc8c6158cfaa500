"""Recorded traces: made of their publishers' files, and kept only with the right digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sluice_tools.recorded_traces import RECORDED, ROOT, SHIPPED, Recorded, main, run

BY_NAME = {trace.name: trace for trace in RECORDED}
DAY = 1_440


def zipped(text: str) -> bytes:
    """A ZIP file with the flights."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("flights.csv", text)
    return buffer.getvalue()


SEVEN_IN_FIVE = {10: 1, 11: 1, 12: 2, 13: 1, 14: 2}
"""What 7 messages of the five minutes from minute 10 on become."""
LOG = b'a - - [%s:00:%02d:59 -0400] "GET / HTTP/1.0" 200 1\n'
CASES: Mapping[str, tuple[bytes, Mapping[int, int]]] = {
    "nasa_http_1995": (
        gzip.compress(
            b"".join(LOG % pair for pair in [(b"02/Jul/1995", 1), (b"03/Jul/1995", 0), (b"03/Jul/1995", 2)])
            + b'\xe9 - - [03/Jul/1995:00:02:01 -0400] "GET /\xff" 404 -\nno request\n'
        ),
        {0: 1, 2: 2},
    ),
    "wc98_pretournament": (
        b"period,count\n1998-05-10 23:59:00,5\n1998-05-11 00:00:00,820\n1998-05-11 00:03:00,743\n",
        {0: 820, 3: 743},
    ),
    "nab_elb_requests": (
        b"timestamp,value,label,notes\n2014-04-09 23:59:00,9,0,\n2014-04-10 00:14:00,7,0,\n",
        SEVEN_IN_FIVE,
    ),
    "tweets_aapl": (b"timestamp,value\n2015-03-28 00:12:53,7.0\n2015-04-11 00:02:53,3\n", SEVEN_IN_FIVE),
    "lcg_grid_jobs": (
        b"; Version: 2.2\n;\n    1      0     -1\n    2     59     -1\n    3    180     -1\n",
        {0: 2, 3: 1},
    ),
    "bank_calls": (b"DateTime,Calls\n2003-03-03T00:10:00Z,7\n", SEVEN_IN_FIVE),
    "flight_schedule": (
        zipped(
            "year,month,day,dep_time,sched_dep_time\n2013,7,7,1,2359\n2013,7,8,NA,5\n2013,7,8,1,105\n2013,7,9,1,0\n"
        ),
        {5: 1, 65: 1, DAY: 1},
    ),
}
"""By trace: a short raw file, and the minutes that have arrivals."""


def text_of(counts: Mapping[int, int], days: int) -> str:
    """A trace's CSV file."""
    return "minute,arrivals\n" + "".join(f"{minute},{counts.get(minute, 0)}\n" for minute in range(days * DAY))


def like(name: str, **changes: object) -> Recorded:
    """A published trace under a name of its own, with the digest of its short file unless another is given."""
    _, counts = CASES[name]
    sha256 = hashlib.sha256(text_of(counts, BY_NAME[name].days).encode()).hexdigest()
    return replace(BY_NAME[name], **{"name": f"short-{name}", "sha256": sha256, "package": None} | changes)  # type: ignore[arg-type]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str, bytes], str]]:
    """A publisher: puts a file's content on a server of this machine, and answers its address."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def put(name: str, content: bytes) -> str:
            (folder / name).write_bytes(content)
            return f"http://127.0.0.1:{server.server_port}/{name}"

        yield put
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", CASES)
def test_trace_is_made_when_the_raw_file_is_in_the_folder(name: str, tmp_path: Path) -> None:
    """Of each publisher's form, by minutes from the trace's begin; what is before or after it is left out."""
    raw, counts = CASES[name]
    trace = like(name)
    (tmp_path / trace.raw).write_bytes(raw)

    assert run([trace], tmp_path, tmp_path / "out", download=False) == 0
    assert (tmp_path / f"out/{trace.name}.csv").read_text() == text_of(counts, trace.days)
    assert (tmp_path / "out/experiments.csv").read_text().splitlines() == [
        "trace,seconds_per_message",
        f"{trace.name},{trace.seconds_per_message:g}",
    ]


def test_all_traces_have_a_case_when_one_is_added() -> None:
    """None is left untested."""
    assert set(CASES) == set(BY_NAME)


def test_trace_is_fetched_when_its_publisher_offers_it(
    served: Callable[[str, bytes], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The raw file is kept, so that it is fetched once."""
    raw, _ = CASES["wc98_pretournament"]
    trace = like("wc98_pretournament", url=served("invocation_count.csv", raw))

    assert run([trace], tmp_path / "raw", tmp_path / "out", download=True) == 0
    assert (tmp_path / "raw/invocation_count.csv").read_bytes() == raw
    assert "1 of 1 traces" in capsys.readouterr().out
    assert run([replace(trace, url=None)], tmp_path / "raw", tmp_path / "out", download=True) == 0


def test_trace_is_not_kept_when_its_digest_is_another(
    served: Callable[[str, bytes], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both digests are said, and a right trace beside it is made."""
    raw, _ = CASES["wc98_pretournament"]
    wrong = like("wc98_pretournament", sha256="0" * 64, url=served("invocation_count.csv", raw))
    right = like("tweets_aapl")
    (tmp_path / right.raw).write_bytes(CASES["tweets_aapl"][0])

    assert run([wrong, right], tmp_path, tmp_path / "out", download=True) == 1
    told = capsys.readouterr()
    assert f"and not {'0' * 64}: it is not kept" in told.err
    assert "1 of 2 traces" in told.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{right.name}.csv", "experiments.csv"}


@pytest.mark.parametrize(
    ("changes", "download", "told"),
    [
        ({"url": "http://127.0.0.1:9/file"}, False, "its publisher offers it as http://127.0.0.1:9/file"),
        ({"url": "http://127.0.0.1:9/file"}, True, "save it as {path} yourself"),
        ({"package": "no_such_package:data"}, True, "the Python package no_such_package is not installed"),
    ],
)
def test_place_is_said_when_there_is_no_raw_file(
    changes: dict[str, object], download: bool, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which file, and where it belongs."""
    trace = like("lcg_grid_jobs", **changes)

    assert run([trace], tmp_path, tmp_path / "out", download=download) == 1
    err = capsys.readouterr().err
    assert told.format(path=tmp_path / trace.raw) in err
    assert trace.raw in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("content", [b"<html>\xff</html>", b"when,much\n1,2\n", b"\x1f\x8bcut", b""])
def test_trace_is_not_made_when_the_raw_file_is_something_else(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page of HTML in its place, another table, a file that is cut, an empty one: said with the file's name."""
    trace = BY_NAME[name]
    (tmp_path / trace.raw).write_bytes(content)

    assert run([trace], tmp_path, tmp_path / "out", download=False) == 1
    assert trace.raw in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_shipped_traces_are_made_when_nothing_is_fetched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those whose terms allow it are the files that the comparison was made with."""
    names = sorted(path.stem for path in SHIPPED.glob("*.csv"))

    assert names == ["flight_schedule", "nab_elb_requests", "tweets_aapl"]
    assert main([*names, "--no-download", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "3 of 3 traces" in capsys.readouterr().out


def test_name_is_refused_when_no_trace_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As it was typed, with those that there are."""
    with pytest.raises(SystemExit) as ended:
        main(["nasa"])

    assert ended.value.code == 2
    assert "there is no nasa; it may be nasa_http_1995" in capsys.readouterr().err


def test_page_has_what_the_code_has_when_a_trace_changes() -> None:
    """docs/comparison.md names each trace, its raw file, its days, its work and its digest."""
    page = (ROOT / "docs/comparison.md").read_text()

    for trace in RECORDED:
        (row,) = re.findall(rf"^\| `{trace.name}` \| `{re.escape(trace.raw)}`.*$", page, re.MULTILINE)
        assert row.endswith(f"| {trace.days} | {trace.seconds_per_message:g} | `{trace.sha256}` |"), row
