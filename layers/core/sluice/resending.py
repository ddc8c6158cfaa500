"""The one way a message is sent again: claim, send, confirm; then its caller lets go of it where it was.

Theory of operation
-------------------
SQS knows no transaction over two queues, so a message is in two places between its sending and its letting go, and a
crash between them leaves it there. Sending it again then would put two copies under way. So each message id has a
mark in the ledger, which goes one way:

    (none) --claim--> claimed until T --send, confirm--> sent --> the caller lets go
                          |
                          +--surely not sent, release--> (none)

* A claim is a conditional write before the send: of two that want to send a message one is refused (BUSY).
* `sent` is remembered for as long as a copy can be in any queue. Who finds it lets go without sending (EARLIER).
* A claim that outlived T, when its claimant is surely gone, is in doubt: the crash, or the lost answer, was somewhere
  between claim and confirmation, and only the queue knows on which side of the send. The message stays where it is
  and is not sent (DOUBTFUL): it is never lost, and never doubled, at the price that a person may have to say
  `again`. The doubt ends when the copy comes back, which proves that it was sent (`end_doubt`), or by itself when the
  mark is forgotten (`ports.RETRY_MARK_S`): no copy can be in a queue then.

A batch's answer is read entry by entry. On FIFO queues the messages of a message group go in rounds, and once one of
them was not sent, those behind it are not either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sluice.model import Claim, Message
from sluice.ports import LostAnswerError, PortError, Ports
from sluice.redrive import Destination, attempts_of, copy_of, memory_key, rounds


class Fate(StrEnum):
    """What came of one message that was to be sent again."""

    SENT = "sent"
    EARLIER = "earlier"  # it had been sent before: only the letting go is owed
    BUSY = "busy"  # another is at it now
    DOUBTFUL = "doubtful"  # another began to send it and is gone
    UNKNOWN = "unknown"  # the answer was lost: doubtful from now on
    REFUSED = "refused"  # the queue will never take it
    FAILED = "failed"  # surely not sent; it may go through later


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message to be sent again."""

    message: Message  # the copy, with the id of the message it is a copy of
    delay_s: float = 0.0
    remember: tuple[str, int] | None = None  # (memory key, redrives) where the copy cannot carry them


@dataclass(frozen=True, slots=True)
class Sending:
    """What came of a parcel, and why."""

    fate: Fate
    reason: str = ""

    @property
    def may_let_go(self) -> bool:
        """Whether the message is safely in the queue."""
        return self.fate in {Fate.SENT, Fate.EARLIER}


