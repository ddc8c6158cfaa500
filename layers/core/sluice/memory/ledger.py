"""The ledger in memory: versions, conflicts, leases, and the time each kind of record is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from sluice.memory.clock import Clock
from sluice.model.consumers import Consumer
from sluice.model.draining import Drain, DrainState
from sluice.model.planning import Decision, Memory, Outcome, TimedLaunch
from sluice.model.redriving import BatchClaimRecord, Claim, FailureGroup, LastRedrive, QuarantineEntry, RedriveJob
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import (
    ATTEMPTS_KEPT_S,
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


@dataclass(frozen=True, slots=True)
class _Mark:
    """That a message is being sent, or was."""

    claimed_at: float
    until: float
    sent: bool = False


@dataclass(frozen=True, slots=True)
class _Hold:
    """How many quarantined messages of a FIFO message group there are, and the failure group that holds it."""

    failure_group: str
    count: int


class MemoryLedger:
    """The Ledger port in dictionaries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, tuple[str, float]] = {}
        self._memories: dict[str, Memory] = {}
        self._launches: dict[str, tuple[TimedLaunch, ...]] = {}
        self._decisions: dict[tuple[str, float, str], tuple[Decision, Outcome]] = {}
        self._drains: dict[tuple[str, str], Drain] = {}
        self._consumers: dict[tuple[str, str], Consumer] = {}
        self._groups: dict[tuple[str, str], FailureGroup] = {}
        self._quarantined: dict[tuple[str, str], QuarantineEntry] = {}
        self._holds: dict[tuple[str, str], _Hold] = {}
        self._marks: dict[tuple[str, str], _Mark] = {}
        self._consignments: dict[tuple[str, str], BatchClaimRecord] = {}
        self._attempts: dict[tuple[str, str], tuple[int, float]] = {}
        self._causes: dict[tuple[str, str], tuple[str, float]] = {}
        self._jobs: dict[tuple[str, str], RedriveJob] = {}

    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease."""
        holder = self._leases.get(fleet)
        if holder and holder[0] != owner and holder[1] > now:
            return False
        self._leases[fleet] = (owner, until)
        return True

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back if it is ours."""
        if self._leases.get(fleet, ("", 0.0))[0] == owner:
            del self._leases[fleet]

    def memory(self, fleet: str) -> Memory:
        """The planner's memory, with the last launches noted."""
        return replace(self._memories.get(fleet, Memory()), timed=self._launches.get(fleet, ()))

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the planner's memory."""
        self._memories[fleet] = memory

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to those that the memory is read with."""
        noted = self._launches.get(fleet, ())
        number = noted[-1].number + 1 if noted else 1
        self._launches[fleet] = (*noted, replace(launch, number=number))[-LAUNCHES_KEPT:]

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision with its outcome."""
        self._decisions[decision.fleet, decision.at, decision.id] = (decision, outcome)

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions of a span of time, most recent first."""
        since = max(since, self._clock() - DECISIONS_KEPT_S)
        keys = sorted((key for key in self._decisions if key[0] == fleet and since <= key[1] <= until), reverse=True)
        return tuple(self._decisions[key] for key in keys[:limit])

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        drain = self._drains.get((fleet, instance_id))
        return drain if drain and self._is_kept(drain) else None

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record."""
        return tuple(drain for key, drain in sorted(self._drains.items()) if key[0] == fleet and self._is_kept(drain))

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's."""
        there = self.drain(drain.fleet, drain.instance_id)
        _check(drain.version, there.version if there else 0, f"drain of {drain.instance_id}")
        written = replace(drain, version=drain.version + 1)
        self._drains[drain.fleet, drain.instance_id] = written
        return written

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer."""
        consumer = self._consumers.get((fleet, instance_id))
        return consumer if consumer and consumer.updated_at + CONSUMERS_KEPT_S > self._clock() else None

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer heard of lately."""
        gone_at = self._clock() - CONSUMERS_KEPT_S
        consumers = sorted(self._consumers.items())
        return tuple(one for key, one in consumers if key[0] == fleet and one.updated_at > gone_at)

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's."""
        there = self.consumer(consumer.fleet, consumer.instance_id)
        _check(consumer.version, there.version if there else 0, f"consumer of {consumer.instance_id}")
        written = replace(consumer, version=consumer.version + 1)
        self._consumers[consumer.fleet, consumer.instance_id] = written
        return written

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group."""
        group = self._groups.get((fleet, group_id))
        if group and group.count <= 0 and group.last_seen_at + EMPTY_GROUPS_KEPT_S <= self._clock():
            del self._groups[fleet, group_id]
            return None
        return group

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, most recently seen first."""
        ids = [group_id for owner, group_id in self._groups if owner == fleet]
        groups = [group for group_id in ids if (group := self.failure_group(fleet, group_id))]
        return tuple(sorted(groups, key=lambda group: (-group.last_seen_at, group.id)))

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether a failure group may be used; it is made if there are not too many."""
        if self.failure_group(fleet, group_id):
            return True
        if sum(group.id != OVERFLOW.id for group in self.failure_groups(fleet)) >= GROUPS_MAX:
            return False
        self._groups[fleet, group_id] = FailureGroup(fleet, group_id, cause, 0, 0, now, now)
        return True

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine."""
        return sum(owner == fleet for owner, _ in self._quarantined)

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group as seen."""
        group = self.failure_group(fleet, group_id) or FailureGroup(fleet, group_id, cause, 0, 0, now, now)
        noted = replace(
            group,
            cause=cause,
            sample=sample,
            seen_count=group.seen_count + 1,
            failed_retry_count=group.failed_retry_count + again,
            last_seen_at=now,
            hours=counted(group.hours, int(now // 3_600), TREND_HOURS),
            minutes=counted(group.minutes, int(now // 60), TREND_MINUTES),
            version=group.version + 1,
        )
        self._groups[fleet, group_id] = noted
        return noted

    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        group = self._groups.get((fleet, group_id))
        if group is None:
            return
        last = group.last_redrive
        if last is None or last.job_id != job_id:
            last = LastRedrive(job_id, now, sent_count=0)
        last = replace(last, sent_count=last.sent_count + count)
        self._groups[fleet, group_id] = replace(group, last_redrive=last, version=group.version + 1)

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back."""
        group = self._groups.get((fleet, group_id))
        last = group.last_redrive if group else None
        if group and last and last.job_id == job_id:
            last = replace(last, returned_count=last.returned_count + 1)
            self._groups[fleet, group_id] = replace(group, last_redrive=last, version=group.version + 1)

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group, or unmute it."""
        group = self._groups.get((fleet, group_id))
        if group:
            group = self._groups[fleet, group_id] = replace(group, muted_at=at, version=group.version + 1)
        return group

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed."""
        self._causes[fleet, message_id] = (cause, now)

    def causes(self, fleet: str, message_ids: Sequence[str]) -> dict[str, str]:
        """The causes told of these messages."""
        now = self._clock()
        found = {message_id: self._causes.get((fleet, message_id)) for message_id in message_ids}
        return {m: told[0] for m, told in found.items() if told and told[1] + CAUSES_KEPT_S > now}

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Index a message, count it in its group, hold its message group; False if it was there or was sent again."""
        mark = self._mark(entry.fleet, entry.message_id, entry.at)
        if (entry.fleet, entry.message_id) in self._quarantined or (mark and mark.sent):
            return False
        self._quarantined[entry.fleet, entry.message_id] = entry
        words = group_cause(entry.failure_group, entry.cause)
        group = self.failure_group(entry.fleet, entry.failure_group) or FailureGroup(
            entry.fleet, entry.failure_group, words, 0, 0, entry.at, entry.at, entry.sample
        )
        self._groups[entry.fleet, entry.failure_group] = replace(
            group, count=group.count + 1, version=group.version + 1
        )
        if entry.message_group is not None:
            hold = self._holds.get((entry.fleet, entry.message_group)) or _Hold(entry.failure_group, 0)
            self._holds[entry.fleet, entry.message_group] = replace(hold, count=hold.count + 1)
        return True

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first."""
        entries = {
            f"{round(entry.at * 1000):015d}#{entry.message_id}": entry
            for entry in self._quarantined.values()
            if entry.fleet == fleet and failure_group in {None, entry.failure_group}
        }
        keys = sorted(key for key in entries if after is None or key > after)
        page = keys[:limit]
        return tuple(entries[key] for key in page), page[-1] if len(keys) > len(page) and page else None

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        return self._quarantined.get((fleet, message_id))

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index and its group's count; False if it was gone."""
        there = self._quarantined.pop((entry.fleet, entry.message_id), None)
        if there is None:
            return False
        group = self._groups[there.fleet, there.failure_group]
        self._groups[there.fleet, there.failure_group] = replace(
            group, count=group.count - 1, version=group.version + 1
        )
        if there.message_group is not None:
            hold = self._holds.pop((there.fleet, there.message_group))
            if hold.count > 1:
                self._holds[there.fleet, there.message_group] = replace(hold, count=hold.count - 1)
        return True

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """Take many out of the index and their groups' counts."""
        for entry in entries:
            self.remove_entry(entry)

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds a FIFO message group."""
        hold = self._holds.get((fleet, message_group))
        return hold.failure_group if hold else None

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

    def send_claims(self, fleet: str, message_ids: Sequence[str], now: float) -> dict[str, Claim]:
        """How the sending of messages stands."""
        found = {message_id: self._stands(fleet, message_id, now) for message_id in message_ids}
        return {message_id: claim for message_id, claim in found.items() if claim is not None}

    def claim_batch(self, consignment: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of messages under one name."""
        claims = {
            message_id: self._claim(
                consignment.fleet, message_id, consignment.claimed_at, again=again, own=consignment.name
            )
            for message_id in consignment.claimed
        }
        self.record_batch_claim(consignment)
        return claims

    def record_batch_claim(self, consignment: BatchClaimRecord) -> None:
        """Write how a consignment stands, or forget it."""
        if consignment.claimed or consignment.sent:
            self._consignments[consignment.fleet, consignment.name] = consignment
        else:
            self._consignments.pop((consignment.fleet, consignment.name), None)

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far."""
        attempts, at = self._attempts.get((fleet, message_key), (0, 0.0))
        return attempts if at + ATTEMPTS_KEPT_S > self._clock() else 0

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives."""
        self._attempts[fleet, message_key] = (attempts, now)

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job."""
        return next((job for job in self.jobs(fleet) if job.id == job_id), None)

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        gone_at = self._clock() - JOBS_KEPT_S
        jobs = [job for (owner, _), job in self._jobs.items() if owner == fleet and job.updated_at > gone_at]
        return tuple(sorted(jobs, key=lambda job: (-job.requested_at, job.id)))

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's."""
        there = self.job(job.fleet, job.id)
        _check(job.version, there.version if there else 0, f"job {job.id}")
        written = replace(job, version=job.version + 1)
        self._jobs[job.fleet, job.id] = written
        return written

    def _is_kept(self, drain: Drain) -> bool:
        """Whether a drain is still on record: for a while after its release."""
        return drain.state is not DrainState.RELEASED or drain.updated_at > self._clock() - DRAINS_KEPT_S

    def _mark(self, fleet: str, message_id: str, now: float) -> _Mark | None:
        mark = self._marks.get((fleet, message_id))
        return mark if mark and mark.claimed_at + SEND_CLAIM_KEPT_S > now else None

    def _claim(self, fleet: str, message_id: str, now: float, *, again: bool, own: str = "") -> Claim:
        claim = self._stands(fleet, message_id, now, own)
        return Claim.GRANTED if claim is None or (again and claim is Claim.DOUBTFUL) else claim

    def _stands(self, fleet: str, message_id: str, now: float, own: str = "") -> Claim | None:
        """The strongest that a mark or a consignment, other than `own`, says of a message."""
        found: set[Claim] = set()
        if mark := self._mark(fleet, message_id, now):
            found.add(Claim.SENT if mark.sent else Claim.BUSY if mark.until > now else Claim.DOUBTFUL)
        for (owner, name), there in self._consignments.items():
            if owner != fleet or name == own or there.claimed_at + SEND_CLAIM_KEPT_S <= now:
                continue
            if message_id in there.sent:
                found.add(Claim.SENT)
            elif message_id in there.claimed:
                found.add(Claim.BUSY if there.until > now else Claim.DOUBTFUL)
        return next((claim for claim in (Claim.SENT, Claim.BUSY, Claim.DOUBTFUL) if claim in found), None)


def counted(series: tuple[tuple[int, int], ...], place: int, kept: int) -> tuple[tuple[int, int], ...]:
    """A series of counts with one more at a place, cut to so many places before it."""
    counts = dict(series)
    counts[place] = counts.get(place, 0) + 1
    return tuple(sorted((at, count) for at, count in counts.items() if at > place - kept))


def _check(ours: int, theirs: int, what: str) -> None:
    if ours != theirs:
        raise ConflictError(f"{what} is at version {theirs}, not {ours}: read it again")
