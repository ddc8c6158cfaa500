"""The ledger in DynamoDB.

One partition a fleet, pk `fleet#<name>`; sk says what a record is:

| sk | is | lives |
|---|---|---|
| `lease` | who plans now: holder, until_at | |
| `state` | the planner's memory, JSON compressed in `data`; launches, launch_count: the last timed ones | |
| `decision#<at ms>#<id>` | a decision with its outcome | 30 days |
| `drain#<instance>` | a drain, at a version | released: 7 days |
| `consumer#<instance>` | what an instance's consumer said, and how it came into service, at a version | 1 day |
| `group#<id>` | a failure group, its figures as attributes, so that they are added to in place | empty: 14 days |
| `counts` | held_count: messages in quarantine; group_count: failure groups, made anew at counted_at | |
| `message#<message id>` | a quarantined message: the one record that says it is there | |
| `quarantine#<at ms>#<message id>` | the same, in the order of time | |
| `quarantine-of#<group>#<at ms>#<message id>` | the same, in the order of time within a failure group | |
| `hold#<message group>` | a FIFO message group with quarantined messages: failure_group, count | |
| `retries#<consignment>` | a mark for each of many: `data` {claimed, sent}, claimed_at, until_at | 14 days |
| `retry#<message id>` | the mark that a message is being sent again, or was: claimed_at, until_at, sent_at | 14 days |
| `cause#<message id>` | why a message failed, told by its consumer apart from it | 14 days |
| `attempts#<message key>` | redrives of a message that cannot carry the count itself | 14 days |
| `job#<id>` | a redrive job, at a version | 30 days |

Records are JSON in `data` unless said otherwise. Versions are compared by DynamoDB at the moment of writing. What is
past its `ttl` may still be there for some days: claims look at the time themselves, the others do no harm by it.
"""

import json
import logging
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched, islice
from math import inf
from time import time
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from sluice.aws import memory_record
from sluice.aws.clients import Clients
from sluice.aws.records import Recorded, from_text, to_text
from sluice.aws.table import TRANSACTION_MAX, Item, Table, Value, number, text, typed_all
from sluice.model.consumers import Consumer
from sluice.model.draining import Drain, DrainState
from sluice.model.planning import Decision, Memory, Outcome, TimedLaunch
from sluice.model.redriving import BatchClaimRecord, Claim, FailureGroup, LastRedrive, QuarantineEntry, RedriveJob
from sluice.ports.errors import ConflictError, NeedsFixError, TryLaterError
from sluice.ports.ledger import (
    ATTEMPTS_KEPT_S,
    BATCH_CLAIM_MAX,
    CAUSES_KEPT_S,
    CONSUMERS_KEPT_S,
    DECISIONS_KEPT_S,
    DRAINS_KEPT_S,
    EMPTY_GROUPS_KEPT_S,
    JOBS_KEPT_S,
    LAUNCHES_KEPT,
    SEND_CLAIM_KEPT_S,
    TREND_HOURS,
    TREND_MINUTES,
)
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW, group_cause

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

logger = logging.getLogger(__name__)

PAST_ALL = "\U0010ffff"  # sorts after everything that a key can hold
MS_DIGITS = 15  # milliseconds until the year 33658, so that text sorts as time does
# Above it, the marks of just the messages in question are cheaper to read: a mark is about 150 bytes.
MARKS_LOOKED_AT = 400
# Counts of hours and minutes past are taken away some at a time: a write for each would double the writes.
PAST_REMOVED = 12
# Each takes three writes of a transaction's hundred, its failure group one more, and the fleet's count one for all.
LET_GO_AT_ONCE = 24
# DynamoDB takes away by itself what is past its time, which the count of groups does not see. So a fleet that has as
# many as it may is counted anew, by one query, once in this time at most.
RECOUNT_S = 3_600.0
# How long a process takes that for still so: meanwhile a group that is not there costs one read, and no transaction.
FULL_KEPT_S = 60.0
# How much earlier than due an empty group may go: its time is written anew once a day, not at each dead letter.
TTL_STEP_S = 86_400.0
# Two writers of one message group's hold meet at most now and then; each attempt that fails means that another won.
HOLD_ATTEMPTS = 5


