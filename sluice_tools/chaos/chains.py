"""Rounds of shards by the shipped planner and its chains, in virtual time, with faults before and after every call.

The world is the ledger and the work queue in memory, fleets that come and go, the schedule's minute (lost, doubled,
late), Lambda's poller of the work queue, alarms that ask for a round, and invocations that stall, crash and are ended
by Lambda. The work queue loses, doubles, delays and reorders messages, and in some runs takes none for ten minutes.
Some chains are another function's: the planner hands their steps over by events, which are lost, doubled and late as
well. Each call of a port takes time, in which anything that falls due happens, other invocations included. What a round
does with its fleets is left out: it notes which were looked at, and by whom. So does the other function's.

At every instant: one worker at most is at a fleet, and no two begin the same version of a chain. Faults end at a seeded
moment: a minute and a worker's life later every fleet that exists has been looked at again, and from then on is looked
at each tick. A fleet that is deployed then is looked at within a minute and a tick. Each chain of the other function
goes on likewise.
"""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, override

from sluice.chains import ChainRunner, event_of, message_of, next_on_grid
from sluice.config.fleet import Fleet
from sluice.memory import Call, Crash, Fault, MemoryPorts, MemoryWorkQueue, When, faulty_ports, memory_ports
from sluice.model.chain import Chain, Next, Step
from sluice.model.decisions import OutcomeStatus
from sluice.model.planning import Memory
from sluice.model.timing import Timing
from sluice.planning import shards
from sluice.planning.reports import Answer
from sluice.planning.round import Round, RoundResult
from sluice.planning.service import Invocation, PlannerService, Warmth
from sluice.ports.errors import LostAnswerError, PortError, TryLaterError, answer_of
from sluice_tools.chaos.report import Report
from sluice_tools.chaos.stage import START, Stage

TICK_S = 10.0
MINUTE_S = 60.0
LIFE_S = 30.0  # of the planner's invocations: the template's timeout
SKEW_S = 0.2  # between the clocks of two hosts
OUTAGE_S = 600.0  # of the work queue
STALL_S = 40.0  # longer than an invocation lives
POLL_S = 0.5
# From the last fault on: the schedule's minute, the life of a worker that had just begun then, and one tick.
RECOVERED_S = MINUTE_S + LIFE_S + TICK_S
WATCHED_S = 100.0  # after that
# Between two looks when nothing fails: a tick, delays in whole seconds, the poller, and a round of several calls.
GAP_S = 1.5 * TICK_S
# Until a new fleet is looked at when nothing fails: the minute, the first round of a new shard, and calls.
NEW_S = MINUTE_S + TICK_S + 5.0
NEWEST = "newest"  # the fleet that is deployed then


MINUTE = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
OTHER_KIND = "drains"  # of the other function's chains


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely each thing is to go wrong, at each time that it may."""

    fault: float
    crash: float  # of the faults: the process dies
    stall: float
    lost: float
    doubled: float
    late: float
    minute_lost: float
    outage: bool


@dataclass(slots=True)
class StoryLog:
    """The planner's log: what it did not foresee is a violation, and the rest is left out."""

    world: "World"

    def debug(self, msg: str, **keys: Any) -> None:
        """Left out."""

    info = warning = debug

    def error(self, msg: str, **keys: Any) -> None:
        """No document here is invalid, so nothing is an operator's to mend."""
        self.world.violate(f"the planner logged: {msg} {keys}")

    def exception(self, msg: str, **keys: Any) -> None:
        """An error that nobody foresaw."""
        self.world.violate(f"{msg} {keys}: {traceback.format_exc(limit=-3)}")

    def append_context_keys(self, **_: Any) -> AbstractContextManager[None]:
        """Left out."""
        return nullcontext()


class Watched(PlannerService):
    """The planner's service with rounds that only note whom they looked at."""

    world: "World"

    @override
    def _round(self, *_: object) -> Round:
        return Noting(self.world, self)  # type: ignore[return-value] # it runs as a round does


