"""Runs that are kept: found again by all that they follow from, and by nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sluice_tools.backtest import study
from sluice_tools.backtest.bound import bound_of
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.result_cache import ResultCache, policy_source
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import Task, bound_hours, run_tasks
from sluice_tools.backtest.traces import Trace

ROOT = Path(__file__).parents[4]
PATIENCE_S = 60.0  # for processes on a busy machine
CONDITIONS = Conditions(seconds_per_message=10.0)
HOUR = Trace("hour", np.random.default_rng(1).poisson(20.0, 60).astype(np.int64))


def a_run(spec: str = "keda:queue_share=0.5") -> Run:
    """A run of an hour."""
    return simulate(HOUR, make(spec), CONDITIONS)


def test_kept_when_a_run_is_looked_for_again(tmp_path: Path) -> None:
    """Another reader of the file finds every figure as it was."""
    run = a_run()
    ResultCache(tmp_path / "deep" / "runs.jsonl").add(HOUR, "keda:queue_share=0.5", run)
    found = ResultCache(tmp_path / "deep" / "runs.jsonl").find(HOUR, "keda:queue_share=0.5", CONDITIONS)
    assert found is not None
    assert found.record() == run.record()
    assert (found.conditions, found.instance_hours, found.ticks) == (CONDITIONS, run.instance_hours, run.ticks)
    assert len(found.timeline.arrivals) == 0


@pytest.mark.parametrize(
    ("trace", "spec", "conditions"),
    [
        (Trace("hour", HOUR.counts + 1), "keda:queue_share=0.5", CONDITIONS),
        (HOUR, "keda:queue_share=0.25", CONDITIONS),
        (HOUR, "wpa", CONDITIONS),
        (HOUR, "keda:queue_share=0.5", replace(CONDITIONS, boot_s=61.0)),
        (HOUR, "keda:queue_share=0.5", replace(CONDITIONS, seed=2)),
    ],
)
def test_kept_when_anything_differs(tmp_path: Path, trace: Trace, spec: str, conditions: Conditions) -> None:
    """Other traffic, another setting or another world is another run."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    cache.add(HOUR, "keda:queue_share=0.5", a_run())
    assert cache.find(trace, spec, conditions) is None


def test_kept_when_a_setting_is_written_otherwise(tmp_path: Path) -> None:
    """What is as usual need not be said; names of traces do not count."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    cache.add(HOUR, "keda:queue_share=0.5", a_run())
    found = cache.find(replace(HOUR, name="another"), "keda:down_window_s=300,queue_share=0.50", CONDITIONS)
    assert found is not None
    assert found.trace == "another"


def test_kept_when_a_line_was_cut_short(tmp_path: Path) -> None:
    """A kill in the middle of a line costs that run alone: what is added next stands on a line of its own."""
    path = tmp_path / "runs.jsonl"
    ResultCache(path).add(HOUR, "keda:queue_share=0.5", a_run())
    whole = path.read_bytes()
    ResultCache(path).add(HOUR, "wpa", a_run("wpa"))
    path.write_bytes(path.read_bytes()[: len(whole) + 40])
    cache = ResultCache(path)
    assert cache.find(HOUR, "keda:queue_share=0.5", CONDITIONS) is not None
    assert cache.find(HOUR, "wpa", CONDITIONS) is None
    cache.add(HOUR, "fixed", a_run("fixed"))
    again = ResultCache(path)
    assert [again.find(HOUR, spec, CONDITIONS) is None for spec in ("keda:queue_share=0.5", "wpa", "fixed")] == [
        False,
        True,
        False,
    ]


def test_run_tasks_when_some_were_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is missing is made, and results keep the tasks' order."""
    made: list[str] = []
    whole = study.run_task

    def noted(task: Task) -> Run:
        made.append(task.spec)
        return whole(task)

    monkeypatch.setattr(study, "run_task", noted)
    specs = ["fixed", "keda", "little", "wpa"]
    tasks = [Task(HOUR, spec, CONDITIONS, figures_only=True) for spec in specs]
    first = run_tasks(tasks[1:3], 1, ResultCache(tmp_path / "runs.jsonl"))
    runs = run_tasks(tasks, 1, ResultCache(tmp_path / "runs.jsonl"))
    assert made == ["keda", "little", "fixed", "wpa"]
    assert [run.policy for run in runs] == specs
    assert [run.record() for run in runs[1:3]] == [run.record() for run in first]
    assert run_tasks(tasks, 1, ResultCache(tmp_path / "runs.jsonl"))[3].record() == runs[3].record()
    assert len(made) == 4


def test_run_tasks_when_a_timeline_is_wanted(tmp_path: Path) -> None:
    """A kept run has none, so a run with one is made."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    run_tasks([Task(HOUR, "fixed", CONDITIONS, figures_only=True)], 1, cache)
    (run,) = run_tasks([Task(HOUR, "fixed", CONDITIONS)], 1, cache)
    assert len(run.timeline.arrivals) == HOUR.minutes


def test_bound_hours_when_they_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound is computed once for a trace in a world, beside the runs of the same file; another world has another."""
    path = tmp_path / "runs.jsonl"
    slower = replace(CONDITIONS, boot_s=2 * CONDITIONS.boot_s)
    run_tasks([Task(HOUR, "fixed", CONDITIONS, figures_only=True)], 1, ResultCache(path))
    first = bound_hours([(HOUR, CONDITIONS), (HOUR, slower)], 1, ResultCache(path))
    assert first[0] == bound_of(HOUR, CONDITIONS).hours < first[1]
    monkeypatch.setattr(study, "bound_of", lambda trace, conditions: pytest.fail("is known"))
    cache = ResultCache(path)
    assert bound_hours([(HOUR, slower), (HOUR, CONDITIONS)], 1, cache) == [first[1], first[0]]
    assert cache.find(HOUR, "fixed", CONDITIONS) is not None
    assert cache.find_bound(HOUR, replace(CONDITIONS, seed=9)) is None


STUDY = """
import signal
import sys
from pathlib import Path

import numpy as np

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.study import Task, bound_hours, run_tasks
from sluice_tools.backtest.traces import Trace

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may have turned off
    trace = Trace("days", np.full(5000, 20))
    specs = [f"little:beta={beta}" for beta in range(500)]
    tasks = [Task(trace, spec, Conditions(seconds_per_message=10.0), figures_only=True) for spec in specs]
    run_tasks(tasks, 2, ResultCache(Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_run_tasks_when_it_is_ended(tmp_path: Path, kind: signal.Signals) -> None:
    """What was made is kept, and no worker outlives the study, which would take a core for hours."""
    (tmp_path / "study.py").write_text(STUDY)
    runs = tmp_path / "runs.jsonl"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))}
    with subprocess.Popen(
        [sys.executable, tmp_path / "study.py", runs], env=environ, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        until(runs.exists)
        os.kill(process.pid, kind)
        process.wait(PATIENCE_S)
    until(lambda: not session(process.pid))
    kept = runs.read_bytes().splitlines()
    assert 1 <= len(kept) < 400


def session(leader: int) -> list[str]:
    """Processes of a session that are still there."""
    return subprocess.run(
        ["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True, check=False
    ).stdout.split()


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_policy_source_when_policies_are_compared() -> None:
    """Peers stand apart from Sluice's core: each has a digest of its own, and Sluice's has the planner in it."""
    digests = {name: policy_source(name) for name in ("sluice", "keda", "little", "target-tracking")}
    assert len(set(digests.values())) == 4
    assert policy_source("keda") == policy_source("wpa")  # of one file
