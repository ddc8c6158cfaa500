"""How long it takes from a burst's first message to the decision to scale out, by the shipped planner in virtual time.

The service runs over the ports in memory: chains, work queue, memories and all. Of two hundred fleets half are busy
(two messages a second, of which an instance takes one at a time, for two seconds), and half are idle (no message and no
instance). Each gets a burst at a random moment. A step's message takes a moment to arrive, and a round takes as long as
it was recorded (sluice_tools/costs/recorded.json). The floor is a planner that decides at its next tick, whatever it
sees: the time from the burst to the fleet's next step.
"""

import random
from dataclasses import dataclass
from math import inf
from typing import Any

from sluice.chains import message_of
from sluice.config.fleet import Fleet, parse
from sluice.memory import memory_ports, queue_url
from sluice.model.chain import Step
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.service import Invocation, PlannerService, Warmth
from sluice.planning.shards import KIND, Assignment
from sluice_tools.costs import usage
from sluice_tools.scale.simulation import quantile

FLEETS, BUSY_OF = 200, 2  # one of so many is busy
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

    fleet: str
    busy: bool
    at: float
    desired: int = 0
    next_at: float = inf  # the fleet's next step
    decided_at: float = inf


@dataclass(frozen=True, slots=True)
class Reactions:
    """How long it took, in ticks, sorted; beside the floor's."""

    decided: tuple[float, ...]
    floor: tuple[float, ...]

    def of(self, share: float) -> tuple[float, float]:
        """A quantile and the floor's."""
        return quantile(self.decided, share), quantile(self.floor, share)


class _World:
    """Fleets over the ports in memory."""

    def __init__(self, fleets: int) -> None:
        rng = random.Random(SEED)  # noqa: S311 - the same in every run
        self.now = START_AT
        self._timing, self._warm = Timing(), Warmth()
        self._fleets = [_fleet(number) for number in range(fleets)]
        self._busy = [fleet for number, fleet in enumerate(self._fleets) if number % BUSY_OF == 0]
        self._held: dict[str, dict[str, float]] = {
            fleet.name: {} for fleet in self._busy
        }  # receipts in work, until when
        self._ports = memory_ports(lambda: self.now, self._fleets)
        for fleet in self._busy:
            self._ports.group.set_desired(fleet.group, UNITS)
        self.bursts = [
            Burst(fleet.name, fleet in self._busy, START_AT + WARM_UP_S + rng.uniform(0.0, BURSTS_S))
            for fleet in self._fleets
        ]
        self._round_s = usage.load().round_of(min(fleets, usage.SHARD_SIZE), 1.0 / BUSY_OF).seconds

    def run(self) -> None:
        """Run to the end."""
        self._service().respond({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}})
        second_at, waiting = START_AT, sorted(self.bursts, key=lambda burst: burst.at)
        while self.now < START_AT + WARM_UP_S + BURSTS_S + ENDS_S:
            step_at = min((each.at + ARRIVES_S for each in self._ports.work.messages), default=inf)
            self.now = min(step_at, waiting[0].at if waiting else inf, second_at)
            if waiting and self.now == waiting[0].at:
                self._begin(waiting.pop(0))
            elif self.now == second_at:
                second_at += 1.0
                self._pass_second()
            else:
                for step in self._ports.work.receive(KIND):
                    self._take(step)

    def _service(self) -> PlannerService:
        invocation = Invocation("planner", self.now + 30.0, "sluice")
        return PlannerService(self._ports, lambda: self.now, self._timing, invocation, _Quiet(), self._warm)

    def _begin(self, burst: Burst) -> None:
        burst.desired = self._ports.group.desired(burst.fleet)
        self._send(burst.fleet, BURST)

    def _pass_second(self) -> None:
        for fleet in self._busy:
            url, held = queue_url(fleet.name), self._held[fleet.name]
            self._send(fleet.name, PER_S)
            done = [receipt for receipt, until in held.items() if until <= self.now]
            self._ports.queue.delete(url, done)
            for receipt in done:
                del held[receipt]
            free = min(10, self._ports.group.desired(fleet.group) - len(held))
            for message in self._ports.queue.receive(url, free, 60.0) if free > 0 else ():
                held[message.receipt] = self.now + MESSAGE_S

    def _send(self, fleet: str, count: int) -> None:
        for first in range(0, count, 10):
            some = [Message(id=f"m{number}", body="x") for number in range(first, min(first + 10, count))]
            self._ports.queue.send(queue_url(fleet), some, [0.0] * len(some))

    def _take(self, step: Step) -> None:
        chain = self._ports.ledger.chains.chain(step.chain_id)
        names = set(Assignment.of(chain).fleets) if chain is not None else set()
        self._service().take([{"messageId": "m", "body": message_of(step), "eventSource": "aws:sqs"}])
        for burst in self.bursts:
            if burst.fleet in names and burst.at <= self.now and burst.decided_at == inf:
                burst.next_at = min(burst.next_at, self.now)
                if self._ports.group.desired(burst.fleet) > burst.desired:
                    burst.decided_at = self.now + self._round_s


def reactions(fleets: int = FLEETS) -> dict[str, Reactions]:
    """How long idle and busy fleets took to decide, in ticks."""
    world = _World(fleets)
    world.run()
    tick_s = Timing().tick_s
    found = {}
    for load, busy in (("idle", False), ("busy", True)):
        bursts = [burst for burst in world.bursts if burst.busy is busy]
        found[load] = Reactions(
            tuple(sorted((burst.decided_at - burst.at) / tick_s for burst in bursts)),
            tuple(sorted((burst.next_at - burst.at) / tick_s for burst in bursts)),
        )
    return found


def _fleet(number: int) -> Fleet:
    name = f"fleet-{number:03d}"
    document = {
        "queue": queue_url(name),
        "group": name,
        "target_wait_s": 120,
        "hints": {"seconds_per_message": MESSAGE_S, "lead_time_s": 60},
    }
    return parse(name, document)
