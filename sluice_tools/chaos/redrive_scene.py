"""The scene of a redrive scenario: its queues and ledger, virtual time, the story, and the invariants."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from sluice.config.fleet import Fleet
from sluice.memory import Call, Fault, faulty_ports, memory_ports
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Message
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import OWN_PREFIX
from sluice.redriving.message_copy import origin_of
from sluice_tools.chaos.deterministic_threads import Turns
from sluice_tools.chaos.redrive_order import RetryOrder
from sluice_tools.chaos.redrive_queue import Chances, Habit, Order, PartialQueue, message_name
from sluice_tools.chaos.redrive_work import FaultyWorkQueue, WorkChances

START = 1_800_000_000.0
TIMEOUT_S = 30.0  # of the redriver's and the operator's function, and the visibility timeout of the dead-letter queue
JOBS_TIMEOUT_S = 60.0  # of the function that runs redrive jobs
TICK_S = 60.0
SKEW_S = 0.3  # between the clocks of two hosts; less than half of the redriver's grace
STALL_S = 40.0  # the longest that a call takes: longer than an invocation may live
VISIBILITY_S = 30.0
MAX_RECEIVES = 2
MAX_BYTES = 1_500
CALM_S = 3_600.0  # after the faults: for retries, ticks and redrives to come to their end
UNTIL_S = 6 * 3_600.0
NOTICED_WITHIN_S = 2.0  # a copy that comes back while the queue is searched for it is not found


@dataclass(slots=True)
class Scene:
    """What one seed's world holds, and what must hold of it at every instant."""

    rng: Random
    fleet: Fleet
    chances: Chances
    quiet_at: float
    work: WorkChances = field(default_factory=WorkChances)
    now: float = START
    fixed: bool = False
    story: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # ids of messages of which the queue has taken a copy
    sent_back: Counter[str] = field(default_factory=Counter)  # without an operator
    redriven: Counter[str] = field(default_factory=Counter)  # by an operator
    habits: Random = field(default_factory=partial(Random, 0))  # of consumers and others, drawn by itself
    looked_at: set[tuple[str, str]] = field(default_factory=set)
    came_back: dict[str, list[float]] = field(default_factory=dict)  # by job: when copies of it were dead letters
    copied: set[str] = field(default_factory=set)  # jobs of whose copies a consumer made copies without stamps
    running: list[tuple[str, float]] = field(default_factory=list)  # label, and when Lambda ends it
    paused: dict[str, float] = field(default_factory=dict)  # queues that are, since when
    turns: list[Turns] = field(default_factory=list)  # of invocations that are under way: work side by side
    _numbers: Any = field(default_factory=itertools.count)
    retries: RetryOrder = field(init=False)
    truth: Any = field(init=False)
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        settles_s = self.fleet.target_wait_s + MAX_RECEIVES * VISIBILITY_S
        self.retries = RetryOrder(self, settles_s, TIMEOUT_S + 2 * SKEW_S)
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
        work = FaultyWorkQueue(
            self.clock,
            self.work,
            happens=self.happens,
            uniform=self.rng.uniform,
            after=self.after,
            invoke=self.invoke,
            tell=self.tell,
            counts=self.counts,
        )
        self.truth = replace(whole, queue=queue, work=work)
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

    def invoke(self, event: Mapping[str, Any], label: str) -> dict[str, Any] | None:
        """One invocation; None if it gave no answer."""
        raise NotImplementedError

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

    def meet(self, call: Call) -> Fault | None:
        """What happens in a call of a port; whoever invokes functions says it."""
        raise NotImplementedError

    # ----------------------------------------------------------------- the invariants

    def check(self) -> None:
        """Each message that is not worked on is somewhere, whole; at most one copy of it is in its queue."""
        in_queue: Counter[str] = Counter()
        for url in self.queues:
            for message in self.look(url):
                in_queue[message.body] += 1
                if (order := self.orders.get(message.body)) and order.home != url:
                    self.violate(f"{message_name(message.body)} is in {url}, which is not its queue")
        dead = {message.body for message in self.dead()}
        kept = set(self.kept())
        for body, order in self.orders.items():
            if in_queue[body] > 1 + order.again_count:
                self.violate(f"{message_name(body)} is {in_queue[body]} times in its queue")
            if order.done_count > 1 + order.again_count:
                self.violate(f"{message_name(body)} was worked on {order.done_count} times")
            if not order.done_count and not in_queue[body] and body not in dead and body not in kept:
                self.violate(f"{message_name(body)} is nowhere")

    def check_jobs(self) -> None:
        """At the end each job is over, and was judged by its own copies alone."""
        for job in self.truth.ledger.jobs.jobs(self.fleet.name):
            # Each try of a release is judged by itself.
            since = job.release.due_at if job.release and job.state is JobState.DONE else 0.0
            back_at = next((at for at in self.came_back.get(job.id, ()) if at >= since), None)
            judged = job.state is JobState.CAME_BACK or job.note.startswith("Stopped: a message it sent")
            # What is copied without stamps is known of canaries alone: a job may be judged by it.
            if back_at is None and job.id not in self.copied and (judged or job.progress.returned_count):
                self.violate(f"{job.id} is {job.state}, and nothing of it came back: {job.note}")
            if job.state is JobState.DONE and back_at is not None and back_at < job.updated_at - NOTICED_WITHIN_S:
                self.violate(f"{job.id} is done, though a message of it came back")
            if job.state.is_at_work:
                self.violate(f"{job.id} is {job.state} at the end: {job.note}")
            self.counts[f"jobs {job.state}"] += 1

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
        if where in self.fleet.dead_letter_queues:
            self.retries.entered(message.body)
            for url in self.queues:
                if (origin := origin_of(message, self.truth.queue.facts(url))) and origin.job_id:
                    self.came_back.setdefault(origin.job_id, []).append(self.now)
        order = self.orders.get(message.body)
        if order is None:
            self.violate(f"a body that nobody sent: {message.body[:40]!r}")
            return
        theirs = tuple(one for one in message.attributes if not one[0].startswith(OWN_PREFIX))
        ours = tuple(one for one in order.attributes if not one[0].startswith(OWN_PREFIX))
        if theirs != ours:
            self.violate(f"{message_name(order.body)} has lost attributes")
        if message.message_group != order.message_group:
            self.violate(f"{message_name(order.body)} has another message group")

    def check_send(self, call: Call) -> None:
        """What is sent goes to the queue it came from, soon, and on FIFO queues behind all that is before it."""
        url = call.args[0]
        label, ends_at = self.running[-1]
        if url in self.paused and label.startswith("batch") and ends_at - TIMEOUT_S > self.paused[url]:
            self.violate(f"something is sent to {url}, which is paused")
        for message, delay_s in zip(call.args[1], call.args[2], strict=True):
            if url != self.orders[message.body].home:
                self.violate(f"{message_name(message.body)} is sent to {url}, which is not its queue")
            if not 0 <= delay_s <= 900:
                self.violate(f"{message_name(message.body)} would be delayed {delay_s} s")
            if self.fifo:
                self.check_order(message)
            if self.fifo and label.startswith("batch"):
                self.retries.check(message)

    def count_sent(self, message: Message) -> None:
        """The queue has taken a message: without an operator it does so `max_retries` times at most."""
        self.taken.add(message.id)
        if not self.running[-1][0].startswith("batch"):
            self.counts["redriven"] += 1
            self.redriven[message.body] += 1
            return
        self.counts["retried"] += 1
        self.retries.sent(message.body)
        self.sent_back[message.body] += 1
        most = self.fleet.redrive.max_retries
        if self.orders[message.body].habit is not Habit.KEEPS:
            # What a job sends is not in the ledger. What waits for longer than the target wait is not known again.
            most = 1_000 if self.fifo or self.counts["paused"] else most * (1 + self.redriven[message.body])
        if self.sent_back[message.body] > most:
            self.violate(f"{message_name(message.body)} was sent back {self.sent_back[message.body]} times")

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
                self.violate(f"{message_name(message.body)} overtakes {entry.message_id} of {entry.message_group}")
