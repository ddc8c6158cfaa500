"""A small world for the planner's tests: builders of what a tick sees, and a queue that its decisions act on."""

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

from sluice.config.fleet import Fleet, parse
from sluice.model.decisions import Decision
from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle, QueueReading, Reading, Series
from sluice.model.planning import Memory, Snapshot
from tests.support.planner_steps import a_memory, learn_from, plan_for, tick_of

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
NINE = 1_795_510_800.0  # 2026-11-24 09:00 UTC


def clock(text: str) -> float:
    """The moment of a time of that day, such as "09:05" or "09:05:10"."""
    hours, minutes, seconds = (*map(int, text.split(":")), 0)[:3]
    return NINE + (hours - 9) * 3600.0 + minutes * 60.0 + seconds


def a_fleet(**changes: Any) -> Fleet:
    """Fleet orders: a target wait of 120 s, one message a second and unit, a minute to launch."""
    document: dict[str, Any] = {
        "queue": QUEUE,
        "group": "orders",
        "target_wait_s": 120,
        "hints": {"seconds_per_message": 1, "lead_time_s": 60},
    }
    return parse("orders", {**document, **changes})


def a_queue(
    now: float,
    visible: float | None = 0,
    in_flight: float | None = 0,
    delayed: float | None = 0,
    *,
    oldest_s: float | None = None,
    per_minute: tuple[float, ...] | None = (0.0,) * 10,
    done_per_minute: tuple[float, ...] = (),
    age_s: float = 0.0,
) -> QueueReading:
    """A queue as seen at `now`; counts are of `age_s` ago, and the metrics' last whole minute ended a minute ago."""

    def reading(value: float | None) -> Reading | None:
        return None if value is None else Reading(float(value), now - age_s)

    def series(counts: tuple[float, ...]) -> Series:
        end = now - now % 60.0 - 60.0
        return Series(60.0, tuple((end - 60.0 * (len(counts) - i), float(n)) for i, n in enumerate(counts)))

    return QueueReading(
        visible=reading(visible),
        in_flight=reading(in_flight),
        delayed=reading(delayed),
        oldest_age=None if oldest_s is None else Reading(oldest_s, now),
        sent=None if per_minute is None else series(per_minute),
        deleted=series(done_per_minute) if done_per_minute else None,
    )


def a_group(
    now: float,
    working: int = 0,
    *,
    desired: int | None = None,
    launching: tuple[float, ...] = (),
    draining: int = 0,
    bounds: tuple[int, int] = (0, 100),
    suspended: tuple[str, ...] = (),
    failures: tuple[tuple[float, str], ...] = (),
    age_s: float = 0.0,
) -> GroupReading:
    """A group with so many in service, and launches that began so many seconds ago."""
    instances = [Instance(f"i-work{i}", Lifecycle.IN_SERVICE) for i in range(working)]
    instances += [Instance(f"i-new{i}", Lifecycle.LAUNCHING, launched_at=now - s) for i, s in enumerate(launching)]
    instances += [Instance(f"i-drain{i}", Lifecycle.DRAINING) for i in range(draining)]
    return GroupReading(
        name="orders",
        at=now - age_s,
        desired=working + len(launching) if desired is None else desired,
        min_size=bounds[0],
        max_size=bounds[1],
        instances=tuple(instances),
        suspended=frozenset(suspended),
        launch_failures=tuple(LaunchFailure(now - s, text) for s, text in failures),
    )


def seen(now: float, queue: QueueReading, group: GroupReading | None, **more: Any) -> Snapshot:
    """A snapshot of fleet orders."""
    return Snapshot("orders", now, queue, group, **more)


def decide(snapshot: Snapshot, fleet: Fleet, memory: Memory | None = None) -> Decision:
    """What a tick decides, its own snapshot learned from."""
    learned = learn_from(memory or Memory(), snapshot, fleet, snapshot.at)
    return plan_for(snapshot, fleet, learned, snapshot.at)


def watched(now: float, *needs: tuple[float, int], since_s: float = 600.0) -> Memory:
    """A memory that has watched for `since_s`, with needs of so many seconds ago."""
    kept = tuple((now - ago_s, needed) for ago_s, needed in needs)
    return a_memory(needs=kept, needs_since=now - since_s, needs_until=now - 10.0)


# --------------------------------------------------------------------------- a world that decisions act on


@dataclass(slots=True)
class Unit:
    """One instance of the world."""

    name: str
    launched_at: float
    ready_at: float
    leaving: bool = False


def known_series(points: list[tuple[float, float]], known_at: float) -> Series | None:
    """A metric's minutes as far as they are known at a moment, the newest fifteen; None before the first."""
    end = bisect_right(points, known_at, key=lambda point: point[0] + 60.0)
    return Series(60.0, tuple(points[max(0, end - 15) : end])) if end else None


class Ticked(Protocol):
    """What decisions can act on."""

    t: float  # seconds since the beginning
    memory: Memory
    decisions: list[Decision]

    @property
    def now(self) -> float:
        """Epoch seconds."""
        ...

    def snapshot(self) -> Snapshot:
        """What a tick sees now."""
        ...

    def set_desired(self, desired: int) -> None:
        """Launch, or let go."""
        ...

    def step(self) -> None:
        """One second."""
        ...


