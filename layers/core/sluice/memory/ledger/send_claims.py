"""The SendClaims port in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.model.frozen import replace
from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger.send_claims import SEND_CLAIM_KEPT_S


@dataclass(frozen=True, slots=True)
class _SingleClaim:
    """A message is being sent, or was. Times are epoch seconds."""

    claimed_at: float
    until: float
    sent: bool = False


class MemorySendClaims:
    """The SendClaims port: claims by fleet and message id, batch claims by fleet and name."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], _SingleClaim] = {}
        self._batches: dict[tuple[str, str], BatchClaimRecord] = {}

    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim messages, each by a record of its own."""
        claims = {message_id: self._claim(fleet, message_id, now, again=again) for message_id in message_ids}
        for message_id, claim in claims.items():
            if claim is Claim.GRANTED:
                self._claims[fleet, message_id] = _SingleClaim(now, until)
        return claims

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """Record that messages were sent."""
        for message_id in message_ids:
            single = self._claims.get((fleet, message_id)) or _SingleClaim(now, now)
            self._claims[fleet, message_id] = replace(single, sent=True)

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """Remove the claims of messages that were not sent."""
        for message_id in message_ids:
            if (single := self._claims.get((fleet, message_id))) and not single.sent:
                del self._claims[fleet, message_id]

    def claims_of(self, fleet: str, message_ids: Sequence[str], now: float, besides: str = "") -> dict[str, Claim]:
        """How messages stand by every claim but one."""
        found = {message_id: self._stands(fleet, message_id, now, besides) for message_id in message_ids}
        return {message_id: claim for message_id, claim in found.items() if claim is not None}

    def record_batch_claim(self, batch: BatchClaimRecord) -> None:
        """Write a batch claim, or remove it."""
        if batch.claimed or batch.sent:
            self._batches[batch.fleet, batch.name] = batch
        else:
            self._batches.pop((batch.fleet, batch.name), None)

    def is_sent(self, fleet: str, message_id: str, now: float) -> bool:
        """Whether a message was sent, by its own claim."""
        single = self._single(fleet, message_id, now)
        return single is not None and single.sent

    def _single(self, fleet: str, message_id: str, now: float) -> _SingleClaim | None:
        single = self._claims.get((fleet, message_id))
        return single if single and single.claimed_at + SEND_CLAIM_KEPT_S > now else None

    def _claim(self, fleet: str, message_id: str, now: float, *, again: bool) -> Claim:
        claim = self._stands(fleet, message_id, now)
        return Claim.GRANTED if claim is None or (again and claim is Claim.DOUBTFUL) else claim

    def _stands(self, fleet: str, message_id: str, now: float, own: str = "") -> Claim | None:
        """How a message stands by every claim but the batch claim `own`: SENT before BUSY before DOUBTFUL."""
        found: set[Claim] = set()
        if single := self._single(fleet, message_id, now):
            found.add(Claim.SENT if single.sent else Claim.BUSY if single.until > now else Claim.DOUBTFUL)
        for (owner, name), there in self._batches.items():
            if owner != fleet or name == own or there.claimed_at + SEND_CLAIM_KEPT_S <= now:
                continue
            if message_id in there.sent:
                found.add(Claim.SENT)
            elif message_id in there.claimed:
                found.add(Claim.BUSY if there.until > now else Claim.DOUBTFUL)
        return next((claim for claim in (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL) if claim in found), None)
