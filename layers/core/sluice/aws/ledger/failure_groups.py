"""The FailureGroups port on DynamoDB."""

import math
from typing import TYPE_CHECKING

from sluice.aws.ledger.keys import PAST_ALL, counts_key, key, partition, ttl
from sluice.aws.ledger.records import COUNTS, FAILURE_GROUP, attributes
from sluice.aws.table import Item, Table, Value, number, text
from sluice.model.redriving import FailureGroup, LastRedrive, QuarantineEntry
from sluice.ports.ledger.failure_groups import EMPTY_GROUPS_KEPT_S, TREND_HOURS, TREND_MINUTES
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW, group_cause

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# Counts of past hours and minutes are removed several at a time: a write for each would double the writes.
PAST_REMOVED = 12
# DynamoDB deletes groups that have expired, and the count of groups does not follow. So the groups of a fleet that has
# as many as it may are counted again, by one query, once in this time at most.
RECOUNT_S = 3_600.0
# How long a process remembers that a fleet is full: meanwhile a missing group costs one read, and no transaction.
FULL_KEPT_S = 60.0
# How much too early an empty group may expire: its time to live is written once a day, not at each dead letter.
TTL_STEP_S = 86_400.0


class DynamoFailureGroups:
    """The FailureGroups port."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._full_until: dict[str, float] = {}  # fleets that had as many failure groups as they may

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group."""
        item = self._table.get(_key(fleet, group_id))
        return _failure_group(fleet, item) if item else None

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, the last seen first."""
        items = self._table.query(partition(fleet), "group#", f"group#{PAST_ALL}")
        groups = [_failure_group(fleet, item) for item in items]
        return tuple(sorted(groups, key=lambda group: (-group.last_seen_at, group.id)))

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether a failure group may be used; it is made, and counted, in one transaction."""
        if self._table.get(_key(fleet, group_id)):
            return True
        if now < self._full_until.get(fleet, 0.0):
            return False
        made = self._make_group(fleet, group_id, cause, now) or (
            self._recount(fleet, now) and self._make_group(fleet, group_id, cause, now)
        )
        if not made:
            self._full_until[fleet] = now + FULL_KEPT_S
        return made

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group; the counts by hour and minute are attributes, added to in place."""
        hour, minute = int(now // 3_600), int(now // 60)
        group = _key(fleet, group_id)
        item = self._table.update(
            group,
            "SET #record_version = :form, #cause = :cause, #sample = :sample, #last_seen_at = :now,"
            " #first_seen_at = if_not_exists(#first_seen_at, :now)"
            " ADD #count :zero, #seen_count :one, #failed_retry_count :again, #version :one,"
            f" #hour_{hour} :one, #minute_{minute} :one",
            {
                ":form": FAILURE_GROUP.version,
                ":cause": cause,
                ":sample": sample,
                ":now": now,
                ":zero": 0,
                ":one": 1,
                ":again": int(again),
            },
        )
        assert item is not None  # there is no condition
        past = [f"hour_{at}" for at, _ in _series(item, "hour_") if at <= hour - TREND_HOURS]
        past += [f"minute_{at}" for at, _ in _series(item, "minute_") if at <= minute - TREND_MINUTES]
        if len(past) >= PAST_REMOVED:
            self._table.update(group, f"REMOVE {', '.join(f'#{name}' for name in past)}", {})
        if number(item, "count") <= 0 and number(item, "ttl") < now + EMPTY_GROUPS_KEPT_S - TTL_STEP_S:
            self.let_expire(fleet, group_id, now)
        return _failure_group(fleet, item)

    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        group = _key(fleet, group_id)
        values: dict[str, Value] = {":count": count, ":job": job_id, ":one": 1}
        counting = "ADD #redriven_count :count, #version :one"
        if self._table.update(group, counting, values, "#redrive_job = :job") is None:
            self._table.update(
                group,
                "SET #redrive_job = :job, #redriven_at = :now, #redriven_count = :count, #returned_count = :zero"
                " ADD #version :one",
                values | {":now": now, ":zero": 0},
                "attribute_exists(#pk)",
            )

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back."""
        group = _key(fleet, group_id)
        values: dict[str, Value] = {":job": job_id, ":one": 1}
        self._table.update(group, "ADD #returned_count :one, #version :one", values, "#redrive_job = :job")

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group, or unmute it. Records of an earlier version have `archived_at` for `muted_at`."""
        group, there = _key(fleet, group_id), "attribute_exists(#pk)"
        if at is None:
            item = self._table.update(group, "REMOVE #muted_at, #archived_at ADD #version :one", {":one": 1}, there)
        else:
            change = "SET #muted_at = :at REMOVE #archived_at ADD #version :one"
            item = self._table.update(group, change, {":at": at, ":one": 1}, there)
        return _failure_group(fleet, item) if item else None

    def _make_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Make a group, unless there are as many as may be; True also where another has just made it."""
        failed = self._table.transact(
            [
                self._table.updating(
                    _key(fleet, group_id),
                    "SET #record_version = :form, #cause = :cause, #first_seen_at = :now, #last_seen_at = :now,"
                    " #ttl = :ttl ADD #count :zero, #seen_count :zero",
                    {
                        ":form": FAILURE_GROUP.version,
                        ":cause": cause,
                        ":now": now,
                        ":ttl": ttl(now + EMPTY_GROUPS_KEPT_S),
                        ":zero": 0,
                    },
                    "attribute_not_exists(#pk)",
                ),
                self._table.updating(
                    counts_key(fleet),
                    "SET #record_version = :form ADD #group_count :one",
                    {":form": COUNTS.version, ":one": 1, ":most": GROUPS_MAX},
                    "attribute_not_exists(#group_count) OR #group_count < :most",
                ),
            ]
        )
        return not failed or 0 in failed

    def _recount(self, fleet: str, now: float) -> bool:
        """Count a fleet's groups again if that is due, without those that have expired; whether it was done."""
        counts = counts_key(fleet)
        counted_at = number(attributes(COUNTS, self._table.get(counts)), "counted_at")
        if now < counted_at + RECOUNT_S:
            return False
        there = 0
        for item in self._table.query(partition(fleet), "group#", f"group#{PAST_ALL}"):
            past = "ttl" in item and number(item, "ttl") <= now
            values: dict[str, Value] = {":zero": 0, ":now": math.floor(now)}
            gone = past and self._table.delete(key(fleet, text(item, "sk")), "#count <= :zero AND #ttl <= :now", values)
            there += not gone and text(item, "sk") != f"group#{OVERFLOW.id}"
        return (
            self._table.update(
                counts,
                "SET #group_count = :there, #counted_at = :now",
                {":there": there, ":now": now, ":was": counted_at},
                "attribute_not_exists(#counted_at) OR #counted_at = :was",
            )
            is not None
        )

    def let_expire(self, fleet: str, group_id: str, now: float) -> None:
        """Give a group its time to live, if nothing of it is in quarantine."""
        values: dict[str, Value] = {":ttl": ttl(now + EMPTY_GROUPS_KEPT_S), ":zero": 0}
        self._table.update(_key(fleet, group_id), "SET #ttl = :ttl", values, "#count <= :zero")

    # ----------------------------------------------------------------- parts of quarantine's transactions

    def adding(self, entry: QuarantineEntry) -> "TransactWriteItemTypeDef":
        """Count a quarantined message in its group, which is made if it is missing and then does not expire."""
        return self._table.updating(
            _key(entry.fleet, entry.failure_group),
            "SET #record_version = :form, #cause = if_not_exists(#cause, :cause),"
            " #sample = if_not_exists(#sample, :sample),"
            " #first_seen_at = if_not_exists(#first_seen_at, :at),"
            " #last_seen_at = if_not_exists(#last_seen_at, :at)"
            " REMOVE #ttl"
            " ADD #count :one, #seen_count :zero, #version :one",
            {
                ":form": FAILURE_GROUP.version,
                ":cause": group_cause(entry.failure_group, entry.cause),
                ":sample": entry.excerpt.sample,
                ":at": entry.at,
                ":one": 1,
                ":zero": 0,
            },
        )

    def removing(self, fleet: str, group_id: str, count: int) -> "TransactWriteItemTypeDef":
        """Take messages that leave quarantine out of their group's count."""
        values: dict[str, Value] = {":less": -count, ":one": 1}
        return self._table.updating(_key(fleet, group_id), "ADD #count :less, #version :one", values)


def _key(fleet: str, group_id: str) -> Item:
    return key(fleet, f"group#{group_id}")


def _series(item: Item, prefix: str) -> tuple[tuple[int, int], ...]:
    """Counts that are attributes of an item, by the place in time that ends their names."""
    names = [name for name in item if name.startswith(prefix)]
    return tuple(sorted((int(name.removeprefix(prefix)), int(number(item, name))) for name in names))


def _failure_group(fleet: str, item: Item) -> FailureGroup:
    item = attributes(FAILURE_GROUP, item)
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
        muted_at=number(item, "muted_at") if "muted_at" in item else None,
        last_redrive=LastRedrive(
            job_id=text(item, "redrive_job"),
            at=number(item, "redriven_at"),
            sent_count=int(number(item, "redriven_count")),
            returned_count=int(number(item, "returned_count")),
        )
        if "redriven_at" in item
        else None,
        failed_retry_count=int(number(item, "failed_retry_count")),
    )
