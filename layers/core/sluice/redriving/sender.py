"""Sends a message again: claim, send, confirm; then the caller removes it from where it was.

Theory of operation
-------------------
SQS knows no transaction over two queues, so a message is in two places between its sending and its removal, and a
crash between them leaves it there. Sending it again then would put two copies under way. So each message id has a
mark in the ledger, which goes one way:

    (none) --claim--> claimed until T --send, confirm--> sent --> the caller removes it
                          |
                          +--surely not sent, release--> (none)

* A claim is a conditional write before the send: of two that want to send a message one is refused (BUSY).
* `sent` is remembered for as long as a copy can be in any queue. Who finds it removes it without sending (EARLIER).
* A claim that outlived T, when its claimant is surely gone, is in doubt: the crash, or the lost answer, was somewhere
  between claim and confirmation, and only the queue knows on which side of the send. The message stays where it is
  and is not sent (DOUBTFUL): it is never lost, and never doubled, at the price that an operator may have to say
  `again`. The doubt ends when the copy comes back, which proves that it was sent (`resolve_doubts`), or by itself when
  the mark is forgotten (`ports.SEND_CLAIM_KEPT_S`): no copy can be in a queue then.

The messages of a redrive job are claimed by one record instead, which goes the same way: a claim each would cost more
than sending them, and hardly anyone else is at them. What came out of a dead-letter queue is forgotten once it is
surely deleted there (`RoundsClaim`). What came out of quarantine gets its mark `sent` (`MarkedBatchClaim`), since its
dead letter may be delivered once more.

A batch's answer is read entry by entry. On FIFO queues the messages of a message group go in rounds, and once one of
them was not sent, those behind it are not either.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from enum import StrEnum
from typing import Protocol

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import BatchClaimRecord, Claim, Message, Remembered
from sluice.ports.errors import LostAnswerError, PortError
from sluice.ports.ledger import SenderLedger
from sluice.ports.ledger.send_claims import SendClaims
from sluice.ports.stack import Ports
from sluice.redriving.letter_history import LetterPast, not_sent_by_jobs, past_of
from sluice.redriving.message_copy import Destination, body_key, carried_count, has_room, send_rounds


class SendOutcome(StrEnum):
    """What came of one message that was to be sent again."""

    SENT = "sent"
    EARLIER = "earlier"  # it had been sent before: only its removal from where it was is due
    BUSY = "busy"  # another is at it now
    DOUBTFUL = "doubtful"  # another began to send it and is gone
    UNKNOWN = "unknown"  # the answer was lost: doubtful from now on
    REFUSED = "refused"  # the queue will never take it
    FAILED = "failed"  # surely not sent; it may go through later


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to be sent again."""

    message: Message  # the copy, with the id of the message it is a copy of
    delay_s: float = 0.0
    remember: Remembered | None = None  # what the ledger is to remember of it, before it is sent


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a message, and why."""

    outcome: SendOutcome
    reason: str = ""

    @property
    def is_in_queue(self) -> bool:
        """Whether the message is safely in the queue."""
        return self.outcome in {SendOutcome.SENT, SendOutcome.EARLIER}


_UNCLAIMED = {
    Claim.BUSY: SendResult(SendOutcome.BUSY, "another is sending it"),
    Claim.SENT: SendResult(SendOutcome.EARLIER),
    Claim.DOUBTFUL: SendResult(SendOutcome.DOUBTFUL, "it may have been sent before, and the answer was lost"),
}
_SENT = SendResult(SendOutcome.SENT)
_UNSENT = {SendOutcome.FAILED, SendOutcome.REFUSED}
_BEHIND = SendResult(SendOutcome.FAILED, "a message before it in its message group was not sent")


class Claims(Protocol):
    """How the sending of messages is claimed, and recorded once it is known what came of it."""

    def claim(self, message_ids: Sequence[str]) -> Mapping[str, Claim]:
        """Claim messages, each by itself."""

    def record_results(self, sent: Sequence[str], unsent: Sequence[str]) -> None:
        """What was sent, and what was surely not; of other claimed messages that is not known."""


@dataclass(frozen=True, slots=True)
class MessageClaims:
    """A mark for each message."""

    ports: Ports[SenderLedger]
    fleet: str
    until: float
    now: Callable[[], float]
    again: bool = False  # claim even what may have been sent before, as an operator asked

    def claim(self, message_ids: Sequence[str]) -> Mapping[str, Claim]:
        """Write the marks that can be."""
        return self.ports.ledger.send_claims.claim_sends(self.fleet, message_ids, self.until, self.now(), self.again)

    def record_results(self, sent: Sequence[str], unsent: Sequence[str]) -> None:
        """Set the marks of what was sent, take away those of what was not."""
        if sent:
            self.ports.ledger.send_claims.confirm_sends(self.fleet, sent, self.now())
        if unsent:
            self.ports.ledger.send_claims.release_sends(self.fleet, unsent)


@dataclass(slots=True)
class MarkedBatchClaim:
    """One record for all messages of a sending, under a unique name, until each that was sent has its mark."""

    ports: Ports[SenderLedger]
    fleet: str
    name: str
    until: float
    now: Callable[[], float]
    again: bool = False
    _record: BatchClaimRecord | None = None  # as it stands, if it does

    def claim(self, message_ids: Sequence[str]) -> Mapping[str, Claim]:
        """Write the record. Where others' claims cannot be read nothing is sent, and nothing is left in doubt by it."""
        record = BatchClaimRecord(self.fleet, self.name, self.now(), self.until, tuple(message_ids))
        self.ports.ledger.send_claims.record_batch_claim(record)
        try:
            claims = claims_by(record, self.ports.ledger.send_claims, self.again)
        except PortError:
            with suppress(PortError):
                self.ports.ledger.send_claims.record_batch_claim(replace(record, claimed=()))
            raise
        self._record = replace(record, claimed=_granted(claims))
        return claims

    def record_results(self, sent: Sequence[str], unsent: Sequence[str]) -> None:
        """Set the marks of what was sent; what is left in the record may have been sent."""
        if sent:
            self.ports.ledger.send_claims.confirm_sends(self.fleet, sent, self.now())
        if self._record is not None:
            known = {*sent, *unsent}
            claimed = tuple(message_id for message_id in self._record.claimed if message_id not in known)
            self._record = replace(self._record, claimed=claimed)
            self.ports.ledger.send_claims.record_batch_claim(self._record)


