"""The part of docs/comparison.md on launches that fail."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sluice_tools.backtest import study
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.docs_failures import LATE_MOST, Failing, failing, failures
from sluice_tools.backtest.docs_results import Case
from sluice_tools.backtest.docs_study import Study
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import Task
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.verdicts import SEEDS

HOUR = Trace("hour", np.random.default_rng(1).poisson(20.0, 60).astype(np.int64))
CONDITIONS = Conditions(seconds_per_message=10.0)
NOT_MET = replace(CONDITIONS, target_wait_s=60.0, boot_s=180.0)


def a_run(spec: str, cost: float, late: float) -> Run:
    """A run that cost and was late so much."""
    run = simulate(Trace("m", np.array([6])), make(spec), CONDITIONS)
    return replace(run, instance_hours=cost * run.work_hours, late_fraction=late)


def a_case(peers: Sequence[Run], conditions: Conditions = CONDITIONS) -> Case:
    """An hour's case without failures."""
    return Case(HOUR, conditions, a_run("sluice", 1.2, 0.0), peers, None, 1.0)


def a_study(cases: Sequence[Case], cache: ResultCache) -> Study:
    """These cases with each seed."""
    by_seed = [[(case.trace, replace(case.conditions, seed=seed)) for case in cases] for seed in SEEDS]
    return Study(by_seed, [[case.ours for case in cases] for _ in SEEDS], cache, [])


@pytest.mark.slow
def test_failing_when_runs_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sluice runs with each share and seed, and the peer that is best without failures with the first seed.

    A second time nothing does.

    Where the target cannot be met, there is nothing to hold them to.
    """
    made: list[Task] = []
    whole = study.run_task

    def noted(task: Task) -> Run:
        made.append(task)
        return whole(task)

    monkeypatch.setattr(study, "run_task", noted)
    cache = ResultCache(tmp_path / "runs.jsonl")
    peers = [a_run("keda", 1.1, 0.5), a_run("wpa", 1.5, 0.0), a_run("fixed:scale=2", 1.4, 0.0005)]
    cases = [a_case(peers), a_case([]), a_case([a_run("wpa", 1.5, 0.0)], NOT_MET)]
    study_ = a_study(cases, cache)
    found = failing(cases, study_, 1, simulates=False)
    assert {(task.spec, task.conditions.launch_failure, task.conditions.seed) for task in made} == {
        ("sluice", share, seed) for share in LATE_MOST for seed in SEEDS
    }
    assert [pair[1].conditions.seed for pair in found[0].ours] == list(SEEDS)
    assert [each.peer for each in found] == [None] * 2 * len(LATE_MOST)
    del made[:]
    found = failing(cases, study_, 1, simulates=True)
    assert {(task.spec, task.conditions.launch_failure) for task in made} == {
        ("fixed:scale=2.0", share) for share in LATE_MOST
    }
    before, after = found[0].peer or pytest.fail("its run is made")
    assert (before, after.policy, after.conditions.launch_failure) == (cases[0].peers[2], "fixed", 0.01)
    assert [each.peer is None for each in found[:2]] == [False, True]
    again = failing(cases, study_, 1, simulates=True)[0]
    assert [after.record() for _, after in again.ours] == [after.record() for _, after in found[0].ours]
    assert len(made) == len(LATE_MOST)


def test_failures_when_they_are_told() -> None:
    """Costs with and without, the worst trace's lateness as the mean of its seeds, and each goal."""
    calm = a_run("sluice", 1.2, 0.0)
    peer = a_run("keda", 1.3, 0.0), a_run("keda", 1.4, 0.25)
    found = [
        Failing(
            (120.0, 60.0),
            share,
            [(calm, a_run("sluice", cost, late)), (calm, a_run("sluice", cost, 0.0))],
            peer if share == 0.01 else None,
        )
        for share, cost, late in ((0.01, 1.2, 0.002), (0.05, 1.38, 0.002), (0.2, 1.26, 0.04))
    ]
    text = failures(found)
    assert "| 120 s, 60 s | 1% | 1.200 | 1.200 | 0.100% | 1.400 | 1.300 | 25.0% |" in text
    assert "| 120 s, 60 s | 5% | 1.380 | 1.200 | 0.100% |  |  |  |" in text
    assert "with 1% failing: at most 0.1% late (0.100%), at no more than 1.1 times" in text
    assert "times the cost without failures (1.00): met." in text
    assert "times the cost without failures (1.15): not met." in text
    assert "with 20% failing: at most 1.0% late (2.0%), at no more than 1.1 times" in text
    assert "times the cost without failures (1.05): not met (later: m 2.0%)." in text
    assert text.count(": met.") == 1
