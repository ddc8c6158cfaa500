"""A load of a redrive job out of a standard dead-letter queue, in rounds that overlap.

Theory of operation. A round has as many parts as calls may be under way, and so many messages as one record may claim.
While a round is sent the next is received. Once its claim is written, what was sent before is deleted, while the claims
of others are read:

    caller    |  claim 1  |          |  confirm 1, claim 2  |          |  confirm 2, claim 3 ...
    parts     |  receive 2  |  send 1  |  receive 3, delete 1  |  send 2  |  receive 4, delete 2 ...

So each message is claimed, sent, confirmed and deleted in that order, and no more than one round is in doubt at a time:
the write that claims a round confirms the one before (`RoundsClaim`). What is received is hidden until this process is
surely gone. A message that the job itself has sent, and receives again, stops the job: nothing more is claimed, and
what was received ahead is shown again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial

from sluice.model.frozen import dataclass
from sluice.model.redrive_jobs import RedriveJob
from sluice.model.redriving import Claim, Message
from sluice.ports.errors import PortError
from sluice.redriving.jobs.rules import SendReport
from sluice.redriving.jobs.sending import BATCH_BYTES_MAX, JobMessage, JobSender, PreparedMessage
from sluice.redriving.receiving import RECEIVED_BY_CALL, receive_many, show_again
from sluice.redriving.sender import SendResult, known_results, not_claimed, unclaimed
from sluice.redriving.sending_claims import RoundsClaim

EMPTY_WAIT_S = 1.0  # a long poll asks every server of SQS: an empty answer means an empty queue
# No round is begun later than this: whoever pauses a job, or ends the invocation, waits for the rounds under way, some
# second. At the end of a load nothing overlaps, and the job is written, so that short loads cost speed.
ROUNDS_BEGIN_WITHIN_S = 9.0
# Of bodies in memory, for each part: one round is sent while the next waits and the one after that is received.
PART_BYTES = BATCH_BYTES_MAX // 12

# What is to be sent of received messages, and the report of those that stay.
type Look = Callable[[Sequence[Message]], tuple[SendReport, list[JobMessage]]]


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part of a round has received, and what is to be sent of it."""

    received: Sequence[Message] = ()
    report: SendReport = field(default_factory=SendReport)
    to_send: list[PreparedMessage] = field(default_factory=list)
    error: PortError | None = None


