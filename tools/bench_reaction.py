"""How long it takes from a burst's first message to the decision to scale out, by the shipped planner in virtual time.

The service runs over the ports in memory: chains, work queue, memories and all. A hundred fleets, idle (no message and
no instance) or busy (two messages a second, worked off by their instances), each get a burst at a random moment. A
step's message takes a moment to arrive, and a round takes as long as it was recorded (tools/costs/recorded.json). The
floor is a planner that decides at its next tick, whatever it sees: the time from the burst to the next round.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.chains import message_of
from sluice.config.fleet import Fleet, parse
from sluice.memory import memory_ports, queue_url
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.service import Invocation, PlannerService, Warmth
from tools.costs import usage
from tools.scale.simulation import quantile

FLEETS = 100
WARM_UP_S = 420.0  # the fleets are known, and what they do is measured
BURSTS_S = 60.0  # the bursts begin within so long
ENDS_S = 60.0  # after the last of them
BURST = 400  # messages
UNITS, PER_S, MESSAGE_S = 6, 2, 2.0  # of a busy fleet: instances, messages a second, seconds a message
ARRIVES_S = 0.08  # from when a step's message is visible until the function has it
START_AT = 1_795_510_800.0
SEED = 7


class _Quiet:
    """A log that keeps nothing."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_keys: _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        """Nothing."""


@dataclass(slots=True)
class Burst:
    """A fleet's burst, and what came of it. Times are epoch seconds."""

    fleet: Fleet
    at: float
    desired: int = 0
    next_round_at: float | None = None
    decided_at: float | None = None


@dataclass(frozen=True, slots=True)
class Reactions:
    """How long it took, in ticks, sorted; beside the floor's."""

    decided: tuple[float, ...]
    floor: tuple[float, ...]

    def of(self, share: float) -> tuple[float, float]:
        """A quantile and the floor's."""
        return quantile(self.decided, share), quantile(self.floor, share)


@dataclass(slots=True)
class _World:
    """Fleets of one kind over the ports in memory."""

    busy: bool
    now: float = START_AT
    bursts: list[Burst] = field(default_factory=list)

    def run(self, fleets: int) -> Reactions:
        timing, warm = Timing(), Warmth()
        rng = random.Random(SEED)  # noqa: S311 - the same in every run
        known = [_fleet(number) for number in range(fleets)]
        ports = memory_ports(lambda: self.now, known)
        round_s = usage.load().round_of(min(fleets, usage.SHARD_SIZE), float(self.busy)).seconds
        for fleet in known:
            ports.group.set_desired(fleet.group, UNITS if self.busy else 0)
            self.bursts.append(Burst(fleet, START_AT + WARM_UP_S + rng.uniform(0.0, BURSTS_S)))

        def service() -> PlannerService:
            invocation = Invocation("planner", self.now + 30.0, "sluice")
            return PlannerService(ports, lambda: self.now, timing, invocation, _Quiet(), warm)

        service().respond({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}})
        second_at, waiting = START_AT, sorted(self.bursts, key=lambda burst: burst.at)
        while self.now < START_AT + WARM_UP_S + BURSTS_S + ENDS_S:
            step_at = min((each.at + ARRIVES_S for each in ports.work.messages), default=float("inf"))
            burst_at = waiting[0].at if waiting else float("inf")
            self.now = min(step_at, burst_at, second_at)
            if self.now == burst_at:
                burst = waiting.pop(0)
                burst.desired = ports.group.read(burst.fleet.group).desired
                _send(ports, queue_url(burst.fleet.name), BURST)
            elif self.now == second_at:
                second_at += 1.0
                for fleet in known if self.busy else ():
                    url = queue_url(fleet.name)
                    _send(ports, url, PER_S)
                    received = ports.queue.receive(url, 2 * PER_S, 30.0)
                    ports.queue.delete(url, [message.receipt for message in received])
            else:
                for step in ports.work.receive("ticks"):
                    record = {"messageId": "m", "body": message_of(step), "eventSource": "aws:sqs"}
                    service().take([record])
                self._note(ports, round_s)
        return self._reactions(timing.tick_s)

    def _note(self, ports: Any, round_s: float) -> None:
        for burst in self.bursts:
            if burst.at > self.now or burst.decided_at is not None:
                continue
            burst.next_round_at = burst.next_round_at or self.now
            if ports.group.read(burst.fleet.group).desired > burst.desired:
                burst.decided_at = self.now + round_s

    def _reactions(self, tick_s: float) -> Reactions:
        never = float("inf")
        decided = [((burst.decided_at or never) - burst.at) / tick_s for burst in self.bursts]
        floor = [((burst.next_round_at or never) - burst.at) / tick_s for burst in self.bursts]
        return Reactions(tuple(sorted(decided)), tuple(sorted(floor)))


def _fleet(number: int) -> Fleet:
    name = f"fleet-{number:03d}"
    document = {
        "queue": queue_url(name),
        "group": name,
        "target_wait_s": 120,
        "hints": {"seconds_per_message": MESSAGE_S, "lead_time_s": 60},
    }
    return parse(name, document)


def _send(ports: Any, url: str, count: int) -> None:
    messages = [Message(id=f"m{i}", body="x") for i in range(count)]
    for first in range(0, count, 10):
        some: Sequence[Message] = messages[first : first + 10]
        ports.queue.send(url, some, [0.0] * len(some))


def reactions(*, busy: bool, fleets: int = FLEETS) -> Reactions:
    """How long fleets took to decide, in ticks."""
    return _World(busy).run(fleets)
