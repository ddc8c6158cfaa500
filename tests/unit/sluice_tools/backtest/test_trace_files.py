"""Traces from files: minutes, timestamps, what CloudWatch's console and AWS CLI write, gaps, and files with faults."""

import json
from pathlib import Path

import pytest

from sluice_tools.backtest.trace_files import read
from sluice_tools.backtest.traces import TraceError, is_flat

NINE = 1_796_029_200  # epoch seconds of 2026-11-30T09:00:00Z
STATISTICS = {
    "Label": "NumberOfMessagesSent",
    "Datapoints": [
        {"Timestamp": "2026-11-30T09:02:00+00:00", "Sum": 4.0, "Unit": "Count"},
        {"Timestamp": "2026-11-30T09:00:00+00:00", "Sum": 3.0, "Unit": "Count"},
        {"Timestamp": "2026-11-30T09:01:00+00:00", "Sum": 0.0, "Unit": "Count"},
    ],
}


CONSOLE = (
    "\ufeffFull label,NumberOfMessagesSent\nLabel,NumberOfMessagesSent\nPeriod (seconds),60\n\n"
    "2026/11/30 09:00:00,3\n2026/11/30 09:01:00,0\n2026/11/30 09:02:00,4\n"
)


def results(*parts: tuple[str, list[object], list[object]], **more: object) -> str:
    """What get-metric-data prints."""
    found = [
        {"Id": key, "Label": key, "Timestamps": at, "Values": of, "StatusCode": "Complete"} for key, at, of in parts
    ]
    return json.dumps({"MetricDataResults": found, "Messages": [], **more}, indent=4)


def a_file(tmp_path: Path, text: str | bytes) -> Path:
    """A trace's file."""
    path = tmp_path / "made.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "minute,arrivals\n0,3\n1,0\n2,4\n",
        "\ufeffminute,arrivals\r\n0,3\r\n1,0\r\n2,4\r\n",  # as a spreadsheet writes it
        "minute, arrivals\n0,3\n\n1,0.0\n2, 4\n",
        "time,count\n2026-11-30T09:00:00Z,3\n2026-11-30T09:01:00Z,0\n2026-11-30T09:02:00Z,4\n",
        "2026-11-30 10:00:00+01:00,3\n2026-11-30 10:01:00+01:00,0\n2026-11-30 10:02:00+01:00,4\n",
        "t,n\n2026-11-30 09:02,4\n2026-11-30 09:01,0\n2026-11-30 09:00,3\n",  # the newest first
        f"epoch,n\n{NINE},3\n{NINE + 60},0\n{NINE + 120}.5,4\n",
        CONSOLE,
        json.dumps(STATISTICS, indent=4),
        results(("sent", ["2026-11-30T09:02:00Z", "2026-11-30T09:01:00Z", "2026-11-30T09:00:00Z"], [4.0, 0.0, 3.0])),
        results(("sent", [NINE, NINE + 60], [3, 0]), ("sent", [NINE + 120], [4])),  # two pages, joined
    ],
)
def test_read_when_a_form_is_known(tmp_path: Path, text: str) -> None:
    """Each form gives the same trace, and nothing was taken for granted."""
    trace, notes = read(a_file(tmp_path, text))
    assert trace.name == "made"
    assert trace.counts.tolist() == [3, 0, 4]
    assert (trace.minutes, trace.total) == (3, 7)
    assert notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "minute,arrivals\n0,3\n1,2\n3,4\n",
        f"epoch,n\n{NINE},3\n{NINE + 60},2\n{NINE + 180},4\n",
        f"epoch,n\n{NINE},3\n{NINE + 60},2\n{NINE + 120},\n{NINE + 180},4\n",  # CloudWatch had no value
    ],
)
def test_read_when_minutes_are_left_out(tmp_path: Path, text: str) -> None:
    """They are taken as without arrivals, and that is said."""
    trace, notes = read(a_file(tmp_path, text))
    assert trace.counts.tolist() == [3, 2, 0, 4]
    assert [note.partition(": ")[2] for note in notes] == ["1 of 4 minutes missing; taken as minutes without arrivals."]


def test_read_when_counts_are_of_five_minutes(tmp_path: Path) -> None:
    """Each is spread over its minutes in whole messages, and that is said; what is missing is of five minutes too."""
    rows = [(0, 7), (5, 10), (15, 3)]
    trace, notes = read(a_file(tmp_path, "".join(f"{NINE + 60 * minute},{count}\n" for minute, count in rows)))
    assert trace.counts.tolist() == [2, 2, 1, 1, 1] + [2] * 5 + [0] * 5 + [1, 1, 1, 0, 0]
    assert [note.partition(": ")[2] for note in notes] == [
        "5 of 20 minutes missing; taken as minutes without arrivals.",
        "one count for each 5 minutes; spread over them.",
    ]


