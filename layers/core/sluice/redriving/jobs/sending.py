"""The messages of a redrive job sent, each to its queue; what is sent let go of, and counted on the job.

Each goes by `resending`'s one way. Of several queues it goes to the one it came from (`belonging`), unless the job
names one for all. FIFO: a message that cannot be sent stops the job, since those behind it would overtake.

Who lets go when: out of the index (with the group's count) once the sending is confirmed, then out of the archive. A
person's word is on record as the job; a crash between the two leaves a body in the archive that nothing points to. What
was received from a dead-letter queue is deleted there.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobState, Message, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import describe_source, source_of
from sluice.redriving.jobs.rules import FifoOrderGuard, next_send_at, selects
from sluice.redriving.message_copy import attempts_key, copy_of
from sluice.redriving.sender import BatchClaim, OutgoingMessage, Sender, SendOutcome
from sluice.redriving.source_queues import QueueRoute, route_for

# Bodies in memory at once: a load of 200 messages of 1 MiB would be more than a function has.
BATCH_BYTES_MAX = 32 * 1_048_576


@dataclass(frozen=True, slots=True)
class JobMessage:
    """One message that a job is to send, and where it is: in quarantine, or hidden in the dead-letter queue."""

    message: Message
    failure_group: str
    attempt: int
    entry: QuarantineEntry | None = None


@dataclass(slots=True)
class HiddenBatch:
    """What messages received together have in common, as long as they are hidden in their dead-letter queue."""

    url: str  # the queue
    until: float  # when the first of them may show again
    free: list[BatchClaim] = field(default_factory=list)  # of parts that are done, for others to write over

    def free_record(self) -> BatchClaim | None:
        """One that a part has done with."""
        try:
            return self.free.pop()
        except IndexError:
            return None


@dataclass(frozen=True, slots=True)
class JobSender:
    """Who sends the messages of jobs, for one invocation.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names in its place.
        name: the invocation.
        until: when this process is surely gone.
        ways: the fleet's queues, as far as the job is about them; none: it has the one.
    """

    ports: Ports[RedriverLedger]
    fleet: Fleet
    to: QueueFacts
    name: str
    until: float
    now: Callable[[], float]
    routes: tuple[QueueRoute, ...] = ()
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def routes_of(self, job: RedriveJob) -> tuple[QueueRoute, ...]:
        """The ways that a job's messages may go: back to their queues, or all to the one that it names."""
        if not self.routes or _goes_elsewhere(job):
            return (
                QueueRoute(self.fleet if self.fleet.queue else self.fleet.with_only(self.fleet.sources[0]), self.to),
            )
        return self.routes

    def send_entries(
        self, job: RedriveJob, entries: Sequence[QuarantineEntry], order_guard: FifoOrderGuard | None = None
    ) -> RedriveJob:
        """Send what the index points to, as far as it is part of the job; `lanes` where it is a walk through it."""
        chosen = [
            entry
            for entry in entries
            if (selects(job, entry) if order_guard is None else order_guard.admits(job, entry))
        ]
        for some in _by_bytes(chosen):
            if job.state is not JobState.RUNNING:
                break
            loaded = self.ports.archive.load_all([entry.key for entry in some])
            items: list[JobMessage] = []
            for entry in some:
                message = loaded[entry.key]
                if isinstance(message, Message):
                    items.append(JobMessage(message, entry.failure_group, entry.attempt, entry))
                    continue
                job = self._failed(job, f"Message {entry.message_id} could not be read: {message}")
                if job.state is not JobState.RUNNING:
                    break
            job = self.send(job, items)
        return job

    def send(self, job: RedriveJob, items: Sequence[JobMessage], hidden: HiddenBatch | None = None) -> RedriveJob:
        """Send messages, each to its queue, let go of those that are sent, and count; `_send_to` has the arguments."""
        routes = self.routes_of(job)
        going = [(item, route_of(job, item.message, item.entry, routes)) for item in items]

        def name(one: tuple[JobMessage, QueueRoute | None]) -> str:
            return one[1].to.url if one[1] else ""

        if not self.to.fifo:  # no order is to be kept: one sending for each queue
            going.sort(key=name)
        state = job.state  # one that is stopped already sends what goes before that
        for _, together in itertools.groupby(going, key=name):
            if job.state is not state:
                break
            theirs = list(together)
            route, some = theirs[0][1], [item for item, _ in theirs]
            if route is None:
                job = self._nowhere(job, some)
            else:
                there = replace(self, to=route.to)
                job = there._send_to(job, some, hidden)  # noqa: SLF001 - of this very class
        return job

    def _nowhere(self, job: RedriveJob, items: Sequence[JobMessage]) -> RedriveJob:
        """Messages that cannot go back, since nothing tells where, or it is none of the fleet's queues: they stay."""
        names = ", ".join(route.name for route in self.routes_of(job))
        for item in items:
            source = source_of(item.message) or (item.entry.source if item.entry else "")
            told = f" came from {describe_source(source)}, none of {names}" if source else ""
            fault = told or f": nothing tells which of {names} it came from"
            job = self._failed(job, f"Message {item.message.id}{fault}; to_queue says where to send it.")
            if job.state is not JobState.RUNNING:
                break
        return job

    def _send_to(self, job: RedriveJob, items: Sequence[JobMessage], hidden: HiddenBatch | None) -> RedriveJob:
        """Send messages to this sender's queue, let go of those that are sent, and count.

        Args:
            job: whose messages they are.
            items: the messages.
            hidden: how they were received, if they are in the dead-letter queue: one record claims them then, on
                FIFO queues and else a mark for each.
        """
        began_at = self.now()
        to_send: list[OutgoingMessage] = []
        sendable: list[JobMessage] = []
        for item in items:
            attempt = item.attempt + 1
            copy = copy_of(item.message, attempt, self.to, (job.id, item.failure_group))
            if copy is None:
                job = self._failed(job, f"Message {item.message.id} is more than its queue takes.")
                if job.state is not JobState.RUNNING:
                    break
                continue
            remember = None if copy.carries_attempts else (attempts_key(item.message), attempt)
            to_send.append(OutgoingMessage(copy.message, remember=remember))
            sendable.append(item)
        if not to_send:
            return job
        batch_claim = None if hidden is None or self.to.fifo else hidden.free_record() or self._new_batch_claim(job)
        sender = Sender(self.ports, self.fleet.name, self.to, self.until, self.now)
        send_results = sender.send(to_send, again=job.again, claims=batch_claim)
        sent = [item for item, send_result in zip(sendable, send_results, strict=True) if send_result.is_in_queue]
        job = replace(job, sent_count=job.sent_count + len(sent))
        for item, send_result in zip(sendable, send_results, strict=True):
            if send_result.is_in_queue:
                continue
            if send_result.outcome in {SendOutcome.DOUBTFUL, SendOutcome.UNKNOWN}:
                job = replace(job, doubtful_count=job.doubtful_count + 1)
                job = self._left_behind(job, f"Message {item.message.id}: {send_result.reason}.")
            else:
                job = self._failed(job, f"Message {item.message.id}: {send_result.reason}.")
        if hidden is None:
            self._note_redriven(job, sent)
            job = self._let_go(job, [item.entry for item in sent if item.entry])
        else:
            job = self._delete(job, [item.message for item in sent], batch_claim, hidden)
            if batch_claim and batch_claim.free:
                hidden.free.append(batch_claim)
        return replace(job, next_at=next_send_at(job, len(to_send), began_at))

    def _new_batch_claim(self, job: RedriveJob) -> BatchClaim:
        # An invocation that is repeated has the same name, but neither the same moment nor the same claims.
        name = f"{self.name}-{round(self.now() * 1_000)}-{next(self._numbers)}"
        return BatchClaim(self.ports, self.fleet.name, name, self.until, self.now, job.again)

    def _note_redriven(self, job: RedriveJob, sent: Sequence[JobMessage]) -> None:
        """Tell the failure groups. A count that is lost harms nothing."""
        for group_id, count in Counter(item.failure_group for item in sent).items():
            with suppress(PortError):
                self.ports.ledger.failure_groups.note_redriven(self.fleet.name, group_id, job.id, count, self.now())

    def _let_go(self, job: RedriveJob, entries: Sequence[QuarantineEntry]) -> RedriveJob:
        """Take what was sent out of the index, then out of the archive."""
        try:
            if entries:
                self.ports.ledger.quarantine.remove_entries(entries)
                self.ports.archive.remove_all([entry.key for entry in entries])
        except PortError as error:
            return replace(job, note=f"Message {entries[0].message_id} is sent, but still listed: {error}")
        return job

    def _delete(
        self, job: RedriveJob, messages: Sequence[Message], batch_claim: BatchClaim | None, hidden: HiddenBatch
    ) -> RedriveJob:
        """Delete what was sent from the dead-letter queue, and forget the claims of what is surely gone."""
        if not messages:
            return job
        try:
            answer = self.ports.queue.delete(hidden.url, [message.receipt for message in messages])
            for index, reason in answer.failed.items():
                job = replace(job, note=f"Message {messages[index].id} is sent, but not deleted: {reason}")
            # A receipt that has expired deletes nothing, whatever the answer says.
            if batch_claim and self.now() < hidden.until:
                batch_claim.forget([messages[index].id for index in answer.done])
        except PortError as error:
            return replace(job, note=f"Message {messages[0].id} is sent, but still listed: {error}")
        return job

    def _failed(self, job: RedriveJob, reason: str) -> RedriveJob:
        return self._left_behind(replace(job, failed_count=job.failed_count + 1), reason)

    def _left_behind(self, job: RedriveJob, reason: str) -> RedriveJob:
        """A message stays behind, for the reason given; on FIFO queues those behind it must not overtake."""
        if not self.to.fifo or job.state is not JobState.RUNNING:
            return replace(job, note=reason)
        return replace(job, state=JobState.STOPPED, note=f"Stopped, to keep the FIFO order. {reason}")


def route_of(
    job: RedriveJob, message: Message, entry: QuarantineEntry | None, routes: Sequence[QueueRoute]
) -> QueueRoute | None:
    """The way that a message goes; None if nothing tells, or it came from none of the queues."""
    if _goes_elsewhere(job):
        return routes[0]
    told = source_of(message) or None
    return route_for(told if entry is None or entry.source is None else entry.source, routes)


def _goes_elsewhere(job: RedriveJob) -> bool:
    """Whether a job names one queue for all its messages."""
    return job.to is not None or job.to_queue is not None


def _by_bytes(entries: Sequence[QuarantineEntry]) -> Iterator[list[QuarantineEntry]]:
    """Entries in order, as many at a time as fit into memory."""
    some: list[QuarantineEntry] = []
    size_bytes = 0
    for entry in entries:
        if some and size_bytes + entry.size_bytes > BATCH_BYTES_MAX:
            yield some
            some, size_bytes = [], 0
        some.append(entry)
        size_bytes += entry.size_bytes
    if some:
        yield some
