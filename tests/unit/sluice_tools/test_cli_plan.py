"""`sluice plan`: the shipped example, JSON output, and files with faults."""

import json
import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from sluice.model.decisions import Decision
from sluice.model.planning import Memory, Snapshot
from sluice_tools import cli
from sluice_tools.commands.frame import ExitCode
from sluice_tools.plan import plan
from tests.support.command_line import run
from tests.support.planner_steps import learn_from

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "plan"
FLEET, SNAPSHOT = EXAMPLE / "fleet.json", EXAMPLE / "snapshot.json"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal wide enough that no sentence is wrapped."""
    monkeypatch.setenv("COLUMNS", "220")


def changed(tmp_path: Path, source: Path, change: dict[str, Any]) -> Path:
    """A copy of an example file with some fields changed."""
    path = tmp_path / source.name
    path.write_text(json.dumps(json.loads(source.read_text()) | change))
    return path


def test_plan_when_the_shipped_example_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, every reason from need to want, every figure with its age and source."""
    plan(fleet=FLEET, snapshot=SNAPSHOT)
    out = capsys.readouterr().out
    assert (
        "Scaling out from 2 to 6: 740 messages are waiting, the oldest for 44 s. Each instance completes 1.9 messages a"
        " second and a new one takes 60 s to start, so 6 are needed to start every message within 120 s" in out
    )
    assert [line for line in out.splitlines() if "oldest_age_s" in line and "40 s" in line and "metric" in line]
    assert [line for line in out.splitlines() if "service_rate_per_s" in line and "hint" in line]


def test_plan_when_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole decision as one object, which the model reads back.

    Two do 2 x 1.9 x 112.8 - 1.8 sqrt(2 x 1.9 x 70 / 2) = 408 almost surely; the other 332 need 332 / (1.9 x 52.8) = 3.3
    more. Of the 7 that 840 messages would need, a step of 4 allows 6.
    """
    plan(fleet=FLEET, snapshot=SNAPSHOT, as_json=True)
    decision = TypeAdapter(Decision).validate_json(capsys.readouterr().out)
    assert (decision.current, decision.raw_need, decision.want) == (2, 6, 6)
    assert [reason.code for reason in decision.reasons] == ["need"]


def test_plan_when_a_limit_binds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that changed the wish is told, with what it made of it: 840 messages would need 7."""
    queue = json.loads(SNAPSHOT.read_text())["queue"]
    queue["visible"]["value"] = 840
    more = changed(tmp_path, SNAPSHOT, {"queue": queue})
    plan(fleet=FLEET, snapshot=more)
    assert "changing by 4 instances at a time at most" in capsys.readouterr().out


def test_plan_when_a_memory_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was learned before replaces the hints."""
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"service_rate": {"estimate": {"mean": 19.0, "weight": 9, "at": 1795510800}}}))
    plan(fleet=FLEET, snapshot=SNAPSHOT, memory=path, as_json=True)
    decision = TypeAdapter(Decision).validate_json(capsys.readouterr().out)
    assert decision.want == 2
    assert {figure.name: figure.source for figure in decision.figures}["service_rate_per_s"] == "measured"


def test_plan_when_the_planners_own_memory_is_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A memory as the planner keeps it can be read again."""
    snapshot = TypeAdapter(Snapshot).validate_json(SNAPSHOT.read_text())
    from sluice.config.fleet import parse

    memory = learn_from(Memory(), snapshot, parse("orders", FLEET.read_text()), snapshot.at)
    path = tmp_path / "memory.json"
    path.write_bytes(TypeAdapter(Memory).dump_json(memory))
    plan(fleet=FLEET, snapshot=SNAPSHOT, memory=path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("source", "change", "words"),
    [
        (FLEET, {"target_wait_s": 0}, ["target_wait_s"]),
        (FLEET, {"target_wait": 5, "queue": "orders"}, ["target_wait: is not a field", "queue:"]),
        (
            SNAPSHOT,
            {"queue": {"visble": {"value": 1, "at": 2}}},
            ["queue.visble: is an unknown field; there are visible, in_flight"],
        ),
        (SNAPSHOT, {"at": "now"}, ["at: must be a valid number (got 'now')"]),
        (SNAPSHOT, {"queue": []}, ["queue: must be a JSON object (got [])"]),
        (SNAPSHOT, {"queue": {"visible": {"value": 1}}}, ["queue.visible.at: is required"]),
        (
            SNAPSHOT,
            {
                "queue": {
                    "visible": {"value": "-7", "at": 1},
                    "in_flight": {"value": "nan", "at": 1},
                    "delayed": {"value": True, "at": 1},
                }
            },
            [
                "queue.visible.value: must be a valid number (got '-7')",
                "queue.in_flight.value: must be a valid number (got 'nan')",
                "queue.delayed.value: must be a valid number (got true)",
            ],
        ),
        (
            SNAPSHOT,
            {"queue": {"sent": {"period_s": 0, "points": [[1795510740, 5]]}}},
            ["queue.sent.period_s: must be above 0 (got 0)"],
        ),
        (
            SNAPSHOT,
            {"group": {"name": "g", "at": 1, "desired": 1, "min_size": 0, "max_size": 9, "instances": [{"id": "i"}]}},
            ["group.instances.0.state: is required"],
        ),
        (
            SNAPSHOT,
            {
                "fleet": "payments",
                "at": 1e300,
                "queue": {"visible": {"value": -7, "at": 1}, "in_flight": {"value": math.nan, "at": 1}},
                "group": {"name": "payments", "at": 1, "desired": 1, "min_size": 9, "max_size": -3},
            },
            [
                "at: must be a number from 0 to 1e+12 (got 1e+300)",
                "queue.visible.value: must be a number from 0 to 1e+12 (got -7)",
                "queue.in_flight.value: must be a number from 0 to 1e+12 (got nan)",
                "group.max_size: must be a number from 0 to 1e+12 (got -3)",
                "fleet: must be orders, the fleet of the document (got payments)",
                "group.name: must be orders-consumers, the group of the document (got payments)",
                "group.min_size: must be at most max_size, which is -3 (got 9)",
            ],
        ),
        (
            SNAPSHOT,
            {
                "group": {
                    "name": "orders",
                    "at": 1,
                    "desired": 1,
                    "min_size": 0,
                    "max_size": 3,
                    "instances": [{"id": "i-1", "state": "in-service", "weight": 0}],
                }
            },
            ["group.instances.0.weight: must be above 0 (got 0)"],
        ),
        (FLEET, {"limits": {"instance_hours_per_day": 1e300, "max_messages_per_s": 1e300}}, ["limits.instance_hours"]),
    ],
)
def test_plan_when_a_file_has_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: Path, change: dict[str, Any], words: list[str]
) -> None:
    """Every fault is named with its file and field, on standard error, and the status says so."""
    path = changed(tmp_path, source, change)
    files = {"fleet": FLEET, "snapshot": SNAPSHOT} | {source.stem: path}
    assert run("plan", *(part for name, file in files.items() for part in (f"--{name}", str(file)))) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    for word in words:
        assert f"{path}: {word}" in told.err


