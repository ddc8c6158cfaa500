"""Dead letters and redrives by the shipped redriver, in virtual time, with faults before and after every call.

The world is a queue and its dead-letter queue (or two queues with two of those, or one for both; one of the two may
be paused for a while), the archive and the ledger in memory; a producer, a consumer that fails on poison until it is
fixed, Lambda's poller of the dead-letter queues (partial answers, lost deletes, double deliveries, receipts that
expire), the schedule's minute, and an operator who redrives, stops and asks twice. Each call of a port takes time, in
which anything that falls due happens, other invocations of the redriver included. Faults end at a seeded moment; then
all must be worked on in the end.

At every instant: each message that is not worked on is somewhere, and at most one copy of it is in its queue; in the
end none was worked on twice but by an operator's `again`. Nothing is sent to another queue than its own, and nothing
to a paused one unless an operator says so.
"""

import base64
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode, RedrivePolicy
from sluice.memory import Call, Crash, Fault, MemoryQueue, When, faulty_ports, memory_ports, queue_url
from sluice.model.redriving import Attribute, JobState, Message, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import BatchAnswer
from sluice.ports.errors import LostAnswerError, NeedsFixError, PortError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.context import GRACE_S, MARGIN_S, Invocation
from sluice.redriving.failure_groups import CAUSE, OWN_PREFIX, SOURCE
from sluice.redriving.message_copy import FIRST_SENT_AT
from tools.chaos.deterministic_threads import Turns
from tools.chaos.report import Report

START = 1_800_000_000.0
TIMEOUT_S = 30.0  # of the redriver's function, and the visibility timeout of the dead-letter queue
TICK_S = 60.0
SKEW_S = 0.3  # between the clocks of two hosts; less than half of the redriver's grace
STALL_S = 40.0  # the longest that a call takes: longer than an invocation may live
VISIBILITY_S = 30.0
MAX_RECEIVES = 2
PARTS_MAX = 4  # of a load that is moved side by side
MAX_BYTES = 1_500
CALM_S = 3_600.0  # after the faults: for retries, ticks and redrives to come to their end
UNTIL_S = 6 * 3_600.0


@dataclass(frozen=True, slots=True)
class Chances:
    """How bad this seed's world is; all zero: nothing ever fails."""

    fault: float = 0.0  # of a call of a port
    crash: float = 0.0  # of those
    stall: float = 0.0  # of a call that takes long
    partial: float = 0.0  # of an entry of a batch that fails
    unspoken: float = 0.0  # of an entry of a batch that is sent, or not, and that the answer does not speak of
    undeleted: float = 0.0  # of a dead letter that Lambda was to delete
    doubled: float = 0.0  # of a batch that is delivered twice
    tick_lost: float = 0.0


class PartialQueue(MemoryQueue):
    """SQS, a batch of which may fail in part."""

    def __init__(
        self,
        clock: Callable[[], float],
        fails: Callable[[], bool],
        unspoken: Callable[[], bool],
        sent: Callable[[Message], None],
        world: "World",
    ) -> None:
        super().__init__(clock)
        self.redriving = False
        self._world = world
        self._fails = fails
        self._unspoken = unspoken
        self._sent = sent

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send those entries that do not fail."""
        failing = {index for index in range(len(messages)) if self._fails()}
        sent = [index for index in range(len(messages)) if index not in failing]
        answer = super().send(queue_url, [messages[i] for i in sent], [delay_s[i] for i in sent])
        for i in answer.done:
            self._sent(messages[sent[i]])
        failed = dict.fromkeys(failing, "InternalError: this entry failed")
        failed |= {sent[i]: reason for i, reason in answer.failed.items()}
        # On FIFO queues nothing of a message group is sent behind one of which nothing is known.
        silent = {i for i in range(len(messages)) if self._unspoken()} if not queue_url.endswith(".fifo") else set()
        return BatchAnswer(
            frozenset(sent[i] for i in answer.done) - silent,
            {i: reason for i, reason in failed.items() if i not in silent},
            frozenset(sent[i] for i in answer.refused) - silent,
        )

    def shares(self, count: int) -> Sequence[int]:
        """Parts of any size, and as many as there are messages at most."""
        rng = self._world.rng
        cuts = sorted(rng.sample(range(1, count), min(rng.randrange(PARTS_MAX), count - 1))) if count > 1 else []
        return [end - start for start, end in itertools.pairwise((0, *cuts, count))]

    def side_by_side[Result](self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """In turns that the dice deal out."""
        turns = Turns(works, self._world.rng.randrange)
        self._world.sides.append((self._world.running[-1], turns))
        self._world.counts["parts"] += len(works)
        try:
            return turns.run()
        finally:
            self._world.sides.pop()

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete those entries that do not fail: where it is the redriver that deletes."""
        failing = {index for index in range(len(receipts)) if self.redriving and self._fails()}
        given = [index for index in range(len(receipts)) if index not in failing]
        answer = super().delete(queue_url, [receipts[i] for i in given])
        failed = dict.fromkeys(failing, "InternalError: this entry failed")
        return BatchAnswer(
            frozenset(given[i] for i in answer.done),
            failed | {given[i]: reason for i, reason in answer.failed.items()},
            frozenset(given[i] for i in answer.refused),
        )


