"""Runs that end once they are of no interest: what is certain of them is true, and no answer changes."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from sluice_tools.backtest import hindsight
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.floors import LOOK_S, EndedEarly, Floor, Watch, work_left
from sluice_tools.backtest.hindsight import Asked, Search, known_of, search, search_all, undecided
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulated_group import Group
from sluice_tools.backtest.simulated_queue import Work
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import settings
from sluice_tools.backtest.traces import Trace

pytestmark = pytest.mark.slow

DAY = Trace("day", np.random.default_rng(4).poisson(20.0 + 15.0 * np.sin(np.arange(400) / 60.0)).astype(np.int64))
CONDITIONS = Conditions(seconds_per_message=10.0)
SPECS = [*settings("wpa")[:18:2], *settings("fixed"), *settings("little")[::9], *settings("target-tracking")[::16]]
FLUID = replace(CONDITIONS, messages_max=1)
IMPOSSIBLE = replace(CONDITIONS, target_wait_s=60.0, boot_s=180.0)


class Looks:
    """Notes what is certain at each look, and never ends a run."""

    def __init__(self, conditions: Conditions, late_most: float) -> None:
        self._left, self._target_s, self._late_most = work_left(DAY, conditions), conditions.target_wait_s, late_most
        self._watch = Watch(self._left, self._target_s, Floor(inf, late_most))
        self.floors: list[Floor] = []

    def look(self, now: float, work: Work, group: Group) -> None:
        """A look at limits that nothing keeps."""
        self._watch.most = Floor(-1.0, self._late_most)
        try:
            self._watch.look(now, work, group)
        except EndedEarly as ended:
            self.floors.append(ended.floor)


@pytest.mark.parametrize("conditions", [CONDITIONS, IMPOSSIBLE, FLUID], ids=["met", "not-met", "fluid"])
@pytest.mark.parametrize("spec", SPECS)
def test_floor_when_its_run_goes_on(spec: str, conditions: Conditions) -> None:
    """At no moment is more certain than what comes of the run, and it only ever becomes more."""
    whole = all_runs(conditions)[spec]
    looks = Looks(conditions, whole.late_fraction)
    watched = simulate(DAY, make(spec), conditions, watch=looks)
    assert (watched.instance_hours, watched.late_fraction) == (whole.instance_hours, whole.late_fraction)
    assert len(looks.floors) == DAY.minutes * 60 // LOOK_S
    for floor in looks.floors:
        assert floor.instance_hours <= whole.instance_hours + 1e-6
        assert floor.late_fraction <= whole.late_fraction + 1e-9
    lates = [floor.late_fraction for floor in looks.floors]
    assert lates == sorted(lates)
    # It is worth something: half of the way through, most of what was wasted is certain.
    assert looks.floors[-1].instance_hours > 0.8 * whole.instance_hours


def interest(runs: dict[str, Run], asked: Asked) -> tuple[set[str], float | None]:
    """The answers of all runs to the end: who is no dearer and no later, and what the cheapest punctual one costs."""
    punctual = {spec: run.instance_hours for spec, run in runs.items() if run.late_fraction <= asked.late_most}
    better = {spec for spec, hours in punctual.items() if hours <= asked.hours}
    return better, min(punctual.values(), default=None) if asked.cheapest else None


@pytest.mark.parametrize("conditions", [CONDITIONS, IMPOSSIBLE], ids=["met", "not-met"])
@pytest.mark.parametrize("late_most", [0.0, 0.001, 0.05])
@pytest.mark.parametrize("times", [0.0, 1.1, 2.0])
@pytest.mark.parametrize("cheapest", [True, False])
def test_search_when_compared_with_all_runs_to_the_end(
    conditions: Conditions,
    late_most: float,
    times: float,
    cheapest: bool,
) -> None:
    """The same settings are no dearer and no later, and the same one is the cheapest."""
    work_hours = DAY.total * conditions.seconds_per_message / 3600.0
    asked = Asked(late_most, times * work_hours, cheapest)
    whole = all_runs(conditions)
    made = dict(search(Search(DAY, conditions, SPECS, {}, asked)))
    ended = {spec: found for spec, found in made.items() if isinstance(found, Run)}
    assert interest(ended, asked) == interest(whole, asked)
    assert set(made) == set(SPECS)
    assert undecided(SPECS, made, asked) == []


_MADE: dict[Conditions, dict[str, Run]] = {}


def all_runs(conditions: Conditions) -> dict[str, Run]:
    """Every setting to the end."""
    if conditions not in _MADE:
        _MADE[conditions] = {spec: simulate(DAY, make(spec), conditions) for spec in SPECS}
    return _MADE[conditions]


def test_search_when_what_is_asked_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is cached only that runs again which the new limits may let in."""
    cache, ran = ResultCache(tmp_path / "runs.jsonl"), []
    make_policy: Callable[[str], object] = hindsight.make

    def noted(spec: str) -> object:
        ran.append(spec)
        return make_policy(spec)

    monkeypatch.setattr(hindsight, "make", noted)
    work_hours = DAY.total * CONDITIONS.seconds_per_message / 3600.0

    def ask(late_most: float, times: float) -> Search:
        known = known_of(DAY, CONDITIONS, SPECS, ResultCache(tmp_path / "runs.jsonl"))
        return Search(DAY, CONDITIONS, SPECS, known, Asked(late_most, times * work_hours, cheapest=False))

    assert search_all([ask(0.001, 1.2)], cache, 1)
    assert ran == SPECS
    ran.clear()
    assert search_all([ask(0.001, 1.2)], cache, 1)
    assert search_all([ask(0.0005, 1.1)], cache, 1)
    assert ran == []
    assert search_all([ask(0.001, 2.0)], cache, 1)
    assert 0 < len(ran) < len(SPECS)
    found = known_of(DAY, CONDITIONS, SPECS, ResultCache(tmp_path / "runs.jsonl"))
    assert interest(
        {spec: each for spec, each in found.items() if isinstance(each, Run)}, ask(0.001, 2.0).asked
    ) == interest(all_runs(CONDITIONS), ask(0.001, 2.0).asked)


def test_search_all_when_time_is_over(tmp_path: Path) -> None:
    """It says so, and what was found is stored."""
    cache = ResultCache(tmp_path / "runs.jsonl")
    searches = [
        Search(DAY, CONDITIONS, [spec], {}, Asked(0.0, inf, cheapest=False)) for spec in ("fixed:scale=0.7", "fixed")
    ]
    assert not search_all(searches, cache, 1, until=0.0)
    assert set(known_of(DAY, CONDITIONS, ["fixed:scale=0.7", "fixed"], cache)) == {"fixed:scale=0.7"}
    assert search_all(searches[1:], cache, 1)


def test_floor_when_a_world_has_faults() -> None:
    """Such a run cannot be ended early."""
    watch = Watch(work_left(DAY, CONDITIONS), 120.0, Floor(inf, 1.0))
    with pytest.raises(TypeError, match="cannot be ended early"):
        watch.look(LOOK_S, object(), object())  # type: ignore[arg-type]
