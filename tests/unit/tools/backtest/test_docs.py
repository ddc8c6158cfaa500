"""The results in docs/planner.md: what they say of runs, where they go, and what is made for them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tools.backtest import docs, study
from tools.backtest.conditions import Conditions
from tools.backtest.docs import BEGIN, END, PAGE, main, peer_tasks, rewritten, verdicts, world_panels
from tools.backtest.docs_results import Case, results
from tools.backtest.policies import make
from tools.backtest.result_cache import ResultCache
from tools.backtest.runs import Run
from tools.backtest.simulator import simulate
from tools.backtest.study import GRIDS, WORLDS, Task, run_tasks, settings
from tools.backtest.traces import Trace
from tools.backtest.verdicts import SEEDS, SeedRuns

MET = Conditions(seconds_per_message=10.0)
NOT_MET = replace(MET, target_wait_s=60.0, boot_s=180.0)
TRAFFIC = Trace("made", np.array([6]))


def a_run(spec: str, cost: float, late: float, conditions: Conditions = MET) -> Run:
    """A run that cost and was late so much."""
    run = simulate(TRAFFIC, make(spec), conditions)
    return replace(run, instance_hours=cost * run.work_hours, late_fraction=late)


def a_case(cost: float, late: float, peers: Sequence[Run], name: str = "made", conditions: Conditions = MET) -> Case:
    """Sluice at that cost and lateness, beside peers."""
    ours = a_run("sluice", cost, late, conditions)
    return Case(replace(TRAFFIC, name=name), conditions, ours, peers, a_run("clairvoyant", 1.05, 0.0, conditions), 1.01)


def test_case_when_peers_are_on_either_side() -> None:
    """The cheapest of those no later, the least late of those no dearer, and whoever is both."""
    later, dearer = a_run("keda", 1.1, 0.01), a_run("wpa", 1.4, 0.0)
    dearest, late = a_run("fixed", 3.0, 0.0), a_run("fixed:scale=0.1", 1.0, 0.9)
    case = a_case(1.2, 0.001, [dearest, late, dearer, later])
    assert (case.cheapest(), case.least_late(), case.better_peers()) == (dearer, later, [])
    better = a_run("little", 1.15, 0.0005)
    assert replace(case, peers=[dearer, better]).better_peers() == [better]
    assert (replace(case, peers=[]).cheapest(), replace(case, peers=[]).least_late()) == (None, None)


def test_results_when_all_is_held() -> None:
    """What was promised is compared with what came of it, and the table says who came nearest."""
    peers = [a_run("keda", 1.3, 0.0), a_run("keda:queue_share=0.5", 1.5, 0.0), a_run("wpa", 1.1, 0.02)]
    text = results([a_case(1.15, 0.0005, peers, "one"), a_case(1.31, 0.0, peers[:2], "two")], "What is claimed.", 5, 5)
    assert "geometric mean over 2 traces: **1.215** of the bound, **1.227**." in text
    assert "Worst share of late messages: **0.050%** (one)" in text
    assert "cheaper and no later: **1** (two)" in text
    assert "on every trace (met), and a mean cost of at most 1.25 (met)" in text
    assert "| one | 1.139 | 1.150 | 0.050% | 1.300 `keda` | 2.0% `wpa` | 1.050 | 1.010 |" in text
    assert "| `keda` | 2 of 2 | 1.06 |" in text
    assert "| `wpa` | 0 of 1 |  |" in text
    assert "Not all runs of the peers" not in text
    assert text.index("What is claimed.") < text.index("### Target wait")


def test_results_when_a_promise_is_broken() -> None:
    """The trace is named, and what is missing is said."""
    text = results([a_case(1.3, 0.002, [], "bad"), a_case(1.4, 0.0, [], "good")], "", 3, 10)
    assert "(not met on bad), and a mean cost of at most 1.25 (not met)" in text
    assert "**Not all runs of the peers are made yet: 3 of 10.**" in text
    assert "| bad | 1.287 | 1.300 | 0.200% | none | none | 1.050 | 1.010 |" in text


def test_results_when_no_launch_helps_in_time() -> None:
    """Nothing is promised there; each peer is held to Sluice's own lateness."""
    peers = [a_run("keda", 1.2, 0.05, NOT_MET), a_run("keda:queue_share=0.5", 1.8, 0.03, NOT_MET)]
    text = results([a_case(1.5, 0.04, peers, conditions=NOT_MET)], "", 2, 2)
    assert "No launch is in time in this world" in text
    assert "Goals" not in text
    assert "| `keda` | 1 of 1 | 1.20 |" in text


