"""The planner without one of its rules: what is taken out, what that changes, and which constants are tuned."""

from importlib import import_module

import numpy as np
import pytest

from sluice.planning import supply
from sluice_tools.ablate import command as ablate
from sluice_tools.ablate import results
from sluice_tools.ablate.cases import Case, Result, cases, result_of
from sluice_tools.ablate.command import Gain, gain_of, main, write_page
from sluice_tools.ablate.constants import NOT_TUNED, constants, tuned
from sluice_tools.ablate.docs import commit_of
from sluice_tools.ablate.results import results_of
from sluice_tools.ablate.rules import PLANNING, Rule, rules, without
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.traces import Trace

TUNED_MOST = 44  # a rule that is added brings its constants, and takes others away


def test_rules_when_they_are_named():
    """Each rule has a name of its own and something that is taken out."""
    names = [rule.name for rule in rules()]
    assert len(set(names)) == len(names)
    assert all(rule.off and rule.says for rule in rules())


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_rule_when_it_is_off(rule):
    """What stands in its place is there until the end, and then what was there before."""
    places = [(import_module(f"{PLANNING}.{place.split(':')[0]}"), place.split(":")[1]) for place in rule.off]
    before = [getattr(module, name) for module, name in places]
    with without(rule):
        changed = [getattr(module, name) for module, name in places]
    assert all(now is not was for now, was in zip(changed, before, strict=True))
    assert [getattr(module, name) for module, name in places] == before


def test_rule_when_a_run_fails():
    """An error does not leave the planner without its rule."""
    with pytest.raises(ZeroDivisionError), without(Rule("failing", "", {"supply:MOST": 0.0})):
        raise ZeroDivisionError
    assert supply.MOST > 0.0


@pytest.mark.slow
def test_result_when_a_rule_is_off():
    """The planner itself is simulated: without its window it gives back what it needs a few minutes later."""
    counts = np.zeros(240, dtype=np.int64)
    counts[::4] = 60
    conditions = Conditions(seconds_per_message=20.0, target_wait_s=60.0, boot_s=180.0)
    case = Case("gusts", Trace("gusts", counts), conditions)
    whole, off = result_of((case, None)), result_of((case, "stabilization-window"))
    assert off.launches > whole.launches
    assert result_of((case, None)) == whole


# cost and late share with the rule and without, and whether it matters
GAINS = [
    ((1.1, 0.0), (1.1, 0.0), False),
    ((1.1, 0.0), (1.107, 0.0), True),
    ((1.1, 0.0), (1.1, 0.001), True),
    ((1.1, 0.0), (1.05, 0.0), False),
]


@pytest.mark.parametrize(("whole", "off", "matters"), GAINS)
def test_gain_when_it_is_small(whole, off, matters):
    """Half of a percent of the cost, or 0.05% of the messages late, in one case is enough."""
    rule = rules()[0]
    same = Result(1.2, 0.0, 1)
    gain = gain_of(rule, {"a": Result(*whole, 1), "b": same}, {"a": Result(*off, 1), "b": same})
    assert gain.matters is matters
    assert gain.most_cost[1] == ("a" if off[0] > whole[0] else "b")


@pytest.mark.parametrize(
    ("launches", "note"), [((124, 232), "124 launches in second-controller, 232 without it"), ((9, 9), "gains nothing")]
)
def test_gain_when_a_rule_holds_a_world(launches, note):
    """What it is there for is said in launches: neither cost nor waits show a fight."""
    rule = next(rule for rule in rules() if rule.holds)
    of = [{rule.holds: Result(1.2, 0.0, each)} for each in launches]
    assert gain_of(rule, *of).note == note
    assert gain_of(rule, {"a": Result(1.2, 0.0, 1)}, {"a": Result(1.2, 0.0, 9)}).note == "gains nothing"


def test_cases_when_they_are_listed():
    """Each has a name of its own, and what a rule holds is among them."""
    names = [case.name for case in cases(1, None, 1)]
    assert len(set(names)) == len(names)
    assert {rule.holds for rule in rules() if rule.holds} <= set(names)


def test_constants_when_they_are_counted(capsys):
    """Each constant that is no tuned one exists, and no more are tuned than before."""
    known = set(constants())
    fixed = {(module, name) for modules in NOT_TUNED.values() for module, names in modules.items() for name in names}
    assert fixed <= known
    assert len(tuned()) <= TUNED_MOST
    assert main(["--constants"]) == 0
    assert f"of which {len(tuned())} are tuned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--days", "0"], "--days: must be at least 1 (got 0)"),
        (["--traces", "/nowhere"], "--traces: there is no folder /nowhere"),
        (["--rule", "luck"], "invalid choice: 'luck'"),
        (["--docs", "--rule", "caution"], "--docs: must have all rules"),
    ],
)
def test_arguments_when_they_are_wrong(arguments, said, capsys):
    """An error names the option as typed."""
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_results_when_some_are_known(tmp_path, monkeypatch):
    """What is in the file is not simulated again, and a line that was cut short is left out."""
    case = Case("gusts", Trace("gusts", np.full(30, 5)), Conditions(seconds_per_message=5.0))
    tasks, path = [(case, None), (case, "caution")], tmp_path / "deep" / "results.jsonl"
    first = results_of(tasks[:1], 1, path)
    path.write_text(path.read_text() + '["cut sho')
    assert results_of([tasks[0]], 1, path) == first == [result_of(tasks[0])]
    monkeypatch.setattr(
        results, "result_of", lambda task: pytest.fail("is known") if task == tasks[0] else result_of(task)
    )
    assert results_of(tasks, 1, path) == [first[0], result_of(tasks[1])]


def test_page_when_it_is_written(tmp_path, monkeypatch):
    """It has each rule with its gain, the commit and its date, and the constants before and now."""
    monkeypatch.setattr(ablate, "commit_of", lambda: ("abc1234", "2026-11-29"))
    gained, idle = rules()[:2]
    found = [
        Gain(idle, 0.0, 0.0, (0.001, "step (120, 60)"), (0.0, "step (120, 60)"), (-0.002, "bursts (60, 180)")),
        Gain(gained, 0.012, 0.0001, (0.05, "delayed"), (0.002, "delayed"), (0.0, "prefetch")),
    ]
    page = tmp_path / "ablations.md"
    write_page(found, "59 cases, traces of 1 day, seed 1", page)
    text = page.read_text()
    assert "Measured with commit `abc1234` of 2026-11-29: 59 cases, traces of 1 day, seed 1." in text
    row = f"| `{gained.name}` | {gained.says} | +1.20% | +0.010% | +5.0% delayed | +0.20% delayed | +0.0% prefetch |  |"
    assert row in text
    assert text.index(f"`{gained.name}`") < text.index(f"`{idle.name}`")
    assert "-0.2% bursts (60, 180) | gains nothing |" in text
    assert f"| with commit `abc1234` | {len(list(constants()))} | {len(tuned())} |" in text
    assert "| before rules were taken out | 147 | 119 |" in text


def test_commit_when_it_is_asked_for():
    """A name and the date of the checkout's commit."""
    commit, date = commit_of()
    assert commit
    assert len(date.split("-")) == 3
