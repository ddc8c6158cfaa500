"""Sends messages of a redrive job out of dead-letter queues themselves: received, sent, deleted there.

A large batch goes in parts side by side, each with a claim of its own; on FIFO queues as one part, to keep the order.
What is received is hidden until this process is surely gone. A message that the job itself has sent, and receives
again, stops the job. Out of several dead-letter queues the job takes in turn, canaries from each.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobPhase, Message, RedriveJob
from sluice.ports.errors import PortError
from sluice.redriving.failure_groups import failure_group
from sluice.redriving.jobs.lifecycle import report_return
from sluice.redriving.jobs.rules import SendReport, joined, return_note
from sluice.redriving.jobs.sending import BATCH_BYTES_MAX, HiddenBatch, JobMessage, JobSender, route_of
from sluice.redriving.message_copy import origin_of
from sluice.redriving.receiving import receive_many, show_again
from sluice.redriving.sender import BatchClaim, past_of_redriven, resolve_doubts
from sluice.redriving.source_queues import by_dead_letter_queue

EMPTY_WAIT_S = 1.0  # a long poll asks every server of SQS: an empty answer means an empty queue
# What a job received and could not send reappears in the dead-letter queue this long after the invocation's end.
RECEIVED_MARGIN_S = 30.0
PART_BYTES = BATCH_BYTES_MAX // 4  # as many parts are moved at a time
# No part of a batch is begun later than this: whoever pauses a job, or ends the invocation, waits for little more. At
# the end of a batch all wait for the last part, and the job is written, so that short batches cost speed.
PARTS_BEGIN_WITHIN_S = 10.0


@dataclass(slots=True)
class _Batch:
    """What the parts of one batch out of a dead-letter queue have in common."""

    began_at: float
    visibility_s: float  # of what is received
    part_bytes: int  # of bodies in memory, for each part
    hidden: HiddenBatch
    halted: bool = False  # a part has seen a message come back: what is not yet being sent stays
    received: set[str] = field(default_factory=set)  # ids

    def new_only(self, messages: Sequence[Message]) -> list[Message]:
        """What a part has received, without what SQS gave to another part as well, which may have sent it already."""
        new = [message for message in messages if message.id not in self.received]
        self.received |= {message.id for message in new}  # of two that do this at one moment, the claims admit one
        return new


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one load did: what came of the messages, and how many were received."""

    report: SendReport
    received_count: int
    error: PortError | None = None  # what ended a part early, whatever it had received


@dataclass(frozen=True, slots=True)
class _DeadLetterQueue:
    """One dead-letter queue, and the sender of what is in it."""

    url: str
    sender: JobSender

    def load(self, job: RedriveJob, count: int) -> LoadReport:
        """Send one batch of at most `count` messages, in parts side by side.

        Raises:
            PortError: nothing was received, and that was not for want of messages.
        """
        queue = self.sender.ports.queue
        began_at = self.sender.now()
        shares = [count] if self.sender.to.fifo else queue.shares(count)  # on FIFO queues parts would overtake
        visibility_s = max(0.0, self.sender.until - began_at) + RECEIVED_MARGIN_S
        batch = _Batch(
            began_at=began_at,
            visibility_s=visibility_s,
            part_bytes=BATCH_BYTES_MAX if len(shares) == 1 else PART_BYTES,
            hidden=HiddenBatch(self.url, began_at + visibility_s),
        )
        works = [partial(self._part, job, share, batch, number) for number, share in enumerate(shares)]
        parts = queue.side_by_side(works)
        if claims := batch.hidden.free_claims:
            queue.side_by_side([partial(_close, claim) for claim in claims])
        received_count = sum(part.received_count for part in parts)
        errors = [part.error for part in parts if part.error]
        if errors and not received_count:
            raise errors[0]
        report = joined(part.report for part in parts)
        if errors and not report.note:
            report = replace(report, note=f"A part of the batch was not loaded: {errors[0]}")
        # For the pace, parts side by side are one batch.
        return LoadReport(replace(report, batches=((began_at, report.processed_count),)), received_count)

    def _part(self, job: RedriveJob, count: int, batch: _Batch, number: int) -> LoadReport:
        """One part of a batch, under a claim of its own: receive, send, delete."""
        if batch.halted or (number and self.sender.now() > batch.began_at + PARTS_BEGIN_WITHIN_S):
            return LoadReport(SendReport(), 0)
        try:
            received = receive_many(
                self.sender.ports.queue,
                self.url,
                count,
                batch.visibility_s,
                wait_s=EMPTY_WAIT_S,
                bytes_max=batch.part_bytes,
            )
            returns, messages = self._to_send(job, batch.new_only(received))
        except PortError as error:
            return LoadReport(SendReport(), 0, error)
        if returns.stopped:
            batch.halted = True
        if batch.halted:
            self._show_again(received)
            return LoadReport(returns, len(received))
        return LoadReport(self.sender.send(job, messages, batch.hidden), len(received))

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


def _close(claim: BatchClaim) -> None:
    with suppress(PortError):  # it says of messages that are gone that they were sent, until it is forgotten
        claim.close()


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
