"""The whole story of the demo on the deployed sandbox, and what it proves; and that its audit can fail."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from rich.console import Console

from sluice.model.draining import DrainOutcome
from sluice_tools import iam_audit
from sluice_tools.demo.__main__ import audit_of, run_story, write_results
from sluice_tools.demo.acts import ACTS, Story
from sluice_tools.demo.audit import Audit
from sluice_tools.demo.environment import FLEET, SLUICE_STACK, DemoEnvironment
from sluice_tools.demo.sandbox import DASHBOARD_VIEW, FAILING_SKU, how_to_fix, what_to_try
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.story_time import in_story
from sluice_tools.order_traffic import FrontEnd
from sluice_tools.sandbox import sandbox as sandbox_module
from sluice_tools.sandbox.sandbox import REGION, ROOT

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, run once; its environment is up while the tests use it."""
    if problem := sandbox_module.missing():
        pytest.skip(f"DEMO NOT TESTED: {problem}")
    directory: Path = tmp_path_factory.mktemp("demo")
    with run_story(Console(file=io.StringIO(), width=200), DemoSettings(), directory / "state") as finished:
        yield finished


@pytest.fixture(scope="module")
def audit(story: Story) -> Audit:
    """The audit of that story."""
    return audit_of(story)


def test_every_act_ends_when_the_story_runs(story: Story) -> None:
    """Each act ended with what it waited for."""
    assert [span.title for span in story.spans] == [act.title for act in ACTS]


def test_audit_passes_when_the_story_is_run(story: Story, audit: Audit) -> None:
    """Nothing lost, charged twice, interrupted or late."""
    assert audit.failures(len(story.poison)) == []


def test_long_order_is_finished_when_its_instance_is_terminated(story: Story, audit: Audit) -> None:
    """Twenty seconds of work, begun before the termination: the instance finishes it and ends only then."""
    assert story.demo.worked_by(story.long_order) == story.long_instance
    assert audit.drained_order_s >= 0.7 * story.settings.long_work_s
    drain = story.demo.ports.ledger.drains.drain(FLEET, story.long_instance)
    assert drain is not None
    assert drain.outcome is DrainOutcome.COMPLETED


def test_fleet_scaled_out_and_in_when_traffic_did(story: Story, audit: Audit) -> None:
    """The burst took several consumers, and the fleet was at zero before the late order."""
    assert audit.peak_capacity >= 3
    last_act = story.spans[-1].began_at
    assert any(s.working + s.launching + s.draining == 0 for s in story.watcher.observations.samples if s.at > last_act)


def test_page_and_pictured_timeline_have_the_story_when_it_is_over(story: Story, audit: Audit, tmp_path: Path) -> None:
    """Each act with the time at which its band begins; `make pictures` puts the picture among the documents."""
    write_results(story, audit, tmp_path)

    text = (tmp_path / "index.html").read_text()
    for number, span in enumerate(story.spans, start=1):
        title = re.escape(str(escape(span.title)))
        moment = in_story(span.began_at, story.began_at)
        assert re.search(rf'<td class="number">{moment}</td><td><strong>Act {number}: {title}</strong>', text)
    assert str(escape(audit.cost())) in text
    if os.environ.get("SLUICE_UPDATE_DOCS") == "1":
        shutil.copy(tmp_path / "timeline.png", ROOT / "docs/img/timeline.png")


def test_order_page_and_widget_are_pictured_when_there_is_a_browser(story: Story) -> None:
    """An order was placed on the one, and counted; the other shows the two failure groups."""
    if story.pictures.missing == "Chromium is not installed":
        pytest.skip("PICTURES NOT TESTED: install Debian's package chromium-headless-shell")
    assert story.pictures.missing == ""
    assert all(one.png.startswith(b"\x89PNG") and len(one.png) > 10_000 for one in story.pictures.taken)
    assert len(story.pictures.taken) == 2


def test_iam_is_enough_and_nothing_spare_when_the_story_is_run(story: Story) -> None:
    """No call of a function was refused, and no grant went unused without a reason."""
    sandbox = story.demo.sandbox
    report = iam_audit.audit_stack(sandbox.client("iam"), sandbox.calls(), SLUICE_STACK, REGION)
    assert report.holds, str(report)


def test_failing_order_is_stored_when_the_lines_of_make_sandbox_are_pasted(
    story: Story, eventually: Callable[..., Any]
) -> None:
    """The order page says that the order is dead-lettered; the printed lines fix its cause and send it back."""
    demo = story.demo
    printed = what_to_try(demo, "http://127.0.0.1:1/" + DASHBOARD_VIEW, "")
    assert how_to_fix(demo) in printed
    (exports,) = re.findall(r"^ +(export .*)$", printed, re.MULTILINE)
    # The story has put an end to this item's failing already.
    lines = how_to_fix(demo).replace(FAILING_SKU, "teapot-iron")
    order_id = str(uuid.uuid4())
    FrontEnd(demo.front_end_url).place(order_id, "teapot-iron")
    eventually(lambda: status(demo, order_id) == ("dead-lettered", "UnknownItem: teapot-iron"))
    eventually(lambda: story.quarantined() == 1)

    done = subprocess.run(
        ["bash", "-eu", "-c", f"{exports}\n{lines}"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    eventually(lambda: status(demo, order_id) == ("stored", None))


def status(demo: DemoEnvironment, order_id: str) -> tuple[str, str | None]:
    """What the order page shows of an order."""
    with urllib.request.urlopen(f"{demo.front_end_url}orders/{order_id}", timeout=30) as answer:
        shown = json.loads(answer.read())
    return shown["status"], shown.get("cause")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lost": 1}, "lost"),
        ({"charged_twice": 1}, "charged twice"),
        ({"interrupted": 1}, "interrupted"),
        ({"quarantined": 0}, "quarantined"),
        ({"redriven": 0}, "redriven"),
        ({"drains": 0}, "drained"),
        ({"drained_order_s": 0.0}, "draining"),
        ({"wait_p99_s": 20.01}, "target"),
        ({"stored": 99}, "stored"),
        ({"fixed_fleet_instance_seconds": 1.0}, "fixed at peak"),
    ],
)
def test_audit_says_what_does_not_hold_when_one_figure_is_wrong(change: dict[str, float], said: str) -> None:
    """Each check of the audit can fail, and names what is wrong."""
    good = Audit(
        sent=100,
        stored=100,
        lost=0,
        charged_twice=0,
        quarantined=6,
        redriven=6,
        drains=3,
        interrupted=0,
        drained_order_s=21.0,
        peak_capacity=5,
        wait_p50_s=1.0,
        wait_p99_s=12.0,
        wait_max_s=14.0,
        target_wait_s=20.0,
        late_share=0.0,
        instance_seconds=300.0,
        fixed_fleet_instance_seconds=900.0,
        target_tracking_instance_seconds=400.0,
        target_tracking_late_share=0.25,
    )
    assert good.failures(6) == []
    (failure,) = replace(good, **change).failures(6)  # type: ignore[arg-type] # numbers, by their names
    assert said in failure
