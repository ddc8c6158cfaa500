"""Sends the messages of a redrive job, each to its queue, and returns a report of what was sent and what was not.

Each message goes the one way of `redriving.sender`. Of several queues it goes to the one it came from
(`source_queues`), unless the job names one for all. On FIFO queues a message that cannot be sent stops the job, since
those behind it would overtake it.

Order of effects: once a sending is confirmed, the message leaves the index (with its group's count), then the archive.
A crash between the two leaves a body in the archive that nothing refers to. What was received from a dead-letter queue
is deleted there. The operator's request is on record as the job.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import HandledLetter, Message, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import describe_source, source_of
from sluice.redriving.jobs.rules import FifoOrderGuard, SendReport, selects
from sluice.redriving.letter_history import remembered
from sluice.redriving.message_copy import copy_of
from sluice.redriving.sender import BatchClaim, MarkedBatchClaim, OutgoingMessage, Sender, SendOutcome, SendResult
from sluice.redriving.source_queues import QueueRoute, route_asked_for

# Bodies in memory at once: a batch of 200 messages of 1 MiB would be more than a function has.
BATCH_BYTES_MAX = 32 * 1_048_576


@dataclass(frozen=True, slots=True)
class JobMessage:
    """One message that a job is to send, and where it is: in quarantine, or hidden in the dead-letter queue."""

    message: Message
    route: QueueRoute | None  # None: nothing says which queue it came from, or it is none of the job's
    failure_group: str
    attempt: int
    entry: QuarantineEntry | None = None
    answers: HandledLetter | None = None  # the retry that it is what became of


@dataclass(slots=True)
class HiddenBatch:
    """What messages that were received together have in common while they are hidden in their dead-letter queue."""

    url: str  # the queue
    until: float  # epoch seconds: when the first of them may show again
    free_claims: list[BatchClaim] = field(default_factory=list)  # of parts that are done: others write over them

    def free_claim(self) -> BatchClaim | None:
        """A claim's record that a part has done with, if there is one."""
        try:
            return self.free_claims.pop()
        except IndexError:
            return None


