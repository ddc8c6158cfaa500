"""The results in docs/comparison.md: what they say of runs, where they go, and what is made for them."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from sluice_tools.backtest import docs, docs_study, hindsight, study
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.docs import BEGIN, END, PAGE, main, rewritten, world_panels
from sluice_tools.backtest.docs_results import Case, results
from sluice_tools.backtest.docs_study import Study, asked_of, near_best, searches, try_peers, verdicts, worlds
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import GRIDS, WORLDS, Task, settings
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.verdicts import SEEDS, SeedRuns

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
    """The cheapest of those that are as punctual, and those that are cheaper and less late."""
    later, dearer = a_run("keda", 1.1, 0.01), a_run("wpa", 1.4, 0.0)
    dearest, late = a_run("fixed", 3.0, 0.0), a_run("fixed:scale=0.1", 1.0, 0.9)
    case = a_case(1.2, 0.001, [dearest, late, dearer, later])
    assert (case.cheapest(), case.better_peers()) == (dearer, [])
    better = a_run("little", 1.15, 0.0005)
    assert replace(case, peers=[dearer, better]).better_peers() == [better]
    assert replace(case, peers=[]).cheapest() is None
    assert case.late_most == 0.001
    assert a_case(1.2, 0.002, []).late_most == 0.002
    assert a_case(1.2, 0.0, [], conditions=NOT_MET).late_most == 0.0


def test_results_when_all_is_held() -> None:
    """What was promised is compared with what came of it, and the table says who came nearest."""
    peers = [a_run("keda", 1.3, 0.0), a_run("keda:queue_share=0.5", 1.5, 0.0), a_run("wpa", 1.1, 0.02)]
    text = results([a_case(1.15, 0.0005, peers, "one"), a_case(1.31, 0.0, peers[:2], "two")], "What is claimed.")
    assert "geometric mean over 2 traces: **1.215** of the bound, **1.227**." in text
    assert "Worst share of late messages: **0.050%** (one)" in text
    assert "cheaper and no later: **1** (two)" in text
    assert "on every trace (met), and a mean cost of at most 1.25 (met)" in text
    assert "| one | 1.139 | 1.150 | 0.050% | 1.300 `keda` | 0% | 1.050 | 1.010 |" in text
    assert "| `keda` | 2 of 2 | 1.06 |" in text
    assert "| `wpa` | 0 of 2 |  |" in text
    assert "Not all settings are tried" not in text
    assert text.index("What is claimed.") < text.index("## Target wait")


def test_results_when_a_promise_is_broken() -> None:
    """The trace is named, and what is missing is said."""
    good = replace(a_case(1.4, 0.0, [], "good"), undecided=7)
    text = results([a_case(1.3, 0.002, [], "bad"), good], "")
    assert "(not met on bad), and a mean cost of at most 1.25 (not met)" in text
    assert "**Not all settings are tried yet: 7 are missing.**" in text
    assert "| bad | 1.287 | 1.300 | 0.200% | none |  | 1.050 | 1.010 |" in text


def test_results_when_no_launch_helps_in_time() -> None:
    """Nothing is promised there; each peer is held to Sluice's own lateness."""
    peers = [a_run("keda", 1.2, 0.05, NOT_MET), a_run("keda:queue_share=0.5", 1.8, 0.03, NOT_MET)]
    text = results([a_case(1.5, 0.04, peers, conditions=NOT_MET)], "")
    assert "No launch is in time in this world" in text
    assert "Goals" not in text
    assert "| `keda` | 1 of 1 | 1.20 |" in text


def test_world_panels_when_traces_are_drawn() -> None:
    """A panel for each trace has Sluice, its peers and the bound."""
    first = a_case(1.2, 0.0, [a_run("keda", 1.2, 0.0), a_run("wpa", 1.1, 0.0)], "one")
    one, two = world_panels([first, a_case(1.4, 0.01, [a_run("keda", 1.8, 0.02)], "two")])
    assert [(point.label, point.cost, point.late) for point in two.peers] == [("keda", pytest.approx(1.8), 0.02)]
    assert (one.title, len(one.peers), one.bound) == ("one", 2, 1.01)


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


