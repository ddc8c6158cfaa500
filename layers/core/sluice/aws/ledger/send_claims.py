"""The SendClaims port on DynamoDB.

The claim of a single message is a mark under the message's own key, so that whoever asks for 200 messages reads 200
keys. Most fleets that redrive out of their dead-letter queues have no marks. A note says until when a fleet may have
some, and is read by the query that reads batch claims:

* Whoever makes marks writes the note before it claims, and keeps the note's time later than that of every mark.
* Whoever asks has written its own claim before. If it finds no note, the other claims later, and sees that claim.
* A fleet without a note may have marks of an earlier version. Whoever asks first looks for them, and writes the note.

The note is never removed, and its time is only ever put off. So each process writes it once a day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from sluice.aws.ledger.keys import PAST_ALL, claim_key, key, partition, shards, ttl
from sluice.aws.ledger.records import CLAIMED_BATCH, MARKS, SEND_CLAIM, ClaimedBatch, attributes, existing
from sluice.aws.table import Item, Table, Value, number, text, typed_all
from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger.send_claims import BATCH_CLAIM_MAX, SEND_CLAIM_KEPT_S

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# How much later than a mark's time the note is, so that it is seldom written: marks are made all day.
NOTE_MARGIN_S = 86_400.0
_NOTE = "retries"  # before all batch claims


class DynamoSendClaims:
    """The SendClaims port."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted_until: dict[str, float] = {}  # by fleet: the note is at least this late

    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim messages, each by a record of its own."""
        self._note_marks(fleet, now)
        claimant = uuid4().hex  # so that a claim whose answer was lost is known as ours when botocore repeats it
        wanted = list(dict.fromkeys(message_ids))
        failed = self._table.transact_each(
            [self._claiming(fleet, message_id, claimant, until, now, again=again) for message_id in wanted]
        )
        claims = dict.fromkeys(wanted, Claim.GRANTED)
        taken = [wanted[index] for index in sorted(failed)]
        for message_id, single in zip(taken, self._get_claims(fleet, taken), strict=True):
            # A claim that was removed meanwhile is answered as busy: its holder has only just used it.
            claims[message_id] = (_claim_in(single, now) if single else None) or Claim.BUSY
        granted = [message_id for message_id in wanted if claims[message_id] is Claim.GRANTED]
        if granted:
            # Read after our claims are written: a batch claim of this moment sees them, or is seen here.
            _, batches = self._note_and_batches(fleet)
            claimed = _strongest(_by_batches(batches, set(granted), now))
            against = {m: claim for m, claim in claimed.items() if not (again and claim is Claim.DOUBTFUL)}
            self.release_sends(fleet, list(against))
            claims |= against
        return claims

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """Record that messages were sent."""
        self._note_marks(fleet, now)
        figures: dict[str, Value] = {
            "sent_at": now,
            "claimed_at": now,
            "ttl": ttl(now + SEND_CLAIM_KEPT_S),
            **SEND_CLAIM.written,
        }
        marks = [claim_key(fleet, message_id) | typed_all(figures) for message_id in dict.fromkeys(message_ids)]
        for error in filter(None, self._table.put_batch(marks)):
            raise error

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """Remove the claims of messages that were not sent."""
        self._table.transact_each(
            [
                self._table.deleting(claim_key(fleet, message_id), "attribute_not_exists(#sent_at)")
                for message_id in dict.fromkeys(message_ids)
            ]
        )

    def claims_of(self, fleet: str, message_ids: Sequence[str], now: float, besides: str = "") -> dict[str, Claim]:
        """How messages stand by every claim but one."""
        wanted = list(dict.fromkeys(message_ids))
        own = f"retries#{besides}"
        note, batches = self._note_and_batches(fleet)
        found = _by_batches((one for one in batches if text(one, "sk") != own), set(wanted), now)
        marked = wanted if self._may_be_marked(fleet, note, now) else []
        for message_id, single in zip(marked, self._get_claims(fleet, marked), strict=True):
            if single and (claim := _claim_in(single, now)):
                found[message_id].add(claim)
        return _strongest(found)

    def record_batch_claim(self, batch: BatchClaimRecord) -> None:
        """Write a batch claim, or remove it."""
        assert len(batch.claimed) <= BATCH_CLAIM_MAX
        record = key(batch.fleet, f"retries#{batch.name}")
        if not batch.claimed and not batch.sent:
            self._table.delete(record)
            return
        if batch.gets_marks:
            self._note_marks(batch.fleet, batch.claimed_at)
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
        record = claim_key(fleet, message_id)
        free = "attribute_not_exists(#pk) OR #ttl <= :now OR #claimant = :claimant"
        if again:
            free += " OR (attribute_not_exists(#sent_at) AND #until_at <= :now)"
        figures: dict[str, Value] = {
            "claimant": claimant,
            "claimed_at": now,
            "until_at": until,
            "ttl": ttl(now + SEND_CLAIM_KEPT_S),
            **SEND_CLAIM.written,
        }
        return self._table.putting(record | typed_all(figures), free, {":now": now, ":claimant": claimant})

    def _note_and_batches(self, fleet: str) -> tuple[Item | None, list[Item]]:
        """The note on a fleet's marks, if there is one, and its batch claims."""
        items = list(self._table.query(partition(fleet), _NOTE, f"retries#{PAST_ALL}"))
        if items and text(items[0], "sk") == _NOTE:
            return attributes(MARKS, items[0]), items[1:]
        return None, items

    def _note_marks(self, fleet: str, now: float) -> None:
        """Write that a fleet may have marks, before one is made at this time or soon after."""
        if self._noted_until.get(fleet, 0.0) >= ttl(now + SEND_CLAIM_KEPT_S):
            return
        until = now + SEND_CLAIM_KEPT_S + NOTE_MARGIN_S
        self._table.update(
            key(fleet, _NOTE),
            "SET #marked_until = :until, #record_version = :form",
            {":until": until, ":form": MARKS.version},
            "attribute_not_exists(#marked_until) OR #marked_until < :until",
        )
        self._noted_until[fleet] = until  # another's note that stands in the way is later still

    def _may_be_marked(self, fleet: str, note: Item | None, now: float) -> bool:
        """Whether a fleet may have marks, as its note says. Where there is none they are looked for, and it is made."""
        if note is not None:
            return number(note, "marked_until") > now
        for shard in shards(fleet):
            if next(self._table.query(shard, "retry#", f"retry#{PAST_ALL}", page=1), None) is not None:
                self._note_marks(fleet, now)
                return True
        unmarked: dict[str, Value] = {"marked_until": 0.0, **MARKS.written}
        # Not over the note of whoever has begun to make marks meanwhile, and sees the caller's claim.
        self._table.put(key(fleet, _NOTE) | typed_all(unmarked), "attribute_not_exists(#pk)")
        return False

    def _get_claims(self, fleet: str, message_ids: Sequence[str]) -> list[Item | None]:
        return self._table.get_batch([claim_key(fleet, message_id) for message_id in message_ids])


def _claim_in(single: Item, now: float) -> Claim | None:
    """How a message stands by its own claim; None once the claim is past its time."""
    single = attributes(SEND_CLAIM, single)
    if number(single, "ttl") <= now:
        return None
    if "sent_at" in single:
        return Claim.SENT
    return Claim.BUSY if number(single, "until_at") > now else Claim.DOUBTFUL


def _by_batches(batches: Iterable[Item], message_ids: set[str], now: float) -> defaultdict[str, set[Claim]]:
    """How those of these messages stand that batch claims name."""
    found: defaultdict[str, set[Claim]] = defaultdict(set)
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
    """Of several claims on a message the one that counts: SENT before BUSY before DOUBTFUL."""
    order = (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL)
    return {message_id: next(claim for claim in order if claim in claims) for message_id, claims in found.items()}
