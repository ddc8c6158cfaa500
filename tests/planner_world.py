"""A small world for the planner's tests: builders of what a tick sees, and a fluid queue that its decisions act on."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sluice.config import Fleet, parse
from sluice.estimating import learn
from sluice.model import (
    Decision,
    GroupReading,
    Instance,
    LaunchFailure,
    Lifecycle,
    Memory,
    QueueReading,
    Reading,
    Series,
    Snapshot,
)
from sluice.planning import plan, remember

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
    instances = [Instance(f"i-work{i}", Lifecycle.WORKING) for i in range(working)]
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
    learned = learn(memory or Memory(), snapshot, fleet, snapshot.at)
    return plan(snapshot, fleet, learned, snapshot.at)


def watched(now: float, *needs: tuple[float, int], since_s: float = 600.0) -> Memory:
    """A memory that has watched for `since_s`, with needs of so many seconds ago."""
    kept = tuple((now - ago_s, needed) for ago_s, needed in needs)
    return Memory(needs=kept, needs_since=now - since_s, needs_until=now - 10.0)


# --------------------------------------------------------------------------- a world that decisions act on


@dataclass(slots=True)
class Unit:
    """One instance of the world."""

    name: str
    launched_at: float
    ready_at: float


@dataclass(slots=True)
class World:
    """A FIFO queue as a fluid, units that start it, and metrics a minute and a half late. One second a step.

    Every unit works on one message at a time and starts the next as it ends one; units leave at once when asked to.
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
    waits: list[tuple[float, float]] = field(default_factory=list)  # (seconds waited, messages)
    unit_seconds: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    _queue: deque[list[float]] = field(default_factory=deque)
    _in_flight: float = 0.0
    _made: int = 0
    _minute: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _sent: list[tuple[float, float]] = field(default_factory=list)
    _done: list[tuple[float, float]] = field(default_factory=list)
    _ages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return self.began_at + self.t

    @property
    def waiting(self) -> float:
        """Messages that wait."""
        return sum(count for _, count in self._queue)

    @property
    def working(self) -> int:
        """Units in service."""
        return sum(1 for unit in self.units if unit.ready_at <= self.t)

    def step(self) -> None:
        """One second: messages come, units start them, minutes end."""
        came = self.arrivals_per_s(self.t)
        if came > 0:
            self._queue.append([self.t, came])
        power = self.working * self.unit_per_s
        started = 0.0
        while self._queue and power - started > 1e-9:
            at, count = self._queue[0]
            taken = min(count, power - started)
            started += taken
            self.waits.append((self.t - at, taken))
            if taken >= count - 1e-9:
                self._queue.popleft()
            else:
                self._queue[0][1] -= taken
        self._in_flight = started / self.unit_per_s
        self._minute[0] += came
        self._minute[1] += started
        self.unit_seconds += len(self.units)
        self.t += 1.0
        if self.t % 60.0 == 0.0:
            start = self.now - 60.0
            self._sent.append((start, self._minute[0]))
            self._done.append((start, self._minute[1]))
            self._ages.append((self.now, self.t - self._queue[0][0] if self._queue else 0.0))
            self._minute = [0.0, 0.0]

    def snapshot(self) -> Snapshot:
        """What a tick sees now."""
        known_at = self.now - self.metric_lag_s
        sent = tuple(point for point in self._sent if point[0] + 60.0 <= known_at)[-15:]
        done = tuple(point for point in self._done if point[0] + 60.0 <= known_at)[-15:]
        ages = [age for age in self._ages if age[0] <= known_at]
        return Snapshot(
            "orders",
            self.now,
            QueueReading(
                visible=Reading(float(math.ceil(self.waiting - 1e-6)), self.now),
                in_flight=Reading(float(math.ceil(self._in_flight - 1e-6)), self.now),
                delayed=Reading(0.0, self.now),
                oldest_age=Reading(ages[-1][1], ages[-1][0]) if ages and ages[-1][1] > 0 else None,
                sent=Series(60.0, sent) if sent else None,
                deleted=Series(60.0, done) if done else None,
            ),
            GroupReading(
                "orders",
                self.now,
                self.desired,
                *self.bounds,
                tuple(
                    Instance(unit.name, Lifecycle.WORKING if unit.ready_at <= self.t else Lifecycle.LAUNCHING)
                    for unit in self.units
                ),
            ),
        )

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        self.desired = desired
        while len(self.units) < desired:
            self._made += 1
            self.units.append(Unit(f"i-{self._made}", self.t, self.t + self.boot_s))
        del self.units[desired:]

    def live(self, fleet: Fleet, seconds: float) -> None:
        """Go on for so long, ticking as the planner does: every ten seconds while hot, else once a minute."""
        until, tick_at = self.t + seconds, self.t
        while self.t < until:
            if self.t >= tick_at:
                snapshot = self.snapshot()
                self.memory = learn(self.memory, snapshot, fleet, self.now)
                decision = plan(snapshot, fleet, self.memory, self.now)
                self.memory = remember(self.memory, decision)
                self.decisions.append(decision)
                self.set_desired(decision.want)
                tick_at = self.t + 10.0 if decision.hot else (self.t // 60.0 + 1.0) * 60.0
            self.step()

    def longest_wait_s(self) -> float:
        """The longest that a message waited, those that still wait included."""
        waits = [wait for wait, _ in self.waits] + [self.t - at for at, _ in self._queue]
        return max(waits, default=0.0)