@pytest.mark.slow
def test_searches_when_laid_out(tmp_path: Path) -> None:
    """A search for each peer in each case, a trace's together; each with what is asked beside Sluice's run."""
    places = worlds(tmp_path, 1)
    assert {trace.minutes for trace, _ in places} == {1440}
    assert {conditions.seed for _, conditions in worlds(tmp_path, 1, 2)} == {2}
    ours = [a_run("sluice", 1.2, 0.0, conditions) for _, conditions in places]
    specs = [spec for name in GRIDS for spec in settings(name)]
    made = searches(places, ours, [specs] * len(places), ResultCache(tmp_path / "runs.jsonl"), cheapest=True)
    assert len(made) == len(study.SHAPES) * len(WORLDS) * len(GRIDS)
    names = [each.trace.name for each in made]
    assert names == sorted(names)
    assert sum(len(each.specs) for each in made) == len(places) * len(specs)
    assert {each.asked.late_most for each in made} == {0.0, 0.001}  # where a target can be met, as is promised


def test_asked_when_only_better_settings_count() -> None:
    """Then a setting may be as late as Sluice and no later, whatever is promised."""
    asked = asked_of(a_run("sluice", 1.2, 0.0002), cheapest=False)
    assert (asked.late_most, asked.cheapest) == (0.0002, False)


def test_near_best_when_settings_are_compared() -> None:
    """Those that are punctual and cost at most 5% more than the cheapest of them."""
    runs = [a_run("keda", 1.0, 0.1), a_run("wpa", 1.2, 0.0), a_run("little", 1.25, 0.001), a_run("fixed", 1.3, 0.0)]
    assert near_best(runs, 0.001) == ["wpa", "little"]
    assert near_best(runs[:1], 0.001) == []


def a_study(cache: ResultCache, figures: dict[tuple[str, int], tuple[float, float]]) -> Study:
    """Half an hour of three kinds of traffic with each seed; Sluice's cost and lateness as given, else far worse."""
    by_seed = []
    for seed in SEEDS:
        traffic = [
            Trace(name, np.random.default_rng([seed, *name.encode()]).poisson(rate, 60).astype(np.int64))
            for name, rate in (("even", 20.0), ("odd", 23.0), ("dense", 60.0))
        ]
        by_seed.append([(trace, replace(NOT_MET, seed=seed)) for trace in traffic])
    ours = [
        [
            replace(
                run := simulate(trace, make("sluice"), conditions),
                instance_hours=run.work_hours * figures.get((trace.name, conditions.seed), (2.5, 1.0))[0],
                late_fraction=figures.get((trace.name, conditions.seed), (2.5, 1.0))[1],
            )
            for trace, conditions in places
        ]
        for places in by_seed
    ]
    return Study(by_seed, ours, cache, settings("fixed"))


