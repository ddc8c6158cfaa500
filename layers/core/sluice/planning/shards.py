"""Shards: which fleets are ticked together. A shard is a chain `ticks/<number>` whose assignment names its fleets.

Invariants
1. A fleet is in one shard, and stays there for as long as it exists: two shards never act on one fleet. One that ceased
   to exist has its place for HELD_S more, in which every round that may have begun with it has ended. If it comes back
   meanwhile, it is in the same shard again.
2. A shard has at most SHARD_MAX fleets. A new fleet goes into the fullest shard that has room, so that few shards do.
3. The schedule's minute alone assigns, under the lease LEASE. It waits for no round: a round has the fleets that were
   assigned when it began, and the next one begins at once.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil

from sluice.model.chain import Chain
from sluice.model.frozen import dataclass, replace

KIND = "ticks"
# One call reads a hundred groups or queues, and a round of fifty fleets takes about a second of the planner's function.
SHARD_MAX = 50
LEASE = "#shards"  # no fleet has a name with "#"
# The longest that a function of Lambda may run, and a minute for clocks that differ.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
HELD_S = 960.0
# The shards' rounds are spread over a tick, so that their calls are.
SPREAD = 10


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which fleets a shard has."""

    fleets: tuple[str, ...] = ()  # names
    gone: tuple[tuple[str, float], ...] = ()  # those that ceased to exist, and since when, in epoch seconds

    @property
    def size(self) -> int:
        """How many places are taken."""
        return len(self.fleets) + len(self.gone)

    def to_text(self) -> str:
        """The chain's assignment."""
        return json.dumps({"fleets": self.fleets, "gone": self.gone}, separators=(",", ":"))

    @classmethod
    def of(cls, chain: Chain) -> "Assignment":
        """What a shard's chain works on."""
        found = json.loads(chain.assignment)
        return cls(tuple(found["fleets"]), tuple((name, since) for name, since in found["gone"]))


@dataclass(frozen=True, slots=True)
class Shard:
    """What a shard's chain carries from step to step."""

    round_at: float  # when the next round over all of its fleets is due, in epoch seconds
    put_off: tuple[str, ...] = ()  # fleets that the last rounds had no time for, the one ticked longest ago first
    again: tuple[str, ...] = ()  # those whose counts jumped: they are ticked before that
    asked: int = 0  # how often a round had been asked for (`Chain.asked`) when the last step began
    by: str = ""  # the invocation that did the last step
    failing: tuple[tuple[str, float], ...] = ()  # fleets whose last tick did not succeed, and since when
    late: tuple[tuple[str, float], ...] = ()  # fleets with a late message, and how many target waits it has waited

    def to_text(self) -> str:
        """The chain's data."""
        kept = {"round_at": self.round_at, "put_off": self.put_off, "again": self.again}
        kept |= {"asked": self.asked, "by": self.by, "failing": self.failing, "late": self.late}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def of(cls, chain: Chain) -> "Shard":
        """What a shard's chain carries."""
        found = json.loads(chain.data)
        failing = tuple((name, since) for name, since in found["failing"])
        return cls(
            found["round_at"],
            tuple(found["put_off"]),
            tuple(found["again"]),
            found["asked"],
            found["by"],
            failing,
            tuple((name, waits) for name, waits in found.get("late", ())),  # none: written by an earlier version
        )

    def in_order(self, fleets: Sequence[str]) -> tuple[str, ...]:
        """A round's fleets: those first that were put off, so that each has its turn."""
        first = [name for name in self.put_off if name in fleets]
        return (*first, *(name for name in fleets if name not in first))

    def with_results(self, names: Iterable[str], succeeded: Collection[str], now: float) -> "Shard":
        """The shard after a round over these fleets, of which some ticks succeeded."""
        since = dict(self.failing)
        return replace(self, failing=tuple((name, since.get(name, now)) for name in names if name not in succeeded))

    def with_lateness(self, fleets: Collection[str], lateness: Mapping[str, float]) -> "Shard":
        """The shard after ticks that found how many target waits a fleet's oldest message has waited.

        Args:
            fleets: the shard's fleets: no other stays.
            lateness: of those that were ticked; the others are as they were.
        """
        found = {**dict(self.late), **lateness}
        late = [(name, waits) for name, waits in found.items() if name in fleets and waits > 1.0]
        return replace(self, late=tuple((name, ceil(10.0 * waits) / 10.0) for name, waits in late))


def shard_id(number: int) -> str:
    """The id of a shard's chain."""
    return f"{KIND}/{number:04d}"


def first_round_at(chain_id: str, tick_s: float, now: float) -> float:
    """When a new shard's first round is due, in epoch seconds."""
    number = int(chain_id.rpartition("/")[2])
    return now + number % SPREAD * tick_s / SPREAD


def assign(shards: Mapping[str, Assignment], fleets: Collection[str], now: float) -> dict[str, Assignment]:
    """Which fleets each shard is to have.

    Args:
        shards: what each shard has, by the chain's id.
        fleets: the names of all fleets that exist.
        now: epoch seconds.

    Returns:
        The assignments by the chain's id: for each shard that there is, and each that is to be started. One without
        names ends the shard.
    """
    exist, left = set(fleets), set(fleets)
    assigned: dict[str, Assignment] = {}
    for chain_id in sorted(shards):
        there = shards[chain_id]
        since = dict.fromkeys(there.fleets, now) | dict(there.gone)
        stay = tuple(name for name in since if name in left)
        gone = tuple((name, at) for name, at in since.items() if name not in exist and now - at < HELD_S)
        assigned[chain_id] = Assignment(stay, gone)
        left -= set(stay)
    for name in sorted(left):
        roomy = [chain_id for chain_id, each in assigned.items() if each.size < SHARD_MAX]
        chosen = max(roomy, key=lambda chain_id: assigned[chain_id].size, default=None) or _free_id(assigned)
        there = assigned.get(chosen, Assignment())
        assigned[chosen] = replace(there, fleets=(*there.fleets, name))
    return assigned


def _free_id(taken: Collection[str]) -> str:
    return next(chain_id for number in range(len(taken) + 1) if (chain_id := shard_id(number)) not in taken)