def test_read_when_counts_are_of_five_minutes_for_a_day(tmp_path: Path) -> None:
    """The backtest knows such a source, and draws its minutes."""
    rows = [(5 * block, 40 + block % 30) for block in range(288)]
    trace, _ = read(a_file(tmp_path, "".join(f"{NINE + 60 * minute},{count}\n" for minute, count in rows)))
    assert trace.total == sum(count for _, count in rows)
    assert is_flat(trace)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,count\n0,1\n", "line 2: must be the header minute,arrivals, or begin with an ISO timestamp"),
        ("time,count\n", "line 1: must be the header minute,arrivals, or begin with an ISO timestamp"),
        ("", "must have at least one arrival"),
        ("minute,arrivals\n", "must have at least one arrival"),
        ("minute,arrivals\n0,x\n", "line 2: must be two whole numbers"),
        ("minute,arrivals\n0,inf\n", "line 2: must be two whole numbers"),
        ("minute,arrivals\n0,nan\n", "line 2: must be two whole numbers"),
        ("minute,arrivals\n0,1.5\n", "line 2: must be two whole numbers"),
        ("minute,arrivals\n1,1\n0,1\n", "line 3: minutes must ascend"),
        ("minute,arrivals\n0,-1\n", "line 2: arrivals must be at least 0"),
        ("minute,arrivals\n0,1000000000000\n", r"line 2: arrivals must be at most 10000000 a minute \(got 1e\+12\)"),
        ("minute,arrivals\n99999999999,1\n", "line 2: minutes must ascend from 0, to 527039 at most"),
        ("minute,arrivals\n0,0\n", "at least one arrival"),
        ("minute,arrivals\n0,1,2\n", "line 2: must be two whole numbers"),
        (f"epoch,n\n{NINE},1\n{NINE + 59},2\n", "line 3: must be the only count of its minute"),
        (f"epoch,n\n{NINE},1\nyesterday,2\n", "line 3: must begin with an ISO timestamp"),
        (f"epoch,n\n{NINE}000,1\n", r"line 2: must be the header .*, or epoch seconds"),
        (f"epoch,n\n{NINE},1,2\n", "line 2: must be a timestamp and one count"),
        (f"epoch,n\n{NINE},nan\n", "line 2: arrivals must be a whole number"),
        (f"epoch,n\n{NINE},1.25\n", r"line 2: arrivals must be a whole number \(got 1.25\); is the statistic Sum"),
        (f"epoch,n\n{NINE},1\n{NINE + 3600},2\n", "one for each 60; write 0 for minutes without arrivals"),
        (f"epoch,n\n{NINE},1\n{NINE + 60},1\n{NINE * 2},2\n", "line 4: must be within a year of the first minute"),
        ("{", "cannot be read as JSON"),
        ("[]", "must be what aws cloudwatch get-metric-statistics or get-metric-data printed"),
        ("{}", "must be what aws cloudwatch get-metric-statistics or get-metric-data printed"),
        ('{"Datapoints": [{"Timestamp": "2026-11-30T09:00:00Z", "Average": 1}]}', "ask for --statistics Sum"),
        ('{"Datapoints": []}', "at least one arrival"),
        ('{"Datapoints": [{"Timestamp": "x", "Sum": 1}]}', r"Datapoints\[0\]: must have an ISO timestamp"),
        ('{"Datapoints": [{"Timestamp": "2026-11-30T09:00:00Z", "Sum": NaN}]}', "arrivals must be a whole number"),
        (results(("a", [NINE], [1]), ("b", [NINE], [1])), r"must be of one metric, with Sum \(got 2\)"),
        (results(("a", [NINE], [])), "must have as many Timestamps as Values"),
        (results(("a", [NINE], [1]), NextToken="more"), "must be the whole answer"),
        ('{"MetricDataResults": [1]}', "must have as many Timestamps as Values"),
        ("minute,arrivals\n0,1\n".encode("utf-16"), "must be UTF-8 text"),
    ],
)  # fmt: skip
def test_read_when_a_file_has_faults(tmp_path: Path, text: str | bytes, says: str) -> None:
    """The line is named, and what would be right."""
    with pytest.raises(TraceError, match=says):
        read(a_file(tmp_path, text))


def test_read_when_there_is_no_file(tmp_path: Path) -> None:
    """Said as such; a folder is none."""
    with pytest.raises(TraceError, match="cannot be read"):
        read(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="cannot be read"):
        read(tmp_path)
