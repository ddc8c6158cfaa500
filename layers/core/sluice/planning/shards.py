"""Shards: which fleets are ticked together. A shard is a chain `ticks/<number>` whose data names its fleets.

Invariants
1. A fleet is in one shard, and stays there for as long as it exists: two shards never act on one fleet.
2. A shard has at most SHARD_MAX fleets. A new fleet goes into the fullest shard that has room, so that few shards do.
3. The schedule's minute alone assigns, under the lease LEASE, and changes no shard while a round of it is under way.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from sluice.model.frozen import dataclass, replace

KIND = "ticks"
# One call reads a hundred groups or queues, and a round of fifty fleets takes about a second of the planner's function.
SHARD_MAX = 50
LEASE = "#shards"  # no fleet has a name with "#"
# The shards' rounds are spread over a tick, so that their calls are.
SPREAD = 10


@dataclass(frozen=True, slots=True)
class Shard:
    """What a shard's chain carries from step to step."""

    fleets: tuple[str, ...]  # names; the one that was ticked longest ago first
    round_at: float  # when the next round over all of them is due, in epoch seconds
    again: tuple[str, ...] = ()  # those whose counts jumped: they are ticked before that
    asked: int = 0  # how often a round had been asked for (`Chain.asked`) when the last step began
    by: str = ""  # the invocation that did the last step
    failing: tuple[tuple[str, float], ...] = ()  # fleets whose last tick did not succeed, and since when

    def to_text(self) -> str:
        """The chain's data."""
        kept = {"fleets": self.fleets, "round_at": self.round_at, "again": self.again}
        kept |= {"asked": self.asked, "by": self.by, "failing": self.failing}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def of(cls, data: str) -> "Shard":
        """The shard in a chain's data."""
        found = json.loads(data)
        failing = tuple((name, since) for name, since in found["failing"])
        return cls(
            tuple(found["fleets"]), found["round_at"], tuple(found["again"]), found["asked"], found["by"], failing
        )

    def looked_at(self, names: Iterable[str]) -> "Shard":
        """The shard after ticks of these fleets, in their order."""
        last = dict.fromkeys(names)
        first = [name for name in self.fleets if name not in last]
        return replace(self, fleets=(*first, *(name for name in last if name in self.fleets)))

    def with_results(self, names: Iterable[str], succeeded: Collection[str], now: float) -> "Shard":
        """The shard after a round over these fleets, of which some ticks succeeded."""
        since = dict(self.failing)
        return replace(self, failing=tuple((name, since.get(name, now)) for name in names if name not in succeeded))

    def with_fleets(self, names: Sequence[str]) -> "Shard":
        """The shard with these fleets: those that are new to it first, since they were never ticked."""
        new = tuple(name for name in names if name not in self.fleets)
        stay = set(names)
        return replace(
            self,
            fleets=(*new, *(name for name in self.fleets if name in stay)),
            again=tuple(name for name in self.again if name in stay),
        )


def shard_id(number: int) -> str:
    """The id of a shard's chain."""
    return f"{KIND}/{number:04d}"


def first_round_at(chain_id: str, tick_s: float, now: float) -> float:
    """When a new shard's first round is due, in epoch seconds."""
    number = int(chain_id.rpartition("/")[2])
    return now + number % SPREAD * tick_s / SPREAD


def assign(shards: Mapping[str, Sequence[str]], fleets: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Which fleets each shard is to have.

    Args:
        shards: the names that each shard has, by the chain's id.
        fleets: the names of all fleets that exist.

    Returns:
        The names by the chain's id: for each shard that there is, and each that is to be started. A shard without names
        is to be ended.
    """
    left = set(fleets)
    assigned: dict[str, tuple[str, ...]] = {}
    for chain_id in sorted(shards):
        assigned[chain_id] = tuple(name for name in shards[chain_id] if name in left)
        left -= set(assigned[chain_id])
    for name in sorted(left):
        roomy = [chain_id for chain_id, names in assigned.items() if len(names) < SHARD_MAX]
        chosen = max(roomy, key=lambda chain_id: len(assigned[chain_id]), default=None) or _free_id(assigned)
        assigned[chosen] = (*assigned.get(chosen, ()), name)
    return assigned


def changes(shards: Mapping[str, Sequence[str]], fleets: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What `assign` changes: the names of each shard that is to be started, to be ended, or to have other fleets."""
    assigned = assign(shards, fleets)
    return {
        chain_id: names
        for chain_id, names in assigned.items()
        if set(names) != set(shards.get(chain_id, ())) or not names
    }


def shard_of(shards: Mapping[str, Sequence[str]], fleet: str) -> str | None:
    """The id of the shard that a fleet is in, if it is in one."""
    return next((chain_id for chain_id, names in shards.items() if fleet in names), None)


def _free_id(taken: Collection[str]) -> str:
    return next(chain_id for number in range(len(taken) + 1) if (chain_id := shard_id(number)) not in taken)