@dataclass(slots=True)
class Order:
    """One message as it was produced, and what the world knows of it. Its body names it."""

    body: str
    attributes: tuple[tuple[str, Attribute], ...]
    message_group: str | None
    poison: bool
    stamps: bool  # the consumer says why it fails on it
    home: str  # the URL of the queue that it was sent to
    says_source: bool = True  # a stamp says which queue it was consumed from
    done_count: int = 0
    again_count: int = 0  # how often an operator said to send it even if it was sent


@dataclass(slots=True)
class World:
    """All of one seed."""

    rng: Random
    fleet: Fleet
    chances: Chances
    quiet_at: float
    now: float = START
    fixed: bool = False
    story: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # ids of messages of which the queue has taken a copy
    sent_back: Counter[str] = field(default_factory=Counter)  # without an operator
    looked_at: set[tuple[str, str]] = field(default_factory=set)
    running: list[tuple[str, float]] = field(default_factory=list)  # label, and when Lambda ends it
    paused: dict[str, float] = field(default_factory=dict)  # queues that are, since when
    sides: list[tuple[tuple[str, float], Turns[Any]]] = field(default_factory=list)  # of those: work side by side
    _numbers: Any = field(default_factory=itertools.count)
    truth: Any = field(init=False)
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        whole = memory_ports(self.clock)
        queue = PartialQueue(
            self.clock,
            lambda: self.happens(self.chances.partial),
            lambda: self.happens(self.chances.unspoken),
            self.count_sent,
            self,
        )
        for url in self.fleet.dead_letter_queues:
            queue.create(url, visibility_s=TIMEOUT_S, max_bytes=MAX_BYTES)
        for source in self.fleet.sources:
            queue.create(
                source.queue,
                visibility_s=VISIBILITY_S,
                max_bytes=MAX_BYTES,
                dead_letter=source.dead_letter_queue,
                max_receive_count=MAX_RECEIVES,
            )
        self.truth = replace(whole, queue=queue)
        self.truth.fleets.put(self.fleet.name, self.fleet)
        self.ports = faulty_ports(self.truth, self.meet)

    @property
    def queues(self) -> tuple[str, ...]:
        """The URLs of the fleet's queues."""
        return tuple(source.queue for source in self.fleet.sources)

    @property
    def shares(self) -> bool:
        """Whether a dead-letter queue serves two queues."""
        return len(self.fleet.dead_letter_queues) < len(self.queues)

    @property
    def fifo(self) -> bool:
        """Whether the queues are FIFO queues."""
        return self.fleet.fifo

    def dead(self) -> list[Message]:
        """Every dead letter in its queue, each checked to be whole."""
        return [message for url in self.fleet.dead_letter_queues for message in self.look(url)]

    # ----------------------------------------------------------------- time

    def clock(self) -> float:
        """The true time."""
        return self.now

    def after(self, delay_s: float, what: Callable[[], None]) -> None:
        """Put something on the agenda."""
        heapq.heappush(self.agenda, (self.now + delay_s, next(self._numbers), what))

    def pass_until(self, time: float) -> None:
        """Let time pass, and everything happen that falls due in it."""
        running, self.running = self.running, []
        self.truth.queue.redriving = False
        while self.agenda and self.agenda[0][0] <= time:
            at, _, what = heapq.heappop(self.agenda)
            self.now = max(self.now, at)
            what()
            self.check()
        self.now = max(self.now, time)
        self.running = running

    def tell(self, line: str) -> None:
        """One line of the story."""
        who = f"[{self.running[-1][0]}] " if self.running else ""
        self.story.append(f"{self.now - START:9.2f} {who}{line}")

    def violate(self, what: str) -> None:
        """An invariant does not hold."""
        self.tell(f"VIOLATION {what}")
        self.violations.append(f"{what} (at {self.now - START:.2f} s)")

    def happens(self, chance: float) -> bool:
        """Roll the dice; nothing bad happens once it is quiet."""
        return self.now < self.quiet_at and self.rng.random() < chance

    # ----------------------------------------------------------------- producer and consumer

    def produce(self) -> None:
        """Send one order: plain, with attributes of every type, with all ten, or as large as the queue takes."""
        number = len(self.orders)
        body = f"order-{number:03d}"
        attributes: dict[str, Attribute] = {}
        kind = self.rng.choice(("plain", "typed", "ten", "large", "forged"))
        if kind == "typed":
            attributes = {
                "shop": Attribute("String", "Zürich"),
                "weight": Attribute("Number.kg", "1.250"),
                "scan": Attribute("Binary.png", binary=bytes((number % 256, 0, 255))),
            }
        elif kind == "ten":
            attributes = {f"a{i}": Attribute("String", f"{i}") for i in range(10)}
        elif kind == "large":
            body += "." * (MAX_BYTES - len(body))
        elif kind == "forged":  # what a producer may say about itself is not to be trusted
            attributes = {"sluice.attempts": Attribute("Number", self.rng.choice(("-3", "99", "1e9", "0")))}
        group = f"customer-{self.rng.randint(1, 3)}" if self.fifo else None
        order = Order(
            body,
            tuple(sorted(attributes.items())),
            group,
            self.rng.random() < 0.6,
            self.rng.random() < 0.5,
            self.queues[0] if len(self.queues) == 1 else self.rng.choice(self.queues),
        )
        if self.shares and self.fleet.redrive.mode is RedriveMode.AUTO:
            order.says_source = self.rng.random() < 0.5
        self.orders[body] = order
        self.truth.queue.put(order.home, body, attributes=attributes, message_group=group, deduplication=f"d{number}")
        self.tell(f"{_name(body)} is sent ({kind}{', poison' if order.poison else ''})")

    def consume(self) -> None:
        """The consumer takes what there is, and works on it for a while."""
        self.after(self.rng.uniform(1, 8), self.consume)
        for source in sorted(self.fleet.sources, key=lambda source: -source.priority):
            if source.queue in self.paused:
                continue
            for message in self.truth.queue.receive(source.queue, 1 if self.fifo else 3, VISIBILITY_S):
                self.after(self.rng.uniform(0, VISIBILITY_S / 3), partial(self.finish, source, message))

    def finish(self, source: QueuePolicy, message: Message) -> None:
        """The consumer has worked on a message, or failed on it."""
        order = self.orders[message.body]
        if not order.poison or self.fixed:
            order.done_count += 1
            self.tell(f"{_name(order.body)} is worked on")
            self.truth.queue.delete(source.queue, [message.receipt])
            return
        stamps = {
            CAUSE: Attribute("String", f"UnknownItem: {message.id}"),
            SOURCE: Attribute("String", self.truth.queue.facts(source.queue).arn),
            FIRST_SENT_AT: Attribute("Number", f"{message.first_sent_at:.3f}"),
        }
        if not order.says_source:
            del stamps[SOURCE]
        attributes = stamps | dict(message.attributes)
        size = replace(message, attributes=tuple(attributes.items())).size_bytes
        if order.stamps and len(attributes) <= 10 and size <= MAX_BYTES:
            self.truth.queue.put(
                str(source.dead_letter_queue),
                message.body,
                attributes=attributes,
                message_group=message.message_group,
                deduplication=f"stamped-{message.id}",
            )
            self.truth.queue.delete(source.queue, [message.receipt])
            self.tell(f"{_name(order.body)} fails and is stamped")
        else:
            self.truth.queue.hide(source.queue, message.receipt, 0.0)
            self.tell(f"{_name(order.body)} fails")

    # ----------------------------------------------------------------- Lambda

    def pause(self, url: str) -> None:
        """An operator pauses a queue: its consumers stop taking from it, and the fleet's document says so."""
        self.paused[url] = self.now
        self.document()
        self.tell(f"{url} is paused")

    def go_on(self, url: str) -> None:
        """It is not paused any longer."""
        if self.paused.pop(url, None) is not None:
            self.document()
            self.tell(f"{url} goes on")

    def document(self) -> None:
        """Write the fleet's document anew."""
        queues = tuple(one.model_copy(update={"paused": one.queue in self.paused}) for one in self.fleet.queues)
        self.truth.fleets.put(self.fleet.name, self.fleet.model_copy(update={"queues": queues}))

    def poll(self, url: str) -> None:
        """Lambda's poller hands a batch of dead letters over, and deletes what the answer does not name."""
        self.after(self.rng.uniform(2, 15), partial(self.poll, url))
        received = self.truth.queue.receive(url, 10, TIMEOUT_S)
        if not received:
            return
        event = {"Records": [as_record(message, self.truth.queue.facts(url).arn) for message in received]}
        for _ in range(2 if self.happens(self.chances.doubled) and not self.fifo else 1):
            self.after(self.rng.uniform(0, 1), lambda: self.deliver(url, event, received))

    def deliver(self, url: str, event: Mapping[str, Any], received: Sequence[Message]) -> None:
        """One delivery of a batch."""
        answer = self.invoke(event, f"batch of {len(received)}")
        if answer is None:
            return
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in received:
            if message.id not in kept and not self.happens(self.chances.undeleted):
                self.truth.queue.delete(url, [message.receipt])

    def tick(self) -> None:
        """The schedule's minute."""
        self.after(TICK_S + self.rng.uniform(-1, 1), self.tick)
        if not self.happens(self.chances.tick_lost):
            self.invoke({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, "tick")

    def invoke(self, event: Mapping[str, Any], label: str) -> dict[str, Any] | None:
        """One invocation of the redriver, or for a request of the operator function; None if it gave no answer."""
        number = next(self._numbers)
        skew_s = self.rng.uniform(-SKEW_S, SKEW_S)
        ends_at = self.now + TIMEOUT_S

        def now() -> float:
            return self.now + skew_s

        invocation = Invocation(
            name=f"invocation-{number}",
            until=ends_at + skew_s + GRACE_S,
            stop_at=ends_at + skew_s - MARGIN_S,
            sleep=self.sleep,
            uniform=self.rng.random,
        )
        self.running.append((label, ends_at))
        self.counts["invocations"] += 1
        try:
            if {"Records", "source"}.isdisjoint(event):
                return operator_app.service(self.ports, now, invocation).answer(event)
            return app.service(self.ports, now, invocation).respond(event)
        except Crash:
            self.tell("crashes")
        except PortError as error:
            self.tell(f"fails: {error}")
        except Exception as error:
            self.violate(f"the redriver raised {error!r}")
        finally:
            self.running.pop()
            self.truth.queue.redriving = False
        return None

    def sleep(self, seconds: float) -> None:
        """An invocation sleeps; the others do not."""
        self.pass_until(self.now + seconds)

    # ----------------------------------------------------------------- the operator

    def ask(self) -> None:
        """An operator presses a button, sometimes twice."""
        request = self.some_request()
        if request is None:
            return
        self.tell(f"an operator asks: {request}")
        for _ in range(self.rng.choice((1, 1, 2))):
            self.after(self.rng.uniform(0, 2), partial(self.request, request))

    def request(self, event: Mapping[str, Any]) -> None:
        """What the operator gets to see is not checked here."""
        self.invoke(event, "request")

    def some_request(self) -> dict[str, Any] | None:
        """Something an operator might ask now."""
        name = self.fleet.name
        if self.fleet.redrive.mode is RedriveMode.MANUAL:
            rate_per_s = self.rng.choice((2, 5, 500))
            asked: dict[str, Any] = {
                "fleet": name, "all": True, "from": "dead-letter-queue", "rate_per_s": rate_per_s,
            }  # fmt: skip
            if len(self.queues) > 1 and not self.shares and self.rng.random() < 0.5:
                asked["queue"] = self.rng.choice(self.fleet.sources).name
            return {"redrive": asked}
        running = [job for job in self.truth.ledger.jobs.jobs(name) if job.state is JobState.RUNNING]
        entries = self.truth.ledger.quarantine.quarantined(name)[0]
        kinds = ["all", "group", "message", "some", "since", "shop", "dry run"] if entries else []
        kinds += ["queue"] if entries and len(self.queues) > 1 else []
        kinds += ["stop"] if running else []
        if not kinds:
            return None
        kind = self.rng.choice(kinds)
        if kind == "stop":
            return {"stop": {"fleet": name, "job_id": self.rng.choice(running).id}}
        entry = self.rng.choice(entries)
        one_queue: Any = self.rng.choice(self.queues) if kind == "queue" else None
        selection: dict[str, Any] = {
            "all": {"all": True},
            "queue": {"queue": one_queue},
            "dry run": {"all": True, "dry_run": True},
            "group": {"failure_group": entry.failure_group},
            "message": {"message_id": entry.message_id},
            "some": {"message_ids": [one.message_id for one in self.rng.sample(entries, min(3, len(entries)))]},
            "since": {"quarantined_from": entry.at},
            "shop": {"attribute": {"name": "shop", "value": "Zürich"}},
        }[kind]
        return {"redrive": {"fleet": name, "rate_per_s": self.rng.choice((0.2, 3, 50)), **selection}}

    def move_natively(self) -> None:
        """Someone presses *Start DLQ redrive* in the SQS console: new messages, from the dead-letter queue."""
        for url in self.fleet.dead_letter_queues:
            for message in self.truth.queue.receive(url, 10, TIMEOUT_S):
                self.truth.queue.put(
                    self.orders[message.body].home,
                    message.body,
                    attributes=dict(message.attributes),
                    message_group=message.message_group,
                    deduplication=f"moved-{message.id}",
                )
                self.truth.queue.delete(url, [message.receipt])
                self.tell(f"{_name(message.body)} is moved by the console")

    # ----------------------------------------------------------------- every call of a port

    def meet(self, call: Call) -> Fault | None:
        """Time passes in a call, Lambda may end the invocation, and the call may fail, before or after its effect."""
        self.counts["calls"] += 1
        if self.sides and self.sides[-1][0] is self.running[-1]:
            turns = self.sides[-1][1]
            turns.pass_on()
            if turns.crashed:
                return self.die(call)
        stalled = self.happens(self.chances.stall)
        self.pass_until(self.now + (self.rng.uniform(2, STALL_S) if stalled else self.rng.uniform(0.005, 0.05)))
        if self.now >= self.running[-1][1]:
            self.tell(f"{call.method}: Lambda ends the invocation")
            return Fault(When.BEFORE, Crash())
        self.check()
        if call.method == "send":
            self.check_send(call)
        self.truth.queue.redriving = True
        if not self.happens(self.chances.fault):
            self.tell(f"{call.method}{_short(call)}")
            return None
        when = self.rng.choice((When.BEFORE, When.AFTER))
        error: BaseException
        if self.rng.random() < self.chances.crash:
            error = Crash()
        elif when is When.AFTER:
            error = LostAnswerError("answer lost")
        else:
            error = self.rng.choice((TryLaterError, NeedsFixError, LostAnswerError))("throttled, or not allowed")
        self.tell(f"{call.method}{_short(call)}: {type(error).__name__} {when.value} it took effect")
        self.counts["faults"] += 1
        return Fault(when, error)

    def die(self, call: Call) -> Fault:
        """A call was under way when its process crashed at another: nobody is left to read the answer."""
        if call.method == "send":
            self.check_send(call)
        self.truth.queue.redriving = True
        when = self.rng.choice((When.BEFORE, When.AFTER))
        self.tell(f"{call.method}{_short(call)}: its process has crashed, {when.value} it took effect")
        return Fault(when, Crash())

    # ----------------------------------------------------------------- the invariants

    def check(self) -> None:
        """Each message that is not worked on is somewhere, whole; at most one copy of it is in its queue."""
        in_queue: Counter[str] = Counter()
        for url in self.queues:
            for message in self.look(url):
                in_queue[message.body] += 1
                if (order := self.orders.get(message.body)) and order.home != url:
                    self.violate(f"{_name(message.body)} is in {url}, which is not its queue")
        dead = {message.body for message in self.dead()}
        kept = set(self.kept())
        for body, order in self.orders.items():
            if in_queue[body] > 1 + order.again_count:
                self.violate(f"{_name(body)} is {in_queue[body]} times in its queue")
            if order.done_count > 1 + order.again_count:
                self.violate(f"{_name(body)} was worked on {order.done_count} times")
            if not order.done_count and not in_queue[body] and body not in dead and body not in kept:
                self.violate(f"{_name(body)} is nowhere")

    def kept(self) -> list[str]:
        """The bodies of what is in quarantine, each with its entry in the index, checked to be whole."""
        bodies: list[str] = []
        for entry in self.truth.ledger.quarantine.quarantined(self.fleet.name, limit=10_000)[0]:
            message = self.truth.archive.kept.get(entry.key)
            if message is None:
                self.violate(f"message {entry.message_id} is indexed, and its body is gone")
            else:
                self.check_whole(message, entry.key)
                bodies.append(message.body)
        return bodies

    def look(self, url: str) -> tuple[Message, ...]:
        """A queue's messages, each checked to be whole."""
        messages: tuple[Message, ...] = self.truth.queue.messages(url)
        for message in messages:
            self.check_whole(message, url)
        return messages

    def check_whole(self, message: Message, where: str) -> None:
        """Body, group and every attribute of the producer are as they were. Looked at once in each place."""
        if (where, message.id) in self.looked_at:
            return
        self.looked_at.add((where, message.id))
        order = self.orders.get(message.body)
        if order is None:
            self.violate(f"a body that nobody sent: {message.body[:40]!r}")
            return
        theirs = tuple(one for one in message.attributes if not one[0].startswith(OWN_PREFIX))
        ours = tuple(one for one in order.attributes if not one[0].startswith(OWN_PREFIX))
        if theirs != ours:
            self.violate(f"{_name(order.body)} has lost attributes")
        if message.message_group != order.message_group:
            self.violate(f"{_name(order.body)} has another message group")

    def check_send(self, call: Call) -> None:
        """What is sent goes to the queue it came from, soon, and on FIFO queues behind all that is before it."""
        url = call.args[0]
        label, ends_at = self.running[-1]
        if url in self.paused and label.startswith("batch") and ends_at - TIMEOUT_S > self.paused[url]:
            self.violate(f"something is sent to {url}, which is paused")
        for message, delay_s in zip(call.args[1], call.args[2], strict=True):
            if url != self.orders[message.body].home:
                self.violate(f"{_name(message.body)} is sent to {url}, which is not its queue")
            if not 0 <= delay_s <= 900:
                self.violate(f"{_name(message.body)} would be delayed {delay_s} s")
            if self.fifo:
                self.check_order(message)

    def count_sent(self, message: Message) -> None:
        """The queue has taken a message: without an operator it does so `max_retries` times at most."""
        self.taken.add(message.id)
        if not self.running[-1][0].startswith("batch"):
            self.counts["redriven"] += 1
            return
        self.counts["retried"] += 1
        self.sent_back[message.body] += 1
        if self.sent_back[message.body] > self.fleet.redrive.max_retries:
            self.violate(f"{_name(message.body)} was sent back {self.sent_back[message.body]} times")

    def check_order(self, message: Message) -> None:
        """No earlier message of its message group stays in quarantine."""
        mine = self.truth.ledger.quarantine.quarantined_message(self.fleet.name, message.id)
        for entry in self.truth.ledger.quarantine.quarantined(self.fleet.name, limit=1_000)[0]:
            theirs = self.truth.archive.kept.get(entry.key)
            if theirs is None or self.orders[theirs.body].home != self.orders[message.body].home:
                continue  # another queue's, which has an order of its own
            before = mine is None or (entry.at, entry.message_id) < (mine.at, mine.message_id)
            # What the queue has taken is ahead, whether or not that could be noted.
            if entry.message_group == message.message_group and before and entry.message_id not in self.taken:
                self.violate(f"{_name(message.body)} overtakes {entry.message_id} of {entry.message_group}")

    # ----------------------------------------------------------------- the end

    def settle(self) -> None:
        """The consumer is fixed and nothing fails any more: an operator redrives until all is worked on."""
        self.fixed = True
        self.tell("the consumer is fixed")
        end_at = self.now + UNTIL_S
        while self.now < end_at and not self.all_done() and not self.violations:
            entries = self.truth.ledger.quarantine.quarantined(self.fleet.name)[0]
            running = any(job.state is JobState.RUNNING for job in self.truth.ledger.jobs.jobs(self.fleet.name))
            if self.fleet.redrive.mode is RedriveMode.MANUAL:
                request = self.some_request()
                if not running and request and self.dead():
                    request["redrive"]["again"] = self.say_again()
                    self.invoke(request, "request")
            elif entries and not running and (lost := self.lost(entries)):
                self.send_home(lost)
            elif entries and not running:
                self.invoke({"redrive": {"fleet": self.fleet.name, "all": True, "again": self.say_again()}}, "request")
            self.pass_until(self.now + 120.0)
        if not self.all_done() and not self.violations:
            left = [_name(body) for body, order in self.orders.items() if not order.done_count]
            self.violate(f"never worked on: {', '.join(left) or 'what is still listed'}")

    def lost(self, entries: Sequence[QuarantineEntry]) -> QuarantineEntry | None:
        """One of unknown source, as soon as an operator has seen that all of them stay."""
        lost = [entry for entry in entries if entry.source == ""]
        return self.rng.choice(lost) if lost and self.rng.random() < 0.7 else None

    def send_home(self, entry: QuarantineEntry) -> None:
        """Nothing says where a message came from, but an operator knows."""
        home = self.orders[self.truth.archive.kept[entry.key].body].home
        asked: dict[str, Any] = {"fleet": self.fleet.name, "message_id": entry.message_id, "to_queue": home}
        self.invoke({"redrive": {**asked, "again": self.say_again()}}, "request")
        self.counts["sent home"] += 1

    def say_again(self) -> bool:
        """Whether an operator has come to the point of sending even what may have been sent."""
        last = [job for job in self.truth.ledger.jobs.jobs(self.fleet.name) if job.state is not JobState.RUNNING][:1]
        if not last or not last[0].progress.doubtful_count:
            return False
        self.tell("an operator says: send again what may have been sent")
        self.counts["again"] += 1
        for body, count in Counter((*self.kept(), *(message.body for message in self.dead()))).items():
            self.orders[body].again_count += count
        return True

    def all_done(self) -> bool:
        """Whether every order was worked on, and nothing is left anywhere."""
        return (
            all(order.done_count for order in self.orders.values())
            and not any(self.truth.queue.messages(url) for url in (*self.queues, *self.fleet.dead_letter_queues))
            and not self.truth.ledger.quarantine.quarantined(self.fleet.name)[0]
            and all(group.count == 0 for group in self.truth.ledger.failure_groups.failure_groups(self.fleet.name))
        )


def _name(body: str) -> str:
    return body[:9]


def _short(call: Call) -> str:
    """A call's arguments, as far as a story needs them."""
    texts: list[str] = []
    for argument in call.args:
        if isinstance(argument, Message):
            texts.append(_name(argument.body))
        elif isinstance(argument, list | tuple) and argument and isinstance(argument[0], Message):
            texts.append("+".join(_name(message.body) for message in argument))
        elif isinstance(argument, RedriveJob):
            progress = argument.progress
            texts.append(f"{argument.state} {progress.phase} {progress.sent_count} sent v{argument.version}")
        elif hasattr(argument, "message_id"):
            texts.append(f"{argument.message_id[:8]} {argument.failure_group}")
        else:
            texts.append(str(argument)[:60])
    return f"({', '.join(texts)})"


def as_record(message: Message, queue_arn: str) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    system = {
        "ApproximateReceiveCount": str(message.receive_count),
        "SentTimestamp": str(round(1_000 * (message.first_sent_at or 0))),
        "DeadLetterQueueSourceArn": message.source,
        "MessageGroupId": message.message_group,
        "MessageDeduplicationId": message.deduplication,
    }
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": {name: value for name, value in system.items() if value is not None},
        "messageAttributes": {
            name: {
                "dataType": value.type,
                "stringValue": value.text,
                "binaryValue": None if value.binary is None else base64.b64encode(value.binary).decode(),
            }
            for name, value in message.attributes
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
    }


class Sharing(StrEnum):
    """How many queues there are, and how many dead-letter queues."""

    ONE_QUEUE = "one queue"
    SHARED = "two queues, one dead-letter queue"
    OWN = "two queues, a dead-letter queue for each"


def _queues(suffix: str, sharing: Sharing) -> dict[str, Any]:
    """The part of the fleet's document that names its queues."""
    dead = queue_url(f"orders-dead{suffix}")
    if sharing is Sharing.ONE_QUEUE:
        return {"queue": queue_url(f"orders{suffix}"), "dead_letter_queue": dead}
    urgent = {
        "queue": queue_url(f"urgent{suffix}"),
        "dead_letter_queue": dead if sharing is Sharing.SHARED else queue_url(f"urgent-dead{suffix}"),
        "priority": 1,
    }
    return {"queues": [{"queue": queue_url(f"orders{suffix}"), "dead_letter_queue": dead}, urgent]}


def build(seed: int) -> World:
    """The world of a seed: from calm (one in five: nothing fails) to very bad."""
    rng = Random(seed)  # noqa: S311 - a run to be repeated, no secret
    suffix = rng.choice(("", "", ".fifo"))
    policy = RedrivePolicy(
        mode=rng.choice((RedriveMode.AUTO, RedriveMode.AUTO, RedriveMode.AUTO, RedriveMode.MANUAL)),
        max_retries=rng.choice((0, 1, 3)),
        base_delay_s=rng.choice((0, 5, 60)),
        max_delay_s=rng.choice((60, 300)),
        canary_count=rng.choice((1, 3)),
        canary_wait_s=rng.choice((0, 30, 90)),
        burst_count=rng.choice((0, 2, 20)),
        permanent=rng.choice(((), (), ("UnknownItem*",))),
        transient=rng.choice(((), (), ("No cause stamped*",))),
    )
    # Drawn by itself, so that the runs of seeds with one queue stay as they were.
    several = Random(f"queues of {seed}")  # noqa: S311 - as above
    fleet = Fleet(
        name="orders",
        **_queues(suffix, several.choice((Sharing.ONE_QUEUE, Sharing.ONE_QUEUE, Sharing.SHARED, Sharing.OWN))),
        group="consumers",
        target_wait_s=60,
        redrive=policy,
    )
    badness = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    chances = Chances(
        fault=rng.choice((0.0, 0.02, 0.1, 0.25)) * badness,
        crash=rng.uniform(0.1, 0.6),
        stall=rng.choice((0.0, 0.02)) * badness,
        partial=rng.choice((0.0, 0.1, 0.3)) * badness,
        unspoken=rng.choice((0.0, 0.0, 0.1)) * badness,
        undeleted=rng.choice((0.0, 0.3)) * badness,
        doubled=rng.choice((0.0, 0.3)) * badness,
        tick_lost=rng.choice((0.0, 0.3)) * badness,
    )
    return World(rng, fleet, chances, quiet_at=START + rng.uniform(300, 1_200))


def run(seed: int) -> Report:
    """Play one seed to its end."""
    levels = [(one, one.log_level) for one in (app.logger, operator_app.logger)]
    for logger, _ in levels:
        logger.setLevel("CRITICAL")  # the run has a story of its own
    try:
        return _played(seed, build(seed))
    finally:
        for logger, level in levels:
            logger.setLevel(level)


def _played(seed: int, world: World) -> Report:
    rng = world.rng
    world.tell(
        f"seed {seed}: {world.queues}, {world.fleet.dead_letter_queues}, {world.fleet.redrive!r}, {world.chances!r}"
    )
    for _ in range(rng.randint(1, 12)):
        world.after(rng.uniform(0, 200), world.produce)
    for _ in range(rng.randint(1, 2)):
        world.after(rng.uniform(0, 5), world.consume)
    if world.fleet.redrive.mode is RedriveMode.AUTO:
        for url in world.fleet.dead_letter_queues:
            for _ in range(2):  # as the stack's mapping: at most two at once
                world.after(rng.uniform(0, 15), partial(world.poll, url))
    world.after(rng.uniform(0, TICK_S), world.tick)
    # The console's own redrive knows no marks: beside a job it would send again what that has sent and not yet deleted.
    by_console = world.fleet.redrive.mode is RedriveMode.MANUAL and rng.random() < 0.3
    for _ in range(rng.randint(0, 5)):
        world.after(rng.uniform(60, world.quiet_at - START), world.move_natively if by_console else world.ask)
    if len(world.queues) > 1 and rng.random() < 0.5:
        url = rng.choice(world.queues)
        world.after(rng.uniform(0, 300), partial(world.pause, url))
        world.after(world.quiet_at - START, partial(world.go_on, url))
        world.counts["paused"] += 1
    world.pass_until(world.quiet_at)
    for url in world.queues:
        world.go_on(url)
    world.settle()
    world.counts["orders"] = len(world.orders)
    return Report(seed, tuple(world.violations), tuple(world.story), dict(world.counts))