def live(world: Ticked, fleet: Fleet, seconds: float) -> None:
    """Go on for so long, ticking every ten seconds as the planner does."""
    until, tick_at = world.t + seconds, world.t
    while world.t < until:
        if world.t >= tick_at:
            snapshot = world.snapshot()
            world.memory, _, decision = tick_of(world.memory, snapshot, fleet, world.now)
            world.decisions.append(decision)
            world.set_desired(decision.want)
            tick_at = world.t + 10.0
        world.step()


@dataclass(slots=True)
class World:
    """A FIFO queue of whole messages, units that work on one at a time, and metrics a minute and a half late.

    One second a step. A unit that is to leave finishes its message first.
    """

    arrivals_per_s: Callable[[float], float]  # by seconds since the beginning
    unit_per_s: float = 1.0
    boot_s: float = 60.0
    bounds: tuple[int, int] = (0, 1000)
    metric_lag_s: float = 90.0
    began_at: float = NINE
    t: float = 0.0
    desired: int = 0
    units: list[Unit] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds waited, message by message
    unit_seconds: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    _queue: deque[float] = field(default_factory=deque)
    _due: float = 0.0  # fractions of messages to come
    _busy: list[tuple[float, int, Unit]] = field(default_factory=list)  # (until, -, unit), a heap
    _free: list[Unit] = field(default_factory=list)
    _booting: deque[Unit] = field(default_factory=deque)
    _made: int = 0
    _seen_in_flight: int = 0
    _minute: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _sent: list[tuple[float, float]] = field(default_factory=list)
    _done: list[tuple[float, float]] = field(default_factory=list)
    _ages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return self.began_at + self.t

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    def step(self) -> None:
        """One second: messages come, units start and end them, minutes end."""
        self._due += self.arrivals_per_s(self.t)
        came = int(self._due + 1e-9)
        self._due -= came
        self._queue.extend([self.t] * came)
        while self._booting and self._booting[0].ready_at <= self.t:
            self._free.append(self._booting.popleft())
        while self._queue and self._free:
            unit = self._free.pop()
            if not unit.leaving:
                self._start(unit, self.t)
        self._see_in_flight()  # in the middle of a second, as a tick that is not in step would see it
        self.t += 1.0
        while self._busy and self._busy[0][0] <= self.t:
            until, _, unit = heapq.heappop(self._busy)
            self._minute[1] += 1
            if unit.leaving:
                continue
            if self._queue:
                self._start(unit, until)
            else:
                self._free.append(unit)
        self._minute[0] += came
        self.unit_seconds += len(self.units)
        if self.t % 60.0 == 0.0:
            start = self.now - 60.0
            self._sent.append((start, self._minute[0]))
            self._done.append((start, self._minute[1]))
            self._ages.append((self.now, self.t - self._queue[0] if self._queue else 0.0))
            self._minute = [0.0, 0.0]

    def _see_in_flight(self) -> None:
        """Count what units work on."""
        self._seen_in_flight = len(self._busy)

    def _start(self, unit: Unit, at: float) -> None:
        """Begin with the oldest message."""
        self.waits.append(max(0.0, at - self._queue.popleft()))
        self._made += 1
        heapq.heappush(self._busy, (at + 1.0 / self.unit_per_s, self._made, unit))

    def snapshot(self) -> Snapshot:
        """What a tick sees now."""
        known_at = self.now - self.metric_lag_s
        ages = self._ages[: bisect_right(self._ages, known_at, key=itemgetter(0))]
        return Snapshot(
            "orders",
            self.now,
            QueueReading(
                visible=Reading(float(self.waiting), self.now),
                in_flight=Reading(float(self._seen_in_flight), self.now),
                delayed=Reading(0.0, self.now),
                oldest_age=Reading(ages[-1][1], ages[-1][0]) if ages and ages[-1][1] > 0 else None,
                sent=known_series(self._sent, known_at),
                deleted=known_series(self._done, known_at),
            ),
            GroupReading(
                "orders",
                self.now,
                self.desired,
                *self.bounds,
                tuple(
                    Instance(unit.name, Lifecycle.IN_SERVICE if unit.ready_at <= self.t else Lifecycle.LAUNCHING)
                    for unit in self.units
                ),
            ),
        )

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        self.desired = desired
        while len(self.units) < desired:
            self._made += 1
            unit = Unit(f"i-{self._made}", self.t, self.t + self.boot_s)
            self.units.append(unit)
            self._booting.append(unit)
        for unit in self.units[desired:]:
            unit.leaving = True
        del self.units[desired:]

    def live(self, fleet: Fleet, seconds: float) -> None:
        """Go on for so long, under the planner."""
        live(self, fleet, seconds)

    def longest_wait_s(self) -> float:
        """The longest that a message waited, those that still wait included."""
        return max([*self.waits, *(self.t - at for at in self._queue)], default=0.0)
