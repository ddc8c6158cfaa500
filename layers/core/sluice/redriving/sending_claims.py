"""How the sending of messages is claimed in the ledger, and what is recorded once it is known what came of it.

What a claim is for, and which way it goes, is in `sender`. A dead letter that comes by itself has a mark of its own.
The messages of a redrive job have one record for many.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Protocol

from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.errors import PortError
from sluice.ports.ledger import SenderLedger
from sluice.ports.ledger.send_claims import SendClaims
from sluice.ports.stack import Ports


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
        record = BatchClaimRecord(self.fleet, self.name, self.now(), self.until, tuple(message_ids), gets_marks=True)
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