def test_plan_when_a_memory_has_impossible_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named; what may be below zero, as a run of slower minutes, is not."""
    path = tmp_path / "memory.json"
    path.write_text(
        json.dumps(
            {
                "service_rate": {"estimate": {"mean": 0, "weight": -5, "at": 1e300}, "outlier_run": [-1, 2, 3]},
                "arrivals": {"history": {"period_s": 60, "start_at": 0, "counts": [-4]}},
            }
        )
    )
    assert run("plan", "--fleet", str(FLEET), "--snapshot", str(SNAPSHOT), "--memory", str(path)) == ExitCode.USAGE
    assert capsys.readouterr().err.splitlines() == [
        f"sluice plan: {path}: service_rate.estimate.weight: must be a number from 0 to 1e+12 (got -5)",
        f"sluice plan: {path}: service_rate.estimate.at: must be a number from 0 to 1e+12 (got 1e+300)",
        f"sluice plan: {path}: arrivals.history.counts.0: must be a number from 0 to 1e+12 (got -4)",
        f"sluice plan: {path}: service_rate.estimate.mean: must be above 0 (got 0)",
    ]


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        ({"needs": [[1, 2]]}, "needs: must be a JSON object (got [[1, 2]])"),
        (
            {"redeliveries": {"history": {"period_s": 0, "start_at": 0, "counts": [1]}}},
            "redeliveries.history.period_s: must be above 0 (got 0)",
        ),
        (
            {"launches": {"to_service": {"mean": 1e12, "weight": 9, "at": 1795510800}}},
            "launches.to_service.mean: must be at most 604800, seven days (got 1e+12)",
        ),
        (
            {"launches": {"reported": {"mean": 604801, "weight": 9, "at": 1795510800}}},
            "launches.reported.mean: must be at most 604800, seven days (got 604801)",
        ),
    ],
)
def test_plan_when_a_memory_would_stop_the_planner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], memory: dict[str, Any], says: str
) -> None:
    """What the planner could not compute with is refused with its field: no traceback, and no endless computing."""
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(memory))
    assert run("plan", "--fleet", str(FLEET), "--snapshot", str(SNAPSHOT), "--memory", str(path)) == ExitCode.USAGE
    assert capsys.readouterr().err == f"sluice plan: {path}: {says}\n"


@pytest.mark.parametrize(
    ("content", "words"), [(b"{", "must be JSON"), (b"\xff\xfe", "UTF-8"), (None, "cannot be read")]
)
def test_plan_when_a_file_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    """No traceback, but the file and what is wrong with it."""
    path = tmp_path / "snapshot.json"
    if content is not None:
        path.write_bytes(content)
    assert run("plan", "--fleet", str(FLEET), "--snapshot", str(path)) == ExitCode.USAGE
    assert f"sluice plan: {path}: " in (told := capsys.readouterr().err)
    assert words in told


@pytest.mark.slow
def test_command_line_when_plan_is_called() -> None:
    """`sluice plan` runs as installed, and ends with the status of what it did."""
    good = [
        sys.executable,
        "-m",
        "sluice_tools.cli",
        "plan",
        "--fleet",
        str(FLEET),
        "--snapshot",
        str(SNAPSHOT),
        "--json",
    ]
    done = subprocess.run(good, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert json.loads(done.stdout)["want"] == 6
    bad = subprocess.run([*good[:-3], "--snapshot", "no.json"], capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert bad.returncode == ExitCode.USAGE


def test_command_line_when_help_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It lists its commands with what they do."""
    assert cli.run(["--help"]) == 0
    assert "Show what the planner would decide" in capsys.readouterr().out


def test_version_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """`sluice --version` prints the version that pyproject.toml has."""
    assert cli.run(["--version"]) == 0
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out.strip() == declared