@dataclass(slots=True)
class Noting:
    """A round: it takes a while, and notes its fleets."""

    world: "World"
    service: PlannerService

    def run(self, fleets: Sequence[Fleet], known: Mapping[str, Memory], *, whole: bool) -> RoundResult:
        """Look at each fleet."""
        names = [fleet.name for fleet in fleets]
        self.world.begin(self.service.invocation.owner, names)
        for _ in range(3):
            # Calls as any others. A real round survives their errors; one that dies is at its fleets until Lambda says.
            answer_of(lambda: self.service.ports.ledger.leases.release("no lease", "no owner"))
        self.world.end(self.service.invocation.owner, names)
        jumped = tuple(name for name in names if whole and self.world.rng.random() < 0.05)
        return RoundResult({name: {"outcome": OutcomeStatus.UNCHANGED} for name in names}, dict(known), jumped)


class HandingOver(MemoryWorkQueue):
    """The work queue in memory; what is handed over is on its way to its function."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.clock)
        self._world = world

    @override
    def hand_over(self, step: Step) -> None:
        self._world.hand_over(step)


@dataclass(slots=True)
class World(Stage):
    """One seed's world."""

    rng: Random
    quiet_at: float
    chances: Chances
    fleets: list[str]
    others: int = 0  # chains of another function
    truth: MemoryPorts = field(init=False)
    looked_at: dict[str, float] = field(default_factory=dict)
    at_work: dict[str, tuple[str, float]] = field(default_factory=dict)  # fleet -> who, until when
    added_at: dict[str, float] = field(default_factory=dict)
    removed_at: dict[str, float] = field(default_factory=dict)
    down_until: float = 0.0
    ends: list[float] = field(default_factory=list)  # when Lambda ends each running invocation, innermost last
    invocations: int = 0
    warm: list[Warmth] = field(default_factory=lambda: [Warmth() for _ in range(3)])  # processes, which come back

    def __post_init__(self) -> None:
        """Put the fleets' documents, and the planner between it and its ports."""
        Stage.__init__(self, self.rng, self.quiet_at)
        self.truth = replace(memory_ports(self.clock), work=HandingOver(self))
        for name in self.fleets:
            self.add(name)
        self.ports = faulty_ports(self.truth, self.meet)

    def add(self, name: str) -> None:
        """A fleet is deployed."""
        queue = f"https://sqs.eu-west-1.amazonaws.com/123456789012/{name}"
        self.truth.fleets.put(name, Fleet(name=name, queue=queue, group=name, target_wait_s=60))
        self.added_at[name] = self.now
        self.removed_at.pop(name, None)
        self.looked_at.pop(name, None)
        self.tell(f"fleet {name} is deployed")

    def remove(self, name: str) -> None:
        """A fleet is deleted."""
        self.truth.fleets.drop(name)
        self.added_at.pop(name)
        self.removed_at[name] = self.now
        self.tell(f"fleet {name} is deleted")

    # ----------------------------------------------------------------- who is at a fleet

    def begin(self, owner: str, names: Sequence[str]) -> None:
        """A round has taken its fleets."""
        for name in names:
            other, until = self.at_work.get(name, ("", 0.0))
            if other and until > self.now:
                self.violate(f"{owner} looks at {name} while {other} does")
            self.at_work[name] = (owner, self.running_until())

    def end(self, owner: str, names: Sequence[str]) -> None:
        """A round is over."""
        for name in names:
            if self.at_work.get(name, ("", 0.0))[0] == owner:
                del self.at_work[name]
            last = self.looked_at.get(name)
            watched = self.now >= self.quiet_at + RECOVERED_S + TICK_S
            if watched and last is not None and self.now - last > GAP_S:
                self.violate(f"{name} was not looked at for {self.now - last:.1f} s, and nothing failed")
            if name == NEWEST and last is None and self.now - self.added_at[name] > NEW_S:
                self.violate(f"the new fleet was first looked at after {self.now - self.added_at[name]:.1f} s")
            if self.now > self.removed_at.get(name, self.now) + LIFE_S:
                self.violate(f"{name} was looked at {self.now - self.removed_at[name]:.0f} s after it was deleted")
            self.looked_at[name] = self.now
            self.counts["looks"] += 1
        self.tell(f"{owner} looked at {', '.join(names) or 'no fleet'}")

    def running_until(self) -> float:
        """When Lambda ends the invocation that is running, less what clocks may differ by."""
        return self.ends[-1] - 2 * SKEW_S

    # ----------------------------------------------------------------- invocations

    def poll(self) -> None:
        """Lambda's poller hands over what the work queue has, each message by itself."""
        self.after(self.rng.uniform(0.1, POLL_S), self.poll)
        steps = list(self.truth.work.receive())
        self.rng.shuffle(steps)
        for step in steps:
            if self.happens(self.chances.lost):
                self.tell(f"the message {step} is lost")
                continue
            for _ in range(2 if self.happens(self.chances.doubled) else 1):
                late_s = self.rng.uniform(0, 120 if self.happens(self.chances.late) else 0.2)
                self.after(late_s, partial(self.deliver, step))

    def deliver(self, step: Step) -> None:
        """One delivery of a message. What the answer names comes again after the queue's visibility timeout."""
        record = {"messageId": "1", "eventSource": "aws:sqs", "body": message_of(step)}
        failed = self.invoke(f"step {step.chain_id} {step.version}", lambda service: service.take([record]))
        if failed is None or failed["batchItemFailures"]:
            self.after(6 * LIFE_S, partial(self.deliver, step))

    def hand_over(self, step: Step) -> None:
        """Lambda takes an event to the other function: it begins soon, as a rule, and once."""
        if self.happens(self.chances.lost):
            self.tell(f"the event {step} is lost")
            return
        for _ in range(2 if self.happens(self.chances.doubled) else 1):
            late_s = self.rng.uniform(0.01, 120 if self.happens(self.chances.late) else 0.2)
            self.after(late_s, partial(self.deliver_event, step))

    def deliver_event(self, step: Step) -> None:
        """One invocation of the other function."""
        event = json.loads(event_of(step))

        def work(service: PlannerService) -> Answer:
            runner, owner, until = service.runner, service.invocation.owner, service.invocation.until
            return runner.take_handed(event, OTHER_KIND, until, partial(self.do_other, runner, owner), service.log)

        self.invoke(f"event {step.chain_id} {step.version}", work)

    def do_other(self, runner: ChainRunner, owner: str, chain: Chain) -> Next:
        """A step of the other function: it takes a while, and notes its chain."""
        self.begin(owner, [chain.id])
        for _ in range(3):
            answer_of(lambda: self.ports.ledger.leases.release("no lease", "no owner"))
        self.end(owner, [chain.id])
        return Next(next_on_grid(chain.due_at, TICK_S, runner.now()), chain.data)

    def minute(self) -> None:
        """The schedule's minute."""
        self.after(MINUTE_S + self.rng.uniform(-1, 1), self.minute)
        if self.happens(self.chances.minute_lost):
            return
        for _ in range(2 if self.happens(self.chances.doubled) else 1):
            self.invoke("minute", lambda service: service.respond(MINUTE))

    def alarm(self) -> None:
        """An alarm of some fleet wants a round at once."""
        self.after(self.rng.uniform(20, 200), self.alarm)
        if self.added_at:
            event = {"fleet": self.rng.choice(sorted(self.added_at))}
            self.invoke(f"request {event}", lambda service: service.respond(event))

    def deploy(self) -> None:
        """A fleet comes, comes back, or goes."""
        self.after(self.rng.uniform(60, 400), self.deploy)
        if self.now >= self.quiet_at:
            return
        if self.added_at and self.rng.random() < 0.5:
            self.remove(self.rng.choice(sorted(self.added_at)))
        elif self.removed_at and self.rng.random() < 0.5:
            self.add(self.rng.choice(sorted(self.removed_at)))
        else:
            self.add(f"fleet-{self.invocations}")

    def invoke(self, label: str, do: Callable[[PlannerService], Answer]) -> Answer | None:
        """One invocation of the planner; None if it gave no answer."""
        self.invocations += 1
        owner, skew_s = f"invocation-{self.invocations}", self.rng.uniform(-SKEW_S, SKEW_S)
        until = self.now + LIFE_S
        warm = self.warm[self.invocations % len(self.warm)]

        def now() -> float:
            return self.now + skew_s

        service = Watched(
            self.ports, now, Timing(tick_s=TICK_S), Invocation(owner, until + skew_s, "sluice"), StoryLog(self), warm
        )
        service.world = self
        self.running.append(f"{owner}: {label}")
        self.ends.append(until)
        self.counts["invocations"] += 1
        try:
            return do(service)
        except Crash:
            self.tell("crashes")
        except PortError as error:  # Lambda counts it, and brings the minute again; the next one does the same
            if label != "minute":
                self.violate(f"the planner raised {error!r} to {label}")
        except Exception as error:
            self.violate(f"the planner raised {error!r}")
        finally:
            self.running.pop()
            self.ends.pop()
        return None

    # ----------------------------------------------------------------- every call of a port

    def meet(self, call: Call) -> Fault | None:
        """Time passes in a call, Lambda may end the invocation, and the call may fail, before or after its effect."""
        self.counts["calls"] += 1
        who, until = self.running.pop(), self.ends.pop()
        stalled = self.happens(self.chances.stall)
        self.pass_until(self.now + (self.rng.uniform(2, STALL_S) if stalled else self.rng.uniform(0.005, 0.05)))
        self.running.append(who)
        self.ends.append(until)
        if self.now >= until:
            self.tell(f"{call.method}: Lambda ends the invocation")
            return Fault(When.BEFORE, Crash())
        if call.method == "send" and self.now < self.down_until:
            return Fault(When.BEFORE, TryLaterError("the work queue is down"))
        if not self.happens(self.chances.fault):
            return None
        when = self.rng.choice((When.BEFORE, When.AFTER))
        if self.rng.random() < self.chances.crash:
            self.tell(f"{call.method}: crashes {when} it")
            return Fault(when, Crash())
        self.tell(f"{call.method}: fails {when} it")
        error = TryLaterError("no answer") if when is When.BEFORE else LostAnswerError("the answer was lost")
        return Fault(when, error)

    # ----------------------------------------------------------------- the end

    def check_all(self) -> None:
        """Once nothing has failed for long enough, every fleet that exists has been looked at since."""
        for name, added_at in self.added_at.items():
            last = self.looked_at.get(name)
            if last is None or last < self.quiet_at:
                self.violate(f"{name} (deployed {self.now - added_at:.0f} s ago) was not looked at since faults ended")
        for number in range(self.others):
            name = other_id(number)
            if self.looked_at.get(name, 0.0) < self.quiet_at:
                self.violate(f"{name} did not go on since faults ended")


