"""The settings of a peer that may be better than Sluice in a case, found without running all of them to the end.

A study asks of a case which setting of a peer is no later than Sluice and no dearer, and what the peer's cheapest
setting costs that is punctual. So a run ends once it is certain to be later than is asked, or dearer than both Sluice
and the cheapest punctual setting of that peer so far (`sluice_tools.backtest.floors` says what is certain). The
answers are those of all runs to the end: what was ended early is out by what it had cost, or how late it had been,
already.

What is known of a run that was ended stays true whatever is asked later. After a change of the planner only those runs
are made again that its new results might let in. For that to be few, runs end a little later than they could.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.floors import EndedEarly, Floor, Watch, work_left
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.result_cache import ResultCache
from sluice_tools.backtest.runs import NO_TIMELINE, Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import done
from sluice_tools.backtest.traces import Trace

SLACK = 1.03  # what a run may be dearer or later than is asked, so that Sluice's next results find it known

type Known = Mapping[str, Run | Floor]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a peer's settings in a case."""

    late_most: float  # share of messages; a setting that is later is of no interest
    hours: float  # a setting that costs no more instance-hours is of interest
    cheapest: bool  # and so is the peer's cheapest, whatever it costs


@dataclass(frozen=True, slots=True)
class Search:
    """A peer's settings in a case."""

    trace: Trace
    conditions: Conditions
    specs: Sequence[str]  # the most promising first
    known: Known  # runs that were made earlier, and the floors of those that were ended
    asked: Asked


def known_of(trace: Trace, conditions: Conditions, specs: Sequence[str], cache: ResultCache) -> dict[str, Run | Floor]:
    """What the cache has of a case's settings: the run, or the floor at which it was ended."""
    found: dict[str, Run | Floor] = {}
    for spec in specs:
        result = cache.find(trace, spec, conditions) or cache.find_floor(trace, spec, conditions)
        if result is not None:
            found[spec] = result
    return found


def undecided(specs: Sequence[str], known: Known, asked: Asked) -> list[str]:
    """The settings of which it is not known yet whether they are of interest, and what they cost if they are."""
    most = max(asked.hours, _cheapest(known, asked))
    return [spec for spec in specs if _is_open(known.get(spec), asked.late_most, most)]


def _is_open(found: Run | Floor | None, late_most: float, hours_most: float) -> bool:
    if isinstance(found, Floor):
        return found.late_fraction <= late_most and found.instance_hours <= hours_most
    return found is None


def _cheapest(known: Known, asked: Asked) -> float:
    """The instance-hours of the cheapest punctual setting; none is looked for where only those of interest are."""
    if not asked.cheapest:
        return 0.0
    punctual = (
        each.instance_hours
        for each in known.values()
        if isinstance(each, Run) and each.late_fraction <= asked.late_most
    )
    return min(punctual, default=inf)


def search(of: Search) -> list[tuple[str, Run | Floor]]:
    """Run what is not decided, each setting as far as it may be of interest.

    Returns:
        The settings that ran, each with its run, or with the floor at which it was ended.
    """
    left = work_left(of.trace, of.conditions)
    known, made = dict(of.known), []
    for spec in of.specs:
        cheapest = _cheapest(known, of.asked)
        if not _is_open(known.get(spec), of.asked.late_most, max(of.asked.hours, cheapest)):
            continue
        most = Floor(max(of.asked.hours * SLACK, cheapest), of.asked.late_most * SLACK)
        watch = Watch(left, of.conditions.target_wait_s, most)
        found: Run | Floor
        try:
            run = simulate(of.trace, make(spec), of.conditions, watch=watch)
            found = replace(run, timeline=NO_TIMELINE, notes=())
        except EndedEarly as ended:
            found = ended.floor
        known[spec] = found
        made.append((spec, found))
    return made


def search_all(searches: Sequence[Search], cache: ResultCache, jobs: int | None = None, until: float = inf) -> bool:
    """Make all searches, on all cores, and store what they found.

    Args:
        searches: what is asked.
        cache: added to.
        jobs: the number of processes, by default as many as there are cores; 1 runs in this process.
        until: by `time.monotonic`, when no further search is begun.

    Returns:
        Whether all of them are made.
    """
    left = [each for each in searches if undecided(each.specs, each.known, each.asked)]
    made = 0
    with closing(done("searching", search, left, jobs)) as all_found:
        for place, found in all_found:
            of = left[place]
            for spec, result in found:
                if isinstance(result, Floor):
                    cache.add_floor(of.trace, spec, of.conditions, result)
                else:
                    cache.add(of.trace, spec, result)
            made += 1
            if time.monotonic() >= until:
                break
    return made == len(left)
