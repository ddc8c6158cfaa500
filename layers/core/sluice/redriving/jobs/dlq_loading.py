"""A redrive job's loads out of dead-letter queues themselves: received, sent, deleted there.

A large load goes in parts side by side, each with a claim of its own; on FIFO queues as one, to keep its order. What is
received is hidden until this process is surely gone. A message that the job itself has sent, received again, stops it.
Out of several dead-letter queues a job takes in turn, canaries of each.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobPhase, JobState, Message, RedriveJob
from sluice.ports.errors import PortError
from sluice.redriving.failure_groups import failure_group
from sluice.redriving.jobs.rules import joined, next_send_at, processed_count, with_return
from sluice.redriving.jobs.sending import BATCH_BYTES_MAX, HiddenBatch, JobMessage, JobSender, route_of
from sluice.redriving.message_copy import origin_of
from sluice.redriving.sender import attempts_so_far, resolve_doubts
from sluice.redriving.source_queues import by_dead_letter_queue

EMPTY_WAIT_S = 1.0  # a long poll asks every server of SQS: an empty answer means an empty queue
# What a job received and could not send reappears in the dead-letter queue this long after the invocation's end.
RECEIVED_MARGIN_S = 30.0
# Asked of a dead-letter queue in one go: four calls of ten, which the adapter makes together.
RECEIVED_AT_ONCE = 40
PART_BYTES = BATCH_BYTES_MAX // 4  # as many parts are moved at a time
# No part of a load is begun later than this: whoever pauses a job, or ends the invocation, waits for little more.
LOAD_S = 1.0


@dataclass(slots=True)
class _Load:
    """What the parts of one load out of a dead-letter queue have in common."""

    began_at: float
    visibility_s: float  # of what is received
    part_bytes: int  # of bodies in memory, for each part
    hidden: HiddenBatch
    halted: bool = False  # a part has seen a message come back: what is not yet being sent stays
    received: set[str] = field(default_factory=set)  # ids

    def not_elsewhere(self, messages: Sequence[Message]) -> list[Message]:
        """What a part has received, without what SQS gave to another as well: that will have forgotten its claim."""
        mine = [message for message in messages if message.id not in self.received]
        self.received |= {message.id for message in mine}  # of two that do this at one moment, the claims keep one
        return mine


@dataclass(frozen=True, slots=True)
class _Part:
    """How a job stands after one part of a load."""

    job: RedriveJob
    received_count: int
    error: PortError | None = None  # the part was left for it, whatever it had received


@dataclass(frozen=True, slots=True)
class _Place:
    """One dead-letter queue, and who sends what is in it."""

    url: str
    sender: JobSender

    def load(self, job: RedriveJob, count: int) -> tuple[RedriveJob, int]:
        """One load, in parts side by side; and how many messages were received.

        Raises:
            PortError: nothing was received, and that was not for want of messages.
        """
        queue = self.sender.ports.queue
        began_at = self.sender.now()
        shares = [count] if self.sender.to.fifo else queue.shares(count)  # parts would overtake one another
        visibility_s = max(0.0, self.sender.until - began_at) + RECEIVED_MARGIN_S
        load = _Load(
            began_at=began_at,
            visibility_s=visibility_s,
            part_bytes=BATCH_BYTES_MAX if len(shares) == 1 else PART_BYTES,
            hidden=HiddenBatch(self.url, began_at + visibility_s),
        )
        works = [partial(self._part, job, share, load, place) for place, share in enumerate(shares)]
        parts = queue.side_by_side(works)
        for batch_claim in load.hidden.free:
            with suppress(PortError):  # it says of messages that are gone that they were sent, until it is forgotten
                batch_claim.close()
        received_count = sum(part.received_count for part in parts)
        errors = [part.error for part in parts if part.error]
        if errors and not received_count:
            raise errors[0]
        after = joined(job, [part.job for part in parts])
        if errors and after.note == job.note:
            after = replace(after, note=f"A part of a load was left: {errors[0]}")
        return replace(
            after, next_at=next_send_at(job, processed_count(after) - processed_count(job), began_at)
        ), received_count

    def _part(self, job: RedriveJob, count: int, load: _Load, place: int) -> _Part:
        """A part of a load, claimed by a record of its own: receive, send, delete."""
        if load.halted or (place and self.sender.now() > load.began_at + LOAD_S):
            return _Part(job, 0)
        try:
            received = self._receive(count, load)
            job, items = self._items(job, load.not_elsewhere(received))
        except PortError as error:
            return _Part(job, 0, error)
        if job.state is not JobState.RUNNING:
            load.halted = True
        if load.halted:
            self._give_back(received)
            return _Part(job, len(received))
        return _Part(self.sender.send(job, items, load.hidden), len(received))

    def _receive(self, limit: int, load: _Load) -> list[Message]:
        """As many as are wanted, or are there, or fit into memory."""
        received: list[Message] = []
        size_bytes = 0
        while len(received) < limit and size_bytes < load.part_bytes:
            try:
                some = self.sender.ports.queue.receive(
                    self.url,
                    min(RECEIVED_AT_ONCE, limit - len(received)),
                    load.visibility_s,
                    0.0 if received else EMPTY_WAIT_S,
                )
            except PortError:
                if not received:
                    raise
                break
            received += some
            size_bytes += sum(message.size_bytes for message in some)
            if not some:
                break
        return received

    def _items(self, job: RedriveJob, received: Sequence[Message]) -> tuple[RedriveJob, list[JobMessage]]:
        """What was received as what is to be sent; one that this job itself sent stops it."""
        sender, fleet = self.sender, self.sender.fleet
        origins = [(message, origin_of(message)) for message in received]
        resolve_doubts(sender.ports, fleet.name, [origin.message_id for _, origin in origins if origin], sender.now())
        items: list[JobMessage] = []
        routes = sender.routes_of(job)
        for message, origin in origins:
            if origin and origin.failure_group and origin.job_id == job.id:
                job = with_return(job, origin.failure_group, f"Message {message.id} came back.", sender.now())
                self._give_back([message])
                continue
            route = route_of(job, message, None, routes)
            attempts = attempts_so_far(sender.ports, fleet.name, message, route.to if route else sender.to)
            items.append(JobMessage(message, failure_group(message).id, attempts))
        return job, items

    def _give_back(self, messages: Sequence[Message]) -> None:
        """Show messages again at once. One with which that fails does so by itself, later."""
        for message in messages:
            with suppress(PortError):
                self.sender.ports.queue.hide(self.url, message.receipt, 0.0)


@dataclass(frozen=True, slots=True)
class DeadLetterLoader:
    """Who takes loads out of a fleet's dead-letter queues, for one invocation."""

    sender: JobSender
    _emptied: set[str] = field(default_factory=set)  # dead-letter queues that gave nothing when last asked

    def load(self, job: RedriveJob, limit: int) -> tuple[RedriveJob, int]:
        """One load of at most `limit` messages, as canaries so many of each; and how many messages were received.

        A queue that cannot be read is left, and the others are not; but for canaries, which are sent of each.

        Raises:
            PortError: nothing was received, or not all canaries, and that was not for want of messages.
        """
        received_count = 0
        errors: list[PortError] = []
        note = job.note
        places = self.places()
        for url in sorted(places, key=lambda url: url in self._emptied):  # an empty one takes a second to say so
            wanted = limit if job.phase is JobPhase.CANARY else limit - received_count
            wanted = min(wanted, job.selected_count - processed_count(job))
            if wanted <= 0 or job.state is not JobState.RUNNING or (received_count and url in self._emptied):
                break
            try:
                job, count = places[url].load(job, wanted)
            except PortError as error:
                if job.phase is JobPhase.CANARY:
                    raise
                errors.append(error)
                continue
            (self._emptied.discard if count else self._emptied.add)(url)
            received_count += count
        if errors and not received_count:
            raise errors[0]
        if errors and job.note == note:
            job = replace(job, note=f"A dead-letter queue was left: {errors[0]}")
        return job, received_count

    def places(self) -> dict[str, _Place]:
        """The dead-letter queues by URL, each with who sends what is in it alone."""
        if not self.sender.routes:
            return {url: _Place(url, self.sender) for url in (self._dead_letters(),)}
        return {
            url: _Place(url, replace(self.sender, fleet=routes[0].fleet, routes=routes))
            for url, routes in by_dead_letter_queue(self.sender.routes).items()
        }

    def _dead_letters(self) -> str:
        assert self.sender.fleet.dead_letter_queue is not None, "preview refuses a fleet without one"
        return self.sender.fleet.dead_letter_queue