def other_id(number: int) -> str:
    """The id of a chain of the other function."""
    return f"{OTHER_KIND}/other-{number}"


def build(seed: int) -> World:
    """The world of a seed: from calm (one in five: nothing fails) to very bad."""
    rng = Random(seed)  # noqa: S311 - a run to be repeated, no secret
    badness = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    chances = Chances(
        fault=rng.choice((0.0, 0.02, 0.1)) * badness,
        crash=rng.uniform(0.1, 0.9),
        stall=rng.choice((0.0, 0.01)) * badness,
        lost=rng.choice((0.0, 0.02, 0.3)) * badness,
        doubled=rng.choice((0.0, 0.3)) * badness,
        late=rng.choice((0.0, 0.1)) * badness,
        minute_lost=rng.choice((0.0, 0.3)) * badness,
        outage=badness > 0 and rng.random() < 0.1,
    )
    fleets = [f"orders-{number}" for number in range(rng.choice((1, 2, 5, shards.SHARD_MAX + 2)))]
    quiet_at = START + (OUTAGE_S + MINUTE_S if chances.outage else rng.uniform(60, 240))
    others = Random(f"others of {seed}").choice((0, 1, 3))  # noqa: S311 - as above
    return World(rng, quiet_at, chances, fleets, others)


def run(seed: int) -> Report:
    """Play one seed to its end."""
    world = build(seed)
    world.tell(f"seed {seed}: {len(world.fleets)} fleets, {world.chances!r}")
    if world.chances.outage:
        world.down_until = START + world.rng.uniform(0, MINUTE_S) + OUTAGE_S
        world.quiet_at = world.down_until
    for number in range(world.others):
        world.truth.ledger.chains.start(other_id(number), START + TICK_S, "{}")  # the first minute sends its step
    world.after(0.0, world.poll)
    world.after(world.rng.uniform(0, MINUTE_S), world.minute)
    world.after(world.rng.uniform(0, 100), world.alarm)
    world.after(world.rng.uniform(0, 200), world.deploy)
    world.pass_until(world.quiet_at + RECOVERED_S)
    world.check_all()
    world.add(NEWEST)
    world.pass_until(world.now + WATCHED_S)
    world.check_all()
    return Report(seed, tuple(world.violations), tuple(world.story), dict(world.counts))
