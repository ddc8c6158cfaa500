"""What is late in a world although a change is known as soon as anything shows it.

Some worlds change: the level of arrivals, or what messages take. No policy knows of it before something shows it, and a
launch then takes its time. `Informed` is Sluice with that knowledge: from the first tick at which the change shows it
wants at least what that asks for. What is late with it is late before the change can be known, or before a launch can
help. What more is late with Sluice is what its learning takes.

    .venv/bin/python -m sluice_tools.backtest.worlds.informed --seeds 3
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import Policy, Sight, Step, simulate
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.catalogue import HOUR_S, WORLDS

LEVEL_KNOWN_S = 10.0, 600.0  # from and until when in each hour its level is answered; then all is left to Sluice

KNOWN_MINUTES = 30  # by then it is known that no more instances help

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


def hours_before_it_is_known(seed: int) -> tuple[float, float]:
    """Instance-hours of Sluice in `capped-downstream`: of the first half hour, and of the rest."""
    world = WORLDS["capped-downstream"]
    line = simulate(world.trace(seed), make("sluice"), world.conditions_of(seed), world.behaviour).timeline
    hours = (line.working + line.launching) * MINUTE_S / HOUR_S
    return float(hours[:KNOWN_MINUTES].sum()), float(hours[KNOWN_MINUTES:].sum())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Print what is late in worlds that change.")
    parser.add_argument("--seeds", type=int, default=3, help="seeds from 1 on (default 3)")
    seeds = range(1, parser.parse_args().seeds + 1)
    print("\n".join(table(seeds)))
    first, rest = zip(*map(hours_before_it_is_known, seeds), strict=True)
    hours = f"{_listed(first)} instance-hours in the first {KNOWN_MINUTES} minutes, {_listed(rest)} then"
    print(f"\n`capped-downstream`: {hours}")


def _listed(hours: Sequence[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in hours)


if __name__ == "__main__":
    main()
