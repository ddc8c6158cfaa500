"""Grids, tuning, the matrix, and who beats whom."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sluice_tools.backtest import command, study
from sluice_tools.backtest.command import BAD_INPUT, backtest
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SHAPES
from sluice_tools.backtest.policies import POLICIES, label, make
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import params_of, simulate
from sluice_tools.backtest.study import (
    GRIDS,
    WORLDS,
    Task,
    best,
    better_than,
    recorded_traces,
    run_tasks,
    settings,
    tuned,
    workloads,
)
from sluice_tools.backtest.traces import Trace, TraceError
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.recorded_traces import main

JSON = AwsOptions(as_json=True)
CONDITIONS = Conditions(seconds_per_message=10.0)
HOUR = Trace("hour", np.random.default_rng(1).poisson(20.0, 60).astype(np.int64))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal wide enough that no row is wrapped."""
    monkeypatch.setenv("COLUMNS", "220")


def a_run(cost: float, late: float) -> Run:
    """A run that cost and was late so much."""
    run = simulate(Trace("m", np.array([6])), make("fixed"), CONDITIONS)
    return replace(run, instance_hours=cost * run.work_hours, late_fraction=late)


@pytest.mark.parametrize("name", POLICIES)
def test_settings_when_a_grid_is_laid_out(name: str) -> None:
    """Each setting is one that the policy has, and its own defaults are not far: all can be made."""
    specs = settings(name)
    assert len(specs) == len(set(specs)) >= 1
    assert (len(specs) > 1) == (name in GRIDS)
    for spec in specs:
        assert make(spec).name == name


@pytest.mark.parametrize("name", GRIDS)
def test_settings_when_each_begins(name: str) -> None:
    """None is refused, as steps that add less for a larger breach would be, and none is tried twice."""
    policies = [make(spec) for spec in settings(name)]
    for policy in policies:
        policy.begin(CONDITIONS, HOUR)
    params = [label(name, params_of(policy)) for policy in policies]
    assert len(params) == len(set(params))


def test_settings_when_parameters_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of several parameters has all of a choice's values, and no other combination of them."""
    grid = {"up_tolerance,down_tolerance": ((0.1, 0.1), (0.2, 0.0)), "cooldown_s": (60.0,)}
    monkeypatch.setattr(study, "GRIDS", {"keda": grid})
    assert settings("keda") == [
        "keda:up_tolerance=0.1,down_tolerance=0.1,cooldown_s=60.0",
        "keda:up_tolerance=0.2,down_tolerance=0.0,cooldown_s=60.0",
    ]


def test_best_when_runs_are_compared() -> None:
    """The cheapest of those that are punctual enough; the least late where none is."""
    runs = [a_run(1.0, 0.5), a_run(1.5, 0.001), a_run(1.4, 0.0009), a_run(2.0, 0.0)]
    assert best(runs, 0.001).cost_ratio == pytest.approx(1.4)
    assert best(runs[:2], 0.0).late_fraction == 0.001


def test_better_than_when_peers_are_compared() -> None:
    """Only who is no worse in either and better in one."""
    ours = a_run(1.2, 0.001)
    better, cheaper, later = a_run(1.1, 0.0005), a_run(1.1, 0.001), a_run(1.1, 0.01)
    assert better_than(ours, [later, a_run(1.2, 0.001), better, a_run(1.3, 0.0), cheaper]) == [better, cheaper]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_run_tasks_when_done_by_processes(jobs: int) -> None:
    """The tasks' order, and the same figures whoever does them."""
    tasks = [Task(HOUR, spec, CONDITIONS) for spec in ("fixed:scale=3", "fixed", "little")]
    records = [run.record() for run in run_tasks(tasks, jobs)]
    assert [record["params"].get("scale") for record in records] == [3.0, 1.0, None]
    assert records[2] == simulate(HOUR, make("little"), CONDITIONS).record()


