"""Several queues in shadow mode: a world in which somebody sets the capacity, and the planner looks on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.planning import Memory, Snapshot
from sluice.planning.shadow.replay import ShadowTick, replay
from sluice.planning.shadow.scorecard import Score, score
from tests.support.planner_steps import TIMING, tick_of
from tests.support.sharing_world import SharedWorld


def looked(memory: Memory, snapshot: Snapshot, fleet: Fleet) -> tuple[Memory, Decision, ShadowTick]:
    """One tick in shadow mode: the memory after it, the decision on the real fleet, and what came of the other."""
    learned, believed, decision = tick_of(memory, snapshot, fleet, snapshot.at)
    followed = replay(memory, learned, believed, snapshot, fleet, timing=TIMING, now=snapshot.at)
    return replace(learned, shadow=followed.shadow), decision, followed


@dataclass(slots=True)
class ShadowedWorld(SharedWorld):
    """The world of several queues, with each look at it."""

    looks: list[ShadowTick] = field(default_factory=list)
    seen_waiting: dict[float, list[int]] = field(default_factory=dict)  # at each look, by queue

    def watch(self, seconds: float, policy: Callable[["ShadowedWorld"], int] | None = None) -> None:
        """Go on for so long, ticking as the planner does. Without a policy, Sluice's own wants are set."""
        until, tick_at = self.t + seconds, self.t
        while self.t < until:
            if self.t >= tick_at:
                self.seen_waiting[self.now] = [len(lane.waiting) for lane in self.lanes.values()]
                self.memory, decision, followed = looked(self.memory, self.snapshot(), self.fleet)
                self.looks.append(followed)
                self.set_desired(decision.want if policy is None else policy(self))
                tick_at = self.t + 10.0
            self.step()

    @property
    def score(self) -> Score:
        """What both sides came to."""
        scored = score(self.memory.shadow)
        assert scored is not None
        return scored

    def late_fraction(self) -> float:
        """The share of the messages of all queues that are consumed that waited longer than their queue's target."""
        late = whole = 0
        for source in self.fleet.sources:
            if not source.paused:
                lane = self.lanes[source.name]
                waits = [*lane.waits, *(self.t - at for at in lane.waiting)]
                late += sum(wait > (source.target_wait_s or 0.0) for wait in waits)
                whole += len(waits)
        return late / whole
