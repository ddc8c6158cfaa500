"""The SendClaims port in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger.send_claims import SEND_CLAIM_KEPT_S


@dataclass(frozen=True, slots=True)
class _Mark:
    """That a message is being sent, or was."""

    claimed_at: float
    until: float
    sent: bool = False


class MemorySendClaims:
    """The SendClaims port: marks by fleet and message id, batch claims by fleet and name."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], _Mark] = {}
        self._batch_claims: dict[tuple[str, str], BatchClaimRecord] = {}

    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim the sending of messages, each by itself."""
        claims = {message_id: self._claim(fleet, message_id, now, again=again) for message_id in message_ids}
        for message_id, claim in claims.items():
            if claim is Claim.GRANTED:
                self._marks[fleet, message_id] = _Mark(now, until)
        return claims

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """The claimed messages were sent."""
        for message_id in message_ids:
            mark = self._marks.get((fleet, message_id)) or _Mark(now, now)
            self._marks[fleet, message_id] = replace(mark, sent=True)

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """The claimed messages were surely not sent."""
        for message_id in message_ids:
            if (mark := self._marks.get((fleet, message_id))) and not mark.sent:
                del self._marks[fleet, message_id]

    def claims_of(self, fleet: str, message_ids: Sequence[str], now: float) -> dict[str, Claim]:
        """How the sending of messages stands."""
        found = {message_id: self._stands(fleet, message_id, now) for message_id in message_ids}
        return {message_id: claim for message_id, claim in found.items() if claim is not None}

    def claim_batch(self, batch: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of messages under one name."""
        claims = {
            message_id: self._claim(batch.fleet, message_id, batch.claimed_at, again=again, own=batch.name)
            for message_id in batch.claimed
        }
        self.record_batch_claim(batch)
        return claims

    def record_batch_claim(self, batch: BatchClaimRecord) -> None:
        """Write what a batch claim still claims and what it sent; one that names nothing is deleted."""
        if batch.claimed or batch.sent:
            self._batch_claims[batch.fleet, batch.name] = batch
        else:
            self._batch_claims.pop((batch.fleet, batch.name), None)

    def is_sent(self, fleet: str, message_id: str, now: float) -> bool:
        """Whether a message's own mark says that it was sent."""
        mark = self._mark(fleet, message_id, now)
        return mark is not None and mark.sent

    def _mark(self, fleet: str, message_id: str, now: float) -> _Mark | None:
        mark = self._marks.get((fleet, message_id))
        return mark if mark and mark.claimed_at + SEND_CLAIM_KEPT_S > now else None

    def _claim(self, fleet: str, message_id: str, now: float, *, again: bool, own: str = "") -> Claim:
        claim = self._stands(fleet, message_id, now, own)
        return Claim.GRANTED if claim is None or (again and claim is Claim.DOUBTFUL) else claim

    def _stands(self, fleet: str, message_id: str, now: float, own: str = "") -> Claim | None:
        """The strongest that a mark or a batch claim, other than `own`, says of a message."""
        found: set[Claim] = set()
        if mark := self._mark(fleet, message_id, now):
            found.add(Claim.SENT if mark.sent else Claim.BUSY if mark.until > now else Claim.DOUBTFUL)
        for (owner, name), there in self._batch_claims.items():
            if owner != fleet or name == own or there.claimed_at + SEND_CLAIM_KEPT_S <= now:
                continue
            if message_id in there.sent:
                found.add(Claim.SENT)
            elif message_id in there.claimed:
                found.add(Claim.BUSY if there.until > now else Claim.DOUBTFUL)
        return next((claim for claim in (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL) if claim in found), None)