def test_backtest_when_tuned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best of the grid is shown; a policy with its parameters given stays as given."""
    path = tmp_path / "hour.csv"
    path.write_text("minute,arrivals\n" + "".join(f"{i},{n}\n" for i, n in enumerate(HOUR.counts)))
    policies = ["fixed", "fixed:scale=2"]
    assert backtest(trace=str(path), seconds_per_message=10, policy=policies, tune=0.01, jobs=1, aws=JSON) == 0
    tuned, given = json.loads(capsys.readouterr().out.splitlines()[-1])
    grid = [simulate(HOUR, make(spec), CONDITIONS) for spec in settings("fixed")]
    cheapest = min(run.instance_hours for run in grid if run.late_fraction <= 0.01)
    assert tuned["instance_hours"] == pytest.approx(cheapest, abs=0.001)
    assert given["params"]["scale"] == 2.0


def test_tuned_when_all_that_was_tried_is_told() -> None:
    """Every setting's figures, without what fills the memory; the chosen ones whole."""
    chosen, tried = tuned([(HOUR, CONDITIONS)], ["fixed", "little:beta=2"], 0.01, jobs=1)
    assert len(tried) == len(settings("fixed")) + 1
    assert all(len(run.timeline.arrivals) == 0 for run in tried[:-1])
    assert [run.policy for run in chosen] == ["fixed", "little"]
    assert [len(run.timeline.arrivals) for run in chosen] == [60, 60]
    assert chosen[0].record() in [run.record() for run in tried]


def test_backtest_when_the_matrix_is_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is cheaper and less late than Sluice is named."""
    monkeypatch.setattr(command, "workloads", lambda folder, seed: [(HOUR, 10.0)])
    monkeypatch.setattr(command, "WORLDS", ((20.0, 300.0),))  # no launch can meet that: a fixed fleet does
    assert backtest(matrix=True, tune=0.0, policy=["sluice", "fixed"], jobs=1, report=tmp_path / "page.html") == 0
    out = capsys.readouterr().out
    assert "hour: fixed:scale=0.7 is cheaper and less late" in out or "hour: fixed:scale=0.5 is cheaper" in out


def test_workloads_when_a_folder_has_traces(tmp_path: Path) -> None:
    """The folder's own first, with their seconds per message; then all that are generated."""
    (tmp_path / "mine.csv").write_text("minute,arrivals\n0,5\n1,6\n")
    (tmp_path / "experiments.csv").write_text("trace,seconds_per_message\nmine,7.5\n")
    found = workloads(tmp_path, 1)
    assert (found[0][0].name, found[0][1]) == ("mine", 7.5)
    assert [trace.name for trace, _ in found[1:]] == list(SHAPES)
    for trace, takes_s in found[1:]:
        assert 3.0 < trace.counts.mean() * takes_s / 60.0 < 15.0
    assert len(workloads(tmp_path / "none", 1)) == len(SHAPES)


def test_workloads_when_the_list_has_faults(tmp_path: Path) -> None:
    """The line is named."""
    (tmp_path / "experiments.csv").write_text("trace,seconds_per_message\nmine,fast\n")
    with pytest.raises(TraceError, match="line 2: must be trace,seconds_per_message"):
        workloads(tmp_path, 1)
    (tmp_path / "experiments.csv").write_text("trace,seconds_per_message\nmine,inf\n")
    with pytest.raises(TraceError, match="line 2: seconds_per_message must be above 0"):
        workloads(tmp_path, 1)


def test_recorded_traces_when_they_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix takes what `make traces` makes, without being told where."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "build/traces"
    assert main(["flight_schedule", "--no-download", "--raw", str(tmp_path / "raw"), "--out", str(made)]) == 0

    found = workloads(recorded_traces(), 1)

    assert [trace.name for trace, _ in found] == ["flight_schedule", *SHAPES]


def test_backtest_when_the_matrix_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every trace in every world; one page; and where another is better, it is said."""
    monkeypatch.setattr(command, "workloads", lambda folder, seed: [(HOUR, 10.0), (replace(HOUR, name="again"), 12.0)])
    page = tmp_path / "matrix.html"
    policies = ["sluice", "fixed", "fixed:scale=0.2"]
    assert backtest(matrix=True, policy=policies, jobs=1, report=page, aws=JSON) == 0
    told = capsys.readouterr()
    records, out = json.loads(told.out), told.err
    assert len(records) == 2 * len(WORLDS) * 3
    assert {(each["params"]["target_wait_s"], each["params"]["boot_s"]) for each in records} == set(WORLDS)
    assert "Target wait 300 s, boot 180 s" in out
    assert page.read_text().count("All traces: target wait") == len(WORLDS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"tune": 1.5}, "--tune: must be at least 0 and below 1"),
        ({"matrix": True}, "--trace: must be left out with --matrix"),
    ],
)
def test_backtest_when_a_study_cannot_be_made(
    given: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and exit status 2."""
    assert backtest(trace="step", **given) == BAD_INPUT  # type: ignore[arg-type]
    assert says in capsys.readouterr().err
