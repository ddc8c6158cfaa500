"""Whether a peer's setting that is chosen in hindsight is better than Sluice: asked of three seeds, not of one.

With one seed some setting of hundreds is better by chance. A case, which is a trace in a world, is lost where the same
setting is cheaper and no later with two of three seeds. A setting that is better with two of three is better with one
of the first two. So every setting runs with the first two, and with the third only those that it decides on: none that
could win is left out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sluice_tools.backtest.policies import label
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import better_than

SEEDS = (1, 2, 3)
SEEDS_NAMED = f"{', '.join(map(str, SEEDS[:-1]))} and {SEEDS[-1]}"
NEEDED = 2  # seeds with which a setting must be better
WHOLE = SEEDS[: len(SEEDS) - NEEDED + 1]  # those with which every setting runs

type World = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """What came of a case with one seed."""

    ours: Run
    peers: Sequence[Run]  # those that are known

    def better(self) -> list[Run]:
        """Settings of peers that are cheaper and no later than Sluice, or no dearer and less late."""
        return better_than(self.ours, self.peers)

    def cheapest(self, late_most: float) -> Run | None:
        """The cheapest setting of a peer with at most that share of late messages."""
        found = [run for run in self.peers if run.late_fraction <= late_most]
        return min(found, key=lambda run: run.cost_ratio, default=None)

    def margin(self, late_most: float) -> float | None:
        """What that setting costs, divided by Sluice's cost; None where either is later."""
        cheapest = self.cheapest(late_most)
        if cheapest is None or self.ours.late_fraction > late_most:
            return None
        return cheapest.cost_ratio / self.ours.cost_ratio


@dataclass(frozen=True, slots=True)
class Verdict:
    """A trace in a world, and what came of it with each seed."""

    trace: str
    world: World  # target and boot, in seconds
    seeds: Sequence[SeedRuns]  # in the order of `SEEDS`
    missing: int = 0  # runs of peers that are not made yet

    def wins(self) -> Counter[str]:
        """The settings that are better than Sluice with some seed: with how many."""
        return Counter(label(run.policy, run.params) for runs in self.seeds for run in runs.better())

    def better(self) -> list[str]:
        """The settings that are better with enough seeds, the surest first: the case is lost if there are any."""
        return [setting for setting, seeds in self.wins().most_common() if seeds >= NEEDED]

    def undecided(self) -> list[str]:
        """Of seeds in which every setting ran: the settings that one more seed decides on."""
        wins = self.wins()
        if any(seeds >= NEEDED for seeds in wins.values()):
            return []
        return sorted(setting for setting, seeds in wins.items() if seeds == NEEDED - 1)