@dataclass(slots=True)
class Rounds:
    """One load.

    Attributes:
        url: the dead-letter queue.
        hidden_s: for how long what is received is hidden, in seconds.
        look: what is to be sent.
    """

    sender: JobSender
    url: str
    job: RedriveJob
    hidden_s: float
    look: Look
    reports: list[SendReport] = field(default_factory=list)
    errors: list[PortError] = field(default_factory=list)  # of parts that received nothing, or could not judge it
    received_count: int = 0
    _began_at: float = field(init=False)
    _claim: RoundsClaim = field(init=False)
    _seen: set[str] = field(default_factory=set)  # ids
    _round: dict[str, PreparedMessage] = field(default_factory=dict)  # by id: what was claimed last
    _sending: list[Callable[[], dict[str, SendResult]]] = field(default_factory=list)
    _sent: list[Sequence[Message]] = field(default_factory=list)  # to be deleted once that is on record
    _deleting: list[Callable[[], tuple[SendReport, list[str]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sender = self.sender
        self._began_at = sender.now()
        again = self.job.selection.again
        self._claim = RoundsClaim(
            sender.ports, sender.fleet.name, sender.claim_names, sender.until, sender.now, again=again
        )

    def move(self, count: int) -> None:
        """Move at most `count` messages."""
        try:
            self._move(count)
        except Exception:  # none is foreseen: what is being sent is not to be in doubt for it
            self._end()
            raise
        self._end()

    def _move(self, count: int) -> None:
        first, *others = self.sender.ports.queue.rounds(count)
        coming = self._begin_to_receive(first)
        for following in (*others, ()):
            parts = [part() for part in coming]
            coming = self._begin_to_receive(following) if self._goes_on(parts) else []
            self._end_sending()
            if any(part.report.stopped for part in parts):
                self._put_back([*parts, *(part() for part in coming)])
                break
            self._send(parts)
            if not coming:
                break

    # ------------------------------------------------------------- receiving

    def _begin_to_receive(self, shares: Iterable[int]) -> list[Callable[[], _Part]]:
        return [self.sender.ports.queue.begin(partial(self._receive, share)) for share in shares]

    def _receive(self, count: int) -> _Part:
        """One part of a round."""
        queue = self.sender.ports.queue
        try:
            received = receive_many(
                queue,
                self.url,
                count,
                self.hidden_s,
                wait_s=EMPTY_WAIT_S,
                bytes_max=PART_BYTES,
                at_once=RECEIVED_BY_CALL,
            )
            report, messages = self.look(received)
            unfit, to_send = self.sender.prepare(self.job, messages)
        except PortError as error:
            return _Part(error=error)
        return _Part(received, report + unfit, to_send)

    def _goes_on(self, parts: Sequence[_Part]) -> bool:
        """Whether another round is received, after these parts of the last one."""
        if any(part.report.stopped for part in parts) or not any(part.received or part.error for part in parts):
            return False
        return self.sender.now() <= self._began_at + ROUNDS_BEGIN_WITHIN_S

    def _add(self, part: _Part) -> None:
        """Count what a part has received."""
        self.reports.append(part.report)
        self.received_count += len(part.received)
        if part.error is not None:
            self.errors.append(part.error)

    def _put_back(self, parts: Sequence[_Part]) -> None:
        """Show again what is not to be sent."""
        for part in parts:
            self._add(part)
        left = [message for part in parts for message in part.received if message.id not in self._seen]
        receipts = [message.receipt for message in left]
        show_again(self.sender.ports.queue, self.url, receipts)

    # ------------------------------------------------------------- sending

    def _send(self, parts: Sequence[_Part]) -> None:
        """Claim a round, which confirms what was sent before, and begin to send what is granted."""
        going: list[list[PreparedMessage]] = []
        for part in parts:
            self._add(part)
            # SQS may give a message to two parts: the other has sent it already, or is about to.
            new = {one.outgoing.message.id: one for one in part.to_send if one.outgoing.message.id not in self._seen}
            self._seen |= new.keys()
            going.append(list(new.values()))
        self._end_deleting()
        self._round = {one.outgoing.message.id: one for some in going for one in some}
        if not self._round:
            return
        try:
            self._claim.write(list(self._round))
            self._begin_to_delete()  # what that has confirmed, while the claims of others are read
            claims = self._claim.claims()
        except PortError as error:
            self._count(dict.fromkeys(self._round, not_claimed(error)))
            return
        self._count(unclaimed(claims))
        for some in going:
            granted = [one for one in some if claims[one.outgoing.message.id] is Claim.GRANTED]
            if granted:
                self._sending.append(self.sender.ports.queue.begin(partial(self.sender.send_claimed, granted)))

    def _end_sending(self) -> None:
        """Wait for what is being sent, and note what came of it."""
        for ended in self._sending:
            results = ended()
            self._claim.record_results(*known_results(results))
            self._count(results)
        self._sending = []

    def _count(self, results: Mapping[str, SendResult]) -> None:
        """Report what came of messages of the round."""
        sent = [self._round[id_].outgoing.message for id_, result in results.items() if result.is_in_queue]
        if sent:
            self._sent.append(sent)
        report = SendReport(sent_count=len(sent))
        for id_, result in results.items():
            if not result.is_in_queue:
                report += self.sender.not_sent(self._round[id_].outgoing.message, result, self._round[id_].to)
        self.reports.append(report)

    # ------------------------------------------------------------- deleting

    def _begin_to_delete(self) -> None:
        for some in self._sent:
            self._deleting.append(self.sender.ports.queue.begin(partial(self.sender.delete, some, self.url)))
        self._sent = []

    def _end_deleting(self) -> None:
        """Wait for what is being deleted, and forget the claims of what is surely gone."""
        for ended in self._deleting:
            report, gone = ended()
            self.reports.append(report)
            # A receipt that has expired deletes nothing, whatever the answer says.
            if self.sender.now() < self._began_at + self.hidden_s:
                self._claim.forget(gone)
        self._deleting = []

    def _end(self) -> None:
        """Confirm what was sent last, delete it, and leave on record what is in doubt and nothing else."""
        self._end_sending()
        self._end_deleting()
        if self._sent:
            with suppress(PortError):  # what was sent is deleted all the same
                self._claim.write_results()
            self._begin_to_delete()
            self._end_deleting()
        with suppress(PortError):  # it says of messages that are gone that they were sent, until it is forgotten
            self._claim.close()