@dataclass(frozen=True, slots=True)
class JobSender:
    """Sends the messages of jobs, for one invocation.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names for all.
        name: the invocation.
        until: epoch seconds: when this process is surely gone.
        routes: the fleet's queues, as far as the job is about them; empty: it has only the one.
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
        """The queues that a job's messages may go to: those they came from, or the one that the job names."""
        if not self.routes or job.target.is_named:
            fleet = self.fleet if self.fleet.queue else self.fleet.with_only(self.fleet.sources[0])
            return (QueueRoute(fleet, self.to),)
        return self.routes

    def send_entries(
        self, job: RedriveJob, entries: Sequence[QuarantineEntry], order_guard: FifoOrderGuard | None = None
    ) -> SendReport:
        """Send quarantined messages, as far as they are part of the job.

        Args:
            job: the job.
            entries: what the index lists.
            order_guard: keeps the order of message groups, where `entries` are a walk through the index.

        Raises:
            PortError: the archive does not answer; what was sent before stays uncounted.
        """
        is_sent = selects if order_guard is None else order_guard.admits
        chosen = [entry for entry in entries if is_sent(job, entry)]
        report = SendReport()
        routes = self.routes_of(job)
        for some in _by_bytes(chosen):
            if report.stopped:
                break
            loaded = self.ports.archive.load_all([entry.key for entry in some])
            messages: list[JobMessage] = []
            for entry in some:
                message = loaded[entry.key]
                if isinstance(message, Message):
                    route = route_of(job, message, entry, routes)
                    messages.append(JobMessage(message, route, entry.failure_group, entry.attempt, entry))
                    continue
                report += self._failed(f"Message {entry.message_id} could not be read: {message}")
                if report.stopped:
                    break
            report += self.send(job, messages)
        return report

    def send(self, job: RedriveJob, messages: Sequence[JobMessage], hidden: HiddenBatch | None = None) -> SendReport:
        """Send messages, each to its queue, and remove those that are sent from where they were.

        Args:
            job: the job.
            messages: what to send.
            hidden: how they were received, if they are in the dead-letter queue. One record claims them, on FIFO queues
                a claim for each.
        """

        def url_of(message: JobMessage) -> str:
            return message.route.to.url if message.route else ""

        # On standard queues no order is to be kept, so that each queue gets all of its messages at once.
        going = messages if self.to.fifo else sorted(messages, key=url_of)
        report = SendReport()
        for _, together in itertools.groupby(going, key=url_of):
            if report.stopped:
                break
            some = list(together)
            route = some[0].route
            report += self._without_route(job, some) if route is None else self._send_to(route, job, some, hidden)
        return report

    def _without_route(self, job: RedriveJob, messages: Sequence[JobMessage]) -> SendReport:
        """Messages that stay: nothing says which queue they came from, or it is none of the fleet's queues."""
        names = ", ".join(route.name for route in self.routes_of(job))
        report = SendReport()
        for message in messages:
            source = source_of(message.message) or (message.entry.source if message.entry else "")
            fault = f": nothing says which of {names} it came from"
            if source:
                fault = f" came from {describe_source(source)}, none of {names}"
            report += self._failed(f"Message {message.message.id}{fault}; to_queue says where to send it.")
            if report.stopped:
                break
        return report

    def _send_to(
        self, route: QueueRoute, job: RedriveJob, messages: Sequence[JobMessage], hidden: HiddenBatch | None
    ) -> SendReport:
        """Send messages to one queue, and remove those that are sent from where they were."""
        began_at = self.now()
        to_send: list[OutgoingMessage] = []
        sendable: list[JobMessage] = []
        report = SendReport()
        for message in messages:
            attempt = message.attempt + 1
            copy = copy_of(message.message, attempt, route.to, (job.id, message.failure_group))
            if copy is None:
                report += self._failed(f"Message {message.message.id} is larger than its queue takes.", route.to)
                if report.stopped:
                    break
                continue
            # An operator bounds what a job sends: only where the copy has no room for its count the ledger has it.
            remember = (
                None
                if copy.carries_attempts
                else remembered(
                    # Beside the record of an earlier copy, which may come back as well.
                    replace(message.message, id=f"{message.message.id}/{job.id}"),
                    route.to,
                    attempt,
                    began_at,
                    due_at=began_at,
                    stamped=False,
                    answers=message.answers,
                )
            )
            to_send.append(OutgoingMessage(copy.message, remember=remember))
            sendable.append(message)
        if not to_send:
            return report
        again = job.selection.again
        claim = None if route.to.fifo else self._batch_claim(hidden, again=again)
        sender = Sender(self.ports, self.fleet.name, route.to, self.until, self.now)
        results = sender.send(to_send, again=again, claims=claim)
        sent = [message for message, result in zip(sendable, results, strict=True) if result.is_in_queue]
        report += SendReport(sent_count=len(sent), batches=((began_at, len(to_send)),))
        for message, result in zip(sendable, results, strict=True):
            if not result.is_in_queue:
                report += self._not_sent(message.message, result, route.to)
        if hidden is None:
            self._note_redriven(job, sent)
            return report + self._remove([message.entry for message in sent if message.entry])
        report += self._delete([message.message for message in sent], claim, hidden)
        if claim and claim.free:
            hidden.free_claims.append(claim)
        return report

    def _batch_claim(self, hidden: HiddenBatch | None, *, again: bool) -> BatchClaim:
        """One claim for all messages: of hidden ones a record that is free now, if there is one."""
        if hidden and (free := hidden.free_claim()):
            return free
        # An invocation that is repeated has the same name, but neither the same moment nor the same claims.
        name = f"{self.name}-{round(self.now() * 1_000)}-{next(self._numbers)}"
        kind = MarkedBatchClaim if hidden is None else BatchClaim
        return kind(self.ports, self.fleet.name, name, self.until, self.now, again)

    def _note_redriven(self, job: RedriveJob, sent: Sequence[JobMessage]) -> None:
        """Count what was sent in its failure groups. A count that is lost harms nothing."""
        for group_id, count in Counter(message.failure_group for message in sent).items():
            with suppress(PortError):
                self.ports.ledger.failure_groups.note_redriven(self.fleet.name, group_id, job.id, count, self.now())

    def _remove(self, entries: Sequence[QuarantineEntry]) -> SendReport:
        """Remove what was sent from the index, then from the archive."""
        try:
            if entries:
                self.ports.ledger.quarantine.remove_entries(entries)
                self.ports.archive.remove_all([entry.key for entry in entries])
        except PortError as error:
            return SendReport(note=f"Message {entries[0].message_id} is sent, but still listed: {error}")
        return SendReport()

    def _delete(self, messages: Sequence[Message], claim: BatchClaim | None, hidden: HiddenBatch) -> SendReport:
        """Delete what was sent from the dead-letter queue, and forget the claims of what is surely gone."""
        if not messages:
            return SendReport()
        note = ""
        try:
            answer = self.ports.queue.delete(hidden.url, [message.receipt for message in messages])
            for index, reason in answer.failed.items():
                note = f"Message {messages[index].id} is sent, but not deleted: {reason}"
            # A receipt that has expired deletes nothing, whatever the answer says.
            if claim and self.now() < hidden.until:
                claim.forget([messages[index].id for index in answer.done])
        except PortError as error:
            note = f"Message {messages[0].id} is sent, but still listed: {error}"
        return SendReport(note=note)

    def _not_sent(self, message: Message, result: SendResult, to: QueueFacts) -> SendReport:
        """The report of one message that its queue has not taken, or may have taken before."""
        note = f"Message {message.id}: {result.reason}."
        if result.outcome in {SendOutcome.DOUBTFUL, SendOutcome.UNKNOWN}:
            return replace(self._failed(note, to), failed_count=0, doubtful_count=1)
        return self._failed(note, to)

    def _failed(self, reason: str, to: QueueFacts | None = None) -> SendReport:
        """The report of one message that stays where it is; on FIFO queues it stops the job."""
        if not (to or self.to).fifo:
            return SendReport(failed_count=1, note=reason)
        return SendReport(failed_count=1, stopped=True, note=f"Stopped, to keep the FIFO order. {reason}")


def route_of(
    job: RedriveJob, message: Message, entry: QuarantineEntry | None, routes: Sequence[QueueRoute]
) -> QueueRoute | None:
    """The queue that a message goes to; None if nothing says where it came from, or it is none of the queues."""
    if job.target.is_named:
        return routes[0]
    return route_asked_for(entry.source if entry else None, message, routes)


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