@dataclass(slots=True)
class RoundsClaim:
    """One record for messages that are sent in rounds: the write that claims a round records the results of the last.

    A message that was sent stays on it until it is surely deleted where it was. Where the results of a round leave
    something in doubt, its record stays, and the next round has another.

    Attributes:
        names: a unique name for each record.
    """

    ports: Ports[SenderLedger]
    fleet: str
    names: Iterator[str]
    until: float
    now: Callable[[], float]
    again: bool = False
    _record: BatchClaimRecord | None = None  # of the last claim, as it was written
    _claimed: dict[str, None] = field(default_factory=dict)  # on it, and may have been sent; in order
    _sent: dict[str, None] = field(default_factory=dict)  # on it, and not surely deleted
    _in_doubt: list[BatchClaimRecord] = field(default_factory=list)  # of earlier rounds

    def write(self, message_ids: Sequence[str]) -> None:
        """Write the record for the next round, with the results of the last one."""
        if self._record is not None and self._claimed:
            self.write_results()
            self._in_doubt.append(self._standing(self._record))
            self._record, self._claimed, self._sent = None, {}, {}
        name = self._record.name if self._record is not None else next(self.names)
        ids = tuple(message_ids)
        self._record = BatchClaimRecord(self.fleet, name, self.now(), self.until, ids, tuple(self._sent))
        self.ports.ledger.send_claims.record_batch_claim(self._record)

    def claims(self) -> Mapping[str, Claim]:
        """What is granted of the round whose record is written."""
        assert self._record is not None, "whoever asks has written the record"
        claims = claims_by(self._record, self.ports.ledger.send_claims, self.again)
        self._claimed = dict.fromkeys(_granted(claims))
        return claims

    def record_results(self, sent: Sequence[str], unsent: Sequence[str]) -> None:
        """Remember what was sent, and what was surely not, for the next write."""
        for message_id in (*sent, *unsent):
            self._claimed.pop(message_id, None)
        self._sent |= dict.fromkeys(sent)

    def write_results(self) -> None:
        """Write the results of the last round."""
        if self._record is not None:
            self.ports.ledger.send_claims.record_batch_claim(self._standing(self._record))

    def forget(self, message_ids: Iterable[str]) -> None:
        """Messages are surely deleted where they were, so that nobody can ask about them again."""
        gone = set(message_ids)
        self._sent = {message_id: None for message_id in self._sent if message_id not in gone}
        self._in_doubt = [
            replace(record, sent=tuple(message_id for message_id in record.sent if message_id not in gone))
            for record in self._in_doubt
        ]

    def close(self) -> None:
        """Leave on record what is in doubt, or not surely deleted, and nothing else."""
        for record in self._in_doubt:
            self.ports.ledger.send_claims.record_batch_claim(record)
        self.write_results()

    def _standing(self, record: BatchClaimRecord) -> BatchClaimRecord:
        return replace(record, claimed=tuple(self._claimed), sent=tuple(self._sent))