def test_world_panels_when_a_setting_ran_everywhere() -> None:
    """The first panel has the means of settings that ran on every trace; the others each trace's."""
    both = [a_run("keda", 1.2, 0.0), a_run("keda", 1.8, 0.02)]
    one = a_case(1.2, 0.0, [both[0], a_run("wpa", 1.1, 0.0)], "one")
    everywhere, first, second = world_panels([one, a_case(1.4, 0.01, [both[1]], "two")])
    (point,) = everywhere.peers
    assert (point.label, point.cost, point.late) == ("keda", pytest.approx((1.2 * 1.8) ** 0.5), pytest.approx(0.01))
    assert everywhere.ours.cost == pytest.approx((1.2 * 1.4) ** 0.5)
    assert [len(panel.peers) for panel in (first, second)] == [2, 1]


def test_rewritten_when_the_page_has_its_marks() -> None:
    """What is outside the marks stays, what is between is new."""
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\n## After\n"
    assert rewritten(page, "new") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\n## After\n"
    with pytest.raises(ValueError, match="must have '<!-- results -->'"):
        rewritten("# Title\n", "new")


def test_page_when_it_is_shipped() -> None:
    """The shipped page has one place for the results, and every picture that it shows."""
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page, "x").count("x\n\n<!-- /results -->") == 1
    shown = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert all((PAGE.parent / path).exists() for path in shown)


def test_peer_tasks_when_laid_out(tmp_path: Path) -> None:
    """Every setting of every peer in every case, policy by policy; cut to the days asked for."""
    tasks = peer_tasks(tmp_path, 1)
    traces, each = len(study.SHAPES), 1 + sum(len(settings(name)) for name in GRIDS)
    assert len(tasks) == traces * len(WORLDS) * each
    assert len({(task.trace.name, task.spec, task.conditions) for task in tasks}) == len(tasks)
    assert list(dict.fromkeys(task.spec.partition(":")[0] for task in tasks)) == ["clairvoyant", *GRIDS]
    assert {task.trace.minutes for task in tasks} == {1440}
    second = peer_tasks(tmp_path, 1, 2)
    assert {task.conditions.seed for task in second} == {2}
    assert [task.spec for task in second] == [task.spec for task in tasks if task.spec != "clairvoyant"]


