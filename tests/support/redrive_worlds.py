"""A fleet's queues, quarantine and redriver in memory, for the redrive tests; time is a number that they move."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.config.fleet import Fleet, RedrivePolicy
from sluice.memory import Call, Fault, MemoryPorts, MemoryQueue, When, faulty_ports, memory_ports, queue_url
from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.model.redriving import Attribute, Message, QuarantineEntry
from sluice.ports.aws_services import QueueFacts
from sluice.ports.stack import Ports
from sluice.redriving.dead_letters import DeadLetterProcessor
from sluice.redriving.failure_groups import CAUSE
from sluice.redriving.jobs.runner import Runner
from sluice.redriving.jobs.slices import Slice
from sluice.redriving.letter_results import DeadLetterResult
from sluice.redriving.payloads import read_record
from tests.support.redrive_jobs import redrive_job

START = 1_800_000_000.0
SOON = 30.0  # how long an invocation lives
LONGEST_WAIT_S = 20.0  # a job that is due later is left there
VISIBILITY_S = 60.0  # of both queues: whatever is received in a test stays hidden while the test is at it


def fleet(*, fifo: bool = False, **redrive: Any) -> Fleet:
    """A fleet with a queue and a dead-letter queue, and a policy that differs from the default as given."""
    suffix = ".fifo" if fifo else ""
    policy: dict[str, Any] = {"base_delay_s": 0.0, "canary_wait_s": 0.0, **redrive}
    return Fleet(
        name="orders",
        queue=queue_url(f"orders{suffix}"),
        dead_letter_queue=queue_url(f"orders-dead{suffix}"),
        group="consumers",
        target_wait_s=60,
        redrive=RedrivePolicy(**policy),
    )


def text(value: str) -> Attribute:
    """A String attribute."""
    return Attribute("String", value)


def letter(
    body: str = "{}",
    *,
    cause: str | None = None,
    attributes: Mapping[str, Attribute] | None = None,
    source: str | None = None,
    message_group: str | None = None,
    id: str = "m-1",  # noqa: A002 (the model's word)
    first_sent_at: float | None = START - 100,
) -> Message:
    """A dead letter as received."""
    every = dict(attributes or {}) | ({CAUSE: text(cause)} if cause is not None else {})
    return Message(
        id=id,
        body=body,
        receipt=f"receipt-{id}",
        attributes=tuple(sorted(every.items())),
        first_sent_at=first_sent_at,
        source=source,
        message_group=message_group,
    )


def polled(queue: MemoryQueue, batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch as Lambda's poller hands it over: its messages are in their queue, in flight under the receipts."""
    records = []
    for record in batch["Records"]:
        url = queue_url(str(record.get("eventSourceARN", "")).rpartition(":")[2])
        if "body" in record and url in queue.urls():
            record = {**record, "receiptHandle": queue.hand_over(url, read_record(record))}  # noqa: PLW2901 - as received
        records.append(record)
    return {**batch, "Records": records}


