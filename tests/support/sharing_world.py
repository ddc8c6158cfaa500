"""A world of several queues for the planner's tests: units take from the highest priority, from equal ones in turn."""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sluice.config.fleet import Fleet, parse
from sluice.model.observed import QueueReading, Reading
from sluice.model.planning import Snapshot
from sluice.planning.multi_queue import pooled
from tests.support.planner_world import QUEUE, Unit, World, known_series


def a_shared_fleet(*queues: Mapping[str, Any], **changes: Any) -> Fleet:
    """Fleet orders with queues such as {"queue": "urgent", "target_wait_s": 60}: one message a second and unit."""
    document: dict[str, Any] = {
        "queues": [{**queue, "queue": f"{QUEUE}-{queue['queue']}"} for queue in queues],
        "group": "orders",
        "target_wait_s": 600,
        "hints": {"seconds_per_message": 1, "lead_time_s": 60},
    }
    return parse("orders", {**document, **changes})


@dataclass(slots=True)
class _Lane:
    """One queue: what waits, by when it came, what waited, and its counts by the minute."""

    per_s: Callable[[float], float]
    waiting: deque[float] = field(default_factory=deque)
    waits: list[float] = field(default_factory=list)
    in_flight: int = 0  # as a tick sees it
    due: float = 0.0
    minute: float = 0.0
    sent: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class SharedWorld(World):
    """The world of one queue, with several."""

    fleet: Fleet = field(default_factory=a_shared_fleet)
    lanes: dict[str, _Lane] = field(default_factory=dict)
    _at_work: dict[str, str] = field(default_factory=dict)  # unit -> the queue that its message is of
    _turn: int = 0
    _open: tuple[Fleet, list[tuple[str, int, _Lane]]] | None = None

    @classmethod
    def of(cls, fleet: Fleet, per_s: Mapping[str, Callable[[float], float]], **more: Any) -> "SharedWorld":
        """A fleet, and what comes to each of its queues by the last part of its name."""
        lanes = {source.name: _Lane(per_s[source.name.rpartition("-")[2]]) for source in fleet.sources}
        world = cls(lambda _: 0.0, fleet=fleet, lanes=lanes, **more)
        world._queue = cast("deque[float]", _Takes(world))  # as much of a deque as the world uses
        return world

    def step(self) -> None:
        """One second, with what comes to each queue in it."""
        for lane in self.lanes.values():
            lane.due += lane.per_s(self.t)
            came = int(lane.due + 1e-9)
            lane.due -= came
            lane.minute += came
            lane.waiting.extend([self.t] * came)
        World.step(self)
        if self.t % 60.0 == 0.0:
            for lane in self.lanes.values():
                lane.sent.append((self.now - 60.0, lane.minute))
                lane.minute = 0.0

    @property
    def open_lanes(self) -> list[tuple[str, int, _Lane]]:
        """Each queue that is not paused: its name, its priority, and what waits there. Found out once for a fleet."""
        if self._open is None or self._open[0] is not self.fleet:
            open_to = [source for source in self.fleet.sources if not source.paused]
            lanes = [(source.name, source.priority, self.lanes[source.name]) for source in open_to]
            self._open = self.fleet, lanes
        return self._open[1]

    def take(self) -> tuple[str, float] | None:
        """The queue that the next message is taken from, and when that came."""
        waiting = [(name, priority) for name, priority, lane in self.open_lanes if lane.waiting]
        if not waiting:
            return None
        highest = max(priority for _, priority in waiting)
        equal = [name for name, priority in waiting if priority == highest]
        name = equal[self._turn % len(equal)]
        return name, self.lanes[name].waiting[0]

    def _start(self, unit: Unit, at: float) -> None:
        taken = self.take()
        assert taken is not None, "the world looks first"
        name, came_at = taken
        self.lanes[name].waiting.popleft()
        self.lanes[name].waits.append(max(0.0, at - came_at))
        self._turn += 1
        self._at_work[unit.name] = name
        self._made += 1
        heapq.heappush(self._busy, (at + 1.0 / self.unit_per_s, self._made, unit))

    def _see_in_flight(self) -> None:
        World._see_in_flight(self)
        working = Counter(self._at_work[unit.name] for _, _, unit in self._busy)
        for name, lane in self.lanes.items():
            lane.in_flight = working[name]

    def snapshot(self) -> Snapshot:
        """What a tick sees of each queue, and of all as one."""
        whole = World.snapshot(self)
        known_at = self.now - self.metric_lag_s
        readings = []
        for place, lane in enumerate(self.lanes.values()):
            readings.append(
                QueueReading(
                    visible=Reading(float(len(lane.waiting)), self.now),
                    in_flight=Reading(float(lane.in_flight), self.now),
                    delayed=Reading(0.0, self.now),
                    sent=known_series(lane.sent, known_at),
                    deleted=whole.queue.deleted if place == 0 else None,  # of all: only their sum is looked at
                )
            )
        queues = tuple(readings)
        return Snapshot(
            "orders", self.now, pooled(self.fleet.sources, queues), whole.group, whole.problems, None, queues
        )

    def longest_wait_of(self, queue: str) -> float:
        """The longest that a message of a queue waited, those that still wait included."""
        (lane,) = [lane for name, lane in self.lanes.items() if name.endswith(f"-{queue}")]
        return max([*lane.waits, *(self.t - at for at in lane.waiting)], default=0.0)


class _Takes:
    """What the world of one queue looks at, over all that are consumed."""

    def __init__(self, world: SharedWorld) -> None:
        self._world = world

    def __len__(self) -> int:
        return sum(len(lane.waiting) for _, _, lane in self._world.open_lanes)

    def extend(self, came: list[float]) -> None:
        """Nothing comes to all of them."""
        assert not came

    def __getitem__(self, _: int) -> float:
        """When the next one came."""
        taken = self._world.take()
        assert taken is not None
        return taken[1]