def test_verdicts_when_the_last_seed_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every setting ran with every seed, with fewer runs: with the last one, those alone that it decides on."""
    monkeypatch.setattr(docs, "GRIDS", {"fixed": GRIDS["fixed"]})
    by_seed = []
    for seed in SEEDS:
        traffic = [
            Trace(name, np.random.default_rng([seed, *name.encode()]).poisson(rate, 30).astype(np.int64))
            for name, rate in (("even", 20.0), ("odd", 23.0), ("dense", 60.0))
        ]
        by_seed.append([(trace, replace(NOT_MET, seed=seed)) for trace in traffic])
    made: list[Task] = []
    whole = study.run_task

    def noted(task: Task) -> Run:
        run = whole(task)
        made.append(task)
        if task.spec == "sluice":  # so dear and late that each seed decides otherwise
            cost = {("even", 1): 0.1, ("odd", 2): 0.1}.get((task.trace.name, task.conditions.seed), 2.0)
            return replace(run, instance_hours=cost * run.work_hours, late_fraction=1.0)
        return run

    monkeypatch.setattr(study, "run_task", noted)
    cache = ResultCache(tmp_path / "runs.jsonl")
    specs = settings("fixed")
    run_tasks(
        [
            Task(trace, spec, conditions, figures_only=True)
            for places in by_seed[:2]
            for trace, conditions in places
            for spec in specs
        ],
        1,
        cache,
    )
    of_peers = len(made)
    cached_only = verdicts(by_seed, cache, 1, simulates=False)
    assert [task.spec for task in made[of_peers:]] == ["sluice"] * 9
    found = verdicts(by_seed, cache, 1, simulates=True)
    deciding = made[of_peers + 9 :]
    assert {(task.trace.name, task.conditions.seed) for task in deciding} == {("even", 3), ("odd", 3)}
    assert [each.missing for each in found] == [0, 0, 0]
    assert sum(each.missing for each in cached_only) == len(deciding)
    run_tasks(
        [Task(trace, spec, conditions, figures_only=True) for trace, conditions in by_seed[2] for spec in specs],
        1,
        cache,
    )
    for index, each in enumerate(found):
        everything = [
            SeedRuns(
                runs.ours,
                [run for spec in specs if (run := cache.find(places[index][0], spec, places[index][1])) is not None],
            )
            for places, runs in zip(by_seed, each.seeds, strict=True)
        ]
        assert bool(each.better()) == bool(replace(each, seeds=everything).better())
        assert set(each.better()) <= set(replace(each, seeds=everything).better())


def test_docs_when_days_would_go_into_the_shipped_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trying it out must not look like the whole."""
    with pytest.raises(SystemExit):
        main(["--days", "1", "--runs", str(tmp_path / "runs.jsonl"), "--traces", str(tmp_path)])
    assert "give another --page" in capsys.readouterr().err


@pytest.mark.slow
def test_docs_when_made_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page and pictures are written; a second time nothing is simulated but the picture of a crowd."""
    traffic = Trace("flash-crowd", np.random.default_rng(1).poisson(20.0, 60).astype(np.int64))
    monkeypatch.setattr(docs, "workloads", lambda folder, seed: [(traffic, 10.0)])
    monkeypatch.setattr(docs, "generated_trace", lambda name, seed: traffic)
    monkeypatch.setattr(docs, "DAY", 60)
    monkeypatch.setattr(docs, "WORLDS", WORLDS[:2])
    monkeypatch.setattr(docs, "GRIDS", {"fixed": GRIDS["fixed"], "wpa": GRIDS["wpa"]})
    made: list[str] = []
    whole = study.run_task

    def noted(task: Task) -> Run:
        made.append(task.spec)
        return whole(task)

    monkeypatch.setattr(study, "run_task", noted)
    page = tmp_path / "planner.md"
    page.write_text(f"# Planner\n{BEGIN}\n{END}\n")
    arguments = ["--runs", str(tmp_path / "runs.jsonl"), "--page", str(page), "--jobs", "1", "--traces", str(tmp_path)]
    assert main([*arguments, "--peers"]) == 0
    peers = 2 * (2 * (len(settings("fixed")) + len(settings("wpa"))) + 1)
    assert len(made) == peers
    assert page.read_text() == f"# Planner\n{BEGIN}\n{END}\n"
    assert main([*arguments, "--partial"]) == 0
    text = page.read_text()
    assert made[peers:].count("sluice") == (3 + 3) * 2 + 1  # seeds and failures in two worlds, and the picture
    assert len(made) == peers + (3 + 3) * 2 + 2
    assert text.startswith(f"# Planner\n{BEGIN}\n\n`make planner-docs` writes this section")
    assert text.count("| flash-crowd") == 2
    assert text.index("### What is claimed") < text.index("### Target wait") < text.index("### Where launches fail")
    assert main(arguments) == 0  # with what the last seed decides on, and the peers where launches fail
    text, done = page.read_text(), len(made)
    assert "not made yet" not in text
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()}
    assert set(pictures) == {"cost-120-60.png", "cost-300-180.png", "crowd.png"}
    assert main(arguments) == 0
    assert made[done:] == made[done - 2 : done]
    assert page.read_text() == text
    assert {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()} == pictures
