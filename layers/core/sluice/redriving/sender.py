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
surely deleted there (`sending_claims.RoundsClaim`). What came out of quarantine gets its mark `sent`
(`sending_claims.MarkedBatchClaim`), since its dead letter may be delivered once more.

A batch's answer is read entry by entry. On FIFO queues the messages of a message group go in rounds, and once one of
them was not sent, those behind it are not either.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Claim, Message, Remembered
from sluice.ports.errors import LostAnswerError, PortError
from sluice.ports.ledger import SenderLedger
from sluice.ports.stack import Ports
from sluice.redriving.letter_history import LetterPast, not_sent_by_jobs, past_of
from sluice.redriving.message_copy import Destination, body_key, carried_count, has_room, send_rounds
from sluice.redriving.sending_claims import Claims, MessageClaims


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