_UNCLAIMED = {
    Claim.BUSY: Sending(Fate.BUSY, "another is sending it"),
    Claim.SENT: Sending(Fate.EARLIER),
    Claim.DOUBTFUL: Sending(Fate.DOUBTFUL, "it may have been sent before, and the answer was lost"),
}
_BEHIND = Sending(Fate.FAILED, "a message before it in its message group was not sent")


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends messages of one fleet again; `until` is when this process is surely gone."""

    ports: Ports
    fleet: str
    to: Destination
    until: float
    now: Callable[[], float]

    def send(self, parcels: Sequence[Parcel], *, again: bool = False) -> tuple[Sending, ...]:
        """Claim, send and confirm; what came of each parcel. Never raises a PortError.

        Args:
            parcels: the messages, on FIFO queues in order.
            again: send even what may have been sent before: a person's word.
        """
        sendings: list[Sending] = [_BEHIND] * len(parcels)
        blocked: set[str | None] = set()  # message groups, on FIFO queues
        for indexes in rounds([parcel.message for parcel in parcels], self.to):
            open_ = [i for i in indexes if parcels[i].message.message_group not in blocked]
            for i, sending in zip(open_, self._send_round([parcels[i] for i in open_], again), strict=True):
                sendings[i] = sending
            if self.to.fifo:
                blocked |= {parcels[i].message.message_group for i in indexes if not sendings[i].may_let_go}
        return tuple(sendings)

    def _send_round(self, parcels: Sequence[Parcel], again: bool) -> list[Sending]:
        """Send parcels that need no order among them. A message that is there twice is sent once."""
        first: dict[str, Parcel] = {}
        for parcel in parcels:
            first.setdefault(parcel.message.id, parcel)
        try:
            claims = self.ports.ledger.claim_retries(self.fleet, list(first), self.until, self.now(), again)
        except PortError as error:
            return [Sending(Fate.FAILED, f"its sending could not be claimed: {error}")] * len(parcels)
        fates = {id_: _UNCLAIMED[claim] for id_, claim in claims.items() if claim is not Claim.GRANTED}
        fates |= self._send_claimed([parcel for id_, parcel in first.items() if id_ not in fates])
        sendings: list[Sending] = []
        for parcel in parcels:
            sending = fates[parcel.message.id]
            repeated = sending.fate is Fate.SENT and parcel is not first[parcel.message.id]
            sendings.append(Sending(Fate.EARLIER) if repeated else sending)
        return sendings

    def _send_claimed(self, parcels: Sequence[Parcel]) -> dict[str, Sending]:
        """Send what is claimed, and settle each claim by what the queue answers."""
        if not parcels:
            return {}
        ids = [parcel.message.id for parcel in parcels]
        try:
            for parcel in parcels:
                if parcel.remember:
                    # Before it is sent: a crash after this makes the count one too high, which errs towards quarantine.
                    self.ports.ledger.keep_attempts(self.fleet, *parcel.remember, self.now())
        except PortError as error:
            return dict.fromkeys(ids, Sending(Fate.FAILED, str(error) + self._release(ids)))
        try:
            answer = self.ports.queue.send(
                self.to.url, [parcel.message for parcel in parcels], [parcel.delay_s for parcel in parcels]
            )
        except LostAnswerError as error:
            return dict.fromkeys(ids, Sending(Fate.UNKNOWN, f"whether it was sent is unknown: {error}"))
        except PortError as error:
            return dict.fromkeys(ids, Sending(Fate.FAILED, str(error) + self._release(ids)))
        # An entry that the answer does not speak of stays claimed, and so in doubt.
        fates = dict.fromkeys(ids, Sending(Fate.UNKNOWN, "the queue's answer does not speak of it"))
        unsent = self._release([ids[i] for i in answer.failed])
        for i, reason in answer.failed.items():
            fates[ids[i]] = Sending(Fate.REFUSED if i in answer.refused else Fate.FAILED, reason + unsent)
        unconfirmed = self._confirm([ids[i] for i in answer.done])
        fates |= {ids[i]: Sending(Fate.SENT, unconfirmed) for i in answer.done}
        return fates

    def _confirm(self, ids: Sequence[str]) -> str:
        """Mark what was sent. Where that fails it is sent all the same, and doubtful to whoever finds it here."""
        try:
            if ids:
                self.ports.ledger.confirm_retries(self.fleet, ids, self.now())
        except PortError as error:
            return f"sent, but not marked as sent: {error}"
        return ""

    def _release(self, ids: Sequence[str]) -> str:
        """Give claims back. Where that fails the messages are in doubt, which a person can end."""
        try:
            if ids:
                self.ports.ledger.release_retries(self.fleet, ids)
        except PortError as error:
            return f" (and its claim could not be released: {error})"
        return ""


def redrives_of(ports: Ports, fleet: str, message: Message, to: Destination) -> int:
    """How often a message was sent back: as it carries it, else as the ledger remembers it where it has no room.

    Raises:
        PortError: the ledger does not answer.
    """
    carried = attempts_of(message)
    if carried is not None:
        return carried
    copy = copy_of(message, 1, to)
    has_room = copy is None or copy.carries_attempts
    return 0 if has_room else ports.ledger.attempts(fleet, memory_key(message))


def end_doubt(ports: Ports, fleet: str, message_id: str, until: float, now: float) -> None:
    """A copy of a message is in our hands, so that the message was sent: mark it, and let go of it in quarantine.

    Whoever can name a message's id is its producer or its consumer, and what can be claimed in its name is that this
    one message, already in doubt, was sent.

    Raises:
        PortError: the doubt goes on.
    """
    claim = ports.ledger.claim_retries(fleet, [message_id], until, now)[message_id]
    if claim is Claim.GRANTED:  # nobody began to send it, or that is long ago: the stamp proves nothing
        ports.ledger.release_retries(fleet, [message_id])
    elif claim is not Claim.SENT:
        ports.ledger.confirm_retries(fleet, [message_id], now)
        entry = ports.ledger.quarantined_message(fleet, message_id)
        if entry:
            ports.ledger.let_go(entry)
            ports.archive.remove(entry.key)
