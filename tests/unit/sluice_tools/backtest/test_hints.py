"""Hints of the simulated Sluice: from options, from a fleet's document, and from what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from sluice_tools import cli
from sluice_tools.backtest import command
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.hints import Known, hinted, known
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import Task, run_task
from sluice_tools.backtest.traces import Trace

DOCUMENT = {
    "queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
    "group": "orders",
    "target_wait_s": 90,
}


def a_fleet(tmp_path: Path, **hints: float) -> Path:
    """A fleet's document in a file."""
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(DOCUMENT | {"hints": hints}))
    return path


@pytest.mark.parametrize(
    ("hints", "options", "expected"),
    [
        (None, (None, None, None), Known(120.0, 60.0, None, None, None)),
        (None, (4.0, 300.0, 30.0), Known(300.0, 30.0, 4.0, 4.0, 30.0)),
        ({}, (None, None, None), Known(90.0, 60.0, None, None, None)),
        ({"seconds_per_message": 2, "lead_time_s": 45}, (None, None, None), Known(90.0, 45.0, None, 2.0, 45.0)),
        ({"seconds_per_message": 2, "concurrency": 4}, (None, None, None), Known(90.0, 60.0, None, 0.5, None)),
        # Sluice is given what its document says, also where the world is another.
        ({"seconds_per_message": 2, "lead_time_s": 45}, (4.0, 300.0, 30.0), Known(300.0, 30.0, 4.0, 2.0, 45.0)),
    ],
)
def test_known_when_options_and_a_document_say(
    tmp_path: Path, hints: dict[str, float] | None, options: tuple[float | None, ...], expected: Known
) -> None:
    """Options win for the world; the document wins for hints."""
    assert known(None if hints is None else a_fleet(tmp_path, **hints), *options) == expected


def test_hinted_when_policies_are_given() -> None:
    """Each Sluice has them that says nothing about hints itself; what is not known is left out."""
    specs = ["sluice", "sluice:tick_s=30", "sluice:hinted=no", "sluice:hint_seconds=9", "keda"]
    assert hinted(specs, 4.0, 45.0) == [
        "sluice:hint_seconds=4,hint_lead_s=45",
        "sluice:tick_s=30,hint_seconds=4,hint_lead_s=45",
        *specs[2:],
    ]
    assert hinted(specs[:1], None, 45.0) == ["sluice:hint_lead_s=45"]
    assert hinted(specs, None, None) == specs


def test_sluice_when_its_hints_are_known() -> None:
    """A first burst of short messages launches one instance, rather than those that a guess of a second would need."""
    trace = Trace("burst", np.array([900, *[0] * 9]))
    conditions = Conditions(seconds_per_message=0.02)
    blind, told = (simulate(trace, make(spec), conditions) for spec in ("sluice", *hinted(["sluice"], 0.02, 60.0)))
    assert (told.launches, told.late_fraction) == (1, 0.0)
    assert blind.launches > 5
    assert told.instance_hours < blind.instance_hours / 2


def test_backtest_when_a_fleets_document_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its target wait, its hints, and its seconds per message where no option says them."""
    tasks: list[Task] = []

    def run_tasks(given: list[Task], _jobs: int | None) -> list[object]:
        tasks.extend(given)
        return [run_task(each) for each in given]

    monkeypatch.setattr(command, "run_tasks", run_tasks)
    trace = tmp_path / "hour.csv"
    trace.write_text("minute,arrivals\n" + "".join(f"{minute},6\n" for minute in range(20)))
    fleet = a_fleet(tmp_path, seconds_per_message=8, lead_time_s=45)
    given = ["backtest", "--trace", str(trace), "--fleet", str(fleet), "--policy", "sluice", "--jobs", "1", "--json"]
    assert cli.run(given) == 0
    (task,) = tasks
    world = task.conditions
    assert (world.seconds_per_message, world.target_wait_s, world.boot_s) == (8.0, 90.0, 45.0)
    assert task.spec == "sluice:hint_seconds=8,hint_lead_s=45"
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["params"]["hint_seconds"], record["params"]["hint_lead_s"]) == (8.0, 45.0)


def test_backtest_when_a_fleets_document_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named, and its field."""
    fleet = a_fleet(tmp_path, seconds_per_message=-1)
    assert cli.run(["backtest", "--trace", "step", "--fleet", str(fleet)]) == 2
    assert f"{fleet}: hints.seconds_per_message: " in capsys.readouterr().err
