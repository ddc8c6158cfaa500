"""The backtest's report in a real browser; `make pictures` makes the documents' picture of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.report import render, write
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import with_bounds
from sluice_tools.backtest.trace_files import read
from sluice_tools.backtest.traces import Trace
from sluice_tools.sandbox.sandbox import ROOT
from tests.support.chromium import launched

pytestmark = pytest.mark.browser

POLICIES = ("sluice", "keda", "target-tracking", "fixed")
FROM_MINUTE, MINUTES = 120, 240
"""Of examples/plan/orders.csv: a rise, and a burst in its last hour."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    yield from launched()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on four hours of traffic: Sluice, two peers and a fixed fleet."""
    orders, _ = read(ROOT / "examples/plan/orders.csv")
    trace = Trace("orders", orders.counts[FROM_MINUTE : FROM_MINUTE + MINUTES])
    conditions = Conditions(seconds_per_message=4.0)
    runs = with_bounds([simulate(trace, make(name), conditions) for name in POLICIES], [(trace, conditions)], jobs=1)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write(path, render(runs))
    return path


@pytest.mark.parametrize("width", [420, 1100])
def test_report_is_whole_and_pictured_when_it_is_opened(browser: Browser, report: Path, width: int) -> None:
    """Each policy has its row, nothing is loaded from elsewhere, and nothing sticks out of a narrow window."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 1_000}, device_scale_factor=1.5)
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith("file:") else None)
    page.goto(report.as_uri())

    assert {row.split("\t")[0].strip() for row in page.locator("tbody tr").all_inner_texts()} >= set(POLICIES)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width > 1_000:
        wanted = os.environ.get("SLUICE_UPDATE_DOCS") == "1"
        folder = ROOT / ("docs/img" if wanted else "build/screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / "backtest-report.png")
    page.close()
    assert complaints == []
