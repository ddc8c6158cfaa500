"""The SendClaims port on DynamoDB."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from sluice.aws.ledger.keys import PAST_ALL, key, mark_sk, partition, ttl
from sluice.aws.ledger.records import CLAIMED_BATCH, SEND_CLAIM, ClaimedBatch, attributes, existing
from sluice.aws.table import Item, Table, Value, number, text, typed_all
from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger.send_claims import BATCH_CLAIM_MAX, SEND_CLAIM_KEPT_S

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Above it, the marks of just the messages in question are cheaper to read: a mark is about 150 bytes.
MARKS_LOOKED_AT = 400


class DynamoSendClaims:
    """The SendClaims port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim the sending of messages, each by itself."""
        claimant = uuid4().hex  # so that a claim whose answer was lost is known as ours when botocore repeats it
        wanted = list(dict.fromkeys(message_ids))
        failed = self._table.transact_each(
            [self._claiming(fleet, message_id, claimant, until, now, again=again) for message_id in wanted]
        )
        claims = dict.fromkeys(wanted, Claim.GRANTED)
        taken = [wanted[index] for index in sorted(failed)]
        for message_id, mark in zip(taken, self._get_marks(fleet, taken), strict=True):
            # A mark that was taken away meanwhile reads as busy: its holder has only just been at it.
            claims[message_id] = (_mark_of(mark, now) if mark else None) or Claim.BUSY
        granted = [message_id for message_id in wanted if claims[message_id] is Claim.GRANTED]
        if granted:
            # Read after our marks are written: whoever claims a batch with one of these now sees the marks, or is seen.
            in_batches = _strongest(_claims_in_batches(self._batch_claims(fleet), set(granted), now))
            against = {m: claim for m, claim in in_batches.items() if not (again and claim is Claim.DOUBTFUL)}
            self.release_sends(fleet, list(against))
            claims |= against
        return claims

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """The claimed messages were sent."""
        self._table.transact_each(
            [
                self._table.updating(
                    key(fleet, mark_sk(message_id)),
                    "SET #record_version = :form, #sent_at = :now,"
                    " #claimed_at = if_not_exists(#claimed_at, :now), #ttl = if_not_exists(#ttl, :ttl)",
                    {":form": SEND_CLAIM.version, ":now": now, ":ttl": ttl(now + SEND_CLAIM_KEPT_S)},
                )
                for message_id in dict.fromkeys(message_ids)
            ]
        )

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """The claimed messages were surely not sent."""
        self._table.transact_each(
            [
                self._table.deleting(key(fleet, mark_sk(message_id)), "attribute_not_exists(#sent_at)")
                for message_id in dict.fromkeys(message_ids)
            ]
        )

    def claims_of(self, fleet: str, message_ids: Sequence[str], now: float) -> dict[str, Claim]:
        """How the sending of messages stands."""
        return self._marks(fleet, message_ids, now)

    def claim_batch(self, batch: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of messages under one name: write the record, then see who else claims any of them."""
        assert len(batch.claimed) <= BATCH_CLAIM_MAX
        self.record_batch_claim(batch)
        now = batch.claimed_at
        marks = self._marks(batch.fleet, batch.claimed, now, besides=batch.name)
        claims: dict[str, Claim] = {}
        for message_id in batch.claimed:
            claim = marks.get(message_id)
            free = claim is None or (again and claim is Claim.DOUBTFUL)
            claims[message_id] = Claim.GRANTED if free or claim is None else claim
        return claims

    def record_batch_claim(self, batch: BatchClaimRecord) -> None:
        """Write what a batch claim still claims and what it sent; one that names nothing is deleted."""
        record = key(batch.fleet, f"retries#{batch.name}")
        if not batch.claimed and not batch.sent:
            self._table.delete(record)
            return
        figures: dict[str, Value] = {
            "data": CLAIMED_BATCH.to_text(ClaimedBatch(batch.claimed, batch.sent)),
            "claimed_at": batch.claimed_at,
            "until_at": batch.until,
            "ttl": ttl(batch.claimed_at + SEND_CLAIM_KEPT_S),
        }
        self._table.put(record | typed_all(figures))

    def _claiming(
        self, fleet: str, message_id: str, claimant: str, until: float, now: float, *, again: bool
    ) -> "TransactWriteItemTypeDef":
        """The claim of one message, as part of a transaction."""
        mark = key(fleet, mark_sk(message_id))
        free = "attribute_not_exists(#pk) OR #ttl <= :now OR #claimant = :claimant"
        if again:
            free += " OR (attribute_not_exists(#sent_at) AND #until_at <= :now)"
        marks: dict[str, Value] = {
            "claimant": claimant,
            "claimed_at": now,
            "until_at": until,
            "ttl": ttl(now + SEND_CLAIM_KEPT_S),
            **SEND_CLAIM.written,
        }
        return self._table.putting(mark | typed_all(marks), free, {":now": now, ":claimant": claimant})

    def _batch_claims(self, fleet: str) -> Iterator[Item]:
        return self._table.query(partition(fleet), "retries#", f"retries#{PAST_ALL}")

    def _get_marks(self, fleet: str, message_ids: Sequence[str]) -> list[Item | None]:
        return self._table.get_all([key(fleet, mark_sk(message_id)) for message_id in message_ids])

    def _marks(self, fleet: str, message_ids: Sequence[str], now: float, besides: str = "") -> dict[str, Claim]:
        """The strongest claim on each message by marks and by batch claims, except for one batch.

        One query tells of all where there are few marks, as where messages are redriven from their dead-letter queue;
        where there are many, each message's own is asked for.
        """
        wanted = list(dict.fromkeys(message_ids))
        own = f"retries#{besides}"
        batches: list[Item] = []
        marks: list[Item] = []
        items = self._table.query(partition(fleet), "retries#", f"retry#{PAST_ALL}", page=MARKS_LOOKED_AT)
        for item in items:
            if text(item, "sk").startswith("retries#"):
                batches += [item] if text(item, "sk") != own else []
            elif len(marks) == MARKS_LOOKED_AT:
                marks = [mark for mark in self._get_marks(fleet, wanted) if mark]
                break
            else:
                marks.append(item)
        found = _claims_in_batches(batches, set(wanted), now)
        for mark in marks:
            message_id = text(mark, "sk").removeprefix("retry#")
            if message_id in found and (claim := _mark_of(mark, now)):
                found[message_id].add(claim)
        return _strongest(found)