@pytest.mark.slow
def test_verdicts_when_the_last_seed_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every setting ran to the end with every seed; with the last one, only those that it decides on do."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    # With these seeds nothing is better: the others decide otherwise.
    made = a_study(cache, {("even", 1): (0.1, 0.0), ("odd", 2): (0.1, 0.0)})
    ran: list[tuple[str, int]] = []
    whole = hindsight.simulate

    def noted(trace: Trace, policy: object, conditions: Conditions, **more: object) -> Run:
        ran.append((trace.name, conditions.seed))
        return whole(trace, policy, conditions, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(hindsight, "simulate", noted)
    before = verdicts(made)
    assert sum(each.missing for each in before) == len(SEEDS[:2]) * 3 * len(made.specs)
    assert try_peers(made, 1, inf)
    found = verdicts(made)
    assert [each.missing for each in found] == [0, 0, 0]
    assert {name for name, seed in ran if seed == SEEDS[-1]} >= {"even", "odd"}
    for place, each in enumerate(found):
        everything = [
            SeedRuns(ours[place], [simulate(places[place][0], make(spec), places[place][1]) for spec in made.specs])
            for places, ours in zip(made.by_seed, made.ours, strict=True)
        ]
        assert bool(each.better()) == bool(replace(each, seeds=everything).better())
        assert set(each.better()) <= set(replace(each, seeds=everything).better())


def test_try_peers_when_it_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where time is over it says so; what was tried is not tried again."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    made = a_study(cache, {})
    assert not try_peers(made, 1, 0.0)
    assert try_peers(made, 1, inf)
    monkeypatch.setattr(hindsight, "simulate", lambda *_, **__: pytest.fail("is tried"))
    assert try_peers(made, 1, inf)


def test_docs_when_days_would_go_into_the_shipped_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trying it out must not look like the whole."""
    with pytest.raises(SystemExit):
        main(["--days", "1", "--runs", str(tmp_path / "runs.jsonl"), "--traces", str(tmp_path)])
    assert "give another --page" in capsys.readouterr().err


@pytest.mark.slow
def test_docs_when_made_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page and pictures are written; a second time nothing is simulated but the picture of a crowd."""
    traffic = Trace("flash-crowd", np.random.default_rng(1).poisson(20.0, 60).astype(np.int64))
    monkeypatch.setattr(docs_study, "workloads", lambda folder, seed: [(traffic, 10.0)])
    monkeypatch.setattr(docs, "generated_trace", lambda name, seed: traffic)
    monkeypatch.setattr(docs, "DAY", 60)
    monkeypatch.setattr(docs_study, "WORLDS", WORLDS[:2])
    monkeypatch.setattr(docs_study, "GRIDS", {"fixed": GRIDS["fixed"], "wpa": GRIDS["wpa"]})
    made: list[str] = []
    whole = study.run_task

    def noted(task: Task) -> Run:
        made.append(task.spec)
        return whole(task)

    tried: list[str] = []
    search = hindsight.search

    def searched(of: hindsight.Search) -> list[tuple[str, Run | hindsight.Floor]]:
        tried.extend(of.specs)
        return search(of)

    monkeypatch.setattr(study, "run_task", noted)
    monkeypatch.setattr(hindsight, "search", searched)
    page = tmp_path / "comparison.md"
    page.write_text(f"# Comparison\n{BEGIN}\n{END}\n")
    arguments = ["--runs", str(tmp_path / "runs.jsonl"), "--page", str(page), "--jobs", "1", "--traces", str(tmp_path)]
    assert main([*arguments, "--partial"]) == 0
    text = page.read_text()
    # Three seeds in two worlds without failing launches and with three shares, and the picture's two.
    assert made == ["sluice"] * (3 * 2 * (1 + 3) + 1) + [made[-1]]
    assert tried == []
    assert text.startswith(f"# Comparison\n{BEGIN}\n\n`make planner-docs` writes this section")
    assert "**Not all settings are tried yet: 84 are missing.**" in text
    assert "settings are not tried yet" in text
    del made[:]
    assert main([*arguments, "--peers", "--hours", "0"]) == 0
    assert len(tried) == len(settings("fixed"))  # one search, since time was over then
    assert main([*arguments, "--peers"]) == 0
    assert made == []
    assert set(tried) >= {*settings("fixed"), *settings("wpa")}
    assert main(arguments) == 0
    text, done = page.read_text(), len(made)
    assert "not tried yet" not in text
    assert text.count("| flash-crowd") == 2
    assert text.index("## What is claimed") < text.index("## Target wait") < text.index("## Where launches fail")
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()}
    assert set(pictures) == {"cost-120-60.png", "cost-300-180.png", "crowd.png"}
    del tried[:]
    assert main(arguments) == 0
    assert tried == []
    assert made[done:] == made[done - 2 : done]
    assert page.read_text() == text
    assert {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()} == pictures
