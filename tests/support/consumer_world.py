"""A world in which a count does not mean what it says: consumers that wait for each other, lose messages, or back off.

`planner_world.World` has consumers that do nothing but work. Here units in service may be idle while messages wait (the
groups of a FIFO queue), share what a database completes, and leave messages in flight that nobody works on. One second
a step; a unit that is to leave finishes what it has in hand.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading
from sluice.model.planning import Memory, Snapshot
from tests.support.planner_world import NINE, known_series, live


@dataclass(slots=True)
class Message:
    """One message: when it came, its number, and how often it was received."""

    came_at: float
    number: int
    received: int = 0


@dataclass(slots=True)
class Consumer:
    """One instance, with what it has in hand: (seconds of work left, message)."""

    name: str
    ready_at: float
    in_hand: list[tuple[float, Message]] = field(default_factory=list)
    leaving: bool = False
    deaf: bool = False  # it never receives anything
    blocked: bool = False  # it receives nothing until all that it has in hand is done


def completes(message: Message) -> float | None:
    """What becomes of a message that was worked on: it is completed."""
    return None


@dataclass(slots=True)
class ConsumerWorld:
    """A queue whose consumers may be idle, slowed down or lost."""

    arrivals_per_s: Callable[[float], float]  # by seconds since the beginning
    service_s: float = 1.0  # what a message takes on a unit that nothing slows down
    takes_s: Callable[[Message], float] | None = None  # what each takes, where that differs
    boot_s: float = 60.0
    places: int = 1  # messages that one unit works on at once
    whole_batches: bool = False  # a unit receives what is there, and no more until all of it is done
    groups: int | None = None  # of a FIFO queue: only one message of each is in flight
    most_per_s: float | None = None  # what something downstream completes, shared by all who ask it
    fate: Callable[[Message], float | None] = completes  # seconds for which it stays in flight; None: completed
    lost_at_once: Callable[[Message], bool] | None = None  # received by a consumer that dies with it
    is_deaf: Callable[[], bool] = lambda: False  # whether the next unit never receives anything
    bounds: tuple[int, int] = (0, 1000)
    metric_lag_s: float = 90.0
    t: float = 0.0
    desired: int = 0
    units: list[Consumer] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds until each message's first start
    done: int = 0
    unit_seconds: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    _queue: deque[Message] = field(default_factory=deque)
    _hidden: list[tuple[float, int, Message]] = field(default_factory=list)  # (visible again at, number, message)
    _taken: set[int] = field(default_factory=set)  # groups with a message in flight
    _due: float = 0.0
    _made: int = 0
    _minute: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _series: tuple[list[tuple[float, float]], ...] = field(default_factory=lambda: ([], [], []))
    _ages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return NINE + self.t

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    @property
    def oldest_s(self) -> float:
        """How long the oldest message that waits has waited, in seconds."""
        return self.t - min((message.came_at for message in self._queue), default=self.t)

    @property
    def in_flight(self) -> int:
        """Messages that were received and not deleted."""
        return len(self._hidden) + sum(len(unit.in_hand) for unit in self.units)

    def step(self) -> None:
        """One second: messages come and come back, units work, a minute may end."""
        self._due += self.arrivals_per_s(self.t)
        came = int(self._due + 1e-9)
        self._due -= came
        self._minute[0] += came
        for _ in range(came):
            self._made += 1
            self._queue.append(Message(self.t, self._made))
        while self._hidden and self._hidden[0][0] <= self.t:
            message = heapq.heappop(self._hidden)[2]
            self._release(message)
            self._queue.append(message)
        ready = [unit for unit in self.units if unit.ready_at <= self.t]
        busy = sum(len(unit.in_hand) for unit in ready) or 1
        speed = 1.0 if self.most_per_s is None else min(1.0, self.most_per_s * self.service_s / busy)
        for unit in ready:
            for place in range(self.places):
                self._work(unit, place, speed)
            unit.blocked = self.whole_batches and bool(unit.in_hand)
        self.unit_seconds += len(self.units)
        self.units = [unit for unit in self.units if not unit.leaving or unit.in_hand]
        self.t += 1.0
        if self.t % 60.0 == 0.0:
            for series, count in zip(self._series, self._minute, strict=True):
                series.append((self.now - 60.0, count))
            self._ages.append((self.now, self.oldest_s))
            self._minute = [0.0, 0.0, 0.0]

    def _work(self, unit: Consumer, place: int, speed: float) -> None:
        """One second of one of a unit's places."""
        left = speed
        while True:  # what is done is followed by the next message at once
            if place >= len(unit.in_hand):
                message = None if unit.leaving or unit.deaf or unit.blocked else self._receive()
                if message is None:
                    return
                unit.in_hand.append((self.service_s if self.takes_s is None else self.takes_s(message), message))
            work, message = unit.in_hand[place]
            if work > left + 1e-9:
                unit.in_hand[place] = (work - left, message)
                return
            left -= work
            del unit.in_hand[place]
            unit.blocked = unit.blocked and bool(unit.in_hand)
            hidden_s = self.fate(message)
            if hidden_s is None:
                self.done += 1
                self._minute[1] += 1
                self._release(message)
            else:
                heapq.heappush(self._hidden, (self.t + hidden_s, message.number, message))

    def _receive(self) -> Message | None:
        """The oldest message that may be received."""
        while True:
            message = self._next()
            if message is None:
                return None
            self._minute[2] += 1
            if message.received == 0:
                self.waits.append(self.t - message.came_at)
            message.received += 1
            if self.lost_at_once is None or not self.lost_at_once(message):
                return message
            heapq.heappush(self._hidden, (self.t + 43_200.0, message.number, message))

    def _next(self) -> Message | None:
        if self.groups is None:
            return self._queue.popleft() if self._queue else None
        if len(self._taken) == self.groups:
            return None
        for place, message in enumerate(self._queue):
            if message.number % self.groups not in self._taken:
                self._taken.add(message.number % self.groups)
                del self._queue[place]
                return message
        return None

    def _release(self, message: Message) -> None:
        if self.groups is not None:
            self._taken.discard(message.number % self.groups)

    def snapshot(self) -> Snapshot:
        """What a tick sees now."""
        known_at = self.now - self.metric_lag_s
        ages = [age for age in self._ages if age[0] <= known_at]
        sent, deleted, received = (known_series(series, known_at) for series in self._series)
        staying = [unit for unit in self.units if not unit.leaving]
        return Snapshot(
            "orders",
            self.now,
            QueueReading(
                visible=Reading(float(self.waiting), self.now),
                in_flight=Reading(float(self.in_flight), self.now),
                delayed=Reading(0.0, self.now),
                oldest_age=Reading(ages[-1][1], ages[-1][0]) if ages and ages[-1][1] > 0 else None,
                sent=sent,
                deleted=deleted,
                received=received,
            ),
            GroupReading(
                "orders",
                self.now,
                self.desired,
                *self.bounds,
                tuple(
                    Instance(unit.name, Lifecycle.IN_SERVICE if unit.ready_at <= self.t else Lifecycle.LAUNCHING)
                    for unit in staying
                ),
            ),
        )

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go."""
        self.desired = desired
        staying = [unit for unit in self.units if not unit.leaving]
        for _ in range(desired - len(staying)):
            self._made += 1
            self.units.append(Consumer(f"i-{self._made}", self.t + self.boot_s, deaf=self.is_deaf()))
        for unit in staying[desired:]:
            unit.leaving = True

    def live(self, fleet: Fleet, seconds: float) -> None:
        """Go on for so long, under the planner."""
        live(self, fleet, seconds)

    def unit_hours(self) -> float:
        """What all units cost so far."""
        return self.unit_seconds / 3600.0

    def late_share(self, target_s: float) -> float:
        """The share of messages whose first start was, or is by now, later than the target."""
        waits = [*self.waits, *(self.t - message.came_at for message in self._queue if message.received == 0)]
        return sum(wait > target_s for wait in waits) / len(waits)