def claims_by(record: BatchClaimRecord, ledger: SendClaims, again: bool = False) -> Mapping[str, Claim]:
    """What a batch claim that is written grants: each of its messages, but those that others have claimed.

    Args:
        record: the batch claim.
        ledger: where it is written.
        again: grant even what may have been sent before, as an operator asked.
    """
    others = ledger.claims_of(record.fleet, record.claimed, record.claimed_at, record.name)
    claims: dict[str, Claim] = {}
    for message_id in record.claimed:
        other = others.get(message_id)
        claims[message_id] = Claim.GRANTED if other is None or (again and other is Claim.DOUBTFUL) else other
    return claims


def _granted(claims: Mapping[str, Claim]) -> tuple[str, ...]:
    return tuple(message_id for message_id, claim in claims.items() if claim is Claim.GRANTED)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends messages of one fleet again; `until` is when this process is surely gone."""

    ports: Ports[SenderLedger]
    fleet: str
    to: Destination
    until: float
    now: Callable[[], float]

    def send(
        self, to_send: Sequence[OutgoingMessage], *, again: bool = False, claims: Claims | None = None
    ) -> tuple[SendResult, ...]:
        """Claim, send and record; the result of each message. Never raises a PortError.

        Args:
            to_send: the messages, on FIFO queues in order.
            again: send even what may have been sent before, as an operator asked.
            claims: how they are claimed, where not by a mark each.
        """
        claims = claims or MessageClaims(self.ports, self.fleet, self.until, self.now, again)
        results: list[SendResult] = [_BEHIND] * len(to_send)
        blocked: set[str | None] = set()  # message groups, on FIFO queues
        for indexes in send_rounds([outgoing.message for outgoing in to_send], self.to):
            open_ = [i for i in indexes if to_send[i].message.message_group not in blocked]
            for i, result in zip(open_, self._send_round([to_send[i] for i in open_], claims), strict=True):
                results[i] = result
            if self.to.fifo:
                blocked |= {to_send[i].message.message_group for i in indexes if not results[i].is_in_queue}
        return tuple(results)

    def _send_round(self, to_send: Sequence[OutgoingMessage], claims: Claims) -> list[SendResult]:
        """Send messages that need no order among them. A message that is there twice is sent once."""
        if not to_send:
            return []
        first: dict[str, OutgoingMessage] = {}
        for outgoing in to_send:
            first.setdefault(outgoing.message.id, outgoing)
        try:
            claimed = claims.claim(list(first))
        except PortError as error:
            return [not_claimed(error)] * len(to_send)
        by_id = unclaimed(claimed)
        by_id |= self._send_recorded([outgoing for id_, outgoing in first.items() if id_ not in by_id], claims)
        results: list[SendResult] = []
        for outgoing in to_send:
            result = by_id[outgoing.message.id]
            repeated = result.outcome is SendOutcome.SENT and outgoing is not first[outgoing.message.id]
            results.append(SendResult(SendOutcome.EARLIER) if repeated else result)
        return results

    def _send_recorded(self, to_send: Sequence[OutgoingMessage], claims: Claims) -> dict[str, SendResult]:
        """Send what is claimed, and record what the queue answers."""
        by_id = self.send_claimed(to_send) if to_send else {}
        sent, unsent = known_results(by_id)
        try:
            claims.record_results(sent, unsent)
        except PortError as error:
            # What was sent is sent, though doubtful to whoever finds it here; what was not is in doubt for nothing,
            # which an operator can end.
            by_id |= {id_: SendResult(SendOutcome.SENT, f"sent, but not marked as sent: {error}") for id_ in sent}
            by_id |= {
                id_: replace(by_id[id_], reason=f"{by_id[id_].reason} (and its claim could not be released: {error})")
                for id_ in unsent
            }
        return by_id

    def send_claimed(self, to_send: Sequence[OutgoingMessage]) -> dict[str, SendResult]:
        """Send what is claimed, and read the answer entry by entry. Never raises a PortError."""
        ids = [outgoing.message.id for outgoing in to_send]
        try:
            if remembered := [outgoing.remember for outgoing in to_send if outgoing.remember]:
                # Before it is sent: a crash after this makes the count one too high, which errs towards quarantine.
                self.ports.ledger.attempts.remember(self.fleet, remembered)
            answer = self.ports.queue.send(
                self.to.url, [outgoing.message for outgoing in to_send], [outgoing.delay_s for outgoing in to_send]
            )
        except LostAnswerError as error:
            return dict.fromkeys(ids, SendResult(SendOutcome.UNKNOWN, f"whether it was sent is unknown: {error}"))
        except PortError as error:
            self._forget(to_send)
            return dict.fromkeys(ids, SendResult(SendOutcome.FAILED, str(error)))
        self._forget([to_send[i] for i in answer.failed])
        # An entry that the answer does not speak of stays claimed, and so in doubt.
        by_id = dict.fromkeys(ids, SendResult(SendOutcome.UNKNOWN, "the queue's answer does not speak of it"))
        for i, reason in answer.failed.items():
            by_id[ids[i]] = SendResult(SendOutcome.REFUSED if i in answer.refused else SendOutcome.FAILED, reason)
        return by_id | {ids[i]: _SENT for i in answer.done}

    def _forget(self, unsent: Sequence[OutgoingMessage]) -> None:
        if jobs := not_sent_by_jobs([one.remember for one in unsent]):
            with suppress(PortError):
                self.ports.ledger.attempts.remember(self.fleet, jobs)


def unclaimed(claims: Mapping[str, Claim]) -> dict[str, SendResult]:
    """What comes of messages whose claims were not granted."""
    return {message_id: _UNCLAIMED[claim] for message_id, claim in claims.items() if claim is not Claim.GRANTED}


def not_claimed(error: PortError) -> SendResult:
    """What comes of a message whose claim could not be written, or the others' not read."""
    return SendResult(SendOutcome.FAILED, f"its sending could not be claimed: {error}")


