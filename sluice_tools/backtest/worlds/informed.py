"""What is late or dear in a world before anything shows what it is like.

Some worlds change: the level of arrivals, or what messages take. No policy knows of it before something shows it, and a
launch then takes its time. `Informed` is Sluice with that knowledge: from the first tick at which the change shows it
wants at least what that asks for. What is late with it is late before the change can be known, or before a launch can
help. What more is late with Sluice is what its learning takes.

What a new fleet does not know costs as well: what messages and launches take, which hints would tell, and what only the
metrics of some minutes show.

And where nothing comes but batches, an instance that is launched for one is paid for its boot before it begins a
message. `KnownBatch` says what that costs at the least: it knows how many messages each batch has the moment it is
there, and the best number of messages for one launch in hindsight.

    .venv/bin/python -m sluice_tools.backtest.worlds.informed --seeds 3
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import Policy, Sight, Step, simulate
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.catalogue import HOUR_S, WORLDS
from sluice_tools.backtest.worlds.world import bound_hours

LOOK_S = 10.0  # between two looks, as the deployed planner has it
LEVEL_KNOWN_S = 10.0, 600.0  # from and until when in each hour its level is answered; then all is left to Sluice

# Worlds that cost more than twice their bound, and by when metrics have shown why: no more instances help;
# messages in flight are not at work.
KNOWN_MINUTES = {"capped-downstream": 30, "capped-downstream-long": 50, "back-off": 15}
FIRST_BURSTS = ("delayed", "idle-without-metrics", "first-burst")  # of which an unknown fleet's first burst is a part
HINTED = "sluice:hinted=yes"

BATCHES = "heavy-tailed-batches-slow-boot"  # whose batches `KnownBatch` is given
EACH_TRIED = 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0  # messages of a batch for each launch
LATE_MOST = 0.001  # the share that may be late with the best of them

type Needed = Callable[[Sight, Conditions, Trace], float]


@dataclass(frozen=True, slots=True)
class Change:
    """What changes in a world."""

    world: str
    answer: str  # from when on a policy knows of it, and what it wants then
    shows: Callable[[Sight], bool]  # whether the change does at a tick
    needed: Needed  # the instances that it asks for


def _all(_: Sight, conditions: Conditions, __: Trace) -> float:
    return conditions.max_size


def _level(sight: Sight, conditions: Conditions, trace: Trace) -> float:
    """The work that arrives at the level of this hour, in instances."""
    first = int(sight.now // HOUR_S) * 60
    return float(trace.counts[first : first + 60].mean()) / MINUTE_S * conditions.seconds_per_message


CHANGES = (
    Change(
        "slower-than-believed",
        "once an instance is in service: all that the group may have",
        lambda sight: sight.working > 0,
        _all,
    ),
    Change(
        "slowing-down",
        "once the metrics of the minute in which it begins are there: all that the group may have",
        lambda sight: bool(sight.minutes) and sight.minutes[-1].start_s >= HOUR_S,
        _all,
    ),
    Change(
        "growing-plateaus",
        "10 s after each level begins: the instances for this level",
        lambda sight: LEVEL_KNOWN_S[0] <= sight.now % HOUR_S < LEVEL_KNOWN_S[1],
        _level,
    ),
)


@dataclass(init=False)
class Informed:
    """Sluice that knows of a change once it shows."""

    name: str = field(default="informed", init=False)

    def __init__(self, change: Change) -> None:
        self._change = change
        self._sluice: Policy = make(WORLDS[change.world].spec("sluice"))
        self._given: tuple[Conditions, Trace] | None = None

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """Get ready for a run; the trace is for the change."""
        self._given = conditions, trace
        return self._sluice.begin(conditions, trace)

    def decide(self, sight: Sight) -> Step:
        """What Sluice wants, and at least what the change asks for."""
        assert self._given is not None, "begin comes first"
        step = self._sluice.decide(sight)
        if not self._change.shows(sight):
            return step
        return step._replace(desired=max(step.desired, ceil(self._change.needed(sight, *self._given))))


@dataclass(init=False)
class KnownBatch:
    """Launches for all of a batch the moment it is there, and keeps no instance that has nothing to do."""

    name: str = field(default="known-batch", init=False)

    def __init__(self, each: float) -> None:
        self._each = each

    def begin(self, conditions: Conditions, trace: Trace) -> int:  # noqa: ARG002 - it needs neither
        """A run begins without instances."""
        return 0

    def decide(self, sight: Sight) -> Step:
        """So many launches that each has its share of what waits; nothing that is idle when nothing waits."""
        waiting, next_s = sight.visible(), sight.now + LOOK_S
        if not waiting:
            return Step(ceil(sight.in_flight()), next_s)
        if sight.working:
            return Step(sight.desired, next_s)
        return Step(max(sight.desired, ceil(waiting / self._each)), next_s)


def batch_costs(seed: int) -> tuple[float, float]:
    """Times the work: what Sluice costs in the world of batches, and the cheapest `KnownBatch` that is punctual."""
    world, conditions = WORLDS[BATCHES], replace(WORLDS[BATCHES].conditions_of(seed), count_noise=0.0)
    ours = simulate(world.trace(seed), make(world.spec("sluice")), world.conditions_of(seed), world.behaviour)
    tried = [simulate(world.trace(seed), KnownBatch(each), conditions, world.behaviour) for each in EACH_TRIED]
    return ours.cost_ratio, min(run.cost_ratio for run in tried if run.late_fraction <= LATE_MOST)


def late_shares(change: Change, seed: int) -> tuple[float, float]:
    """The shares of messages that are late in a world: with Sluice, and where it knows of the change."""
    world, shares = WORLDS[change.world], []
    for policy in (make(world.spec("sluice")), Informed(change)):
        run = simulate(world.trace(seed), policy, world.conditions_of(seed), world.behaviour)
        shares.append(run.late_fraction)
    return shares[0], shares[1]


def table(seeds: Sequence[int]) -> list[str]:
    """A row for each change: what is late, and what is late where it is known, by seed."""
    rows = ["| world | late | late if the change is known | known |", "|---|---:|---:|---|"]
    for change in CHANGES:
        by_seed = [late_shares(change, seed) for seed in seeds]
        late, informed = (", ".join(f"{share:.1%}" for share in shares) for shares in zip(*by_seed, strict=True))
        rows.append(f"| `{change.world}` | {late} | {informed} | {change.answer} |")
    return rows


def hours_before_it_is_known(name: str, seed: int) -> tuple[float, float]:
    """Instance-hours of Sluice in a world of `KNOWN_MINUTES`: of these minutes, and of the rest."""
    world, minutes = WORLDS[name], KNOWN_MINUTES[name]
    line = simulate(world.trace(seed), make("sluice"), world.conditions_of(seed), world.behaviour).timeline
    hours = (line.working + line.launching) * MINUTE_S / HOUR_S
    return float(hours[:minutes].sum()), float(hours[minutes:].sum())


def costs(name: str, seed: int) -> tuple[float, float]:
    """The cost in a world, in multiples of its bound: with Sluice, and where its fleet has both hints."""
    world, hours = WORLDS[name], []
    for policy in (world.spec("sluice"), HINTED):
        run = simulate(world.trace(seed), make(policy), world.conditions_of(seed), world.behaviour)
        hours.append(run.instance_hours)
    bound = bound_hours(world, seed)
    return hours[0] / bound, hours[1] / bound


def cost_table(seeds: Sequence[int]) -> list[str]:
    """A row for each world of which a first burst is a part: what it costs, and what it does with both hints."""
    rows = ["| world | cost | cost with both hints |", "|---|---:|---:|"]
    for name in FIRST_BURSTS:
        unknown, hinted = zip(*(costs(name, seed) for seed in seeds), strict=True)
        rows.append(f"| `{name}` | {_listed(unknown)} | {_listed(hinted)} |")
    return rows


def main() -> None:
    """Print what is late and what is dear, and what of it is so before anything can be known."""
    parser = argparse.ArgumentParser(description="Print what is late or dear in worlds before something is known.")
    parser.add_argument("--seeds", type=int, default=3, help="seeds from 1 on (default 3)")
    seeds = range(1, parser.parse_args().seeds + 1)
    print("\n".join([*table(seeds), "", *cost_table(seeds), ""]))
    for name, minutes in KNOWN_MINUTES.items():
        first, rest = zip(*(hours_before_it_is_known(name, seed) for seed in seeds), strict=True)
        print(f"`{name}`: {_listed(first)} instance-hours in the first {minutes} minutes, {_listed(rest)} then")
    ours, known = zip(*(batch_costs(seed) for seed in seeds), strict=True)
    print(f"`{BATCHES}`: {_listed(ours)} times the work; {_listed(known)} where each batch is known as it arrives")


def _listed(figures: Sequence[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in figures)


if __name__ == "__main__":
    main()