class DynamoLedger:
    """The Ledger port."""

    def __init__(self, clients: Clients, table: str, now: Callable[[], float] = time) -> None:
        self._table = Table(clients, table)
        self._now = now
        self._full_until: dict[str, float] = {}  # fleets that had as many failure groups as they may

    # ----------------------------------------------------------------- the planner's

    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease."""
        return self._table.put(
            _key(fleet, "lease") | typed_all({"holder": owner, "until_at": until}),
            "attribute_not_exists(#pk) OR #holder = :owner OR #until_at <= :now",
            {":owner": owner, ":now": now},
        )

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back if it is ours."""
        self._table.delete(_key(fleet, "lease"), "#holder = :owner", {":owner": owner})

    def memory(self, fleet: str) -> Memory:
        """The planner's memory; what of its record cannot be read is listed in `unread`, and can be learned again."""
        item = self._table.get(_key(fleet, "state"))
        if item is None:
            return Memory()
        kept = Memory()
        if "data" in item:  # else the drainer alone has written to it
            try:
                kept = memory_record.from_text(zlib.decompress(item["data"]["B"]))
            except (zlib.error, KeyError) as error:
                kept = Memory(unread=(f"the planner's memory cannot be unpacked and is learned anew: {error}",))
        return replace(kept, timed=_launches(item))

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the planner's memory. A day of minutes is 40 kB of JSON; compressed, a write costs a sixth of that."""
        data = zlib.compress(memory_record.to_text(memory).encode())
        self._table.update(_key(fleet, "state"), "SET #data = :data", {":data": data})

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to the memory's own record, so that a tick reads it without a call more.

        Many may be noted at once: each is appended in place. What is too old is taken away some at a time.
        """
        key = _key(fleet, "state")
        item = self._table.update(
            key,
            "SET #launches = list_append(if_not_exists(#launches, :none), :launches) ADD #launch_count :one",
            {":launches": [to_text(launch)], ":none": [], ":one": 1},
        )
        assert item is not None  # there is no condition
        there_count = len(item["launches"]["L"])
        if there_count >= 2 * LAUNCHES_KEPT:
            past = ", ".join(f"#launches[{index}]" for index in range(there_count - LAUNCHES_KEPT))
            # Whoever has added one since has counted again: it is for the last of them to do.
            self._table.update(key, f"REMOVE {past}", {":there": there_count}, "size(#launches) = :there")

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision with its outcome."""
        self._table.put(
            _key(decision.fleet, f"decision#{_ms(decision.at)}#{decision.id}")
            | typed_all({"data": to_text(Recorded(decision, outcome)), "ttl": _ttl(decision.at + DECISIONS_KEPT_S)})
        )

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions of a span of time, most recent first; eventually consistent, for people to look at."""
        last = PAST_ALL if until == inf else f"{_ms(until)}#{PAST_ALL}"
        items = self._table.query(
            f"fleet#{fleet}",
            f"decision#{_ms(since)}",
            f"decision#{last}",
            page=limit,
            descending=True,
            consistent=False,
        )
        found = (r for r in _readable(Recorded, items) if since <= r.decision.at <= until)
        return tuple((record.decision, record.outcome) for record in islice(found, limit))

    # ----------------------------------------------------------------- drains

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        return _one(Drain, self._table.get(_key(fleet, f"drain#{instance_id}")))

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record."""
        return tuple(_readable(Drain, self._table.query(f"fleet#{fleet}", "drain#", f"drain#{PAST_ALL}")))

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's."""
        written = replace(drain, version=drain.version + 1)
        released = drain.state is DrainState.RELEASED
        until: dict[str, Value] = {"ttl": _ttl(drain.updated_at + DRAINS_KEPT_S)} if released else {}
        self._keep(drain.fleet, f"drain#{drain.instance_id}", to_text(written), drain.version, until)
        return written

    # ----------------------------------------------------------------- consumers

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer."""
        return _one(Consumer, self._table.get(_key(fleet, f"consumer#{instance_id}")))

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer heard of lately."""
        return tuple(_readable(Consumer, self._table.query(f"fleet#{fleet}", "consumer#", f"consumer#{PAST_ALL}")))

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's."""
        written = replace(consumer, version=consumer.version + 1)
        until: dict[str, Value] = {"ttl": _ttl(consumer.updated_at + CONSUMERS_KEPT_S)}
        self._keep(consumer.fleet, f"consumer#{consumer.instance_id}", to_text(written), consumer.version, until)
        return written

    # ----------------------------------------------------------------- failure groups and quarantine

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group."""
        item = self._table.get(_key(fleet, f"group#{group_id}"))
        return _failure_group(fleet, item) if item else None

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, most recently seen first."""
        items = self._table.query(f"fleet#{fleet}", "group#", f"group#{PAST_ALL}")
        groups = [_failure_group(fleet, item) for item in items]
        return tuple(sorted(groups, key=lambda group: (-group.last_seen_at, group.id)))

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether a failure group may be used; it is made, and counted, in one transaction."""
        if self._table.get(_key(fleet, f"group#{group_id}")):
            return True
        if now < self._full_until.get(fleet, 0.0):
            return False
        made = self._make_group(fleet, group_id, cause, now) or (
            self._recount(fleet, now) and self._make_group(fleet, group_id, cause, now)
        )
        if not made:
            self._full_until[fleet] = now + FULL_KEPT_S
        return made

    def _make_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Make a group, unless there are as many as may be; True also where another has just made it."""
        failed = self._table.transact(
            [
                self._table.updating(
                    _key(fleet, f"group#{group_id}"),
                    "SET #cause = :cause, #first_seen_at = :now, #last_seen_at = :now, #ttl = :ttl"
                    " ADD #count :zero, #seen_count :zero",
                    {":cause": cause, ":now": now, ":ttl": _ttl(now + EMPTY_GROUPS_KEPT_S), ":zero": 0},
                    "attribute_not_exists(#pk)",
                ),
                self._table.updating(
                    _key(fleet, "counts"),
                    "ADD #group_count :one",
                    {":one": 1, ":most": GROUPS_MAX},
                    "attribute_not_exists(#group_count) OR #group_count < :most",
                ),
            ]
        )
        return not failed or 0 in failed

    def _recount(self, fleet: str, now: float) -> bool:
        """Count a fleet's groups anew where that is due, without those past their time; whether it was done."""
        key = _key(fleet, "counts")
        counted_at = number(self._table.get(key) or {}, "counted_at")
        if now < counted_at + RECOUNT_S:
            return False
        there = 0
        for item in self._table.query(f"fleet#{fleet}", "group#", f"group#{PAST_ALL}"):
            past = "ttl" in item and number(item, "ttl") <= now
            values: dict[str, Value] = {":zero": 0, ":now": math.floor(now)}
            gone = past and self._table.delete(
                _key(fleet, text(item, "sk")), "#count <= :zero AND #ttl <= :now", values
            )
            there += not gone and text(item, "sk") != f"group#{OVERFLOW.id}"
        return (
            self._table.update(
                key,
                "SET #group_count = :there, #counted_at = :now",
                {":there": there, ":now": now, ":was": counted_at},
                "attribute_not_exists(#counted_at) OR #counted_at = :was",
            )
            is not None
        )

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine, as counted in the transactions that put them there."""
        return int(number(self._table.get(_key(fleet, "counts")) or {}, "held_count"))

    def _let_expire(self, fleet: str, group_id: str, now: float) -> None:
        """Give a group its time to live, if nothing of it is in quarantine."""
        values: dict[str, Value] = {":ttl": _ttl(now + EMPTY_GROUPS_KEPT_S), ":zero": 0}
        self._table.update(_key(fleet, f"group#{group_id}"), "SET #ttl = :ttl", values, "#count <= :zero")

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group; the counts by hour and minute are attributes, added to in place."""
        hour, minute = int(now // 3_600), int(now // 60)
        key = _key(fleet, f"group#{group_id}")
        item = self._table.update(
            key,
            "SET #cause = :cause, #sample = :sample, #last_seen_at = :now,"
            " #first_seen_at = if_not_exists(#first_seen_at, :now)"
            " ADD #count :zero, #seen_count :one, #failed_retry_count :again, #version :one,"
            f" #hour_{hour} :one, #minute_{minute} :one",
            {":cause": cause, ":sample": sample, ":now": now, ":zero": 0, ":one": 1, ":again": int(again)},
        )
        assert item is not None  # there is no condition
        past = [f"hour_{at}" for at, _ in _series(item, "hour_") if at <= hour - TREND_HOURS]
        past += [f"minute_{at}" for at, _ in _series(item, "minute_") if at <= minute - TREND_MINUTES]
        if len(past) >= PAST_REMOVED:
            self._table.update(key, f"REMOVE {', '.join(f'#{name}' for name in past)}", {})
        if number(item, "count") <= 0 and number(item, "ttl") < now + EMPTY_GROUPS_KEPT_S - TTL_STEP_S:
            self._let_expire(fleet, group_id, now)
        return _failure_group(fleet, item)

    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        key = _key(fleet, f"group#{group_id}")
        values: dict[str, Value] = {":count": count, ":job": job_id, ":one": 1}
        if self._table.update(key, "ADD #redriven_count :count, #version :one", values, "#redrive_job = :job") is None:
            self._table.update(
                key,
                "SET #redrive_job = :job, #redriven_at = :now, #redriven_count = :count, #returned_count = :zero"
                " ADD #version :one",
                values | {":now": now, ":zero": 0},
                "attribute_exists(#pk)",
            )

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back."""
        key = _key(fleet, f"group#{group_id}")
        values: dict[str, Value] = {":job": job_id, ":one": 1}
        self._table.update(key, "ADD #returned_count :one, #version :one", values, "#redrive_job = :job")

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group, or unmute it."""
        # Records of an earlier version have `archived_at` in the place of `muted_at`.
        key, there = _key(fleet, f"group#{group_id}"), "attribute_exists(#pk)"
        if at is None:
            item = self._table.update(key, "REMOVE #muted_at, #archived_at ADD #version :one", {":one": 1}, there)
        else:
            item = self._table.update(
                key, "SET #muted_at = :at REMOVE #archived_at ADD #version :one", {":at": at, ":one": 1}, there
            )
        return _failure_group(fleet, item) if item else None

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed."""
        ttl = _ttl(now + CAUSES_KEPT_S)
        self._table.put(_key(fleet, f"cause#{message_id}") | typed_all({"cause": cause, "ttl": ttl}))

    def causes(self, fleet: str, message_ids: Sequence[str]) -> dict[str, str]:
        """The causes told of these messages."""
        wanted = list(dict.fromkeys(message_ids))
        items = self._table.get_all([_key(fleet, f"cause#{message_id}") for message_id in wanted])
        return {message_id: text(item, "cause") for message_id, item in zip(wanted, items, strict=True) if item}

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Index a message, count it in its group, hold its message group; False if it was there or was sent again."""
        table, fleet = self._table, entry.fleet
        data = {"data": to_text(entry)}
        writes = [
            table.putting(_key(fleet, _message_sk(entry.message_id)) | typed_all(data), "attribute_not_exists(#pk)"),
            table.checking(
                _key(fleet, f"retry#{entry.message_id}"),
                "attribute_not_exists(#sent_at) OR #ttl <= :now",
                {":now": math.floor(entry.at)},
            ),
            *(table.putting(_key(fleet, sk) | typed_all(data)) for sk in _order_sks(entry)),
            table.updating(
                _key(fleet, f"group#{entry.failure_group}"),
                "SET #cause = if_not_exists(#cause, :cause), #sample = if_not_exists(#sample, :sample),"
                " #first_seen_at = if_not_exists(#first_seen_at, :at),"
                " #last_seen_at = if_not_exists(#last_seen_at, :at)"
                " REMOVE #ttl"
                " ADD #count :one, #seen_count :zero, #version :one",
                {
                    ":cause": group_cause(entry.failure_group, entry.cause),
                    ":sample": entry.sample,
                    ":at": entry.at,
                    ":one": 1,
                    ":zero": 0,
                },
            ),
            table.updating(_key(fleet, "counts"), "ADD #held_count :one", {":one": 1}),
        ]
        if entry.message_group is not None:
            writes.append(
                table.updating(
                    _key(fleet, f"hold#{entry.message_group}"),
                    "SET #failure_group = if_not_exists(#failure_group, :group) ADD #count :one",
                    {":group": entry.failure_group, ":one": 1},
                )
            )
        return not table.transact(writes)

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first; the cursor is `<at ms>#<message id>` of the page's last entry."""
        prefix = "quarantine#" if failure_group is None else f"quarantine-of#{_quoted(failure_group)}#"
        items = self._table.query(
            f"fleet#{fleet}",
            prefix,
            f"{prefix}{PAST_ALL}",
            after=None if after is None else _key(fleet, f"{prefix}{after}"),
            page=limit + 1,
        )
        page = list(islice(items, limit + 1))
        more = len(page) > limit
        last = text(page[limit - 1], "sk").removeprefix(prefix) if more and limit > 0 else None
        return tuple(_readable(QuarantineEntry, iter(page[:limit]))), last

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        return _one(QuarantineEntry, self._table.get(_key(fleet, _message_sk(message_id))))

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index, its group's and its hold's count; False if it was gone."""
        table, fleet = self._table, entry.fleet
        for _ in range(HOLD_ATTEMPTS):
            there = self.quarantined_message(fleet, entry.message_id)
            if there is None:
                return False
            writes = [
                table.deleting(_key(fleet, _message_sk(there.message_id)), "attribute_exists(#pk)"),
                *(table.deleting(_key(fleet, sk)) for sk in _order_sks(there)),
                table.updating(
                    _key(fleet, f"group#{there.failure_group}"),
                    "ADD #count :less, #version :one",
                    {":less": -1, ":one": 1},
                ),
                table.updating(_key(fleet, "counts"), "ADD #held_count :less", {":less": -1}),
            ]
            if there.message_group is not None:
                key = _key(fleet, f"hold#{there.message_group}")
                if number(table.get(key) or {}, "count") > 1:
                    writes.append(table.updating(key, "ADD #count :less", {":less": -1, ":one": 1}, "#count > :one"))
                else:
                    writes.append(table.deleting(key, "attribute_not_exists(#pk) OR #count <= :one", {":one": 1}))
            failed = table.transact(writes)
            if not failed:
                self._let_expire(fleet, there.failure_group, self._now())
                return True
            if 0 in failed:
                return False
        raise TryLaterError(
            f"the message group of {entry.message_id} of fleet {fleet} is written by others all the time"
        )

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """Take many out of the index and their groups' counts: those that are there as given, a transaction for many.

        What is not, and FIFO messages, whose holds are counted, go one by one.
        """
        table = self._table
        for some in batched((entry for entry in entries if entry.message_group is None), LET_GO_AT_ONCE, strict=False):
            writes = []
            for entry in some:
                writes += [
                    table.deleting(_key(entry.fleet, _message_sk(entry.message_id)), "attribute_exists(#pk)"),
                    *(table.deleting(_key(entry.fleet, sk), "attribute_exists(#pk)") for sk in _order_sks(entry)),
                ]
            for (fleet, group), count in Counter((entry.fleet, entry.failure_group) for entry in some).items():
                values: dict[str, Value] = {":less": -count, ":one": 1}
                writes.append(table.updating(_key(fleet, f"group#{group}"), "ADD #count :less, #version :one", values))
            for fleet, count in Counter(entry.fleet for entry in some).items():
                writes.append(table.updating(_key(fleet, "counts"), "ADD #held_count :less", {":less": -count}))
            if len(writes) > TRANSACTION_MAX or table.transact(writes):
                for entry in some:
                    self.remove_entry(entry)
                continue
            for fleet, group in dict.fromkeys((entry.fleet, entry.failure_group) for entry in some):
                self._let_expire(fleet, group, self._now())
        for entry in entries:
            if entry.message_group is not None:
                self.remove_entry(entry)

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds a FIFO message group."""
        item = self._table.get(_key(fleet, f"hold#{message_group}"))
        return text(item, "failure_group") if item else None

    # ----------------------------------------------------------------- sending again

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
            # After our marks are written: who consigns one of these at this moment sees them, or is seen here.
            consigned = _strongest(_consigned(self._consignments(fleet), set(granted), now))
            against = {m: claim for m, claim in consigned.items() if not (again and claim is Claim.DOUBTFUL)}
            self.release_sends(fleet, list(against))
            claims |= against
        return claims

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """The claimed messages were sent."""
        self._table.transact_each(
            [
                self._table.updating(
                    _key(fleet, f"retry#{message_id}"),
                    "SET #sent_at = :now, #claimed_at = if_not_exists(#claimed_at, :now),"
                    " #ttl = if_not_exists(#ttl, :ttl)",
                    {":now": now, ":ttl": _ttl(now + SEND_CLAIM_KEPT_S)},
                )
                for message_id in dict.fromkeys(message_ids)
            ]
        )

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """The claimed messages were surely not sent."""
        self._table.transact_each(
            [
                self._table.deleting(_key(fleet, f"retry#{message_id}"), "attribute_not_exists(#sent_at)")
                for message_id in dict.fromkeys(message_ids)
            ]
        )

    def send_claims(self, fleet: str, message_ids: Sequence[str], now: float) -> dict[str, Claim]:
        """How the sending of messages stands."""
        return self._marks(fleet, message_ids, now)

    def claim_batch(self, consignment: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of messages under one name: write the record, then see who else claims any of them."""
        assert len(consignment.claimed) <= BATCH_CLAIM_MAX
        self.record_batch_claim(consignment)
        now = consignment.claimed_at
        marks = self._marks(consignment.fleet, consignment.claimed, now, besides=consignment.name)
        claims: dict[str, Claim] = {}
        for message_id in consignment.claimed:
            claim = marks.get(message_id)
            free = claim is None or (again and claim is Claim.DOUBTFUL)
            claims[message_id] = Claim.GRANTED if free or claim is None else claim
        return claims

    def record_batch_claim(self, consignment: BatchClaimRecord) -> None:
        """Write how a consignment stands, or forget it."""
        key = _key(consignment.fleet, f"retries#{consignment.name}")
        if not consignment.claimed and not consignment.sent:
            self._table.delete(key)
            return
        data = {"claimed": consignment.claimed, "sent": consignment.sent}
        figures: dict[str, Value] = {
            "data": json.dumps(data, separators=(",", ":")),
            "claimed_at": consignment.claimed_at,
            "until_at": consignment.until,
            "ttl": _ttl(consignment.claimed_at + SEND_CLAIM_KEPT_S),
        }
        self._table.put(key | typed_all(figures))

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far."""
        return int(number(self._table.get(_key(fleet, f"attempts#{message_key}")) or {}, "attempts"))

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives."""
        self._table.put(
            _key(fleet, f"attempts#{message_key}")
            | typed_all({"attempts": attempts, "ttl": _ttl(now + ATTEMPTS_KEPT_S)})
        )

    # ----------------------------------------------------------------- redrive jobs

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job."""
        return _one(RedriveJob, self._table.get(_key(fleet, f"job#{job_id}")))

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        jobs = _readable(RedriveJob, self._table.query(f"fleet#{fleet}", "job#", f"job#{PAST_ALL}"))
        return tuple(sorted(jobs, key=lambda job: (-job.requested_at, job.id)))

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's."""
        written = replace(job, version=job.version + 1)
        until: dict[str, Value] = {"ttl": _ttl(job.updated_at + JOBS_KEPT_S)}
        self._keep(job.fleet, f"job#{job.id}", to_text(written), job.version, until)
        return written

    # ----------------------------------------------------------------- inside

    def _keep(self, fleet: str, sk: str, data: str, version: int, extra: dict[str, Value]) -> None:
        """Write a record one version on, if it is still at the version given (0: not there)."""
        item = _key(fleet, sk) | typed_all({"data": data, "version": version + 1, **extra})
        if version == 0:
            written = self._table.put(item, "attribute_not_exists(#pk)")
        else:
            written = self._table.put(item, "#version = :version", {":version": version})
        if not written:
            raise ConflictError(f"ledger record fleet#{fleet} {sk} is no longer at version {version}: read it again")

    def _claiming(
        self, fleet: str, message_id: str, claimant: str, until: float, now: float, *, again: bool
    ) -> "TransactWriteItemTypeDef":
        """The claim of one message, as part of a transaction."""
        key = _key(fleet, f"retry#{message_id}")
        free = "attribute_not_exists(#pk) OR #ttl <= :now OR #claimant = :claimant"
        if again:
            free += " OR (attribute_not_exists(#sent_at) AND #until_at <= :now)"
        marks: dict[str, Value] = {
            "claimant": claimant,
            "claimed_at": now,
            "until_at": until,
            "ttl": _ttl(now + SEND_CLAIM_KEPT_S),
        }
        return self._table.putting(key | typed_all(marks), free, {":now": now, ":claimant": claimant})

    def _consignments(self, fleet: str) -> Iterator[Item]:
        return self._table.query(f"fleet#{fleet}", "retries#", f"retries#{PAST_ALL}")

    def _get_marks(self, fleet: str, message_ids: Sequence[str]) -> list[Item | None]:
        return self._table.get_all([_key(fleet, f"retry#{message_id}") for message_id in message_ids])

    def _marks(self, fleet: str, message_ids: Sequence[str], now: float, besides: str = "") -> dict[str, Claim]:
        """The strongest that marks and consignments, besides one, say of messages.

        One query tells of all where there are few marks, as where messages are redriven from their dead-letter queue;
        where there are many, each message's own is asked for.
        """
        wanted = list(dict.fromkeys(message_ids))
        own = f"retries#{besides}"
        consignments: list[Item] = []
        marks: list[Item] = []
        items = self._table.query(f"fleet#{fleet}", "retries#", f"retry#{PAST_ALL}", page=MARKS_LOOKED_AT)
        for item in items:
            if text(item, "sk").startswith("retries#"):
                consignments += [item] if text(item, "sk") != own else []
            elif len(marks) == MARKS_LOOKED_AT:
                marks = [mark for mark in self._get_marks(fleet, wanted) if mark]
                break
            else:
                marks.append(item)
        found = _consigned(consignments, set(wanted), now)
        for mark in marks:
            message_id = text(mark, "sk").removeprefix("retry#")
            if message_id in found and (claim := _mark_of(mark, now)):
                found[message_id].add(claim)
        return _strongest(found)


def _mark_of(mark: Item, now: float) -> Claim | None:
    """What a message's own mark says; nothing once it is past its time."""
    if number(mark, "ttl") <= now:
        return None
    if "sent_at" in mark:
        return Claim.SENT
    return Claim.BUSY if number(mark, "until_at") > now else Claim.DOUBTFUL


def _consigned(consignments: Iterable[Item], message_ids: set[str], now: float) -> dict[str, set[Claim]]:
    """What consignments say of each of these messages."""
    found: dict[str, set[Claim]] = {message_id: set() for message_id in message_ids}
    for item in consignments:
        if number(item, "ttl") <= now:
            continue
        data = json.loads(text(item, "data"))
        claimed = Claim.BUSY if number(item, "until_at") > now else Claim.DOUBTFUL
        for claim, theirs in ((Claim.SENT, data["sent"]), (claimed, data["claimed"])):
            for message_id in message_ids.intersection(theirs):
                found[message_id].add(claim)
    return found


def _strongest(found: Mapping[str, set[Claim]]) -> dict[str, Claim]:
    """Of all that is said of a message, what counts: that it was sent, else that someone is at it."""
    order = (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL)
    return {message_id: next(claim for claim in order if claim in said) for message_id, said in found.items() if said}


def _key(fleet: str, sk: str) -> Item:
    return typed_all({"pk": f"fleet#{fleet}", "sk": sk})


def _ms(at: float) -> str:
    return f"{round(max(at, 0.0) * 1000):0{MS_DIGITS}d}"


def _ttl(at: float) -> int:
    """Whole seconds, as DynamoDB's time to live takes them."""
    return math.ceil(at)


def _quoted(group_id: str) -> str:
    """A failure group's id without `#`, so that no id's keys lie among another's."""
    return quote(group_id, safe="")


def _message_sk(message_id: str) -> str:
    return f"message#{message_id}"


def _order_sks(entry: QuarantineEntry) -> tuple[str, str]:
    """The two places of a message in the orders of time."""
    place = f"{_ms(entry.at)}#{entry.message_id}"
    return f"quarantine#{place}", f"quarantine-of#{_quoted(entry.failure_group)}#{place}"


def _name_of(item: Item) -> str:
    return f"{text(item, 'pk')} {text(item, 'sk')}"


def _one[T](kind: type[T], item: Item | None) -> T | None:
    return None if item is None else from_text(kind, text(item, "data"), _name_of(item))


def _readable[T](kind: type[T], items: Iterator[Item]) -> Iterator[T]:
    """Every record that can be read: one that cannot is logged, and never hides the others."""
    for item in items:
        try:
            yield from_text(kind, text(item, "data"), _name_of(item))
        except NeedsFixError as error:
            logger.warning("left out: %s", error)


def _launches(item: Item) -> tuple[TimedLaunch, ...]:
    """The last timed launches in a memory's record, numbered by how many there have been."""
    texts = [str(entry.get("S", "")) for entry in item.get("launches", {}).get("L", ())][-LAUNCHES_KEPT:]
    first = int(number(item, "launch_count")) - len(texts) + 1
    found = []
    for place, launch in enumerate(texts):
        try:
            found.append(replace(from_text(TimedLaunch, launch, _name_of(item)), number=first + place))
        except NeedsFixError as error:
            logger.warning("left out: %s", error)
    return tuple(found)


def _series(item: Item, prefix: str) -> tuple[tuple[int, int], ...]:
    """Counts that are attributes of an item, by the place in time that ends their names."""
    names = [name for name in item if name.startswith(prefix)]
    return tuple(sorted((int(name.removeprefix(prefix)), int(number(item, name))) for name in names))


def _failure_group(fleet: str, item: Item) -> FailureGroup:
    last_seen_at = number(item, "last_seen_at")
    hour, minute = last_seen_at // 3_600, last_seen_at // 60
    return FailureGroup(
        fleet=fleet,
        id=text(item, "sk").removeprefix("group#"),
        cause=text(item, "cause"),
        count=int(number(item, "count")),
        seen_count=int(number(item, "seen_count")),
        first_seen_at=number(item, "first_seen_at"),
        last_seen_at=last_seen_at,
        sample=text(item, "sample"),
        version=int(number(item, "version")),
        hours=tuple(one for one in _series(item, "hour_") if one[0] > hour - TREND_HOURS),
        minutes=tuple(one for one in _series(item, "minute_") if one[0] > minute - TREND_MINUTES),
        muted_at=_first_number(item, "muted_at", "archived_at"),
        last_redrive=LastRedrive(
            job_id=text(item, "redrive_job"),
            at=number(item, "redriven_at"),
            sent_count=int(number(item, "redriven_count")),
            returned_count=int(number(item, "returned_count")),
        )
        if "redriven_at" in item
        else None,
        # Records of an earlier version have counted into `again_count`.
        failed_retry_count=int(number(item, "failed_retry_count") + number(item, "again_count")),
    )


def _first_number(item: Item, *names: str) -> float | None:
    """The first of some attributes that an item has."""
    return next((number(item, name) for name in names if name in item), None)