@dataclass(slots=True)
class World:
    """Queues, archive and ledger of one fleet, and the redriver's parts over them."""

    fleet: Fleet = field(default_factory=fleet)
    now: float = START
    max_bytes: int = 1_048_576
    waited_s: list[float] = field(default_factory=list)
    failures: list[tuple[str, Exception]] = field(default_factory=list)
    invocations: int = 0
    fleet_to: Fleet | None = None  # another fleet, to whose queue jobs send
    ports: MemoryPorts = field(init=False)

    def __post_init__(self) -> None:
        assert self.fleet.dead_letter_queue is not None
        self.ports = memory_ports(self.clock)
        self.ports.fleets.put(self.fleet.name, self.fleet)
        self.ports.queue.create(self.dead_letters, visibility_s=VISIBILITY_S, max_bytes=self.max_bytes)
        self.ports.queue.create(
            self.queue, visibility_s=VISIBILITY_S, max_bytes=self.max_bytes, dead_letter=self.dead_letters
        )

    def clock(self) -> float:
        """Epoch seconds."""
        return self.now

    def set_clock(self, at: float) -> None:
        """Let it be that time."""
        self.now = at

    @property
    def dead_letters(self) -> str:
        """The dead-letter queue's URL."""
        assert self.fleet.dead_letter_queue is not None
        return self.fleet.dead_letter_queue

    @property
    def queue(self) -> str:
        """The fleet's queue's URL."""
        assert self.fleet.queue is not None
        return self.fleet.queue

    @property
    def to(self) -> QueueFacts:
        """The fleet's queue."""
        return self.ports.queue.facts(self.queue)

    # ----------------------------------------------------------------- dead letters

    def put_dead(
        self, body: str = "{}", *, message_group: str | None = None, moved: bool = True, **attributes: Attribute | str
    ) -> str:
        """Put a dead letter into its queue; its id. `sluice_x` names `sluice.x`.

        SQS has moved it there, unless `moved` is False or a stamp says the source, as a consumer's copy does.
        """
        named = {
            name.replace("sluice_", "sluice.", 1): value if isinstance(value, Attribute) else text(value)
            for name, value in attributes.items()
        }
        group = message_group or ("g" if self.to.fifo else None)
        return self.ports.queue.put(
            self.dead_letters,
            body,
            attributes=named,
            message_group=group,
            source=self.to.arn if moved and "sluice_source" not in attributes else None,
            deduplication=f"d-{len(self.ports.queue.messages(self.dead_letters))}-{body[:20]}-{self.now}",
        )

    def receive(self) -> tuple[Message, ...]:
        """What the poller receives from the dead-letter queue."""
        return self.ports.queue.receive(self.dead_letters, 10, VISIBILITY_S)

    def processor(self, ports: Ports | None = None, uniform: Callable[[], float] = lambda: 0.5) -> DeadLetterProcessor:
        """Where dead letters are settled, by an invocation that begins now."""
        retention_s = self.ports.queue.facts(self.dead_letters).retention_s
        return DeadLetterProcessor(
            ports or self.ports, self.fleet, self.to, self.now + SOON, self.clock, uniform, retention_s
        )

    def process(self, ports: Ports | None = None) -> tuple[DeadLetterResult, ...]:
        """Receive a batch, settle it, and delete what may be let go: one round of Lambda's poller."""
        received = self.receive()
        results = self.processor(ports).process(received)
        for message, result in zip(received, results, strict=True):
            if result.may_be_deleted:
                self.ports.queue.delete(self.dead_letters, [message.receipt])
        return results

    def quarantine(self, *bodies: str, cause: str = "Broken: it is", message_group: str | None = None) -> list[str]:
        """Quarantine messages, each in its turn; their ids."""
        ids = []
        for body in bodies:
            policy = self.fleet.redrive
            self.fleet = self.fleet.model_copy(update={"redrive": policy.model_copy(update={"max_retries": 0})})
            ids.append(self.put_dead(body, message_group=message_group, sluice_cause=cause))
            assert [result.outcome for result in self.process()] == ["quarantined"]
            self.fleet = self.fleet.model_copy(update={"redrive": policy})
            self.now += 1
        return ids

    def quarantine_with(self, body: str, cause: str, **attributes: str) -> str:
        """Quarantine one message with attributes of its own; its id."""
        policy = self.fleet.redrive
        self.fleet = self.fleet.model_copy(update={"redrive": policy.model_copy(update={"max_retries": 0})})
        message_id = self.put_dead(body, moved=True, sluice_cause=cause, **attributes)
        assert [result.outcome for result in self.process()] == ["quarantined"]
        self.fleet = self.fleet.model_copy(update={"redrive": policy})
        self.now += 1
        return message_id

    def bodies(self, url: str | None = None) -> list[str]:
        """The bodies in a queue, by default the fleet's, in order."""
        return [message.body for message in self.ports.queue.messages(url or self.queue)]

    def index(self) -> tuple[QuarantineEntry, ...]:
        """The quarantine's index."""
        return self.ports.ledger.quarantine.quarantined("orders")[0]

    def held_bodies(self) -> list[str]:
        """The bodies in quarantine, in order of the index."""
        return [self.ports.archive.load(entry.key).body for entry in self.index()]

    # ----------------------------------------------------------------- jobs

    def job(self, **changes: Any) -> RedriveJob:
        """A job as a request begins it."""
        values: dict[str, Any] = {"id": "job-1", "rate_per_s": 10.0, "requested_by": "a test", **changes}
        return redrive_job(fleet="orders", state=JobState.RUNNING, requested_at=self.now, updated_at=self.now, **values)

    def runner(self, ports: Ports | None = None) -> Runner:
        """An invocation that begins now."""
        self.invocations += 1
        name = f"invocation-{self.invocations}"
        to = self.ports.queue.facts(self.fleet_to.queue or "") if self.fleet_to else self.to
        return Runner(ports or self.ports, self.fleet, to, name, self.now + SOON, self.clock)

    def slice(self, ports: Ports | None = None) -> Slice:
        """A slice of work on the fleet's jobs, by an invocation that begins now."""
        runner = self.runner(ports)
        return Slice(
            runner.ports.ledger.jobs,
            "orders",
            lambda _: runner,
            self.clock,
            lambda job, error: self.failures.append((job.id, error)),
        )

    def work(
        self, job: RedriveJob, ports: Ports | None = None, budget_s: float = 25.0, *, waits_s: float = LONGEST_WAIT_S
    ) -> RedriveJob:
        """Slices of work on the fleet's jobs for so long, or until the next is due later than in `waits_s`.

        Returns:
            How the job stands then.
        """
        end_at = self.now + budget_s
        while (following := self.slice(ports).work(end_at)) and following.due_at <= min(end_at, self.now + waits_s):
            self.waited_s.append(max(0.0, following.due_at - self.now))
            self.now = max(self.now, following.due_at)
            if self.now >= end_at:
                break
        after = self.ports.ledger.jobs.job("orders", job.id)
        assert after is not None
        return after


def failing(world: World, method: str, error: BaseException, when: When = When.BEFORE, nth: int = 0) -> Ports:
    """The world's ports, of which the nth call of a method fails."""
    seen = [0]

    def decide(call: Call) -> Fault | None:
        if call.method != method:
            return None
        seen[0] += 1
        return Fault(when, error) if seen[0] == nth + 1 else None

    return faulty_ports(world.ports, decide)