def known_results(by_id: Mapping[str, SendResult]) -> tuple[list[str], list[str]]:
    """The ids of what was sent, and of what was surely not; of all others that is not known."""
    sent = [message_id for message_id, result in by_id.items() if result.outcome is SendOutcome.SENT]
    unsent = [message_id for message_id, result in by_id.items() if result.outcome in _UNSENT]
    return sent, unsent


def past_of_redriven(
    ports: Ports[SenderLedger], fleet: str, message: Message, to: Destination, *, limit: int, now: float
) -> LetterPast:
    """What is known of a message that an operator sends: by what it carries, or where it has no room by the ledger.

    Args:
        ports: the ledger's.
        fleet: the fleet's name.
        message: the message.
        to: the queue that it goes back to.
        limit: what counts where the number that it carries cannot be read.
        now: epoch seconds.

    Raises:
        PortError: the ledger does not answer.
    """
    carried = carried_count(message, to)
    if carried.count is not None or has_room(message, to):
        return LetterPast(carried.count or (0 if carried.readable else limit), carried.readable)
    key = body_key(message, to)
    handled = ports.ledger.attempts.handled(fleet, [key], now)[key]
    return past_of(message, to, handled, window_s=0.0, limit=limit)


def resolve_doubts(ports: Ports[SenderLedger], fleet: str, message_ids: Sequence[str], now: float) -> None:
    """End doubts: copies of these messages were received, so they were sent. They are marked, and leave quarantine.

    Whoever can name a message's id is its producer or its consumer, and what can be claimed in its name is that this
    one message, already in doubt, was sent. Of a message that nobody began to send, or long ago, it proves nothing.

    Raises:
        PortError: the doubt goes on.
    """
    if not message_ids:
        return
    marks = ports.ledger.send_claims.claims_of(fleet, message_ids, now)
    unconfirmed = [message_id for message_id, claim in marks.items() if claim is not Claim.SENT]
    if not unconfirmed:
        return
    ports.ledger.send_claims.confirm_sends(fleet, unconfirmed, now)
    for message_id in unconfirmed:
        entry = ports.ledger.quarantine.quarantined_message(fleet, message_id)
        if entry:
            ports.ledger.quarantine.remove_entry(entry)
            ports.archive.remove(entry.key)
