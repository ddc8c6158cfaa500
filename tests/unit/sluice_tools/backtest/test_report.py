"""The report's page: what it says, what is under the cursor, and that nothing in it is taken for markup."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from sluice_tools.backtest.command import backtest
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.report import geometric_mean, render
from sluice_tools.backtest.report_charts import COLUMNS, WIDTH, Point, columns, cost_against_lateness, front, over_time
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.traces import Trace


def runs(name: str = "made", target_wait_s: float = 120.0) -> list[Run]:
    """Three policies on two hours."""
    trace = Trace(name, np.random.default_rng(1).poisson(20.0, 120).astype(np.int64))
    conditions = Conditions(seconds_per_message=10.0, target_wait_s=target_wait_s)
    return [simulate(trace, make(spec), conditions) for spec in ("sluice:hinted=1", "little:beta=2", "keda")]


def test_render_when_one_trace_is_shown() -> None:
    """Every policy with its figures, its decisions under the cursor, the conditions and the seed."""
    page = render(runs())
    for text in ("made: target wait 120 s, boot 60 s", "sluice:hinted=True", "little:beta=2.0", "keda", "Seed 1"):
        assert text in page
    assert re.search(r"<title>day 1 00:0\d:\d\d Scaling out from 0 to \d+", page)
    assert page.count("longest wait, s") == 6  # a text and a title for each policy
    assert "All traces" not in page
    assert "<script" not in page


def test_render_when_several_worlds_are_shown() -> None:
    """A summary for each pair of target and boot before the traces; without details only arrivals over time."""
    page = render([*runs(), *runs("other"), *runs(target_wait_s=300.0)], detailed=False)
    assert page.count("All traces: target wait") == 2
    assert page.count("Arrivals") == 3
    assert "longest wait, s" not in page


def test_render_when_a_trace_is_named_like_markup() -> None:
    """A name is text."""
    page = render(runs("<script>alert(1)</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_front_when_points_are_compared() -> None:
    """Who is dearer and later than another is not on it; the cheaper of two equally late is."""
    points = [Point(name, "red", cost, late) for name, cost, late in (
        ("cheap", 1.0, 0.1), ("good", 1.2, 0.01), ("beaten", 1.3, 0.02), ("equal", 1.4, 0.01), ("safe", 3.0, 0.0),
    )]  # fmt: skip
    assert [point.label for point in front(points)] == ["cheap", "good", "safe"]


def test_cost_against_lateness_when_labels_would_overlap() -> None:
    """Each label has a line of its own."""
    points = [Point(f"policy-{i}", "red", 1.1, 0.01) for i in range(4)]
    root = ET.fromstring(str(cost_against_lateness(points, front(points))))
    heights = sorted(
        float(each.attrib["y"]) for each in root.iter() if each.tag.endswith("text") and "policy" in (each.text or "")
    )
    assert len(set(heights)) == 4
    assert min(b - a for a, b in pairwise(heights)) >= 10.0


def test_render_when_a_policy_foresees() -> None:
    """The clairvoyant is shown, and neither beats nor is beaten."""
    made = runs()
    foreseeing = replace(made[2], policy="clairvoyant", params={}, instance_hours=1.0, late_fraction=0.0)
    page = render([made[0], foreseeing])
    assert "knows the trace" in page
    assert "<td>none</td>" in page


def test_render_when_a_peer_is_better() -> None:
    """The last column names it with its parameters; who is not beaten has none."""
    made = runs()
    page = render([made[0], replace(made[1], instance_hours=made[0].instance_hours / 2, late_fraction=0.0)])
    assert page.count("<td>little:beta=2.0</td>") == 1
    assert page.count("<td>none</td>") == 1
    assert "<td>yes</td>" not in page


def test_over_time_when_a_day_ends_at_the_edge() -> None:
    """The last tick has no label, which would stand outside the page; the unit stands above the highest level."""
    drawn = str(over_time(columns(np.full(1440, 100.0), "mean"), days=1.0, unit="things"))
    marks = re.findall(r'x="([0-9.]+)"[^>]*>(\d\d:00)<', drawn)
    assert marks[0][1] == "00:00"
    assert all(float(x) + 30 < WIDTH for x, _ in marks)
    (unit_y,) = re.findall(r'y="(-?[0-9.]+)">things<', drawn)
    assert float(unit_y) <= -11


def test_charts_when_drawn() -> None:
    """They are well-formed, and a higher value is drawn higher."""
    svg = str(
        over_time(np.array([0.0, 5.0, 10.0]), days=0.1, unit="things", colour="red", limit=4.0, notes=[(0.5, "x")])
    )
    root = ET.fromstring(svg)
    path = next(each.attrib["d"] for each in root.iter() if each.tag.endswith("path"))
    heights = [float(pair.split()[1]) for pair in re.split("[ML]", path)[1:]]
    assert heights[0] > heights[1] > heights[2] == 0.0
    points = [Point("a", "red", 1.1, 0.0), Point("b", "blue", 1.5, 0.1)]
    root = ET.fromstring(str(cost_against_lateness(points, front(points))))
    circles = {(each[0].text or "")[0]: each.attrib for each in root.iter() if each.tag.endswith("circle")}
    assert float(circles["a"]["cx"]) < float(circles["b"]["cx"])
    assert float(circles["a"]["cy"]) > float(circles["b"]["cy"])


@pytest.mark.parametrize(("kind", "first"), [("highest", 42.0), ("mean", 1.0)])
def test_columns_when_a_series_is_long(kind: str, first: float) -> None:
    """A spike of a minute is seen among a fortnight's highest values, and not in the mean."""
    series = np.zeros(20_160)
    series[3] = 42.0
    drawn = columns(series, kind)
    assert len(drawn) <= COLUMNS
    assert drawn[0] == pytest.approx(first, abs=0.1)


def test_geometric_mean_when_ratios_are_averaged() -> None:
    """Twice and half make one."""
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)


def test_backtest_when_a_report_is_asked_for(tmp_path: Path) -> None:
    """The page is written, folders and all."""
    path, trace = tmp_path / "out" / "page.html", tmp_path / "hour.csv"
    trace.write_text("minute,arrivals\n" + "".join(f"{minute},{6 + minute % 7}\n" for minute in range(60)))
    assert backtest(trace=str(trace), seconds_per_message=8, policy=["fixed", "little"], jobs=1, report=path) == 0
    assert "hour: target wait 120 s" in path.read_text()
