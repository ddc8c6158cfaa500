"""A queue whose messages and consumers behave: message groups, visibility timeouts, prefetch, and consumers that fail.

It goes from event to event: a message comes, becomes visible or is done. Whoever has least in hand receives first, and
among equals who has waited longest. A wait ends when work on a message begins for the first time, not when it is
received; a delayed message waits from when it becomes visible.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate
from math import inf, log, sqrt
from random import Random

import numpy as np
import numpy.typing as npt

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.simulated_queue import Floats, Waits, service_times
from sluice_tools.backtest.traces import Trace, times
from sluice_tools.backtest.worlds.behaviours import Consumers, SignalFaults

type Flags = npt.NDArray[np.bool_]

# A message received more often and not deleted goes behind all others, and the age of the oldest leaves it out.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
RECEIVED_OFTEN = 3
FIRST, AGAIN, DONE, FAILED, WAKE = range(5)  # events: a message is visible, again visible, done; deaf consumers hear


@dataclass(frozen=True, slots=True)
class Attempts:
    """What becomes of each message, in the order in which they come: the same whatever the policy."""

    came_at: Floats
    delay_s: Floats
    takes_s: Floats  # each attempt
    dies: Flags  # the consumer, at the first attempt
    backs_off: Flags  # the first attempt fails, and hides the message
    group: list[int]  # of messages, in a FIFO queue

    @property
    def visible_at(self) -> Floats:
        """When each can be received at the earliest."""
        return self.came_at + self.delay_s

    def work_s(self) -> Floats:
        """Seconds of work that each message takes, with the attempt that fails."""
        return np.where(self.dies | self.backs_off, 2.0 * self.takes_s, self.takes_s)


def attempts_of(trace: Trace, conditions: Conditions, consumers: Consumers) -> Attempts:
    """What becomes of a trace's messages."""
    came_at = times(trace, conditions.seed)
    count = len(came_at)
    rng = np.random.default_rng([conditions.seed, 7])
    dies, backs_off, delayed = rng.random(count), rng.random(count), rng.random(count)
    takes_s, slow = _takes(count, conditions), consumers.slow
    is_slow = (came_at >= slow.from_s) & (came_at < slow.until_s)
    return Attempts(
        came_at,
        np.where(delayed < consumers.delayed_share, consumers.delay_s, 0.0),
        np.where(is_slow, takes_s * consumers.slowness, takes_s),
        dies < consumers.dying_share,
        backs_off < consumers.backoff_share,
        rng.integers(max(1, consumers.message_groups), size=count).tolist(),
    )


def _takes(count: int, conditions: Conditions) -> Floats:
    """Seconds that each message takes. Those that vary widely are lognormal: of a gamma nearly all would take none."""
    cv = conditions.service_cv
    if cv <= 1.0:
        return service_times(count, conditions)
    variance = log(1.0 + cv * cv)
    rng = np.random.default_rng([conditions.seed, 2])
    return rng.lognormal(log(conditions.seconds_per_message) - variance / 2.0, sqrt(variance), count)


@dataclass(slots=True, eq=False)
class Consumer:
    """What one instance has in hand."""

    number: int
    deaf: bool
    held: deque[int] = field(default_factory=deque)  # received, not begun
    working: dict[int, float] = field(default_factory=dict)  # message: done at

    @property
    def in_hand(self) -> int:
        """Messages received and not done."""
        return len(self.held) + len(self.working)


