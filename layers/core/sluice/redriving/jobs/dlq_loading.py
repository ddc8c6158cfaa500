"""Sends messages of a redrive job out of dead-letter queues themselves: received, sent, deleted there.

A batch goes in rounds that overlap (`rounds`); on FIFO queues one step after another, to keep the order. What is
received is hidden until this process is surely gone. A message that the job itself has sent, and receives again, stops
the job. Out of several dead-letter queues the job takes in turn, canaries from each.
"""

from collections.abc import Sequence
from dataclasses import field
from functools import partial

from sluice.model.frozen import dataclass, replace
from sluice.model.redrive_jobs import JobPhase, RedriveJob
from sluice.model.redriving import Message
from sluice.ports.errors import PortError
from sluice.redriving.failure_groups import failure_group
from sluice.redriving.jobs.lifecycle import report_return
from sluice.redriving.jobs.rounds import EMPTY_WAIT_S, Rounds
from sluice.redriving.jobs.rules import SendReport, joined, return_note
from sluice.redriving.jobs.sending import BATCH_BYTES_MAX, JobMessage, JobSender, route_of
from sluice.redriving.message_copy import origin_of
from sluice.redriving.receiving import receive_many, show_again
from sluice.redriving.sender import past_of_redriven, resolve_doubts
from sluice.redriving.source_queues import by_dead_letter_queue

# What a job received and could not send reappears in the dead-letter queue this long after the invocation's end.
RECEIVED_MARGIN_S = 30.0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did: what came of the messages, and how many were received."""

    report: SendReport
    received_count: int


@dataclass(frozen=True, slots=True)
class _DeadLetterQueue:
    """One dead-letter queue, and the sender of what is in it."""

    url: str
    sender: JobSender

    def load(self, job: RedriveJob, count: int) -> LoadReport:
        """Send one batch of at most `count` messages.

        Raises:
            PortError: nothing was received, and that was not for want of messages.
        """
        began_at = self.sender.now()
        hidden_s = max(0.0, self.sender.until - began_at) + RECEIVED_MARGIN_S
        if self.sender.to.fifo:
            return self._in_order(job, count, hidden_s)
        rounds = Rounds(self.sender, self.url, job, hidden_s, partial(self._to_send, job))
        rounds.move(count)
        if rounds.errors and not rounds.received_count:
            raise rounds.errors[0]
        report = joined(rounds.reports)
        if rounds.errors and not report.note:
            report = replace(report, note=f"A part of the batch was not loaded: {rounds.errors[0]}")
        # For the pace, what goes side by side is one batch.
        return LoadReport(replace(report, batches=((began_at, report.processed_count),)), rounds.received_count)

    def _in_order(self, job: RedriveJob, count: int, hidden_s: float) -> LoadReport:
        """The same one after another, as FIFO queues need it: receive, send, delete."""
        received = receive_many(
            self.sender.ports.queue, self.url, count, hidden_s, wait_s=EMPTY_WAIT_S, bytes_max=BATCH_BYTES_MAX
        )
        returns, messages = self._to_send(job, received)
        if not returns.stopped:
            return LoadReport(self.sender.send(job, messages, self.url), len(received))
        self._show_again(received)
        return LoadReport(returns, len(received))

    def _to_send(self, job: RedriveJob, received: Sequence[Message]) -> tuple[SendReport, list[JobMessage]]:
        """The report of messages that the job had sent and that came back, which stop it; and what is to be sent."""
        sender, fleet = self.sender, self.sender.fleet
        routes = sender.routes_of(job)
        coming = [(message, route_of(job, message, None, routes)) for message in received]
        origins = [origin_of(message, route.to if route else sender.to) for message, route in coming]
        resolve_doubts(sender.ports, fleet.name, [origin.message_id for origin in origins if origin], sender.now())
        returns = SendReport()
        messages: list[JobMessage] = []
        for (message, route), origin in zip(coming, origins, strict=True):
            if origin and origin.failure_group and origin.job_id == job.id:
                note = return_note(f"Message {message.id} came back.")
                returns += SendReport(
                    returned_count=1, returned_groups=(origin.failure_group,), stopped=True, note=note
                )
                self._show_again([message])
                continue
            if origin:  # another job's, perhaps, which is judged by it
                report_return(sender.ports, fleet.name, origin, message.id, sender.now())
            to, limit = route.to if route else sender.to, fleet.redrive.max_retries
            past = past_of_redriven(sender.ports, fleet.name, message, to, limit=limit, now=sender.now())
            group_id = failure_group(message).id
            messages.append(JobMessage(message, route, group_id, past.attempts, answers=past.answers))
        return returns, messages

    def _show_again(self, messages: Sequence[Message]) -> None:
        show_again(self.sender.ports.queue, self.url, [message.receipt for message in messages])


@dataclass(frozen=True, slots=True)
class DeadLetterLoader:
    """Takes batches out of a fleet's dead-letter queues, for one invocation."""

    sender: JobSender
    _emptied: set[str] = field(default_factory=set)  # dead-letter queues that gave nothing when last asked

    def load(self, job: RedriveJob, limit: int) -> LoadReport:
        """Send one batch of at most `limit` messages; as canaries, so many of each dead-letter queue.

        A queue that cannot be read is left out, and the others are not; but canaries are sent of each queue or none.

        Raises:
            PortError: nothing was received, or not all canaries, and that was not for want of messages.
        """
        report, received_count = SendReport(), 0
        errors: list[PortError] = []
        queues = self.queues()
        canaries = job.progress.phase is JobPhase.CANARY
        left_count = job.progress.selected_count - job.progress.processed_count
        for url in sorted(queues, key=lambda url: url in self._emptied):  # an empty queue takes a second to say so
            wanted = min(limit if canaries else limit - received_count, left_count - report.processed_count)
            if wanted <= 0 or report.stopped or (received_count and url in self._emptied):
                break
            try:
                loaded = queues[url].load(job, wanted)
            except PortError as error:
                if canaries:
                    raise
                errors.append(error)
                continue
            (self._emptied.discard if loaded.received_count else self._emptied.add)(url)
            report += loaded.report
            received_count += loaded.received_count
        if errors and not received_count:
            raise errors[0]
        if errors and not report.note:
            report = replace(report, note=f"A dead-letter queue was left out: {errors[0]}")
        return LoadReport(report, received_count)

    def queues(self) -> dict[str, _DeadLetterQueue]:
        """The dead-letter queues by URL, each with the sender of what is in it alone."""
        if not self.sender.routes:
            return {url: _DeadLetterQueue(url, self.sender) for url in (self._only_url(),)}
        return {
            url: _DeadLetterQueue(url, replace(self.sender, fleet=routes[0].fleet, routes=routes))
            for url, routes in by_dead_letter_queue(self.sender.routes).items()
        }

    def _only_url(self) -> str:
        assert self.sender.fleet.dead_letter_queue is not None, "preview refuses a fleet without one"
        return self.sender.fleet.dead_letter_queue