def _mark_of(mark: Item, now: float) -> Claim | None:
    """What a message's own mark says; nothing once it is past its time."""
    mark = attributes(SEND_CLAIM, mark)
    if number(mark, "ttl") <= now:
        return None
    if "sent_at" in mark:
        return Claim.SENT
    return Claim.BUSY if number(mark, "until_at") > now else Claim.DOUBTFUL


def _claims_in_batches(batches: Iterable[Item], message_ids: set[str], now: float) -> dict[str, set[Claim]]:
    """What batch claims say of each of these messages."""
    found: dict[str, set[Claim]] = {message_id: set() for message_id in message_ids}
    for item in batches:
        if number(item, "ttl") <= now:
            continue
        batch = existing(CLAIMED_BATCH, item)
        claimed = Claim.BUSY if number(item, "until_at") > now else Claim.DOUBTFUL
        for claim, theirs in ((Claim.SENT, batch.sent), (claimed, batch.claimed)):
            for message_id in message_ids.intersection(theirs):
                found[message_id].add(claim)
    return found


def _strongest(found: Mapping[str, set[Claim]]) -> dict[str, Claim]:
    """Of all that is said of a message, what counts: that it was sent, else that someone is at it."""
    order = (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL)
    return {message_id: next(claim for claim in order if claim in said) for message_id, said in found.items() if said}