class WorldQueue:
    """A queue and its consumers. Moments never go back."""

    def __init__(
        self, trace: Trace, conditions: Conditions, consumers: Consumers, signals: SignalFaults | None = None
    ) -> None:
        self.total = trace.total
        self._is, self._signals = consumers, signals or SignalFaults()
        self._seed = conditions.seed
        self._attempts = attempts = attempts_of(trace, conditions, consumers)
        self._came_at: list[float] = attempts.came_at.tolist()
        self._delay_s: list[float] = attempts.delay_s.tolist()
        self._takes_s: list[float] = attempts.takes_s.tolist()
        self._fails: list[bool] = (attempts.dies | attempts.backs_off).tolist()  # the first attempt
        self._come_by = list(accumulate(trace.counts.tolist()))
        self._received_in, self._deleted_in = [0] * (trace.minutes + 1), [0] * (trace.minutes + 1)
        self._received_at, self._times_received = [0.0] * self.total, [0] * self.total
        self._began_at = array("d", [-1.0]) * self.total  # the first attempt
        self._deleted = [False] * self.total
        self._arrived = self._oldest = 0
        self._now = 0.0
        self._events: list[tuple[float, int, int, int, int]] = []  # a heap: (at, order, kind, message, times received)
        self._order = 0
        self._waiting: list[tuple[bool, int]] = []  # a heap: (received often, message) that can be received
        self._groups: list[deque[int]] = [deque() for _ in range(consumers.message_groups)]  # that wait behind another
        self._taken = [False] * consumers.message_groups  # groups of which one message can be received or is in flight
        self._visible = self._delayed = self._in_flight = 0
        self._consumers: dict[int, Consumer] = {}
        self._has: dict[int, Consumer] = {}  # by message that is worked on
        self._open: list[tuple[int, float, int]] = []  # a heap: (messages in hand, since, consumer) that may receive
        self._downstream_free_s = 0.0
        if consumers.deaf_share > 0.0 and consumers.deaf.until_s < inf:
            self._plan(consumers.deaf.until_s, WAKE, 0)

    # ----------------------------------------------------------------------- instances

    def add(self, server: int, at: float) -> None:
        """An instance begins to take messages."""
        self.advance(at)
        drawn = Random(f"{self._seed} {server}").random()  # noqa: S311 - a simulation
        self._consumers[server] = consumer = Consumer(server, deaf=drawn < self._is.deaf_share)
        self._opens(consumer, at)
        self._feed(at)

    def remove(self, servers: Sequence[int], at: float) -> list[float]:
        """Instances take no more; when each is done with what it has in hand. What was not begun is given back."""
        self.advance(at)
        done_at = []
        for server in servers:
            consumer = self._consumers.pop(server)
            while consumer.held:
                self._offer(consumer.held.pop(), again=True)
            done_at.append(max(consumer.working.values(), default=at))
        self._feed(at)
        return done_at

    def lose(self, server: int, at: float) -> None:
        """An instance dies: what it had in hand can be received again when its visibility timeout is over."""
        self.advance(at)
        consumer = self._consumers.pop(server)
        for message in (*consumer.held, *consumer.working):
            self._has.pop(message, None)
            self._plan(max(at, self._received_at[message] + self._is.visibility_s), AGAIN, message)

    def _opens(self, consumer: Consumer, at: float) -> None:
        """Note that it may receive, where it has room and stays."""
        if self._room(consumer) > 0 and consumer.number in self._consumers:
            heappush(self._open, (consumer.in_hand, at, consumer.number))

    def _room(self, consumer: Consumer) -> int:
        """Messages that a consumer may receive."""
        if self._is.whole_batches and consumer.in_hand:
            return 0
        return self._is.concurrency + self._is.prefetch - consumer.in_hand

    # ----------------------------------------------------------------------- events

    def advance(self, until: float) -> None:
        """Let everything up to that moment happen."""
        came_at, events = self._came_at, self._events
        while True:
            comes_at = came_at[self._arrived] if self._arrived < self.total else inf
            if min(comes_at, events[0][0] if events else inf) > until:
                break
            if events and events[0][0] <= comes_at:
                at, _, kind, message, received = heappop(events)
                self._happens(at, kind, message, received)
            else:
                at, message = comes_at, self._arrived
                self._arrived += 1
                self._comes(message, at)
            self._feed(at)
        self._now = until

    def _comes(self, message: int, at: float) -> None:
        if self._delay_s[message] > 0.0:
            self._delayed += 1
            self._plan(at + self._delay_s[message], FIRST, message)
        else:
            self._offer(message)

    def _plan(self, at: float, kind: int, message: int) -> None:
        self._order += 1
        received = self._times_received[message] if self.total else 0
        heappush(self._events, (at, self._order, kind, message, received))

    def _happens(self, at: float, kind: int, message: int, received: int) -> None:
        if kind == FIRST:
            self._delayed -= 1
            self._offer(message)
        elif kind == AGAIN:
            self._offer(message, again=True)
        elif kind == WAKE:
            for consumer in self._consumers.values():
                if consumer.deaf:
                    self._opens(consumer, at)
        elif message in self._has and received == self._times_received[message]:  # else its instance has died
            self._ends(message, at, is_done=kind == DONE)

    def _ends(self, message: int, at: float, *, is_done: bool) -> None:
        """An attempt is over."""
        consumer = self._has.pop(message)
        del consumer.working[message]
        if is_done:
            self._deleted[message] = True
            self._in_flight -= 1
            self._deleted_in[int(at / MINUTE_S)] += 1
            self._show_next(message)
        elif self._attempts.dies[message]:
            self._plan(max(at, self._received_at[message] + self._is.visibility_s), AGAIN, message)
        else:
            self._plan(at + self._is.backoff_s, AGAIN, message)
        self._begin(consumer, at)
        self._opens(consumer, at)

    # ----------------------------------------------------------------------- messages

    def _offer(self, message: int, *, again: bool = False) -> None:
        """A message can be received; of a message group, once those before it are done."""
        self._visible += 1
        if again:
            self._in_flight -= 1
        if not self._groups:
            heappush(self._waiting, (self._times_received[message] > RECEIVED_OFTEN, message))
            return
        number = self._attempts.group[message]
        if again:
            self._groups[number].appendleft(message)
            self._show_next(message)
        else:
            self._groups[number].append(message)
            if not self._taken[number]:
                self._show_next(message)

    def _show_next(self, message: int) -> None:
        """The next message of its message group can be received: none of it is in flight."""
        if self._groups:
            group = self._attempts.group[message]
            self._taken[group] = bool(self._groups[group])
            if self._groups[group]:
                heappush(self._waiting, (False, self._groups[group].popleft()))

    def _feed(self, at: float) -> None:
        """Give messages to consumers that may receive."""
        consumers, behaves = self._consumers, self._is
        at_once = behaves.prefetch > 0 or behaves.whole_batches
        while self._waiting and self._open:
            in_hand, _, number = heappop(self._open)
            consumer = consumers.get(number)
            if consumer is None or consumer.in_hand != in_hand:
                continue  # has gone, or has been noted again since
            if consumer.deaf and behaves.deaf.holds(at):
                continue  # until it hears again
            room = self._room(consumer)
            for _ in range(min(room if at_once else 1, len(self._waiting))):
                self._receive(consumer, heappop(self._waiting)[1], at)
            self._begin(consumer, at)
            self._opens(consumer, at)

    def _receive(self, consumer: Consumer, message: int, at: float) -> None:
        self._visible -= 1
        self._in_flight += 1
        self._received_at[message] = at
        self._times_received[message] += 1
        self._received_in[int(at / MINUTE_S)] += 1
        consumer.held.append(message)

    def _begin(self, consumer: Consumer, at: float) -> None:
        """Begin with what was received, as far as it works on several at once."""
        while consumer.held and len(consumer.working) < self._is.concurrency:
            message = consumer.held.popleft()
            is_first = self._began_at[message] < 0.0
            if is_first:
                self._began_at[message] = at
            done_at = at + self._takes_s[message]
            if self._is.most_per_s < inf:  # what comes after takes one after the other
                self._downstream_free_s = max(at, self._downstream_free_s) + 1.0 / self._is.most_per_s
                done_at = max(done_at, self._downstream_free_s)
            consumer.working[message] = done_at
            self._has[message] = consumer
            self._plan(done_at, FAILED if is_first and self._fails[message] else DONE, message)

    # ----------------------------------------------------------------------- what can be seen

    def visible(self) -> float:
        """Messages that wait now, and those that only the count has."""
        signals = self._signals
        haunted = signals.haunted.holds(self._now % signals.haunted_every_s)
        return float(self._visible + (signals.ghosts if haunted else 0))

    def in_flight(self) -> float:
        """Messages received and not deleted, whoever still works on them."""
        return float(self._in_flight)

    def delayed(self) -> float:
        """Messages that cannot be received yet."""
        return float(self._delayed)

    def sent_in(self, minute: int) -> float:
        """Messages that came in a minute that is over."""
        return float(self._come_by[minute] - (self._come_by[minute - 1] if minute else 0))

    def received_in(self, minute: int) -> float:
        """Messages received in a minute that is over; each as often as it was received."""
        return float(self._received_in[minute])

    def deleted_in(self, minute: int) -> float:
        """Messages completed in a minute that is over."""
        return float(self._deleted_in[minute])

    def oldest_age(self) -> float:
        """How long ago the oldest message not yet completed came; 0 without any."""
        while self._oldest < self._arrived and self._deleted[self._oldest]:
            self._oldest += 1
        for message in range(self._oldest, self._arrived):
            if not self._deleted[message] and self._times_received[message] <= RECEIVED_OFTEN:
                return self._now - self._came_at[message]
        return 0.0

    def waits(self) -> Waits:
        """Every wait so far; those that still wait have waited until now."""
        visible_at = self._attempts.visible_at
        began_at = np.array(self._began_at)
        seconds = np.where(began_at >= 0.0, began_at, self._now) - visible_at
        seen = visible_at <= self._now
        return Waits(visible_at[seen], seconds[seen], np.ones(int(seen.sum())))
