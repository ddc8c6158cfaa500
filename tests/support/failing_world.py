"""A standard queue some of whose messages fail: redelivery, poison behind all others, and the metrics of it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading
from sluice.model.planning import Memory, Snapshot
from tests.support.planner_world import NINE, known_series, live

OLDEST_RECEIVES = 3  # past it SQS puts a message behind all others, and it is no longer the oldest


@dataclass(slots=True)
class Sent:
    """One message."""

    came_at: float
    poison: bool = False
    receives: int = 0
    ready_at: float = 0.0  # when it could be received, this time
    first_begun_at: float | None = None


@dataclass(slots=True)
class FailingWorld:
    """One second a step; units work on one message at a time, and what fails comes back after `back_after_s`.

    `fails` says whether an attempt fails that begins now, of a message that is poison or not.
    """

    arrivals_per_s: Callable[[float], float]
    fails: Callable[[float, bool], bool]
    unit_s: float = 1.0
    attempt_s: float | None = None  # of one that fails; None: as long as any
    back_after_s: float = 0.0  # from its failure on
    boot_s: float = 60.0
    metric_lag_s: float = 90.0
    t: float = 0.0
    desired: int = 0
    memory: Memory = field(default_factory=Memory)
    decisions: list[Decision] = field(default_factory=list)
    messages: list[Sent] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)  # (came at, seconds until first begun)
    completed: int = 0
    _ready_at: list[float] = field(default_factory=list)  # units
    _queue: deque[Sent] = field(default_factory=deque)
    _busy: list[tuple[float, Sent, bool]] = field(default_factory=list)
    _hidden: list[tuple[float, Sent]] = field(default_factory=list)
    _due: float = 0.0
    _minute: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _sent: list[tuple[float, float]] = field(default_factory=list)
    _received: list[tuple[float, float]] = field(default_factory=list)
    _deleted: list[tuple[float, float]] = field(default_factory=list)
    _ages: list[tuple[float, float]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Epoch seconds."""
        return NINE + self.t

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    def put(self, count: int, *, poison: bool) -> None:
        """Send messages now."""
        for _ in range(count):
            self._queue.append(Sent(self.t, poison, ready_at=self.t))
        self._minute[0] += count

    def step(self) -> None:
        """One second."""
        self._due += self.arrivals_per_s(self.t)
        came = int(self._due + 1e-9)
        self._due -= came
        self.put(came, poison=False)
        for hidden in [hidden for hidden in self._hidden if hidden[0] <= self.t]:
            self._hidden.remove(hidden)
            self._give_back(hidden[1])
        for entry in [entry for entry in self._busy if entry[0] <= self.t]:
            self._busy.remove(entry)
            _, message, failed = entry
            if not failed:
                self.completed += 1
                self._minute[2] += 1
            elif self.back_after_s > 0.0:
                self._hidden.append((self.t + self.back_after_s, message))
            else:
                self._give_back(message)
        up = sum(1 for ready_at in self._ready_at if ready_at <= self.t)
        while self._queue and len(self._busy) < up:
            self._begin(self._queue.popleft())
        self.t += 1.0
        if self.t % 60.0 == 0.0:
            start = self.now - 60.0
            for series, count in zip((self._sent, self._received, self._deleted), self._minute, strict=True):
                series.append((start, count))
            there = [*self._queue, *(entry[1] for entry in self._busy), *(entry[1] for entry in self._hidden)]
            ages = [self.t - one.came_at for one in there if one.receives <= OLDEST_RECEIVES]
            self._ages.append((self.now, max(ages, default=0.0)))
            self._minute = [0.0, 0.0, 0.0]

    def _begin(self, message: Sent) -> None:
        if message.first_begun_at is None:
            message.first_begun_at = self.t
            self.waits.append((message.came_at, self.t - message.came_at))
        message.receives += 1
        self._minute[1] += 1
        failed = self.fails(self.t, message.poison)
        takes_s = self.attempt_s if failed and self.attempt_s is not None else self.unit_s
        self._busy.append((self.t + takes_s, message, failed))

    def _give_back(self, message: Sent) -> None:
        """To its place by age; behind all others, once it was received too often."""
        message.ready_at = self.t
        if message.receives > OLDEST_RECEIVES:
            self._queue.append(message)
        else:
            self._queue.appendleft(message)

    def snapshot(self) -> Snapshot:
        """What a tick sees."""
        known_at = self.now - self.metric_lag_s
        ages = [age for age in self._ages if age[0] <= known_at]
        return Snapshot(
            "orders",
            self.now,
            QueueReading(
                visible=Reading(float(self.waiting), self.now),
                in_flight=Reading(float(len(self._busy) + len(self._hidden)), self.now),
                delayed=Reading(0.0, self.now),
                oldest_age=Reading(ages[-1][1], ages[-1][0]) if ages else None,
                sent=known_series(self._sent, known_at),
                deleted=known_series(self._deleted, known_at),
                received=known_series(self._received, known_at),
            ),
            GroupReading(
                "orders",
                self.now,
                self.desired,
                0,
                1000,
                tuple(
                    Instance(f"i-{number}", Lifecycle.IN_SERVICE if ready_at <= self.t else Lifecycle.LAUNCHING)
                    for number, ready_at in enumerate(self._ready_at)
                ),
            ),
        )

    def set_desired(self, desired: int) -> None:
        """Launch, or let the youngest go; what they are at is not lost."""
        self.desired = desired
        self._ready_at = self._ready_at[:desired]
        self._ready_at += [self.t + self.boot_s] * (desired - len(self._ready_at))

    def live(self, fleet: Fleet, seconds: float) -> None:
        """Go on for so long, under the planner."""
        live(self, fleet, seconds)

    def longest_wait_s(self, since: float = 0.0) -> float:
        """The longest that a message that came since then waited to be begun first."""
        return max((waited for came_at, waited in self.waits if came_at >= since), default=0.0)
