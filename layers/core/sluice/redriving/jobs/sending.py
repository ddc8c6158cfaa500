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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redrive_jobs import JobPhase, RedriveJob
from sluice.model.redriving import HandledLetter, Message, QuarantineEntry, Remembered
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import describe_source, source_of
from sluice.redriving.jobs.rules import FifoOrderGuard, SendReport, selects
from sluice.redriving.letter_history import job_letter_id, remembered
from sluice.redriving.message_copy import Copy, copy_of
from sluice.redriving.sender import OutgoingMessage, Sender, SendOutcome, SendResult
from sluice.redriving.sending_claims import MarkedBatchClaim
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


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """One message as it is sent, and the queue that it goes to."""

    to: QueueFacts
    outgoing: OutgoingMessage


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

    @property
    def claim_names(self) -> Iterator[str]:
        """Names of claims, no two of them alike."""
        # An invocation that is repeated has the same name, but neither the same moment nor the same claims.
        return (f"{self.name}-{round(self.now() * 1_000)}-{number}" for number in self._numbers)

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

    def send(self, job: RedriveJob, messages: Sequence[JobMessage], dead_letters: str | None = None) -> SendReport:
        """Send messages, each to its queue, and remove those that are sent from where they were.

        Args:
            job: the job.
            messages: what to send. One record claims them, on FIFO queues a claim for each.
            dead_letters: the URL of the dead-letter queue that they were received from, if they were.
        """
        report = SendReport()
        for route, some in self._by_route(messages):
            if report.stopped:
                break
            report += self._without_route(job, some) if route is None else self._send_to(route, job, some, dead_letters)
        return report

    def prepare(self, job: RedriveJob, messages: Sequence[JobMessage]) -> tuple[SendReport, list[PreparedMessage]]:
        """The copies of messages, by queue; and the report of those that no queue takes, which stay where they are."""
        report = SendReport()
        prepared: list[PreparedMessage] = []
        for route, some in self._by_route(messages):
            if route is None:
                report += self._without_route(job, some)
                continue
            unfit, _, to_send = self._copies(route, job, some)
            report += unfit
            prepared += [PreparedMessage(route.to, outgoing) for outgoing in to_send]
        return report, prepared

    def send_claimed(self, prepared: Iterable[PreparedMessage]) -> dict[str, SendResult]:
        """Send what is claimed, each to its queue: the results by id."""
        results: dict[str, SendResult] = {}
        for _, together in itertools.groupby(prepared, key=lambda one: one.to.url):
            some = list(together)
            sender = Sender(self.ports, self.fleet.name, some[0].to, self.until, self.now)
            results |= sender.send_claimed([one.outgoing for one in some])
        return results

    def _by_route(self, messages: Sequence[JobMessage]) -> Iterator[tuple[QueueRoute | None, list[JobMessage]]]:
        """Messages that go to one queue together."""

        def url_of(message: JobMessage) -> str:
            return message.route.to.url if message.route else ""

        # On standard queues no order is to be kept, so that each queue gets all of its messages at once.
        going = messages if self.to.fifo else sorted(messages, key=url_of)
        for _, together in itertools.groupby(going, key=url_of):
            some = list(together)
            yield some[0].route, some

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

    def _copies(
        self, route: QueueRoute, job: RedriveJob, messages: Sequence[JobMessage]
    ) -> tuple[SendReport, list[JobMessage], list[OutgoingMessage]]:
        """The report of messages that are too large; and all others, each with its copy for one queue."""
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
            to_send.append(OutgoingMessage(copy.message, remember=self._remembered(route, job, message, copy)))
            sendable.append(message)
        return report, sendable, to_send

    def _remembered(self, route: QueueRoute, job: RedriveJob, message: JobMessage, copy: Copy) -> Remembered | None:
        """What the ledger is to remember of a message that is sent, if anything.

        That is not each, since an operator bounds what a job sends: those whose copies have no room for their counts,
        and canaries, so that what a consumer copies of them without their stamps stops the job as well.
        """
        if copy.carries_attempts and job.progress.phase is not JobPhase.CANARY and not job.selection.message_id:
            return None
        now = self.now()
        # Beside the record of an earlier copy, which may come back as well.
        letter = replace(message.message, id=job_letter_id(message.message.id, job.id))
        noted = remembered(
            letter,
            route.to,
            message.attempt + 1,
            now,
            due_at=now,
            stamped=copy.carries_attempts,
            answers=message.answers,
        )
        assert noted.letter is not None
        return replace(noted, letter=replace(noted.letter, job_id=job.id, failure_group=message.failure_group))

    def _send_to(
        self, route: QueueRoute, job: RedriveJob, messages: Sequence[JobMessage], dead_letters: str | None
    ) -> SendReport:
        """Send messages to one queue, and remove those that are sent from where they were."""
        began_at = self.now()
        report, sendable, to_send = self._copies(route, job, messages)
        if not to_send:
            return report
        again, name = job.selection.again, self.fleet.name
        claim = None
        if not route.to.fifo:
            claim = MarkedBatchClaim(self.ports, name, next(self.claim_names), self.until, self.now, again)
        results = Sender(self.ports, name, route.to, self.until, self.now).send(to_send, again=again, claims=claim)
        sent = [message for message, result in zip(sendable, results, strict=True) if result.is_in_queue]
        report += SendReport(sent_count=len(sent), batches=((began_at, len(to_send)),))
        for message, result in zip(sendable, results, strict=True):
            if not result.is_in_queue:
                report += self.not_sent(message.message, result, route.to)
        if dead_letters is None:
            self._note_redriven(job, sent)
            return report + self._remove([message.entry for message in sent if message.entry])
        return report + self.delete([message.message for message in sent], dead_letters)[0]

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

    def delete(self, messages: Sequence[Message], dead_letters: str) -> tuple[SendReport, list[str]]:
        """Delete what was sent from the dead-letter queue; the ids of what its answer calls deleted."""
        if not messages:
            return SendReport(), []
        try:
            answer = self.ports.queue.delete(dead_letters, [message.receipt for message in messages])
        except PortError as error:
            return SendReport(note=f"Message {messages[0].id} is sent, but still listed: {error}"), []
        note = ""
        for index, reason in answer.failed.items():
            note = f"Message {messages[index].id} is sent, but not deleted: {reason}"
        return SendReport(note=note), [messages[index].id for index in answer.done]

    def not_sent(self, message: Message, result: SendResult, to: QueueFacts) -> SendReport:
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
